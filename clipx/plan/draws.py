"""All random choices: generators from a seed, an epoch, and the key of a sample or the name of a stream."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from clipx._checks import integer

__all__ = [
    "Epoch",
    "Rng",
    "as_generator",
    "check_epoch",
    "count_epoch",
    "derived_seed",
    "sample_rng",
    "segment_rng",
    "segment_seed",
    "skip_draws",
    "stream_random",
    "stream_rng",
]

Rng = np.random.Generator | int | None
"""A Generator, the seed of a new one, or None for one without a seed.

Stability: stable.
"""

Epoch = int | Callable[[], int] | None
"""A number, a function that gives one, or None to count the passes of a stage."""


def as_generator(rng: Rng) -> np.random.Generator:
    """The Generator itself, or a new one. Raises TypeError for anything that is not an Rng.

    Stability: provisional.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    try:
        return np.random.default_rng(integer("rng", rng, 0))
    except TypeError:
        raise TypeError(f"rng is {rng!r}, but must be a numpy Generator, a seed or None") from None


def check_epoch(epoch: Any) -> Epoch:
    """`epoch`, checked."""
    return epoch if epoch is None or callable(epoch) else integer("epoch", epoch, 0)


def skip_draws(rng: random.Random, draws: int) -> None:
    """Pass over what so many calls of `rng.random()` draw, in some ten nanoseconds each.

    The generator of the standard library and NumPy's are one, MT19937, and a draw is two of its words.
    """
    version, words, gauss = rng.getstate()
    generator = np.random.MT19937()
    state: Any = {"key": np.array(words[:-1], np.uint32), "pos": words[-1]}
    generator.state = {"bit_generator": "MT19937", "state": state}
    for done in range(0, draws, 1 << 22):  # Ctrl-C comes between
        generator.random_raw(2 * min(draws - done, 1 << 22), output=False)
    after: Any = generator.state["state"]
    rng.setstate((version, (*after["key"].tolist(), int(after["pos"])), gauss))


def count_epoch(epoch: Epoch, passes: int) -> int:
    """The epoch of a pass that comes after `passes` others."""
    return passes if epoch is None else integer("epoch", epoch(), 0) if callable(epoch) else epoch


def _digest(*what: Any) -> int:
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=16).digest(), "little")


def derived_seed(seed: int, *names: Any) -> int:
    """A seed of its own for what has these names: the same for the same seed and names, on any machine."""
    return _digest(seed, *names)


def sample_rng(seed: int, epoch: int, key: str, *more: Any) -> np.random.Generator:
    """Generator for the random choices of a sample: the same for the same (seed, epoch, `__key__`), on any machine.

    more: the name of its dataset in a mixture, and the number of the pass over it after the first.

    Stability: stable.
    """
    return np.random.default_rng(_digest(seed, epoch, key, *more))


def segment_seed(rng: Rng) -> tuple[int, ...]:
    """What the generators of all segments of a source are derived from, drawn from the source's own."""
    return tuple(as_generator(rng).integers(0, 2**63, size=2).tolist())


def segment_rng(seed: tuple[int, ...], number: int) -> np.random.Generator:
    """Generator for the random choices of a segment: whatever other segments its source has."""
    return np.random.default_rng((*seed, number))


def stream_random(seed: int, epoch: int, name: str) -> random.Random:
    """Random numbers for the order of a stream: the same for the same (seed, epoch, name), on any machine."""
    return random.Random(_digest(seed, epoch, name))


def stream_rng(seed: int, epoch: int, name: str) -> np.random.Generator:
    """Generator for the order of a stream: the same for the same (seed, epoch, name), on any machine."""
    return np.random.default_rng(_digest(seed, epoch, name, "stream"))
