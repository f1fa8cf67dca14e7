"""`clipx info`: versions and processor features."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click
from rich.console import Console
from rich.table import Table

import clipx

__all__ = ["info"]


@click.command()
def info() -> None:
    """Show versions and the vector instructions in use.

    \b
    Example:
      clipx info
    """
    import av

    from clipx import _kernel

    table = Table(show_header=False, box=None)
    table.add_row("clipx", clipx.__version__)
    table.add_row("simd", f"{clipx.simd} (of {', '.join(_kernel.implementations)}; CLIPX_SIMD chooses)")
    table.add_row("cache", f"{_kernel.cache_bytes / 2**20:.0f} MiB; larger outputs are written past it")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in ("numpy", "webdataset", "av", "psutil"):
        table.add_row(package, version(package))
    libraries = (f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    table.add_row("FFmpeg", f"{av.ffmpeg_version_info} ({', '.join(libraries)})")
    Console().print(table)
