"""What a loaded state held: its clips are cut again, and no others, and its open samples read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing

from clipx.cutting import NOT_A_SAMPLES_FAULT, Sample
from clipx.interleave import Ref, encoded_bytes
from clipx.plan import ALL, Selection
from clipx.shards import Place

__all__ = ["rebuild"]

Clips = dict[Ref, Sample]


def rebuild(
    held: Sequence[Ref],
    active: Sequence[Place],
    find: Callable[[list[Place]], Iterator[tuple[Place, Sample]]],
    cut: Callable[[Sample, Selection], Generator[Sample]],
    *,
    threads: int,
    most_encoded_bytes: int,
    is_stopped: Callable[[], bool],
) -> tuple[list[Sample], list[Sample]]:
    """The clips `held`, cut by threads, and the samples at the places `active`, in their orders.

    Args:
        find: gives the samples at places.
        cut: gives clips of a sample.
        most_encoded_bytes: bytes of samples that are read and not yet cut; one is read whatever its size.
        is_stopped: whether to give up; empty lists are then returned.

    Raises what finding and cutting raise, and ValueError where a sample does not give the clips that it gave.
    """
    indices: dict[Place, list[int]] = defaultdict(list)
    for place, index in held:
        indices[place].append(index)
    made: Clips = {}
    read: dict[Place, Sample] = {}
    pending: dict[Future[Clips], int] = {}

    def collect(most: int, held: int) -> None:
        """Wait until there are at most so many pending, of at most so many bytes."""
        while pending and (len(pending) > most or sum(pending.values()) > held):
            done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for each in done:
                del pending[each]
                made.update(each.result())
            if is_stopped():
                return

    threads_of_pool = ThreadPoolExecutor(threads, thread_name_prefix="clipx-rebuild")
    try:
        for place, sample in find([*indices, *active]):
            size = encoded_bytes(sample)
            if place in active:
                read[place] = sample
            if place in indices:
                collect(threads, most_encoded_bytes - size)
                pending[threads_of_pool.submit(_cut_again, cut, place, sample, sorted(indices[place]))] = size
            if is_stopped():
                return [], []
            del sample
        collect(0, 0)
        return ([], []) if is_stopped() else ([made.pop(ref) for ref in held], [read[place] for place in active])
    finally:
        threads_of_pool.shutdown(cancel_futures=True)


def _cut_again(
    cut: Callable[[Sample, Selection], Generator[Sample]], place: Place, sample: Sample, indices: list[int]
) -> Clips:
    """The clips of a sample at these indices."""
    found: Clips = {}
    error: Exception | None = None
    # In a damaged file a clip can hang on frames that a selection leaves out: then all of it is cut, as it was before.
    for selection in (Selection(indices=tuple(indices)), ALL):
        numbers = iter(indices) if selection is not ALL else iter(range(indices[-1] + 1))
        found.clear()
        try:
            with closing(cut(sample, selection)) as clips:
                for index in numbers:
                    clip = next(clips, None)
                    if clip is None:
                        break
                    if index in indices:
                        found[Ref(place, index)] = clip
                    del clip
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            error = exn
        if len(found) == len(indices):
            return found
    raise ValueError(
        f"sample {sample.get('__key__')!r} gives {len(found)} of the {len(indices)} clips that it gave when the state "
        f"was saved"
    ) from error
