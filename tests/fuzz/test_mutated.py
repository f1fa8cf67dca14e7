"""Any mutated member between good samples: all of these come, whole, and nothing is raised past the handler."""

import gzip
import io
import json
import random
import tarfile
import wave

import av
import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import digest

import clipx

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

COUNT = 25  # mutated members of a shard


def video():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "x264-params": "log-level=none"}
        for k in range(8):
            image = np.full((48, 64, 3), 30 * k, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return out.getvalue()


def sound():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(0).integers(-9999, 9999, 4000).astype("<i2").tobytes())
    return out.getvalue()


def npz(save=np.savez_compressed):
    out = io.BytesIO()
    save(out, x=array(8))
    return out.getvalue()


ARRAYS = {"spec": clipx.WindowSpec(4, 2), "format": clipx.ClipFormat(crop=(4, 4), dtype="float32")}
KINDS = {
    "npy": ({"npy": npy(array(8))}, ARRAYS),
    "npz": ({"npz": npz()}, {**ARRAYS, "keys": "npz:x"}),
    "stored npz": ({"npz": npz(np.savez)}, {**ARRAYS, "keys": "npz:x"}),
    "mp4": ({"mp4": video()}, {"spec": clipx.WindowSpec(2), "format": clipx.ClipFormat(resize=(16, 16))}),
    "wav": (
        {"wav": sound()},
        {"spec": clipx.WindowSpec(1000), "audio": clipx.AudioFormat(sample_rate=8000, mono=True)},
    ),
    "json": ({"npy": npy(array(8)), "json": json.dumps({"a": [1, {"b": "é"}], "c": 1.5}).encode()}, ARRAYS),
    "txt.gz": ({"npy": npy(array(8)), "txt.gz": gzip.compress("some wörds".encode() * 20)}, ARRAYS),
}

NUMBERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]


def mutate(rng, data):
    """Bytes flipped, sizes changed, parts cut, moved or repeated."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        kind = rng.randrange(6)
        at = rng.randrange(len(out) or 1) if rng.random() < 0.5 else rng.randrange(min(len(out), 200) or 1)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            size = rng.choice([2, 4, 8])
            out[at : at + size] = (rng.choice(NUMBERS) & (1 << 8 * size) - 1).to_bytes(
                size, rng.choice(["big", "little"])
            )
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + rng.randrange(1, 20)]
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.randrange(1, 20))
        else:
            # A number in text, such as a shape.
            digits = [i for i in range(min(len(out), 300)) if 48 <= out[i] < 58]
            if digits:
                out[rng.choice(digits)] = rng.randrange(48, 58)
    return bytes(out)


def block(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()[: 512 + -(-len(data) // 512) * 512]


def sample(key, fields):
    return b"".join(block(f"{key}.{name}", data) for name, data in fields.items())


def clips(path, reported, **how):
    """Digests of the clips of good samples, by their keys."""
    found = {}
    loader = clipx.Loader(
        str(path), batch_size=1, memory="20MB", threads=2, handler=lambda exn: reported.append(exn) or True, **how
    )
    for batch in loader:
        key = batch["__key__"][0]
        if key.startswith("good"):
            name = next(name for name in ("npy", "npz", "mp4", "wav") if name in batch)
            value = batch[name]
            value = value["x"] if isinstance(value, dict) else value[0]["x"] if isinstance(value, list) else value
            rest = {each: batch[each] for each in ("json", "txt.gz") if each in batch}
            assert key not in found
            found[key] = digest(np.asarray(value)), repr(rest)
        del batch
    return found


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_members(tmp_path, kind, shuffle):
    fields, how = KINDS[kind]
    rng = random.Random(kind + str(shuffle))
    name = list(fields)[-1]
    pieces = []
    for i in range(COUNT):
        pieces.append(sample(f"good{i:02d}", fields))
        pieces.append(sample(f"bad{i:02d}", {**fields, name: mutate(rng, fields[name])}))
    end = sample("good99", fields) + bytes(1024)
    good, mixed, reported = tmp_path / "good.tar", tmp_path / "mixed.tar", []
    good.write_bytes(b"".join(pieces[::2]) + end)
    mixed.write_bytes(b"".join(pieces) + end)
    wanted = clips(good, [], **how)
    assert len(wanted) >= COUNT + 1
    assert clips(mixed, reported, shuffle=shuffle, **how) == wanted
    assert 0 < len(reported) <= COUNT
    assert all(isinstance(exn, ValueError) for exn in reported), reported


def test_mutated_headers(tmp_path):
    """Of the tar file itself: the sample that follows is found again."""
    fields, how = KINDS["npy"]
    rng = random.Random(0)
    pieces = []
    for i in range(COUNT):
        header = bytearray(sample("bad", fields))
        for _ in range(rng.choice([1, 3, 50])):
            at = rng.randrange(512)
            header[at] = (header[at] + rng.randrange(1, 256)) % 256
        if i % 5 == 0:
            header[:512] = rng.randbytes(512)
        pieces += [sample(f"good{i:02d}", fields), bytes(header)]
    end = sample("good99", fields) + bytes(1024)
    good, mixed, reported = tmp_path / "good.tar", tmp_path / "mixed.tar", []
    good.write_bytes(b"".join(pieces[::2]) + end)
    mixed.write_bytes(b"".join(pieces) + end)
    assert clips(mixed, reported, **how) == clips(good, [], **how)
    assert reported
