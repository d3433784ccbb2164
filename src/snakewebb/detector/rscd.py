"""Flags of the groups at the beginning of MIRI's integrations that the switch of the reset has charged."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE, Status, step

_COLUMNS = ("subarray", "readpatt", "group_skip1", "group_skip")


@step(version=1, keyword="S_RSCD", references=("rscd",))
def rscd(ramp, references):
    """Flag the first groups of each MIRI integration DO_NOT_USE, as many as the reference says for the read-out.

    The first integration of an exposure has its own number. Pixels that would be left with fewer than two groups before
    they saturate keep as many of the first ones as they need, and get FLUX_ESTIMATED. The keywords INT1SKIP and INT2SKIP
    say how many groups were flagged in the first and the later integrations, INT1BORS and INT2BORS in how many pixels
    there were fewer for saturation, INT1UGP1 and INT2UGP1 in how many none, in any of the integrations that the ramp has had so far.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses RSCD.

    Returns
    -------
    Status
        NOT_APPLICABLE for other instruments, for fewer than 3 groups, and for read-outs that the reference does not list.

    Raises
    ------
    MissingReferenceError
        If the reference lacks the table RSCD_GROUP_SKIP or columns of it.

    References
    ----------
    Step rscd of jwst 3.0.0.
    """
    ngroups = ramp.groupdq.shape[1]
    if not str(ramp.header["DETECTOR"]).startswith("MIR"):
        return Status(NOT_APPLICABLE, f"for MIRI only, not for detector {ramp.header['DETECTOR']}")
    if "rscd" not in ramp.carried:
        ramp.carried["rscd"] = _groups_to_skip(ramp, references)
    skips = ramp.carried["rscd"]
    if skips is None:
        what = f"{ramp.header['SUBARRAY']}, {ramp.header['READPATT']}"
        return Status(NOT_APPLICABLE, f"the reference does not list this read-out ({what})")
    if ngroups < 3:
        return Status(NOT_APPLICABLE, f"at least 3 groups are needed, there are {ngroups}")
    # with the last group flagged too, at least two must be left
    first_skip, later_skip = (min(1 if ngroups <= 5 else skip, max(ngroups - 3, 0)) for skip in skips)
    starts_exposure = ramp.first_integration == 0
    if starts_exposure:
        _flag(ramp, slice(0, 1), first_skip, 1)
    if int(ramp.header["NINTS"]) > 1:
        _flag(ramp, slice(1 if starts_exposure else 0, None), later_skip, 2)
    return Status(reason=f"{first_skip} groups of the first integration, {later_skip} of later ones")


def _groups_to_skip(ramp, references):
    """Groups to skip in the first and in later integrations, or ``None`` if the reference does not list the read-out."""
    try:
        table = references.table("rscd", "RSCD_GROUP_SKIP")
        columns = [table[name] for name in _COLUMNS]
    except KeyError as error:
        raise MissingReferenceError(
            f"{references.path('rscd')}: {error.args[0]}; expected a table RSCD_GROUP_SKIP with columns "
            f"{', '.join(_COLUMNS)}: use another RSCD file"
        ) from error
    subarray = str(ramp.header["SUBARRAY"]).strip()
    subarray = "SLITLESSPRISM" if subarray.upper() == "SUBPRISM" else subarray
    for name, pattern, first, later in zip(*columns, strict=True):
        if name.strip() == subarray and pattern.strip() == str(ramp.header["READPATT"]).strip():
            # a negative number stands in files that know no first integration
            return (1 if first < 0 else int(first)), int(later)
    return None


def _flag(ramp, integrations, skip, number):
    """Flag groups of some integrations and set the keywords of that ``number``."""
    groupdq = ramp.groupdq[integrations]
    nints, _, ny, nx = groupdq.shape
    least = np.empty((ny, nx), np.int32)
    by_rows(_flag_rows, ny, groupdq, skip, least)
    ramp.pixeldq[least < skip] |= np.uint32(FLUX_ESTIMATED)
    saturates = nints > 0 and _backs_off(groupdq, skip)
    # integrations that come one after the other are counted together
    before = ramp.carried.get(("rscd", number))
    if before is not None:
        np.minimum(least, before[0], out=least)
        saturates |= before[1]
    ramp.carried["rscd", number] = least, saturates
    counts = {
        "SKIP": (skip, f"Groups skipped in int {number}{'' if number == 1 else ' and higher'}"),
        "UGP1": (int((least <= 0).sum()) if saturates else 0, "Pixels where the first group is kept"),
        "BORS": (int((least < skip).sum()), "Pixels with fewer groups skipped for saturation"),
    }
    for name, card in counts.items():
        ramp.header[f"INT{number}{name}"] = card


def _backs_off(groupdq, skip):
    """Whether any pixel is saturated in the second group after the skipped ones, but not in the first of all."""
    return any(np.any((flags[skip + 1] & SATURATED != 0) & (flags[0] & SATURATED == 0)) for flags in groupdq)


@njit
def _flag_rows(begin, end, groupdq, skip, least):
    """Flag the skipped groups of rows, and give the least number of them in any of the integrations."""
    nints, _, _, nx = groupdq.shape
    for y in range(begin, end):
        for x in range(nx):
            least[y, x] = skip
            for integration in range(nints):
                skipped = skip
                group = skip + 1
                if groupdq[integration, 0, y, x] & SATURATED == 0:
                    while group > 0 and groupdq[integration, group, y, x] & SATURATED != 0:
                        skipped -= 1
                        group -= 1
                skipped = max(skipped, 0)
                for flagged in range(skipped):
                    groupdq[integration, flagged, y, x] |= np.uint8(DO_NOT_USE)
                least[y, x] = min(least[y, x], skipped)
