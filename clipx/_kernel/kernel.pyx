# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False
"""Checks, then loops without the GIL; what the functions mean is said in `_reference.py`."""

import os

import numpy as np

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDED_RO,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from clipx._kernel.slots cimport Lease, Slots

cdef extern from "rows/formatted.h" nogil:
    const int CLIPX_IMPLEMENTATIONS
    const int CLIPX_MAX_DIMENSIONS

    ctypedef struct clipx_rows:
        const char *name
        int (*runs)()

    ctypedef struct clipx_frame:
        int ndim
        size_t run
        size_t bytes

    ctypedef struct clipx_writer:
        pass

    ctypedef struct clipx_table:
        const char *src
        Py_ssize_t frame_stride
        clipx_frame frame
        const int64_t *indices
        size_t places
        char *dst
        const char *fill
        size_t itemsize

    const clipx_rows *clipx_implementations
    size_t clipx_cache_bytes()
    void clipx_join(clipx_frame *frame, int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides, size_t itemsize)
    int clipx_range(const int64_t *indices, size_t places, int64_t frames, int64_t *lowest, int64_t *highest,
                    int *fills)
    void clipx_gather(const clipx_rows *rows, const clipx_table *t, int64_t lowest, int64_t highest, int streams,
                      size_t cache)
    ctypedef struct clipx_color:
        int16_t y_left, y_right, c_left, ky, bias, rv, gu, gv, bu

    ctypedef struct clipx_picture:
        int layout, bytes, red, green, blue, chroma_rows, width, height
        clipx_color color

    ctypedef struct clipx_planes:
        const uint8_t *data[3]
        Py_ssize_t stride[3]

    ctypedef struct clipx_view:
        int y, x, h, w, flip

    ctypedef struct clipx_scale:
        float high[3]
        float low[3]
        float factor[3]

    ctypedef struct clipx_steps:
        float high, low, factor

    ctypedef struct clipx_arithmetic:
        double scale, mean, deviation
        clipx_steps steps

    ctypedef struct clipx_output:
        int kind, channels, planar
        Py_ssize_t plane
        clipx_scale scale

    ctypedef struct clipx_source:
        const char *src
        Py_ssize_t strides[4]
        int type, channels
        const clipx_picture *picture
        const clipx_arithmetic *arithmetic

    ctypedef struct clipx_cut:
        const int64_t *indices
        size_t clips, length
        char *dst
        size_t clip_bytes, place_bytes
        const clipx_view *views
        int one_view

    const int CLIPX_GRAY, CLIPX_FULL, CLIPX_PAIRED, CLIPX_INTERLEAVED, CLIPX_PACKED
    const int CLIPX_U8, CLIPX_F32, CLIPX_F16, CLIPX_BF16
    const int CLIPX_INT8, CLIPX_INT16, CLIPX_INT32, CLIPX_INT64, CLIPX_UINT8, CLIPX_UINT16, CLIPX_UINT32, CLIPX_UINT64
    const int CLIPX_FLOAT16, CLIPX_FLOAT32, CLIPX_FLOAT64
    size_t clipx_item_bytes(int kind)
    clipx_steps clipx_make_steps(double scale, double mean, double deviation)
    void clipx_write_picture(const clipx_rows *rows, int streams, const clipx_picture *p, const clipx_planes *planes,
                             const clipx_view *view, const clipx_output *output, char **places, size_t count)
    void clipx_format(const clipx_rows *rows, int streams, const clipx_source *s, const clipx_output *output,
                      const clipx_cut *cut, int64_t lowest, int64_t highest)
    clipx_writer clipx_make_writer(const clipx_rows *rows, int streams)
    void clipx_put(clipx_writer writer, char *dst, const char *src, size_t n)
    void clipx_write_frame(clipx_writer writer, const clipx_frame *frame, const char *src, char **places, size_t count)
    void CLIPX_FENCE()


cdef const clipx_rows *rows = NULL

cache_bytes = clipx_cache_bytes()
cdef size_t c_cache_bytes = cache_bytes


def _choose(wanted):
    global rows
    cdef int i
    running = []
    for i in range(CLIPX_IMPLEMENTATIONS):
        if clipx_implementations[i].runs():
            name = clipx_implementations[i].name.decode()
            running.append(name)
            if rows == NULL and wanted in ("", name):
                rows = &clipx_implementations[i]
    if rows == NULL:
        raise ImportError(f"CLIPX_SIMD is {wanted!r}; this processor runs {', '.join(running)}")
    return tuple(running)


implementations = _choose(os.environ.get("CLIPX_SIMD", ""))
simd = rows.name.decode()


# Below it, giving up the GIL costs more than what others could do meanwhile.
cdef size_t SHORT = 1 << 15

cdef object ndarray = np.ndarray, empty = np.empty


cdef class Buffer:
    """A buffer held open while the kernel uses it."""
    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, obj, int flags):
        PyObject_GetBuffer(obj, &self.view, flags)
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


# Measured crossover: the source and what the program does in between want the rest of the cache.
cdef bint _streams(Py_ssize_t footprint) noexcept:
    return footprint > 0 and <size_t>footprint > c_cache_bytes // 3


cdef class Frames:
    """The frames of an array, checked once, and the element that stands where a table has -1."""
    cdef Buffer source, element
    cdef clipx_table table
    cdef bint empty

    def __cinit__(self, src, fill):
        cdef const Py_buffer *view
        cdef Py_ssize_t d
        self.source = Buffer(src, PyBUF_STRIDED_RO)
        view = &self.source.view
        if view.ndim < 1:
            raise ValueError("the source has no time axis")
        if view.ndim > CLIPX_MAX_DIMENSIONS:
            raise ValueError(f"the source has {view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
        self.table.fill = NULL
        if fill is not None:
            self.element = Buffer(fill, PyBUF_C_CONTIGUOUS)
            if self.element.view.len != view.itemsize:
                raise ValueError(f"fill has {self.element.view.len} bytes, an element {view.itemsize}")
            self.table.fill = <const char *>self.element.view.buf
        for d in range(1, view.ndim):
            self.empty |= view.shape[d] == 0
        self.table.src = <const char *>view.buf
        self.table.itemsize = view.itemsize
        self.table.frame_stride = view.strides[0]
        self.table.frame.bytes = 0
        if not self.empty:
            clipx_join(&self.table.frame, view.ndim - 1, view.shape + 1, view.strides + 1, view.itemsize)

    cdef int write(self, char *dst, Py_ssize_t size, const int64_t *indices, size_t places, int streams) except -1:
        cdef int64_t lowest, highest
        cdef int fills
        cdef Py_ssize_t frames = self.source.view.shape[0]
        if not clipx_range(indices, places, frames, &lowest, &highest, &fills):
            raise IndexError(f"an index lies outside the source's {frames} frames")
        if fills and self.table.fill == NULL:
            raise ValueError("indices hold -1, but there is no fill")
        if places * self.table.frame.bytes != <size_t>size or (
            places and <size_t>size // places != self.table.frame.bytes
        ):
            raise ValueError(f"dst has {size} bytes for {places} frames of {self.table.frame.bytes}")
        if size == 0:
            return 0
        self.table.indices, self.table.places, self.table.dst = indices, places, dst
        self._run(self.table, lowest, highest, streams)
        return 0

    cdef void _run(self, clipx_table table, int64_t lowest, int64_t highest, int streams) noexcept:
        # A copy of the table: other threads may use these frames once the GIL is gone.
        if table.places * table.frame.bytes < SHORT:
            clipx_gather(rows, &table, lowest, highest, streams, c_cache_bytes)
        else:
            with nogil:
                clipx_gather(rows, &table, lowest, highest, streams, c_cache_bytes)


cdef Buffer _table(indices):
    cdef Buffer table = Buffer(indices, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    if table.view.itemsize != 8 or table.view.format[0] not in b"lq":
        raise ValueError("indices are not of dtype int64")
    return table


def gather(src, dst, indices, fill=None, Py_ssize_t footprint=0):
    """Write src[k] for each k of `indices` to `dst`, one after the other; `fill` where k is -1.

    src: buffer (n, ...), any strides. dst: C-contiguous writable buffer of len(indices) frames. indices: contiguous
    int64 buffer of any shape. fill: bytes of one element. footprint: bytes that writes like this one go round in
    (default: those of dst); above a third of the cache they are streaming stores.

    Raises ValueError for sizes that do not fit and IndexError for an index outside the source. dst and src must not
    overlap.
    """
    cdef Frames frames = Frames(src, fill)
    cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef Buffer table = _table(indices)
    if target.view.itemsize != frames.source.view.itemsize:
        raise ValueError(f"dst has items of {target.view.itemsize} bytes, the source of {frames.source.view.itemsize}")
    frames.write(<char *>target.view.buf, target.view.len, <const int64_t *>table.view.buf, table.view.len // 8,
                 _streams(footprint or target.view.len))


cdef class Clips:
    """Iterator of the rows of an index table, each gathered into an array of its own.

    shape, dtype: of a clip. slots: where clips lie; None gives each memory of its own. exhausted: gives a clip, or
    raises, where no slot is free; the iterator can go on after it has raised.
    """
    cdef Frames frames
    cdef Buffer table
    cdef Slots slots
    cdef tuple shape
    cdef object dtype, exhausted
    cdef Py_ssize_t row, rows, places, size
    cdef int streams

    def __cinit__(self, src, indices, fill, tuple shape not None, dtype, Slots slots=None, exhausted=None):
        self.frames, self.table = Frames(src, fill), _table(indices)
        if self.table.view.ndim != 2:
            raise ValueError(f"indices have {self.table.view.ndim} dimensions, not 2")
        self.slots, self.shape, self.dtype, self.exhausted = slots, shape, dtype, exhausted
        self.rows, self.places = self.table.view.shape[0], self.table.view.shape[1]
        self.size = self.places * self.frames.table.frame.bytes
        self.streams = _streams(self.size if slots is None else slots.slots * slots.slot_bytes)

    def __iter__(self):
        return self

    def close(self):
        """Let go of the source; no clip comes any more."""
        self.frames = None

    def __next__(self):
        cdef Lease lease
        cdef Buffer target
        cdef char *dst
        cdef Py_ssize_t row
        # Threads may share this: each takes a row, and keeps the frames, before the GIL is gone.
        cdef Frames frames = self.frames
        if frames is None:
            raise StopIteration
        if self.row == self.rows:
            self.frames = None
            raise StopIteration
        lease = None if self.slots is None else self.slots.lease()
        if lease is not None and self.size <= self.slots.slot_bytes:
            clip = ndarray(self.shape, self.dtype, lease)
            dst = lease.address()
        else:
            clip = empty(self.shape, self.dtype) if self.slots is None else self.exhausted(self.shape, self.dtype)
            target = Buffer(clip, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            if target.view.len != self.size:
                raise ValueError(f"a clip of shape {self.shape} has {target.view.len} bytes, not {self.size}")
            dst = <char *>target.view.buf
        row = self.row
        if row == self.rows:
            raise StopIteration
        self.row += 1
        frames.write(dst, self.size, <const int64_t *>self.table.view.buf + row * self.places, self.places,
                     self.streams)
        return clip


cdef char **_addresses(list held) except NULL:
    """The addresses of buffers, to be freed."""
    cdef Py_ssize_t i = 0
    cdef Buffer target
    cdef char **places = <char **>malloc((len(held) or 1) * sizeof(char *))
    if places == NULL:
        raise MemoryError
    for target in held:
        places[i] = <char *>target.view.buf
        i += 1
    return places


cdef list _contiguous(list targets, Py_ssize_t size, Py_ssize_t itemsize):
    """C-contiguous writable targets of `size` bytes each, held open."""
    cdef Buffer target
    cdef list held = []
    for each in targets:
        target = Buffer(each, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        if target.view.itemsize != itemsize or target.view.len != size:
            raise ValueError(f"a target has {target.view.len} bytes in items of {target.view.itemsize}; "
                             f"the frame has {size} in items of {itemsize}")
        held.append(target)
    return held


def scatter(frame, list targets not None, Py_ssize_t footprint=0):
    """Write one frame to every target; each of its rows is read once.

    frame: buffer of any strides. targets: C-contiguous writable buffers of the frame's size. footprint as in `gather`.
    Raises ValueError for sizes that do not fit.
    """
    cdef Buffer source = Buffer(frame, PyBUF_STRIDED_RO)
    cdef clipx_frame layout
    cdef Py_ssize_t count = len(targets)
    cdef clipx_writer writer
    cdef bint streams = _streams(footprint or source.view.len * count)
    cdef list held
    cdef char **places

    if source.view.ndim > CLIPX_MAX_DIMENSIONS:
        raise ValueError(f"the frame has {source.view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
    held = _contiguous(targets, source.view.len, source.view.itemsize)
    places = _addresses(held)
    if count and source.view.len:
        clipx_join(&layout, source.view.ndim, source.view.shape, source.view.strides, source.view.itemsize)
        writer = clipx_make_writer(rows, streams)
        with nogil:
            clipx_write_frame(writer, &layout, <const char *>source.view.buf, places, count)
            if streams:
                CLIPX_FENCE()
    free(places)


def collect(list arrays not None, dst, Py_ssize_t footprint=0):
    """Copy arrays one after the other into dst, without the GIL.

    arrays: C-contiguous buffers, all of the same bytes. dst: C-contiguous writable buffer of all their bytes, apart
    from them. footprint as in `gather`. Raises ValueError for sizes that do not fit, and for overlap.
    """
    cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE), source
    cdef Py_ssize_t count = len(arrays), size, i
    cdef list held = []
    cdef char **places
    cdef char *to = <char *>target.view.buf
    cdef size_t start
    cdef bint streams = _streams(footprint or target.view.len)
    cdef clipx_writer writer = clipx_make_writer(rows, streams)
    if count == 0 or target.view.len % count:
        raise ValueError(f"dst has {target.view.len} bytes for {count} arrays")
    size = target.view.len // count
    for each in arrays:
        source = Buffer(each, PyBUF_C_CONTIGUOUS)
        if source.view.len != size:
            raise ValueError(f"an array has {source.view.len} bytes, not {size}")
        start = <size_t>source.view.buf
        if size and start < <size_t>to + target.view.len and <size_t>to < start + size:
            raise ValueError("dst overlaps an array that is copied to it")
        held.append(source)
    places = _addresses(held)
    with nogil:
        for i in range(count):
            clipx_put(writer, to + i * size, places[i], size)
        if streams:
            CLIPX_FENCE()
    free(places)


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
    offsets: where red, green and blue stand in a packed pixel. chroma_rows: whether a chroma row serves two rows.
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
        the picture and whether its left and right change places. targets: writable, of the output's items, for one
        frame each, apart from the planes: (h, w, channels) contiguous, or of an output in planes (channels, h, w) with
        each plane contiguous. footprint as in `gather`. Raises ValueError for sizes that do not fit.
        """
        cdef clipx_planes sources
        cdef clipx_view part
        cdef Py_ssize_t count = len(targets)
        cdef int needed, i
        cdef list held, sources_held = []
        cdef Buffer plane
        cdef char **places
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
        places = _addresses(held)
        with nogil:
            clipx_write_picture(rows, streams, &self.p, &sources, &part, &how, places, count)
            if streams:
                CLIPX_FENCE()
        free(places)


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
        length); places of index -1 are left alone. views: a list of one (y, x, h, w, flip) for all clips, or one for
        each, all of the same size. dst and the source must not overlap.
        """
        cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        cdef Buffer table = _table(indices)
        cdef clipx_cut cut
        cdef clipx_output how = self.output.output
        cdef int64_t lowest, highest
        cdef int fills, height = self.picture.height, width = self.picture.width
        cdef Py_ssize_t i, count = len(views), item = self.output.item(), plane
        cdef size_t frame, places
        cdef clipx_view *parts
        cdef bint streams = _streams(footprint or target.view.len)
        if table.view.ndim != 2:
            raise ValueError(f"indices have {table.view.ndim} dimensions, not 2")
        cut.clips, cut.length = table.view.shape[0], table.view.shape[1]
        cut.indices = <const int64_t *>table.view.buf
        places = cut.clips * cut.length
        if count != 1 and <size_t>count != cut.clips:
            raise ValueError(f"{count} views for {cut.clips} clips")
        if count == 0:
            return
        if not clipx_range(cut.indices, places, self.held.view.shape[0], &lowest, &highest, &fills):
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
            cut.clip_bytes = frame * cut.length
            if target.view.itemsize != item or (<size_t>target.view.len if places == 0 else
                                                <size_t>target.view.len % places or
                                                <size_t>target.view.len // places != frame):
                raise ValueError(f"dst has {target.view.len} bytes in items of {target.view.itemsize} for {cut.clips} "
                                 f"clips of {cut.length} frames of {frame} bytes")
            how.plane = plane * <Py_ssize_t>cut.length if self.output.time_inside else plane
            cut.place_bytes = plane if self.output.time_inside else frame
            cut.dst, cut.views, cut.one_view = <char *>target.view.buf, parts, count == 1
            if target.view.len:
                with nogil:
                    clipx_format(rows, streams, &self.source, &how, &cut, lowest, highest)
        finally:
            free(parts)
