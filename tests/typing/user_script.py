"""The public API as users write it; `test_typing.py` has type checkers read it. It is never run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from typing_extensions import assert_type

import clipx

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]


def arrays(frames: np.ndarray[Any, Any]) -> list[int]:
    every = clipx.windows.extract(frames, 16, stride=8, policy="repeat_last", num_threads=4)
    spec = clipx.WindowSpec(16, stride=8, policy="constant", fill_value=0)
    tensors = clipx.windows.extract(frames, spec, format=clipx.ClipFormat(scale=1 / 255, order="CTHW"))
    lengths = [len(every), tensors.shape[1], spec.count(len(frames))]
    pool = clipx.ClipPool(8, (16, *frames.shape[1:]), frames.dtype)
    for clip in clipx.windows.iterate(frames, 16, 8, pool=pool):
        lengths.append(clip.nbytes)
    for clip in clipx.windows.iterate(torch.zeros(32, 4), spec, pool="1MB"):
        lengths.append(len(clip))
    starts = clipx.windows.starts(100, 16, stride=8)
    return [*lengths, int(starts[0]), len(clipx.windows.indices(100, 16)), pool.stats().free]


def own_spec() -> clipx.plan.FrameSpec:
    return clipx.WindowSpec.of_seconds(2, stride=0.5, fps=8, policy="backpad")


def other_specs() -> list[clipx.plan.FrameSpec]:
    return [
        clipx.UniformSpec(8),
        clipx.UniformSpec(8, sampling="linspace"),
        clipx.RateSpec(2, min_frames=4, max_frames=768, multiple=2),
        clipx.RateSpec("30000/1001"),
        clipx.WindowSpec(16, 8, offset="random"),
        clipx.WindowSpec(16, num_clips=8, sampling="partition"),
        clipx.FrameList([0, 8, 4]),
        clipx.FrameList(seconds=np.array([0.5, 1.25]), tolerance_seconds=0.1),
        clipx.FrameList("json:frames", max_frames=16),
    ]


def videos(path: str) -> Iterator[tuple[float, np.ndarray[Any, Any]]]:
    info = clipx.video.probe(path)
    print(info.width, info.height, info.fps, info.codec)
    options = clipx.VideoOptions(fps=8, start_seconds=1.5, damage="skip", color="rgb", colorspace="bt709")
    format = clipx.ClipFormat(
        resize=256, crop=("random", 224), flip=0.5, dtype="float16", mean="imagenet", std="imagenet"
    )
    sound = clipx.AudioFormat(sample_rate=16_000, mono=True, dtype=np.int16)
    clips = clipx.video.clips(path, own_spec(), format, options=options, audio=sound, pool="2GB", rng=1)
    for clip in clips:
        first: float = clip.pts_seconds[0] + clip.duration_seconds[0]
        print(clip, clip.index, clip.start, clip.valid, clip.frame_indices[0], clip.frame_indices.tolist())
        if clip.audio is not None:
            print(clip.audio.shape)
        yield first, clip.data
    print(clips.num_frames, clips.frames_decoded, [damage.reason for damage in clips.damages])


def any_clip(clip: clipx.Clip) -> clipx.ClipFacts:
    print(clip.data.shape, clip.pts_seconds)
    return clip.facts()


def sounds(data: bytes) -> list[float]:
    spec = clipx.WindowSpec.of_seconds(2, fps=16_000)
    return [clip.pts_seconds + clip.duration_seconds for clip in clipx.audio.clips(data, spec)]


def mapped(path: str) -> None:
    array = clipx.mapped.open(path, "recording.npy")
    for member in clipx.mapped.members(path):
        print(member.name, member.size, array.shape)


def add_label(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "label": torch.tensor(int(sample["cls"]))}


def resized() -> list[clipx.ClipFormat]:
    crop = clipx.RandomResizedCrop(224, scale=(0.3, 1), ratio=(0.75, 1.35))
    size = "pixels", 128 * 28 * 28, 768 * 28 * 28, 28
    return [
        clipx.ClipFormat(crop=crop, flip=0.5, interpolation="bicubic", antialias=True),
        clipx.ClipFormat(resize=size, interpolation="nearest"),
        clipx.ClipFormat(resize=("fit", 224, 224, 0.5), crop=("three", 200)),
        clipx.ClipFormat(resize=("longer", 256)),
    ]


def train(shards: str) -> None:
    format = clipx.ClipFormat(resize=(224, 224), dtype=np.float32, mean=0.5, std=(0.2, 0.2, 0.2), order="CTHW")
    loader = clipx.Loader(
        shards,
        clipx.WindowSpec(16),
        format,
        batch_size=8,
        memory="4GB",
        map=add_label,
        handler=clipx.wds.log_and_continue,
    )
    for batch in loader:
        clips = torch.as_tensor(batch["mp4"])
        print(clips.shape, batch["__key__"])
    state = loader.state_dict()
    loader.load_state_dict(state)
    loader.set_epoch(1)
    print(len(loader), [entry.message for entry in loader.errors])
    with loader:
        for batch in DataLoader(loader, batch_size=None, num_workers=2):
            print(batch["clip.json"])
    many = clipx.Loader(
        ["a.tar", "b.tar"], clipx.WindowSpec(4), batch_size=2, memory=10**9, keys=("front.mp4", "mp4"), ragged="pad"
    )
    clipx.Loader(shards, clipx.FrameList(frames="json:frames", max_frames=4), batch_size=2, segments="json:segments")
    clipx.Loader(shards, clipx.WindowSpec(4), batch_size=2, segments=[(0, 2.5), clipx.Segment(3, 9, {"label": 1})])
    many.close()


def pipeline() -> None:
    import webdataset  # type: ignore[import-untyped, unused-ignore]

    spec = clipx.WindowSpec(16, num_clips=2, sampling="random")
    pool = clipx.ClipPool.of_bytes("2GB")
    dataset = webdataset.DataPipeline(  # pyright: ignore[reportAttributeAccessIssue]
        webdataset.SimpleShardList("videos-{000..009}.tar"),  # pyright: ignore[reportAttributeAccessIssue]
        webdataset.tarfile_to_samples(),  # pyright: ignore[reportAttributeAccessIssue]
        clipx.wds.clips(spec, pool=pool, seed=1, handler=clipx.wds.log_and_continue),
        clipx.wds.shuffle(pool=pool, seed=1),
        clipx.wds.watch(),
        clipx.wds.batched(16, pool="1GB", ragged="bucket", max_held=64),
    )
    for batch in dataset:
        print(batch["mp4"].shape)
    labels = clipx.segments.from_csv("labels.csv", by="video")
    stage = clipx.wds.clips(spec, segments=lambda sample: labels.get(sample["__key__"], []), min_seconds=2)
    for sample in stage(clipx.wds.mapped_samples("arrays.tar")):
        print(sample["__key__"], stage.errors.counts)
    rng = clipx.wds.sample_rng(0, 1, "key")
    print(rng.integers(3))


def memory() -> None:
    with clipx.memory.Meter(interval=0.1) as meter:
        sample = {"npy": np.zeros(3)}
    clipx.memory.check(sample)
    print(meter.peak - meter.start, clipx.memory.payload_bytes(sample), clipx.memory.retained_bytes(sample))
    print(clipx.memory.leases(sample), clipx.simd, clipx.__version__)


def errors(path: str) -> None:
    try:
        next(clipx.video.clips(path, clipx.WindowSpec(4), pool=clipx.ClipPool(1, 1)))
    except clipx.PoolTooSmall as exn:
        print(exn.shape)
    except clipx.PoolExhausted:
        logging.exception("all slots are leased")
    except clipx.MediaError as exn:
        print(exn.__cause__)


def types_of_clips(path: str, spec: clipx.plan.FrameSpec) -> None:
    """The types that an editor shows: `assert_type` is an error where a checker infers another."""
    for clip in clipx.video.clips(path, spec):
        assert_type(clip.data, Array)
        assert_type(clip.frame_indices, Array)
        assert_type(clip.pts_seconds, Array)
        assert_type(clip.index, int)
        assert_type(clip.fps, float | None)
        assert_type(clip.audio, Array | None)
        assert_type(clip.segment, clipx.Segment | None)
        assert_type(clip.facts(), clipx.ClipFacts)
    for sound in clipx.audio.clips(path, spec):
        assert_type(sound.data, Array)
        assert_type(sound.pts_seconds, float)
        assert_type(sound.frame_indices, None)
    assert_type(clipx.video.clips(path, spec).damages, list[clipx.errors.Damage])
    assert_type(clipx.video.probe(path).sound, clipx.video.SoundInfo | None)
    assert_type(clipx.windows.extract([[1.0]], spec), Array)
    assert_type(clipx.windows.iterate([[1.0]], 3), Iterator[Array])
    assert_type(clipx.mapped.open(path), Array)
    assert_type(spec.rows(clipx.plan.Extent(9), clipx.plan.as_generator(0)), Array)


def types_of_datasets(path: str, spec: clipx.plan.FrameSpec) -> None:
    loader = clipx.Loader(clipx.Mix({"a": (clipx.Files(path), 2), "b": (path, 1)}), spec, batch_size=2)
    for batch in loader:
        assert_type(batch, dict[str, Any])
        facts: clipx.ClipFacts = batch["clip.json"][0]
        assert_type(facts["index"], int)
        assert_type(facts.get("frame_indices"), list[int] | None)
        clipx.show(batch)
    assert_type(loader.state_dict(), dict[str, Any])
    assert_type(loader.stats().bound, str | None)
    assert_type(loader.stats().work_seconds, dict[str, float])
    assert_type([entry.key for entry in loader.errors], list[str | None])
    assert_type(clipx.reshard_states([loader.state_dict()], ranks=4), list[dict[str, Any]])
    clipx.Loader(clipx.Files(path), spec, batch_size=2)
    index = clipx.Index.build(path, path=f"{path}.parquet")
    clipx.Loader(index, spec, batch_size=2)
    dataset = clipx.ClipDataset(index, spec, min_seconds=0.5, max_seconds="30000/1001")
    sampler = clipx.ClipSampler(dataset, shuffle="clips", seed=1)
    assert_type(index, clipx.Index)
    assert_type(dataset[0], dict[str, Any])
    assert_type(dataset.collate([dataset[0]], ragged="pad"), dict[str, Any])
    assert_type(next(iter(sampler)), int)
    assert_type(len(dataset), int)


def types_of_stages(samples: list[dict[str, Any]], spec: clipx.plan.FrameSpec) -> None:
    clips = clipx.wds.clips(spec)(samples)
    assert_type(clips, Iterator[dict[str, Any]])
    shuffled = clipx.wds.shuffle("1GB")(clips)
    assert_type(shuffled, Iterator[dict[str, Any]])
    watched = clipx.wds.watch()(shuffled)
    assert_type(watched, Iterator[dict[str, Any]])
    assert_type(clipx.wds.batched(4)(watched), Iterator[dict[str, Any]])


def types_of_pools(pool: clipx.ClipPool) -> None:
    assert_type(pool.acquire(), Array)
    assert_type(clipx.pool.GARBAGE_SECONDS, float)
    assert_type(pool.stats(), clipx.PoolStats)
    assert_type(pool.stats().free, int)
    assert_type(clipx.segments.from_csv("a.csv"), list[clipx.Segment])
    assert_type(clipx.segments.from_csv("a.csv", by="video"), dict[str, list[clipx.Segment]])


def jobs(path: str, spec: clipx.plan.FrameSpec) -> None:
    def report(progress: clipx.jobs.Progress) -> None:
        print(progress.elapsed)

    try:
        done = clipx.jobs.extract(path, "clips", spec, encoding="mp4", crf=23, progress=report, trim_seconds=0.1)
    except clipx.jobs.TooManyFailures as exn:
        assert_type(exn.summary, clipx.jobs.Summary)
    else:
        assert_type(done, clipx.jobs.Summary | clipx.jobs.Expected)
    assert_type(clipx.jobs.finish("clips"), clipx.jobs.Summary)
    clipx.ray.extract_map(spec, clipx.ClipFormat(resize=224), segments="json:segments", min_seconds=1)


def mistakes(clip: clipx.Clip, array: np.ndarray[Any, Any]) -> None:
    """What checkers find; an `ignore` that is not needed is an error."""
    clipx.WindowSpec(4, policy="mirror")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.windows.extract(array, 4, sampling="any")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.WindowSpec(4, offset="any")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.UniformSpec(4, "ends")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.VideoOptions(damage="hide")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.VideoOptions(color="bgr")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.ClipFormat(order="NCHW")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.AudioFormat(dtype="int8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.windows.iterate(array, 4, pool=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clipx.audio.clips("a.wav", 4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clip.frames  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    clipx.wds.clips(clipx.WindowSpec(4), min_seconds=[1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
