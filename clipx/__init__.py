"""Clips out of long videos, audio and arrays: written once, into memory set aside beforehand.

Nothing is imported until it is used: neither av nor webdataset are loaded by `import clipx`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipx import audio, errors, mapped, memory, plan, pool, video, wds, windows
    from clipx._kernel import simd
    from clipx.audio.sound import AudioFormat
    from clipx.errors import MediaError, PoolExhausted
    from clipx.format import ClipFormat
    from clipx.loader import Loader
    from clipx.plan import WindowSpec
    from clipx.pool import ClipPool, PoolStats
    from clipx.video.options import VideoOptions

__version__ = "0.1.0"

HOMES = {
    "AudioFormat": "audio.sound",
    "ClipFormat": "format",
    "VideoOptions": "video.options",
    "ClipPool": "pool",
    "MediaError": "errors",
    "Loader": "loader",
    "PoolExhausted": "errors",
    "PoolStats": "pool",
    "WindowSpec": "plan",
    "simd": "_kernel",
}
MODULES = ("audio", "errors", "mapped", "memory", "plan", "pool", "video", "wds", "windows")

__all__ = [
    "AudioFormat",
    "ClipFormat",
    "ClipPool",
    "Loader",
    "MediaError",
    "PoolExhausted",
    "PoolStats",
    "VideoOptions",
    "WindowSpec",
    "__version__",
    "audio",
    "errors",
    "mapped",
    "memory",
    "plan",
    "pool",
    "simd",
    "video",
    "wds",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        value = getattr(import_module(f"clipx.{HOMES[name]}"), name)
    elif name in MODULES:
        value = import_module(f"clipx.{name}")
    else:
        raise AttributeError(f"module 'clipx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
