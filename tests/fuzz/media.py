"""Videos: small files made once with PyAV, their structure mutated; and what makes and mutates sound."""

from __future__ import annotations

import io
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from fuzz.structure import Grammar, Node, Random, flip_bytes, mutate, resize

BITEXACT = {"fflags": "+bitexact"}  # no random numbers and times


@cache
def make_video(
    codec: str, container: str, options: tuple = (), sound: str | None = None, pix_fmt: str = "yuv420p"
) -> bytes:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    muxer = BITEXACT | dict(each for each in options if each[0] == "movflags")
    # By a name: a header is moved to the front of files only.
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container, options=muxer) as out:
        stream = out.add_stream(codec, rate=25, options=dict(each for each in options if each[0] != "movflags"))
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 32, 32, pix_fmt, 1
        sound_of_clip = out.add_stream(sound, rate=8000) if sound else None
        for k in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, (k, 2 * k), (0, 1))[:32, :32].copy(), format="rgb24")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound_of_clip is not None:
            encode_sound(out, sound_of_clip, 2560)
        out.close()
        return Path(file.name).read_bytes()


def encode_sound(out: Any, stream: Any, samples: int) -> None:
    wave = (np.sin(np.arange(samples) / 9)[None] * 8000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate = 8000
    resampler = av.AudioResampler(stream.format.name, stream.layout.name, stream.rate, stream.frame_size or None)
    for each in [*resampler.resample(frame), *resampler.resample(None)]:
        out.mux(stream.encode(each))
    out.mux(stream.encode())


@cache
def make_sound(codec: str, container: str, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=BITEXACT) as out:
        encode_sound(out, out.add_stream(codec, rate=rate), 4000)
    return file.getvalue()


X264 = (("bf", "2"), ("g", "4"), ("preset", "ultrafast"), ("x264-params", "threads=1:bframes=2"))


def mp4_bases() -> list[bytes]:
    fast = (("movflags", "faststart"),)
    pieces = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
    return [
        make_video("libx264", "mp4", X264),
        make_video("libx264", "mp4", X264 + fast, "aac"),
        make_video("libx264", "mp4", X264 + pieces, "aac"),
        make_video("mpeg4", "mov", (("g", "3"),), "pcm_s16le"),
        make_video("mjpeg", "mov", fast, None, "yuvj420p"),
    ]


def mkv_bases() -> list[bytes]:
    return [
        make_video("libx264", "matroska", X264, "libopus"),
        make_video("libvpx", "webm", (("g", "4"), ("deadline", "realtime"), ("cpu-used", "8"))),
        make_video("mpeg4", "matroska", (("g", "3"), ("bf", "1")), "pcm_s16le"),
        make_video("ffv1", "matroska", ()),
    ]


def avi_bases() -> list[bytes]:
    return [
        make_video("mpeg4", "avi", (("g", "3"),), "pcm_s16le"),
        make_video("mjpeg", "avi", (), None, "yuvj420p"),
        make_video("libx264", "avi", X264, "mp3"),
        make_video("rawvideo", "avi", (), None, "bgr24"),
    ]


# Boxes of mp4

BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"moof", b"traf", b"mvex", b"mfra"}
TABLES = frozenset(
    (
        b"stsz",
        b"stco",
        b"co64",
        b"stts",
        b"ctts",
        b"elst",
        b"stsc",
        b"stss",
        b"mvhd",
        b"mdhd",
        b"tkhd",
        b"hdlr",
        b"stsd",
        b"trun",
        b"tfhd",
        b"tfdt",
        b"trex",
        b"sidx",
        b"mfhd",
        b"tfra",
        b"ftyp",
    )
)


def read_boxes(data: bytes) -> list[Node]:
    nodes, at = [], 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        size = size if size >= 8 else len(data) - at
        inside = data[at + 8 : at + size]
        nodes.append(Node(name, parts=read_boxes(inside)) if name in BOXES else Node(name, inside))
        at += size
    return nodes


def write_boxes(node: Node) -> bytes:
    out = []
    for part in node.parts or ():
        inside = part.payload if part.parts is None else part.head + write_boxes(part)
        size = 8 + len(inside) if part.size is None else part.size
        if part.form == 1:
            out.append(struct.pack(">I4sQ", 1, part.name[:4], size + 8) + inside)
        else:
            out.append(struct.pack(">I4s", 0 if part.form == 2 else size & 0xFFFFFFFF, part.name[:4]) + inside)
    return b"".join(out)


COUNTED = [(4, 4), *((8 + 4 * i, 4) for i in range(6))]
MP4 = Grammar(
    sorted(TABLES | BOXES | {b"mdat", b"free", b"uuid", b"meta", b"cmov", b"dref", b"avcC", b"esds"}),
    sorted(BOXES),
    write_boxes,
    fields=dict.fromkeys((b"stco", b"stts", b"ctts", b"elst", b"stsc", b"stss", b"stsz", b"trun", b"stsd"), COUNTED),
    likely=TABLES,
)

# Elements of Matroska

MASTERS = {
    bytes.fromhex(each)
    for each in [
        "1a45dfa3",
        "18538067",
        "114d9b74",
        "4dbb",
        "1549a966",
        "1654ae6b",
        "ae",
        "e0",
        "e1",
        "1f43b675",
        "a0",
        "1c53bb6b",
        "bb",
        "b7",
        "6d80",
        "6240",
        "5034",
        "1254c367",
        "7373",
        "63c0",
        "67c8",
    ]
}
SETTINGS = {
    bytes.fromhex(each)
    for each in [
        "d7",
        "83",
        "86",
        "63a2",
        "23e383",
        "b0",
        "ba",
        "b5",
        "9f",
        "2ad7b1",
        "e7",
        "a3",
        "a1",
        "9b",
        "b3",
        "f7",
        "f1",
        "53ab",
        "53ac",
    ]
}


def vint(data: bytes, at: int, keep: bool) -> tuple[int, int]:
    """An EBML number, and where what follows starts."""
    first = data[at]
    size = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + size], "big")
    return (value if keep else value & ~(1 << 7 * size)), at + size


def read_elements(data: bytes) -> list[Node]:
    nodes, at = [], 0
    while at < len(data) and data[at]:
        start = at
        _, at = vint(data, at, True)
        name = data[start:at]
        if at >= len(data) or not data[at]:
            break
        first = data[at]
        size, begin = vint(data, at, False)
        if size == (1 << 7 * (9 - first.bit_length())) - 1:
            size = len(data) - begin
        inside = data[begin : begin + size]
        nodes.append(Node(name, parts=read_elements(inside)) if name in MASTERS else Node(name, inside))
        at = begin + size
    return nodes


def write_elements(node: Node) -> bytes:
    out = []
    for part in node.parts or ():
        inside = part.payload if part.parts is None else part.head + write_elements(part)
        size = len(inside) if part.size is None else part.size
        if part.form == 1:
            written = b"\xff" if len(inside) % 2 else b"\x01" + b"\xff" * 7  # not known
        elif part.form == 2:
            written = (1 << 56 | size).to_bytes(8, "big")
        elif part.form == 3:
            written = (1 << 56 | (1 << 56) - 2 - size % 64).to_bytes(8, "big")
        else:
            length = next(n for n in range(1, 9) if size < (1 << 7 * n) - 1)
            written = (1 << 7 * length | size).to_bytes(length, "big")
        out.append(part.name + written + inside)
    return b"".join(out)


# A block: track, time in the cluster, flags, of which two bits say how frames are laced, and how many they are.
BLOCK = [(0, 1), (1, 2), (3, 1), (3, 1), (3, 1), (4, 1), (5, 1), (6, 2)]
MKV = Grammar(
    sorted(MASTERS | SETTINGS | {b"\xec", b"\xbf"}),
    sorted(MASTERS),
    write_elements,
    fields={b"\xa3": BLOCK, b"\xa1": BLOCK},
    likely=frozenset(SETTINGS),
)

# Chunks of RIFF


def read_chunks(data: bytes) -> list[Node]:
    nodes, at = [], 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        inside = data[at + 8 : at + 8 + size]
        if name in (b"RIFF", b"LIST") and len(inside) >= 4:
            nodes.append(Node(name, parts=read_chunks(inside[4:]), head=inside[:4]))
        else:
            nodes.append(Node(name, inside))
        at += 8 + size + size % 2
    return nodes


def write_chunks(node: Node) -> bytes:
    out = []
    for part in node.parts or ():
        inside = part.payload if part.parts is None else (part.head or b"movi") + write_chunks(part)
        size = len(inside) if part.size is None else part.size
        padding = b"" if part.form == 1 else b"\0" * (len(inside) % 2)
        out.append(struct.pack("<4sI", part.name[:4].ljust(4), size & 0xFFFFFFFF) + inside + padding)
    return b"".join(out)


INDEX = [(4 * i, 4) for i in range(24)]
RIFF = Grammar(
    [
        b"RIFF",
        b"LIST",
        b"avih",
        b"strh",
        b"strf",
        b"idx1",
        b"indx",
        b"ix00",
        b"JUNK",
        b"00dc",
        b"01wb",
        b"fmt ",
        b"data",
        b"fact",
        b"ds64",
        b"strd",
        b"vprp",
    ],
    [b"RIFF", b"LIST"],
    write_chunks,
    "little",
    {
        b"idx1": INDEX,
        b"avih": INDEX,
        b"strh": INDEX,
        b"indx": INDEX,
        b"fmt ": [(0, 2), (2, 2), (4, 4), (8, 4), (12, 2), (14, 2), (16, 2)],
    },
    frozenset((b"idx1", b"avih", b"strh", b"strf", b"indx", b"fmt ", b"data", b"fact", b"00dc", b"01wb")),
)


def mutated(random: Random, data: bytes, grammar: Grammar, read: Any) -> bytes:
    root = Node(b"", parts=read(data))
    for _ in range(random.choice((1, 1, 1, 2, 2, 5))):
        mutate(random, root, grammar)
    out = grammar.write(root)
    if random.random() < 0.1:
        out = flip_bytes(random, out)
    if random.random() < 0.05:
        out = random.choice((resize(random, out), out + out, out + data))
    return out


def mp4(random: Random) -> bytes:
    return mutated(random, random.choice(mp4_bases()), MP4, read_boxes)


def mkv(random: Random) -> bytes:
    return mutated(random, random.choice(mkv_bases()), MKV, read_elements)


def avi(random: Random) -> bytes:
    return mutated(random, random.choice(avi_bases()), RIFF, read_chunks)
