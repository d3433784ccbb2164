"""Flags of groups from which charge has moved to neighbouring pixels."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_CHGMIG", skip=True)
def charge_migration(ramp, references, *, signal_threshold: float = 25000.0):
    """Flag groups above a signal, and all later ones, of a pixel and of its four neighbours.

    Flags are CHARGELOSS and DO_NOT_USE. A group that has no flag but DO_NOT_USE does not count, whatever its signal.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Not used.
    signal_threshold : float
        Signal above which charge migrates, DN.

    Returns
    -------
    Status
        NOT_APPLICABLE for integrations of one or two groups.

    References
    ----------
    Step charge_migration of jwst 3.0.0.
    """
    ngroups, ny, nx = ramp.data.shape[1:]
    if ngroups < 3:
        return Status(NOT_APPLICABLE, f"{ngroups} groups in an integration, 3 are needed")
    onset = np.empty((ny, nx), np.int32)
    for data, groupdq in zip(ramp.data, ramp.groupdq, strict=True):
        by_rows(_find_rows, ny, data, groupdq, np.float32(signal_threshold), onset)
        by_rows(_flag_rows, ny, groupdq, onset)
    return Status()


@njit
def _find_rows(begin, end, data, groupdq, threshold, onset):
    """First group of each pixel that is above the threshold, the number of groups if none is."""
    ngroups, _, nx = data.shape
    onset[begin:end] = ngroups
    for group in range(ngroups):
        for y in range(begin, end):
            for x in range(nx):
                above = data[group, y, x] > threshold and groupdq[group, y, x] != DO_NOT_USE
                onset[y, x] = min(onset[y, x], group if above else ngroups)


@njit
def _flag_rows(begin, end, groupdq, onset):
    ngroups, ny, nx = groupdq.shape
    for y in range(begin, end):
        for x in range(nx):
            first = onset[y, x]
            if y > 0:
                first = min(first, onset[y - 1, x])
            if y < ny - 1:
                first = min(first, onset[y + 1, x])
            if x > 0:
                first = min(first, onset[y, x - 1])
            if x < nx - 1:
                first = min(first, onset[y, x + 1])
            for group in range(first, ngroups):
                groupdq[group, y, x] |= np.uint8(CHARGELOSS | DO_NOT_USE)
