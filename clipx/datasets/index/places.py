"""Names of an index's sources: relative to its root, and never outside of it unless it is trusted."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

from clipx.datasets.remote_names import is_remote
from clipx.datasets.urls import local_path

__all__ = ["check_inside", "common_root", "relative_name", "resolved_name", "whole_name"]


def whole_name(url: str) -> str:
    """The address of a source as it is, and the absolute path of a local one.

    Raises ValueError for a pipe, which cannot be read at random.
    """
    path = local_path(url)
    if path is not None:
        return os.path.abspath(path)
    if url.startswith("pipe:") or url == "-":
        raise ValueError(f"source {url!r} is a pipe, of which there is no index: give files, or addresses of files")
    return url


def common_root(names: Iterable[str]) -> str:
    """The folder, or the address, that all sources lie in; "/" where they have nothing else in common.

    Where some are local and others are not, it is that of the local ones.
    """
    known = list(names)
    local = [name for name in known if not is_remote(name)]
    if local:
        return os.path.commonpath([os.path.dirname(name) for name in local])
    heads = [name.rpartition("/")[0].split("/") for name in known]
    common = [parts[0] for parts in zip(*heads) if len(set(parts)) == 1] if heads else []
    for at, parts in enumerate(zip(*heads)):
        if len(set(parts)) > 1:
            common = common[:at]
            break
    return "/".join(common) if len(common) > 2 else "/"


def relative_name(name: str, root: str) -> str:
    """The name of a source from the root on; its whole name where it lies elsewhere."""
    base = root if root.endswith("/") else f"{root}/"
    return name[len(base) :] if name.startswith(base) else name


def resolved_name(source: str, root: str) -> str:
    """The path or the address of a source of an index."""
    if is_remote(source) or os.path.isabs(source):
        return source
    return f"{root.rstrip('/')}/{source}"


def check_inside(source: str) -> str | None:
    """What is wrong with the name of a source of an index that is not trusted; None where nothing is."""
    if not source or "\0" in source:
        return "is not the name of a file"
    if is_remote(source) or source.startswith(("pipe:", "file:")):
        return "is an address"
    if os.path.isabs(source) or posixpath.normpath(source).split("/")[0] == "..":
        return "is outside of the root"
    return None
