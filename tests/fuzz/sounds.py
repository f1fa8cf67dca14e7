"""Sound: small files made once with PyAV, their pages, frames and chunks mutated."""

from __future__ import annotations

import struct

from fuzz.media import RIFF, make_sound, mutated, read_chunks
from fuzz.structure import Random, flip_bytes, number, resize, set_number


def _ogg_sums() -> list[int]:
    sums = []
    for i in range(256):
        value = i << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        sums.append(value)
    return sums


OGG_SUMS = _ogg_sums()


def ogg_page(header: bytes, body: bytes) -> bytes:
    """A page with the right checksum."""
    data, value = header[:22] + bytes(4) + header[26:] + body, 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ OGG_SUMS[value >> 24 ^ byte]
    return data[:22] + struct.pack("<I", value) + data[26:]


def ogg(random: Random) -> bytes:
    data = make_sound("libopus", "ogg", 48000)
    pages = [(b"OggS" + each[:23], each[23:]) for each in data.split(b"OggS")[1:]]
    pages = [(head + rest[: head[26]], rest[head[26] :]) for head, rest in pages]
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(pages))
        head, body = pages[at]
        action = random.randrange(7)
        if action == 0:
            pages[at : at + 1] = []
        elif action == 1:
            pages.insert(random.randint(0, len(pages)), pages[at])
        elif action == 2:
            pages[at] = head, resize(random, body)
        elif action == 3:
            pages[at] = head, set_number(random, body, "little", [(i, 4) for i in range(8, 30)])
        else:
            fields = [(5, 1), (6, 8), (6, 8), (14, 4), (18, 4), (26, 1), (27, 1), (28, 1)]
            pages[at] = set_number(random, head, "little", fields), body
        if not pages:
            break
    return b"".join(ogg_page(head.ljust(27, b"\0"), body) for head, body in pages)


def flac(random: Random) -> bytes:
    data = make_sound("flac", "flac")
    blocks, at = [], 4
    while True:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        blocks.append((data[at], size, data[at + 4 : at + 4 + size]))
        at += 4 + size
        if blocks[-1][0] & 128:
            break
    frames = data[at:]
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(blocks)) if blocks else -1
        action = random.randrange(8)
        if action < 2 or at < 0:
            frames = random.choice((resize, flip_bytes))(random, frames)
        elif action == 2:
            blocks.insert(at, blocks[at])
        elif action == 3:
            blocks[at : at + 1] = []
        elif action == 4:
            blocks[at] = random.randrange(256), blocks[at][1], blocks[at][2]
        elif action == 5:
            blocks[at] = blocks[at][0], number(random, 3, blocks[at][1]), blocks[at][2]
        else:
            fields = [(0, 2), (2, 2), (4, 3), (7, 3), (10, 4), (14, 4)]
            blocks[at] = *blocks[at][:2], set_number(random, blocks[at][2], "big", fields)
    return (
        b"fLaC" + b"".join(bytes([kind]) + size.to_bytes(3, "big") + inside for kind, size, inside in blocks) + frames
    )


def mp3(random: Random) -> bytes:
    data = make_sound("mp3", "mp3", 44100)
    tag, frames = data[:10], data[10:]
    for _ in range(random.choice((1, 1, 2, 4))):
        action = random.randrange(7)
        heads = [i for i in range(len(frames) - 4) if frames[i] == 0xFF and frames[i + 1] & 0xE0 == 0xE0] or [0]
        at = random.choice(heads)
        if action == 0:
            tag = set_number(random, tag, "big", [(3, 1), (5, 1), (6, 4)])
        elif action == 1:
            tag = random.choice((b"", tag + tag, b"ID3\4\0\0" + number(random, 4).to_bytes(4, "big")))
        elif action == 2:
            frames = frames[:at] + random.choice((b"TAG".ljust(128, b"x"), bytes(2000), data)) + frames[at:]
        elif action == 3:
            frames = resize(random, frames)
        elif action == 4:
            frames += random.choice((bytes(5000), b"TAG".ljust(128), b"APETAGEX".ljust(32, b"\xff"), data))
        else:
            frames = (
                frames[:at]
                + set_number(random, frames[at : at + 4], "big", [(1, 1), (2, 1), (3, 1)])
                + frames[at + 4 :]
            )
    return tag + frames


def wav(random: Random) -> bytes:
    codec = random.choice(("pcm_s16le", "pcm_f32le", "adpcm_ms", "pcm_u8"))
    return mutated(random, make_sound(codec, "wav"), RIFF, read_chunks)
