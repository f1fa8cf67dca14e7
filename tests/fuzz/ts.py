"""Transport streams: the sections, packets and PES headers of small files are mutated."""

from __future__ import annotations

from functools import cache

from fuzz.media import X264, make_video
from fuzz.structure import Random, flip_bytes, number, resize, set_number

PACKET = 188


@cache
def bases() -> list[bytes]:
    return [
        make_video("libx264", "mpegts", X264, "aac"),
        make_video("mpeg2video", "mpegts", (("g", "4"), ("bf", "2"))),
        make_video("mpeg4", "mpegts", (("g", "3"),)),
    ]


def packets(data: bytes) -> list[bytes]:
    return [data[at : at + PACKET] for at in range(0, len(data), PACKET)]


def payload_of(packet: bytes) -> int:
    """Where the payload of a packet begins: behind its header and the adaptation field."""
    return min(5 + packet[4] if packet[3] & 0x20 else 4, PACKET)


def crc(data: bytes) -> bytes:
    """The checksum of a section."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def change_section(random: Random, packet: bytes) -> bytes:
    """A PAT, PMT or SDT with another number, or stretched or cut, and mostly with the right checksum."""
    at = payload_of(packet) + 1
    size = 3 + (int.from_bytes(packet[at + 1 : at + 3], "big") & 0xFFF)
    body = packet[at : at + max(size - 4, 0)]
    if random.random() < 0.2:
        body = resize(random, body)
    else:
        body = set_number(random, body, "big", [(1, 2), (3, 2), (8, 2), (10, 2), (12, 1), (13, 2), (15, 2), (17, 1)])
    if random.random() < 0.7:
        body = body[:1] + (0xB000 | len(body) + 1 & 0xFFF).to_bytes(2, "big") + body[3:]
    section = body + (crc(body) if random.random() < 0.9 else b"\0" * 4)
    return (packet[:at] + section)[:PACKET].ljust(PACKET, b"\xff")


def change_header(random: Random, packet: bytes) -> bytes:
    """A packet of another PID, counter or adaptation field, whose clock may be another."""
    fields = [(0, 1), (1, 2), (1, 2), (3, 1), (3, 1), (4, 1), (5, 1), (6, 4), (6, 4), (10, 2)]
    return set_number(random, packet[:12], "big", fields) + packet[12:]


def change_pes(random: Random, packet: bytes) -> bytes:
    """A PES packet with another length, other flags or times."""
    at = payload_of(packet)
    fields = [(3, 1), (4, 2), (6, 1), (7, 1), (8, 1), (9, 5), (9, 5), (14, 5), (14, 5)]
    return packet[:at] + set_number(random, packet[at : at + 24], "big", fields) + packet[at + 24 :]


def change_packet(random: Random, packet: bytes) -> bytes:
    if len(packet) < PACKET:
        return packet
    begins, action = packet[1] & 0x40, random.randrange(10)
    if action < 6 and begins:
        at = payload_of(packet)
        return (change_pes if packet[at : at + 3] == b"\0\0\1" else change_section)(random, packet)
    if action < 8:
        return change_header(random, packet)
    return packet[:4] + flip_bytes(random, packet[4:])


def ts(random: Random) -> bytes:
    data = random.choice(bases())
    parts = packets(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        if not parts:
            break
        action, at = random.randrange(12), random.randrange(len(parts))
        # A stream has few packets that begin something, of which most is to be had.
        if random.random() < 0.7:
            at = random.choice([i for i, each in enumerate(parts) if each[1:2] and each[1] & 0x40] or [at])
        if action == 0:
            del parts[at]
        elif action == 1:
            parts[at:at] = [parts[at]] * random.choice((1, 1, 2, 40))
        elif action == 2:
            other = random.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif action == 3:
            end = random.randint(at, len(parts))
            parts[at:end] = []
        elif action == 4:
            parts[at] = resize(random, parts[at])  # those behind are out of step
        elif action == 5:
            parts[at:at] = packets(random.choice(bases()))[: random.choice((1, 3, 1000))]
        else:
            parts[at] = change_packet(random, parts[at])
    out = b"".join(parts)
    if random.random() < 0.05:
        # Timestamps of four bytes before each packet, as cameras write them.
        out = b"".join(number(random, 4).to_bytes(4, "big") + each for each in packets(out))
    return resize(random, out) if random.random() < 0.05 else out
