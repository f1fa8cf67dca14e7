"""Names of the members of a shard: keys and fields that are safe as names of files, and that WebDataset gives back."""

from __future__ import annotations

import re
from hashlib import sha256

__all__ = ["safe_field", "safe_key"]

MOST_COMPONENT = 160
"""Bytes of a part of a key between slashes, so that with a field's name it is within the 255 of file systems."""

MOST_KEY = 1000
"""Bytes of a key, within the 4096 of a path with that of the folder."""

MOST_FIELD = 80
"""Bytes of a field's name."""

_HIDDEN = "\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff"
"""Control characters, marks that are not seen or reverse the text, and halves of surrogate pairs."""

_UNSAFE = re.compile(f'[\x00-\x1f%\\\\<>:"|?*{_HIDDEN}]')
"""What file systems of today do not take in a name, and "%", which begins what is encoded."""


def _encode(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _encoded(match: re.Match[str]) -> str:
    return _encode(match[0])


def _shortened(text: str, whole: str, most: int) -> str:
    """The beginning of an encoded text of more than `most` bytes, and a digest of the `whole` that it stands for."""
    digest = f"%-{sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()}"
    head = text.encode()[: most - len(digest)].decode("utf-8", "ignore")
    return re.sub(r"%[0-9A-F]?\Z", "", head) + digest


def _component(text: str, is_last: bool) -> str:
    """A part of a key between slashes, encoded."""
    found = _UNSAFE.sub(_encoded, text)
    if is_last:
        found = found.replace(".", "%2E")  # WebDataset takes what follows for the field
    elif set(found) <= {"."}:
        found = found.replace(".", "%2E") or "%2F"
    found = re.sub(r"[ .]\Z", _encoded, found)
    return found if len(found.encode()) <= MOST_COMPONENT else _shortened(found, text, MOST_COMPONENT)


def safe_key(key: str) -> str:
    """A key as the name of a file: relative, below its folder, and with dots only in the names of folders.

    Other characters are "%" and the two digits of each of their bytes, as in addresses; different keys stay different.
    Keys, and parts of keys between slashes, that are too long end in "%-" and a SHA-256.

    >>> safe_key("videos/2024.05/a.b_000001")
    'videos/2024.05/a%2Eb_000001'
    """
    *folders, last = key.split("/")
    while folders and not last:  # "a/" is a folder, and no file
        last = f"{folders.pop()}/{last}"
    parts = [_component(each, False) for each in folders]
    found = "/".join([*parts, _component(last, True).replace("/", "%2F")])
    if found.startswith("__"):
        found = f"%5F{found[1:]}"  # WebDataset skips names such as "__a__"
    if len(found.encode()) > MOST_KEY:
        found = _shortened(found.replace("/", "_"), key, MOST_COMPONENT)
    return found or "%"


def safe_field(name: str) -> str:
    """The name of a field as the ending of the name of a file, encoded likewise."""
    found = _UNSAFE.sub(_encoded, name).replace("/", "%2F")
    found = re.sub(r"[ .]\Z", _encoded, found)
    return found if len(found.encode()) <= MOST_FIELD else _shortened(found, name, MOST_FIELD)
