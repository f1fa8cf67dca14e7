"""Work on threads, awaited by a thread that may be interrupted at any line.

Ctrl-C is raised in the main thread between any two steps of Python's, also inside `threading`: a Condition is then
left locked, or a thread half started, for good. So that thread makes only calls that no signal can divide, those of C
such as SimpleQueue's; it neither starts a Thread nor takes a Condition. Others do that, where no signal comes.
"""

from __future__ import annotations

import _thread
import atexit
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Task", "TaskThread", "call", "each_on_a_thread", "task_executor"]

Result = TypeVar("Result")

AWAKE_SECONDS = 0.1
"""Seconds after which a waiting thread checks again: what was to wake it may have been lost in an interrupt."""

_RUNNING: set[Task] = set()


class _Current(threading.local):
    """The task that the running thread works for."""

    task: Task | None = None


_CURRENT = _Current()


class Task:
    """Work on a thread of its own, which may start others. Whoever has the task can end it, any number of times.

    Attributes:
        stopping: what the work watches: anything in it asks for the end. Its `put` can be the callback of a weakref: it
            runs no Python, so that no interrupt is lost in it.
        ended: whether the work has ended, or will never begin.
    """

    def __init__(self) -> None:
        self.stopping: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ended = False
        self._parent = _CURRENT.task
        self._begun = False
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def start(self, work: Callable[[], None], name: str) -> None:
        """Start the work. Raises what starting its thread raises."""
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        launched: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        _thread.start_new_thread(self._launch, (self._thread, launched.put))
        error = launched.get()
        if error is not None:
            try:
                raise error
            finally:
                # Else the error would keep this frame, and this frame the error.
                del error

    def _launch(self, thread: threading.Thread, launched: Callable[[BaseException | None], None]) -> None:
        error: BaseException | None = None
        # Before `stopping` is read, so that `stop` sees the one or this the other.
        self._begun = True
        _RUNNING.add(self)
        try:
            if self.stopping.empty():
                thread.start()
        except BaseException as exn:
            error = exn
        if thread.ident is None:
            self._end()
        launched(error)

    def _run(self, work: Callable[[], None]) -> None:
        _CURRENT.task = self
        try:
            work()
        finally:
            self._end()

    def _end(self) -> None:
        self.ended = True
        _RUNNING.discard(self)
        self._woken.put(None)

    def wait(self) -> None:
        """Wait until the work has ended and its thread is gone. A forked process has none."""
        while not self.ended and os.getpid() == self._process and not sys.is_finalizing():
            with suppress(queue.Empty):
                self._woken.get(timeout=AWAKE_SECONDS)
        # For others that wait.
        self._woken.put(None)
        thread = self._thread
        while self.ended and thread is not None and thread.is_alive() and os.getpid() == self._process:
            thread.join(AWAKE_SECONDS)

    def stop(self) -> None:
        """Ask the work to end, and wait for it, but not where it never began, nor on a thread that works for it."""
        self.stopping.put(None)
        if self._begun and not self._is_current():
            self.wait()

    def _is_current(self) -> bool:
        """Whether the running thread works for this task, or for one that this task has made."""
        task = _CURRENT.task
        while task is not None and task is not self:
            task = task._parent
        return task is self


class TaskThread(threading.Thread):
    """A daemon thread that works for the task of the thread that makes it."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._task = _CURRENT.task

    def run(self) -> None:
        _CURRENT.task = self._task
        super().run()


def _work_for(task: Task | None) -> None:
    _CURRENT.task = task


def task_executor(threads: int, name: str) -> ThreadPoolExecutor:
    """An executor whose threads work for the task of the thread that makes it."""
    from concurrent.futures import ThreadPoolExecutor  # not with `import clipx.windows`, which does without

    return ThreadPoolExecutor(threads, name, initializer=_work_for, initargs=(_CURRENT.task,))


def call(work: Callable[[Callable[[], bool]], Result], name: str) -> Result:
    """`work(is_stopped)`, on a thread of its own. Interrupted, this asks it to stop, and waits for it."""
    task = Task()
    outcomes: list[tuple[Result | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcomes.append((work(lambda: not task.stopping.empty()), None))
        except BaseException as exn:
            outcomes.append((None, exn))

    try:
        task.start(run, name)
        task.wait()
    finally:
        task.stop()
    result, error = outcomes.pop()
    if error is not None:
        try:
            raise error
        finally:
            # Else the error would keep this frame, and this frame the error.
            del error
    return result  # type: ignore[return-value]


def each_on_a_thread(works: Iterable[Callable[[], None]]) -> None:
    """Call functions that take a while and call no one else, each on a thread; the first one's error is raised here.

    Interrupted, this lets none begin any more, and waits for those that have.
    """
    todo = list(enumerate(works))[::-1]
    count, ended = len(todo), list[tuple[int, BaseException | None]]()
    woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run() -> None:
        try:
            number, work = todo.pop()
        except IndexError:
            return
        error: BaseException | None = None
        try:
            work()
        except BaseException as exn:
            error = exn
        del work
        ended.append((number, error))
        del error
        woken.put(None)

    def wait(count: int) -> None:
        while len(ended) < count:
            with suppress(queue.Empty):
                woken.get(timeout=AWAKE_SECONDS)

    try:
        for _ in range(count):
            _thread.start_new_thread(run, ())
        wait(count)
    except BaseException:
        left = []
        while todo:
            with suppress(IndexError):
                left.append(todo.pop())
        wait(count - len(left))
        raise
    errors = [error for _, error in sorted(ended, key=lambda each: each[0]) if error is not None]
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()
            ended.clear()


def _stop_all() -> None:
    """Threads that are still in C code when the interpreter goes would crash it."""
    for task in list(_RUNNING):
        task.stop()


atexit.register(_stop_all)
