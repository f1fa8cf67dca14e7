"""The machine that a benchmark runs on, and the versions it runs with."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

CPU = Path("/sys/devices/system/cpu/cpu0/cache")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def pin() -> None:
    """Keep this process, and those it starts, on one core, where the system allows it."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity(process.cpu_affinity()[-1:])


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    caches = {}
    for index in sorted(CPU.glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                caches[f"L{level}"] = size
    return caches


def _huge_pages() -> str:
    with contextlib.suppress(OSError):
        return HUGE_PAGES.read_text().partition("[")[2].partition("]")[0]
    return "unknown"


def _versions(modules: Iterable[str]) -> dict[str, str | None]:
    """Versions by module; None for those that cannot be imported."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in modules:
        try:
            versions[name] = str(import_module(name).__version__)
        except Exception:  # torchcodec raises RuntimeError where FFmpeg's libraries are missing
            versions[name] = None
    return versions


def machine(*modules: str) -> dict[str, Any]:
    """The machine, and the versions of Python, clipx and `modules`."""
    import clipx

    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(),
        "caches": _caches(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "huge_pages": _huge_pages(),
        "load": psutil.getloadavg()[0],
        "simd": clipx.simd,
        "versions": _versions(("clipx", *modules)),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
