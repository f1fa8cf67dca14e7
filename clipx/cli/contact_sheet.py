"""A contact sheet: clips as rows of small pictures, with the times under them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from clipx.clip import Clip

__all__ = ["draw"]

COLUMNS = 16  # frames of a clip that are shown: of a longer one evenly spread
THUMB = 160  # pixels of a picture's longer side


def _row(clip: Clip) -> tuple[list[np.ndarray], list[str]]:
    """Small copies of a clip's frames and the words under them; the clip itself can go."""
    places = np.unique(np.linspace(0, len(clip.data) - 1, min(len(clip.data), COLUMNS)).round().astype(int))
    step = max(-(-max(clip.data.shape[1:3]) // THUMB), 1)
    words = []
    for place in places:
        frame = -1 if clip.frame_indices is None else int(clip.frame_indices[place])
        time = float(clip.pts_seconds[place]) if isinstance(clip.pts_seconds, np.ndarray) else float("nan")
        words.append("fill" if frame < 0 else f"{frame}\n{time:.3f} s" + ("" if place < clip.valid else " (pad)"))
    small = clip.data[places, ::step, ::step]
    return [picture[..., 0] if picture.shape[-1] == 1 else picture for picture in small], words


def draw(path: Any, clips: Iterator[Clip], rows: int) -> tuple[int, bool]:
    """Draw the first `rows` clips to an image file: under each frame its number in the video and its time in seconds.

    Returns the number of clips drawn, and whether there are more. Needs matplotlib. Raises ValueError where there are
    no clips.
    """
    from matplotlib.figure import Figure

    drawn = [(clip.index, clip.start, *_row(clip)) for clip in islice(clips, rows)]
    if not drawn:
        raise ValueError("the video gives no clip for this window")
    more = next(clips, None) is not None
    columns = max(len(pictures) for _, _, pictures, _ in drawn)
    height, width = drawn[0][2][0].shape[:2]
    size = 1.35 * columns + 0.6, (1.35 * height / width + 0.45) * len(drawn)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(drawn), columns, squeeze=False)
    for axes, (index, start, pictures, words) in zip(grid, drawn):
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(f"clip {index}\nstart {start}", fontsize=8)
        for axis, picture, text in zip(axes, pictures, words):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_xlabel(text, fontsize=7)
    figure.savefig(path, dpi=100)
    return len(drawn), more
