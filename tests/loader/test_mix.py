"""Loaders of mixtures: every clip once, draws of their own, equal batches, states, and what is broken."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import WINDOW, clips_of, everything, of_arrays
from helpers.shards import array_sample, write_shard
from helpers.states import THREADS, batches_and_states, check_every
from helpers.workers import data_loader, once_more

import clipx
from clipx.loader import state as states

pytestmark = [once_more, pytest.mark.usefixtures("small_decoders", "no_threads_left")]

CROP = clipx.ClipFormat(crop=("random", (2, 2)))


@pytest.fixture
def media(tmp_path):
    """Shards of arrays, and files of arrays; some of their samples have the same keys and the same frames."""
    samples = [array_sample(f"s{i}_{j}", 6 + j) for i in range(4) for j in range(3)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[3 * i : 3 * i + 3]) for i in range(4)]
    rows = []
    for i, sample in enumerate([*samples[:4], *(array_sample(f"f{i}", 7 + i) for i in range(5))]):
        (tmp_path / f"{i}.npy").write_bytes(sample["npy"])
        rows.append({"path": f"{i}.npy", "name": sample["__key__"]})
    return urls, clipx.Files(rows, root=tmp_path, key="name")


def mixture(media, **rest):
    urls, files = media
    return clipx.Mix({"shards": (urls, 2), "files": (files, 1)}, **rest)


def facts_of(loader):
    return [facts for batch in loader for facts in batch["clip.json"]]


def in_worlds(monkeypatch, ranks, workers):
    for rank in range(ranks):
        for worker in range(workers):
            world = {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}
            for name, value in world.items():
                monkeypatch.setenv(name, str(value))
            yield rank, worker


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 2), (3, 1), (8, 3)])
def test_every_clip_once(media, monkeypatch, ranks, workers):
    found = []
    for _ in in_worlds(monkeypatch, ranks, workers):
        found += facts_of(of_arrays(mixture(media), drop_last=False, threads=1))
    counts = Counter((each["dataset"], each["key"], each["index"]) for each in found)
    alone = {}
    for name, dataset in zip(("shards", "files"), media):
        monkeypatch.setenv("RANK", "0")
        for each in ("WORLD_SIZE", "NUM_WORKERS"):
            monkeypatch.setenv(each, "1")
        monkeypatch.setenv("WORKER", "0")
        alone |= {
            (name, each["key"], each["index"]): 1 for each in facts_of(of_arrays(dataset, drop_last=False, threads=1))
        }
    assert counts == alone
    assert all("pass" not in each for each in found)


def test_samples_of_one_key_draw_by_themselves(media):
    """So do those of later passes; weights play no part."""
    urls, files = media

    def crops(mix):
        clips = {}
        for batch in clipx.Loader(mix, WINDOW, CROP, batch_size=1, memory="100kB", shuffle=False):
            facts = batch["clip.json"][0]
            clips[facts["dataset"], facts.get("pass", 0), facts["key"], facts["index"]] = batch["npy"].tobytes()
        return clips

    found = crops(mixture(media))
    assert found == crops(clipx.Mix({"files": (files, 5), "shards": (urls, 1)}))
    twice = [key for key in files.keys if key.startswith("s")]
    of_each = [[clip for (of, _, key, _), clip in sorted(found.items()) if (of, key) == (name, each)]
               for each in twice for name in ("shards", "files")]  # fmt: skip
    assert [len(each) for each in of_each[::2]] == [len(each) for each in of_each[1::2]]
    assert sum(one != other for one, other in zip(of_each[::2], of_each[1::2])) >= len(twice) - 1
    passes = crops(clipx.Mix({"shards": (urls, 2), "files": (files, 1)}, stop="never", length=80))
    assert {number for _, number, _, _ in passes} >= {0, 1}
    assert found == {each: clip for each, clip in passes.items() if each[1] == 0}
    later = {each: clip for each, clip in passes.items() if each[1] == 1}
    assert sum(clip != passes[(each[0], 0, *each[2:])] for each, clip in later.items()) > len(later) / 2


@pytest.mark.parametrize("stop", ["all", "first", "never"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_states_go_on(media, stop, shuffle):
    """At 20 random points, byte for byte, and in the next epoch."""
    length = 32 if stop == "never" else None

    def make(threads=2):
        return clipx.Loader(mixture(media, stop=stop, length=length), WINDOW, CROP, batch_size=3, memory="60kB",
                            threads=threads, shuffle=shuffle, drop_last=False, seed=5)  # fmt: skip

    loader, rng = make(), random.Random(stop)
    values, saved = batches_and_states(loader)
    following = everything(loader)
    assert following != values or not shuffle
    for at in sorted(rng.sample(range(len(saved)), min(20, len(saved)))):
        with make(rng.choice(THREADS)) as other:
            other.load_state_dict(saved[at])
            assert everything(other) == values[at:], at
            if rng.random() < 0.2:
                assert everything(other) == following, at


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("stop", ["all", "first", "never"])
def test_equal_batches(media, monkeypatch, stop, drop_last):
    length = 31 if stop == "never" else None
    counts, samples = [], []

    def make(**rest):
        mix = mixture(media, stop=stop, length=length)
        return of_arrays(mix, drop_last=drop_last, equal_batches=True, batch_size=2, **rest)

    for _ in in_worlds(monkeypatch, 2, 1):
        loader = make()
        counted = len(loader)
        facts = [batch["clip.json"] for batch in loader]
        counts.append((counted, len(facts)))
        own = {json.dumps(each, sort_keys=True) for batch in facts for each in batch if "repeated" not in each}
        assert len(own) == sum("repeated" not in each for batch in facts for each in batch)
        samples.append(own)
        check_every(make, every=4)
    assert len({*counts}) == 1
    assert counts[0][0] == counts[0][1] > 0
    if not drop_last:
        # Nothing is left out, and the one with the most clips repeats none.
        assert max(map(len, samples)) > 2 * (counts[0][0] - 1)
    if stop == "all" and not drop_last:
        assert len(samples[0] | samples[1]) == len(facts_of_both(media, monkeypatch))


def facts_of_both(media, monkeypatch):
    """The facts of all clips, in a world of one process."""
    for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"):
        monkeypatch.delenv(name)
    return facts_of(of_arrays(mixture(media), drop_last=False))


def test_what_is_broken(media, tmp_path):
    """Errors and findings name the dataset."""
    (tmp_path / "1.npy").write_bytes(b"no array")
    (tmp_path / "2.npy").unlink()
    (tmp_path / "3.npy").write_bytes(npy(array(2, 3)))
    with of_arrays(mixture(media), handler=lambda exn: True, drop_last=False) as loader:
        counts = Counter((each["dataset"], each["key"]) for each in facts_of(loader))
    assert len([key for name, key in counts if name == "shards"]) == 12
    assert len([key for name, key in counts if name == "files"]) == 9 - 3
    assert [(entry.kind, entry.dataset) for entry in sorted(loader.errors)] == [
        ("error", "files"),
        ("error", "files"),
        ("no clips", "files"),
    ]
    assert all(str(entry).startswith("dataset 'files', ") for entry in loader.errors)
    with of_arrays(mixture(media)) as loader, pytest.raises(Exception, match="dataset 'files', sample 's0_"):
        list(loader)


def test_few_parts_are_logged_by_dataset(media, monkeypatch, caplog):
    for _ in in_worlds(monkeypatch, 5, 1):
        of_arrays(mixture(media), threads=1).close()
        with of_arrays(mixture(media), threads=1) as loader:
            iter(loader)
        break
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("Loader: 4 shards of dataset 'shards' are too few for 5 ranks of 1 workers: rank 0 of 5")


def test_workers_of_a_data_loader(media):
    pytest.importorskip("torch")
    loader = of_arrays(mixture(media), drop_last=False, threads=1, memory="200kB")
    found = Counter()
    for batch in data_loader(loader, num_workers=2):
        assert batch["__dataset__"] == [each["dataset"] for each in batch["clip.json"]]
        found.update((each["dataset"], each["key"], each["index"]) for each in batch["clip.json"])
    facts = facts_of(of_arrays(mixture(media), drop_last=False))
    assert found == {(each["dataset"], each["key"], each["index"]): 1 for each in facts}


@pytest.fixture
def saved(media):
    def make():
        return of_arrays(mixture(media, stop="never", length=40), batch_size=2, memory="60kB")

    with make() as loader:
        for number, batch in enumerate(loader):
            assert isinstance(batch["__pass__"], np.ndarray)
            del batch
            if number == 30:
                break
        state = json.loads(json.dumps(loader.state_dict()))
    return state, make


def put(*path, value):
    def edit(state):
        for each in path[:-1]:
            state = state[each]
        state[path[-1]] = value(state[path[-1]]) if callable(value) else value

    return edit


EDITS = {
    "no weights": (lambda state: state["shards"].pop("weights"), "dataset is"),
    "weights": (put("shards", "weights", value=[1.0, 1.0]), r"saved with weights \[1\.0, 1\.0\]"),
    "names": (put("shards", "names", value=["a", "b"]), r"saved with names \['a', 'b'\]"),
    "stop": (put("shards", "stop", value="all"), "saved with stop 'all'"),
    "length": (put("shards", "length", value=10**12), "saved with length"),
    "facts": (put("shards", "datasets", value=7), "datasets is 7"),
    "facts of one": (put("shards", "datasets", 1, value={}), "must have the number and the digest of files"),
    "a part": (put("samples", 0, value=[13 * 40, 0, 1]), "a shard is 520, but must be an integer from 0 to 519"),
    "a negative part": (put("samples", 0, value=[-1, 0, 1]), "a shard is -1"),
    "none read": (put("interleave", "read", "last", value=[]), r"interleave\.read\.last is"),
    "read twice": (put("interleave", "read", "last", value=lambda last: last * 2), r"interleave\.read\.last is"),
    "more than were read": (put("interleave", "read", "samples", value=1), r"interleave\.read\.last is"),
    "read of a text": (put("interleave", "read", "samples", value="9"), r"interleave\.read\.samples is"),
    "read of a number": (put("interleave", "read", "last", value=0), r"interleave\.read\.last is 0"),
}


@pytest.mark.parametrize("name", EDITS)
def test_hostile_states_are_refused(saved, name):
    state, make = saved
    edit, words = EDITS[name]
    edit(state)
    state["digest"] = states._digest(state)
    with make() as loader, pytest.raises(ValueError, match=words):
        go_on(loader, state)


def go_on(loader, state):
    loader.load_state_dict(state)
    list(loader)


def test_positions_that_are_not_in_the_share(saved):
    """Or two of one dataset: found when the epoch goes on, before anything is given."""
    state, make = saved
    at = state["interleave"]["read"]["last"][0]
    part, number, checksum = state["samples"][at]
    state["samples"].append([part - 13, number, checksum])
    for last, words in (
        ([at, len(state["samples"]) - 1], "must be one of each dataset at most"),
        ([len(state["samples"]) - 1], None),
    ):
        state["interleave"]["read"]["last"] = last
        state["digest"] = states._digest(state)
        with make() as loader:
            loader.load_state_dict(state)
            if words is None:
                everything(loader)  # a state of other draws, but one that can be gone on from
            else:
                with pytest.raises(ValueError, match=words):
                    next(iter(loader))


def indexed(media, tmp_path):
    pytest.importorskip("pyarrow")
    urls, files = media
    return clipx.Index.build(urls, tmp_path / "index.parquet", root=tmp_path), files


@pytest.mark.parametrize("offset", [0, "random"])
def test_an_index_in_a_mixture(media, tmp_path, monkeypatch, offset):
    """Exact shares by clips, though a sample's random number of clips is drawn with its dataset's name."""
    index, files = indexed(media, tmp_path)
    window = clipx.WindowSpec(4, 3, offset=offset)

    def facts(mix):
        with clipx.Loader(mix, window, batch_size=1, memory="60kB", threads=1, epoch=2) as loader:
            return Counter((each["dataset"], each["key"], each["index"]) for each in facts_of(loader))

    mix = clipx.Mix({"shards": (index, 2), "files": (files, 1)})
    alone = facts(mix)
    assert alone == facts(mixture(media))
    assert {*alone.values()} == {1}
    found = [facts(mix) for _ in in_worlds(monkeypatch, 3, 1)]
    assert sum(found, Counter()) == alone
    of_index = [sum(name == "shards" for name, _, _ in each) for each in found]
    assert max(of_index) - min(of_index) <= 1


def test_lengths_are_known_of_indexes_alone(media, tmp_path):
    index, files = indexed(media, tmp_path)
    for stop in ("all", "first", "never"):
        mix = clipx.Mix({"a": (index, 2), "b": (index, 1)}, stop=stop, length=20 if stop == "never" else None)
        with of_arrays(mix) as loader:
            counted = len(loader)
            assert counted == sum(1 for _ in loader)
    with (
        of_arrays(clipx.Mix({"a": (index, 2), "b": (files, 1)})) as loader,
        pytest.raises(TypeError, match="not known"),
    ):
        len(loader)


def test_states_of_a_mixture_with_an_index_go_on(media, tmp_path):
    index, files = indexed(media, tmp_path)
    mix = clipx.Mix({"shards": (index, 2), "files": (files, 1)})
    check_every(lambda **rest: of_arrays(mix, memory="60kB", **rest), every=5)


@pytest.mark.parametrize(("before", "after"), [((2, 1), (3, 1)), ((3, 2), (1, 1)), ((1, 1), (2, 2))])
def test_states_of_other_worlds(media, monkeypatch, before, after):
    """What was handed out does not come again, and all else comes once."""

    def make():
        return of_arrays(mixture(media), drop_last=False, memory="60kB", batch_size=2, threads=1)

    def name(batch):
        return [(each["dataset"], each["key"], each["index"]) for each in batch["clip.json"]]

    found, saved, rng = Counter(), [], random.Random(str(before))
    for _ in in_worlds(monkeypatch, *before):
        with make() as loader:
            for _, batch in zip(range(rng.randrange(1, 8)), loader):
                found.update(name(batch))
                del batch
            saved.append(json.loads(json.dumps(loader.state_dict())))
    ranks, workers = after
    states_of = clipx.reshard_states(saved, ranks=ranks, workers=0 if workers == 1 else workers)
    for rank, worker in in_worlds(monkeypatch, ranks, workers):
        state = states_of[rank] if workers == 1 else states_of[rank]["workers"][worker]
        with make() as loader:
            loader.load_state_dict(state)
            for batch in loader:
                found.update(name(batch))
                del batch
    assert found == Counter(map(tuple, every_name(media, monkeypatch)))


def every_name(media, monkeypatch):
    return [(each["dataset"], each["key"], each["index"]) for each in facts_of_both(media, monkeypatch)]


@pytest.mark.parametrize("stop", ["first", "never"])
def test_draws_do_not_go_on_in_other_worlds(media, stop):
    with of_arrays(mixture(media, stop=stop, length=30 if stop == "never" else None)) as loader:
        next(iter(loader))
        state = loader.state_dict()
    with pytest.raises(ValueError, match=f"Mix with stop='{stop}', whose epoch is what each process draws"):
        clipx.reshard_states([state], ranks=2)


def test_clips_come_as_from_the_datasets(media):
    """The same pixels as from each dataset alone."""
    urls, files = media
    found = sorted(clips_of(of_arrays(mixture(media), drop_last=False)))
    alone = [clip for dataset in (urls, files) for clip in clips_of(of_arrays(dataset, drop_last=False))]
    assert found == sorted(alone)
