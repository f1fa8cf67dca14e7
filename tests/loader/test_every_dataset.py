"""Every kind of dataset: each clip once over ranks and workers, and states that go on, byte for byte.

With CLIPX_LONG=1 in all worlds of 1, 2, 3 and 8 ranks with up to 3 workers, and at 20 points each.
"""

import json
import random
from collections import Counter

import pytest
from helpers.loaders import clips_of, everything, of_arrays
from helpers.long import LONG
from helpers.shards import array_sample, write_shard

import clipx

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("small_decoders", "no_threads_left")]

WORLDS = [(ranks, workers) for ranks in (1, 2, 3, 8) for workers in (1, 2, 3)] if LONG else [(1, 1), (3, 2)]
POINTS = 20 if LONG else 4


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Datasets of the same arrays by their kinds; a mixture has other ones, too."""
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("datasets")
    samples = [array_sample(f"s{i:02}", 4 + 3 * i % 17) for i in range(12)]
    urls = [write_shard(folder / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(3)]
    for sample in samples:
        (folder / f"{sample['__key__']}.npy").write_bytes(sample["npy"])
    files = clipx.Files([f"{sample['__key__']}.npy" for sample in samples], root=folder)
    more = write_shard(folder / "more.tar", [array_sample(f"m{i}", 9) for i in range(5)])
    index = clipx.Index.build(files, folder / "files.parquet")
    return {
        "files": files,
        "index of shards": clipx.Index.build(urls, folder / "shards.parquet"),
        "index of files": index,
        "mix": clipx.Mix({"a": (urls, 1), "b": ([more], 2)}),
        "mix of indexes": clipx.Mix({"a": (index, 3), "b": ([more], 1)}),
    }


KINDS = ["files", "index of shards", "index of files", "mix", "mix of indexes"]


def loaders(dataset, monkeypatch, ranks, workers, **changes):
    """The Loader of each process of a world."""
    for rank in range(ranks):
        for worker in range(workers):
            world = {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}
            for name, value in world.items():
                monkeypatch.setenv(name, str(value))
            yield of_arrays(dataset, **{"drop_last": False, "threads": 1, "memory": "300kB", **changes})


@pytest.mark.parametrize(("ranks", "workers"), WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_clip_once(datasets, monkeypatch, kind, ranks, workers):
    found = Counter()
    for loader in loaders(datasets[kind], monkeypatch, ranks, workers):
        with loader:
            found.update(clips_of(loader))
    with of_arrays(datasets[kind], drop_last=False, memory="300kB", shuffle=False) as whole:
        monkeypatch.setenv("WORLD_SIZE", "1")
        for name in ("RANK", "WORKER"):
            monkeypatch.setenv(name, "0")
        monkeypatch.setenv("NUM_WORKERS", "1")
        assert dict(found) == dict.fromkeys(clips_of(whole), 1)


@pytest.mark.parametrize(("ranks", "workers"), WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_states_go_on(datasets, monkeypatch, kind, ranks, workers):
    rng = random.Random(f"{kind} {ranks} {workers}")
    points = Counter(rng.randrange(ranks * workers) for _ in range(POINTS))
    for number, loader in enumerate(loaders(datasets[kind], monkeypatch, ranks, workers, batch_size=2)):
        if not points[number]:
            continue
        with loader:
            states, batches = [loader.state_dict()], []
            for batch in loader:
                batches += everything([batch])
                states.append(json.loads(json.dumps(loader.state_dict())))
                del batch
            for _ in range(points[number]):
                at = rng.randrange(len(batches)) if batches else 0
                loader.load_state_dict(states[at])
                assert everything(loader) == batches[at:]
