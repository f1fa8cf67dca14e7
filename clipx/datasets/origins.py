"""Origins of errors: the sample, field and shard, in an error's attributes and in its message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from clipx.datasets.fields import DATASET, SOURCE_EXTENSIONS, extension_of

__all__ = ["Origin", "describe_error", "locate", "locating", "noun_of_source", "origin_of", "reason_of", "shorten"]

MOST_TEXT = 200
"""Characters of a name in a message; names in shards may be of any length."""


def noun_of_source(name: str) -> str:
    """What messages call that from which a sample comes: "file" where its name is that of a video, sound or array."""
    return "file" if extension_of(name) in SOURCE_EXTENSIONS else "shard"


class Origin(NamedTuple):
    """The sample's key, the field and the shard of an error, and the number of clips that the sample gave before it.

    Where only a segment of the sample is wrong, its number. In a mixture, the name of the dataset.
    """

    key: str | None = None
    field: str | None = None
    shard: str | None = None
    clips: int | None = None
    segment: int | None = None
    dataset: str | None = None

    def missing_in(self, text: str) -> str:
        """ "sample 'a', field 'mp4', shard 'x.tar'", without the parts that `text` has already."""
        source = noun_of_source(self.shard or "")
        names = (("dataset", self.dataset), ("sample", self.key), ("field", self.field), (source, self.shard))
        parts = (f"{kind} {shorten(name)!r}" for kind, name in names if name is not None)
        return ", ".join(each for each in parts if each not in text)


class _Plain(str):
    """A text that KeyError shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def shorten(text: str, most: int = MOST_TEXT) -> str:
    """A text, with an ellipsis at its end where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _text_of(exn: BaseException) -> str:
    """An error's message and its notes."""
    return " ".join([str(exn), *map(str, getattr(exn, "__notes__", ()))]).strip()


def _set_remark(exn: BaseException, args: tuple[Any, ...], remark: str) -> None:
    """Add a remark to the message that an error has with these `args`: where its type keeps messages, else as a note.

    An empty remark removes the one before.
    """
    exn.args = args
    notes = getattr(exn, "__notes__", [])
    notes[:] = [note for note in notes if not isinstance(note, _Plain)]
    with suppress(Exception):
        if isinstance(exn, OSError) and len(args) == 2 and isinstance(args[1], str):
            exn.strerror = f"{args[1]} {remark}".strip()
            exn.args = exn.errno, exn.strerror
        elif isinstance(exn, UnicodeError) and len(args) == 5:
            exn.reason = f"{args[4]} {remark}".strip()  # type: ignore[attr-defined]
            exn.args = (*args[:4], exn.reason)  # type: ignore[attr-defined]
        elif not remark:
            return
        elif isinstance(exn, KeyError) and len(args) == 1:
            exn.args = (_Plain(f"{args[0]!r} {remark}"),)
        elif not args or (len(args) == 1 and str(exn) == args[0]):
            exn.args = (f"{args[0]} {remark}" if args else remark,)
    if remark not in str(exn) and hasattr(exn, "add_note"):
        exn.add_note(_Plain(remark))


def origin_of(exn: BaseException) -> Origin:
    """The origin that `locate` has given an error; an empty one where it has not."""
    return getattr(exn, "_clipx_origin", Origin())


def locate(exn: BaseException, sample: Mapping[str, Any] | None = None, **known: Any) -> None:
    """Add the origin of an error to its attributes `key`, `field` and `shard` and to its message; its type stays.

    Args:
        sample: its `__key__` and `__url__` are the key and the shard, and `__dataset__` the dataset.
        known: parts of an Origin beside those. Parts that an earlier call has added stay.
    """
    if sample is not None:
        of_sample = {"key": sample.get("__key__"), "shard": sample.get("__url__"), "dataset": sample.get(DATASET)}
        known = {**of_sample, **known}
    parts: dict[str, Any] = {
        name: value if name in ("clips", "segment") else str(value)
        for name, value in known.items()
        if value is not None
    }
    before, args = origin_of(exn), getattr(exn, "_clipx_args", exn.args)
    if before.key is not None and parts.get("key", before.key) != before.key:
        before = Origin()  # the same error object is raised for another sample now
    origin = before._replace(**{name: value for name, value in parts.items() if getattr(before, name) is None})
    with suppress(AttributeError, TypeError):
        exn._clipx_origin, exn._clipx_args = origin, args  # type: ignore[attr-defined]
        exn.key, exn.field, exn.shard = origin[:3]  # type: ignore[attr-defined]
        exn.dataset = origin.dataset  # type: ignore[attr-defined]
    _set_remark(exn, args, "")
    missing = origin.missing_in(_text_of(exn))
    _set_remark(exn, args, f"({missing})" if missing else "")


@contextmanager
def locating(sample: Mapping[str, Any] | None = None, **known: Any) -> Iterator[None]:
    """`locate` every error of the block."""
    try:
        yield
    except Exception as exn:
        locate(exn, sample, **known)
        raise


def describe_error(exn: BaseException) -> str:
    """An error's type, message and origin on one line."""
    text = _text_of(exn)
    missing = origin_of(exn).missing_in(text)
    return " ".join(f"{type(exn).__name__}: {text} {f'({missing})' if missing else ''}".split())


def reason_of(exn: BaseException) -> str:
    """An error's type and message on one line, without the origin that `locate` has added, which the error loses."""
    _set_remark(exn, getattr(exn, "_clipx_args", exn.args), "")
    return " ".join(f"{type(exn).__name__}: {_text_of(exn)}".split())
