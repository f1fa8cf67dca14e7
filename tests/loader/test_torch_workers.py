"""A Loader in the workers of a torch DataLoader."""

import itertools
import os
import warnings

import pytest
from helpers.loaders import EACH, clips_of, digest, everything, expected, of_arrays
from helpers.workers import data_loader, once_more

pytestmark = [once_more, pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def summary(batch):
    """What a worker sends: no slot, but values."""
    return {"keys": batch["__key__"], "clips": [digest(clip) for clip in batch["npy"]], "pid": os.getpid()}


class Summaries:
    """A loader as a torch dataset that sends what is in each batch, and what the worker set aside."""

    def __new__(cls, loader):
        import torch

        class Dataset(torch.utils.data.IterableDataset):
            def __iter__(self):
                for batch in loader:
                    pools = loader._pools
                    nbytes = pools.clips.nbytes + pools.batches.nbytes + pools.budget.encoded_bytes
                    yield {**summary(batch), "nbytes": nbytes}
                    del batch

        return Dataset()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_torch_workers(arrays, workers, shuffle):
    pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB", shuffle=shuffle)
    data = data_loader(Summaries(loader), num_workers=workers)
    batches = list(data)
    found = [pair for batch in batches for pair in zip(batch["keys"], batch["clips"])]
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples)
    assert len({batch["pid"] for batch in batches}) == max(workers, 1)
    assert max(batch["nbytes"] for batch in batches) <= 200_000 // max(workers, 1)


def test_torch_workers_after_an_epoch_here(arrays):
    """Workers that are forked from a process that has iterated divide the memory all the same."""
    pytest.importorskip("torch")
    urls, _ = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB", epoch=0)
    everything(loader)
    batches = list(data_loader(Summaries(loader), num_workers=2))
    assert max(batch["nbytes"] for batch in batches) <= 100_000
    fresh = of_arrays(urls, drop_last=False, memory="200kB", epoch=0)
    again = list(data_loader(Summaries(fresh), num_workers=2))
    assert [batch["keys"] for batch in batches] == [batch["keys"] for batch in again]


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_takes_the_loader_itself(arrays, workers):
    torch = pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB")
    data = data_loader(loader, num_workers=workers)
    for _ in range(2):
        found = []
        for batch in data:
            assert isinstance(batch["npy"], torch.Tensor)
            found += zip(batch["__key__"], [digest(clip.numpy()) for clip in batch["npy"]])
            del batch
        assert dict(found) == expected(samples)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader_that_makes_batches_is_refused(arrays, workers):
    pytest.importorskip("torch")
    loader = data_loader(of_arrays(arrays[0], batch_size=4), batch_size=1, num_workers=workers)
    with pytest.raises(ValueError, match=r"makes batches of a Loader's batches.* give it batch_size=None"):
        next(iter(loader))


def test_fewer_shards_than_workers(arrays):
    pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls[:2], drop_last=False, memory="400kB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # more workers than processors
        batches = list(data_loader(Summaries(loader), num_workers=3))
    found = [pair for batch in batches for pair in zip(batch["keys"], batch["clips"])]
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples[: 2 * EACH])


@pytest.mark.parametrize("shuffle", [False, True])
def test_nodes_and_workers_share_the_data(arrays, monkeypatch, shuffle, logged):
    """Every clip once over all of them; those that have too few shards share samples, and say so."""
    urls, samples = arrays
    for ranks, workers in [(1, 2), (2, 1), (2, 2), (3, 1), (1, 4), (5, 1), (4, 2), (2, 5)]:
        found = []
        for rank, worker in itertools.product(range(ranks), range(workers)):
            for name, number in {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}.items():
                monkeypatch.setenv(name, str(number))
            found += clips_of(of_arrays(urls, drop_last=False, shuffle=shuffle, memory="400kB"))
        assert len(found) == len(dict(found))
        assert dict(found) == expected(samples)
        lines = [line for line in logged() if f"{ranks} ranks of {workers} workers" in line]
        assert len(lines) == {(2, 2): 2, (1, 4): 4}.get(
            (ranks, workers), {5: 5, 8: 8, 10: 10}.get(ranks * workers, 0)
        ), (ranks, workers, lines)


def test_too_little_memory_for_each_worker(arrays, monkeypatch):
    """The figure that a worker's error names is the one to set."""
    urls, _ = arrays
    with pytest.raises(ValueError, match="memory is 1000 bytes") as caught:
        everything(of_arrays(urls, memory=1000))
    least = int(str(caught.value).rpartition(" ")[2])
    monkeypatch.setenv("WORKER", "0")
    monkeypatch.setenv("NUM_WORKERS", "2")
    assert everything(of_arrays(urls, memory=2 * least))
    with pytest.raises(ValueError, match="memory") as caught:
        everything(of_arrays(urls, memory=2 * least - 2))
    # 2 * least - 2 bytes were given; that is the number that the user can change.
    assert str(2 * least) in str(caught.value) or "worker" in str(caught.value)
