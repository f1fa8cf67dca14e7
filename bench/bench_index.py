"""How fast is an index built, and how fast is a clip of a video that is opened by it?

Building: videos of 320x240, 10 s, H.264 with key frames 12 apart, in four shards, in MP4 and in Matroska, by as many
threads as there are processors; the files are in the page cache.

- clipx: `clipx.Index.build`, anew each time.
- PyAV, packets: reads the videos out of the shards, and lists the time, the kind and the place of each packet.
- torchvision, VideoClips: lists the times of the same videos as files of their own, by its own workers, one a
  processor. Only of some of them: its time is that for as many as the others have.

Opening: a clip of 16 frames from a random place, by its index and without: of a video of the shards, which without an
index is found by the shard's headers, and of files of ten minutes.

How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import webdataset
from _bench import Records, Run, command, find_missing
from _measure import Sample, timed
from _results import CLIPX_IS, MS, SPREAD, Result, results_table
from _videos import find_files, recode, remux, repeat

import clipx
from clipx.datasets.local_tars import find_samples, local_samples
from clipx.datasets.stored import StoredFile
from clipx.video.clips import selected_clips

VIDEO, FRAMES, GOP = "720p, 40 s", 250, 12
SHARDS, SAMPLES, FEW = 4, 10_000, 400
MINUTES = 10
OURS, PACKETS, TORCHVISION = "clipx", "PyAV, packets", "torchvision, VideoClips"
INDEXED, PLAIN = "clipx, index", "clipx, no index"
RIVALS = {TORCHVISION: ("torch", "torchvision.datasets.video_utils")}
TORCHVISION_FILES = 200
SPEC = clipx.WindowSpec(16, num_clips=1, sampling="random")
THREADS = os.cpu_count() or 1


def write_shards(folder: Path, source: Path, samples: int) -> list[str]:
    """Shards of copies of a file."""
    extension, data = source.suffix[1:], source.read_bytes()
    paths = [folder / f"{extension}-{samples}-{number}.tar" for number in range(SHARDS)]
    for number, path in enumerate(paths):
        if path.is_file():
            continue
        with webdataset.TarWriter(str(path.with_suffix(".part"))) as tar:
            for sample in range(samples // SHARDS):
                tar.write({"__key__": f"{extension}{number}-{sample:05d}", extension: data, "cls": sample % 10})
        path.with_suffix(".part").replace(path)
    return list(map(str, paths))


def members(shards: list[str]) -> Iterator[StoredFile]:
    for shard in shards:
        for sample in local_samples(shard):
            for member in sample.members:
                if not member.name.endswith(".cls"):
                    yield StoredFile(shard, member.offset, member.size)


def list_packets(stored: StoredFile) -> int:
    with av.open(io.BytesIO(stored.read())) as container:
        packets = [each for each in container.demux(video=0) if each.size]
        return len([(each.pts, each.dts, each.duration, each.is_keyframe, each.pos) for each in packets])


def list_all(shards: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert all(count == FRAMES for count in pool.map(list_packets, members(shards)))


def build(shards: list[str], path: Path) -> None:
    path.unlink(missing_ok=True)
    index = clipx.Index.build(shards, path, threads=THREADS)
    assert index.counts(clipx.wds.sample_clips.SampleClips(clipx.UniformSpec(1))).sum() == len(index)


def video_clips(path: Path) -> None:
    from torchvision.datasets.video_utils import VideoClips

    found = VideoClips([str(path)] * TORCHVISION_FILES, 16, 16, num_workers=THREADS)
    assert found.num_videos() == TORCHVISION_FILES


def scaled(function: Callable[[], object], times: float) -> Sample:
    sample = timed(function)
    return sample._replace(seconds=sample.seconds * times)


def run_build(title: str, source: Path, folder: Path, run: Run) -> Result:
    samples = FEW if run.quick else SAMPLES
    run.describe(f"making shards of {title}")
    shards = write_shards(folder, source, samples)
    contestants = {
        OURS: partial(timed, partial(build, shards, folder / "index.parquet")),
        PACKETS: partial(timed, partial(list_all, shards)),
    }
    if TORCHVISION not in run.left_out:
        contestants[TORCHVISION] = partial(scaled, partial(video_clips, source), samples / TORCHVISION_FILES)
    run.describe(title)
    return Result(f"{title}, {samples} videos", run.interleave(contestants), OURS, clips=samples)


def clip_by_index(index: clipx.Index, number: int, field: str, seed: int) -> np.ndarray:
    stored = index.sample(number)[field]
    return next(selected_clips(stored.source(), SPEC, rng=seed, name="it", facts=stored.facts)).data


def clip_of_shard(shard: str, number: int, seed: int) -> np.ndarray:
    member = next(each for each in find_samples(shard, [number])[number].members if not each.name.endswith(".cls"))
    src = StoredFile(shard, member.offset, member.size).source()
    return next(selected_clips(src, SPEC, rng=seed, name="it")).data


def clip_of_file(path: str, seed: int) -> np.ndarray:
    return next(selected_clips(path, SPEC, rng=seed, name="it")).data


def run_open(title: str, by_index: Callable[[int], Any], plain: Callable[[int], Any], run: Run) -> Result:
    run.describe(title)
    assert np.array_equal(by_index(3), plain(3))
    seeds = {INDEXED: itertools.count(10), PLAIN: itertools.count(10)}
    contestants = {
        INDEXED: partial(timed, lambda: by_index(next(seeds[INDEXED])), 10),
        PLAIN: partial(timed, lambda: plain(next(seeds[PLAIN])), 10),
    }
    return Result(title, run.interleave(contestants), INDEXED, clips=1)


def measure(run: Run) -> Records:
    run.leave_out(find_missing(RIVALS))
    found = find_files(run.folder, [VIDEO], run.describe)
    run.leave_out(found.missing)
    folder = run.folder / "index"
    folder.mkdir(exist_ok=True)
    run.describe("making files")
    short = recode(found.videos[VIDEO], 240, 320, FRAMES, 25, GOP, run.folder)
    long = repeat(short, MINUTES * 6, run.folder)
    shorts = [Path(short.path), remux(short, folder / "short.mkv", "matroska")]
    longs = [Path(long.path), remux(long, folder / "long.mkv", "matroska")]
    run.expect(run.repeats * (2 * (3 - len(run.left_out)) + 2 * 4))
    built = [run_build(path.suffix[1:], path, folder, run) for path in shorts]
    opened = []
    for path, file in zip(shorts, longs):
        field, samples = path.suffix[1:], FEW if run.quick else SAMPLES
        shards, last = write_shards(folder, path, samples), samples // SHARDS - 1
        index = clipx.Index.build([shards[0], file], folder / f"{field}.parquet", threads=THREADS)
        of_shard = partial(clip_by_index, index, last, field)
        opened.append(run_open(f"{field} in a shard", of_shard, partial(clip_of_shard, shards[0], last), run))
        of_file = partial(clip_by_index, index, len(index) - 1, field)
        opened.append(run_open(f"{field}, {MINUTES} minutes", of_file, partial(clip_of_file, str(file)), run))
    run.show(
        results_table("Building an index", built, (MS, SPREAD, CLIPX_IS)),
        results_table("Opening and reading one clip", opened, (MS, SPREAD)),
    )
    for result in built:
        run.floors.at_least(f"{result.title}: as fast as listing packets", 1.0, result.ratio(PACKETS))
    for result in opened:
        run.floors.at_least(f"{result.title}: as fast as without an index", 1.3, result.ratio(PLAIN))
    return {"build": [each.record() for each in built], "open": [each.record() for each in opened]}


main = command("index", measure, ("av", "torchvision"), (5, 3), quick=f"{FEW} videos, few repetitions")
if __name__ == "__main__":
    main()
