"""Clips out of long videos, audio and arrays: written once, into memory set aside beforehand.

Nothing is imported until it is used: neither av nor webdataset are loaded by `import clipx`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clipx._lazy import load

if TYPE_CHECKING:
    from clipx import audio, errors, jobs, mapped, memory, plan, pool, ray, segments, video, wds, windows
    from clipx._kernel import simd
    from clipx.audio.format import AudioFormat
    from clipx.clip import Clip, ClipFacts
    from clipx.datasets.files import Files
    from clipx.datasets.index import Index
    from clipx.datasets.mix import Mix
    from clipx.errors import MediaError, PoolExhausted, PoolTooSmall
    from clipx.format import ClipFormat, RandomResizedCrop
    from clipx.loader import Loader
    from clipx.loader.clip_dataset import ClipDataset
    from clipx.loader.clip_sampler import ClipSampler
    from clipx.loader.reshard import reshard_states
    from clipx.plan import FrameList, RateSpec, Segment, UniformSpec, WindowSpec
    from clipx.pool import ClipPool, PoolStats
    from clipx.video.options import VideoOptions
    from clipx.wds.showing import show

__version__ = "0.2.0"

_HOMES = {
    "AudioFormat": "audio.format",
    "Clip": "clip",
    "ClipDataset": "loader.clip_dataset",
    "ClipFacts": "clip",
    "ClipFormat": "format",
    "ClipPool": "pool",
    "ClipSampler": "loader.clip_sampler",
    "Files": "datasets.files",
    "FrameList": "plan",
    "Index": "datasets.index",
    "Loader": "loader",
    "MediaError": "errors",
    "Mix": "datasets.mix",
    "PoolExhausted": "errors",
    "PoolStats": "pool",
    "PoolTooSmall": "errors",
    "RandomResizedCrop": "format",
    "RateSpec": "plan",
    "Segment": "plan",
    "UniformSpec": "plan",
    "VideoOptions": "video.options",
    "WindowSpec": "plan",
    "reshard_states": "loader.reshard",
    "show": "wds.showing",
    "simd": "_kernel",
}
_MODULES = ("audio", "errors", "jobs", "mapped", "memory", "plan", "pool", "ray", "segments", "video", "wds", "windows")

__all__ = [
    "AudioFormat",
    "Clip",
    "ClipDataset",
    "ClipFacts",
    "ClipFormat",
    "ClipPool",
    "ClipSampler",
    "Files",
    "FrameList",
    "Index",
    "Loader",
    "MediaError",
    "Mix",
    "PoolExhausted",
    "PoolStats",
    "PoolTooSmall",
    "RandomResizedCrop",
    "RateSpec",
    "Segment",
    "UniformSpec",
    "VideoOptions",
    "WindowSpec",
    "__version__",
    "audio",
    "errors",
    "jobs",
    "mapped",
    "memory",
    "plan",
    "pool",
    "ray",
    "reshard_states",
    "segments",
    "show",
    "simd",
    "video",
    "wds",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = load(f"clipx.{_HOMES[name]}", name)
    elif name in _MODULES:
        value = load(f"clipx.{name}")
    else:
        raise AttributeError(f"module 'clipx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(ipython: Any) -> None:
    """Have a notebook show batches as pictures: called by `%load_ext clipx`."""
    load("clipx.wds.showing").register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Have it show them as text again: called by `%unload_ext clipx`."""
    load("clipx.wds.showing").unregister(ipython)
