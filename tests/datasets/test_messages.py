"""Messages that say what to do: of shards that are none, names of media, and files that are to be trusted."""

import pytest
from helpers.loaders import WINDOW
from helpers.shards import array_sample, write_shard
from helpers.sound_fields import RATE, SOUND, encoded, wav

import clipx
from clipx import wds

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


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


LIST = b"ffconcat version 1.0\nfile x.mp4\n"


def test_the_hint_to_trust_stands_where_it_can_be_followed():
    with pytest.raises(clipx.MediaError) as caught:
        clipx.audio.clips(LIST, SOUND)
    assert "its format is not one" in str(caught.value)
    assert "trusted" not in str(caught.value)
    with pytest.raises(clipx.MediaError, match=r"VideoOptions\(trusted=True\)"):
        clipx.video.clips(LIST, WINDOW)
