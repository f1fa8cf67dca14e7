"""Addresses that fsspec opens: which these are, patterns of them, and small files read whole."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["expand_remote", "is_remote", "read_remote"]


def is_remote(name: str) -> bool:
    """True for an address such as "s3://bucket/a.mp4", false for a path."""
    return "://" in name and not name.startswith("file:")


def _opened(address: str) -> Any:
    """The file system and the path of an address. Raises ImportError where fsspec, or its part for it, is missing."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(address)
    except ImportError as exn:
        raise ImportError(f'{address!r} is read by fsspec: pip install "clipx[remote]" ({exn})') from exn
    except ValueError as exn:
        raise ValueError(f"{address!r} is not an address that fsspec opens: {exn}") from exn


def expand_remote(pattern: str) -> list[str]:
    """The addresses that a pattern names, in their order."""
    system, path = _opened(pattern)
    return sorted(system.unstrip_protocol(found) for found in system.glob(path))


def read_remote(address: str) -> bytes:
    """The bytes of a small file, such as a table."""
    system, path = _opened(address)
    return cast(bytes, system.cat_file(path))
