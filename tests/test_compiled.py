"""Sharing rows between threads."""

import threading

import numpy as np
import pytest

from snakewebb.compiled import at_once, available_threads, by_rows, set_threads


@pytest.fixture
def threads():
    yield set_threads
    set_threads(available_threads())


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("nrows", [0, 1, 32, 33, 100])
def test_every_row_is_worked_on_once(threads, number, nrows):
    threads(number)
    done = np.zeros(nrows, np.int64)

    def kernel(first, last, done, step):
        done[first:last] += step

    by_rows(kernel, nrows, done, 3)

    assert np.all(done == 3)


def test_no_more_threads_than_granted(threads):
    threads(1)
    names = set()

    by_rows(lambda first, last: names.add(threading.current_thread().name), 200)

    assert names == {threading.current_thread().name}


def test_an_error_in_a_thread_is_raised(threads):
    threads(2)

    def kernel(first, last):
        if first >= 64:
            raise ValueError("row 64")

    with pytest.raises(ValueError, match="row 64"):
        by_rows(kernel, 100)


@pytest.mark.parametrize("number", [1, 2])
def test_results_of_calls_come_in_their_order(threads, number):
    threads(number)
    second_done = threading.Event()

    def first():
        return number == 1 or second_done.wait(10)

    def second():
        second_done.set()
        return "second"

    assert at_once(first, second) == [True, "second"]


def test_threads_are_kept_from_call_to_call(threads):
    threads(2)
    [name] = at_once(lambda: threading.current_thread().name)
    assert name in {thread.name for thread in threading.enumerate()}
