"""A ClipPool as HTML."""

from __future__ import annotations

from typing import Any

from clipx._notebook.html import bar, block, shown, table
from clipx._reprs import byte_text

__all__ = ["pool_html"]


@shown
def pool_html(pool: Any) -> str:
    """The slots of a pool, leased and free, and their bytes."""
    slots, free, leased, peak, slot_bytes, waits = pool.stats()
    title = repr(pool).strip("<>")
    if not slots:
        return block(title)
    return block(
        title,
        bar([(f"{leased} leased", leased)], slots, f"{free} free"),
        table([("slot", byte_text(slot_bytes)), ("most leased", f"{peak} of {slots}"), ("waits", waits)]),
    )
