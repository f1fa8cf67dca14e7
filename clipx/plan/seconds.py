"""Seconds that users give, and their ticks in a time base."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from clipx._checks import exact_number

__all__ = ["Rounded", "as_seconds", "as_ticks", "first_from"]


class Rounded(Fraction):
    """A number that was given as a float: the decimal that it is written as, known to be rounded."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(float(self))


def as_seconds(name: str, value: Any) -> Fraction | None:
    """Seconds as an exact fraction, or None; a float is a Rounded. Raises as `exact_number`."""
    if value is None or isinstance(value, Rounded):
        return value
    exact = exact_number(name, value, "seconds")
    return exact if isinstance(value, (str, int, Fraction, np.integer)) else Rounded(exact)


def as_ticks(seconds: Fraction, time_base: Fraction) -> Fraction:
    """Seconds in ticks: exactly, except that a float equal to a tick's time in `pts_seconds` means that tick.

    So does such a time rounded to 32 bits, also as a float of 64. If several ticks have the same time as a float, the
    first is meant.
    """
    if isinstance(seconds, Rounded):
        value = float(seconds)
        for kind in _kinds(value):
            tick = _first_tick(value, kind, time_base)
            if tick is not None:
                return Fraction(tick)
    return Fraction(seconds) / time_base


def first_from(seconds: Fraction, n: int, time: Callable[[int], Fraction]) -> int:
    """The first of n frames that begins at this time or later; n where none does.

    A float means what it means for `as_ticks`. time: gives the time of a frame, ascending.
    """
    frames = range(n)
    if isinstance(seconds, Rounded):
        value = float(seconds)
        for kind in _kinds(value):
            k = bisect_left(frames, value, key=lambda k: float(kind(float(time(k)))))
            if k < n and float(kind(float(time(k)))) == value:
                return k
    return bisect_left(frames, Fraction(seconds), key=time)


def _kinds(value: float) -> list[type[np.floating]]:
    """The kinds of floats that a value may have been rounded to."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    # A float of 32 bits, not a number of as few digits that was written by hand.
    return [np.float64, np.float32] if float(single) == value != float(str(single)) else [np.float64]


def _first_tick(value: float, kind: type[np.floating], time_base: Fraction) -> int | None:
    """The first tick whose time is `value`, as a float of 64 bits that is rounded to `kind`."""
    below = float(np.nextafter(kind(value), kind(-math.inf)))
    if math.isinf(below):
        return None
    # The first tick nearer to `value` than to the float before it; a tick half way goes to one of them.
    tick = math.ceil((Fraction(below) + Fraction(value)) / 2 / time_base) - 1
    for each in range(tick, tick + 3):
        if float(kind(each * time_base.numerator / time_base.denominator)) == value:
            return each
    return None
