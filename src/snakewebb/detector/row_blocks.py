"""Kernels that go through the rows of a whole exposure, in memory or on a scratch file."""

import threading

import numpy as np

from snakewebb.compiled import by_rows

_MEMORY = 48_000_000  # bytes of the rows that a thread holds at a time


def over_rows(ramp, *calls, changes=(), uses=("data", "groupdq"), fills=()):
    """Call kernels for blocks of rows of an exposure, on all threads.

    Each call is ``(kernel, *arguments)``, to be called as ``kernel(first, last, top, data, groupdq, *arguments)``: row ``y`` of the
    exposure is row ``y - top`` of the samples and flags; all else is counted from the first row of the exposure. Rows of an exposure
    on a scratch file are copied to memory, where going along ramps is many times faster, and go through all calls before others do.

    Parameters
    ----------
    ramp : Ramp
    *calls : tuple
        Kernels, compiled with `njit`, that use and change rows ``first`` to ``last - 1`` only, of whatever arrays, and their arguments.
    changes : tuple of str
        ``"data"``, ``"groupdq"``: what the kernels change.
    uses : tuple of str
        What they use; of the other one they get rows of any content.
    fills : tuple of ndarray (nints, ny, nx)
        Arrays among the arguments, or in tuples among them, that the kernels fill whole. They count their rows as the samples do.
    """
    nints, ngroups, ny, nx = ramp.data.shape
    held = ngroups * sum(getattr(ramp, name).itemsize for name in uses) + sum(array.itemsize for array in fills)
    rows = min(_MEMORY // max(1, held * nints * nx), 32, ny)
    if ramp.scratch is None or rows == 0:
        by_rows(_make_calls, ny, 0, ramp.data, ramp.groupdq, calls, blocks_only=len(calls) > 1)
        return
    threads = threading.local()

    def work(first, last):
        shape = (nints, ngroups, last - first, nx)
        if getattr(threads, "shape", None) != shape:
            threads.shape = shape
            threads.held = {"data": np.empty(shape, np.float32), "groupdq": np.empty(shape, np.uint8)}
            threads.filled = [np.empty((nints, *shape[2:]), array.dtype) for array in fills]
            rows_of = {id(array): part for array, part in zip(fills, threads.filled, strict=True)}
            threads.calls = [_replaced(call, rows_of) for call in calls]
        for name in uses:
            ramp.scratch.load_rows(getattr(ramp, name), first, threads.held[name])
        _make_calls(first, last, first, threads.held["data"], threads.held["groupdq"], threads.calls)
        for name in changes:
            ramp.scratch.store_rows(getattr(ramp, name), first, threads.held[name])
        for array, part in zip(fills, threads.filled, strict=True):
            ramp.scratch.store_rows(array, first, part)

    by_rows(work, ny, block=rows, blocks_only=True)


def _make_calls(first, last, top, data, groupdq, calls):
    """Call all kernels for a block of rows, which those after the first one find in the processor's cache."""
    for kernel, *arguments in calls:
        kernel(first, last, top, data, groupdq, *arguments)


def _replaced(arguments, rows_of):
    """Arguments with the rows of arrays in place of these, by their identity, in tuples too."""
    return tuple(
        _replaced(argument, rows_of) if type(argument) is tuple else rows_of.get(id(argument), argument)
        for argument in arguments
    )
