"""The kernel called directly: against the reference on any layout, cached and streaming, and every check."""

import hashlib
import os

import numpy as np
import pytest
import reference
from helpers.arrays import random_bytes
from helpers.guards import CACHED, STREAMING, guarded
from helpers.long import LONG
from helpers.processes import run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import clipx
from clipx import _kernel


def void(itemsize):
    return np.dtype(f"V{itemsize}")


def guarded_array(shape, dtype, offset):
    """A contiguous array inside more bytes, at any address, and a check that those are left alone."""
    inside, check = guarded(int(np.prod(shape)) * dtype.itemsize, offset)
    return inside.view(dtype).reshape(shape), check


@st.composite
def layouts(draw, least_rank):
    """Arrays of any item size and strides: steps both ways, repeated axes, any order of axes."""
    dtype = void(draw(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 65, 4100])))
    rank = draw(st.integers(least_rank, 5))
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 33, 90, 0]), min_size=rank, max_size=rank))
    while np.prod(np.maximum(sizes, 1)) * dtype.itemsize > 60_000:
        sizes[int(np.argmax(sizes))] //= 3
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, -1, -2, 0]), min_size=rank, max_size=rank))
    order = draw(st.permutations(range(rank)))
    base = [max(size * abs(step), 1 if size else 0) for size, step in zip(sizes, steps)]
    array = random_bytes(int(np.prod(base)) * dtype.itemsize, draw(st.integers(0, 9))).view(dtype).reshape(base)
    array = array[tuple(slice(None, None, step or None) for step in steps)]
    return np.broadcast_to(array, sizes).transpose(order)


@settings(deadline=None, max_examples=400 if LONG else 150)
@given(src=layouts(1), data=st.data(), offset=st.integers(0, 70))
def test_gather(src, data, offset):
    frame = st.integers(-1, len(src) - 1)
    table = np.array(data.draw(st.lists(frame, max_size=12)), np.int64)
    if data.draw(st.booleans()):
        table = table.reshape(1, -1, 1)
    fill = np.frombuffer(random_bytes(src.itemsize, 77).tobytes(), src.dtype)[0]
    wanted = reference.gather(src, table, fill)
    before = src.tobytes()
    for footprint in (0, CACHED, STREAMING):
        dst, check = guarded_array(wanted.shape, src.dtype, offset)
        _kernel.gather(src, dst, table, fill.tobytes(), footprint)
        assert dst.tobytes() == wanted.tobytes()
        check()
    assert src.tobytes() == before


@settings(deadline=None, max_examples=300 if LONG else 120)
@given(frame=layouts(0), count=st.integers(0, 4), offset=st.integers(0, 70))
def test_scatter(frame, count, offset):
    wanted = np.empty(frame.shape, frame.dtype)
    reference.scatter(frame, [wanted])
    for footprint in (0, CACHED, STREAMING):
        targets = [guarded_array(frame.shape, frame.dtype, offset + i) for i in range(count)]
        _kernel.scatter(frame, [dst for dst, _ in targets], footprint)
        for dst, check in targets:
            assert dst.tobytes() == wanted.tobytes()
            check()


def long_source(kind):
    """A source so long, of frames so large, that each frame is read once for all the places that take it."""
    size = {"whole": 16_384, "odd": 16_411, "packed": 16_400, "rows": 20_000, "large": 300_007}[kind]
    n = _kernel.cache_bytes // 4 // size + 30
    if kind in ("whole", "large"):
        return random_bytes(n * size).reshape(n, size)
    if kind == "packed":
        return as_strided(random_bytes(2 * size + 64 * n), (n, size // 2, 2), (64, 4, 1))
    if kind == "rows":
        return as_strided(random_bytes(2 * size + 64 * n), (n, 4, size // 4), (64, 5003, 1))
    return as_strided(random_bytes(size + 33 * n), (n, size), (33, 1))


@pytest.fixture(scope="module", params=["whole", "odd", "packed", "rows", "large"])
def long(request):
    return long_source(request.param)


@pytest.mark.parametrize("footprint", [0, CACHED, STREAMING])
@pytest.mark.parametrize("seed", range(12))
def test_frames_shared_by_places(long, seed, footprint):
    rng = np.random.default_rng(seed)
    last = len(long) - 1
    runs = [np.array([last, 0, 0, last])]
    for _ in range(int(rng.integers(2, 5))):
        start, size, step = rng.integers(0, last - 12), rng.integers(1, 7), rng.integers(0, 3)
        run = start + step * np.arange(size)
        runs += [run] * int(rng.integers(1, 4)) + [run[1:]] + [np.full(rng.integers(0, 3), -1)]
    table = np.concatenate([runs[i] for i in rng.permutation(len(runs))])
    dst, check = guarded_array((len(table), *long.shape[1:]), long.dtype, seed * 5 % 67)
    _kernel.gather(long, dst, table, b"\x07", footprint)
    for written, k in zip(dst, table):
        assert np.array_equal(written, np.full_like(written, 7) if k < 0 else long[k])
    check()


def test_frames_shared_by_whole_clips(long):
    # The same neighbours in several clips are one copy for each clip, up to the end of the shortest.
    last = len(long) - 1
    table = np.concatenate([[0, last, last], np.arange(3, 9), np.arange(4, 8), np.arange(3, 11), np.arange(2, 9)])
    for footprint in (CACHED, STREAMING):
        dst, check = guarded_array((len(table), *long.shape[1:]), long.dtype, 1)
        _kernel.gather(long, dst, table, None, footprint)
        assert all(np.array_equal(written, long[k]) for written, k in zip(dst, table))
        check()


def test_shared_frames_of_a_source_backwards(long):
    backwards = long[::-1]
    table = np.array([0, 5, 6, 7, 5, 6, 7, 6, 7, 8, len(long) - 1])
    dst, check = guarded_array((len(table), *long.shape[1:]), long.dtype, 3)
    _kernel.gather(backwards, dst, table)
    assert all(np.array_equal(written, backwards[k]) for written, k in zip(dst, table))
    check()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
def test_scatter_of_a_large_frame(count, footprint):
    base = random_bytes(700_000)
    for frame in (base[1:600_000], base.reshape(70, 10_000)[3:-3, 5:9_990], base.reshape(-1, 7)[:, 2:5], base[::-1]):
        targets = [guarded_array(frame.shape, frame.dtype, 7 * i) for i in range(count)]
        _kernel.scatter(frame, [dst for dst, _ in targets], footprint)
        for dst, check in targets:
            assert np.array_equal(dst, frame)
            check()


@pytest.mark.parametrize("itemsize", [1, 3, 100, 8192, 8193, 20_000])
@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
def test_fill_repeats_the_element(itemsize, footprint):
    src = random_bytes(6 * itemsize).view(void(itemsize)).reshape(2, 3)
    element = bytes(i * 7 % 256 for i in range(itemsize))
    table = np.array([-1, -1, 1] + [-1] * 40)
    dst, check = guarded_array((len(table), 3), src.dtype, 5)
    _kernel.gather(src, dst, table, element, footprint)
    assert dst.tobytes() == element * 6 + src[1].tobytes() + element * 120
    check()


@pytest.mark.parametrize("rank", [1, 31, 32, 64])
def test_rank(rank):
    if rank > 32 and np.lib.NumpyVersion(np.__version__) < "2.3.0":
        pytest.skip("NumPy 1 has at most 32 dimensions, and 2.2 does not copy more")
    shape = [3] + [2] * min(rank - 1, 10) + [1] * max(rank - 11, 0)
    base = random_bytes(int(np.prod(shape))).reshape(shape)
    src = base.transpose(0, *range(rank - 1, 0, -1))
    table = np.array([2, 0, 0])
    dst, check = guarded_array((3, *src.shape[1:]) if rank < 64 else (3, src[0].size), src.dtype, 1)
    _kernel.gather(src, dst, table)
    assert dst.tobytes() == b"".join(src[i].tobytes() for i in table)
    _kernel.scatter(src, [dst])
    assert dst.tobytes() == src.tobytes()
    check()


def test_unit_strides_do_not_matter():
    # NumPy and others may give any stride for a dimension of one element.
    src = as_strided(random_bytes(40), (1, 4, 1, 5), (2**40, 5, -(2**50), 1))
    dst = np.zeros((2, 20), np.uint8)
    _kernel.gather(src, dst, np.array([0, 0]))
    assert dst.tobytes() == src.tobytes() * 2


def test_nothing_to_write():
    empty = np.zeros((0, 5), np.uint8)
    none = np.zeros(0, np.int64)
    assert _kernel.gather(np.zeros((3, 5), np.uint8), empty, none) is None
    assert _kernel.gather(empty, empty, none) is None
    assert _kernel.gather(np.zeros((3, 0), np.uint8), np.zeros((2, 0), np.uint8), np.array([0, 2])) is None
    assert _kernel.scatter(np.zeros(3, np.uint8), []) is None
    assert _kernel.scatter(np.zeros((0, 4), np.uint8), [empty, empty]) is None


def frames(dtype="u1"):
    return np.zeros((5, 4), dtype)


def at(*indices):
    return np.array(indices, np.int64)


@pytest.mark.parametrize("index", [5, 6, 2**31, 2**63 - 1, -2, -(2**63)])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_index_outside(index, position):
    table = at(0, 1, 2)
    table[position] = index
    dst = np.full((3, 4), 9, np.uint8)
    with pytest.raises(IndexError, match="outside the source's 5 frames"):
        _kernel.gather(frames(), dst, table, b"\0")
    assert (dst == 9).all()


def test_no_frame_is_inside_an_empty_source():
    with pytest.raises(IndexError, match="0 frames"):
        _kernel.gather(frames()[:0], np.zeros((1, 4), np.uint8), at(0))
    dst = np.zeros((1, 4), np.uint8)
    _kernel.gather(frames()[:0], dst, at(-1), b"\3")
    assert (dst == 3).all()


def frozen(x):
    x.flags.writeable = False
    return x


WRONG = {
    "dst short": (frames(), np.zeros(7, "u1"), at(0, 1), None, ValueError, "dst has"),
    "dst long": (frames(), np.zeros(9, "u1"), at(0, 1), None, ValueError, "dst has"),
    "a frame short": (frames(), np.zeros((1, 4), "u1"), at(0, 1), None, ValueError, "dst has"),
    "a frame long": (frames(), np.zeros((3, 4), "u1"), at(0, 1), None, ValueError, "dst has"),
    "no dst": (frames(), np.zeros(0, "u1"), at(0, 1), None, ValueError, "dst has"),
    "no indices": (frames(), np.zeros(4, "u1"), at(), None, ValueError, "dst has"),
    "empty frames": (frames()[:, :0], np.zeros(4, "u1"), at(0), None, ValueError, "dst has"),
    "item size": (frames("u2"), np.zeros((2, 8), "u1"), at(0, 1), None, ValueError, "dst has items of 1 bytes"),
    "dst steps": (frames(), np.zeros((2, 8), "u1")[:, ::2], at(0, 1), None, ValueError, "contiguous"),
    "dst fortran": (frames(), np.zeros((2, 4), "u1", "F"), at(0, 1), None, ValueError, "contiguous"),
    "dst read-only": (frames(), frozen(np.zeros((2, 4), "u1")), at(0, 1), None, ValueError, "read-only"),
    "dst bytes": (frames(), bytes(8), at(0, 1), None, BufferError, "not writable"),
    "dst list": (frames(), [0] * 8, at(0, 1), None, TypeError, "list"),
    "int32": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, "i4"), None, ValueError, "not of dtype int64"),
    "uint64": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, "u8"), None, ValueError, "not of dtype int64"),
    "float64": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, "f8"), None, ValueError, "not of dtype int64"),
    "swapped": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, ">i8"), None, ValueError, "not of dtype int64"),
    "complex": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, "c8"), None, ValueError, "not of dtype int64"),
    "structured": (frames(), np.zeros((2, 4), "u1"), np.zeros(2, [("a", "i8")]), None, ValueError, "not of dtype"),
    "index steps": (frames(), np.zeros((2, 4), "u1"), np.zeros(4, "i8")[::2], None, ValueError, "contiguous"),
    "index list": (frames(), np.zeros((2, 4), "u1"), [0, 1], None, TypeError, "list"),
    "no fill": (frames(), np.zeros((2, 4), "u1"), at(0, -1), None, ValueError, "no fill"),
    "fill empty": (frames(), np.zeros((2, 4), "u1"), at(0, -1), b"", ValueError, "fill has 0 bytes, an element 1"),
    "fill long": (frames("u2"), np.zeros((2, 4), "u2"), at(0, -1), b"123", ValueError, "fill has 3 bytes"),
    "fill number": (frames(), np.zeros((2, 4), "u1"), at(0, -1), 0, TypeError, "int"),
    "no time": (np.uint8(3), np.zeros((2, 4), "u1"), at(0, 1), None, ValueError, "no time axis"),
    "source list": ([[0, 0, 0, 0]], np.zeros((2, 4), "u1"), at(0, 0), None, TypeError, "list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_gather_refuses(name):
    src, dst, table, fill, error, words = WRONG[name]
    before = bytes(dst) if not isinstance(dst, np.ndarray) else dst.tobytes()
    with pytest.raises(error, match=words):
        _kernel.gather(src, dst, table, fill)
    assert before == (bytes(dst) if not isinstance(dst, np.ndarray) else dst.tobytes())


@pytest.mark.parametrize(("targets", "error", "words"), [
    ([np.zeros((4, 2), "u2"), np.zeros(7, "u2")], ValueError, "a target has 14 bytes in items of 2"),
    ([np.zeros(16, "u1")], ValueError, "a target has 16 bytes in items of 1; the frame has 16 in items of 2"),
    ([np.zeros(8, "u2"), np.zeros(16, "u2")[::2]], ValueError, "contiguous"),
    ([np.zeros(8, "u2"), frozen(np.zeros(8, "u2"))], ValueError, "read-only"),
    ([np.zeros(8, "u2"), None], TypeError, "NoneType"),
    ((np.zeros(8, "u2"),), TypeError, "targets"),
    (None, TypeError, "targets"),
])  # fmt: skip
def test_scatter_refuses(targets, error, words):
    with pytest.raises(error, match=words):
        _kernel.scatter(np.ones((2, 4), "u2"), targets)
    assert not any(each.any() for each in targets or () if each is not None)


def test_buffers_are_let_go():
    src, dst, element = bytearray(20), bytearray(8), bytearray(1)
    table = np.array([0, -1])
    _kernel.gather(memoryview(src).cast("B", (5, 4)), dst, table, element)
    _kernel.scatter(memoryview(src)[:8], [dst])
    with pytest.raises(ValueError):
        _kernel.gather(memoryview(src).cast("B", (5, 4)), dst, table)
    with pytest.raises(ValueError):
        _kernel.scatter(src, [dst])
    for each in (src, dst, element):
        each.append(1)  # BufferError while somebody holds the buffer


SHOW = """
import hashlib, sys
import numpy as np
import clipx
from clipx import _kernel
rng = np.random.default_rng(3)
src = rng.integers(0, 256, (40, 70, 1009), dtype=np.uint8)
table = np.array([-1, 3, 4, 5, 4, 5, 6, 39, 0])
seen = hashlib.sha256()
for view in (src, src[:, 1:, 3:-5], src[:, :, ::-1], src[:, :, ::3], src[::-1]):
    dst = np.zeros(view[0].size * len(table) + 1, np.uint8)
    for footprint in (1, 1 << 50):
        for offset in (0, 1):
            out = dst[offset : dst.size - 1 + offset].reshape(len(table), -1)
            _kernel.gather(view, out, table, b"*", footprint)
            seen.update(out)
            _kernel.scatter(view[7], [out[0], out[3]], footprint)
            seen.update(out)
print(clipx.simd, seen.hexdigest())
"""


def digest():
    """What SHOW prints, with NumPy doing the copying."""
    rng = np.random.default_rng(3)
    src = rng.integers(0, 256, (40, 70, 1009), dtype=np.uint8)
    seen = hashlib.sha256()
    for view in (src, src[:, 1:, 3:-5], src[:, :, ::-1], src[:, :, ::3], src[::-1]):
        for _ in range(4):
            out = view[[0, 3, 4, 5, 4, 5, 6, 39, 0]]
            out[0] = ord("*")
            seen.update(out.tobytes())
            out[0] = out[3] = view[7]
            seen.update(out.tobytes())
    return seen.hexdigest()


@pytest.mark.parametrize("name", _kernel.implementations)
def test_every_implementation(name):
    ran = run_python("-c", SHOW, CLIPX_SIMD=name)
    assert ran.stdout.split() == [name, digest()], ran.stderr


def test_best_implementation_runs_by_default():
    assert (
        run_python("-c", "import clipx; print(clipx.simd)", CLIPX_SIMD="").stdout.strip() == _kernel.implementations[0]
    )
    assert clipx.simd == (os.environ.get("CLIPX_SIMD") or _kernel.implementations[0])
    assert _kernel.implementations[-1] == "baseline"


def test_unknown_implementation():
    ran = run_python("-c", "import clipx; clipx.simd", CLIPX_SIMD="nonsense")
    assert ran.returncode == 1
    message = ran.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: CLIPX_SIMD is 'nonsense'")
    assert all(name in message for name in _kernel.implementations)
