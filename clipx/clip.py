"""One clip of a source, and its facts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypedDict, cast

import numpy as np

from clipx._notebook.clips import clip_html
from clipx._views import Views
from clipx.plan import Segment

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Indices = TypeVar("Indices", default=Any)
    Times = TypeVar("Times", default=Any)
else:
    from typing import TypeVar

    Indices, Times = TypeVar("Indices"), TypeVar("Times")

__all__ = ["Clip", "ClipFacts", "SoundClip", "VideoClip"]


class _AllFacts(TypedDict):
    index: int
    start: int
    valid: int
    length: int | None


class ClipFacts(_AllFacts, total=False):
    """The facts of a clip as JSON takes them: "clip.json" of a sample, of which a batch has a list.

    >>> facts: clipx.ClipFacts = batch["clip.json"][0]

    As the attributes of `clipx.Clip`, where they are known; arrays are lists, nan is None, and a crop is a list of
    numbers, or of such lists. Beside them:

    Attributes:
        key: `__key__` of the sample that the clip is of.
        url: the file or shard of that sample.
        segment: start, end, and the segment's own facts.
        repeated: whether a Loader with `equal_batches` gives the clip once more.

    Stability: stable. Added in version 0.2.
    """

    frame_indices: list[int]
    pts_seconds: list[float | None] | float
    duration_seconds: list[float | None] | float
    fps: float
    source_fps: float
    rotation: int
    mirrored: bool
    sample_rate: int
    crop: list[int] | list[list[int]]
    flip: bool | list[bool]
    segment: dict[str, Any]
    damaged: list[Any]
    key: str
    url: str
    repeated: bool


@dataclass(eq=False, repr=False)
class Clip(Generic[Indices, Times]):
    """One clip of a source, and its facts.

    Attributes:
        data: the frames, (length, ...), or as the format says.
        index: 0 for the first clip of its source, or of its segment.
        start: first frame of the clip, counted at the rate that clips are made at, from the first of its source or
            segment on.
        valid: number of positions before the end of the source or segment; the policy fills those after it.
        frame_indices: frame of the video at each position, int64 (length,); -1 for fill_value. None for sound and
            arrays.
        pts_seconds: when each frame is shown, float64 (length,); nan for fill_value. Of sound: when the clip starts, a
            float. None for arrays.
        duration_seconds: for how long each frame is shown, float64 (length,). Of sound: from its first sample to its
            last, a float. None for arrays.
        source_fps: the stream's average frames a second. None for arrays.
        rotation: degrees by which frames were rotated counterclockwise, as the file asks. None for arrays.
        mirrored: whether they were then flipped, left and right, as the file asks. None for arrays.
        crop: (y, x, height, width) of the view in its pictures, in pixels, where the format draws that or `flip` at
            random; of several views a tuple of these, one for each. The pictures have been resized, but those of a
            RandomResizedCrop.
        flip: whether the view is flipped, likewise.
        audio: the sound of a video's clip, from its first frame on, with `audio=`; (channels, samples), or in the
            order of its format.
        sample_rate: of sound, samples a second.
        damaged: with damage="keep", the positions of frames in which damage may show, and of the frame after one that
            is lost; of sound, pairs of positions [first, end). None where there are none.
        length: number of positions.
        segment: that the clip is of; None where its source is not divided.
        fps: positions a second, from the first to the last, of specs that spread a clip over its source, such as
            UniformSpec; None elsewhere, and where the last frame does not come after the first.

    Stability: stable.
    """

    data: np.ndarray
    index: int
    start: int
    valid: int
    frame_indices: Indices = None  # type: ignore[assignment]  # as sources have them
    pts_seconds: Times = None  # type: ignore[assignment]
    duration_seconds: Times = None  # type: ignore[assignment]
    source_fps: float | None = None
    rotation: int | None = None
    mirrored: bool | None = None
    crop: tuple[int, int, int, int] | tuple[tuple[int, int, int, int], ...] | None = None
    flip: bool | tuple[bool, ...] | None = None
    audio: np.ndarray | None = None
    sample_rate: int | None = None
    damaged: list[Any] | None = None
    length: int | None = None
    segment: Segment | None = field(default=None, init=False)
    fps: float | None = field(default=None, init=False)
    _number: int | None = field(default=None, init=False)

    def __repr__(self) -> str:
        said = [f"{self.data.dtype} {self.data.shape}", f"start {self.start}"]
        pts: Any = self.pts_seconds
        lasts: Any = self.duration_seconds
        if pts is not None and lasts is not None:
            # Of positions without a frame both are nan, which fmin and fmax leave out.
            begin = np.fmin.reduce(np.atleast_1d(pts), initial=math.inf, dtype=np.float64)
            end = np.fmax.reduce(np.atleast_1d(np.add(pts, lasts)), initial=-math.inf, dtype=np.float64)
            said += [f"{begin:.3f} to {end:.3f} s"] if begin <= end else []
        if self.audio is not None:
            said.append(f"sound {self.audio.dtype} {self.audio.shape}")
        of = "" if self.segment is None else f" of {self.segment}"
        return f"<Clip {self.index}{of}: {', '.join(said)}>"

    _repr_html_ = clip_html

    @property
    def number(self) -> int:
        """Position among all clips of its source: `index`, but where the source is divided into segments."""
        return self.index if self._number is None else self._number

    def of_segment(self, number: int, index: int, start: int, valid: int, length: int, segment: Segment) -> None:
        """Note of which segment this clip is, and where it lies there."""
        self._number, self.index, self.segment = number, index, segment
        self.start, self.valid, self.length = start, valid, length

    def measure_rate(self) -> None:
        """Note the rate of the clip's positions, from the times of its frames."""
        pts = self.pts_seconds
        assert isinstance(pts, np.ndarray)
        duration = float(pts[-1] - pts[0])
        if duration > 0:
            self.fps = (len(pts) - 1) / duration

    def record(self, views: Views) -> Clip:
        """Note the crop and flip that were drawn for this clip, or those of its several views, and return it."""
        if views.plain:
            return self
        own = views[self.number]
        crops = tuple(view[:4] for view in own)
        flips = tuple(view.flip for view in own)
        self.crop, self.flip = (crops, flips) if len(own) > 1 else (crops[0], flips[0])
        return self

    def facts(self) -> ClipFacts:
        """The clip's facts as JSON takes them, for "clip.json"; nan becomes None."""
        facts: dict[str, Any] = {"index": self.index, "start": self.start, "valid": self.valid, "length": self.length}
        indices: Any = self.frame_indices
        if indices is not None:
            facts["frame_indices"] = indices.tolist()
        for name in ("pts_seconds", "duration_seconds"):
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                facts[name] = [None if math.isnan(value) else value for value in values.tolist()]
            elif values is not None:
                facts[name] = values
        # One by one, which takes half as long as by their names.
        if self.fps is not None:
            facts["fps"] = self.fps
        if self.source_fps is not None:
            facts["source_fps"] = self.source_fps
        if self.rotation is not None:
            facts["rotation"] = self.rotation
        if self.sample_rate is not None:
            facts["sample_rate"] = self.sample_rate
        if self.flip is not None:
            facts["flip"] = list(self.flip) if isinstance(self.flip, tuple) else self.flip
        if self.segment is not None:
            facts["segment"] = self.segment.record()
        if self.mirrored:
            facts["mirrored"] = True
        if self.crop is not None:
            facts["crop"] = [list(each) if isinstance(each, tuple) else each for each in self.crop]
        if self.damaged:
            facts["damaged"] = self.damaged
        return cast("ClipFacts", facts)


VideoClip = Clip[np.ndarray, np.ndarray]
"""A clip of a video, as type checkers see it."""

SoundClip = Clip[None, float]
"""A clip of sound, likewise."""
