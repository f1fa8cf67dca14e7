"""States and epochs: when a state is used, and what replaces it."""

import gc
import json

import numpy as np
import pytest
from helpers.loaders import (
    everything,
    of_arrays,
)
from helpers.shards import array_sample, write_shard

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def test_epochs(arrays):
    urls, _ = arrays
    loader = of_arrays(urls)
    values = [everything(loader) for _ in range(3)]
    state = loader.state_dict()
    assert (state["epoch"], state["finished"]) == (2, True)
    other = of_arrays(urls)
    other.load_state_dict(state)
    assert other.state_dict()["epoch"] == 3
    assert everything(other) == everything(loader)

    # A state of the middle of an epoch: the rest of it, then the next.
    fresh = of_arrays(urls)
    fresh.set_epoch(1)
    iterator = iter(fresh)
    next(iterator)
    other = of_arrays(urls)
    other.load_state_dict(fresh.state_dict())
    assert everything(other) == values[1][1:]
    assert everything(other) == values[2]
    assert len(other) == len(values[0])

    # set_epoch: the same epoch goes on, another one begins.
    for epoch, wanted in [(1, values[1][1:]), (2, values[2]), (0, values[0])]:
        other = of_arrays(urls)
        other.load_state_dict(fresh.state_dict())
        other.set_epoch(epoch)
        assert everything(other) == wanted
    iterator.close()


def test_epoch_that_the_loader_is_told(arrays):
    urls, _ = arrays
    for epoch in (2, lambda: 2):
        loader = of_arrays(urls, epoch=epoch)
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict()
        wanted = everything(iterator)
        other = of_arrays(urls, epoch=epoch)
        other.load_state_dict(state)
        assert everything(other) == wanted
        assert len(everything(other)) == len(wanted) + 1
        with pytest.raises(ValueError, match="state is of epoch 2, but epoch of the loader says 5"):
            of_arrays(urls, epoch=5).load_state_dict(state)
        # Of an epoch that is over: from its beginning, as every iteration of this loader.
        other = of_arrays(urls, epoch=epoch)
        other.load_state_dict(loader.state_dict())
        assert len(everything(other)) == len(wanted) + 1


def resumed(urls):
    """A loader that has come to its end, another that goes on behind its first batch, that state, and what follows."""
    loader = of_arrays(urls)
    iterator = iter(loader)
    next(iterator)
    state, wanted = loader.state_dict(), everything(iterator)
    other = of_arrays(urls)
    other.load_state_dict(state)
    return loader, other, state, wanted


def test_a_state_is_used_up_by_the_first_batch(arrays):
    loader, other, state, wanted = resumed(arrays[0])
    assert other.state_dict() == state
    for _ in range(3):
        iter(other).close()
    assert other.state_dict() == state
    assert everything(other) == wanted
    assert everything(other) == everything(loader)


def test_a_state_that_waits(arrays):
    """It is not used up by an iterator that is closed before it is asked, and another epoch takes its place."""
    _loader, other, state, wanted = resumed(arrays[0])
    iterator = iter(other)
    other.close()
    assert list(iterator) == []
    assert everything(other) == wanted
    other.load_state_dict(state)
    iterator = iter(other)
    other.set_epoch(5)
    assert other.state_dict()["epoch"] == 5
    fifth = of_arrays(arrays[0], epoch=lambda: np.int64(5))
    assert everything(other) == everything(fifth)
    json.dumps(fifth.state_dict())


def test_a_state_that_is_loaded_while_batches_come(arrays):
    loader = of_arrays(arrays[0])
    first = iter(loader)
    next(first)
    state, wanted = loader.state_dict(), everything(first)
    second = iter(loader)
    next(second)
    loader.load_state_dict(state)
    assert everything(second) == []
    assert everything(loader) == wanted


def test_state_of_an_iteration_that_was_given_up(arrays):
    loader = of_arrays(arrays[0])
    next(iter(loader))
    state = loader.state_dict()
    loader.close()
    gc.collect()
    assert loader.state_dict() == state
    assert state["batch"]["count"] == 1
    wanted = everything(of_arrays(arrays[0]))
    loader.load_state_dict(state)
    assert everything(loader) == wanted[1:]


def test_state_behind_an_error(arrays, tmp_path):
    """A broken sample raises where it raised before, and again after each load."""
    samples = [array_sample(f"s{i}", 20) for i in range(8)]
    samples[5]["npy"] = b"broken"
    url = write_shard(tmp_path / "a.tar", samples)

    def until_error(loader):
        values = []
        iterator = (everything([batch])[0] for batch in loader)
        with pytest.raises(ValueError, match="s5"):
            values.extend(iterator)
        return values

    loader = of_arrays(url, shuffle=False)
    values = until_error(loader)
    assert len(values) > 5
    other = of_arrays(url, shuffle=False)
    other.load_state_dict(loader.state_dict())
    assert until_error(other) == []
