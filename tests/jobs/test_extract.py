"""clipx.jobs.extract: shards of clips that are read back as they were, whatever the jobs, the memory and the place."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy

import clipx

SPEC, FORMAT = clipx.WindowSpec(4, stride=3), clipx.ClipFormat(resize=(24, 32))
ARRAYS = clipx.WindowSpec(4, stride=4)


def files_of(out):
    """The bytes of all files of a job but the summary, by their names."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(out).iterdir())
        if path.name != "summary.json"
    }


def members(out):
    """The members of a job's shards: (shard, name, bytes), in order."""
    found = []
    for path in sorted(Path(out).glob("clips-*.tar")):
        with tarfile.open(path) as tar:
            found += [(path.name, each.name, tar.extractfile(each).read()) for each in tar]
    return found


def failures(out):
    return [
        json.loads(line)
        for path in sorted(Path(out).glob("*.failures.jsonl"))
        for line in path.read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def videos(make_video, tmp_path_factory):
    """A folder with videos in subfolders, one of them broken and one damaged."""
    folder = tmp_path_factory.mktemp("inputs")
    for number, n in enumerate((13, 22, 9, 30)):
        path = folder / f"{number % 2}" / f"video{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(make_video(n, g="6"), path)
    (folder / "0" / "broken.mp4").write_bytes(b"not a video")
    data = bytearray(make_video(60, g="10").read_bytes())
    begin, end = data.index(b"mdat") + len(data) // 2, data.index(b"mdat") + len(data) * 5 // 8
    data[begin:end] = bytes(end - begin)
    (folder / "1" / "damaged.mp4").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def extracted(videos, tmp_path_factory):
    """A job over these videos, by one thread."""
    out = tmp_path_factory.mktemp("outputs") / "out"
    return out, clipx.jobs.extract(videos, out, SPEC, FORMAT, jobs=1, files_per_part=2)


def test_clips_are_those_of_the_videos(videos, extracted):
    out, summary = extracted
    found = {name: data for _, name, data in members(out)}
    count = 0
    for path in sorted(videos.rglob("video*.mp4")):
        key = f"{path.parent.name}/{path.stem}"
        for clip in clipx.video.clips(str(path), SPEC, FORMAT):
            name = f"{key}_{clip.index:06d}"
            assert found[f"{name}.npy"] == npy(clip.data)
            facts = json.loads(found[f"{name}.clip.json"])
            assert facts["pts_seconds"] == clip.pts_seconds.tolist()
            assert (facts["key"], facts["url"]) == (key, f"{key}.mp4")
            count += 1
    damaged = [name for name in found if name.startswith("1/damaged_") and name.endswith(".npy")]
    assert damaged
    assert summary.clips == count + len(damaged)
    assert (summary.parts, summary.samples, summary.failed) == (3, 6, 2)


def test_failures_say_what_why_and_after_how_many_clips(videos, extracted):
    out, _ = extracted
    broken, damaged = failures(out)
    assert (broken["key"], broken["source"], broken["kind"], broken["clips"]) == (
        "0/broken",
        "0/broken.mp4",
        "error",
        0,
    )
    assert (damaged["key"], damaged["field"], damaged["kind"]) == ("1/damaged", "mp4", "error")
    assert damaged["clips"] == sum(
        name.startswith("1/damaged_") and name.endswith(".npy") for _, name, _ in members(out)
    )
    assert 0 < damaged["seconds"] < 60 / 25
    assert str(videos) not in json.dumps([broken, damaged])


def test_webdataset_and_the_loader_read_them_back(extracted):
    out, summary = extracted
    shards = sorted(map(str, Path(out).glob("*.tar")))
    plain = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert len(plain) == summary.clips
    assert all(sample["npy"].shape == (4, 24, 32, 3) for sample in plain)
    loader = clipx.Loader(shards, clipx.WindowSpec(4), batch_size=1, shuffle=False, memory="300MB", drop_last=False)
    for sample, batch in zip(plain, loader, strict=True):
        np.testing.assert_array_equal(batch["npy"][0], sample["npy"])
