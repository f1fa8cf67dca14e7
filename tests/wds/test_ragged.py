"""batched with ragged=: clips of different lengths in lists, padded, and in buckets."""

import gc
import pickle

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.ragged import Parts, bucketed, padded
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx import memory, wds

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=30)
AXES = st.integers(0, 2)


def sample(key, length, axis=0, others=(3, 2), dtype="uint8", **more):
    """A sample as clips gives it, of a clip whose time axis is `axis`."""
    shape = [*others[:axis], length, *others[axis:]]
    clip = np.random.default_rng((*str(key).encode(), length)).integers(1, 100, shape).astype(dtype)
    return {"__key__": str(key), "x": clip, "clip.json": {"index": 0, "length": length, "valid": 1}, **more}


def samples_of(lengths, axis=0, **more):
    return [sample(key, length, axis, **more) for key, length in enumerate(lengths)]


def groups(items, size):
    return [items[at : at + size] for at in range(0, len(items), size)]


@settings(max_examples=80, deadline=None)
@given(LENGTHS, AXES, st.integers(1, 7), st.booleans(), st.booleans())
def test_padded(lengths, axis, size, pooled, as_tuples):
    samples = samples_of(lengths, axis)
    pool = clipx.ClipPool(1, (size, 5, 3, 2)) if pooled else None
    if as_tuples:
        axis = 0
        samples = [(each["x"], each["__key__"]) for each in samples_of(lengths)]
    at = 0 if as_tuples else "x"
    stage = wds.batched(size, ragged="pad", pool=pool)(samples)
    for group in groups(samples, size):
        batch = next(stage)
        clips = [each[at] for each in group]
        wanted = padded(clips, axis)
        assert batch[at].tobytes() == wanted.tobytes()
        assert batch[at].shape == wanted.shape
        assert batch[at].flags.c_contiguous
        found = batch[-1] if as_tuples else batch["lengths"]
        assert found.dtype == np.int64
        assert found.tolist() == [clip.shape[axis] for clip in clips]
        if not as_tuples:
            assert batch["__key__"] == [each["__key__"] for each in group]
            assert batch["clip.json"] == [each["clip.json"] for each in group]
        assert memory.leases(batch) == pooled
        del batch, found
    assert list(stage) == []


@settings(max_examples=60, deadline=None)
@given(LENGTHS, AXES, st.integers(1, 7), st.booleans())
def test_listed(lengths, axis, size, pooled):
    samples = samples_of(lengths, axis, dtype="float32")
    pool = clipx.ClipPool(1, (size, 64, 4), "float32") if pooled else None
    stage = wds.batched(size, ragged="list", pool=pool)(samples)
    for group in groups(samples, size):
        batch = next(stage)
        assert type(batch["x"]) is list
        assert "lengths" not in batch
        for clip, of in zip(batch["x"], group, strict=True):
            assert (clip.shape, clip.dtype, clip.tobytes()) == (of["x"].shape, of["x"].dtype, of["x"].tobytes())
            assert not np.shares_memory(clip, of["x"])
            assert clip.flags.writeable
            assert clip.flags.c_contiguous
        assert memory.leases(batch) == pooled
        del batch, clip
    assert list(stage) == []


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 5), st.integers(0, 12), st.booleans())
def test_buckets(lengths, size, more, partial):
    samples = samples_of(lengths)
    wanted, left = bucketed(samples, lambda each: each["x"].shape, size, size + more, partial)
    stage = wds.batched(size, ragged="bucket", max_held=size + more, partial=partial)
    batches = list(stage(samples))
    assert [batch["__key__"] for batch in batches] == [[each["__key__"] for each in group] for group in wanted]
    for batch, group in zip(batches, wanted):
        assert batch["x"].tobytes() == np.stack([each["x"] for each in group]).tobytes()
        assert "lengths" not in batch
    assert [entry.key for entry in stage.errors] == [each["__key__"] for each in left]
    assert stage.errors.counts.get("left out", 0) == len(left)
    assert all(f"of {size} clips at the end" in entry.message for entry in stage.errors)


def test_the_default_of_what_buckets_hold():
    """Four batches: with a size of 2, the ninth sample of a shape of its own gives the oldest."""
    samples = [sample(length, length, others=(2,)) for length in range(1, 12)]
    batches = [batch["__key__"] for batch in wds.batched(2, ragged="bucket")(samples)]
    assert batches == [[str(length)] for length in range(1, 12)]
    stage, asked = wds.batched(2, ragged="bucket"), []

    def source():
        for each in samples:
            asked.append(each["__key__"])
            yield each

    next(stage(source()))
    assert len(asked) == 9


def test_numbers_have_no_bucket_of_their_own():
    numbers = [1, np.int64(2), 3.0, np.float32(4)]
    batches = wds.batched(4, ragged="bucket")([sample(i, 3, number=number) for i, number in enumerate(numbers)])
    assert [batch["number"].tolist() for batch in batches] == [[1, 2, 3, 4]]


def test_pictures_of_other_sizes_are_buckets_of_their_own():
    wide, high = [sample(f"w{i}", 4, others=(3, 5)) for i in range(4)], [sample(f"h{i}", 4) for i in range(4)]
    mixed = [each for pair in zip(wide, high) for each in pair]
    batches = [batch["x"].shape for batch in wds.batched(4, ragged="bucket")(mixed)]
    assert batches == [(4, 4, 3, 5), (4, 4, 3, 2)]


@pytest.mark.parametrize("ragged", ["pad", "error"])
@pytest.mark.parametrize("length", [4, 3, 5])
def test_pictures_of_other_sizes_are_an_error(ragged, length):
    """Also where as many frames as pictures have rows make the time axis look like another."""
    one, other = sample("first", 4, others=(3, 2)), sample("second", length, others=(5, 2))
    with pytest.raises(ValueError, match=r"\(4, 3, 2\).*'first'.*, 5, 2\).*'second'.*ragged='pad', 'bucket' or 'list'"):
        list(wds.batched(2, ragged=ragged)([one, other]))
    square = sample("square", 4, others=(4, 4)), sample("other", 4, others=(5, 4))
    with pytest.raises(ValueError, match=r"\(4, 4, 4\).*'square'.*\(4, 5, 4\).*'other'"):
        list(wds.batched(2, ragged=ragged)(square))


def test_the_error_names_the_argument():
    with pytest.raises(ValueError, match="for clips of different lengths ragged='pad', 'bucket' or 'list'"):
        list(wds.batched(2)(samples_of([3, 4])))


def test_other_dtypes_and_kinds_are_an_error():
    for other in ({"x": np.zeros((4, 3, 2), "int8")}, {"x": np.zeros((4, 6), "uint8")}, {"x": None}):
        with pytest.raises(ValueError, match=r"'x'.*'0'.*'1'"):
            list(wds.batched(2, ragged="pad")([sample(0, 4), {**sample(1, 4), **other}]))
    with pytest.raises(ValueError, match=r"'x'.*'0'.*NoneType.*'1'"):
        list(wds.batched(2, ragged="list")([sample(0, 4), {**sample(1, 4), "x": None}]))


def test_other_arrays_are_not_padded_along_any_axis():
    """Of an array that is no clip, no axis is time."""
    samples = [sample(i, 4 + i, boxes=np.zeros((1 + i, 2))) for i in range(2)]
    with pytest.raises(ValueError, match="'boxes'"):
        list(wds.batched(2, ragged="pad")(samples))
    (batch,) = wds.batched(2, ragged="list")(samples)
    assert [each.shape for each in batch["boxes"]] == [(1, 2), (2, 2)]


def test_a_field_that_is_called_lengths():
    with pytest.raises(ValueError, match="has a field 'lengths', which ragged='pad' adds"):
        list(wds.batched(2, ragged="pad")([{**each, "lengths": 7} for each in samples_of([3, 4])]))


@pytest.mark.parametrize("dtype", ["u1", "f8", "M8[s]", "U3", "S4", "bfloat16", "struct", "object"])
def test_padded_with_zeros_of_any_dtype(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    if dtype == "struct":
        dtype = [("a", "i4"), ("b", "f8")]
    clips = [np.ones((n, 2), "u1").astype(np.dtype(dtype)) for n in (2, 4, 3)]
    (batch,) = wds.batched(3, ragged="pad")([(clip,) for clip in clips])
    zero = np.zeros((), np.dtype(dtype))
    for row, clip in zip(batch[0], clips):
        assert (row[: len(clip)] == clip).all()
        assert (row[len(clip) :] == zero).all()
    assert batch[1].tolist() == [2, 4, 3]


def test_sound_beside_clips_is_padded_by_its_own_length():
    samples = [
        sample(i, length, audio=np.full((2, 100 * length + i), i + 1, "float32"), cls=i)
        for i, length in enumerate([3, 2, 3])
    ]
    (batch,) = wds.batched(3, ragged="pad")(samples)
    assert batch["x"].shape == (3, 3, 3, 2)
    assert batch["lengths"].tolist() == [3, 2, 3]
    assert batch["audio"].tobytes() == padded([each["audio"] for each in samples], 1).tobytes()
    assert batch["audio.lengths"].tolist() == [300, 201, 302]
    assert batch["cls"].tolist() == [0, 1, 2]
    samples[1]["audio"] = samples[0]["audio"][:1]  # another number of channels
    with pytest.raises(ValueError, match="'audio'"):
        list(wds.batched(3, ragged="pad")(samples))


@pytest.mark.parametrize("order", ["THWC", "CTHW", "TCHW"])
def test_clips_of_arrays_in_any_order(order):
    samples = [{"__key__": f"s{n}", "npy": npy(array(n, n, (6, 7, 3)))} for n in (4, 9, 20, 6)]
    format = clipx.ClipFormat(order=order, dtype="float32", crop=(6, 6))
    spec = Parts(2, 8)
    clips = list(wds.clips(spec, format)(samples))
    axis = order.index("T")
    for size in (2, 3, 8):
        batches = list(wds.batched(size, ragged="pad")(clips))
        for batch, group in zip(batches, groups(clips, size), strict=True):
            assert batch["npy"].tobytes() == padded([each["npy"] for each in group], axis).tobytes()
            assert batch["lengths"].tolist() == [each["clip.json"]["length"] for each in group]
            assert batch["lengths"].tolist() == [each["npy"].shape[axis] for each in group]


def test_fields_in_step_are_ragged_together(make_video):
    samples = [
        {"__key__": f"s{n}", "mp4": make_video(n=n).read_bytes(), "npy": npy(array(n, n, (5,)))} for n in (4, 9, 12)
    ]
    clips = list(wds.clips(Parts(2, 8), clipx.ClipFormat(crop=(8, 8)), keys=["mp4"])(samples))
    (batch,) = wds.batched(6, ragged="pad")([{**each, "double": each["mp4"].astype("float32") * 2} for each in clips])
    assert batch["lengths"].tolist() == [2, 2, 4, 4, 6, 6]
    assert batch["mp4"].tobytes() == padded([each["mp4"] for each in clips], 0).tobytes()
    np.testing.assert_array_equal(batch["double"], batch["mp4"].astype("float32") * 2)


@pytest.mark.parametrize("ragged", ["list", "pad", "bucket"])
def test_clips_come_back(ragged):
    """A batch keeps no slot of the clips' pool, and buckets no more than they may hold."""
    pool = clipx.ClipPool(40, 64)

    def source():
        for i in range(60):
            length = 1 + i % 5
            clip = pool.acquire((length, 8))
            clip[:] = i
            yield {"__key__": str(i), "x": clip, "clip.json": {"length": length}}
            del clip

    gc.disable()
    try:
        stage = wds.batched(4, ragged=ragged, **({"max_held": 7} if ragged == "bucket" else {}))
        for batch in stage(source()):
            assert pool.stats().leased <= (8 if ragged == "bucket" else 1)
            assert memory.leases(batch) == 0
        assert pool.stats().leased == 0
        assert pool.stats().peak_leased <= 8
    finally:
        gc.enable()


def test_the_stage_can_be_pickled():
    stage = pickle.loads(pickle.dumps(wds.batched(2, ragged="bucket", max_held=3)))
    assert repr(stage) == "clipx.wds.batched(2, partial=True, pool=None, ragged='bucket')"
    assert [len(batch["x"]) for batch in stage(samples_of([3, 4, 3, 5]))] == [2, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ragged": "padded"}, "ragged is 'padded', but must be one of 'error', 'list', 'pad', 'bucket'"),
        ({"ragged": None}, "ragged is None"),
        ({"max_held": 4}, "max_held is 4, but ragged is 'error'"),
        ({"ragged": "bucket", "max_held": 1}, "max_held is 1, but must be at least 2"),
        ({"ragged": "bucket", "max_held": "1GB"}, "max_held is '1GB'"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        wds.batched(2, **arguments)
