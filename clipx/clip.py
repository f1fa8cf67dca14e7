"""One clip of a source, and where it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from clipx.views import Views

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Indices = TypeVar("Indices", default=Any)
    Times = TypeVar("Times", default=Any)
else:
    from typing import TypeVar

    Indices, Times = TypeVar("Indices"), TypeVar("Times")

__all__ = ["Clip", "SoundClip", "VideoClip"]


@dataclass(eq=False, repr=False)
class Clip(Generic[Indices, Times]):
    """One clip of a stream, and where it came from.

    Attributes:
        data: the frames, (length, ...).
        index: 0 for the first clip of its source.
        start: frame of the plan that the clip starts at.
        valid: places before the end of the source; those after it are the policy's.
        frame_indices: frame of the video at each place, int64 (length,); -1 where fill_value stands. None for arrays.
        pts_seconds: when each frame is shown, float64 (length,); nan where fill_value stands. Of sound: when it starts.
            None for arrays.
        duration_seconds: for how long, float64 (length,). Of sound: from its first sample to its last. None for arrays.
        source_fps: the stream's average frames a second. None for arrays.
        rotation: degrees by which frames were turned counterclockwise, as the file asks. None for arrays.
        mirrored: whether left and right changed places then, as the file asks. None for arrays.
        crop: (y, x, height, width) of the clip in its pictures, where the format draws it or `flip` at random.
        flip: whether left and right changed places, likewise.
        audio: the sound of a video's clip, from its first frame on, where it was asked for.
        sample_rate: of sound, samples a second.
        damaged: with damage="keep", the places of frames that damage of the file may show in, and of those right behind
            frames that are lost; of sound, pairs of places [first, end). None where there are none.
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
    crop: tuple[int, int, int, int] | None = None
    flip: bool | None = None
    audio: np.ndarray | None = None
    sample_rate: int | None = None
    damaged: list[Any] | None = None

    def __repr__(self) -> str:
        said = [f"{self.data.dtype} {self.data.shape}", f"start {self.start}"]
        pts: Any = self.pts_seconds
        lasts: Any = self.duration_seconds
        if pts is not None and lasts is not None:
            # Of positions without a frame both are nan, which fmin and fmax leave out.
            begin = np.fmin.reduce(np.atleast_1d(pts), initial=math.inf)
            end = np.fmax.reduce(np.atleast_1d(np.add(pts, lasts)), initial=-math.inf)
            said += [f"{begin:.3f} to {end:.3f} s"] if begin <= end else []
        if self.audio is not None:
            said.append(f"sound {self.audio.dtype} {self.audio.shape}")
        return f"<Clip {self.index}: {', '.join(said)}>"

    def record(self, views: Views) -> Clip:
        """The same clip, with the crop and flip that were drawn for it."""
        if views.one is None:
            *crop, self.flip = views[self.index]
            self.crop = tuple(crop)  # type: ignore[assignment]
        return self

    def facts(self) -> dict[str, Any]:
        """Where the clip came from, as JSON takes it: what is nan here is None there."""
        facts: dict[str, Any] = {"index": self.index, "start": self.start, "valid": self.valid}
        indices: Any = self.frame_indices
        if indices is not None:
            facts["frame_indices"] = indices.tolist()
        for name in ("pts_seconds", "duration_seconds"):
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                facts[name] = [None if math.isnan(value) else value for value in values.tolist()]
            elif values is not None:
                facts[name] = values
        for name in ("source_fps", "rotation", "flip", "sample_rate"):
            if getattr(self, name) is not None:
                facts[name] = getattr(self, name)
        if self.mirrored:
            facts["mirrored"] = True
        if self.crop is not None:
            facts["crop"] = list(self.crop)
        if self.damaged:
            facts["damaged"] = self.damaged
        return facts


VideoClip = Clip[np.ndarray, np.ndarray]
"""A clip of a video, as type checkers see it."""

SoundClip = Clip[None, float]
"""A clip of sound, likewise."""
