# A rectangle of a picture as a picture of another size. Part of kernel.pyx.

from libc.math cimport isfinite

from clipx._kernel.loops cimport (
    CLIPX_AREA,
    CLIPX_BICUBIC,
    CLIPX_BILINEAR,
    CLIPX_NEAREST,
    clipx_axis,
    clipx_fold_axis,
    clipx_free_axis,
    clipx_make_axis,
    clipx_make_exact,
    clipx_make_fine,
    clipx_resampling,
)
from clipx._kernel.slots cimport clipx_acquire, clipx_lock, clipx_release

FILTERS = {"nearest": CLIPX_NEAREST, "area": CLIPX_AREA, "bilinear": CLIPX_BILINEAR, "bicubic": CLIPX_BICUBIC}

# Above it sides are not read, and room for the rows of one picture is not asked for.
cdef Py_ssize_t MOST_SIDE = (1 << 24) - 1
cdef double MOST_ROOM = 2.0 ** 46


cdef int _side(str name, Py_ssize_t number) except -1:
    if not 0 < number <= MOST_SIDE:
        raise ValueError(f"{name} is {number}, but a side has 1 to {MOST_SIDE} pixels")
    return <int>number


cdef tuple _sides(str name, size):
    height, width = size
    return _side(name, height), _side(name, width)


cdef class Resampling:
    """The rectangle `box` of pictures of one size as pictures of another.

    picture: (height, width) of the pictures. box: (y, x, height, width) in pixels, which may have fractions; taps reach
    beyond it into the picture. size: (height, width) of what it becomes. interpolation: "nearest", "area",
    "bilinear" or "bicubic". antialias: the filter is as wide as the scale asks; not with "nearest". bars: (top, left,
    height, width, value) where what the box becomes lies at (top, left) of a picture of (height, width), whose other
    numbers are `value`.

    Threads may share it. Raises ValueError that names what is not resampled, and MemoryError.
    """
    cdef clipx_resampling r
    cdef clipx_lock lock
    cdef int height, width
    cdef readonly tuple size

    def __cinit__(self, picture, box, size, str interpolation="bilinear", bint antialias=True, bars=None):
        cdef double y, x, h, w
        cdef int across, down, top, left
        self.height, self.width = _sides("picture", picture)
        down, across = _sides("size", size)
        y, x, h, w = box
        if not (isfinite(y) and isfinite(x) and isfinite(h) and isfinite(w) and y >= 0 and x >= 0 and
                h > 0 and w > 0 and y + h <= self.height and x + w <= self.width):
            raise ValueError(f"the box {tuple(box)} lies outside the picture of {self.height} by {self.width}")
        if interpolation not in FILTERS:
            raise ValueError(f"interpolation is {interpolation!r}, but must be one of {', '.join(FILTERS)}")
        if interpolation == "nearest" and antialias:
            raise ValueError("antialias is True, but 'nearest' takes one pixel alone")
        self.r.height, self.r.width = down, across
        if bars is not None:
            top, left, height, width, self.r.value = bars
            self.r.top, self.r.left = top, left
            self.r.height, self.r.width = _sides("bars", (height, width))
            if not (0 <= top <= self.r.height - down and 0 <= left <= self.r.width - across):
                raise ValueError(f"{down} by {across} pixels do not fit into bars of {tuple(bars)}")
        self.size = self.r.height, self.r.width
        if not (clipx_make_axis(&self.r.x, self.width, x, w, across, FILTERS[interpolation], antialias) and
                clipx_make_axis(&self.r.y, self.height, y, h, down, FILTERS[interpolation], antialias)):
            raise MemoryError

    def __dealloc__(self):
        clipx_free_axis(&self.r.x)
        clipx_free_axis(&self.r.y)
        clipx_free_axis(&self.r.half_x)
        clipx_free_axis(&self.r.half_y)

    cdef int check(self, int height, int width, int channels) except -1:
        """Raise ValueError for pictures of another size, and MemoryError where rows of them take too much."""
        if height != self.height or width != self.width:
            raise ValueError(
                f"pictures are {height} by {width}, but are resampled from {self.height} by {self.width}")
        if 16.0 * (self.r.y.most + 4.0) * channels * self.r.x.n + 64.0 * self.r.width + 64.0 * width > MOST_ROOM:
            raise MemoryError
        return 0

    cdef int require_bytes(self) except -1:
        """Have what bytes are resampled with."""
        cdef bint made
        if not 0 <= self.r.value <= 255 or self.r.value != <int>self.r.value:
            raise ValueError(f"bars of {self.r.value}, but bytes are whole numbers from 0 to 255")
        clipx_acquire(&self.lock)
        made = clipx_make_exact(&self.r.x) and clipx_make_exact(&self.r.y)
        clipx_release(&self.lock)
        if not made:
            raise MemoryError
        return 0

    cdef int require_planes(self, bint half_columns, bint half_rows) except -1:
        """Have what the planes of a decoded picture are resampled with."""
        cdef bint made
        self.require_bytes()
        clipx_acquire(&self.lock)
        made = (clipx_make_fine(&self.r.x) and clipx_make_fine(&self.r.y) and
                (not half_columns or _make_half(&self.r.x, &self.r.half_x)) and
                (not half_rows or _make_half(&self.r.y, &self.r.half_y)))
        clipx_release(&self.lock)
        if not made:
            raise MemoryError
        return 0


cdef bint _make_half(const clipx_axis *axis, clipx_axis *half) noexcept:
    if half.fine != NULL:
        return True
    clipx_free_axis(half)
    return clipx_fold_axis(axis, half) and clipx_make_fine(half)
