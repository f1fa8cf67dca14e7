"""Clips counted without extracting them: as many as come, of every kind of source."""

import bz2
import gzip
import io
import itertools
import logging

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy
from helpers.long import some

import clipx
from clipx import wds
from clipx._reading import BytesFile
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share, share
from clipx.datasets.world import World
from clipx.loader.counts import Counts
from clipx.wds.sample_clips import SampleClips

POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad", "error"]
FILES = {
    "mp4": {"g": "12", "bf": "2"},
    "hevc": {"codec": "libx265", "size": (96, 128), "x265-params": "keyint=10:log-level=none"},
    "webm": {"codec": "libvpx-vp9", "container": "webm", "suffix": ".webm", "g": "10"},
    "mkv": {"container": "matroska", "suffix": ".mkv", "g": "10"},
    "ts": {"container": "mpegts", "suffix": ".ts", "g": "10"},
    "avi": {"codec": "mpeg4", "container": "avi", "suffix": ".avi", "g": "10"},
    "mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mov", "suffix": ".mov"},
    "mp4 of times that vary": {"pts": tuple(k * k for k in range(45)), "g": "10", "bf": "0"},
}


def extract(sample_clips, sample):
    """Number of clips before an error, if there is one."""
    count = 0
    try:
        for _ in sample_clips.clips(sample, 0):
            count += 1
    except ValueError:
        pass
    return count


def check(sample_clips, sample):
    wanted = extract(sample_clips, sample)
    assert sample_clips.count(sample) == wanted
    seen = {name: memoryview(value) if isinstance(value, bytes) else value for name, value in sample.items()}
    assert sample_clips.count(seen) == wanted
    return wanted


@pytest.mark.parametrize(("kind", "policy"), some(itertools.product(FILES, POLICIES), 3))
def test_videos(make_video, kind, policy):
    sample = {"__key__": "a", "mp4": make_video(n=45, **FILES[kind]).read_bytes()}
    assert check(SampleClips(clipx.WindowSpec(4, 3, policy=policy)), sample) >= 14
    assert check(SampleClips(clipx.WindowSpec(50, 3, policy=policy)), sample) in (0, 1)
    options = clipx.VideoOptions(fps=10, start_seconds=0.3)
    check(SampleClips(clipx.WindowSpec(4, 3, policy=policy), options=options), sample)
    assert check(SampleClips(clipx.WindowSpec(4, num_clips=5, policy=policy)), sample) == 5


@pytest.mark.parametrize("policy", POLICIES)
def test_sound_and_arrays(make_audio, policy):
    window = clipx.WindowSpec(100, 333, policy=policy)
    check(SampleClips(window), {"__key__": "a", "wav": make_audio().read_bytes()})
    for n in (0, 99, 100, 101, 1000, 1099):
        if policy != "error":
            check(SampleClips(window), {"__key__": "a", "npy": npy(np.arange(n))})
            check(SampleClips(window), {"__key__": "a", "x": np.arange(n)})
    file = io.BytesIO()
    np.savez(file, a=np.arange(700), b=np.arange(700))
    if policy != "error":
        check(SampleClips(window, keys=["npz:a", "npz:b"]), {"__key__": "a", "npz": file.getvalue()})


def test_a_listed_video_is_not_decoded_nor_read(make_video, monkeypatch):
    data = make_video(n=200, g="10", size=(240, 320), crf="1").read_bytes()
    monkeypatch.setattr(clipx.video.decoder.VideoDecoder, "frames", None)
    monkeypatch.setattr(clipx.video.file.VideoFile, "read_index", None)
    read = []

    class Counted(BytesFile):
        def readinto(self, out):
            read.append(super().readinto(out))
            return read[-1]

    monkeypatch.setattr("clipx.wds.field_counts.BytesFile", Counted)
    assert SampleClips(clipx.WindowSpec(4, 2)).count({"__key__": "a", "mp4": memoryview(data)}) == 99
    assert 0 < sum(read) < len(data) // 4, (sum(read), len(data))


def test_damage(make_video):
    """Files that are cut short have the clips before their end."""
    whole = make_video(n=90, g="12", container="matroska", suffix=".mkv").read_bytes()
    sample = {"__key__": "a", "mkv": whole[: len(whole) // 2]}
    check(SampleClips(clipx.WindowSpec(4, 2)), sample)
    with pytest.raises(ValueError, match="no field"):
        SampleClips(clipx.WindowSpec(4, 2)).count({"__key__": "a", "txt": b""})


@pytest.fixture
def shards(tmp_path):
    """Three shards of arrays, one of them compressed, and how many clips each of their samples gives."""
    rng = np.random.default_rng(0)
    urls, wanted = [], []
    for i, pack in enumerate([bytes, gzip.compress, bz2.compress]):
        with webdataset.TarWriter(str(tmp_path / "plain.tar")) as tar:
            lengths = rng.integers(0, 20, 5)
            for j, n in enumerate(lengths):
                tar.write({"__key__": f"s{i}{j}", "npy": npy(np.arange(n)), "txt": "x"})
            tar.write({"__key__": f"t{i}", "npy": b"damaged"})
        urls.append(str(tmp_path / f"{i}.tar"))
        (tmp_path / f"{i}.tar").write_bytes(pack((tmp_path / "plain.tar").read_bytes()))
        wanted.append([*(max(int(n) - 3, 0) for n in lengths), 0])
    return urls, wanted


def counts_of(urls):
    return Counts(Shards(urls, wds.log_and_continue), len(urls), SampleClips(clipx.WindowSpec(4, 1)).count, 2)


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (3, 2), (4, 1), (5, 3), (1, 7)])
def test_shares(shards, ranks, workers):
    urls, wanted = shards
    counts = counts_of(urls)
    order = [2, 0, 1]
    total, seen = 0, []
    for rank, worker in itertools.product(range(ranks), range(workers)):
        mine = share(order, World(rank, ranks, worker, workers))
        here = [(part.part, n) for part in mine.from_() for n in range(len(wanted[part.part])) if part.takes(n)]
        assert counts.of(mine) == sum(wanted[shard][n] for shard, n in here)
        total += counts.of(mine)
        seen += here
    assert total == sum(map(sum, wanted))
    assert sorted(seen) == [(i, n) for i in range(3) for n in range(len(wanted[i]))]


def test_shards_that_cannot_be_read(shards, tmp_path, caplog):
    """What is wrong with a shard is told where it is cut, and not here."""
    urls, wanted = shards
    (tmp_path / "junk.tar").write_bytes(b"junk" * 1000)
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "short.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:4000])
    with caplog.at_level(logging.INFO):
        counts = counts_of([*urls, *(str(tmp_path / f"{name}.tar") for name in ("junk", "empty", "short", "missing"))])
    assert not caplog.records
    assert counts.of(Share([0, 1, 2])) == sum(map(sum, wanted))
    assert counts.of(Share([3, 4, 6])) == 0
    assert 0 < counts.of(Share([5])) < sum(wanted[0])
