"""Addresses that fsspec opens: which these are, patterns of them, and small files read whole."""

from __future__ import annotations

from clipx.datasets.remote import open_range
from clipx.datasets.remote.filesystems import filesystem_of

__all__ = ["expand_remote", "is_remote", "read_remote"]


def is_remote(name: str) -> bool:
    """True for an address such as "s3://bucket/a.mp4", false for a path."""
    return "://" in name and not name.startswith("file:")


def expand_remote(pattern: str) -> list[str]:
    """The addresses that a pattern names, in their order."""
    system, path = filesystem_of(pattern)
    return sorted(system.unstrip_protocol(found) for found in system.glob(path))


def read_remote(address: str) -> bytes:
    """The bytes of a small file, such as a table."""
    with open_range(address, sequential=True) as file:
        return file.read()
