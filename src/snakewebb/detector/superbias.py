"""Subtraction of the bias."""

from snakewebb.detector.reference_plane import subtract_plane
from snakewebb.steps import Status, step


@step(version=1, keyword="S_SUPERB", references=("superbias",))
def superbias(ramp, references):
    """Subtract the superbias from every group and from the zero frame.

    Where the superbias is NaN nothing is subtracted. Samples of the zero frame marked as unusable (0) stay 0.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses SUPERBIAS.

    Returns
    -------
    Status

    References
    ----------
    Step superbias of jwst 3.0.0.
    """
    bias = references.array("superbias", interleaved=ramp.interleaved)
    ramp.pixeldq |= references.dq("superbias", interleaved=ramp.interleaved)
    subtract_plane(ramp.data, bias)
    if ramp.zeroframe is not None:
        subtract_plane(ramp.zeroframe[:, None], bias, keep_zeros=True)
    references.drop("superbias")
    return Status()
