# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=False
"""Checks, then loops without the GIL; what the functions mean is said in `_reference.py`."""

import os

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDED_RO,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

cdef extern from "_rows/gather.h" nogil:
    const int CLIPX_IMPLEMENTATIONS
    const int CLIPX_MAX_DIMENSIONS

    ctypedef struct clipx_rows:
        const char *name

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
    int clipx_runs(const clipx_rows *rows)
    size_t clipx_cache_bytes()
    void clipx_join(clipx_frame *frame, int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides, size_t itemsize)
    int clipx_range(const int64_t *indices, size_t places, int64_t frames, int64_t *lowest, int64_t *highest,
                    int *fills)
    void clipx_gather(const clipx_rows *rows, const clipx_table *t, int64_t lowest, int64_t highest, int streams,
                      size_t cache)
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
        if clipx_runs(&clipx_implementations[i]):
            name = clipx_implementations[i].name.decode()
            running.append(name)
            if rows == NULL and wanted in ("", name):
                rows = &clipx_implementations[i]
    if rows == NULL:
        raise ImportError(f"CLIPX_SIMD is {wanted!r}; this processor runs {', '.join(running)}")
    return tuple(running)


implementations = _choose(os.environ.get("CLIPX_SIMD", ""))
simd = rows.name.decode()


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


def gather(src, dst, indices, fill=None, Py_ssize_t footprint=0):
    """Write src[k] for each k of `indices` to `dst`, one after the other; `fill` where k is -1.

    src: buffer (n, ...), any strides. dst: C-contiguous writable buffer of len(indices) frames. indices: contiguous
    int64 buffer of any shape. fill: bytes of one element. footprint: bytes that writes like this one go round in
    (default: those of dst); above a third of the cache they are streaming stores.

    Raises ValueError for sizes that do not fit and IndexError for an index outside the source. dst and src must not
    overlap.
    """
    cdef Buffer source = Buffer(src, PyBUF_STRIDED_RO)
    cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef Buffer table_buffer = Buffer(indices, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    cdef Buffer element
    cdef clipx_table table
    cdef int64_t lowest, highest
    cdef int fills
    cdef int streams
    cdef Py_ssize_t frames, d

    if source.view.ndim < 1:
        raise ValueError("the source has no time axis")
    if source.view.ndim > CLIPX_MAX_DIMENSIONS:
        raise ValueError(f"the source has {source.view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
    if table_buffer.view.itemsize != 8 or table_buffer.view.format[0] not in b"lq":
        raise ValueError("indices are not of dtype int64")
    if target.view.itemsize != source.view.itemsize:
        raise ValueError(f"dst has items of {target.view.itemsize} bytes, the source of {source.view.itemsize}")
    frames = source.view.shape[0]
    table.indices = <const int64_t *>table_buffer.view.buf
    table.places = table_buffer.view.len // 8
    if not clipx_range(table.indices, table.places, frames, &lowest, &highest, &fills):
        raise IndexError(f"an index lies outside the source's {frames} frames")
    table.fill = NULL
    if fills:
        if fill is None:
            raise ValueError("indices hold -1, but there is no fill")
        element = Buffer(fill, PyBUF_C_CONTIGUOUS)
        if element.view.len != source.view.itemsize:
            raise ValueError(f"fill has {element.view.len} bytes, an element {source.view.itemsize}")
        table.fill = <const char *>element.view.buf
    if table.places == 0 or target.view.len == 0:
        _check_empty(source, target, table.places)
        return
    table.src = <const char *>source.view.buf
    table.dst = <char *>target.view.buf
    table.itemsize = source.view.itemsize
    table.frame_stride = source.view.strides[0]
    for d in range(1, source.view.ndim):
        if source.view.shape[d] == 0:
            raise ValueError("dst has bytes, frames of the source none")
    clipx_join(&table.frame, source.view.ndim - 1, source.view.shape + 1, source.view.strides + 1, table.itemsize)
    if table.frame.bytes != <size_t>target.view.len // table.places or <size_t>target.view.len % table.places:
        raise ValueError(f"dst has {target.view.len} bytes; {table.places} frames of {table.frame.bytes} are written")
    streams = _streams(footprint or target.view.len)
    with nogil:
        clipx_gather(rows, &table, lowest, highest, streams, c_cache_bytes)


cdef _check_empty(Buffer source, Buffer target, size_t places):
    cdef Py_ssize_t d
    cdef bint empty = places == 0
    for d in range(1, source.view.ndim):
        empty |= source.view.shape[d] == 0
    if not empty or target.view.len:
        raise ValueError(f"dst has {target.view.len} bytes for {places} frames")


def scatter(frame, list targets not None, Py_ssize_t footprint=0):
    """Write one frame to every target; each of its rows is read once.

    frame: buffer of any strides. targets: C-contiguous writable buffers of the frame's size. footprint as in `gather`.
    Raises ValueError for sizes that do not fit.
    """
    cdef Buffer source = Buffer(frame, PyBUF_STRIDED_RO)
    cdef Buffer target
    cdef clipx_frame layout
    cdef Py_ssize_t count = len(targets), i
    cdef char **places
    cdef clipx_writer writer
    cdef bint streams = _streams(footprint or source.view.len * count)

    held = [Buffer(each, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) for each in targets]
    for target in held:
        if target.view.itemsize != source.view.itemsize or target.view.len != source.view.len:
            raise ValueError(f"a target has {target.view.len} bytes in items of {target.view.itemsize}; "
                             f"the frame has {source.view.len} in items of {source.view.itemsize}")
    if count == 0 or source.view.len == 0:
        return
    if source.view.ndim > CLIPX_MAX_DIMENSIONS:
        raise ValueError(f"the frame has {source.view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
    places = <char **>malloc(count * sizeof(char *))
    if places == NULL:
        raise MemoryError
    i = 0
    for target in held:
        places[i] = <char *>target.view.buf
        i += 1
    clipx_join(&layout, source.view.ndim, source.view.shape, source.view.strides, source.view.itemsize)
    writer = clipx_make_writer(rows, streams)
    with nogil:
        clipx_write_frame(writer, &layout, <const char *>source.view.buf, places, count)
        if streams:
            CLIPX_FENCE()
    free(places)
