"""Options of the command line that say what SRC are: a table of files, its columns, and a root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from clipx.cli.completions import complete_files
from clipx.cli.option_groups import option_group

if TYPE_CHECKING:
    import clipx

__all__ = ["dataset_from", "dataset_options"]

OPTIONS = (
    click.option(
        "--table", "is_table", is_flag=True, help="SRC is one table of files: CSV, TSV, JSON lines or Parquet."
    ),
    click.option("--path", "columns", multiple=True, help="Of a table: a column of paths.  [default: path]"),
    click.option("--key", help="Of a table: the column of keys.  [default: the first path, without its extension]"),
    click.option(
        "--root",
        shell_complete=complete_files,
        help="Folder or address that the paths of a table, or the sources of an index, are relative to.  [default: the "
        "table's folder, the index's root]",
    ),
)

dataset_options = option_group(OPTIONS)
"""The options that `dataset_from` reads."""


def dataset_from(
    src: Sequence[str], chosen: dict[str, Any], segments: tuple[str, str] | None = None
) -> clipx.Files | clipx.Index | list[str]:
    """The dataset that SRC are, by options that are taken out of `chosen`. Raises as `dataset_of`."""
    from clipx.jobs.datasets import dataset_of

    return dataset_of(
        src,
        is_table=chosen.pop("is_table"),
        columns=chosen.pop("columns"),
        root=chosen.pop("root"),
        key=chosen.pop("key"),
        segments=segments,
    )
