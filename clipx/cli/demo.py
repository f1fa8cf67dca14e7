"""`clipx demo`: what four ways to take clips hold in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from clipx.cli.output import counted, megabytes, needs_matplotlib, printable, progress_bar

if TYPE_CHECKING:
    from clipx.cli.demo_runs import Dataset, Result

__all__ = ["demo"]


@click.command()
@click.option(
    "--video",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your video, instead of rendered ones.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("clipx-demo"),
    show_default=True,
    help="Folder for the shard and the chart.",
)
def demo(video: Path | None, out: Path) -> None:
    """Compare the memory of views, copies, clipx and its Loader.

    Takes clips from long videos and shuffles them in four ways, each in a process of its own. Writes a shard of
    videos, videos.tar, and a chart of memory over time, memory.png.

    \b
    Example:
      clipx demo --out /tmp/clipx-demo
    """
    from clipx import memory
    from clipx.cli import demo_runs as runs

    console = Console()
    with progress_bar(console) as progress:

        def shown(label: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(label, total=total)
            return lambda done: progress.update(task, completed=done)

        dataset = runs.make_dataset(out, video, shown("videos", runs.VIDEOS))
        try:
            results = [runs.run(kind, dataset, shown(kind, dataset.clips)) for kind in runs.KINDS]
        except RuntimeError as exn:
            raise click.ClickException(str(exn)) from exn
    _print_results(console, dataset, results)
    picture = out / "memory.png"
    with needs_matplotlib("memory.png"):
        memory.plot_bytes(
            picture, {each.kind: each.curve for each in results}, {"the buffer's nominal size": dataset.nominal}
        )
    console.print(f"Memory over time: {printable(str(picture))}", markup=False)


def _print_results(console: Console, dataset: Dataset, results: list[Result]) -> None:
    from clipx.cli.demo_runs import WINDOW

    height, width, _ = dataset.shape
    console.print(
        f"{counted(dataset.videos, 'video')} of {dataset.frames} frames, {width}x{height}; "
        f"{counted(dataset.clips, 'clip')} of {WINDOW.length} frames, {WINDOW.stride} apart; shuffle buffer of "
        f"{counted(dataset.shuffled, 'clip')}, nominally {megabytes(dataset.nominal)}"
    )
    table = Table("", "clips/s", "peak memory", "buffer shows", "buffer retains")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in results:
        amounts = (megabytes(amount) for amount in (each.peak, each.shown, each.retained))
        table.add_row(each.kind, f"{each.clips_per_second:.0f}", *amounts)
    console.print(table)
    if any(each.checksums != results[0].checksums for each in results):
        raise click.ClickException("the runs did not give the same clips")
    console.print(f"All {len(results)} gave the same {counted(len(results[0].checksums), 'clip')}, byte for byte.")
