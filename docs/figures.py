"""Figures of the benchmarks for docs/performance.md, from the numbers in bench/results."""

import json
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from _figures import rivals_of, times  # noqa: E402
from _page import figures_of, table  # noqa: E402

AHEAD, BEHIND, TEXT = "#4a90d9", "#d9634a", "#8a8a8a"
"""Colours that are legible on light and on dark grounds."""


def machines():
    """The records of each machine, by the name of its file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((BENCH / "results").glob("*.json"))}


def compared():
    """Each case that has rivals, as (question, what was measured, the strongest rival), of all machines."""
    for content in machines().values():
        for question, figure, records in figures_of(content):
            for record in records:
                best = next(iter(rivals_of(record, figure)), None)
                if best is not None:
                    yield question, figure, best


def overview():
    """A sheet with a dot for each case: how clipx does against the strongest rival of it."""
    from matplotlib import pyplot

    groups = {}
    for question, figure, best in compared():
        groups.setdefault(f"{question.name}: {figure.title.lower()}", []).append(best.ratio.median)
    sheet, axis = pyplot.subplots(figsize=(6, 0.32 * len(groups) + 0.8), layout="constrained")
    for row, ratios in enumerate(groups.values()):
        colors = [AHEAD if ratio >= 1 else BEHIND for ratio in ratios]
        axis.scatter(ratios, [row] * len(ratios), c=colors, s=26, alpha=0.75, linewidths=0)
    axis.axvline(1, color=TEXT, linewidth=1)
    axis.set_xscale("log", base=2)
    axis.set_xticks([0.5, 1, 2, 4, 8], ["0.5x", "1x", "2x", "4x", "8x"])
    axis.set_yticks(range(len(groups)), groups)
    axis.invert_yaxis()
    axis.set_xlabel("clipx against the strongest rival")
    axis.tick_params(colors=TEXT, labelsize=10)
    axis.xaxis.label.set_color(TEXT)
    axis.grid(axis="x", color=TEXT, alpha=0.25)
    axis.spines[:].set_visible(False)
    sheet.patch.set_alpha(0)
    axis.patch.set_alpha(0)
    return sheet


def behind():
    """A table, in Markdown, of the cases in which clipx was behind by more than the spread of the repetitions."""
    rows = [
        [question.name, best.record["title"], best.name, times(best.ratio)]
        for question, _, best in compared()
        if best.ratio.high < 1
    ]
    return "\n".join(table(("benchmark", "case", "ahead", "clipx is"), rows))


def summary():
    """One sentence of numbers."""
    ratios = [best.ratio for _, _, best in compared()]
    ahead = sum(ratio.low > 1 for ratio in ratios)
    lost = sum(ratio.high < 1 for ratio in ratios)
    return (
        f"Of {len(ratios)} cases on {len(machines())} machines, clipx was ahead of every rival in {ahead}, behind the "
        f"strongest in {lost}, and within the spread of the repetitions in {len(ratios) - ahead - lost}."
    )
