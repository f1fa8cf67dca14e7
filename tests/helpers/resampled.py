"""Rectangles that are resampled: as the kernel takes them, and what the reference makes of them."""

import functools
from typing import NamedTuple

import numpy as np
import reference
import reference_resampling
from hypothesis import strategies as st
from reference_resampling import Bars

from clipx import _kernel
from helpers.formatted import BFLOAT16, FLOATS, MEAN, SCALE, STD, output, output_dtype, rounded
from helpers.guards import guarded

FILTERS = ("bilinear", "bicubic", "area", "nearest")
WAYS = [(each, antialias) for each in FILTERS for antialias in (True, False) if antialias is False or each != "nearest"]


class Rectangle(NamedTuple):
    """A rectangle (y, x, h, w) of a picture that becomes (height, width)."""

    box: tuple
    size: tuple
    interpolation: str = "bilinear"
    antialias: bool = True
    bars: Bars | None = None

    def of(self, picture_size):
        return _kernel.Resampling(picture_size, *self)

    @property
    def whole(self):
        """Size of what comes out."""
        return self.size if self.bars is None else (self.bars.height, self.bars.width)

    def with_bars(self, value, room=(3, 5), at=(1, 2)):
        sizes = [side + more for side, more in zip(self.size, room)]
        return self._replace(bars=Bars(*at, *sizes, value))

    def pixels(self, picture):
        """Bytes of bytes, float64 of other numbers."""
        made = reference_resampling.resampled(picture, *self[:4])
        return made if self.bars is None else reference_resampling.barred(made, self.bars)


def rectangles(count, seed, fractions=(1, 4, 256), largest=(3, 12, 50)):
    """(height, width), box (y, x, h, w), (height, width) of what comes out: small ones too, and whole sides."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        sides, wanted = rng.integers(1, rng.choice(largest), (2, 2), endpoint=True)
        starts, extents = [], []
        for side in sides:
            parts = rng.choice(fractions)
            start, end = np.sort(rng.choice(side * parts + 1, 2, replace=False)) / parts
            start, end = (0, side) if rng.random() < 0.2 else (start, end)
            starts.append(float(start)), extents.append(float(end - start))
        yield tuple(sides.tolist()), (*starts, *extents), tuple(wanted.tolist())


@st.composite
def drawn_rectangles(draw, height, width, size=None, most=40, value=0):
    """Any rectangle of a picture and any size up to `most`, or whole sides, or a size of bars around it."""
    starts, extents, sides = [], [], []
    for side in (height, width):
        parts = draw(st.sampled_from([1, 1, 64]))
        start = draw(st.integers(0, side * parts - 1))
        extent = draw(st.integers(1, side * parts - start))
        start, extent = draw(st.sampled_from([(0, side), (start / parts, extent / parts)]))
        starts.append(start), extents.append(extent)
        sides.append(draw(st.integers(1, most) | st.just(min(side, most))))
    made = Rectangle((*starts, *extents), tuple(size or sides), *draw(st.sampled_from(WAYS)))
    if size is None and draw(st.integers(0, 3)) == 0:
        room = st.integers(0, 6)
        top, left = draw(room), draw(room)
        made = made.with_bars(value, (top + draw(room), left + draw(room)), (top, left))
    return made


@st.composite
def drawn_views(draw, size, count):
    """So many views of one size inside a picture."""
    h, w = draw(st.integers(1, size[0])), draw(st.integers(1, size[1]))
    h, w = draw(st.sampled_from([(h, w), size]))
    corner = st.tuples(st.integers(0, size[0] - h), st.integers(0, size[1] - w), st.booleans())
    return [(y, x, h, w, flip) for y, x, flip in (draw(corner) for _ in range(count))]


def finished(pixels, kind):
    """Pixels as an output of a kind writes them."""
    if kind in FLOATS:
        channels = pixels.shape[-1]
        return rounded(reference.floats(pixels.astype(np.float64), SCALE, MEAN[:channels], STD[:channels]), kind)
    return reference_resampling.of_dtype(pixels, kind)


def view_of(pixels, view):
    y, x, h, w, flip = view
    part = pixels[y : y + h, x : x + w]
    return part[:, ::-1] if flip else part


def expected(frames, table, ways, views, kind, order, per_clip=1):
    """Clips (clips, views, ...) of resampled frames, 0 where the table is -1. ways, views: of each clip, or of all."""

    @functools.cache
    def made(k, way):
        return finished(way.pixels(frames[k]), kind)

    h, w = views[0][2:4]
    dtype = BFLOAT16 if kind == "bfloat16" else kind
    clips = np.zeros((len(table), per_clip, len(table[0]), h, w, frames.shape[3]), dtype)
    for i, p in np.ndindex(*table.shape):
        seen = views if len(views) == per_clip else views[i * per_clip : (i + 1) * per_clip]
        if table[i, p] >= 0:
            for v, view in enumerate(seen):
                clips[i, v, p] = view_of(made(int(table[i, p]), ways[i % len(ways)]), view)
    return np.ascontiguousarray(clips.transpose(0, 1, *(2 + "THWC".index(each) for each in order)))


def written(frames, table, ways, views, kind, order, per_clip=1, footprint=0, offset=0, resampling=None):
    """The same by the kernel, with nothing written beside them."""
    h, w = views[0][2:4]
    dtype = output_dtype(kind)
    shape = [{"T": table.shape[1], "H": h, "W": w, "C": frames.shape[3]}[each] for each in order]
    shape = (len(table), per_clip, *shape)
    target, check = guarded(int(np.prod(shape)) * dtype.itemsize, offset)
    target[:] = 0
    target = target.view(dtype) if offset % dtype.itemsize == 0 else target.view(f"V{dtype.itemsize}")
    if resampling is None:
        resampling = [way.of(frames.shape[1:3]) for way in ways]
        resampling = resampling[0] if len(resampling) == 1 else resampling
    formatted = _kernel.Formatted(frames, output(kind, order, frames.shape[3]))
    formatted.write(target, table, views, footprint, per_clip, resampling)
    check()
    return target.view(dtype).reshape(shape)
