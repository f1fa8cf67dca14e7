"""A whole training loader: shards to batches, on threads, inside one number of bytes."""

from clipx.loader.loader import Loader

__all__ = ["Loader"]
