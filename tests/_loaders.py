"""Loaders of small shards, what their batches hold, and whether they have ended: for all tests of the Loader."""

import gc
import hashlib
import io
import os
import threading
import time

import numpy as np
import pytest
import webdataset

import clipx
from clipx import wds
from clipx.loader import budget

WINDOW = clipx.WindowSpec(4, 2)
CROP = clipx.ClipFormat(crop=(16, 16))
SHARDS, EACH = 3, 4


def npy(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def array(n, seed=0, shape=(8, 8, 3), dtype="uint8"):
    return np.random.default_rng((n, seed)).integers(0, 256, (n, *shape)).astype(dtype)


def write(path, samples):
    with webdataset.TarWriter(str(path)) as tar:
        for sample in samples:
            tar.write(sample)
    return str(path)


def array_sample(key, n, **fields):
    return {"__key__": key, "npy": npy(array(n, int.from_bytes(key.encode()[-4:], "big"))), **fields}


PACKAGES = os.path.dirname(clipx.__file__)

LEFT = set()  # threads that a failed test left, which later tests are not to blame for


def names():
    found = [thread for thread in threading.enumerate() if thread.name.startswith("clipx-")]
    return sorted(thread.name for thread in found if thread not in LEFT)


def wait_until(true, seconds=5):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def leased(loader):
    pools = loader._pools
    return 0 if pools is None else pools.clips.stats().leased + pools.batches.stats().leased


def check_ended(loader):
    """All threads are gone and all slots are back."""
    assert wait_until(lambda: not names()), names()
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
    """{key: digest} of all clips of samples, cut one by one."""
    found = {}
    for sample in samples:
        if field == "npy":
            cut = wds.clips(window, format)([{"__key__": sample["__key__"], "npy": sample["npy"]}])
            found |= {clip["__key__"]: digest(clip["npy"]) for clip in cut}
        else:
            for clip in clipx.video.clips(sample[field], window, format):
                found[f"{sample['__key__']}_{clip.index:06d}"] = digest(clip.data)
    return found


@pytest.fixture(autouse=True)
def small_decoders(monkeypatch):
    """Decoders count little, so that small budgets have many sources and their shuffles are small."""
    monkeypatch.setattr(budget, "DECODER_BYTES", 2_000)


@pytest.fixture(autouse=True)
def no_threads_left():
    """No thread outlives a test."""
    yield
    if names():
        gc.collect()
        wait_until(lambda: not names(), 2)
    found = names()
    LEFT.update(threading.enumerate())
    assert found == []


@pytest.fixture
def arrays(tmp_path):
    """Shards of arrays, and their samples."""
    samples = [
        array_sample(f"s{i}_{j}", 5 + 2 * (EACH * i + j), cls=10 * i + j, json={"n": [i, j]}, txt=f"text {i} {j}")
        for i in range(SHARDS)
        for j in range(EACH)
    ]
    urls = [write(tmp_path / f"arrays-{i}.tar", samples[EACH * i : EACH * (i + 1)]) for i in range(SHARDS)]
    return urls, samples


@pytest.fixture
def videos(tmp_path, make_video):
    """Shards of videos, and their samples."""
    samples = [
        {"__key__": f"v{i}_{j}", "mp4": make_video(n=8 + EACH * i + j).read_bytes(), "cls": i, "json": {"n": [i, j]}}
        for i in range(SHARDS)
        for j in range(EACH)
    ]
    urls = [write(tmp_path / f"videos-{i}.tar", samples[EACH * i : EACH * (i + 1)]) for i in range(SHARDS)]
    return urls, samples


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
