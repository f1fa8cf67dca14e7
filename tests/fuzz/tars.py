"""Tar files whose own headers are mutated, and members between two good ones."""

from __future__ import annotations

from typing import Any

from fuzz.arrays import good
from fuzz.structure import Random, flip_bytes, number, resize, set_number


def header(name: bytes, length: int, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A ustar header with the right checksum; `fields` overwrites: name, mode, size, ..., or `at_N`."""
    block = bytearray(512)
    positions = {
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
        at = positions[field] if field in positions else int(field[3:])
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
