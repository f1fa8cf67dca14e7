# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Checks, then loops without the GIL; tests/reference.py says in NumPy what each function does."""

import os

import numpy as np

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDED_RO,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from clipx._kernel.loops cimport (
    CLIPX_FENCE,
    CLIPX_IMPLEMENTATIONS,
    CLIPX_MAX_DIMENSIONS,
    clipx_cache_bytes,
    clipx_frame,
    clipx_gather,
    clipx_implementations,
    clipx_join,
    clipx_make_writer,
    clipx_put,
    clipx_range,
    clipx_rows,
    clipx_table,
    clipx_write_frame,
    clipx_writer,
)
from clipx._kernel.slots cimport Lease, Slots

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
    """The frames of an array, checked once, and the element that is written where a table has -1."""
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

    cdef int write(self, char *dst, Py_ssize_t size, const int64_t *indices, size_t positions, int streams) except -1:
        cdef int64_t lowest, highest
        cdef int fills
        cdef clipx_table table
        cdef Py_ssize_t frames = self.source.view.shape[0]
        if not clipx_range(indices, positions, frames, &lowest, &highest, &fills):
            raise IndexError(f"an index lies outside the source's {frames} frames")
        if fills and self.table.fill == NULL:
            raise ValueError("indices hold -1, but there is no fill")
        if positions * self.table.frame.bytes != <size_t>size or (
            positions and <size_t>size // positions != self.table.frame.bytes
        ):
            raise ValueError(f"dst has {size} bytes for {positions} frames of {self.table.frame.bytes}")
        if size == 0:
            return 0
        # Of a copy: other threads may write from these frames, too.
        table = self.table
        table.indices, table.positions, table.dst = indices, positions, dst
        self._run(table, lowest, highest, streams)
        return 0

    cdef void _run(self, clipx_table table, int64_t lowest, int64_t highest, int streams) noexcept:
        if table.positions * table.frame.bytes < SHORT:
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
    cdef Py_ssize_t row, rows, positions, size
    cdef int streams

    def __cinit__(self, src, indices, fill, tuple shape not None, dtype, Slots slots=None, exhausted=None):
        self.frames, self.table = Frames(src, fill), _table(indices)
        if self.table.view.ndim != 2:
            raise ValueError(f"indices have {self.table.view.ndim} dimensions, not 2")
        self.slots, self.shape, self.dtype, self.exhausted = slots, shape, dtype, exhausted
        self.rows, self.positions = self.table.view.shape[0], self.table.view.shape[1]
        self.size = self.positions * self.frames.table.frame.bytes
        self.streams = _streams(self.size if slots is None else slots.slots * slots.slot_bytes)

    def __iter__(self):
        return self

    def close(self):
        """Let go of the source; there are no clips any more."""
        with cython.critical_section(self):
            self.frames = None

    cdef Frames kept(self):
        """The frames, None once all their clips have been given."""
        with cython.critical_section(self):
            if self.row == self.rows:
                self.frames = None
            return self.frames

    cdef Py_ssize_t take(self) noexcept:
        """The row of the next clip, which no other thread gets; -1 where there is none."""
        cdef Py_ssize_t row = -1
        with cython.critical_section(self):
            if self.row < self.rows:
                row = self.row
                self.row += 1
        return row

    def __next__(self):
        cdef Lease lease
        cdef Buffer target
        cdef char *dst
        cdef Py_ssize_t row
        # Threads may share this: each keeps the frames while it writes, and takes a row once it has memory.
        cdef Frames frames = self.kept()
        if frames is None:
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
        row = self.take()
        if row < 0:
            raise StopIteration
        frames.write(dst, self.size, <const int64_t *>self.table.view.buf + row * self.positions, self.positions,
                     self.streams)
        return clip


cdef char **_addresses(list held) except NULL:
    """The addresses of buffers, to be freed."""
    cdef Py_ssize_t i = 0
    cdef Buffer target
    cdef char **addresses = <char **>malloc((len(held) or 1) * sizeof(char *))
    if addresses == NULL:
        raise MemoryError
    for target in held:
        addresses[i] = <char *>target.view.buf
        i += 1
    return addresses


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
    cdef Py_ssize_t count
    cdef clipx_writer writer
    cdef bint streams
    cdef list held
    cdef char **addresses

    if source.view.ndim > CLIPX_MAX_DIMENSIONS:
        raise ValueError(f"the frame has {source.view.ndim} dimensions; at most {CLIPX_MAX_DIMENSIONS} are read")
    held = _contiguous(targets, source.view.len, source.view.itemsize)
    count = len(held)  # the caller's list may have changed
    streams = _streams(footprint or source.view.len * count)
    addresses = _addresses(held)
    if count and source.view.len:
        clipx_join(&layout, source.view.ndim, source.view.shape, source.view.strides, source.view.itemsize)
        writer = clipx_make_writer(rows, streams)
        with nogil:
            clipx_write_frame(writer, &layout, <const char *>source.view.buf, addresses, count)
            if streams:
                CLIPX_FENCE()
    free(addresses)


def collect(list arrays not None, dst, Py_ssize_t footprint=0):
    """Copy arrays one after the other into dst, without the GIL.

    arrays: C-contiguous buffers, all of the same bytes. dst: C-contiguous writable buffer of all their bytes, apart
    from them. footprint as in `gather`. Raises ValueError for sizes that do not fit, and for overlap.
    """
    cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE), source
    cdef list held = [], given = list(arrays)  # the caller's list may change meanwhile
    cdef Py_ssize_t count = len(given), size, i
    cdef char **addresses
    cdef char *to = <char *>target.view.buf
    cdef size_t start
    cdef bint streams = _streams(footprint or target.view.len)
    cdef clipx_writer writer = clipx_make_writer(rows, streams)
    if count == 0 or target.view.len % count:
        raise ValueError(f"dst has {target.view.len} bytes for {count} arrays")
    size = target.view.len // count
    for each in given:
        source = Buffer(each, PyBUF_C_CONTIGUOUS)
        if source.view.len != size:
            raise ValueError(f"an array has {source.view.len} bytes, not {size}")
        start = <size_t>source.view.buf
        if size and start < <size_t>to + target.view.len and <size_t>to < start + size:
            raise ValueError("dst overlaps an array that is copied to it")
        held.append(source)
    addresses = _addresses(held)
    with nogil:
        for i in range(count):
            clipx_put(writer, to + i * size, addresses[i], size)
        if streams:
            CLIPX_FENCE()
    free(addresses)


include "windows.pxi"
include "output.pxi"
include "resampling.pxi"
include "picture.pxi"
include "formatted.pxi"
include "sound.pxi"
