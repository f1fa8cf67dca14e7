"""How fast is one clip of a remote file, and how fast does a run over a remote shard go on?

A web server on the loopback address, in a process of its own, knows ranges; each of its answers begins 20 ms after it
was asked for, as those of an object store do. The bandwidth is that of the loopback address: over a slower network,
what is read counts more than here.

One clip: 16 frames from a random place of a video of some 100 MB, 1280x720, H.264 with key frames 48 apart, in MP4 with
its header at the end, with its header at the beginning, and in Matroska. The clip is compared with that of the local
file.

- clipx: of `open_range`. Not of Matroska, which is read whole without an index.
- clipx, index: likewise, by the facts of `clipx.Index`.
- fsspec, its cache: of the file that `fsspec.open` gives, which reads blocks of 5 MB.
- whole file: of the bytes that `cat_file` of fsspec gives.

Going on: a shard of 100 videos. A Loader has given its batches up to 90 %, and its state is saved. Timed is the way to
the batch that comes next: of clipx from `load_state_dict`, and from the start. For scale, of webdataset, which has no
state and reads by curl: to the sample from which that batch comes, without decoding any. Clipx's batches are compared.

Finding the place in the shard takes a request a sample, one after the other, which costs the latency each time, but few
bytes: without a limit of the bandwidth, as here, reading all up to there is faster where videos are small.

How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import io
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from _bench import Records, Run, command, find_missing
from _measure import Sample, timed
from _results import CLIPX_IS, MS, SPREAD, Column, Result, results_table
from _videos import find_files, recode, remux, repeat, write_shard
from _web import Server, serving

import clipx
from clipx.datasets.remote import open_range
from clipx.plan import Selection
from clipx.video.clips import selected_clips

LATENCY = 0.02
VIDEO, FRAMES, GOP = "720p, 40 s", 480, 48
FILE_BYTES = 100e6
OURS, INDEXED, FSSPEC, WHOLE = "clipx", "clipx, index", "fsspec, its cache", "whole file"
RESUMED, AGAIN, CURL = "clipx, load_state_dict", "clipx, run up to there", "webdataset, read up to there"
SPEC = clipx.WindowSpec(16, num_clips=1, sampling="random")
FORMAT = clipx.ClipFormat(resize=(128, 128))
SAMPLES, POINT, BATCH = 100, 0.9, 8
MOST_OF_FILE, MOST_OF_SHARD = 0.05, 0.15  # asked for


class Counted:
    """Times calls, and notes the bytes that the server has sent in each."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.sent: dict[str, list[int]] = {}

    def time(self, name: str, function: Callable[[], object]) -> Sample:
        before = self._server.sent
        sample = timed(function)
        self.sent.setdefault(name, []).append(self._server.sent - before)
        return sample

    def figures(self, nbytes: int) -> dict[str, dict[str, Any]]:
        """By contestant, the bytes read, and which part of the file they are."""
        medians = {name: statistics.median(sent) for name, sent in self.sent.items()}
        return {name: {"bytes_read": sent, "of_file": sent / nbytes} for name, sent in medians.items()}


# One clip


def clip_of(src: Any, seed: int, facts: Any = None) -> np.ndarray:
    (clip,) = selected_clips(
        src, SPEC, FORMAT, rng=np.random.default_rng(seed), name="video", facts=facts, selection=Selection()
    )
    return clip.data


def run_clip(title: str, path: Path, server: Server, run: Run) -> Result:
    import fsspec

    run.describe(title)
    with tempfile.TemporaryDirectory() as folder:
        index = clipx.Index.build(clipx.Files([{"path": str(path)}]), Path(folder) / "index.parquet")
        facts = next(value.facts for name, value in index.sample(0).items() if not name.startswith("__"))
    url, system = server.url(path.name), fsspec.filesystem("http")

    def ranged(known: Any, seed: int) -> np.ndarray:
        with open_range(url) as file:
            return clip_of(file, seed, known)

    def by_fsspec(seed: int) -> np.ndarray:
        with system.open(url) as file:
            return clip_of(file, seed)

    contestants: dict[str, Callable[[int], np.ndarray]] = {
        OURS: partial(ranged, None),
        INDEXED: partial(ranged, facts),
        FSSPEC: by_fsspec,
        WHOLE: lambda seed: clip_of(io.BytesIO(system.cat_file(url)), seed),
    }
    if path.suffix == ".mkv":
        del contestants[OURS]
    counted, seeds = Counted(server), {name: itertools.count() for name in contestants}
    found: dict[tuple[str, int], np.ndarray] = {}

    def visit(name: str) -> None:
        seed = next(seeds[name])
        found[name, seed] = contestants[name](seed)

    samples = run.interleave({name: partial(counted.time, name, partial(visit, name)) for name in contestants})
    for (name, seed), clip in found.items():
        if not np.array_equal(clip, clip_of(str(path), seed)):
            raise AssertionError(f"{name} gives another clip of {title}")
    nbytes = path.stat().st_size
    ours = next(iter(contestants))
    return Result(title, samples, ours, clips=1, figures=counted.figures(nbytes), facts={"file_bytes": nbytes})


# Going on


def batches(url: str, state: str | None = None) -> Iterator[tuple[dict[str, Any], str]]:
    """The batches of an epoch, and the state behind each."""
    loader = clipx.Loader(
        url, clipx.WindowSpec(16, 16), FORMAT, batch_size=BATCH, memory="256MB", threads=1, shuffle=False
    )
    if state is not None:
        loader.load_state_dict(json.loads(state))
    try:
        for batch in loader:
            yield batch, json.dumps(loader.state_dict())
    finally:
        loader.close()


def run_resume(path: Path, clips: int, server: Server, run: Run) -> Result:
    title = f"a shard of {SAMPLES} videos, going on at {POINT:.0%}"
    run.describe(title)
    url, stop = server.url(path.name), int(POINT * clips / BATCH)
    before, after = itertools.islice(batches(url), stop - 1, stop + 1)
    state, expected = before[1], after[0]["mp4"]

    def resume() -> None:
        batch, _ = next(batches(url, state))
        if not np.array_equal(batch["mp4"], expected):
            raise AssertionError("clipx goes on with another batch")

    def run_up() -> None:
        batch, _ = next(itertools.islice(batches(url), stop, None))
        if not np.array_equal(batch["mp4"], expected):
            raise AssertionError("clipx gives another batch from the start")

    def read_up() -> None:
        samples = iter(webdataset.WebDataset(f"pipe:curl -s -f {url}", shardshuffle=False))
        next(itertools.islice(samples, int(POINT * SAMPLES), None))

    contestants = {RESUMED: resume, AGAIN: run_up, CURL: read_up}
    counted = Counted(server)
    samples = run.interleave({name: partial(counted.time, name, each) for name, each in contestants.items()})
    nbytes = path.stat().st_size
    figures = counted.figures(nbytes)
    return Result(title, samples, RESUMED, rivals=(AGAIN, CURL), figures=figures, facts={"file_bytes": nbytes})


def of_file(result: Result, name: str) -> str:
    return f"{result.figures[name]['of_file']:.2%}"


def measure(run: Run) -> Records:
    missing = find_missing({"remote files": ["fsspec", "aiohttp"], "the index": ["pyarrow"]})
    run.leave_out(missing)
    found = find_files(run.folder, [VIDEO], run.describe)
    run.leave_out(found.missing)
    if missing or found.missing:
        return {"clips": [], "resume": []}
    folder = run.folder / "remote"
    folder.mkdir(exist_ok=True)
    run.describe("making files")
    short = recode(found.videos[VIDEO], 720, 1280, FRAMES, 25, GOP, run.folder)
    size = Path(short.path).stat().st_size
    long = repeat(short, max(round(FILE_BYTES / size), 1), run.folder)
    layouts = {
        "MP4, header at the beginning": remux(long, folder / "faststart.mp4", "mp4", movflags="+faststart"),
        "MP4, header at the end": remux(long, folder / "plain.mp4", "mp4"),
        "Matroska": remux(long, folder / "plain.mkv", "matroska"),
    }
    shard, part = folder / "shard.tar", recode(found.videos[VIDEO], 360, 640, 160, 25, GOP, run.folder)
    if not shard.is_file():
        write_shard(shard, [part] * SAMPLES)
    if run.quick:
        layouts.pop("MP4, header at the end")
    run.expect(run.repeats * (4 * len(layouts) - 1 + 3))
    with serving(folder, LATENCY) as server:
        clips = [run_clip(title, path, server, run) for title, path in layouts.items()]
        resumed = run_resume(shard, SAMPLES * (part.frames // 16), server, run)
    columns = (MS, SPREAD, Column("of the file", of_file), CLIPX_IS)
    run.show(results_table("One clip of 16 frames", clips, columns), results_table("Going on", [resumed], columns))
    for result in clips:
        for name in result.figures:
            if name in (OURS, INDEXED):
                part_read = result.figures[name]["of_file"] * 100
                run.floors.at_most(f"{result.title}: {name} reads", MOST_OF_FILE * 100, part_read, "%")
    part_read = resumed.figures[RESUMED]["of_file"] * 100
    run.floors.at_most(f"{resumed.title}: {RESUMED} reads", MOST_OF_SHARD * 100, part_read, "%")
    run.settings |= {"latency": LATENCY, "gop": GOP}
    return {"clips": [each.record() for each in clips], "resume": [resumed.record()]}


VERSIONS = ("numpy", "av", "webdataset", "fsspec", "aiohttp")
main = command("remote", measure, VERSIONS, (5, 3), quick="two layouts, few repetitions")
if __name__ == "__main__":
    main()
