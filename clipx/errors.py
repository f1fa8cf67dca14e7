"""Exceptions that users may want to tell apart; each is also the standard type they would catch."""

__all__ = ["MediaError", "PoolExhausted", "SlotTooSmall"]


class PoolExhausted(BufferError):
    """Every slot of a pool is leased. The message says how many, and which number to raise."""


class SlotTooSmall(ValueError):
    """A clip is larger than the slots of its pool. The message says which shape to give."""


class MediaError(ValueError):
    """A video or audio stream cannot be read. The failure of av, if there was one, is the `__cause__`."""
