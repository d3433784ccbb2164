"""What a fit of ramps must know of an exposure and of the parameters."""

import logging
from typing import NamedTuple

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError

log = logging.getLogger(__name__)

_LOOKED_AT = 16  # rows


class FitExposure(NamedTuple):
    """What the kernels must know of the exposure and the parameters; times in seconds.

    Of the groups of the arrays, ``ngroups`` take part, after ``skipped`` ones; they are counted from the first of them.
    """

    skipped: int
    ngroups: int
    group_time: float
    frame_time: float
    first_group_time: float
    pedestal_time: float
    nframes: float
    first: int
    last: int
    suppress: bool
    zeroframe: bool
    exact: bool
    native: bool


def fit_exposure(
    ramp,
    *,
    suppress_one_group=True,
    firstgroup=None,
    lastgroup=None,
    variance="approximate",
    compatibility="native",
):
    """Collect what the kernels must know of a ramp; the parameters are those of `ramp_fit`.

    Returns
    -------
    FitExposure

    Raises
    ------
    BadDataError
        If NFRAMES, TGROUP or TFRAME is missing or not positive, or GROUPGAP is missing.
    """
    header = ramp.header
    values = {keyword: header.get(keyword) for keyword in ("NFRAMES", "TGROUP", "TFRAME", "GROUPGAP")}
    wrong = [
        f"{keyword} is {value!r}"
        for keyword, value in values.items()
        if not isinstance(value, (int, float)) or value < 0 or (value == 0 and keyword != "GROUPGAP")
    ]
    if wrong:
        raise BadDataError(
            f"{header.get('FILENAME', 'ramp')}: {', '.join(wrong)}, expected positive numbers; "
            "fetch the file again or exclude the exposure"
        )
    ngroups = ramp.data.shape[1]
    first = 0 if firstgroup is None else max(firstgroup, 0)
    last = ngroups - 1 if lastgroup is None else lastgroup
    if (firstgroup is not None or lastgroup is not None) and first >= last:
        log.warning("ramp_fit: firstgroup %d is not smaller than lastgroup %d, both are ignored", first, last)
        first, last = 0, ngroups - 1
    skipped, ngroups = _used_groups(ramp, first, last) if header.get("INSTRUME") == "MIRI" else (0, ngroups)
    nframes, group_time = float(values["NFRAMES"]), float(values["TGROUP"])
    native = compatibility == "native"
    pedestal = ((nframes + 1) / 2 + int(header.get("DRPFRMS1") or 0)) / (nframes + values["GROUPGAP"])
    return FitExposure(
        skipped=skipped,
        ngroups=ngroups,
        group_time=group_time,
        frame_time=float(values["TFRAME"]),
        first_group_time=(nframes + 1) * float(values["TFRAME"]) / 2,
        pedestal_time=pedestal * group_time if native else pedestal,
        nframes=nframes,
        first=first - skipped,
        last=last - skipped,
        # a ramp of one group is no remainder of a longer one
        suppress=bool(suppress_one_group and ngroups > 1),
        zeroframe=ramp.zeroframe is not None,
        exact=variance == "exact",
        native=native,
    )


def leading_groups(ramp, exposure):
    """How many groups at the beginning of each integration, of those that take part, are DO_NOT_USE in most pixels.

    Ramps in which these groups cannot be used, and all others can, are fitted fast. Results do not depend on the number, so that it is
    found from some rows only.

    Parameters
    ----------
    ramp : Ramp
    exposure : FitExposure

    Returns
    -------
    ndarray of int64 (nints,)
        So many at most that two groups are left.
    """
    number = np.zeros(len(ramp.groupdq), np.int64)
    for i, flags in enumerate(ramp.groupdq):
        for plane in flags[exposure.skipped : exposure.skipped + max(exposure.ngroups - 2, 0)]:
            rows = plane[:: max(1, len(plane) // _LOOKED_AT)]
            if 2 * np.count_nonzero(rows & DO_NOT_USE) <= rows.size:
                break
            number[i] += 1
    return number


def _used_groups(ramp, first, last):
    """Number of groups left out at the beginning, and of those used then.

    Left out are the groups at the beginning, and the last one, in which no pixel is to be used; not if less than two would
    be left.
    """
    ngroups = ramp.data.shape[1]

    def unused(group):
        return not first <= group <= last or all(np.all(flags[group] & DO_NOT_USE) for flags in ramp.groupdq)

    skipped = next((group for group in range(ngroups) if not unused(group)), ngroups)
    number = ngroups - skipped
    if number > 0 and unused(ngroups - 1):
        number -= 1
    return (skipped, number) if number > 1 else (0, ngroups)
