"""The clips of a sample's fields, which share one plan, joined to samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, cast

from clipx.clip import Clip
from clipx.datasets.fields import Field, Sample
from clipx.datasets.origins import locate
from clipx.datasets.segments import BadSegment, SampleSegments
from clipx.errors import Damage
from clipx.pictures.clips import PictureClips
from clipx.plan import Selection
from clipx.plan.segmented import SegmentErrors
from clipx.video.clips import VideoClips

__all__ = [
    "ClipSample",
    "FieldClips",
    "bad_segments",
    "bytes_decoded",
    "check_lengths",
    "damages_of",
    "joined",
    "sound_of",
]


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


class FieldClips(Protocol):
    """Iterator of the clips of one field: ArrayClips, AudioClips, PictureClips, VideoClips and others like these."""

    @property
    def num_frames(self) -> int | None:
        """Number of frames; None until the last clip has been given."""

    @property
    def segment_errors(self) -> SegmentErrors:
        """Numbers of segments that give no clips, or not all, and why."""

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far, and that is left out or kept."""

    def __iter__(self) -> Iterator[Clip]:
        """The iterator itself."""

    def __next__(self) -> Clip:
        """The next clip."""


def bytes_decoded(clips: FieldClips) -> int:
    """Bytes of the packets of a video, and of pictures, that have been decoded; 0 of sound and arrays."""
    return clips.bytes_decoded if isinstance(clips, (PictureClips, VideoClips)) else 0


def sound_of(name: str, fields: Collection[str]) -> str:
    """The name of the sound of one of so many fields."""
    return "audio" if len(fields) == 1 else f"{name}.audio"


def _in_step(sources: Mapping[Field, Iterator[Clip]]) -> list[Clip]:
    """The next clip of each field, all of one number; empty at the end of any.

    Where damage leaves out the clip of one field, those of the others are left out, too. Raises ValueError where fields
    have different clips of one number.
    """
    if len(sources) == 1:
        ((field, source),) = sources.items()
        only = _next(field, source)
        return [] if only is None else [only]
    clips: dict[Field, Clip] = {}
    numbers = dict.fromkeys(sources, -2)
    latest, ended = -1, False
    while not ended and min(numbers.values()) < latest:
        for field, source in sources.items():
            if numbers[field] < latest:
                clips.pop(field, None)  # its slot is back before the next clip is made
                clip = _next(field, source)
                if clip is None:
                    ended = True  # the others are asked as well, so that they learn of their ends
                else:
                    clips[field], numbers[field] = clip, clip.number
                    latest = max(latest, numbers[field])
                del clip
    if ended:
        return []
    found = [clips[field] for field in sources]
    if found[0].segment is not None and len({(_segment_of(clip), clip.index) for clip in found}) > 1:
        names = ", ".join(f"{field}: {_segment_of(clip)}" for field, clip in zip(sources, found))
        raise ValueError(
            f"the fields of a sample must have the same number of frames, but their segments differ: clip "
            f"{found[0].number} is of segment {names}"
        )
    return found


def _next(field: Field, source: Iterator[Clip]) -> Clip | None:
    """The next clip of a field; None at its end."""
    try:
        return next(source, None)
    except Exception as exn:
        locate(exn, field=field)
        raise


def _segment_of(clip: Clip) -> int | None:
    return None if clip.segment is None else clip.segment.number


def _is_damaged(sources: Mapping[Field, FieldClips]) -> bool:
    """Whether damage has been found so far, or frames that are missing without a word."""
    return bool(damages_of(sources)) or any(isinstance(each, VideoClips) and each.lost for each in sources.values())


def damages_of(sources: Mapping[Field, FieldClips]) -> list[tuple[Field, Damage]]:
    """The damage that has been found in the fields so far, and is left out or kept."""
    return [(field, damage) for field, source in sources.items() for damage in source.damages]


def joined(
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
                out[sound_of(name, fields)] = clip.audio
        segment = clips[0].segment
        of = key if segment is None else f"{key}_{segment.number:04d}"
        out["__key__"] = f"{of}_{clips[0].index:06d}"
        facts = cast("dict[str, Any]", clips[0].facts())
        if len(clips) > 1:
            facts = {name: fact for clip in reversed(clips) for name, fact in clip.facts().items()}
        facts.update(of_source)
        out["clip.json"] = facts
        joined = ClipSample(clips[0].number, selection.damaged or _is_damaged(sources), out)
        del clips, clip, facts, out
        yield joined
        del joined


def check_lengths(counts: Mapping[Field, int | None]) -> None:
    """Raise ValueError where fields have different numbers of frames."""
    if len({*counts.values()}) > 1:
        # A stream that is longer than another was left before its end, and does not know its length.
        found = ", ".join(f"{field}: {'more' if n is None else n}" for field, n in counts.items())
        raise ValueError(f"the fields of a sample must have the same number of frames, but have {found}")


def bad_segments(found: SampleSegments, sources: Mapping[Field, FieldClips], origin: Sample) -> Iterator[BadSegment]:
    """The errors of segments in the order of their numbers, one of each."""
    errors = dict(found.errors)
    for field, source in sources.items():
        for number, error in source.segment_errors:
            if number not in errors:
                locate(error, field=field)
                errors[number] = error
    for number in sorted(errors):
        error = errors.pop(number)
        locate(error, origin, clips=0, segment=number)
        yield BadSegment(error)
        del error
