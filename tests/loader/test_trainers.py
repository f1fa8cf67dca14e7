"""Trainers that read ahead and share out batches: each clip once an epoch on one process and on two, and resumed."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.loaders import expected, of_arrays
from helpers.shards import array_sample, write_shard
from helpers.workers import data_loader

import clipx

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=[1, 2])
def runs(request, tmp_path_factory):
    """The samples, and what each trainer gave in each process."""
    for name in ("accelerate", "torchdata"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("trainers")
    samples = [array_sample(f"s{i}", 4 + 2 * (i % 5)) for i in range(12)]
    urls = [write_shard(folder / f"{i}.tar", samples[3 * i : 3 * i + 3]) for i in range(4)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if request.param > 1 else []
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "helpers.trainers", str(folder), *urls],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return samples, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.parametrize("trainer", ["accelerate", "unequal", "transformers", "lightning"])
def test_each_clip_once_and_resumed(runs, trainer):
    samples, found = runs
    if trainer not in found[0]:
        pytest.skip(f"{trainer} is not installed")
    keys = Counter()
    for each in found:
        whole, part, rest = each[trainer]
        assert part + rest == whole
        assert 0 < len(part) < len(whole)
        keys.update(key for batch in whole for key in batch)
    assert keys.keys() == expected(samples).keys()
    lengths = {len(each[trainer][0]) for each in found}
    if trainer == "unequal":
        assert max(keys.values()) == 1
    else:
        assert len(lengths) == 1
        assert keys.total() <= 2 * len(found) * max(lengths)


def test_accelerate_does_not_share_out_what_is_shared(runs):
    _, found = runs
    for each in found:
        wrappers = ["DataLoaderDispatcher", "IterableDatasetShard"] if len(found) > 1 else []
        assert len(each["refused"]) == len(wrappers)
        for error, wrapper in zip(each["refused"], wrappers):
            assert f"accelerate's {wrapper} shares out the batches of a Loader among 2 processes" in error
            assert "num_processes=1" in error


def batches(data):
    return [np.asarray(batch["npy"]).shape for batch in data]


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_len_behind_workers(arrays, tmp_path, equal, drop_last, small_decoders):
    """Of all workers; also of the rest of an epoch, and of one that was resharded."""
    pytest.importorskip("pyarrow")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, _ = arrays
    index = clipx.Index.build(urls, tmp_path / "a.parquet")

    def make():
        return of_arrays(index, memory="300kB", drop_last=drop_last, equal_batches=equal, batch_size=3)

    def over(loader):
        return data_loader(loader, of=stateful.StatefulDataLoader, num_workers=2)

    data = over(make())
    length, seen = len(data), 0
    for number, _ in enumerate(data):
        seen += 1
        if number == 4:
            state = data.state_dict()
    assert seen == length > 10
    resumed = over(make())
    resumed.load_state_dict(state)
    assert len(resumed) == length
    assert len(batches(resumed)) == length - 5
    (joined,) = clipx.reshard_states([state], ranks=1, workers=2)
    loader = make()
    loader.load_state_dict(joined)
    resharded = over(loader)
    assert length - 7 <= len(resharded) <= length - 3
    assert len(resharded) == len(batches(resharded))
    loader = make()
    loader.load_state_dict(clipx.reshard_states([state], ranks=1)[0])
    length = len(loader)
    assert [len(loader) for _ in loader] == [length] * length
