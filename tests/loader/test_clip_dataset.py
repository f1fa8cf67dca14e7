"""The ClipDataset: its clips are those of the stage and the Loader, each in memory of its own."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.clip_datasets import RANDOM, of_index, of_stage, summary
from helpers.loaders import CROP, WINDOW
from helpers.shards import write_shard

import clipx
from clipx import wds

pytest.importorskip("pyarrow")

COUNTS = [(8 + i - 4) // 2 + 1 for i in range(6)]


@pytest.fixture(scope="module")
def files(tmp_path_factory, make_video):
    """Videos with labels, as files and as a shard, and an index of each."""
    folder = tmp_path_factory.mktemp("clip_dataset")
    rows, samples = [], []
    for i in range(6):
        data = make_video(n=8 + i).read_bytes()
        (folder / f"v{i}.mp4").write_bytes(data)
        rows.append({"path": f"v{i}.mp4", "label": i, "json": f'{{"text": ["caption {i}"]}}'})
        samples.append({"__key__": f"v{i}", "mp4": data, "cls": i, "json": {"text": [f"caption {i}"]}})
    table = clipx.Files(rows, root=folder)
    shard = write_shard(folder / "all.tar", samples)
    return {
        "files": clipx.Index.build(table, folder / "files.parquet"),
        "shard": clipx.Index.build([shard], folder / "shard.parquet"),
        "table": table,
        "urls": [shard],
        "folder": folder,
    }


@pytest.mark.parametrize("format", [CROP, RANDOM], ids=["fixed", "random"])
@pytest.mark.parametrize("spec", [WINDOW, clipx.WindowSpec(3, dilation=2, num_clips=2, sampling="random")], ids=repr)
def test_clips_are_those_of_the_stage(files, spec, format):
    dataset = of_index(files["files"], spec=spec, format=format, seed=3)
    for epoch in (0, 4):
        dataset.set_epoch(epoch)
        found = [dataset[i] for i in range(len(dataset))]
        assert all(sample["mp4"].flags.owndata and sample["label"] == int(sample["__key__"][1]) for sample in found)
        want = of_stage(files["table"], epoch, spec=spec, format=format, seed=3)
        same = ("mp4", "__key__", "clip.json", "label")
        assert [[summary(sample)[name] for name in same] for sample in found] == [
            [each[name] for name in same] for each in want.values()
        ]
        assert found[0]["json"] == {"text": ["caption 0"]}


def test_an_index_without_clips_is_warned_of(caplog, tmp_path):
    index = clipx.Index.build(clipx.Files([{"path": "none.mp4"}], root=tmp_path), tmp_path / "index.parquet")
    dataset = of_index(index)
    assert len(dataset) == 0
    assert "no sample of 1 gives a clip" in caplog.text
    assert dataset.errors.counts == {"error": 1}


def test_clips_are_those_of_a_loader(files):
    arguments = {"seed": 5, "epoch": 2}
    dataset = of_index(files["shard"], format=RANDOM, **arguments)
    with clipx.Loader(files["urls"], WINDOW, RANDOM, batch_size=1, memory="150MB", **arguments) as loader:
        found = {}
        for batch in loader:
            found[batch["__key__"][0]] = batch["mp4"][0].tobytes(), batch["clip.json"][0], int(batch["cls"][0])
            del batch
    assert len(found) == len(dataset) == sum(COUNTS)
    for i in range(len(dataset)):
        sample = dataset[i]
        assert found[sample["__key__"]] == (sample["mp4"].tobytes(), sample["clip.json"], sample["cls"])


def test_indices(files):
    dataset = of_index(files["files"])
    n = len(dataset)
    assert n == sum(COUNTS)
    assert summary(dataset[-1]) == summary(dataset[n - 1])
    assert summary(dataset[np.int64(3)]) == summary(dataset[3])
    for bad in (n, -n - 1):
        with pytest.raises(IndexError, match=f"index is {bad}, but the dataset has {n} clips"):
            dataset[bad]
        with pytest.raises(IndexError):
            dataset.__getitems__([0, bad])
    for bad in (slice(0, 2), "a", 1.0):
        with pytest.raises(TypeError):
            dataset[bad]
    assert sum(1 for _ in dataset) == n  # as sequences iterate


def test_several_at_once_share_nothing(files):
    dataset = of_index(files["files"], format=RANDOM)
    wanted = [9, 2, 2, 0, -1, 10, 1, 9]
    found = dataset.__getitems__(wanted)
    assert [summary(each) for each in found] == [summary(dataset[i]) for i in wanted]
    for one, other in itertools.combinations(found, 2):
        assert not np.shares_memory(one["mp4"], other["mp4"])
        assert one["json"] is not other["json"]
        assert one["json"]["text"] is not other["json"]["text"]
        assert one["clip.json"] is not other["clip.json"]
    assert dataset.__getitems__([]) == []


def test_a_batch_opens_each_source_once(files, monkeypatch):
    opened = []
    sample = clipx.Index.sample
    monkeypatch.setattr(clipx.Index, "sample", lambda self, i: opened.append(i) or sample(self, i))
    dataset = of_index(files["files"])
    assert len(dataset)
    opened.clear()
    dataset.__getitems__(range(len(dataset)))
    assert opened == list(range(6))


def test_segments(files):
    spans = {"segments": [(0, 0.16), (0.08, 0.28)]}
    dataset = of_index(files["files"], spec=clipx.WindowSpec(2), format=RANDOM, **spans)
    want = of_stage(files["table"], spec=clipx.WindowSpec(2), format=RANDOM, **spans)
    found = dataset.__getitems__(reversed(range(len(dataset))))[::-1]
    assert [(each["__key__"], summary(each)["mp4"]) for each in found] == [
        (key, each["mp4"]) for key, each in want.items()
    ]


def test_random_counts_are_those_of_the_epoch(files):
    spec = clipx.WindowSpec(4, stride=3, offset="random")
    dataset = of_index(files["files"], spec=spec)
    lengths = set()
    for epoch in range(5):
        dataset.set_epoch(epoch)
        want = of_stage(files["table"], epoch, spec=spec)
        assert [dataset[i]["__key__"] for i in range(len(dataset))] == list(want)
        lengths.add(len(dataset))
    assert len(lengths) > 1


def test_map_and_keys(files):
    dataset = of_index(files["files"], keys={"clip": "mp4"}, map=lambda sample: {"x": sample["clip"].mean()})
    assert dataset[0].keys() == {"x"}
    with pytest.raises(TypeError, match="map gave 1"):
        of_index(files["files"], map=lambda sample: 1)[0]


def test_sound_and_pictures(movie, tmp_path):
    index = clipx.Index.build([str(movie().path)], tmp_path / "sound.parquet")
    dataset = of_index(index, format=None, audio=clipx.AudioFormat())
    clips = list(clipx.video.clips(movie().path, WINDOW, audio=clipx.AudioFormat()))
    assert len(dataset) == len(clips)
    for i in (0, 7, len(clips) - 1):
        sample = dataset[i]
        assert np.array_equal(sample["mp4"], clips[i].data)
        assert np.array_equal(sample["audio"], clips[i].audio)


def test_arrays(tmp_path):
    samples = [{"__key__": f"a{i}", "npy": npy(array(9 + i, i)), "cls": i} for i in range(3)]
    shard = write_shard(tmp_path / "arrays.tar", samples)
    dataset = of_index(clipx.Index.build([shard], tmp_path / "arrays.parquet"), format=None)
    want = list(wds.clips(WINDOW)(samples))
    assert len(dataset) == len(want)
    for i, sample in enumerate(dataset.__getitems__(range(len(want)))):
        assert sample["__key__"] == want[i]["__key__"]
        assert np.array_equal(sample["npy"], want[i]["npy"])


@pytest.fixture
def broken(tmp_path, make_video):
    """Three videos, the second damaged at its end: its header is whole. And a file that is none."""
    data = make_video(n=40, container="matroska", suffix=".mkv", g="10", bf="0").read_bytes()
    for name, content in (("a", data), ("b", data[:-700] + bytes(600) + data[-100:]), ("c", data)):
        (tmp_path / f"{name}.mkv").write_bytes(content)
    (tmp_path / "d.mkv").write_bytes(b"nothing" * 100)
    return tmp_path


def test_broken_samples_have_no_clips(broken):
    dataset = of_index(clipx.Index.build(clipx.Files(broken / "*.mkv"), broken / "index.parquet"))
    assert len(dataset) >= 19 * 2
    assert {entry.key for entry in dataset.errors} >= {str(broken / "d")}
    assert all(entry.clips in (0, None) for entry in dataset.errors)


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
def test_damage(broken, damage):
    """A clip is given where damage does not show in it; those that the stage gives are among them, bit for bit."""
    options = clipx.VideoOptions(damage=damage)
    dataset = of_index(clipx.Index.build([broken / "b.mkv"], broken / "index.parquet"), options=options)
    want = {}
    for clip in wds.clips(WINDOW, CROP, options=options, handler=wds.log_and_continue)(clipx.Files([broken / "b.mkv"])):
        want[clip["clip.json"]["index"]] = clip["mkv"].tobytes()
    given, refused = {}, []
    for i in range(len(dataset)):
        try:
            given[i] = dataset[i]["mkv"].tobytes()
        except ValueError as exn:
            refused.append(str(exn))
    assert all("b.mkv" in text for text in refused)
    assert want.items() <= given.items()
    assert 0 < len(want) < 19 or damage == "keep"
    assert len(given) == len(want) or damage == "stop"


def test_files_that_have_gone(files, tmp_path, make_video):
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(make_video(n=9).read_bytes())
    index = clipx.Index.build(clipx.Files(tmp_path / "*.mp4"), tmp_path / "index.parquet")
    dataset, forgiving = of_index(index), of_index(index, handler=wds.log_and_continue)
    n = len(dataset)
    assert len(forgiving) == n
    (tmp_path / "b.mp4").unlink()
    b = n // 3
    with pytest.raises(OSError, match=r"b\.mp4") as caught:
        dataset[b]
    assert caught.value.key.endswith("b")
    with pytest.raises(OSError):
        dataset.__getitems__([0, b])
    dataset = pickle.loads(pickle.dumps(forgiving))
    assert [each["__key__"][-8] for each in dataset.__getitems__([n - 1, b, 0])] == ["c", "a"]
    assert len(dataset.errors) == 1
    with pytest.raises(ValueError, match="none of the 2 clips of a batch can be read"):
        dataset.__getitems__([b, b + 1])


def test_pickled_and_on_threads(files):
    dataset = of_index(files["files"], format=RANDOM)
    want = [summary(dataset[i]) for i in range(len(dataset))]
    dataset.set_epoch(7)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.epoch == 7
    again.set_epoch(0)
    with ThreadPoolExecutor(4) as pool:
        assert [summary(each) for each in pool.map(again.__getitem__, range(len(again)))] == want
    assert dataset.epoch == 7


def test_arguments(files):
    with pytest.raises(TypeError, match=r"clipx.Index.build\(...\) makes one"):
        clipx.ClipDataset(files["table"], WINDOW)
    with pytest.raises(TypeError, match=r"index is 'all\.tar'"):
        clipx.ClipDataset("all.tar", WINDOW)
    with pytest.raises(TypeError, match="map is 3"):
        of_index(files["files"], map=3)
    with pytest.raises(TypeError, match="handler is None"):
        of_index(files["files"], handler=None)
    with pytest.raises(ValueError, match="epoch is -1"):
        of_index(files["files"]).set_epoch(-1)
    assert len(clipx.ClipDataset(files["folder"] / "files.parquet", WINDOW, CROP)) == sum(COUNTS)
    assert "ClipDataset of <Index: 6 samples" in repr(of_index(files["files"]))
