"""clipx.jobs.extract: shards of clips that are read back as they were, whatever the jobs, the memory and the place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy
from helpers.extracting import extract_until_killed, failures_of, files_of, members

import clipx
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.part_job import PartJob, run_part

KEEP = {"jobs": 1, "files_per_part": 2}
SPEC, FORMAT = clipx.WindowSpec(4, stride=3), clipx.ClipFormat(resize=(24, 32))


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
    return out, clipx.jobs.extract(videos, out, SPEC, FORMAT, **KEEP)


def test_clips_are_those_of_the_videos(videos, extracted):
    out, summary = extracted
    found = members(out)
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
    broken, damaged = failures_of(out)
    assert (broken["key"], broken["source"], broken["kind"], broken["clips"]) == (
        "0/broken",
        "0/broken.mp4",
        "error",
        0,
    )
    assert (damaged["key"], damaged["field"], damaged["kind"]) == ("1/damaged", "mp4", "error")
    assert damaged["clips"] == sum(name.startswith("1/damaged_") and name.endswith(".npy") for name in members(out))
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


def test_bytes_depend_on_neither_threads_nor_memory_nor_place(videos, extracted, tmp_path, monkeypatch):
    out, _ = extracted
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(videos, moved)
    monkeypatch.chdir(moved)
    for given in (".", [str(path) for path in sorted(moved.rglob("*.*"))]):
        again = tmp_path / f"again{len(given)}"
        job = PartJob(
            str(again),
            Inputs(given, files_per_part=2),
            ExtractOptions(SPEC, FORMAT, files_per_part=2),
            "parquet",
            90_000_000,
            3,
        )
        for part in (2, 0, 1):
            run_part(job, part)
        assert files_of(again) == {name: digest for name, digest in files_of(out).items() if name != "job.json"}


@pytest.mark.parametrize(("kind", "count"), [("add", 7), ("publish", 4), ("publish", 6)])
def test_a_killed_job_ends_as_one_that_was_not(videos, extracted, tmp_path, kind, count):
    out, _ = extracted
    again = tmp_path / "again"
    extract_until_killed(kind, count, videos, again, SPEC, FORMAT, **KEEP)
    assert not (again / "summary.json").exists()
    done = {path: path.stat().st_ino for path in again.glob("part-*.parquet")}
    shards = {path: path.stat().st_ino for each in done for path in again.glob(f"clips-{each.stem[5:]}-*.tar")}
    clipx.jobs.extract(videos, again, SPEC, FORMAT, **KEEP)
    assert files_of(again) == files_of(out)
    assert all(path.stat().st_ino == number for path, number in {**done, **shards}.items())


def test_other_options_and_inputs_are_refused(videos, extracted, tmp_path):
    out, _ = extracted
    before = files_of(out)
    with pytest.raises(ValueError, match=r"of another job: format\.resize\[1\] was 32 and is 16"):
        clipx.jobs.extract(videos, out, SPEC, clipx.ClipFormat(resize=(24, 16)), **KEEP)
    with pytest.raises(ValueError, match="it has 3 parts, and now there are 2"):
        clipx.jobs.extract(videos / "1", out, SPEC, FORMAT, **KEEP)
    assert files_of(out) == before
