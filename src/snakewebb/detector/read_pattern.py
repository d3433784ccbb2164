"""Which detector reads make up the groups of a ramp."""

import numpy as np


def read_numbers(ngroups, nframes, *, gap=0, dropped=0):
    """Numbers of the reads that are averaged to each group.

    Parameters
    ----------
    ngroups : int
    nframes : int
        Reads averaged per group.
    gap : int
        Reads skipped between groups (GROUPGAP). `jwst` 3.0.0 takes it to be 0 in saturation and linearity.
    dropped : int
        Reads skipped before the first group (DRPFRMS1), ignored by `jwst` there too.

    Returns
    -------
    ndarray of int64 (ngroups, nframes)
        1 is the first read after the reset.
    """
    first = dropped + 1 + np.arange(ngroups, dtype=np.int64) * (nframes + gap)
    return first[:, None] + np.arange(nframes)


def read_numbers_of(ramp, *, native):
    """Numbers of the reads of a ramp's groups; without the skipped ones unless ``native``."""
    ngroups, nframes = ramp.data.shape[1], int(ramp.header["NFRAMES"])
    if not native:
        return read_numbers(ngroups, nframes)
    gap, dropped = (int(ramp.header.get(keyword) or 0) for keyword in ("GROUPGAP", "DRPFRMS1"))
    return read_numbers(ngroups, nframes, gap=gap, dropped=dropped)
