"""WindowSpec(offset=): windows that begin later, by a number of frames or by one that is drawn."""

import numpy as np
import pytest
import reference
from helpers.media import Pipe
from helpers.shards import array_sample, write_shard
from helpers.states import check_every, check_every_of_videos
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import AudioFormat, ClipFormat, Loader, VideoOptions, WindowSpec, audio, video, wds, windows
from clipx.plan import Extent, Selection
from clipx.plan.draws import segment_rng, segment_seed
from clipx.video.clips import selected_clips
from clipx.wds.sample_clips import SampleClips

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")

FIELDS = {
    "length": st.integers(1, 30),
    "stride": st.integers(1, 60),
    "dilation": st.integers(1, 8),
    "policy": st.sampled_from(POLICIES),
}


def against_reference(spec, n):
    try:
        at = reference.starts(n, spec.length, spec.stride, spec.dilation, spec.policy, offset=spec.offset)
    except ValueError:
        for method in (spec.count, spec.starts, spec.rows, spec.padding):
            with pytest.raises(ValueError, match="policy is 'error'"):
                method(n)
        return
    rows = reference.indices(n, at, spec.length, spec.dilation, spec.policy)
    assert spec.count(n) == len(at)
    assert spec.starts(n).tolist() == at
    np.testing.assert_array_equal(spec.rows(n), rows)
    padding = reference.padding(n, at, spec.length, spec.dilation)
    np.testing.assert_array_equal(spec.padding(n), padding)
    np.testing.assert_array_equal(spec.valid(rows, n), np.count_nonzero(~padding, axis=1))
    for extent in (None, Extent(n)):
        plan = spec.plan(extent)
        assert plan.count(n) == plan.count_until_error(n) == len(at)
        openings = (
            at if extent and spec.policy == "backpad" else [spec.offset + i * spec.stride for i in range(len(at))]
        )
        assert [plan.opening(index) for index in range(len(at))] == openings
        np.testing.assert_array_equal(plan.final_rows(np.arange(len(at)), n), rows)
        held = plan.frames_in_order(np.arange(len(at)), n)
        assert held[rows[~padding]].all()


@settings(deadline=None)
@given(n=st.integers(0, 200), offset=st.integers(0, 220), fields=st.fixed_dictionaries(FIELDS))
def test_any(n, offset, fields):
    against_reference(WindowSpec(**fields, offset=offset), n)


@pytest.mark.parametrize("policy", POLICIES)
def test_grid(policy):
    for n in range(14):
        for offset in range(16):
            for stride in (1, 3, 5):
                against_reference(WindowSpec(3, stride, 2, policy, offset=offset), n)


@settings(deadline=None)
@given(n=st.integers(0, 200), seed=st.integers(0, 2**70), fields=st.fixed_dictionaries(FIELDS))
def test_drawn(n, seed, fields):
    spec = WindowSpec(**fields, offset="random")
    drawn = spec.drawn(seed)
    assert drawn == WindowSpec(**fields, offset=drawn.offset)
    assert 0 <= drawn.offset < drawn.stride
    assert spec.is_random
    assert not drawn.is_random
    try:
        rows = drawn.rows(n)
    except ValueError:
        return
    for rng in (seed, np.random.default_rng(seed)):
        np.testing.assert_array_equal(spec.rows(n, rng), rows)
    np.testing.assert_array_equal(spec.starts(n, seed), drawn.starts(n))
    np.testing.assert_array_equal(windows.indices(n, **fields, offset="random", rng=seed), rows)
    np.testing.assert_array_equal(spec.plan(None, seed).final_rows(np.arange(len(rows)), n), rows)
    array = np.arange(n)
    if fields["policy"] != "constant":
        np.testing.assert_array_equal(windows.extract(array, **fields, offset="random", rng=seed), array[rows])
        found = [clip.tolist() for clip in windows.iterate(array, **fields, offset="random", rng=seed)]
        assert found == array[rows].tolist()


def test_every_offset_is_drawn():
    rng = np.random.default_rng(0)
    assert {WindowSpec(4, 7, offset="random").drawn(rng).offset for _ in range(200)} == set(range(7))


def test_the_number_of_clips_of_a_random_offset_is_that_of_what_is_drawn():
    spec = WindowSpec(4, 4, offset="random")
    assert {spec.drawn(seed).count(16) for seed in range(30)} == {3, 4}
    for method in (spec.count, spec.count_until_error, spec.padding):
        with pytest.raises(ValueError, match=r"offset is 'random', which .* depends on: ask spec.drawn\(rng\)"):
            method(16)


@pytest.mark.parametrize(("fields", "error", "message"), [
    ({"offset": -1}, ValueError, "offset is -1, but must be at least 0"),
    ({"offset": 2**61}, ValueError, "offset is"),
    ({"offset": 1.5}, TypeError, "offset is 1.5"),
    ({"offset": True}, TypeError, "offset is True"),
    ({"offset": "some"}, ValueError, "offset is 'some', but must be a number of frames or 'random'"),
    ({"offset": 1, "num_clips": 2}, ValueError, "offset is 1, but must be 0 with num_clips"),
    ({"offset": "random", "num_clips": 2}, ValueError, "offset is 'random', but must be 0 with num_clips"),
])  # fmt: skip
def test_refused(fields, error, message):
    with pytest.raises(error, match=message):
        WindowSpec(4, **fields)


def test_beside_a_spec_it_is_refused():
    with pytest.raises(TypeError, match="offset is 2, but WindowSpec"):
        windows.extract(np.arange(9), WindowSpec(2), offset=2)


OFFSETS = [3, 20, "random"]


@pytest.mark.parametrize("made", [{"g": "8", "bf": "2"}, {"container": "mpegts", "suffix": ".ts"}, None], ids=str)
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("policy", POLICIES)
def test_videos(make_video, whole, policy, offset, made):
    path = make_video(n=45, **(made or {}))
    frames = whole(path)
    for stride in (3, 11):
        spec = WindowSpec(5, stride, 2, policy, 7, offset=offset)
        every = []
        try:
            source = path if made else Pipe(path.read_bytes())
            for clip in video.clips(source, spec, rng=4, pool="8MB"):
                every.append(clip.frame_indices)
                row = clip.frame_indices
                np.testing.assert_array_equal(clip.data[row >= 0], frames[row[row >= 0]])
                assert (clip.data[row < 0] == 7).all()
                del clip
            np.testing.assert_array_equal(every, spec.rows(45, 4).reshape(-1, 5))
        except ValueError:
            assert policy == "error"
            assert len(every) == spec.drawn(4).count_until_error(45)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "error"])
def test_a_selection_equals_the_run_over_all(make_video, policy, offset):
    path, spec = make_video(n=60, g="8", bf="2"), WindowSpec(5, 6, 2, policy, offset=offset)
    format = ClipFormat(crop=("random", (16, 16)))
    every = list(video.clips(path, spec, format, rng=4))
    assert len(every) >= 4
    for some, first in [((), 2), ((1,), 3), ((0, 2), None), ((), len(every) - 1)]:
        selection = Selection(some, first)
        found = list(selected_clips(path, spec, format, rng=4, name="video", selection=selection))
        wanted = [every[index] for index in selection.of(len(every))]
        assert [clip.facts() for clip in found] == [clip.facts() for clip in wanted]
        for clip, same in zip(found, wanted):
            np.testing.assert_array_equal(clip.data, same.data)


def test_frames_before_an_offset_are_not_decoded(make_video):
    clips = video.clips(make_video(n=60, g="10"), WindowSpec(4, offset=40))
    assert next(clips).start == 40
    assert clips.frames_decoded < 15


@pytest.mark.parametrize("offset", OFFSETS)
def test_videos_at_a_rate(make_video, offset):
    spec, options = WindowSpec(4, 5, policy="repeat_last", offset=offset), VideoOptions(fps=10)
    every = next(video.clips(make_video(n=60), WindowSpec(24), options=options))
    rows = spec.rows(24, 2)
    for clip, row in zip(video.clips(make_video(n=60), spec, options=options, rng=2), rows, strict=True):
        np.testing.assert_array_equal(clip.frame_indices, every.frame_indices[row])


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("policy", POLICIES)
def test_sound(make_audio, policy, offset):
    (whole,) = audio.clips(make_audio(), WindowSpec(8000), AudioFormat(dtype="int16"))
    samples, spec = whole.data[0], WindowSpec(300, 500, 5, policy, 7, offset=offset)
    found = []
    try:
        found.extend(clip.data[0] for clip in audio.clips(make_audio(), spec, AudioFormat(dtype="int16"), rng=9))
    except ValueError:
        assert policy == "error"
        assert len(found) == spec.drawn(9).count_until_error(8000)
        return
    rows = spec.rows(8000, 9)
    np.testing.assert_array_equal(found, np.where(rows < 0, 7, samples[rows]))


def test_fields_of_a_sample_share_the_draw_of_their_epoch(make_video):
    sample = {"__key__": "a", "mp4": make_video(n=45).read_bytes(), "npy": np.arange(45)}
    spec, starts = WindowSpec(4, 9, offset="random"), set()
    for epoch in range(6):
        found = list(wds.clips(spec, keys=("mp4", "npy"), seed=1, epoch=epoch)([dict(sample)]))
        rows = spec.rows(45, wds.sample_rng(1, epoch, "a"))
        assert [each["npy"].tolist() for each in found] == rows.tolist()
        assert [each["clip.json"]["frame_indices"] for each in found] == rows.tolist()
        starts.add(int(rows[0, 0]))
        for keys in ("mp4", "npy"):
            assert SampleClips(spec, keys=keys, seed=1).count(sample, epoch) == len(rows)
    assert len(starts) > 2


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
@pytest.mark.parametrize("policy", ["drop", "wrap", "backpad"])
def test_loader_resumes(tmp_path, make_video, policy):
    spec = WindowSpec(4, 7, policy=policy, offset="random")
    values, _ = check_every_of_videos(tmp_path, [make_video(n=30 + i, g="8") for i in range(4)], spec)
    assert values[0] != values[1]


def test_every_segment_draws_its_own():
    array, spec, segments = np.arange(90), WindowSpec(4, 9, policy="repeat_last", offset="random"), [(0, 50), (20, 90)]
    seed, offsets = segment_seed(np.random.default_rng(5)), set()
    found = windows.extract(array, spec, segments=segments, rng=5).tolist()
    wanted = []
    for number, (start, end) in enumerate(segments):
        rows = spec.rows(end - start, segment_rng(seed, number))
        offsets.add(int(rows[0, 0]))
        wanted += (rows + start).tolist()
    assert found == wanted
    assert len(offsets) == 2


def keys_of(loader):
    with loader:
        return [key for batch in loader for key in batch["__key__"]]


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
@pytest.mark.parametrize("drop_last", [False, True])
def test_equal_batches_are_those_of_every_epoch(tmp_path, monkeypatch, drop_last):
    lengths = (9, 17, 30, 12, 41, 8)
    urls = [write_shard(tmp_path / f"{i}.tar", [array_sample(f"a{i}", n)]) for i, n in enumerate(lengths)]
    spec, totals = WindowSpec(3, 8, offset="random"), set()
    monkeypatch.setenv("WORLD_SIZE", "2")
    every = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        loader = Loader(urls, spec, batch_size=2, memory="2MB", equal_batches=True, drop_last=drop_last)
        found = []
        for _ in range(5):
            batches = len(loader)
            found.append(keys_of(loader))
            assert -(-len(found[-1]) // 2) == batches
        every.append(found)
    for epoch, (first, second) in enumerate(zip(*every)):
        drawn = [len(spec.rows(n, wds.sample_rng(0, epoch, f"a{i}"))) for i, n in enumerate(lengths)]
        assert len(first) == len(second)
        if drop_last:
            assert len({*first, *second}) == len(first) + len(second) <= sum(drawn)
        else:
            assert len({*first, *second}) == sum(drawn)
        totals.add(sum(drawn))
    assert len(totals) > 1


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
def test_equal_batches_resume(tmp_path):
    urls = [write_shard(tmp_path / f"{i}.tar", [array_sample(f"a{i}", 20 + 3 * i)]) for i in range(4)]
    spec = WindowSpec(3, 8, offset="random")
    check_every(lambda **rest: Loader(urls, spec, batch_size=2, memory="2MB", equal_batches=True, **rest), epochs=3)
