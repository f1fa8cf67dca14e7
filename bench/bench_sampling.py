"""How fast are a few frames of a long file read: spread over it, or of its segments?

Files of ten minutes at 25 frames a second with a key frame every 250 frames, opened in every call:

- spread: `UniformSpec(8)` over a file of 720p.
- captions: a clip of 8 spread frames of each of 20 segments of 5 to 60 s that overlap, as captions do, over a file of
  340x256. Rivals seek for each segment, in one run over a file that they open once.
- scenes: the same of 20 segments of 10 s that lie apart.

The long files are a short one, repeated: the packets of a file of 40 s or 10 s come again and again. So the frames of
all contestants can be compared with those of a full decode; clipx's are compared bit for bit with those that it gives
when it decodes every frame.

All run on one core with one decoder thread, except decord, which converts on another thread. clipx takes memory for its
clips as the others do. What is not installed is left out. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import av
import numpy as np
from _bench import Records, Run, command, find_missing
from _measure import consume, timed
from _results import CLIPX_IS, MS, SPREAD, Result, results_table
from _seeking import APPROXIMATE, DECORD, FETCHES, MODULES, PYAV, TORCHCODEC, check_arrays, without
from _videos import Video, find_files, recode, repeat

import clipx

LENGTH, SEGMENTS, RATE = 8, 20, 25
THINNED = 8  # frames are compared with those of a full decode at every so many rows and columns
SPREAD_OVER, CAPTIONS, SCENES = "8 frames of 10 min, 720p", "20 captions, 340x256", "20 scenes, 340x256"
ASKED = {SPREAD_OVER: 1.0, CAPTIONS: 3.0}
CLIPX = "clipx"


class Case(NamedTuple):
    """Clips of a file: of segments, given as their first frame and the one after their last, or one over all of it.

    `piece` is what the file repeats.
    """

    title: str
    video: Video
    piece: Video
    parts: list[tuple[int, int]] | None

    @property
    def lists(self) -> list[list[int]]:
        """The frames of each clip."""
        parts = self.parts or [(0, self.video.frames)]
        return [(start + clipx.UniformSpec(LENGTH).rows(end - start)[0]).tolist() for start, end in parts]

    @property
    def segments(self) -> list[tuple[float, float]] | None:
        """In seconds."""
        return None if self.parts is None else [(start / RATE, end / RATE) for start, end in self.parts]


def captions(frames: int) -> list[tuple[int, int]]:
    """Segments of 5 to 60 s that begin anywhere, by their starts."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(5 * RATE, 60 * RATE, SEGMENTS)
    starts = rng.integers(0, frames - lengths)
    return sorted(zip(starts.tolist(), (starts + lengths).tolist()))


def scenes(frames: int) -> list[tuple[int, int]]:
    """Segments of 10 s, in the middle of equal parts."""
    part = frames // SEGMENTS
    middles = range(part // 2, frames, part)
    return [(middle - 5 * RATE, middle + 5 * RATE) for middle in middles]


def clipx_clips(case: Case) -> Iterator[Any]:
    """The data of each clip, in the order of the segments."""
    clips = clipx.video.clips(case.video.path, clipx.UniformSpec(LENGTH), segments=case.segments)
    if case.segments is None:
        return (clip.data for clip in clips)
    # They come as soon as they are complete.
    return (clip.data for clip in sorted(clips, key=lambda clip: clip.segment.number))


def frames_of(piece: Video) -> np.ndarray:
    """Every frame of a short file as to_ndarray gives it, at some of its pixels."""
    with av.open(piece.path) as container:
        return np.stack([f.to_ndarray(format="rgb24")[::THINNED, ::THINNED] for f in container.decode(video=0)])


def check_bits(case: Case) -> None:
    """Raise unless clipx's clips are, bit for bit, the frames that it gives when it decodes all."""
    lists = case.lists
    needed = {k % case.piece.frames for numbers in lists for k in numbers}
    whole = clipx.video.clips(case.piece.path, clipx.WindowSpec(1))
    frames = {k: clip.data[0].copy() for k, clip in enumerate(whole) if k in needed}
    for numbers, clip in zip(lists, clipx_clips(case), strict=True):
        if not all(
            np.array_equal(frame, frames[k % case.piece.frames]) for k, frame in zip(numbers, clip, strict=True)
        ):
            raise AssertionError(f"{CLIPX} gives other frames than a full decode: {case.title}")


def run_case(case: Case, missing: dict[str, str], run: Run) -> Result:
    run.describe(case.title)
    lists, path = case.lists, case.video.path
    rivals = without((PYAV, TORCHCODEC, APPROXIMATE, DECORD), missing)
    contestants: dict[str, Callable[[], Iterable[Any]]] = {CLIPX: partial(clipx_clips, case)}
    contestants |= {name: partial(FETCHES[name], path, lists) for name in rivals}
    frames = frames_of(case.piece)
    figures = {
        name: {"mean_difference": check_arrays(name, start(), lists, frames, THINNED)}
        for name, start in contestants.items()
    }
    check_bits(case)

    def take(start: Callable[[], Iterable[Any]]) -> None:
        consume(start())

    samples = run.interleave({name: partial(timed, partial(take, start)) for name, start in contestants.items()})
    clips = clipx.video.clips(path, clipx.UniformSpec(LENGTH), segments=case.segments)
    consume(clips)
    return Result(
        title=case.title,
        samples=samples,
        clips=len(lists),
        notes=(
            f"{case.video.width}x{case.video.height}, {case.video.frames} frames",
            f"{len(lists)} clips of {LENGTH} frames",
            f"{clips.frames_decoded} decoded",
        ),
        figures=figures,
        facts={"frames_decoded": clips.frames_decoded, "segments": case.segments},
    )


def find_cases(run: Run) -> list[Case]:
    found = find_files(run.folder, ("720p, 40 s", "bikes"), run.describe)
    run.leave_out(found.missing)
    cases = []
    if "720p, 40 s" in found.videos:
        piece = found.videos["720p, 40 s"]
        cases.append(Case(SPREAD_OVER, repeat(piece, 15, run.folder), piece, None))
    if "bikes" in found.videos:
        piece = recode(found.videos["bikes"], 256, 340, 250, RATE, 250, run.folder)
        video = repeat(piece, 60, run.folder)
        parts = {CAPTIONS: captions(video.frames), SCENES: scenes(video.frames)}
        cases += [Case(title, video, piece, each) for title, each in parts.items()]
    return cases


def measure(run: Run) -> Records:
    missing = find_missing({name: MODULES[name] for name in ("torchcodec", "decord")})
    run.leave_out(missing)
    cases = find_cases(run)
    run.expect(len(cases) * run.repeats * (1 + len(without((PYAV, TORCHCODEC, APPROXIMATE, DECORD), missing))))
    results = [run_case(case, missing, run) for case in cases]
    run.show(results_table("Few frames of long files", results, (MS, SPREAD, CLIPX_IS), "decoded: by clipx's decoder."))
    check_floors(run, results)
    run.settings |= {"length": LENGTH, "segments": SEGMENTS}
    return {"results": [result.record() for result in results]}


def check_floors(run: Run, results: Sequence[Result]) -> None:
    for result in results:
        if result.title in ASKED:
            run.floors.fastest_rival(result, ASKED[result.title])


VERSIONS = ("numpy", "av", "torch", "torchcodec", "decord")
main = command("sampling", measure, VERSIONS, quick="few repetitions", pinned=False)
if __name__ == "__main__":
    main()
