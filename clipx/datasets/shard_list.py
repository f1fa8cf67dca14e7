"""Shards as a dataset: their addresses, and the names and sizes by which a state knows them again."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from clipx.datasets.dataset import Dataset, Handler, refuse, share_parts
from clipx.datasets.remote_names import is_remote
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.urls import expand_urls, local_path
from clipx.datasets.world import World

__all__ = ["ShardList", "as_dataset"]

NAME_BYTES = 4  # of the digest of a shard's name


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _names(urls: Iterable[str]) -> str:
    """A short digest of each shard's name, one after the other."""
    digests = [hashlib.blake2b(url.encode("utf-8", "surrogateescape"), digest_size=NAME_BYTES).digest() for url in urls]
    return base64.b64encode(b"".join(digests)).decode()


class ShardList:
    """A dataset of shards: each is a part. `urls` are their addresses."""

    noun = "shard"

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = list(urls)
        self._facts: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.urls)

    @property
    def is_remote(self) -> bool:
        """Whether some shards are read through fsspec."""
        return any(map(is_remote, self.urls))

    def reader(self, handler: Handler) -> Shards:
        """A reader of the samples; see `Dataset`."""
        return Shards(self.urls, handler)

    def share(self, seed: int, epoch: int, shuffle: bool, world: World) -> Share:
        """The shards that a process reads; see `Dataset`."""
        return share_parts(len(self), seed, epoch, shuffle, world)

    def _sizes(self) -> list[int | None]:
        """Bytes of the shards that are local files; None for others, and for those that are missing."""
        return [None if (path := local_path(url)) is None else _size(path) for url in self.urls]

    def facts(self) -> dict[str, Any]:
        """Names and sizes of the shards, some 16 bytes each; looked up once."""
        if self._facts is None:
            self._facts = {"names": _names(self.urls), "sizes": self._sizes()}
        return self._facts

    def check(self, saved: Any) -> None:
        """Raise ValueError where a shard has another name or size than in `saved`, or is missing."""
        urls = self.urls
        if not isinstance(saved, dict) or saved.keys() != {"names", "sizes"} or not isinstance(saved["sizes"], list):
            raise refuse("shards", saved, "must have names and sizes")
        if not isinstance(saved["names"], str) or not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", saved["names"]):
            raise refuse("the names of shards", saved["names"], "must be base64")
        if len(saved["sizes"]) != len(urls):
            raise ValueError(f"state is of {len(saved['sizes'])} shards, but dataset names {len(urls)}")
        try:
            names, now = base64.b64decode(saved["names"]), base64.b64decode(_names(urls))
        except ValueError as exn:
            raise refuse("the names of shards", saved["names"], "must be base64") from exn
        for shard, (url, before, size) in enumerate(zip(urls, saved["sizes"], self._sizes())):
            here = slice(shard * NAME_BYTES, (shard + 1) * NAME_BYTES)
            if names[here] != now[here]:
                raise ValueError(
                    f"shard {shard} of dataset is {url!r}, but was called otherwise when the state was saved"
                )
            if before is not None and size is None:
                raise ValueError(f"shard {shard}, {url!r}, is missing; it had {before} bytes when the state was saved")
            if before != size:
                raise ValueError(f"shard {shard}, {url!r}, has {size} bytes, but had {before} when the state was saved")


def as_dataset(name: str, value: Any) -> Dataset:
    """A Dataset as it is, and the shards of anything else. `name` is the argument's in messages.

    Raises TypeError and ValueError as `expand_urls`.
    """
    return value if isinstance(value, Dataset) else ShardList(expand_urls(name, value))
