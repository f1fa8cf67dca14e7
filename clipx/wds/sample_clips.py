"""The clips of one sample: its fields, extracted in step, with the rest of the sample."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from clipx._checks import check_kind, integer
from clipx._timing import Timings
from clipx.arrays.clips import ArrayClips
from clipx.audio.clips import selected_clips as selected_sound_clips
from clipx.audio.format import AudioFormat
from clipx.datasets.decoding import decode
from clipx.datasets.field_paths import MOST_BYTES, FieldPath
from clipx.datasets.fields import DATASET, PASS, Field, Sample
from clipx.datasets.keys import Keys, find_fields, other_fields, parse_keys
from clipx.datasets.ledger import Notes
from clipx.datasets.origins import locate, locating
from clipx.datasets.pictures import PictureGroup
from clipx.datasets.segments import BadSegment, SampleSegments, SegmentSource
from clipx.datasets.sources import (
    array_of,
    default_fields,
    facts_of,
    fields_of_sources,
    find_source,
    media_of,
)
from clipx.datasets.stored import StoredFile
from clipx.format import ClipFormat
from clipx.media.clip_memory import ClipMemory
from clipx.pictures.clips import selected_clips as selected_picture_clips
from clipx.plan import ALL, FrameList, FrameSpec, Segment, Selection
from clipx.plan.draws import sample_rng
from clipx.pool import ClipPool
from clipx.video.clips import VideoClips
from clipx.video.clips import selected_clips as selected_video_clips
from clipx.video.options import VideoOptions
from clipx.wds.field_counts import count_of_field
from clipx.wds.in_step import (
    ClipSample,
    FieldClips,
    bad_segments,
    bytes_decoded,
    check_lengths,
    damages_of,
    joined,
    sound_of,
)
from clipx.wds.limits import NO_LIMITS, Limits

__all__ = ["AskedClips", "FieldSource", "SampleClips"]


class FieldSource(NamedTuple):
    """The source in a field: its kind, as `find_source` says it, and its value."""

    kind: str
    value: Any


class AskedClips(NamedTuple):
    """What is asked of all fields of a sample: by which spec, and of which segments; None where it is not divided."""

    spec: FrameSpec
    found: SampleSegments | None

    @property
    def segments(self) -> dict[int, Segment] | None:
        return None if self.found is None else self.found.segments


def _origin(sample: Sample) -> Sample:
    """The fields of a sample that name its origin."""
    return {name: sample[name] for name in ("__key__", "__url__", DATASET, PASS) if name in sample}


class SampleClips:
    """Extracts the clips of samples: a checked description without state, which threads may share.

    Args:
        spec: which frames.
        format, options, audio: how frames are written, videos are read, and sound is written.
        keys: the fields; None for those that `default_fields` finds.
        seed: what random starts, crops and flips are drawn from, with the epoch and the sample's key.
        segments: where the segments of a sample come from; None where sources are not divided.
        sound_only: whether clips of videos are those of their sound, as of a sound file.

    Raises TypeError and ValueError for arguments of the wrong kind.
    """

    def __init__(
        self,
        spec: FrameSpec,
        format: ClipFormat | None = None,
        *,
        options: VideoOptions | None = None,
        audio: AudioFormat | None = None,
        keys: Keys = None,
        seed: int = 0,
        segments: SegmentSource | None = None,
        sound_only: bool = False,
    ) -> None:
        check_kind("spec", spec, FrameSpec)
        check_kind("format", format, ClipFormat, None)
        check_kind("options", options, VideoOptions, None)
        check_kind("audio", audio, AudioFormat, None)
        self.spec, self.format, self.options, self.audio = spec, format, options, audio
        self.keys, self.seed, self.segments = parse_keys(keys), integer("seed", seed, 0), segments
        listed = spec.field if isinstance(spec, FrameList) else None
        self._listed = None if listed is None else FieldPath("frames", listed)
        self._sound_only = sound_only
        self.dataset: str | None = None

    @property
    def has_fixed_spec(self) -> bool:
        """Whether no field of a sample says which frames are taken."""
        return self._listed is None

    def of_dataset(self, name: str) -> SampleClips:
        """The same for samples of a dataset of a mixture that do not name it themselves."""
        found = copy.copy(self)
        found.dataset = name
        return found

    def rng_of(self, sample: Sample, epoch: int) -> np.random.Generator:
        """Generator for the random choices of a sample in an epoch."""
        more = [part for part in (sample.get(DATASET, self.dataset), sample.get(PASS)) if part]
        return sample_rng(self.seed, epoch, sample.get("__key__", ""), *more)

    def fields(self, sample: Sample) -> dict[Field, Field]:
        """The fields of a sample that clips are made of, by the names of their clips.

        Raises ValueError where it has none.
        """
        if self.keys is None:
            return {field: field for field in default_fields(sample)}
        return find_fields(self.keys, sample)

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
        """The segments of a sample that are bad, and then its clips, in order.

        A run over a selection that does not begin at the first clip gives no bad segments: they have been given before.

        Args:
            epoch: what is random is drawn from it.
            pool: clips are slots of it; None gives each clip memory of its own, as clips of arrays and sound have it
                where it is no ClipPool.
            selection: which of the clips.
            limits: most that the sample may take.
            ledger: where damage is noted, and that a sample gives no clips.
            timings: take the seconds of opening and converting.

        Raises what reading and decoding raise, with the sample, the field and the number of clips before the error.
        """
        origin, given = _origin(sample), 0
        clips = self._clips(sample, epoch, pool, selection, limits, ledger, timings or Timings())
        del sample
        try:
            for clip in clips:
                given += type(clip) is ClipSample
                yield clip
                del clip
        except Exception as exn:
            passed_over = 0 if selection.first is None else selection.first - len(selection.some)
            locate(exn, origin, clips=given + passed_over)
            raise

    def _clips(
        self,
        sample: Sample,
        epoch: int,
        pool: ClipMemory | None,
        selection: Selection,
        limits: Limits,
        ledger: Notes | None,
        timings: Timings,
    ) -> Iterator[ClipSample | BadSegment]:
        began = perf_counter()
        fields, origin = self.fields(sample), _origin(sample)
        options = self._limited(limits.pixels)
        found = self._find(sample, fields)
        asked = self._ask(sample, found, limits)
        sources: dict[Field, FieldClips] = {}
        for field, source in found.items():
            with locating(field=field):
                sources[field] = self.open_field(
                    sample, field, source, asked, epoch, pool, options, len(fields), selection, limits, timings
                )
        timings.decodes = any(source.kind != "array" for source in found.values())
        timings.opening += perf_counter() - began
        local = [field for field, (_, value) in found.items() if _is_local(value)]
        del found, source
        with_audio = self.audio is not None and any(isinstance(source, VideoClips) for source in sources.values())
        made = ["clip.json", *fields, *([sound_of(name, fields) for name in fields] if with_audio else [])]
        rest = other_fields(sample, fields, made)
        del sample
        if asked.found is not None and selection.first == 0 and not selection.some:
            yield from bad_segments(asked.found, sources, origin)
        given = False
        try:
            for clip in joined(fields, sources, rest, origin, selection):
                given = True
                yield clip
                del clip
            # Where clips are selected, that sources end apart, or give none, shows where all are extracted.
            if selection.first is not None and not damages_of(sources):
                counts = {field: source.num_frames for field, source in sources.items()}
                if ledger is not None and not given and selection == ALL:
                    ledger.note("no clips", origin, self._why_none(counts.values(), asked.found), clips=0)
                check_lengths(counts)
        finally:
            timings.nbytes += sum(bytes_decoded(sources[field]) for field in local)
            if ledger is not None:
                for field, damage in damages_of(sources):
                    ledger.note("damage", origin, damage.reason, field=field, seconds=damage.seconds)

    def _find(self, sample: Sample, fields: Mapping[Field, Field]) -> dict[Field, FieldSource]:
        """The sources of fields."""
        found = {}
        for field in fields.values():
            with locating(field=field):
                kind, value = find_source(sample, field)
                found[field] = FieldSource("sound" if kind == "video" and self._sound_only else kind, value)
        return found

    def _ask(self, sample: Sample, sources: Mapping[Field, FieldSource], limits: Limits) -> AskedClips:
        """The spec and the segments of a sample. Raises what its fields that say them are wrong in."""
        spec, found = self.spec, None
        if self._listed is not None:
            assert isinstance(spec, FrameList)
            with locating(field=self._listed.field_in(sample)):
                listed = list(self._listed.values(sample, limits.segment_bytes))
                values: Any = listed if self._listed.has_all else listed[0]
                if not isinstance(values, list):
                    raise ValueError(f"{self._listed} is a {type(values).__name__}, but must be a list of numbers")
                spec = replace(spec, frames=values) if spec.seconds is None else replace(spec, seconds=values)
        if self.segments is not None:
            is_array = all(source.kind == "array" for source in sources.values())
            found = self.segments.of(sample, "frames" if is_array else "seconds", limits.segment_bytes)
        return AskedClips(spec, found)

    def _limited(self, max_pixels: int | None) -> VideoOptions | None:
        """The options, for pictures of at most so many pixels."""
        if max_pixels is None:
            return self.options
        options = self.options or VideoOptions()
        return replace(options, max_pixels=min(options.max_pixels, max_pixels))

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
        """The clips of a field, one of `in_step` that share a plan."""
        key = sample.get("__key__", "")
        spec, segments = asked.spec, asked.segments
        rng, name = self.rng_of(sample, epoch), f"field {field!r} of sample {key!r}"
        if source.kind == "array":
            array, slots = array_of(sample, field, source.value), pool if isinstance(pool, ClipPool) else None
            return ArrayClips(array, spec, self.format, slots, rng, in_step, selection, segments)
        shared: dict[str, Any] = {"pool": pool, "rng": rng, "name": name, "in_step": in_step, "selection": selection}
        shared |= {"segments": segments, "max_slots": limits.slots}
        if source.kind == "sound":
            shared["pool"] = pool if isinstance(pool, ClipPool) else None
            return selected_sound_clips(media_of(source.value), spec, self.audio, **shared)
        if source.kind == "pictures":
            shared |= {"options": options, "timings": timings}
            return selected_picture_clips(source.value, spec, self.format, **shared)
        shared |= {"options": options, "audio": self.audio, "timings": timings, "facts": facts_of(source.value)}
        return selected_video_clips(media_of(source.value), spec, self.format, **shared)

    def _why_none(self, counts: Iterable[int | None], found: SampleSegments | None) -> str:
        """The reason why sources of so many frames give no clips."""
        if found is not None:
            taken = "" if len(found.segments) == found.given else f", of which {len(found.segments)} are taken,"
            return f"its {found.given} segments{taken} give none" if found.given else "it has no segments"
        n = min((n for n in counts if n is not None), default=None)
        if not n:
            return "no frame lies in the range that options name" if self.options else "it has no frames"
        span = self.spec.span
        few = span is not None and n < span
        return f"its {n} frames are fewer than a clip spans, {span}" if few else f"its {n} frames give none"

    def count(self, sample: Sample, epoch: int = 0) -> int:
        """Number of clips that `clips` gives, without extracting them, and mostly without decoding.

        epoch: it matters where the spec draws how many clips there are.

        Of a video whose header lists more frames than can be decoded, those that it lists.
        """
        fields = self.fields(sample)
        found = self._find(sample, fields)
        if self.segments is not None and self.segments.needs_decoded:
            sample = {**sample, **_decoded(sample, fields)}
        asked = self._ask(sample, found, NO_LIMITS)
        return min(self._count(sample, field, source, asked, epoch) for field, source in found.items())

    def _count(self, sample: Sample, field: Field, source: FieldSource, asked: AskedClips, epoch: int) -> int:
        how: dict[str, Any] = {"options": self.options, "audio": self.audio, "rng": self.rng_of(sample, epoch)}
        return count_of_field(sample, field, *source, asked.spec, asked.segments, **how)


def _is_local(value: Any) -> bool:
    """True for a source that is read from where it lies in a local file."""
    return (isinstance(value, StoredFile) and value.path is not None) or (
        isinstance(value, PictureGroup) and value.is_local
    )


def _decoded(sample: Sample, fields: Mapping[Field, Field]) -> Sample:
    """The fields beside the clips, decoded."""
    files = fields_of_sources(sample, fields.values())
    beside = {name: value for name, value in sample.items() if name not in files}
    plain = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in beside.items()}
    return decode(plain, MOST_BYTES)
