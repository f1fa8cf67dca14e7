"""Where the files of a job go: a local folder, or an address that fsspec opens."""

from __future__ import annotations

import os
import re

from clipx.datasets.remote.filesystems import shown
from clipx.datasets.urls import local_path
from clipx.jobs.extraction.local_store import LocalStore
from clipx.jobs.extraction.remote_store import RemoteStore
from clipx.jobs.extraction.store import OutputError, Store

__all__ = ["OutputError", "Store", "open_store"]


def open_store(out: str | os.PathLike[str]) -> Store:
    """The store at a path or an address. Nothing is written yet.

    Raises OutputError for a path that is no folder, ValueError for an address that fsspec does not open, and
    ImportError that names the extra where a library is missing.
    """
    address = os.fspath(out)
    if not isinstance(address, str) or not address or "\0" in address:
        raise ValueError(f"out is {out!r}, but must be the path of a folder, or an address such as 's3://bucket/clips'")
    if not isinstance(out, str) and re.match(r"[A-Za-z][\w+.-]+:/", address):
        raise ValueError(
            f"out is {out!r}, but must be a text where it is an address: paths have one slash in its place"
        )
    path = local_path(address)
    if path is not None:
        return LocalStore(path)
    try:
        return RemoteStore(address)
    except ValueError as exn:
        raise ValueError(f"out is {shown(address)!r}, which is not an address that fsspec opens: {exn}") from exn
