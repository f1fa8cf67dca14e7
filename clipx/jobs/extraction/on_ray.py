"""Parts of a job done on a Ray cluster, as tasks whose deaths the job outlives."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from clipx.datasets.origins import shorten
from clipx.datasets.urls import local_path
from clipx.jobs.extraction.errors import ExtractError, PartsLost
from clipx.jobs.extraction.names import JOB
from clipx.jobs.extraction.ordered import Stopped
from clipx.jobs.extraction.part_job import PartJob, run_part
from clipx.jobs.extraction.progress import Progress, Report
from clipx.jobs.extraction.stores import open_store
from clipx.jobs.extraction.workers import picklable
from clipx.ray.modules import ray_module

__all__ = ["run_parts"]

logger = logging.getLogger("clipx")

TRIES = 4
"""Tasks for a part, each after the death of the one before: nodes of a cluster come and go."""

MOST_PENDING = 1000
"""Tasks that Ray knows of at a time."""

AWAKE_SECONDS = 0.25
REPORT_SECONDS = 1.0
END_SECONDS = 15.0
"""Seconds that tasks have to end by themselves where the job is to stop."""

CONNECT_SECONDS = 10.0

OVERHEAD_BYTES = 100_000_000
"""Memory of a process beside that of its samples and clips."""


class _Counts:
    """An actor that tasks tell what they have done so far."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], Progress] = {}

    def put(self, part: int, attempt: int, counted: Progress) -> None:
        """Note what a task has done since it began."""
        self._latest[part, attempt] = counted

    def take(self) -> dict[tuple[int, int], Progress]:
        """What tasks have put since the last call."""
        latest, self._latest = self._latest, {}
        return latest


@dataclass
class _Task:
    """A task that does a part.

    Attributes:
        attempt: number of the task among those of its part.
        counted: what has been reported of it.
    """

    part: int
    attempt: int
    counted: Progress = field(default_factory=Progress)


def run_parts(
    job: PartJob,
    parts: Iterable[int],
    jobs: int | None,
    report: Report,
    is_stopped: Callable[[], bool] = lambda: False,
    *,
    address: str | None = None,
) -> None:
    """Do parts of a job on a Ray cluster, each as a task of one processor.

    Args:
        jobs: number of parts that are done side by side; None for as many as the cluster has room for.
        address: of the cluster; None for the one that RAY_ADDRESS names or that this machine belongs to, or else one of
            this machine alone.
        report: called with what has been done since its last call, on this thread.
        is_stopped: asked several times a second.

    A part whose process or node dies is done again by another task, up to TRIES in all. Raises ImportError without Ray,
    ValueError for an address that cannot be reached, PartsLost for parts that are given up, and at once what `run_part`
    raises.
    """
    job = replace(job, out=_absolute(job.out), threads=1)
    with _connected(address) as ray:
        _check_room(ray, job)
        _Tasks(ray, job, min(jobs or MOST_PENDING, MOST_PENDING), report, is_stopped).run(parts)


def _absolute(out: str) -> str:
    """The address of the output in any working folder."""
    path = local_path(out)
    return out if path is None else os.path.abspath(path)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster: it stays as it was where this process is connected already."""
    ray = ray_module()
    if ray.is_initialized():
        current = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", current):
            raise ValueError(f"ray is {address!r}, but this process is connected to {current!r}: leave the address out")
        yield ray
        return
    try:
        _check_port(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as exn:
        raise ValueError(
            f"ray is {address!r}, but no cluster can be reached there: give its address, such as '10.0.0.1:6379', or "
            f"True for this machine alone ({exn})"
        ) from exn
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_port(address: str | None) -> None:
    """Raise OSError where nothing listens at an address with a port: Ray would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def _request(job: PartJob) -> dict[str, float]:
    """What a task asks of its node."""
    return {"CPU": 1, "memory": job.memory + OVERHEAD_BYTES}


def _check_room(ray: Any, job: PartJob) -> None:
    """Warn where no node has room for a task: one that has may still come."""
    request, nodes = _request(job), [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= least for name, least in request.items()) for node in nodes):
        most = max((node.get("memory", 0) for node in nodes if node.get("CPU", 0) >= 1), default=0)
        logger.warning(
            "a part asks for a processor and %.1f GB (memory= and 0.1), but the largest node of the Ray cluster has "
            "%.1f GB: parts wait for a larger one, unless memory= is less",
            request["memory"] / 1e9,
            most / 1e9,
        )


class _Tasks:
    """Tasks that do parts of a job."""

    def __init__(self, ray: Any, job: PartJob, most: int, report: Report, is_stopped: Callable[[], bool]) -> None:
        self._ray, self._most, self._report, self._is_stopped = ray, most, report, is_stopped
        request = _request(job)
        self._job = ray.put(job)
        self._versions = job.options.versions()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        self._counts = ray.remote(_Counts).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
        self._do = ray.remote(_do)
        # Tasks are started again here, which can tell what died from what failed, and count anew.
        self._options = {
            "num_cpus": request["CPU"],
            "memory": request["memory"],
            "max_retries": 0,
            "scheduling_strategy": "SPREAD",
        }
        self._asked = self._counts.take.remote()
        self._running: dict[Any, _Task] = {}
        self._todo: deque[_Task] = deque()
        self._lost: dict[int, str] = {}

    def run(self, parts: Iterable[int]) -> None:
        """Do parts."""
        self._todo = deque(_Task(part, 0) for part in parts)
        try:
            while self._todo or self._running:
                while self._todo and len(self._running) < self._most:
                    self._start(self._todo.popleft())
                for done in self._wait(AWAKE_SECONDS):
                    self._end(done, self._running.pop(done))
                self._take_counts()
                if self._is_stopped():
                    raise Stopped
        finally:
            self._cancel()
            self._ray.kill(self._counts)
        if self._lost:
            raise PartsLost(self._lost)

    def _start(self, task: _Task) -> None:
        named = self._do.options(**self._options, name=f"clipx part {task.part}")
        reference = named.remote(self._job, task.part, task.attempt, self._counts, self._versions)
        self._running[reference] = task

    def _wait(self, seconds: float) -> list[Any]:
        """The tasks that have ended: the first within so many seconds, and all that have by then."""
        running = list(self._running)
        if not self._ray.wait(running, timeout=seconds)[0]:
            return []
        return self._ray.wait(running, num_returns=len(running), timeout=0)[0]

    def _end(self, reference: Any, task: _Task) -> None:
        """Take the result of a task, or give its part to another one where it has died."""
        errors = self._ray.exceptions
        try:
            found = self._ray.get(reference)
        except (errors.RayTaskError, errors.LocalRayletDiedError, errors.RuntimeEnvSetupError) as exn:
            raise ExtractError(f"Ray cannot do part {task.part}: {shorten(_words(exn))}") from exn
        except errors.RayError as exn:
            self._report(Progress() - task.counted)
            how = shorten(_words(exn))
            if task.attempt + 1 == TRIES:
                self._lost[task.part] = how
                return
            logger.warning("part %d is done again, for its task has died: %s", task.part, how)
            self._todo.append(_Task(task.part, task.attempt + 1))
            return
        if isinstance(found, BaseException):
            raise found
        self._report(found - task.counted + Progress(parts_done=1))

    def _take_counts(self) -> None:
        """Report what running tasks have done, where the actor has answered."""
        if not self._ray.wait([self._asked], timeout=0)[0]:
            return
        with suppress(self._ray.exceptions.RayError):  # the actor has died, and is on its way to another node
            latest = self._ray.get(self._asked)
            for task in self._running.values():
                counted = latest.get((task.part, task.attempt), task.counted)
                self._report(counted - task.counted)
                task.counted = counted
        self._asked = self._counts.take.remote()

    def _cancel(self) -> None:
        """End the tasks that run: they have some time to remove what they have written."""
        for force in (False, True):
            for reference in self._running:
                with suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(reference, force=force)
            end = time.monotonic() + END_SECONDS
            while self._running and time.monotonic() < end:
                for done in self._wait(AWAKE_SECONDS):
                    del self._running[done]


def _words(exn: Exception) -> str:
    """An error of Ray on one line."""
    return " ".join(str(getattr(exn, "cause", None) or exn).split())


# In the other process


def _do(job: PartJob, part: int, attempt: int, counts: Any, versions: dict[str, Any]) -> Progress | BaseException:
    """Do a part: returns what has been done, or the error that ends the job."""
    total, since = Progress(), time.monotonic()

    def report(counted: Progress) -> None:
        nonlocal total, since
        total += counted
        if time.monotonic() > since + REPORT_SECONDS:
            since = time.monotonic()
            counts.put.remote(part, attempt, total)

    try:
        _check_node(job, versions)
        run_part(job, part, report)
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError) as exn:
        return picklable(exn)
    return total


def _check_node(job: PartJob, versions: dict[str, Any]) -> None:
    """Raise ValueError where this node has other versions, which make other bytes, or does not see the output."""
    own, host = job.options.versions(), socket.gethostname()
    for name, version in versions.items():
        if own.get(name) != version:
            raise ValueError(
                f"node {host!r} has {name} {own.get(name)}, but the job {version}: install the same versions everywhere"
            )
    if not open_store(job.out).exists(JOB):
        raise ValueError(
            f"node {host!r} does not see {job.out!r}: out must be a folder that all nodes share, or an address such as "
            f"'s3://bucket/clips'"
        )
