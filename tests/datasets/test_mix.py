"""Mixtures of datasets: what is drawn, in which order, by which process, and from any position on."""

import copy
import os
import pickle
import random
import sys
from collections import Counter
from itertools import product

import pytest
import webdataset
from helpers.arrays import array, npy
from helpers.shards import array_sample, write_shard

import clipx
from clipx.datasets.addresses import START, Address
from clipx.datasets.dataset import share_parts
from clipx.datasets.shards import Shards
from clipx.datasets.shares import JoinedShare, Run, Share
from clipx.datasets.streamed_tars import ReadLimits
from clipx.datasets.world import World
from clipx.wds import log_and_continue

ALONE = World(0, 1, 0, 1)


class Numbers:
    """A dataset without files: `counts` are the numbers of samples of its parts, which are (part, number)."""

    noun, is_remote, limits = "part", False, ReadLimits()

    def __init__(self, *counts):
        self.counts = counts

    def __len__(self):
        return len(self.counts)

    def reader(self, handler):
        return copy.copy(self)

    def share(self, seed, epoch, shuffle, world):
        return share_parts(len(self), seed, epoch, shuffle, world)

    def samples(self, share, after=START):
        for part in share.from_(after):
            for number in part.numbers(self.counts[part.part]):
                yield Address(part.part, number, 0), {"__key__": f"{part.part} {number}"}

    def find(self, addresses):
        return ((address, {"__key__": f"{address.shard} {address.sample}"}) for address in addresses)

    def views(self, part):
        return ((number, {"__key__": f"{part} {number}"}) for number in range(self.counts[part]))

    def facts(self):
        return list(self.counts)

    def check(self, saved):
        if saved != list(self.counts):
            raise ValueError(f"counts were {saved}")


def worlds(ranks, workers):
    return [World(rank, ranks, worker, workers) for rank in range(ranks) for worker in range(workers)]


def read(mix, world=ALONE, after=START, handler=webdataset.reraise_exception, **changes):
    share = mix.share(**{"seed": 0, "epoch": 1, "shuffle": True, "world": world, **changes})
    return list(mix.reader(handler).samples(share, after))


def names(samples):
    """(dataset, key) of samples."""
    return [(sample["__dataset__"], sample["__key__"]) for _, sample in samples]


def check_positions(mix, world, every=1):
    """What is read, the same from every position on."""
    share, found, position = mix.share(0, 1, True, world), read(mix, world), START
    for number, (address, sample) in enumerate(found):
        if number % every == 0:
            rest = read(mix, world, position)
            assert rest == found[number:], (number, position)
            assert list(mix.reader(log_and_continue).find([address])) == [(address, sample)]
        position = share.advance(position, address)
    assert read(mix, world, position) == []
    return found


@pytest.fixture
def media(tmp_path):
    """Shards of arrays, and files of arrays; their samples have keys in common."""
    urls = [
        write_shard(tmp_path / f"{i}.tar", [array_sample(f"s{i}_{j}", 5 + j) for j in range(2 + i)]) for i in range(4)
    ]
    rows = []
    for i in range(7):
        (tmp_path / f"f{i}.npy").write_bytes(npy(array(6 + i, i)))
        rows.append({"path": f"f{i}.npy", "name": f"s{i % 4}_{i // 4}"})
    return urls, clipx.Files(rows, root=tmp_path, key="name")


@pytest.mark.parametrize(("ranks", "workers"), [*product((1, 2, 3, 8), (1, 2, 3))])
def test_every_sample_once(media, ranks, workers):
    urls, files = media
    mix = clipx.Mix({"shards": (urls, 3), "files": (files, 1), "one": (urls[3:], 0.5)})
    found = [name for world in worlds(ranks, workers) for name in names(check_positions(mix, world, every=3))]
    assert len(found) == 14 + 7 + 5
    assert Counter(found) == Counter(
        [("shards", f"s{i}_{j}") for i in range(4) for j in range(2 + i)]
        + [("files", key) for key in files.keys]
        + [("one", f"s3_{j}") for j in range(5)]
    )


def test_weights():
    """Also of those that are left when one is exhausted."""
    mix = clipx.Mix({"a": (Numbers(*[100] * 30), 1), "b": (Numbers(*[100] * 90), 3), "c": (Numbers(2000), 6)})
    found = [name for name, _ in names(read(mix))]
    end = len(found) - found[::-1].index("c")
    counts = Counter(found[:end])
    assert counts["c"] == 2000
    for name, weight in (("a", 1), ("b", 3)):
        assert counts[name] == pytest.approx(2000 / 6 * weight, abs=4 * (2000 / 6 * weight * 2) ** 0.5)
    rest = Counter(found[end : end + 4000])
    assert rest["a"] == pytest.approx(1000, abs=4 * (4000 * 0.25 * 0.75) ** 0.5)
    assert Counter(found) == {"a": 3000, "b": 9000, "c": 2000}


def test_processes_and_epochs_draw_by_themselves():
    mix = clipx.Mix({"a": (Numbers(*[30] * 16), 1), "b": (Numbers(*[30] * 16), 1)})
    orders = {}
    for epoch, seed in product((0, 1), (0, 1)):
        for world in worlds(2, 2):
            found = read(mix, world, epoch=epoch, seed=seed)
            assert found == read(mix, world, epoch=epoch, seed=seed)
            orders[epoch, seed, world] = tuple(name for name, _ in names(found))
    assert len({*orders.values()}) == 16
    # Nor are two datasets with as many parts read in the same order.
    parts = {name: [key for of, key in names(read(mix)) if of == name] for name in "ab"}
    assert parts["a"] != parts["b"]
    assert sorted(parts["a"]) == sorted(parts["b"])


@pytest.mark.parametrize("workers", [1, 3])
def test_first(workers):
    mix = clipx.Mix({"a": (Numbers(*[20] * 6), 1), "b": (Numbers(*[90] * 6), 1)}, stop="first")
    for world in worlds(2, workers):
        found = check_positions(mix, world, every=7)
        counts = Counter(name for name, _ in names(found))
        assert counts["a"] == 60 // workers  # all of its share
        assert counts["a"] / 2 < counts["b"] < 2 * counts["a"]
        assert found == read(clipx.Mix({**both(mix)}), world)[: len(found)]


def both(mix):
    return {name: (dataset, mix.weights[name]) for name, dataset in mix.datasets.items()}


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 3), (3, 1), (8, 2)])
@pytest.mark.parametrize("length", [1, 16, 333])
def test_never(ranks, workers, length):
    mix = clipx.Mix({"a": (Numbers(4, 4), 1), "b": (Numbers(*[3] * 16), 2)}, stop="never", length=length)
    counts = []
    for world in worlds(ranks, workers):
        found = check_positions(mix, world, every=9)
        counts.append(len(found))
        # Passes follow each other, and each but the last is whole.
        for name in "ab":
            share = len([*Numbers.samples(mix.datasets[name], mix.datasets[name].share(0, 1, False, world))])
            passes = [sample["__pass__"] for _, sample in found if sample["__dataset__"] == name]
            assert passes == sorted(passes)
            sizes = Counter(passes)
            assert all(sizes[number] == share for number in range(len(sizes) - 1)), (sizes, share)
    assert sum(counts) == length
    assert max(counts) - min(counts) <= 1
    by_rank = [sum(counts[rank * workers : (rank + 1) * workers]) for rank in range(ranks)]
    assert max(by_rank) - min(by_rank) <= 1


def test_a_pass_has_an_order_of_its_own():
    mix = clipx.Mix({"a": (Numbers(*[1] * 20), 1)}, stop="never", length=60)
    keys = [key for _, key in names(read(mix))]
    assert len({tuple(keys[at : at + 20]) for at in (0, 20, 40)}) == 3
    assert all(len({*keys[at : at + 20]}) == 20 for at in (0, 20, 40))
    keys = [key for _, key in names(read(mix, shuffle=False))]
    assert keys[:20] == keys[20:40] == keys[40:]


@pytest.mark.parametrize("stop", ["all", "first", "never"])
def test_datasets_without_samples(stop):
    length = 40 if stop == "never" else None
    mix = clipx.Mix({"none": (Numbers(0, 0), 1), "some": (Numbers(3, 0, 2), 1)}, stop=stop, length=length)
    found = check_positions(mix, ALONE)
    assert {name for name, _ in names(found)} <= {"some"}
    assert {"all": len(found) == 5, "first": len(found) < 5, "never": len(found) == 40}[stop]
    assert read(clipx.Mix({"none": (Numbers(0, 0), 1)}, stop=stop, length=length)) == []
    # More processes than samples: the shares of some are empty.
    counts = [len(check_positions(mix, world)) for world in worlds(8, 1)]
    if stop == "all":
        assert sum(counts) == 5
    if stop == "never":
        assert {*counts} == {0, 5}


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("stop", ["all", "never"])
def test_broken_shards(media, goes_on, stop):
    """The handler says whether the dataset of a broken shard goes on; the others do in any case."""
    urls, files = media
    os.truncate(urls[2], 4500)
    errors = []
    alone = len(list(Shards(urls, lambda exn: errors.append(exn) or goes_on).samples(Share([0, 1, 2, 3]))))
    assert alone == 2 + 3 + 1 + 5 * goes_on
    wanted = len(errors)
    errors.clear()
    mix = clipx.Mix({"shards": (urls, 1), "files": (files, 1)}, stop=stop, length=60 if stop == "never" else None)
    found = read(mix, handler=lambda exn: errors.append(exn) or goes_on, shuffle=False)
    counts = Counter(sample["__dataset__"] for _, sample in found)
    assert len(errors) == wanted if stop == "all" or not goes_on else len(errors) > wanted
    assert all(exn.dataset == "shards" and "dataset 'shards'" in str(exn) and urls[2] in str(exn) for exn in errors)
    if stop == "all":
        assert counts == {"files": 7, "shards": alone}
    else:
        assert sum(counts.values()) == 60
        assert counts["shards"] > 15 if goes_on else counts["shards"] == alone
    # From anywhere on, the dataset ends where it had ended.
    share, position = mix.share(0, 1, False, ALONE), START
    for number, (address, _) in enumerate(found):
        if number % 4 == 0:
            rest = mix.reader(lambda exn: goes_on).samples(share, position)
            assert [at for at, _ in rest] == [at for at, _ in found[number:]], number
        position = share.advance(position, address)
    if goes_on:
        with pytest.raises(Exception, match=r"2\.tar.*dataset 'shards'"):
            read(mix)


def test_a_dataset_that_waits_holds_no_sample(media):
    urls, _ = media
    mix = clipx.Mix({"a": (urls[:2], 1), "b": (urls[2:], 1)})
    samples = mix.reader(log_and_continue).samples(mix.share(0, 0, False, ALONE))
    data, seen = [], set()
    for _, sample in samples:
        data.append(sample.pop("npy"))
        seen.add(sample["__dataset__"])
        if len(data) == 5:
            break
    del sample
    next(samples)
    assert seen == {"a", "b"}
    assert all(sys.getrefcount(data[at]) == 2 for at in range(5))


def test_views():
    mix = clipx.Mix({"a": (Numbers(1, 2), 1), "b": (Numbers(0, 3), 1)})
    found = [names(mix.reader(log_and_continue).views(part)) for part in range(len(mix))]
    assert found == [
        [("a", "0 0")],
        [("a", "1 0"), ("a", "1 1")],
        [],
        [("b", "1 0"), ("b", "1 1"), ("b", "1 2")],
    ]


def test_samples_that_have_changed(media):
    urls, files = media
    mix = clipx.Mix({"shards": (urls, 1), "files": (files, 1)})
    address = next(address for address, sample in read(mix) if sample["__dataset__"] == "shards")
    for wrong in (address._replace(checksum=7), address._replace(sample=99)):
        with pytest.raises(ValueError, match=r"has changed.*dataset 'shards'"):
            list(mix.reader(log_and_continue).find([wrong]))
        with pytest.raises(ValueError, match=r"has changed|not in the share"):
            read(mix, after=START.advance(wrong), shuffle=False)
    twice = START.advance(address)._replace(last=(address, address._replace(sample=address.sample + 1)))
    with pytest.raises(ValueError, match="must be one of each dataset at most"):
        read(mix, after=twice)


@pytest.mark.parametrize("seed", range(20))
def test_runs_of_shares(seed):
    """What processes had left, read as runs: after any number of samples of each, every sample comes once."""
    rng = random.Random(seed)
    mix = clipx.Mix({"a": (Numbers(*[3] * rng.randrange(1, 9)), 1), "b": (Numbers(*[2] * 5), 2), "c": (Numbers(9), 1)})
    done, runs = [], []
    old = worlds(rng.randrange(1, 4), rng.randrange(1, 3))
    for world in old:
        found, share, position = read(mix, world), mix.share(0, 1, True, world), START
        for address, _ in found[: rng.randrange(len(found) + 1)]:
            position = share.advance(position, address)
            done.append(address)
        runs += JoinedShare.of([Run(world, 0, len(share.shards))], lambda _, share=share: share).rest(position)
    rng.shuffle(runs)
    halves = [[run._replace(split=2, number=number) for run in runs] for number in range(2)]
    for shares in ([runs], halves, [runs[::3], runs[1::3], runs[2::3]]):
        rest = []
        for each in shares:
            share = JoinedShare.of(each, lambda world: mix.share(0, 1, True, world), mix.share(0, 1, True, ALONE))
            reader, position = mix.reader(log_and_continue), START
            found = [address for address, _ in reader.samples(share)]
            for number, address in enumerate(found):
                assert [at for at, _ in reader.samples(share, position)] == found[number:]
                position = share.advance(position, address)
            rest += found
        assert sorted(done + rest) == sorted(address for address, _ in read(mix))


def test_facts():
    mix = clipx.Mix({"a": (Numbers(1, 2), 1), "b": (Numbers(3), 2)})
    mix.check(mix.facts())
    pickle.loads(pickle.dumps(mix)).check(mix.facts())
    for other, words in (
        (clipx.Mix({"b": (Numbers(1, 2), 1), "a": (Numbers(3), 2)}), r"names \['a', 'b'\] .* has \['b', 'a'\]"),
        (clipx.Mix({"a": (Numbers(1, 2), 2), "b": (Numbers(3), 2)}), r"weights \[1\.0, 2\.0\] .* has \[2\.0, 2\.0\]"),
        (clipx.Mix({"a": (Numbers(1, 2), 1), "b": (Numbers(3), 2)}, stop="first"), "stop 'all' .* has 'first'"),
        (clipx.Mix({"a": (Numbers(1, 2), 1), "b": (Numbers(4), 2)}), r"counts were \[3\] \(dataset 'b'\)"),
    ):
        with pytest.raises(ValueError, match=words):
            other.check(mix.facts())
    never = clipx.Mix({"a": (Numbers(1), 1)}, stop="never", length=3)
    with pytest.raises(ValueError, match="length 3 of Mix, but Mix has 4"):
        clipx.Mix({"a": (Numbers(1), 1)}, stop="never", length=4).check(never.facts())
    facts = mix.facts()
    for hostile in (None, [], {}, {**facts, "datasets": {}}, {**facts, "datasets": [[1, 2]]}, {"names": ["a"]}):
        with pytest.raises(ValueError, match="state is not as state_dict gave it"):
            mix.check(hostile)


@pytest.mark.parametrize(
    ("datasets", "rest", "error", "words"),
    [
        ({}, {}, TypeError, "datasets is {}, but must be a dict"),
        ([("a", "b.tar", 1)], {}, TypeError, "must be a dict"),
        ({"a": "b.tar"}, {}, TypeError, "dataset 'a' is 'b.tar', but must be a pair"),
        ({"": ("b.tar", 1)}, {}, TypeError, "names must be texts"),
        ({3: ("b.tar", 1)}, {}, TypeError, "a name 3, but names must be texts"),
        ({"a": ("b.mp4", 1)}, {}, ValueError, "dataset 'a' names 'b.mp4', a video"),
        ({"a": (7, 1)}, {}, TypeError, "dataset 'a' is 7, but must be"),
        ({"a": ("b.tar", 0)}, {}, ValueError, "weight of dataset 'a' is 0, but must be above 0"),
        ({"a": ("b.tar", -1)}, {}, ValueError, "weight of dataset 'a' is -1"),
        ({"a": ("b.tar", float("nan"))}, {}, ValueError, "weight of dataset 'a' is nan"),
        ({"a": ("b.tar", "1")}, {}, TypeError, "weight of dataset 'a' is '1', but must be a number"),
        ({"a": ("b.tar", True)}, {}, TypeError, "weight of dataset 'a' is True"),
        ({"a": (clipx.Mix({"b": ("b.tar", 1)}), 1)}, {}, TypeError, "dataset 'a' is a mixture itself: name its"),
        ({"a": ("b.tar", 1)}, {"stop": "last"}, ValueError, "stop is 'last', but must be one of all, first, never"),
        ({"a": ("b.tar", 1)}, {"stop": "never"}, ValueError, "stop='never' needs length, the samples of an epoch"),
        ({"a": ("b.tar", 1)}, {"length": 3}, ValueError, "length is 3, but stop='all' has the length of its"),
        ({"a": ("b.tar", 1)}, {"stop": "never", "length": 0}, ValueError, "length is 0, but must be at least 1"),
        ({"a": ("b.tar", 1)}, {"stop": "never", "length": 1.5}, TypeError, "length is 1.5"),
    ],
)
def test_arguments(datasets, rest, error, words):
    with pytest.raises(error, match=words):
        clipx.Mix(datasets, **rest)
