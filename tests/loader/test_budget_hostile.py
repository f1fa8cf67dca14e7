"""Memory of a Loader of odd and of hostile shards: no more than `memory`, or the sample goes to the handler.

The slack is for what is not the loader's: threads' stacks, the allocator, and tables that a decoder makes once.
"""

import json
import sys

import pytest
from helpers.long import LONG
from helpers.processes import run_python

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process holds"),
]

SLACK = 48_000_000

SCRIPT = r'''
import bz2, gzip, io, json, lzma, os, random, sys, tarfile, traceback
from pathlib import Path
import av, numpy as np
import clipx

folder, WINDOW = Path(sys.argv[1]), clipx.WindowSpec(4, 40)
rng = np.random.default_rng(0)

def npy(frames, side=60, noise=255):
    out = io.BytesIO()
    np.save(out, rng.integers(0, noise + 1, (frames, side, side, 3), np.uint8))
    return out.getvalue()

def npz(frames, side=60, save=np.savez_compressed):
    out = io.BytesIO()
    save(out, x=np.zeros((frames, side, side, 3), np.uint8))
    return out.getvalue()

def video(width, height, frames, refs, pix_fmt="yuv420p"):
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.options = {"preset": "ultrafast", "x264-params": f"ref={refs}:bframes=0:keyint=1000:log-level=none"}
        picture = np.add.outer(np.arange(height), np.arange(width))
        for k in range(frames):
            image = np.repeat(((picture + 7 * k) % 256).astype(np.uint8)[..., None], 3, 2)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return out.getvalue()

def tar(name, samples, pack=None):
    path = folder / name
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
        for key, fields in samples:
            for field, data in fields.items():
                info = tarfile.TarInfo(f"{key}.{field}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    if pack is not None:
        path.write_bytes(pack(path.read_bytes()))
    return str(path)

def hole(size):
    """A member of one hole: half a kilobyte."""
    header = bytearray(tarfile.TarInfo("hole.npy").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[257:265] = b"S", b"ustar  \0"
    header[386:398], header[398:410], header[483:495] = b"%011o\0" % 0, b"%011o\0" % 0, b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)

def each(count, fields):
    return [(f"s{i:02d}", fields(i)) for i in range(count)]

small, clip = npy(80), clipx.ClipFormat(resize=(60, 60))
good = {f"s{i:02d}" for i in range(8)}
odd = {f"s{i:02d}" for i in range(1, 8, 2)}

def packed(): return tar("a.tar", each(8, lambda i: {"npz": npz(3000)})), "150MB", {}, good
def packed_by_lzma():
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("x.npy", npy(3000, noise=0))
    return tar("a.tar", each(8, lambda i: {"npz": out.getvalue()})), "150MB", {}, good
def packed_too_large():
    data = {"npz": npz(7000)}
    return tar("a.tar", each(8, lambda i: data if i % 2 else {"npz": npz(90)})), "60MB", {}, good - odd
def texts_that_grow():
    data = gzip.compress(b"x" * 4_000_000)
    return tar("a.tar", each(8, lambda i: {"npy": small, "txt.gz": data})), "150MB", {"batch_size": 1}, good
def texts_that_grow_too_much():
    data, little = gzip.compress(bytes(90_000_000), 1), gzip.compress(b"words")
    rest = {"npy": small}
    return tar("a.tar", each(8, lambda i: {**rest, "txt.gz": little if i % 2 else data})), "100MB", {}, odd
def lists_of_nothing():
    data = b"[" + b"[]," * 1_500_000 + b"0]"
    return tar("a.tar", each(8, lambda i: {"npy": small, "json": b"1" if i % 2 else data})), "100MB", {}, odd
def fields_larger_than_the_first():
    text, data = bytes(rng.integers(97, 123, 200_000, np.uint8)), npy(4, 20)
    samples = [(f"s{i:04d}", {"npy": data, "txt": text[i : i + (60_000 if i else 10)]}) for i in range(2000)]
    return tar("a.tar", samples), "60MB", {"batch_size": 2}, {key for key, _ in samples}
def large_samples():
    return tar("a.tar", each(8, lambda i: {"npy": npy(3000) if i in (3, 4) else npy(900)})), "120MB", {}, good
def larger_samples():
    samples = each(8, lambda i: {"npy": npy(5000) if i % 4 == 1 else npy(90)})
    return tar("a.tar", samples), "60MB", {}, good - {"s01", "s05"}
def holes():
    path = tar("a.tar", each(8, lambda i: {"npy": small}))
    data = Path(path).read_bytes()
    at = data.find(b"s04.npy")
    Path(path).write_bytes(data[:at] + hole(8**11 - 1) + hole(45_000_000) + data[at:])
    return path, "100MB", {}, good
def bomb(pack):
    return tar("a.tar", each(9, lambda i: {"npy": bytes(70_000_000) if i == 8 else small}), pack), "100MB", {}, good
def bomb_of_gzip(): return bomb(gzip.compress)
def bomb_of_bzip2(): return bomb(lambda data: bz2.compress(data, 1))
def many_references():
    large = video(1280, 720, 40, 16, "yuv420p10le")
    return tar("a.tar", each(6, lambda i: {"mp4": large})), "180MB", {"format": clip}, {f"s{i:02d}" for i in range(6)}
def large_pictures_among_small():
    large, little = video(2560, 1440, 24, 16), video(160, 120, 24, 2)
    samples = each(8, lambda i: {"mp4": large if i in (2, 5) else little})
    return tar("a.tar", samples), "120MB", {"format": clip}, good - {"s02", "s05"}

def status(name):
    return 1000 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

def keys(path, memory, rest, **more):
    found, told = set(), []
    loader = clipx.Loader(path, WINDOW, **{"batch_size": 2, "memory": memory, "threads": 4, "drop_last": False,
                          "handler": lambda exn: told.append(str(exn)[:300]) or True, **rest, **more})
    for batch in loader:
        found |= {key[:-7] for key in batch["__key__"]}
        del batch
    return found, told

keys(tar("warm.tar", each(4, lambda i: {"npy": small, "json": b"1"})), "60MB", {})
keys(tar("warm.tar", each(4, lambda i: {"mp4": video(160, 120, 8, 2)})), "60MB", {"format": clip})
for name in sys.argv[2:]:
    path, memory, rest, wanted = globals()[name]()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            before = status("VmRSS")
            found, told = keys(path, memory, rest)
            result = [status("VmHWM") - before, sorted(found), sorted(wanted), told, memory]
        except BaseException:
            result = traceback.format_exc()
        os.write(writing, json.dumps(result).encode()[:60000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        print(name, file.read().decode(), flush=True)
    os.waitpid(child, 0)
'''

KINDS = [
    ["packed", "texts_that_grow", "lists_of_nothing"],
    ["fields_larger_than_the_first", "large_samples", "holes", "bomb_of_gzip"],
    ["many_references", "large_pictures_among_small"],
]
if LONG:
    KINDS[0] += ["packed_by_lzma", "packed_too_large", "texts_that_grow_too_much"]
    KINDS[1] += ["larger_samples", "bomb_of_bzip2"]


@pytest.mark.parametrize("kinds", KINDS, ids=["fields", "members", "decoders"])
def test_bytes_hold(tmp_path, kinds):
    """Samples that fit come, those that do not are told, and the process stays within its bytes."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    done = run_python(script, tmp_path, *kinds, timeout=160)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines() if line.partition(" ")[0] in kinds]
    assert [name for name, _, _ in lines] == kinds, done.stderr
    held = {}
    for name, _, text in lines:
        result = json.loads(text)
        assert isinstance(result, list), (name, result)
        most, found, wanted, reported, memory = result
        held[name] = f"{most / 1e6:.0f} of {memory}"
        assert found == wanted, (name, reported, held)
        assert most < int(memory[:-2]) * 1_000_000 + SLACK, (held, reported)
    print(held)
