"""A step of the Loader, run to any midpoint and on."""

import json

from clipx.loader.codec import Decoder, Encoder


def through_json(kind, value):
    """A value of a state, as it comes back from a file."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(kind, value))
    return Decoder(list(encoder.addresses)).decode(kind, "state", json.loads(text))


def check_midpoints(kind, start):
    """A step gives the same from each of its states on as without a stop. Returns what it gives.

    `start(state)` begins the step at a state of the type `kind`, or at the beginning for None: it returns an iterator
    of what the step gives, and the step.
    """
    outputs, step = start(None)
    expected, states = [], [through_json(kind, step.state())]
    for output in outputs:
        expected.append(output)
        states.append(through_json(kind, step.state()))
    for number, state in enumerate(states):
        outputs, step = start(state)
        assert through_json(kind, step.state()) == state, number
        assert list(outputs) == expected[number:], number
    return expected
