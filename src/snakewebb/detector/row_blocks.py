"""Kernels that go through the rows of a whole exposure, in memory or on a scratch file."""

import threading

import numpy as np

from snakewebb.compiled import by_rows

_MEMORY = 48_000_000  # bytes of the rows that a thread holds at a time


def over_rows(ramp, kernel, *arguments, changes=()):
    """Call ``kernel(first, last, top, data, groupdq, *arguments)`` for blocks of rows of an exposure, on all threads.

    Row ``y`` of the exposure is row ``y - top`` of the samples and flags that the kernel gets; all else is counted from the first row
    of the exposure. Rows of an exposure on a scratch file are copied to memory, where going along ramps is many times faster.

    Parameters
    ----------
    ramp : Ramp
    kernel : callable
        Compiled with `njit`; uses no other rows of the samples and flags than ``first`` to ``last - 1``.
    *arguments
        Passed on to the kernel.
    changes : tuple of str
        ``"data"``, ``"groupdq"``: what the kernel changes.
    """
    nints, ngroups, ny, nx = ramp.data.shape
    rows = _MEMORY // max(1, 5 * nints * ngroups * nx)
    if ramp.scratch is None or rows == 0:
        by_rows(kernel, ny, 0, ramp.data, ramp.groupdq, *arguments)
        return
    rows = min(rows, 32, ny)
    held = threading.local()

    def work(first, last):
        shape = (nints, ngroups, last - first, nx)
        if getattr(held, "shape", None) != shape:
            held.shape, held.data, held.groupdq = shape, np.empty(shape, np.float32), np.empty(shape, np.uint8)
        ramp.scratch.load_rows(ramp.data, first, held.data)
        ramp.scratch.load_rows(ramp.groupdq, first, held.groupdq)
        kernel(first, last, first, held.data, held.groupdq, *arguments)
        for name in changes:
            ramp.scratch.store_rows(getattr(ramp, name), first, getattr(held, name))

    by_rows(work, ny, block=rows, blocks_only=True)
