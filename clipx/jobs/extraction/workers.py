"""Parts of a job done by processes: in this one, or in several others, whose deaths the job outlives."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from clipx import _torchless
from clipx.jobs.extraction.errors import ExtractError, PartsLost
from clipx.jobs.extraction.ordered import Stopped
from clipx.jobs.extraction.part_job import PartJob, run_part
from clipx.jobs.extraction.progress import Progress, Report

__all__ = ["picklable", "run_parts"]

AWAKE_SECONDS = 0.1
END_SECONDS = 15.0
"""Seconds that the end of a process is waited for before it is killed."""

NOT_BEGUN = (
    "a process ended before it began, for the reason that it has printed: a script must call clipx.jobs.extract under "
    "if __name__ == '__main__', as multiprocessing says, or with jobs=1"
)


def run_parts(
    job: PartJob, parts: Iterable[int], jobs: int, report: Report, is_stopped: Callable[[], bool] = lambda: False
) -> None:
    """Do parts of a job.

    Args:
        jobs: threads that work in all: of as many processes as there are parts, at most. With one, this process does
            the work.
        report: called with what has been done since its last call, on this thread.
        is_stopped: asked several times a second.

    A part whose process dies is tried once more, in a process of its own, when the others are done. Raises PartsLost
    for parts whose processes died again, ExtractError where none can be started, and at once what `run_part` raises.
    """
    todo = list(parts)
    processes = max(min(jobs, len(todo)), 1)
    job = replace(job, threads=max(jobs // processes, 1))
    if jobs == 1 or not todo:
        for part in todo:
            run_part(job, part, report, is_stopped)
            report(Progress(parts_done=1))
        return
    _check_picklable(job)
    died = _Processes(job, processes, report, is_stopped).run(todo)
    lost: dict[int, str] = {}
    for part in sorted(died):
        lost |= _Processes(job, 1, report, is_stopped).run([part])
    if lost:
        raise PartsLost(lost)


def _check_picklable(job: PartJob) -> None:
    """Raise ValueError for a job that other processes cannot be given."""
    try:
        pickle.dumps(job)
    except Exception as exn:
        raise ValueError(
            f"the job cannot be given to other processes: {exn}. Take functions of a module that they can import, such "
            f"as for segments=, or jobs=1"
        ) from exn


class _Worker:
    """A process that does one part after the other.

    Attributes:
        part: that it does; None for none.
        counted: what it has reported of it.
    """

    def __init__(self, job: PartJob) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.part: int | None = None
        self.counted = Progress()
        self._has_begun = False
        args = (pickle.dumps((_serve, job)), theirs)
        self._process = context.Process(target=_torchless.call, args=args, name="clipx-extract", daemon=True)
        # Ctrl-C goes to all processes: this one ends the others, which take no notice, not even while they begin.
        resource_tracker.ensure_running()  # its start, amid that of the process, would let the signal through
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def give(self, part: int) -> None:
        """Let it do a part."""
        self.part, self.counted = part, Progress()
        with suppress(OSError):  # it has died, which shows when its answer is waited for
            self.connection.send(part)

    def receive(self) -> Any:
        """Its next message. Raises EOFError where it has died."""
        try:
            found = self.connection.recv()
        except OSError as exn:
            raise EOFError from exn
        self._has_begun = True
        return found

    def how_it_ended(self) -> str:
        """The end of the process, in words. Raises ExtractError where it could not begin."""
        self._process.join(END_SECONDS)
        code = self._process.exitcode
        if not self._has_begun and code == 1:
            raise ExtractError(NOT_BEGUN)
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                memory = ", as the system does where memory runs out" if name == "SIGKILL" else ""
                return f"its process was ended by {name}{memory}"
        return f"its process ended with status {code}"

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


class _Processes:
    """Processes that do parts of a job; those that die are replaced."""

    def __init__(self, job: PartJob, count: int, report: Report, is_stopped: Callable[[], bool]) -> None:
        self._job, self._count, self._report, self._is_stopped = job, count, report, is_stopped
        self._died: dict[int, str] = {}

    def run(self, parts: Iterable[int]) -> dict[int, str]:
        """Do parts; returns those whose processes have died, and how."""
        todo, workers = deque(parts), list[_Worker]()
        try:
            while todo or any(worker.part is not None for worker in workers):
                while todo and len(workers) < self._count:
                    workers.append(_Worker(self._job))
                for worker in workers:
                    if worker.part is None and todo:
                        worker.give(todo.popleft())
                busy = {worker.connection: worker for worker in workers if worker.part is not None}
                for ready in wait(list(busy), AWAKE_SECONDS):
                    worker = busy[ready]  # type: ignore[index]
                    if not self._take(worker):
                        workers.remove(worker)
                        worker.end()
                if self._is_stopped():
                    raise Stopped
        finally:
            for worker in workers:
                worker.connection.close()  # all of them begin to end
            for worker in workers:
                worker.end()
        return self._died

    def _take(self, worker: _Worker) -> bool:
        """Take a message of a process; false where it has died."""
        assert worker.part is not None
        try:
            message = worker.receive()
        except EOFError:
            self._died[worker.part] = worker.how_it_ended()
            self._report(Progress() - worker.counted)
            return False
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Progress):
            worker.counted += message
            self._report(message)
        else:
            worker.part = None
            self._report(Progress(parts_done=1))
        return True


# In the other process


def _serve(job: PartJob, connection: Connection) -> None:
    """Do the parts that come, and send what is done of them; end when the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    stopped, todo = threading.Event(), queue.SimpleQueue[int]()
    thread = threading.Thread(target=_work, args=(job, todo, connection, stopped), name="clipx-parts", daemon=True)
    thread.start()
    with suppress(EOFError, OSError):
        while True:
            todo.put(connection.recv())
    stopped.set()
    thread.join(END_SECONDS / 2)
    if thread.is_alive():
        sys.stderr.flush()
        os._exit(1)  # else its end in C code would crash the interpreter


def _work(job: PartJob, todo: queue.SimpleQueue[int], connection: Connection, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            part = todo.get(timeout=AWAKE_SECONDS)
        except queue.Empty:
            continue
        try:
            run_part(job, part, connection.send, stopped.is_set)
            connection.send(part)
        except Stopped:
            return
        except BrokenPipeError:
            return
        except BaseException as exn:
            with suppress(OSError):
                connection.send(picklable(exn))


def picklable(exn: BaseException) -> BaseException:
    """The error, or one with its message where another process could not read it."""
    try:
        pickle.loads(pickle.dumps(exn))
    except Exception:
        return RuntimeError(f"{type(exn).__name__}: {exn}")
    return exn
