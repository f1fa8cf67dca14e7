"""Memory that the clips of a stream are written to."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

__all__ = ["ClipMemory"]


class ClipMemory(Protocol):
    """A ClipPool, or what stands for one."""

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        """Check that clips of a shape fit, and so many of them at once."""

    def acquire(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> np.ndarray:
        """Memory of one clip, not cleared."""
