"""The public API as users write it; `test_typing.py` has type checkers read it. It is never run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import clipx


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


def any_clip(clip: clipx.Clip) -> dict[str, Any]:
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
