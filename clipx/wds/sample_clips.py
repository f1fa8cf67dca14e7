"""The clips of one sample: its fields, extracted in step, with the rest of the sample."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from clipx._checks import check_kind, integer
from clipx._reading import BytesFile
from clipx.arrays.clips import ArrayClips
from clipx.audio.clips import AudioClips, count_clips, selected_clips
from clipx.audio.format import AudioFormat
from clipx.clip import Clip
from clipx.datasets.fields import Field, Sample
from clipx.datasets.keys import Keys, find_fields, other_fields, parse_keys
from clipx.datasets.ledger import Ledger
from clipx.datasets.origins import locate, locating
from clipx.datasets.sources import array_length, array_of, default_fields, find_source
from clipx.errors import Damage
from clipx.format import ClipFormat
from clipx.plan import ALL, FrameSpec, Selection
from clipx.plan.draws import sample_rng
from clipx.pool import ClipPool
from clipx.video.clips import VideoClips, count_frames
from clipx.video.clips import selected_clips as selected_video_clips
from clipx.video.options import VideoOptions

__all__ = ["ClipSample", "SampleClips"]


class ClipSample(NamedTuple):
    """The sample of a clip.

    Attributes:
        number: of the clip in the plan of its source.
        damaged: whether damage had been found in the source by then.
        sample: the clip, its facts, and the other fields of the source's sample.
    """

    number: int
    damaged: bool
    sample: Sample


FieldClips = ArrayClips | AudioClips | VideoClips
"""Iterator of the clips of one field."""


def _sound_of(name: str, fields: Collection[str]) -> str:
    """The name of the sound of one of so many fields."""
    return "audio" if len(fields) == 1 else f"{name}.audio"


def _origin(sample: Sample) -> Sample:
    """The fields of a sample that name its origin."""
    return {name: sample[name] for name in ("__key__", "__url__") if name in sample}


def _in_step(sources: Mapping[Field, Iterator[Clip]]) -> list[Clip]:
    """The next clip of each field, all of one index; empty at the end of any.

    Where damage leaves out the clip of one field, those of the others are left out, too.
    """
    clips: dict[str, Clip | None] = dict.fromkeys(sources)
    latest = -1
    ended = False
    while not ended and any(clip is None or clip.index < latest for clip in clips.values()):
        for field, source in sources.items():
            clip = clips[field]
            if clip is None or clip.index < latest:
                # Its slot is back before the next clip is made.
                clips[field] = clip = None
                with locating(field=field):
                    clip = next(source, None)
                if clip is None:
                    ended = True  # the others are asked as well, so that they learn of their ends
                else:
                    clips[field], latest = clip, max(latest, clip.index)
            del clip
    return [] if ended else [clip for clip in clips.values() if clip is not None]


def _is_damaged(sources: Mapping[Field, FieldClips]) -> bool:
    """Whether damage has been found so far, or frames that are missing without a word."""
    return bool(_damages(sources)) or any(isinstance(each, VideoClips) and each.lost for each in sources.values())


def _damages(sources: Mapping[Field, FieldClips]) -> list[tuple[Field, Damage]]:
    """The damage that has been found in the fields so far, and is left out or kept."""
    return [
        (field, damage)
        for field, source in sources.items()
        if not isinstance(source, ArrayClips)
        for damage in source.damages
    ]


class SampleClips:
    """Extracts the clips of samples: a checked description without state, which threads may share.

    Args:
        spec: which frames.
        format, options, audio: how frames are written, videos are read, and sound is written.
        keys: the fields; None for those that `default_fields` finds.
        seed: what random starts, crops and flips are drawn from, with the epoch and the sample's key.

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
    ) -> None:
        check_kind("spec", spec, FrameSpec)
        check_kind("format", format, ClipFormat, None)
        check_kind("options", options, VideoOptions, None)
        check_kind("audio", audio, AudioFormat, None)
        self.spec, self.format, self.options, self.audio = spec, format, options, audio
        self.keys, self.seed = parse_keys(keys), integer("seed", seed, 0)

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
        pool: ClipPool | None = None,
        selection: Selection = ALL,
        max_pixels: int | None = None,
        ledger: Ledger | None = None,
    ) -> Generator[ClipSample]:
        """The clips of a sample, in order.

        Args:
            epoch: what is random is drawn from it.
            pool: clips are slots of it; None gives each clip memory of its own.
            selection: which of the clips.
            max_pixels: of a picture, where that is below the limit of `options`.
            ledger: where damage is noted, and that a sample gives no clips.

        Raises what reading and decoding raise, with the sample, the field and the number of clips before the error.
        """
        origin, given = _origin(sample), 0
        clips = self._clips(sample, epoch, pool, selection, max_pixels, ledger)
        del sample
        try:
            for clip in clips:
                given += 1
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
        pool: ClipPool | None,
        selection: Selection,
        max_pixels: int | None,
        ledger: Ledger | None,
    ) -> Iterator[ClipSample]:
        fields, origin = self.fields(sample), _origin(sample)
        options = self._limited(max_pixels)
        sources: dict[Field, FieldClips] = {}
        for field in fields.values():
            with locating(field=field):
                sources[field] = self._open(sample, field, epoch, pool, options, len(fields), selection)
        with_audio = self.audio is not None and any(isinstance(source, VideoClips) for source in sources.values())
        made = ["clip.json", *fields, *([_sound_of(name, fields) for name in fields] if with_audio else [])]
        rest = other_fields(sample, fields, made)
        del sample
        given = False
        try:
            for clip in _joined(fields, sources, rest, origin, selection):
                given = True
                yield clip
                del clip
            # Where clips are selected, that sources end apart, or give none, shows where all are extracted.
            if selection.first is not None and not _damages(sources):
                counts = {field: source.num_frames for field, source in sources.items()}
                if ledger is not None and not given and selection == ALL:
                    ledger.note("no clips", origin, self._why_none(counts.values()), clips=0)
                _check_lengths(counts)
        finally:
            if ledger is not None:
                for field, damage in _damages(sources):
                    ledger.note("damage", origin, damage.reason, field=field)

    def _limited(self, max_pixels: int | None) -> VideoOptions | None:
        """The options, for pictures of at most so many pixels."""
        if max_pixels is None:
            return self.options
        options = self.options or VideoOptions()
        return replace(options, max_pixels=min(options.max_pixels, max_pixels))

    def _open(
        self,
        sample: Sample,
        field: Field,
        epoch: int,
        pool: ClipPool | None,
        options: VideoOptions | None,
        in_step: int,
        selection: Selection,
    ) -> FieldClips:
        """The clips of a field, one of `in_step` that share a plan."""
        kind, value = find_source(sample, field)
        key = sample.get("__key__", "")
        rng, name = sample_rng(self.seed, epoch, key), f"field {field!r} of sample {key!r}"
        if kind == "sound":
            return selected_clips(
                value, self.spec, self.audio, pool=pool, rng=rng, name=name, in_step=in_step, selection=selection
            )
        if kind == "video":
            return selected_video_clips(
                value,
                self.spec,
                self.format,
                options=options,
                pool=pool,
                rng=rng,
                name=name,
                in_step=in_step,
                audio=self.audio,
                selection=selection,
            )
        return ArrayClips(array_of(sample, field, value), self.spec, self.format, pool, rng, in_step, selection)

    def _why_none(self, counts: Iterable[int | None]) -> str:
        """The reason why sources of so many frames give no clips."""
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
        spec = self.spec.drawn(sample_rng(self.seed, epoch, sample.get("__key__", "")))
        return min(self._count(sample, field, spec) for field in self.fields(sample).values())

    def _count(self, sample: Sample, field: Field, spec: FrameSpec) -> int:
        kind, value = find_source(sample, field)
        name = f"field {field!r} of sample {sample.get('__key__', '')!r}"
        if kind == "array":
            return spec.count(array_length(sample, field, value))
        if isinstance(value, memoryview):
            value = BytesFile(value)
        if kind == "sound":
            return count_clips(value, spec, self.audio, name)
        # The clips that are complete come before the error of those that are not.
        return spec.count_until_error(count_frames(value, spec, self.options, name))


def _joined(
    fields: Mapping[Field, Field],
    sources: Mapping[Field, FieldClips],
    rest: Sample,
    origin: Sample,
    selection: Selection,
) -> Iterator[ClipSample]:
    """The clips of fields that share one plan, with the rest of the sample of this origin."""
    key = origin.get("__key__", "")
    of_source = {name.strip("_"): value for name, value in origin.items()}
    while clips := _in_step(sources):
        out = dict(rest)
        for name, clip in zip(fields, clips):
            name.put(out, clip.data)
            if clip.audio is not None:
                out[_sound_of(name, fields)] = clip.audio
        out["__key__"] = f"{key}_{clips[0].index:06d}"
        facts = {name: fact for clip in reversed(clips) for name, fact in clip.facts().items()}
        facts.update(of_source)
        out["clip.json"] = facts
        joined = ClipSample(clips[0].index, selection.damaged or _is_damaged(sources), out)
        del clips, clip, facts, out
        yield joined
        del joined


def _check_lengths(counts: Mapping[Field, int | None]) -> None:
    """Raise ValueError where fields have different numbers of frames."""
    if len({*counts.values()}) > 1:
        # A stream that is longer than another was left before its end, and does not know its length.
        found = ", ".join(f"{field}: {'more' if n is None else n}" for field, n in counts.items())
        raise ValueError(f"the fields of a sample must have the same number of frames, but have {found}")
