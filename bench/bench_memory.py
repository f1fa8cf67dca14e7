"""How much memory does the pipeline of webdataset's issue 354 take: views, `.copy()`, clipx with and without a pool?

80 arrays of 300x112x112x3 in a shard, length 16, stride 64, shuffle(200); each pipeline once, in a process of its own.
Memory is RSS above that at the start of the pipeline, sampled every 5 ms. "webdataset alone" reads the shard and makes
no clips; clipx with a pool also runs after `.decode()`.
"""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from _bench import Records, Run, command
from _processes import run_alone
from _results import make_record, make_table

import clipx

ARRAYS, SHAPE = 80, (300, 112, 112, 3)
WINDOW = clipx.WindowSpec(length=16, stride=64)
SHUFFLED, SLOTS = 200, 204
MOST_ABOVE_POOL = 75_000_000
ALONE, POOL = "webdataset alone", "clipx pool"
KINDS = (ALONE, "views", ".copy()", "clipx heap", POOL, "clipx pool after decode")

Samples = Iterator[dict[str, Any]]


def write_shard(path: Path) -> None:
    with webdataset.TarWriter(str(path)) as tar:
        for number in range(ARRAYS):
            frames = np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)
            tar.write({"__key__": f"array{number:03d}", "npy": frames})


def slices(copies: bool) -> Callable[[Samples], Samples]:
    def stage(samples: Samples) -> Samples:
        for sample in samples:
            x = sample["npy"]
            for start in range(0, len(x) - WINDOW.length + 1, WINDOW.stride):
                clip = x[start : start + WINDOW.length]
                yield {"__key__": f"{sample['__key__']}_{start}", "npy": clip.copy() if copies else clip}

    return stage


def pipeline(kind: str, shard: str, remember: Callable[[Samples], Samples]) -> Any:
    dataset = webdataset.WebDataset(shard, shardshuffle=False)
    if kind == ALONE:
        return dataset
    if kind == "clipx heap":
        dataset = dataset.compose(clipx.wds.clips(WINDOW))
    elif kind == POOL:
        dataset = dataset.compose(clipx.wds.clips(WINDOW, pool=make_pool()))
    elif kind == "clipx pool after decode":
        dataset = dataset.decode().compose(clipx.wds.clips(WINDOW, pool=make_pool()))
    else:
        dataset = dataset.decode().compose(slices(copies=kind == ".copy()"))
    return dataset.compose(remember).shuffle(SHUFFLED, initial=SHUFFLED)


def make_pool() -> clipx.ClipPool:
    return clipx.ClipPool(SLOTS, (WINDOW.length, *SHAPE[1:]))


def run_pipeline(kind: str, shard: str, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    made: list[weakref.ref] = []
    payload, retained, count = 0, 0, 0

    def remember(samples: Samples) -> Samples:
        for sample in samples:
            made.append(weakref.ref(sample["npy"]))
            yield sample
            del sample

    starting()
    dataset = pipeline(kind, shard, remember)
    with clipx.memory.Meter(interval=0.005) as meter:
        began = time.perf_counter()
        for sample in dataset:
            count += 1
            del sample
            if count == SHUFFLED // 2:
                live = [clip for clip in (ref() for ref in made) if clip is not None]
                payload, retained = clipx.memory.payload_bytes(live), clipx.memory.retained_bytes(live)
                del live
        seconds = time.perf_counter() - began
    return {
        "clips": count,
        "clips_per_second": count / seconds,
        "peak_bytes": meter.peak - meter.start,
        "shown_bytes": payload,
        "retained_bytes": retained,
    }


def measure(run: Run) -> Records:
    run.expect(len(KINDS))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "arrays.tar"
        run.describe("writing the shard")
        write_shard(shard)
        for kind in KINDS:
            run.describe(kind)
            found[kind] = run_alone(run_pipeline, kind, str(shard), watched=False).found
            run.tick()
    columns = ("case", "contestant", "samples", "samples/s", "peak MB", "shown MB", "retained MB")
    table = make_table("webdataset issue 354", columns, "shown, retained: by the live clips half-way.")
    for kind, each in found.items():
        amounts = (f"{each[name] / 1e6:.0f}" for name in ("peak_bytes", "shown_bytes", "retained_bytes"))
        row = (str(each["clips"]), f"{each['clips_per_second']:.0f}", *amounts)
        table.add_row("", kind, *row, style="bold" if kind == POOL else None)
    run.show(table)
    pool = SLOTS * int(np.prod((WINDOW.length, *SHAPE[1:])))
    over = found[POOL]["peak_bytes"] - pool
    run.floors.bytes_above("peak of clipx with a pool", "the pool", MOST_ABOVE_POOL, over)
    run.settings["pool_bytes"] = pool
    return {"results": [make_record("webdataset issue 354", POOL, found, ALONE)]}


main = command("memory", measure, ("numpy", "webdataset"), (1, 1), quick="the same, which is quick")
if __name__ == "__main__":
    main()
