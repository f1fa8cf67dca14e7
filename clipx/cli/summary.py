"""Tables of what has been found in shards and files: counts over all, and a line for each stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clipx.cli.output import counted, printable

if TYPE_CHECKING:
    from clipx.jobs.findings import Summary

__all__ = ["print_rows", "print_summary"]

MOST_COMMON = 6
"""Values of a property that the summary names."""


def print_summary(console: Console, summary: Summary) -> None:
    """Print a table of counts."""
    table = Table(show_header=False, box=None)

    def row(name: str, counts: Mapping[Any, int], text: Callable[[int, Any], str]) -> None:
        common = sorted(counts.items(), key=lambda each: -each[1])
        texts = [text(count, value) for value, count in common[:MOST_COMMON]]
        if texts:
            more = len(common) - MOST_COMMON
            table.add_row(name, ", ".join(texts) + (f" and {more} more" if more > 0 else ""))

    row("found", summary.kinds, lambda count, kind: counted(count, kind or "unknown file"))
    row("status", summary.statuses, lambda count, status: f"{count} {status}")
    row("sizes", summary.sizes, lambda count, size: f"{count} of {size[1]}x{size[0]}")
    row("frame rates", summary.rates, lambda count, rate: f"{count} at {rate:g}")
    row("sample rates", summary.sample_rates, lambda count, rate: f"{count} at {rate}")
    for kind in ("video", "sound"):
        if summary.kinds[kind]:
            frames = f", {counted(summary.frames, 'frame')}" if kind == "video" else ""
            table.add_row(kind, f"{summary.seconds[kind] / 3600:.2f} hours{frames}")
    if summary.silent:
        table.add_row("without sound", f"{summary.silent} of {counted(summary.kinds['video'], 'video')}")
    console.print(table)


def print_rows(console: Console, rows: Iterable[Mapping[str, Any]], most: int) -> None:
    """Print a line for each of the first rows of an index."""
    table = Table(box=None)
    for name in ("sample", "field", "kind", "codec", "size", "frames/s", "frames", "seconds", "Hz", "status"):
        table.add_column(name, justify="right" if name in ("frames/s", "frames", "seconds", "Hz") else "left")
    left = iter(rows)
    for row in islice(left, most):
        table.add_row(*(escape(printable(each)) for each in _cells(row)))
    console.print(table)
    if more := sum(1 for _ in left):
        console.print(f"and {counted(more, 'row')} more", highlight=False)


def _cells(row: Mapping[str, Any]) -> list[str]:
    def text(name: str, form: str = "") -> str:
        value = row.get(name)
        return "" if value is None else format(value, form)

    has_size = row.get("width") is not None and row.get("height") is not None
    size = f"{row['width']}x{row['height']}" if has_size else ""
    if row.get("shape") is not None:
        size = f"{text('dtype')} {tuple(row['shape'])}"
    rate = "" if row.get("fps_num") is None else f"{row['fps_num'] / row['fps_den']:.6g}"
    field = ":".join(filter(None, (text("field"), text("member"))))
    status = text("status") if row.get("error") is None else f"{text('status')}: {text('error')}"
    frames = text("samples" if row.get("kind") == "sound" else "frames")
    names = [text("key"), field, text("kind"), text("codec"), size, rate, frames, text("duration", ".3f")]
    return [*names, text("sample_rate"), status]
