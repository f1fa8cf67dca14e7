"""Figures that the page shows: their values in the records, and the rivals they are compared with."""

from __future__ import annotations

from typing import NamedTuple

from _measure import Spread, spread
from _results import Record


class Figure(NamedTuple):
    """A figure of the records that a benchmark wrote under `key`, one value for each contestant.

    Attributes:
        key: of the records.
        title: above its table.
        value: key of the figure in the record of a contestant.
        unit: in which it is shown.
        scale: from the record's unit to the shown one.
        lower: whether lower is better.
        charted: a pattern; records in whose title it is found are drawn. None draws nothing.
    """

    key: str
    title: str
    value: str
    unit: str
    scale: float = 1
    lower: bool = False
    charted: str | None = None


def value_of(record: Record, figure: Figure, name: str) -> Spread | None:
    """The figure of a contestant, with its spread where every repetition is known; None where it has none."""
    contestant = record["contestants"].get(name, {})
    value = contestant.get(figure.value)
    if value is None:
        return None
    value *= figure.scale
    seconds = contestant.get("seconds")
    if not seconds:
        return Spread(value, value, value)
    middle, low, high = spread(seconds)
    if figure.lower:
        return Spread(value, value * (low / middle), value * (high / middle))
    return Spread(value, value * (middle / high), value * (middle / low))


def advantage(record: Record, figure: Figure, name: str) -> Spread | None:
    """Speed of ours over that of a contestant or, where lower is better, the contestant's figure over ours."""
    ours, theirs = (record["contestants"].get(each, {}) for each in (record["ours"], name))
    if "seconds" in ours and "seconds" in theirs:
        return spread(b / a for a, b in zip(ours["seconds"], theirs["seconds"]))
    a, b = ours.get(figure.value), theirs.get(figure.value)
    if not a or not b:
        return None
    ratio = b / a if figure.lower else a / b
    return Spread(ratio, ratio, ratio)


class Rival(NamedTuple):
    record: Record
    name: str
    ratio: Spread


def rivals_of(record: Record, figure: Figure) -> list[Rival]:
    """The rivals of a case, the strongest first."""
    ratios = [(name, advantage(record, figure, name)) for name in record["rivals"]]
    return sorted((Rival(record, name, ratio) for name, ratio in ratios if ratio), key=lambda rival: rival.ratio.median)


def short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(value: Spread | None) -> str:
    if value is None:
        return ""
    if value.low == value.high:
        return short(value.median)
    return f"{short(value.median)} ({short(value.low)}..{short(value.high)})"


def times(ratio: Spread | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.median:.2f}x" + (f" ({ratio.low:.2f}..{ratio.high:.2f})" if ratio.low != ratio.high else "")
