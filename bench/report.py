"""All benchmarks on one page: runs them one after another, keeps what they measured, writes tables and plots.

`python bench/report.py` writes results/<machine>.json, a log and plots beside it, and README.md; `--quick` hands that
on. `--from results/a.json --from results/b.json` draws the page anew from such files, one machine after the other.

A benchmark is shown once it is in BENCHES and its file is there. See `write_json` for what it writes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from _measure import RESULTS, Spread, make_console, make_progress, spread, write_json
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
OURS, VARIANT, LIMIT, RIVAL = "#c8553d", "#e6ad9f", "#9a9a9a", "#8fb8de"

Record = dict[str, Any]


class Figure(NamedTuple):
    """What is shown of the records that a benchmark wrote under `key`: a value of each contestant."""

    key: str
    title: str
    value: str
    unit: str
    scale: float = 1
    lower: bool = False  # the lower, the better
    charted: str | None = None  # records whose title this pattern is found in are drawn


class Bench(NamedTuple):
    name: str
    question: str
    figures: tuple[Figure, ...]
    quick: bool = True  # whether it has --quick

    @property
    def file(self) -> Path:
        return HERE / f"bench_{self.name}.py"


CLIPS_PER_SECOND = Figure("results", "Speed", "clips_per_second", "clips/s", charted="")
PEAK = Figure("memory", "Memory", "peak_bytes", "MB", 1e-6, lower=True, charted="")
BENCHES = (
    Bench(
        "copy",
        "How fast do whole frames get from an array into clips?",
        (Figure("results", "Copying", "gb_per_second", "GB/s", charted="224x224, stride 8, dilation 1$"),),
    ),
    Bench(
        "format",
        "What does it cost to make the tensor that a model takes?",
        (
            Figure("arrays", "From arrays", "clips_per_second", "clips/s", charted=""),
            Figure("files", "From files", "of_limit", "of the decoder alone", charted=""),
            Figure("small", "Small clips", "microseconds", "µs a clip", lower=True),
        ),
    ),
    Bench(
        "video",
        "How fast do video files become clips?",
        (
            Figure("results", "Files", "of_decoder", "of the decoder alone", charted="^dense.*dilation 1$"),
            Figure("memory", "Memory of a file", "peak_bytes", "MB", 1e-6, lower=True, charted=""),
        ),
    ),
    Bench(
        "memory",
        "How much memory does a shuffled pipeline take?",
        (Figure("results", "Memory of a pipeline", "peak_bytes", "MB", 1e-6, lower=True, charted=""),),
        quick=False,
    ),
    Bench(
        "pipeline",
        "How fast is a whole pipeline?",
        (
            CLIPS_PER_SECOND,
            PEAK._replace(title="Memory of all processes"),
            PEAK._replace(key="epochs", title="Memory of a Loader over five epochs", charted=None),
        ),
    ),
    Bench(
        "resume",
        "How fast does a stopped run go on?",
        (
            Figure("results", "To the next batch", "to_the_batch", "s", lower=True, charted="at 90%$"),
            Figure("tracking", "Keeping track", "batches_per_second", "batches/s", charted=""),
            Figure("states", "Size of a state", "state_bytes", "kB", 1e-3, lower=True),
        ),
    ),
    Bench("mapped", "How fast are clips cut from mapped files?", (CLIPS_PER_SECOND, PEAK)),
    Bench("audio", "How fast does sound become clips?", (CLIPS_PER_SECOND,)),
)

METHOD = """Contestants take turns, in an order that changes from one repetition to the next; a figure is the median
over the repetitions, with the lowest and the highest in brackets. "clipx is" says how many times as fast as the rival
it is (or, of memory, how many times as much the rival takes): the ratio is taken within a repetition, where both ran
close together in time, and the median is shown. Below 1, clipx loses. "of limit" is the same against what bounds
everybody: a flat copy or write of as many bytes, the decoder alone, or the pipeline that does nothing. Every
contestant's clips are compared before they are timed. Floors are what was asked of clipx before it was measured.
Memory is measured once."""


# What the records say


def value_of(record: Record, figure: Figure, name: str) -> Spread | None:
    """The figure of a contestant, with its spread where every repetition is known."""
    contestant = record["contestants"].get(name, {})
    value = contestant.get(figure.value)
    if value is None:
        return None
    value *= figure.scale
    seconds = contestant.get("seconds")
    if not seconds:
        return Spread(value, value, value)
    middle, low, high = spread(seconds)
    if figure.lower:
        return Spread(value, value * (low / middle), value * (high / middle))
    return Spread(value, value * (middle / high), value * (middle / low))


def advantage(record: Record, figure: Figure, name: str) -> Spread | None:
    """How many times as fast as `name`, or as little, ours is."""
    ours, theirs = (record["contestants"].get(each, {}) for each in (record["ours"], name))
    if "seconds" in ours and "seconds" in theirs:
        return spread(b / a for a, b in zip(ours["seconds"], theirs["seconds"]))
    a, b = ours.get(figure.value), theirs.get(figure.value)
    if not a or not b:
        return None
    ratio = b / a if figure.lower else a / b
    return Spread(ratio, ratio, ratio)


class Rival(NamedTuple):
    record: Record
    name: str
    ratio: Spread


def rivals_of(record: Record, figure: Figure) -> list[Rival]:
    """Best first."""
    ratios = [(name, advantage(record, figure, name)) for name in record["rivals"]]
    return sorted((Rival(record, name, ratio) for name, ratio in ratios if ratio), key=lambda rival: rival.ratio.median)


def figures_of(content: Record) -> Iterator[tuple[Bench, Figure, list[Record]]]:
    for bench in BENCHES:
        for figure in bench.figures:
            records = content["benches"].get(bench.name, {}).get(figure.key, [])
            if records:
                yield bench, figure, records


# The page


def short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(value: Spread | None) -> str:
    if value is None:
        return ""
    if value.low == value.high:
        return short(value.median)
    return f"{short(value.median)} ({short(value.low)}..{short(value.high)})"


def times(ratio: Spread | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.median:.2f}x" + (f" ({ratio.low:.2f}..{ratio.high:.2f})" if ratio.low != ratio.high else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines] + [""]


def figure_table(figure: Figure, records: Sequence[Record]) -> list[str]:
    rows = []
    for record in records:
        best = next(iter(rivals_of(record, figure)), None)
        limit = advantage(record, figure, record["limit"]) if record["limit"] else None
        rows.append(
            [
                record["title"],
                show(value_of(record, figure, record["ours"])),
                best.name if best else "",
                show(value_of(record, figure, best.name)) if best else "",
                times(best.ratio) if best else "",
                times(limit),
            ]
        )
    return table(("case", f"clipx, {figure.unit}", "best rival", figure.unit, "clipx is", "of limit"), rows)


def losses(content: Record) -> list[str]:
    """Every comparison that clipx does not win, and every floor that it missed."""
    missed = [
        [bench.name, floor["what"], floor["asked"], floor["measured"]]
        for bench in BENCHES
        for floor in content["benches"].get(bench.name, {}).get("floors", [])
        if not floor["met"]
    ]
    slower = [
        [
            bench.name,
            rival.record["title"],
            rival.name,
            times(rival.ratio),
            "" if rival.ratio.high < 1 else "within the spread",
        ]
        for bench, figure, records in figures_of(content)
        for record in records
        for rival in rivals_of(record, figure)
        if rival.ratio.median < 1
    ]
    lines = ["### Where clipx loses", ""]
    if missed:
        lines += ["Floors that it missed:", "", *table(("benchmark", "floor", "asked", "measured"), missed)]
    else:
        lines += ["No floor was missed.", ""]
    if slower:
        lines += ["Rivals that were ahead:", "", *table(("benchmark", "case", "rival", "clipx is", ""), slower)]
    else:
        lines += ["No rival was ahead.", ""]
    return lines


def machine_lines(content: Record) -> list[str]:
    facts = content["machine"]
    caches = ", ".join(f"{level} {size}" for level, size in facts["caches"].items())
    versions: dict[str, str] = {}
    for each in content["benches"].values():
        versions |= {name: version or "missing" for name, version in each["machine"]["versions"].items()}
    lines = [
        f"{facts['cores']} cores, {caches or 'caches unknown'}, {facts['memory_bytes'] / 2**30:.0f} GiB, "
        f"{facts['system']}, huge pages: {facts['huge_pages']}; clipx.simd {facts['simd']}; {facts['time']}"
        f"{', a quick run: few repetitions and cases' if content['quick'] else ''}.",
        "",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]
    left_out = {name: why for each in content["benches"].values() for name, why in each.get("left_out", {}).items()}
    if left_out or content["failed"]:
        told = [f"{name} ({why})" for name, why in left_out.items()]
        lines += [
            "Left out: " + ", ".join([*told, *(f"bench_{name}.py failed" for name in content["failed"])]) + ".",
            "",
        ]
    return lines


def color_of(record: Record, name: str) -> str:
    if name == record["ours"]:
        return OURS
    if name in record["rivals"]:
        return RIVAL
    return VARIANT if name.startswith("clipx") else LIMIT


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


def write_page(contents: dict[Path, Record]) -> None:
    """The page, and plots beside each JSON file."""
    lines = ["# Benchmarks", "", "Written by `python bench/report.py`; the numbers are in `results/`.", ""]
    lines += ["## Method", "", METHOD, ""]
    for path, content in contents.items():
        lines += [f"## {content['machine']['cpu']}, {content['machine']['cores']} cores", ""]
        lines += machine_lines(content)
        lines += losses(content)
        shown = None
        for bench, figure, records in figures_of(content):
            if bench != shown:
                floors = content["benches"][bench.name].get("floors", [])
                met = sum(floor["met"] for floor in floors)
                lines += [
                    f"### {bench.question}",
                    "",
                    f"`bench_{bench.name}.py`: {met} of {len(floors)} floors met.",
                    "",
                ]
                shown = bench
            lines += [f"#### {figure.title}", ""]
            plot = path.with_name(f"{path.stem}-{bench.name}-{figure.key}.png")
            if draw(plot, figure, records):
                lines += [f"![{figure.title}]({Path(os.path.relpath(plot, HERE)).as_posix()})", ""]
            plot = plot.with_name(f"{plot.stem}-over-time.png")
            if draw_curves(plot, records):
                lines += [f"![{figure.title}, over time]({Path(os.path.relpath(plot, HERE)).as_posix()})", ""]
            lines += figure_table(figure, records)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


# Running


def run(bench: Bench, target: Path, quick: bool, log: Any, console: Console) -> bool:
    """Whether it came to its end. What it prints goes to the log and to the console."""
    command = [sys.executable, str(bench.file), "--json", str(target), *["--quick"][: quick and bench.quick]]
    log.write(f"$ {' '.join(command[1:])}\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            console.print(Text(line.rstrip("\n")), soft_wrap=True)
    return process.returncode == 0 and target.is_file()


def run_all(quick: bool, console: Console) -> Path:
    """The file with what all of them measured."""
    benches = [bench for bench in BENCHES if bench.file.is_file()]
    measured: dict[str, Record] = {}
    failed = []
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, make_progress(console) as progress:
        log_path = Path(scratch) / "log"
        task = progress.add_task("", total=len(benches))
        with log_path.open("w", encoding="utf-8") as log:
            for bench in benches:
                progress.update(task, description=bench.name, refresh=True)
                target = Path(scratch) / f"{bench.name}.json"
                if run(bench, target, quick, log, console):
                    measured[bench.name] = json.loads(target.read_text())
                else:
                    failed.append(bench.name)
                progress.advance(task)
        if not measured:
            raise click.ClickException(f"no benchmark came to its end: {', '.join(failed) or 'there is none'}")
        facts = next(iter(measured.values()))["machine"]
        machine = re.sub("[^a-z0-9]+", "-", f"{facts['cpu']} {facts['cores']} cores".lower()).strip("-")
        path = RESULTS / f"{machine}.json"
        write_json(path, machine=facts, quick=quick, failed=failed, benches=measured)
        path.with_suffix(".log").write_text(log_path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


@click.command(help="Runs all benchmarks and writes bench/README.md.")
@click.option("--quick", is_flag=True, help="A first look: handed on to the benchmarks.")
@click.option(
    "--from",
    "paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing, and draw from this file; once for each machine.",
)
def main(quick: bool, paths: tuple[Path, ...]) -> None:
    console = make_console()
    chosen = [path.resolve() for path in paths] or [run_all(quick, console)]
    contents = {path: json.loads(path.read_text()) for path in chosen}
    write_page(contents)
    console.print(f"written: {PAGE} from {', '.join(map(str, chosen))}")
    if any(content["failed"] for content in contents.values()) and not paths:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
