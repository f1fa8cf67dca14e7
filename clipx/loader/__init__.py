"""A whole training loader: shards to batches, on threads, inside one number of bytes.

loader     the public Loader; config its arguments, budget and needs how its bytes are divided
loader_html  what notebooks show of it
epoch      the threads of one epoch; handover the queue to the consumer, progress the counters of both
steps      interleave (of open_samples, within room), shuffle, batches: each with its state and made from one
batch      a batch that is filled clip by clip, in columns
counters   what an epoch takes; stats what they show, progress_line on a terminal
extract    what the interleave runs for each sample; probe the first of them
state      a saved state: codec as JSON, state_checks; restore what it held
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clipx._lazy import load

if TYPE_CHECKING:
    from clipx.loader.loader import Loader

__all__ = ["Loader"]


def __getattr__(name: str) -> Any:
    # The steps are of use without media.
    if name == "Loader":
        return load("clipx.loader.loader", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
