"""The encoding "copy": clips as packets of their videos, which are not decoded, from key frame to key frame."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import fields as fields_of
from fractions import Fraction
from typing import cast

from clipx._timing import Timings
from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.datasets.ledger import Notes
from clipx.datasets.segments import BadSegment
from clipx.datasets.sources import facts_of, media_of
from clipx.format import ClipFormat
from clipx.jobs.extraction.copied_video import CopiedFile, CopiedVideo
from clipx.jobs.extraction.encoding import Data, EncodedClip, field_name
from clipx.jobs.extraction.options import ExtractOptions
from clipx.media.clip_memory import ClipMemory
from clipx.plan import ALL, Selection
from clipx.video.options import VideoOptions
from clipx.wds.in_step import ClipSample, FieldClips
from clipx.wds.limits import NO_LIMITS, Limits
from clipx.wds.sample_clips import AskedClips, FieldSource, SampleClips

__all__ = ["CopiedClips", "CopyEncoder", "check", "clip_source", "encoder"]

READING = frozenset({"start_seconds", "end_seconds", "at_start", "stream", "max_pixels", "trusted", "num_threads"})
"""Fields of VideoOptions that say which frames are read; the others change pictures, or decode damage."""


class CopiedClips(SampleClips):
    """Clips of videos as packets, with the arguments of `SampleClips`; in a clip's sample, the clip is a CopiedFile."""

    def clips(
        self,
        sample: Sample,
        epoch: int,
        *,
        pool: ClipMemory | None = None,
        selection: Selection = ALL,
        limits: Limits = NO_LIMITS,
        ledger: Notes | None = None,
        timings: Timings | None = None,
    ) -> Generator[ClipSample | BadSegment]:
        """As those of `SampleClips`; "clip.json" has "copied" besides."""
        found = super().clips(sample, epoch, selection=selection, limits=limits, ledger=ledger, timings=timings)
        del sample
        for clip in found:
            if isinstance(clip, ClipSample):
                files = {name: each for name, each in clip.sample.items() if isinstance(each, CopiedFile)}
                copied = {name: each.copied for name, each in files.items()}
                clip.sample["clip.json"]["copied"] = copied if len(copied) > 1 else next(iter(copied.values()))
            yield clip
            del clip

    def open_field(
        self,
        sample: Sample,
        field: Field,
        source: FieldSource,
        asked: AskedClips,
        epoch: int,
        pool: ClipMemory | None,
        options: VideoOptions | None,
        in_step: int,
        selection: Selection,
        limits: Limits,
        timings: Timings,
    ) -> FieldClips:
        """The clips of a video. Raises ValueError for sounds, arrays and others."""
        if source.kind != "video":
            other = "'flac' or 'wav'" if source.kind == "sound" else "'npy'"
            raise ValueError(
                f"encoding is 'copy', but field {field!r} is no video: its clips are not copied by packets; take "
                f"encoding {other}, or name a video with keys="
            )
        return CopiedVideo(
            media_of(source.value),
            asked.spec,
            options,
            rng=self.rng_of(sample, epoch),
            name=f"field {field!r} of sample {sample.get('__key__', '')!r}",
            selection=selection,
            segments=asked.segments,
            facts=facts_of(source.value),
            most_bytes=limits.packet_bytes,
        )


class CopyEncoder:
    """Passes on the bytes of clips that are files already."""

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample of CopiedClips; see `Encoder`."""
        files = {name: cast(CopiedFile, name.get(clip)) for name in fields}
        data: dict[str, Data] = {field_name(name, fields, each.ending): each.data for name, each in files.items()}
        first = next(iter(files.values()))
        return EncodedClip(data, {"codec": first.codec, "width": first.width, "height": first.height})


def check(options: ExtractOptions) -> None:
    """Raise ValueError for options that would change pictures or sound, which are copied as they are."""
    cure = "leave it out, or take an encoding that encodes anew, such as 'mp4'"
    if options.format is not None and options.format != ClipFormat():
        raise ValueError(f"format is {options.format!r}, but encoding 'copy' leaves pictures as they are: {cure}")
    if options.audio is not None and options.audio != AudioFormat():
        raise ValueError(f"audio is {options.audio!r}, but encoding 'copy' leaves sound as it is: {cure}")
    for each in fields_of(VideoOptions):
        value = getattr(options.video or VideoOptions(), each.name)
        if each.name not in READING and value != each.default:
            what = "takes no damaged files" if each.name == "damage" else "does not decode pictures"
            shown = value if isinstance(value, Fraction) else repr(value)
            raise ValueError(f"{each.name} is {shown}, but encoding 'copy' {what}: {cure}")


def clip_source(options: ExtractOptions) -> CopiedClips:
    """The source of clips."""
    return CopiedClips(
        options.spec, options=options.video, keys=options.keys, seed=options.seed, segments=options.segment_source()
    )


def encoder(options: ExtractOptions) -> CopyEncoder:
    """The encoder."""
    return CopyEncoder()
