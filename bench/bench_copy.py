"""How fast do whole frames get from an array into clips, and how near is that to what the memory can do?

Two scenarios, RGB uint8 frames, clips of 16 frames:

- warm pool: all clips of an array, written into one array that was set aside and touched before. Contestants that
  cannot write into it return their clips in memory of their own, and give it back within the timing.
- steady shuffle: a list of 200 live clips (fewer where they would hold more than 2 GB); each clip that is cut replaces
  a random one. Timed after five times as many replacements, when the C library's heap has settled: in a young
  process the loops that allocate are slower than shown here.

Everything runs on one thread. Every contestant's clips are compared with slices of the source before it is timed.
Run `python bench/bench_copy.py`, with `--quick` for a first look. How the figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import click
import numpy as np
import psutil
from _measure import (
    FLAT_COPIES,
    RESULTS,
    Floor,
    Sample,
    flat_copies,
    interleave,
    machine,
    make_console,
    make_progress,
    make_table,
    print_floors,
    print_header,
    show_ratio,
    spread,
    timed,
    times_as_fast,
    write_json,
)
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console

import clipx

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

LENGTH = 16
SOURCES = {(16, 16): 3000, (112, 112): 600, (224, 224): 600, (720, 1280): 120}
LIVE_CLIPS = 200
LIVE_BYTES = 2_000_000_000
TURN_BYTES = 256 << 20  # a turn of small outputs is several calls: about this many bytes, at most MOST_CALLS
MOST_CALLS = 15
SHUFFLE_BYTES = 512 << 20  # a call of the shuffle replaces about this many bytes,
REPLACED = (12, 2000)  # and from so few to so many clips

WARM_CLIPX, SHUFFLE_CLIPX = "clipx.windows.extract(out=)", "clipx.windows.iterate(pool=)"
COPY, COPYTO, TAKE = "slices, .copy(), into a list", "np.copyto, clip by clip", "np.take(out=)"


class Case(NamedTuple):
    height: int
    width: int
    frames: int
    stride: int
    dilation: int

    @property
    def name(self) -> str:
        return f"{self.height}x{self.width}, stride {self.stride}, dilation {self.dilation}"

    @property
    def span(self) -> int:
        return self.dilation * (LENGTH - 1) + 1

    @property
    def starts(self) -> range:
        return range(0, self.frames - self.span + 1, self.stride)

    @property
    def open_clips(self) -> int:
        """Clips that hold the same frame at most: a pool needs as many slots, and one."""
        return -(-self.span // self.stride)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return (LENGTH, self.height, self.width, 3)

    @property
    def clip_bytes(self) -> int:
        return LENGTH * self.height * self.width * 3

    @property
    def live(self) -> int:
        return min(LIVE_CLIPS, LIVE_BYTES // self.clip_bytes)


class Result(NamedTuple):
    """A case of a scenario: its samples by contestant, and what a call writes."""

    scenario: str
    case: Case
    clips: int
    samples: dict[str, list[Sample]]

    @property
    def ours(self) -> str:
        return WARM_CLIPX if self.scenario == "warm pool" else SHUFFLE_CLIPX

    @property
    def limit(self) -> str | None:
        """The faster of the flat copies."""
        flat = [name for name in FLAT_COPIES if name in self.samples]
        return min(flat, key=self.seconds) if flat else None

    @property
    def fastest_rival(self) -> str:
        return min((name for name in self.samples if name not in (self.ours, *FLAT_COPIES)), key=self.seconds)

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def faults(self, name: str) -> float:
        """Minor page faults per clip."""
        return spread(sample.faults for sample in self.samples[name]).median / self.clips

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[self.ours], self.samples[name])


def make_source(case: Case) -> np.ndarray:
    shape = (case.frames, case.height, case.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def windows_of(x: np.ndarray, case: Case) -> np.ndarray:
    """All clips as one view, (clips, length, height, width, 3)."""
    view = sliding_window_view(x, case.span, axis=0)[:: case.stride, ..., :: case.dilation]
    return np.moveaxis(view, -1, 1)


def torch_windows_of(x: np.ndarray, case: Case) -> Any:
    return torch.from_numpy(x).unfold(0, case.span, case.stride)[..., :: case.dilation].movedim(-1, 1)


def check(what: str, clips: Iterable[Any], x: np.ndarray, case: Case, numbers: Sequence[int]) -> None:
    """Raise unless `clips` are the clips of these numbers, in memory apart from the source."""
    clips = [np.asarray(clip) for clip in clips]
    if len(clips) != len(numbers):
        raise AssertionError(f"{what} gives {len(clips)} clips, not {len(numbers)}, for {case.name}")
    for clip, number in zip(clips, numbers):
        start = case.starts[number]
        if not np.array_equal(clip, x[start : start + case.span : case.dilation]):
            raise AssertionError(f"{what} gives other bytes for clip {number} of {case.name}")
        if not clip.flags.c_contiguous or np.may_share_memory(clip, x):
            raise AssertionError(f"{what} gives a view for {case.name}")


# Warm pool


def warm_contestants(x: np.ndarray, out: np.ndarray, case: Case) -> dict[str, Callable[[], Any]]:
    """Each returns all clips."""
    span, stride, dilation = case.span, case.stride, case.dilation
    last = len(x) - span

    def extract() -> np.ndarray:
        return clipx.windows.extract(x, LENGTH, stride, dilation, out=out)

    def slices() -> list[np.ndarray]:
        return [x[start : start + span : dilation].copy() for start in range(0, last + 1, stride)]

    def copyto() -> np.ndarray:
        for i, start in enumerate(range(0, last + 1, stride)):
            np.copyto(out[i], x[start : start + span : dilation])
        return out

    def take() -> np.ndarray:
        index = np.arange(0, last + 1, stride)[:, None] + np.arange(0, span, dilation)
        return np.take(x, index, axis=0, out=out, mode="clip")

    def view_copy() -> np.ndarray:
        return windows_of(x, case).copy()

    def view_copyto() -> np.ndarray:
        np.copyto(out, windows_of(x, case))
        return out

    def stack() -> np.ndarray:
        return np.stack([x[start : start + span : dilation] for start in range(0, last + 1, stride)])

    def unfold() -> Any:
        # As .contiguous(), which copies nothing where clips lie side by side already.
        return torch_windows_of(x, case).clone(memory_format=torch.contiguous_format)

    contestants: dict[str, Callable[[], Any]] = {
        WARM_CLIPX: extract,
        COPY: slices,
        COPYTO: copyto,
        TAKE: take,
        "sliding_window_view, .copy()": view_copy,
        "sliding_window_view, np.copyto": view_copyto,
        "np.stack of slices": stack,
    }
    if torch is not None:
        contestants["torch unfold, contiguous"] = unfold
    return contestants


def run_warm(x: np.ndarray, case: Case, repeats: int, tick: Callable[[], None]) -> Result:
    clips = len(case.starts)
    out = np.empty((clips, *case.clip_shape), np.uint8)
    contestants = warm_contestants(x, out, case)
    for name, function in contestants.items():
        out.fill(0)
        check(name, function(), x, case, range(clips))
    contestants |= flat_copies(out)
    calls = max(1, min(MOST_CALLS, TURN_BYTES // out.nbytes))
    turns = {name: partial(timed, function, calls) for name, function in contestants.items()}
    return Result("warm pool", case, clips, interleave(turns, repeats, tick))


# Steady shuffle


class Shuffle:
    """Live clips of which `replace` replaces those at `places` by the next ones."""

    def __init__(self, passes: Iterator[Iterator[Any]], count: int) -> None:
        self._clips = itertools.chain.from_iterable(passes)
        self.live = list(itertools.islice(self._clips, count))

    def replace(self, places: list[int]) -> None:
        live = self.live
        for place, clip in zip(places, self._clips):
            live[place] = clip


class ShuffleByHand:
    """The same over one block, for a program that is done with a clip before it writes the next one over it."""

    def __init__(self, x: np.ndarray, case: Case, count: int) -> None:
        self._x, self._span, self._dilation = x, case.span, case.dilation
        self._starts = itertools.cycle(case.starts)
        self.live = np.empty((count, *case.clip_shape), np.uint8)
        self.replace(list(range(count)))

    def replace(self, places: list[int]) -> None:
        x, span, dilation, live = self._x, self._span, self._dilation, self.live
        for place, start in zip(places, self._starts):
            np.copyto(live[place], x[start : start + span : dilation])


def shuffle_contestants(x: np.ndarray, case: Case) -> dict[str, Callable[[], Shuffle | ShuffleByHand]]:
    """Each makes a list of live clips, and fills it."""
    span, stride, dilation, live = case.span, case.stride, case.dilation, case.live
    starts = case.starts

    def pooled() -> Callable[[], Iterator[Any]]:
        pool = clipx.ClipPool(live + case.open_clips + 1, case.clip_shape)
        return lambda: clipx.windows.iterate(x, LENGTH, stride, dilation, pool=pool)

    def slices() -> Iterator[np.ndarray]:
        for start in starts:
            yield x[start : start + span : dilation].copy()

    def take() -> Iterator[np.ndarray]:
        places = np.arange(0, span, dilation)
        for start in starts:
            yield x.take(start + places, axis=0, mode="clip")

    def view_copy() -> Iterator[np.ndarray]:
        for view in windows_of(x, case):
            yield view.copy()

    def stack() -> Iterator[np.ndarray]:
        for start in starts:
            yield np.stack(list(x[start : start + span : dilation]))

    def unfold() -> Iterator[Any]:
        for view in torch_windows_of(x, case):
            yield view.clone(memory_format=torch.contiguous_format)

    def endless(one_pass: Callable[[], Iterator[Any]]) -> Shuffle:
        return Shuffle((one_pass() for _ in itertools.count()), live)

    contestants: dict[str, Callable[[], Shuffle | ShuffleByHand]] = {
        SHUFFLE_CLIPX: lambda: endless(pooled()),
        COPY: partial(endless, slices),
        "np.copyto over the old clip": partial(ShuffleByHand, x, case, live),
        "np.take": partial(endless, take),
        "sliding_window_view, .copy()": partial(endless, view_copy),
        "np.stack of frames": partial(endless, stack),
    }
    if torch is not None:
        contestants["torch unfold, contiguous"] = partial(endless, unfold)
    return contestants


def check_shuffle(what: str, start: Callable[[], Shuffle | ShuffleByHand], x: np.ndarray, case: Case) -> None:
    shuffle = start()
    numbers = list(range(case.live))
    places = random.Random(1).choices(range(case.live), k=min(case.live, 20))
    shuffle.replace(places)
    for number, place in enumerate(places, case.live):
        numbers[place] = number
    check(what, shuffle.live, x, case, [number % len(case.starts) for number in numbers])


def run_shuffle(x: np.ndarray, case: Case, repeats: int, tick: Callable[[], None]) -> Result:
    contestants = shuffle_contestants(x, case)
    for name, start in contestants.items():
        check_shuffle(name, start, x, case)
    replaced = max(REPLACED[0], min(REPLACED[1], SHUFFLE_BYTES // case.clip_bytes))
    calls = max(1, min(MOST_CALLS, TURN_BYTES // (replaced * case.clip_bytes)))
    # Clips that the C library takes from its heap leave holes, which are filled after some rounds. Each larger clip is
    # a mapping of its own, at all times.
    settling = 5 * case.live if case.live == LIVE_CLIPS else replaced
    draw = random.Random(0)
    settle = draw.choices(range(case.live), k=settling)
    rounds = [draw.choices(range(case.live), k=replaced) for _ in range(calls + 1)]

    def turn(start: Callable[[], Shuffle | ShuffleByHand]) -> Sample:
        shuffle = start()
        shuffle.replace(settle)
        places = iter(rounds)
        return timed(lambda: shuffle.replace(next(places)), calls)

    turns = {name: partial(turn, start) for name, start in contestants.items()}
    return Result("steady shuffle", case, replaced, interleave(turns, repeats, tick))


# Both


def cases_of(scenario: str, quick: bool) -> list[Case]:
    """Quick: those that the floors are about, stride 8 and dilation 1.

    The shuffle of the largest frames keeps to these, too: each turn fills 2 GB anew, and how far apart frames of
    megabytes lie matters little.
    """
    cases = []
    for size, frames in SOURCES.items():
        for stride, dilation in itertools.product((8, 16), (1, 4)):
            case = Case(*size, frames, stride, dilation)
            brief = quick or (scenario == "steady shuffle" and case.live < LIVE_CLIPS)
            if not brief or (stride, dilation) == (8, 1):
                cases.append(case)
    return cases


def needed_bytes(scenario: str, case: Case) -> int:
    """The most that is held at once."""
    source = case.frames * case.clip_bytes // LENGTH
    held = 3 * len(case.starts) if scenario == "warm pool" else case.live + 20
    return source + held * case.clip_bytes


def print_results(console: Console, title: str, results: Iterable[Result]) -> None:
    shuffles = title.startswith("Steady")
    columns = ["case", "how", "GB/s", "spread", "clips/s", "clipx is"]
    caption = "GB/s: 10^9 bytes written a second, median and lowest..highest. clipx is: so many times as fast."
    if shuffles:
        columns.append("faults/clip")
        caption += f"\nfaults: minor page faults. Live clips hold at most {LIVE_BYTES / 1e9:.0f} GB."
    else:
        caption += (
            "\nlimit: the faster copy of one flat block of as many bytes. Where clips overlap, clipx can pass it: it"
            "\nreads a frame once for all of them."
        )
    table = make_table(title, columns, caption)
    for result in results:
        case = result.case
        size = f"{case.clip_bytes / 1e6:.3g} MB"
        notes = [f"{case.height}x{case.width}", f"stride {case.stride}, dilation {case.dilation}"]
        notes += [f"{case.live} live clips", f"of {size}"] if shuffles else [f"{result.clips} clips of {size}"]
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, notes, fillvalue=""):
            written = result.clips * case.clip_bytes / 1e9
            speed = spread(written / sample.seconds for sample in result.samples[name])
            row = [
                note,
                f"{name} = limit" if name == result.limit else name,
                f"{speed.median:.2f}",
                f"{speed.low:.2f}..{speed.high:.2f}",
                f"{speed.median / case.clip_bytes * 1e9:,.0f}",
                "" if name == result.ours else show_ratio(result.ratio(name)),
                f"{result.faults(name):.2f}",
            ]
            table.add_row(*row[: len(columns)], style="bold" if name == result.ours else None)
    console.print(table)


def check_floors(results: Sequence[Result]) -> list[Floor]:
    def find(scenario: str, height: int) -> Result | None:
        """The result with stride 8 and dilation 1."""
        for result in results:
            if result.scenario == scenario and result.case[0] == height and result.case[3:] == (8, 1):
                return result
        return None

    floors = []

    def ask(scenario: str, height: int, against: str | None, asked: float) -> None:
        result = find(scenario, height)
        if result is None:
            return
        name = against or result.limit
        assert name is not None
        ratio = result.ratio(name)
        what = f"{scenario}, {result.case.name}: against {name}{'' if against else ' (limit)'}"
        floors.append(Floor(what, f">= {asked:.2f}x", f"{ratio:.2f}x", ratio >= asked))

    ask("warm pool", 224, COPYTO, 1.4)
    ask("warm pool", 224, TAKE, 1.1)
    ask("warm pool", 224, None, 0.9)
    ask("warm pool", 720, COPYTO, 1.3)
    ask("warm pool", 16, COPYTO, 3.5)
    ask("steady shuffle", 224, COPY, 2.0)
    shuffled = find("steady shuffle", 224)
    if shuffled is not None:
        faults = shuffled.faults(SHUFFLE_CLIPX)
        what = f"steady shuffle, {shuffled.case.name}: page faults per clip"
        floors.append(Floor(what, "none", f"{faults:.2f}", faults < 0.01))
    for scenario in ("warm pool", "steady shuffle"):
        mine = [result for result in results if result.scenario == scenario]
        if mine:
            worst = min(mine, key=lambda result: result.ratio(result.fastest_rival))
            ratio = worst.ratio(worst.fastest_rival)
            what = f"{scenario}, every case against its fastest rival; worst: {worst.case.name}, {worst.fastest_rival}"
            floors.append(Floor(what, ">= 1.00x (0.90 allowed)", f"{ratio:.2f}x", ratio >= 0.9))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "title": f"{result.scenario}, {case.name}",
        "ours": result.ours,
        "rivals": [name for name in result.samples if name not in (result.ours, *FLAT_COPIES)],
        "limit": result.limit,
        "scenario": result.scenario,
        "case": {**case._asdict(), "length": LENGTH, "clip_bytes": case.clip_bytes},
        "live_clips": case.live if result.scenario == "steady shuffle" else None,
        "clips_per_call": result.clips,
        "fastest_rival": result.fastest_rival,
        "contestants": {
            name: {
                "gb_per_second": result.clips * case.clip_bytes / result.seconds(name) / 1e9,
                "clips_per_second": result.clips / result.seconds(name),
                "faults_per_clip": result.faults(name),
                "clipx_times_as_fast": result.ratio(name),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


@click.command(help="Speed of cutting arrays into clips, beside its rivals and the limit of the memory.")
@click.option("--quick", is_flag=True, help="Few repetitions, stride 8 and dilation 1 only.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions of every case.  [default: 5, or 3 with --quick]")
@click.option("--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "copy.json"), show_default=True)
def main(quick: bool, repeats: int | None, path: str) -> None:
    repeats = repeats or (3 if quick else 5)
    console = make_console()
    facts = machine("numpy", "torch")
    print_header(console, "Arrays to clips: how fast, and how near to the limit?", facts)
    console.print(f"{repeats} repetitions, one thread, clips of {LENGTH} RGB uint8 frames")
    if torch is None:
        console.print("torch unfold is left out: torch is not installed")
    runs = {"warm pool": run_warm, "steady shuffle": run_shuffle}
    results: list[Result] = []
    gc.collect()
    gc.freeze()  # the collections between turns need not go through what was imported
    with make_progress(console) as progress:
        task = progress.add_task("", total=0)

        def tick() -> None:
            progress.advance(task)
            progress.refresh()

        contestants = {"warm pool": 9 + (torch is not None), "steady shuffle": 6 + (torch is not None)}
        work = [(scenario, case) for scenario in runs for case in cases_of(scenario, quick)]
        progress.update(task, total=repeats * sum(contestants[scenario] for scenario, _ in work))
        for scenario, case in work:
            progress.update(task, description=f"{scenario}, {case.name}", refresh=True)
            if needed_bytes(scenario, case) > psutil.virtual_memory().available:
                console.print(f"{scenario}, {case.name} is left out: it needs {needed_bytes(scenario, case)} bytes")
                progress.advance(task, repeats * contestants[scenario])
                continue
            results.append(runs[scenario](make_source(case), case, repeats, tick))
    for scenario, title in (
        ("warm pool", "Warm pool: all clips of an array"),
        ("steady shuffle", f"Steady shuffle: each clip replaces a random one of {LIVE_CLIPS}"),
    ):
        print_results(console, title, [result for result in results if result.scenario == scenario])
    floors = check_floors(results)
    print_floors(console, floors)
    settings = {"quick": quick, "repeats": repeats, "length": LENGTH, "threads": 1}
    write_json(path, machine=facts, settings=settings, results=[as_record(each) for each in results], floors=floors)
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
