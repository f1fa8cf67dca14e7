"""The sample of a clip as it is written: names and bytes of its members, and its row."""

import datetime
import io
import json
import math

import numpy as np
import pytest
from helpers.arrays import npy

from clipx.clip import Clip
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.decoding import decode
from clipx.datasets.fields import Field
from clipx.datasets.stored import StoredFile
from clipx.jobs.extraction.encoding import EncodedClip
from clipx.jobs.extraction.samples import OtherFields, row_of
from clipx.plan import Segment, UniformSpec, WindowSpec
from clipx.wds.sample_clips import SampleClips

ENCODED = EncodedClip({"npy": (b"ab", memoryview(b"c"))}, {"codec": "npy", "width": 8, "height": 6})


def others(encoded=ENCODED, fields=("mp4",), **values):
    """The other fields of a clip, by their names, without "clip.json"."""
    clip = {**values, "__key__": "a_000000", "__url__": "a.tar", "mp4": b"", "clip.json": {"index": 0}}
    found = OtherFields({Field(name): Field(name) for name in fields}).of(clip, encoded)
    assert next(iter(found)) == "clip.json"
    return {name: data for name, data in found.items() if name != "clip.json"}


def test_fields_keep_their_order_and_their_bytes(tmp_path):
    (tmp_path / "thumb").write_bytes(b"12345")
    found = others(
        z=b"1",
        jpg=b"2",
        **{"mask.png": bytearray(b"3")},
        npy2=memoryview(b"4"),
        file=StoredFile(str(tmp_path / "thumb"), 1, 3),
    )
    assert list(found.items()) == [("z", b"1"), ("jpg", b"2"), ("mask.png", b"3"), ("npy2", b"4"), ("file", b"234")]


@pytest.mark.parametrize(
    ("name", "value", "written", "data"),
    [
        ("caption", "ä", "caption.txt", "ä".encode()),
        ("caption.txt", "a", "caption.txt", b"a"),
        ("meta.json", '{"a": 1}', "meta.json", b'{"a": 1}'),
        ("clip.mp4", "not a video", "clip.mp4.txt", b"not a video"),
        ("lone", "\ud800", "lone.txt", b"\\ud800"),
        ("label", 3, "label.json", b"3"),
        ("cls", 3, "cls", b"3"),
        ("flag", True, "flag.json", b"true"),
        ("score", 0.1, "score.json", b"0.1"),
        ("score", math.nan, "score.json", b"null"),
        ("score", np.float32(0.5), "score.json", b"0.5"),
        ("box", [1, (2, None)], "box.json", b"[1,[2,null]]"),
        ("json", {"b": 1, "a": {"ü": math.inf}}, "json", '{"a":{"ü":null},"b":1}'.encode()),
        ("day", datetime.date(2026, 1, 2), "day.json", b'"2026-01-02"'),
    ],
)
def test_values_become_files(name, value, written, data):
    assert others(**{name: value}) == {written: data}


def test_arrays_become_files():
    mask = np.arange(6, dtype=np.int16).reshape(2, 3)
    found = others(mask=mask, **{"b.npy": mask})
    assert list(found) == ["mask.npy", "b.npy"]
    assert found["mask.npy"] == found["b.npy"] == npy(mask)
    np.testing.assert_array_equal(decode(found, 10**6)["mask.npy"], mask)


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), [b"1"]])
def test_values_that_cannot_be_written_are_named(value):
    with pytest.raises(TypeError, match=r"cannot be written.*field 'what'"):
        others(what=value)


def test_members_that_were_not_read_are_named():
    with pytest.raises(ValueError, match=r"it has 12 bytes.*field 'big'"):
        others(big=UnreadMember(12, b"", b""))


def test_names_of_clips_are_given_to_clips():
    found = others(npy=b"1", NPY=b"2", **{"source.npy": b"3", "Clip.json": b"4", "caption": "5", "caption.txt": b"6"})
    assert list(found.values()) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert len({name.lower() for name in found} | {"npy", "clip.json"}) == 8
    assert next(iter(found)) == "source.npy"


def test_facts_are_json_with_those_of_the_encoder():
    clip = {"__key__": "a", "mp4": b"", "clip.json": {"index": 0, "b": [None, 1.5], "a": "é", "codec": "?"}}
    found = OtherFields({Field("mp4"): Field("mp4")}).of(clip, ENCODED)
    assert found["clip.json"] == '{"a":"é","b":[null,1.5],"codec":"npy","height":6,"index":0,"width":8}'.encode()


def test_the_sound_and_the_clips_of_all_fields_are_left_out():
    clip = {"front.mp4": 1, "rear.mp4": 2, "front.mp4.audio": 3, "audio": b"own", "clip.json": {}, "txt": b"t"}
    fields = {Field(name): Field(name) for name in ("front.mp4", "rear.mp4")}
    assert list(OtherFields(fields).of(clip, ENCODED)) == ["clip.json", "audio", "txt"]


def test_fields_are_encoded_once_for_all_clips_of_a_sample():
    class Counted(StoredFile):
        reads = 0

        def read(self):
            Counted.reads += 1
            return b"data"

    other, clip = OtherFields({Field("mp4"): Field("mp4")}), {"mp4": 1, "clip.json": {}, "file": Counted("nowhere")}
    assert other.of(clip, ENCODED)["file"] == other.of(clip, ENCODED)["file"] == b"data"
    assert Counted.reads == 1


def test_members_of_an_npz_of_which_no_clips_are_taken_stay_in_it():
    frames, labels = np.zeros((9, 2), np.uint8), np.arange(9)
    file = io.BytesIO()
    np.savez(file, frames=frames, labels=labels)
    clips = SampleClips(WindowSpec(4), keys="npz:frames")
    sample = {"__key__": "a", "npz": file.getvalue()}
    (first, *_) = clips.clips(sample, 0)
    found = OtherFields(clips.fields(sample)).of(first.sample, ENCODED)
    assert list(found) == ["clip.json", "npz"]
    assert {name: array.tolist() for name, array in np.load(io.BytesIO(found["npz"])).items()} == {
        "labels": [*range(9)]
    }
    del sample["npz"], first
    file = io.BytesIO()
    np.savez(file, frames=frames)
    (first, *_) = clips.clips({"__key__": "a", "npz": file.getvalue()}, 0)
    assert list(OtherFields(clips.fields({"npz": b""})).of(first.sample, ENCODED)) == ["clip.json"]


# Rows

WINDOW = WindowSpec(4)


def row(clip, spec=WINDOW, facts=None, **more):
    encoded = EncodedClip({"npy": b"abc"}, facts or {})
    return row_of({"clip.json": {**clip.facts(), "key": "a", "url": "a.tar", **more}}, encoded, spec)


def video(indices, fps=8.0, **facts):
    indices = np.array(indices)
    pts = np.where(indices < 0, np.nan, indices / fps)
    lasting = np.where(indices < 0, np.nan, 1 / fps)
    return Clip(np.zeros(1), 0, 0, int((indices >= 0).sum()), indices, pts, lasting, 30.0, length=len(indices), **facts)


def test_rows_of_videos():
    found = row(video([2, 4, 6, 8]))
    assert (found["start_frame"], found["end_frame"]) == (2, 9)
    assert (found["start_seconds"], found["end_seconds"], found["frames"], found["fps"]) == (0.25, 1.125, 4, 4.0)
    assert (found["source"], found["source_key"], found["segment"], found["status"]) == ("a.tar", "a", None, "ok")
    assert (found["bytes"], found["sha256"][:8]) == (3, "ba7816bf")
    found = row(video([8, 6, -1, -1]))  # in any order, and filled
    assert (found["start_frame"], found["end_frame"], found["start_seconds"], found["end_seconds"]) == (
        6,
        9,
        0.75,
        1.125,
    )
    assert found["fps"] == 30.0
    found = row(video([-1, -1]))
    assert (found["start_frame"], found["end_frame"], found["start_seconds"], found["end_seconds"]) == (None,) * 4
    assert row(video([3]))["fps"] == 30.0
    assert row(video([1, 2], damaged=[1]))["status"] == "damaged"
    assert row(video([1, 2]), facts={"codec": "h264", "fps": 25.0, "encoder": "x"})["fps"] == 25.0
    assert "encoder" not in row(video([1, 2]), facts={"encoder": "x"})


def of_segment(clip, segment, start):
    clip.of_segment(3, 0, start, clip.valid, clip.length, segment)
    return clip


def test_rows_of_arrays_and_sounds():
    array = Clip(np.zeros(1), 2, 8, 3, length=4)
    found = row(array, WindowSpec(4, dilation=2))
    assert (found["start_frame"], found["end_frame"], found["start_seconds"], found["fps"]) == (8, 13, None, None)
    assert row(array, UniformSpec(4))["end_frame"] is None
    segment = Segment(100, 120, unit="frames", number=5)
    found = row(of_segment(Clip(np.zeros(1), 0, 8, 4, length=4), segment, 8))
    assert (found["start_frame"], found["end_frame"], found["segment"]) == (108, 112, 5)
    sound = Clip(np.zeros(1), 0, 800, 400, pts_seconds=0.1, duration_seconds=0.05, sample_rate=8000, length=400)
    found = row(sound, WindowSpec(400))
    assert (found["start_frame"], found["end_frame"], found["fps"]) == (800, 1200, 8000)
    assert (found["start_seconds"], found["end_seconds"]) == (0.1, pytest.approx(0.15))
    sound.pts_seconds = 2.1
    found = row(of_segment(sound, Segment(2, 3, number=0), 800), WindowSpec(400))
    assert (found["start_frame"], found["end_frame"]) == (16800, 17200)


def test_rows_are_json():
    json.dumps(row(video([1, 2])), allow_nan=False)
