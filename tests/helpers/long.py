"""The long tests, which CI runs each night: with CLIPX_LONG=1 grids are whole, and more is drawn at random."""

import os
from collections.abc import Iterable
from typing import TypeVar

LONG = os.environ.get("CLIPX_LONG") == "1"

T = TypeVar("T")


def some(cases: Iterable[T], every: int) -> list[T]:
    """All cases of a grid where the long tests run, else one of `every`."""
    return list(cases)[:: 1 if LONG else every]
