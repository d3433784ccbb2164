"""Compiled kernels on disk, and rows shared between threads."""

import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from snakewebb.compiled import at_once, available_threads, by_rows, one_ahead, set_threads

ADDING = """
import numpy as np
from snakewebb.compiled import njit


@njit
def add(values):
    total = values[0]
    for value in values:
        total += value
    return total
"""
COMPILING = """
import sys, time
from pathlib import Path
from adding import add, np
from numba.core.caching import IndexDataCacheFile
write = IndexDataCacheFile._save_index
IndexDataCacheFile._save_index = lambda *arguments: (time.sleep(1), write(*arguments))  # as on a slow disk
Path(sys.argv[1] + ".there").touch()
while not Path("go").exists():
    time.sleep(0.001)
add(np.ones(3, sys.argv[1]))
"""
LOADING = """
import sys
from adding import add, np
for kind in sys.argv[1:]:
    assert add(np.ones(3, kind)) == 4, kind
print(sum(add.stats.cache_hits.values()), sum(add.stats.cache_misses.values()))
"""


def test_what_several_processes_compile_at_once_is_there_for_all(tmp_path):
    """One function for different types: each is stored, under its own name."""
    (tmp_path / "adding.py").write_text(ADDING)
    environment = {**os.environ, "SNAKEWEBB_CACHE": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    kinds = ["f4", "f8", "i4", "u4", "i8", "u2"]
    options = {"cwd": tmp_path, "env": environment}
    running = [subprocess.Popen([sys.executable, "-c", COMPILING, kind], **options) for kind in kinds]
    while any(process.poll() is None for process in running) and len(list(tmp_path.glob("*.there"))) < len(kinds):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [process.wait() for process in running] == [0] * len(kinds)
    loaded = subprocess.run([sys.executable, "-c", LOADING, *kinds], **options, capture_output=True, text=True)
    assert loaded.stdout == f"{len(kinds)} 0\n", loaded.stderr


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


@pytest.mark.parametrize("number", [1, 2])
def test_results_are_made_one_ahead(threads, number):
    threads(number)
    begun, ended = [], []

    def work(item):
        begun.append(item)
        if item == 4:
            raise ValueError("item 4")
        return item * item

    results = one_ahead(work, range(5))
    for _ in range(4):
        ended.append(next(results))
        time.sleep(0.01)
        # the next one at most
        assert len(begun) <= len(ended) + (number - 1)
    with pytest.raises(ValueError, match="item 4"):
        next(results)
    assert ended == [0, 1, 4, 9]
    assert begun == [0, 1, 2, 3, 4]


def test_at_most_two_results_are_there_at_once(threads):
    threads(2)
    there, most = [], 0

    def work(item):
        nonlocal most
        made = np.empty(item)
        there.append(weakref.ref(made))
        most = max(most, sum(each() is not None for each in there))
        return made

    results = one_ahead(work, range(1, 8))
    for _ in range(7):
        made = next(results)
        time.sleep(0.01)
        del made
    assert most == 2
