"""Tasks, and the threads that work for them."""

import threading

import pytest

from clipx._threads import Task, TaskThread, task_executor

pytestmark = [pytest.mark.usefixtures("no_threads_left")]


def run(work):
    """Run work(task) as a task that ends when it is asked to."""
    task = Task()

    def both():
        work(task)
        task.stopping.get()

    task.start(both, "clipx-test")
    return task


def test_stop_waits():
    ended = []
    task = Task()
    task.start(lambda: ended.append(task.stopping.get()), "clipx-test")
    assert not task.ended
    task.stop()
    assert ended == [None]
    assert task.ended
    task.stop()  # any number of times


def test_a_task_that_never_began():
    Task().stop()


@pytest.mark.parametrize("how", ["itself", "thread", "executor", "task of a task"])
def test_a_thread_of_a_task_does_not_wait_for_it(how):
    stopped = threading.Event()

    def stop(task):
        task.stop()
        stopped.set()

    def work(task):
        if how == "itself":
            stop(task)
        elif how == "thread":
            thread = TaskThread(lambda: stop(task), "clipx-test-thread")
            thread.start()
            thread.join()
        elif how == "executor":
            with task_executor(1, "clipx-test-executor") as executor:
                executor.submit(stop, task).result()
        else:
            inner = Task()
            inner.start(lambda: stop(task), "clipx-test-inner")
            inner.wait()

    task = run(work)
    assert stopped.wait(10)
    task.wait()


def test_other_threads_wait_whatever_their_names():
    task, waited = run(lambda task: None), []
    thread = threading.Thread(target=lambda: (task.stop(), waited.append(task.ended)), name="clipx-of-a-user")
    thread.start()
    thread.join()
    assert waited == [True]
