"""The sample of a clip as it is written, and its row of the manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np

from clipx.datasets.addresses import UnreadMember
from clipx.datasets.fields import Field, Sample, extension_of, is_metadata
from clipx.datasets.keys import REPLACED
from clipx.datasets.origins import locating
from clipx.datasets.stored import StoredFile
from clipx.jobs.extraction.encoding import Data, EncodedClip, data_bytes, pieces_of
from clipx.jobs.extraction.manifest import COLUMNS
from clipx.plan import FrameSpec, WindowSpec
from clipx.wds.in_step import sound_of

__all__ = ["OtherFields", "row_of"]

TEXTS = frozenset({"txt", "text", "transcript", "json", "jsn", "cls", "cls2", "index", "inx", "id"})
"""Extensions of fields whose bytes are a text."""


_compact = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """A value as JSON takes it; nan becomes None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"its value is a {type(value).__name__}, which cannot be written: drop the column, or make it text")


def json_bytes(value: Any) -> bytes:
    """A value as compact JSON, with sorted names."""
    try:
        text = _compact.encode(value)
    except (TypeError, ValueError):  # to look at each value takes longer
        text = _compact.encode(_plain(value))
    return text.encode("utf-8", "backslashreplace")


def _npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _npz(members: Mapping[str, Any]) -> bytes:
    file = BytesIO()
    np.savez(file, **members)
    return file.getvalue()


def _field_of(name: str, value: Any) -> tuple[str, Data]:
    """The name under which a field is written, and its bytes. Raises TypeError for values that cannot be written."""
    kind = extension_of(name)
    if isinstance(value, bytes):
        return name, value
    if isinstance(value, (bytearray, memoryview)):
        return name, bytes(value)
    if isinstance(value, StoredFile):
        return name, value.read()
    if isinstance(value, UnreadMember):
        raise ValueError(f"it has {value.size} bytes, more than memory allows for a sample")
    if isinstance(value, str):
        return name if kind in TEXTS else f"{name}.txt", value.encode("utf-8", "backslashreplace")
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return name if kind == "npy" else f"{name}.npy", _npy(value)
    if isinstance(value, int) and not isinstance(value, bool) and kind in ("cls", "cls2", "index", "inx", "id"):
        return name, str(value).encode()
    return name if kind in ("json", "jsn") else f"{name}.json", json_bytes(value)


class OtherFields:
    """The fields of clips of one sample beside the clips themselves, which are encoded once.

    Args:
        fields: of which clips are made, by the names of their clips.
    """

    def __init__(self, fields: Mapping[Field, Field]) -> None:
        self._fields = fields
        self._taken = {"clip.json", *fields, *(sound_of(name, fields) for name in fields)}
        self._kept: dict[str, Data] | None = None

    def of(self, clip: Sample, encoded: EncodedClip) -> dict[str, Data]:
        """ "clip.json", with the facts of the encoder, and the source's other fields in their order.

        Bytes stay as they are, and files are read; texts become "caption.txt", arrays "mask.npy" and other values
        "label.json". One with the name of a field of the clip is called "source.{name}".

        Raises TypeError and ValueError that name the field, OSError for files that cannot be read.
        """
        if self._kept is None:
            self._kept = self._encode(clip)
        found: dict[str, Data] = {"clip.json": json_bytes({**clip["clip.json"], **encoded.facts})}
        names = {name.lower() for name in (*encoded.fields, *found)}  # WebDataset lowers the case of fields
        for name, data in self._kept.items():
            free = _free_name(name, names)
            names.add(free.lower())
            found[free] = data
        return found

    def _encode(self, clip: Sample) -> dict[str, Data]:
        encoded: dict[str, Data] = {}
        for name, value in self._others(clip):
            with locating(field=name):
                written, data = _field_of(name, value)
            encoded[_free_name(written, encoded)] = data
        return encoded

    def _others(self, clip: Sample) -> Iterable[tuple[str, Any]]:
        members = {name.member for name in self._fields if name.member}
        holders = {name.holder for name in self._fields if name.member}
        for name, value in clip.items():
            if is_metadata(name) or name in self._taken:
                continue
            if name in holders and isinstance(value, Mapping):
                rest = {member: array for member, array in value.items() if member not in members}
                if rest:
                    yield name, _npz(rest)
            else:
                yield name, value


def _free_name(name: str, taken: Iterable[str]) -> str:
    while name.lower() in taken:
        name = REPLACED + name
    return name


def row_of(clip: Sample, encoded: EncodedClip, spec: FrameSpec) -> dict[str, Any]:
    """The row of a clip in the manifest, without what the shard's writer adds.

    Frames are those of the source, seconds those of its clock, both half-open; None where they are not known. Frames of
    a segment of sound are those of a file whose clock begins at 0. The encoder's facts go before those of "clip.json".
    "bytes" and "sha256" are of the encoded fields, one behind the other; to hash them takes most of the
    time of writing, and releases the GIL.
    """
    facts = clip["clip.json"]
    first, end = _frames_of(facts, spec)
    begin, until = _seconds_of(facts)
    digest, size = sha256(), 0
    for data in encoded.fields.values():
        size += data_bytes(data)
        for piece in pieces_of(data):
            digest.update(piece)
    row = {
        "source": facts.get("url"),
        "source_key": facts.get("key"),
        "segment": facts["segment"]["number"] if "segment" in facts else None,
        "start_frame": first,
        "end_frame": end,
        "start_seconds": begin,
        "end_seconds": until,
        "frames": facts["length"],
        "fps": _rate_of(facts),
        "bytes": size,
        "sha256": digest.hexdigest(),
        "status": "damaged" if facts.get("damaged") else "ok",
    }
    known = {name: value for name, value in encoded.facts.items() if name in COLUMNS}
    return {**row, **known}


def _frames_of(facts: Mapping[str, Any], spec: FrameSpec) -> tuple[int | None, int | None]:
    if "frame_indices" in facts:
        indices = [index for index in facts["frame_indices"] if index >= 0]
        return (min(indices), max(indices) + 1) if indices else (None, None)
    first, segment = facts["start"], facts.get("segment")
    if segment is not None and segment["unit"] == "frames":
        first += segment["start"]
    elif segment is not None:
        first = round(facts["pts_seconds"] * facts["sample_rate"])
    if not isinstance(spec, WindowSpec) or not facts["valid"]:
        return first, None
    return first, first + (facts["valid"] - 1) * spec.dilation + 1


def _seconds_of(facts: Mapping[str, Any]) -> tuple[float | None, float | None]:
    times, lasting = facts.get("pts_seconds"), facts.get("duration_seconds")
    if not isinstance(times, list):
        return times, None if times is None or lasting is None else times + lasting
    shown = [
        (time, time + (last or 0.0)) for time, last in zip(times, lasting or [0.0] * len(times)) if time is not None
    ]
    if not shown:
        return None, None
    return min(time for time, _ in shown), max(end for _, end in shown)


def _rate_of(facts: Mapping[str, Any]) -> float | None:
    """Positions a second: of a clip, else of its source; of sound its audio samples a second."""
    times = facts.get("pts_seconds")
    if "fps" in facts:
        return float(facts["fps"])
    if isinstance(times, list):
        if len(times) > 1 and None not in (times[0], times[-1]) and times[-1] > times[0]:
            return (len(times) - 1) / (times[-1] - times[0])
        return facts.get("source_fps")
    return facts.get("sample_rate")
