"""Loaders over files: the clips of shards of the same files, shares, states, and rows that are broken."""

import csv
import json
import resource

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import CROP, WINDOW, clips_of, everything
from helpers.shards import write_shard
from helpers.web import serving

import clipx
from clipx import wds
from clipx.datasets.world import World


@pytest.fixture
def folder(tmp_path, make_video):
    """A folder of videos in classes, a table of them, and a shard of the same files."""
    rows, samples = [], []
    for i in range(6):
        name = f"class{i % 2}/v{i}"
        data = make_video(n=8 + i).read_bytes()
        path = tmp_path / "data" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append({"video": f"{name}.mp4", "label": i % 2, "text": f"caption {i}"})
        samples.append({"__key__": name, "mp4": data, "label": i % 2})
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["video", "label", "text"])
        writer.writeheader()
        writer.writerows(rows)
    shard = write_shard(tmp_path / "all.tar", [{**each, "label": b"%d" % each["label"]} for each in samples])
    return tmp_path, rows, shard


def of_files(files, **changes):
    return clipx.Loader(files, WINDOW, CROP, **{"batch_size": 4, "memory": "150MB", "threads": 2, **changes})


def table(folder):
    tmp_path, _, _ = folder
    return clipx.Files(tmp_path / "train.csv", path="video", root=tmp_path / "data")


def test_the_clips_are_those_of_a_shard(folder):
    _, rows, shard = folder
    files = table(folder)
    with of_files(files, drop_last=False, shuffle=False) as loader, of_files([shard], drop_last=False) as other:
        assert sorted(clips_of(loader, "mp4")) == sorted(clips_of(other, "mp4"))
    labels = {row["video"][:-4]: (row["label"], row["text"]) for row in rows}
    with of_files(files) as loader:
        for batch in loader:
            for key, label, text in zip(batch["__key__"], batch["label"], batch["text"]):
                assert labels[key[:-7]] == (label, text)
            assert isinstance(batch["label"], np.ndarray)


def test_random_crops_are_those_of_a_shard(folder):
    format = clipx.ClipFormat(crop=clipx.RandomResizedCrop((16, 16)))
    arguments = {"batch_size": 4, "memory": "150MB", "seed": 5, "drop_last": False}
    with clipx.Loader(table(folder), WINDOW, format, **arguments) as loader:
        found = clips_of(loader, "mp4")
    with clipx.Loader([folder[2]], WINDOW, format, **arguments) as loader:
        assert sorted(found) == sorted(clips_of(loader, "mp4"))


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ranks_and_workers_share_files(folder, ranks):
    files, seen = table(folder), []
    for rank in range(ranks):
        for workers in (1, 3):
            for worker in range(workers):
                share = files.share(0, 1, True, World(rank, ranks, worker, workers))
                seen += [(workers, address.shard) for address, _ in files.reader(wds.log_and_continue).samples(share)]
    assert sorted(seen) == sorted([(workers, i) for workers in (1, 3) for i in range(6)])


def test_states_go_on(folder):
    files = table(folder)
    with of_files(files, seed=3, drop_last=False) as loader:
        states, batches = [], []
        for batch in loader:
            states.append(loader.state_dict())
            batches += everything([batch])
            del batch
    for number, state in enumerate(states):
        with of_files(table(folder), seed=3, drop_last=False) as loader:
            loader.load_state_dict(json.loads(json.dumps(state)))
            if number < len(states) - 1:
                assert everything(loader) == batches[number + 1 :]


def test_a_state_is_of_the_same_files(folder):
    tmp_path, rows, _ = folder
    with of_files(table(folder)) as loader:
        state = loader.state_dict()
    paths = [tmp_path / "data" / row["video"] for row in rows]
    with of_files(clipx.Files(paths)) as loader, pytest.raises(ValueError, match="state is of other files"):
        loader.load_state_dict(state)
    with of_files(clipx.Files(paths[:3])) as loader, pytest.raises(ValueError, match="6 files, but dataset has 3"):
        loader.load_state_dict(state)


def test_a_file_that_is_replaced_is_not_gone_on_with(folder, make_video):
    tmp_path, rows, _ = folder
    with of_files(table(folder), shuffle=False) as loader:
        next(iter(loader))
        state = loader.state_dict()
    for row in rows:
        (tmp_path / "data" / row["video"]).write_bytes(make_video(n=30).read_bytes())
    with of_files(table(folder), shuffle=False) as loader:
        loader.load_state_dict(state)
        with pytest.raises(ValueError, match="has changed"):
            list(loader)


def test_missing_files_and_broken_rows_go_to_the_handler(folder):
    tmp_path, rows, _ = folder
    bad = [*rows, {"video": "class0/none.mp4"}, {"video": None, "label": 3}, rows[0]]
    errors = []
    files = clipx.Files(bad, "video", tmp_path / "data")
    with of_files(files, handler=lambda exn: errors.append(exn) or True, drop_last=False) as loader:
        assert len(clips_of(loader, "mp4")) == sum((8 + i - 4) // 2 + 1 for i in range(6))
        assert len(loader.errors) == 3
    texts = sorted(map(str, errors))
    assert any("No such file" in text and "class0/none" in text and f"root='{tmp_path}/data'" in text for text in texts)
    assert any("row 7: column 'video' has no path" in text for text in texts)
    assert any("row 8: its key 'class0/v0' is that of row 0" in text for text in texts)


def test_equal_batches_count_files(folder):
    with of_files(table(folder), equal_batches=True) as loader:
        assert len(loader) == sum(1 for _ in loader) == sum((8 + i - 4) // 2 + 1 for i in range(6)) // 4


def test_rows_of_one_file_are_its_segments(folder):
    tmp_path, rows, _ = folder
    table = [
        {"video": row["video"], "start": start, "end": start + 0.2, "caption": f"{row['video']} {start}"}
        for start in (0, 0.1)
        for row in rows
    ]
    files = clipx.Files(table, "video", tmp_path / "data", segments=("start", "end"))
    assert len(files) == 6
    with of_files(files, segments="segments", drop_last=False) as loader:
        facts = [facts for batch in loader for facts in batch["clip.json"]]
    assert len(facts) == 12
    for each in facts:
        segment = each["segment"]
        assert segment["facts"]["caption"] == f"{each['key']}.mp4 {segment['start']:g}"


def test_several_columns_share_a_plan(make_video):
    paths = [{"front": str(make_video(n=12)), "rear": str(make_video(n=12, rate=25, still=True))}]
    files = clipx.Files(paths, ["front", "rear"])
    with of_files(files, keys=("front.mp4", "rear.mp4"), batch_size=1) as loader:
        batch = next(iter(loader))
        assert batch["front.mp4"].shape == batch["rear.mp4"].shape == (1, 4, 16, 16, 3)


def test_arrays_are_mapped_and_others_read(tmp_path):
    for i in range(3):
        (tmp_path / f"a{i}.npy").write_bytes(npy(array(12, i)))
        np.savez(tmp_path / f"b{i}.npz", x=array(12, i))
    window = clipx.WindowSpec(4)
    clips = {}
    for kind in ("npy", "npz"):
        files = clipx.Files(tmp_path / f"*.{kind}")
        keys = None if kind == "npy" else "npz:x"
        with clipx.Loader(files, window, batch_size=3, memory="40MB", keys=keys, shuffle=False) as loader:
            clips[kind] = [np.array(each if kind == "npy" else each["x"]) for batch in loader for each in [batch[kind]]]
    assert len(clips["npy"]) == 3
    assert all(np.array_equal(a, b) for a, b in zip(clips["npy"], clips["npz"]))


def test_a_stage_takes_files(folder):
    clips = list(wds.clips(WINDOW, CROP)(table(folder)))
    assert {clip["clip.json"]["url"] for clip in clips} == {str(folder[0] / "data" / row["video"]) for row in folder[1]}
    assert all(clip["label"] in (0, 1) for clip in clips)


def test_the_size_of_a_file_takes_no_memory(tmp_path, make_video):
    paths = [tmp_path / f"{i}.mp4" for i in range(2)]
    for path in paths:
        path.write_bytes(make_video(n=20).read_bytes())
    size = 1 << 31
    with paths[1].open("ab") as file:  # a box that is to be passed over, of two gigabytes without blocks on the disk
        file.write((1).to_bytes(4, "big") + b"free" + (size).to_bytes(8, "big"))
        file.truncate(file.tell() + size - 16)
    found = {}
    for number in (0, 1):
        with of_files(clipx.Files([paths[number]]), drop_last=False) as loader:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found[number] = [each for _, each in sorted(clips_of(loader, "mp4"))]
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert found[0] == found[1]
    assert grown < 100_000  # kilobytes


def test_remote_files_give_the_clips_of_local_ones(folder):
    with serving() as web:
        rows = [
            {**row, "video": web.add(row["video"], (folder[0] / "data" / row["video"]).read_bytes())}
            for row in folder[1]
        ]
        remote = clipx.Files(rows, "video")
        with of_files(remote, drop_last=False) as loader, of_files(table(folder), drop_last=False) as local:
            found = clips_of(loader, "mp4")
            cache = loader._config.limits(World(0, 1, 0, 1)).cache
            assert cache.nbytes == 150_000_000 // 16
            assert {clip for _, clip in found} == {clip for _, clip in clips_of(local, "mp4")}
        web.always = 404
        with of_files(clipx.Files(rows[:1], "video")) as loader, pytest.raises(FileNotFoundError, match=r"v0\.mp4"):
            list(loader)
