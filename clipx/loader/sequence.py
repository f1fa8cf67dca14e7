"""The clips of an epoch in the order of its batches, from where a state left it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from functools import partial

from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.loader.budget import Budget
from clipx.loader.config import Job, Pools
from clipx.loader.interleave import BEGINNING, Begun, Cut, Extracted, Interleave, Position, Ref
from clipx.loader.position import Step
from clipx.loader.restore import rebuild
from clipx.plan.draws import stream_random
from clipx.wds.batching import Like
from clipx.wds.shuffling import Draw

__all__ = ["Order", "Stopped"]

logger = logging.getLogger("clipx")


class Stopped(Exception):
    """The epoch is given up."""


class Order:
    """What comes when. It begins where the job's progress stands, which the consumer moves on later.

    Attributes:
        given: clips that are in batches: counted by who makes these.
    """

    def __init__(self, job: Job) -> None:
        progress = job.progress
        self._job, self._passes = job, progress.passes
        self._most = sys.maxsize if progress.target is None else progress.target
        self.given = min(progress.batches * job.batch_size, self._most)
        self._moves: list[Ref | int] = []
        self._interleave: Interleave | None = None
        self._stopped = False
        self._beside = 0  # bytes that the clips in the shuffle have beside their slots

    @property
    def full(self) -> bool:
        """Whether the epoch has as many clips as it is to have."""
        return self.given == self._most

    def step(self, pools: Pools, like: Like) -> Step:
        """What has changed since the last one, behind the clip that came last."""
        assert self._interleave is not None
        moves, self._moves = self._moves, []
        mapped = None if self._job.map is None else like
        return Step(moves, self._interleave.position, self._passes, pools.looked, mapped)

    def stop(self, seconds: float = 0) -> None:
        """End all threads, at any time, and wait so long for it."""
        self._stopped = True
        interleave = self._interleave
        if interleave is not None:
            interleave.stop(seconds)

    def clips(self, samples: Iterator[tuple[Address, Sample]], pools: Pools) -> Iterator[Sample]:
        """The clips of the epoch, in the order of its batches.

        Where it has a target, the share is gone through again, in its own order, until as many have been given.
        """
        job, position = self._job, self._job.progress.position
        held, begun = self._rebuild(pools)
        while True:
            given = self.given
            clips = self._cut(samples, self._cut_of(pools), position, begun, pools)
            if self._passes == 0 and job.shuffle:
                yield from self._shuffled(clips, pools.budget, held)
            else:
                for clip in clips:
                    yield clip.sample
                    del clip
            if job.progress.target is None:
                return
            if given == self.given and position.read is None:
                raise self.nothing()
            # With drop_last, a rank has at least as many clips as were counted for all, but for damage.
            logger.log(
                logging.WARNING if job.drop_last else logging.INFO,
                "Loader: the shards give %d clips, but all ranks have %d an epoch: the others are given again",
                self.given,
                job.progress.target,
            )
            if self._interleave is not None:
                self._interleave.stop()
            self._passes += 1
            samples, position, begun = job.shards.samples(job.share), BEGINNING, []

    def nothing(self) -> ValueError:
        """The error of a share that cannot fill its batches."""
        return ValueError(
            f"equal_batches is True, but the {len(self._job.share.shards)} shards of this process give no clip to fill "
            f"up its batches with"
        )

    def _cut_of(self, pools: Pools) -> Cut:
        return self._job.cut(pools.clips, maps=True, repeated=self._passes > 0)

    def _rebuild(self, pools: Pools) -> tuple[list[Extracted], list[Begun]]:
        """The clips that a loaded state held in the shuffle, and the samples that were being cut."""
        job, budget = self._job, pools.budget
        refs = list(job.progress.held)
        clips, begun = rebuild(
            refs,
            job.progress.position.active,
            job.shards.find,
            partial(job.weigh, budget=budget),
            self._cut_of(pools),
            threads=min(job.threads, budget.sources),
            most_encoded_bytes=budget.encoded_bytes + budget.decoders_bytes,
            is_stopped=lambda: self._stopped,
        )
        if self._stopped:
            raise Stopped
        return clips, begun

    def _cut(
        self,
        samples: Iterator[tuple[Address, Sample]],
        cut: Cut,
        position: Position,
        begun: list[Begun],
        pools: Pools,
    ) -> Iterator[Extracted]:
        """The clips of samples from a position on, cut by threads; `begun` is emptied."""
        job, budget = self._job, pools.budget
        clips = Interleave(
            samples,
            partial(job.weigh, budget=budget),
            cut,
            active=budget.active,
            waiting=budget.sources - budget.active,
            ready=budget.ready,
            encoded_bytes=budget.encoded_bytes,
            decoders_bytes=budget.decoders_bytes,
            threads=job.threads,
            handler=job.handler,
            limits=job.shards.limits,
            position=position,
            begun=begun,
        )
        begun.clear()
        self._interleave = clips
        # `stop` may have come before there was anything to be stopped.
        if self._stopped:
            raise Stopped
        clips.start()
        return clips.clips()

    def _shuffled(self, clips: Iterator[Extracted], budget: Budget, held: list[Extracted]) -> Iterator[Sample]:
        """The clips in a random order, as many held back as the budget has room for; `held` are from before, and are
        emptied.
        """
        progress = self._job.progress
        buffer = Draw(stream_random(self._job.seed, progress.epoch, "clips"), held, progress.drawn)
        self._beside = sum(clip.beside for clip in held)
        held.clear()
        while True:
            # A state may have been saved between two clips that one which came has displaced.
            while len(buffer) > budget.shuffled or (len(buffer) and self._beside > budget.shuffled_beside):
                yield self._pick(buffer)
            clip = next(clips, None)
            if clip is None:
                break
            buffer.add(clip)
            self._beside += clip.beside
            self._moves.append(clip.ref)
            del clip
        while len(buffer):
            yield self._pick(buffer)

    def _pick(self, buffer: Draw[Extracted]) -> Sample:
        at, clip = buffer.pick()
        self._beside -= clip.beside
        self._moves.append(at)
        return clip.sample
