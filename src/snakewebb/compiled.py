"""The one place where numba is configured and imported.

numba's file cache does not notice that a function called from another file has changed, and the package's folder may
not be writable. So the cache folder is chosen here, before numba is imported: it is keyed by a hash of all sources of
the package that hold kernels and by the numba version.
"""

import contextlib
import hashlib
import importlib
import mmap
import os
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from importlib.metadata import version
from itertools import islice

from snakewebb.cache import cache_root, sources_digest

os.environ["NUMBA_CACHE_DIR"] = str(cache_root() / f"kernels-{version('numba')}-{sources_digest(only_kernels=True)}")

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys

# numba looks for BLAS, which no kernel here uses, by importing scipy.linalg: a fifth of a second at every start
if "scipy.linalg" not in sys.modules:
    sys.modules["scipy.linalg"] = None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]


class _Cache(FunctionCache):
    """Compiled kernels of a function on disk.

    numba prepares for compiling before it looks for them, which takes longer than loading all kernels of a job. If it finds none it
    does that again, so it is left out here. Only what running kernels allocate memory with must be there.

    Every signature has an index of its own. In one for all, two jobs that compile at the same time lose what one of them made, or
    store both under one name.
    """

    def load_overload(self, sig, target_context):
        rtsys.initialize(target_context)
        self._cache_file = self._files_of(sig)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig, data):
        self._cache_file = self._files_of(sig)
        super().save_overload(sig, data)

    def _files_of(self, sig):
        types = hashlib.sha1(str(sig).encode()).hexdigest()[:16]
        stamp = self._impl.locator.get_source_stamp()
        return IndexDataCacheFile(self._cache_path, f"{self._impl.filename_base}.{types}", stamp)


_kernels = {}
"""Kernels by module and name."""


def njit(function=None, **options):
    """`numba.njit` with the project's settings: cached on disk, releases the GIL, numpy's rules for division by zero."""
    if function is None:
        return partial(njit, **options)
    kernel = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    kernel._cache.__class__ = _Cache
    _kernels[function.__module__, function.__qualname__] = kernel
    return kernel


def numbers_loaded():
    """For how many types of arguments each kernel is compiled or loaded, by module and name."""
    return {name: len(kernel.overloads) for name, kernel in _kernels.items()}


def loaded_kernels(*, since):
    """What was compiled or loaded since `numbers_loaded` gave these numbers: modules, names, and types of the arguments."""
    return [
        (*name, types)
        for name, kernel in _kernels.items()
        if len(kernel.overloads) > since.get(name, 0)
        for types in islice(kernel.overloads, since.get(name, 0), None)
    ]


def load_kernels(wanted):
    """Load compiled kernels from disk; those that are not there, or no longer, are left out.

    Parameters
    ----------
    wanted : iterable of (str, str, tuple)
        As `loaded_kernels` gives them, of modules that are imported.
    """
    for module, name, types in wanted:
        kernel = _kernels.get((module, name))
        if kernel is None or types in kernel.overloads:
            continue
        compiled = kernel._cache.load_overload(types, kernel.targetctx)
        if compiled is not None:
            kernel.targetctx.insert_user_function(compiled.entry_point, compiled.fndesc, [compiled.library])
            kernel.add_overload(compiled)


def available_threads():
    """Number of processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(granted):
    """Let kernels use ``min(granted, available)`` threads, and return that number."""
    global _threads
    _threads = max(1, min(int(granted), available_threads(), numba.config.NUMBA_NUM_THREADS))
    return _threads


_threads = available_threads()


def granted_threads():
    """Number of threads that `set_threads` granted; all that are available if it was not called."""
    return _threads


@contextlib.contextmanager
def one_thread(wanted=True):
    """Within the block `by_rows` uses no further threads, if that is wanted: for many small arrays it costs more than it saves."""
    global _threads
    before = _threads
    if wanted:
        _threads = 1
    try:
        yield
    finally:
        _threads = before


_CALLS = 4  # of a kernel for each thread, so that none waits long for another at the end


def by_rows(kernel, nrows, *arguments, block=32, blocks_only=False):
    """Call ``kernel(first, last, *arguments)`` for blocks of rows, on the threads that `set_threads` granted.

    For kernels whose rows do not depend on each other. Such a kernel, compiled without ``parallel=True``, takes a
    fraction of the time to compile.

    Parameters
    ----------
    kernel : callable
        Compiled with `njit`; works on the rows ``first`` to ``last - 1``.
    nrows : int
    *arguments
        Passed on to the kernel.
    block : int
        Number of rows of a call.
    blocks_only : bool
        Never give a call more rows, also where there is one thread.
    """
    scratch = any(_on_scratch(argument) for argument in arguments)
    if scratch:
        block = 8
    elif nrows <= block or (_free_threads() == 1 and not blocks_only):
        kernel(0, nrows, *arguments)
        return
    if _free_threads() == 1:
        for first in range(0, nrows, block):
            kernel(first, min(first + block, nrows), *arguments)
        return
    if not (blocks_only or scratch):
        # few calls for each thread: between two it waits for its turn to run Python
        block *= max(1, nrows // (block * _CALLS * _free_threads()))
    _results([(kernel, first, min(first + block, nrows), *arguments) for first in range(0, nrows, block)])


def at_once(*calls):
    """Make calls without arguments on the threads that `set_threads` granted, and return their results in order."""
    if _free_threads() == 1:
        return [call() for call in calls]
    return _results([(call,) for call in calls])


def one_ahead(function, items):
    """Results of a function of each item in turn, where more than one thread is granted each made while the one before it is used.

    Two results are there at once if the caller lets go of one before it asks for the next.
    """
    if _free_threads() == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1) as pool:
        made = deque()
        for item in items:
            made.append(pool.submit(function, item))
            if len(made) == 2:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()


@contextlib.contextmanager
def behind():
    """A function that makes a call, where more than one thread is granted beside what follows, when the call before it has ended."""
    if _free_threads() == 1:
        yield lambda call: call()
        return
    with ThreadPoolExecutor(1) as pool:
        made = deque()

        def make(call):
            while made:
                made.popleft().result()
            made.append(pool.submit(call))

        yield make
        while made:
            made.popleft().result()


_own = threading.local()


def _free_threads():
    """Number of threads that a call may use: one, if it is made by one of several threads that are at work already."""
    return 1 if getattr(_own, "at_work", False) else _threads


def _results(calls):
    """Results of calls that are made on threads, each a function and its arguments, when all have ended."""
    pool = _pool()
    made = [pool.submit(*call) for call in calls]
    wait(made)
    return [call.result() for call in made]


_kept = None  # process, number of threads, and their pool


def _pool():
    """The threads of this process, kept from call to call: to start and end them takes longer than many a call."""
    global _kept
    wanted = os.getpid(), _threads
    if _kept is None or _kept[:2] != wanted:
        _kept = *wanted, ThreadPoolExecutor(_threads, initializer=lambda: setattr(_own, "at_work", True))
    return _kept[2]


def _on_scratch(argument):
    while isinstance(argument, np.ndarray):
        argument = argument.base
    return isinstance(argument, (mmap.mmap, memoryview))
