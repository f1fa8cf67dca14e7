"""The clips that a saved state holds, extracted again, and its open samples, which go on."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing

from clipx._threads import task_executor
from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.segments import BadSegment
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.open_samples import ClipRef, Extract, Extracted, NumberedClip, OpenSample, OpenState, choose
from clipx.loader.room import Weight
from clipx.plan import ALL, Selection

__all__ = ["rebuild"]

Clips = dict[tuple[Address, int], Sample]


def rebuild(
    held: Sequence[ClipRef],
    active: Sequence[OpenState],
    find: Callable[[list[Address]], Iterator[tuple[Address, Sample]]],
    weigh: Callable[[Sample], Weight],
    extract: Extract,
    *,
    threads: int,
    most_encoded_bytes: int,
    is_stopped: Callable[[], bool],
) -> tuple[list[Extracted], list[OpenSample]]:
    """The clips `held`, and the samples that were `active`, as far as they were extracted; in their orders.

    Args:
        find: gives the samples at addresses.
        weigh: says what a sample takes.
        extract: gives clips of a sample; run by threads.
        most_encoded_bytes: of samples that are read and wait; one is read whatever its size.
        is_stopped: whether to give up; empty lists are then returned.

    Raises what finding and extracting raise, and ValueError where a sample does not give the clips that it gave.
    """
    numbers: dict[Address, list[int]] = defaultdict(list)
    for ref in held:
        numbers[ref.address].append(ref.number)
    following = {opened.address: opened for opened in active}
    read, weights = dict[Address, Sample](), dict[Address, Weight]()
    found, opened = Clips(), dict[Address, OpenSample]()
    # Of these, what had been found is found again only where they are decoded from their start.
    damaged = {ref.address for ref in held if ref.damaged} | {each.address for each in active if each.damaged}
    pending: dict[Future[tuple[Clips, OpenSample | None]], int] = {}

    def collect(most: int, most_bytes: int) -> None:
        """Wait until there are at most so many pending, of at most so many bytes."""
        while pending and (len(pending) > most or sum(pending.values()) > most_bytes) and not is_stopped():
            done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for each in done:
                del pending[each]
                clips, sample = each.result()
                found.update(clips)
                if sample is not None:
                    opened[sample.address] = sample

    rebuilder = _Rebuilder(extract, is_stopped)
    executor = task_executor(threads, "clipx-rebuild")
    try:
        for address, sample in find([*numbers, *following]):
            weight = weights[address] = weigh(sample)
            if address in following:
                read[address] = sample
            else:
                size, wanted = weight.size + weight.decoder, sorted(numbers[address])
                collect(threads, most_encoded_bytes - size)
                again = executor.submit(rebuilder.again, address, sample, wanted, address in damaged, weight)
                pending[again] = size
            del sample
            if is_stopped():
                break
        # What goes on keeps its open clips, so that the slots of all others must be back.
        collect(0, 0)
        while read and not is_stopped():
            address, sample = read.popitem()
            wanted, is_damaged, weight = sorted(numbers[address]), address in damaged, weights[address]
            on = executor.submit(rebuilder.on, address, sample, wanted, following[address], is_damaged, weight)
            pending[on] = 0
            del sample
        collect(0, 0)
        if is_stopped():
            return [], []
        clips = [Extracted(ref, found.pop(ref[:2]), weights[ref.address].beside) for ref in held]
        return clips, [opened[each.address] for each in active]
    finally:
        executor.shutdown(cancel_futures=True)
        # The traceback of an error keeps `collect`, and that these.
        for each in (found, opened, pending):
            each.clear()


class _Rebuilder:
    """Extracts clips of samples once more; what it gives when it is stopped is of no use."""

    def __init__(self, extract: Extract, is_stopped: Callable[[], bool]) -> None:
        self._extract, self._is_stopped = extract, is_stopped

    def again(
        self, address: Address, sample: Sample, numbers: list[int], damaged: bool, weight: Weight
    ) -> tuple[Clips, OpenSample | None]:
        """The clips of a sample that have these numbers."""
        error: Exception | None = None
        found: Clips = {}
        # In a damaged file a clip can depend on frames that a selection leaves out: then all are extracted, as before.
        for selection in (Selection(tuple(numbers), None, damaged), ALL):
            found.clear()  # gives the slots back
            with closing(self._extract(sample, selection, weight)) as clips:
                found, error = self._take(address, clips, numbers)
            if len(found) == len(numbers) or self._is_stopped():
                return found, None
        raise ValueError(
            f"sample {sample.get('__key__')!r} gives {len(found)} of the {len(numbers)} clips that it gave when the "
            f"state was saved"
        ) from error

    def on(
        self, address: Address, sample: Sample, numbers: list[int], state: OpenState, damaged: bool, weight: Weight
    ) -> tuple[Clips, OpenSample | None]:
        """The clips of a sample that have these numbers, and the sample, which goes on behind its `state`."""
        state = state._replace(damaged=damaged)
        if state.some or state.first is None:
            found = self.again(address, sample, numbers, damaged, weight)[0] if numbers else {}
            return found, OpenSample(address, weight, choose(self._extract, sample, state, weight), state)
        clips = self._extract(sample, Selection(tuple(numbers), state.first, damaged), weight)
        found, _ = self._take(address, clips, numbers)
        if len(found) < len(numbers):
            clips.close()
            found.clear()
            found, _ = self.again(address, sample, numbers, damaged, weight)
            clips = self._extract(sample, state.selection, weight)
        return found, OpenSample(address, weight, clips, state)

    def _take(
        self, address: Address, clips: Generator[NumberedClip | BadSegment], wanted: Sequence[int]
    ) -> tuple[Clips, Exception | None]:
        """The `wanted` clips, which come in order, up to an error, and the error."""
        found: Clips = {}
        try:
            while len(found) < len(wanted):
                clip = None if self._is_stopped() else next(clips, None)
                if isinstance(clip, BadSegment):
                    continue  # which has been reported before
                if clip is None or clip.number > wanted[-1]:
                    break
                if clip.number in wanted:
                    found[address, clip.number] = clip.sample
                del clip
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            # Else it would keep the frames that it came through, and the clips that are open there.
            traceback.clear_frames(exn.__traceback__)
            return found, exn
        return found, None
