"""Clips of damaged sound with each `damage=`, against a full decode that passes over what is refused."""

import io
import json
import logging

import av
import numpy as np
import pytest
import webdataset
from helpers.long import LONG
from helpers.media import until_error
from helpers.sounds import CORPUS, corpus_file, decoded, encode, flipped, noise

import clipx
from clipx import AudioFormat, WindowSpec, wds
from clipx.audio.clips import count_clips, count_samples, selected_clips
from clipx.plan import Selection

ALAC = 4096
"""Samples of a packet of the file that most tests damage, each decoded on its own."""


def extract_clips(data, window, **format):
    """The clips of a file, the error that ended them, if one did, and the damage that was found."""
    return until_error(clipx.audio.clips(data, window, AudioFormat(**format)))


def same(clips, sound, rows):
    """Whether clips equal the samples (channels, n) of these rows."""
    wanted = np.moveaxis(sound[:, rows], 0, 1)
    np.testing.assert_array_equal(np.array([clip.data for clip in clips]).reshape(wanted.shape), wanted)


def spoil(data, *numbers, skip=0, byte=b"\x40"):
    """The data with some packets of its sound made such that no decoder takes them, but for their first bytes.

    For AAC and ALAC, these are elements that no channels have been announced for.
    """
    with av.open(io.BytesIO(data)) as file:
        positions = [(packet.pos, packet.size) for packet in file.demux(audio=0) if packet.size]
    out = bytearray(data)
    for number in numbers:
        pos, size = positions[number]
        out[pos + skip : pos + size] = byte * (size - skip)
    return bytes(out)


@pytest.fixture(scope="module")
def alac():
    return corpus_file("alac")


def test_stop(alac):
    for number in (1, 5, 9):
        got, error, damages = extract_clips(spoil(alac, number), WindowSpec(500))
        assert [clip.start for clip in got] == list(range(0, number * ALAC - 499, 500))
        sound = decoded(alac)
        for clip in got:
            np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 500])
        assert f"(at {number * ALAC / 44100:.3f} s)" in str(error)
        assert "cannot be decoded" in str(error)
        assert isinstance(error.__cause__, av.FFmpegError)
        assert damages == []


def test_keep(alac):
    data, sound = spoil(alac, 3, 4), decoded(alac)
    lost = 3 * ALAC
    left = np.delete(sound, np.s_[lost : lost + 2 * ALAC], axis=1)
    np.testing.assert_array_equal(decoded(data), left)
    got, error, damages = extract_clips(data, WindowSpec(1000, 900), damage="keep")
    assert error is None
    assert [clip.index for clip in got] == list(range(WindowSpec(1000, 900).count(left.shape[1])))
    for clip in got:
        np.testing.assert_array_equal(clip.data, left[:, clip.start : clip.start + 1000])
        # Times are those of the file, in which the lost packets have theirs.
        seconds = (clip.start + 2 * ALAC * (clip.start >= lost)) / 44100
        assert clip.pts_seconds == pytest.approx(seconds, abs=1e-9)
        first, end = (min(max(each - clip.start, 0), 1000) for each in (lost, lost + ALAC))
        assert clip.damaged == ([[first, end]] if first < end else None)
        assert ("damaged" in clip.facts()) == (first < end)
        json.dumps(clip.facts())
    [damage] = damages
    assert damage.seconds == pytest.approx(lost / 44100)
    assert "cannot be decoded" in damage.reason


def test_skip(alac):
    data = spoil(alac, 3, 7)
    left = decoded(data)
    got, error, damages = extract_clips(data, WindowSpec(1000, 900), damage="skip")
    assert error is None
    harmed = [(3 * ALAC, 4 * ALAC), (6 * ALAC, 7 * ALAC)]
    starts = WindowSpec(1000, 900).starts(left.shape[1])
    clean = [i for i, at in enumerate(starts) if all(at + 1000 <= first or at >= end for first, end in harmed)]
    assert [clip.index for clip in got] == clean
    assert len(clean) < len(starts) - 8
    for clip in got:
        np.testing.assert_array_equal(clip.data, left[:, clip.start : clip.start + 1000])
        assert clip.damaged is None
    assert [damage.seconds for damage in damages] == [pytest.approx(n * ALAC / 44100) for n in (3, 7)]


@pytest.mark.parametrize("policy", ["wrap", "reflect", "repeat_last", "constant", "backpad"])
def test_places_behind_the_end_may_be_damaged_too(alac, policy):
    """Packet 8 of 11 is lost, or packet 1: the last clip shows what follows it twice, or once."""
    lost = 1 if policy == "wrap" else 8
    data, first = spoil(alac, lost), lost * ALAC
    window = WindowSpec(7_500, 6_000, policy=policy, dilation=2)
    left = decoded(data)
    rows = window.indices(left.shape[1])
    got, error, _ = extract_clips(data, window, damage="keep")
    assert error is None
    assert len(got) == len(rows)
    for clip, row in zip(got, rows):
        # Two samples apart, a place also stands for the one before it.
        shows = (row >= first) & (row < first + ALAC + (np.diff(row, prepend=row[0]) == 2))
        marked = np.zeros(len(row), bool)
        for low, high in clip.damaged or ():
            marked[low:high] = True
        np.testing.assert_array_equal(marked, shows)
    clean = [clip.index for clip in got if not clip.damaged]
    assert [clip.index for clip in extract_clips(data, window, damage="skip")[0]] == clean
    assert 0 < len(clean) < len(got)


def test_damage_between_the_samples_of_a_clip():
    """A packet of 1024 samples follows the lost one, and clips have every 3000th sample."""
    data = corpus_file("m4a")
    data = spoil(data, 20)
    n = decoded(data).shape[1]
    window = WindowSpec(5, 500, dilation=3000)
    [(first, end)] = {
        tuple(pair) for clip in extract_clips(data, WindowSpec(n), damage="keep")[0] for pair in clip.damaged
    }
    assert end - first == 1024
    kept = extract_clips(data, window, damage="keep")[0]
    touched = [clip.index for clip in kept if clip.damaged]
    assert touched == [clip.index for clip in kept if clip.start < end and clip.start + window.span > first]
    skipped = [clip.index for clip in extract_clips(data, window, damage="skip")[0]]
    assert sorted([*touched, *skipped]) == [clip.index for clip in kept]


COUNTED = [
    WindowSpec(500, 400),
    WindowSpec(900, 2700, policy="wrap"),
    WindowSpec(300, 700, dilation=3, policy="backpad"),
    WindowSpec(500, num_clips=7),
    WindowSpec(40_000, num_clips=2),
]
UNDECODED = {"adts", "flac", "m4a", "mp3", "opus"}
FLIPPED = [
    "adts",
    "m4a",
    "alac",
    "flac",
    "mp3",
    "ac3",
    "ts",
    "mkv",
    "webm",
    "wavpack",
    "wav",
    "adpcm",
    "opus",
    "caf",
    "au",
]


@pytest.mark.parametrize("name", FLIPPED)
@pytest.mark.parametrize("flips", [1, 3, 30, 200] if LONG else [3, 200])
def test_flipped_bits(name, flips):
    """For each `damage=`: a prefix, the clips that it leaves alone, and all that can be decoded."""
    data = flipped(corpus_file(name), flips, flips, first=0.05)
    try:
        sound = decoded(data)
    except (av.FFmpegError, AttributeError):  # the latter where av knows no decoder for what stands there
        with pytest.raises(clipx.MediaError):
            clipx.audio.clips(data, WindowSpec(500))
        return
    n = sound.shape[1]
    # Packets that are counted without decoding may be damaged.
    announced = count_samples(data, WindowSpec(1), AudioFormat(damage="keep"), "it")
    assert announced == n or (name in UNDECODED and announced > n)
    for window in COUNTED:
        kept, error, found = extract_clips(data, window, damage="keep")
        if not n:
            assert error is not None
            continue
        rows = window.indices(n)
        assert error is None
        if announced > n and window.needs_extent:
            # They are planned over the samples that packets announce, some of which do not come.
            assert len(kept) <= len(rows)
            continue
        same(kept, sound, rows)
        skipped, error, also = extract_clips(data, window, damage="skip")
        assert error is None
        assert also == found
        assert [clip.index for clip in skipped] == [clip.index for clip in kept if not clip.damaged]
        stopped, error, _ = extract_clips(data, window)
        assert (error is not None) == bool(found)
        for clip in [*skipped, *stopped]:
            assert clip.damaged is None
            np.testing.assert_array_equal(clip.data, kept[clip.index].data)
            assert clip.pts_seconds == kept[clip.index].pts_seconds
        assert [clip.index for clip in stopped] == list(range(len(stopped)))
        assert {clip.index for clip in stopped} <= {clip.index for clip in skipped}
        for damage, clips in (("stop", stopped), ("skip", skipped), ("keep", kept)):
            counted = count_clips(data, window, AudioFormat(damage=damage), "it")
            assert counted == len(clips) or (name in UNDECODED and counted > len(clips))


@pytest.mark.parametrize("name", ["m4a", "alac", "adts"])
def test_damage_with_resampling(name):
    data = spoil(corpus_file(name), 8, skip=7 * (name == "adts"))
    for format in ({"sample_rate": 16000, "mono": True}, {"sample_rate": 44100, "dtype": "int16"}):
        sound = decoded(data, AudioFormat(**format))
        kept, error, _ = extract_clips(data, WindowSpec(300), damage="keep", **format)
        assert error is None
        np.testing.assert_array_equal(
            [clip.data for clip in kept], [sound[:, at : at + 300] for at in range(0, sound.shape[1] - 299, 300)]
        )
        whole = decoded(corpus_file(name), AudioFormat(**format))
        stopped, error, _ = extract_clips(data, WindowSpec(300), **format)
        assert error is not None
        assert len(stopped) > 5
        for clip in stopped[:-1]:
            np.testing.assert_array_equal(clip.data, whole[:, clip.start : clip.start + 300])
        assert [clip.index for clip in extract_clips(data, WindowSpec(300), damage="skip", **format)[0]] == [
            clip.index for clip in kept if not clip.damaged
        ]


@pytest.mark.parametrize("damage", ["skip", "keep"])
def test_a_selection_gives_the_same_clips(alac, damage):
    data, window, format = spoil(alac, 3, 9), WindowSpec(1000, 900, policy="wrap"), AudioFormat(damage=damage)
    whole = {clip.index: clip for clip in selected_clips(data, window, format, name="it")}
    indices = sorted(whole)
    for given in (0, 3, len(indices) // 2, len(indices) - 1):
        some = tuple(indices[:given][-2:])
        clips = list(selected_clips(data, window, format, name="it", selection=Selection(some, indices[given])))
        assert [clip.index for clip in clips] == [*some, *indices[given:]]
        for clip in clips:
            np.testing.assert_array_equal(clip.data, whole[clip.index].data)
            assert clip.facts() == whole[clip.index].facts()


def test_a_gap_of_the_clock():
    packets = encode(noise(32000), "pcm_s16le", "matroska", 16000)
    out = io.BytesIO()
    with av.open(io.BytesIO(packets)) as source, av.open(out, "w", format="matroska") as file:
        stream = file.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None and not 640 <= packet.pts < 1280:
                packet.stream = stream
                file.mux(packet)
    left = decoded(out.getvalue())
    at = 640 * 16
    assert left.shape[1] == 32000 - at
    got, error, _ = extract_clips(out.getvalue(), WindowSpec(1000))
    assert [clip.start for clip in got] == list(range(0, at - 999, 1000))
    assert "gap of 0.640 s" in str(error)
    kept, error, damages = extract_clips(out.getvalue(), WindowSpec(1000), damage="keep")
    assert error is None
    assert [damage.seconds for damage in damages] == [pytest.approx(0.64)]
    for clip in kept:
        np.testing.assert_array_equal(clip.data, left[:, clip.start : clip.start + 1000])
        assert clip.pts_seconds == pytest.approx(clip.start / 16000 + 0.64 * (clip.start >= at), abs=1e-9)
        assert bool(clip.damaged) == (clip.start + 1000 > at and clip.start < at + 1024)
    skipped, _, _ = extract_clips(out.getvalue(), WindowSpec(1000), damage="skip")
    assert [clip.index for clip in skipped] == [clip.index for clip in kept if not clip.damaged]


def test_a_clock_that_goes_slower_or_faster_is_no_gap():
    for slow in (1.004, 0.996):
        out = io.BytesIO()
        with av.open(out, "w", format="matroska") as file:
            stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
            for k in range(400):
                frame = av.AudioFrame.from_ndarray(np.full((1, 1000), k, "i2"), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 8000, round(1000 * k * slow)
                file.mux(stream.encode(frame))
        got, error, damages = extract_clips(out.getvalue(), WindowSpec(1000), dtype="int16")
        assert error is None
        assert damages == []
        assert [int(clip.data[0, 0]) for clip in got] == list(range(400))
        np.testing.assert_allclose([clip.pts_seconds for clip in got], np.arange(400) * slow / 8, atol=0.102)


def test_a_few_frames_of_another_kind_are_damage():
    """As a header gives that a flipped bit has changed: of four frames, stereo is other sound."""
    mono, stereo = corpus_file("adts"), encode(noise(44100, 2), "aac", "adts", 44100, "stereo")

    def packets(data):
        with av.open(io.BytesIO(data)) as file:
            return [bytes(packet) for packet in file.demux(audio=0) if packet.size]

    def joined(count):
        return b"".join([*packets(mono)[:20], *packets(stereo)[10 : 10 + count], *packets(mono)[20:40]])

    for count in (1, 3, 4):
        data = joined(count)
        sound = decoded(data)
        assert sound.shape == (1, 40 * 1024)
        for damage in ("stop", "skip", "keep"):
            got, error, damages = extract_clips(data, WindowSpec(512), damage=damage)
            for clip in got:
                np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 512])
            if damage == "stop" or count == 4:
                assert "changes midway" in str(error)
                assert len(got) == 40
            else:
                assert error is None
                assert len(damages) == 1
                assert "changes midway" in damages[0].reason
                assert len(got) == (80 if damage == "keep" else 78)


def test_what_cannot_be_decoded_at_all(alac):
    with av.open(io.BytesIO(alac)) as file:
        count = sum(bool(packet.size) for packet in file.demux(audio=0))
    for damage in ("stop", "skip", "keep"):
        for window in (WindowSpec(500), WindowSpec(500, num_clips=3), WindowSpec(500, policy="wrap")):
            with pytest.raises(clipx.MediaError, match="cannot be decoded"):
                list(clipx.audio.clips(spoil(alac, *range(count)), window, AudioFormat(damage=damage)))


def test_packets_before_the_first_sound_do_not_count(alac):
    data = spoil(alac, 0, 1)
    sound = decoded(data)
    got, error, damages = extract_clips(data, WindowSpec(500))
    assert error is None
    assert damages == []
    np.testing.assert_array_equal(got[3].data, sound[:, 1500:2000])
    assert got[0].pts_seconds == pytest.approx(2 * ALAC / 44100)


def test_the_log_tells_of_a_file_once(alac, caplog):
    with caplog.at_level(logging.WARNING, logger="clipx"):
        extract_clips(spoil(alac, 3, 7, 9), WindowSpec(500, num_clips=40), damage="skip")
    [record] = [record for record in caplog.records if record.name == "clipx"]
    assert "are left out" in record.getMessage()
    assert f"(at {3 * ALAC / 44100:.3f} s)" in record.getMessage()


def test_damages_are_bounded():
    data = encode(noise(600_000), "aac", "ipod", 8000)
    for count in (7, 250):
        _, _, damages = extract_clips(spoil(data, *range(3, 3 + 2 * count, 2)), WindowSpec(500), damage="keep")
        assert len(damages) == min(count, 100)


def test_stage_and_loader(alac, tmp_path):
    data, window = spoil(alac, 3), WindowSpec(1000, 900)
    kept = extract_clips(data, window, damage="keep")[0]
    samples = [{"__key__": "a", "m4a": data}]
    out = list(wds.clips(window, audio=AudioFormat(damage="keep"))(samples))
    assert [sample["clip.json"].get("damaged") for sample in out] == [clip.damaged for clip in kept]
    out = list(wds.clips(window, audio=AudioFormat(damage="skip"))(samples))
    clean = [clip.index for clip in kept if not clip.damaged]
    assert [sample["__key__"] for sample in out] == [f"a_{index:06d}" for index in clean]


def test_wrong_arguments():
    for arguments, message in (
        ({"damage": "ignore"}, "damage"),
        ({"damage": None}, "damage"),
        ({"damage": ["stop"]}, "damage"),
        ({"stream": "first"}, "stream"),
        ({"stream": -1}, "stream"),
        ({"stream": None}, "stream"),
        ({"stream": 1.5}, "stream"),
        ({"stream": True}, "stream"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            AudioFormat(**arguments)
    assert AudioFormat(stream=np.int64(2)) == AudioFormat(stream=2)
    assert set(FLIPPED) <= set(CORPUS)


@pytest.mark.parametrize("damage", ["skip", "keep"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_goes_on_in_damaged_sound(alac, tmp_path, damage, shuffle):
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"s{i}", "m4a": spoil(alac, 2 * i, 7)})

    def make():
        format = AudioFormat(damage=damage)
        rest = {"batch_size": 5, "memory": "512MB", "threads": 2, "shuffle": shuffle, "drop_last": False}
        return clipx.Loader(str(tmp_path / "a.tar"), WindowSpec(1000, 900), audio=format, **rest)

    def facts(batches):
        return [(batch["__key__"], batch["clip.json"], batch["m4a"].copy()) for batch in batches]

    with make() as loader:
        whole = facts(loader)
    assert len(whole) > 20 - 8 * (damage == "skip")
    for stop in (1, 4, len(whole) - 2):
        with make() as loader:
            batches = iter(loader)
            for _ in range(stop):
                next(batches)
            state = json.loads(json.dumps(loader.state_dict()))
        with make() as loader:
            loader.load_state_dict(state)
            rest = facts(loader)
        assert len(rest) == len(whole) - stop
        for (key, fact, data), (other_key, other_fact, other_data) in zip(rest, whole[stop:]):
            assert (key, fact) == (other_key, other_fact)
            np.testing.assert_array_equal(data, other_data)
