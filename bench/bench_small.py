"""What does a small clip cost, and the import of clipx?

- small clips: the cost of a clip of 16x16 frames, where little else is left than checks, plans and leases: by
  `windows.iterate` and by the stage `wds.clips`. The limit is `windows.extract`, which writes the same clips at once.
- import: a Python that runs `import clipx`, and one that also loads `clipx.Loader`. The limit is a Python that does
  nothing. Each start is a process of its own.

All run on one core. Clips are compared with those of `windows.extract` before they are timed. How the figures are
measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from _bench import Records, Run, command
from _measure import consume, timed
from _results import MS, OF_LIMIT, SPREAD, Column, Result, results_table
from _tensors import BYTES, FLOAT, Layout
from _videos import LENGTH

import clipx

FRAMES, SIZE = 512, 16
PASSES, CALLS = 20, 9  # over the array in a call, and calls in a sample
STARTS = 5  # in a sample of an import; one where all that the Loader needs is imported
WRITING, LOOP, STAGE = "the writing itself", "clipx, windows.iterate(pool=)", "clipx, wds.clips(pool=)"
ASKED = {LOOP: 5, STAGE: 15}  # microseconds of a clip above the writing itself, at most
NOTHING, IMPORT, LOADER = "nothing", "clipx, import clipx", "clipx, clipx.Loader"
PROGRAMS = {NOTHING: "pass", IMPORT: "import clipx", LOADER: "import clipx; clipx.Loader"}


# Small clips


def microseconds(result: Result, name: str) -> list[float]:
    """Microseconds of a clip, for each repetition."""
    return [sample.seconds / result.clips * 1e6 for sample in result.samples[name]]


def above(result: Result, name: str) -> float:
    """Microseconds of a clip above the writing itself."""
    parts = zip(microseconds(result, name), microseconds(result, WRITING))
    return statistics.median(whole - part for whole, part in parts)


def run_small(layout: Layout | None, run: Run) -> Result:
    """Time clips side by side, so that all contestants read and write the same, and all of it fits the cache.

    layout: None for frames as they are.
    """
    title = f"small clips, {layout.name if layout else 'as they are'}"
    run.describe(title)
    x = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    format = layout.make_format(crop=None) if layout else None
    out = clipx.windows.extract(x, LENGTH, LENGTH, format=format)
    pool = clipx.ClipPool(4, out.shape[1:], out.dtype)
    stage = clipx.wds.clips(clipx.WindowSpec(LENGTH, LENGTH), format, pool=pool)
    sample = {"__key__": "small", "npy": x}

    def write() -> None:
        for _ in range(PASSES):
            clipx.windows.extract(x, LENGTH, LENGTH, format=format, out=out)

    def loop() -> None:
        for _ in range(PASSES):
            for clip in clipx.windows.iterate(x, LENGTH, LENGTH, format=format, pool=pool):
                del clip

    def run_stage() -> None:
        consume(stage(itertools.repeat(sample, PASSES)))

    for name, clips in (
        (LOOP, clipx.windows.iterate(x, LENGTH, LENGTH, format=format, pool=pool)),
        (STAGE, (made["npy"] for made in stage([sample]))),
    ):
        if not all(np.array_equal(clip, right) for clip, right in itertools.zip_longest(clips, out)):
            raise AssertionError(f"{name} gives other clips than extract")
    contestants: dict[str, Callable[[], None]] = {WRITING: write, LOOP: loop, STAGE: run_stage}
    samples = run.interleave({name: partial(timed, each, CALLS) for name, each in contestants.items()})
    result = Result(title, samples, LOOP, clips=PASSES * (FRAMES // LENGTH), limits=(WRITING,))
    figures = {
        name: {"microseconds": statistics.median(microseconds(result, name)), "above_the_writing": above(result, name)}
        for name in samples
    }
    return replace(result, figures=figures)


# Import


def run_imports(run: Run) -> Result:
    run.describe("import")

    def start(name: str) -> None:
        subprocess.run([sys.executable, "-c", PROGRAMS[name]], check=True)

    start(LOADER)  # compiles, and brings the files into the page cache
    calls = {NOTHING: STARTS, IMPORT: STARTS, LOADER: 1}
    samples = run.interleave({name: partial(timed, partial(start, name), calls[name]) for name in PROGRAMS})
    result = Result("start of Python", samples, IMPORT, limits=(NOTHING,))
    return replace(result, figures={name: {"milliseconds": result.seconds(name) * 1e3} for name in samples})


# Both


def measure(run: Run) -> Records:
    small = [run_small(layout, run) for layout in (None, BYTES, FLOAT)]
    imports = run_imports(run)
    columns = (
        Column("µs a clip", lambda result, name: f"{statistics.median(microseconds(result, name)):.2f}"),
        Column("above the writing", lambda result, name: f"{above(result, name):.2f}"),
    )
    title = f"Small clips: {LENGTH} frames of {SIZE}x{SIZE}, {FRAMES // LENGTH} clips an array"
    caption = "An array's own cost, its checks and its plan, is shared by its clips."
    run.show(results_table(title, small, (*columns, SPREAD, OF_LIMIT), caption))
    run.show(results_table("Import: one start of Python", [imports], (MS, SPREAD)))
    for result, (name, asked) in itertools.product(small, ASKED.items()):
        run.floors.at_most(f"{result.title}: {name}, above the writing", asked, above(result, name), " µs")
    return {"small": [each.record() for each in small], "imports": [imports.record()]}


main = command("small", measure, ("numpy",), quick="few repetitions", pinned=True)
if __name__ == "__main__":
    main()
