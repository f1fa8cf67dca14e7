"""Files as a dataset: paths, a pattern or a table of them, opened where they lie."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clipx._lazy import lazy
from clipx.datasets.dataset import Handler, refuse, share_parts
from clipx.datasets.decoding import encoded_cell
from clipx.datasets.fields import SOURCE_EXTENSIONS, Sample, extension_of, is_metadata
from clipx.datasets.origins import locate
from clipx.datasets.remote_names import expand_remote, is_remote, read_remote
from clipx.datasets.shares import Share
from clipx.datasets.single_samples import SingleSamples
from clipx.datasets.stored import StoredFile
from clipx.datasets.tables import TABLE_EXTENSIONS, Table, read_table_file, table_of, table_of_paths
from clipx.datasets.world import World

__all__ = ["FileReader", "Files"]

SEGMENTS = "segments"
"""Field of the segments that rows of one file give."""


def _folder(path: str) -> list[str]:
    """The videos, sounds and arrays in a folder and its subfolders, in the order of their names."""
    found = sorted(str(each) for each in Path(path).rglob("*") if extension_of(each.name) in SOURCE_EXTENSIONS)
    if not found:
        raise ValueError(f"folder {path!r} holds no video, sound or array")
    return found


def _pattern(text: str) -> list[str]:
    """The files that a pattern names, in the order of their names."""
    if is_remote(text):
        found = expand_remote(text)
    else:
        found = sorted(each for each in glob.glob(text, recursive=True) if not os.path.isdir(each))
    if not found:
        raise ValueError(f"no file is named as the pattern {text!r} says")
    return found


def _given(table: Any, column: str) -> tuple[Table, str]:
    """The table of what a user gives, and the folder that its relative paths start from."""
    if isinstance(table, (str, os.PathLike)):
        name = os.fspath(table)
        if extension_of(name) in TABLE_EXTENSIONS:
            data = read_remote(name) if is_remote(name) else Path(name).read_bytes()
            return read_table_file(data, extension_of(name), name), name.rpartition("/")[0]
        if any(sign in name for sign in "*?[") and not os.path.exists(name):
            return table_of_paths(_pattern(name), column, name), ""
        if os.path.isdir(name):
            return table_of_paths(_folder(name), column, name), ""
        if not is_remote(name) and not os.path.exists(name):
            raise FileNotFoundError(errno.ENOENT, "table is neither a file, nor a folder, nor a pattern", name)
        return table_of_paths([name], column, "table"), ""
    if isinstance(table, (bytes, bytearray)) or not (hasattr(table, "columns") or isinstance(table, Iterable)):
        raise TypeError(f"table is a {type(table).__name__}, but must be paths, a pattern, a table or a list of dicts")
    if not hasattr(table, "columns"):
        table = list(table)
        if all(isinstance(each, (str, os.PathLike)) for each in table):
            return table_of_paths([os.fspath(each) for each in table], column, "table"), ""
    return table_of(table, "table"), ""


class Files:
    """A dataset of videos, sounds or arrays that are files of their own: of paths, a pattern, a folder or a table.

    >>> files = clipx.Files("train.csv", path="video", root="/data")
    >>> loader = clipx.Loader(files, spec, format, batch_size=16)

    Args:
        table: a CSV, TSV, JSON lines or Parquet file with a header (Parquet needs the extra `index`); a data frame of
            pandas or polars, a pyarrow table or a list of dicts; a list of paths; a pattern such as
            `"videos/**/*.mp4"`; or a folder, whose subfolders count. Paths and patterns may be addresses that fsspec
            opens.
        path: name of the column of paths; of several, such as ["front", "rear"], for cameras, or sound beside video.
        root: folder or address that relative paths start from; default that of the table's file, else the current one.
        key: name of the column of samples' keys; default the first path as it is given, without its extension.
        segments: names of two columns, the start and end of a segment in seconds. Rows with the same paths are then one
            sample, whose field "segments" lists them, their other columns as facts: give `segments="segments"` to the
            Loader. Default: each row is a sample.

    A sample has `__key__`, `__url__` (its first path), each file as a field named by its extension, such as "mp4" (of
    several columns "front.mp4"), and each other column as a field; of empty cells, none. Texts in columns called "json"
    or `"*.json"` are decoded. Files are opened where clips are taken from them, and never read into memory as a whole,
    but for npz files and what no clips are taken from.

    Iterating gives all samples in their order, as `clipx.wds.clips` takes them. `len` is the number of samples.

    Raises FileNotFoundError for a table or a single path that is not there, ImportError where a library is missing,
    TypeError, and ValueError that names the column, or for a table without rows. Rows that are broken, such as one
    without a path or with the key of another row, go to the Loader's `handler` as ValueErrors, as files that are not
    there do.

    Stability: stable.
    """

    noun = "file"

    def __init__(
        self,
        table: Any,
        path: str | Sequence[str] = "path",
        root: str | os.PathLike[str] | None = None,
        *,
        key: str | None = None,
        segments: tuple[str, str] | None = None,
    ) -> None:
        self._paths = [path] if isinstance(path, str) else list(path)
        if not self._paths or not all(isinstance(each, str) for each in self._paths):
            raise TypeError(f"path is {path!r}, but must be the name of a column, or a list of names")
        if len(set(self._paths)) < len(self._paths):
            raise ValueError(f"path is {path!r}, but must name different columns")
        if segments is not None and (isinstance(segments, str) or len(segments) != 2):
            raise ValueError(f"segments is {segments!r}, but must be the names of two columns, of starts and of ends")
        found, folder = _given(table, self._paths[0])
        self._table, self._key, self._segments = found, key, segments
        self._root = folder if root is None else os.fspath(root)
        self._check_columns()
        self._errors: dict[int, ValueError] = {}
        self._rows: list[list[int]] = []
        self._keys: list[str] = []
        self._collect()

    def _check_columns(self) -> None:
        table = self._table
        if not table.rows:
            raise ValueError(f"{table.name} has no rows")
        for argument, names in (
            ("path", self._paths),
            ("key", [] if self._key is None else [self._key]),
            ("segments", self._segments or ()),
        ):
            for name in names:
                if name not in table.columns:
                    listed = ", ".join(map(repr, table.columns)) or "none"
                    raise ValueError(f"{argument} names column {name!r}, but {table.name} has columns {listed}")
        for name in table.columns:
            if is_metadata(name):
                raise ValueError(f"{table.name} has a column {name!r}, a name that is reserved: rename it")

    def _collect(self) -> None:
        """Find the rows of each sample, its key, and what is wrong with it."""
        table, samples, keys = self._table, dict[tuple[str, ...], int](), dict[str, int]()
        for row in range(table.rows):
            where, error, paths = f"{table.name}, {table.name_of(row)}", table.errors.get(row), self._paths_of(row)
            if error is None and (wrong := self._wrong_path(row, paths)) is not None:
                error = ValueError(f"{where}: {wrong}")
            if error is None and self._segments is not None and paths in samples:
                self._rows[samples[paths]].append(row)
                continue
            key = self._key_of(row, paths)
            if error is None and key in keys:
                first = table.name_of(self._rows[keys[key]][0])
                cure = "name a column of keys with key=, or columns of their segments with segments="
                error = ValueError(f"{where}: its key {key!r} is that of {first}, but keys must differ: {cure}")
            if error is None:
                samples[paths] = keys[key] = len(self._rows)
            else:
                self._errors[len(self._rows)] = error
            self._rows.append([row])
            self._keys.append(key)

    def _paths_of(self, row: int) -> tuple[str, ...]:
        """The paths of a row as they are given; "" where there is none."""
        cells = (self._table.columns[name][row] for name in self._paths)
        return tuple(os.fspath(cell) if isinstance(cell, (str, os.PathLike)) else "" for cell in cells)

    def _wrong_path(self, row: int, paths: tuple[str, ...]) -> str | None:
        """Why the paths of a row cannot be those of files; None where they can."""
        for name, path in zip(self._paths, paths):
            if not path or "\0" in path:
                cell = self._table.columns[name][row]
                rule = "but must be the path of a file, as a text"
                return f"column {name!r} has no path" if cell in (None, "") else f"column {name!r} is {cell!r}, {rule}"
        return None

    def _key_of(self, row: int, paths: tuple[str, ...]) -> str:
        cell = None if self._key is None else self._table.columns[self._key][row]
        if cell is not None:
            return str(cell)
        folder, slash, name = paths[0].rpartition("/")
        return f"{folder}{slash}{name.rpartition('.')[0] or name}"

    def _resolved(self, path: str) -> str:
        if is_remote(path) or os.path.isabs(path) or not self._root:
            return path
        return f"{self._root.rstrip('/')}/{path}" if is_remote(self._root) else os.path.join(self._root, path)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Sample]:
        for number in range(len(self)):
            yield self.sample(number)

    def __repr__(self) -> str:
        return f"<Files: {len(self)} of {self._table.name}>"

    @property
    def keys(self) -> list[str]:
        """The `__key__` of each sample."""
        return self._keys

    @property
    def has_key_column(self) -> bool:
        """Whether keys are those of a column; else they are paths."""
        return self._key is not None

    def first_path(self, number: int) -> str:
        """The path or address of a sample's first file, as it is opened; "" where its row has none."""
        given = self._paths_of(self._rows[number][0])[0]
        return self._resolved(given) if given else ""

    @property
    def is_remote(self) -> bool:
        """Whether some files are read through fsspec."""
        return self._is_remote  # not lazy itself: pyright takes a property alone for that of a Dataset

    @lazy
    def _is_remote(self) -> bool:
        if is_remote(self._root):
            return True
        return any(is_remote(str(cell)) for name in self._paths for cell in self._table.columns[name])

    def sample(self, number: int) -> Sample:
        """A sample by its number. Raises ValueError for one whose row is broken."""
        if number in self._errors:
            error = ValueError(*self._errors[number].args)
            locate(error, key=self._keys[number])
            raise error
        rows = self._rows[number]
        paths = [self._resolved(path) for path in self._paths_of(rows[0])]
        sample: Sample = {"__key__": self._keys[number], "__url__": paths[0]}
        for column, path in zip(self._paths, paths):
            extension = extension_of(path.rpartition("/")[2]) if "." in path.rpartition("/")[2] else ""
            names = [column, extension] if len(self._paths) > 1 or not extension else [extension]
            sample[".".join(filter(None, names))] = StoredFile(path)
        taken = {*self._paths, self._key, *(self._segments or ())}
        others = [name for name in self._table.columns if name not in taken]
        if self._segments is None:
            return {**self._fields(others, rows[0]), **sample}
        start, end = (self._table.columns[name] for name in self._segments)
        segments = [{"start": start[row], "end": end[row], **self._fields(others, row)} for row in rows]
        return {**sample, SEGMENTS: segments}

    def missing(self, number: int) -> str:
        """What to say of a sample's file that is not there."""
        table, root = self._table, self._root or os.getcwd()
        where = f"{table.name}, {table.name_of(self._rows[number][0])}"
        return f"{os.strerror(errno.ENOENT)} ({where}; relative paths start from root={root!r})"

    def _fields(self, names: Iterable[str], row: int) -> Sample:
        """The cells of a row that are not empty."""
        fields = {}
        for name in names:
            cell = self._table.columns[name][row]
            if cell is None:
                continue
            fields[name] = encoded_cell(name, cell)
        return fields

    # As a Loader reads it: each sample is a part.

    def reader(self, handler: Handler) -> FileReader:
        """A reader of the samples; see `clipx.datasets.dataset.Dataset`."""
        return FileReader(self, handler)

    def share(self, seed: int, epoch: int, shuffle: bool, world: World) -> Share:
        """The files that a process reads; see `clipx.datasets.dataset.Dataset`."""
        return share_parts(len(self), seed, epoch, shuffle, world)

    def facts(self) -> dict[str, Any]:
        """Number of samples, and a digest of their keys and paths."""
        digest = hashlib.blake2b(digest_size=16)
        for key, rows in zip(self._keys, self._rows):
            digest.update(repr((key, self._paths_of(rows[0]), len(rows))).encode("utf-8", "surrogateescape"))
        return {"files": len(self), "digest": digest.hexdigest()}

    def check(self, saved: Any) -> None:
        """Raise ValueError where a state's facts are not those of these files."""
        if not isinstance(saved, dict) or saved.keys() != {"files", "digest"}:
            raise refuse("dataset", saved, "must have the number and the digest of files")
        now = self.facts()
        if saved["files"] != now["files"]:
            raise ValueError(f"state is of {saved['files']} files, but dataset has {now['files']}")
        if saved["digest"] != now["digest"]:
            raise ValueError("state is of other files: keys, paths or their order were others when it was saved")


class FileReader(SingleSamples):
    """Reads the samples of Files."""

    def __init__(self, files: Files, handler: Handler) -> None:
        super().__init__(handler)
        self._files = files

    def look_up(self, part: int, number: int) -> Sample:
        """The sample of a row, whose files are there."""
        sample = self._files.sample(part)
        for value in sample.values():
            if isinstance(value, StoredFile) and value.path is not None and not os.path.exists(value.path):
                error = FileNotFoundError(errno.ENOENT, self._files.missing(part), value.path)
                locate(error, sample)
                raise error
        return sample
