"""npy and npz members whose headers and directories are mutated."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import cache

import numpy as np

from fuzz.structure import Random, flip_bytes, number, resize


def good_array(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


@cache
def good(n: int) -> bytes:
    file = io.BytesIO()
    np.save(file, good_array(n))
    return file.getvalue()


# .npy

SHAPES = [
    "()",
    "(7, 8, 8, 3)",
    "(0, 8, 8, 3)",
    "(7, 8, 8, 0)",
    "(-1, 8, 8, 3)",
    "(1.5, 2)",
    "(7,)",
    "(True, 8, 8, 3)",
    "7",
    "(10**30, 8, 8, 3)",
    "(9223372036854775807, 2)",
    "(4294967296, 4294967296, 4294967296)",
    "(2, 0, 9223372036854775807)",
    "('7', 8, 8, 3)",
    "(1,)*64",
    "(" + "1, " * 40 + ")",
    "(None,)",
    "(7, 8, 8, 3,)",
    "[7, 8, 8, 3]",
    "(7, 8, 8, 3) * 9",
    "(1000000000, 1000000000, 0)",
    "(1344,)",
    "(2, 2, 336)",
]
TYPES = [
    "'|u1'",
    "'<i8'",
    "'>f4'",
    "'|O'",
    "'|V7'",
    "'|V0'",
    "'|S0'",
    "'<U4'",
    "'<M8[s]'",
    "'<m8'",
    "'<c16'",
    "'<f16'",
    "'?'",
    "[('a', '<i4'), ('b', '|u1', (2, 3))]",
    "[('a', '|O')]",
    "[('a', [('b', '<f8')])]",
    "[]",
    "None",
    "'|V99999999999'",
    "('<i4', (2, 2))",
    "('<i4', (0,))",
    "'i4,f8'",
    "'<e'",
    "'bfloat16'",
    "7",
    "{'names': ['a'], 'formats': ['<i4']}",
    "[('', '|V1')]",
    "[('a', '<i4'), ('a', '<i4')]",
    "'<U999999999'",
    "[('a', '<i4', (99999, 99999, 99999))]",
]


def npy(random: Random) -> bytes:
    data = good(7)
    size = struct.unpack_from("<H", data, 8)[0]
    text, body = data[10 : 10 + size].decode(), data[10 + size :]
    parts = {"descr": "'|u1'", "fortran_order": "False", "shape": "(7, 8, 8, 3)"}
    version, length = (1, 0), None
    for _ in range(random.choice((1, 1, 2, 3))):
        action = random.randrange(10)
        if action <= 2:
            parts["shape"] = random.choice(SHAPES)
            if random.random() < 0.3:
                parts["shape"] = f"({', '.join(str(number(random, 8, 8)) for _ in range(random.randint(1, 6)))},)"
        elif action <= 4:
            parts["descr"] = random.choice(TYPES)
        elif action == 5:
            parts["fortran_order"] = random.choice(("True", "1", "None", "'x'", "[]", "2**99"))
        elif action == 6:
            parts.pop(random.choice(sorted(parts)), None)
        elif action == 7:
            version = random.choice(((1, 0), (2, 0), (3, 0), (0, 0), (255, 255), (1, 1)))
        elif action == 8:
            length = number(random, 2, size)
        else:
            body = resize(random, body)
    text = "{" + ", ".join(f"'{name}': {value}" for name, value in parts.items()) + ", }"
    if random.random() < 0.1:
        text = random.choice(
            ("(" * 3000, "{" * 9000, "-" * 9000 + "1", text * 3, "", "\0" * 99, "lambda: 0", "9" * 9000)
        )
    if random.random() < 0.1:
        text = flip_bytes(random, text.encode("latin-1"), 3).decode("latin-1")
    head = text.encode("latin-1", "replace") + b"\n"
    counted = len(head) if length is None else length
    pre = b"\x93NUMPY" + bytes(version)
    pre += struct.pack("<H", counted & 0xFFFF) if version[0] < 2 else struct.pack("<I", counted)
    return pre + head + body


# .npz

METHODS = (0, 8, 12, 14, 1, 9, 93, 99, 65535)


def store(out: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member whose time is not that of today."""
    out.writestr(zipfile.ZipInfo(name), data, out.compression)


@cache
def archive(method: int, two: bool) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as out:
        store(out, "x.npy", good(7))
        if two:
            store(out, "y.npy", good(5))
    return file.getvalue()


LOCAL = [(4, 2), (6, 2), (8, 2), (10, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]
CENTRAL = [
    (4, 2),
    (6, 2),
    (8, 2),
    (10, 2),
    (16, 4),
    (20, 4),
    (24, 4),
    (28, 2),
    (30, 2),
    (32, 2),
    (34, 2),
    (38, 4),
    (42, 4),
]
END = [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]


def at_all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def npz(random: Random) -> bytes:
    if random.random() < 0.3:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", random.choice((0, 0, 8, 8, 8, 8, 8, 12, 14))) as out:
            for name in random.choice((["x"], ["x", "x"], ["x", "../y"], ["x", ""], ["x"] * 20, ["x", "y\0z"])):
                out.NameToInfo.clear()  # it warns of a name that it knows
                store(out, f"{name}.npy", npy(random) if random.random() < 0.7 else good(7))
        return file.getvalue()
    data = bytearray(archive(random.choice((0, 8, 12, 14)), random.random() < 0.5))
    for _ in range(random.choice((1, 1, 2, 3))):
        mark, fields = random.choice(
            ((b"PK\x03\x04", LOCAL), (b"PK\x01\x02", CENTRAL), (b"PK\x01\x02", CENTRAL), (b"PK\x05\x06", END))
        )
        found = at_all(bytes(data), mark)
        if not found:
            continue
        at = random.choice(found)
        offset, size = random.choice(fields)
        old = int.from_bytes(data[at + offset : at + offset + size], "little")
        value = number(random, size, old)
        if (mark, offset) in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)) and random.random() < 0.7:
            value = random.choice(METHODS)
            # Both places, as a writer would.
            for other, where in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
                for each in at_all(bytes(data), other):
                    data[each + where : each + where + 2] = struct.pack("<H", value)
        if (mark, offset) in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)) and random.random() < 0.7:
            value = random.choice((1, 8, 0x20, 0x40, 0x800, 0x2001))
        data[at + offset : at + offset + size] = value.to_bytes(size, "little")
    if random.random() < 0.3:
        at = random.randrange(30, len(data) // 2)
        data[at] ^= 1 << random.randrange(8)
    if random.random() < 0.1:
        return resize(random, bytes(data))
    return bytes(data)
