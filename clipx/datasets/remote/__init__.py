"""Remote files, read by ranges of bytes: with read-ahead, a bounded cache and retries; fsspec is imported when used."""

from clipx.datasets.remote.cache import RangeCache
from clipx.datasets.remote.counters import bytes_read
from clipx.datasets.remote.filesystems import can_open
from clipx.datasets.remote.ranged_file import RangedFile, open_range
from clipx.datasets.remote.streams import open_stream

__all__ = ["RangeCache", "RangedFile", "bytes_read", "can_open", "open_range", "open_stream"]
