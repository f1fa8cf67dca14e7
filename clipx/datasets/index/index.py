"""The index of a dataset, as it is read: `clipx.Index`."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from clipx._checks import integer, one_of
from clipx._lazy import lazy
from clipx.datasets.dataset import refuse
from clipx.datasets.fields import Sample
from clipx.datasets.index.arrow import are, arrow
from clipx.datasets.index.building import build_index
from clipx.datasets.index.counting import count_all
from clipx.datasets.index.places import check_inside, resolved_name
from clipx.datasets.index.progress import Progress, showing
from clipx.datasets.index.samples import SampleReading
from clipx.datasets.index.staleness import Renewed
from clipx.datasets.index.stores import SHARD
from clipx.datasets.index.streamed import StreamedShards
from clipx.datasets.index.table import IndexTable
from clipx.datasets.remote_names import is_remote
from clipx.datasets.urls import local_path

__all__ = ["Index"]


class _Texts(Sequence[str]):
    """Texts of the samples of an index, made when they are asked for."""

    def __init__(self, column: Any, rows: np.ndarray, root: str | None = None) -> None:
        self._column, self._rows, self._root = column, rows, root

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self._text(row) for row in self._rows[at].tolist()]
        return self._text(int(self._rows[at]))

    def __iter__(self) -> Iterator[str]:
        for row in self._rows.tolist():
            yield self._text(row)

    def _text(self, row: int) -> str:
        found = self._column[row].as_py() or ""
        return found if self._root is None or not found else resolved_name(found, self._root)


class Index:
    """The samples of a dataset, read at random: where each lies, and what opening it would tell.

    >>> index = clipx.Index.build(["shards/", "more.mp4"], "index.parquet")
    >>> len(index), index.keys[0]
    >>> sample = index.sample(0)

    Args:
        path: of the Parquet file that `build`, or `clipx index`, wrote.
        root: folder, or address, that sources are relative to; default the one that the index was built with.
        trusted: whether sources may lie outside of the root, and the root may be "/". Never set it for indexes of
            strangers.
        stale: what is done where a source has another size or time of its last change than when the index was built:
            "refuse" raises ValueError for its samples; "renew" reads the source again.

    Attributes:
        path, root, trusted, stale: as above.
        keys: the `__key__` of each sample.
        sources: the path or address of the shard or file of each sample.

    `len` is the number of samples. It can be pickled: what is pickled is the path.

    Raises FileNotFoundError, ImportError where pyarrow is missing, and ValueError that names the file, the row and the
    rule for a file that is not a whole index of this version.

    Stability: stable.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        trusted: bool = False,
        stale: Literal["refuse", "renew"] = "refuse",
    ) -> None:
        one_of("stale", stale, ("refuse", "renew"))
        self.path, self.trusted, self.stale = os.fspath(path), bool(trusted), stale
        self._table = IndexTable(self.path)
        self._given_root = None if root is None else os.fspath(root)
        self.root = self._table.root if root is None else os.fspath(root)
        if not self.trusted:
            self._check_places()
        self._renewed, self._shards = Renewed(), StreamedShards()
        begins = self._table.first[:-1]
        self.keys: Sequence[str] = _Texts(self._table.column("key"), begins)
        self.sources: Sequence[str] = _Texts(self._table.column("source"), begins, self.root)

    def _check_places(self) -> None:
        """Raise ValueError for sources outside of the root."""
        cure = "give root=, or trusted=True if you trust the index"
        path = local_path(self.root.replace("file://", "file:", 1))
        is_all = not self.root or (path is not None and os.path.normpath(path).strip("/") == "")
        if is_all or not (os.path.isabs(self.root) or "://" in self.root or self._given_root):
            raise ValueError(f"the root of {self.path!r} is {self.root!r}, which holds every file: {cure}")
        source = self._table.column("source")
        for number, name in enumerate(source.dictionary.to_pylist()):
            if (wrong := check_inside(name)) is not None:
                rows = np.flatnonzero(source.indices.fill_null(-1).to_numpy(zero_copy_only=False) == number)
                for row in rows[:1].tolist():
                    raise ValueError(f"row {row} of {self.path!r} names source {name!r}, which {wrong}: {cure}")

    @staticmethod
    def build(
        dataset: Any,
        path: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        processes: int = 0,
        progress: bool | Progress = False,
    ) -> Index:
        """Build the index of a dataset, or renew it, and open it.

        Args:
            dataset: `clipx.Files`, or paths, folders and addresses of shards and files.
            path: of the Parquet file to write. One that is there is renewed: sources whose size and time of the last
                change are as they were are not read again, and sources that are gone are left out.
            root: folder, or address, that sources are relative to in the index; default the folder that all lie in.
            threads: that read; default one per processor, or one in each process.
            processes: that read, instead of threads; 0 for none.
            progress: whether to show a bar with the rate and the time that is left.

        Headers and packets are read, and nothing is decoded. What is broken becomes the status and the error of its
        row. A build that was killed goes on where it was, from the folder `{path}.parts`; the index appears when it is
        whole. Of the same sources it has the same bytes, whatever the number of threads and however often the build was
        killed. Of two builds of one path at the same time, one waits for the other.

        Raises TypeError and ValueError for arguments, and for a path that is of another Parquet file.
        """
        processes = integer("processes", processes, 0)
        if threads is not None and processes:
            raise ValueError(f"threads is {threads} and processes is {processes}, but give one of them")
        threads = integer("threads", os.cpu_count() or 1 if threads is None else threads, 1)
        name = os.path.abspath(path)
        with showing(progress) as shown:
            base = build_index(
                dataset,
                Path(name),
                None if root is None else os.fspath(root),
                threads=threads,
                processes=processes,
                progress=shown,
            )
        # It names what the caller has named.
        return Index(name, root=base, trusted=True)

    def __len__(self) -> int:
        return len(self._table.first) - 1

    def __repr__(self) -> str:
        return f"<Index: {len(self)} samples of {self.path!r}>"

    def __reduce__(self) -> Any:
        return _open, (self.path, self._given_root, self.trusted, self.stale)

    def _rows(self, number: int) -> list[int]:
        """The rows of a sample."""
        at = operator.index(number)
        if not -len(self) <= at < len(self):
            raise IndexError(f"i is {at}, but {self.path!r} has {len(self)} samples")
        at %= len(self)
        first, end = (int(each) for each in self._table.first[at : at + 2])
        # Behind a shard's last sample may stand rows of the shard.
        return [row for row in range(first, end) if self._table.numbers("sample")[row] == at]

    def rows(self, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of the file, one by one, with all columns or those of these names; see the documentation."""
        return self._table.all_rows(None if names is None else list(names))

    def status(self, i: int) -> str | None:
        """The error of sample i, as it was found when the index was built; None where it is whole."""
        for row in self._rows(i):
            status = self._table.text("status", row)
            if status != "ok":
                return self._table.value("error", row) or status
        return None

    @lazy
    def problems(self) -> list[tuple[str, str]]:
        """Sources that are damaged as a whole, such as shards that end early, and the error that was found in each."""
        rows = np.flatnonzero(are(self._table.column("kind"), "source"))
        return [
            (resolved_name(self._table.text("source", row) or "", self.root), self._table.value("error", row) or "")
            for row in rows.tolist()
            if self._table.text("status", row) != "ok"
        ]

    def sample(self, i: int) -> Sample:
        """Sample i: `__key__`, `__url__`, and its fields, of which sources are opened where clips are taken from them.

        Videos, sounds and arrays are StoredFiles, those of videos with facts. Other fields are read, if they are not
        large. All fields of a sample of a compressed shard are read, from the shard's beginning on.

        Raises IndexError for a number that there is not; ValueError for a sample that is broken as a whole, a source
        that has changed, and rows that contradict each other; and OSError for a source that cannot be read.
        """
        renewed = self._renewed if self.stale == "renew" else None
        return SampleReading(self._table, self.root, renewed, self._shards).sample(self._rows(i))

    def count(self, i: int, sample_clips: Any, epoch: int = 0) -> int:
        """Number of clips of sample i in an epoch: without opening it, where its facts suffice.

        sample_clips: which clips are made, a `SampleClips`. Raises as `sample`, and what reading raises.
        """
        return int(sample_clips.count(self.sample(i), epoch))

    def counts(self, sample_clips: Any, epoch: int = 0) -> np.ndarray:
        """Number of clips of each sample in an epoch, int64 (samples,); 0 of those that cannot be read.

        Where it depends on numbers of frames alone, no sample is looked into. Raises ValueError for a damaged index.
        """
        return count_all(self._table, self.keys, self.sample, sample_clips, epoch)

    @lazy
    def groups(self) -> np.ndarray:
        """The first sample of each run of samples of one shard, or of a file of its own, and behind the last sample."""
        begins, source = self._table.first[:-1], self._table.column("source")
        codes = source.indices.fill_null(-1).to_numpy(zero_copy_only=False)[begins]
        is_shard = are(self._table.column("source_kind"), SHARD)[begins]
        new = ~is_shard
        new[1:] |= codes[1:] != codes[:-1]
        new[:1] = True
        return np.append(np.flatnonzero(new), len(self))

    @property
    def is_remote(self) -> bool:
        """Whether some sources are read through fsspec."""
        names = self._table.column("source").dictionary.to_pylist()
        return is_remote(self.root) or any(map(is_remote, names))

    def facts(self) -> dict[str, Any]:
        """Facts by which a saved state knows the index again: its number of samples, and a digest of their names."""
        return {"samples": len(self), "digest": self._digest}

    @lazy
    def _digest(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        begins = arrow().array(self._table.first[:-1])
        for name in ("key", "source"):
            column = self._table.column(name).take(begins)
            column = column.dictionary_decode() if hasattr(column, "dictionary_decode") else column
            lengths, texts = column.fill_null("").cast(arrow().large_string()).buffers()[1:]
            for part in (lengths, texts):
                digest.update(part or b"")
        return digest.hexdigest()

    def check(self, saved: Any) -> None:
        """Raise ValueError where a state's facts are not those of this index."""
        if not isinstance(saved, dict) or saved.keys() != {"samples", "digest"}:
            raise refuse("dataset", saved, "must have the number and the digest of an index's samples")
        if saved["samples"] != len(self):
            raise ValueError(f"state is of an index of {saved['samples']} samples, but dataset has {len(self)}")
        if saved["digest"] != self._digest:
            raise ValueError("state is of another index: keys, sources or their order were others when it was saved")


def _open(path: str, root: str | None, trusted: bool, stale: Literal["refuse", "renew"]) -> Index:
    return Index(path, root=root, trusted=trusted, stale=stale)
