"""Small files that the pages read: made on the spot, in the working directory of each page."""

import asyncio
import csv
import io
import json
import os
import queue
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from clipx._torchless import import_webdataset

# webdataset would import torch, which takes seconds. A page that hands a Loader to torch imports torch before this.
import_webdataset()

# Commands that pages run print plain text: notebooks give them a terminal with colors.
os.environ.update(TERM="dumb", NO_COLOR="1")

__all__ = ["array", "folder", "serve", "shard", "shards", "sound", "table", "video", "video_bytes"]


def picture(number, size, seed=0):
    """Frame `number`, uint8 (height, width, 3): waves that pan, with a square that moves over them."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    slopes, shifts = rng.uniform(0.05, 0.15, (3, 2)) * 64 / width, rng.uniform(0, 6, 3)
    waves = []
    for (a, b), shift in zip(slopes, shifts, strict=True):
        along, down = (x + 2 * number) * a + shift, (y + number) * b
        waves.append(np.sin(along) * np.cos(down) + np.cos(along) * np.sin(down))  # sin(along + down)
    frame = np.stack([127 + 80 * wave for wave in waves], axis=-1).astype(np.uint8)
    side = max(height // 5, 2)
    top = int((height - side) * (0.5 + 0.5 * np.sin(number / 9)))
    left = int((width - side) * (0.5 + 0.5 * np.cos(number / 13)))
    frame[top : top + side, left : left + side] = 255 - rng.integers(0, 60, 3)
    return frame


def array(frames=60, size=(64, 48), seed=0):
    """Frames, uint8 (frames, height, width, 3)."""
    return np.stack([picture(number, size, seed) for number in range(frames)])


def video(path, frames=60, size=(64, 48), rate=25, sound=False, seed=0, **options):
    """A video in H.264, with AAC at 16 kHz where it has `sound`; the container is that of the suffix. Returns the path.

    options: the encoder's, such as g=10, the distance of key frames.
    """
    with av.open(str(path), "w") as out:
        _write(out, frames, size, rate, sound, seed, options)
    return Path(path)


def video_bytes(frames=60, size=(64, 48), rate=25, sound=False, seed=0, **options):
    """The bytes of such a video, as MP4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        _write(out, frames, size, rate, sound, seed, options)
    return file.getvalue()


def _write(out, frames, size, rate, sound, seed, options):
    options = {"preset": "ultrafast", **{name: str(value) for name, value in options.items()}}
    stream = out.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options=options)
    (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
    voice = out.add_stream("aac", rate=16000, layout="mono") if sound else None
    for number in range(frames):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, size, seed), format="rgb24")))
    out.mux(stream.encode())
    if voice is not None:
        _sound(out, voice, tone(frames / rate, 16000, seed))


def tone(seconds, rate, seed=0):
    """Samples of a tone that rises, float32 (1, n)."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (220 + 40 * seed + 60 * t) * t))[None].astype(np.float32)


def sound(path, seconds=3, rate=16000, codec="flac", seed=0):
    """A sound of one channel; the container is that of the suffix. Returns the path."""
    with av.open(str(path), "w") as out:
        _sound(out, out.add_stream(codec, rate=rate, layout="mono"), tone(seconds, rate, seed))
    return Path(path)


def _sound(out, stream, samples):
    rate = stream.rate
    wanted = stream.codec_context.format.name
    for start in range(0, samples.shape[1], 1024):
        block = samples[:, start : start + 1024]
        if wanted.startswith("s16"):
            block = (block * 32767).astype(np.int16)
        elif wanted.startswith("s32"):
            block = (block * (2**31 - 1)).astype(np.int32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format=wanted, layout="mono")
        frame.sample_rate, frame.pts = rate, start
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def shard(path, samples):
    """A tar of samples: dicts of fields, with or without a "__key__". Returns the path."""
    import webdataset

    with webdataset.TarWriter(str(path)) as tar:
        for number, sample in enumerate(samples):
            tar.write({"__key__": f"{Path(path).stem}_{number:03}", **sample})
    return Path(path)


def shards(pattern="videos-{:03}.tar", count=2, videos=3, fields=lambda number: {"cls": number}, **of_video):
    """`count` shards of `videos` videos each, with the fields of each video's number beside it. Returns the paths."""
    paths = []
    for index in range(count):
        numbers = range(index * videos, (index + 1) * videos)
        samples = (
            {"__key__": f"video{number}", "mp4": video_bytes(seed=number, **of_video), **fields(number)}
            for number in numbers
        )
        paths.append(shard(pattern.format(index), samples))
    return paths


def folder(root, classes=("dancing", "juggling"), videos=2, **of_video):
    """Videos in a folder for each class, as Kinetics has them. Returns their paths."""
    paths = []
    for label, name in enumerate(classes):
        (Path(root) / name).mkdir(parents=True, exist_ok=True)
        for number in range(videos):
            paths.append(video(Path(root) / name / f"{number:04}.mp4", seed=label * videos + number, **of_video))
    return paths


def table(path, rows):
    """A CSV file, or JSON lines, of rows: dicts with the same keys. Returns the path."""
    path, rows = Path(path), list(rows)
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return path


def serve(root):
    """Serves the files of a folder, which is made, on the loopback address, in a thread. Returns the address."""
    from aiohttp import web

    Path(root).mkdir(parents=True, exist_ok=True)
    ports = queue.SimpleQueue()

    async def run():
        app = web.Application()
        app.router.add_static("/", root)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(run(),), daemon=True).start()
    return f"http://127.0.0.1:{ports.get(timeout=30)}"
