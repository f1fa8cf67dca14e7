"""States whose digest is right and whose content is not: ValueError before anything is done with them."""

import json

import pytest
from helpers.loaders import WINDOW

import clipx
from clipx.loader import state as states

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

TOO_LARGE = 10**15
MEMORY = 20_000


@pytest.fixture
def saved(arrays):
    urls, _ = arrays
    crop = clipx.ClipFormat(crop=(4, 4))
    with clipx.Loader(urls, WINDOW, crop, batch_size=2, memory=MEMORY, threads=2, seed=3) as loader:
        for number, batch in enumerate(loader):
            del batch
            if number == 4:
                break
        state = loader.state_dict()
    assert state["shuffle"]["held"][0]
    assert state["interleave"]["active"][0]

    def load(state):
        with clipx.Loader(urls, WINDOW, crop, batch_size=2, memory=MEMORY, threads=2, seed=3) as loader:
            loader.load_state_dict(state)
            return sum(len(batch["__key__"]) for batch in loader)

    return json.loads(json.dumps(state)), load


def put(*path, value):
    def edit(state):
        for each in path[:-1]:
            state = state[each]
        state[path[-1]] = value

    return edit


def drop(name):
    return lambda state: state.pop(name)


LAYOUT = "probed", "layout", "fields", 1

EDITS = {
    **{f"no {name}": (drop(name), f"state has no {name}") for name in sorted(states.ENTRIES)},
    "shards of no list": (put("shards", value=[]), "shards is"),
    "names of no text": (put("shards", "names", value=7), "names of shards"),
    "names of no base64": (put("shards", "names", value="Δ"), "names of shards"),
    "sizes of no list": (put("shards", "sizes", value={}), "shards is"),
    "world of texts": (put("world", "rank", value="0"), r"world\.rank is '0'"),
    "world cut short": (put("world", value={"rank": 0, "ranks": 1}), "world is"),
    "no world": (put("world", value=None), "world is None"),
    "epoch": (put("epoch", value=-1), "epoch is -1"),
    "truth": (put("finished", value=0), "finished is 0"),
    "target": (put("target", value="all"), "target is 'all'"),
    "batches": (put("batch", "count", value=1.5), r"batch\.count is 1\.5"),
    "a batch of more": (put("batch", "more", value=1), "batch is"),
    "drawn": (put("shuffle", "drawn", value=TOO_LARGE), r"shuffle\.drawn is"),
    "passes": (put("passes", value=None), "passes is None"),
    "next": (put("interleave", "next", value=99), r"interleave\.next is 99"),
    "read": (put("interleave", "read", "last", value=[99]), r"interleave\.read\.last\[0\] is 99"),
    "nothing read": (put("interleave", "read", "samples", value=0), r"interleave\.read\.last is \(Address"),
    "read elsewhere": (put("interleave", "read", "last", value=[1]), r"interleave\.read\.last is \(Address"),
    "no runs": (put("runs", value=None), "runs is None"),
    "runs of more parts": (put("runs", 2, 0, value=99), "runs is"),
    "runs backwards": (put("runs", 1, 0, value=9), "a run is"),
    "runs of no rank": (put("runs", 0, 0, "rank", value=9), "the world of a run is"),
    "runs of no sample": (put("runs", 4, 0, value=1), "a run is"),
    "runs of a stranger": (put("runs", 5, 0, value=99), r"runs\.after is 99"),
    "peers of others": (put("peers", value=[[[[]] * 6] * 2, [0, 0], [[[]] * 5] * 2]), "the world has 1 ranks"),
    "clips out of order": (put("interleave", "active", 3, 0, value=[9, 3]), "the clips of a sample is"),
    "left twice": (
        lambda state: state["interleave"].update(left=state["interleave"]["active"]),
        r"interleave\.left is",
    ),
    "active twice": (
        lambda state: [column.append(column[0]) for at, column in enumerate(state["interleave"]["active"]) if at != 2],
        r"interleave\.active is",
    ),
    "active of more": (lambda state: state["interleave"]["active"].append([1]), r"interleave\.active is"),
    "active of a stranger": (put("interleave", "active", 0, 0, value=99), r"interleave\.active\.address is 99"),
    "given": (put("interleave", "active", 1, 0, value=-1), r"interleave\.active\.following is -1"),
    "held cut short": (lambda state: state["shuffle"]["held"][1].pop(), r"shuffle\.held\.number is"),
    "held twice": (
        lambda state: [column.append(column[0]) for column in state["shuffle"]["held"][:2]],
        r"shuffle\.held is",
    ),
    "held and not given": (
        lambda state: [
            column.__setitem__(0, to)
            for column, to in zip(state["shuffle"]["held"], (state["interleave"]["active"][0][0], 10**6))
        ],
        "has not given clip",
    ),
    "damaged": (put("shuffle", "held", 2, value=[-1]), r"shuffle\.held\.damaged is -1"),
    "a sample twice": (
        lambda state: state["samples"].append([*state["samples"][0][:2], 1]),
        "samples is",
    ),
    "a sample of no shard": (put("samples", 0, 0, value=99), "a shard is 99"),
    "a sample of two": (put("samples", 0, value=[0, 1]), "a sample is"),
    "samples of no list": (put("samples", value={}), "samples is"),
    "workers": (put("probed", "workers", value=2), r"probed\.workers is 2"),
    "fields": (put("probed", "fields", value=[]), r"probed\.fields is"),
    "a field twice": (put("probed", "fields", value=["npy", "npy"]), r"probed\.fields is"),
    "a field of no text": (put("probed", "fields", value=[3]), r"probed\.fields\[0\] is 3"),
    "clips of terabytes": (put("probed", "clip_bytes", value=TOO_LARGE), r"probed\.clip_bytes is"),
    "slots of terabytes": (put("probed", "budget", "slots", value=10**4), r"probed\.budget is"),
    "no sources": (put("probed", "budget", "active", value=0), r"probed\.budget is"),
    "another budget": (put("probed", "budget", value={"slots": 4}), r"probed\.budget is"),
    "no layout": (put("probed", "layout", value=None), r"probed\.layout is None"),
    "clips of no field": (put("probed", "layout", "clips", value=["other"]), r"probed\.layout\.clips is"),
    "layout twice": (
        lambda state: [column.append(column[0]) for column in state["probed"]["layout"]["fields"]],
        r"keys of probed\.layout\.fields is",
    ),
    "shapes of terabytes": (put(*LAYOUT, 0, value=[[TOO_LARGE], "|u1"]), "the shape of probed"),
    "no dtype": (put(*LAYOUT, 0, value=[[1], "Δ"]), "must name a dtype"),
    "Python in a dtype": (put(*LAYOUT, 0, value=[[1], [[[]]]]), "must name a dtype"),
}


@pytest.mark.parametrize("name", EDITS)
def test_refused(saved, name):
    state, load = saved
    edit, words = EDITS[name]
    edit(state)
    state["digest"] = states._digest(state)
    with pytest.raises(ValueError, match=words):
        load(state)


def test_what_is_not_edited_goes_on(saved):
    state, load = saved
    before = load(state)
    state["digest"] = states._digest(state)
    assert load(state) == before > 0


def test_of_the_version_before(saved):
    state, load = saved
    state["version"] = 4
    state["digest"] = states._digest(state)
    with pytest.raises(ValueError, match="version 4, but this clipx reads version 5"):
        load(state)


def test_a_sample_that_is_not_there(saved):
    state, load = saved
    state["samples"] = [[shard, sample + 10**6, check] for shard, sample, check in state["samples"]]
    state["digest"] = states._digest(state)
    with pytest.raises(ValueError, match="state was saved"):
        load(state)
