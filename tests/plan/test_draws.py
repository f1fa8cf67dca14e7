"""Generators of random choices."""

import random

import pytest

from clipx.plan.draws import skip_draws


@pytest.mark.parametrize("draws", [0, 1, 311, 312, 313, 1000, (1 << 22) + 3])
def test_skip_draws(draws):
    skipped, drawn = random.Random(5), random.Random(5)
    drawn.gauss(0, 1)  # of two numbers; it keeps the second
    skipped.gauss(0, 1)
    for _ in range(draws):
        drawn.random()
    skip_draws(skipped, draws)
    assert skipped.getstate() == drawn.getstate()
