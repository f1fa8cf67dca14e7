"""A run as a table and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soak.measuring import Trace

ROWS = 11
COLUMNS = [
    ("RSS, MB", "rss", 1e6, "{:.2f}"),
    ("USS, MB", "uss", 1e6, "{:.2f}"),
    ("descriptors", "descriptors", 1, "{:.0f}"),
    ("threads", "threads", 1, "{:.0f}"),
    ("processes", "children", 1, "{:.0f}"),
    ("clips held", "leased", 1, "{:.0f}"),
]


def table(trace: Trace) -> str:
    """Some measurements, the drift of memory, and how fast the run was."""
    every = trace.measurements
    picked = [every[round(i * (len(every) - 1) / (ROWS - 1))] for i in range(ROWS)]
    rows = [["seconds", trace.name, *(title for title, *_ in COLUMNS)]]
    for each in picked:
        cells = [text.format(getattr(each, name) / unit) for _, name, unit, text in COLUMNS]
        rows.append([f"{each.seconds:.0f}", f"{each.done:,}", *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
    last = every[-1]
    lines.append(
        f"{last.done:,} {trace.name} in {last.seconds:.0f} s, {last.done / last.seconds:,.0f} a second; drift from the "
        f"second tenth to the last: RSS {trace.drift('rss'):+.2%}, USS {trace.drift('uss'):+.2%}"
    )
    return "\n".join(lines)


def plot(traces: Sequence[Trace], path: Path) -> None:
    """Draw memory over the work done, and descriptors and threads below, a column for each run."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams |= {"svg.hashsalt": "clipx", "svg.fonttype": "none"}
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, len(traces), figsize=(5 * len(traces), 5), squeeze=False, sharex="col")
    for trace, (above, below) in zip(traces, grid.T):
        done = [each.done for each in trace.measurements]
        _lines(above, trace, done, [("rss", "RSS", 1e6), ("uss", "USS", 1e6)])
        above.set_ylabel("MB")
        above.set_ylim(bottom=0)
        above.set_title(f"{trace.total:,} {trace.name}")
        _lines(below, trace, done, [("descriptors", "descriptors", 1), ("threads", "threads", 1)])
        below.set_ylabel("number")
        below.set_ylim(bottom=0)
        below.set_xlabel(trace.name)
        for each in (above, below):
            each.axvspan(0, trace.total / 10, color="#888", alpha=0.15)
            each.legend(loc="lower right")
            each.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _lines(axes: Any, trace: Trace, done: list[int], names: list[tuple[str, str, float]]) -> None:
    for name, label, unit in names:
        axes.plot(done, [getattr(each, name) / unit for each in trace.measurements], label=label, linewidth=1.2)
