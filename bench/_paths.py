"""Text that is published names no path of the machine it was measured on."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

# An absolute path of at least two parts, not inside a word, a ratio or a URL.
ABSOLUTE = re.compile(r"""(?<![\w.:/\\)])(?:/[^\s/'"`,;:()\[\]|]+){2,}/?|\b[A-Za-z]:\\[^\s'"`,;()|]+""")


def _file_name(match: re.Match[str]) -> str:
    path = match.group()
    return (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name


def without_paths(text: str) -> str:
    """The text with every absolute path replaced by the name of its file."""
    return ABSOLUTE.sub(_file_name, text)


def refuse_paths(where: str, content: Any) -> None:
    """Raise ValueError if a string in `content`, nested in mappings and lists, has an absolute path."""
    if isinstance(content, str):
        found = ABSOLUTE.search(content)
        if found is not None:
            raise ValueError(f"{where} would publish a path of this machine: {found.group()!r}")
    elif isinstance(content, dict):
        for key, each in content.items():
            refuse_paths(where, key)
            refuse_paths(where, each)
    elif isinstance(content, (list, tuple)):
        for each in content:
            refuse_paths(where, each)
