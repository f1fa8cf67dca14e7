from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from clipx._kernel.slots import Slots

simd: str
implementations: tuple[str, ...]
cache_bytes: int

def gather(src: Any, dst: Any, indices: Any, fill: Any = None, footprint: int = 0) -> None: ...
def gather_windows(src: Any, dst: Any, first: int, stride: int, count: int, length: int, dilation: int) -> None: ...
def scatter(frame: Any, targets: list[Any], footprint: int = 0) -> None: ...
def collect(arrays: list[Any], dst: Any, footprint: int = 0) -> None: ...

class Clips(Iterator[np.ndarray]):
    def __init__(
        self,
        src: Any,
        indices: Any,
        fill: Any,
        shape: tuple[int, ...],
        dtype: np.dtype,
        slots: Slots | None = None,
        exhausted: Callable[[tuple[int, ...], np.dtype], np.ndarray] | None = None,
    ) -> None: ...
    def __next__(self) -> np.ndarray: ...
    def close(self) -> None: ...

View = tuple[int, int, int, int, bool]

class Output:
    def __init__(self, kind: str, order: str, scale: float, mean: Any, std: Any) -> None: ...

class Resampling:
    size: tuple[int, int]
    def __init__(
        self,
        picture: tuple[int, int],
        box: tuple[float, float, float, float],
        size: tuple[int, int],
        interpolation: str = "bilinear",
        antialias: bool = True,
        bars: tuple[int, int, int, int, float] | None = None,
    ) -> None: ...

class Picture:
    def __init__(
        self,
        layout: str,
        sample_bytes: int,
        offsets: tuple[int, int, int],
        chroma_rows: bool,
        size: tuple[int, int],
        color: tuple[int, int, int, int, int, int, int, int, int],
    ) -> None: ...
    def write(
        self,
        planes: Any,
        line_sizes: Any,
        output: Output,
        views: Sequence[View],
        targets: list[Any],
        footprint: int = 0,
        resampling: Resampling | None = None,
    ) -> None: ...

class Formatted:
    def __init__(self, src: Any, output: Output) -> None: ...
    def write(
        self,
        dst: Any,
        indices: Any,
        views: Sequence[View],
        footprint: int = 0,
        per_clip: int = 1,
        resampling: Resampling | list[Resampling] | None = None,
    ) -> bool: ...

class Pcm:
    frame_bytes: int
    def __init__(self, type: str, big: bool, channels: int, dtype: str, order: str, law: Any = None) -> None: ...
    def write(
        self, data: Any, clip: Any, position: int = 0, first: int = 0, step: int = 1, count: int = -1
    ) -> None: ...

def may_be_coded(data: Any) -> bool: ...
def copy_planes(plane: Callable[[Any, int], Any], frame: Any, n: int, block: Any, position: int) -> None: ...
