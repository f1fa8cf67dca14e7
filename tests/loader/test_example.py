"""The training script: a run that was killed or stopped goes on with the very losses of an unbroken one."""

import importlib.util
import json
import os
import re
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.forkserver import FORKSERVER, run_script
from helpers.threads import wait_until

pytest.importorskip("torch")

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "train.py"
EVERY = 7  # steps between checkpoints
SECONDS = 120  # that a run may take on a busy machine


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Five shards, so that two ranks have unlike numbers of clips."""
    spec = importlib.util.spec_from_file_location("train", SCRIPT)
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    folder = tmp_path_factory.mktemp("train") / "shards"
    train.make_shards(folder, shards=5, videos=6)
    return sorted(map(str, folder.iterdir()))


class Runs:
    """Runs that share a folder: each goes on where the one before it was."""

    def __init__(self, folder, shards, ranks, epochs):
        self.log, self.checkpoint, self.outputs = folder / "log", folder / "checkpoint", folder
        self.ranks = ranks
        # So little memory that the shuffle holds a small part of an epoch, and states stand in the middle of videos.
        settings = {"--epochs": epochs, "--batch-size": 4, "--memory": "32MB", "--save-every": EVERY}
        settings |= {"--log-file": self.log, "--checkpoint": self.checkpoint}
        self.arguments = [*shards, *(str(each) for pair in settings.items() for each in pair)]

    @contextmanager
    def started(self, threads):
        """The processes of a run, one a rank; they are gone afterwards."""
        env = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
        if self.ranks > 1:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            env |= {"WORLD_SIZE": str(self.ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            env |= {"GLOO_SOCKET_IFNAME": "lo"}
        processes = []
        try:
            for rank in range(self.ranks):
                env_of_rank = {**env, "RANK": str(rank)} if self.ranks > 1 else env
                arguments = [*self.arguments, "--threads", str(threads)]
                output = self.outputs / f"output-{rank}"
                process = FORKSERVER.Process(target=run_script, args=(SCRIPT, arguments, env_of_rank, output))
                process.start()
                processes.append(process)
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.join()

    def stop(self, step, number, ranks, threads):
        """Start, send a signal to some ranks once the log has so many steps, and return all exit codes."""
        with self.started(threads) as processes:
            assert wait_until(
                lambda: len(self.steps()) >= step or any(process.exitcode is not None for process in processes), SECONDS
            )
            for rank in ranks:
                os.kill(processes[rank].pid, number)
            return self.codes(processes)

    def finish(self, threads):
        """Run to the end, and return the log."""
        with self.started(threads) as processes:
            codes = self.codes(processes)
        assert codes == [0] * self.ranks, self.output()
        return self.steps()

    @staticmethod
    def codes(processes):
        """The exit codes of processes, once they have ended."""
        for process in processes:
            process.join(SECONDS)
        return [process.exitcode for process in processes]

    def steps(self):
        """The lines of the log that are whole."""
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def output(self):
        return "".join((self.outputs / f"output-{rank}").read_text() for rank in range(self.ranks))

    def step_in(self, pattern):
        """The step that a line of the last run's output tells."""
        return int(re.search(pattern + r".* after step (\d+)", self.output())[1])


def check_whole(steps, epochs):
    """Every step is there once, and the clips of no two batches are the same."""
    assert [each["step"] for each in steps] == list(range(1, len(steps) + 1))
    assert [each["epoch"] for each in steps] == [epoch for epoch in range(epochs) for _ in range(len(steps) // epochs)]
    assert len({each["crc32"] for each in steps}) == len(steps)


def test_two_ranks_killed_and_stopped(shards, tmp_path):
    """All killed in the first epoch, between two checkpoints; in the second, one of them is told to end."""
    (tmp_path / "unbroken").mkdir()
    wanted = Runs(tmp_path / "unbroken", shards, ranks=2, epochs=2).finish(threads=2)
    # The rank of two shards has 12 videos of 7 clips, and the other has as many batches.
    assert len(wanted) == 2 * (12 * 7 // 4)
    check_whole(wanted, epochs=2)

    runs = Runs(tmp_path, shards, ranks=2, epochs=2)
    codes = runs.stop(2 * EVERY + 3, signal.SIGKILL, ranks=(0, 1), threads=1)
    assert codes == [-signal.SIGKILL] * 2, runs.output()
    found = runs.steps()
    assert found == wanted[: len(found)]

    codes = runs.stop(len(wanted) // 2 + 10, signal.SIGTERM, ranks=(1,), threads=3)
    assert codes == [128 + signal.SIGTERM] * 2, runs.output()
    saved = runs.step_in("goes on")
    assert saved % EVERY == 0
    assert 2 * EVERY <= saved <= len(found) < len(wanted)
    found = runs.steps()
    assert found == wanted[: runs.step_in("stopped")]

    assert runs.finish(threads=2) == wanted
    assert runs.step_in("goes on") == len(found) < len(wanted)


def test_one_process_interrupted(shards, tmp_path):
    (tmp_path / "unbroken").mkdir()
    wanted = Runs(tmp_path / "unbroken", shards, ranks=1, epochs=1).finish(threads=2)
    assert len(wanted) == 5 * 6 * 7 // 4
    check_whole(wanted, epochs=1)

    runs = Runs(tmp_path, shards, ranks=1, epochs=1)
    codes = runs.stop(EVERY + 3, signal.SIGINT, ranks=(0,), threads=3)
    assert codes == [128 + signal.SIGINT], runs.output()
    stopped = runs.step_in("stopped")
    assert runs.steps() == wanted[:stopped]
    assert runs.finish(threads=1) == wanted
    assert runs.step_in("goes on") == stopped < len(wanted)
