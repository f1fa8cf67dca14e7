"""States of a Loader, and the batches behind them."""

import json
import random
from itertools import islice

import clipx
from helpers.loaders import check_ended, everything
from helpers.long import LONG
from helpers.shards import write_shard

THREADS = (1, 2, 3, 8)

TO_THE_END = 1 if LONG else 3
"""One of so many states goes on to the end of its epoch, the others for NEAR batches: a hundred states would else
take a hundred epochs."""

NEAR = 6

SPARSE = 1 if LONG else 2
"""States are as many times further apart."""


def through_json(state):
    return json.loads(json.dumps(state))


def batches_and_states(loader, epochs=1):
    """Every batch of some epochs as a value, and the state behind each; the first is that before any."""
    values, states = [], [through_json(loader.state_dict())]
    for _ in range(epochs):
        for batch in loader:
            values += everything([batch])
            del batch
            states.append(through_json(loader.state_dict()))
    return values, states


def check_every(make, epochs=1, every=1, seed=0):
    """From every state, or one of `every`, the batches that follow it, on other numbers of threads.

    See TO_THE_END and SPARSE.
    """
    rng, every = random.Random(seed), every * SPARSE
    values, states = [], []
    loader = make(threads=2)
    for _ in range(epochs):
        found, saved = batches_and_states(loader)
        values.append(found)
        states.append(saved)
        check_ended(loader)
    for epoch, (found, saved) in enumerate(zip(values, states)):
        assert len(saved) == len(found) + 1
        for number, at in enumerate(range(rng.randrange(min(every, len(saved))), len(saved), every)):
            other = make(threads=rng.choice(THREADS))
            other.load_state_dict(saved[at])
            if number % TO_THE_END:
                assert everything(islice(other, NEAR)) == found[at : at + NEAR], (epoch, at)
                other.close()
            else:
                assert everything(other) == found[at:], (epoch, at)
                if epoch + 1 < epochs and rng.random() < 0.3:
                    assert everything(other) == values[epoch + 1], (epoch, at)
            check_ended(other)
    return values, states


def check_every_of_videos(folder, paths, spec):
    """`check_every` of a Loader, over two epochs of clips of videos, cropped at random."""
    url = write_shard(
        folder / "videos.tar", [{"__key__": f"v{i}", "mp4": each.read_bytes()} for i, each in enumerate(paths)]
    )
    format = clipx.ClipFormat(crop=("random", (16, 16)))
    return check_every(lambda **rest: clipx.Loader([url], spec, format, batch_size=2, memory="1MB", **rest), epochs=2)
