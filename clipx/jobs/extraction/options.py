"""`ExtractOptions`: everything but the inputs that the bytes of a job depend on, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import clipx
from clipx._checks import byte_count, check_kind, integer, number, one_of
from clipx._reprs import json_value
from clipx.audio.format import AudioFormat
from clipx.datasets.keys import Keys, parse_keys
from clipx.datasets.segments import Seconds, Segments, SegmentSource, parse_segments
from clipx.format import ClipFormat
from clipx.jobs.extraction.encoding import ENCODINGS, ClipSource, Encoder, Encoding
from clipx.plan import FrameSpec
from clipx.video.options import VideoOptions
from clipx.wds.sample_clips import SampleClips

__all__ = ["ExtractOptions"]

MOST_GOP = 2**31 - 1
"""Frames between key frames that FFmpeg can count."""

CHOICES = ("quality", "codec", "crf", "preset", "gop")
"""Options of encoding that only some encodings have."""

LEAST_SHARD = 1_000_000


@dataclass(frozen=True)
class ExtractOptions:
    """Everything but the inputs that the bytes of a job depend on; see `clipx.jobs.extract`.

    Attributes:
        video: how videos are read, `options=` of `clipx.jobs.extract`.
        shard_bytes: of a shard, about which it is full.
        limit: number of samples of the input that are taken, from the first on; None for all.

    Raises TypeError and ValueError that name the argument.
    """

    spec: FrameSpec
    format: ClipFormat | None = None
    video: VideoOptions | None = None
    audio: AudioFormat | None = None
    segments: Segments = None
    min_seconds: Seconds = None
    max_seconds: Seconds = None
    trim_seconds: Seconds = None
    keys: Keys = None
    seed: int = 0
    encoding: str = "npy"
    quality: int | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | int | None = None
    gop: int | None = None
    shard_bytes: int | str = "1GB"
    files_per_part: int = 64
    limit: int | None = None

    def __post_init__(self) -> None:
        check_kind("spec", self.spec, FrameSpec)
        check_kind("format", self.format, ClipFormat, None)
        check_kind("options", self.video, VideoOptions, None)
        check_kind("audio", self.audio, AudioFormat, None)
        self._set("seed", integer("seed", self.seed, 0))
        self._set("shard_bytes", byte_count("shard_size", self.shard_bytes))
        integer("shard_size", int(self.shard_bytes), LEAST_SHARD)
        self._set("files_per_part", integer("files_per_part", self.files_per_part, 1))
        if self.limit is not None:
            self._set("limit", integer("limit", self.limit, 1))
        parse_keys(self.keys)
        if isinstance(self.segments, (list, tuple)) or not (
            self.segments is None or isinstance(self.segments, str) or callable(self.segments)
        ):
            self._set("segments", tuple(self.segments))
        self.segment_source()
        self._check_encoding()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_encoding(self) -> None:
        one_of("encoding", self.encoding, ENCODINGS)
        for name in CHOICES:
            value = getattr(self, name)
            if value is not None and name not in self.kind.takes:
                having = ", ".join(each.name for each in ENCODINGS.values() if name in each.takes)
                raise ValueError(
                    f"{name} is {value!r}, but encoding {self.encoding!r} has no {name}: leave it out"
                    + (f", or take one of {having}" if having else "")
                )
        if self.quality is not None:
            self._set("quality", integer("quality", self.quality, 1, 100))
        if self.gop is not None:
            self._set("gop", integer("gop", self.gop, 1, MOST_GOP))
        if self.crf is not None and not 0 <= number("crf", self.crf) <= 63:
            raise ValueError(f"crf is {self.crf}, but must be from 0 to 63")
        for name in ("codec", "preset"):
            check_kind(name, getattr(self, name), str, *([int] if name == "preset" else []), None)
        if self.kind.is_sound:
            for name, value in (("format", self.format), ("options", self.video)):
                if value is not None:
                    raise ValueError(
                        f"{name} is {value!r}, but encoding {self.encoding!r} is of sound, which {name} says nothing "
                        f"of: leave it out, or give audio="
                    )
        module = self.kind.module()
        if hasattr(module, "check"):
            module.check(self)

    @property
    def kind(self) -> Encoding:
        """The encoding."""
        return ENCODINGS[self.encoding]

    def segment_source(self) -> SegmentSource | None:
        """Where the segments of samples come from; None where sources are not divided."""
        return parse_segments(
            self.segments,
            min_seconds=self.min_seconds,
            max_seconds=self.max_seconds,
            trim_seconds=self.trim_seconds,
        )

    def encoder(self) -> Encoder:
        """The encoder of clips. Raises ImportError where its library is missing."""
        return self.kind.module().encoder(self)

    def clip_source(self) -> ClipSource:
        """The source of clips."""
        module = self.kind.module()
        return module.clip_source(self) if hasattr(module, "clip_source") else self.sample_clips()

    def sample_clips(self, format: ClipFormat | None = None) -> SampleClips:
        """Clips as the stage and the Loader give them, in another format where that is given."""
        return SampleClips(
            self.spec,
            format or self.format,
            options=self.video,
            audio=self.audio,
            keys=self.keys,
            seed=self.seed,
            segments=self.segment_source(),
            sound_only=self.kind.is_sound,
        )

    def one_threaded(self) -> ExtractOptions:
        """The same with one decoder thread, so that several do not make other bytes of damage."""
        return self if self.video is None else replace(self, video=replace(self.video, num_threads=1))

    def versions(self) -> dict[str, str]:
        """Versions of what makes the bytes."""
        import av

        codec = ".".join(map(str, av.library_versions.get("libavcodec", ())))
        found = {"clipx": clipx.__version__, "av": av.__version__, "libavcodec": codec}
        module = self.kind.module()
        return {**found, **(module.versions() if hasattr(module, "versions") else {})}

    def as_json(self) -> dict[str, Any]:
        """The options as JSON takes them, the same for the same options."""
        made = {each.name: json_value(getattr(self, each.name)) for each in fields(self)}
        source = self.segment_source()
        made["segments"] = None if source is None else source.settings()[0]
        made["format"] = json_value(self.format or ClipFormat())
        made["video"] = json_value(self.video or VideoOptions())
        made["spec"] = {"kind": type(self.spec).__name__, **made["spec"]}
        return made
