"""Where errors arose: the sample, field and shard that they say in their attributes and in their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

__all__ = ["Origin", "describe_error", "locate", "locating", "origin_of", "shorten"]

MOST_TEXT = 200
"""Characters of a name in a message: what a shard says may be of any length."""


class Origin(NamedTuple):
    """Where an error arose: a sample's key, the field, the shard, and the clips that the sample gave before."""

    key: str | None = None
    field: str | None = None
    shard: str | None = None
    clips: int | None = None

    def missing_in(self, text: str) -> str:
        """ "sample 'a', field 'mp4', shard 'x.tar'", without what `text` says already."""
        names = (("sample", self.key), ("field", self.field), ("shard", self.shard))
        told = (f"{kind} {shorten(name)!r}" for kind, name in names if name is not None)
        return ", ".join(each for each in told if each not in text)


class _Plain(str):
    """A text that a KeyError shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def shorten(text: str, most: int = MOST_TEXT) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _say(exn: BaseException, args: tuple[Any, ...], told: str) -> None:
    """Add a remark to the message that an error had with these `args`, in the way that its type keeps messages."""
    exn.args = args
    notes = getattr(exn, "__notes__", [])
    notes[:] = [note for note in notes if not isinstance(note, _Plain)]
    with suppress(Exception):
        if isinstance(exn, OSError) and len(args) == 2 and isinstance(args[1], str):
            exn.strerror = f"{args[1]} {told}".strip()
            exn.args = exn.errno, exn.strerror
        elif isinstance(exn, UnicodeError) and len(args) == 5:
            exn.reason = f"{args[4]} {told}".strip()  # type: ignore[attr-defined]
            exn.args = (*args[:4], exn.reason)  # type: ignore[attr-defined]
        elif not told:
            return
        elif isinstance(exn, KeyError) and len(args) == 1:
            exn.args = (_Plain(f"{args[0]!r} {told}"),)
        elif not args or (len(args) == 1 and str(exn) == args[0]):
            exn.args = (f"{args[0]} {told}" if args else told,)
    if told not in str(exn) and hasattr(exn, "add_note"):
        exn.add_note(_Plain(told))


def origin_of(exn: BaseException) -> Origin:
    """Where an error arose, as far as `locate` was told."""
    return getattr(exn, "_clipx_origin", Origin())


def locate(exn: BaseException, sample: Mapping[str, Any] | None = None, **found: Any) -> None:
    """Say where an error arose, in its attributes `key`, `field` and `shard` and in its text; its type stays.

    Args:
        sample: whose `__key__` and `__url__` are the key and the shard.
        found: values of an Origin that the sample does not tell. What was said before stays.
    """
    if sample is not None:
        found = {"key": sample.get("__key__"), "shard": sample.get("__url__"), **found}
    told: dict[str, Any] = {
        name: value if name == "clips" else str(value) for name, value in found.items() if value is not None
    }
    before, args = origin_of(exn), getattr(exn, "_clipx_args", exn.args)
    if before.key is not None and told.get("key", before.key) != before.key:
        before = Origin()  # one error object that is raised for several samples: now it is of this one
    origin = before._replace(**{name: value for name, value in told.items() if getattr(before, name) is None})
    with suppress(AttributeError, TypeError):
        exn._clipx_origin, exn._clipx_args = origin, args  # type: ignore[attr-defined]
        exn.key, exn.field, exn.shard = origin[:3]  # type: ignore[attr-defined]
    _say(exn, args, "")
    missing = origin.missing_in(" ".join([str(exn), *map(str, getattr(exn, "__notes__", ()))]))
    _say(exn, args, f"({missing})" if missing else "")


@contextmanager
def locating(sample: Mapping[str, Any] | None = None, **found: Any) -> Iterator[None]:
    """`locate` every error of the block."""
    try:
        yield
    except Exception as exn:
        locate(exn, sample, **found)
        raise


def describe_error(exn: BaseException) -> str:
    """An error's type, its text and where it arose, on one line."""
    text = " ".join([str(exn), *map(str, getattr(exn, "__notes__", ()))]).strip()
    missing = origin_of(exn).missing_in(text)
    return " ".join(f"{type(exn).__name__}: {text} {f'({missing})' if missing else ''}".split())
