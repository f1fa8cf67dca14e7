"""States of some ranks and workers that go on in others: each clip comes once."""

import json
import random
from typing import NamedTuple

import pytest
from helpers.loaders import WINDOW, clips_of, everything, expected, of_arrays
from helpers.shards import array_sample, write_shard
from helpers.workers import data_loader

import clipx
from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.shares import JoinedShare, Run, share
from clipx.datasets.world import World
from clipx.loader.dealing import deal_runs, deal_samples
from clipx.loader.open_samples import OpenState, choose
from clipx.loader.room import Weight
from clipx.plan import ALL

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

WORLDS = [(1, 1), (2, 2), (3, 1), (8, 1)]


@pytest.fixture
def as_world(monkeypatch):
    def become(rank, ranks, worker=0, workers=1):
        for name, value in zip(("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"), (rank, ranks, worker, workers)):
            monkeypatch.setenv(name, str(value))

    return become


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Shards of samples of many lengths, and what they give."""
    folder, rng, samples, urls = tmp_path_factory.mktemp("many"), random.Random(0), [], []
    for shard in range(7):
        mine = [array_sample(f"s{shard}_{i}", rng.choice([3, 6, 9, 30])) for i in range(1 + shard)]
        urls.append(write_shard(folder / f"{shard}.tar", mine))
        samples += mine
    return urls, samples


def processes(ranks, workers):
    return [(rank, ranks, worker, workers) for rank in range(ranks) for worker in range(workers)]


def flat(states):
    """The states of all processes, rank by rank."""
    return [each for state in states for each in state.get("workers", [state])]


def run(make, as_world, worlds, states=None, stop=lambda: None):
    """The clips of each process, up to a number of batches, and its state there."""
    seen, saved = [], []
    for at, world in enumerate(worlds):
        as_world(*world)
        with make() as loader:
            if states is not None:
                loader.load_state_dict(json.loads(json.dumps(states[at])))
            most, mine = stop(), []
            for batch in loader if most != 0 else ():
                mine += clips_of([batch])
                del batch
                most = None if most is None else most - 1
                if most == 0:
                    break
            seen += mine
            saved.append(loader.state_dict())
    return seen, saved


def batches_of(states):
    """Number of clips that states hold which others had taken, and of samples that these had begun."""
    left = [state["interleave"]["left"] for state in states]
    clips = sum(len(some) for each in left for some in each[3])
    return clips, sum(first is not None for each in left for first in each[4])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("ragged", ["error", "bucket"])
def test_each_clip_once(many, as_world, shuffle, ragged):
    """Begun, and resharded in the middle again and again, with other batches."""
    urls, samples = many
    rng, wanted, held = random.Random(f"{shuffle} {ragged}"), expected(samples), []
    for before in WORLDS:
        seen, states, world = [], None, before
        for last in (False,) * rng.randrange(1, 3) + (True,):
            memory = f"{100 * world[1]}kB"
            rest = {"shuffle": shuffle, "ragged": ragged, "memory": memory, "batch_size": rng.randrange(1, 5)}

            def make(rest=rest):
                return of_arrays(urls, drop_last=False, **rest)

            stop = (lambda: None) if last else (lambda: rng.randrange(5))
            clips, saved = run(make, as_world, processes(*world), states, stop)
            seen += clips
            if not last:
                world = rng.choice(WORLDS)
                rng.shuffle(saved)
                states = flat(clipx.reshard_states(saved, ranks=world[0], workers=world[1] if world[1] > 1 else 0))
                held.append(batches_of(states))
        assert len(seen) == len(wanted), (before, world)
        assert dict(seen) == wanted
    assert sum(clips for clips, _ in held) > 20 or not shuffle
    assert sum(samples for _, samples in held) > 1


def test_a_resharded_run_resumes_byte_for_byte(many, as_world):
    urls, _ = many

    def make(**rest):
        return of_arrays(urls, drop_last=False, **rest)

    _, saved = run(make, as_world, processes(3, 1), stop=lambda: 3)
    states = clipx.reshard_states(saved, ranks=2)
    assert states == clipx.reshard_states(saved[::-1], ranks=2)
    for rank, state in enumerate(states):
        as_world(rank, 2)
        with make() as loader:
            loader.load_state_dict(state)
            assert loader.state_dict() == state
            values, middle = [], []
            for batch in loader:
                values += everything([batch])
                del batch
                middle.append(loader.state_dict())
        assert len(values) > 10
        for at in range(0, len(values), 4):
            other = make(threads=3)
            other.load_state_dict(json.loads(json.dumps(middle[at])))
            assert everything(other) == values[at + 1 :]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_equal_batches(many, as_world, drop_last, ranks):
    """As many on all new ranks; clips that the old ones repeated do not count."""
    urls, samples = many
    wanted, rng = expected(samples), random.Random(ranks)

    def make():
        return of_arrays(urls, drop_last=drop_last, equal_batches=True, batch_size=2)

    for stop in (lambda: rng.randrange(12), lambda: None):
        seen, saved = [], []
        for rank in range(3):
            as_world(rank, 3)
            most = stop()
            with make() as loader:
                saved.append(loader.state_dict())
                for number, batch in enumerate(loader):
                    if number == most:
                        break
                    repeated = [fact.get("repeated", False) for fact in batch["clip.json"]]
                    seen += [clip for clip, again in zip(clips_of([batch]), repeated) if not again]
                    del batch
                    saved[rank:] = [loader.state_dict()]
        states = clipx.reshard_states(saved, ranks=ranks)
        counts, new = [], []
        for rank, state in enumerate(states):
            as_world(rank, ranks)
            with make() as loader:
                loader.load_state_dict(state)
                counts.append(len(loader))
                batches = list(everything(loader))
                assert len(batches) == counts[-1]
            with make() as loader:
                loader.load_state_dict(state)
                for batch in loader:
                    again = [fact.get("repeated", False) for fact in batch["clip.json"]]
                    new += [clip for clip, repeated in zip(clips_of([batch]), again) if not repeated]
                    del batch
        assert len({*counts}) == 1
        found = seen + new
        assert len(found) == len({*found})
        assert dict(found).items() <= wanted.items()
        # All but what a rank cannot fill a batch with.
        assert dict(found) == wanted if not drop_last else len(found) > len(wanted) * 0.6


def test_segments_and_random_windows(tmp_path, as_world, make_video):
    samples = [
        {"__key__": f"v{i}", "mp4": make_video(n=40, g="10").read_bytes(), "json": {"segments": found}}
        for i, found in enumerate([[[0, 1], [1, 2], [9, 1]]] * 4)
    ]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(2)]
    window = clipx.WindowSpec(4, num_clips=5, sampling="random", policy="repeat_last")

    def make():
        return clipx.Loader(
            urls,
            window,
            clipx.ClipFormat(crop=("random", (16, 16))),
            batch_size=2,
            memory="2MB",
            threads=2,
            segments="json:segments",
            handler=lambda exn: True,
            drop_last=False,
        )

    def clips(stop, states=None):
        worlds = processes(len(states), 1) if states else processes(1, 1)
        seen, saved = [], []
        for at, world in enumerate(worlds):
            as_world(*world)
            with make() as loader:
                if states:
                    loader.load_state_dict(states[at])
                for number, batch in enumerate(loader):
                    seen += clips_of([batch], "mp4")
                    del batch
                    if number == stop:
                        break
                saved.append(loader.state_dict())
        return seen, saved

    wanted, _ = clips(None)
    seen, saved = clips(3)
    rest, _ = clips(None, clipx.reshard_states(saved, ranks=3))
    assert len(wanted) == 4 * 2 * 5
    assert sorted(seen + rest) == sorted(wanted)


def test_finished(many, as_world):
    """States behind the end are the beginning of the next epoch; one that is not waits for it."""
    urls, samples = many

    def make():
        return of_arrays(urls, drop_last=False)

    _, saved = run(make, as_world, processes(2, 1))
    assert all(state["finished"] for state in saved)
    next_epoch, _ = run(make, as_world, processes(3, 1), clipx.reshard_states(saved, ranks=3))
    assert dict(next_epoch) == expected(samples)
    assert len(next_epoch) == len(expected(samples))
    _, middle = run(make, as_world, processes(2, 1), stop=lambda: 4)
    rest, after = run(make, as_world, processes(3, 1), clipx.reshard_states([saved[0], middle[1]], ranks=3))
    assert 0 < len(rest) < len(expected(samples))
    assert {state["epoch"] for state in after} == {0}


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_data_loader(many, workers):
    """In the main process a state of all workers is loaded: each begins with its own, in that epoch alone."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, samples = many
    wanted = expected(samples)

    def make():
        return of_arrays(urls, memory="300kB", drop_last=False)

    def keys(batch):
        return batch["__key__"]

    data = data_loader(make(), of=stateful.StatefulDataLoader, num_workers=2)
    seen = [key for _, batch in zip(range(9), data) for key in keys(batch)]
    state = data.state_dict()
    del data
    (state,) = clipx.reshard_states([state], ranks=1, workers=workers)
    loader = make()
    loader.load_state_dict(json.loads(json.dumps(state)))
    assert loader.state_dict() == state
    loader.set_epoch(0)
    data = data_loader(loader, of=stateful.StatefulDataLoader, num_workers=workers)
    epochs = [[key for batch in data for key in keys(batch)] for _ in range(2)]
    assert sorted(seen + epochs[0]) == sorted(wanted)
    assert sorted(epochs[1]) == sorted(wanted)


def test_refused(many, as_world, caplog):
    urls, _ = many

    def saved(**rest):
        return run(lambda: of_arrays(urls, **rest), as_world, processes(2, 1), stop=lambda: 2)[1]

    states, other = saved(), saved(seed=1)
    for wrong, words in [
        ([], "holds no state of a Loader"),
        ([{}], "holds no state of a Loader"),
        (states[:1], "the state of rank 1 of 2 is missing"),
        ([*states, states[0]], "rank 0 of 2 comes more than once"),
        ([states[0], other[1]], "several settings"),
        ([{**states[0], "epoch": 1}, states[1]], "digest does not match"),
        ([{**states[0], "version": 4}, states[1]], "version 4, but this clipx reads version 5"),
        ([{"_steps_since_snapshot": 1, "x": states[0]}, states[1]], "snapshot_every_n_steps=1"),
    ]:
        with pytest.raises(ValueError, match=words):
            clipx.reshard_states(wrong, ranks=2)
    with pytest.raises(ValueError, match="ranks is 0"):
        clipx.reshard_states(states, ranks=0)
    as_world(0, 3)
    loader = of_arrays(urls)
    resharded = clipx.reshard_states(states, ranks=3)
    with pytest.raises(ValueError, match="rank 1 of 3, but this is rank 0 of 3"):
        loader.load_state_dict(resharded[1])
    with pytest.raises(ValueError, match="seed 0, but the loader has seed 1"):
        of_arrays(urls, seed=1).load_state_dict(resharded[0])
    (joined, _, _) = clipx.reshard_states(states, ranks=3, workers=2)
    loader = of_arrays(urls, memory="200kB")
    loader.load_state_dict(joined)
    with pytest.raises(ValueError, match="saved with 2 DataLoader workers, but there are 1 now"):
        iter(loader)
    loader.load_state_dict(joined)
    loader.set_epoch(5)
    assert "set_epoch(5) gives up a state" in caplog.text


def test_parts_and_samples_are_dealt_evenly():
    """By parts; where these are few, by samples, each of which is read once."""
    rng = random.Random(2)
    for _ in range(60):
        parts, ranks = rng.choice([1, 2, 3, 7, 30, 100]), rng.choice([1, 2, 3, 8])
        order, sizes = list(range(parts)), [rng.randrange(1, 9) for _ in range(parts)]
        rng.shuffle(order)

        def share_of(world, order=order):
            return share(order, world)

        worlds = [World(rank, ranks, 0, 1) for rank in range(ranks)]
        runs, read, wanted = [], set(), {(part, n) for part in order for n in range(sizes[part])}
        for world in worlds:
            mine = share_of(world)
            joined, after = JoinedShare.of([Run(world, 0, len(mine.shards))], share_of), START
            found = samples_of(joined, sizes)
            if found and rng.random() < 0.8:
                at = rng.randrange(len(found))
                after = Position((Address(*found[at], 7),), 1)
                read.update(found[: at + 1])
                assert samples_of(joined, sizes, after) == found[at + 1 :]
            runs += joined.rest(after)
        processes = rng.choice([1, 2, 3, 5, 8])
        dealt = deal_runs(runs, processes)
        rest = [samples_of(JoinedShare.of(mine, share_of), sizes) for mine in dealt]
        assert sorted(each for mine in rest for each in mine) == sorted(wanted - read)
        counts = [sum(run.stop - run.start for run in mine if run.split == 1) for mine in dealt]
        if parts == 100:
            assert max(counts) - min(counts) <= 1


def samples_of(joined, sizes, after=START):
    return [
        (part.part, n)
        for part in joined.from_(after)
        for n in range(sizes[part.part])
        if part.takes(n) and (part.after is None or n > part.after.sample)
    ]


def test_clips_are_dealt_evenly():
    samples = [OpenState(Address(0, i, 1), 0, False, list(range(1 + 9 * (i == 3))), None) for i in range(20)]
    samples += [OpenState(Address(1, i, 1), 0, False, [], 4) for i in range(3)]
    for processes in (1, 2, 3, 8):
        dealt = deal_samples(samples, processes)
        clips = [(each.address, number) for mine in dealt for each in mine for number in each.some]
        assert sorted(clips) == sorted((each.address, number) for each in samples for number in each.some)
        loads = [sum(len(each.some) for each in mine) for mine in dealt]
        assert max(loads) - min(loads) <= 2
        assert sum(each.first is not None for mine in dealt for each in mine) == 3


def test_what_others_had_taken_is_extracted_by_number(as_world, tmp_path):
    """Of one long sample, clips that the shuffle held go to several ranks, and the rest of the sample to one."""
    url = write_shard(tmp_path / "a.tar", [array_sample("a", 200)])

    def make():
        return clipx.Loader(url, WINDOW, batch_size=4, memory="100kB", threads=2, drop_last=False)

    seen, saved = run(make, as_world, processes(1, 1), stop=lambda: 5)
    states = clipx.reshard_states(saved, ranks=2)
    assert all(batches_of([state])[0] for state in states)
    rest, _ = run(make, as_world, processes(2, 1), states)
    assert len(seen) + len(rest) == len({*seen, *rest}) == 99


@pytest.mark.parametrize("kind", ["index", "files", "mix", "mixed indexes"])
def test_kinds_of_datasets(tmp_path, as_world, kind):
    """Pieces of an index's samples on the borders of shares; files, which are parts of one sample; mixtures."""
    rng, samples = random.Random(kind), [array_sample(f"s{i}", 4 + 5 * (i % 7)) for i in range(20)]
    wanted = expected(samples)
    urls = [write_shard(tmp_path / f"{i}.tar", samples[5 * i : 5 * i + 5]) for i in range(4)]
    if kind in ("index", "mixed indexes"):
        pytest.importorskip("pyarrow")
    if kind == "files":
        for sample in samples:
            (tmp_path / f"{sample['__key__']}.npy").write_bytes(sample["npy"])
        dataset = clipx.Files([str(tmp_path / f"{sample['__key__']}.npy") for sample in samples])
    elif kind == "index":
        dataset = clipx.Index.build(urls, tmp_path / "a.parquet")
    else:
        halves = [urls[:2], urls[2:]]
        if kind == "mixed indexes":
            halves = [clipx.Index.build(half, tmp_path / f"{at}.parquet") for at, half in enumerate(halves)]
        dataset = clipx.Mix({"a": (halves[0], 1), "b": (halves[1], 2)})

    def make():
        return of_arrays(dataset, drop_last=False, batch_size=2, memory="200kB")

    for _ in range(3):
        world, seen, states = rng.choice(WORLDS), [], None
        for last in (False, False, True):
            clips, saved = run(
                make, as_world, processes(*world), states, (lambda: None) if last else (lambda: rng.randrange(6))
            )
            seen += clips
            if not last:
                world = rng.choice(WORLDS)
                states = flat(clipx.reshard_states(saved, ranks=world[0], workers=world[1] if world[1] > 1 else 0))
        found = {key.rpartition("/")[2]: clip for key, clip in seen}
        assert len(seen) == len(wanted)
        assert found == wanted


class FakeClip(NamedTuple):
    number: int
    damaged: bool = False
    sample: object = None


def test_clips_that_a_selection_misses_are_taken_of_all():
    """As where a file is damaged; and an error comes only where the clips that were given before have come."""
    asked = []

    def extract(sample, selection, weight):
        asked.append(selection)
        if selection == ALL:
            yield from map(FakeClip, range(8))
            raise ValueError("the end is damaged")
        yield FakeClip(2)
        raise ValueError("damaged")

    def chosen(some, first):
        found = []
        try:
            for clip in choose(extract, {"__key__": "a"}, OpenState(Address(0, 0, 1), 0, True, some, first), Weight()):
                found.append(clip.number)
        except ValueError as exn:
            found.append(str(exn))
        return found

    assert chosen([2, 5], None) == [2, 5]
    assert [selection.damaged for selection in asked] == [True, False]
    assert chosen([2, 5], 6) == [2, 5, 6, 7, "the end is damaged"]
    assert chosen([2], None) == [2]
    assert chosen([], 2) == [2, "damaged"]
    with pytest.raises(ValueError, match="sample 'a' gives 1 of the 2 clips that it gave when the state was saved"):
        list(choose(extract, {"__key__": "a"}, OpenState(Address(0, 0, 1), 0, False, [2, 9], None), Weight()))
