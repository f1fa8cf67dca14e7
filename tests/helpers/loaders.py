"""Loaders of small shards, what their batches contain, and whether they have ended."""

import gc
import hashlib
import os

import numpy as np

import clipx
from clipx import wds
from helpers.threads import clipx_threads, wait_until

WINDOW = clipx.WindowSpec(4, 2)
CROP = clipx.ClipFormat(crop=(16, 16))
SHARDS, EACH = 3, 4


PACKAGE = os.path.dirname(clipx.__file__)


def leased(loader):
    pools = loader._pools
    return 0 if pools is None else pools.clips.stats().leased + pools.batches.stats().leased


def check_ended(loader):
    """All threads are gone and all slots are back."""
    assert wait_until(lambda: not clipx_threads()), clipx_threads()
    if leased(loader):
        gc.collect()
    assert leased(loader) == 0, (loader._pools.clips.stats(), loader._pools.batches.stats())


def digest(clip):
    return hashlib.blake2b(clip.tobytes(), digest_size=8).hexdigest() + str(clip.shape) + str(clip.dtype)


def clips_of(batches, field="npy"):
    """(key, digest) of each clip, in order, of batches that are then let go of."""
    out = []
    for batch in batches:
        facts = batch["clip.json"]
        assert len(batch["__key__"]) == len(batch[field]) == len(facts)
        assert [int(key[-6:]) for key in batch["__key__"]] == [fact["index"] for fact in facts]
        out += [(key, digest(clip)) for key, clip in zip(batch["__key__"], list(batch[field]))]
        del batch
    return out


def everything(batches):
    """Every batch as a value, of all bytes and of all other fields, letting go of each."""
    out = []
    for batch in batches:
        fields = {
            name: (digest(value) if isinstance(value, np.ndarray) else repr(value)) for name, value in batch.items()
        }
        out.append(fields)
        del batch
    return out


def expected(samples, field="npy", window=WINDOW, format=None):
    """{key: digest} of all clips of samples, extracted one by one."""
    found = {}
    for sample in samples:
        if field == "npy":
            clips = wds.clips(window, format)([{"__key__": sample["__key__"], "npy": sample["npy"]}])
            found |= {clip["__key__"]: digest(clip["npy"]) for clip in clips}
        else:
            for clip in clipx.video.clips(sample[field], window, format):
                found[f"{sample['__key__']}_{clip.index:06d}"] = digest(clip.data)
    return found


def of_arrays(urls, **changes):
    return clipx.Loader(urls, WINDOW, **{"batch_size": 4, "memory": "100kB", "threads": 2, **changes})


def of_videos(urls, **changes):
    return clipx.Loader(urls, WINDOW, CROP, **{"batch_size": 4, "memory": "300kB", "threads": 2, **changes})


# What other processes run, which find this module by its name, and not the tests.


def run_stages(stages, samples, queue):
    for stage in stages:
        samples = stage(samples)
    queue.put([(batch["__key__"], batch["npy"].tobytes(), os.getpid()) for batch in samples])


def to_numbers(sample):
    return {"sum": int(sample["npy"].sum())}


class Broken(Exception):
    pass
