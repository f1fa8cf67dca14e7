"""A contact sheet: clips as rows of small pictures, with frame numbers and times below them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from clipx.clip import Clip

__all__ = ["draw"]

COLUMNS = 16
"""Frames of a clip that are drawn; of a longer one, evenly spaced ones."""

THUMBNAIL = 160
"""Largest side of a picture, in pixels."""


Row = tuple[str, list[np.ndarray], list[str]]
"""A label, pictures, and a caption for each."""


def _rows(clip: Clip) -> list[Row]:
    """Small copies of a clip's frames, a row for each of its views; none needs the clip any longer."""
    views = clip.data if clip.data.ndim == 5 else clip.data[None]
    length = views.shape[1]
    indices = np.unique(np.linspace(0, length - 1, min(length, COLUMNS)).round().astype(int))
    step = max(-(-max(views.shape[2:4]) // THUMBNAIL), 1)
    captions = [_caption(clip, index) for index in indices]
    of = "" if clip.segment is None else f"segment {clip.segment.number}\n"
    rows = []
    for number, view in enumerate(views):
        pictures = view[indices, ::step, ::step]
        label = f"{of}clip {clip.index}\nstart {clip.start}" + (f"\nview {number}" if len(views) > 1 else "")
        rows.append((label, [each[..., 0] if each.shape[-1] == 1 else each for each in pictures], captions))
    return rows


def _caption(clip: Clip, index: int) -> str:
    frame = -1 if clip.frame_indices is None else int(clip.frame_indices[index])
    if frame < 0:
        return "fill"
    seconds = float(clip.pts_seconds[index]) if isinstance(clip.pts_seconds, np.ndarray) else float("nan")
    return f"{frame}\n{seconds:.3f} s" + ("" if index < clip.valid else " (pad)")


def draw(path: Any, clips: Iterator[Clip], rows: int) -> tuple[int, bool]:
    """Draw the first `rows` clips to an image file: below each frame, its number in the video and its time in seconds.

    A clip of several views takes a row for each.

    Returns the number of clips drawn, and whether there are more. Without any clip, no file is written. Needs
    matplotlib.
    """
    from matplotlib.figure import Figure

    clip_rows = [_rows(clip) for clip in islice(clips, rows)]
    if not clip_rows:
        return 0, False
    more = next(clips, None) is not None
    drawn = [row for each in clip_rows for row in each]
    columns = max(len(pictures) for _, pictures, _ in drawn)
    height, width = drawn[0][1][0].shape[:2]
    size = 1.35 * columns + 0.6, (1.35 * height / width + 0.45) * len(drawn)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(drawn), columns, squeeze=False)
    for axes, (label, pictures, captions) in zip(grid, drawn):
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(label, fontsize=8)
        for axis, picture, caption in zip(axes, pictures, captions):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_xlabel(caption, fontsize=7)
    figure.savefig(path, dpi=100)
    return len(clip_rows), more
