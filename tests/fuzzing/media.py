"""Videos and sound: small files made once with PyAV, their structure mutated, and all that is cut from them."""

from __future__ import annotations

import io
import struct
import tempfile
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

import clipx
from clipx import audio, video, wds
from fuzzing.structure import Grammar, Node, Random, flip_bytes, mutate, number, resize, set_number

MOST_CLIPS = 100
"""Clips that are taken of an input: a file may say that it has millions."""

# Making

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
        heard = out.add_stream(sound, rate=8000) if sound else None
        for k in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, (k, 2 * k), (0, 1))[:32, :32].copy(), format="rgb24")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if heard is not None:
            encode_sound(out, heard, 2560)
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


# Sound


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


SOUNDS = {"wav": wav, "flac": flac, "mp3": mp3, "ogg": ogg}


def sound(random: Random) -> bytes:
    name = random.choice(sorted(SOUNDS))
    return SOUNDS[name](random)


# Using

WINDOWS = [
    clipx.WindowSpec(3),
    clipx.WindowSpec(4, 2, policy="repeat_last"),
    clipx.WindowSpec(2, 1, policy="backpad"),
    clipx.WindowSpec(3, dilation=3, policy="wrap"),
    clipx.WindowSpec(2, 5, policy="reflect"),
    clipx.WindowSpec(2, num_clips=3, policy="constant"),
    clipx.WindowSpec(2, num_clips=2, sampling="random", policy="wrap"),
    clipx.WindowSpec(1, 3),
]
FORMATS = [None, clipx.ClipFormat(crop=8, dtype="float32", mean=0.5), clipx.ClipFormat(resize=16, order="CTHW")]


class Stream:
    """A file object that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def as_source(random: Random, data: bytes) -> Any:
    return random.choice((data, data, io.BytesIO(data), Stream(data), memoryview(data)))


def options_of(random: Random) -> clipx.VideoOptions:
    return clipx.VideoOptions(
        damage=random.choice(("stop", "skip", "keep")),
        fps=random.choice((None, None, 10, 60)),
        color=random.choice(("rgb", "rgb", "gray")),
        num_threads=random.choice((1, 1, 1, 2)),
        start_seconds=random.choice((None, None, None, 0.1)),
        end_seconds=random.choice((None, None, None, 0.25)),
        max_pixels=1 << 20,
    )


def exhaust(clips: Any, most: int = MOST_CLIPS) -> int:
    total = 0
    try:
        for clip in islice(clips, most):
            total += int(clip.data.size) + clip.index * 0
    finally:
        clips.close()
    return total


def use_video(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    for _ in range(2):
        window, format, options = random.choice(WINDOWS), random.choice(FORMATS), options_of(random)
        heard = random.choice((None, None, clipx.AudioFormat(sample_rate=8000, mono=True)))
        with suppress(documented):
            exhaust(video.clips(as_source(random, data), window, format, options=options, audio=heard, rng=0))
    if random.random() < 0.2:
        with suppress(documented):
            video.count_frames(data, random.choice(WINDOWS), options_of(random), "input")
    if random.random() < 0.2:
        use_stage({"mp4": data}, random, documented)


def use_sound(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    windows = [
        clipx.WindowSpec(500),
        clipx.WindowSpec(400, 100, policy="repeat_last"),
        clipx.WindowSpec(300, num_clips=3),
        clipx.WindowSpec(800, 300, policy="backpad"),
        clipx.WindowSpec(64, 999, policy="wrap"),
    ]
    for _ in range(2):
        format = random.choice((None, None, clipx.AudioFormat(mono=True), clipx.AudioFormat(sample_rate=4000)))
        with suppress(documented):
            exhaust(audio.clips(as_source(random, data), random.choice(windows), format, rng=0))
    if random.random() < 0.2:
        use_stage({"wav": data}, random, documented, clipx.WindowSpec(400))


def use_stage(fields: dict, random: Random, documented: tuple[type[Exception], ...], window: Any = None) -> None:
    """The stage, whose handler gets what is wrong with a sample, and nothing that is not documented."""

    def handler(exn: Exception) -> bool:
        if not isinstance(exn, documented):
            raise exn
        return True

    stage = wds.clips(window or random.choice(WINDOWS), seed=0, handler=handler)
    for _ in islice(stage(iter([{"__key__": "a", **fields}, {"__key__": "b", **fields}])), MOST_CLIPS):
        pass
