"""Names in `keys=`, in the stage and in the Loader: fields, alternatives, members, names of its own."""

import json
import pickle

import numpy as np
import pytest
from helpers.arrays import array, npy, npz
from helpers.loaders import WINDOW
from helpers.shards import write_shard
from helpers.sound_fields import MONO, SOUND, encoded, flac, samples_of, wav

import clipx
from clipx import wds
from clipx.datasets.keys import Key, parse_keys

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


def of_seed(clips, seed):
    """Whether clips are those of `samples_of`."""
    wanted = (samples_of(seed)[:4000] / 32768).astype(np.float32).reshape(2, 1, 2000)
    return len(clips) == 2 and all((a == b).all() for a, b in zip(clips, wanted))


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
