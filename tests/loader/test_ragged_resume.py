"""States of a Loader of clips of different lengths: the batches that follow are the very ones, with any threads."""

import random
from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.killed import iterate_until_killed
from helpers.loaders import check_ended, everything
from helpers.long import LONG
from helpers.ragged import Parts
from helpers.shards import write_shard
from helpers.states import batches_and_states, check_every, through_json

import clipx
from clipx.loader import state as states

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

SPEC = Parts(3, 8)
KINDS = ["list", "pad", "bucket"]
CROP = clipx.ClipFormat(crop=(8, 8))


def write(folder, samples, each=6):
    return [write_shard(folder / f"{at:03d}.tar", samples[at : at + each]) for at in range(0, len(samples), each)]


@pytest.fixture
def ragged(tmp_path):
    lengths = np.random.default_rng(2).integers(1, 30, 24)
    return write(tmp_path, [{"__key__": f"s{i:02d}", "npy": npy(array(n, i, (4, 5)))} for i, n in enumerate(lengths)])


@pytest.fixture
def ragged_videos(tmp_path, make_video):
    samples = [{"__key__": f"v{n:02d}", "mp4": make_video(n=n, g="5").read_bytes()} for n in range(5, 33, 3)]
    return write(tmp_path, samples, 3)


def loader_of(urls, ragged, format=None, spec=SPEC, **changes):
    arguments = {"batch_size": 4, "memory": "70kB", "threads": 2, **changes}
    return clipx.Loader(urls, spec, format, ragged=ragged, **arguments)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_batch(ragged, kind, drop_last, shuffle):
    values, saved = check_every(
        lambda **rest: loader_of(ragged, kind, shuffle=shuffle, drop_last=drop_last, **rest),
        epochs=2,
        every=1 if LONG else 3,
    )
    assert (values[0] != values[1]) == shuffle
    held = [len(state["batch"]["held"][0]) for state in saved[0]]
    assert (max(held) > 4) == (kind == "bucket")


@pytest.mark.parametrize("memory", ["50kB", "5MB"])
@pytest.mark.parametrize("kind", KINDS)
def test_small_and_large_memory(ragged, kind, memory):
    check_every(lambda **rest: loader_of(ragged, kind, memory=memory, drop_last=False, **rest), every=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_memory(ragged, kind):
    """Clips of the shuffle and of buckets, and the open samples, have room beside each other also where they return."""
    with pytest.raises(ValueError, match="at least") as caught:
        everything(loader_of(ragged, kind, memory=1000, batch_size=3))
    least = int(str(caught.value).rpartition(" ")[2])
    caught.value.__traceback__ = None
    check_every(lambda **rest: loader_of(ragged, kind, memory=least, batch_size=3, drop_last=False, **rest), every=2)


@pytest.mark.parametrize("kind", KINDS)
def test_videos(ragged_videos, kind):
    format = clipx.ClipFormat(crop=("random", (8, 8)), flip=0.5, mean="imagenet", order="CTHW")
    check_every(lambda **rest: loader_of(ragged_videos, kind, format, memory="600kB", drop_last=False, **rest), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_frames_as_the_duration_gives(ragged_videos, kind):
    spec = clipx.RateSpec(5, max_frames=7)
    values, saved = check_every(
        lambda **rest: loader_of(ragged_videos, kind, CROP, spec, memory="100kB", batch_size=2, drop_last=False, **rest)
    )
    assert sum(value["__key__"].count("'v") for value in values[0]) == 10
    assert (max(len(state["batch"]["held"][0]) for state in saved[0]) > 2) == (kind == "bucket")


@pytest.mark.parametrize("kind", KINDS)
def test_broken_samples_and_a_map(tmp_path, kind):
    rng = np.random.default_rng(1)
    samples = [
        {"__key__": f"s{i:02d}", "npy": npy(array(int(n), i, (4, 5))), "cls": i}
        for i, n in enumerate(rng.integers(1, 40, 24))
    ]
    for i in (1, 7, 8, 22):
        samples[i]["npy"] = samples[i]["npy"][: 60 + i]
    samples[12]["npy"] = npy(array(9, 1, (5, 4)))  # other pictures
    samples[13]["npy"] = npy(array(9, 1, (4, 5), "int8"))
    urls = write(tmp_path, samples)
    Path(urls[2]).write_bytes(Path(urls[2]).read_bytes()[:-9000])

    def make(**rest):
        return loader_of(urls, kind, handler=lambda exn: True, map=change, **rest)

    check_every(make, every=2, epochs=2)


def change(sample):
    return {**sample, "sums": sample["npy"].sum((1, 2, 3)).astype("f4"), "clip.json": sample["clip.json"]}


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_stops(tmp_path, kind, drop_last):
    """What a handler has ended stays ended, also while buckets give what they have."""
    samples = [{"__key__": f"s{i:02d}", "npy": npy(array(3 + i % 9, i, (4, 5)))} for i in range(20)]
    urls = write(tmp_path, samples)

    def odd(sample):
        if sample["__key__"].startswith("s11"):
            del sample["npy"]
        return sample

    def make(**rest):
        return loader_of(urls, kind, handler=lambda exn: False, map=odd, drop_last=drop_last, **rest)

    values, _ = check_every(make)
    assert 0 < sum(value["__key__"].count("'s") for value in values[0]) < 60


def test_ended_by_the_handler_inside_a_batch_of_one_size(tmp_path):
    """The state behind the short batch that is left then is one of the end."""
    samples = [{"__key__": f"s{i}", "npy": npy(array(4, i, (4, 5 + (i == 6))))} for i in range(12)]
    urls = write(tmp_path, samples)

    def make(**rest):
        return loader_of(
            urls, "error", spec=Parts(1, 4), shuffle=False, drop_last=False, handler=lambda exn: False, **rest
        )

    values, _ = check_every(make)
    assert [value["__key__"].count("'s") for value in values[0]] == [4, 2]


def test_killed_at_random_batches(ragged, tmp_path):
    """SIGKILL at random batches of buckets, and the rest on another number of threads."""

    def make(**rest):
        return loader_of(ragged, "bucket", drop_last=False, epoch=3, **rest)

    wanted = everything(make(threads=2))
    rng = random.Random(4)
    for _ in range(6):
        lines, state = iterate_until_killed(lambda: make(threads=2), tmp_path, rng.randrange(1, len(wanted)), 30)
        count = state["batch"]["count"]
        assert lines[:count] == [str(each) for each in wanted[:count]]
        other = make(threads=rng.choice([1, 3, 8]))
        other.load_state_dict(state)
        assert everything(other) == wanted[count:]


def test_clips_that_are_left_out_are_counted_after_resuming(ragged):
    loader = loader_of(ragged, "bucket")
    values, saved = batches_and_states(loader)
    wanted = sorted(entry.key for entry in loader.errors.of_kind("left out"))
    other = loader_of(ragged, "bucket", threads=3)
    other.load_state_dict(saved[len(values) // 2])
    assert everything(other) == values[len(values) // 2 :]
    assert sorted(entry.key for entry in other.errors.of_kind("left out")) == wanted
    assert other.errors.counts["left out"] == len(wanted) > 0
    check_ended(other)


SMALL = {"batch_size": 2, "memory": "27kB"}


@pytest.fixture
def saved(ragged):
    """A state that holds clips in buckets and in the shuffle."""
    _, saved = batches_and_states(loader_of(ragged, "bucket", **SMALL))
    state = next(
        state
        for state in saved
        if state["batch"]["held"][0] and state["shuffle"]["held"][0] and state["interleave"]["active"][0]
    )

    def load(state):
        loader = loader_of(ragged, "bucket", **SMALL)
        loader.load_state_dict({**state, "digest": states._digest(state)})
        return everything(loader)

    return through_json(state), load


def twice(state):
    for column in state["batch"]["held"][:2]:
        column.append(column[0])


def of_the_shuffle(state):
    for column, other in zip(state["batch"]["held"][:2], state["shuffle"]["held"][:2]):
        column[0] = other[0]


def not_given(state):
    columns = state["batch"]["held"]
    columns[0][0], columns[1][0] = state["interleave"]["active"][0][0], 10**6


def too_many(state):
    state["batch"]["held"] = [[0] * 10**4, list(range(10**4)), []]
    state["shuffle"]["held"] = [[], [], []]
    state["interleave"]["active"] = [[] for _ in state["interleave"]["active"]]
    state["interleave"]["next"] = 0


EDITS = {
    "twice": (twice, r"batch\.held is .* different clips"),
    "of the shuffle": (of_the_shuffle, r"batch\.held is .*the shuffle holds some of them"),
    "not given": (not_given, r"batch\.held is .*has not given clip"),
    "too many": (too_many, r"batch\.held is .*must be at most \d+ different clips"),
    "of a stranger": (lambda state: state["batch"]["held"][0].__setitem__(0, 999), r"batch\.held\.address is 999"),
    "cut short": (lambda state: state["batch"]["held"][1].pop(), r"batch\.held\.number is"),
    "no list": (lambda state: state["batch"].update(held=7), r"batch\.held is 7"),
    "none": (lambda state: state["batch"].pop("held"), "batch is .* must have the entries"),
    "ended": (lambda state: state["batch"].update(ended=2), r"batch\.ended is 2"),
    "slots": (lambda state: state["probed"]["budget"].update(bucketed=10**5), r"probed\.budget is"),
    "bytes": (lambda state: state["probed"]["budget"].update(bucketed_beside=10**9), r"probed\.budget is"),
    "length": (lambda state: state["probed"]["layout"].update(length="x"), r"probed\.layout\.length is 'x'"),
    "version": (lambda state: state.update(version=4), "version 4, but this clipx reads version 5"),
}


@pytest.mark.parametrize("name", EDITS)
def test_hostile_states_are_refused(saved, name):
    state, load = saved
    edit, words = EDITS[name]
    edit(state)
    with pytest.raises(ValueError, match=words):
        load(state)


def test_what_is_not_edited_goes_on(saved):
    state, load = saved
    assert load(state)


@pytest.mark.parametrize("kind", ["error", "pad"])
def test_a_state_of_another_kind_is_refused(saved, ragged, kind):
    state, _ = saved
    with pytest.raises(ValueError, match='saved with ragged "bucket", but the loader has ragged'):
        loader_of(ragged, kind, **SMALL).load_state_dict({**state, "digest": states._digest(state)})


def test_a_clip_that_is_not_given_again(saved, ragged):
    """The number of a clip in a bucket that its sample does not have."""
    state, load = saved
    columns = state["batch"]["held"]
    active = set(state["interleave"]["active"][0])
    at = next(at for at, address in enumerate(columns[0]) if address not in active)
    columns[1][at] = 77
    with pytest.raises(ValueError, match=r"gives \d of the \d clips that it gave when the state was saved"):
        load(state)
