"""Flags of the first group of MIRI's integrations."""

import numpy as np

from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_FRSTFR", skip=True)
def firstframe(ramp, references, *, bright_use_group1: bool = True):
    """Flag the first group of each MIRI integration DO_NOT_USE.

    Superseded by rscd, and off by default.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Not used.
    bright_use_group1 : bool
        Keep the first group of pixels whose third one is saturated, and give them FLUX_ESTIMATED.

    Returns
    -------
    Status
        NOT_APPLICABLE for other instruments, and for fewer than 4 groups.

    References
    ----------
    Step firstframe of jwst 3.0.0.
    """
    ngroups = ramp.groupdq.shape[1]
    if not str(ramp.header["DETECTOR"]).upper().startswith("MIR"):
        return Status(NOT_APPLICABLE, f"for MIRI only, not for detector {ramp.header['DETECTOR']}")
    if ngroups <= 3:
        return Status(NOT_APPLICABLE, f"at least 4 groups are needed, there are {ngroups}")
    kept = 0
    for flags in ramp.groupdq:
        if bright_use_group1:
            bright = flags[2] & SATURATED != 0
            ramp.pixeldq[bright] |= np.uint32(FLUX_ESTIMATED)
            kept += int(bright.sum())
            flags[0] |= np.where(bright, np.uint8(0), np.uint8(DO_NOT_USE))
        else:
            flags[0] |= np.uint8(DO_NOT_USE)
    return Status(reason=f"kept in {kept} bright ramps" if kept else "")
