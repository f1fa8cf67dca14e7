"""What a loaded state held: its clips are cut again, and no others, and its open samples are cut further."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing

from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.interleave import Begun, Cut, Extracted, Ref, Weight
from clipx.plan import ALL, Selection
from clipx.wds.sample_clips import ClipSample

__all__ = ["rebuild"]

Clips = dict[tuple[Address, int], Sample]


def rebuild(
    held: Sequence[Ref],
    active: Sequence[tuple[Address, int, bool]],
    find: Callable[[list[Address]], Iterator[tuple[Address, Sample]]],
    weigh: Callable[[Sample], Weight],
    cut: Cut,
    *,
    threads: int,
    most_encoded_bytes: int,
    is_stopped: Callable[[], bool],
) -> tuple[list[Extracted], list[Begun]]:
    """The clips `held`, and the samples that are `active`, cut as far as they were; in their orders.

    Args:
        active: places of samples, the index that follows the last clip of each, whether damage had been found in it.
        find: gives the samples at places.
        weigh: says what a sample takes.
        cut: gives clips of a sample; run by threads.
        most_encoded_bytes: of samples that are read and not yet cut; one is read whatever its size.
        is_stopped: whether to give up; empty lists are then returned.

    Raises what finding and cutting raise, and ValueError where a sample does not give the clips that it gave.
    """
    indices: dict[Address, list[int]] = defaultdict(list)
    for place, index, _ in held:
        indices[place].append(index)
    given = {place: index for place, index, _ in active}
    read, begun = dict[Address, Sample](), dict[Address, Begun]()
    weights: dict[Address, Weight] = {}
    made: Clips = {}
    # Of these, what had been found is found again only where they are decoded from their start.
    damaged = {place for place, _, found in [*held, *active] if found}
    pending: dict[Future[tuple[Clips, Begun | None]], int] = {}

    def collect(most: int, most_bytes: int) -> None:
        """Wait until there are at most so many pending, of at most so many bytes."""
        while pending and (len(pending) > most or sum(pending.values()) > most_bytes) and not is_stopped():
            done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for each in done:
                del pending[each]
                clips, source = each.result()
                made.update(clips)
                if source is not None:
                    begun[source.place] = source

    cutter = _Cutter(cut, is_stopped)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clipx-rebuild")
    try:
        for place, sample in find([*indices, *given]):
            weight = weights[place] = weigh(sample)
            if place in given:
                read[place] = sample
            else:
                size, wanted = weight.size + weight.decoder, sorted(indices[place])
                collect(threads, most_encoded_bytes - size)
                pending[pool.submit(cutter.again, place, sample, wanted, place in damaged, weight)] = size
            del sample
            if is_stopped():
                break
        # What is cut further keeps its open clips, so that the slots of all others must be back.
        collect(0, 0)
        while read and not is_stopped():
            place, sample = read.popitem()
            wanted = sorted(indices[place])
            told = wanted, given[place], place in damaged, weights[place]
            pending[pool.submit(cutter.further, place, sample, *told)] = 0
            del sample
        collect(0, 0)
        if is_stopped():
            return [], []
        clips = [Extracted(ref, made.pop(ref[:2]), weights[ref.place].beside) for ref in held]
        return clips, [begun[place] for place, _, _ in active]
    finally:
        pool.shutdown(cancel_futures=True)
        # The traceback of an error keeps `collect`, and that these.
        for each in (made, begun, pending):
            each.clear()


class _Cutter:
    """Cuts samples again; what it gives when it is stopped is of no use."""

    def __init__(self, cut: Cut, is_stopped: Callable[[], bool]) -> None:
        self._cut, self._is_stopped = cut, is_stopped

    def again(
        self, place: Address, sample: Sample, indices: list[int], damaged: bool, weight: Weight
    ) -> tuple[Clips, None]:
        """The clips of a sample at these indices."""
        error: Exception | None = None
        found: Clips = {}
        # In a damaged file a clip can hang on frames that a selection leaves out: then all of it is cut, as before.
        for selection in (Selection(tuple(indices), None, damaged), ALL):
            found.clear()  # gives the slots back
            with closing(self._cut(sample, selection, weight)) as clips:
                found, error = self._take(place, clips, indices)
            if len(found) == len(indices) or self._is_stopped():
                return found, None
        raise ValueError(
            f"sample {sample.get('__key__')!r} gives {len(found)} of the {len(indices)} clips that it gave when the "
            f"state was saved"
        ) from error

    def further(
        self, place: Address, sample: Sample, indices: list[int], given: int, damaged: bool, weight: Weight
    ) -> tuple[Clips, Begun]:
        """The clips of a sample at these indices, and all from index `given` on."""
        clips = self._cut(sample, Selection(tuple(indices), given, damaged), weight)
        found, _ = self._take(place, clips, indices)
        if len(found) < len(indices):
            clips.close()
            found.clear()
            found, _ = self.again(place, sample, indices, damaged, weight)
            clips = self._cut(sample, Selection(first=given, damaged=damaged), weight)
        return found, Begun(place, weight, given, damaged, clips)

    def _take(
        self, place: Address, clips: Generator[ClipSample], wanted: Sequence[int]
    ) -> tuple[Clips, Exception | None]:
        """The `wanted` clips, which come in order, up to an error, and the error."""
        found: Clips = {}
        try:
            while len(found) < len(wanted):
                clip = None if self._is_stopped() else next(clips, None)
                if clip is None or clip.number > wanted[-1]:
                    break
                if clip.number in wanted:
                    found[place, clip.number] = clip.sample
                del clip
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            # Else it would keep the frames that it came through, and the clips that are open there.
            traceback.clear_frames(exn.__traceback__)
            return found, exn
        return found, None
