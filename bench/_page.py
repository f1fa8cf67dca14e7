"""The page: tables of what the benchmarks measured, each against the strongest rival of its case."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from _figures import Figure, advantage, rivals_of, show, times, value_of
from _paths import refuse_paths
from _plots import draw, draw_curves
from _questions import HERE, QUESTIONS, Question
from _results import Record

METHOD = """Contestants are timed side by side, in an order that changes from one repetition to the next; a figure is
the median over the repetitions, with the lowest and the highest in brackets. "clipx is" says how many times as fast as
the strongest rival of its case it is (or, of memory, how many times as much that rival takes): the ratio is taken
within a repetition, where both ran close together in time, and the median is shown. Below 1, clipx loses. "of limit" is
the same against the bound of all: a flat copy or write of as many bytes, the decoder alone, or the pipeline that makes
no clips. Every contestant's clips are compared before they are timed. Floors were asked of clipx before it was
measured; those against rivals are against the strongest of the case. Memory is measured once. The last columns are
clipx with other implementations of its kernel, which older processors run."""


RIVALS = """`pip install -e '.[bench-torch]'` installs all but Pillow-SIMD: several GB, as PyPI's torch for Linux comes
with CUDA. torchcodec 0.17 and torchvision 0.29.1 need torch 2.14.1, and torchcodec FFmpeg's libraries, such as those of
Debian's package ffmpeg; where another torch is to stay, install it with `--no-deps`. `.[bench]` leaves out all that
needs torch. `CC="cc -mavx2" pip install --no-deps --no-binary :all: --target FOLDER pillow-simd` builds Pillow-SIMD,
which has Pillow's name, into a folder of its own, and `PILLOW_SIMD=FOLDER` has it measured in a process of its own. A
rival that cannot be imported is left out, and the page says so. torchcodec's AudioDecoder and SPDL are given times on
the stream's own clock, which need not begin at 0. `--cpu-time` measures a single benchmark on a machine that others
use, too."""


def figures_of(content: Record) -> Iterator[tuple[Question, Figure, list[Record]]]:
    """The figures that were measured, in the order of the page."""
    for question in QUESTIONS.values():
        for figure in question.figures:
            records = content["benches"].get(question.name, {}).get(figure.key, [])
            if records:
                yield question, figure, records


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines] + [""]


def implementations_of(records: Sequence[Record]) -> list[str]:
    """Of the kernel, those that were timed beside the best."""
    return list(dict.fromkeys(name for record in records for name in [*record.get("implementations", {})][1:]))


def figure_table(figure: Figure, records: Sequence[Record]) -> list[str]:
    rows, implementations = [], implementations_of(records)
    for record in records:
        best = next(iter(rivals_of(record, figure)), None)
        limit = advantage(record, figure, record["limit"]) if record["limit"] else None
        contestants = record.get("implementations", {})
        rows.append(
            [
                record["title"],
                show(value_of(record, figure, record["ours"])),
                best.name if best else "",
                show(value_of(record, figure, best.name)) if best else "",
                times(best.ratio) if best else "",
                times(limit),
                *(show(value_of(record, figure, contestants.get(name, ""))) for name in implementations),
            ]
        )
    columns = ("case", f"clipx, {figure.unit}", "best rival", figure.unit, "clipx is", "of limit")
    return table((*columns, *(f"{name}, {figure.unit}" for name in implementations)), rows)


def losses(content: Record) -> list[str]:
    """Every comparison that clipx does not win, and every floor that it missed."""
    missed = [
        [name, floor["what"], floor["asked"], floor["measured"]]
        for name in QUESTIONS
        for floor in content["benches"].get(name, {}).get("floors", [])
        if not floor["met"]
    ]
    slower = [
        [
            question.name,
            rival.record["title"],
            rival.name,
            times(rival.ratio),
            "" if rival.ratio.high < 1 else "within the spread",
        ]
        for question, figure, records in figures_of(content)
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
        reasons = [f"{name} ({why})" for name, why in left_out.items()]
        reasons += [f"bench_{name}.py failed" for name in content["failed"]]
        lines += [f"Left out: {', '.join(reasons)}.", ""]
    return lines


def figure_lines(path: Path, question: Question, figure: Figure, records: Sequence[Record]) -> list[str]:
    """A figure's plots, written beside the file of results, and its table."""
    lines = [f"#### {figure.title}", ""]
    plot = path.with_name(f"{path.stem}-{question.name}-{figure.key}.png")
    curves = plot.with_name(f"{plot.stem}-over-time.png")
    for target, title, drawn in (
        (plot, figure.title, draw(plot, figure, records)),
        (curves, f"{figure.title}, over time", draw_curves(curves, records)),
    ):
        if drawn:
            lines += [f"![{title}]({Path(os.path.relpath(target, HERE)).as_posix()})", ""]
    return lines + figure_table(figure, records)


def page_of(contents: Mapping[Path, Record]) -> str:
    """The page of these results, one machine after the other; plots are written beside each file.

    Raises ValueError if a path of a machine would be published.
    """
    lines = ["# Benchmarks", "", "Written by `python bench/report.py`; the numbers are in `results/`.", ""]
    lines += ["## Method", "", METHOD, "", "## Rivals", "", RIVALS, ""]
    for path, content in contents.items():
        refuse_paths(path.name, content)
        lines += [f"## {content['machine']['cpu']}, {content['machine']['cores']} cores", ""]
        lines += machine_lines(content)
        lines += losses(content)
        shown = None
        for question, figure, records in figures_of(content):
            if question != shown:
                floors = content["benches"][question.name].get("floors", [])
                met = sum(floor["met"] for floor in floors)
                lines += [f"### {question.question}", ""]
                lines += [f"`bench_{question.name}.py`: {met} of {len(floors)} floors met.", ""]
                shown = question
            lines += figure_lines(path, question, figure, records)
    page = "\n".join(lines).rstrip() + "\n"
    refuse_paths("the page", page)
    return page
