"""Ranks and workers: shares that hold every sample once, and ranks of a real process group."""

import itertools
import json
import multiprocessing
import warnings

import pytest
from helpers.loaders import clips_of, expected, of_arrays
from helpers.shards import array_sample, write_shard

from clipx.datasets.shares import share
from clipx.datasets.world import World, find_world

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8, 24])
@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_shares_are_disjoint_and_complete(shards, ranks, workers):
    samples = {shard: (7 * shard) % 11 + 1 for shard in range(shards)}
    order = list(range(shards))[::-1]
    seen = []
    for rank, worker in itertools.product(range(ranks), range(workers)):
        mine = share(order, World(rank, ranks, worker, workers))
        assert mine.shards == [shard for shard in order if shard in mine.shards]  # in the epoch's order
        seen += [(part.part, n) for part in mine.from_() for n in range(samples[part.part]) if part.takes(n)]
        # Nobody reads a shard for a part of it where there are enough shards.
        assert (mine.step == 1) == (shards >= ranks and len(range(rank, shards, ranks)) >= workers)
    assert sorted(seen) == [(shard, n) for shard in range(shards) for n in range(samples[shard])]


def test_small_shards_are_shared_evenly():
    """Shards of one sample do not all go to the first."""
    shares = [share(range(3), World(rank, 6, 0, 1)) for rank in range(6)]
    taken = [sum(part.takes(0) for part in mine.from_()) for mine in shares]
    assert sorted(taken) == [0, 0, 0, 1, 1, 1]


def test_find_world(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    assert find_world() == (0, 1, 0, 1)
    assert find_world((1, 3)) == (1, 3, 0, 1)
    monkeypatch.setenv("RANK", "2")
    assert find_world() == (0, 1, 0, 1)  # a rank of no world
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert find_world() == (2, 4, 0, 1)
    monkeypatch.setenv("WORKER", "1")
    monkeypatch.setenv("NUM_WORKERS", "1")
    with pytest.raises(ValueError, match="worker is 1, but must lie from 0 to 0, in a world of 1"):
        find_world()
    monkeypatch.setenv("NUM_WORKERS", "two")
    with pytest.raises(ValueError, match="'NUM_WORKERS': 'two'"):
        find_world()


def as_rank(rank, ranks, store, folder, datasets):
    """A rank of a gloo process group: what it reads of each dataset, in two epochs, the second stopped and resumed."""
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    found = []
    for urls, shuffle, drop_last in itertools.product(datasets, (False, True), (False, True)):

        def make(threads, urls=urls, shuffle=shuffle, drop_last=drop_last):
            return of_arrays(urls, shuffle=shuffle, drop_last=drop_last, equal_batches=True, threads=threads)

        loader, epochs = make(2), []
        for _ in range(2):
            counted, batches = len(loader), []
            for batch in loader:
                repeated = [fact.get("repeated", False) for fact in batch["clip.json"]]
                batches.append([[*pair, again] for pair, again in zip(clips_of([batch]), repeated)])
                del batch
                if len(epochs) == 1 and len(batches) == max(counted // 2, 1):
                    state = loader.state_dict()
                    loader.close()
                    loader = make(3)
                    loader.load_state_dict(state)
                    break
            if len(epochs) == 1:
                batches += [[[*pair, False] for pair in clips_of([batch])] for batch in loader]
            epochs.append([counted, batches])
        everyone = [None] * ranks
        torch.distributed.all_gather_object(everyone, [len(batches) for _, batches in epochs])
        assert all(each == everyone[0] for each in everyone), everyone
        found.append(epochs)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("ranks", [2, 3])
def test_gloo_ranks(tmp_path, ranks, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    samples = [array_sample(f"s{i:02d}", 6 + 3 * (i % 7)) for i in range(20)]
    five = [write_shard(tmp_path / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(5)]
    one = [write_shard(tmp_path / "all.tar", samples)]
    wanted = expected(samples)
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        processes = [
            context.Process(target=as_rank, args=(rank, ranks, tmp_path / "store", tmp_path, [five, one]))
            for rank in range(ranks)
        ]
        for process in processes:
            process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * ranks
    of_rank = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    # Over five shards and one, with and without a shuffle, and with last batches dropped or not.
    for run, (shuffle, drop_last) in enumerate(itertools.product((False, True), (False, True))):
        for of_dataset in (0, 4):
            for epoch in range(2):
                reported = [each[of_dataset + run][epoch] for each in of_rank]
                assert len({(counted, len(batches)) for counted, batches in reported}) == 1
                assert reported[0][0] == len(reported[0][1]) > 0
                clips = [clip for _, batches in reported for batch in batches for clip in batch]
                if epoch == 0:
                    first = [(key, clip) for key, clip, again in clips if not again]
                    assert len(first) == len(dict(first)), (of_dataset, shuffle)
                else:
                    first = [(key, clip) for key, clip, _ in clips]
                if drop_last:
                    assert len(first) == len(dict(first))
                    assert dict(first).items() <= wanted.items()
                else:
                    assert dict(first) == wanted
                    assert len({sum(map(len, batches)) for _, batches in reported}) == 1
