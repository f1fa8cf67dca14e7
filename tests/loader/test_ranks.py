"""Ranks: states of each, equal numbers of batches, and torch's own ways to save."""

import multiprocessing
import os
import pickle
import re
import warnings

import numpy as np
import pytest
from helpers.loaders import EACH, SHARDS, clips_of, digest, everything, expected, of_arrays, of_videos
from helpers.shards import array_sample, write_shard
from helpers.states import check_every
from helpers.workers import data_loader, once_more

pytestmark = [once_more, pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(ranks))


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("shards", [1, SHARDS])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks(arrays, monkeypatch, ranks, shards, drop_last):
    """Every clip once, the same number of batches, and the same again behind every state."""
    urls, samples = arrays
    found, counts, wanted = [], [], expected(samples[: shards * EACH])

    def make(**rest):
        return of_arrays(urls[:shards], drop_last=drop_last, equal_batches=True, batch_size=2, **rest)

    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        loader = make()
        counts.append((len(loader), len(everything(loader))))
        found += [
            (key, clip)
            for batch in make()
            for (key, clip), fact in zip(clips_of([batch]), batch["clip.json"])
            if not fact.get("repeated")
        ]
        check_every(make, every=3)
    assert len({*counts}) == 1
    assert counts[0][0] == counts[0][1] > 0
    assert len(found) == len(dict(found))
    assert dict(found).items() <= wanted.items() if drop_last else dict(found) == wanted


def test_equal_batches_of_damaged_files(tmp_path, make_video, monkeypatch, caplog):
    """A rank whose files give fewer clips than their headers list gives some again."""
    whole = make_video(n=60, g="10", bf="0").read_bytes()
    middle = whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2
    damaged = whole[: middle - 300] + bytes(300) + whole[middle:]
    url = write_shard(tmp_path / "0.tar", [{"__key__": f"a{i}", "mp4": damaged} for i in range(2)])
    good = write_shard(tmp_path / "1.tar", [{"__key__": f"b{i}", "mp4": whole} for i in range(2)])
    counts = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        loader = of_videos([url, good], shuffle=False, equal_batches=True, handler=lambda exn: True)
        batches = everything(loader)
        counts.append(len(batches))
        assert ("repeated" in batches[-1]["clip.json"]) == (rank == 0)
    assert counts[0] == counts[1] > 10
    assert "given again" in caplog.text


def test_map_sees_which_clips_are_repeated(tmp_path, monkeypatch):
    urls = [
        write_shard(tmp_path / "0.tar", [array_sample("a", 30)]),
        write_shard(tmp_path / "1.tar", [array_sample("b", 6)]),
    ]

    def note(sample):
        return {"__key__": sample["__key__"], "npy": sample["npy"], "again": "repeated" in sample["clip.json"]}

    as_rank(monkeypatch, 1, 2)
    loader = of_arrays(urls, equal_batches=True, shuffle=False, drop_last=False, map=note)
    assert [again for batch in loader for again in list(batch["again"])] == [False] * 2 + [True] * 12


def test_a_rank_without_clips(tmp_path, monkeypatch, caplog):
    urls = [
        write_shard(tmp_path / "0.tar", [array_sample("a", 30)]),
        write_shard(tmp_path / "1.tar", [array_sample("b", 1)]),
    ]
    for rank in (0, 1):
        as_rank(monkeypatch, rank, 2)
        with pytest.raises(ValueError, match="rank 1 of 2 has no clips to fill its batches with in epoch 0"):
            everything(of_arrays(urls, equal_batches=True, shuffle=False, drop_last=False))
        assert everything(of_arrays(urls, equal_batches=True, shuffle=False)) == []
    assert "rank 1 of 2 has 0 clips, fewer than a batch" in caplog.text


def test_a_rank_outside_the_world(arrays, monkeypatch):
    loader = of_arrays(arrays[0])
    for rank in ("2", "-1"):
        as_rank(monkeypatch, rank, "2")
        for call in (loader.state_dict, lambda: iter(loader), lambda: loader.load_state_dict({})):
            with pytest.raises(ValueError, match=f"rank is {rank}, but must lie from 0 to 1"):
                call()
    as_rank(monkeypatch, "one", "2")
    with pytest.raises(ValueError, match="'RANK': 'one'"):
        iter(loader)


def test_of_another_world(arrays, monkeypatch):
    as_rank(monkeypatch, 0, 2)
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    iterator.close()
    as_rank(monkeypatch, 0, 3)
    with pytest.raises(ValueError, match="saved with a world size of 2, but it is 3 now"):
        loader.load_state_dict(state)
    as_rank(monkeypatch, 1, 2)
    with pytest.raises(ValueError, match="state is that of rank 0 of 2, but this is rank 1 of 2"):
        loader.load_state_dict(state)
    as_rank(monkeypatch, 0, 2)
    loader.load_state_dict(state)
    as_rank(monkeypatch, 1, 2)  # it changes between
    with pytest.raises(ValueError, match="state is that of rank 0 of 2"):
        iter(loader)


def test_torch_distributed_goes_before_the_environment(arrays, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        as_rank(monkeypatch, 1, 3)
        loader = of_arrays(arrays[0], drop_last=False)
        assert loader.state_dict()["world"] == {"rank": 0, "ranks": 1, "worker": 0, "workers": 1}
        assert dict(clips_of(loader)) == expected(arrays[1])
        copy = pickle.loads(pickle.dumps(loader))
    finally:
        torch.distributed.destroy_process_group()
    # A worker that is started has the environment, but no process group.
    assert copy.state_dict()["world"] == {"rank": 0, "ranks": 1, "worker": 0, "workers": 1}
    assert of_arrays(arrays[0]).state_dict()["world"] == {"rank": 1, "ranks": 3, "worker": 0, "workers": 1}


def refuses(loader):
    """The exit status 7 where a loader says that its state was loaded elsewhere."""
    try:
        iter(loader)
    except ValueError as exn:
        os._exit(7 if "StatefulDataLoader" in str(exn) else 1)


def test_a_state_that_was_loaded_before_this_process_was_started(arrays):
    """As it would be in the worker of a DataLoader, in each epoch again."""
    loader = of_arrays(arrays[0])
    next(iter(loader))
    loader.load_state_dict(loader.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        process = multiprocessing.get_context("fork").Process(target=refuses, args=(loader,))
        process.start()
    process.join(30)
    assert process.exitcode == 7
    copy = pickle.loads(pickle.dumps(loader))
    copy._resuming.loaded_in = -1
    with pytest.raises(ValueError, match="StatefulDataLoader"):
        iter(copy)


def tensors(batch):
    """A batch that came through a torch DataLoader, as a value."""
    return {
        name: digest(np.asarray(value)) if hasattr(value, "shape") else repr(value) for name, value in batch.items()
    }


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, False), (2, False), (2, True)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_torchdata(arrays, workers, persistent, shuffle):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, samples = arrays

    def make(epoch):
        loader = of_arrays(urls, memory="200kB", drop_last=False, threads=2, shuffle=shuffle)
        loader.set_epoch(epoch)
        return data_loader(loader, of=stateful.StatefulDataLoader, num_workers=workers, persistent_workers=persistent)

    data, values, states = make(1), [], []
    states.append(data.state_dict())
    for batch in data:
        values.append(tensors(batch))
        states.append(data.state_dict())
        del batch
    assert len(values) > 10
    keys = [key for value in values for key in re.findall(r"'(s\d_\d_\d+)'", value["__key__"])]
    assert sorted(keys) == sorted(expected(samples))
    if persistent or not workers:
        following = [tensors(batch) for batch in data]
        assert (following != values) == shuffle
    for at in range(0, len(states), 7):
        other = make(1)
        other.load_state_dict(pickle.loads(pickle.dumps(states[at])))
        assert [tensors(batch) for batch in other] == values[at:], at
        if persistent or not workers:
            assert [tensors(batch) for batch in other] == following
