"""Offline work over files and shards.

Stability: provisional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clipx._lazy import load

if TYPE_CHECKING:
    from clipx.jobs.extraction.errors import ExtractError, PartsLost, TooManyFailures
    from clipx.jobs.extraction.expected import Expected
    from clipx.jobs.extraction.extract import extract, finish
    from clipx.jobs.extraction.progress import Progress
    from clipx.jobs.extraction.stores import OutputError
    from clipx.jobs.extraction.summary import Summary

_HOMES = {
    "Expected": "expected",
    "ExtractError": "errors",
    "OutputError": "stores",
    "PartsLost": "errors",
    "Progress": "progress",
    "Summary": "summary",
    "TooManyFailures": "errors",
    "extract": "extract",
    "finish": "extract",
}

__all__ = [
    "Expected",
    "ExtractError",
    "OutputError",
    "PartsLost",
    "Progress",
    "Summary",
    "TooManyFailures",
    "extract",
    "finish",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clipx.jobs' has no attribute {name!r}")
    value = globals()[name] = load(f"clipx.jobs.extraction.{_HOMES[name]}", name)
    return value


def __dir__() -> list[str]:
    return __all__
