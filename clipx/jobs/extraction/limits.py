"""The arguments `part=` and `max_failures=` of a job."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from clipx._checks import integer
from clipx.jobs.extraction.errors import TooManyFailures
from clipx.jobs.extraction.summary import Summary

__all__ = ["MostFailures", "PartChoice", "parse_most_failures", "parse_part"]


class PartChoice(NamedTuple):
    """Every `step`-th part of a job, from part `first` on."""

    first: int
    step: int

    def of(self, parts: int) -> range:
        """The numbers of the parts, of so many."""
        return range(self.first, parts, self.step)


def parse_part(part: tuple[int, int] | str | None) -> PartChoice:
    """The parts that `part` names: (i, n) or "i/n" for i, i + n, i + 2 n, ...; None for all.

    Raises TypeError and ValueError for others.
    """
    if part is None:
        return PartChoice(0, 1)
    if isinstance(part, str):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", part)
        if match is None:
            raise ValueError(f"part is {part!r}, but must be as '0/8': which one, counted from 0, and of how many")
        part = int(match[1]), int(match[2])
    if not isinstance(part, tuple) or len(part) != 2:
        raise TypeError(f"part is {part!r}, but must be as (0, 8) or '0/8'")
    count = integer("the number behind part", part[1], 1)
    first = integer("part", part[0], 0)
    if first >= count:
        raise ValueError(f"part is {first} of {count}, but must be from 0 to {count - 1}")
    return PartChoice(first, count)


class MostFailures(NamedTuple):
    """Most samples that may fail: a number of them, or a share of all.

    Attributes:
        given: as the argument was given.
        number: of samples; with `is_share`, for each sample of the job.
    """

    given: int | str
    number: Fraction
    is_share: bool

    def check(self, summary: Summary) -> None:
        """Raise TooManyFailures where more have failed."""
        most = self.number * (max(summary.samples, 1) if self.is_share else 1)
        if summary.failed > most:
            raise TooManyFailures(
                f"{summary.failed} of {summary.samples} samples have failed, more than max_failures={self.given!r} "
                f"allows. The job is done; its lists of failures say why, and retry_failed tries them again",
                summary,
            )


def parse_most_failures(given: int | str | None) -> MostFailures | None:
    """The argument `max_failures`: a number of samples, or a share such as "5%"; None for any number.

    Raises TypeError and ValueError for others.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        return MostFailures(given, Fraction(integer("max_failures", given, 0)), False)
    match = re.fullmatch(r"\s*(\d{1,12}|\d{1,3}(?:\.\d{1,9})?\s*(%))\s*", given)
    if match is None or (match[2] and Fraction(match[1].rstrip("% ")) > 100):
        raise ValueError(f"max_failures is {given!r}, but must be a number of samples, or a share of them such as '5%'")
    number = Fraction(match[1].rstrip("% "))
    return MostFailures(given, number / 100 if match[2] else number, bool(match[2]))
