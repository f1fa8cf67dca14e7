"""Results of samples that threads make side by side: their order, the bytes that wait, and the end."""

import random
import threading
import time

import pytest

from clipx.jobs.extraction.ordered import OrderedResults, Stopped


def run(results, samples, threads, made):
    """Threads that make the results of samples, each a list of numbers of bytes; `made` is called before each."""
    reading, numbers = threading.Lock(), iter(range(len(samples)))

    def work():
        try:
            while True:
                with reading:
                    results.wait_for_turn()
                    number = next(numbers, None)
                    if number is None:
                        return
                    assert results.open() == number
                    results.reserve(number, 10)
                for at, nbytes in enumerate(samples[number]):
                    made(number)
                    results.put(number, (number, at), nbytes)
                results.free(10)
                results.end(number)
        except Stopped:
            pass

    started = [threading.Thread(target=work) for _ in range(threads)]
    for thread in started:
        thread.start()

    def finish():
        for thread in started:
            thread.join()
        results.complete()

    ending = threading.Thread(target=finish)
    ending.start()
    return ending


@pytest.mark.parametrize("limit", [1, 35, 10_000])
def test_results_come_in_the_order_of_samples_within_the_limit(limit):
    rng = random.Random(limit)
    samples = [[rng.choice((0, 5, 20, 70)) for _ in range(rng.randrange(5))] for _ in range(60)]
    results, most = OrderedResults(limit), []
    ending = run(results, samples, 4, lambda number: time.sleep(0.0002 * (number % 3)))
    got = []
    for result in results:
        got.append(result)
        most.append(results.held)
    ending.join()
    assert got == [(number, at) for number, each in enumerate(samples) for at in range(len(each))]
    # Beyond the limit lie only a reservation and results of the sample that is next, one of them being taken.
    assert max(most) <= limit + 10 + 2 * 70
    assert results.held == 0


def test_what_is_next_never_waits_for_what_comes_later():
    results, first = OrderedResults(50), threading.Event()
    samples = [[40], [40] * 3, [40] * 3]
    ending = run(results, samples, 3, lambda number: first.wait(5) if number == 0 else None)
    time.sleep(0.05)
    assert results.held <= 50 + 30
    first.set()
    assert [number for number, _ in results] == [0, 1, 1, 1, 2, 2, 2]
    ending.join()


def test_an_error_of_a_thread_and_a_stop_end_all_waiting():
    results = OrderedResults(20)
    ending = run(results, [[15], [15] * 9], 2, lambda number: None)
    taken = iter(results)
    next(taken)
    results.stop(MemoryError("no more"))
    with pytest.raises(MemoryError):
        next(taken)
    ending.join(5)
    assert not ending.is_alive()
    stopped = OrderedResults(20, lambda: True)
    with pytest.raises(Stopped):
        next(iter(stopped))
