"""The command line: arguments in, tables and pictures out."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import clipx


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True)


def _mb(amount: int) -> str:
    return f"{amount / 1e6:,.0f} MB"


@click.group()
@click.version_option(clipx.__version__, prog_name="clipx")
def main() -> None:
    """Clips out of long videos, audio and arrays, inside a memory budget."""


@main.command()
def info() -> None:
    """Say what runs here: versions, vector instructions, FFmpeg's libraries."""
    import av

    from clipx import _kernel

    table = Table(show_header=False, box=None)
    table.add_row("clipx", clipx.__version__)
    table.add_row("simd", f"{clipx.simd} (of {', '.join(_kernel.implementations)}; CLIPX_SIMD chooses)")
    table.add_row("cache", f"{_kernel.cache_bytes / 2**20:.0f} MiB; larger outputs are streamed past it")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in ("numpy", "webdataset", "av", "psutil"):
        table.add_row(package, version(package))
    libraries = (f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    table.add_row("FFmpeg", f"{av.ffmpeg_version_info} ({', '.join(libraries)})")
    Console().print(table)


@main.command()
@click.option(
    "--video", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your file instead of rendered ones."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("clipx-demo"),
    show_default=True,
    help="Folder.",
)
def demo(video: Path | None, out: Path) -> None:
    """Cut and shuffle long videos with views, with .copy() and with clipx, and draw the memory each takes."""
    from clipx import demo as runs
    from clipx import memory

    console = Console()
    with _progress(console) as progress:

        def shown(label: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(label, total=total)
            return lambda done: progress.update(task, completed=done)

        try:
            dataset = runs.make_dataset(out, video, shown("videos", runs.VIDEOS))
        except ValueError as exn:
            raise click.ClickException(str(exn)) from exn
        results = [runs.run(kind, dataset, shown(kind, dataset.clips)) for kind in runs.KINDS]

    height, width, _ = dataset.shape
    console.print(
        f"{dataset.videos} videos of {dataset.frames} frames, {width}x{height}; {dataset.clips} clips of "
        f"{runs.WINDOW.length} frames, {runs.WINDOW.stride} apart; shuffle buffer of {dataset.shuffled} clips, "
        f"nominally {_mb(dataset.nominal)}"
    )
    table = Table("", "clips/s", "peak memory", "buffer shows", "buffer retains")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in results:
        table.add_row(each.kind, f"{each.clips_per_second:.0f}", _mb(each.peak), _mb(each.shown), _mb(each.retained))
    console.print(table)
    if any(each.checksums != results[0].checksums for each in results):
        raise click.ClickException("the runs did not give the same clips")
    console.print(f"All three gave the same {len(results[0].checksums)} clips, byte for byte.")
    picture = out / "memory.png"
    try:
        memory.plot_bytes(
            picture, {each.kind: each.curve for each in results}, {"the buffer's nominal size": dataset.nominal}
        )
    except ImportError as exn:
        raise click.ClickException(f"memory.png needs matplotlib: pip install 'clipx[plot]' ({exn})") from exn
    console.print(f"Memory over time: {picture}")
