"""Remote files, read by ranges of bytes: with read-ahead, a bounded cache and retries; fsspec is imported when used."""

from clipx.datasets.remote.cache import RangeCache
from clipx.datasets.remote.counters import bytes_read
from clipx.datasets.remote.ranged_file import RangedFile, open_range

__all__ = ["RangeCache", "RangedFile", "bytes_read", "open_range"]
