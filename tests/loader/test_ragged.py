"""A Loader of clips of different lengths: in lists, padded, and in buckets, within its bytes."""

import gc
import io
import itertools
import random

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import check_ended
from helpers.ragged import Parts, bucketed, padded
from helpers.shards import write_shard

import clipx
from clipx import memory, wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

SPEC = Parts(3, 8)


def write(folder, samples, each=6):
    return [write_shard(folder / f"{at:03d}.tar", samples[at : at + each]) for at in range(0, len(samples), each)]


@pytest.fixture
def ragged(tmp_path):
    """Shards of arrays that give clips of one to eight frames, and their samples."""
    rng = np.random.default_rng(1)
    lengths = [3, *rng.integers(3, 30, 23)]
    samples = [{"__key__": f"s{i:02d}", "npy": npy(array(n, i, (4, 5))), "cls": i} for i, n in enumerate(lengths)]
    return write(tmp_path, samples), samples


def loader_of(urls, ragged, spec=SPEC, format=None, **changes):
    arguments = {"batch_size": 4, "memory": "60kB", "threads": 2, "drop_last": False, **changes}
    return clipx.Loader(urls, spec, format, ragged=ragged, **arguments)


def clips_of(samples, spec=SPEC, format=None, **rest):
    return list(wds.clips(spec, format, **rest)(samples))


def check_batch(batch, clips, ragged, field="npy", axis=0):
    """A batch is made of clips, by key, as NumPy makes it."""
    found = [clips[key] for key in batch["__key__"]]
    lengths = [clip["clip.json"]["length"] for clip in found]
    assert [facts["length"] for facts in batch["clip.json"]] == lengths
    arrays = [clip[field] for clip in found]
    if ragged == "list":
        assert type(batch[field]) is list
        assert [(each.shape, each.tobytes()) for each in batch[field]] == [
            (each.shape, each.tobytes()) for each in arrays
        ]
        return
    wanted = padded(arrays, axis) if ragged == "pad" else np.stack(arrays)
    assert (batch[field].shape, batch[field].dtype) == (wanted.shape, wanted.dtype)
    assert batch[field].tobytes() == wanted.tobytes()
    assert batch[field].flags.c_contiguous
    if ragged == "pad":
        assert batch["lengths"].dtype == np.int64
        assert batch["lengths"].tolist() == lengths
    else:
        assert "lengths" not in batch


@pytest.mark.parametrize("memory", ["40kB", "60kB", "2MB"])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_in_order(ragged, kind, drop_last, memory):
    """Without a shuffle, batches are those of the clips in order, and of buckets by their rule."""
    urls, samples = ragged
    clips = clips_of(samples)
    loader = loader_of(urls, kind, shuffle=False, drop_last=drop_last, memory=memory)
    keys = []
    for batch in loader:
        check_batch(batch, {clip["__key__"]: clip for clip in clips}, kind)
        keys.append(batch["__key__"])
        del batch
    if kind == "bucket":
        most = loader._pools.budget.bucketed
        wanted, left = bucketed(clips, lambda clip: clip["npy"].shape, 4, most, not drop_last)
        assert [entry.key for entry in loader.errors] == [clip["__key__"] for clip in left]
        assert loader.errors.counts.get("left out", 0) == len(left)
        assert all("clips at the end of the epoch" in entry.message for entry in loader.errors)
        assert bool(left) == drop_last
    else:
        wanted = [clips[at : at + 4] for at in range(0, len(clips), 4)]
        if drop_last and len(clips) % 4:
            wanted.pop()
        assert not loader.errors
    assert keys == [[clip["__key__"] for clip in group] for group in wanted]
    check_ended(loader)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_shuffled(ragged, kind, threads):
    """Every clip comes once an epoch, in another order; the order is that of any number of threads."""
    urls, samples = ragged
    clips = {clip["__key__"]: clip for clip in clips_of(samples)}
    loader, epochs = loader_of(urls, kind, threads=threads), []
    for _ in range(2):
        keys = []
        for batch in loader:
            check_batch(batch, clips, kind)
            keys += batch["__key__"]
            del batch
        assert sorted(keys) == sorted(clips)
        epochs.append(keys)
    assert epochs[0] != epochs[1]
    other = loader_of(urls, kind, threads=3)
    for keys in epochs:
        assert [key for batch in other for key in batch["__key__"]] == keys
    check_ended(loader)


def test_the_default_is_an_error(ragged):
    urls, _ = ragged
    with pytest.raises(ValueError, match=r"npy.*sample.*ragged='pad', 'bucket' or 'list'"):
        list(loader_of(urls, "error", shuffle=False))
    with pytest.raises(ValueError, match="ragged is 'longest', but must be one of"):
        loader_of(urls, "longest")


def test_equal_batches_of_buckets_are_refused(ragged):
    with pytest.raises(ValueError, match="equal_batches is True, but ragged is 'bucket'"):
        loader_of(ragged[0], "bucket", equal_batches=True)


@pytest.mark.parametrize("kind", ["list", "pad"])
def test_equal_batches(ragged, kind):
    urls, samples = ragged
    loader = loader_of(urls, kind, equal_batches=True)
    assert len(loader) == -(-3 * len(samples) // 4)
    assert len(list(map(len, loader))) == len(loader)


@pytest.mark.parametrize("order", ["THWC", "CTHW", "TCHW"])
@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_videos_in_any_order(tmp_path, make_video, kind, order):
    samples = [{"__key__": f"v{n:02d}", "mp4": make_video(n=n).read_bytes()} for n in (5, 9, 20, 12, 6)]
    format = clipx.ClipFormat(crop=(8, 8), order=order, dtype="float32", mean="imagenet", std="imagenet")
    urls = write(tmp_path, samples, 2)
    clips = {clip["__key__"]: clip for clip in clips_of(samples, format=format)}
    seen = 0
    for batch in loader_of(urls, kind, format=format, memory="1MB"):
        check_batch(batch, clips, kind, "mp4", order.index("T"))
        seen += len(batch["__key__"])
        del batch
    assert seen == len(clips) == 15


def wav(seconds, rate=8000, channels=2):
    import soundfile

    file = io.BytesIO()
    samples = np.random.default_rng(seconds).integers(-9999, 9999, (seconds * rate, channels)).astype(np.int16)
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("order", ["CN", "NC"])
@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_sound(tmp_path, kind, order):
    pytest.importorskip("soundfile")
    samples = [{"__key__": f"s{n}", "wav": wav(n)} for n in (1, 2, 5, 3, 4)]
    spec, audio = Parts(4, 6000), clipx.AudioFormat(dtype="int16", order=order)
    clips = {clip["__key__"]: clip for clip in clips_of(samples, spec, audio=audio)}
    seen = 0
    for batch in loader_of(write(tmp_path, samples, 2), kind, spec, audio=audio, memory="2MB"):
        check_batch(batch, clips, kind, "wav", order.index("N"))
        seen += len(batch["__key__"])
        del batch
    assert seen == len(clips) == 20


@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_sound_beside_videos(tmp_path, movie, kind):
    data = movie("mp4", "aac").path.read_bytes()
    samples = [{"__key__": f"v{i}", "mp4": data} for i in range(2)]
    audio, format = clipx.AudioFormat(sample_rate=8000, mono=True), clipx.ClipFormat(crop=(8, 8))
    spec = clipx.WindowSpec(4, 11)

    def shorten(sample):
        """As sound of videos of other rates is."""
        index = sample["clip.json"]["index"]
        return {**sample, "audio": sample["audio"][:, : 1000 + 10 * (index % 3)].copy()}

    clips = {clip["__key__"]: shorten(clip) for clip in clips_of(samples, spec, format, audio=audio)}
    seen, rest = 0, {"audio": audio, "map": shorten, "memory": "3MB", "batch_size": 3}
    for batch in loader_of(write(tmp_path, samples), kind, spec, format, **rest):
        check_batch(batch, clips, kind, "mp4")
        sounds = [clips[key]["audio"] for key in batch["__key__"]]
        if kind == "list":
            assert [each.tobytes() for each in batch["audio"]] == [each.tobytes() for each in sounds]
        else:
            wanted = padded(sounds, 1) if kind == "pad" else np.stack(sounds)
            assert batch["audio"].tobytes() == wanted.tobytes()
        if kind == "pad":
            assert batch["audio.lengths"].tolist() == [each.shape[1] for each in sounds]
        seen += len(batch["__key__"])
        del batch
    assert seen == len(clips) > 8


@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_fields_in_step_and_map(tmp_path, kind):
    lengths = [4, 9, 21, 12, 30, 7, 5]
    samples = [
        {"__key__": f"s{i}", "a.npy": npy(array(n, i)), "b.npy": npy(array(n, i, (5,)))} for i, n in enumerate(lengths)
    ]
    clips = {clip["__key__"]: clip for clip in clips_of(samples, keys=["a.npy", "b.npy"])}

    def change(sample):
        sample["sums"] = sample["a.npy"].sum((1, 2, 3))
        sample["first"] = sample["a.npy"][:1]
        sample["text"] = sample["__key__"]
        return sample

    loader = loader_of(write(tmp_path, samples), kind, keys=["a.npy", "b.npy"], map=change, memory="300kB")
    seen = 0
    for batch in loader:
        check_batch(batch, clips, kind, "a.npy")
        check_batch(batch, clips, kind, "b.npy")
        sums = [clips[key]["a.npy"].sum((1, 2, 3)) for key in batch["__key__"]]
        if kind == "pad":
            np.testing.assert_array_equal(batch["sums"], padded(sums, 0))
        assert [each.tobytes() for each in batch["first"]] == [
            clips[key]["a.npy"][:1].tobytes() for key in batch["__key__"]
        ]
        assert batch["text"] == batch["__key__"]
        seen += len(batch["__key__"])
        del batch
    assert seen == len(clips)


def of_sizes(folder, sizes, n=9):
    samples = [{"__key__": f"s{i}", "npy": npy(array(n, i, size))} for i, size in enumerate(sizes)]
    return write(folder, samples), samples


def test_pictures_of_other_sizes_are_buckets_of_their_own(tmp_path):
    urls, samples = of_sizes(tmp_path, [(4, 6), (6, 4), (4, 6), (3, 4), (6, 4)])
    clips = {clip["__key__"]: clip for clip in clips_of(samples)}
    shapes = set()
    for batch in loader_of(urls, "bucket", batch_size=3, shuffle=False):
        check_batch(batch, clips, "bucket")
        shapes.add(batch["npy"].shape[1:])
        del batch
    assert shapes == {(3, 4, 6), (3, 6, 4), (3, 3, 4)}


@pytest.mark.parametrize("kind", ["pad", "error"])
def test_pictures_of_other_sizes_are_an_error(tmp_path, kind):
    urls, _ = of_sizes(tmp_path, [(4, 6), (6, 4)])
    with pytest.raises(ValueError, match=r"'s0_000000'.*\(3, 6, 4\).*'s1_000000'"):
        list(loader_of(urls, kind, shuffle=False))
    errors = []
    loader = loader_of(urls, kind, shuffle=False, handler=lambda exn: errors.append(exn) or True)
    assert [key for batch in loader for key in batch["__key__"]] == ["s0_000000", "s0_000001", "s0_000002"]
    assert len(errors) == 3


def test_a_larger_picture_than_the_first(tmp_path):
    urls, _ = of_sizes(tmp_path, [(4, 6), (12, 12)])
    with pytest.raises(
        ValueError,
        match=r"slots are made for pictures of one size.*\(3, 4, 6\).*'s0_000000'.*\(3, 12, 12\).*'s1'.*resize=",
    ):
        list(loader_of(urls, "bucket", shuffle=False))


@pytest.mark.parametrize("order", ["THWC", "CTHW"])
@pytest.mark.parametrize("kind", ["list", "bucket"])
def test_pictures_of_as_many_pixels_as_the_format_allows(tmp_path, kind, order):
    """Slots hold the largest, whichever comes first."""
    sizes = [(8, 8), (40, 31), (9, 33), (8, 9), (32, 32)]
    samples = [{"__key__": f"s{i}", "npy": npy(array(4 + i, i, (*size, 3)))} for i, size in enumerate(sizes)]
    format = clipx.ClipFormat(resize=("pixels", 64, 400, 4), order=order)
    rest = {"shuffle": False, "batch_size": 1, "memory": "1MB"}
    loader = loader_of(write(tmp_path, samples), kind, format=format, **rest)
    clips = {clip["__key__"]: clip["npy"] for clip in wds.clips(SPEC, format)(samples)}
    found = {}
    for batch in loader:
        found |= {key: np.array(clip) for key, clip in zip(batch["__key__"], batch["npy"])}
        del batch
    assert found.keys() == clips.keys()
    for key, clip in clips.items():
        np.testing.assert_array_equal(found[key], clip)
    assert 400 * 3 * SPEC.max_length <= loader._pools.clips.slot_bytes < 2 * 400 * 3 * SPEC.max_length
    assert len({clip.shape for clip in clips.values()}) > 3


@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_memory_of_a_batch(ragged, kind):
    """A batch is one slot; what is kept of it keeps no slot of the clips, and is not written again."""
    loader = loader_of(ragged[0], kind)
    kept = []
    for batch in loader:
        value = batch["npy"]
        kept.append((value[-1], value[-1].tobytes()))
        assert memory.leases(batch) == 1
        del batch, value
        if len(kept) == 2:
            gc.collect()
            assert loader._pools.batches.stats().leased <= 3
            for array_, before in kept:
                assert array_.tobytes() == before
            kept.clear()
            del array_
    assert loader._pools.clips.stats().leased == 0
    kept.clear()
    check_ended(loader)


@pytest.mark.parametrize("kind", ["list", "pad", "bucket"])
def test_a_consumer_that_keeps_every_batch(ragged, kind):
    iterator, kept = iter(loader_of(ragged[0], kind)), []
    kept += itertools.islice(iterator, 3)
    with pytest.raises(clipx.PoolExhausted, match="all 3 batches"):
        next(iterator)
    kept.clear()
    assert len(next(iterator)["npy"]) >= 1


@pytest.mark.parametrize("seed", range(6))
def test_tiny_memory_and_many_shapes(tmp_path, seed):
    """The least memory that is not refused is enough for any shapes: no deadlock, and no slot too few."""
    rng = random.Random(seed)
    lengths = [rng.randrange(1, 60) for _ in range(rng.randrange(10, 50))]
    spec = Parts(rng.randrange(1, 5), rng.randrange(1, 14))
    samples = [{"__key__": f"s{i:02d}", "npy": npy(array(n, i, (3, 2)))} for i, n in enumerate([9, *lengths])]
    urls, clips = write(tmp_path, samples), {clip["__key__"]: clip for clip in clips_of(samples, spec)}
    for kind in ("list", "pad", "bucket"):
        for shuffle in (False, True):
            changes = {"shuffle": shuffle, "batch_size": rng.randrange(1, 9), "batches": rng.randrange(2, 4)}
            with pytest.raises(ValueError, match="at least") as caught:
                list(loader_of(urls, kind, spec, memory=1000, **changes))
            least = int(str(caught.value).rpartition(" ")[2])
            caught.value.__traceback__ = None
            loader = loader_of(urls, kind, spec, memory=least, threads=rng.randrange(1, 5), **changes)
            keys = []
            for batch in loader:
                check_batch(batch, clips, kind)
                keys += batch["__key__"]
                del batch
            assert sorted(keys) == sorted(clips)
            pools = loader._pools
            assert pools.clips.nbytes + pools.batches.nbytes + pools.budget.encoded_bytes <= least
            assert pools.clips.stats().peak_leased <= pools.clips.slots
            check_ended(loader)
