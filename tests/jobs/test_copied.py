"""Clips whose packets are copied: their frames are those of the source between the stated times, bit for bit."""

import io
import json
from fractions import Fraction

import av
import numpy as np
import pytest
import webdataset
from helpers.copied import SPEC, check_copies, copied, decoded
from helpers.media import remuxed, rotated
from helpers.movies import Movie, even
from helpers.shards import write_shard
from helpers.videos import KINDS, MKV

import clipx
from clipx.datasets.segments import parse_segments
from clipx.datasets.stored import StoredFile
from clipx.jobs.extraction.copied import CopiedClips
from clipx.jobs.extraction.copied_file import _decoding_times
from clipx.jobs.extraction.options import ExtractOptions
from clipx.wds.limits import Limits
from clipx.wds.sample_clips import SampleClips

N = 61

MORE = {
    "h264 open gop, b-frames not referred to": {
        "x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=2:b-pyramid=none:scenecut=0"
    },
    "mpeg4 mp4": {"codec": "mpeg4", "bf": "2", "g": "12"},
    "mpeg4 mkv": {"codec": "mpeg4", "bf": "2", "g": "12", **MKV},
    "hevc mpegts": {
        "codec": "libx265",
        "x265-params": "log-level=none:keyint=12:pools=1",
        "container": "mpegts",
        "suffix": ".ts",
    },
}
"""Kinds beside KINDS."""

# The frames of the file of the clip of frames 27 to 33.
SPANS = {
    "h264 b-frames": (25, 50),
    "h264 open gop mkv": (12, 45),
    "h264 intra refresh": (0, 61),
    "h264 mpegts": (24, 36),
    "h264 fragments": (24, 36),
    "hevc mkv": (20, 36),
    "hevc closed": (20, 40),
    "hevc mpegts": (24, 35),
    "vp8": (20, 40),
    "vp9": (20, 40),
    "av1 forward keys": (0, 61),
    "prores": (27, 34),
    "mjpeg avi": (27, 34),
    "ffv1": (20, 40),
    "mpeg2": (24, 34),
    "h264 open gop, b-frames not referred to": (24, 34),
    "mpeg4 mp4": (24, 34),
    "mpeg4 mkv": (24, 34),
}

ENDINGS = {"vp8": "webm", "prores": "mov"}


@pytest.mark.parametrize("kind", SPANS)
def test_frames_are_those_of_the_source(make_video, kind):
    path = make_video(N, **{**KINDS, **MORE}[kind])
    field = path.suffix[1:]
    clips = copied(path.read_bytes(), field=field)
    assert check_copies(path, clips, field)[3] == SPANS[kind]
    assert {clip[field].ending for clip in clips} == {ENDINGS.get(kind, "mp4")}
    for clip, other in zip(clips, clipx.video.clips(path, SPEC), strict=True):
        facts = other.facts()
        del facts["rotation"]
        assert {name: clip["clip.json"][name] for name in facts} == facts


@pytest.fixture(scope="module")
def plain(make_video):
    """Path of a video of 61 frames, 25 a second, with B-frames and a key frame every 12."""
    return make_video(N, bf="2", g="12")


def moved(ticks):
    def change(number, packet):
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return change


def flagged(is_key):
    def change(number, packet):
        packet.is_keyframe = is_key

    return change


def test_a_real_video(real_video):
    path = real_video("bikes.mp4")
    source = [clipx.Segment(3, 5), clipx.Segment(7.2, 8)]
    clips = copied(path.read_bytes(), clipx.RateSpec(10**6), segments=parse_segments(source))
    assert len(clips) == 2
    check_copies(path, clips)


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_rotation_is_kept(plain, degrees):
    data = rotated(plain, degrees)
    clips = copied(data)
    check_copies(data, clips)
    found, source = clipx.video.probe(bytes(clips[3]["mp4"].data)), clipx.video.probe(data)
    assert (found.rotation, found.width, found.height) == (source.rotation, source.width, source.height)
    assert (clips[3]["mp4"].width, clips[3]["mp4"].height) == (source.width, source.height)


@pytest.mark.parametrize("ticks", [-512 * 5, -512 * 17, 512 * 7])
def test_edit_lists_are_followed(plain, ticks):
    # Moved before 0, the first frames are hidden, but others refer to them; moved behind it, the video begins late.
    data = remuxed(plain, "mp4", moved(ticks))
    clips = copied(data)
    assert check_copies(data, clips)[0][0] == 0
    assert clips[0]["clip.json"]["copied"]["start_seconds"] == max(ticks, 0) / 12800


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("is_key", [False, True])
def test_flags_of_key_frames_are_not_believed(plain, container, is_key):
    data = remuxed(plain, container, flagged(is_key))
    assert check_copies(data, copied(data))[3] == (24, 36)


def test_variable_rates_and_late_starts(make_video):
    pts = tuple(int(each) + 1000 for each in np.cumsum(np.random.default_rng(4).integers(20, 61, N)))
    path = make_video(N, pts=pts, time_base=Fraction(1, 1000), bf="2", g="12", **MKV)
    clips = copied(path.read_bytes(), clipx.RateSpec(2, max_frames=4), field="mkv")
    assert check_copies(path, clips, "mkv")[0][0] == 0
    clips = copied(path.read_bytes(), field="mkv", options=clipx.VideoOptions(start_seconds="1.5", end_seconds=3))
    check_copies(path, clips, "mkv")
    assert 1.5 <= clips[0]["clip.json"]["pts_seconds"][0] < 1.6


def test_the_last_frame_is_shown_where_files_state_no_durations(make_video):
    base = Fraction(1, 90000)
    path = make_video(5, pts=tuple(range(0, 18000, 3600)), time_base=base, bf="2", container="flv", suffix=".flv")
    clips = copied(path.read_bytes(), clipx.RateSpec(10**6), field="flv")
    assert check_copies(path, clips, "flv") == [(0, 5)]


def test_times_of_decoding_are_as_far_apart_as_frames_are_shown_for():
    found = _decoding_times(np.array([0, 40, 5080, 5040, 5060]), 40)
    assert found.tolist() == [-40, 0, 5000, 5040, 5060]


@pytest.mark.parametrize(
    "spec",
    [
        clipx.WindowSpec(length=4, num_clips=3, sampling="random"),
        clipx.WindowSpec(length=5, stride=16, policy="wrap"),
        clipx.WindowSpec.of_seconds("0.3", fps=10, stride="0.5"),
        clipx.UniformSpec(length=3, sampling="linspace"),
        clipx.FrameList(seconds=[1.5, 0.2]),
    ],
    ids=lambda spec: type(spec).__name__,
)
@pytest.mark.parametrize("divided", [False, True])
def test_the_plan_is_that_of_other_encodings(plain, spec, divided):
    def segments(sample):
        return [(0.1, 0.9), (0.5, 2.1), (0.6, 0.7), (99, 100)]

    source = parse_segments(segments) if divided else None
    sample = {"__key__": "a", "mp4": plain.read_bytes(), "txt": "more"}
    made = {"seed": 3, "segments": source}
    got, want = (list(each(spec, **made).clips(sample, 0)) for each in (CopiedClips, SampleClips))
    assert [type(each) for each in got] == [type(each) for each in want]
    clips = [each.sample for each in got if hasattr(each, "sample")]
    others = [each.sample for each in want if hasattr(each, "sample")]
    for clip, other in zip(clips, others, strict=True):
        assert list(clip) == list(other)
        facts = {name: value for name, value in other["clip.json"].items() if name != "rotation"}
        assert {name: clip["clip.json"][name] for name in facts} == facts
    check_copies(plain, clips)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [("mp4", "flac", {}), ("mov", "pcm_s16le", {"bf": 2}), ("mp4", "flac", {"start": Fraction(3, 10)})],
)
def test_sound_is_in_step(tmp_path, container, codec, options):
    movie = Movie(tmp_path / f"a.{container}", container, codec, even(), **options)
    field = movie.path.suffix[1:]
    clips = copied(movie.path.read_bytes(), clipx.WindowSpec(length=8, stride=12), field=field)
    check_copies(movie.path, clips, field)
    for clip in clips:
        facts = clip["clip.json"]["copied"]
        (whole,) = clipx.video.clips(
            bytes(clip[field].data),
            clipx.WindowSpec(length=facts["end_frame"] - facts["start_frame"]),
            audio=clipx.AudioFormat(dtype="int16"),
        )
        start = Fraction(facts["start_frame"], 25)
        np.testing.assert_array_equal(whole.audio[0], movie.sound_at(start, whole.audio.shape[1]))
        assert facts["sound_offset_seconds"] == max(options.get("start", 0) - float(start), 0)


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "aac"), ("flv", "aac"), ("matroska", "libopus")])
def test_packets_of_sound_are_those_of_the_span(tmp_path, container, codec):
    times = even()
    movie = Movie(tmp_path / "a.x", container, codec, times, rate=48000 if codec == "libopus" else 16000)
    clips = copied(movie.path.read_bytes(), clipx.WindowSpec(length=8, stride=12))
    check_copies(movie.path, clips)
    source = [(time, size) for time, size in packets(movie.path.read_bytes()) if size]
    for clip in clips:
        facts = clip["clip.json"]["copied"]
        for time, size in packets(bytes(clip["mp4"].data)):
            near = min(source, key=lambda each: abs(each[0] - facts["start_seconds"] - time))
            assert abs(near[0] - facts["start_seconds"] - time) < 1e-3
            assert abs(near[1] - size) in (0, 7)  # of ADTS headers


def packets(data):
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        return [
            (float(packet.pts * stream.time_base), packet.size) for packet in container.demux(stream) if packet.size
        ]


def test_a_file_is_not_opened_for_each_clip(plain, monkeypatch):
    opened = []
    real = clipx.video.file.open_media
    monkeypatch.setattr(clipx.video.file, "open_media", lambda *args, **more: opened.append(1) or real(*args, **more))
    back_and_forth = [(2.0, 2.2), (0, 2.3), (0.1, 0.2), (1, 2.35), (0.5, 2.38)]
    source = parse_segments(back_and_forth)
    clips = copied(plain.read_bytes(), clipx.RateSpec(10**6), segments=source)
    assert len(clips) == 5
    check_copies(plain, clips)
    assert len(opened) == 2


def test_bytes_are_the_same_each_time(plain, make_video):
    vp8 = make_video(N, **KINDS["vp8"])
    for path in (plain, vp8):
        first, second = ([bytes(clip["mp4"].data) for clip in copied(path.read_bytes())] for _ in range(2))
        assert first == second
        with av.open(io.BytesIO(first[0])) as container:
            assert "creation_time" not in {*container.metadata, *container.streams[0].metadata}
            assert container.metadata.get("encoder", "Lavf") == "Lavf"  # no version


def test_sources_may_be_files_and_parts_of_files(plain, tmp_path):
    data = plain.read_bytes()
    padded = tmp_path / "padded"
    padded.write_bytes(b"\0" * 512 + data + bytes(1 << 20))
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://{tmp_path.name}/video.mp4"
    with fsspec.open(url, "wb") as file:
        file.write(data)
    want = [bytes(clip["mp4"].data) for clip in copied(data)]
    for stored in (StoredFile(str(plain)), StoredFile(str(padded), 512, len(data)), StoredFile(url)):
        assert [bytes(clip["mp4"].data) for clip in copied(stored)] == want


def test_several_videos_share_a_plan(plain, make_video):
    sample = {"__key__": "a", "front.mp4": plain.read_bytes(), "rear.mp4": make_video(N, g="7", bf="0").read_bytes()}
    clips = [each.sample for each in CopiedClips(SPEC, keys=("front.mp4", "rear.mp4")).clips(sample, 0)]
    facts = clips[3]["clip.json"]["copied"]
    assert [facts["front.mp4"]["start_frame"], facts["rear.mp4"]["start_frame"]] == [24, 21]
    assert len(decoded(clips[3]["rear.mp4"].data)) == facts["rear.mp4"]["end_frame"] - 21


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ("mp4", r"damaged or ends inside packet \d+ \(at 1\.\d+ s\)"),
        ("matroska", r"ends after \d+ of \d+ bytes \(at 1\.\d+ s\)"),
        ("mpegts", r"damaged or ends inside packet"),
    ],
)
def test_damaged_files_are_refused(plain, tmp_path, container, says):
    data = remuxed(plain, container, to=tmp_path / "a", options={"movflags": "faststart"} if container == "mp4" else {})
    parts = (data[: 188 * 40], data[188 * 44 :]) if container == "mpegts" else (data[: len(data) * 2 // 3],)
    with pytest.raises(clipx.MediaError, match=says) as caught:
        copied(b"".join(parts))
    assert 0.4 < caught.value.seconds < 1.6


def test_videos_that_cannot_be_copied_are_refused(plain, make_video):
    with av.open(str(plain)) as source:
        second = [bytes(packet) for packet in source.demux(video=0)][1]
    with pytest.raises(clipx.MediaError, match="its first packet is not a frame from which all others can be decoded"):
        copied(remuxed(plain, "mp4", lambda number, packet: second if number == 0 else None))
    with pytest.raises(clipx.MediaError, match=r"packets have no times.*encode its clips anew"):
        copied(remuxed(plain, "h264"))
    with pytest.raises(clipx.MediaError, match="packets of qtrle do not say which frames they give"):
        copied(make_video(N, **KINDS["qtrle"]).read_bytes())
    with pytest.raises(ValueError, match=r"field 'npy' is no video.*take encoding 'npy'"):
        copied(np.zeros((9, 2)), field="npy")


def test_a_clip_that_is_larger_than_memory_is_refused(plain):
    sizes = [len(clip["mp4"].data) for clip in copied(plain.read_bytes())]
    with pytest.raises(ValueError, match=r"clip 0 has \d+ bytes of packets.*give more memory"):
        copied(plain.read_bytes(), limits=Limits(packet_bytes=500))
    assert len(copied(plain.read_bytes(), limits=Limits(packet_bytes=max(sizes)))) == len(sizes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": clipx.ClipFormat(resize=32)}, r"format is ClipFormat\(resize=32\), but encoding 'copy'"),
        ({"video": clipx.VideoOptions(fps=8)}, "fps is 8, but encoding 'copy' does not decode pictures"),
        ({"video": clipx.VideoOptions(rotate=False)}, "rotate is False"),
        ({"video": clipx.VideoOptions(damage="skip")}, "damage is 'skip', but encoding 'copy' takes no damaged files"),
        ({"audio": clipx.AudioFormat(sample_rate=16000)}, "leaves sound as it is"),
        ({"crf": 20}, "encoding 'copy' has no crf"),
    ],
)
def test_options_that_change_clips_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        ExtractOptions(SPEC, encoding="copy", **options)


def test_a_job_writes_the_files(plain, tmp_path):
    sound = {"__key__": "sound", "wav": b"RIFF"}
    cut = {"__key__": "cut", "mp4": remuxed(plain, "matroska")[:5000]}
    shard = write_shard(tmp_path / "in.tar", [{"__key__": "a", "mp4": plain.read_bytes(), "txt": "a"}, cut, sound])
    summary = clipx.jobs.extract([shard], tmp_path / "out", SPEC, encoding="copy", audio=clipx.AudioFormat(), jobs=1)
    assert (summary.clips, summary.samples, summary.failed) == (7, 3, 2)
    (out,) = (tmp_path / "out").glob("*.tar")
    want = copied(plain.read_bytes())
    for sample, other in zip(webdataset.WebDataset(str(out), shardshuffle=False), want, strict=True):
        assert sample["mp4"] == bytes(other["mp4"].data)
        assert json.loads(sample["clip.json"])["copied"] == other["clip.json"]["copied"]
        assert sample["txt"] == b"a"
