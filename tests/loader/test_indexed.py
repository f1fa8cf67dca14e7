"""Loaders over an index: exact shares, lengths, states, and what has changed since it was built."""

import json
from collections import Counter

import numpy as np
import pytest
from helpers.loaders import CROP, WINDOW, clips_of, everything, expected
from helpers.shards import array_sample, write_shard
from helpers.web import serving

import clipx
from clipx.datasets.world import World
from clipx.loader.indexed import IndexedSamples
from clipx.wds.sample_clips import SampleClips

pytest.importorskip("pyarrow")

MEMORY = {"batch_size": 4, "memory": "150MB", "threads": 2}


@pytest.fixture
def index(arrays, tmp_path):
    return clipx.Index.build(arrays[0], tmp_path / "index.parquet")


@pytest.fixture
def indexed_videos(videos, tmp_path):
    return clipx.Index.build(videos[0], tmp_path / "videos.parquet"), videos


def of_index(index, **changes):
    return clipx.Loader(index, WINDOW, **{**MEMORY, **changes})


def test_the_clips_are_those_of_the_shards(index, arrays):
    urls, samples = arrays
    with of_index(index, drop_last=False) as loader:
        found = dict(clips_of(loader))
    assert found == expected(samples)
    with of_index(index, shuffle=False, drop_last=False) as loader:
        batches = everything(loader)
    with of_index(urls, shuffle=False, drop_last=False) as loader:
        others = everything(loader)
    assert [each["npy"] for each in batches] == [each["npy"] for each in others]
    assert [each["txt"] for each in batches] == [each["txt"] for each in others]


def test_videos_are_those_of_the_shards(indexed_videos):
    index, (_, samples) = indexed_videos
    with of_index(index, drop_last=False, format=CROP) as loader:
        assert dict(clips_of(loader, "mp4")) == expected(samples, "mp4", format=CROP)


def test_random_specs_draw_what_shards_draw(index, arrays):
    spec = clipx.WindowSpec(4, 2, offset="random")
    found = []
    for dataset in (index, arrays[0]):
        with clipx.Loader(dataset, spec, **MEMORY, drop_last=False, seed=4) as loader:
            found.append([sorted(clips_of(loader)) for _ in range(2)])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_clip_is_given_once(index, arrays, ranks, workers, monkeypatch):
    found, counts = Counter(), []
    for rank in range(ranks):
        for worker in range(workers):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
            monkeypatch.setenv("WORKER", str(worker))
            monkeypatch.setenv("NUM_WORKERS", str(workers))
            with of_index(index, drop_last=False, batch_size=2, memory="500MB") as loader:
                length = len(loader)
                clips = clips_of(loader)
                assert length == len(loader) == -(-len(clips) // 2)
            counts.append(len(clips))
            found.update(clips)
    assert dict(found) == dict.fromkeys(expected(arrays[1]).items(), 1)
    assert max(counts) - min(counts) <= 1


def test_equal_batches_need_no_counting(index, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("clipx.loader.counts.Counts", None)
    with of_index(index, equal_batches=True) as loader:
        assert len(loader) == sum(1 for _ in loader) > 0


def test_the_length_is_known_before_the_first_epoch(index):
    with of_index(index) as loader:
        length = len(loader)
        batches = iter(loader)
        next(batches)
        assert len(loader) == length
        state = loader.state_dict()
        assert sum(1 for _ in batches) == length - 1
    with of_index(index) as loader:
        loader.load_state_dict(state)
        assert len(loader) == length
    with of_index(index, ragged="bucket") as loader, pytest.raises(TypeError, match="not known"):
        len(loader)


def test_states_go_on_in_the_middle_of_a_piece(index, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    with of_index(index, drop_last=False, batch_size=2) as loader:
        share = loader._config.share(0, World(1, 3, 0, 1))
        assert len(share.borders) == 2
        states, batches = [], []
        for batch in loader:
            states.append(json.loads(json.dumps(loader.state_dict())))
            batches += everything([batch])
            del batch
    for number, state in enumerate(states[:-1]):
        with of_index(index, drop_last=False, batch_size=2) as loader:
            loader.load_state_dict(state)
            assert everything(loader) == batches[number + 1 :]


def test_a_state_is_of_the_same_samples(index, arrays, tmp_path):
    with of_index(index) as loader:
        state = loader.state_dict()
    other = clipx.Index.build(arrays[0][:2], tmp_path / "other.parquet")
    with of_index(other) as loader, pytest.raises(ValueError, match="state"):
        loader.load_state_dict(state)


@pytest.fixture
def changing(tmp_path):
    """An index of two shards, of which the second has changed since."""
    paths = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for i, path in enumerate(paths):
        write_shard(path, [array_sample(f"s{i}{j}", 12) for j in range(2)])
    clipx.Index.build(paths, tmp_path / "index.parquet")
    write_shard(paths[1], [array_sample(f"s1{j}", 20 + 2000) for j in range(2)])
    return tmp_path / "index.parquet"


def test_what_has_changed_is_refused_and_loses_nothing_else(changing):
    errors = []
    with of_index(clipx.Index(changing), handler=lambda exn: errors.append(exn) or True, drop_last=False) as loader:
        assert {key[:3] for key, _ in clips_of(loader)} == {"s00", "s01"}
    assert len(errors) == 2
    assert "b.tar" in str(errors[0])


def test_what_has_changed_is_renewed_where_asked(changing):
    index = clipx.Index(changing, stale="renew")
    with of_index(index, drop_last=False, memory="200MB") as loader:
        counts = Counter(key[:3] for key, _ in clips_of(loader))
    assert counts == {"s00": 5, "s01": 5, "s10": 1009, "s11": 1009}


def test_shares_keep_the_samples_of_a_shard_together(index):
    samples = IndexedSamples(index, SampleClips(WINDOW))
    order = samples.share(0, 1, True, World(0, 1, 0, 1)).shards
    assert sorted(order) == list(range(12))
    assert all(np.array_equal(order[i : i + 4], order[i] + np.arange(4)) for i in range(0, 12, 4))


def test_a_remote_file_of_another_size_is_refused(tmp_path, make_video):
    with serving() as web:
        urls = [web.add(f"{i}.mp4", make_video(n=10 + i).read_bytes()) for i in range(2)]
        index = clipx.Index.build(clipx.Files(urls), tmp_path / "index.parquet")
        web.files["1.mp4"] = make_video(n=40).read_bytes()
        errors = []
        with of_index(index, format=CROP, handler=lambda exn: errors.append(exn) or True, drop_last=False) as loader:
            assert len(clips_of(loader, "mp4")) == 4
        assert "has changed: it has" in str(errors[0])
        assert "1.mp4" in str(errors[0])


def test_damage_of_a_whole_shard_is_reported_once(tmp_path, monkeypatch):
    shard = write_shard(tmp_path / "a.tar", [array_sample(f"s{i}", 12) for i in range(3)])
    data = bytearray((tmp_path / "a.tar").read_bytes())
    (tmp_path / "a.tar").write_bytes(data[: data.index(b"s1.npy") + 600])  # inside a member
    index = clipx.Index.build([shard], tmp_path / "index.parquet")
    errors = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        with of_index(index, handler=lambda exn: errors.append(str(exn)) or True, drop_last=False) as loader:
            clips_of(loader)
    assert len([each for each in errors if "a.tar' was damaged when it was indexed" in each]) == 1
