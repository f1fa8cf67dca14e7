"""Videos that are opened by facts from an index: the same clips, bit for bit, and packets are not read before them."""

import os
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.facts import facts_of
from helpers.media import remuxed, rotated, until_error
from helpers.videos import KINDS, N

import clipx
from clipx.media.packet_index import PacketIndex
from clipx.media.stream_facts import KnownPackets
from clipx.plan import ALL, Selection, as_segments
from clipx.video.clips import count_clips, selected_clips
from clipx.video.counting import count_clips_by_facts
from clipx.video.decoder_memory import decoder_needs, needs_by_facts
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions

CHOSEN = [
    "h264 b-frames",
    "h264 open gop",
    "h264 open gop mkv",
    "h264 mkv",
    "h264 mpegts",
    "h264 avi",
    "h264 fragments",
    "hevc",
    "vp8",
    "vp9",
    "av1",
    "mjpeg",
    "ffv1",
]

CASES = [
    (clipx.WindowSpec(4, 7, 2), {}, ALL),
    (clipx.WindowSpec(3, num_clips=2, sampling="random"), {}, ALL),
    (clipx.WindowSpec(6, 5, policy="wrap"), {}, Selection(first=2)),
    (clipx.UniformSpec(5), {"fps": Fraction(10)}, ALL),
    (clipx.WindowSpec(4, num_clips=2), {"start_seconds": 0.5, "end_seconds": 1.7, "fps": Fraction(30000, 1001)}, ALL),
    (clipx.FrameList(seconds=[0.1, 1.3, 0.6], tolerance_seconds=9), {}, ALL),
]


def values(clips):
    found, error, damages = until_error(clips)
    facts = [(clip.index, clip.start, clip.source_fps, clip.rotation, str(clip.damaged)) for clip in found]
    arrays = [(clip.data.tobytes(), clip.frame_indices.tobytes(), clip.pts_seconds.tobytes()) for clip in found]
    return facts, arrays, str(error), damages, clips.num_frames


def check(src, facts, cases=CASES):
    for spec, given_options, selection in cases:
        options = VideoOptions(**given_options)
        segments = as_segments([(0.2, 1.1), (1.0, 9.0), (90, 99)], "seconds")
        for of in (None, segments):
            shared = {"options": options, "rng": 5, "name": "it", "segments": of, "selection": selection}
            given = [selected_clips(src, spec, facts=each, **shared) for each in (None, facts)]
            plain, known = (values(clips) for clips in given)
            assert plain == known
            assert str(given[0].segment_errors) == str(given[1].segment_errors)
            counted = count_clips_by_facts(facts, spec, options, "it", of, np.random.default_rng(5))
            assert counted in (None, count_clips(src, spec, options, "it", of, np.random.default_rng(5)))
            assert counted is not None or facts.index is None or options.fps


@pytest.mark.parametrize("kind", CHOSEN)
def test_clips_are_the_same(make_video, kind):
    path = str(make_video(N, **KINDS[kind]))
    facts = facts_of(path)
    check(path, facts)
    needs, plain = needs_by_facts(facts, 4), decoder_needs(path, "it", 4)
    # The header of others does not say how many bytes a pixel has, but probing does.
    assert needs == plain or (kind in ("mjpeg", "ffv1") and needs.pixels == plain.pixels and needs.nbytes > 0)


def test_uneven_times_and_edit_lists(make_video, tmp_path):
    times = tuple(np.cumsum([0, *np.random.default_rng(3).integers(20, 90, 49)]).tolist())
    uneven = make_video(50, pts=times, time_base=Fraction(1, 1000), g="10", bf="2")
    check(str(uneven), facts_of(str(uneven)))
    late = tmp_path / "late.mp4"
    remuxed(make_video(N, **KINDS["h264 b-frames"]), "mp4", lambda number, packet: _shift(packet), to=late)
    check(str(late), facts_of(str(late)))
    turned = rotated(make_video(N, **KINDS["h264 b-frames"]), 90)
    facts = facts_of(turned)
    check(turned, facts, CASES[:2])


def _shift(packet):
    packet.pts, packet.dts = packet.pts + 3000, packet.dts + 3000


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 mkv"])
@pytest.mark.parametrize("damage", ["stop", "keep", "skip"])
def test_damage_inside_packets_is_found_as_without(make_video, tmp_path, kind, damage):
    path = make_video(N, **KINDS[kind])
    facts, data = facts_of(str(path)), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(each.pos, each.size) for each in container.demux(video=0) if each.size]
    at, size = packets[len(packets) // 2]
    data[at + size // 3 : at + size - 1] = bytes(size - 1 - size // 3)
    broken = tmp_path / path.name
    broken.write_bytes(data)
    check(str(broken), facts, [(spec, {**options, "damage": damage}, each) for spec, options, each in CASES[:4]])


def test_no_packet_is_read_before_the_clip(make_video, monkeypatch):
    path = str(make_video(N, **KINDS["h264 mkv"]))
    facts = facts_of(path)

    def refuse(*_, **__):
        raise AssertionError("packets are read")

    monkeypatch.setattr(PacketIndex, "read", refuse)
    clips = selected_clips(path, clipx.UniformSpec(1), name="it", facts=facts)
    assert next(clips).frame_indices.tolist() == [N // 2]
    assert clips.frames_decoded < N // 2
    with pytest.raises(AssertionError, match="packets are read"):
        selected_clips(path, clipx.UniformSpec(1), name="it")


def test_facts_of_another_stream_or_file_are_not_believed(make_video):
    path = str(make_video(N, **KINDS["h264 b-frames"]))
    facts = facts_of(path)
    for other in (
        replace(facts, is_best=False),
        replace(facts, codec="hevc"),
        replace(facts, stream=1),
        replace(facts, time_base=Fraction(1, 7)),
    ):
        wrong = replace(other, rate=Fraction(99))
        file = VideoFile(path, "it", VideoOptions(), facts=wrong)
        assert file.rate == facts.rate
        file.close()
    assert VideoFile(path, "it", VideoOptions(), facts=replace(facts, rate=Fraction(99))).rate == 99


@pytest.mark.parametrize(
    "change",
    [
        {"pts": np.array([0, 2, 2])},
        {"durations": np.array([1, 1])},
        {"durations": np.array([-1])},
        {"frame_of": np.array([0, 1, 1])},
        {"frame_of": np.array([1, 0, 2])},
        {"keys": np.array([1])},
        {"keys": np.array([0, 3])},
        {"keys": np.array([], dtype=np.int64)},
        {"pts": np.array([], dtype=np.int64)},
    ],
)
def test_packets_that_contradict_each_other(change):
    known = KnownPackets(np.array([0, 1, 2]), np.array([1]), None, np.array([0, 2]))
    assert known.index().frames == 3
    with pytest.raises(ValueError):
        replace(known, **change).index()


def test_a_file_that_changed_behind_its_facts_is_an_error(make_video):
    facts = facts_of(str(make_video(N, **KINDS["h264 mkv"])))
    other = str(make_video(N + 6, **{**KINDS["h264 mkv"], "g": "5"}))
    shifted = replace(facts, packets=replace(facts.packets, pts=facts.packets.pts + 7))
    with pytest.raises(clipx.MediaError, match="changed"):
        list(selected_clips(other, clipx.UniformSpec(1), name="it", facts=shifted))
    assert os.path.exists(other)
