"""The WebDataset stage that turns samples into clips."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from clipx._checks import check_kind, integer
from clipx.arrays.writer import FormattedFrames
from clipx.audio.clips import AudioClips, count_clips
from clipx.audio.sound import AudioFormat
from clipx.clip import Clip
from clipx.datasets.fields import BytesFile, Sample, array_length, array_of, default_fields, find_field
from clipx.datasets.keys import Keys, beside, find_fields, parse_keys, put
from clipx.datasets.ledger import Ledger, Recorder
from clipx.datasets.origins import locate, locating
from clipx.datasets.passes import Passes
from clipx.errors import NOT_A_SAMPLES_FAULT, Damage
from clipx.format import ClipFormat, Views
from clipx.plan.draws import Epoch, check_epoch, sample_rng
from clipx.plan.windows import ALL, Selection, WindowSpec
from clipx.pool import ClipPool
from clipx.video.clips import VideoClips, count_frames
from clipx.video.options import VideoOptions
from clipx.windows import iterate_formatted, iterate_spec

__all__ = ["Cutting", "PlannedClip"]


class PlannedClip(NamedTuple):
    """The sample of a clip, its number in the plan of its source, and whether damage had been found in that by then."""

    number: int
    damaged: bool
    sample: Sample


class _ArrayClips(Iterator[Clip]):
    """The clips of an array, as a video's are given."""

    def __init__(
        self,
        array: np.ndarray,
        spec: WindowSpec,
        format: ClipFormat | None,
        pool: ClipPool | None,
        rng: np.random.Generator,
        in_step: int,
        selection: Selection,
    ) -> None:
        self.num_frames = len(array)
        starts = spec.starts(self.num_frames, rng)
        indices = selection.of(len(starts))
        starts = starts[indices]
        self._spec = spec
        self._starts = zip(indices.tolist(), starts.tolist())
        self._views: Views | None = None
        if format is None:
            self._data = iterate_spec(array, spec, starts, pool, in_step)
        else:
            frames = FormattedFrames(array, spec, format)
            frames.views.draw(rng)
            self._views = frames.views
            self._data = iterate_formatted(frames, spec, starts, len(array), pool, in_step, indices)

    def __next__(self) -> Clip:
        data = next(self._data)
        index, start = next(self._starts)
        clip = Clip(data, index, start, self._spec.valid(start, self.num_frames))
        return clip if self._views is None else clip.record(self._views)


Cutter = _ArrayClips | AudioClips | VideoClips


def _sound_of(name: str, fields: Collection[str]) -> str:
    """The name of the sound of one of so many fields."""
    return "audio" if len(fields) == 1 else f"{name}.audio"


def _origin(sample: Sample) -> Sample:
    """What of a sample says where it comes from."""
    return {name: sample[name] for name in ("__key__", "__url__") if name in sample}


def _in_step(cutters: Mapping[str, Iterator[Clip]]) -> list[Clip]:
    """The next clip of each field, all of one index: where damage leaves out one, those of the others go, too. Empty at
    the end of any.
    """
    clips: dict[str, Clip | None] = dict.fromkeys(cutters)
    latest = -1
    ended = False
    while not ended and any(clip is None or clip.index < latest for clip in clips.values()):
        for field, cutter in cutters.items():
            clip = clips[field]
            if clip is None or clip.index < latest:
                # Its slot is back before the next clip is made.
                clips[field] = clip = None
                with locating(field=field):
                    clip = next(cutter, None)
                if clip is None:
                    ended = True  # the others are asked as well, so that they learn of their ends
                else:
                    clips[field], latest = clip, max(latest, clip.index)
            del clip
    return [] if ended else [clip for clip in clips.values() if clip is not None]


def _is_damaged(cutters: Mapping[str, Cutter]) -> bool:
    """Whether damage has been found so far, or frames that are missing without a word."""
    return bool(_damages(cutters)) or any(isinstance(each, VideoClips) and each.lost for each in cutters.values())


def _damages(cutters: Mapping[str, Cutter]) -> list[tuple[str, Damage]]:
    """The damage that has been found in the fields so far, and is left out or kept."""
    return [
        (field, damage)
        for field, cutter in cutters.items()
        if not isinstance(cutter, _ArrayClips)
        for damage in cutter.damages
    ]


class Cutting:
    """`clips` with its arguments, which it checks, as a step of a pipeline.

    Attributes:
        errors: a Ledger of the samples that are broken, damaged or give no clips.
    """

    def __init__(
        self,
        spec: WindowSpec,
        format: ClipFormat | None,
        *,
        options: VideoOptions | None,
        audio: AudioFormat | None,
        pool: ClipPool | int | str | None,
        keys: Keys,
        seed: int,
        epoch: Epoch,
        handler: Callable[[Exception], bool],
        errors: Ledger | None = None,
    ) -> None:
        check_kind("spec", spec, WindowSpec)
        check_kind("format", format, ClipFormat, None)
        check_kind("options", options, VideoOptions, None)
        check_kind("audio", audio, AudioFormat, None)
        if isinstance(pool, (int, str)):
            pool = ClipPool.of_bytes(pool)
        elif not isinstance(pool, (ClipPool, type(None))):
            raise TypeError(f"pool is {pool!r}, but must be a ClipPool, a number of bytes such as '2GB', or None")
        if not callable(handler):
            raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
        self._spec, self._format, self._options, self._audio = spec, format, options, audio
        self._pool, self._keys = pool, parse_keys(keys)
        self._seed, self._epoch, self._handler = integer("seed", seed, 0), check_epoch(epoch), handler
        self.errors = Ledger() if errors is None else errors
        self._passes = Passes()

    def __call__(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        return self._run(samples, self._passes.epoch(self._epoch))

    def _run(self, samples: Iterable[Sample], epoch: int) -> Iterator[Sample]:
        handler, before = Recorder(self.errors, self._handler), self.errors.counts
        try:
            yield from self._cut_all(samples, epoch, handler)
        finally:
            self.errors.log_new("clipx.wds.clips", before)

    def _cut_all(self, samples: Iterable[Sample], epoch: int, handler: Callable[[Exception], bool]) -> Iterator[Sample]:
        for sample in samples:
            cut = self.cut(sample, epoch)
            # Upstream may hold the sample until it is asked for the next; this stage does not.
            del sample
            while True:
                try:
                    out = next(cut, None)
                except NOT_A_SAMPLES_FAULT:
                    raise
                except Exception as exn:
                    if handler(exn):
                        break
                    return
                if out is None:
                    break
                yield out.sample
                del out
            del cut

    def fields(self, sample: Sample) -> dict[str, str]:
        """The fields of a sample that are cut, by the names of their clips. Raises ValueError where it has none."""
        if self._keys is None:
            return {field: field for field in default_fields(sample)}
        return find_fields(self._keys, sample)

    def cut(self, sample: Sample, epoch: int, selection: Selection = ALL) -> Generator[PlannedClip]:
        """The clips of a sample, or those of a selection."""
        origin, given = _origin(sample), 0
        clips = self._cut_fields(sample, sample.get("__key__", ""), epoch, selection)
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

    def _cut_fields(self, sample: Sample, key: str, epoch: int, selection: Selection) -> Iterator[PlannedClip]:
        fields = self.fields(sample)
        cutters = {}
        for field in fields.values():
            with locating(field=field):
                cutters[field] = self._cutter(sample, field, key, epoch, len(fields), selection)
        heard = self._audio is not None and any(isinstance(cutter, VideoClips) for cutter in cutters.values())
        made = ["clip.json", *fields, *([_sound_of(name, fields) for name in fields] if heard else [])]
        rest, origin = beside(sample, fields, made), _origin(sample)
        del sample
        try:
            yield from self._clips_in_step(fields, cutters, rest, key, origin, selection)
        finally:
            for field, damage in _damages(cutters):
                self.errors.note("damage", origin, damage.reason, field=field)

    def _clips_in_step(
        self,
        fields: Mapping[str, str],
        cutters: Mapping[str, Cutter],
        rest: Sample,
        key: str,
        origin: Sample,
        selection: Selection,
    ) -> Iterator[PlannedClip]:
        """The clips of fields that share one plan, with the rest of the sample."""
        given = False
        while clips := _in_step(cutters):
            given = True
            out = dict(rest)
            for name, clip in zip(fields, clips):
                put(out, name, clip.data)
                if clip.audio is not None:
                    out[_sound_of(name, fields)] = clip.audio
            out["__key__"] = f"{key}_{clips[0].index:06d}"
            out["clip.json"] = {name: fact for clip in reversed(clips) for name, fact in clip.facts().items()}
            planned = PlannedClip(clips[0].index, selection.damaged or _is_damaged(cutters), out)
            del clips, clip, out
            yield planned
            del planned
        if selection.first is None:
            return  # that they end apart is told where all are cut
        counts = {field: cutter.num_frames for field, cutter in cutters.items()}
        if _damages(cutters):
            return  # which is noted, and can leave less of one field than of another
        if not given and selection == ALL:
            self.errors.note("no clips", origin, self._why_none(counts.values()), clips=0)
        if len({*counts.values()}) > 1:
            # A stream that is longer than another was left before its end, and does not know its length.
            told = ", ".join(f"{field}: {'more' if n is None else n}" for field, n in counts.items())
            raise ValueError(f"the fields of a sample must have the same number of frames, but have {told}")

    def _why_none(self, counts: Iterable[int | None]) -> str:
        """Why sources of so many frames give no clips."""
        n = min((n for n in counts if n is not None), default=None)
        if not n:
            return "no frame lies in the range that is cut" if self._options else "it has no frames"
        few = n < self._spec.span
        return f"its {n} frames are fewer than a clip spans, {self._spec.span}" if few else f"its {n} frames give none"

    def count(self, sample: Sample) -> int:
        """Number of clips that `cut` gives, without cutting them, and mostly without decoding.

        Of a video whose header lists more frames than can be decoded, those that it lists.
        """
        return min(self._count(sample, field) for field in self.fields(sample).values())

    def _count(self, sample: Sample, field: str) -> int:
        kind, value = find_field(sample, field)
        told = f"field {field!r} of sample {sample.get('__key__', '')!r}"
        if kind == "array":
            return self._spec.count(array_length(sample, field, value))
        if isinstance(value, memoryview):
            value = BytesFile(value)
        # The clips that are complete come before the error of those that are not.
        spec = replace(self._spec, policy="drop") if self._spec.policy == "error" else self._spec
        if kind == "sound":
            return count_clips(value, spec, self._audio, told)
        return spec.count(count_frames(value, spec, self._options, told))

    def _cutter(self, sample: Sample, field: str, key: str, epoch: int, in_step: int, selection: Selection) -> Cutter:
        kind, value = find_field(sample, field)
        rng = sample_rng(self._seed, epoch, key)
        told = f"field {field!r} of sample {key!r}"
        if kind == "sound":
            return AudioClips(
                value,
                self._spec,
                self._audio,
                pool=self._pool,
                rng=rng,
                name=told,
                in_step=in_step,
                selection=selection,
            )
        if kind == "video":
            return VideoClips(
                value,
                self._spec,
                self._format,
                options=self._options,
                pool=self._pool,
                rng=rng,
                name=told,
                in_step=in_step,
                audio=self._audio,
                selection=selection,
            )
        array = array_of(sample, field, value)
        return _ArrayClips(array, self._spec, self._format, self._pool, rng, in_step, selection)
