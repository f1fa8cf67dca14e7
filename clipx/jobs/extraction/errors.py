"""Errors of a job as a whole, which come when everything else is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipx.jobs.extraction.summary import Summary

__all__ = ["ExtractError", "PartsLost", "TooManyFailures"]


class ExtractError(RuntimeError):
    """A job that has not given what it was to give. What is done stays.

    Stability: provisional.
    """


class PartsLost(ExtractError):
    """Parts whose processes died, twice.

    Attributes:
        parts: how each ended, by its number.

    Stability: provisional.
    """

    def __init__(self, parts: Mapping[int, str]) -> None:
        named = "; ".join(f"part {part}: {how}" for part, how in sorted(parts.items())[:5])
        more = f"; and {len(parts) - 5} more" if len(parts) > 5 else ""
        super().__init__(
            f"{len(parts)} part{'s' * (len(parts) > 1)} could not be done: {named}{more}. The others are done; run "
            f"again to try these again, with less memory= or fewer jobs= where the system ran out of memory"
        )
        self.parts = dict(parts)

    def __reduce__(self) -> tuple[type[PartsLost], tuple[Mapping[int, str]]]:
        return type(self), (self.parts,)


class TooManyFailures(ExtractError):
    """More samples have failed than max_failures allows. The job is done all the same.

    Attributes:
        summary: of the job.

    Stability: provisional.
    """

    def __init__(self, message: str, summary: Summary) -> None:
        super().__init__(message)
        self.summary = summary

    def __reduce__(self) -> tuple[type[TooManyFailures], tuple[str, Summary]]:
        return type(self), (str(self), self.summary)
