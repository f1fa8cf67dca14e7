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
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc

from clipx._slots cimport Lease, Slots

cdef extern from "_rows/picture.h" nogil:
    pass

cdef extern from "_rows/gather.h" nogil:
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
        int layout, bytes, red, green, blue, chroma_rows, width, height, x, y, w, h, flip, channels
        clipx_color color

    ctypedef struct clipx_planes:
        const uint8_t *data[3]
        Py_ssize_t stride[3]

    const int CLIPX_GRAY, CLIPX_FULL, CLIPX_PAIRED, CLIPX_INTERLEAVED, CLIPX_PACKED
    void clipx_write_picture(const clipx_rows *rows, int streams, const clipx_picture *p, const clipx_planes *planes,
                             char **places, size_t count)
    clipx_writer clipx_make_writer(const clipx_rows *rows, int streams)
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


cdef char **_places(list targets, Py_ssize_t size, Py_ssize_t itemsize, list held) except NULL:
    """The addresses of C-contiguous writable targets of `size` bytes each, kept open in `held`; to be freed."""
    cdef Py_ssize_t i = 0
    cdef Buffer target
    cdef char **places
    for each in targets:
        target = Buffer(each, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        if target.view.itemsize != itemsize or target.view.len != size:
            raise ValueError(f"a target has {target.view.len} bytes in items of {target.view.itemsize}; "
                             f"the frame has {size} in items of {itemsize}")
        held.append(target)
    places = <char **>malloc((len(held) or 1) * sizeof(char *))
    if places == NULL:
        raise MemoryError
    for target in held:
        places[i] = <char *>target.view.buf
        i += 1
    return places


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
    cdef list held = []
    cdef char **places

    if source.view.ndim > CLIPX_MAX_DIMENSIONS:
        raise ValueError(f"the frame has {source.view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
    places = _places(targets, source.view.len, source.view.itemsize, held)
    if count and source.view.len:
        clipx_join(&layout, source.view.ndim, source.view.shape, source.view.strides, source.view.itemsize)
        writer = clipx_make_writer(rows, streams)
        with nogil:
            clipx_write_frame(writer, &layout, <const char *>source.view.buf, places, count)
            if streams:
                CLIPX_FENCE()
    free(places)


LAYOUTS = {
    "gray": CLIPX_GRAY,
    "full": CLIPX_FULL,
    "paired": CLIPX_PAIRED,
    "interleaved": CLIPX_INTERLEAVED,
    "packed": CLIPX_PACKED,
}


cdef class Picture:
    """Writes the decoded pictures of a stream as RGB (h, w, 3) or luma (h, w, 1), uint8, cropped and turned.

    layout: "gray"; "full", "paired" or "interleaved": a plane of luma and one chroma sample a pixel, one for two
    pixels, or one for two as U V U V; "packed": one plane of pixels. sample_bytes: 1 or 2, packed: of a pixel.
    offsets: where red, green and blue stand in a packed pixel. chroma_rows: whether a chroma row serves two rows.
    size: (height, width). crop: (y, x, h, w) inside it. flip: left and right change places. channels: 3 or 1. color:
    the nine numbers of color.h's clipx_color in its order.
    """
    cdef clipx_picture p

    def __cinit__(self, str layout, int sample_bytes, offsets, bint chroma_rows, size, crop, bint flip, int channels,
                  color):
        self.p.layout, self.p.bytes, self.p.chroma_rows = LAYOUTS[layout], sample_bytes, chroma_rows
        self.p.red, self.p.green, self.p.blue = offsets
        self.p.height, self.p.width = size
        self.p.y, self.p.x, self.p.h, self.p.w = crop
        self.p.flip, self.p.channels = flip, channels
        (self.p.color.y_left, self.p.color.y_right, self.p.color.c_left, self.p.color.ky, self.p.color.bias,
         self.p.color.rv, self.p.color.gu, self.p.color.gv, self.p.color.bu) = color
        packed = layout == "packed"
        if not (3 <= sample_bytes <= 8 if packed else 1 <= sample_bytes <= 2):
            raise ValueError(f"{layout} samples of {sample_bytes} bytes are not read")
        offsets = self.p.red, self.p.green, self.p.blue
        if packed and not all(0 <= each < sample_bytes for each in offsets):
            raise ValueError(f"red, green and blue at {offsets} lie outside a pixel of {sample_bytes} bytes")
        if channels != 3 and (channels != 1 or packed):
            raise ValueError(f"{channels} channels are not written from a {layout} picture")
        if not all(0 <= each <= 15 for each in (self.p.color.y_left, self.p.color.y_right, self.p.color.c_left)):
            raise ValueError("samples are shifted by 0 to 15 bits")
        if not (0 < self.p.width < 1 << 24 and 0 < self.p.height < 1 << 24):
            raise ValueError(f"a picture of {size} is not read")
        if not (0 <= self.p.y and 0 < self.p.h <= self.p.height - self.p.y and
                0 <= self.p.x and 0 < self.p.w <= self.p.width - self.p.x):
            raise ValueError(f"the crop {crop} lies outside the picture of {size}")

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

    def write(self, planes, line_sizes, list targets not None, Py_ssize_t footprint=0):
        """Convert one picture, each row once, into every target.

        planes, line_sizes: a buffer and the bytes of a line for each plane. targets: C-contiguous writable uint8
        buffers of h * w * channels bytes, apart from the planes. footprint as in `gather`. Raises ValueError for sizes
        that do not fit.
        """
        cdef clipx_planes sources
        cdef Py_ssize_t size = <Py_ssize_t>self.p.h * self.p.w * self.p.channels, count = len(targets)
        cdef int needed, i
        cdef list held = [], sources_held = []
        cdef Buffer plane
        cdef char **places
        cdef bint streams = _streams(footprint or size * count)

        needed = 1 if self.p.layout in (CLIPX_GRAY, CLIPX_PACKED) else 2 if self.p.layout == CLIPX_INTERLEAVED else 3
        if len(planes) < needed or len(line_sizes) < needed:
            raise ValueError(f"{len(planes)} planes and {len(line_sizes)} line sizes; {needed} are read")
        for i in range(needed):
            plane = Buffer(planes[i], PyBUF_C_CONTIGUOUS)
            sources_held.append(plane)
            self._check_plane(i, &plane.view, line_sizes[i])
            sources.data[i] = <const uint8_t *>plane.view.buf
            sources.stride[i] = line_sizes[i]
        places = _places(targets, size, 1, held)
        if count:
            with nogil:
                clipx_write_picture(rows, streams, &self.p, &sources, places, count)
                if streams:
                    CLIPX_FENCE()
        free(places)
