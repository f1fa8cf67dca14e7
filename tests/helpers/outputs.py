"""Outputs of jobs: parts with clips of arrays, written by this process and by others."""

import os
import signal
import sys

import numpy as np

from clipx.datasets.fields import Field
from clipx.jobs.extraction.encoding import EncodedClip
from clipx.jobs.extraction.failures import Failure
from clipx.jobs.extraction.job import Job
from clipx.jobs.extraction.npy import array_file
from clipx.jobs.extraction.part import PartWriter
from clipx.jobs.extraction.samples import OtherFields, row_of
from clipx.jobs.extraction.stores import open_store
from clipx.plan import WindowSpec

FACTS = {
    "options": {"spec": {"length": 4}, "seed": 0},
    "inputs": [{"name": "a.tar"}, {"name": "b.tar"}],
    "versions": {},
}
SPEC = WindowSpec(4)
FIELDS = {Field("npy"): Field("npy")}


def clip_sample(source, index, **others):
    """The sample of a clip of 4 frames, as a stage gives it; its numbers are drawn from its key."""
    rng = np.random.default_rng([*source.encode("utf-8", "surrogatepass"), index])
    facts = {
        "index": index,
        "start": 4 * index,
        "valid": 4,
        "length": 4,
        "frame_indices": [*range(4 * index, 4 * index + 4)],
    }
    facts |= {"pts_seconds": [(4 * index + i) / 8 for i in range(4)], "duration_seconds": [0.125] * 4}
    facts |= {"key": source, "url": "a.tar"}
    frames = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    return {"npy": frames, "__key__": f"{source}_{index:06d}", "clip.json": facts, **others}


def add_clips(writer, source, indices, **others):
    """Adds clips of a source to a part."""
    other = OtherFields(FIELDS)
    for index in indices:
        clip = clip_sample(source, index, **others)
        encoded = EncodedClip({"npy": array_file(clip["npy"])}, {"codec": "npy", "width": 8, "height": 6})
        writer.add(clip["__key__"], encoded.fields, other.of(clip, encoded), row_of(clip, encoded, SPEC))


def failure(key, kind="error", **facts):
    """A failure of a sample of "a.tar"."""
    values = {"source": "a.tar", "field": "mp4", "segment": None, "reason": "it is broken", **facts}
    return Failure(key, kind=kind, **values)


def write_part(store, part=0, *, clips=6, retry=None, table="parquet", shard_bytes=9000):
    """Writes a part with a source of some clips and one that failed; returns its counts."""
    with PartWriter(store, part, shard_bytes=shard_bytes, table=table, retry=retry) as writer:
        add_clips(writer, f"part{part}.video", range(clips), txt=b"a caption")
        writer.fail(failure(f"part{part}.broken"))
        return writer.commit()


def contents(store):
    """The bytes of all files but the summary, by name."""
    return {name: store.read(name) for name in store.entries() if name != "summary.json"}


def write_job(out):
    """Writes what a job lacks."""
    store = open_store(out)
    job = Job.open(store, FACTS)
    for part in sorted(set(range(job.parts)) - job.done()):
        write_part(store, part, table=job.table)


def die_staging(out):
    """Begins to write a part, and is killed."""
    writer = PartWriter(open_store(out), 0, shard_bytes=9000, table="parquet")
    add_clips(writer, "video", range(6))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"write_job": write_job, "die_staging": die_staging}[sys.argv[1]](sys.argv[2])
