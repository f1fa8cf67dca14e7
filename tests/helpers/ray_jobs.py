"""What tasks of Ray do in tests: functions that give the segments of a sample."""

import os
import signal
import time
from pathlib import Path

SEGMENTS = [(0, 0.5)]


class Gate:
    """Says on which node it is asked, by a file of the node's name, and answers when there is a file "open"."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, sample):
        import ray

        self.folder.mkdir(exist_ok=True)
        (self.folder / ray.get_runtime_context().get_node_id()).touch()
        while not (self.folder / "open").exists():
            time.sleep(0.02)
        return SEGMENTS

    def open(self):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "open").touch()

    def nodes(self):
        """Names of the nodes where it has been asked."""
        return {path.name for path in self.folder.glob("*")} - {"open"}


class Crash:
    """Kills its process at one sample."""

    def __init__(self, key):
        self.key = key

    def __call__(self, sample):
        if sample["__key__"] == self.key:
            os.kill(os.getpid(), signal.SIGKILL)
        return SEGMENTS
