"""npy and npz members between two good ones, and tar files whose own headers are mutated, given to a Loader."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from collections import Counter
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

import clipx
from clipx import mapped, wds
from fuzzing.structure import Random, flip_bytes, number, resize, set_number

MOST_BATCHES = 60
FORMAT = clipx.ClipFormat(crop=(8, 8))
WINDOWS = [
    clipx.WindowSpec(3),
    clipx.WindowSpec(3, dilation=2, policy="repeat_last"),
    clipx.WindowSpec(2, num_clips=2, policy="wrap"),
    clipx.WindowSpec(3, 9, policy="backpad"),
]


@cache
def good(n: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(n).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))
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
        with zipfile.ZipFile(file, "w", random.choice((0, 8, 12, 14))) as out:
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


# tar


def header(name: bytes, length: int, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header with the right checksum; `fields` overwrites: name, mode, size, ..., or `at_N`."""
    block = bytearray(512)
    places = {
        "name": 0,
        "mode": 100,
        "uid": 108,
        "gid": 116,
        "size": 124,
        "mtime": 136,
        "kind": 156,
        "link": 157,
        "magic": 257,
        "devmajor": 329,
        "prefix": 345,
    }
    values = {
        "name": name[:100],
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"%011o\0" % length,
        "mtime": b"00000000000\0",
        "kind": kind,
        "magic": b"ustar\x0000",
    }
    for field, value in (values | fields).items():
        at = places[field] if field in places else int(field[3:])
        block[at : at + len(value)] = value
    del block[512:]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, data: bytes, **fields: Any) -> bytes:
    return header(name, **{"length": len(data)} | fields) + data + bytes(-len(data) % 512)


def pax(**records: str) -> bytes:
    text = b""
    for key, value in records.items():
        line = f" {key.replace('__', '.')}={value}\n".encode("utf-8", "surrogateescape")
        length = len(line) + 2
        length = len(line) + len(str(length + 1 if len(line) + len(str(length)) > length else length))
        text += str(length).encode() + line
    return text


def between(name: bytes, data: bytes) -> bytes:
    """A shard of a member between two good ones."""
    end = bytes(1024)
    return member(b"a.npy", good(7)) + member(b"m." + name, data) + member(b"z.npy", good(8)) + end


def size_field(random: Random, old: int) -> bytes:
    return random.choice(
        (
            b"%011o\0" % (number(random, 4, old) % (1 << 33)),
            b"-0000000001\0",
            b"\x80" + number(random, 8).to_bytes(11, "big"),
            b"\xff" * 12,
            b"\x80" + bytes(11),
            b"99999999999\0",
            b" " * 12,
            b"\0" * 12,
            b"7" * 12,
            b"0x10".ljust(12, b"\0"),
            b"%011o\0" % (old + random.choice((-1, 1, 512, -512, 100000))),
        )
    )


def tar(random: Random) -> bytes:
    parts: list[bytes] = []
    names = [b"a.npy", b"b.npy", b"c.npy", b"c.txt", b"d.json", b"e.npy"]
    contents = {name: good(5 + i) for i, name in enumerate(names)} | {b"c.txt": b"text", b"d.json": b'{"n": 1}'}
    target = random.randrange(len(names))
    for i, name in enumerate(names):
        data = contents[name]
        if i != target:
            parts.append(member(name, data))
            continue
        action = random.randrange(12)
        if action == 0:
            parts.append(member(name, data, size=size_field(random, len(data))))
        elif action == 1:
            parts.append(
                member(
                    name,
                    data,
                    kind=random.choice(
                        (b"1", b"2", b"3", b"5", b"7", b"L", b"K", b"x", b"g", b"S", b"D", b"M", b"V", b"\0", b"\xff")
                    ),
                )
            )
        elif action == 2:
            odd = random.choice(
                (
                    b"",
                    b"/",
                    b"../../x.npy",
                    b"\xff\xfe.npy",
                    b".npy",
                    b"a" * 100,
                    b"a.b.c.d.npy",
                    b"b\0c.npy",
                    b"b/",
                    b"b.npy/",
                )
            )
            parts.append(member(odd, data))
        elif action == 3:
            records = random.choice(
                (
                    {"size": str(number(random, 8, len(data)))},
                    {"path": "x" * random.choice((0, 200, 70000))},
                    {"size": "-1"},
                    {"size": "x"},
                    {"path": "b\udcff.npy"},
                    {
                        "GNU__sparse__major": "1",
                        "GNU__sparse__minor": "0",
                        "GNU__sparse__name": "b.npy",
                        "GNU__sparse__realsize": str(number(random, 5, 3000)),
                    },
                    {"GNU__sparse__size": "99999999999", "GNU__sparse__map": f"0,10,{number(random, 4)},5"},
                    {"GNU__sparse__numblocks": "1", "GNU__sparse__offset": "1", "GNU__sparse__numbytes": "5"},
                    {"mtime": "nan"},
                    {"uid": "1e99"},
                    {"hdrcharset": "BINARY", "path": "b\udcff.npy"},
                    {"GNU__sparse__map": "0"},
                )
            )
            text = pax(**records)
            if random.random() < 0.4:
                text = set_number(random, text, "big") if random.random() < 0.5 else resize(random, text)
            parts += [member(b"PaxHeaders/b", text, kind=random.choice((b"x", b"x", b"g"))), member(name, data)]
        elif action == 4:
            # GNU's old sparse format: offset and size of each piece, whether more follow, and the whole size.
            fields = {
                "at_386": size_field(random, 0),
                "at_398": size_field(random, len(data)),
                "at_482": random.choice((b"\0", b"\1")),
                "at_483": size_field(random, 1 << 31),
                "magic": b"ustar  \0",
            }
            parts.append(member(name, data, kind=b"S", **fields))
        elif action == 5:
            text = b"b" * random.choice((10, 300, 70000)) + b".npy"
            parts += [member(b"././@LongLink", text, kind=random.choice((b"L", b"K"))), member(name, data)]
        elif action == 6:
            block = bytearray(member(name, data))
            at = random.randrange(512)
            block[at : at + 4] = random.randbytes(4)
            parts.append(bytes(block))  # its checksum is wrong
        elif action == 7:
            parts += [member(name, data)] * random.choice((2, 3, 50))
        elif action == 8:
            parts.append(bytes(512 * random.choice((1, 2, 3))))
        elif action == 9:
            parts.append(member(name, data)[: random.randrange(1, 512 + len(data))])
        elif action == 10:
            depth = random.choice((1, 5, 600))
            parts += [header(b"x", 10, kind=random.choice((b"L", b"x"))) + b"9 path=b\n\0".ljust(512, b"\0")] * depth
            parts.append(member(name, data))
        else:
            parts.append(member(name, flip_bytes(random, data, 3)))
    out = b"".join(parts) + bytes(random.choice((0, 512, 1024, 1024, 10240)))
    if random.random() < 0.1:
        out = resize(random, out)
    return out


# Using


def loaded(
    url: str, documented: tuple[type[Exception], ...], most: int = MOST_BATCHES, **more: Any
) -> tuple[Counter, bool]:
    """How many clips of each source come, and whether the run came to its end. What is not documented is raised."""
    found: list[Exception] = []
    taken: Counter = Counter()
    loader = clipx.Loader(
        url,
        more.pop("window"),
        FORMAT,
        batch_size=2,
        memory="48MB",
        threads=2,
        shuffle=False,
        drop_last=False,
        handler=lambda exn: not found.append(exn),
        **more,
    )
    try:
        with loader:
            for batch in islice(loader, most):
                taken.update(key.rpartition("_")[0] for key in batch["__key__"])
                del batch
    except documented:
        return taken, False
    for exn in found:
        if not isinstance(exn, documented):
            raise exn
    return taken, True


def use_member(data: bytes, random: Random, documented: tuple[type[Exception], ...], field: str, **more: Any) -> None:
    window = random.choice(WINDOWS)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(between(field.encode(), data))
        file.flush()
        taken, ended = loaded(file.name, documented, window=window, **more)
        if ended:
            for key, n in (("a", 7), ("z", 8)):
                if not more and taken[key] != len(clipx.windows.starts(n, window.length, **plan_of(window))):
                    raise AssertionError(f"{taken[key]} clips of the good sample {key} came")
    try:
        for _ in islice(wds.clips(window, keys=more.get("keys"))(iter([{"__key__": "a", field: data}])), 100):
            pass
    except documented:
        pass


def plan_of(window: clipx.WindowSpec) -> dict[str, Any]:
    return {
        "stride": window.stride,
        "dilation": window.dilation,
        "policy": window.policy,
        "num_clips": window.num_clips,
    } | ({"stride": None} if window.num_clips is not None else {})


def use_npy(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    use_member(data, random, documented, "npy")
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        file.write(data)
        file.flush()
        try:
            array = mapped.open(file.name)
            if array.ndim:
                for _ in islice(clipx.windows.iterate(array, 2), 20):
                    pass
        except documented:
            pass


def use_npz(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    more = random.choice(({}, {"keys": "npz:x"}))
    use_member(data, random, documented, "npz", **more)


def use_tar(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        loaded(file.name, documented, window=random.choice(WINDOWS))
        try:
            found = list(islice(mapped.members(file.name), 1000))
            for each in found[:10]:
                if each.name.endswith(".npy"):
                    mapped.open_member(file.name, each)
        except documented:
            pass
        if random.random() < 0.3:
            resumed(file.name, random, documented)


def resumed(url: str, random: Random, documented: tuple[type[Exception], ...]) -> None:
    """A run is stopped behind its first batch, and goes on by its state; its clips are counted, too."""
    arguments: Any = {
        "batch_size": 1,
        "memory": "48MB",
        "threads": 1,
        "shuffle": random.random() < 0.5,
        "handler": lambda exn: True,
    }
    window = clipx.WindowSpec(3)
    try:
        with clipx.Loader(url, window, FORMAT, **arguments) as loader:
            for batch in loader:
                del batch
                break
            state = loader.state_dict()
        with clipx.Loader(url, window, FORMAT, **arguments) as loader:
            loader.load_state_dict(state)
            for batch in islice(loader, MOST_BATCHES):
                del batch
        with clipx.Loader(url, window, FORMAT, equal_batches=True, **arguments) as loader:
            for batch in islice(loader, MOST_BATCHES):
                del batch
    except documented:
        pass
