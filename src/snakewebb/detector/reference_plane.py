"""Subtraction of the planes of a reference file from groups of a ramp."""

import numpy as np

from snakewebb.compiled import by_rows, njit

_TOGETHER = 36_000_000  # bytes of planes of a reference that are read and subtracted together


def in_portions(number, shape):
    """Ranges of planes, counted from 0, that are read and subtracted together.

    Parameters
    ----------
    number : int
        Of planes.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    list of (int, int)
        First plane and end of each range.
    """
    portion = max(1, _TOGETHER // (4 * shape[0] * shape[1]))
    return [(first, min(first + portion, number)) for first in range(0, number, portion)]


def subtract_plane(data, plane, *, keep_zeros=False):
    """Subtract a plane from all groups of every integration, in place.

    Parameters
    ----------
    data : ndarray of float32 (nints, ngroups, ny, nx)
    plane : ndarray of float32 (ny, nx)
        NaN counts as 0.
    keep_zeros : bool
        Leave samples that are exactly 0 (the mark of an unusable pixel in ZEROFRAME) as they are.
    """
    by_rows(_subtract_rows, data.shape[2], data, 0, data.shape[1], plane[None], keep_zeros)


def subtract_planes(data, first, planes):
    """Subtract planes from as many groups of every integration, from group ``first`` on, in place.

    Parameters
    ----------
    data : ndarray of float32 (nints, ngroups, ny, nx)
    first : int
    planes : ndarray of float32 (nplanes, ny, nx)
        NaN counts as 0.
    """
    planes.flags.writeable = False  # as the planes of other references: one compiled kernel serves all
    if len(planes) > 0:
        by_rows(_subtract_rows, data.shape[2], data, first, first + len(planes), planes, False)


def integrations_of(number, nints, known):
    """Which integrations of a ramp go with which one of a reference whose last one holds for all later ones.

    Parameters
    ----------
    number : int
        Of the ramp's first integration in the exposure, from 0.
    nints : int
        Of the ramp.
    known : int
        Integrations of the reference.

    Returns
    -------
    list of tuple of int
        Integration of the reference, first and end of the range of integrations of the ramp.
    """
    of_each = np.minimum(number + np.arange(nints), known - 1)
    ends = [*(np.flatnonzero(np.diff(of_each)) + 1), nints]
    starts = [0, *ends[:-1]]
    return [(int(of_each[start]), int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


@njit
def _subtract_rows(begin, end, data, first, last, planes, keep_zeros):
    """Subtract planes from groups ``first`` to ``last - 1``: one from all of them, or one from each."""
    nints, _, _, nx = data.shape
    level = np.empty(nx, np.float32)
    for y in range(begin, end):
        for k in range(len(planes)):
            plane = planes[k, y]
            for x in range(nx):
                own = plane[x]
                level[x] = own if own == own else np.float32(0)
            start, stop = (first, last) if len(planes) == 1 else (first + k, first + k + 1)
            for integration in range(nints):
                for group in range(start, stop):
                    samples = data[integration, group, y]
                    for x in range(nx):
                        before = samples[x]
                        after = before - level[x]
                        samples[x] = before if keep_zeros and before == 0 else after
