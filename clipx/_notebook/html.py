"""Elements of HTML: strips of pictures, waveforms, bars and tables. Every text is escaped, and none is long.

Styles are in the elements, as notebooks drop others, and in colors that suit light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from html import escape
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Picture", "bar", "block", "shown", "strip", "table", "text", "waveform"]

MOST_CHARACTERS = 120
COLORS = ("#4c78a8", "#e39a3b", "#54a24b", "#b279a2", "#9d755d")
REST = "rgba(128,128,128,.25)"
SMALL = "font-size:smaller;opacity:.75"


class Picture(NamedTuple):
    """A picture of a strip.

    Attributes:
        uri: the picture as a data: address.
        size: (height, width) at which it is shown, in pixels.
        caption: the text under it.
        filled: whether it stands past the end of its source.
    """

    uri: str
    size: tuple[int, int]
    caption: str
    filled: bool = False


def shown(draw: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """A function that serves as `_repr_html_`: None, so that `repr` is shown, where the HTML cannot be made."""

    @wraps(draw)
    def method(value: Any) -> str | None:
        try:
            return draw(value)
        except Exception:
            return None

    return method


def text(value: object, most: int = MOST_CHARACTERS) -> str:
    """A value as escaped text; a long one is cut."""
    said = str(value)
    said = "".join(each if each.isprintable() else " " for each in said[: most + 1])
    return escape(said if len(said) <= most else said[: most - 1] + "…")


def block(title: str, *parts: str) -> str:
    """A title in bold, and parts below it."""
    return f'<div style="margin:.3em 0"><div><b>{text(title, 300)}</b></div>{"".join(parts)}</div>'


def strip(pictures: Iterable[Picture], label: str = "") -> str:
    """Pictures side by side, each with its caption, behind a label."""
    cells = [f'<div style="{SMALL};width:100%;overflow-wrap:anywhere">{text(label)}</div>'] if label else []
    for picture in pictures:
        height, width = picture.size
        look = "opacity:.4;" if picture.filled else ""
        caption = text(picture.caption)
        cells.append(
            f'<div style="text-align:center"><img src="{picture.uri}" alt="{caption}" width="{width}" '
            f'height="{height}" style="{look}display:block;margin:0 auto;max-width:none">'
            f'<span style="{SMALL}">{caption}</span></div>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px;margin:.3em 0">{"".join(cells)}</div>'


def waveform(samples: np.ndarray, label: str, points: int = 240) -> str:
    """The lowest and highest value over time of audio samples (channels, samples), as a drawing."""
    count = samples.shape[-1]
    if not samples.size:
        return f'<div style="{SMALL}">{text(label)}</div>'
    starts = np.linspace(0, count, min(points, count), endpoint=False).astype(np.int64)
    low = np.minimum.reduceat(samples.min(axis=0), starts).astype(np.float64)
    high = np.maximum.reduceat(samples.max(axis=0), starts).astype(np.float64)
    # float64 holds the largest of any integer; nan and infinity are drawn as silence.
    low, high = np.nan_to_num(low, posinf=0, neginf=0), np.nan_to_num(high, posinf=0, neginf=0)
    most = max(float(np.abs(low).max()), float(np.abs(high).max())) or 1.0
    x = np.linspace(0, 480, len(starts) + 1)[:-1]
    upper = [f"{a:.0f},{20 - 19 * b / most:.1f}" for a, b in zip(x, high)]
    lower = [f"{a:.0f},{20.5 - 19 * b / most:.1f}" for a, b in zip(x[::-1], low[::-1])]
    return (
        f'<div style="margin:.3em 0"><svg width="480" height="40" viewBox="0 0 480 40" role="img" '
        f'aria-label="{text(label)}" style="max-width:100%"><polygon points="{" ".join(upper + lower)}" '
        f'fill="{COLORS[0]}"/></svg><div style="{SMALL}">{text(label)}</div></div>'
    )


def bar(parts: Sequence[tuple[str, float]], total: float, rest: str = "") -> str:
    """A bar of parts, each with its label below it; `rest` is the label of what they leave of `total`."""
    whole = max(total, math.fsum(amount for _, amount in parts)) or 1
    pieces, labels = [], []
    for number, (label, amount) in enumerate(parts):
        color = COLORS[number % len(COLORS)]
        pieces.append(f'<div style="width:{100 * amount / whole:.2f}%;background:{color}"></div>')
        labels.append(_key(color, label))
    if rest:
        labels.append(_key(REST, rest))
    return (
        f'<div style="display:flex;height:12px;max-width:480px;margin:.3em 0;background:{REST}">{"".join(pieces)}</div>'
        f'<div style="{SMALL}">{" ".join(labels)}</div>'
    )


def _key(color: str, label: str) -> str:
    square = f'<span style="display:inline-block;width:.8em;height:.8em;background:{color}"></span>'
    return f'<span style="margin-right:1em;white-space:nowrap">{square} {text(label)}</span>'


def table(rows: Iterable[tuple[object, object]]) -> str:
    """Names and values, a line for each."""
    cell = "text-align:left;padding:1px 1em 1px 0"
    lines = [
        f'<tr><td style="{cell};opacity:.75">{text(name, 40)}</td><td style="{cell}">{text(value)}</td></tr>'
        for name, value in rows
    ]
    return f'<table style="margin:.3em 0">{"".join(lines)}</table>'
