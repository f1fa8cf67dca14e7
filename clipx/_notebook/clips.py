"""The strip of one clip, and its sound, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clipx._notebook.html import Picture, block, shown, strip, table, waveform
from clipx._notebook.pictures import as_frames, thumbnails

__all__ = ["MOST_PICTURES", "Strip", "clip_html", "draw", "strips", "waveform_of"]

MOST_PICTURES = 8
"""Pictures of a clip that are shown."""

FACTS = ("fps", "source_fps", "sample_rate", "crop", "flip", "damaged")


class Strip(NamedTuple):
    """Frames of a clip to be shown.

    Attributes:
        label: the text before them; "" for none.
        frames: each (height, width, channels).
        captions: of each.
        filled: whether each stands past the end of its source.
    """

    label: str
    frames: list[np.ndarray]
    captions: list[str]
    filled: list[bool]


def chosen(count: int, most: int) -> list[int]:
    """At most so many of `count` positions, evenly spaced, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def strips(data: np.ndarray, facts: Mapping[str, Any], most: int = MOST_PICTURES, label: str = "") -> list[Strip]:
    """The strips of a clip, one for each of its views; none where it shows no pictures.

    Args:
        facts: of the clip, as "clip.json" has them. What is not a number there is not shown.
        most: number of pictures in all strips together.
    """
    length = facts.get("length")
    frames = as_frames(data, length if isinstance(length, int) else None)
    if frames is None:
        return []
    views, count = frames.shape[:2]
    places = chosen(count, max(most // views, 1))
    captions, filled = [_caption(facts, each) for each in places], [_is_filled(facts, each) for each in places]
    captions = ["filled" if empty else caption for caption, empty in zip(captions, filled)]
    found = []
    for view in range(min(views, most)):
        said = [label] if label else []
        said += [f"view {view}"] if views > 1 else []
        found.append(Strip(", ".join(said), [frames[view, each] for each in places], captions, filled))
    return found


def _at(values: Any, position: int) -> Any:
    return values[position] if isinstance(values, (list, np.ndarray)) and position < len(values) else None


def _caption(facts: Mapping[str, Any], position: int) -> str:
    seconds, index = _at(facts.get("pts_seconds"), position), _at(facts.get("frame_indices"), position)
    if isinstance(seconds, float) and math.isfinite(seconds):
        return f"{seconds:.3f} s"
    return f"frame {int(index)}" if isinstance(index, (int, np.integer)) else f"position {position}"


def _is_filled(facts: Mapping[str, Any], position: int) -> bool:
    valid = facts.get("valid")
    return isinstance(valid, int) and position >= valid


def draw(found: list[Strip], height: int = 90) -> str:
    """Strips as HTML; the pictures of all of them share the bytes that a cell may take, and a range of numbers."""
    frames = [frame for each in found for frame in each.frames]
    if not frames:
        return ""
    small, parts, first = thumbnails(frames, height), [], 0
    for each in found:
        last = first + len(each.frames)
        cells = zip(small.uris[first:last], small.sizes[first:last], each.captions, each.filled)
        parts.append(strip([Picture(*cell) for cell in cells], each.label))
        first = last
    return "".join(parts) + (table([("range", small.note)]) if small.note else "")


def waveform_of(samples: np.ndarray, rate: object = None, label: str = "sound", points: int = 240) -> str:
    """The waveform of sound, (channels, samples) or (samples, channels) or samples alone."""
    samples = np.atleast_2d(samples)
    samples = samples.T if samples.shape[0] > samples.shape[1] else samples
    channels, count = samples.shape
    seconds = f", {count / rate:.3f} s" if isinstance(rate, int) and rate > 0 else ""
    named = f"{label}: {channels} channel{'s' * (channels != 1)}, {count} samples{seconds}"
    return waveform(samples, named, points)


@shown
def clip_html(clip: Any) -> str:
    """A Clip: its frames with their times, its sound, and facts of it."""
    facts = {name: getattr(clip, name) for name in ("length", "valid", "pts_seconds", "frame_indices", *FACTS)}
    pictures = draw(strips(clip.data, facts))
    sound = clip.data if not pictures and clip.data.ndim <= 2 else clip.audio
    rows = [(name, facts[name]) for name in FACTS if facts[name] is not None]
    rows += [] if clip.segment is None else [("segment", clip.segment)]
    return block(
        repr(clip).strip("<>"),
        pictures,
        "" if sound is None else waveform_of(sound, clip.sample_rate),
        table(rows) if rows else "",
    )
