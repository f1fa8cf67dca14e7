"""The plots of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from _figures import Figure, short, value_of
from _results import OURS, Record

OURS_COLOR, VARIANT_COLOR, LIMIT_COLOR, RIVAL_COLOR = "#c8553d", "#e6ad9f", "#9a9a9a", "#8fb8de"


def color_of(record: Record, name: str) -> str:
    if name == record["ours"]:
        return OURS_COLOR
    if name in record["rivals"]:
        return RIVAL_COLOR
    return VARIANT_COLOR if name.startswith(OURS) else LIMIT_COLOR


def draw(path: Path, figure: Figure, records: Sequence[Record]) -> bool:
    """Bars of every contestant, a group for each record; false where nothing is to be drawn."""
    from matplotlib.figure import Figure as Sheet

    groups = []
    for record in records:
        if figure.charted is not None and re.search(figure.charted, record["title"]):
            values = {name: value_of(record, figure, name) for name in record["contestants"]}
            groups.append((record, {name: value for name, value in values.items() if value is not None}))
    if not groups:
        return False
    sheet = Sheet(figsize=(9, sum(0.26 * len(values) + 0.75 for _, values in groups) + 0.3), layout="constrained")
    axes = sheet.subplots(len(groups), 1, squeeze=False, height_ratios=[len(values) + 1 for _, values in groups])
    for axis, (record, values) in zip(axes[:, 0], groups):
        colors = [color_of(record, name) for name in values]
        middles = [value.median for value in values.values()]
        beyond = [[v.median - v.low for v in values.values()], [v.high - v.median for v in values.values()]]
        bars = axis.barh(list(values), middles, xerr=beyond, color=colors, ecolor="#555555")
        axis.bar_label(bars, [short(middle) for middle in middles], label_type="center", fontsize=8)
        axis.invert_yaxis()
        axis.set_title(record["title"], loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel(f"{figure.unit}, {'less' if figure.lower else 'more'} is better")
    sheet.savefig(path, dpi=110)
    return True


def draw_curves(path: Path, records: Sequence[Record]) -> bool:
    """Memory over time, a panel for each record; false where none has a curve."""
    from matplotlib.figure import Figure as Sheet

    curved = [record for record in records if any("curve" in each for each in record["contestants"].values())]
    if not curved:
        return False
    sheet = Sheet(figsize=(9, 2.4 * len(curved) + 0.4), layout="constrained")
    for axis, record in zip(sheet.subplots(len(curved), 1, squeeze=False)[:, 0], curved):
        for name, contestant in record["contestants"].items():
            seconds, amounts = zip(*contestant["curve"])
            axis.plot(seconds, [amount / 1e6 for amount in amounts], label=name, linewidth=1)
        axis.set_title(record["title"], loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.set_ylabel("MB", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if len(record["contestants"]) > 1:
            axis.legend(fontsize=7)
    axis.set_xlabel("seconds", fontsize=8)
    sheet.savefig(path, dpi=110)
    return True
