"""How much memory does the pipeline of webdataset's issue 354 take: views, `.copy()`, clipx with and without a pool?

80 arrays of 300x112x112x3 in one shard, length 16, stride 64, shuffle(200); each pipeline in a process of its own.
Memory is RSS above that at the start of the pipeline, sampled every 5 ms. "webdataset alone" reads the shard
and does nothing with it, and clipx with a pool also stands after `.decode()`.
"""

import multiprocessing
import tempfile
import time
import weakref
from pathlib import Path

import _measure
import click
import numpy as np
import webdataset
from rich.console import Console
from rich.table import Table

import clipx

ARRAYS, SHAPE = 80, (300, 112, 112, 3)
WINDOW = clipx.WindowSpec(length=16, stride=64)
SHUFFLED, SLOTS = 200, 204
KINDS = ("webdataset alone", "views", ".copy()", "clipx heap", "clipx pool", "clipx pool after decode")


def write_shard(path):
    with webdataset.TarWriter(str(path)) as tar:
        for number in range(ARRAYS):
            frames = np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)
            tar.write({"__key__": f"array{number:03d}", "npy": frames})


def slices(copies):
    def stage(samples):
        for sample in samples:
            x = sample["npy"]
            for start in range(0, len(x) - WINDOW.length + 1, WINDOW.stride):
                clip = x[start : start + WINDOW.length]
                yield {"__key__": f"{sample['__key__']}_{start}", "npy": clip.copy() if copies else clip}

    return stage


def pipeline(kind, shard, remember):
    dataset = webdataset.WebDataset(str(shard), shardshuffle=False)
    if kind == "webdataset alone":
        return dataset
    if kind == "clipx heap":
        dataset = dataset.compose(clipx.wds.clips(WINDOW))
    elif kind == "clipx pool":
        dataset = dataset.compose(clipx.wds.clips(WINDOW, pool=make_pool()))
    elif kind == "clipx pool after decode":
        dataset = dataset.decode().compose(clipx.wds.clips(WINDOW, pool=make_pool()))
    else:
        dataset = dataset.decode().compose(slices(copies=kind == ".copy()"))
    return dataset.compose(remember).shuffle(SHUFFLED, initial=SHUFFLED)


def make_pool():
    return clipx.ClipPool(SLOTS, (WINDOW.length, *SHAPE[1:]))


def run(kind, shard, results):
    made, shown, retained, count = [], 0, 0, 0

    def remember(samples):
        for sample in samples:
            made.append(weakref.ref(sample["npy"]))
            yield sample
            del sample

    dataset = pipeline(kind, shard, remember)
    with clipx.memory.Meter(interval=0.005) as meter:
        began = time.perf_counter()
        for sample in dataset:
            count += 1
            del sample
            if count == SHUFFLED // 2:
                live = [clip for clip in (ref() for ref in made) if clip is not None]
                shown, retained = clipx.memory.payload_bytes(live), clipx.memory.retained_bytes(live)
                del live
        seconds = time.perf_counter() - began
    results.send(
        {
            "clips": count,
            "clips_per_second": count / seconds,
            "peak_bytes": meter.peak - meter.start,
            "shown_bytes": shown,
            "retained_bytes": retained,
        }
    )


@click.command()
@click.option("--json", "target", type=click.Path(path_type=Path), default=_measure.RESULTS / "memory.json")
def main(target):
    """Run every pipeline once and print what it took."""
    console = Console()
    context = multiprocessing.get_context("spawn")
    found = {}
    with tempfile.TemporaryDirectory() as folder, console.status("writing the shard") as status:
        shard = Path(folder) / "arrays.tar"
        write_shard(shard)
        for kind in KINDS:
            status.update(kind)
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=run, args=(kind, shard, theirs))
            process.start()
            found[kind] = mine.recv()
            process.join()
    table = Table("", "samples", "samples/s", "peak MB", "shown MB", "retained MB", title="webdataset issue 354")
    for kind, each in found.items():
        amounts = (f"{each[name] / 1e6:.0f}" for name in ("peak_bytes", "shown_bytes", "retained_bytes"))
        table.add_row(kind, str(each["clips"]), f"{each['clips_per_second']:.0f}", *amounts)
    console.print(table)
    pool = SLOTS * int(np.prod((WINDOW.length, *SHAPE[1:])))
    over = (found["clipx pool"]["peak_bytes"] - pool) / 1e6
    asked = f"at most the pool ({pool / 1e6:.0f} MB) +75 MB"
    floors = [_measure.Floor("peak of clipx with a pool", asked, f"the pool {over:+.0f} MB", over <= 75)]
    _measure.print_floors(console, floors)
    record = {"title": "webdataset issue 354", "ours": "clipx pool", "rivals": ["views", ".copy()"]}
    record |= {"limit": "webdataset alone", "contestants": found}
    facts = _measure.machine("numpy", "webdataset")
    _measure.write_json(target, machine=facts, pool_bytes=pool, results=[record], floors=floors)
    console.print(f"written to {target}")


if __name__ == "__main__":
    main()
