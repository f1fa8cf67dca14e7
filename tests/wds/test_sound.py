"""Sound in the stage and in the Loader."""

import numpy as np
import pytest
import webdataset
from helpers.sounds import KINDS, sound_file, whole_sound

import clipx
from clipx import AudioFormat, WindowSpec, wds

STAGE_KINDS = {"wav": "wav-s16", "flac": "flac", "mp3": "mp3", "ogg": "vorbis", "opus": "ogg-opus", "m4a": "m4a"}


@pytest.mark.parametrize("field", STAGE_KINDS)
def test_stage_of_sound(field):
    kind = STAGE_KINDS[field]
    data = sound_file(kind, "stereo", KINDS[kind][2][0], 6000)
    sound = whole_sound(data, AudioFormat(sample_rate=8000))
    window = WindowSpec(300, 200, policy="wrap")
    rows = window.indices(sound.shape[1])
    samples = [{"__key__": "a/b", field: data, "cls": 3, "npy": b"x", "json": {"x": 1}}]
    out = list(wds.clips(window, audio=AudioFormat(sample_rate=8000), pool="1MB")(samples))
    assert len(out) == len(rows)
    for index, (sample, row) in enumerate(zip(out, rows)):
        np.testing.assert_array_equal(sample[field], sound[:, row])
        assert sample["__key__"] == f"a/b_{index:06d}"
        assert (sample["cls"], sample["npy"], sample["json"]) == (3, b"x", {"x": 1})
        facts = sample["clip.json"]
        assert facts.pop("key") == "a/b"
        assert set(facts) >= {"index", "start", "valid", "length", "pts_seconds", "duration_seconds"}
        assert facts["length"] == len(row)
        assert all(isinstance(value, (int, float)) for value in facts.values()), facts
        assert "audio" not in sample
    assert np.shares_memory(out[0][field], out[1][field]) is False


def test_stage_errors_go_to_the_handler():
    good = {"__key__": "good", "flac": sound_file("flac", n=6001)}
    broken = {"flac": b""}, {"flac": good["flac"][:50]}, {"wav": bytes(99)}
    bad = [{"__key__": "bad", **fields} for fields in broken]
    errors = []
    stage = wds.clips(WindowSpec(1000), handler=lambda exn: errors.append(exn) or True)
    keys = [sample["__key__"] for sample in stage([bad[0], good, *bad[1:], good])]
    assert len(keys) == 12
    assert len(errors) == 3
    assert all(isinstance(each, clipx.MediaError) for each in errors)


def test_stage_of_several_sounds(movie):
    left, right = sound_file("flac", n=6001), sound_file("wav-s16", n=6001)
    out = list(wds.clips(WindowSpec(1000), pool="1MB")([{"__key__": "k", "l.flac": left, "r.wav": right}]))
    assert len(out) == 6
    np.testing.assert_array_equal(out[2]["l.flac"], whole_sound(left)[:, 2000:3000])
    np.testing.assert_array_equal(out[2]["r.wav"], whole_sound(right)[:, 2000:3000])


def test_stage_of_videos_with_sound(movie):
    data = movie().path.read_bytes()
    audio = AudioFormat(sample_rate=8000)
    expected = [clip.audio for clip in clipx.video.clips(data, WindowSpec(8), audio=audio)]
    out = list(wds.clips(WindowSpec(8), audio=audio, pool="4MB")([{"__key__": "k", "mp4": data, "wav": b"other"}]))
    np.testing.assert_array_equal([sample["audio"] for sample in out], expected)
    assert all(sample["wav"] == b"other" for sample in out)
    assert all(len(value) <= 8 for value in out[0]["clip.json"].values() if isinstance(value, list))
    out = list(wds.clips(WindowSpec(8), audio=audio)([{"__key__": "k", "a.mp4": data, "b.mp4": data}]))
    for name in ("a.mp4.audio", "b.mp4.audio"):
        np.testing.assert_array_equal([sample[name] for sample in out], expected)
    assert all("audio" not in sample for sample in wds.clips(WindowSpec(8))([{"__key__": "k", "mp4": data}]))


@pytest.mark.parametrize("threads", [1, 2])
def test_loader(movie, tmp_path, threads):
    data, audio = movie().path.read_bytes(), AudioFormat(sample_rate=8000)
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"v{i}", "mp4": data})
    with webdataset.TarWriter(str(tmp_path / "b.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"s{i}", "flac": sound_file("flac", "mono", 16000, 6001 + i)})
    expected = [clip.audio for clip in clipx.video.clips(data, WindowSpec(8), audio=audio)]
    rest = {"batch_size": 3, "threads": threads, "memory": "512MB", "audio": audio, "drop_last": False}
    count = 0
    with clipx.Loader(str(tmp_path / "a.tar"), WindowSpec(8), **rest) as loader:
        for batch in loader:
            assert batch["audio"].shape[1:] == (1, 2560)
            assert batch["audio"].dtype == np.float32
            for sound, facts in zip(batch["audio"], batch["clip.json"]):
                np.testing.assert_array_equal(sound, expected[facts["index"]])
                count += 1
    assert count == 4 * len(expected)
    count = 0
    with clipx.Loader(str(tmp_path / "b.tar"), WindowSpec(1000), **rest) as loader:
        for batch in loader:
            for sound, key, facts in zip(batch["flac"], batch["__key__"], batch["clip.json"]):
                whole = whole_sound(sound_file("flac", "mono", 16000, 6001 + int(key[1])), audio)
                np.testing.assert_array_equal(sound, whole[:, facts["start"] : facts["start"] + 1000])
                count += 1
    assert count == 4 * 3
