"""Long videos are left open between the clips of a ClipDataset: the same clips, within bounds, in any process."""

import gc
import multiprocessing
import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.clip_datasets import clip_of, of_index, send_clips
from helpers.shards import write_shard

import clipx
from clipx.loader import recent_samples
from clipx.video import file

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def short_is_long(monkeypatch):
    monkeypatch.setattr(recent_samples, "LEAST_PACKETS", 10)


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened."""
    found, open_media = [], file.open_media
    monkeypatch.setattr(
        file, "open_media", lambda src, name, **rest: found.append(name) or open_media(src, name, **rest)
    )
    return found


@pytest.fixture(scope="module")
def index(tmp_path_factory, make_video):
    """Files and members of a shard, with frames that are shown in another order than decoded, and of two containers."""
    folder = tmp_path_factory.mktemp("recent")
    mp4 = make_video(n=60, g="12", bf="2").read_bytes()
    (folder / "a.mp4").write_bytes(mp4)
    (folder / "b.mkv").write_bytes(make_video(n=50, container="matroska", suffix=".mkv", g="10").read_bytes())
    (folder / "c.webm").write_bytes(make_video(n=40, codec="libvpx", container="webm", suffix=".webm").read_bytes())
    shard = write_shard(folder / "d.tar", [{"__key__": "d", "mp4": mp4, "json": {"n": [1]}}])
    names = [folder / name for name in ("a.mp4", "b.mkv", "c.webm")]
    return clipx.Index.build([*names, shard], folder / "index.parquet")


SPECS = [
    clipx.WindowSpec(4),
    clipx.WindowSpec(5, stride=3, dilation=3, policy="wrap"),
    clipx.WindowSpec(4, num_clips=2, sampling="random", dilation=4),
    clipx.UniformSpec(6),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_the_clips_are_the_same(index, spec, opened):
    dataset, plain = of_index(index, spec=spec), of_index(index, spec=spec, keep_open=0)
    numbers = [*range(len(plain)), *reversed(range(len(plain)))]
    random.Random(0).shuffle(numbers)
    want = [clip_of(plain[i]) for i in numbers]
    plain_count = len(opened)
    opened.clear()
    assert [clip_of(dataset[i]) for i in numbers] == want
    assert len(opened) <= plain_count / 2
    at_once = dataset.__getitems__(numbers)
    assert [clip_of(each) for each in at_once] == want


def test_each_is_opened_once(index, opened):
    dataset = of_index(index, spec=clipx.WindowSpec(3, dilation=4))
    for i in random.Random(1).choices(range(len(dataset)), k=60):
        dataset[i]
    assert len(opened) == 4


def test_what_is_open_is_bounded(index):
    dataset = of_index(index)
    for i in range(len(dataset)):
        dataset[i]
    held = dataset._recent.held
    gc.collect()
    few = of_index(index, keep_open=held // 2)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for i in random.Random(2).choices(range(len(few)), k=30):
        few[i]
        assert 0 < few._recent.held <= held // 2
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) <= before + 2
        del few
        assert len(os.listdir("/proc/self/fd")) == before
    none = of_index(index, keep_open=0)
    none[0]
    assert none._recent.held == 0
    with pytest.raises(ValueError, match="keep_open"):
        of_index(index, keep_open="much")


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_other_processes_open_files_of_their_own(index, context):
    dataset = of_index(index)
    numbers = list(range(0, len(dataset), 3))
    want = [clip_of(dataset[i]) for i in numbers]
    start = multiprocessing.get_context(context)
    mine, theirs = start.Pipe()
    process = start.Process(target=send_clips, args=(dataset, numbers, theirs))
    process.start()
    here = [clip_of(dataset[i]) for i in numbers]
    assert mine.recv() == here == want
    process.join()
    again = pickle.loads(pickle.dumps(dataset))
    assert clip_of(again[5]) == clip_of(dataset[5])


def test_threads_share_what_is_open(index):
    dataset, plain = of_index(index), of_index(index, keep_open=0)
    numbers = random.Random(3).choices(range(len(plain)), k=80)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: clip_of(dataset[i]), numbers))
    assert found == [clip_of(plain[i]) for i in numbers]


def test_a_file_that_is_replaced_is_noticed(tmp_path, make_video):
    path = tmp_path / "v.mp4"
    path.write_bytes(make_video(n=40).read_bytes())
    dataset = of_index(clipx.Index.build([path], tmp_path / "index.parquet"))
    dataset[3]
    path.write_bytes(make_video(n=44).read_bytes())
    with pytest.raises(ValueError, match=r"v\.mp4"):
        dataset[3]


def test_a_samples_other_fields_are_its_own(index):
    dataset = of_index(index)
    first = dataset[-1]
    first["json"]["n"].append(2)
    assert dataset[-1]["json"] == {"n": [1]}
