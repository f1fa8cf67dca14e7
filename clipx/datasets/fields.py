"""Names of a sample's fields: the kind of file a name says, and "npz:frames" for a member of a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from webdataset.tariterators import base_plus_ext

__all__ = [
    "AUDIO_EXTENSIONS",
    "DATASET",
    "PASS",
    "PICTURE_EXTENSIONS",
    "SOURCE_EXTENSIONS",
    "VIDEO_EXTENSIONS",
    "Field",
    "Sample",
    "extension_of",
    "is_metadata",
    "split_member_name",
]

Sample = dict[str, Any]

DATASET, PASS = "__dataset__", "__pass__"
"""Fields of the samples of a mixture: the name of their dataset, and the number of the pass over it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


AUDIO_EXTENSIONS = _names(
    "aac ac3 aif aifc aiff amr ape au caf eac3 flac m4a m4b mka mp2 mp3 mpc oga ogg opus spx tak tta w64 wav wave weba "
    "wma wv"
)
VIDEO_EXTENSIONS = _names(
    "3g2 3gp asf avi divx dv f4v flv h264 h265 hevc ivf m1v m2t m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg mts "
    "mxf nut obu ogv qt ts vob webm wmv y4m"
)
PICTURE_EXTENSIONS = _names("jpg jpeg png webp")
"""Extensions of pictures, which are sources where they are numbered."""
SOURCE_EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS | {"npy", "npz"}
"""Extensions of the files that clips are taken from."""


class Field(str):
    """The name of a field, such as "mp4", or of one member of a field that holds several arrays: "npz:frames".

    A sample's own field of exactly this name comes before the member.

    Attributes:
        holder: the field that has the member; of a name without a member, the name itself.
        member: name of the member; "" where there is none.
    """

    __slots__ = ("holder", "member")

    holder: Any
    member: Any

    def __new__(cls, name: str) -> Field:
        field = super().__new__(cls, name)
        field.holder, _, field.member = str(name).partition(":")
        return field

    @classmethod
    def of_member(cls, holder: Any, member: Any) -> Field:
        """The name of a member whose holder's name may have a colon of its own."""
        field = cls(f"{holder}:{member}")
        field.holder, field.member = holder, member
        return field

    def is_member_in(self, sample: Mapping[str, Any]) -> bool:
        """True where this names a member of another field, as the sample has no field of exactly this name."""
        return bool(self.member) and self not in sample

    def lookup(self, sample: Mapping[str, Any]) -> Any:
        """The value of the field, or of the field that holds the member; None where the sample has neither."""
        return sample.get(self.holder if self.is_member_in(sample) else self)

    def get(self, sample: Mapping[str, Any]) -> Any:
        """The value of the field or the member. Raises KeyError where the sample lacks it."""
        return sample[self.holder][self.member] if self.is_member_in(sample) else sample[self]

    def put(self, sample: Sample, value: Any) -> None:
        """Set the value of the field, or, in a dict under the holder's name, of the member."""
        if not self.member:
            sample[self.holder] = value
            return
        members = sample.get(self.holder)
        sample[self.holder] = {**(members if isinstance(members, Mapping) else {}), self.member: value}


_SKIPPED = re.compile(r"__[^/]*__($|/)")
"""Names of members of a tar file that WebDataset skips."""


def split_member_name(name: str) -> tuple[str | None, str]:
    """The key and the field of a member of a tar file; None and "" for one that belongs to no sample.

    "a/b.front.mp4" is field "front.mp4" of sample "a/b".
    """
    key, field = (None, None) if _SKIPPED.match(name) else base_plus_ext(name)
    return (None, "") if key is None or field is None else (key, field)


def is_metadata(name: str) -> bool:
    """True for fields of WebDataset's own, such as `__key__` and `__url__`."""
    return name.startswith("__")


def extension_of(name: str) -> str:
    """The extension of the name of a field or a file, in lower case: "wav" of "front.WAV", "mp4" of "mp4"."""
    return name.rpartition(".")[2].lower()
