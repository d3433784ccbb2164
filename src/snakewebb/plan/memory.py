"""What a job needs of memory, from the shape of its exposure."""

import math

RAMP_BUDGET = 450_000_000
"""Bytes of an exposure in stage 1 up to which it is kept in memory; a larger one lies on a scratch file."""

INTEGRATION_BUDGET = 560_000_000
"""Bytes of an integration, of an exposure on a scratch file, up to which steps work on a copy of it in memory."""

RESIDENT = 128_000_000
"""Bytes of a scratch file that may be in memory before they are given back."""

_PROCESS = 160  # MB: interpreter, libraries and compiled kernels
_LINES = 2048  # of the detectors that have superstripes
_PLANE = 90  # bytes of a pixel of the detector: slopes, flags, and what a step reads of its references


def ramp_bytes(shape):
    """Bytes of an exposure in stage 1: samples and their flags, zero frame, and slopes of the integrations.

    Parameters
    ----------
    shape : tuple of int
        Integrations, groups, rows, columns.
    """
    return shape[0] * integration_bytes(shape) + shape[0] * shape[2] * shape[3] * 24


def integration_bytes(shape):
    """Bytes of the samples of an integration and their flags, of an exposure of this shape."""
    return math.prod(shape[1:]) * 5


def stage1_megabytes(shape, header=None):
    """Largest memory of the job of stage 1 for an exposure of this shape.

    Parameters
    ----------
    shape : tuple of int
        Integrations, groups, rows, columns of the file.
    header : mapping, optional
        Keywords, for superstripes (SSTR_NST), whose frames become larger when they are put together.
    """
    ramp, pixels = ramp_bytes(shape), shape[2] * shape[3]
    if ramp > RAMP_BUDGET:
        one = integration_bytes(shape)
        ramp = RESIDENT + (one if one <= INTEGRATION_BUDGET else RESIDENT)
    if header is not None and (header.get("SSTR_NST") or 0) > 0:
        across = shape[3] if abs(int(header["SLOWAXIS"])) == 2 else shape[2]
        ramp, pixels = RAMP_BUDGET, _LINES * across
    return _PROCESS + math.ceil((max(ramp, 2 * RESIDENT) + _PLANE * pixels) / 1_000_000)
