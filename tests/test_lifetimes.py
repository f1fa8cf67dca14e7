"""Who keeps whose memory: clips apart from sources and from each other, slots kept while seen, no page faults."""

import copy
import ctypes
import gc
import itertools
import os
import pickle
import subprocess
import sys
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from clipx import ClipPool, PoolExhausted, windows

PAIR = np.dtype([("key", "<u4"), ("at", ">f4")])


def torch():
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def quick_collections():
    """Keep what exists already out of the collections that an exhausted pool makes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def fill(clip, seed):
    raw = np.random.default_rng(seed).integers(0, 256, clip.nbytes, dtype=np.uint8)
    clip.reshape(-1).view(np.uint8)[:] = raw


def shown(held):
    """The bytes that `held` shows, in a copy."""
    return np.asarray(held).tobytes()


def sliced_memoryview(clip):
    return memoryview(clip)[1:]


def fields(clip):
    """A field of a view of every eight bytes."""
    return clip.reshape(-1).view(PAIR)["at"]


def ctypes_array(clip):
    return (ctypes.c_uint8 * clip.nbytes).from_buffer(clip)


def out_of_band(clip):
    """The clip pickled and loaded without a copy of its bytes."""
    buffers = []
    data = pickle.dumps(clip, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=buffers)


HOLDERS = {
    "array": lambda clip: clip,
    "slice": lambda clip: clip[1:2],
    "slice of a slice": lambda clip: clip[1:][:, 2:3],
    "element": lambda clip: clip[1, 2, 3:4],
    "backwards": lambda clip: clip[::-1, ::-2],
    "reshaped": lambda clip: clip.reshape(-1),
    "transposed": lambda clip: clip.T,
    "other dtype": lambda clip: clip.view("float32"),
    "fields": fields,
    "real part": lambda clip: clip.view("complex64").real,
    "broadcast": lambda clip: np.broadcast_to(clip, (3, *clip.shape)),
    "sliding window": lambda clip: np.lib.stride_tricks.sliding_window_view(clip, 2, axis=0),
    "record array": lambda clip: clip.view(PAIR).view(np.recarray),
    "read-only": lambda clip: memoryview(clip).toreadonly(),
    "masked": lambda clip: np.ma.masked_array(clip).data,
    "flat": lambda clip: clip.flat,
    "lease": lambda clip: clip.base,
    "memoryview": memoryview,
    "data": lambda clip: clip.data,
    "memoryview slice": sliced_memoryview,
    "memoryview cast": lambda clip: memoryview(clip).cast("B").cast("I"),
    "frombuffer": lambda clip: np.frombuffer(memoryview(clip), np.int16),
    "frombuffer of the array": lambda clip: np.frombuffer(clip, np.int16, offset=8),
    "ctypes": ctypes_array,
    "pickle buffer": pickle.PickleBuffer,
    "pickled out of band": out_of_band,
    "np.from_dlpack": np.from_dlpack,
    "np.from_dlpack of a slice": lambda clip: np.from_dlpack(clip[1:]),
    "torch.from_numpy": lambda clip: torch().from_numpy(clip),
    "torch.from_numpy of a slice": lambda clip: torch().from_numpy(clip[1:, 2]),
    "torch.as_tensor": lambda clip: torch().as_tensor(clip),
    "torch.asarray": lambda clip: torch().asarray(clip),
    "torch.frombuffer": lambda clip: torch().frombuffer(clip, dtype=torch().uint8),
    "torch.frombuffer of a memoryview": lambda clip: torch().frombuffer(memoryview(clip), dtype=torch().int32),
    "torch.from_dlpack": lambda clip: torch().from_dlpack(clip),
    "torch view": lambda clip: torch().from_numpy(clip).permute(2, 0, 1)[1:, :2],
    "torch other dtype": lambda clip: torch().from_numpy(clip).view(torch().float32),
    "torch detached": lambda clip: torch().from_numpy(clip.view("float32")).requires_grad_().detach(),
    "torch and back": lambda clip: torch().from_numpy(clip)[1:].numpy(),
    "torch through DLPack and back": lambda clip: np.from_dlpack(torch().from_dlpack(clip)[1:]),
    "torch storage": lambda clip: torch().from_numpy(clip).untyped_storage(),
}

OF_ANY_DTYPE = ["array", "slice", "backwards", "reshaped", "broadcast", "flat", "memoryview", "memoryview slice"]


def check_held(pool, hold):
    """What `hold` makes of a clip keeps the slot and its bytes until it is gone, whatever happens to other slots."""
    clip = pool.acquire()
    fill(clip, 1)
    held = hold(clip)
    before = shown(held)
    assert len(before) > 0
    del clip
    for seed in range(2, 5):
        assert pool.stats().leased == 1
        others = [pool.acquire() for _ in range(pool.slots - 1)]
        for other in others:
            fill(other, seed)
        with pytest.raises(PoolExhausted):
            pool.acquire()
        assert shown(held) == before
        del other, others
    del held
    assert pool.stats().leased == 0  # at once, without a collection


@pytest.mark.parametrize("holder", HOLDERS)
def test_slot_is_kept(holder):
    check_held(ClipPool(4, (3, 5, 8)), HOLDERS[holder])


@pytest.mark.parametrize("holder", OF_ANY_DTYPE)
def test_slot_of_a_structured_clip_is_kept(holder):
    check_held(ClipPool(4, (3, 5), PAIR), HOLDERS[holder])


@pytest.mark.parametrize("holder", ["array", "slice", "backwards", "reshaped", "broadcast", "other dtype"])
def test_slot_of_a_bfloat16_clip_is_kept(holder):
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    check_held(ClipPool(4, (3, 8), dtype), HOLDERS[holder])


def test_tensor_of_a_bfloat16_clip():
    pool = ClipPool(4, (3, 8), pytest.importorskip("ml_dtypes").bfloat16)
    check_held(pool, lambda clip: torch().from_numpy(clip.view("int16")).view(torch().bfloat16).view(torch().int16))


@pytest.mark.parametrize("holder", ["array", "memoryview", "np.from_dlpack", "torch.from_numpy", "torch.frombuffer"])
def test_slot_over_backing_is_kept(holder):
    check_held(ClipPool(4, (3, 5, 8), backing=bytearray(4 * 128 + 64)), HOLDERS[holder])


@pytest.mark.parametrize("protocol", ["__dlpack__", "__array_struct__"])
def test_slot_is_kept_by_a_capsule(protocol):
    pool = ClipPool(2, 100)
    capsule = getattr(pool.acquire(), protocol)
    capsule = capsule() if callable(capsule) else capsule
    assert pool.stats().leased == 1
    del capsule
    assert pool.stats().leased == 0


def test_slot_is_kept_by_the_last_of_many():
    pool = ClipPool(2, (3, 5, 8))
    clip = pool.acquire()
    held = [HOLDERS[each](clip) for each in ("slice", "memoryview", "frombuffer", "lease", "np.from_dlpack")]
    del clip
    while held:
        assert pool.stats().leased == 1
        held.pop(0)
    assert pool.stats().leased == 0


@pytest.mark.parametrize(
    "duplicate", [lambda clip: pickle.loads(pickle.dumps(clip)), copy.copy, copy.deepcopy, np.array, np.ndarray.tobytes]
)
def test_copies_leave_the_slot(duplicate):
    pool = ClipPool(1, (3, 5, 8))
    clip = pool.acquire()
    fill(clip, 1)
    before = shown(clip)
    twin = duplicate(clip)
    del clip
    assert pool.stats().leased == 0
    fill(pool.acquire(), 2)
    assert (twin if isinstance(twin, bytes) else shown(twin)) == before


def test_released_memoryview_leaves_the_slot():
    pool = ClipPool(1, 100)
    view = memoryview(pool.acquire())
    assert pool.stats().leased == 1
    view.release()
    assert pool.stats().leased == 0


@pytest.mark.parametrize("holder", ["array", "slice", "memoryview", "np.from_dlpack", "torch.from_numpy"])
@pytest.mark.parametrize("backing", [None, bytearray])
def test_clips_outlive_the_pool(holder, backing):
    pool = ClipPool(4, (3, 5, 8), backing=backing and backing(4 * 128 + 64))
    gone = weakref.ref(pool)
    clip = pool.acquire()
    fill(clip, 1)
    before = shown(HOLDERS[holder](clip))
    held = HOLDERS[holder](clip)
    del pool, clip
    gc.collect()
    assert gone() is None
    for seed in range(2, 6):  # whoever gets the memory next
        others = ClipPool(4, (3, 5, 8))
        for other in [others.acquire() for _ in range(4)]:
            fill(other, seed)
    assert shown(held) == before
    if holder == "array":
        fill(held, 7)


# Sources


def source(dtype="uint8"):
    array = np.empty((40, 6, 4), dtype)
    fill(array, 1)
    return array


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    "plan",
    [
        {"length": 4},
        {"length": 8, "stride": 1},
        {"length": 5, "stride": 2, "dilation": 3},
        {"length": 16, "stride": 12, "policy": "repeat_last"},
        {"length": 16, "stride": 12, "policy": "constant"},
        {"length": 40},
        {"length": 8, "num_clips": 9},
    ],
    ids=str,
)
def test_clips_share_with_nothing(plan, pooled):
    frames = source()
    before = frames.copy()
    pool = ClipPool(50, (40, 6, 4)) if pooled else None
    clips = list(windows.iterate(frames, **plan, pool=pool))
    assert len(clips) > 0
    assert not any(np.shares_memory(clip, frames) for clip in clips)
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(clips, 2))
    want = [clip.copy() for clip in clips]
    for at, clip in enumerate(clips):
        fill(clip, at)
        np.testing.assert_array_equal(frames, before)
        for later, other in list(enumerate(clips))[at + 1 :]:
            np.testing.assert_array_equal(other, want[later])
    frames[:] = 0
    for at, clip in enumerate(clips):
        again = np.empty_like(clip)
        fill(again, at)
        np.testing.assert_array_equal(clip, again)


@pytest.mark.parametrize("num_threads", [1, 4])
def test_extract_owns_its_memory(num_threads):
    frames = source()
    clips = windows.extract(frames, 8, 2, num_threads=num_threads)
    assert clips.flags.owndata
    assert not np.shares_memory(clips, frames)
    want = clips.copy()
    frames[:] = 0
    np.testing.assert_array_equal(clips, want)


SOURCES = {
    "array": lambda frames: frames,
    "view": lambda frames: frames[3:].transpose(0, 2, 1)[::-1],
    "memoryview": memoryview,
    "tensor": lambda frames: torch().from_numpy(frames),
}


@pytest.mark.parametrize("ending", ["exhausted", "dropped"])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", SOURCES)
def test_clips_outlive_the_source(kind, pooled, ending):
    frames = source()
    source_gone = weakref.ref(frames)
    frames = SOURCES[kind](frames)
    pool = ClipPool(50, 1000) if pooled else None
    clips = windows.iterate(frames, 4, 3, pool=pool)
    del frames
    held = [next(clips) for _ in range(3)]
    assert source_gone() is not None
    want = [clip.copy() for clip in held]
    if ending == "exhausted":
        held += list(clips)
        assert next(clips, None) is None
    else:
        del clips
    assert source_gone() is None
    if pool is not None:
        assert pool.stats().leased == len(held)
    for clip, kept in zip(held, want):
        np.testing.assert_array_equal(clip, kept)


def test_extract_leaves_the_source():
    frames = source()
    want = frames[4:8].copy()
    source_gone = weakref.ref(frames)
    clips = windows.extract(frames, 4)
    del frames
    assert source_gone() is None
    np.testing.assert_array_equal(clips[1], want)


def test_iterator_keeps_no_clip():
    pool = ClipPool(12, (4, 6, 4))
    clips = windows.iterate(source(), 4, pool=pool)
    for clip in clips:
        assert clip.shape == (4, 6, 4)
        assert pool.stats().leased <= 2  # the one in hand, and the one before it while `next` runs
    del clip
    assert pool.stats() == (12, 12, 0, 2, 128, 0)


def test_exhaustion_while_iterating_loses_nothing():
    frames = source()
    pool = ClipPool(4, (4, 6, 4))
    clips = windows.iterate(frames, 4, pool=pool)
    held = [next(clips) for _ in range(4)]
    for _ in range(2):
        with pytest.raises(PoolExhausted):
            next(clips)
    assert pool.stats().leased == 4
    held.clear()
    for at in range(4, 10):
        np.testing.assert_array_equal(next(clips), frames[4 * at : 4 * at + 4])
    assert next(clips, None) is None
    assert pool.stats().free == 4


@pytest.mark.parametrize("pooled", [False, True])
def test_threads_share_an_iterator(pooled):
    count = 400
    frames = np.repeat(np.arange(count, dtype=np.uint16), 50_000).reshape(count, -1)  # long enough to free the GIL
    pool = ClipPool(count, 100_000) if pooled else None
    clips = windows.iterate(frames, 1, pool=pool)
    del frames

    def take(_):
        return [(int(clip.min()), int(clip.max())) for clip in clips]

    with ThreadPoolExecutor(4) as threads:
        found = sorted(itertools.chain.from_iterable(threads.map(take, range(4))))
    assert found == [(at, at) for at in range(count)]


# Steady state


def test_no_allocation_of_a_clip():
    frames = np.ones((200, 100, 100), np.uint8)
    clip_bytes = 8 * 100 * 100
    pool = ClipPool(10, (8, 100, 100))

    def extract_all():
        held = []
        for clip in windows.iterate(frames, 8, 2, pool=pool):
            held = [*held[-6:], clip]

    extract_all()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        extract_all()
        _, peak = tracemalloc.get_traced_memory()
        whole = np.empty(clip_bytes, np.uint8)
        with_a_clip, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert with_a_clip - before >= whole.nbytes  # NumPy's memory is traced
    assert peak - before < clip_bytes / 2


FAULTS = """
import random, resource, sys
import numpy as np
from clipx import ClipPool, windows

def copies(frames, length):
    for start in range(len(frames) - length + 1):
        yield frames[start : start + length].copy()

def faults(cut, clips, held):
    buffer, rng = [None] * held, random.Random(0)
    counted = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for clip in cut():
            buffer[rng.randrange(held)] = clip
        counted.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counted[1:]) / clips  # the first round touches all slots, and the system may move pages at any time

length, height, clips, held = map(int, sys.argv[1:])
frames = np.broadcast_to(np.ones((height, height, 3), np.uint8), (clips + length - 1, height, height, 3))
pool = ClipPool(held + length + 2, (length, height, height, 3))
print(faults(lambda: windows.iterate(frames, length, 1, pool=pool), clips, held))
del pool
print(faults(lambda: copies(frames, length), clips, held))
"""


# Of the larger clips, malloc gives every one back to the system, and a .copy() faults all its pages in again.
@pytest.mark.parametrize(("length", "height", "clips", "held"), [(16, 112, 500, 32), (2, 2400, 60, 4)])
def test_no_page_faults(length, height, clips, held):
    pytest.importorskip("resource")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", FAULTS, *map(str, (length, height, clips, held))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pooled, copied = map(float, done.stdout.split())
    size = length * height * height * 3
    print(f"{pooled} page faults a clip of {size} bytes with a pool, {copied} with .copy()")
    assert pooled < 0.2
