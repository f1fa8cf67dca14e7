# What is written as an output says: pictures of a decoder, and frames of arrays. Part of kernel.pyx.

from clipx._kernel.loops cimport (
    CLIPX_BF16,
    CLIPX_F16,
    CLIPX_F32,
    CLIPX_FLOAT16,
    CLIPX_FLOAT32,
    CLIPX_FLOAT64,
    CLIPX_FULL,
    CLIPX_GRAY,
    CLIPX_INT16,
    CLIPX_INT32,
    CLIPX_INT64,
    CLIPX_INT8,
    CLIPX_INTERLEAVED,
    CLIPX_PACKED,
    CLIPX_PAIRED,
    CLIPX_U8,
    CLIPX_UINT16,
    CLIPX_UINT32,
    CLIPX_UINT64,
    CLIPX_UINT8,
    clipx_arithmetic,
    clipx_clips,
    clipx_color,
    clipx_format,
    clipx_item_bytes,
    clipx_make_steps,
    clipx_output,
    clipx_picture,
    clipx_planes,
    clipx_source,
    clipx_steps,
    clipx_view,
    clipx_write_picture,
)

KINDS = {"uint8": CLIPX_U8, "float32": CLIPX_F32, "float16": CLIPX_F16, "bfloat16": CLIPX_BF16}
ORDERS = ("THWC", "TCHW", "CTHW")


cdef class Output:
    """How frames are written.

    kind: "uint8", which writes bytes as they are, "float32", "float16" or "bfloat16", which write
    (x * scale - mean) / std. order: "THWC", "TCHW" or "CTHW". mean, std: a number for each channel.
    """
    cdef clipx_output output
    cdef bint time_inside
    cdef clipx_arithmetic *arithmetic

    def __cinit__(self, str kind, str order, double scale, mean, std):
        cdef Py_ssize_t c
        cdef clipx_steps steps
        cdef Buffer means = Buffer(np.ascontiguousarray(mean, dtype=np.float64), PyBUF_C_CONTIGUOUS)
        cdef Buffer deviations = Buffer(np.ascontiguousarray(std, dtype=np.float64), PyBUF_C_CONTIGUOUS)
        self.output.kind = KINDS[kind]
        if order not in ORDERS:
            raise ValueError(f"frames are not written as {order}")
        self.output.planar = order != "THWC"
        self.time_inside = order == "CTHW"
        if means.view.ndim != 1 or means.view.len != deviations.view.len or not 0 < means.view.len < 1 << 24:
            raise ValueError("mean and std are not of the same channels")
        self.output.channels = means.view.len // 8
        self.arithmetic = <clipx_arithmetic *>malloc(self.output.channels * sizeof(clipx_arithmetic))
        if self.arithmetic == NULL:
            raise MemoryError
        for c in range(self.output.channels):
            self.arithmetic[c].scale = scale
            self.arithmetic[c].mean = (<const double *>means.view.buf)[c]
            self.arithmetic[c].deviation = (<const double *>deviations.view.buf)[c]
            steps = clipx_make_steps(scale, self.arithmetic[c].mean, self.arithmetic[c].deviation)
            self.arithmetic[c].steps = steps
            if c < 3:
                self.output.scale.high[c], self.output.scale.low[c] = steps.high, steps.low
                self.output.scale.factor[c] = steps.factor

    def __dealloc__(self):
        free(self.arithmetic)

    cdef Py_ssize_t item(self) noexcept:
        return clipx_item_bytes(self.output.kind)

    cdef list targets(self, list targets, const clipx_view *view, Py_ssize_t *distance):
        """Targets for one frame, held open: (h, w, channels), or planes (channels, h, w) at a distance."""
        cdef Py_ssize_t item = self.item(), row = view.w * item, plane = row * view.h
        cdef Py_ssize_t channels = self.output.channels
        cdef const Py_buffer *buffer
        cdef Buffer target
        cdef list held = []
        distance[0] = 0
        if not self.output.planar or channels == 1:
            return _contiguous(targets, plane * channels, item)
        for each in targets:
            target = Buffer(each, PyBUF_STRIDED_RO | PyBUF_WRITABLE)
            buffer = &target.view
            if buffer.ndim != 3 or buffer.itemsize != item or buffer.shape[0] != channels or \
                    buffer.shape[1] != view.h or buffer.shape[2] != view.w:
                raise ValueError(f"a target is not {channels} planes of {view.h} by {view.w} items of {item} bytes")
            if (buffer.strides[2] != item and view.w > 1) or (buffer.strides[1] != row and view.h > 1):
                raise ValueError("the planes of a target are not contiguous")
            if buffer.strides[0] < plane or distance[0] not in (0, buffer.strides[0]):
                raise ValueError("the planes of the targets overlap, or do not lie alike")
            distance[0] = buffer.strides[0]
            held.append(target)
        return held


cdef int _set_view(clipx_view *view, numbers, int height, int width) except -1:
    view.y, view.x, view.h, view.w, view.flip = numbers
    if not (0 <= view.y and 0 < view.h <= height - view.y and 0 <= view.x and 0 < view.w <= width - view.x):
        raise ValueError(f"the crop {tuple(numbers[:4])} lies outside the picture of {height} by {width}")
    return 0


LAYOUTS = {
    "gray": CLIPX_GRAY,
    "full": CLIPX_FULL,
    "paired": CLIPX_PAIRED,
    "interleaved": CLIPX_INTERLEAVED,
    "packed": CLIPX_PACKED,
}


cdef class Picture:
    """Writes the decoded pictures of a stream, as RGB or as luma alone.

    layout: "gray"; "full", "paired" or "interleaved": a plane of luma and one chroma sample a pixel, one for two
    pixels, or one for two as U V U V; "packed": one plane of pixels. sample_bytes: 1 or 2, packed: of a pixel.
    offsets: where red, green and blue are in a packed pixel. chroma_rows: whether a chroma row serves two rows.
    size: (height, width). color: the nine numbers of color.h's clipx_color in its order.
    """
    cdef clipx_picture p

    def __cinit__(self, str layout, int sample_bytes, offsets, bint chroma_rows, size, color):
        self.p.layout, self.p.bytes, self.p.chroma_rows = LAYOUTS[layout], sample_bytes, chroma_rows
        self.p.red, self.p.green, self.p.blue = offsets
        self.p.height, self.p.width = size
        (self.p.color.y_left, self.p.color.y_right, self.p.color.c_left, self.p.color.ky, self.p.color.bias,
         self.p.color.rv, self.p.color.gu, self.p.color.gv, self.p.color.bu) = color
        packed = layout == "packed"
        if not (sample_bytes == 1 or 3 <= sample_bytes <= 8 if packed else 1 <= sample_bytes <= 2):
            raise ValueError(f"{layout} samples of {sample_bytes} bytes are not read")
        offsets = self.p.red, self.p.green, self.p.blue
        if packed and not all(0 <= each < sample_bytes for each in offsets):
            raise ValueError(f"red, green and blue at {offsets} lie outside a pixel of {sample_bytes} bytes")
        if packed and sample_bytes == 3 and len(set(offsets)) < 3:
            raise ValueError(f"red, green and blue at {offsets} are not three bytes")
        if not all(0 <= each <= 15 for each in (self.p.color.y_left, self.p.color.y_right, self.p.color.c_left)):
            raise ValueError("samples are shifted by 0 to 15 bits")
        if not (0 < self.p.width < 1 << 24 and 0 < self.p.height < 1 << 24):
            raise ValueError(f"a picture of {size} is not read")

    cdef int _check_plane(self, int i, const Py_buffer *view, Py_ssize_t line_size) except -1:
        cdef Py_ssize_t lines = self.p.height, width = self.p.width
        if i:
            if self.p.chroma_rows:
                lines = (lines + 1) // 2
            if self.p.layout == CLIPX_PAIRED:
                width = (width + 1) // 2
            elif self.p.layout == CLIPX_INTERLEAVED:
                width = (width + 1) // 2 * 2
        width *= self.p.bytes
        if line_size < width or view.len < width or (lines > 1 and line_size > (view.len - width) // (lines - 1)):
            raise ValueError(
                f"plane {i} has {view.len} bytes in lines of {line_size}; {lines} lines of {width} are read")
        return 0

    def write(self, planes, line_sizes, Output output not None, view, list targets not None, Py_ssize_t footprint=0):
        """Convert one picture, each row once, into every target.

        planes, line_sizes: a buffer and the bytes of a line for each plane. view: (y, x, h, w, flip), the crop inside
        the picture and whether it is flipped. targets: writable, of the output's items, for one
        frame each, apart from the planes: (h, w, channels) contiguous, or of an output in planes (channels, h, w) with
        each plane contiguous. footprint as in `gather`. Raises ValueError for sizes that do not fit.
        """
        cdef clipx_planes sources
        cdef clipx_view part
        cdef Py_ssize_t count = len(targets)
        cdef int needed, i
        cdef list held, sources_held = []
        cdef Buffer plane
        cdef char **addresses
        cdef clipx_output how = output.output
        cdef bint streams

        if how.channels not in (1, 3) or (
            self.p.layout == CLIPX_PACKED and how.channels != (1 if self.p.bytes == 1 else 3)
        ):
            raise ValueError(f"{output.output.channels} channels are not written from this picture")
        _set_view(&part, view, self.p.height, self.p.width)
        streams = _streams(footprint or count * part.h * part.w * output.output.channels * output.item())
        needed = 1 if self.p.layout in (CLIPX_GRAY, CLIPX_PACKED) else 2 if self.p.layout == CLIPX_INTERLEAVED else 3
        if len(planes) < needed or len(line_sizes) < needed:
            raise ValueError(f"{len(planes)} planes and {len(line_sizes)} line sizes; {needed} are read")
        for i in range(needed):
            plane = Buffer(planes[i], PyBUF_C_CONTIGUOUS)
            sources_held.append(plane)
            self._check_plane(i, &plane.view, line_sizes[i])
            sources.data[i] = <const uint8_t *>plane.view.buf
            sources.stride[i] = line_sizes[i]
        held = output.targets(targets, &part, &how.plane)
        if not count:
            return
        addresses = _addresses(held)
        with nogil:
            clipx_write_picture(rows, streams, &self.p, &sources, &part, &how, addresses, count)
            if streams:
                CLIPX_FENCE()
        free(addresses)


NUMBERS = {
    "?1": CLIPX_UINT8, "B1": CLIPX_UINT8, "H2": CLIPX_UINT16, "I4": CLIPX_UINT32, "L8": CLIPX_UINT64,
    "L4": CLIPX_UINT32, "Q8": CLIPX_UINT64, "b1": CLIPX_INT8, "h2": CLIPX_INT16, "i4": CLIPX_INT32, "l8": CLIPX_INT64,
    "l4": CLIPX_INT32, "q8": CLIPX_INT64, "e2": CLIPX_FLOAT16, "f4": CLIPX_FLOAT32, "d8": CLIPX_FLOAT64,
}


cdef class Formatted:
    """The frames of an array (n, height, width, channels), checked once, to be written as an output says.

    Bytes side by side in 1 or 3 channels are read as pictures; all other numbers one by one, into floats only.
    Raises ValueError for what is not read.
    """
    cdef Buffer held
    cdef Output output
    cdef clipx_source source
    cdef clipx_picture picture

    def __cinit__(self, src, Output output not None):
        cdef const Py_buffer *view
        cdef int d
        self.held, self.output = Buffer(src, PyBUF_STRIDED_RO | PyBUF_FORMAT), output
        view = &self.held.view
        if view.ndim != 4 or view.shape[3] != output.output.channels:
            raise ValueError(f"frames are not (n, height, width, {output.output.channels})")
        if not (0 < view.shape[1] < 1 << 24 and 0 < view.shape[2] < 1 << 24):
            raise ValueError(f"frames of {view.shape[1]} by {view.shape[2]} are not read")
        kind = f"{view.format.decode().lstrip('=@')}{view.itemsize}"
        if kind not in NUMBERS:
            raise ValueError(f"numbers of format {kind} are not read")
        for d in range(4):
            self.source.strides[d] = view.strides[d]
        self.source.src = <const char *>view.buf
        self.source.type, self.source.channels = NUMBERS[kind], view.shape[3]
        self.source.arithmetic = output.arithmetic
        self.picture.layout, self.picture.bytes = CLIPX_PACKED, view.shape[3]
        self.picture.red, self.picture.green, self.picture.blue = 0, 1, 2
        self.picture.height, self.picture.width = view.shape[1], view.shape[2]
        side_by_side = (view.strides[3] == 1 or view.shape[3] == 1) and (
            view.strides[2] == view.shape[3] or view.shape[2] == 1)
        self.source.picture = NULL
        if self.source.type == CLIPX_UINT8 and view.shape[3] in (1, 3) and side_by_side:
            self.source.picture = &self.picture
        elif output.output.kind == CLIPX_U8:
            raise ValueError(f"numbers of format {kind} in {view.shape[3]} channels are not written as uint8")

    def write(self, dst, indices, views, Py_ssize_t footprint=0):
        """Write clips.

        dst: C-contiguous writable buffer of len(indices) clips of the output. indices: contiguous int64 buffer (clips,
        length); positions of index -1 are left alone. views: a list of one (y, x, h, w, flip) for all clips, or one for
        each, all of the same size. dst and the source must not overlap.
        """
        cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        cdef Buffer table = _table(indices)
        cdef clipx_clips clips
        cdef clipx_output how = self.output.output
        cdef int64_t lowest, highest
        cdef int fills, height = self.picture.height, width = self.picture.width
        cdef Py_ssize_t i, count = len(views), item = self.output.item(), plane
        cdef size_t frame, positions
        cdef clipx_view *parts
        cdef bint streams = _streams(footprint or target.view.len)
        if table.view.ndim != 2:
            raise ValueError(f"indices have {table.view.ndim} dimensions, not 2")
        clips.count, clips.length = table.view.shape[0], table.view.shape[1]
        clips.indices = <const int64_t *>table.view.buf
        positions = clips.count * clips.length
        if count != 1 and <size_t>count != clips.count:
            raise ValueError(f"{count} views for {clips.count} clips")
        if count == 0:
            return
        if not clipx_range(clips.indices, positions, self.held.view.shape[0], &lowest, &highest, &fills):
            raise IndexError(f"an index lies outside the source's {self.held.view.shape[0]} frames")
        parts = <clipx_view *>calloc(count, sizeof(clipx_view))
        if parts == NULL:
            raise MemoryError
        try:
            for i in range(count):
                _set_view(parts + i, views[i], height, width)
                if parts[i].h != parts[0].h or parts[i].w != parts[0].w:
                    raise ValueError("the views are not of the same size")
            # Below 2^50: sides are below 2^24; times the channels it may be too much.
            plane = parts[0].h * <Py_ssize_t>parts[0].w * item
            if plane > PY_SSIZE_T_MAX // how.channels:
                raise ValueError(f"a frame of {parts[0].h} by {parts[0].w} in {how.channels} channels is too large")
            frame = plane * how.channels
            clips.clip_bytes = frame * clips.length
            if target.view.itemsize != item or (<size_t>target.view.len if positions == 0 else
                                                <size_t>target.view.len % positions or
                                                <size_t>target.view.len // positions != frame):
                raise ValueError(f"dst has {target.view.len} bytes in items of {target.view.itemsize} for "
                                 f"{clips.count} clips of {clips.length} frames of {frame} bytes")
            how.plane = plane * <Py_ssize_t>clips.length if self.output.time_inside else plane
            clips.position_bytes = plane if self.output.time_inside else frame
            clips.dst, clips.views, clips.one_view = <char *>target.view.buf, parts, count == 1
            if target.view.len:
                with nogil:
                    clipx_format(rows, streams, &self.source, &how, &clips, lowest, highest)
        finally:
            free(parts)
