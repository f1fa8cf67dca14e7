"""Batches and samples as pictures in notebooks: `show`, and `%load_ext clipx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clipx._notebook.clips import MOST_PICTURES, Strip, draw, strips, waveform_of
from clipx._notebook.html import block, shown, table
from clipx.datasets.source_names import kind_of_name
from clipx.wds.layout import is_sound_beside

__all__ = ["Shown", "register", "show", "unregister"]

MOST_CLIPS = 8
MOST_FIELDS = 12
PICTURES_OF_CLIP = 4
VALUES_IN_LINE = 3


class Shown:
    """What a notebook shows of a value, made at once: it holds no array."""

    def __init__(self, html: str | None, said: str) -> None:
        self._html, self._said = html, said

    def _repr_html_(self) -> str | None:
        return self._html

    def __repr__(self) -> str:
        return self._said


def show(value: Any) -> Shown:
    """Show a batch or a sample in a notebook: frames of its first clips, with their keys and times, and sound.

    >>> clipx.show(next(iter(loader)))

    Also shows what has HTML of its own: a Clip, a ClipPool, a Loader. After `%load_ext clipx`, a cell that ends in a
    batch shows it without this call. At most 8 clips are shown, and some 200 kB. The arrays are looked at once and are
    not held, so that the slots of a batch come free as if it had not been shown.

    Returns an object for the end of a cell or for IPython's `display`; elsewhere its `repr` names the fields.

    Stability: provisional. Added in version 0.2.
    """
    if not isinstance(value, Mapping):
        draw_it = getattr(value, "_repr_html_", None)
        return Shown(draw_it() if callable(draw_it) else None, repr(value))
    return Shown(mapping_html(value), "\n".join(f"{name}: {_described(each)}" for name, each in value.items()))


@shown
def mapping_html(value: Mapping[Any, Any]) -> str:
    """A batch or a sample: the strips of its clips, and a table of its fields."""
    keys = value.get("__key__")
    batch = isinstance(keys, (list, tuple))
    count = len(keys) if isinstance(keys, (list, tuple)) else 1
    rows = min(count, MOST_CLIPS)
    found: list[Strip] = []
    sounds: list[str] = []
    for name, field in list(value.items())[:MOST_FIELDS]:
        for number in range(rows):
            clip = _clip(field[number] if batch and _has_rows(field, count) else None if batch else field)
            if clip is None:
                continue
            facts = value.get("clip.json")
            facts = facts[number] if batch and isinstance(facts, list) and number < len(facts) else facts
            facts = facts if isinstance(facts, Mapping) else {}
            label = f"{keys[number] if isinstance(keys, (list, tuple)) else keys}, {name}"
            if _is_sound(name, clip):
                sounds.append(waveform_of(clip, facts.get("sample_rate"), label, 120))
            elif len(found) < MOST_CLIPS:
                found += strips(clip, facts, PICTURES_OF_CLIP if batch else MOST_PICTURES, label)
    title = f"Batch of {count} clip{'s' * (count != 1)}" if batch else f"Sample {keys}"
    title += f", the first {rows} shown" if rows < count else ""
    return block(
        title,
        draw(found[: 2 * MOST_CLIPS], 56 if batch else 90),
        *sounds[:MOST_CLIPS],
        table((name, _described(each)) for name, each in value.items()),
    )


def _has_rows(field: Any, count: int) -> bool:
    return (isinstance(field, list) or _is_array(field)) and len(field) == count


def _is_array(value: Any) -> bool:
    """Whether this is an array, or a tensor, which shows its numbers to NumPy."""
    return hasattr(value, "__array__") and len(getattr(value, "shape", ())) > 0


def _clip(value: Any) -> np.ndarray | None:
    """A value as an array; None where it is none, or has its numbers on another device."""
    if not _is_array(value):
        return None
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _is_sound(name: Any, clip: np.ndarray) -> bool:
    named = isinstance(name, str) and (is_sound_beside(name) or kind_of_name(f"a.{name}") == "sound")
    return named and 0 < clip.ndim <= 2 and clip.dtype.kind in "iuf"


def _described(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        some = [_described(each) for each in value[:VALUES_IN_LINE]]
        return f"{len(value)}: {', '.join(some)}{', ...' * (len(value) > VALUES_IN_LINE)}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return f"{{{', '.join(map(str, list(value)[:VALUES_IN_LINE]))}{', ...' * (len(value) > VALUES_IN_LINE)}}}"
    return str(value)


def _is_batch(value: Mapping[Any, Any]) -> bool:
    keys = value.get("__key__")
    if not isinstance(keys, (list, str)):
        return False
    return any(_is_array(each) or (isinstance(each, list) and each and _is_array(each[0])) for each in value.values())


def _dict_html(value: dict[Any, Any]) -> str | None:
    """What a dict is shown as: a batch as pictures, a subclass as it says itself, others as text."""
    own = getattr(value, "_repr_html_", None)
    if callable(own):
        return own()
    return mapping_html(value) if _is_batch(value) else None


def register(ipython: Any) -> None:
    """Have a notebook show the dicts that are batches or samples as pictures."""
    ipython.display_formatter.formatters["text/html"].for_type(dict, _dict_html)


def unregister(ipython: Any) -> None:
    """Have it show them as text again."""
    ipython.display_formatter.formatters["text/html"].pop(dict, None)
