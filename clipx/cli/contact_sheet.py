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


def _row(clip: Clip) -> tuple[list[np.ndarray], list[str]]:
    """Small copies of a clip's frames, and their captions; neither needs the clip any longer."""
    length = len(clip.data)
    indices = np.unique(np.linspace(0, length - 1, min(length, COLUMNS)).round().astype(int))
    step = max(-(-max(clip.data.shape[1:3]) // THUMBNAIL), 1)
    pictures = clip.data[indices, ::step, ::step]
    captions = [_caption(clip, index) for index in indices]
    return [picture[..., 0] if picture.shape[-1] == 1 else picture for picture in pictures], captions


def _caption(clip: Clip, index: int) -> str:
    frame = -1 if clip.frame_indices is None else int(clip.frame_indices[index])
    if frame < 0:
        return "fill"
    seconds = float(clip.pts_seconds[index]) if isinstance(clip.pts_seconds, np.ndarray) else float("nan")
    return f"{frame}\n{seconds:.3f} s" + ("" if index < clip.valid else " (pad)")


def draw(path: Any, clips: Iterator[Clip], rows: int) -> tuple[int, bool]:
    """Draw the first `rows` clips to an image file: below each frame, its number in the video and its time in seconds.

    Returns the number of clips drawn, and whether there are more. Without any clip, no file is written. Needs
    matplotlib.
    """
    from matplotlib.figure import Figure

    drawn = [(clip.index, clip.start, *_row(clip)) for clip in islice(clips, rows)]
    if not drawn:
        return 0, False
    more = next(clips, None) is not None
    columns = max(len(pictures) for _, _, pictures, _ in drawn)
    height, width = drawn[0][2][0].shape[:2]
    size = 1.35 * columns + 0.6, (1.35 * height / width + 0.45) * len(drawn)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(drawn), columns, squeeze=False)
    for axes, (index, start, pictures, captions) in zip(grid, drawn):
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(f"clip {index}\nstart {start}", fontsize=8)
        for axis, picture, caption in zip(axes, pictures, captions):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_xlabel(caption, fontsize=7)
    figure.savefig(path, dpi=100)
    return len(drawn), more
