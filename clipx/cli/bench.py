"""`clipx bench`: the rate at which this machine gives clips of a dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clipx.cli.completions import complete_files
from clipx.cli.dataset_options import dataset_from, dataset_options
from clipx.cli.format_options import format_of, number_options, picture_options
from clipx.cli.option_groups import SECTIONS, sectioned
from clipx.cli.output import counted, megabytes, printable
from clipx.cli.spec_options import spec_of, spec_options
from clipx.cli.video_options import quality_option, video_options, video_options_of

if TYPE_CHECKING:
    from clipx.jobs.bench import Measured

__all__ = ["bench"]


@click.command(cls=sectioned({**SECTIONS, "batch_size": "The Loader", "duration": "The run"}))
@click.argument("src", nargs=-1, required=True, shell_complete=complete_files)
@spec_options
@dataset_options
@video_options
@quality_option
@picture_options
@number_options
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Clips of a batch.")
@click.option("--memory", default="1GB", show_default=True, help="Bytes of the Loader.")
@click.option("--threads", type=click.IntRange(1), help="Threads that extract clips.  [default: one per processor]")
@click.option("--no-shuffle", is_flag=True, help="Clips in the order of the dataset.")
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds to measure.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def bench(src: tuple[str, ...], duration: float, as_json: bool, no_shuffle: bool, **chosen: Any) -> None:
    """Measure how fast this machine gives clips of SRC.

    SRC are shards, or videos, sounds and arrays, or folders of either, or a table of files, or an index. A Loader runs
    over them; what it gives is thrown away. Prints rates, where the time went, and which part bounds it.

    \b
    Examples:
      clipx bench 'shards-{000..009}.tar' --length 16 --num-clips 1 \\
        --sampling random --resize 224 --crop 224
      clipx bench train.csv --path video --root /data --length 16 --stride 64
      clipx bench index.parquet --length 16 --stride 64
    """
    from clipx.jobs import bench as benching

    try:
        spec, format, options = spec_of(chosen), format_of(chosen), video_options_of(chosen)
        measured = benching.measure(
            dataset_from(src, chosen),
            spec,
            format,
            options=options,
            batch_size=chosen["batch_size"],
            memory_bytes=chosen["memory"],
            threads=chosen["threads"],
            shuffle=not no_shuffle,
            seconds=duration,
        )
    except TypeError as exn:
        raise click.ClickException(str(exn)) from exn
    if as_json:
        click.echo(json.dumps(measured.as_json(), indent=2))
    else:
        _print(Console(), measured)


def _print(console: Console, measured: Measured) -> None:
    stats = measured.stats
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")  # names of files are whole
    whole = f", {counted(measured.epochs, 'epoch')}" if measured.epochs else ""
    table.add_row("run", f"{stats.seconds:.1f} s, {counted(stats.clips, 'clip')}{whole}")
    table.add_row("rate", f"{stats.clips_per_second:,.1f} clips/s, {measured.frames / stats.seconds:,.0f} frames/s")
    table.add_row("read", f"{stats.bytes_read / 1e6 / stats.seconds:,.1f} MB/s, {counted(stats.samples, 'sample')}")
    table.add_row("memory", f"{megabytes(measured.peak_bytes)} at most, of a budget of {megabytes(stats.memory_bytes)}")
    of_threads = ", ".join(
        f"{name} {spent / stats.seconds / stats.threads:.0%}" for name, spent in stats.work_seconds.items() if spent
    )
    table.add_row(counted(stats.threads, "thread"), of_threads)
    table.add_row("one thread", f"reading {stats.reading_seconds / stats.seconds:.0%}")
    table.add_row("one thread", f"batching {stats.batching_seconds / stats.seconds:.0%}")
    if stats.errors:
        table.add_row("errors", ", ".join(f"{count} {kind}" for kind, count in stats.errors.items()))
        if measured.first_error is not None:
            table.add_row("", escape(printable(measured.first_error)))
    table.add_row("bound by", f"{stats.bound}: {measured.advice}")
    console.print(table)
