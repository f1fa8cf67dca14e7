"""What `keys=` names, in the stage and in the Loader, and which fields are cut without it."""

import io
import json
import logging
import pickle
import wave

import av
import numpy as np
import pytest
from helpers.arrays import array, npy, npz
from helpers.loaders import WINDOW
from helpers.shards import array_sample, write_shard

import clipx
from clipx import wds
from clipx.datasets.keys import Key, parse_keys

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

RATE = 8000
SOUND = clipx.WindowSpec(2000)
MONO = clipx.AudioFormat(sample_rate=RATE, mono=True)


def wav(seed=0, n=5000):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples_of(seed, n).tobytes())
    return out.getvalue()


def samples_of(seed=0, n=5000):
    return np.random.default_rng(seed).integers(-1000, 1000, n).astype(np.int16)


def encoded(container, codec, seed=0, n=5000, rate=RATE):
    """The sound of `samples_of` in another container."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        samples = samples_of(seed, n)[None]
        if stream.format.name.startswith("flt"):
            samples = samples.astype(np.float32) / 32768
        for at in range(0, n, 1024):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, at : at + 1024]), format=stream.format.name, layout="mono"
            )
            frame.sample_rate, frame.pts = rate, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def flac(seed=0):
    return encoded("flac", "flac", seed)


def of_seed(clips, seed):
    """Whether clips are those of `samples_of`."""
    wanted = (samples_of(seed)[:4000] / 32768).astype(np.float32).reshape(2, 1, 2000)
    return len(clips) == 2 and all((a == b).all() for a, b in zip(clips, wanted))


# What keys= says


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (None, None),
        ("mp4", [Key("mp4", ("mp4",))]),
        ("wav;flac", [Key("wav", ("wav", "flac"))]),
        (" wav ; flac ", [Key("wav", ("wav", "flac"))]),
        (
            ("front.mp4", "rear.mp4;rear.avi"),
            [Key("front.mp4", ("front.mp4",)), Key("rear.mp4", ("rear.mp4", "rear.avi"))],
        ),
        ({"sound": "wav;flac"}, [Key("sound", ("wav", "flac"))]),
        ({"x": "npz:x"}, [Key("x", ("npz:x",))]),
    ],
)
def test_keys_are_read(keys, found):
    assert parse_keys(keys) == found


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (3, TypeError),
        ("", ValueError),
        ([], ValueError),
        ({}, ValueError),
        ("wav;", ValueError),
        ([3], ValueError),
        ({"a": ["wav"]}, ValueError),
        ({"": "wav"}, ValueError),
        ({"a;b": "wav"}, ValueError),
        ({3: "wav"}, ValueError),
        ({"__key__": "wav"}, ValueError),
        ({"clip.json": "wav"}, ValueError),
        (["wav", "wav"], ValueError),
        ({"a": "wav", "b": "wav"}, ValueError),
    ],
)
def test_keys_that_say_nothing(keys, kind):
    with pytest.raises(kind, match="keys"):
        wds.clips(SOUND, keys=keys)
    with pytest.raises(kind, match="keys"):
        clipx.Loader("x.tar", SOUND, batch_size=1, keys=keys)


# Alternatives


@pytest.mark.parametrize(
    ("keys", "name"), [("wav;flac", "wav"), ({"sound": "wav;flac"}, "sound"), (["wav;flac"], "wav")]
)
def test_alternatives_stand_under_one_name(keys, name):
    stage = wds.clips(SOUND, keys=keys)
    samples = [{"__key__": "a", "flac": flac(1), "txt": "x"}, {"__key__": "b", "wav": wav(2)}]
    out = list(stage(samples))
    assert [each["__key__"] for each in out] == ["a_000000", "a_000001", "b_000000", "b_000001"]
    assert of_seed([each[name] for each in out[:2]], 1)
    assert of_seed([each[name] for each in out[2:]], 2)
    assert all(set(each) - {"txt"} == {"__key__", "clip.json", name} for each in out)


def test_the_first_alternative_is_taken_and_the_others_stay():
    both = {"__key__": "a", "flac": flac(1), "wav": wav(2)}
    for keys, seed, other in (("wav;flac", 2, "flac"), ("flac;wav", 1, "wav")):
        out = list(wds.clips(SOUND, keys={"sound": keys})([both]))
        assert of_seed([each["sound"] for each in out], seed)
        assert all(each[other] == both[other] for each in out)


def test_no_alternative():
    with pytest.raises(ValueError, match=r"no field 'wav' or 'flac' among txt.*'a'"):
        list(wds.clips(SOUND, keys="wav;flac")([{"__key__": "a", "txt": "x"}]))


def test_alternatives_of_members_and_kinds():
    x, y = array(9, 1), array(9, 2)
    samples = [
        {"__key__": "a", "npz": npz(x=x, cls=np.arange(3))},
        {"__key__": "b", "npz": npz(y=y)},
        {"__key__": "c", "npy": npy(x)},
    ]
    out = list(wds.clips(WINDOW, keys={"clip": "npz:x;npz:y;npy"})(samples))
    for key, source in zip("abc", (x, y, x)):
        mine = [each for each in out if each["__key__"].startswith(key)]
        assert all((each["clip"] == source[2 * i : 2 * i + 4]).all() for i, each in enumerate(mine)), key
        assert len(mine) == 3
        assert ("npz" in mine[0]) == (key == "a")
    assert out[0]["npz"]["cls"].tolist() == [0, 1, 2]
    # Under its own name, a member stays one, also where it comes from another field.
    out = list(wds.clips(WINDOW, keys="npz:x;npy")([samples[0], samples[2]]))
    assert all(each["npz"]["x"].shape == (4, 8, 8, 3) for each in out)


def test_cameras_with_alternatives_share_one_plan(make_video):
    front, rear = make_video(n=20).read_bytes(), make_video(n=20, suffix=".mkv", container="matroska").read_bytes()
    keys = {"front": "front.mp4;front.mkv", "rear": "rear.mp4;rear.mkv"}
    out = list(wds.clips(WINDOW, keys=keys)([{"__key__": "a", "front.mkv": rear, "rear.mp4": front}]))
    assert len(out) == 9
    assert all(each["front"].shape == each["rear"].shape == (4, 48, 64, 3) for each in out)


# In the Loader


@pytest.fixture
def sounds(tmp_path):
    samples = [{"__key__": f"a{i}", ("wav", "flac")[i % 2]: (wav, flac)[i % 2](i), "cls": i} for i in range(6)]
    return write_shard(tmp_path / "sounds.tar", samples)


@pytest.mark.parametrize(("keys", "name"), [("wav;flac", "wav"), ({"sound": "wav;flac"}, "sound")])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_of_mixed_kinds(sounds, keys, name, shuffle):
    loader = clipx.Loader(sounds, SOUND, audio=MONO, batch_size=4, memory="1MB", keys=keys, shuffle=shuffle)
    found = {}
    for batch in loader:
        assert batch[name].shape == (4, 1, 2000)
        for key, clip, cls in zip(batch["__key__"], batch[name], batch["cls"]):
            found.setdefault(int(cls), {})[key] = clip.copy()
        del batch
    assert sorted(found) == list(range(6))
    assert all(of_seed([found[i][key] for key in sorted(found[i])], i) for i in found)


@pytest.mark.parametrize("keys", [None, "npz:x", {"x": "npz:x"}, "npz:x;npy"])
def test_a_loader_of_members(tmp_path, keys):
    """More batches than there are slots, resumed in the middle."""
    samples = [{"__key__": f"s{i}", "npz": npz(x=array(9, i))} for i in range(30)]
    if isinstance(keys, str) and ";" in keys:
        samples[7] = {"__key__": "s7", "npy": npy(array(9, 7))}
    url = write_shard(tmp_path / "a.tar", samples)

    def make():
        return clipx.Loader(url, WINDOW, batch_size=4, memory="100kB", keys=keys, drop_last=False, shuffle=True)

    def values(batches):
        out = []
        for batch in batches:
            clips = batch["x"] if isinstance(keys, dict) else batch["npz"]["x"]
            assert isinstance(clips, np.ndarray)
            assert clips.shape[1:] == (4, 8, 8, 3)
            out += [(key, clip.tobytes()) for key, clip in zip(batch["__key__"], clips)]
            del batch, clips
        return out

    whole = values(make())
    wanted = {f"s{i}_{j:06d}": array(9, i)[2 * j : 2 * j + 4].tobytes() for i in range(30) for j in range(3)}
    assert dict(whole) == wanted
    loader = make()
    iterator = iter(loader)
    head = values(next(iterator) for _ in range(5))
    state = json.loads(json.dumps(loader.state_dict()))
    iterator.close()
    other = make()
    other.load_state_dict(state)
    assert head + values(pickle.loads(pickle.dumps(other))) == whole
    iterator = iter(loader)
    head = values(next(iterator) for _ in range(3))
    again = pickle.loads(pickle.dumps(loader))
    assert again.state_dict() == loader.state_dict()
    iterator.close()
    if keys is not None:
        with pytest.raises(ValueError, match="keys"):
            clipx.Loader(url, WINDOW, batch_size=4, memory="100kB", drop_last=False).load_state_dict(state)


def test_members_beside_those_that_are_cut(tmp_path):
    samples = [{"__key__": f"s{i}", "npz": npz(x=array(9, i), cls=np.arange(i, i + 2))} for i in range(4)]
    loader = clipx.Loader(
        write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=3, memory="80kB", keys="npz:x", shuffle=False
    )
    for i, batch in enumerate(loader):
        assert batch["npz"]["cls"].tolist() == [[i, i + 1]] * 3
        assert set(batch["npz"]) == {"x", "cls"}
        del batch


@pytest.mark.parametrize("keys", [["npz:x", "npz:y"], {"a": "npz:x", "b": "npz:y"}])
def test_two_members_share_one_plan(tmp_path, keys):
    samples = [{"__key__": f"s{i}", "npz": npz(x=array(9, i), y=array(9, i + 50, (2,)))} for i in range(12)]
    url = write_shard(tmp_path / "a.tar", samples)
    loader = clipx.Loader(url, WINDOW, batch_size=4, memory="120kB", keys=keys)
    seen = 0
    for batch in loader:
        x, y = (batch["a"], batch["b"]) if isinstance(keys, dict) else (batch["npz"]["x"], batch["npz"]["y"])
        for key, one, other in zip(batch["__key__"], x, y):
            i, j = int(key[1:-7]), int(key[-6:])
            assert (one == array(9, i)[2 * j : 2 * j + 4]).all()
            assert (other == array(9, i + 50, (2,))[2 * j : 2 * j + 4]).all()
            seen += 1
        del batch, x, y, one, other
    assert seen == 36


def test_counts_of_alternatives(sounds):
    loader = clipx.Loader(
        sounds, SOUND, audio=MONO, batch_size=2, memory="1MB", keys="wav;flac", equal_batches=True, drop_last=False
    )
    assert len(loader) == 6
    assert sum(len(batch["wav"]) for batch in loader) == 12


def rename(sample):
    for name in ("wav", "flac"):
        if name in sample:
            sample["sound"] = sample.pop(name)
    return sample


def test_map_comes_before_fields_are_compared(sounds):
    loader = clipx.Loader(sounds, SOUND, audio=MONO, batch_size=4, memory="1MB", map=rename)
    assert sum(len(batch["sound"]) for batch in loader) == 12
    assert [set(batch) for batch in loader] == [{"__key__", "__url__", "clip.json", "cls", "sound"}] * 3


def test_batches_of_renamed_clips_are_slots(sounds):
    """A batch's memory comes from the pool, whatever its field is called."""
    loader = clipx.Loader(sounds, SOUND, audio=MONO, batch_size=4, memory="1MB", map=rename)
    assert [clipx.memory.leases(batch) for batch in loader] == [1, 1, 1]
    halves = clipx.Loader(
        sounds,
        SOUND,
        audio=MONO,
        batch_size=4,
        memory="1MB",
        keys="wav;flac",
        map=lambda sample: {**sample, "wav": sample["wav"][:, :1000], "second": sample["wav"][:, 1000:]},
    )
    assert [batch["second"].shape for batch in halves] == [(4, 1, 1000)] * 3


def test_without_keys_a_dataset_of_mixed_kinds_says_so(sounds, caplog):
    loader = clipx.Loader(sounds, SOUND, audio=MONO, batch_size=4, memory="1MB", shuffle=False)
    with pytest.raises(
        ValueError, match=r"'a0_000000'.*'wav'.*'a1_000000'.*'flac'.*mixed kinds.*keys='wav;flac'"
    ) as caught:
        list(loader)
    assert (caught.value.key, caught.value.field, caught.value.shard) == ("a1_000000", "flac", sounds)
    loader = clipx.Loader(
        sounds, SOUND, audio=MONO, batch_size=2, memory="1MB", shuffle=False, handler=wds.log_and_continue
    )
    with caplog.at_level(logging.WARNING, "clipx"):
        assert sum(len(batch["wav"]) for batch in loader) == 6
    assert "keys='wav;flac'" in caplog.records[0].message
    assert {entry.key[:2] for entry in loader.errors} == {"a1", "a3", "a5"}


# Fields that samples may lack


def test_optional_fields(tmp_path):
    samples = [
        array_sample("a", 6, txt="words", cls=1, **{"vec.npy": npy(np.arange(3))}),
        array_sample("b", 6, cls=2),
        array_sample("c", 6, **{"vec.npy": npy(np.arange(3) + 1), "more.json": {"n": 1}}),
    ]
    loader = clipx.Loader(
        write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=3, memory="60kB", keys="npy", shuffle=False
    )
    first, second = list(loader)
    assert first["__key__"] == ["a_000000", "a_000001", "b_000000"]
    assert first["txt"] == ["words", "words", None]
    assert first["cls"].tolist() == [1, 1, 2]
    assert [None if each is None else each.tolist() for each in first["vec.npy"]] == [[0, 1, 2], [0, 1, 2], None]
    assert "more.json" not in first
    assert second["__key__"] == ["b_000001", "c_000000", "c_000001"]
    assert "txt" not in second
    assert second["cls"] == [2, None, None]
    assert [None if each is None else each.tolist() for each in second["vec.npy"]] == [None, [1, 2, 3], [1, 2, 3]]
    assert second["more.json"] == [None, {"n": 1}, {"n": 1}]
    del first, second


def test_an_optional_clip_that_map_makes_keeps_no_slot(tmp_path):
    """A view of a clip in a list is copied, so that the pool does not run out."""
    samples = [array_sample(f"s{i}", 30, **({"txt": "x"} if i % 2 else {})) for i in range(20)]

    def change(sample):
        return {**sample, "first": sample["npy"][0]} if "txt" in sample else sample

    loader = clipx.Loader(write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=8, memory="80kB", map=change)
    seen = 0
    for batch in loader:
        for at, (clip, first, text) in enumerate(zip(batch["npy"], batch["first"], batch["txt"])):
            assert (first is None) == (text is None), at
            if first is not None:
                assert (clip[0] == first).all()
        seen += len(batch["__key__"])
        del batch, clip, first
    assert seen == 280 // 8 * 8


def test_values_of_several_types_stand_in_a_list(tmp_path):
    samples = [array_sample("a", 6), array_sample("b", 6), array_sample("c", 6)]
    values = {"a": [1, "x"], "b": ["x", 1], "c": [2.5, np.arange(2)]}

    def change(sample):
        key, number = sample["__key__"].split("_")
        return {**sample, "value": values[key][int(number)]}

    url = write_shard(tmp_path / "a.tar", samples)
    loader = clipx.Loader(url, WINDOW, batch_size=2, memory="60kB", map=change, shuffle=False)
    assert [list(map(str, batch["value"])) for batch in loader] == [["1", "x"], ["x", "1"], ["2.5", "[0 1]"]]


def test_sizes_that_differ_are_named_with_a_cure(tmp_path, make_video):
    small, large = (make_video(n=8, size=size).read_bytes() for size in ((48, 64), (64, 96)))
    for order in ([small, large], [large, small]):
        samples = [{"__key__": f"v{i}", "mp4": video} for i, video in enumerate(order)]
        loader = clipx.Loader(
            write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=4, memory="8MB", shuffle=False
        )
        with pytest.raises(ValueError) as caught:
            list(loader)
        assert (caught.value.key[:2], caught.value.field) == ("v1", "mp4")
        for words in ("'v0_000000'", "'v1", "(4, 48, 64, 3)", "(4, 64, 96, 3)", "resize", "crop"):
            assert words in str(caught.value)
    clips = [{"__key__": "a", "mp4": np.zeros((4, 48, 64, 3))}, {"__key__": "b", "mp4": np.zeros((4, 64, 96, 3))}]
    with pytest.raises(ValueError, match=r"\(4, 48, 64, 3\).*'a'.*\(4, 64, 96, 3\).*'b'.*resize"):
        list(wds.batched(2)(clips))


def test_pool_exhausted_behind_a_shuffle_names_its_reserve():
    pool = clipx.ClipPool(20, (4, 8, 8, 3))
    samples = [array_sample(f"s{i}", 40) for i in range(5)]
    stages = wds.batched(8)(wds.shuffle(pool=pool)(wds.clips(WINDOW, pool=pool)(samples)))
    with pytest.raises(clipx.PoolExhausted, match=r"reserve= above \d+.*batch_size") as caught:
        list(stages)
    assert "raise slots" not in str(caught.value)
    del caught, stages
    stages = wds.batched(8)(wds.shuffle(pool=pool, reserve=pool.reserve + 8)(wds.clips(WINDOW, pool=pool)(samples)))
    assert sum(len(batch["npy"]) for batch in stages) == 5 * 19


# What a shard argument can be mistaken for


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("video.mp4", r"a video.*clipx\.video\.clips.*TarWriter"),
        ("https://host/a/VIDEO.MP4?x=1", "a video"),
        ("talk.flac", r"a sound.*clipx\.audio\.clips"),
        ("x-{000..003}.npy", r"an array.*clipx\.windows\.extract"),
        ("shards/*.tar", r"pattern.*glob\.glob\('shards/\*\.tar'\).*braces"),
        ("shards/[ab].tar", "pattern"),
        ("{folder}", r"a folder.*glob\.glob\('.*\*\.tar'\)"),
    ],
)
def test_what_is_no_shard_says_what_to_do(tmp_path, url, words):
    url = str(tmp_path) if url == "{folder}" else url
    for urls in (url, [url]):
        if "{" in url and urls == [url]:
            continue
        with pytest.raises(ValueError, match=words):
            clipx.Loader(urls, WINDOW, batch_size=1)
        with pytest.raises(ValueError, match=words):
            wds.mapped_samples(urls)


def test_what_may_be_a_shard_is_taken(tmp_path):
    odd = write_shard(tmp_path / "a[1]*.tar", [array_sample("a", 9)])
    for url in ("pipe:cat a.mp4", "-", "data/shard-000", "https://host/a?b=*.tar", odd):
        clipx.Loader([url], WINDOW, batch_size=1)


# Which fields are cut without keys=


@pytest.mark.parametrize(
    ("field", "container", "codec"),
    [
        ("aac", "adts", "aac"),
        ("aiff", "aiff", "pcm_s16be"),
        ("aif", "aiff", "pcm_s16be"),
        ("oga", "ogg", "flac"),
        ("wma", "asf", "wmav2"),
        ("ac3", "ac3", "ac3"),
        ("mka", "matroska", "pcm_s16le"),
        ("caf", "caf", "pcm_s16le"),
        ("au", "au", "pcm_s16be"),
        ("w64", "w64", "pcm_s16le"),
        ("front.left.WAV", "wav", "pcm_s16le"),
        ("m4b", "ipod", "aac"),
    ],
)
def test_names_of_sound(field, container, codec):
    rate = 44100 if codec in ("ac3", "wmav2") else RATE
    data = encoded(container, codec, rate=rate)
    wanted = [clip.data for clip in clipx.audio.clips(data, SOUND)]
    assert len(wanted) >= 2
    got = [clip[field] for clip in wds.clips(SOUND)([{"__key__": "a", field: data}])]
    assert len(got) == len(wanted)
    assert all((a == b).all() for a, b in zip(got, wanted))


@pytest.mark.parametrize(
    ("field", "container", "codec"),
    [
        ("m4v", "mp4", "libx264"),
        ("3gp", "3gp", "libx264"),
        ("flv", "flv", "flv"),
        ("mpeg", "mpeg", "mpeg2video"),
        ("vob", "vob", "mpeg2video"),
        ("m2ts", "mpegts", "mpeg2video"),
        ("wmv", "asf", "msmpeg4"),
        ("rear.f4v", "mp4", "libx264"),
    ],
)
def test_names_of_video(make_video, field, container, codec):
    data = make_video(n=20, codec=codec, container=container).read_bytes()
    wanted = [clip.data for clip in clipx.video.clips(data, WINDOW)]
    got = [clip[field] for clip in wds.clips(WINDOW)([{"__key__": "a", field: data, "wav": wav()}])]
    assert len(got) == len(wanted) > 0
    assert all((a == b).all() for a, b in zip(got, wanted))


def test_a_field_that_keys_names_is_looked_into(make_video):
    video, x = make_video(n=20).read_bytes(), array(20)
    sounds = [(data, SOUND, len(list(clipx.audio.clips(data, SOUND)))) for data in (wav(), encoded("adts", "aac"))]
    for value, window, count in ((video, WINDOW, 9), (npy(x), WINDOW, 9), (x, WINDOW, 9), *sounds):
        out = list(wds.clips(window, keys="data")([{"__key__": "a", "data": value}]))
        assert len(out) == count
    out = list(wds.clips(WINDOW, keys="data:x")([{"__key__": "a", "data": npz(x=x, y=x)}]))
    assert len(out) == 9
    assert set(out[0]["data"]) == {"x", "y"}
    with pytest.raises(clipx.MediaError, match="field 'data' of sample 'a' cannot be opened"):
        list(wds.clips(WINDOW, keys="data")([{"__key__": "a", "data": b"nothing" * 99}]))


def test_a_samples_own_fields_are_not_lost(make_video):
    video = make_video(n=20).read_bytes()
    sample = {"__key__": "a", "mp4": video, "clip.json": b"{}", "audio": "mine", "sound": 3}
    (first, *_) = wds.clips(WINDOW)([sample])
    assert first["source.clip.json"] == b"{}"
    assert first["clip.json"]["index"] == 0
    assert first["audio"] == "mine"  # no sound was asked for
    (again, *_) = wds.clips(clipx.WindowSpec(2), keys="mp4")([{**first, "__key__": "b"}])
    assert again["source.clip.json"] == b"{}"
    assert again["source.source.clip.json"]["index"] == 0
    (named, *_) = wds.clips(WINDOW, keys={"sound": "mp4"})([sample])
    assert named["source.sound"] == 3
    assert named["sound"].shape == (4, 48, 64, 3)


# Encoded bytes as arrays, and numbers that NumPy does not know


def test_encoded_bytes_as_arrays_and_tensors(make_video):
    video, sound = make_video(n=20).read_bytes(), wav()
    kinds = [lambda data: np.frombuffer(data, np.uint8), lambda data: np.frombuffer(data, np.uint8).repeat(2)[::2]]
    try:
        import torch
    except ImportError:
        pass
    else:
        kinds.append(lambda data: torch.frombuffer(bytearray(data), dtype=torch.uint8))
    for kind in kinds:
        for src, cut, field, window in (
            (video, clipx.video.clips, "mp4", WINDOW),
            (sound, clipx.audio.clips, "wav", SOUND),
        ):
            wanted = [clip.data for clip in cut(src, window)]
            direct = [clip.data for clip in cut(kind(src), window)]
            stage = [clip[field] for clip in wds.clips(window)([{"__key__": "a", field: kind(src)}])]
            for got in (direct, stage):
                assert len(got) == len(wanted) > 0
                assert all((a == b).all() for a, b in zip(got, wanted))
        assert len(list(wds.clips(WINDOW)([{"__key__": "a", "npy": kind(npy(array(9)))}]))) == 3
    with pytest.raises(TypeError, match="src has items"):
        clipx.video.clips(np.zeros((3, 3), np.uint8), WINDOW)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_of_torch_in_windows(name):
    torch, ml_dtypes = pytest.importorskip("torch"), pytest.importorskip("ml_dtypes")
    tensor = torch.arange(24).reshape(12, 2).to(getattr(torch, name))
    for value, wanted in ((tensor, tensor), (tensor.T, tensor.T)):
        clips = clipx.windows.extract(value, 2 if value is tensor else 1)
        assert clips.dtype == getattr(ml_dtypes, name)
        whole = wanted.float().numpy()
        assert (clips.astype(np.float32).reshape(whole.shape) == whole).all()


LIST = b"ffconcat version 1.0\nfile x.mp4\n"


def test_the_hint_to_trust_stands_where_it_can_be_followed():
    with pytest.raises(clipx.MediaError) as caught:
        clipx.audio.clips(LIST, SOUND)
    assert "its format is not one" in str(caught.value)
    assert "trusted" not in str(caught.value)
    with pytest.raises(clipx.MediaError, match=r"VideoOptions\(trusted=True\)"):
        clipx.video.clips(LIST, WINDOW)
