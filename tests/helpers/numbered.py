"""Samples of numbered pictures, encoded by Pillow."""

import io
import json

import numpy as np
from PIL import Image

EXTENSIONS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def random_pictures(count, size=(18, 26), seed=0):
    """Smooth pictures with some noise, uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(each).resize(size[::-1], Image.Resampling.BICUBIC)) for each in small]
    noise = rng.integers(-5, 6, (count, *size, 3))
    return (np.stack(smooth).astype(int) + noise).clip(0, 255).astype(np.uint8)


def encoded(picture, extension="jpg", **options):
    """A picture, an array or one of Pillow, as the bytes of a file."""
    file = io.BytesIO()
    one = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    one.save(file, EXTENSIONS[extension], **options)
    return file.getvalue()


def decoded(data):
    """The pixels of a file as webdataset's decode("rgb8") gives them."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def numbered(pictures, extension="jpg", prefix="", first=0, digits=3):
    """Fields of numbered pictures, from arrays or from the bytes of files."""
    files = [each if isinstance(each, bytes) else encoded(each, extension) for each in pictures]
    return {f"{prefix}{first + i:0{digits}}.{extension}": file for i, file in enumerate(files)}


def frames_of(sample, extension="jpg"):
    """The pixels of the numbered pictures of a sample, uint8 (n, height, width, 3)."""
    names = sorted(name for name in sample if name.endswith(f".{extension}"))
    return np.stack([decoded(sample[name]) for name in names])


def picture_sample(key, count, extension="jpg", seed=0, **fields):
    """A sample of numbered pictures."""
    return {"__key__": key, **numbered(random_pictures(count, seed=seed), extension), **fields}


def clip_json(pts, fps=None, **facts):
    """The field that says when the pictures of a clip are shown, encoded."""
    step = (pts[-1] - pts[0]) / (len(pts) - 1)
    facts = {"pts_seconds": list(pts), "duration_seconds": [step] * len(pts), **facts}
    return json.dumps(facts if fps is None else {**facts, "source_fps": fps}).encode()
