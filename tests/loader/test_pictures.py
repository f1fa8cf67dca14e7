"""Numbered pictures as a source of frames for the Loader, the ClipDataset and the Index."""

import json

import numpy as np
import pytest

pytest.importorskip("PIL")
from helpers.clip_datasets import clip_of
from helpers.loaders import clips_of, digest, everything
from helpers.numbered import clip_json, decoded, frames_of, numbered, picture_sample, random_pictures
from helpers.shards import write_shard
from helpers.states import check_every

import clipx
from clipx.loader.needs import needs_of

SPEC = clipx.WindowSpec(4, 2)
FORMAT = clipx.ClipFormat(crop=("random", 12), flip=0.5, dtype="float32")
MEMORY = {"batch_size": 3, "memory": "150MB", "threads": 2, "drop_last": False}


def samples(count=6):
    for i in range(count):
        times = [5 + k / 25 for k in range(9 + i)]
        shots = json.dumps({"shots": [[times[1], times[6]], [times[4], 99]]}).encode()
        yield picture_sample(f"s{i}", 9 + i, seed=i, json=shots, **{"clip.json": clip_json(times, 25.0)})


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    found = list(samples())
    return [write_shard(folder / f"{i}.tar", found[i::2]) for i in range(2)]


@pytest.fixture(scope="module")
def index(shards, tmp_path_factory):
    pytest.importorskip("pyarrow")
    return clipx.Index.build(shards, tmp_path_factory.mktemp("index") / "index.parquet")


def of_stage(spec=SPEC, format=None, **changes):
    stage = clipx.wds.clips(spec, format, **changes)
    return {clip["__key__"]: digest(clip["jpg"]) for clip in stage(samples())}


@pytest.mark.parametrize("changes", [{}, {"segments": "json:shots"}], ids=["whole", "segments"])
def test_clips_are_those_of_pillow(shards, changes):
    with clipx.Loader(shards, SPEC, **MEMORY, **changes) as loader:
        found = {key: digest(clip) for batch in loader for key, clip in zip(batch["__key__"], batch["jpg"])}
    wanted = {}
    for sample in samples():
        pictures = frames_of(sample)
        parts = [(None, pictures)] if not changes else [(0, pictures[1:6]), (1, pictures[4:])]
        for number, part in parts:
            of = sample["__key__"] if number is None else f"{sample['__key__']}_{number:04}"
            clips = clipx.windows.extract(part, SPEC)
            wanted |= {f"{of}_{i:06}": digest(clip) for i, clip in enumerate(clips)}
    assert found == wanted


def test_random_views_and_random_access_are_those_of_the_stage(shards, index):
    wanted = of_stage(format=FORMAT, seed=2, epoch=0)
    with clipx.Loader(shards, SPEC, FORMAT, seed=2, **MEMORY) as loader:
        assert dict(clips_of(loader, "jpg")) == wanted
    with clipx.Loader(index, SPEC, FORMAT, seed=2, **MEMORY) as loader:
        assert len(loader) == -(-len(wanted) // 3)
        assert dict(clips_of(loader, "jpg")) == wanted
    dataset = clipx.ClipDataset(index, SPEC, FORMAT, seed=2)
    assert len(dataset) == len(wanted)
    assert {clip["__key__"]: digest(clip["jpg"]) for clip in dataset} == wanted
    numbers = [7, 0, 8, 7]
    batch = dataset.__getitems__(numbers)
    assert [clip_of(each) for each in batch] == [clip_of(dataset[i]) for i in numbers]


def test_random_access_decodes_only_what_a_clip_holds(index, monkeypatch):
    dataset, taken = clipx.ClipDataset(index, clipx.WindowSpec(2, 2)), []
    decode = clipx.datasets.pictures.decode

    def noted(data, name, **how):
        taken.append(name)
        return decode(data, name, **how)

    monkeypatch.setattr("clipx.datasets.pictures.decode", noted)
    assert len(dataset) == sum((9 + i) // 2 for i in range(6))
    assert not taken
    clip = dataset[2]
    assert taken == ["004.jpg", "005.jpg"]
    (sample,) = samples(1)
    assert np.array_equal(clip["jpg"], [decoded(sample[name]) for name in taken])


@pytest.mark.parametrize("segments", [None, "json:shots"])
def test_every_state_resumes(shards, segments):
    def make(threads):
        return clipx.Loader(shards, SPEC, FORMAT, segments=segments, **{**MEMORY, "threads": threads})

    check_every(make, every=3)


def test_rows_of_an_index(index):
    columns = ["key", "field", "kind", "frames", "width", "height", "codec"]
    row, *others = (row for row in index.rows(columns) if row["kind"] == "pictures")
    assert len(others) == 5
    assert [row[name] for name in columns] == ["s0", "jpg", "pictures", 9, 26, 18, "mjpeg"]
    sample = index.sample(0)
    assert "jpg" not in sample
    assert sample["008.jpg"].read() == next(samples())["008.jpg"]


@pytest.mark.parametrize("keys", [None, "jpg", "front.png", ("jpg", "front.png")])
@pytest.mark.parametrize("spec", [SPEC, clipx.RateSpec(5, max_frames=9)], ids=["frames", "seconds"])
def test_counts_of_an_index_are_those_of_the_samples(tmp_path, keys, spec):
    pytest.importorskip("pyarrow")
    front = numbered(random_pictures(8), "png", prefix="front.")
    made = [
        *samples(3),
        picture_sample("one", 1),
        {"__key__": "both", **numbered(random_pictures(9)), **front},
        {"__key__": "npy", "npy": np.zeros((12, 3), np.uint8), **numbered(random_pictures(9))},
        {"__key__": "gap", "000.jpg": b"", "002.jpg": b""},
        {"__key__": "broken", "000.jpg": b"", **{f"{i:03}.jpg": b"" for i in range(1, 6)}},
        {"__key__": "txt", "txt": b"none"},
    ]
    index = clipx.Index.build([write_shard(tmp_path / "a.tar", made)], tmp_path / "index.parquet")
    clips = clipx.ClipDataset(index, spec, keys=keys)._clips
    counts = []
    for sample in made:
        try:
            counts.append(clips.count(sample))
        except ValueError:
            counts.append(0)
    assert index.counts(clips).tolist() == counts


def test_broken_pictures_go_to_the_handler(tmp_path, shards):
    made = list(samples())
    made[1]["004.jpg"] = made[1]["004.jpg"][:100]
    del made[2]["003.jpg"]
    url = write_shard(tmp_path / "a.tar", made)
    errors = []
    with clipx.Loader([url], SPEC, **MEMORY, handler=lambda exn: errors.append(exn) or True) as loader:
        keys = {key[:2] for batch in loader for key in batch["__key__"]}
    assert keys == {"s0", "s1", "s3", "s4", "s5"}  # of s1 the clip before the damage
    assert sorted((exn.key, exn.field) for exn in errors) == [("s1", "004.jpg"), ("s2", "jpg")]


def test_a_sample_counts_with_its_largest_picture():
    sample = picture_sample("a", 4)
    needs = needs_of(sample, [clipx.datasets.fields.Field("jpg")], 1, 1 << 30)
    assert needs.pixels == 18 * 26
    assert needs.beside == 0
    large = {"__key__": "b", **numbered([np.zeros((2000, 3000, 3), np.uint8)])}
    assert needs_of(large, [clipx.datasets.fields.Field("jpg")], 1, 1 << 30).decoder > 3 * 6_000_000


def test_pictures_that_take_too_much_memory(tmp_path):
    url = write_shard(
        tmp_path / "a.tar", [*samples(2), {"__key__": "big", **numbered(random_pictures(2, (1600, 2400)))}]
    )
    errors = []
    format = clipx.ClipFormat(resize=(8, 8))
    spec = clipx.WindowSpec(2)
    handler = lambda exn: errors.append(exn) or True  # noqa: E731
    with clipx.Loader([url], spec, format, batch_size=2, memory="40MB", threads=1, handler=handler) as loader:
        assert len(everything(loader)) == 4
    (error,) = errors
    assert error.key == "big"
    assert "raise memory" in str(error)
