"""The command `clipx` and its subcommands."""

from __future__ import annotations

from typing import Any

import click

import clipx
from clipx.cli.bench import bench
from clipx.cli.check import check
from clipx.cli.completions import completion
from clipx.cli.demo import demo
from clipx.cli.extract import extract
from clipx.cli.index import index
from clipx.cli.info import info
from clipx.cli.output import one_line
from clipx.cli.preview import preview

__all__ = ["main"]


class _Commands(click.Group):
    """Subcommands whose errors end them with one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, OSError, MemoryError) as exn:
            raise click.ClickException(one_line(exn)) from exn


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(clipx.__version__, prog_name="clipx")
def main() -> None:
    """Clips out of long videos, audio and arrays, inside a memory budget.

    \b
    Examples:
      clipx info video.mp4
      clipx preview video.mp4 -o sheet.png --length 16 --stride 64
      clipx check shards/
      clipx extract videos/ -o clips --length 16 --stride 64 --resize 256
      clipx extract --help

    The documentation is at https://clipx.readthedocs.io
    """


for command in (info, preview, check, index, extract, bench, demo, completion):
    main.add_command(command)
