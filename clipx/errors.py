"""Exceptions that users may want to tell apart; each is also the standard type they would catch."""

__all__ = ["MediaError", "PoolExhausted", "PoolTooSmall"]


class PoolExhausted(BufferError):
    """Every slot of a pool is leased. The message says how many, and which number to raise."""


class PoolTooSmall(ValueError):
    """A pool whose slots are too small for a clip, or too few for a source. The message says what to give."""


class MediaError(ValueError):
    """A video or audio stream cannot be read. The failure of av, if there was one, is the `__cause__`."""
