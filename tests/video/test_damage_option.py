"""`VideoOptions(damage=)`: what is left out, what is kept, and that threads and resumed runs make no difference."""

import contextlib
import io
import json
import logging

import av
import numpy as np
import pytest
from helpers.shards import write_tar

import clipx
from clipx import wds
from clipx.media.opening import TEXTS
from clipx.video.clips import clips, selected_clips

N = 60
SMALL = {"size": (32, 48)}
KINDS = {
    "mp4": {"bf": "2", "g": "8", **SMALL},
    "mkv": {"bf": "0", "g": "8", "container": "matroska", "suffix": ".mkv", **SMALL},
    "ts": {"bf": "2", "g": "8", "container": "mpegts", "suffix": ".ts", **SMALL},
    "vp9": {"codec": "libvpx-vp9", "g": "8", "cpu-used": "8", "container": "webm", "suffix": ".webm", **SMALL},
    "avi": {"codec": "mpeg4", "g": "8", "container": "avi", "suffix": ".avi", **SMALL},
    "mpeg2": {"codec": "mpeg2video", "g": "8", "bf": "2", "container": "mpegts", "suffix": ".ts", **SMALL},
}
WINDOWS = [
    clipx.WindowSpec(4),
    clipx.WindowSpec(3, 2, dilation=3, policy="repeat_last"),
    clipx.WindowSpec(3, num_clips=5),
    clipx.WindowSpec(4, 9, policy="backpad"),
    clipx.WindowSpec(2, 11),
    clipx.WindowSpec(5, policy="wrap"),
]


def hurt(data, rng):
    """The data with some bytes flipped, zeroed or cut off behind what a header needs."""
    data, begin = bytearray(data), len(data) // 8
    at = int(rng.integers(begin, len(data)))
    kind = rng.integers(3)
    if kind == 0:
        for each in rng.integers(begin, len(data), 3):
            data[each] ^= int(rng.integers(1, 256))
    elif kind == 1:
        data[at : at + 200] = bytes(len(data[at : at + 200]))
    else:
        del data[max(at, len(data) // 2) :]
    return bytes(data)


def extract_clips(data, window, damage, **options):
    """Clips by index as values, the damage, and whether an error ended them."""
    found = {}
    try:
        run = clips(data, window, options=clipx.VideoOptions(damage=damage, **options))
        for clip in run:
            facts = clip.facts()
            found[clip.index] = (clip.data.tobytes(), facts, facts.pop("damaged", None))
    except clipx.MediaError:
        return found, [], True
    return found, run.damages, False


def tolerant(data):
    """What a player decodes: packets that the decoder refuses are passed over."""
    images = []
    with av.open(io.BytesIO(data), **TEXTS) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                packet = None
            if packet is not None and not packet.size:
                continue
            with contextlib.suppress(av.FFmpegError):
                images += [image.pts for image in stream.codec_context.decode(packet)]
            if packet is None:
                return images


@pytest.mark.parametrize("kind", KINDS)
def test_three_ways_of_one_file(make_video, kind, caplog):
    """ "skip" gives what "keep" has undamaged, "stop" what comes before; all frames are those of a tolerant decode."""
    whole, rng = make_video(N, **KINDS[kind]).read_bytes(), np.random.default_rng(7)
    damaged = left_out = 0
    for number in range(60 if kind == "vp9" else 40):  # whose few bytes damage meets less often
        data, window = hurt(whole, rng), WINDOWS[number % len(WINDOWS)]
        with caplog.at_level(logging.ERROR, "clipx"):
            keep, reported, failed = extract_clips(data, window, "keep")
            skip, _, skip_failed = extract_clips(data, window, "skip")
            stop, _, stopped = extract_clips(data, window, "stop")
        assert failed == skip_failed
        assert stopped == bool(reported or failed)
        assert all(keep[index][:2] == clip[:2] for index, clip in [*skip.items(), *stop.items()])
        assert list(skip) == [index for index, clip in keep.items() if clip[2] is None] or failed
        if not stopped:
            assert stop == keep == skip
        if window == WINDOWS[0] and not failed:
            assert len(keep) == len(tolerant(data)) // window.length
        damaged += bool(reported)
        left_out += len(keep) - len(skip)
    assert damaged > 2
    assert left_out > 2


def blank(path, numbers):
    """A file without the bytes of these packets."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for number in numbers:
        at, size = packets[number]
        data[at : at + size] = bytes(size)
    return bytes(data)


@pytest.fixture
def still_pictures(make_video):
    return make_video(N, codec="mjpeg", pix_fmt="yuvj420p", container="mov", suffix=".mov", **SMALL)


def test_where_frames_are_lost(still_pictures, whole, caplog):
    """Frames 20 and 21 of 60 that are stored by themselves: they are frames no more, and a clip across is touched."""
    frames, data = whole(still_pictures), blank(still_pictures, [20, 21])
    left = np.delete(frames, [20, 21], axis=0)
    with caplog.at_level(logging.WARNING, "clipx"):
        keep = list(clips(data, clipx.WindowSpec(4, 2), options=clipx.VideoOptions(damage="keep")))
    assert [clip.index for clip in keep] == list(range((58 - 4) // 2 + 1))
    for clip in keep:
        np.testing.assert_array_equal(clip.data, left[clip.start : clip.start + 4])
    # Frame 20 of those that are left stands behind the loss: at place 2 of the clip from 18.
    assert {clip.index: clip.damaged for clip in keep if clip.damaged} == {9: [2]}
    assert keep[9].facts()["damaged"] == [2]
    assert "damaged" not in keep[8].facts()
    assert keep[9].pts_seconds.tolist() == [18 / 25, 19 / 25, 22 / 25, 23 / 25]
    (record,) = caplog.records
    assert "cannot be decoded at frame 20" in record.getMessage()
    skip = list(clips(data, clipx.WindowSpec(4, 2), options=clipx.VideoOptions(damage="skip")))
    assert [clip.index for clip in skip] == [index for index in range(28) if index != 9]
    assert all(clip.damaged is None for clip in skip)


def test_a_lost_frame_among_selected_ones(still_pictures, whole):
    """Where packets number the frames, a player shows the frame before in the place of one that is lost."""
    frames, data = whole(still_pictures), blank(still_pictures, [20, 21])
    window = clipx.WindowSpec(2, num_clips=4, dilation=20)  # from frames 0, 13, 26 and 39, and 20 later
    run = clips(data, window, options=clipx.VideoOptions(damage="keep"))
    keep = list(run)
    assert [clip.frame_indices.tolist() for clip in keep] == [[0, 19], [13, 33], [26, 46], [39, 59]]
    assert [clip.damaged for clip in keep] == [[1], None, None, None]
    for clip in keep:
        np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
    assert "cannot be decoded" in run.damages[0].reason
    assert run.damages[0].seconds == 20 / 25
    skip = list(clips(data, window, options=clipx.VideoOptions(damage="skip")))
    assert [clip.index for clip in skip] == [1, 2, 3]


@pytest.mark.parametrize("fps", [10, 25, 50])
def test_a_rate_across_lost_frames(still_pictures, fps):
    data, window = blank(still_pictures, [20, 21]), clipx.WindowSpec(1)
    keep, _, _ = extract_clips(data, window, "keep", fps=fps)
    assert len(keep) == 60 * fps // 25
    shown = [facts["frame_indices"][0] for _, facts, _ in keep.values()]
    # What is on screen at that time: frame 19 until 22 comes.
    assert shown == [19 if 20 <= 25 * k // fps < 22 else 25 * k // fps for k in range(len(shown))]


def test_up_to_the_next_key_frame(make_video, whole):
    path = make_video(N, g="10", bf="0", **SMALL)
    with av.open(str(path)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    assert keys[2:4] == [20, 30]
    data, frames = blank(path, [23]), whole(path)
    for window, left in [(clipx.WindowSpec(1), range(N)), (clipx.WindowSpec(1, num_clips=N), range(N))]:
        skip, reported, _ = extract_clips(data, window, "skip")
        assert reported
        clean = [index for index, clip in skip.items()]
        # Numbered like packets, frame 23 keeps its place; else those behind it move up by one.
        lost = 1 if window.num_clips is None else 0
        assert clean == [*range(23), *range(30 - lost, N - lost)], left
        for index, (pixels, facts, _) in skip.items():
            k = index if index < 23 else index + lost
            assert pixels == frames[k].tobytes()
            assert facts["pts_seconds"] == [k / 25]


def test_errors_say_where(still_pictures):
    data = blank(still_pictures, [20])
    for window in (clipx.WindowSpec(4), clipx.WindowSpec(4, dilation=2)):
        with pytest.raises(
            clipx.MediaError, match=r"film cannot be decoded at frame 20: .*\(at 0\.800 s\); damage="
        ) as caught:
            list(clips(data, window, name="film"))
        assert isinstance(caught.value.__cause__, av.FFmpegError)


@pytest.mark.parametrize("damage", [None, "mend", 3])
def test_arguments(damage):
    with pytest.raises(ValueError, match=r"damage is .*, but must be one of stop, skip, keep"):
        clipx.VideoOptions(damage=damage)


def test_fields_in_step(make_video, still_pictures):
    """What damage leaves out of one camera is left out of the other."""
    sample = {"__key__": "a", "l.mp4": make_video(N, g="12", bf="0").read_bytes()}
    sample["r.mp4"] = blank(still_pictures, [20])
    outs = list(wds.clips(clipx.WindowSpec(4, 2), options=clipx.VideoOptions(damage="skip"))([sample]))
    assert [out["clip.json"]["index"] for out in outs] == [index for index in range(28) if index != 9]
    assert all(out["l.mp4"].shape == (4, 48, 64, 3) and out["r.mp4"].shape == (4, 32, 48, 3) for out in outs)
    stage = wds.clips(clipx.WindowSpec(4, 2), keys="r.mp4", options=clipx.VideoOptions(damage="skip"))
    assert len(list(stage([sample]))) == 27
    (entry,) = stage.errors
    assert (entry.kind, entry.key, entry.field) == ("damage", "a", "r.mp4")


def write(path, samples):
    return str(write_tar(path, [(f"{key}.{name}", data) for key, name, data in samples]))


def values(batches):
    return [
        (batch["__key__"], batch["mp4"].tobytes(), json.dumps(batch["clip.json"], sort_keys=True)) for batch in batches
    ]


@pytest.fixture
def shards(tmp_path, make_video):
    """24 videos, every other one damaged, of frames that differ from video to video."""
    rng, made = np.random.default_rng(3), []
    for number in range(24):
        path = make_video(N - number, g="12", bf=str(number % 3), **SMALL)
        data = path.read_bytes()
        made.append((f"v{number:02d}", "mp4", hurt(data, rng) if number % 2 else data))
    return [write(tmp_path / f"{i}.tar", made[6 * i : 6 * i + 6]) for i in range(4)]


@pytest.mark.parametrize("damage", ["skip", "keep", "stop"])
@pytest.mark.parametrize("window", [clipx.WindowSpec(4), clipx.WindowSpec(3, 13)], ids=["dense", "sparse"])
def test_a_loader_goes_on(shards, damage, window):
    """Any number of threads gives the same batches, and so does a run that goes on from any of its states."""

    def make(threads):
        return clipx.Loader(
            shards,
            window,
            clipx.ClipFormat(crop=32),
            batch_size=3,
            memory="110MB" if window.stride == 4 else "80MB",
            threads=threads,
            options=clipx.VideoOptions(damage=damage),
            handler=lambda exn: True,
        )

    loader, states, batches = make(2), [], []
    for batch in loader:
        batches += values([batch])
        states.append(json.dumps(loader.state_dict()))
    assert len(batches) > 20
    other = make(1)
    assert values(other) == batches
    if damage != "stop":
        assert any(entry.kind == "damage" for entry in loader.errors)
        saved = [json.loads(state) for state in states]
        assert any(state["interleave"]["active"][2] or state["shuffle"]["held"][2] for state in saved)
    if damage == "keep":
        assert any('"damaged"' in facts for _, _, facts in batches)
    for at in range(1, len(states), max(len(states) // 8, 1)):
        again = make(1 + at % 3)
        again.load_state_dict(json.loads(states[at]))
        rest = []
        for batch in again:
            rest += values([batch])
            if len(batches) - at - 1 == len(rest):
                break
        assert rest == batches[at + 1 :], at


@pytest.mark.parametrize("drop_last", [True, False])
def test_equal_batches_fill_up_what_is_missing(shards, monkeypatch, drop_last):
    counts = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        loader = clipx.Loader(
            shards,
            clipx.WindowSpec(4),
            clipx.ClipFormat(crop=32),
            batch_size=3,
            memory="80MB",
            drop_last=drop_last,
            equal_batches=True,
            options=clipx.VideoOptions(damage="skip"),
            handler=lambda exn: True,
        )
        counts.append((len(loader), sum(1 for _ in loader)))
    assert counts[0] == counts[1]
    assert counts[0][0] == counts[0][1] > 5


def test_only_selected_clips(make_video):
    """Of a damaged video, selected clips equal those of a run over all, before and behind the damage."""
    from clipx.plan import Selection

    whole, rng = make_video(N, g="10", bf="2", **SMALL).read_bytes(), np.random.default_rng(5)
    checked = 0
    for number in range(24):
        data, window = hurt(whole, rng), WINDOWS[number % len(WINDOWS)]
        options = clipx.VideoOptions(damage="skip")
        try:
            run = selected_clips(data, window, options=options, name="a")
            every, seen = {}, {}
            for clip in run:
                every[clip.index], seen[clip.index] = clip.data.tobytes(), bool(run.damages)
        except clipx.MediaError:
            continue
        for index in list(every)[:: max(len(every) // 4, 1)]:
            for selection in (Selection((index,), None, seen[index]), Selection((), index + 1, seen[index])):
                found = {
                    clip.index: clip.data.tobytes()
                    for clip in selected_clips(data, window, options=options, name="a", selection=selection)
                }
                wanted = {i: each for i, each in every.items() if i in selection.some or i > index}
                if selection.first is None:
                    wanted = {index: every[index]}
                assert found == wanted, (number, selection)
                checked += 1
    assert checked > 60
