"""`clipx index`: an index of shards, files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

import clipx
from clipx.cli.completions import complete_files
from clipx.cli.dataset_options import dataset_from, dataset_options
from clipx.cli.output import counted, printable
from clipx.cli.summary import print_summary

__all__ = ["index"]

MOST_PROBLEMS = 20


@click.command()
@click.argument("src", nargs=-1, required=True, shell_complete=complete_files)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Parquet file to write, or to renew.",
)
@dataset_options
@click.option("--threads", type=click.IntRange(1), help="Threads that read.  [default: one per processor]")
@click.option("--processes", type=click.IntRange(0), default=0, help="Processes that read, instead of threads.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def index(
    src: tuple[str, ...],
    out: Path,
    threads: int | None,
    processes: int,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Write an index of SRC, by which samples are read at random.

    SRC are shards, videos, sound files, arrays, and folders of them; or, with --table, a table of files. Headers and
    packets are read, and nothing is decoded. What is broken becomes the status of its row. A build that was interrupted
    goes on where it was, and an index that is there is renewed: only what has changed is read.

    \b
    Examples:
      clipx index shards/ extra.mp4 -o index.parquet
      clipx index train.csv --table --path video --root /data -o index.parquet
    """
    from clipx.datasets.tables import is_table_name
    from clipx.jobs.index_summary import findings_of, summary_of

    dataset: object = list(src)
    is_table, root = chosen["is_table"], chosen["root"]
    if is_table:
        dataset = dataset_from(src, chosen)
    elif tables := [each for each in src if is_table_name(each)]:
        raise click.UsageError(f"{tables[0]!r} is a table of files: give it alone, with --table")
    elif chosen["columns"] or chosen["key"]:
        raise click.UsageError("--path and --key go with --table")
    built = clipx.Index.build(
        dataset,
        out,
        root=None if is_table else root,
        threads=threads,
        processes=processes,
        progress=not quiet,
    )
    console, findings = Console(quiet=quiet), list(findings_of(built))
    problems = [each for each in findings if each.status != "ok"]
    for each in problems[:MOST_PROBLEMS]:
        line = printable(f"{each.name}: {each.status}: {each.error}")
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(problems) > MOST_PROBLEMS:
        console.print(f"and {counted(len(problems) - MOST_PROBLEMS, 'problem')} more", highlight=False)
    print_summary(console, summary_of(findings))
    console.print(f"{counted(len(built), 'sample')}: {printable(str(out))}", markup=False, highlight=False)
    if len(problems) == len(findings):
        cure = ": are its paths and --root right?" if is_table else ""
        raise click.ClickException(f"nothing of SRC can be read{cure}")
