"""Memory that is really held: the bytes that samples show and keep alive, and a process's memory over time.

Stability: stable.
"""

from __future__ import annotations

import dataclasses
import queue
import sys
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from clipx._kernel import Lease
from clipx._reprs import byte_text
from clipx._threads import Task

__all__ = ["MemorySample", "Meter", "check", "leases", "payload_bytes", "retained_bytes"]

SLACK_BYTES = 1_000_000


def _torch_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.layout == torch.strided


def is_leaf(obj: Any) -> bool:
    """`obj` is an array, a tensor, a memoryview or bytes."""
    return isinstance(obj, (np.ndarray, memoryview, bytes, bytearray)) or _torch_tensor(obj)


def _leaves(obj: Any) -> Iterator[Any]:
    """Arrays, tensors, memoryviews and bytes in nested mappings, sequences, sets and dataclasses, each object once."""
    seen: dict[int, Any] = {}
    todo = [obj]
    while todo:
        obj = todo.pop()
        if id(obj) in seen:
            continue
        if is_leaf(obj):
            seen[id(obj)] = obj
            yield obj
            continue
        if isinstance(obj, Mapping):
            inner = list(obj.values())
        elif isinstance(obj, (list, tuple, set, frozenset, deque)):
            inner = list(obj)
        elif dataclasses.is_dataclass(obj) and not isinstance(obj, type):
            inner = [getattr(obj, field.name) for field in dataclasses.fields(obj)]
        else:
            continue
        seen[id(obj)] = obj
        todo.extend(reversed(inner))


def payload_bytes(obj: Any) -> int:
    """Bytes that the arrays of a nested sample show: arrays, tensors, memoryviews and bytes, each object once.

    A view of ten elements shows ten, whatever it keeps alive; see `retained_bytes`.

    Stability: stable.
    """
    return sum(len(each) if isinstance(each, (bytes, bytearray)) else each.nbytes for each in _leaves(obj))


def owner(leaf: Any) -> tuple[int, int]:
    """Start and end, as addresses, of the memory that holds a leaf's bytes."""
    if _torch_tensor(leaf):
        storage = leaf.untyped_storage()
        return storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    held = leaf
    while True:
        behind = held.obj if isinstance(held, memoryview) else getattr(held, "base", None)
        if behind is None:
            break
        leaf, held = (held, behind) if isinstance(held, np.ndarray) else (leaf, behind)
    if not isinstance(held, np.ndarray):
        if _torch_tensor(held):
            return owner(held)
        try:
            held = np.frombuffer(held, np.uint8)
        except (TypeError, ValueError):  # no buffer, or an empty one: what the array shows must do
            held = leaf
    if not isinstance(held, np.ndarray):
        return 0, 0
    start: int = held.__array_interface__["data"][0]
    return start, start + held.nbytes


def owners(obj: Any) -> set[tuple[int, int]]:
    """Start and end, as addresses, of each piece of memory that a nested sample keeps alive."""
    return {owner(each) for each in _leaves(obj)}


def leases(obj: Any) -> int:
    """Number of pool slots that a nested sample keeps leased.

    Stability: stable.
    """
    return len({id(lease) for lease in map(_lease, _leaves(obj)) if lease is not None})


def _lease(leaf: Any) -> Any:
    held = leaf.obj if isinstance(leaf, memoryview) else leaf
    while isinstance(held, (np.ndarray, memoryview)):
        held = held.obj if isinstance(held, memoryview) else held.base
    return held if isinstance(held, Lease) else None


def retained_bytes(obj: Any) -> int:
    """Bytes that a nested sample keeps alive, none counted twice.

    The owners of memory are found through `.base`, memoryviews and torch storages. A lease counts as its slot, not as
    its pool's block; a mapped file as the length of its mapping. The memory behind an owner of another library (a
    DLPack capsule, say) cannot be seen; there the array itself counts.

    Stability: stable.
    """
    total = end = 0
    for start, stop in sorted(owners(obj)):
        total += max(stop - max(start, end), 0)
        end = max(end, stop)
    return total


def retention(sample: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """The first field that keeps far more bytes alive than it shows, and both numbers; None where none does.

    Far more is more than twice as much, and a megabyte more: slots and buffers are rounded up by less.
    """
    for field, value in sample.items():
        shown = payload_bytes(value)
        retained = retained_bytes(value)
        if retained > 2 * shown and retained - shown > SLACK_BYTES:
            return field, shown, retained
    return None


def check(sample: Mapping[str, Any]) -> None:
    """Raise ValueError where a field of a sample keeps far more memory alive than it shows, as views of arrays do.

    Raises TypeError for what is not a sample: a mapping of names to values.

    Stability: stable.
    """
    if not isinstance(sample, Mapping):
        raise TypeError(f"sample is a {type(sample).__name__}, but must be a mapping such as a dict")
    found = retention(sample)
    if found is not None:
        raise ValueError(describe_retention(*found))


def describe_retention(field: str, shown: int, retained: int) -> str:
    """The message about a field that keeps far more alive than it shows, with the cure."""
    return (
        f"field {field!r} shows {shown} bytes but keeps {retained} alive: it is a view of something larger; copy it, "
        f"or take clips of it with clipx"
    )


class MemorySample(NamedTuple):
    """The memory of a process at one time.

    Attributes:
        seconds: since the meter started.
        rss, uss: bytes of memory that are resident, and of those that no other process shares; uss is None where it was
            not read.

    Stability: stable.
    """

    seconds: float
    rss: int
    uss: int | None


class Meter:
    """Memory of this process, sampled on a thread while the block runs.

    >>> with clipx.memory.Meter() as meter:
    ...     train()
    >>> meter.peak - meter.start

    Args:
        interval: seconds between samples.

    Attributes:
        samples: a list of MemorySample. Each has the RSS; USS, for which the system walks over all pages, is read where
            psutil has it, and so rarely that it takes at most a twentieth of the time.

    Raises TypeError and ValueError for an interval that is not a number above 0.

    Stability: stable.
    """

    def __init__(self, interval: float = 0.05) -> None:
        import psutil

        if isinstance(interval, (bool, str)) or not hasattr(interval, "__float__"):
            raise TypeError(f"interval is {interval!r}, but must be a number of seconds")
        if not interval > 0:
            raise ValueError(f"interval is {interval}, but must be above 0 seconds")
        self.interval = interval
        self.samples: list[MemorySample] = []
        self._process = psutil.Process()
        self._task = Task()
        self._next_uss = 0.0
        self._began = time.perf_counter()

    @property
    def start(self) -> int:
        """RSS in bytes when the meter started. Raises RuntimeError before that."""
        return self._taken()[0].rss

    @property
    def peak(self) -> int:
        """Largest RSS in bytes of all samples. Raises RuntimeError before the meter has started."""
        return max(sample.rss for sample in self._taken())

    def _taken(self) -> list[MemorySample]:
        if not self.samples:
            raise RuntimeError("the meter has not started; enter it: with clipx.memory.Meter() as meter")
        return self.samples

    def _uss(self) -> int | None:
        before = time.perf_counter()
        if before < self._next_uss:
            return None
        try:
            uss = getattr(self._process.memory_full_info(), "uss", None)
        except Exception as exn:  # psutil.AccessDenied, or a system without it
            if type(exn).__module__.split(".")[0] != "psutil":
                raise
            uss = None
        after = time.perf_counter()
        self._next_uss = after + 20 * (after - before) if uss is not None else float("inf")
        return uss

    def sample(self) -> MemorySample:
        """Take one sample now."""
        taken = MemorySample(time.perf_counter() - self._began, self._process.memory_info().rss, self._uss())
        self.samples.append(taken)
        return taken

    def __enter__(self) -> Meter:
        self._began = time.perf_counter()
        self.samples.clear()
        self.sample()
        self._task = task = Task()
        # The thread does not hold the meter, so that it ends where this is interrupted.
        task.start(partial(_sample, weakref.ref(self), task.stopping, self.interval), "clipx-meter")
        return self

    def __exit__(self, *exc: object) -> None:
        self._task.stop()
        self.sample()

    def __repr__(self) -> str:
        if not self.samples:
            return "<Meter: not started>"
        peak, start = byte_text(self.peak), byte_text(self.start)
        return f"<Meter: {len(self.samples)} samples, {start} at the start, {peak} at most>"

    def plot(self, path: Any) -> None:
        """Draw RSS and USS over time to an image file. Needs matplotlib (`pip install clipx-data[plot]`)."""
        curves = {"RSS": [(s.seconds, s.rss) for s in self.samples]}
        uss = [(s.seconds, s.uss) for s in self.samples if s.uss is not None]
        if uss:
            curves["USS"] = uss
        plot_bytes(path, curves)


def _sample(meter: weakref.ref[Meter], stopping: queue.SimpleQueue[Any], interval: float) -> None:
    """Take samples until the meter ends, or is gone."""
    while True:
        with suppress(queue.Empty):
            stopping.get(timeout=interval)
            return
        alive = meter()
        if alive is None:
            return
        alive.sample()
        del alive


def plot_bytes(
    path: Any, curves: Mapping[str, list[tuple[float, int]]], lines: Mapping[str, int] | None = None
) -> None:
    """Draw curves of (seconds, bytes) and level lines of bytes, by label, in MB, to an image file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="seconds", ylabel="memory, MB")
    for label, points in curves.items():
        axes.plot([seconds for seconds, _ in points], [amount / 1e6 for _, amount in points], label=label)
    for label, amount in (lines or {}).items():
        axes.axhline(amount / 1e6, color="grey", linestyle="--", linewidth=1, label=label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
