from typing import Any

simd: str
implementations: tuple[str, ...]
cache_bytes: int

def gather(src: Any, dst: Any, indices: Any, fill: Any = None, footprint: int = 0) -> None: ...
def scatter(frame: Any, targets: list[Any], footprint: int = 0) -> None: ...
