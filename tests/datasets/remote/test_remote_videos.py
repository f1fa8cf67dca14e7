"""Videos that are read by ranges: one clip of a long one takes few bytes, and is that of the local file."""

import av
import numpy as np
import pytest
from helpers.pyav import fails_on_pyav_17

import clipx
from clipx.datasets.remote import RangeCache, open_range
from clipx.media.hints import stretch_ranges
from clipx.media.packet_index import PacketIndex
from clipx.plan import Selection
from clipx.video.clips import selected_clips

TIMES = 12
SPEC = clipx.WindowSpec(16, num_clips=1, sampling="random")
LAYOUTS = {
    "mp4": ("mp4", {}),
    "faststart": ("mp4", {"movflags": "+faststart"}),
    "fragments": ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "mkv": ("matroska", {}),
}


@pytest.fixture(scope="module")
def long_video(tmp_path_factory, make_video):
    """Makes a video of 1200 frames in a layout, some 15 MB, by repeating the packets of a shorter one."""
    made, folder = {}, tmp_path_factory.mktemp("long")

    def make(layout):
        if layout not in made:
            container, options = LAYOUTS[layout]
            short = make_video(n=100, size=(120, 160), qp="1", g="10", sc_threshold="0", preset="ultrafast")
            made[layout] = folder / layout
            with av.open(str(short)) as source, av.open(str(made[layout]), "w", container, options) as out:
                stream = out.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(video=0) if packet.size]
                for turn in range(TIMES):
                    for each in packets:
                        packet = av.Packet(bytes(each))
                        shift = turn * 100 * each.duration
                        packet.pts, packet.dts, packet.duration = each.pts + shift, each.dts + shift, each.duration
                        packet.is_keyframe, packet.stream, packet.time_base = each.is_keyframe, stream, each.time_base
                        out.mux(packet)
        return made[layout]

    return make


def same(found, wanted):
    assert [clip.start for clip in found] == [clip.start for clip in wanted]
    assert [np.array_equal(a.data, b.data) for a, b in zip(found, wanted)] == [True] * len(wanted)


@pytest.mark.parametrize("layout", ["mp4", "faststart"])
def test_one_clip_reads_at_most_a_twentieth(server, long_video, layout):
    path = long_video(layout)
    data = path.read_bytes()
    for seed in range(3):
        server.reset()
        with open_range(server.add("a", data)) as file:
            found = list(clipx.video.clips(file, SPEC, rng=np.random.default_rng(seed)))
        assert server.sent <= 0.05 * len(data)
        assert len(server.requests) <= (4 if layout == "mp4" else 3)
        same(found, list(clipx.video.clips(path, SPEC, rng=np.random.default_rng(seed))))


def facts_of(path, tmp_path):
    """The facts that an index keeps of a video."""
    pytest.importorskip("pyarrow")
    index = clipx.Index.build(clipx.Files([{"path": str(path)}]), tmp_path / "index.parquet")
    return next(value.facts for name, value in index.sample(0).items() if not name.startswith("__"))


MORE_IS_READ = fails_on_pyav_17("its FFmpeg reads a fourteenth of the Matroska file")


@pytest.mark.parametrize("layout", ["mp4", pytest.param("mkv", marks=MORE_IS_READ)])
def test_one_clip_by_an_index_reads_at_most_a_twentieth(server, long_video, layout, tmp_path):
    path = long_video(layout)
    facts = facts_of(path, tmp_path)
    with open_range(server.add("a", path.read_bytes())) as file:
        found = list(selected_clips(file, SPEC, rng=np.random.default_rng(1), name="a", facts=facts))
    assert server.sent <= 0.05 * path.stat().st_size
    assert len(server.requests) <= 9
    same(found, list(clipx.video.clips(path, SPEC, rng=np.random.default_rng(1))))


@pytest.mark.parametrize("layout", ["fragments", "mkv"])
def test_layouts_that_list_no_packets_give_the_same_clips(server, long_video, layout):
    path = long_video(layout)
    with open_range(server.add("a", path.read_bytes()), cache=RangeCache(1 << 20)) as file:
        found = list(clipx.video.clips(file, SPEC, rng=np.random.default_rng(1)))
    same(found, list(clipx.video.clips(path, SPEC, rng=np.random.default_rng(1))))


def test_the_last_clips_of_a_video_are_read_alone(server, long_video, tmp_path):
    path, spec = long_video("mp4"), clipx.WindowSpec(16, 16)
    facts = facts_of(path, tmp_path)
    with open_range(server.add("a", path.read_bytes())) as file:
        found = list(selected_clips(file, spec, name="a", facts=facts, selection=Selection(first=73)))
    assert server.sent <= 0.08 * path.stat().st_size
    same(found, list(clipx.video.clips(path, spec))[73:])


def test_an_error_in_the_middle_of_a_video_loses_nothing(server, long_video):
    path = long_video("faststart")
    server.faults.extend([None, "reset", None, "short", 503])
    with open_range(server.add("a", path.read_bytes())) as file:
        found = list(clipx.video.clips(file, clipx.WindowSpec(16, 300)))
    same(found, list(clipx.video.clips(path, clipx.WindowSpec(16, 300))))


def test_a_server_that_fails_for_good_is_named(server, long_video):
    url = server.add("a", long_video("mp4").read_bytes())
    server.faults.extend([None, None])
    server.always = 503
    with open_range(url) as file, pytest.raises(OSError, match=r"/a', bytes \d+ to \d+, cannot be read: status 503"):
        list(clipx.video.clips(file, SPEC))


def test_bytes_of_stretches():
    n = 30
    pts = np.arange(n)
    index = PacketIndex(pts, np.ones(n), pts, pts, np.array([0, 10, 20]), np.array([100, 1100, 2100]))
    wanted = np.zeros(n, dtype=bool)
    assert stretch_ranges(index, wanted, 3000) == []
    wanted[[3, 25]] = True
    assert stretch_ranges(index, wanted, 3000) == [(100, 1100), (2100, 3000)]
    unknown = PacketIndex(pts, np.ones(n), pts, pts, np.array([0, 10, 20]))
    assert stretch_ranges(unknown, wanted, 3000) == []
