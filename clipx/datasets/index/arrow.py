"""The columns of an index, and the Parquet file that holds them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["DAMAGE", "ROW_GROUP", "VERSION", "are", "arrow", "columns", "parquet", "schema", "write_options"]

VERSION = 1
"""Version of the columns: an index of another is built anew."""

ROW_GROUP = 1024
"""Rows of a group, which is decoded as a whole where lists of one of its rows are read."""

MISSING = 'an index needs pyarrow: pip install "clipx-data[index]"'

DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError)
"""Classes of the errors that pyarrow raises for files with other bytes than were written."""

_COLUMNS = {
    # The sample, and where its bytes lie.
    "sample": "int64",
    "key": "string",
    "field": "name",
    "source": "name",
    "source_kind": "name",
    "source_size": "int64",
    "source_mtime_ns": "int64",
    "shard_sample": "int64",
    "offset": "int64",
    "size": "int64",
    # The stream.
    "kind": "name",
    "stream": "int32",
    "stream_of_kind": "int32",
    "is_best": "bool",
    "container": "name",
    "codec": "name",
    "duration": "double",
    # Of a video.
    "width": "int32",
    "height": "int32",
    "rotation": "int16",
    "mirrored": "bool",
    "fps_num": "int64",
    "fps_den": "int64",
    "time_base_num": "int64",
    "time_base_den": "int64",
    "start": "int64",
    "frames": "int64",
    "listed": "int64",
    "exact": "bool",
    "grace_ticks": "int8",
    "grace_period": "int64",
    "picture_pixels": "int64",
    "picture_bytes_num": "int64",
    "picture_bytes_den": "int64",
    "references": "int16",
    "pts": "list",
    "durations": "list",
    "frame_of": "list",
    "key_frames": "list",
    "key_pts": "list",
    "key_positions": "list",
    # Of a sound.
    "sample_rate": "int32",
    "channels": "int32",
    "samples": "int64",
    # Of an array.
    "member": "string",
    "dtype": "name",
    "shape": "list",
    # What is wrong with it, and the other columns of a table.
    "status": "name",
    "error": "string",
    "values": "string",
}
"""Columns and their kinds: "name" is a text that many rows share."""


def arrow() -> Any:
    """The module pyarrow. Raises ImportError that says how to install it."""
    try:
        import pyarrow
    except ImportError as exn:
        raise ImportError(MISSING) from exn
    return pyarrow


def parquet() -> Any:
    """The module pyarrow.parquet. Raises ImportError as `arrow`."""
    arrow()
    import pyarrow.parquet

    return pyarrow.parquet


def columns(*kinds: str) -> list[str]:
    """Names of the columns of these kinds; of all without any."""
    return [name for name, kind in _COLUMNS.items() if not kinds or kind in kinds]


@cache
def schema() -> Any:
    """The schema of the columns, without metadata."""
    pa = arrow()
    types = {
        "string": pa.string(),
        "name": pa.string(),
        "list": pa.list_(pa.int64()),
        "bool": pa.bool_(),
        "double": pa.float64(),
        "int8": pa.int8(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
    }
    return pa.schema([pa.field(name, types[kind]) for name, kind in _COLUMNS.items()])


def write_options() -> dict[str, Any]:
    """Options of a ParquetWriter: lists of numbers at constant steps take next to nothing."""
    numbers = columns("int64", "int32")
    lists = [f"{name}.list.element" for name in columns("list")]
    return {
        "compression": "zstd",
        "use_dictionary": columns("name"),
        "column_encoding": dict.fromkeys([*numbers, *lists], "DELTA_BINARY_PACKED"),
        "version": "2.6",
        "data_page_version": "1.0",
        "write_page_index": False,
        "write_page_checksum": True,
    }


def are(names: Any, wanted: str) -> np.ndarray:
    """Which of the names of a column are this one."""
    known = names.dictionary.to_pylist()
    code = known.index(wanted) if wanted in known else -2
    return names.indices.fill_null(-1).to_numpy(zero_copy_only=False) == code
