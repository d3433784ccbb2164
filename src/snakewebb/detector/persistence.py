"""Flags of samples that a pixel's recent saturation may still affect."""

from pathlib import Path
from typing import Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, PERSISTENCE, SATURATED
from snakewebb.errors import BadDataError
from snakewebb.io.persistence_windows import read_windows, write_windows
from snakewebb.steps import FAILED, Status, step

_UNIX_EPOCH = 40587.0  # MJD of 1970-01-01
_DAY = 86400.0  # seconds


@step(version=1, keyword="S_PERSIS", skip=True, whole_exposure=True)
def persistence(
    ramp,
    references,
    *,
    save_persistence: str | None = None,
    persistence_time: int | None = None,
    dn_threshold: float | None = None,
    persistence_array_file: str | None = None,
    persistence_dnu: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Flag PERSISTENCE for some time after a pixel's first saturated group.

    The time of a group is the start of its integration (INT_TIMES, else EXPSTART and EFFINTTM) and one TGROUP for it and each
    earlier group, or the group's read time where they are not evenly spaced. A window opens, or is renewed, in the first
    saturated group of an integration, which is flagged too, and ends ``persistence_time`` later, in the same integration or
    another one. Windows of earlier exposures (``ramp.persistence_ends``) count as well.

    Parameters
    ----------
    ramp : Ramp
        Changed in place; ``persistence_ends`` becomes the ends of the windows after this exposure.
    references : References
        Not used.
    save_persistence : str or None
        ASDF file to which the windows that are open after the exposure are written, under the detector's name. Only for a
        single exposure: jobs that run at the same time would write to one file.
    persistence_time : int or None
        Length of a window, seconds. Without it the step fails.
    dn_threshold : float or None
        A signal above this, DN, opens a window too, unless one is open.
    persistence_array_file : str or None
        ASDF file of windows that earlier exposures left open, as ``save_persistence`` writes it. Ignored if it is not there
        or was made with another ``persistence_time``.
    persistence_dnu : bool
        Flag DO_NOT_USE with PERSISTENCE.
    compatibility : {"native", "jwst"}
        ``"native"``: rows of INT_TIMES are found by the number of the integration, and without them times are counted from
        INTSTART. ``"jwst"``: rows are taken in their order, and without them every segment begins with the exposure.

    Returns
    -------
    Status
        FAILED without a positive ``persistence_time``.

    Raises
    ------
    BadDataError
        If the times of the integrations are not known.

    References
    ----------
    Step persistence of jwst 3.0.0.
    """
    if persistence_time is None or persistence_time <= 0:
        return Status(FAILED, f"persistence_time is {persistence_time}, expected seconds, more than 0")
    nints, ngroups, ny, nx = ramp.data.shape
    detector = str(ramp.header["DETECTOR"])
    ends = np.zeros((ny, nx)) if ramp.persistence_ends is None else ramp.persistence_ends
    if persistence_array_file is not None and Path(persistence_array_file).exists():
        earlier = read_windows(persistence_array_file, detector, ramp.subarray, (ny, nx), persistence_time)
        np.maximum(ends, earlier, out=ends)
    starts = _integration_starts(ramp, compatibility == "native")
    flag = np.uint8(PERSISTENCE | DO_NOT_USE if persistence_dnu else PERSISTENCE)
    threshold = np.float32(np.inf if dn_threshold is None else dn_threshold)
    intervals = np.full(ngroups, float(ramp.header["TGROUP"]))
    if ramp.read_times is not None and compatibility == "native":
        intervals = np.diff(ramp.read_times, prepend=0.0)
    for integration in range(nints):
        # added up one by one, as rounding decides whether a window has just ended
        times = np.cumsum(np.concatenate(([starts[integration]], intervals)))[1:]
        by_rows(
            _flag_rows, ny, ramp.data[integration], ramp.groupdq[integration], times, float(persistence_time), threshold, flag,
            ends,
        )  # fmt: skip
    ramp.persistence_ends = ends
    if save_persistence is not None:
        write_windows(
            Path(save_persistence).with_suffix(".asdf"), ends, detector=detector, persistence_time=persistence_time,
            filename=str(ramp.header.get("FILENAME", "")), subarray=ramp.subarray,
        )  # fmt: skip
    return Status()


def _integration_starts(ramp, native):
    """Start of each integration, seconds since 1970 (UTC)."""
    nints = len(ramp.data)
    numbers = (ramp.first_integration if native else 0) + np.arange(nints)
    listed = np.empty(0)
    table = ramp.int_times
    if table is not None and len(table) and "int_start_MJD_UTC" in table.dtype.names:
        listed = (np.asarray(table["int_start_MJD_UTC"], np.float64) - _UNIX_EPOCH) * _DAY
        if native:
            of = np.asarray(table["integration_number"]).astype(np.int64)
            rows = [np.flatnonzero(of == number + 1) for number in numbers]
            listed = listed[[row[0] for row in rows]] if all(len(row) for row in rows) else np.empty(0)
        if len(listed) >= nints:
            return listed[:nints]
    missing = [key for key in ("EXPSTART", "EFFINTTM") if not isinstance(ramp.header.get(key), (int, float))]
    if missing:
        raise BadDataError(
            f"{ramp.header.get('FILENAME', 'exposure')}: persistence needs the times of the integrations, but INT_TIMES does not have "
            f"them and the primary header lacks {', '.join(missing)}; download the file again, or set steps.persistence.skip"
        )
    starts = (float(ramp.header["EXPSTART"]) - _UNIX_EPOCH) * _DAY + numbers * float(ramp.header["EFFINTTM"])
    starts[: len(listed)] = listed  # a table that is too short: none of it in the native mode
    return starts


@njit
def _flag_rows(begin, end, data, groupdq, times, persistence_time, threshold, flag, ends):
    """Flag the samples of an integration in rows ``begin`` to ``end - 1`` and carry the ends of the windows on."""
    ngroups, _, nx = data.shape
    saturated = np.zeros((end - begin, nx), np.int32)  # groups so far
    for group in range(ngroups):
        now = times[group]
        window_end = now + persistence_time
        for y in range(begin, end):
            for x in range(nx):
                last = ends[y, x]
                if last < now:
                    last = 0.0
                if groupdq[group, y, x] & SATURATED != 0:
                    saturated[y - begin, x] += 1
                if saturated[y - begin, x] == 1:
                    last = window_end
                if data[group, y, x] > threshold and not last > 0:
                    last = window_end
                if last > window_end:  # of a later exposure
                    last = 0.0
                if last > 0:
                    groupdq[group, y, x] |= flag
                ends[y, x] = last
