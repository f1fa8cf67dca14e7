# Windows that lie within an array, without a table of their frames. Part of kernel.pyx.

from clipx._kernel.loops cimport clipx_gather_windows, clipx_windows


def gather_windows(src, dst, int64_t first, int64_t stride, Py_ssize_t count, Py_ssize_t length, int64_t dilation):
    """Write `count` windows to `dst`, one after the other: src[first + i * stride :][: length * dilation : dilation].

    src, dst: as in `gather`. count, length, stride, dilation: at least 1. Raises ValueError for sizes that do not fit
    and IndexError for windows that reach past the source. dst and src must not overlap.
    """
    cdef Frames frames = Frames(src, None)
    cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef clipx_table table = frames.table
    cdef clipx_windows windows
    cdef int64_t n = frames.source.view.shape[0]
    cdef size_t size = target.view.len, bytes = table.frame.bytes
    cdef bint streams = _streams(target.view.len)
    cdef int done = 1
    if first < 0 or stride < 1 or count < 1 or length < 1 or dilation < 1:
        raise ValueError("windows have a first frame from 0 on; their other numbers are at least 1")
    # Nothing is multiplied before it is known to stay below n.
    if first >= n or length - 1 > (n - 1 - first) // dilation or \
            count - 1 > (n - 1 - first - (length - 1) * dilation) // stride:
        raise IndexError(f"a window lies outside the source's {n} frames")
    if target.view.itemsize != frames.source.view.itemsize:
        raise ValueError(f"dst has items of {target.view.itemsize} bytes, the source of {frames.source.view.itemsize}")
    if size // length // count != bytes or size != bytes * length * count:
        raise ValueError(f"dst has {size} bytes for {count} windows of {length} frames of {bytes}")
    if size == 0:
        return
    windows.first, windows.stride, windows.count = first, stride, count
    windows.length, windows.dilation = length, dilation
    table.dst = <char *>target.view.buf
    if size < SHORT:
        done = clipx_gather_windows(rows, &table, &windows, streams, c_cache_bytes)
    else:
        with nogil:
            done = clipx_gather_windows(rows, &table, &windows, streams, c_cache_bytes)
    if not done:
        raise MemoryError
