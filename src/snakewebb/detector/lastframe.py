"""Flags of the last group of MIRI's integrations."""

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_LASTFR")
def lastframe(ramp, references):
    """Flag the last group of each MIRI integration DO_NOT_USE: the reset of the next one disturbs it.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Not used.

    Returns
    -------
    Status
        NOT_APPLICABLE for other instruments, and for fewer than 3 groups.

    References
    ----------
    Step lastframe of jwst 3.0.0.
    """
    ngroups = ramp.groupdq.shape[1]
    if not str(ramp.header["DETECTOR"]).startswith("MIR"):
        return Status(NOT_APPLICABLE, f"for MIRI only, not for detector {ramp.header['DETECTOR']}")
    if ngroups <= 2:
        return Status(NOT_APPLICABLE, f"at least 3 groups are needed, there are {ngroups}")
    ramp.groupdq[:, -1] |= np.uint8(DO_NOT_USE)
    return Status()
