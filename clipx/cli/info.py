"""`clipx info`: versions and processor features, or the facts of files, shards and indexes."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import clipx
from clipx.cli.completions import complete_files
from clipx.cli.extract_summary import print_job
from clipx.cli.output import counted, printable
from clipx.cli.summary import print_rows, print_summary
from clipx.datasets.remote_names import is_remote
from clipx.datasets.source_names import is_shard, kind_of_name

__all__ = ["info"]


@click.command()
@click.argument("name", metavar="[FILE]", required=False, shell_complete=complete_files)
@click.option("--rows", type=click.IntRange(0), default=50, show_default=True, help="Most rows of a table to print.")
def info(name: str | None, rows: int) -> None:
    """Show versions, or the facts of a file, an index or a job.

    FILE is a video, a sound, arrays, a shard, an index, or the folder of a job.
    Without FILE: the versions of clipx and its libraries, and the vector instructions in use. With a video: its size in
    pixels, frame rate, number of frames, duration, codec, rotation and sound, from the header. With a shard or an index
    (.parquet): a line for each stream, and of an index, counts over all. With the folder of `clipx extract`, or its
    address: how far the job is, its sums and its first failures. Nothing is decoded.

    \b
    Examples:
      clipx info
      clipx info video.mp4
      clipx info shard-000.tar
      clipx info index.parquet --rows 0
      clipx info clips
    """
    console = Console()
    file = None if name is None else Path(name)
    if name is not None and file is not None and (is_remote(name) or file.is_dir()):
        try:
            print_job(console, name)
        except FileNotFoundError as exn:
            raise click.ClickException(f"{name!r} is no folder of `clipx extract`: it has no job.json") from exn
    elif file is not None and not file.exists():
        raise click.BadParameter(f"file {name!r} does not exist")
    elif file is not None and file.suffix.lower() == ".parquet":
        _show_index(console, file, rows)
    elif file is not None and (is_shard(str(file)) or kind_of_name(file.name) in ("sound", "npy", "npz")):
        from clipx.jobs.index_summary import rows_of_source

        print_rows(console, rows_of_source(str(file)), rows)
    else:
        table = Table(show_header=False, box=None)
        _add_versions(table) if file is None else _add_facts(table, file)
        console.print(table)


def _show_index(console: Console, file: Path, most: int) -> None:
    from clipx.jobs.index_summary import findings_of, summary_of

    index = clipx.Index(file, trusted=True)  # no source is opened
    if most:
        print_rows(console, index.rows(), most)
    print_summary(console, summary_of(findings_of(index)))
    line = f"{counted(len(index), 'sample')}, from {index.root}"
    console.print(printable(line), markup=False, highlight=False)


def _add_facts(table: Table, file: Path) -> None:
    found = clipx.video.probe(file)
    table.add_row("file", escape(printable(str(file))))
    table.add_row("size", f"{found.width}x{found.height}")
    table.add_row("frame rate", f"{found.fps:.6g} frames/s")
    table.add_row("frames", "not stated" if found.frames is None else str(found.frames))
    seconds = found.duration_seconds
    table.add_row("duration", "not stated" if seconds is None else f"{seconds:.3f} s")
    table.add_row("codec", found.codec)
    if found.rotation or found.mirrored:
        table.add_row("rotation", f"{found.rotation} degrees{', then mirrored' if found.mirrored else ''}")
    sound = found.sound
    channels = "" if sound is None else counted(sound.channels, "channel")
    table.add_row("sound", "none" if sound is None else f"{sound.codec}, {sound.sample_rate} Hz, {channels}")


def _add_versions(table: Table) -> None:
    import av

    from clipx import _kernel

    table.add_row("clipx", clipx.__version__)
    table.add_row("simd", f"{clipx.simd} (of {', '.join(_kernel.implementations)}; CLIPX_SIMD chooses)")
    table.add_row("cache", f"{_kernel.cache_bytes / 2**20:.0f} MiB; larger outputs are written past it")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in ("numpy", "webdataset", "av", "psutil"):
        table.add_row(package, version(package))
    libraries = (f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    table.add_row("FFmpeg", f"{av.ffmpeg_version_info} ({', '.join(libraries)})")
