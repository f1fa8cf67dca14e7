"""Ctrl-C while PyAV calls a file object is raised, wherever it comes."""

import io
import signal
import subprocess
import sys
import textwrap

import pytest

import clipx
from clipx.media import file_objects

CHILD = """
    import io, os, signal, sys, threading, time
    from pathlib import Path
    import clipx

    data, kind, after = Path(sys.argv[1]).read_bytes(), sys.argv[2], float(sys.argv[3])

    class Pipe:
        def __init__(self):
            self.file = io.BytesIO(data)

        def read(self, size):
            return self.file.read(size)

    def use():
        if kind == "probe":
            clipx.video.probe(io.BytesIO(data))
        else:
            for clip in clipx.video.clips(Pipe() if kind == "pipe" else io.BytesIO(data), clipx.WindowSpec(4)):
                pass

    use()
    for _ in range(3):
        timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        end = time.monotonic() + after + 1
        while time.monotonic() < end or timer.is_alive():
            use()
"""


@pytest.mark.parametrize("kind", ["probe", "clips", "pipe"])
@pytest.mark.parametrize("after", ["0.05", "0.11", "0.2"])
def test_a_signal_to_a_child(make_video, tmp_path, kind, after):
    # A second and a third signal, as few in a thousand are lost: where PyAV raises its own EOFError, the code that
    # Cython runs to add a line to its traceback swallows what a signal's handler raises.
    video = make_video(n=20, container="matroska")
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), video, kind, after],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGINT, (child.returncode, child.stderr)
    assert child.stderr.rstrip().endswith("KeyboardInterrupt")


class AtCall:
    """Raises KeyboardInterrupt where the n-th function of file_objects.py begins, as a signal does."""

    def __init__(self, n=0):
        self.left, self.seen = n, 0

    def __call__(self, frame, event, argument):
        if event == "call" and frame.f_code.co_filename == file_objects.__file__ and frame.f_code.co_name[:2] != "__":
            self.seen += 1
            if self.seen == self.left:
                sys.settrace(None)
                raise KeyboardInterrupt


def traced(tracer, action):
    before = sys.gettrace()
    try:
        sys.settrace(tracer)
        action()
    finally:
        sys.settrace(before)


def test_where_a_function_begins(make_video):
    data = make_video(n=20).read_bytes()
    tracer = AtCall()
    traced(tracer, lambda: clipx.video.probe(io.BytesIO(data)))
    assert tracer.seen > 10
    for n in range(1, tracer.seen + 1):
        with pytest.raises(KeyboardInterrupt):
            traced(AtCall(n), lambda: clipx.video.probe(io.BytesIO(data)))
