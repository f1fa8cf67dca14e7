"""Clips of different lengths in the workers of a DataLoader: sent as they are, counted, and exact on resume."""

import pickle
from itertools import islice

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.ragged import Parts, padded
from helpers.shards import write_shard
from helpers.workers import data_loader, once_more

import clipx
from clipx import wds

torch = pytest.importorskip("torch")

pytestmark = [
    once_more,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("small_decoders", "no_threads_left"),
]

SPEC = Parts(3, 8)
KINDS = ["list", "pad", "bucket"]


@pytest.fixture
def ragged(tmp_path):
    """Shards of arrays that give clips of one to eight frames, and these by their keys."""
    lengths = np.random.default_rng(3).integers(3, 30, 24)
    samples = [{"__key__": f"s{i:02d}", "npy": npy(array(n, i, (4, 5)))} for i, n in enumerate(lengths)]
    urls = [write_shard(tmp_path / f"{at:02d}.tar", samples[at : at + 6]) for at in range(0, 24, 6)]
    return urls, {clip["__key__"]: clip["npy"] for clip in wds.clips(SPEC)(samples)}


def loader_of(urls, kind, **changes):
    return clipx.Loader(urls, SPEC, batch_size=4, memory="160kB", ragged=kind, **{"drop_last": False, **changes})


def value(batch):
    """A batch as a value, of keys and bytes."""
    clips = [np.asarray(clip) for clip in batch["npy"]]
    lengths = torch.as_tensor(batch["lengths"]).tolist() if "lengths" in batch else None
    return batch["__key__"], [(clip.shape, clip.tobytes()) for clip in clips], lengths


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_tensors_or_lists_of_them(ragged, kind):
    urls, clips = ragged
    seen = []
    for batch in data_loader(loader_of(urls, kind), num_workers=2):
        found = [clips[key] for key in batch["__key__"]]
        assert type(batch["npy"]) is (list if kind == "list" else torch.Tensor)
        if kind == "list":
            assert [clip.numpy().tolist() for clip in batch["npy"]] == [clip.tolist() for clip in found]
        else:
            wanted = padded(found, 0) if kind == "pad" else np.stack(found)
            np.testing.assert_array_equal(batch["npy"].numpy(), wanted)
        if kind == "pad":
            assert batch["lengths"].dtype == torch.int64
            assert batch["lengths"].tolist() == [len(clip) for clip in found]
        seen += batch["__key__"]
        del batch
    assert sorted(seen) == sorted(clips)


def test_what_workers_leave_out_is_counted_here(ragged):
    urls, clips = ragged
    loader = loader_of(urls, "bucket", drop_last=True)
    seen = [key for batch in data_loader(loader, num_workers=2) for key in batch["__key__"]]
    left = [entry.key for entry in loader.errors.of_kind("left out")]
    assert sorted([*seen, *left]) == sorted(clips)
    assert loader.errors.counts["left out"] == len(left) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_states_in_workers(ragged, kind):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, _ = ragged

    def make(threads):
        return data_loader(loader_of(urls, kind, threads=threads), of=stateful.StatefulDataLoader, num_workers=2)

    wanted = [value(batch) for batch in make(1)]
    for count in (1, len(wanted) // 2, len(wanted) - 2):
        data = make(2)
        found = [value(batch) for batch in islice(iter(data), count)]
        state = pickle.loads(pickle.dumps(data.state_dict()))
        other = make(3)
        other.load_state_dict(state)
        assert found + [value(batch) for batch in other] == wanted
