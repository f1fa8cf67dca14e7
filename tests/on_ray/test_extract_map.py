"""`clipx.ray.extract_map`, called as Ray Data calls it: batches of rows to tables of clips."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import webdataset

import clipx

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("ray.data")
    from ray.data.block import BlockAccessor
    from ray.data.extensions import ArrowTensorArray

import pyarrow as pa

import clipx.ray
from clipx.ray.blocks import fact_columns

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*")

SPEC = clipx.WindowSpec(4, stride=8)
FORMAT = clipx.ClipFormat(resize=32, crop=24)


def rows_of(tables):
    return [row for table in tables for row in BlockAccessor.for_block(table).iter_rows(True)]


def mapped(batch, *arguments, **options):
    return rows_of(clipx.ray.extract_map(*arguments, **options)(batch))


def table(**columns):
    return pa.table({name: pa.array(values) for name, values in columns.items()})


BATCHES = {
    "pyarrow": lambda columns: table(**columns),
    "numpy": lambda columns: {
        name: np.array([*values, None], object)[:-1] if isinstance(values[0], (bytes, list)) else np.array(values)
        for name, values in columns.items()
    },
    "pandas": lambda columns: pytest.importorskip("pandas").DataFrame(columns),
}


@pytest.fixture
def videos(make_video):
    return [str(make_video(n=n)) for n in (20, 33)]


def facts_of(clip):
    """The facts of a clip as rows have them."""
    facts = {name: clip.facts().get(name) for name in fact_columns().names}
    return {name: value for name, value in facts.items() if value is not None}


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("column", ["path", "bytes"])
def test_clips_are_those_of_the_videos(videos, kind, column):
    values = videos if column == "path" else [Path(path).read_bytes() for path in videos]
    batch = BATCHES[kind]({column: values, "label": [5, 6], "start": ["a", "b"]})
    found = mapped(batch, SPEC, FORMAT)
    expected = [(number, clip) for number, path in enumerate(videos) for clip in clipx.video.clips(path, SPEC, FORMAT)]
    assert len(found) == len(expected) == 7
    for row, (number, clip) in zip(found, expected):
        assert np.array_equal(row["clip"], clip.data)
        assert row["clip"].dtype == np.uint8
        assert (row["label"], row["source.start"]) == ((5, 6)[number], "ab"[number])
        assert {name: row[name] for name in facts_of(clip)} == facts_of(clip)
        assert row["__key__"] == f"{row['key']}_{clip.index:06d}"
        if column == "path":
            assert (row["path"], row["url"], row["key"]) == (videos[number],) * 2 + (videos[number][:-4],)
        else:
            assert row["url"] is None
            assert len(row["key"]) == 32


def test_tables_have_one_schema(videos, real_video):
    """Whatever the facts, so that Ray joins blocks; those of one table are of bounded size."""
    segments = [[{"start": 0.0, "end": 0.5, "mood": "calm"}], [{"start": 0.2, "end": 0.9}]]
    batch = table(path=videos, segments=segments)
    made = clipx.ray.extract_map(clipx.WindowSpec(4), FORMAT, segments="segments", block_size=3 * 4 * 24 * 24 * 3)
    plain = clipx.ray.extract_map(clipx.WindowSpec(4), clipx.ClipFormat(crop=("random", 24), flip=0.5))
    tables = [*made(batch), *plain(batch.select(["path"]))]
    assert [each.num_rows for each in tables[:2]] == [3, 3]
    names = fact_columns().names
    assert {str(each.schema.remove_metadata().field(name)) for each in tables for name in names} == {
        str(field) for field in fact_columns()
    }
    rows = rows_of(tables)
    assert rows[0]["segment"] == {"number": 0, "start": 0.0, "end": 0.5, "unit": "seconds", "facts": '{"mood": "calm"}'}
    assert rows[-1]["segment"] is None
    assert len(rows[-1]["crop"][0]) == 4
    assert [type(each) for each in rows[-1]["flip"]] == [bool]


def test_random_choices_are_those_of_the_stage(videos):
    spec, format = clipx.WindowSpec(4, num_clips=3, sampling="random"), clipx.ClipFormat(crop=("random", 24))
    samples = [{"__key__": path[:-4], "mp4": Path(path).read_bytes()} for path in videos]
    expected = list(clipx.wds.clips(spec, format, seed=7, epoch=2)(samples))
    found = mapped(table(path=videos), spec, format, seed=7, epoch=2)
    assert [row["__key__"] for row in found] == [sample["__key__"] for sample in expected]
    assert all(np.array_equal(row["clip"], sample["mp4"]) for row, sample in zip(found, expected))
    named = mapped(table(path=videos, name=["x", "y"]), spec, format, key="name")
    assert [row["key"] for row in named] == ["x"] * 3 + ["y"] * 3


def test_samples_of_shards(videos, make_audio):
    """As `read_webdataset` gives them; several columns share one plan, and sound has its facts."""
    data = [Path(path).read_bytes() for path in videos[:1]]
    batch = BATCHES["numpy"]({"__key__": ["a"], "mp4": data, "rear.mp4": data})
    found = mapped(batch, SPEC, FORMAT, keys=["mp4", "rear.mp4"])
    assert [row["__key__"] for row in found] == ["a_000000", "a_000001", "a_000002"]
    assert all(np.array_equal(row["mp4"], row["rear.mp4"]) for row in found)
    (clip,) = clipx.audio.clips(make_audio(), clipx.WindowSpec(8000))
    (row,) = mapped(table(path=[str(make_audio())]), clipx.WindowSpec(8000))
    assert np.array_equal(row["clip"], clip.data)
    assert row["sample_rate"] == 8000
    assert (row["pts_seconds"], row["frame_indices"]) == ([0.0], None)


def test_sound_of_videos_and_arrays(movie):
    path, sound = str(movie().path), clipx.AudioFormat(sample_rate=8000)
    found = mapped(table(path=[path]), SPEC, audio=sound)
    for row, clip in zip(found, clipx.video.clips(path, SPEC, audio=sound), strict=True):
        assert np.array_equal(row["audio"], clip.audio)
    frames = np.arange(2 * 12 * 5).reshape(2, 12, 5)
    for batch in ({"frames": frames}, pa.table({"frames": ArrowTensorArray.from_numpy(frames)})):
        found = mapped(batch, clipx.WindowSpec(6), keys="frames")
        assert np.array_equal(np.stack([row["frames"] for row in found]), frames.reshape(4, 6, 5))
        assert found[0]["key"] != found[2]["key"]


def test_other_columns(videos):
    """Tensors, lists and dicts are those of the source's row."""
    masks = np.arange(24).reshape(2, 3, 4)
    columns = {"path": videos, "words": [["a"], []], "about": [{"n": 1}, {"n": 2}]}
    arrow = table(**columns).append_column("mask", ArrowTensorArray.from_numpy(masks))
    for batch in (arrow, {**BATCHES["numpy"](columns), "mask": masks}):
        found = mapped(batch, SPEC, FORMAT)
        assert [row["mask"][0, 0] for row in found] == [0] * 3 + [12] * 4
        assert [(list(row["words"]), row["about"]) for row in found[2:4]] == [(["a"], {"n": 1}), ([], {"n": 2})]


def test_failures(videos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(videos[0]).read_bytes()[:200])
    batch = table(path=[videos[0], str(broken), videos[1]], n=[0, 1, 2])
    with pytest.raises(clipx.MediaError, match=r"broken\.mp4"):
        mapped(batch, SPEC, FORMAT)
    seen = []
    assert [row["n"] for row in mapped(batch, SPEC, FORMAT, handler=lambda exn: not seen.append(exn))] == [0] * 3 + [
        2
    ] * 4
    assert [type(exn) for exn in seen] == [clipx.MediaError]
    with pytest.raises(clipx.MediaError, match=r"broken\.mp4"):
        mapped(batch, SPEC, FORMAT, handler=lambda exn: False)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [1, 2, 0], [1]])
def test_failures_as_rows(videos, order):
    """Wherever they stand, tables join, and without them clips are as they were."""
    paths = [videos[0], "missing.mp4", videos[1]]
    made = clipx.ray.extract_map(SPEC, FORMAT, error_column="error", block_size=1)
    tables = list(made(table(path=[paths[number] for number in order])))
    rows = rows_of([joined(tables)])
    failed = [row for row in rows if row["error"] is not None]
    assert [(row["key"], row["clip"].size, row["index"]) for row in failed] == [("missing", 0, None)]
    assert "FileNotFoundError" in failed[0]["error"]
    assert "missing.mp4" in failed[0]["error"]
    assert [row["clip"].shape for row in rows if row["error"] is None] == [(4, 24, 24, 3)] * (
        7 if len(order) > 1 else 0
    )


def joined(tables):
    """Tables as one block, as Ray Data joins them."""
    from ray.data._internal.delegating_block_builder import DelegatingBlockBuilder

    builder = DelegatingBlockBuilder()
    for each in tables:
        builder.add_block(each)
    return builder.build()


def test_bad_segments_as_rows(videos):
    batch = table(path=videos[:1], segments=[[{"start": 0.0, "end": 0.5}, {"start": 90.0, "end": 91.0}]])
    rows = mapped(batch, SPEC, FORMAT, segments="segments", error_column="why")
    assert [(row["segment"]["number"], row["why"] is None) for row in rows] == [(1, False), (0, True), (0, True)]
    with pytest.raises(ValueError, match="segment 1"):
        mapped(batch, SPEC, FORMAT, segments="segments")


def test_clips_of_several_sizes(make_video):
    """Those of one table are a tensor of variable shape; nothing at all is no table."""
    paths = [str(make_video(n=8, size=size)) for size in ((48, 64), (64, 48))]
    assert [row["clip"].shape for row in mapped(table(path=paths), SPEC)] == [(4, 48, 64, 3), (4, 64, 48, 3)]
    assert mapped(table(path=paths), clipx.WindowSpec(9)) == []
    assert mapped({}, SPEC) == []


def test_empty_cells(videos):
    data = Path(videos[0]).read_bytes()
    batch = {"path": np.array([videos[0], "", None], object), "bytes": np.array([None, data, None], object)}
    rows = mapped(batch, SPEC, FORMAT, error_column="error")
    assert [row["error"] is None for row in rows] == [True] * 6 + [False]
    assert "no field 'bytes' or 'path'" in rows[-1]["error"]
    assert np.array_equal(rows[0]["clip"], rows[3]["clip"])


def test_functions_of_rows(videos):
    """A function for segments gets the row; texts in columns of JSON are decoded."""
    batch = table(path=videos[:1], json=[json.dumps({"times": [[0, 0.4]]})], begin=[0.0])
    (row,) = mapped(batch, SPEC, FORMAT, segments="json:times")
    assert (row["segment"]["end"], row["json"]) == (0.4, '{"times": [[0, 0.4]]}')
    rows = mapped(batch, SPEC, FORMAT, segments=lambda row: [(row["begin"], 0.7)])
    assert [row["segment"]["end"] for row in rows] == [0.7, 0.7]
    rows = mapped(table(path=videos[:1], frames=[[3, 1]]), clipx.FrameList(frames="frames"), FORMAT)
    assert rows[0]["frame_indices"] == [3, 1]


def test_it_is_pickled():
    made = clipx.ray.extract_map(SPEC, FORMAT, handler=clipx.wds.log_and_continue)
    assert repr(pickle.loads(pickle.dumps(made))) == repr(made) == f"clipx.ray.extract_map({SPEC!r})"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"format": clipx.ClipFormat(dtype="bfloat16")}, ValueError, "dtype of format is 'bfloat16'"),
        ({"handler": "skip"}, TypeError, "handler is 'skip'"),
        (
            {"handler": webdataset.ignore_and_continue, "error_column": "e"},
            ValueError,
            "error_column is 'e', but handler",
        ),
        ({"error_column": "start"}, ValueError, "error_column is 'start'"),
        ({"error_column": "clip"}, ValueError, "error_column is 'clip'"),
        ({"key": 3}, TypeError, "key is 3"),
        ({"block_size": "big"}, ValueError, "block_size is 'big'"),
        ({"epoch": -1}, ValueError, "epoch is -1"),
        ({"keys": []}, ValueError, "keys is"),
    ],
)
def test_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        clipx.ray.extract_map(SPEC, **arguments)
