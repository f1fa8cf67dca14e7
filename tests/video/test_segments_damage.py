"""Segments of damaged videos: what damage ends or leaves out, and that runs resume alike."""

import av
import numpy as np
import pytest
from helpers.media import until_error
from video.test_damage_option import KINDS as DAMAGED
from video.test_damage_option import hurt

from clipx import MediaError, Segment, VideoOptions, WindowSpec, video
from clipx.plan import ALL, Selection, as_segments
from clipx.video.clips import selected_clips


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "mpeg2"])
def test_damaged_files(make_video, kind, damage):
    """Clips are those of a run over all frames that damage does not touch, and runs that resume give the same."""
    whole, rng = make_video(60, **DAMAGED[kind]).read_bytes(), np.random.default_rng(5)
    segments = as_segments([(0, 1.5), (1, 2.2), (0.3, 0.9), Segment(5, 40, unit="frames"), (2, 9)], "seconds")
    if kind in ("ts", "mpeg2"):
        segments = as_segments([(0, 40), (25, 55), (8, 22), (5, 40)], "frames")
    options, checked = VideoOptions(damage=damage), 0
    for number in range(12):
        data, spec = hurt(whole, rng), [WindowSpec(4, 3), WindowSpec(3, num_clips=4)][number % 2]

        def run(selection=ALL, data=data, spec=spec):
            clips = selected_clips(data, spec, options=options, name="a", segments=segments, selection=selection)
            found, seen = {}, {}
            for clip in clips:
                found[clip.number] = clip.data.tobytes(), clip.facts()
                seen[clip.number] = bool(clips.damages)
            return found, seen

        try:
            every, seen = run()
        except MediaError:
            continue  # of damage that stops, or of a header
        for _, facts in every.values():
            assert damage == "keep" or "damaged" not in facts
        for at in list(every)[:: max(len(every) // 3, 1)]:
            selection = Selection((at,), at + 1, seen[at])
            found, _ = run(selection)
            assert found == {i: each for i, each in every.items() if i >= at}, (number, selection)
            checked += 1
    assert checked > 5 or damage == "stop"


@pytest.mark.parametrize("threads", [1, 3])
def test_damage_that_stops_gives_the_clips_before_it(make_video, threads):
    whole = make_video(60, **DAMAGED["mp4"])
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as file:
        packets = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    begin, size = packets[30]
    data[begin + 8 : begin + size] = bytes(size - 8)
    spec, options = WindowSpec(4, 2), VideoOptions(num_threads=threads)
    segments = [(0, 2.4), (0.2, 0.8), (0.9, 1), (2, 2.4), (0, 0.6)]
    plain, error, _ = until_error(video.clips(bytes(data), WindowSpec(4, 1), options=options))
    assert error is not None
    last = plain[-1].frame_indices[-1]
    every = list(video.clips(whole, spec, options=options, segments=segments))
    got, error, _ = until_error(video.clips(bytes(data), spec, options=options, segments=segments))
    assert error is not None
    before = [clip for clip in every if clip.frame_indices[-1] <= last]
    assert len(got) == len(before) > 10
    for clip, same in zip(got, before):
        assert clip.facts() == same.facts()
        assert np.array_equal(clip.data, same.data)
    # What no segment needs may be damaged.
    fine = [segments[k] for k in (1, 4)]
    assert len(list(video.clips(bytes(data), spec, options=options, segments=fine))) == sum(
        clip.segment.number in (1, 4) for clip in every
    )
