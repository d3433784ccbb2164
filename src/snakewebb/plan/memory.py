"""What a job needs of memory, from the shape of its exposure."""

import math

RAMP_BUDGET = 450_000_000
"""Bytes of an exposure in stage 1 up to which it is kept in memory; a larger one lies on a scratch file."""

RESIDENT = 128_000_000
"""Bytes of a scratch file that may be in memory before they are given back."""

_PROCESS = 160  # MB: interpreter, libraries and compiled kernels
_PLANE = 90  # bytes of a pixel of the detector: slopes, flags, and what a step reads of its references


def ramp_bytes(shape):
    """Bytes of an exposure in stage 1: samples and their flags, zero frame, and slopes of the integrations.

    Parameters
    ----------
    shape : tuple of int
        Integrations, groups, rows, columns.
    """
    return math.prod(shape) * 5 + shape[0] * shape[2] * shape[3] * 24


def stage1_megabytes(shape):
    """Largest memory of the job of stage 1 for an exposure of this shape."""
    ramp = min(ramp_bytes(shape), RAMP_BUDGET)
    return _PROCESS + math.ceil((max(ramp, 2 * RESIDENT) + _PLANE * shape[2] * shape[3]) / 1_000_000)
