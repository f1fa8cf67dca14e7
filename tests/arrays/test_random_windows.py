"""Windows of random plans over random arrays are those of the reference, byte for byte.

With CLIPX_LONG=1 they are a million.
"""

import random

import numpy as np
from helpers.long import LONG
from helpers.windows import expected, numbers, same

from clipx.windows import extract

WINDOWS = 1_000_000 if LONG else 20_000
POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]
SEEN = [
    lambda frames: frames,
    lambda frames: frames[::2],
    lambda frames: frames[::-1],
    np.asfortranarray,
]


def test_random_windows():
    rng, seen = random.Random(5), 0
    while seen < WINDOWS:
        shape = (rng.randrange(120), *rng.choice([(), (3,), (5, 7), (4, 6, 3)]))
        frames = rng.choice(SEEN)(numbers(shape, rng.choice(["u1", "i2", "f4", "c16"]), seed=shape[0]))
        plan = {"length": rng.randrange(1, 9), "dilation": rng.randrange(1, 9), "policy": rng.choice(POLICIES)}
        if rng.random() < 0.2:
            plan["num_clips"] = rng.randrange(1, 9)
        else:
            plan["stride"] = rng.choice([1, 1, 2, 3, rng.randrange(1, 40)])
        if plan["policy"] == "constant":
            plan["fill_value"] = 7
        got = extract(frames, **plan, num_threads=rng.choice([1, 1, 1, 2, 3]))
        same(got, expected(frames, **plan))
        seen += len(got)
