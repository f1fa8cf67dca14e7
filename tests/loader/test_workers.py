"""Epochs in the workers of DataLoaders, new in each iteration or persistent, and stages that are pickled for them."""

import copy
import multiprocessing
import pickle
import warnings

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.forkserver import FORKSERVER
from helpers.loaders import of_arrays, run_stages, to_numbers
from helpers.shards import array_sample, write_shard
from helpers.workers import data_loader as workers_of
from helpers.workers import once_more

import clipx
from clipx import wds
from clipx.datasets.passes import Passes
from clipx.loader import budget

torch = pytest.importorskip("torch")
webdataset = pytest.importorskip("webdataset")

pytestmark = [
    once_more,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.usefixtures("small_decoders", "no_threads_left"),
]

DECODER_BYTES = budget.DECODER_BYTES
METHODS = ["fork", "spawn", FORKSERVER.get_start_method()]


def data_loader(dataset, workers=2, persistent=False, method="fork", **rest):
    return workers_of(
        dataset,
        num_workers=workers,
        persistent_workers=persistent,
        multiprocessing_context=method if workers else None,
        **rest,
    )


def keys(batches):
    return [key for batch in batches for key in batch["__key__"]]


def epochs_of(urls, numbers, workers=2, **changes):
    """Keys of epochs that are named one by one, each by a loader of its own: in workers as many as there are."""
    found = []
    for number in numbers:
        loader = of_arrays(urls, memory="200kB", drop_last=False, epoch=number, **changes)
        found.append(keys(data_loader(loader, workers)))
    return found


@pytest.mark.parametrize("persistent", [False, True])
def test_every_iteration_is_the_next_epoch(arrays, persistent):
    """As without workers; and `set_epoch` reaches workers that run already."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    data = data_loader(loader, persistent=persistent)
    found = [keys(data), keys(data)]
    for _ in range(2):
        loader.set_epoch(7)
        found += [keys(data), keys(data)]
    expected = epochs_of(urls, [0, 1, 7, 8])
    assert found == [*expected, *expected[2:]]
    assert len({tuple(each) for each in expected}) == 4


@pytest.mark.parametrize(("method", "persistent"), [("spawn", False), ("forkserver", False), ("forkserver", True)])
def test_however_workers_are_started(arrays, monkeypatch, method, persistent):
    urls, _ = arrays
    # As those processes have it.
    monkeypatch.setattr(budget, "DECODER_BYTES", DECODER_BYTES)
    loader = of_arrays(urls, memory="400MB", drop_last=False)
    data = data_loader(loader, 1, persistent=persistent, method=method)
    found = [keys(data)]
    loader.set_epoch(7)
    found.append(keys(data))
    named = [of_arrays(urls, memory="400MB", drop_last=False, epoch=epoch) for epoch in (0, 7)]
    assert found == [keys(data_loader(each, 1)) for each in named]


def test_the_same_epochs_as_without_workers(arrays):
    """One after the other, wherever they are iterated."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    found = [keys(data_loader(loader, workers)) for workers in (0, 2, 0, 2, 2)]
    expected = epochs_of(urls, [0, 1, 2, 3, 4])
    here = [keys(of_arrays(urls, memory="200kB", drop_last=False, epoch=number)) for number in (0, 2)]
    assert found == [here[0], expected[1], here[1], expected[3], expected[4]]


def test_two_data_loaders_of_one_loader(arrays):
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    first, second = data_loader(loader, persistent=True), data_loader(loader)
    found = [keys(first), keys(second), keys(first), keys(second)]
    assert found == epochs_of(urls, [0, 1, 2, 3])


@pytest.mark.parametrize("persistent", [False, True])
def test_iterations_that_are_given_up(arrays, persistent):
    """Workers do not drift apart: every clip of an epoch comes once."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    data = data_loader(loader, persistent=persistent)
    for _ in range(2):
        iterator = iter(data)
        next(iterator)
        del iterator
    assert keys(data) == epochs_of(urls, [2])[0]


def test_a_seed_that_is_set_again(arrays):
    """torch.manual_seed before each iteration gives workers the same seed, and yet another epoch."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    data, found = data_loader(loader), []
    for _ in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found.append(keys(data))
    assert found == epochs_of(urls, [0, 1, 2])


def test_an_epoch_that_the_loader_was_given(arrays):
    """A number stays, until `set_epoch` says another, in persistent workers, too."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False, epoch=5)
    data = data_loader(loader, persistent=True)
    found = [keys(data), keys(data)]
    loader.set_epoch(2)
    found += [keys(data), keys(data)]
    assert found == epochs_of(urls, [5, 5, 2, 3])


def test_len_in_the_main_process(arrays):
    """Of the next epoch, as workers count."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", equal_batches=True)
    data = data_loader(loader, persistent=True)
    asked = []
    loader._targets.of = lambda epoch, world, peers=(): asked.append(epoch) or 8
    for _ in range(2):
        assert len(loader) == 2
        del loader._targets.of
        keys(data)
        loader._targets.of = lambda epoch, world, peers=(): asked.append(epoch) or 8
    loader.set_epoch(9)
    assert len(loader) == 2
    assert asked == [0, 1, 9]


def iterate_in(loader, queue):
    queue.put([keys(data_loader(loader)), keys(loader), keys(data_loader(loader))])


def test_ranks_count_on_their_own(arrays):
    """Processes that are given a loader go on from where it stands, each for itself, and so do their workers."""
    urls, _ = arrays
    loader = of_arrays(urls, memory="200kB", drop_last=False)
    keys(loader)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    ranks = [context.Process(target=iterate_in, args=(loader, queue)) for _ in range(2)]
    for rank in ranks:
        rank.start()
    found = [queue.get(timeout=100) for _ in ranks]
    for rank in ranks:
        rank.join()
    here = keys(of_arrays(urls, memory="200kB", drop_last=False, epoch=2))
    one, three = epochs_of(urls, [1, 3])
    assert found == [[one, here, three]] * 2
    # And this process goes on with its own.
    assert keys(data_loader(loader)) == one


def test_states_of_epochs_in_workers(arrays):
    """A run that goes on has the epochs of one that never stopped, though its workers do not persist."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, _ = arrays

    def make():
        loader = of_arrays(urls, memory="200kB", drop_last=False)
        return workers_of(loader, of=stateful.StatefulDataLoader, num_workers=2)

    data = make()
    expected = [keys(data) for _ in range(3)]
    assert expected == epochs_of(urls, [0, 1, 2])
    data, got = make(), []
    keys(data)
    for number, batch in enumerate(data):
        got += batch["__key__"]
        if number == 4:
            state = pickle.loads(pickle.dumps(data.state_dict()))
            break
    other = make()
    other.load_state_dict(state)
    assert got + keys(other) == expected[1]
    assert keys(other) == expected[2]


def test_passes():
    passes = Passes()
    assert [passes.epoch(None) for _ in range(3)] == [0, 1, 2]
    assert passes.epoch(9) == 9
    assert passes.epoch(lambda: 8) == 8
    assert passes.following == 5
    other = pickle.loads(pickle.dumps(passes))
    assert copy.deepcopy(passes).following == other.following == 5
    passes.advance_to(20)
    assert [passes.epoch(None), other.epoch(None), passes.epoch(None), other.epoch(None)] == [20, 5, 21, 6]
    assert not passes.epoch_was_set
    passes.set_epoch(3)
    assert passes.epoch_was_set
    assert passes.following == 3
    with pytest.raises(ValueError, match="epoch is 9223372036854775808, but must be below"):
        passes.set_epoch(1 << 63)
    assert passes.following == 3


# Stages


def pipeline(url, pool, **rest):
    """Every stage there is, over arrays, with the epoch counted."""
    window = clipx.WindowSpec(4, num_clips=2, sampling="random")
    return webdataset.WebDataset(url, shardshuffle=False, workersplitter=None, empty_check=False).compose(
        wds.clips(window, pool=pool, handler=wds.log_and_continue, **rest),
        wds.watch(2),
        wds.shuffle("1MB", **rest),
        wds.batched(3, pool=clipx.ClipPool(4, (3, 4, 8, 8, 3)), timeout=None),
    )


@pytest.fixture
def shard(tmp_path):
    return write_shard(tmp_path / "a.tar", [array_sample(f"s{i:04d}", 30) for i in range(8)])


def values(batches):
    return [(key, np.asarray(clip).tobytes()) for batch in batches for key, clip in zip(batch["__key__"], batch["npy"])]


@pytest.mark.parametrize(("method", "persistent"), [("fork", False), ("fork", True), ("forkserver", False)])
def test_stages_in_workers(shard, method, persistent):
    """Stages are pickled, and other crops and orders come in every epoch, as without workers."""
    data = data_loader(pipeline(shard, "1MB"), 1, persistent, method)
    here = pipeline(shard, "1MB")
    expected = [values(here), values(here)]
    assert [values(data), values(data)] == expected
    assert expected[0] != expected[1]
    assert sorted(key for key, _ in expected[0]) == sorted(key for key, _ in expected[1])


def test_all_workers_have_the_same_epoch(shard):
    """Each of two that read the same shard."""
    here = pipeline(shard, "1MB")
    expected = [sorted(2 * values(here)) for _ in range(2)]
    data = data_loader(pipeline(shard, "1MB"))
    assert [sorted(values(data)) for _ in range(2)] == expected


def test_stages_that_are_given_an_epoch(shard):
    data = data_loader(pipeline(shard, "1MB", epoch=3), 1)
    first = values(data)
    assert values(data) == first == values(pipeline(shard, "1MB", epoch=3))


@pytest.mark.parametrize("method", ["pickle", *METHODS])
def test_stages_go_to_other_processes(method):
    pool = clipx.ClipPool(40, (4, 8, 8, 3))
    batches = clipx.ClipPool(9, (5, 4, 8, 8, 3))
    stages = [
        wds.clips(clipx.WindowSpec(4, 2), pool=pool),
        wds.watch(),
        wds.shuffle(pool=pool, reserve=12, seed=1),
        wds.batched(5, partial=False, pool=batches),
    ]
    samples = [array_sample(f"s{i:04d}", 20) for i in range(6)]
    if method == "pickle":
        context, (here, there) = multiprocessing.get_context("fork"), (stages, pickle.loads(pickle.dumps(stages)))
        queues = [context.SimpleQueue() for _ in range(2)]
        for each, queue in zip((here, there), queues):
            run_stages(each, samples, queue)
        found, expected = (queue.get() for queue in queues)
        assert found == expected
    else:
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process = context.Process(target=run_stages, args=(stages, samples, queue))
            process.start()
        found = queue.get(timeout=100)
        process.join()
        queue = multiprocessing.get_context("fork").SimpleQueue()
        run_stages(stages, samples, queue)
        expected = queue.get()
        assert [each[:2] for each in found] == [each[:2] for each in expected]
        assert {each[2] for each in found} == {process.pid}
    assert len(found) == 6 * 9 // 5


@pytest.mark.parametrize("method", METHODS)
def test_mapped_samples_in_workers(tmp_path, method):
    url = write_shard(tmp_path / "a.tar", [{"__key__": f"s{i}", "npy": npy(np.arange(12) + i)} for i in range(5)])
    dataset = webdataset.DataPipeline(wds.mapped_samples(url), webdataset.map(to_numbers))
    assert [each["sum"] for each in data_loader(dataset, 1, method=method)] == [66 + 12 * i for i in range(5)]
