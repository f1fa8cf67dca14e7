"""Small clips of arrays through a pool, and orders in which they are dropped."""

from __future__ import annotations

import gc
import queue
import random
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

import clipx
from clipx import wds
from soak.measuring import Trace

SLOTS, MOST_HELD = 4096, 300
FRAMES, LENGTH = 2000, 4
WINDOW = clipx.WindowSpec(LENGTH, 1)
STAGE_SHARE = 10
"""One source of so many goes through the stage."""
CHECKED = 50
"""One clip of so many is compared with its frames before it is dropped."""


def source(number: int) -> np.ndarray:
    """Frames of two numbers: the source's and the frame's."""
    frames = np.empty((FRAMES, 2), np.int64)
    frames[:, 0], frames[:, 1] = number, np.arange(FRAMES)
    return frames


def clips_of(number: int, pool: clipx.ClipPool, arrays: list[np.ndarray]) -> Iterator[Any]:
    frames = arrays[number % len(arrays)]
    if number % STAGE_SHARE:
        return clipx.windows.iterate(frames, LENGTH, 1, pool=pool)
    stage = wds.clips(WINDOW, pool=pool)
    return (sample["x"] for sample in stage(iter([{"__key__": str(number), "x": frames}])))


def check(clip: Any, arrays: list[np.ndarray]) -> None:
    frames = np.asarray(clip)
    number, first = (int(each) for each in frames[0])
    if not np.array_equal(frames, arrays[number][first : first + LENGTH]):
        raise AssertionError(f"a clip of source {number} has other frames than its source: {frames.tolist()}")


class Cycle:
    """Holds a clip and itself, so that only the garbage collector drops them."""

    def __init__(self, clip: Any) -> None:
        self.clip, self.me = clip, self


class Dropper:
    """Holds clips, and drops them in one of several orders; some on another thread."""

    def __init__(self, rng: random.Random, arrays: list[np.ndarray]) -> None:
        self.held: list[Any] = []
        self._rng, self._arrays = rng, arrays
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._drop)
        self._thread.start()

    def _drop(self) -> None:
        while self._queue.get() is not None:
            pass
        self._done.set()

    def close(self) -> None:
        self.held.clear()
        self._queue.put(None)
        self._thread.join()

    def hold(self, clip: Any) -> None:
        self.held.append(clip)
        if len(self.held) >= MOST_HELD:
            self._let_go()

    def _let_go(self) -> None:
        rng, held = self._rng, self.held
        for clip in held[::CHECKED]:
            check(clip, self._arrays)
        clip = None
        order, count = rng.randrange(7), rng.randint(1, len(held))
        if order == 0:
            del held[:count]
        elif order == 1:
            del held[-count:]
        elif order == 2:
            del held[:: rng.randint(1, 7)]
        elif order == 3:
            rng.shuffle(held)
            del held[count:]
        elif order == 4:
            # Views, memoryviews and transposed arrays outlive the clips that they are of.
            held[:] = [np.asarray(memoryview(clip))[:] if i % 2 else clip.view() for i, clip in enumerate(held)]
            del held[:count]
        elif order == 5:
            for clip in held[:count]:
                self._queue.put(clip)
            del held[:count]
        else:
            Cycle(held[:50])
            del held[:50]


def run(total: int, seed: int = 0, count: int = 200) -> Trace:
    """Extract so many clips; a trace of it. Raises AssertionError for wrong frames and for slots that are lost."""
    arrays = [source(number) for number in range(STAGE_SHARE)]
    pool = clipx.ClipPool(SLOTS, (LENGTH, 2), "int64")
    dropper, trace = Dropper(random.Random(seed), arrays), Trace("clips", total, count)
    done = number = 0
    try:
        while done < total:
            for clip in islice(clips_of(number, pool, arrays), total - done):
                dropper.hold(clip)
                done += 1
                if done == trace.next:
                    stats = pool.stats()
                    trace.measure(done, len(dropper.held), stats.slots, stats.peak_leased)
            clip = None
            number += 1
    finally:
        dropper.close()
    gc.collect()
    if pool.stats().free != SLOTS:
        raise AssertionError(f"{SLOTS - pool.stats().free} of {SLOTS} slots are lost")
    return trace
