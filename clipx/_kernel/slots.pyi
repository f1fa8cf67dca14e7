from collections.abc import Callable
from typing import Any, final

import numpy as np

class Slots:
    block: Any
    slots: int
    slot_bytes: int
    peak_leased: int
    def __init__(self, block: Any, slots: int, slot_bytes: int, wake: Callable[[None], None]) -> None: ...
    def abandon(self) -> None: ...
    def wait(self, more: int) -> None: ...
    @property
    def free(self) -> int: ...
    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None: ...

@final
class Lease:
    @property
    def slot_bytes(self) -> int: ...
