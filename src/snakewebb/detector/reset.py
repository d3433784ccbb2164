"""Subtraction of MIRI's reset anomaly."""

from snakewebb.detector.reference_plane import in_portions, integrations_of, subtract_planes
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_RESET", references=("reset",))
def reset(ramp, references):
    """Subtract the decay after a reset from the groups at the beginning of each MIRI integration.

    The reference has the decay in each of the first integrations of an exposure; that of its last one holds for all later
    ones. NaN counts as 0.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses RESET.

    Returns
    -------
    Status
        NOT_APPLICABLE for other instruments.

    Raises
    ------
    MissingReferenceError
        If the reference does not hold groups of integrations.

    References
    ----------
    Step reset of jwst 3.0.0.
    """
    if not str(ramp.header["DETECTOR"]).startswith("MIR"):
        return Status(NOT_APPLICABLE, f"for MIRI only, not for detector {ramp.header['DETECTOR']}")
    shape = references.shape("reset")
    if len(shape) != 4:
        raise MissingReferenceError(
            f"{references.path('reset')}[SCI]: shape {shape} found, expected (integration, group, row, column)"
        )
    ramp.pixeldq |= references.dq("reset")
    nints, ngroups = ramp.data.shape[:2]
    groups = min(ngroups, shape[1])
    portions = in_portions(groups, ramp.data.shape[2:])
    for decay, first, last in integrations_of(ramp.first_integration, nints, shape[0]):
        for group, end in portions:
            planes = references.plane("reset", (decay, slice(group, end)), keep=len(portions) == 1)
            subtract_planes(ramp.data[first:last], group, planes)
    references.drop("reset")
    return Status(reason=f"{groups} of {ngroups} groups" if groups < ngroups else "")
