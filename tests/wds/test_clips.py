"""The WebDataset stage, on lists of samples and in pipelines."""

import gc
import io
import logging
import pickle
import weakref

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy, npz

import clipx
from clipx import wds, windows

SPEC = clipx.WindowSpec(4, 2)


def array(n=11, seed=0, shape=(5, 3)):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def pickled_npy():
    file = io.BytesIO()
    np.save(file, np.array([{}, {}]), allow_pickle=True)
    return file.getvalue()


@pytest.fixture
def shard(tmp_path, make_video):
    path = tmp_path / "shard.tar"
    with webdataset.TarWriter(str(path)) as tar:
        for i in range(3):
            video = make_video(n=20 + i).read_bytes()
            tar.write({"__key__": f"v{i}", "mp4": video, "cls": i, "json": {"number": i}})
    return str(path)


def check_clips(samples, shard_numbers=range(3)):
    found = {}
    for sample in samples:
        key, _, index = sample["__key__"].rpartition("_")
        number = int(key[1:])
        facts = sample["clip.json"]
        assert (int(index), int(facts["start"])) == (facts["index"], 2 * facts["index"])
        assert list(map(int, facts["frame_indices"])) == list(range(facts["start"], facts["start"] + 4))
        assert sample["json"] == {"number": number}
        assert int(sample["cls"]) == number
        assert sample["mp4"].shape == (4, 48, 64, 3)
        found.setdefault(number, []).append(facts["index"])
    assert {number: sorted(indices) for number, indices in found.items()} == {
        number: list(range(9 + number // 2)) for number in shard_numbers
    }


def test_clips_of_an_array():
    x = array()
    sample = {"__key__": "a", "npy": x, "cls": 3, "__url__": "there"}
    out = list(wds.clips(SPEC)([sample]))
    assert [each["__key__"] for each in out] == [f"a_{i:06d}" for i in range(4)]
    same = {"valid": 4, "length": 4, "key": "a", "url": "there"}
    assert [each["clip.json"] for each in out] == [{"index": i, "start": 2 * i, **same} for i in range(4)]
    assert all((each["cls"], each["__url__"]) == (3, "there") for each in out)
    np.testing.assert_array_equal([each["npy"] for each in out], windows.extract(x, 4, 2))
    assert sample == {"__key__": "a", "npy": x, "cls": 3, "__url__": "there"}


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "constant"])
def test_valid_counts_real_frames(policy):
    spec = clipx.WindowSpec(4, 3, 2, policy=policy)
    for n in range(1, 20):
        out = list(wds.clips(spec)([{"__key__": "a", "npy": array(n)}]))
        assert [each["clip.json"]["valid"] for each in out] == [4 - row.sum() for row in spec.padding(n)]


def test_npy_files_of_every_layout():
    for x in (array(), np.asfortranarray(array()), array().astype(">f4"), np.zeros((9, 0)), np.zeros(9, "i4,f8")):
        out = list(wds.clips(SPEC)([{"__key__": "a", "npy": npy(x)}]))
        np.testing.assert_array_equal([each["npy"] for each in out], windows.extract(x, 4, 2))


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("kind", ["npy", "npz", "clip.npy", "pth"])
def test_array_fields(kind, decoded):
    x = array()
    if kind == "pth":
        torch = pytest.importorskip("torch")
        value = torch.from_numpy(x)
    elif kind == "npz":
        value = {"frames": x} if decoded else npz(frames=x)
    else:
        value = x if decoded else npy(x)
    out = list(wds.clips(SPEC)([{"__key__": "a", kind: value, "txt": "words", "jpg": b"picture"}]))
    got = [each[kind]["frames"] if kind == "npz" else each[kind] for each in out]
    np.testing.assert_array_equal(got, windows.extract(x, 4, 2))


def test_members_of_an_npz_field():
    x, times = array(), np.arange(11)
    for value in ({"frames": x, "times": times}, npz(frames=x, times=times)):
        sample = {"__key__": "a", "npz": value}
        with pytest.raises(ValueError, match=r"2 fields \(npz:frames, npz:times\) of npz to take clips from"):
            list(wds.clips(SPEC)([sample]))
        out = list(wds.clips(SPEC, keys="npz:frames")([sample]))
        np.testing.assert_array_equal([each["npz"]["frames"] for each in out], windows.extract(x, 4, 2))
        np.testing.assert_array_equal(out[0]["npz"]["times"], times)
        both = list(wds.clips(SPEC, keys=["npz:frames", "npz:times"])([sample]))
        np.testing.assert_array_equal([each["npz"]["times"] for each in both], windows.extract(times, 4, 2))


def test_several_fields_share_one_plan(make_video):
    spec = clipx.WindowSpec(4, num_clips=3, sampling="random")
    video = make_video(n=20)
    sample = {"__key__": "a", "left.mp4": video.read_bytes(), "right.mp4": video.read_bytes()}
    out = list(wds.clips(spec)([sample]))
    assert len(out) == 3
    for each in out:
        np.testing.assert_array_equal(each["left.mp4"], each["right.mp4"])
        assert not np.shares_memory(each["left.mp4"], each["right.mp4"])
    mixed = {"__key__": "a", "mp4": video.read_bytes(), "npy": np.arange(20)}
    out = list(wds.clips(SPEC, keys=["mp4", "npy"])([mixed]))
    assert [each["npy"].tolist() for each in out] == [each["clip.json"]["frame_indices"] for each in out]


@pytest.mark.parametrize("other", [20, 21, 40, 5])
def test_fields_of_unequal_length_are_an_error(make_video, other):
    sample = {"__key__": "a", "l.mp4": make_video(n=22).read_bytes(), "r.mp4": make_video(n=other).read_bytes()}
    with pytest.raises(ValueError, match="same number of frames"):
        list(wds.clips(SPEC)([sample]))
    with pytest.raises(ValueError, match="same number of frames"):
        list(wds.clips(SPEC, keys=["a.npy", "b.npy"])([{"a.npy": array(22), "b.npy": array(other)}]))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"cls": 3, "json": {}}, "no field of cls, json to take clips from"),
        ({}, "no field of none to take clips from"),
        ({"a.npy": array(), "b.npy": array()}, r"2 fields \(a\.npy, b\.npy\)"),
        ({"npy": b"not an array"}, "field 'npy' is not a readable npy file"),
        ({"npy": npy(array())[:200]}, "field 'npy' is not a readable npy file"),
        ({"npz": npz(a=array())[:200]}, "field 'npz' is not a readable npz file"),
        ({"npz": b"PK"}, "field 'npz' is not a readable npz file"),
        ({"npy": pickled_npy()}, "Python objects"),
        ({"mp4": b"not a video" * 20}, "field 'mp4' of sample 'k' cannot be opened"),
        ({"mp4": b""}, "field 'mp4' of sample 'k' is empty"),
        ({"npy": np.array([{}, {}])}, "Python objects"),
    ],
)
def test_broken_samples_go_to_the_handler(sample, message, caplog):
    good = {"__key__": "good", "npy": array()}
    samples = [{"__key__": "k", **sample}, good]
    with pytest.raises((ValueError, TypeError), match=message):
        list(wds.clips(SPEC)(samples))
    with caplog.at_level(logging.WARNING, "clipx"):
        assert len(list(wds.clips(SPEC, handler=wds.log_and_continue)(samples))) == 4
    assert len(caplog.records) == 1
    assert not list(wds.clips(SPEC, handler=webdataset.ignore_and_stop)(samples))
    assert len(list(wds.clips(SPEC, handler=webdataset.ignore_and_stop)(samples[::-1]))) == 4


def test_keys_that_are_not_there():
    with pytest.raises(ValueError, match="there is no field 'mkv' among npy"):
        list(wds.clips(SPEC, keys="mkv")([{"__key__": "a", "npy": array()}]))
    with pytest.raises(ValueError, match="there is no member 'b' in field 'npz'"):
        list(wds.clips(SPEC, keys="npz:b")([{"__key__": "a", "npz": npz(a=array())}]))


def test_arguments():
    with pytest.raises(TypeError, match="spec is 16"):
        wds.clips(16)
    with pytest.raises(TypeError, match=r"pool is 1\.5"):
        wds.clips(SPEC, pool=1.5)
    with pytest.raises(ValueError, match="pool is '2 sheep'"):
        wds.clips(SPEC, pool="2 sheep")
    with pytest.raises(ValueError, match="keys is"):
        wds.clips(SPEC, keys=[])
    with pytest.raises(TypeError, match="handler is None"):
        wds.clips(SPEC, handler=None)
    with pytest.raises(ValueError, match="seed is -1"):
        wds.clips(SPEC, seed=-1)
    with pytest.raises(ValueError, match="epoch is -1"):
        wds.clips(SPEC, epoch=-1)


@pytest.mark.parametrize("size", [1, 60])
def test_pools_faults_are_no_samples_fault(size):
    samples = [{"__key__": "a", "npy": array()}, {"__key__": "b", "npy": array(shape=(9, 9))}]
    small = wds.clips(SPEC, pool=clipx.ClipPool(5, (4, 5, 3)), handler=wds.log_and_continue)
    with pytest.raises(ValueError, match=r"make the pool with shape=\(4, 9, 9\)"):
        list(small(samples))
    held = []
    with pytest.raises(clipx.PoolExhausted, match="raise slots to at least 4"):
        held.extend(wds.clips(SPEC, pool=clipx.ClipPool(3, (4, 5, 3)), handler=wds.log_and_continue)(samples[:1]))


def test_random_starts_come_from_seed_epoch_and_key():
    spec = clipx.WindowSpec(4, num_clips=4, sampling="random")
    samples = [{"__key__": key, "npy": array(200)} for key in "ab"]

    def starts(stage):
        return [each["clip.json"]["start"] for each in stage(samples)]

    counting = wds.clips(spec, seed=1)
    first, second = starts(counting), starts(counting)
    assert first != second
    assert first == starts(wds.clips(spec, seed=1, epoch=0))
    assert second == starts(wds.clips(spec, seed=1, epoch=lambda: 1))
    assert first != starts(wds.clips(spec, seed=2))
    assert first[:4] != first[4:]
    assert starts(wds.clips(spec, seed=1, epoch=0)) == first


def test_the_source_goes_before_the_next_is_pulled():
    alive = []

    def source():
        for i in range(3):
            gc.collect()
            assert not any(ref() is not None for ref in alive)
            sample = {"__key__": str(i), "npy": array(seed=i)}
            alive.append(weakref.ref(sample["npy"]))
            yield sample
            del sample

    assert len(list(wds.clips(SPEC)(source()))) == 12
    assert len(alive) == 3


@pytest.mark.parametrize("pool", [None, "1MB", clipx.ClipPool(3, (4, 48, 64, 3))], ids=["heap", "bytes", "pool"])
def test_pipelines(shard, pool):
    stage = wds.clips(SPEC, pool=pool)
    before = webdataset.WebDataset(shard, shardshuffle=False).compose(stage).decode(partial=True)
    after = webdataset.WebDataset(shard, shardshuffle=False).decode().compose(stage)
    steps = webdataset.SimpleShardList(shard), webdataset.tarfile_to_samples(), webdataset.decode(), stage
    for dataset in (before, after, webdataset.DataPipeline(*steps)):
        check_clips(dataset)


@pytest.mark.parametrize("workers", [0, 2])
def test_web_loader(shard, workers):
    pytest.importorskip("torch")
    stage = wds.clips(SPEC, pool=clipx.ClipPool(8, (4, 48, 64, 3)))
    dataset = webdataset.WebDataset([shard, shard], shardshuffle=False, workersplitter=webdataset.split_by_worker)
    loader = webdataset.WebLoader(dataset.compose(stage).decode(partial=True), num_workers=workers, batch_size=None)
    keys = [sample["__key__"] for sample in loader]
    assert len(keys) == 2 * (9 + 9 + 10)


def test_a_stage_can_be_pickled():
    stage = pickle.loads(pickle.dumps(wds.clips(SPEC, pool="1MB", handler=wds.log_and_continue)))
    assert len(list(stage([{"__key__": "a", "npy": array()}]))) == 4


def test_views_copies_extract_iterate_and_stage_give_the_same_bytes():
    x = array(50)
    at = range(0, 50 - 4 + 1, 2)
    kinds = {
        "views": [x[s : s + 4] for s in at],
        "copies": [x[s : s + 4].copy() for s in at],
        "extract": windows.extract(x, 4, 2),
        "iterate": list(windows.iterate(x, 4, 2)),
        "pool": list(windows.iterate(x, 4, 2, pool=clipx.ClipPool(30, (4, 5, 3)))),
        "stage": [each["npy"] for each in wds.clips(SPEC)([{"__key__": "a", "npy": x}])],
    }
    assert len({tuple(clip.tobytes() for clip in kind) for kind in kinds.values()}) == 1


def test_shuffled_clips_retain_what_they_show():
    window = clipx.WindowSpec(16, 64)
    samples = [{"__key__": str(i), "npy": array(300, i, (28, 28, 3))} for i in range(20)]
    pool = clipx.ClipPool(60, (16, 28, 28, 3))
    buffer = []
    for sample in wds.clips(window, pool=pool)(samples):
        buffer.append(sample["npy"])
        if len(buffer) > 50:
            del buffer[np.random.default_rng(len(buffer)).integers(50)]
    assert len(buffer) == 50
    assert clipx.memory.retained_bytes(buffer) == clipx.memory.payload_bytes(buffer) == 50 * 16 * 28 * 28 * 3
