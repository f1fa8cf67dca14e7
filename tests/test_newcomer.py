"""Five recipes, as someone does them who has read the documentation and nothing else."""

import csv
import json
import shutil

import av
import numpy as np
import pytest
from helpers.processes import run_python

import clipx
import clipx.windows


@pytest.fixture
def sports(make_video, tmp_path):
    """A folder for each class, with three videos of 40, 44, ... frames in each."""
    folder = tmp_path / "sports"
    for place, name in enumerate(("diving", "running")):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(make_video(40 + 4 * number + 12 * place), folder / name / f"{number}.mp4")
    return folder


def write_table(path, *rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def test_the_loop_of_an_array_is_replaced(real_video):
    with av.open(str(real_video("bikes.mp4"))) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame, _ in zip(file.decode(video=0), range(60))]
    x = np.stack(frames)
    starts = range(0, len(x) - 16 + 1, 8)
    slices = [x[start : start + 16] for start in starts]

    clips = list(clipx.windows.iterate(x, length=16, stride=8))

    assert len(clips) == len(slices) == 6
    assert all(np.array_equal(clip, each) for clip, each in zip(clips, slices))
    assert clipx.memory.retained_bytes(slices[0]) == x.nbytes
    assert clipx.memory.retained_bytes(clips[0]) == clipx.memory.payload_bytes(clips[0]) == slices[0].nbytes

    pool = clipx.ClipPool(slots=3, shape=slices[0].shape)  # for six clips, which take turns
    pooled = clipx.windows.iterate(x, length=16, stride=8, pool=pool)
    assert [np.array_equal(clip, each) for clip, each in zip(pooled, slices)] == [True] * 6


def test_videos_with_labels_in_a_table_become_batches(sports, tmp_path):
    torch = pytest.importorskip("torch")
    paths = sorted(sports.rglob("*.mp4"))
    rows = [
        {"video": path.relative_to(sports).as_posix(), "class": int(path.parent.name == "running")} for path in paths
    ]
    files = clipx.Files(write_table(tmp_path / "train.csv", *rows), path="video", root=sports)
    window, format = clipx.WindowSpec(16, stride=8), clipx.ClipFormat(resize=32, crop=32, mean="kinetics", order="CTHW")
    expected = {
        f"{path.parent.name}/{path.stem}_{clip.index:06d}": clip.data
        for path in paths
        for clip in clipx.video.clips(path, window, format)
    }
    loader = clipx.Loader(files, window, format, batch_size=8, memory="200MB", drop_last=False)

    orders = []
    for _ in range(2):
        order = []
        for batch in loader:
            clips, labels = torch.as_tensor(batch["mp4"]), torch.as_tensor(batch["class"])
            assert clips.shape[1:] == (3, 16, 32, 32)
            assert clips.dtype == torch.float32
            for key, clip, label in zip(batch["__key__"], clips, labels):
                assert np.array_equal(clip.numpy(), expected[key])
                assert label == key.startswith("running")
            order += batch["__key__"]
        orders.append(order)

    assert sorted(orders[0]) == sorted(orders[1]) == sorted(expected)
    assert orders[0] != orders[1]
    assert not loader.errors.counts


def test_segments_come_with_their_captions(sports, tmp_path):
    captions = [
        ("diving/0.mp4", 0, 0.8, "she stands"),
        ("diving/0.mp4", 0.6, 1.4, "she jumps, and turns"),
        ("running/2.mp4", 1, 2, "he runs"),
        ("running/2.mp4", 90, 95, "it is over"),
    ]
    rows = [dict(zip(("video", "from", "to", "caption"), row)) for row in captions]
    files = clipx.Files(
        write_table(tmp_path / "captions.csv", *rows), path="video", root=sports, segments=("from", "to")
    )
    loader = clipx.Loader(
        files,
        clipx.UniformSpec(8),
        batch_size=1,
        memory="200MB",
        segments="segments",
        handler=clipx.wds.log_and_continue,
    )

    found = {}
    for batch in loader:
        (facts,) = batch["clip.json"]
        assert batch["mp4"].shape == (1, 8, 48, 64, 3)
        found[facts["segment"]["facts"]["caption"]] = facts["key"], facts["pts_seconds"]

    assert sorted(found) == sorted(caption for *_, caption in captions[:3])
    for video, start, end, caption in captions[:3]:
        key, times = found[caption]
        assert f"{key}.mp4" == video
        assert all(start <= time < end for time in times)
    assert loader.errors.counts == {"segment": 1}


def test_each_rank_goes_on_in_the_middle_of_an_epoch(sports, monkeypatch):
    def loader(rank):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))
        window, format = clipx.WindowSpec(8, stride=4), clipx.ClipFormat(resize=40, crop=("random", 32), flip=0.5)
        return clipx.Loader(
            clipx.Files(sports), window, format, batch_size=4, memory="200MB", seed=3, equal_batches=True
        )

    def seen(batch):
        return batch["__key__"], batch["mp4"].tobytes()

    keys = []
    for rank in range(2):
        unbroken, epochs, saved = loader(rank), [], []
        for _ in range(2):
            epochs.append([])
            for batch in unbroken:
                epochs[-1].append(seen(batch))
                saved.append(json.dumps(unbroken.state_dict()))

        again = loader(rank)
        again.load_state_dict(json.loads(saved[2]))  # behind the third batch of the first epoch
        assert len(epochs[0]) > 3
        assert [seen(batch) for batch in again] == epochs[0][3:]
        assert [seen(batch) for batch in again] == epochs[1]
        keys.append([key for batch, _ in epochs[0] for key in batch])

    assert len(keys[0]) == len(keys[1])
    assert len({*keys[0], *keys[1]}) == 2 * len(keys[0])  # no clip comes twice


def test_clips_are_extracted_once_and_read_by_many_runs(sports, tmp_path):
    rows = [
        {"path": path.relative_to(sports).as_posix(), "label": place, "note": path.parent.name}
        for place, path in enumerate(sorted(sports.rglob("*.mp4")))
    ]
    table, out = write_table(tmp_path / "train.csv", *rows), tmp_path / "clips"
    options = "--length 16 --stride 16 --resize 48 --crop 48 --encoding jpg --jobs 1 --quiet"
    done = run_python("-m", "clipx", "extract", table, "--root", sports, "-o", out, *options.split(), timeout=100)
    assert done.returncode == 0, done.stderr

    shards = sorted(map(str, out.glob("clips-*.tar")))
    format = clipx.ClipFormat(crop=("random", 40), flip=0.5)
    loader = clipx.Loader(shards, clipx.WindowSpec(16), format, batch_size=5, memory="200MB", drop_last=False)
    found = []
    for batch in loader:
        assert batch["jpg"].shape[1:] == (16, 40, 40, 3)
        for facts, label, note in zip(batch["source.clip.json"], batch["label.json"], batch["note.txt"]):
            assert (facts["url"], note) == (rows[label]["path"], rows[label]["note"])
            found.append((facts["url"], facts["start"]))

    lengths = {"diving": (40, 44, 48), "running": (52, 56, 60)}
    starts = [
        (f"{name}/{number}.mp4", start)
        for name, frames in lengths.items()
        for number, count in enumerate(frames)
        for start in range(0, count - 16 + 1, 16)
    ]
    assert sorted(found) == starts
