"""What does it cost to make the tensor that a model takes?

Clips of 16 frames, a new one every 8 frames, the centre 224x224 of each frame; floats have ImageNet's mean and std.

- arrays: clips of uint8 (n, 256, 340, 3), all written into one array that was set aside and touched before. torch and
  OpenCV return clips in memory of their own, and give it back within the timing. A chain's order matters: "planes
  last" computes on the pixels as they are stored and brings them into the model's order at the end, which is how the
  chain is mostly written; "planes first" brings the bytes into order and computes on these. The limit is the faster
  write of as many bytes that reads nothing.
- views: the left, middle and right 224x224 of each frame instead, (views, ...), of arrays and of a file. clipx writes
  them in one pass over the frames; "a pass for each view" are three, and torch's chain is run on each view of a clip.
- files: from a path to such clips; opening and closing the file are timed, too. "decoder alone" is PyAV's decode loop,
  which makes no clips. Chains are those with planes first, each after its library's fastest way to the crop.

All run on one core with one decoder thread. "clipx, baseline" and others of its kind are clipx with another
implementation of its rows, each in a process of its own that is timed among the others on the same core. Every
contestant's clips are compared once, with the formula in float64 or, where a decoder's converter comes first, with
those of PyAV's to_ndarray, on average at most 2 of 255 apart. What is not installed is left out. How the figures are
measured: see `_measure.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from _bench import Records, Run, command, find_missing
from _format_arrays import EXTRACT, FLOAT32, FRAMES, HEIGHT, WIDTH, make_source, run_all_arrays
from _format_files import run_all_files
from _format_views import PASSES, run_array_views, run_file_views
from _implementations import other_implementations
from _measure import times_as_fast
from _results import CLIPS, CLIPX_IS, GIGABYTES, MS, OF_LIMIT, OURS, SPREAD, Result, results_table
from _tensors import CROP, FLOAT
from _videos import DECODER, LENGTH, STRIDE, VERSIONS, find_files, missing_rivals

ASKED_OF_FILES = {272: 2.8, 720: 2.2}  # by height


def measure(run: Run) -> Records:
    missing = missing_rivals() | find_missing({"torch": ["torch"], "torchcodec.transforms": ["torchcodec.transforms"]})
    found = find_files(run.folder, ("bikes", "720p") if run.quick else ("bikes", "bigbuckbunny", "720p"), run.describe)
    run.leave_out({**missing, **found.missing})
    with other_implementations() as others:
        arrays = run_all_arrays(missing, others, run)
        files = run_all_files(found.videos.values(), missing, others, run)
    views = [run_array_views(make_source(), missing, run)]
    views += [run_file_views(video, missing, run) for name, video in found.videos.items() if name == "720p"]
    title = f"Arrays ({FRAMES}, {HEIGHT}, {WIDTH}, 3) to clips"
    run.show(results_table(title, arrays, (GIGABYTES, MS, SPREAD, OF_LIMIT, CLIPX_IS)))
    run.show(results_table(f"Files to clips, the centre {CROP}x{CROP}", files, (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS)))
    run.show(results_table("The left, middle and right of each frame", views, (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS)))
    check_floors(run, arrays, files)
    check_views(run, views)
    run.settings |= {"length": LENGTH, "stride": STRIDE, "crop": CROP, "threads": 1}
    return {
        "arrays": [each.record() for each in arrays],
        "files": [each.record() for each in files],
        "views": [each.record() for each in views],
    }


def check_floors(run: Run, arrays: Iterable[Result], files: Iterable[Result]) -> None:
    floors = run.floors
    for result in arrays:
        layout, rival = result.facts["layout"], result.fastest_rival
        assert rival is not None
        if layout == FLOAT:
            floors.fastest_rival(result, 12)
            limit = f"bytes written, against {result.limit} (limit)"
            floors.at_least(f"{result.title}: {limit}", 0.6, result.of_limit(EXTRACT))
            implementations = result.facts["implementations"]
            baseline = times_as_fast(result.samples[implementations["baseline"]], result.samples[rival])
            floors.at_least(f"{result.title}: baseline against the fastest rival, {rival}", 3, baseline)
            if "avx2" in implementations:
                floors.at_least(f"{result.title}: avx2, {limit}", 0.55, result.of_limit(implementations["avx2"]))
        if layout.dtype == "float16":
            floors.at_least(f"{result.title}: clips/s, against float32", 1.3, result.ratio(FLOAT32))
    for result in files:
        floors.fastest_rival(result, ASKED_OF_FILES[result.facts["height"]])
        if result.facts["height"] == 720:
            floors.at_least(f"{result.title}: against the decoder alone", 0.8, result.of_limit(OURS))


def check_views(run: Run, views: Iterable[Result]) -> None:
    """One pass over an array is not slower than three; of a file, it does not cost much more than a single view."""
    for result in views:
        asked = 2 if DECODER in result.samples else 0.97
        run.floors.at_least(f"{result.title}: one pass against three", asked, result.ratio(PASSES))


main = command("format", measure, VERSIONS, quick="few repetitions and fewer files", pinned=True)
if __name__ == "__main__":
    main()
