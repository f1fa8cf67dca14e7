"""The segments of a sample: of fields in many shapes, functions and lists; filtered, trimmed and bounded."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipx import Segment
from clipx.datasets.field_paths import FieldPath
from clipx.datasets.segments import SEGMENT_BYTES, parse_segments

PAIRS = [[0, 2.5], [1, 7]]
SEGMENTS = {0: Segment(0, 2.5, number=0), 1: Segment(1, 7, number=1)}


def numbered(*segments):
    """Segments with the numbers that they have in a list."""
    return {i: Segment(each.start, each.end, each.facts, each.unit, number=i) for i, each in enumerate(segments)}


def found(given, sample=None, unit="seconds", **filters):
    return parse_segments(given, **filters).of(sample or {}, unit)


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("json:segments", {"json": {"segments": PAIRS}}),
        ("json:segments", {"json": json.dumps({"segments": PAIRS}).encode()}),
        ("json:segments", {"json": memoryview(json.dumps({"segments": PAIRS}).encode())}),
        ("json:segments", {"json": np.frombuffer(json.dumps({"segments": PAIRS}).encode(), np.uint8)}),
        ("json", {"json": PAIRS}),
        ("json", {"json": json.dumps(PAIRS).encode()}),
        ("a.json:x.1.y", {"a.json": {"x": [0, {"y": PAIRS}]}}),
        ("json:s", {"json:s": PAIRS, "json": {"s": [[9, 10]]}}),
        ("json.gz:s", {"json.gz": gzip.compress(json.dumps({"s": PAIRS}).encode())}),
        ("npy", {"npy": np.array(PAIRS)}),
        ("json:s.*", {"json": {"s": PAIRS}}),
        ("json:s.*", {"json": {"s": {"first": PAIRS[0], "second": PAIRS[1]}}}),
        ("json:s.*.times", {"json": {"s": [{"times": pair} for pair in PAIRS]}}),
        ("json:s.*.times.*", {"json": {"s": {"a": {"times": PAIRS[:1]}, "b": {"times": PAIRS[1:]}}}}),
        ("csv", {"csv": b"start,end\n0,2.5\n1,7\n"}),
        ("tsv", {"tsv": "start_seconds\tend_seconds\n0\t2.5\n1\t7\n"}),
    ],
)
def test_fields_in_many_shapes(path, sample):
    before = dict(sample)
    segments, errors, given = found(path, sample)
    assert (segments, errors, given) == (SEGMENTS, [], 2)
    assert list(segments) == [segment.number for segment in segments.values()]
    assert sample.keys() == before.keys()


def test_dicts_and_their_facts():
    entries = [
        {"start": 1, "end": 2, "caption": "a", "tags": [1, {"b": None}]},
        {"start_seconds": 1, "end_seconds": 2},
        {"start_frame": 3, "end_frame": 9, "start": 0.1, "end": 0.3, "label": 4},
        Segment(5, 6, {"x": 1}),
        (7, 8),
        np.array([7.0, 8.0]),
    ]
    assert found(entries).segments == numbered(
        Segment(1, 2, {"caption": "a", "tags": [1, {"b": None}]}),
        Segment(1, 2),
        Segment(3, 9, {"label": 4}, "frames"),
        Segment(5, 6, {"x": 1}),
        Segment(7, 8),
        Segment(7, 8),
    )
    assert found("json", {"json": [[3, 9]]}, "frames").segments == numbered(Segment(3, 9, unit="frames"))


def test_a_function_of_the_sample():
    def segments(sample):
        return [(0, sample["cls"])]

    assert found(segments, {"cls": 3}).segments == numbered(Segment(0, 3))
    for wrong in (None, 5, "ab", {"a": 1}):
        with pytest.raises(TypeError, match=r"segments gave .* for the sample, but must give a list"):
            found(lambda sample, wrong=wrong: wrong)


def test_a_malformed_entry_loses_no_other():
    entries = [[0, 1], [2, 2], [float("nan"), 3], [3], {"start": 1}, {}, "ab", None, 7, [None, 1], [1, "x"], [4, 5]]
    rules = [
        "end is 2, but must be after start, 2",
        "start is nan",
        r"it is \[3\], but must be a pair",
        "it has no 'end'",
        "it has neither start and end nor start_frame and end_frame, but nothing",
        "it is 'ab', but must be a pair",
        "it is None, but must be a pair",
        "it is 7, but must be a pair",
        "start is None",
        "end is 'x'",
    ]
    segments, errors, given = found("json:s", {"json": {"s": entries}})
    assert list(segments) == [0, 11]
    assert segments[11] == Segment(4, 5, number=11)
    assert (given, [number for number, _ in errors]) == (12, list(range(1, 11)))
    for (number, error), rule in zip(errors, rules, strict=True):
        assert isinstance(error, ValueError)
        with pytest.raises(ValueError, match=f"segment {number} of 'json:s': {rule}"):
            raise error


@pytest.mark.parametrize(
    ("path", "sample", "message"),
    [
        ("json:s", {"txt": "a"}, "there is no field 'json' among txt"),
        ("json:s", {"json": {"t": []}}, "there is no json:s: an object has no 's'"),
        ("json:s.t", {"json": {"s": [1]}}, "there is no json:s.t: a list of 1 has no 't'"),
        ("json:s.3", {"json": {"s": [1]}}, "there is no json:s.3: a list of 1 has no '3'"),
        ("json:s.*", {"json": {"s": 3}}, "json:s.* is of a int, but must be of a list or an object"),
        ("json:s", {"json": {"s": {"a": [0, 1]}}}, "'json:s' is a dict, but must be a list of segments"),
        ("json:s", {"json": {"s": None}}, "'json:s' is a NoneType, but must be a list of segments"),
        ("json:s", {"json": b"{"}, "field 'json' cannot be decoded"),
        ("json:s", {"json": b"[" * 100_000}, "field 'json' cannot be decoded"),
        ("pkl:s", {"pkl": b"\x80"}, "field 'pkl' is of a kind that is not decoded"),
        ("csv", {"csv": b"a,b\n"}, "field 'csv', line 1: there are no columns"),
        ("csv", {"csv": 3}, "field 'csv' is a int, but must be a text"),
        ("csv", {"csv": b"\xff"}, "utf-8"),
    ],
)
def test_a_field_that_has_no_segments(path, sample, message):
    with pytest.raises(ValueError) as caught:
        found(path, sample)
    assert message in str(caught.value)
    assert caught.value.field == path.partition(":")[0]


def test_filters_and_trimming_keep_the_numbers():
    pairs = [(0, 1), (0, 5), (0, 20), (3, 2), (7, 12)]
    segments, errors, given = found(pairs[:3] + pairs[4:], min_seconds=2, max_seconds=10)
    assert (list(segments), errors, given) == ([1, 3], [], 4)
    segments = found("json", {"json": pairs}, trim_seconds=0.5, min_seconds=4, max_seconds=4)
    assert segments.segments == {1: Segment(0.5, 4.5), 4: Segment(7.5, 11.5)}
    assert [number for number, _ in segments.errors] == [3]
    # What is trimmed away is left out.
    assert found([(0, 1), (0, 3)], trim_seconds=0.5).segments == {1: Segment(0.5, 2.5)}
    _, [(number, error)], _ = found([{"start_frame": 0, "end_frame": 9}], min_seconds=1)
    assert number == 0
    assert "it is in frames, but min_seconds, max_seconds and trim_seconds need seconds" in str(error)


@pytest.mark.parametrize(
    ("given", "filters", "error", "message"),
    [
        ("", {}, ValueError, "segments is '', but must name a field"),
        ("json:", {}, ValueError, "segments is 'json:', but must name a field"),
        ("json:a..b", {}, ValueError, "segments is 'json:a..b', but must name a field"),
        ("__key__", {}, ValueError, "segments is '__key__', but must name a field"),
        (7, {}, TypeError, "segments is 7, but must be a path such as 'json:segments', a function"),
        ({"a": 1}, {}, TypeError, "segments is {'a': 1}, but must be"),
        ([(0, 1), (2, 1)], {}, ValueError, "segment 1 of segments: end is 1, but must be after start, 2"),
        ([(0, 1)], {"min_seconds": -1}, ValueError, "min_seconds is -1, but must be at least 0"),
        ([(0, 1)], {"max_seconds": 0}, ValueError, "max_seconds is 0, but must be above 0"),
        ([(0, 1)], {"min_seconds": 3, "max_seconds": 2}, ValueError, "min_seconds is 3, but must be at most max_sec"),
        ([(0, 1)], {"trim_seconds": "x"}, TypeError, "trim_seconds is 'x', but must be a number of seconds"),
        (None, {"max_seconds": 2}, ValueError, "max_seconds is 2, but segments is None"),
    ],
)
def test_arguments_that_are_refused(given, filters, error, message):
    with pytest.raises(error) as caught:
        parse_segments(given, **filters)
    assert message in str(caught.value)


def test_no_segments_at_all():
    assert parse_segments(None) is None
    assert found([]) == ({}, [], 0)


def test_more_than_there_is_room_for():
    data = json.dumps([[i, i + 1] for i in range(2000)]).encode()
    source = parse_segments("json")
    with pytest.raises(
        ValueError, match=r"field 'json' takes .* bytes when it is decoded, but may take at most 100000"
    ):
        source.of({"json": data}, "seconds", 100_000)
    with pytest.raises(ValueError, match=f"'json' gives 2000 segments of {2000 * SEGMENT_BYTES} bytes"):
        source.of({"json": json.loads(data)}, "seconds", 2000 * SEGMENT_BYTES - 1)
    assert len(source.of({"json": data}, "seconds", 2000 * SEGMENT_BYTES).segments) == 2000
    with pytest.raises(ValueError, match=r"field 'csv' takes .* bytes when it is decoded"):
        parse_segments("csv").of({"csv": b"start,end\n" + b"0,1\n" * 2000}, "seconds", 100_000)
    bomb = gzip.compress(b"[" + b"[0,1]," * 10**6 + b"[0,1]]")
    with pytest.raises(ValueError, match="it unpacks to more than 1000000 bytes"):
        parse_segments("json.gz").of({"json.gz": bomb}, "seconds", 10**6)
    assert source.most_bytes({"json": data}, 10**9) >= 2000 * SEGMENT_BYTES
    assert source.most_bytes({"json": data}, 5000) == 5000
    assert source.most_bytes({"json": json.loads(data)}, 10**9) == 0


def test_settings_tell_descriptions_apart():
    def one(sample):
        return []

    described = [
        parse_segments(given, **filters).settings()
        for given, filters in [
            ("json:a", {}),
            ("json:b", {}),
            ("json:a", {"min_seconds": 1}),
            ("json:a", {"max_seconds": 1}),
            ("json:a", {"trim_seconds": 1}),
            ([(0, 1)], {}),
            ([(0, 2)], {}),
            (one, {}),
        ]
    ]
    assert all(described.count(each) == 1 for each in described)
    assert json.loads(json.dumps(described)) == described
    assert parse_segments([(0, 1)]).settings() == parse_segments(((0, 1),)).settings()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["start", "end", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_any_value_is_segments_or_errors(value):
    source = parse_segments("json")
    sample = {"json": json.dumps(value).encode()}
    if not isinstance(json.loads(sample["json"]), list):
        with pytest.raises(ValueError, match="must be a list of segments"):
            source.of(sample, "seconds")
        return
    segments, errors, given = source.of(sample, "seconds")
    assert given == len(value)
    assert sorted([*segments, *(number for number, _ in errors)]) == list(range(given))


def test_paths_are_compared_with_a_walk_by_hand():
    value = {"a": [{"b": {"x": 1, "y": 2}}, {"b": {"x": 3}}]}
    for path, expected in {
        "json": [value],
        "json:a": [value["a"]],
        "json:a.1.b": [{"x": 3}],
        "json:a.*.b": [{"x": 1, "y": 2}, {"x": 3}],
        "json:a.*.b.*": [1, 2, 3],
        "json:a.*.b.x": [1, 3],
    }.items():
        assert list(FieldPath("segments", path).values({"json": value})) == expected
