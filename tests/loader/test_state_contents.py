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
    assert state["held"][0]
    assert state["active"]

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


EDITS = {
    **{f"no {name}": (drop(name), f"state has no {name}") for name in sorted(states.ENTRIES)},
    "shards of no list": (put("shards", value=[]), "shards is"),
    "names of no text": (put("shards", "names", value=7), "names of shards"),
    "names of no base64": (put("shards", "names", value="Δ"), "names of shards"),
    "sizes of no list": (put("shards", "sizes", value={}), "shards is"),
    "world of texts": (put("world", value=["0"] * 4), "world is '0'"),
    "world cut short": (put("world", value=[0, 1]), "world is"),
    "epoch": (put("epoch", value=-1), "epoch is -1"),
    "truth": (put("finished", value=0), "finished is 0"),
    "target": (put("target", value="all"), "target is 'all'"),
    "batches": (put("batches", value=1.5), r"batches is 1\.5"),
    "drawn": (put("drawn", value=TOO_LARGE), "drawn is"),
    "passes": (put("passes", value=None), "passes is None"),
    "turn": (put("turn", value=99), "turn is 99"),
    "read": (put("read", value=99), "the number of a place is 99"),
    "nothing read": (put("read", value=None), "read is None"),
    "active twice": (lambda state: state["active"].append(state["active"][0]), "active is"),
    "active of more": (lambda state: state["active"].append([0, 1, 2]), "an active sample"),
    "given": (put("active", 0, 1, value=-1), "the index of a clip is -1"),
    "held cut short": (lambda state: state["held"][0].pop(), "held's clips"),
    "held twice": (lambda state: [each.append(each[0]) for each in state["held"]], "held is"),
    "held and not given": (
        lambda state: [each.__setitem__(0, to) for each, to in zip(state["held"], (state["active"][0][0], 10**6))],
        "has not given clip",
    ),
    "damaged": (put("damaged", value=[-1]), "the number of a place is -1"),
    "a place twice": (
        lambda state: state["places"].append([*state["places"][0][:2], 1]),
        "places is",
    ),
    "a place of no shard": (put("places", 0, 0, value=99), "a shard is 99"),
    "a place of two": (put("places", 0, value=[0, 1]), "a place is"),
    "workers": (put("looked", 0, value=2), "workers is 2"),
    "fields": (put("looked", 1, value=[]), "fields is"),
    "a field twice": (put("looked", 1, value=["npy", "npy"]), "fields is"),
    "clips of terabytes": (put("looked", 2, value=TOO_LARGE), "the bytes of a clip"),
    "slots of terabytes": (put("looked", 3, "slots", value=10**4), "budget is"),
    "no sources": (put("looked", 3, "active", value=0), "budget is"),
    "another budget": (put("looked", 3, value={"slots": 4}), "budget is"),
    "no like": (put("looked", 4, value=None), "what clips are like"),
    "shapes of terabytes": (put("looked", 4, 2, 0, value=[[TOO_LARGE], "|u1"]), "shape is"),
    "no dtype": (put("looked", 4, 2, 0, value=[[1], "Δ"]), "names no dtype"),
    "Python in a dtype": (put("looked", 4, 2, 0, value=[[1], [[[]]]]), "names no dtype"),
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


def test_a_sample_that_is_not_there(saved):
    state, load = saved
    state["places"] = [[shard, sample + 10**6, check] for shard, sample, check in state["places"]]
    state["digest"] = states._digest(state)
    with pytest.raises(ValueError, match="state was saved"):
        load(state)
