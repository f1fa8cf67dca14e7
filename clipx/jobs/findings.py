"""Findings of a check: one per file, field or shard, and their sum."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from clipx.datasets.origins import shorten
from clipx.errors import Damage

__all__ = ["Finding", "Summary"]

MOST_TEXT = 1000
"""Characters of an error that are kept."""


@dataclass
class Finding:
    """Facts of a file, a shard, or a field of a sample, and what is wrong with it.

    Attributes:
        source: the path or address.
        sample, field: the sample's key and the field, in a shard.
        kind: "video", "sound", "array", "picture group" (in an index), "shard", "field" (of another kind) or "file".
        status: "ok"; "broken": it gives nothing; "damaged": it plays, but parts of it are wrong; "truncated": its end
            is missing.
        error: a message, where it is not ok.
        damage: the damaged parts, with their times in seconds where these are known.
        codec, frames, width, height, fps, seconds: of a video; of a sound, whose frames are audio samples, all but
            width, height and fps.
        sample_rate, channels: of the sound, alone or beside a video; None where there is none.
        sound_frames: number of audio samples beside a video.
        shape, dtype: of an array; of an npz, a dict of [shape, dtype] by member.
        samples: number of samples in a shard.
    """

    source: str
    sample: str | None = None
    field: str | None = None
    kind: str = ""
    status: str = "ok"
    error: str | None = None
    damage: list[Damage] = dataclasses.field(default_factory=list)
    codec: str | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    sound_frames: int | None = None
    shape: Any = None
    dtype: str | None = None
    samples: int | None = None

    @property
    def name(self) -> str:
        """The source, the sample and the field, in words."""
        inside = " ".join(shorten(each) for each in (self.sample, self.field) if each is not None)
        return f"{self.source} {inside}".strip()

    def fail(self, status: str, error: str) -> None:
        """Set the status and the error, unless they have been set before."""
        if self.status == "ok":
            self.status, self.error = status, shorten(" ".join(error.split()), MOST_TEXT)

    def as_json(self) -> dict[str, Any]:
        """The attributes that are known, as JSON takes them."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["damage"] = [each._asdict() for each in self.damage]
        needed = ("source", "kind", "status", *(("sample_rate",) if self.kind == "video" else ()))
        return {name: value for name, value in values.items() if name in needed or value not in (None, [])}


class Summary:
    """Counts over findings.

    Attributes:
        kinds: number of findings of each kind.
        statuses: number of findings of each status.
        sizes, rates: number of videos of each (height, width) and of each frame rate.
        sample_rates: number of sounds, also beside videos, of each sample rate.
        silent: number of videos without sound.
        frames: number of frames of all videos.
        seconds: duration of all findings of a kind, by kind.
    """

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.rates: Counter[float] = Counter()
        self.sample_rates: Counter[int] = Counter()
        self.silent = self.frames = 0
        self.seconds: Counter[str] = Counter()

    def add(self, found: Finding) -> None:
        """Count one finding."""
        self.kinds[found.kind] += 1
        self.statuses[found.status] += 1
        self.seconds[found.kind] += found.seconds or 0  # type: ignore[assignment]
        if found.sample_rate is not None:
            self.sample_rates[found.sample_rate] += 1
        if found.kind != "video" or found.status == "broken":
            return
        self.frames += found.frames or 0
        self.silent += found.sample_rate is None
        if found.height is not None and found.width is not None:
            self.sizes[found.height, found.width] += 1
        if found.fps is not None:
            self.rates[found.fps] += 1

    @property
    def failed(self) -> int:
        """Number of findings that are not ok."""
        return sum(count for status, count in self.statuses.items() if status != "ok")
