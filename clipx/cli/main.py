"""The command line: arguments in, tables and pictures out."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import clipx

if TYPE_CHECKING:
    from clipx.jobs.check import Summary


def _progress(console: Console, disable: bool = False) -> Progress:
    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True, disable=disable)


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
@click.argument("src", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The picture to write."
)
@click.option("--length", type=int, default=8, show_default=True, help="Frames of a clip.")
@click.option("--stride", type=int, help="Frames between the starts of clips.  [default: length * dilation]")
@click.option("--dilation", type=int, default=1, show_default=True, help="Frames between the frames of a clip.")
@click.option("--policy", default="drop", show_default=True, help="What happens at the end of the video.")
@click.option("--fill-value", type=int, default=0, show_default=True, help="What policy constant fills with.")
@click.option("--num-clips", type=int, help="That many clips, instead of --stride.")
@click.option("--sampling", default="regular", show_default=True, help="Where they are: regular or random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random starts.")
@click.option("--fps", help="Frames a second that the video is resampled to, such as 8 or 30000/1001.")
@click.option("--start-seconds", type=float, help="Where the part that is cut begins.")
@click.option("--end-seconds", type=float, help="Where it ends.")
@click.option("--at-start", default="next", show_default=True, help="Which frame is the first: next or shown.")
@click.option("--resize", help="Shorter side, or HEIGHT,WIDTH.")
@click.option("--crop", help="Side of a square in the centre, or HEIGHT,WIDTH, or Y,X,HEIGHT,WIDTH.")
@click.option("--flip", is_flag=True, help="Left and right change places.")
@click.option("--no-rotate", is_flag=True, help="Leave frames as they are stored.")
@click.option("--colorspace", help="bt601, bt709, bt2020, fcc or smpte240m, whatever the file says.")
@click.option("--color-range", help="limited or full, whatever the file says.")
@click.option("--color", default="rgb", show_default=True, help="rgb or gray.")
@click.option("--stream", default="best", show_default=True, help="Which video stream: best, or its number from 0.")
@click.option("--num-threads", type=int, default=1, show_default=True, help="Threads of the decoder.")
@click.option("--damage", default="stop", show_default=True, help="Clips of a damaged video: stop, skip or keep.")
@click.option("--max-pixels", type=int, help="Largest picture that is decoded.")
@click.option("--trusted", is_flag=True, help="Take SRC for what it says, also playlists.")
@click.option("--rows", type=int, default=12, show_default=True, help="Clips shown at most.")
def preview(src: Path, out: Path, seed: int, rows: int, no_rotate: bool, **chosen: Any) -> None:
    """Draw a contact sheet of the clips of SRC: a row for each, with the times under its frames."""
    from clipx.cli import contact_sheet as sheet

    def pick(*names: str) -> dict[str, Any]:
        return {name: chosen[name] for name in names if chosen[name] is not None}

    try:
        spec = clipx.WindowSpec(**pick("length", "stride", "dilation", "policy", "fill_value", "num_clips", "sampling"))
        sizes: dict[str, Any] = {name: _numbers(value) for name, value in pick("resize", "crop").items()}
        form = clipx.ClipFormat(**sizes, flip=chosen["flip"])
        if chosen["stream"].isdecimal():
            chosen["stream"] = int(chosen["stream"])
        options = clipx.VideoOptions(
            rotate=not no_rotate,
            **pick("fps", "start_seconds", "end_seconds", "at_start", "colorspace", "color_range", "color"),
            **pick("stream", "num_threads", "damage", "max_pixels", "trusted"),
        )
        cut = clipx.video.clips(src, spec, form, options=options, rng=seed)
        shown, more = sheet.draw(out, cut, rows)
    except (ValueError, TypeError) as exn:
        raise click.ClickException(str(exn)) from exn
    except ImportError as exn:
        raise click.ClickException(f"pictures need matplotlib: pip install 'clipx[plot]' ({exn})") from exn
    Console().print(f"{shown} clips{', and there are more' if more else ''}: {out}")


@main.command()
@click.argument("src", nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON lines to write, one a finding."
)
@click.option("--headers", is_flag=True, help="Read headers and packets alone: fast, and blind to most damage.")
@click.option("--threads", type=click.IntRange(1), help="That decode.  [default: one a processor]")
@click.option("-q", "--quiet", is_flag=True, help="Print what is wrong, and nothing else.")
def check(src: tuple[str, ...], out: Path | None, headers: bool, threads: int | None, quiet: bool) -> None:
    """Look through SRC: shards, videos, sounds, arrays, and folders of them.

    Says what is broken, damaged or cut short and where, and what there is. The exit status is 1 where anything is not
    ok.
    """
    from clipx.jobs import check as checking

    console = Console()
    summary = checking.Summary()
    try:
        sources = checking.find_sources(src)
        lines = out.open("w") if out is not None else None
    except (ValueError, OSError) as exn:
        raise click.ClickException(str(exn)) from exn
    with ExitStack() as stack:
        if lines is not None:
            stack.enter_context(lines)
        logger = logging.getLogger("clipx")
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)  # what it warns of is found, and told below
        progress = stack.enter_context(_progress(console, disable=quiet))
        task = progress.add_task("checking", total=len(sources))
        found = checking.check(
            sources,
            threads=threads or os.cpu_count() or 1,
            headers=headers,
            done=lambda: progress.advance(task),
        )
        for each in stack.enter_context(closing(found)):
            summary.add(each)
            if lines is not None:
                lines.write(json.dumps(each.as_json()) + "\n")
            if each.status != "ok":
                line = _printable(f"{each.name}: {each.status}: {each.error}")
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not quiet:
        _print_summary(console, summary)
    if summary.failed:
        raise click.exceptions.Exit(1)


def _printable(text: str) -> str:
    """A text without what a terminal would obey, or could not show: names in shards may hold anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _print_summary(console: Console, summary: Summary) -> None:
    table = Table(show_header=False, box=None)

    def row(name: str, counts: Mapping[Any, int], tell: Callable[[Any], str] = str, most: int = 6) -> None:
        common = sorted(counts.items(), key=lambda each: -each[1])
        told = [f"{count} {tell(value)}" for value, count in common[:most]]
        if told:
            table.add_row(name, ", ".join(told) + (f" and {len(common) - most} more" if len(common) > most else ""))

    row("found", summary.kinds, lambda kind: f"{kind}s")
    row("status", summary.statuses)
    row("sizes", summary.sizes, lambda size: f"of {size[1]}x{size[0]}")
    row("frame rates", summary.rates, lambda rate: f"at {rate:g}")
    row("sample rates", summary.sample_rates, lambda rate: f"at {rate}")
    for kind in ("video", "sound"):
        if summary.kinds[kind]:
            frames = f", {summary.frames} frames" if kind == "video" else ""
            table.add_row(kind, f"{summary.seconds[kind] / 3600:.2f} hours{frames}")
    if summary.silent:
        table.add_row("without sound", f"{summary.silent} of {summary.kinds['video']} videos")
    console.print(table)


def _numbers(text: str) -> int | tuple[int, ...]:
    """ "224" as a number, "224,320" as several."""
    try:
        numbers = tuple(int(each) for each in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no number, or numbers with commas between") from None
    return numbers[0] if len(numbers) == 1 else numbers


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
    """Cut and shuffle long videos with views, .copy(), clipx and its Loader, and draw the memory each takes."""
    from clipx import memory
    from clipx.cli import demo as runs

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
    console.print(f"All {len(results)} gave the same {len(results[0].checksums)} clips, byte for byte.")
    picture = out / "memory.png"
    try:
        memory.plot_bytes(
            picture, {each.kind: each.curve for each in results}, {"the buffer's nominal size": dataset.nominal}
        )
    except ImportError as exn:
        raise click.ClickException(f"memory.png needs matplotlib: pip install 'clipx[plot]' ({exn})") from exn
    console.print(f"Memory over time: {picture}")
