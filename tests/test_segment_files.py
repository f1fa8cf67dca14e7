"""Segments of tables in files: PySceneDetect's scene lists, and plain tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipx
from clipx import Segment
from clipx.segments import from_csv

CUTS = "Timecode List:,00:00:03.333,00:00:16.000\n"
SCENES = """\
Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode,End Time (seconds),Length (frames)
1,1,00:00:00.000,0.000,100,00:00:03.333,3.333,100
2,101,00:00:03.333,3.333,480,00:00:16.000,16.000,380
"""


def table(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


HEADS = ["", CUTS, CUTS.partition(",")[2], "\n", "\ufeff"]


@pytest.mark.parametrize("text", [*(head + SCENES for head in HEADS), SCENES.replace("\n", "\r\n")])
def test_a_scene_list(tmp_path, text):
    # Of 100 frames at 30 a second, the first scene ends before frame 100, the 101st, which begins the second.
    assert from_csv(table(tmp_path, text)) == [
        Segment(0, 100, {"scene": "1"}, "frames"),
        Segment(100, 480, {"scene": "2"}, "frames"),
    ]
    assert from_csv(table(tmp_path, text), unit="seconds") == [
        Segment(0.0, 3.333, {"scene": "1"}),
        Segment(3.333, 16.0, {"scene": "2"}),
    ]


def test_a_plain_table(tmp_path):
    path = table(tmp_path, 'start,end,caption\n0.5,2,"a dog, then a cat"\n\n2,7.25,sleep\n')
    first = Segment(0.5, 2.0, {"caption": "a dog, then a cat"})
    assert from_csv(path) == [first, Segment(2.0, 7.25, {"caption": "sleep"})]
    path = table(tmp_path, "start,end\n5,20\n")
    assert from_csv(path, unit="frames") == [Segment(5, 20, unit="frames")]
    assert clipx.segments.from_csv is from_csv


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_columns_in_both_units(tmp_path, delimiter):
    text = "start_seconds,end_frame,label,start_frame,end_seconds\n0.4,30,run,10,1.2\n".replace(",", delimiter)
    path = table(tmp_path, text)
    assert from_csv(path) == [Segment(10, 30, {"label": "run"}, "frames")]
    assert from_csv(path, unit="seconds") == [Segment(0.4, 1.2, {"label": "run"})]


def test_a_column_names_the_video(tmp_path):
    path = table(tmp_path, "video,start,end\nb,0,1\na,0,2\nb,3,4\n")
    assert from_csv(path, by="video") == {
        "b": [Segment(0.0, 1.0), Segment(3.0, 4.0)],
        "a": [Segment(0.0, 2.0)],
    }
    assert [each.facts for each in from_csv(path)] == [{"video": "b"}, {"video": "a"}, {"video": "b"}]


def test_a_table_without_rows(tmp_path):
    path = table(tmp_path, "start,end\n")
    assert (from_csv(path), from_csv(path, by="end")) == ([], {})


def test_segments_of_a_file_give_clips(tmp_path):
    segments = from_csv(table(tmp_path, CUTS + SCENES))
    rows = clipx.windows.extract(np.arange(500), 50, segments=segments)
    np.testing.assert_array_equal(rows[:, 0], [0, 50, 100, 150, 200, 250, 300, 350, 400])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("start,end\n0,1\n2,x\n", {}, r"table.csv, line 3, column 'end': 'x' is not a number of seconds"),
        ("start_frame,end_frame\n0.5,1\n", {}, r"line 2, column 'start_frame': '0.5' is not a number of frames"),
        ("start,end\n5,5\n", {}, r"line 2, columns 'start' and 'end': end is 5.0, but must be after start, 5.0"),
        ("start,end\nnan,5\n", {}, r"line 2, columns 'start' and 'end': start is nan"),
        ("start_frame,end_frame\n-1,5\n", {}, r"line 2, columns 'start_frame' and 'end_frame': start is -1"),
        ("start,end\n1\n", {}, r"line 2: it has 1 cells, but the header has 2"),
        ("start,end,start\n1,2,3\n", {}, r"line 1: there are two columns 'start'"),
        ("0,1\n2,3\n", {}, r"line 1: there are no columns of a start and an end among '0', '1'"),
        ("start,end\n1,2\n", {"by": "video"}, r"line 1: there is no column 'video' among 'start', 'end'"),
        ("start_frame,end_frame\n1,2\n", {"unit": "seconds"}, r"line 1: there are no columns .* in seconds"),
        ("", {}, r"line 1: there are no columns of a start and an end among none"),
        (CUTS, {}, r"line 2: there are no columns"),
        ('start,end\n1,"2\n', {}, r"line 2: unexpected end of data"),
        (b"start,end\n1,\xff\n", {}, r"table.csv: it is not a text in UTF-8"),
        ("start,end\n1,2\n", {"unit": "s"}, r"unit is 's', but must be 'seconds', 'frames' or None"),
        (CUTS + SCENES + "3,0,,16.0,500,,17.0,1\n", {}, r"line 5, columns 'Start Frame' and 'End Frame': start is -1"),
    ],
)
def test_what_is_no_table(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message):
        from_csv(table(tmp_path, text), **options)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_csv(tmp_path / "none.csv")


@given(st.text(alphabet='0123456789.,;\t\n"startend_fmc- ', max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = table(tmp_path_factory.getbasetemp(), "start,end\n" + text)
    found, message = [], str(path)
    try:
        found = from_csv(path)
    except ValueError as exn:
        message = str(exn)
    assert str(path) in message
    assert all(isinstance(each, Segment) for each in found)
