"""Arrays copied into the memory of a batch: as its rows, padded to its rows, or one behind the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipx import _kernel

__all__ = ["copy_padded", "copy_rows", "differing_axes", "pack", "packed_bytes"]

ALIGNMENT = 64  # of arrays one behind the other, as of slots


def _bits(array: np.ndarray) -> np.ndarray:
    """Bytes of an array, whatever its dtype: not every dtype has a buffer."""
    return array.reshape(-1).view(np.uint8)


def copy_rows(arrays: list[np.ndarray], out: np.ndarray, footprint: int) -> None:
    """Copy arrays into out, one after the other."""
    if all(array.flags.c_contiguous for array in arrays) and out.nbytes and not out.dtype.hasobject:
        _kernel.collect([_bits(array) for array in arrays], _bits(out), footprint)
    else:
        np.stack(arrays, out=out)


def differing_axes(shape: Sequence[int], other: Sequence[int]) -> list[int]:
    """The axes along which two shapes of one rank differ."""
    return [axis for axis, (size, size_of_other) in enumerate(zip(shape, other)) if size != size_of_other]


def copy_padded(array: np.ndarray, out: np.ndarray, footprint: int) -> None:
    """Copy an array to the beginning of a larger one, and zeros behind it; the two differ along one axis at most."""
    end = out
    for axis in differing_axes(array.shape, out.shape):
        before = (slice(None),) * axis
        out, end = out[(*before, slice(array.shape[axis]))], out[(*before, slice(array.shape[axis], None))]
        end[...] = np.zeros((), end.dtype)
    if out.flags.c_contiguous:
        copy_rows([array], out[None], footprint)
    else:
        out[...] = array


def packed_bytes(arrays: Sequence[np.ndarray]) -> int:
    """Bytes that arrays take one behind the other."""
    return sum(-(-array.nbytes // ALIGNMENT) * ALIGNMENT for array in arrays)


def pack(array: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of an array at the beginning of uint8 memory, and the memory that is left."""
    copy = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy_rows([array], copy[None], 0)
    return copy, memory[packed_bytes([array]) :]
