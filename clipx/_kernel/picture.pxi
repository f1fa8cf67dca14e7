# Pictures of a decoder, written as an output says. Part of kernel.pyx.

from clipx._kernel.loops cimport (
    CLIPX_AS_IS,
    CLIPX_FULL,
    CLIPX_GRAY,
    CLIPX_INTERLEAVED,
    CLIPX_MOST_VIEWS,
    CLIPX_PACKED,
    CLIPX_PAIRED,
    clipx_color,
    clipx_output,
    clipx_picture,
    clipx_planes,
    clipx_resampled,
    clipx_resampled_room,
    clipx_set_stacks,
    clipx_view,
    clipx_view_set,
    clipx_views_room,
    clipx_write_resampled,
    clipx_write_views,
)

LAYOUTS = {
    "gray": CLIPX_GRAY,
    "full": CLIPX_FULL,
    "paired": CLIPX_PAIRED,
    "interleaved": CLIPX_INTERLEAVED,
    "packed": CLIPX_PACKED,
}


# Measured: a decoder's pictures fill the second cache, and clips that go round in more than this would drive them out.
cdef Py_ssize_t BESIDE_A_DECODER = 1 << 20


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
        if layout != "packed" and sample_bytes == 1:
            if (self.p.color.y_left, self.p.color.y_right, self.p.color.c_left) != (7, 0, 8):
                raise ValueError("samples of a byte are shifted by 7, 0 and 8 bits")
            if not -1 << 14 <= self.p.color.ky < 1 << 14:
                raise ValueError(f"the factor {self.p.color.ky} of samples of a byte has more than 15 bits")
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

    cdef int _require(self, Resampling resampling, int channels) except -1:
        """Have what this picture is resampled with."""
        resampling.check(self.p.height, self.p.width, channels)
        if self.p.layout == CLIPX_PACKED:
            if self.p.bytes not in (1, 3, 4):
                raise ValueError(f"pixels of {self.p.bytes} bytes are not resampled")
            return resampling.require_bytes()
        return resampling.require_planes(
            channels > 1 and self.p.layout in (CLIPX_PAIRED, CLIPX_INTERLEAVED),
            channels > 1 and self.p.layout != CLIPX_GRAY and self.p.chroma_rows)

    def write(self, planes, line_sizes, Output output not None, views, list targets not None, Py_ssize_t footprint=0,
              Resampling resampling=None):
        """Convert one picture, each row once, into every target.

        planes, line_sizes: a buffer and the bytes of a line for each plane. views: (y, x, h, w, flip) of each view, the
        crop inside the picture and whether it is flipped, all of the same size. targets: writable, of the output's
        items, for one frame each, apart from the planes: (h, w, channels) contiguous, or of an output in planes
        (channels, h, w) with each plane contiguous; with several views, (views, ...), each like that. footprint as in
        `gather`, but above BESIDE_A_DECODER there are streaming stores. resampling: of the picture, whose views then
        lie in what comes out; planes are resampled before their color is computed. Raises ValueError for sizes that do
        not fit.
        """
        cdef clipx_planes sources
        cdef clipx_view parts[CLIPX_MOST_VIEWS]
        cdef clipx_view_set seen
        cdef Py_ssize_t count = len(targets)
        cdef int needed, i
        cdef list held, sources_held = []
        cdef Buffer plane
        cdef char **addresses
        cdef clipx_output how = output.output
        cdef clipx_resampled resampled
        cdef bint streams
        cdef int height = self.p.height, width = self.p.width

        if how.kind >= CLIPX_AS_IS:
            raise ValueError("pictures are written as bytes or floats")
        if how.channels not in (1, 3) or (
            self.p.layout == CLIPX_PACKED and how.channels != (1 if self.p.bytes == 1 else 3)
        ):
            raise ValueError(f"{output.output.channels} channels are not written from this picture")
        seen.views, seen.count, seen.room = parts, _count_views(len(views)), NULL
        if resampling is not None:
            self._require(resampling, how.channels)
            height, width = resampling.size
        for i in range(seen.count):
            _set_view(parts + i, views[i], parts, height, width)
        streams = footprint > BESIDE_A_DECODER or _streams(
            footprint or count * seen.count * parts[0].h * parts[0].w * output.output.channels * output.item())
        needed = 1 if self.p.layout in (CLIPX_GRAY, CLIPX_PACKED) else 2 if self.p.layout == CLIPX_INTERLEAVED else 3
        if len(planes) < needed or len(line_sizes) < needed:
            raise ValueError(f"{len(planes)} planes and {len(line_sizes)} line sizes; {needed} are read")
        for i in range(needed):
            plane = Buffer(planes[i], PyBUF_C_CONTIGUOUS)
            sources_held.append(plane)
            self._check_plane(i, &plane.view, line_sizes[i])
            sources.data[i] = <const uint8_t *>plane.view.buf
            sources.stride[i] = line_sizes[i]
        held = output.targets(targets, parts, seen.count, &how.plane)
        count = len(held)  # the caller's list may have changed
        if not count:
            return
        addresses = _view_addresses(held, seen.count)
        if resampling is not None or seen.count > 1:
            seen.room = <char *>malloc(
                clipx_views_room(&self.p, seen.count) if resampling is None else
                clipx_resampled_room(rows, &resampling.r, &self.p, &seen, how.channels))
            if seen.room == NULL:
                free(addresses)
                raise MemoryError
        with nogil:
            if resampling is None:
                clipx_write_views(rows, streams, &self.p, &sources, &seen, &how, addresses, count)
            else:
                clipx_set_stacks(&resampled, &self.p, &sources, how.channels)
                clipx_write_resampled(rows, streams, &resampling.r, &resampled, &seen, &how, addresses, count)
            if streams:
                CLIPX_FENCE()
        free(seen.room)
        free(addresses)
