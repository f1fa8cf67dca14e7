"""The file systems of fsspec, by address: one of each kind in a process."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from clipx.datasets.remote.per_process import PerProcess

__all__ = ["can_open", "filesystem_of", "shown"]

CURE = 'pip install "clipx-data[remote]"'

# A file system of the parent has connections and a thread of its own, and would wait for these where it is dropped.
_filesystems: PerProcess[dict[str, tuple[Any, str]]] = PerProcess(dict, keep=True)


def shown(url: str) -> str:
    """An address as messages show it: without a password, and without a query, which may hold a signature."""
    hidden = re.sub(r"(?<=://)[^/@]*@", "", url)
    path, query, _ = hidden.partition("?")
    return f"{path}?..." if query else hidden


def protocol_of(url: str) -> str:
    """The protocol of an address, such as "s3"; empty for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)", url)
    return found[1].lower() if found else ""


def _options(protocol: str, configured: dict[str, Any]) -> dict[str, Any]:
    """Options of a file system beside those that are configured: that aiohttp heeds proxies, as other programs do."""
    if protocol not in ("http", "https"):
        return {}
    given = [configured.get(name, {}).get("client_kwargs", {}) for name in ("http", "https")]
    return {"client_kwargs": {"trust_env": True, **given[0], **given[1]}}


def can_open(url: str) -> bool:
    """True if fsspec, and what it needs for this address, is installed. Says nothing about the file."""
    protocol = protocol_of(url)
    if not protocol or find_spec("fsspec") is None:
        return False
    import fsspec

    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError):
        return False
    return True


def filesystem_of(url: str) -> tuple[Any, str]:
    """The file system of an address and the path in it; the options are those of fsspec's own configuration.

    Raises ValueError for an address without a protocol, or with one that fsspec does not know, and ImportError where a
    package is missing.
    """
    protocol = protocol_of(url)
    if not protocol:
        raise ValueError(f"url is {url!r}, but must be an address such as 's3://bucket/name' or 'https://host/name'")
    try:
        import fsspec
    except ImportError as exn:
        raise ImportError(f"{shown(url)!r} is read by fsspec, which is not installed: {CURE}", name="fsspec") from exn
    chained = "::" in url
    key = url if chained else f"{protocol}://{urlsplit(url).netloc}"
    made = _filesystems.get()
    try:
        if key not in made:
            # Instances of fsspec's own cache are those of a thread, and may remember listings that have changed.
            made[key] = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False, **_options(protocol, fsspec.config.conf)
            )
        filesystem, path = made[key]
        return filesystem, path if chained else filesystem._strip_protocol(url)
    except ImportError as exn:
        raise ImportError(f"{shown(url)!r} cannot be read: {exn}; {CURE}") from exn
    except ValueError as exn:
        raise ValueError(f"url is {shown(url)!r}, which fsspec does not open: {exn}") from exn
