"""What does it cost to resize?

Clips of 16 pictures, antialiased and bilinear, of 224x224; floats have ImageNet's mean and std.

- arrays: clips side by side of uint8 (n, height, width, 3): all of each picture, a random resized crop for every clip,
  or a rectangle of one size, at a random place for every clip. uint8 keeps the order of the pictures, THWC, which is
  the fastest for all: OpenCV and Pillow write into one array that was set aside and touched before, and torch takes and
  gives tensors whose channels are last in memory. Floats are CTHW; each library is followed by the fastest chain for
  it. "Images made before" are in Pillow's memory, so that only their resizing is timed. torch, torchvision and "of the
  rectangles" cut a rectangle out before they resize it, so that pixels at its edges do not see those around it.
- files: from a path to clips of 16 frames, a new one every 8: the shorter side of frames becomes 256, and the centre
  224x224 is taken, or there is a random resized crop for every clip. "crop, scale" and "CenterCrop, Resize" take the
  centre first, which is less to resize. "reformatter that resizes" is swscale's way to a chroma sample for each pixel,
  whose colors clipx then computes. "one pixel" is clipx that decodes all frames and writes next to nothing; what clipx
  takes beyond it is what resampling and writing take.

All run on one core with one thread. Every contestant's pixels are compared with Pillow's before it is timed: within 1
where it is antialiased (but for 6 pixels at the edges where it cuts rectangles out); OpenCV's, and those from files, on
average at most 6 apart, since INTER_LINEAR does not antialias, INTER_AREA is another filter, and decoders resize before
they convert. Pillow-SIMD has Pillow's name, so that it runs in a process of its own, where the environment variable
PILLOW_SIMD names the folder that it is in. What is not installed is left out. How the figures are measured: see
`_measure.py`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from _bench import Records, Run, command, find_missing
from _implementations import other_implementations, started
from _resized_arrays import CASES, FOLDER, LAYOUTS, TORCHVISION_CHAIN, run_arrays, title_of_array
from _resized_files import SWSCALE, WRITING, decoded, run_file, title_of_file
from _resizing import LINEAR, MODULES, PILLOW, PILLOW_PARTS, TORCH, TORCHVISION
from _results import CLIPS, CLIPX_IS, MS, OF_LIMIT, OURS, SPREAD, Column, Result, results_table
from _videos import LENGTH, VERSIONS, find_files, missing_rivals

import clipx

ASKED_OF_PILLOW = {(250, 260): 4.0, (500, 700): 5.0, (690, 900): 5.0}  # by the rectangle
PER_PICTURE = Column("ms a picture", lambda result, name: f"{result.seconds(name) * 1e3 / result.clips / LENGTH:.3f}")


def measure(run: Run) -> Records:
    missing = missing_rivals() | find_missing({**MODULES, "torchcodec.transforms": ["torchcodec.transforms"]})
    if not os.environ.get(FOLDER):
        missing["Pillow-SIMD"] = f"{FOLDER} is not set"
    found = find_files(run.folder, ("720p",), run.describe)
    run.leave_out({**missing, **found.missing})
    cases = [case for case in CASES if case.rectangle or not run.quick or case.height == 720]
    arrays, files = [], []
    with ExitStack() as stack:
        others = stack.enter_context(other_implementations())
        simd = None if "Pillow-SIMD" in missing else stack.enter_context(started(clipx.simd))
        for case in cases:
            for layout in LAYOUTS:
                if run.wants(title_of_array(case, layout)):
                    arrays.append(run_arrays(case, layout, missing, others, simd, run))
        for video in found.videos.values():
            frames = decoded(video)
            for is_random in (False, True):
                if run.wants(title_of_file(video, is_random)):
                    files.append(run_file(video, frames, is_random, missing, others, run))
    if arrays:
        run.show(results_table("Clips of arrays, resized", arrays, (MS, SPREAD, CLIPS, PER_PICTURE, CLIPX_IS)))
    if files:
        run.show(results_table("Clips of files, resized", files, (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS)))
    for result in arrays:
        check_array(run, result)
    for result in files:
        check_file(run, result)
    return {"arrays": [each.record() for each in arrays], "files": [each.record() for each in files]}


def check_array(run: Run, result: Result) -> None:
    """The rectangles of a picture have floors."""
    rectangle = result.facts["case"].rectangle
    if rectangle is None:
        return
    asked: dict[tuple[str, ...], float] = {(TORCHVISION_CHAIN,): 4.0}
    if not result.facts["layout"].computes:
        asked = {(TORCH, TORCHVISION): 2.0, (PILLOW, PILLOW_PARTS): ASKED_OF_PILLOW[rectangle], (LINEAR,): 0.8}
    for names, floor in asked.items():
        name = min((each for each in names if each in result.samples), key=result.seconds, default=None)
        if name is not None:
            run.floors.at_least(f"{result.title}: against {name}", floor, result.ratio(name))


def check_file(run: Run, result: Result) -> None:
    """Where the decoder can resize, there are floors."""
    if result.facts["is_random"]:
        return
    name = min((each for each in result.rivals or () if each != SWSCALE), key=result.seconds)
    run.floors.at_least(f"{result.title}: against the fastest of other libraries, {name}", 1.2, result.ratio(name))
    run.floors.at_least(f"{result.title}: against {SWSCALE}", 1.0, result.ratio(SWSCALE))
    share = result.figures[OURS]["writing_of_decoding"]
    run.show(f"{result.title}: {WRITING}, {share:.2f}")
    run.floors.at_most(f"{result.title}: {WRITING}", 1 / 3, share, "")


main = command("resize", measure, (*VERSIONS, "PIL", "torchvision"), pinned=True, selectable=True)
if __name__ == "__main__":
    main()
