"""CSV and JSON lines of files and segments, a job's description and manifests, and indexes; and what reads them."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import clipx
from clipx.datasets.tables import read_table_file
from clipx.jobs.extraction.description import _PARTS, described, parse_description
from clipx.jobs.extraction.manifest import COLUMNS, TABLES, open_manifest, read_columns
from fuzz import states
from fuzz.structure import Random, flip_bytes, number, resize

HEADER = ["path", "start", "end", "label"]
CELLS = [
    "",
    "a.mp4",
    "0",
    "1.5",
    "-1",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "x",
    "1:02:03",
    '"',
    "a\nb",
    "é",
    "\0",
    "=1+1",
]
KINDS = ("csv", "tsv", "jsonl", "segments", "job", "manifest", "index")


@cache
def index() -> bytes:
    path = Path(states.shards()[0]).parent / "for-tables.parquet"
    clipx.Index.build(states.shards(), str(path))
    return path.read_bytes()


def mutated_index(random: Random) -> bytes:
    """Other values in a column, and the file written again; or other bytes of the file."""
    import pyarrow
    from pyarrow import parquet

    if random.random() < 0.5:
        return random.choice((flip_bytes, resize))(random, index())
    table = parquet.read_table(io.BytesIO(index()))
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(table.num_columns)
        field, values = table.schema.field(at), table.column(at).to_pylist()
        row = random.randrange(len(values))
        old = values[row]
        if isinstance(old, int) and not isinstance(old, bool):
            values[row] = number(random, 4, abs(old)) - random.choice((0, 0, 1 << 31))
        else:
            values[row] = random.choice((None, random.choice(values), *([old[::-1], old * 2] if old else [])))
        if random.random() < 0.1:
            table = table.remove_column(at)
            continue
        with suppress(pyarrow.ArrowException, OverflowError):
            table = table.set_column(at, field, pyarrow.array(values, field.type))
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def job(random: Random) -> bytes:
    facts = json.loads(described({name: kind() for name, kind in _PARTS.items()} | {"table": "jsonl"}))
    facts[random.choice(sorted(facts))] = random.choice(states.VALUES)
    return json.dumps(facts).encode()


def manifest(rows: list[list[str]]) -> bytes:
    out = io.BytesIO()
    writer = open_manifest(out, "jsonl")
    for row in rows:
        writer.add({"key": "".join(row), "segment": len(row), "fps": 25.0, "status": "ok"})
    writer.close()
    return out.getvalue()


def table(random: Random) -> bytes:
    """The kind of a table, the end of a line, and its bytes."""
    kind = random.choice(KINDS)
    rows = [["a.mp4", str(i), str(i + 1.5), f"scene {i}"] for i in range(4)]
    for _ in range(random.choice((1, 2, 4))):
        row = random.choice(rows)
        if row:
            row[random.randrange(len(row))] = random.choice(CELLS)
        if random.random() < 0.2:
            row[:] = random.choice((row * 2, row[:2], []))
    header = (
        HEADER[:] if random.random() < 0.7 else random.choice((HEADER[::-1], ["path"] * 4, [], ["start_frame", "x"]))
    )
    if kind == "index":
        data = str(random.randrange(1 << 60)).encode()  # a seed: an index holds the folder and times of its shards
    elif kind == "jsonl":
        data = "\n".join(json.dumps(dict(zip(header, row))) for row in rows).encode()
    elif kind == "job":
        data = job(random)
    elif kind == "manifest":
        data = manifest(rows)
    else:
        data = "\n".join(("\t" if kind == "tsv" else ",").join(row) for row in [header, *rows]).encode()
    if kind != "index" and random.random() < 0.5:
        data = random.choice((flip_bytes, resize))(random, data)
    return kind.encode() + b"\n" + data


def use_table(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    name, _, data = data.partition(b"\n")
    kind = name.decode()
    with suppress(*documented), warnings.catch_warnings():
        if kind == "job":
            parse_description(data, "job.json")
        elif kind == "manifest":
            for _ in read_columns(data, random.choice(TABLES), random.sample(sorted(COLUMNS), 4)):
                pass
        elif kind == "index":
            use_index(mutated_index(Random(data)), documented)
        elif kind == "segments":
            with tempfile.NamedTemporaryFile(suffix=".csv") as file:
                file.write(data)
                file.flush()
                clipx.segments.from_csv(file.name, by=random.choice((None, "path")))
        else:
            found: Any = read_table_file(data, kind, f"table.{kind}")
            for row in range(min(found.rows, 20)):
                found.name_of(row)


def use_index(data: bytes, documented: tuple[type[Exception], ...]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".parquet", dir=Path(states.shards()[0]).parent) as file:
        file.write(data)
        file.flush()
        found = clipx.Index(file.name)
        for _ in islice(found.rows(), 20):
            pass
        for at in range(min(len(found), 6)):
            with suppress(*documented):
                found.status(at)
                found.sample(at)
        clips = clipx.ClipDataset(found, states.WINDOW)
        for at in range(min(len(clips), 4)):
            clips[at]
