"""The executable specification: which frames, and how they are written, in obvious NumPy."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from clipx.video.color import Matrix

__all__ = [
    "centers",
    "collect",
    "floats",
    "formatted",
    "gather",
    "indices",
    "linspace",
    "nearest",
    "padding",
    "part",
    "picture",
    "rate_length",
    "scatter",
    "starts",
]


def starts(
    n: int,
    length: int,
    stride: int | None = None,
    dilation: int = 1,
    policy: str = "drop",
    num_clips: int | None = None,
    offset: int = 0,
) -> list[int]:
    """Start frames of the clips of a source of n frames, in a loop."""
    span = dilation * (length - 1) + 1
    if num_clips is not None:
        if n < span and policy == "error":
            raise ValueError("incomplete")
        if n == 0 or (n < span and policy in ("drop", "backpad")):
            return []
        free = max(n - span, 0)
        return [free // 2] if num_clips == 1 else [i * free // (num_clips - 1) for i in range(num_clips)]
    stride = length * dilation if stride is None else stride
    complete = [start for start in range(offset, n, stride) if start + span <= n]
    if policy == "drop":
        return complete
    covered = complete[-1] + span if complete else offset
    if covered >= n:
        return complete
    if policy == "error":
        raise ValueError("incomplete")
    if policy == "backpad":
        return [*complete, n - span] if n >= span else []
    following = complete[-1] + stride if complete else offset
    return [*complete, following] if following < n else complete


def _source_frame(position: int, n: int, policy: str) -> int:
    if position < n:
        return position
    if policy == "repeat_last":
        return n - 1
    if policy == "wrap":
        return position % n
    if policy == "reflect":
        there_and_back = [*range(n), *range(n - 2, 0, -1)]
        return there_and_back[position % len(there_and_back)]
    assert policy == "constant", policy
    return -1


def indices(n: int, at: list[int], length: int, dilation: int = 1, policy: str = "drop") -> np.ndarray:
    """Source frame of each position in a clip, (clips, length); -1 where fill_value goes."""
    table = [[_source_frame(start + i * dilation, n, policy) for i in range(length)] for start in at]
    return np.array(table, dtype=np.int64).reshape(len(at), length)


def padding(n: int, at: list[int], length: int, dilation: int = 1) -> np.ndarray:
    """True where a position lies past frame n - 1, (clips, length)."""
    table = [[start + i * dilation >= n for i in range(length)] for start in at]
    return np.array(table, dtype=bool).reshape(len(at), length)


def gather(frames: np.ndarray, table: np.ndarray, fill: Any = 0) -> np.ndarray:
    """frames[table], with `fill` where the table is -1."""
    out = np.empty(table.shape + frames.shape[1:], frames.dtype)
    for position, source_frame in np.ndenumerate(table):
        out[position] = fill if source_frame < 0 else frames[source_frame]
    return out


def scatter(frame: np.ndarray, targets: list[np.ndarray]) -> None:
    """Write the frame to every target."""
    for target in targets:
        target[...] = frame


def collect(arrays: list[np.ndarray], dst: np.ndarray) -> None:
    """Copy arrays of the same bytes one after the other into dst."""
    dst.reshape(-1).view(np.uint8)[...] = np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays])


def picture(
    planes: list[np.ndarray],
    layout: str,
    crop: tuple[int, int, int, int],
    matrix: Matrix,
    bits: int = 8,
    chroma_rows: bool = False,
    flip: bool = False,
    channels: int = 3,
    offsets: tuple[int, int, int] = (0, 1, 2),
) -> np.ndarray:
    """A decoded picture as uint8 (h, w, channels): the formula in float64, rounded.

    planes: samples as arrays: Y, U and V (lines, samples); interleaved: Y and UV (lines, pairs, 2); packed: one
    (height, width, bytes of a pixel). Chroma of a pixel is that of its sample block.
    """
    y, x, h, w = crop
    rows, columns = np.arange(y, y + h)[:, None], np.arange(x, x + w)[None, :]
    if flip:
        columns = columns[:, ::-1]
    if layout == "packed":
        return planes[0][rows, columns][:, :, list(offsets)]
    luma = matrix.y * (planes[0][rows, columns] - float(matrix.offset))
    if layout == "gray" or channels == 1:
        return _bytes([luma] * channels)
    block = rows // (2 if chroma_rows else 1), columns // (1 if layout == "full" else 2)
    first, second = (planes[1][..., 0], planes[1][..., 1]) if layout == "interleaved" else planes[1:]
    u, v = first[block] - 2.0 ** (bits - 1), second[block] - 2.0 ** (bits - 1)
    return _bytes([luma + matrix.rv * v, luma + matrix.gu * u + matrix.gv * v, luma + matrix.bu * u])


def formatted(
    frames: np.ndarray,
    table: np.ndarray,
    views: list[tuple[int, int, int, int, bool]],
    scale: float = 1.0,
    mean: Any = 0.0,
    std: Any = 1.0,
    order: str = "THWC",
) -> np.ndarray:
    """Clips of frames (n, height, width, channels), cropped and flipped, as (x * scale - mean) / std in float64.

    table: (clips, length) without -1. views: (y, x, h, w, flip) of each clip. The axes after the first are in `order`.
    """
    clips = []
    for row, (y, x, h, w, flip) in zip(table, views):
        clip = frames[row, y : y + h, x : x + w].astype(np.float64)
        clips.append((clip[:, :, ::-1] if flip else clip) * scale)
    out = (np.stack(clips) - np.asarray(mean)) / np.asarray(std)
    return out.transpose(0, *(1 + "THWC".index(each) for each in order))


def floats(numbers: np.ndarray, scale: float = 1.0, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    """(x * scale - mean) / std of float64 numbers (..., channels) as float32, to the bit.

    How a number is computed depends on its value alone: a whole number from 0 to 255, which a byte can hold, in
    three steps of float32, with the mean in units of x as the sum of two of them; any other in float64, then rounded.
    Signs of zeros, infinity and NaN follow IEEE 754 in both.
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    high = (mean / scale).astype(np.float32)
    low = (mean / scale - high).astype(np.float32)
    factor = (scale / std).astype(np.float32)
    is_byte = (numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers))
    with np.errstate(over="ignore", invalid="ignore"):
        steps = ((numbers.astype(np.float32) - high) - low) * factor
        return np.where(is_byte, steps, ((numbers * scale - mean) / std).astype(np.float32))


def _bytes(channels: list[np.ndarray]) -> np.ndarray:
    return np.rint(np.clip(np.stack(channels, axis=-1), 0, 255)).astype(np.uint8)


def part(n: int, parts: int, i: int) -> range:
    """Frames of part i of so many equal parts of n frames; its first where it is empty."""
    first = i * n // parts
    return range(first, max((i + 1) * n // parts, first + 1))


def centers(n: int, length: int) -> list[int]:
    """Frame in the middle of each of so many equal parts of n frames."""
    return [int((i + Fraction(1, 2)) * n / length) for i in range(length)]


def linspace(n: int, length: int) -> list[int]:
    """Frames from the first to the last of n, at equal distances, rounded with halves to even."""
    return [round(Fraction(i * (n - 1), max(length - 1, 1))) for i in range(length)]


def rate_length(n: int, seconds: Fraction, fps: Fraction, least: int, most: int | None, multiple: int) -> int:
    """Frames of a clip at `fps`, within limits; 0 where n frames are fewer than a multiple."""
    allowed = [k for k in range(multiple, n + 1, multiple) if most is None or k <= most]
    wanted = max(seconds * fps, min(k for k in range(multiple, least + multiple, multiple) if k >= least))
    return max((k for k in allowed if k <= wanted), default=0)


def nearest(times: list[Fraction], second: Fraction) -> int:
    """The frame that begins nearest to a time, of two the earlier one; times are those of frames and of the end."""
    return min(range(len(times) - 1), key=lambda frame: abs(times[frame] - second))


def pcm(data: bytes, type: str, big: bool, channels: int, dtype: str) -> np.ndarray:
    """Interleaved PCM as samples (channels, n), to the bit; what is left behind the last whole frame is no sample.

    Integers of b bits are whole numbers of 2**(1 - b) of full scale, "u8" 128 above them; as int16 they keep their
    highest bits. Floats become int16 rounded with halves to even and clipped; NaN, and what is 65536 times full scale
    or more, is -32768.
    """
    size, order = int(type[1:]) // 8, ">" if big else "<"
    raw = np.frombuffer(data, np.uint8)[: len(data) // (size * channels) * size * channels].reshape(-1, size)
    if type[0] == "f":
        floats = raw.copy().view(f"{order}f{size}").astype(f"f{size}")[:, 0]
        with np.errstate(all="ignore"):
            if dtype == "float32":
                return floats.astype(np.float32).reshape(-1, channels).T
            scaled = np.rint(floats.astype(np.float64) * 32768)
        scaled[~(scaled < 2**31)] = -(2**15)
        return np.clip(scaled, -(2**15), 2**15 - 1).astype(np.int16).reshape(-1, channels).T
    # In the highest bytes of 64 bits.
    wide = np.zeros((len(raw), 8), np.uint8)
    wide[:, 8 - size :] = raw[:, ::-1] if big else raw
    whole = wide.view("<i8")[:, 0] ^ (np.int64(-(2**63)) if type == "u8" else np.int64(0))
    if dtype == "int16":
        return (whole >> 48).astype(np.int16).reshape(-1, channels).T
    return ((whole >> (64 - 8 * size)).astype(np.float32) * np.float32(2.0 ** (1 - 8 * size))).reshape(-1, channels).T
