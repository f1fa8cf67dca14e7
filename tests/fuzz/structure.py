"""Trees of named parts with sizes, as mp4, Matroska and RIFF have them, and mutations of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Random = random.Random


@dataclass(eq=False)
class Node:
    """A part of a file: its name, and bytes or parts inside it.

    head: bytes before the first part, such as a box's version. size: what is written for its size where that is not so.
    """

    name: bytes
    payload: bytes = b""
    parts: list[Node] | None = None
    head: bytes = b""
    size: int | None = None
    form: int = 0

    def walk(self) -> Iterator[Node]:
        for part in self.parts or ():
            yield part
            yield from part.walk()

    def copy(self) -> Node:
        parts = None if self.parts is None else [part.copy() for part in self.parts]
        return Node(self.name, self.payload, parts, self.head, self.size, self.form)


@dataclass
class Grammar:
    """What a format's parts are called, and how a tree is written."""

    names: list[bytes]
    containers: list[bytes]
    write: Callable[[Node], bytes]
    byteorder: str = "big"
    # Where numbers of a part stand: a list of (offset, bytes), or None for any.
    fields: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)
    likely: frozenset[bytes] = frozenset()


def number(random: Random, size: int, old: int = 0) -> int:
    """A number of so many bytes that is likely to be trouble."""
    top = 1 << 8 * size
    drawn = random.choice(
        (
            0,
            1,
            2,
            3,
            old + 1,
            old - 1,
            old * 2,
            old // 2,
            old ^ 1,
            top - 1,
            top // 2,
            top // 2 - 1,
            top - old,
            1 << 16,
            (1 << 31) - 1,
            (1 << 31),
            255,
            256,
            random.randrange(top),
            random.randrange(1 << random.randrange(1, 8 * size)),
        )
    )
    return drawn % top


def set_number(random: Random, data: bytes, byteorder: str, fields: list[tuple[int, int]] | None = None) -> bytes:
    """One number of the data changed; at a multiple of its size, or where `fields` says."""
    if not data:
        return random.randbytes(random.choice((1, 4, 8)))
    inside = [each for each in fields or () if each[0] + each[1] <= len(data)]
    if inside and random.random() < 0.8:
        at, size = random.choice(inside)
    else:
        size = random.choice((1, 2, 4, 4, 4, 8))
        if size > len(data):
            size = 1
        at = random.randrange(0, len(data) - size + 1)
        if random.random() < 0.8:
            at -= at % size
    old = int.from_bytes(data[at : at + size], byteorder)  # type: ignore[arg-type]
    return data[:at] + number(random, size, old).to_bytes(size, byteorder) + data[at + size :]  # type: ignore[arg-type]


def flip_bytes(random: Random, data: bytes, most: int = 8) -> bytes:
    out = bytearray(data)
    for _ in range(random.randint(1, most) if out else 0):
        out[random.randrange(len(out))] = random.randrange(256)
    return bytes(out)


def resize(random: Random, data: bytes) -> bytes:
    """The data cut short, grown, or with a piece twice or left out."""
    at, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    return random.choice(
        (
            data[:at],
            data + random.randbytes(random.choice((1, 4, 64))),
            data[:end] + data[at:],
            data[:at] + data[end:],
            b"",
            data + bytes(random.choice((1, 7, 512))),
        )
    )


def mutate(random: Random, root: Node, grammar: Grammar) -> None:
    """Change one thing in a tree."""
    nodes = list(root.walk())
    if not nodes:
        root.parts = [Node(random.choice(grammar.names), random.randbytes(8))]
        return
    likely = [node for node in nodes if node.name in grammar.likely]
    node = random.choice(likely) if likely and random.random() < 0.6 else random.choice(nodes)
    parents = [root, *(each for each in nodes if each.parts is not None)]
    parent = next(each for each in parents if node in (each.parts or ()))
    siblings = parent.parts
    assert siblings is not None
    at = siblings.index(node)
    action = random.randrange(12)
    if action == 0:
        node.name = random.choice((*grammar.names, random.randbytes(len(node.name))))
    elif action == 1:
        node.size = number(random, 4, len(node.payload))
    elif action == 2:
        del siblings[at]
    elif action == 3:
        siblings[at:at] = [node.copy() for _ in range(random.choice((1, 1, 2, 40)))]
    elif action == 4:
        target = random.choice([each for each in parents if each is not node and each not in list(node.walk())])
        del siblings[at]
        target.parts = target.parts or []
        target.parts.insert(random.randint(0, len(target.parts)), node)
    elif action == 5:
        inner = node
        for _ in range(random.choice((1, 2, 10, 100))):
            inner = Node(random.choice((node.name, *grammar.containers)), parts=[inner])
        siblings[at] = inner
    elif action == 6:
        random.shuffle(siblings)
    elif action == 7:
        node.form = random.randrange(4)
    elif node.parts is not None:
        node.head = set_number(random, node.head, grammar.byteorder) if node.head else b""
        if not node.head:
            node.size = number(random, 4, 100)
    elif action == 8:
        node.payload = resize(random, node.payload)
    else:
        for _ in range(random.choice((1, 1, 1, 3))):
            node.payload = set_number(random, node.payload, grammar.byteorder, grammar.fields.get(node.name))
