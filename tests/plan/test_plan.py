"""Plans against the reference, and against the formulas of the design."""

import dataclasses
import pickle
import random
from math import ceil

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import WindowSpec, windows

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
FILLING = ("repeat_last", "wrap", "reflect", "constant")


def same(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert (a == b).all()


def against_reference(n, **fields):
    """All four methods; where the reference refuses, all four must."""
    spec = WindowSpec(**fields)
    length, dilation, policy = spec.length, spec.dilation, spec.policy
    methods = (spec.count, spec.starts, spec.indices, spec.padding)
    try:
        at = reference.starts(n, **fields)
    except ValueError:
        for method in methods:
            with pytest.raises(ValueError, match="policy is 'error'"):
                method(n)
        return
    assert spec.count(n) == len(at)
    same(spec.starts(n), np.array(at, np.int64))
    same(spec.indices(n), reference.indices(n, at, length, dilation, policy))
    same(spec.padding(n), reference.padding(n, at, length, dilation))


def formula(n, length, stride, dilation, policy):
    """The number of clips, word for word from the design."""
    span = dilation * (length - 1) + 1
    if policy == "drop":
        return (n - span) // stride + 1 if n >= span else 0
    if n == 0:
        return 0
    if policy == "backpad":
        return ceil((n - span) / stride) + 1 if n >= span else 0
    return 1 if n <= span else min(ceil((n - span) / stride), (n - 1) // stride) + 1


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_grid(policy, dilation):
    for n in range(26):
        for length in range(1, 6):
            for stride in (None, 1, 2, 3, 4, 5, 6, 7):
                against_reference(n, length=length, stride=stride, dilation=dilation, policy=policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_grid_of_num_clips(policy):
    for n in range(16):
        for length in range(1, 5):
            for dilation in (1, 2, 3):
                for num_clips in (1, 2, 3, 7):
                    against_reference(n, length=length, dilation=dilation, policy=policy, num_clips=num_clips)


@settings(deadline=None)
@given(
    n=st.integers(0, 2000),
    length=st.integers(1, 40),
    stride=st.none() | st.integers(1, 300),
    dilation=st.integers(1, 20),
    policy=st.sampled_from(POLICIES),
)
def test_any_plan(n, length, stride, dilation, policy):
    against_reference(n, length=length, stride=stride, dilation=dilation, policy=policy)


@settings(deadline=None)
@given(
    n=st.integers(0, 500),
    length=st.integers(1, 30),
    dilation=st.integers(1, 10),
    policy=st.sampled_from(POLICIES),
    num_clips=st.integers(1, 40),
)
def test_any_num_clips(n, length, dilation, policy, num_clips):
    against_reference(n, length=length, dilation=dilation, policy=policy, num_clips=num_clips)


@pytest.mark.parametrize("policy", ["drop", "backpad", *FILLING])
def test_count_is_the_formula(policy):
    for n in range(40):
        for length in range(1, 6):
            for dilation in (1, 2, 5):
                for stride in range(1, 12):
                    count = WindowSpec(length, stride, dilation, policy).count(n)
                    assert count == formula(n, length, stride, dilation, policy), (n, length, stride, dilation)


@settings(deadline=None)
@given(
    n=st.integers(1, 400),
    length=st.integers(1, 20),
    stride=st.integers(1, 60),
    dilation=st.integers(1, 8),
    policy=st.sampled_from(FILLING),
)
def test_filling_covers_and_wastes_nothing(n, length, stride, dilation, policy):
    spec = WindowSpec(length, stride, dilation, policy)
    at = spec.starts(n)
    assert (at < n).all()
    # A clip too many would begin after the one before it has covered the last frame.
    assert (at[:-1] + spec.span < n).all()
    # One too few would leave a start before the end.
    assert at[-1] + spec.span >= n or at[-1] + stride >= n


@pytest.mark.parametrize(("policy", "row"), [
    ("repeat_last", [4, 4, 4, 4, 4]),
    ("wrap", [4, 0, 1, 2, 3]),
    ("reflect", [4, 3, 2, 1, 0]),
    ("constant", [4, -1, -1, -1, -1]),
])  # fmt: skip
def test_past_the_end(policy, row):
    same(WindowSpec(5, 4, policy=policy).indices(5)[-1], np.arange(5))
    spec = WindowSpec(5, 2, policy=policy)
    same(spec.indices(7)[-1], np.arange(2, 7))
    padded = WindowSpec(5, 4, policy=policy)
    same(padded.rows_at(np.array([4]), 5), np.array([row]))
    same(padded.padding(8)[-1], np.array([False, False, False, False, True]))


def test_backpad_ends_on_the_last_frame():
    spec = WindowSpec(4, 3, policy="backpad")
    same(spec.starts(12), np.array([0, 3, 6, 8]))
    assert not spec.padding(12).any()
    assert spec.count(3) == 0


def test_one_frame_reflects_to_itself():
    same(WindowSpec(4, policy="reflect").indices(1), np.zeros((1, 4), np.int64))


@pytest.mark.parametrize("num_clips", range(1, 9))
def test_regular_is_the_formula(num_clips):
    for n in range(4, 30):
        free = n - 4
        wanted = [free // 2] if num_clips == 1 else [i * free // (num_clips - 1) for i in range(num_clips)]
        same(WindowSpec(4, num_clips=num_clips).starts(n), np.array(wanted))


def test_regular_is_exact_where_int64_is_not():
    free = 2**60 - 2
    same(WindowSpec(2, num_clips=31).starts(2**60), np.array([i * free // 30 for i in range(31)]))


@settings(deadline=None)
@given(
    n=st.integers(0, 200),
    length=st.integers(1, 12),
    dilation=st.integers(1, 4),
    num_clips=st.integers(1, 60),
    policy=st.sampled_from(POLICIES),
    seed=st.integers(0, 2**70),
)
def test_random(n, length, dilation, num_clips, policy, seed):
    spec = WindowSpec(length, None, dilation, policy, num_clips=num_clips, sampling="random")
    if n < spec.span:
        against = WindowSpec(length, None, dilation, policy, num_clips=num_clips)
        if policy == "error":
            with pytest.raises(ValueError, match="policy is 'error'"):
                spec.starts(n, seed)
            return
        same(spec.indices(n, seed), against.indices(n))
        same(spec.padding(n), against.padding(n))
        return
    at = spec.starts(n, seed)
    assert at.dtype == np.int64
    assert at.shape == (num_clips,) == (spec.count(n),)
    assert (np.diff(at) >= 0).all()
    assert at.min() >= 0
    assert at.max() <= n - spec.span
    same(spec.starts(n, seed), at)
    same(spec.starts(n, np.random.default_rng(seed)), at)
    same(spec.indices(n, seed), reference.indices(n, at.tolist(), length, dilation, policy))
    assert not spec.padding(n).any()


def test_random_reaches_every_start_and_repeats():
    at = WindowSpec(5, num_clips=400, sampling="random").starts(9, 1)
    assert set(at.tolist()) == {0, 1, 2, 3, 4}


def test_seeds_differ():
    spec = WindowSpec(5, num_clips=20, sampling="random")
    assert len({tuple(spec.starts(10**9, seed)) for seed in range(20)}) == 20
    assert (spec.starts(10**9) != spec.starts(10**9)).any()


def test_generator_is_drawn_from_only_for_random():
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    WindowSpec(5, 2).indices(50, rng)
    WindowSpec(5, num_clips=4).indices(50, rng)
    assert rng.bit_generator.state == before
    spec = WindowSpec(5, num_clips=4, sampling="random")
    first, second = spec.starts(10**9, rng), spec.starts(10**9, rng)
    assert (first != second).any()


def test_no_global_state():
    spec = WindowSpec(5, num_clips=8, sampling="random")
    draws = []
    for _ in range(2):
        np.random.seed(0)
        random.seed(0)
        before = np.random.get_state(legacy=False)["state"], random.getstate()
        draws.append(spec.starts(2**50))
        after = np.random.get_state(legacy=False)["state"], random.getstate()
        assert before[0]["pos"] == after[0]["pos"]
        assert (before[0]["key"] == after[0]["key"]).all()
        assert before[1] == after[1]
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize(("fields", "span", "slots"), [
    ({"length": 1}, 1, 2),
    ({"length": 16}, 16, 2),
    ({"length": 16, "stride": 5}, 16, 5),
    ({"length": 16, "stride": 1}, 16, 17),
    ({"length": 16, "stride": 100}, 16, 2),
    ({"length": 3, "dilation": 4}, 9, 2),
    ({"length": 3, "dilation": 4, "stride": 4}, 9, 4),
    ({"length": 3, "num_clips": 5}, 3, 2),
])  # fmt: skip
def test_span_and_slots(fields, span, slots):
    spec = WindowSpec(**fields)
    assert spec.span == span
    assert spec.slots() == slots


@settings(deadline=None)
@given(
    n=st.integers(0, 60),
    length=st.integers(1, 8),
    dilation=st.integers(1, 3),
    num_clips=st.integers(1, 12),
    sampling=st.sampled_from(["regular", "random"]),
)
def test_slots_hold_what_is_open(n, length, dilation, num_clips, sampling):
    spec = WindowSpec(length, None, dilation, "wrap", num_clips=num_clips, sampling=sampling)
    at = spec.starts(n, 5)
    most = max((np.count_nonzero((at <= k) & (k < at + spec.span)) for k in range(n)), default=0)
    assert spec.slots(at) == max(most, 1) + 1


def test_default_stride_is_length_times_dilation():
    assert WindowSpec(4, dilation=3).stride == 12
    assert WindowSpec(4, num_clips=2).stride is None


def test_spec_is_a_value():
    spec = WindowSpec(np.int32(4), np.uint8(2), np.int64(1), "wrap")
    assert spec == WindowSpec(4, 2, 1, "wrap") != WindowSpec(4, 3, 1, "wrap")
    assert {type(spec.length), type(spec.stride), type(spec.dilation)} == {int}
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(WindowSpec(4, 2, 1, "wrap"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.length = 5
    sampled = WindowSpec(4, num_clips=np.int16(3))
    assert type(sampled.num_clips) is int
    assert pickle.loads(pickle.dumps(sampled)) == sampled


def test_functions_are_the_methods():
    fields = {"policy": "wrap", "num_clips": 5, "sampling": "random"}
    spec = WindowSpec(4, None, 2, **fields)
    same(windows.starts(50, 4, None, 2, rng=7, **fields), spec.starts(50, 7))
    same(windows.indices(50, 4, None, 2, rng=7, **fields), spec.indices(50, 7))
    same(windows.starts(50, 4, 3), WindowSpec(4, 3).starts(50))
    same(windows.indices(50, 4, 3, 2, policy="reflect"), WindowSpec(4, 3, 2, "reflect").indices(50))


BAD_INTEGERS = [
    (True, TypeError),
    (np.True_, TypeError),
    (2.0, TypeError),
    (np.float32(2), TypeError),
    ("3", TypeError),
    ([3], TypeError),
    (0, ValueError),
    (-4, ValueError),
    (np.int8(-7), ValueError),
    (10**30, ValueError),
]


@pytest.mark.parametrize(("value", "error"), BAD_INTEGERS, ids=repr)
@pytest.mark.parametrize("name", ["length", "stride", "dilation", "num_clips"])
def test_bad_number(name, value, error):
    with pytest.raises(error) as caught:
        WindowSpec(**{"length": 3, name: value})
    assert name in str(caught.value)
    assert (repr(value) if error is TypeError else str(value)) in str(caught.value)


@pytest.mark.parametrize("name", ["length", "dilation"])
def test_none_is_no_number(name):
    with pytest.raises(TypeError, match=f"{name} is None"):
        WindowSpec(**{"length": 3, name: None})


@pytest.mark.parametrize(("fields", "words"), [
    ({"policy": "pad"}, "policy is 'pad'.*drop, repeat_last, wrap, reflect, constant, error, backpad"),
    ({"policy": None}, "policy is None"),
    ({"policy": "DROP"}, "policy is 'DROP'"),
    ({"sampling": "dense", "num_clips": 2}, "sampling is 'dense'.*regular, random"),
    ({"sampling": "random"}, "sampling is 'random'.*num_clips is None"),
    ({"num_clips": 2, "stride": 6}, "stride is 6.*num_clips"),
    ({"fill_value": [1, 2]}, r"fill_value has shape \(2,\)"),
    ({"fill_value": np.zeros((2, 3))}, r"fill_value has shape \(2, 3\)"),
    ({"stride": 2**62}, f"stride {2**62}"),
    ({"dilation": 2**61}, f"dilation {2**61}"),
    ({"length": 2**62}, f"length {2**62}"),
])  # fmt: skip
def test_bad_field(fields, words):
    with pytest.raises(ValueError, match=words):
        WindowSpec(**{"length": 3, **fields})


@pytest.mark.parametrize(("n", "error"), [
    (True, TypeError),
    (7.0, TypeError),
    ("7", TypeError),
    (None, TypeError),
    (-1, ValueError),
    (2**63 - 1, ValueError),
    (2**63, ValueError),
    (10**30, ValueError),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("method", ["count", "starts", "indices", "padding"])
def test_bad_n(method, n, error):
    # Places past the end of the large ones are no int64.
    with pytest.raises(error) as caught:
        getattr(WindowSpec(3, 2**58, 2**58, "repeat_last"), method)(n)
    assert "n is" in str(caught.value)
    assert repr(n) in str(caught.value)


@pytest.mark.parametrize("policy", ["drop", "backpad", *FILLING])
def test_large_n_is_exact(policy):
    n, length, stride, dilation = 2**59 + 5, 5, 2**57 + 3, 2**56 + 1
    spec = WindowSpec(length, stride, dilation, policy)
    at = spec.starts(n).tolist()
    count = formula(n, length, stride, dilation, policy) if policy == "drop" else spec.count(n)
    assert at == [min(i * stride, n - spec.span) if policy == "backpad" else i * stride for i in range(count)]
    past = {
        "repeat_last": lambda i: n - 1,
        "wrap": lambda i: i - n,
        "reflect": lambda i: 2 * (n - 1) - i,
        "constant": lambda i: -1,
    }
    rows = [[i if i < n else past[policy](i) for i in range(a, a + spec.span, dilation)] for a in at]
    assert spec.indices(n).tolist() == rows


@pytest.mark.parametrize(("rng", "error"), [
    (True, TypeError),
    (1.5, TypeError),
    ("x", TypeError),
    (-1, ValueError),
], ids=repr)  # fmt: skip
def test_bad_rng(rng, error):
    with pytest.raises(error) as caught:
        WindowSpec(3, num_clips=2, sampling="random").starts(9, rng)
    assert "rng" in str(caught.value)
    assert repr(rng) in str(caught.value)


@pytest.mark.parametrize(("n", "fields", "words"), [
    (3, {"length": 4}, "policy is 'error', but 3 frames do not fill one span of 4"),
    (10, {"length": 4}, "policy is 'error', but 2 of 10 frames are left after 2 clips"),
    (11, {"length": 4, "stride": 3}, "policy is 'error', but 1 of 11 frames are left after 3 clips"),
    (3, {"length": 4, "num_clips": 2}, "policy is 'error', but 3 frames do not fill one span of 4"),
    (0, {"length": 4, "num_clips": 2}, "policy is 'error', but 0 frames do not fill one span of 4"),
])  # fmt: skip
def test_incomplete(n, fields, words):
    with pytest.raises(ValueError, match=words):
        WindowSpec(policy="error", **fields).count(n)


def test_unknown_keyword():
    with pytest.raises(TypeError, match="step"):
        windows.starts(10, 3, step=2)
