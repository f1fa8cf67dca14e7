"""Processes of clipx's own, which have no use for torch.

webdataset imports torch wherever that is installed: seconds, and some 190 MB, in the command and in each of its
processes.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

__all__ = ["call", "import_webdataset"]


def import_webdataset() -> None:
    """Import webdataset as if torch were not installed. Whoever imports torch afterwards finds it.

    For the start of a process that clipx has all to itself: webdataset knows nothing of torch for as long as it lasts.
    """
    if "torch" in sys.modules or "webdataset" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import webdataset  # noqa: F401
    finally:
        del sys.modules["torch"]


def call(pickled: bytes, *more: Any) -> Any:
    """Call a function, pickled with its first arguments, in a new process: `call` itself is imported in no time."""
    import_webdataset()
    function, *arguments = pickle.loads(pickled)
    return function(*arguments, *more)
