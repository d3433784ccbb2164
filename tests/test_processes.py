"""Calls in several processes."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from snakewebb.errors import BadDataError
from snakewebb.processes import in_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_results_are_in_the_order_of_the_calls(number):
    assert in_processes([partial(pow, 2, k) for k in range(7)], number) == [1, 2, 4, 8, 16, 32, 64]


def test_calls_are_shared_out_to_processes_of_their_own():
    def who():
        time.sleep(0.2)
        return os.getpid()

    found = in_processes([who] * 4, 2)
    assert len(set(found)) == 2
    assert os.getpid() not in found


def test_a_long_call_does_not_keep_others_waiting():
    def who(seconds):
        time.sleep(seconds)
        return os.getpid()

    first, *others = in_processes([partial(who, 1.5), *[partial(who, 0.02)] * 6], 2)
    assert set(others) == {others[0]} != {first}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_calls_of_two_kinds_begin_in_different_processes(number):
    def who(name, seconds):
        time.sleep(seconds)
        return name, os.getpid()

    found = in_processes([partial(who, "a", 0.2)] * 2, number, [partial(who, "b", 0.1)] * 9)
    assert [name for name, _ in found] == [*"aabbbbbbbbb"]
    if number == 2:
        first, second = found[0][1], found[2][1]
        assert [pid for _, pid in found[:6]] == [first] * 2 + [second] * 4
        assert {pid for _, pid in found} == {first, second}
    assert in_processes([], number, [partial(pow, 2, 5)] * 3) == [32] * 3


def test_more_calls_than_there_are_tickets():
    assert in_processes([partial(pow, k, 2) for k in range(25_000)], 2) == [k * k for k in range(25_000)]


def test_no_calls():
    assert in_processes([], 2) == []


def test_an_error_is_that_of_the_call():
    def fail():
        raise BadDataError("a.fits[SCI]: NAXIS is 1, expected 2")

    with pytest.raises(BadDataError, match=r"a.fits\[SCI\]: NAXIS is 1"):
        in_processes([os.getpid, fail], 2)


def test_an_unforeseen_error_tells_where_it_came_from():
    def fail():
        return 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        in_processes([fail, fail], 2)
    assert "return 1 / 0" in caught.value.__notes__[0]


def test_a_killed_process_is_lack_of_memory():
    with pytest.raises(MemoryError, match="a process of the job was killed"):
        in_processes([os.getpid, lambda: os.kill(os.getpid(), signal.SIGKILL)], 2)


def test_a_process_that_ends_without_results():
    with pytest.raises(RuntimeError, match="exit code 3"):
        in_processes([os.getpid, lambda: os._exit(3)], 2)


def test_what_cannot_be_handed_over():
    with pytest.raises(RuntimeError, match="exit code 1"):
        in_processes([os.getpid, lambda: lambda: None], 2)


def test_memory_is_that_of_all_processes_at_once():
    # in a process of its own, which has no memory to spare that would be used again
    code = """
from snakewebb.processes import in_processes, memory_beside
in_processes([lambda: len(bytearray(60_000_000))] * 4, 2)
first = memory_beside()
in_processes([lambda: None] * 2, 2)
print(first, memory_beside())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, then = map(int, found.split())
    assert 110e6 < first < 140e6
    assert then == first
