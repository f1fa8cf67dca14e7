"""Videos and the stage with a format: equal to decoding every frame and formatting the bytes, and the same draws."""

import gc
import io
import itertools
from collections import Counter
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import webdataset
from helpers.arrays import npy
from helpers.media import rotated

import clipx
from clipx import wds, windows
from clipx.video.clips import clips

FLOATS = ("float32", "float16", "bfloat16")
ORDERS = ("THWC", "TCHW", "CTHW")
POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "backpad")
N = 21


def same(got, wanted):
    assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def plan_of(spec):
    names = ("length", "stride", "dilation", "policy", "fill_value", "num_clips", "sampling")
    return {name: getattr(spec, name) for name in names}


def check(src, spec, format, frames, options=None, rng=None, pool=None):
    """Clips of a video against those of its upright, resized uint8 frames."""
    wanted = windows.extract(frames, **plan_of(spec), format=replace(format, resize=None), rng=rng)
    got = []
    for clip, row in zip(clips(src, spec, format, options=options, rng=rng, pool=pool), wanted, strict=True):
        same(clip.data, row)
        assert clip.data.flags.c_contiguous
        got.append((clip.crop, clip.flip))
        del clip
    if pool is not None:
        assert pool.stats().leased == 0
    return got


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("kind", [None, "uint8", *FLOATS])
def test_every_kind_and_order(make_video, whole, kind, order, color):
    path, options = make_video(N), clipx.VideoOptions(color=color)
    frames = whole(path, options=options)
    assert frames.shape[3] == (3 if color == "rgb" else 1)
    spec = clipx.WindowSpec(4, 3)
    formats = [clipx.ClipFormat(dtype=kind, order=order), clipx.ClipFormat(dtype=kind, order=order, flip=True, crop=31)]
    if kind in FLOATS:
        formats += [replace(formats[0], mean=0.4, std=-0.3, scale=1 / 255), replace(formats[1], scale=1 / 255)]
        if color == "rgb":
            formats.append(clipx.ClipFormat(dtype=kind, order=order, mean="kinetics"))
    for format in formats:
        check(path, spec, format, frames, options)


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("order", ["HWC", "CHW"])
@pytest.mark.parametrize("kind", [None, *FLOATS])
def test_single_frames(make_video, whole, kind, order, color):
    path, options = make_video(N), clipx.VideoOptions(color=color)
    format = clipx.ClipFormat(dtype=kind, order=order, crop=(3, 5, 33, 41))
    for plan in ({"stride": 5}, {"num_clips": 4}):
        check(path, clipx.WindowSpec(1, **plan), format, whole(path, options=options), options)


@pytest.mark.parametrize(
    "numbers", [{"mean": "imagenet"}, {"scale": -1 / 255, "mean": (0.1, 1e3, -7.0), "std": 1e-3}], ids=str
)
@pytest.mark.parametrize("order", ORDERS)
def test_numbers_are_those_of_the_formula(make_video, whole, order, numbers):
    path, format = make_video(N), clipx.ClipFormat(**numbers, order=order)
    scale, mean, std = format.arithmetic(3)
    wanted = ((whole(path) * scale - np.array(mean)) / np.array(std)).transpose(
        *("THWC".index(each) for each in "THWC")
    )
    for clip in clips(path, clipx.WindowSpec(4), format):
        row = wanted[clip.start : clip.start + 4].transpose(*("THWC".index(each) for each in order))
        assert clip.data.dtype == np.float32
        assert (np.abs(clip.data - row) <= 1e-6 * np.maximum(1, np.abs(row))).all()


@pytest.mark.parametrize(
    "kind",
    [
        {"size": (33, 47), "pix_fmt": "yuv444p"},
        {"pix_fmt": "yuv422p"},
        {"pix_fmt": "nv12"},
        {"pix_fmt": "yuv420p10le"},
        {"pix_fmt": "yuv422p10le"},
        {"pix_fmt": "gray"},
        {"codec": "libx264rgb", "pix_fmt": "rgb24"},
        {"size": (2, 2)},
        {"size": (34, 600)},
    ],
    ids=str,
)
def test_every_layout(make_video, whole, kind):
    path = make_video(8, **kind)
    frames = whole(path)
    height, width = frames.shape[1:3]
    for order, crop, flip in itertools.product(ORDERS, (None, (1, 1, height - 1, width - 1)), (False, True)):
        check(path, clipx.WindowSpec(3, 2), clipx.ClipFormat(mean="clip", order=order, crop=crop, flip=flip), frames)
    options = clipx.VideoOptions(color="gray")
    check(path, clipx.WindowSpec(3, 2), clipx.ClipFormat(mean=0.5, order="CTHW"), whole(path, options=options), options)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_rotation(make_video, whole, color, degrees, order):
    path, options = make_video(N), clipx.VideoOptions(color=color)
    upright = np.rot90(whole(path, options=options), -degrees // 90, axes=(1, 2)).copy()
    sideways = degrees in (90, 270)
    resized = whole(path, clipx.ClipFormat(resize=(36, 20) if sideways else (20, 36)), options)
    resized = np.rot90(resized, -degrees // 90, axes=(1, 2)).copy()
    for kind in ("uint8", *FLOATS):
        format = clipx.ClipFormat(order=order, dtype=kind, crop=(1, 2, 17, 30), flip=True)
        check(rotated(path, degrees), clipx.WindowSpec(3, 2), format, upright, options)
        check(rotated(path, degrees), clipx.WindowSpec(3, 2), replace(format, resize=(20, 36)), resized, options)
    drawn = clipx.ClipFormat(crop=("random", (30, 20)), flip=0.5, order=order, mean=0.5)
    check(rotated(path, degrees), clipx.WindowSpec(3, 2), drawn, upright, options, rng=4)


@pytest.mark.parametrize("resize", [20, 100, (31, 33), (48, 64)], ids=str)
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_resized_and_cropped(make_video, whole, color, resize):
    path, options = make_video(N), clipx.VideoOptions(color=color)
    frames = whole(path, clipx.ClipFormat(resize=resize), options)
    for crop, order in itertools.product((None, 19, (1, 3, 17, 20), ("random", 15)), ("CTHW", "THWC")):
        format = clipx.ClipFormat(resize=resize, crop=crop, order=order, mean=0.5, std=0.5, scale=1 / 255, flip=0.5)
        check(path, clipx.WindowSpec(4, 3), format, frames, options, rng=2)


WINDOWS = [{"stride": 3}, {"stride": 7, "dilation": 2}, {"num_clips": 3}, {"stride": 30}]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy(make_video, whole, policy, window):
    spec = clipx.WindowSpec(5, policy=policy, fill_value=200, **window)
    formats = [
        clipx.ClipFormat(mean="imagenet", order="CTHW"),
        clipx.ClipFormat(dtype="bfloat16", order="TCHW", crop=("random", 20), flip=0.5),
        clipx.ClipFormat(crop=("random", (48, 9)), order="CTHW"),
        clipx.ClipFormat(flip=0.5, dtype="float16", scale=-2.0),
    ]
    for n in (3, 21):
        path = make_video(n)
        frames = whole(path)
        for format in formats:
            views = check(path, spec, format, frames, rng=11)
            assert all((crop is None) != format.is_random for crop, _ in views)


@pytest.mark.parametrize("policy", ["wrap", "reflect", "backpad", "constant"])
def test_sources_that_cannot_seek(make_video, whole, policy):
    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.data = io.BytesIO(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.data.readinto(buffer)

    path = make_video(N, container="matroska", suffix=".mkv")
    spec = clipx.WindowSpec(8, 5, policy=policy, fill_value=3)
    format = clipx.ClipFormat(crop=("random", 20), flip=0.5, mean="clip", order="CTHW")
    check(io.BufferedReader(Pipe(path.read_bytes())), spec, format, whole(path), rng=1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [None, *FLOATS])
def test_a_pool_and_what_holds_its_slots(make_video, whole, kind, order):
    path, frames = make_video(N), whole(make_video(N))
    spec = clipx.WindowSpec(4, 2, policy="constant", fill_value=9)
    format = clipx.ClipFormat(dtype=kind, order=order, crop=("random", 21), flip=0.5)
    wanted = windows.extract(frames, **plan_of(spec), format=format, rng=0)
    for pool in (
        clipx.ClipPool(3, wanted.shape[1:], wanted.dtype),
        clipx.ClipPool.of_bytes(3 * (wanted[0].nbytes + 63)),
    ):
        check(path, spec, format, frames, rng=0, pool=pool)
        assert pool.stats().peak_leased <= 3
    pool = clipx.ClipPool(4, wanted.shape[1:], wanted.dtype)
    extracted = clips(path, spec, format, rng=0, pool=pool)
    held = next(extracted).data
    if kind == "float32":
        torch = pytest.importorskip("torch")
        held = torch.from_numpy(held)[1:]
    else:
        held = held.view(np.uint8)[1:]
    before = np.asarray(held).tobytes()
    for clip in extracted:
        same(clip.data, wanted[clip.index])
        assert np.asarray(held).tobytes() == before
        del clip
    del extracted
    gc.collect()
    assert pool.stats().leased == 1
    del held
    assert pool.stats().leased == 0


def test_pools_that_are_too_small(make_video):
    path, spec = make_video(N), clipx.WindowSpec(4, 2)
    format = clipx.ClipFormat(crop=20, dtype="float32")
    with pytest.raises(ValueError, match=r"dtype float32 has 19200 bytes, but a slot 4800"):
        next(clips(path, spec, format, pool=clipx.ClipPool(9, (4, 20, 20, 3))))
    with pytest.raises(ValueError, match="2 slots, but a source holds up to 3"):
        next(clips(path, spec, format, pool=clipx.ClipPool(2, (4, 20, 20, 3), "f4")))


@pytest.mark.parametrize(
    ("format", "length", "match"),
    [
        ({"mean": (1, 2)}, 4, "mean has 2 numbers, but the frames have 3 channels"),
        ({"std": (1, 2, 3, 4)}, 4, "std has 4 numbers, but the frames have 3 channels"),
        ({"crop": 49}, 4, r"crop is \(49, 49\), but the picture is 48 by 64"),
        ({"crop": ("random", 49)}, 4, r"crop is \('random', \(49, 49\)\), but the picture is 48 by 64"),
        ({"resize": 20, "crop": ("random", 21)}, 4, "but the picture is 20 by 27"),
        ({"order": "HWC"}, 2, "order is 'HWC', which is for clips of one frame, but length is 2"),
        ({"order": "CHW"}, 4, "order is 'CHW', which is for clips of one frame, but length is 4"),
    ],
    ids=str,
)
def test_refused(make_video, format, length, match):
    with pytest.raises(ValueError, match=match):
        next(clips(make_video(N), clipx.WindowSpec(length), clipx.ClipFormat(**format)))


def test_three_means_and_gray(make_video):
    options = clipx.VideoOptions(color="gray")
    with pytest.raises(ValueError, match="mean has 3 numbers, but the frames have 1 channels"):
        next(clips(make_video(N), clipx.WindowSpec(4), clipx.ClipFormat(mean="clip"), options=options))


@pytest.mark.parametrize(
    "format", [{"crop": ("random", 20)}, {"flip": 0.5}, {"crop": ("random", (48, 20)), "flip": True}], ids=str
)
def test_each_clip_says_what_it_took(make_video, whole, format):
    path, spec = make_video(N), clipx.WindowSpec(2, 1)
    frames, format = whole(make_video(N)), clipx.ClipFormat(**format)
    drawn = []
    for clip in clips(path, spec, format, rng=5):
        y, x, h, w = clip.crop
        seen = frames[clip.start : clip.start + 2, y : y + h, x : x + w]
        np.testing.assert_array_equal(clip.data, seen[:, :, ::-1] if clip.flip else seen)
        assert clip.facts()["crop"] == [y, x, h, w]
        assert clip.facts()["flip"] is clip.flip
        drawn.append((clip.crop, clip.flip))
    assert len(set(drawn)) > 1
    assert drawn == [(clip.crop, clip.flip) for clip in clips(path, spec, format, rng=np.random.default_rng(5))]
    assert drawn != [(clip.crop, clip.flip) for clip in clips(path, spec, format, rng=6)]


@pytest.mark.parametrize("format", [{}, {"crop": 20, "flip": True}, {"flip": 0.0}, {"flip": 1.0}], ids=str)
def test_what_is_not_drawn_is_not_told(make_video, format):
    for clip in clips(make_video(N), clipx.WindowSpec(4), clipx.ClipFormat(**format)):
        assert (clip.crop, clip.flip) == (None, None)
        assert not {"crop", "flip"} & set(clip.facts())


# The stage


def run(sample, spec, format, **rest):
    """Keys, clips and their facts."""
    field = next(name for name in sample if not name.startswith("__"))
    return [(out["__key__"], out[field], out["clip.json"]) for out in wds.clips(spec, format, **rest)([sample])]


SPECS = [
    {"length": 4, "stride": 2, "policy": "constant", "fill_value": 7},
    {"length": 3, "dilation": 2, "policy": "backpad"},
    {"length": 4, "num_clips": 6, "sampling": "random"},
    {"length": 30, "num_clips": 12, "sampling": "random", "policy": "reflect"},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(
    "format",
    [
        {"crop": ("random", 20), "flip": 0.5, "mean": "imagenet", "order": "CTHW"},
        {"flip": 0.5, "dtype": "bfloat16"},
        {"crop": ("random", (7, 64)), "order": "TCHW"},
    ],
    ids=str,
)
def test_arrays_and_videos_draw_the_same(make_video, whole, format, spec):
    path, spec, format = make_video(N), clipx.WindowSpec(**spec), clipx.ClipFormat(**format)
    frames, data = whole(path), path.read_bytes()
    runs = [
        run({"__key__": "a", name: value}, spec, format, seed=3, epoch=epoch)
        for epoch, (name, value) in itertools.product(
            (0, 1), [("mp4", data), ("npy", frames), ("npy", npy(frames)), ("clip.npy", frames)]
        )
    ]
    for others in (runs[:4], runs[4:]):
        for other in others[1:]:
            for (key, clip, facts), (other_key, other_clip, other_facts) in zip(others[0], other, strict=True):
                same(other_clip, clip)
                assert other_key == key
                names = ("index", "start", "valid", "length", "crop", "flip", "key")
                assert other_facts == {name: facts[name] for name in names}
    views = [[(each[2]["crop"], each[2]["flip"]) for each in one] for one in (runs[0], runs[4])]
    assert views[0] != views[1]


def test_draws_follow_seed_epoch_and_key(whole, make_video):
    frames, spec = whole(make_video(N)), clipx.WindowSpec(2)
    format = clipx.ClipFormat(crop=("random", 20), flip=0.5)

    def views(key="a", **rest):
        return [
            (tuple(facts["crop"]), facts["flip"])
            for _, _, facts in run({"__key__": key, "npy": frames}, spec, format, **rest)
        ]

    assert views(epoch=0) == views(epoch=0) == views(seed=0, epoch=lambda: 0)
    different = [views(epoch=0), views(epoch=1), views(seed=1, epoch=0), views("b", epoch=0)]
    assert all(a != b for a, b in itertools.combinations(different, 2))
    stage = wds.clips(spec, format)
    passes = [[out["clip.json"]["crop"] for out in stage([{"__key__": "a", "npy": frames}])] for _ in range(2)]
    assert [[tuple(each) for each in one] for one in passes] == [[crop for crop, _ in one] for one in different[:2]]
    assert len(set(different[0])) > 5


def test_facts_say_where_a_clip_is(whole, make_video):
    path, frames = make_video(N), whole(make_video(N))
    format = clipx.ClipFormat(crop=("random", (9, 20)), flip=0.5)
    for sample in ({"__key__": "a", "mp4": path.read_bytes()}, {"__key__": "a", "npy": frames}):
        for _, clip, facts in run(sample, clipx.WindowSpec(2, 1), format, epoch=0):
            (y, x, h, w), flip = facts["crop"], facts["flip"]
            assert [type(each) for each in (y, x, h, w, flip)] == [int] * 4 + [bool]
            seen = frames[facts["start"] : facts["start"] + 2, y : y + h, x : x + w]
            np.testing.assert_array_equal(clip, seen[:, :, ::-1] if flip else seen)
    for _, _, facts in run(sample, clipx.WindowSpec(2, 1), clipx.ClipFormat(crop=9, flip=True)):
        assert not {"crop", "flip"} & set(facts)


def test_fields_of_a_sample_draw_the_same(make_video, whole):
    path, frames = make_video(N), whole(make_video(N))
    sample = {"__key__": "a", "mp4": path.read_bytes(), "npy": frames, "left.mp4": path.read_bytes()}
    format = clipx.ClipFormat(crop=("random", 20), flip=0.5, dtype="float32", order="CTHW")
    pool = clipx.ClipPool(9, (3, 4, 20, 20), "f4")
    count = 0
    for out in wds.clips(clipx.WindowSpec(4, 2), format, pool=pool, keys=["mp4", "npy", "left.mp4"])([sample]):
        same(out["npy"], out["mp4"])
        same(out["left.mp4"], out["mp4"])
        count += 1
        del out
    assert count == 9
    assert pool.stats().leased == 0


def test_a_pipeline_of_tensors(tmp_path, make_video, whole):
    paths = {f"v{i}": make_video(20 + i) for i in range(3)}
    with webdataset.TarWriter(str(tmp_path / "shard.tar")) as tar:
        for key, path in paths.items():
            tar.write({"__key__": key, "mp4": path.read_bytes()})
    spec, format = clipx.WindowSpec(4, 4), clipx.ClipFormat(crop=("random", 21), flip=0.5, mean="clip", order="CTHW")
    stage = wds.clips(spec, format, seed=9, epoch=2, pool="4MB")
    dataset = webdataset.WebDataset(str(tmp_path / "shard.tar"), shardshuffle=False).compose(stage)
    seen = Counter()
    for out in dataset:
        key, _, index = out["__key__"].rpartition("_")
        rng = wds.sample_rng(9, 2, key)
        wanted = windows.extract(whole(paths[key]), 4, 4, format=format, rng=rng)
        same(out["mp4"], wanted[int(index)])
        assert out["mp4"].flags.c_contiguous
        seen[key] += 1
    assert seen == {"v0": 5, "v1": 5, "v2": 5}


def test_samples_that_a_format_does_not_fit(make_video):
    good = {"__key__": "a", "mp4": make_video(N).read_bytes()}
    small = {"__key__": "b", "npy": np.zeros((9, 10, 10, 3), np.uint8)}
    flat = {"__key__": "c", "npy": np.zeros(9)}
    reported = []
    stage = wds.clips(
        clipx.WindowSpec(4),
        clipx.ClipFormat(crop=("random", 20), mean="clip"),
        handler=lambda exn: reported.append(exn) or True,
    )
    outs = list(stage([good, small, flat, good]))
    assert [out["__key__"] for out in outs] == [f"a_{i:06d}" for i in range(5)] * 2
    assert "crop is ('random', (20, 20)), but the picture is 10 by 10" in str(reported[0])
    assert "frames has shape (9,), but a format is for" in str(reported[1])
    assert len(reported) == 2


def test_bfloat16_clips_are_ml_dtypes(make_video):
    (clip, *_) = clips(make_video(N), clipx.WindowSpec(4), clipx.ClipFormat(dtype="bfloat16", mean="imagenet"))
    assert clip.data.dtype == np.dtype(ml_dtypes.bfloat16)
    assert np.isfinite(clip.data.astype(np.float32)).all()
