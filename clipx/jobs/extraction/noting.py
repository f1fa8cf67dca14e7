"""Errors and notes of samples as failures of a job."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from clipx.datasets.origins import origin_of, reason_of
from clipx.jobs.extraction.failures import Failure

__all__ = ["Notes", "failure_of"]


def failure_of(exn: Exception, sample: Mapping[str, Any], renamed: Callable[[str], str], clips: int) -> Failure:
    """The failure that an error is.

    Args:
        sample: its key and its source.
        renamed: takes the reason, and gives it without the folder of the inputs.
        clips: that the sample gave before.
    """
    origin = origin_of(exn)
    failure = Failure(
        sample.get("__key__"),
        sample.get("__url__"),
        origin.field,
        origin.segment,
        "error" if origin.segment is None else "bad segment",
        renamed(reason_of(exn)),
        getattr(exn, "seconds", None),
        clips,
    )
    traceback.clear_frames(exn.__traceback__)
    return failure


class Notes:
    """Takes notes of a sample as failures; see `clipx.datasets.ledger.Notes`."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def note(
        self,
        kind: str,
        sample: Mapping[str, Any],
        message: str,
        *,
        field: str | None = None,
        clips: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Take a note."""
        names = sample.get("__key__"), sample.get("__url__")
        self.failures.append(
            Failure(*names, None if field is None else str(field), None, kind, message, seconds, clips or 0)
        )
