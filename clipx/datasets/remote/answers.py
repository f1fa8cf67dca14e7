"""An answer of a server: bytes of a file, and what tells this version of it from another."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Answer"]


class Answer(NamedTuple):
    """Bytes of a file that a server has sent.

    Attributes:
        start: of the bytes in the file.
        data: the bytes; none behind the end of the file.
        size: of the whole file; None where the server doesn't say.
        version: what tells versions of the file apart, by name, such as its ETag; empty where the server doesn't say.
    """

    start: int
    data: bytes
    size: int | None
    version: dict[str, str]

    def changed_to(self, other: Answer) -> str | None:
        """In which way another answer is of another version of the file; None where it isn't."""
        if None not in (self.size, other.size) and self.size != other.size:
            return f"its size was {self.size} and is {other.size}"
        for name, value in self.version.items():
            if other.version.get(name, value) != value:
                return f"its {name} was {value} and is {other.version[name]}"
        return None
