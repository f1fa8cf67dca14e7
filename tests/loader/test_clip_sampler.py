"""The ClipSampler: shares of ranks, epochs, states; under DataLoaders with workers."""

import itertools
import json
import random

import pytest
from helpers.clip_datasets import RANDOM, keys_and_clips, of_index, summary
from helpers.long import LONG
from helpers.workers import data_loader, once_more

import clipx

pytest.importorskip("pyarrow")
pytestmark = once_more

SHUFFLES = [False, "clips", "sources", 1, 5, 1000]


@pytest.fixture(scope="module")
def index(tmp_path_factory, make_video):
    folder = tmp_path_factory.mktemp("clip_sampler")
    for i in range(7):
        (folder / f"v{i}.mp4").write_bytes(make_video(n=8 + i % 6).read_bytes())
    return clipx.Index.build(clipx.Files(folder / "*.mp4"), folder / "index.parquet")


def sampler_of(index, shuffle, rank=0, ranks=1, **changes):
    return clipx.ClipSampler(of_index(index, format=RANDOM), shuffle, rank=rank, ranks=ranks, **changes)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 40])
def test_ranks_have_every_clip_once(index, shuffle, ranks):
    whole = list(sampler_of(index, shuffle, seed=1))
    shares = [sampler_of(index, shuffle, rank, ranks, seed=1) for rank in range(ranks)]
    lengths = [len(share) for share in shares]
    assert [number for share in shares for number in share] == whole
    assert sorted(whole) == list(range(len(shares[0].dataset)))
    assert max(lengths) - min(lengths) <= 1
    assert sum(lengths) == len(whole)


@pytest.mark.parametrize("shuffle", ["clips", 5])
@pytest.mark.parametrize("ranks", [2, 3, 8, 40])
def test_shares_of_one_length(index, shuffle, ranks):
    n = len(of_index(index))
    for uneven, each in (("drop", n // ranks), ("repeat", -(-n // ranks))):
        shares = [list(sampler_of(index, shuffle, rank, ranks, uneven=uneven)) for rank in range(ranks)]
        assert {len(share) for share in shares} == {each}
        assert len(sampler_of(index, shuffle, 0, ranks, uneven=uneven)) == each
        found = [number for share in shares for number in share]
        assert (len(set(found)) == len(found)) if uneven == "drop" else (set(found) == set(range(n)))


def test_no_clips(index):
    dataset = of_index(index, spec=clipx.WindowSpec(100))
    assert len(dataset) == 0
    for shuffle in SHUFFLES:
        assert list(clipx.ClipSampler(dataset, shuffle, rank=1, ranks=3)) == []


def test_epochs_follow_each_other(index):
    sampler = sampler_of(index, "clips")
    epochs = [(list(sampler), sampler.dataset.epoch) for _ in range(3)]
    assert [epoch for _, epoch in epochs] == [0, 1, 2]
    assert len({tuple(order) for order, _ in epochs}) == 3
    sampler.set_epoch(1)
    assert sampler.epoch == sampler.dataset.epoch == 1
    assert list(sampler) == epochs[1][0]
    next(iter(sampler))  # given up: an epoch that does not end comes again
    assert (list(sampler), sampler.dataset.epoch) == epochs[2]


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_states(index, shuffle):
    sampler = sampler_of(index, shuffle, 1, 2, seed=4)
    sampler.set_epoch(3)
    whole = list(sampler)
    sampler.set_epoch(3)
    states = [sampler.state_dict() for _ in itertools.chain([0], sampler)]
    after = list(sampler)
    for given, state in enumerate(states):
        again = sampler_of(index, shuffle, 1, 2, seed=4)
        again.load_state_dict(json.loads(json.dumps(state)))
        if given < len(whole):
            again.set_epoch(3)
            assert list(again) == whole[given:]
        assert list(again) == after
        assert again.dataset.epoch == 4


def test_a_state_is_of_the_same_settings(index):
    state = sampler_of(index, "clips", 1, 2).state_dict()
    for wrong, found in [
        (sampler_of(index, "sources", 1, 2), "shuffle 'clips', but the sampler has 'sources'"),
        (sampler_of(index, "clips", 0, 2), "rank 1, but the sampler has 0"),
        (sampler_of(index, "clips", 1, 3), "ranks 2, but the sampler has 3"),
        (sampler_of(index, "clips", 1, 2, seed=1), "seed 0, but the sampler has 1"),
        (clipx.ClipSampler(of_index(index, spec=clipx.WindowSpec(5)), rank=1, ranks=2), "clips "),
    ]:
        with pytest.raises(ValueError, match=f"state has {found}"):
            wrong.load_state_dict(state)
    good = sampler_of(index, "clips", 1, 2)
    with pytest.raises(TypeError, match="state is a list"):
        good.load_state_dict([])
    with pytest.raises(ValueError, match="it lacks digest, rank"):
        good.load_state_dict({name: value for name, value in state.items() if name not in ("digest", "rank")})
    with pytest.raises(ValueError, match="1000 clips were given"):
        good.load_state_dict({**state, "given": 1000})
    with pytest.raises(ValueError, match="given of the state is -1"):
        good.load_state_dict({**state, "given": -1})
    with pytest.raises(ValueError, match="epoch of the state is 9223372036854775807"):
        good.load_state_dict({**state, "epoch": 2**63 - 1})
    with pytest.raises(ValueError, match="epoch is 9223372036854775808"):
        good.set_epoch(2**63)


def test_arguments(index):
    dataset = of_index(index)
    for arguments, text in [
        ({"shuffle": "all"}, "shuffle is 'all'"),
        ({"shuffle": 0}, "shuffle is 0"),
        ({"uneven": "pad"}, "uneven is 'pad'"),
        ({"rank": 1}, "rank is 1 and ranks is None"),
        ({"rank": 2, "ranks": 2}, "rank is 2"),
        ({"seed": -1}, "seed is -1"),
    ]:
        with pytest.raises(ValueError, match=text):
            clipx.ClipSampler(dataset, **arguments)
    with pytest.raises(TypeError, match="dataset is"):
        clipx.ClipSampler([1, 2])
    assert list(clipx.ClipSampler(dataset, True, rank=0, ranks=1)) == list(clipx.ClipSampler(dataset, rank=0, ranks=1))


def test_ranks_of_the_environment(index, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    dataset = of_index(index)
    assert list(clipx.ClipSampler(dataset)) == list(clipx.ClipSampler(dataset, rank=1, ranks=2))


# Under DataLoaders


def loader_of(index, shuffle, *, of=None, rank=0, ranks=1, batch_size=3, **rest):
    pytest.importorskip("torch")
    dataset = of_index(index, format=RANDOM, seed=2)
    sampler = clipx.ClipSampler(dataset, shuffle, rank=rank, ranks=ranks)
    collate = clipx.ClipDataset.collate
    return data_loader(dataset, batch_size, of=of, sampler=sampler, collate_fn=collate, **rest)


def clips_of_epoch(index, epoch):
    """Every clip of an epoch by its key."""
    dataset = of_index(index, format=RANDOM, seed=2)
    dataset.set_epoch(epoch)
    return {each["__key__"]: summary(each)["mp4"] for each in dataset}


def found_in(loader):
    return [pair for batch in loader for pair in keys_and_clips(batch)]


@pytest.mark.parametrize(("context", "persistent"), [("fork", True), ("fork", False), ("spawn", True)])
def test_workers_follow_the_epoch(index, context, persistent):
    torch = pytest.importorskip("torch")
    workers = 1 if context == "spawn" else 2
    loader = loader_of(index, 5, num_workers=workers, multiprocessing_context=context, persistent_workers=persistent)
    for epoch in (0, 1, 7, 8):
        if epoch == 7:
            loader.sampler.set_epoch(7)
        batches = list(loader)
        found = [pair for batch in batches for pair in keys_and_clips(batch)]
        assert dict(found) == clips_of_epoch(index, epoch)
        assert len(found) == len(dict(found)) == len(loader.sampler)
        assert all(isinstance(batch["mp4"], torch.Tensor) and batch["mp4"].is_contiguous() for batch in batches)


WORLDS = [(1, 0), (1, 3), (8, 0), (2, 2), *([(1, 1), (3, 1), (2, 3)] if LONG else [])]


@pytest.mark.parametrize(("ranks", "workers"), WORLDS)
def test_every_clip_once_over_ranks_and_workers(index, ranks, workers, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("torch.utils.data.dataloader.DataLoader.check_worker_number_rationality", lambda self: None)
    found = []
    for rank in range(ranks):
        found += found_in(loader_of(index, 5, rank=rank, ranks=ranks, num_workers=workers))
    assert len(found) == len(dict(found))
    assert dict(found) == clips_of_epoch(index, 0)


@pytest.mark.parametrize(("workers", "batch_size", "points"), [(0, 3, 8), (2, 3, 10 if LONG else 4), (2, None, 2)])
def test_states_go_on_in_spite_of_prefetching(index, workers, batch_size, points):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    pytest.importorskip("torch")

    def make():
        rest = {} if batch_size else {"batch_size": None}
        loader = loader_of(index, "clips", of=stateful.StatefulDataLoader, num_workers=workers, **rest)
        if not batch_size:
            loader.collate_fn = one_clip
        return loader

    loader = make()
    epochs, states = [], []
    for _ in range(2):
        batches = []
        for batch in loader:
            batches.append(everything_of(batch))
            states.append((len(epochs), len(batches), json.loads(json.dumps(loader.state_dict()))))
        epochs.append(batches)
    last = len(epochs[0])
    for epoch, given, state in [states[last - 1], *random.Random(0).sample(states, points - 1)]:
        again = make()
        again.load_state_dict(state)
        assert [everything_of(batch) for batch in again] == epochs[epoch][given:]
        if epoch == 0 and given > last - 3:
            assert [everything_of(batch) for batch in again] == epochs[1]


def one_clip(sample):
    return clipx.ClipDataset.collate([sample])


def everything_of(batch):
    return {name: value.numpy().tobytes() if name == "mp4" else repr(value) for name, value in batch.items()}


def test_batches_are_written_once(index):
    """Workers write clips to the memory that is sent: it is a tensor's, whole and in order."""
    pytest.importorskip("torch")
    dataset = of_index(index)
    loader = data_loader(dataset, 4, collate_fn=where_clips_lie, num_workers=1)
    for addresses, owners, collated, nbytes in loader:
        start = addresses[0]
        assert addresses == [start + row * nbytes for row in range(len(addresses))]
        assert len(set(owners)) == 1
        assert collated == start


def where_clips_lie(samples):
    clips = [sample["mp4"] for sample in samples]
    batch = clipx.ClipDataset.collate(samples)
    return (
        [clip.ctypes.data for clip in clips],
        [id(clip.base) for clip in clips],
        batch["mp4"].data_ptr(),
        clips[0].nbytes,
    )
