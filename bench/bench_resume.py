"""How fast does a stopped run go on?

A Loader has given its batches up to 10, 50 or 90 % of an epoch, and its state is saved. Timed is the way to the batch
that comes next, uint8 clips of 16 frames, in batches of 8:

- clipx.Loader, from `load_state_dict` to that batch, in a process that has only imported. The batch is compared with
  that of the run that was not stopped, byte for byte.
- the same Loader, from the start of the epoch to that batch.
- webdataset has no state: the same pipeline runs again, and its batches before that one are dropped. PyAV with one
  reformatter, whose decoder has as many threads as the Loader, crops in a list, `np.stack`; or slices and `.copy()` of
  arrays; then `wds.shuffle` and `wds.batched`, in one process.
- torchdata's StatefulDataLoader over that pipeline, with two workers: it saves its position, and runs up to there.

Of webdataset's clips every one is compared, by the mean of some of its bytes. The fifth batch is timed, too: a first
batch that comes early and is followed by a pause has won nothing.

A Loader that goes on makes the clips again that its shuffle held. For a clip of an H.264 video the frames from the key
frame before it are decoded, together two to three times as many as these clips have; a sample of arrays is read whole,
and a gzip'd shard from its beginning. So the time is that of the shuffle, and its ratio to the way from the start
depends on the epoch: the shuffle is a twentieth of it here, then a tenth and a half. Floors are for at most a tenth,
and plain shards. Where the epoch is about as long as the shuffle, nothing is won.

The videos: H.264 by x264's defaults, key frames 250 apart, 640x360, 32 to 48 seconds, centre crops of 224x224. The
arrays: 112x112 as they are. Shards are plain tars on a local disk, in the page cache. How the figures are measured: see
`_measure.py`.
"""

from __future__ import annotations

import gc
import io
import itertools
import json
import logging
import pickle
import statistics
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import av
import numpy as np
import webdataset
from _bench import Records, Run, command, find_missing
from _epochs import BATCH, CROP, LENGTH, SEED, THREADS, VIDEOS, Case, find_shards, make_loader
from _measure import Sample
from _processes import run_alone
from _results import CLIPX_IS, MS, SPREAD, Column, Result, results_table, show_ratio
from _videos import find_files, load
from av.video.reformatter import VideoReformatter

WORKERS = 2
FASTER = 5.0  # asked for in the last tenth
AFTER = 5  # batches from a point on that are timed together, too
MOST_MEAN_APART = 2.0  # of bytes: decoders' colours differ by a rounding
RESUME, AGAIN = "clipx, load_state_dict", "clipx, run up to there"
WEBDATASET, STATEFUL = "webdataset, run up to there", "torchdata StatefulDataLoader, 2 workers"

CASES = (
    Case("mp4", 4, LENGTH, 100, rivals=(WEBDATASET,)),
    Case("mp4", 4, LENGTH, 200, (0.9,)),
    Case("mp4", 2, LENGTH, 500, (0.5,)),
    Case("mp4", 8, 64, 50),
    Case("npy", 4, LENGTH, 100, rivals=(WEBDATASET, STATEFUL)),
    Case("npy", 2, LENGTH, 50, (0.9,), gzipped=True),
)


# Contestants, each in a process of its own


def digest(batch: Mapping[str, Any]) -> int:
    """Checksum of all fields of a batch."""
    found = 0
    for name in sorted(batch):
        value = batch[name]
        found = zlib.crc32(value if isinstance(value, np.ndarray) else repr(value).encode(), found)
    return found


def digest_clips(case: Case, batch: dict[str, Any]) -> int:
    return digest({"__key__": batch["__key__"], case.field: np.asarray(batch[case.field])})


def means(clips: Any) -> list[float]:
    """Mean of some bytes of each clip."""
    return [float(mean) for mean in np.asarray(clips)[:, ::5, ::37, ::41].mean(axis=(1, 2, 3, 4))]


def to_later(batches: Iterator[Any], began: float) -> float:
    """Seconds from `began` to the last of AFTER batches, after the first of them."""
    for _ in itertools.islice(batches, AFTER - 1):
        pass
    return time.perf_counter() - began


def run_up(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """A Loader from the start of an epoch to the last point: seconds to each point, and the states there."""
    loader = make_loader(case, shards)
    stops = [case.batch_at(point) for point in case.points]
    seconds, later, digests, states = [], [], [], []
    clips: dict[str, float] = {}
    gc.collect()
    starting()
    began = time.perf_counter()
    for number, batch in enumerate(loader):
        if number in stops:
            seconds.append(time.perf_counter() - began)
            digests.append(digest(batch))
        if number + 1 - AFTER in stops:
            later.append(time.perf_counter() - began)
        if number + 1 in stops:
            states.append(json.dumps(loader.state_dict()))
        for key, made, mean in zip(batch["__key__"], batch["clip.json"], means(batch[case.field])):
            clips[f"{key.rpartition('_')[0]}_{made['start']:06d}"] = mean
        del batch
        if number + 1 == stops[-1] + AFTER:
            break
    loader.close()
    return {"seconds": seconds, "later": later, "digests": digests, "states": states, "clips": clips}


def resume(case: Case, shards: list[str], state: str, starting: Callable[[], None]) -> dict[str, Any]:
    loader = make_loader(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    loader.load_state_dict(json.loads(state))
    batches = iter(loader)
    batch = next(batches)
    seconds = time.perf_counter() - began
    digests = [digest(batch)]
    del batch
    later = to_later(batches, began)
    loader.close()
    return {"seconds": [seconds], "later": [later], "digests": digests}


def cropped_frames(data: bytes, case: Case, threads: int, reformatter: VideoReformatter) -> Iterator[tuple[int, Any]]:
    """The frames that clips need, with their numbers."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        for k, frame in enumerate(container.decode(stream)):
            if k % case.stride < LENGTH:
                pixels = reformatter.reformat(frame, format="rgb24", threads=threads).to_ndarray()
                top, left = ((size - CROP) // 2 for size in pixels.shape[:2])
                yield k, pixels[top : top + CROP, left : left + CROP]


def clips_of(case: Case, threads: int, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    reformatter, from_numpy = VideoReformatter(), load("torch").from_numpy
    for sample in samples:
        rest = {name: value for name, value in sample.items() if name not in (case.field, "__key__")}
        if case.field == "npy":
            x = sample["npy"]
            found = ((k, x[k : k + LENGTH].copy()) for k in range(0, len(x) - LENGTH + 1, case.stride))
        else:
            frames = cropped_frames(sample["mp4"], case, threads, reformatter)
            found = ((run[0][0], np.stack([pixels for _, pixels in run])) for run in runs(frames))
        for start, clip in found:
            yield {"__key__": f"{sample['__key__']}_{start:06d}", case.field: from_numpy(clip), **rest}


def runs(frames: Iterable[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Frames of one clip each; those left at the end are dropped."""
    frames = iter(frames)
    while len(run := list(itertools.islice(frames, LENGTH))) == LENGTH:
        yield run


def pipeline(case: Case, shards: list[str], workers: int) -> Any:
    """webdataset's pipeline, which gives the same batches each time it is run."""
    shuffled = max(case.shuffled // max(workers, 1), 1)
    return (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=SEED)
        .decode()
        .compose(partial(clips_of, case, 1 if workers else THREADS))
        .shuffle(shuffled, initial=shuffled, seed=SEED)
        .batched(BATCH)
    )


def run_webdataset(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    dataset = pipeline(case, shards, 0)
    stops = [case.batch_at(point) for point in case.points]
    seconds, later, digests = [], [], []
    clips: dict[str, float] = {}
    gc.collect()
    starting()
    began = time.perf_counter()
    for number, batch in enumerate(dataset):
        if number in stops:
            seconds.append(time.perf_counter() - began)
            digests.append(digest_clips(case, batch))
        if number + 1 - AFTER in stops:
            later.append(time.perf_counter() - began)
        clips.update(zip(batch["__key__"], means(batch[case.field])))
        del batch
        if number + 1 == stops[-1] + AFTER:
            break
    return {"seconds": seconds, "later": later, "digests": digests, "clips": clips}


def stateful_batches(case: Case, shards: list[str]) -> Any:
    load("torch.utils.data")
    loader = load("torchdata.stateful_dataloader").StatefulDataLoader
    load("torch").set_num_threads(1)
    # It warns that it can only run up to there, which is measured here.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    return loader(pipeline(case, shards, WORKERS), batch_size=None, num_workers=WORKERS)


def save_stateful(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """The state of a StatefulDataLoader before the last point, and the checksum of the batch there."""
    loader, found, state = stateful_batches(case, shards), [], b""
    starting()
    for number, batch in enumerate(loader):
        if number + 1 == case.batch_at(case.points[-1]):
            state = pickle.dumps(loader.state_dict())
        if number == case.batch_at(case.points[-1]):
            found.append(digest_clips(case, batch))
    return {"state": state, "digests": found}


def resume_stateful(case: Case, shards: list[str], state: bytes, starting: Callable[[], None]) -> dict[str, Any]:
    loader = stateful_batches(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    loader.load_state_dict(pickle.loads(state))
    batches = iter(loader)
    batch = next(batches)
    seconds = time.perf_counter() - began
    found = digest_clips(case, batch)
    later = to_later(batches, began)
    for _ in batches:  # workers that are stopped while they work may abort
        pass
    return {"seconds": [seconds], "later": [later], "digests": [found]}


# Going on


def compare_clips(case: Case, found: Mapping[str, Mapping[str, float]]) -> None:
    """Raise unless clips that both gave are the same, and each was given once."""
    for name, clips in found.items():
        if len(clips) != BATCH * (case.batch_at(case.points[-1]) + AFTER):
            raise AssertionError(f"{name} gives {len(clips)} different clips of {case.title}")
        both = clips.keys() & found[AGAIN].keys()
        worst = max(abs(clips[key] - found[AGAIN][key]) for key in both)
        if worst > MOST_MEAN_APART:
            raise AssertionError(f"{name} gives other clips of {case.title}: their means are {worst:.2f} apart")


class Stops:
    """The samples of a case's points, which several contestants take in one run."""

    def __init__(self, case: Case, shards: list[str], run: Run) -> None:
        self._case, self._shards, self._run = case, shards, run
        self.samples: dict[float, dict[str, list[Sample]]] = {point: {} for point in case.points}
        self.later: dict[float, dict[str, list[float]]] = {point: {} for point in case.points}
        self.clips: dict[str, dict[str, float]] = {}
        self.states: list[str] = []
        self._digests: dict[tuple[str, float], int] = {}

    def expect(self, name: str, point: float, digest: int) -> None:
        """Raise AssertionError if another batch has been seen there. A resumed run gives those of the first run."""
        if self._digests.setdefault((AGAIN if name == RESUME else name, point), digest) != digest:
            raise AssertionError(f"{name} gives another batch of {self._case.title} at {point:.0%}")

    def run(self, name: str, points: Sequence[float], function: Callable[..., dict[str, Any]], *more: Any) -> Sample:
        """Run one contestant to these points; returns the sample of the last one."""
        self._run.describe(f"{self._case.title}: {name}")
        found = run_alone(function, self._case, self._shards, *more, watched=False).found
        for point, seconds, at_last in zip(points, found["seconds"], found["later"], strict=True):
            self.samples[point].setdefault(name, []).append(Sample(seconds))
            self.later[point].setdefault(name, []).append(at_last)
        for point, each in zip(points, found.get("digests", ())):
            self.expect(name, point, each)
        if "clips" in found:
            self.clips[name] = found["clips"]
        self.states = found.get("states", self.states)
        return self.samples[points[-1]][name][-1]

    def resume(self, number: int) -> Sample:
        """Go on from the state at a point."""
        return self.run(RESUME, self._case.points[number : number + 1], resume, self.states[number])


def run_case(case: Case, shards: list[str], run: Run) -> list[Result]:
    """A result for each point."""
    stops = Stops(case, shards, run)
    contestants: dict[str, Callable[[], Sample]] = {AGAIN: partial(stops.run, AGAIN, case.points, run_up)}
    contestants |= {f"{RESUME} {number}": partial(stops.resume, number) for number in range(len(case.points))}
    if WEBDATASET in case.rivals:
        contestants[WEBDATASET] = partial(stops.run, WEBDATASET, case.points, run_webdataset)
    if STATEFUL in case.rivals:
        run.describe(f"{case.title}: {STATEFUL}, its state")
        found = run_alone(save_stateful, case, shards, watched=False).found
        stops.expect(STATEFUL, case.points[-1], found["digests"][0])
        contestants[STATEFUL] = partial(stops.run, STATEFUL, case.points[-1:], resume_stateful, found["state"])
    run.interleave(contestants)
    compare_clips(case, stops.clips)
    results = []
    for point, state in zip(case.points, stops.states):
        samples, later = stops.samples[point], stops.later[point]
        names = [name for name in (RESUME, AGAIN, *case.rivals) if name in samples]
        held = len(json.loads(state)["shuffle"]["held"][0])
        made = Result(
            title=f"{case.title}, at {point:.0%}",
            samples={name: samples[name] for name in names},
            ours=RESUME,
            rivals=tuple(names[1:]),
            notes=(*case.title.split(", "), f"at {point:.0%}, {held} held"),
            figures={name: {"later_seconds": later[name]} for name in names},
            facts={"point": point, "held": held, "shuffle_of_epoch": case.part, "gzipped": case.gzipped},
        )
        results.append(made)
    return results


def later_ratio(result: Result, name: str) -> str:
    """Speed of ours over that of a contestant, to the last of AFTER batches."""
    ours, theirs = (result.figures[each]["later_seconds"] for each in (RESUME, name))
    return "" if name == RESUME else show_ratio(statistics.median(b / a for a, b in zip(ours, theirs)))


def measure(run: Run) -> Records:
    found = find_files(run.folder, VIDEOS, run.describe)
    run.leave_out(found.missing)
    run.leave_out(find_missing({STATEFUL: ["torchdata"]}))
    wanted = map(Case.shortened, CASES) if run.quick else CASES
    cases = [case.without(run.left_out) for case in wanted if case.field != "mp4" or not found.missing]
    run.expect(run.repeats * sum(1 + len(case.points) + len(case.rivals) for case in cases))
    results: list[Result] = []
    for case in cases:
        shards = find_shards(case, list(found.videos.values()), run)
        results += run_case(case, shards, run)
    columns = (MS, SPREAD, CLIPX_IS, Column(f"to the {AFTER}th, clipx is", later_ratio))
    run.show(results_table("To the next batch", results, columns, "held: clips of the shuffle, which are made again."))
    for result in results:
        facts = result.facts
        if facts["point"] >= 0.9 and facts["shuffle_of_epoch"] <= 0.1 and not facts["gzipped"]:
            run.floors.fastest_rival(result, FASTER)
    run.settings |= {"batch": BATCH, "threads": THREADS}
    records = []
    for result in results:
        record = result.record()
        for name, each in record["contestants"].items():
            each["to_the_batch"] = result.seconds(name)
        records.append(record)
    return {"results": records}


VERSIONS = ("numpy", "av", "webdataset", "torch", "torchdata")
main = command("resume", measure, VERSIONS, (3, 1), quick="90 % alone, half of the shards and of the shuffle")
if __name__ == "__main__":
    main()
