"""How fast do whole frames get from an array into clips, and how near is that to what the memory can do?

Two scenarios, RGB uint8 frames, clips of 16 frames:

- warm pool: all clips of an array, written into one array that was set aside and touched before. Contestants that
  cannot write into it return their clips in memory of their own, and give it back within the timing.
- steady shuffle: a list of 200 live clips (fewer where they would hold more than 2 GB); each new clip replaces a random
  one. Timed after five times as many replacements, when the C library's heap has settled: in a young process the loops
  that allocate are slower than shown here.

Everything runs on one thread. The limit of the warm pool is the faster copy of one flat block of as many bytes; where
clips overlap, clipx can pass it, since it reads a frame once for all of them. "clipx, baseline" and others of its kind
are clipx with another implementation of its rows, each in a process of its own. Every contestant's clips are compared
with slices of the source before it is timed. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import psutil
from _bench import Records, Run, command
from _implementations import Implementation, contestants_of, facts_of, other_implementations
from _measure import FLAT_COPIES, Sample, flat_copies, spread, timed
from _results import CLIPX_IS, GIGABYTES, MS, SPREAD, Column, Result, results_table
from numpy.lib.stride_tricks import sliding_window_view

import clipx
from clipx import _kernel

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

LENGTH = 16
SOURCES = {(16, 16): 3000, (112, 112): 600, (224, 224): 600, (720, 1280): 120}
LIVE_CLIPS = 200
LIVE_BYTES = 2_000_000_000
SAMPLE_BYTES = 256 << 20  # a sample of small outputs is several calls: about so many bytes, at most MOST_CALLS
MOST_CALLS = 15
SHUFFLE_BYTES = 512 << 20  # a call of the shuffle replaces about this many bytes,
REPLACED = (12, 2000)  # and from so few to so many clips

WARM, SHUFFLE = "warm pool", "steady shuffle"
EXTRACT, ITERATE = "clipx.windows.extract(out=)", "clipx.windows.iterate(pool=)"
ASKED = {(WARM, 16): 1.0, (WARM, 224): 1.1, (WARM, 720): 1.3, (SHUFFLE, 224): 2.0}  # by scenario and height


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
        EXTRACT: extract,
        "slices, .copy(), into a list": slices,
        "np.copyto, clip by clip": copyto,
        "np.take(out=)": take,
        "sliding_window_view, .copy()": view_copy,
        "sliding_window_view, np.copyto": view_copyto,
        "np.stack of slices": stack,
    }
    if torch is not None:
        contestants["torch unfold, contiguous"] = unfold
    return contestants


def make_extract(case: Case) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    x = make_source(case)
    out = np.zeros((len(case.starts), *case.clip_shape), np.uint8)
    extract = partial(clipx.windows.extract, x, LENGTH, case.stride, case.dilation, out=out)
    check(EXTRACT, extract(), x, case, range(len(out)))
    return extract


def run_warm(x: np.ndarray, case: Case, others: Mapping[str, Implementation], run: Run) -> Result:
    clips = len(case.starts)
    out = np.empty((clips, *case.clip_shape), np.uint8)
    contestants = warm_contestants(x, out, case)
    for name, function in contestants.items():
        out.fill(0)
        check(name, function(), x, case, range(clips))
    contestants |= flat_copies(out)
    calls = max(1, min(MOST_CALLS, SAMPLE_BYTES // out.nbytes))
    timings = {name: partial(timed, function, calls) for name, function in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, calls, make_extract, case)})
    return make_result(WARM, EXTRACT, case, clips, samples, facts_of(EXTRACT, others))


# Steady shuffle


class Shuffle:
    """Live clips; `replace` puts the next ones in for those at these positions of the list."""

    def __init__(self, passes: Iterator[Iterator[Any]], count: int) -> None:
        self._clips = itertools.chain.from_iterable(passes)
        self.live = list(itertools.islice(self._clips, count))

    def replace(self, positions: list[int]) -> None:
        live = self.live
        for position, clip in zip(positions, self._clips):
            live[position] = clip


class ShuffleByHand:
    """The same over one block, for a program that is done with a clip before it writes the next one over it."""

    def __init__(self, x: np.ndarray, case: Case, count: int) -> None:
        self._x, self._span, self._dilation = x, case.span, case.dilation
        self._starts = itertools.cycle(case.starts)
        self.live = np.empty((count, *case.clip_shape), np.uint8)
        self.replace(list(range(count)))

    def replace(self, positions: list[int]) -> None:
        x, span, dilation, live = self._x, self._span, self._dilation, self.live
        for position, start in zip(positions, self._starts):
            np.copyto(live[position], x[start : start + span : dilation])


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
        offsets = np.arange(0, span, dilation)
        for start in starts:
            yield x.take(start + offsets, axis=0, mode="clip")

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
        ITERATE: lambda: endless(pooled()),
        "slices, .copy(), into a list": partial(endless, slices),
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
    positions = random.Random(1).choices(range(case.live), k=min(case.live, 20))
    shuffle.replace(positions)
    for number, position in enumerate(positions, case.live):
        numbers[position] = number
    check(what, shuffle.live, x, case, [number % len(case.starts) for number in numbers])


def run_shuffle(x: np.ndarray, case: Case, run: Run) -> Result:
    contestants = shuffle_contestants(x, case)
    for name, start in contestants.items():
        check_shuffle(name, start, x, case)
    replaced = max(REPLACED[0], min(REPLACED[1], SHUFFLE_BYTES // case.clip_bytes))
    calls = max(1, min(MOST_CALLS, SAMPLE_BYTES // (replaced * case.clip_bytes)))
    # Clips that the C library takes from its heap leave holes, which are filled after some rounds. Each larger clip is
    # a mapping of its own, at all times.
    settling = 5 * case.live if case.live == LIVE_CLIPS else replaced
    draw = random.Random(0)
    settle = draw.choices(range(case.live), k=settling)
    rounds = [draw.choices(range(case.live), k=replaced) for _ in range(calls + 1)]

    def settled(start: Callable[[], Shuffle | ShuffleByHand]) -> Sample:
        shuffle = start()
        shuffle.replace(settle)
        positions = iter(rounds)
        return timed(lambda: shuffle.replace(next(positions)), calls)

    samples = run.interleave({name: partial(settled, start) for name, start in contestants.items()})
    return make_result(SHUFFLE, ITERATE, case, replaced, samples)


# Both


def faults(result: Result, name: str) -> float:
    """Minor page faults per clip."""
    return spread(sample.faults for sample in result.samples[name]).median / result.clips


def make_result(
    scenario: str,
    ours: str,
    case: Case,
    clips: int,
    samples: Mapping[str, list[Sample]],
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Result:
    """clips: that a call writes. facts: more of the record."""
    size = f"{case.clip_bytes / 1e6:.3g} MB"
    notes = [f"{case.height}x{case.width}", f"stride {case.stride}, dilation {case.dilation}"]
    shuffles = scenario == SHUFFLE
    notes += [f"{case.live} live clips", f"of {size}"] if shuffles else [f"{clips} clips of {size}"]
    result = Result(
        title=f"{scenario}, {case.name}",
        samples=samples,
        ours=ours,
        clips=clips,
        clip_bytes=case.clip_bytes,
        limits=FLAT_COPIES,
        notes=tuple(notes),
        facts={
            "scenario": scenario,
            "case": case,
            "length": LENGTH,
            "live_clips": case.live if shuffles else None,
            **facts,
        },
    )
    figures = {name: {"faults_per_clip": faults(result, name)} for name in samples}
    return replace(result, figures=figures)


def cases_of(scenario: str, quick: bool) -> list[Case]:
    """Cases of a scenario; quick: those with a floor, stride 8 and dilation 1.

    The shuffle of the largest frames keeps to these, too: each call fills 2 GB anew, and the distance between frames
    of megabytes matters little.
    """
    cases = []
    for size, frames in SOURCES.items():
        for stride, dilation in itertools.product((8, 16), (1, 4)):
            case = Case(*size, frames, stride, dilation)
            brief = quick or (scenario == SHUFFLE and case.live < LIVE_CLIPS)
            if not brief or (stride, dilation) == (8, 1):
                cases.append(case)
    return cases


def needed_bytes(scenario: str, case: Case) -> int:
    """The most that is held at once."""
    source = case.frames * case.clip_bytes // LENGTH
    if scenario == SHUFFLE:
        return source + (case.live + 20) * case.clip_bytes
    others = len(_kernel.implementations) - 1
    return (1 + others) * source + (3 + others) * len(case.starts) * case.clip_bytes


def measure(run: Run) -> Records:
    if torch is None:
        run.leave_out({"torch unfold": "torch is not installed"})
    work = [(scenario, case) for scenario in (WARM, SHUFFLE) for case in cases_of(scenario, run.quick)]
    contestants = {WARM: 8 + len(_kernel.implementations), SHUFFLE: 6}
    run.expect(run.repeats * sum(contestants[scenario] + (torch is not None) for scenario, _ in work))
    results: dict[str, list[Result]] = {WARM: [], SHUFFLE: []}
    with other_implementations() as others:
        for scenario, case in work:
            run.describe(f"{scenario}, {case.name}")
            needed = needed_bytes(scenario, case)
            if needed > psutil.virtual_memory().available:
                run.leave_out({f"{scenario}, {case.name}": f"it needs {needed} bytes"})
            elif scenario == WARM:
                results[WARM].append(run_warm(make_source(case), case, others, run))
            else:
                results[SHUFFLE].append(run_shuffle(make_source(case), case, run))
    columns = (GIGABYTES, MS, SPREAD, CLIPX_IS)
    faulted = Column("faults/clip", lambda result, name: f"{faults(result, name):.2f}")
    run.show(results_table("Warm pool: all clips of an array", results[WARM], columns))
    title = f"Steady shuffle: each clip replaces a random one of {LIVE_CLIPS}"
    caption = f"faults: minor page faults. Live clips hold at most {LIVE_BYTES / 1e9:.0f} GB."
    run.show(results_table(title, results[SHUFFLE], (*columns, faulted), caption))
    check_floors(run, results)
    return {"results": [each.record() for each in itertools.chain.from_iterable(results.values())]}


def check_floors(run: Run, results: Mapping[str, Sequence[Result]]) -> None:
    for scenario, found in results.items():
        for result in found:
            case = result.facts["case"]
            if (case.stride, case.dilation) != (8, 1):
                continue
            if (scenario, case.height) in ASKED:
                run.floors.fastest_rival(result, ASKED[scenario, case.height])
            if result.limit is not None and case.height == 224:
                run.floors.at_least(f"{result.title}: against {result.limit} (limit)", 0.9, result.ratio(result.limit))
            if scenario == SHUFFLE and case.height == 224:
                run.floors.at_most(f"{result.title}: page faults per clip", 0.01, faults(result, result.ours), "")
        if found:
            worst = min(found, key=lambda result: result.ratio(str(result.fastest_rival)))
            run.floors.fastest_rival(worst, 0.9, f"worst of all cases, {worst.title}")


main = command("copy", measure, ("numpy", "torch"), quick="few repetitions, stride 8 and dilation 1 alone")
if __name__ == "__main__":
    main()
