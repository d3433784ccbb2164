"""Flags of saturated samples."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.read_pattern import read_numbers_of
from snakewebb.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED
from snakewebb.steps import Between, Status, step

_NEVER = np.float32(65536)  # DN, above the largest number of the converter


@step(version=2, keyword="S_SATURA", references=("saturation",), optional_references=("superbias",))
def saturation(
    ramp,
    references,
    *,
    n_pix_grow_sat: Annotated[int, Between(0, None)] = 1,
    use_readpatt: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Flag samples at or above the saturation threshold, all later ones, and their neighbours.

    Samples at or below 0 get AD_FLOOR and DO_NOT_USE. Groups that average several frames, of which only the last ones
    are saturated, are recognised with the read pattern and get DO_NOT_USE. Samples of the zero frame that are
    saturated or not above 0 become 0, which marks them as unusable.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses SATURATION, and SUPERBIAS if there is one (for the second group of averaged frames).
    n_pix_grow_sat : int
        Neighbours of a saturated pixel up to this distance, in pixels along rows and columns, are flagged too.
    use_readpatt : bool
        Look for groups of which only some of the averaged frames are saturated.
    compatibility : {"native", "jwst"}
        ``"jwst"`` takes the reads of a group to follow those of the group before, as `jwst` 3.0.0 does. Frames that
        are skipped between groups (GROUPGAP) and before the first one (DRPFRMS1) then make good groups look saturated in part.

    Returns
    -------
    Status

    References
    ----------
    Step saturation of jwst 3.0.0.
    """
    threshold = references.array("saturation").copy()
    reference_dq = references.dq("saturation")
    missing = np.isnan(threshold)
    unchecked = missing | ((reference_dq & NO_SAT_CHECK) != 0)
    threshold[unchecked] = _NEVER
    ramp.pixeldq |= reference_dq
    ramp.pixeldq[missing] |= np.uint32(NO_SAT_CHECK)
    bias = references.array("superbias") if references.has("superbias") else np.zeros_like(threshold)
    bias.flags.writeable = False  # as that of the reference: one compiled kernel serves both
    reads = read_numbers_of(ramp, native=compatibility == "native")
    _flag_saturation(
        ramp.data, ramp.groupdq, threshold, unchecked, bias, reads.mean(axis=1), reads[:, -1].astype(np.float64),
        reads.shape[1], n_pix_grow_sat, use_readpatt,
    )  # fmt: skip
    if ramp.zeroframe is not None:
        zeroframe = ramp.zeroframe[:, None]
        unusable = np.zeros(zeroframe.shape, np.uint8)
        one = np.ones(1)
        _flag_saturation(zeroframe, unusable, threshold, unchecked, bias, one, one, 1, n_pix_grow_sat, False)
        zeroframe[unusable != 0] = 0
    references.drop("saturation")
    return Status()


def _flag_saturation(data, groupdq, threshold, unchecked, bias, mean_read, last_read, nframes, grow, use_read_pattern):
    """Flag saturation in ``groupdq``.

    A pixel stays saturated, so one number per pixel, the first group that is saturated, holds all there is to know.
    """
    ny, nx = threshold.shape
    first, partial = np.empty((ny, nx), np.int32), np.empty((ny, nx), np.int32)
    common = data, groupdq, threshold, bias, unchecked, mean_read, last_read, nframes, grow, use_read_pattern
    for integration in range(len(data)):
        by_rows(_find_rows, ny, *common, first, partial, integration)
        by_rows(_flag_rows, ny, *common, first, partial, integration)


@njit
def _find_rows(
    begin, end, data, groupdq, threshold, bias, unchecked, mean_read, last_read, nframes, grow, use_read_pattern,
    first, partial, integration,
):  # fmt: skip
    """Flag the floor of the converter in rows ``begin`` to ``end - 1``, and find what saturates there, and when.

    Sets ``first``, the first group that is saturated or has a saturated neighbour (the number of groups if none), and
    ``partial``, the group of which some frames are saturated (-1 if none).
    """
    _, ngroups, ny, nx = data.shape
    low, high = max(begin - grow, 0), min(end + grow, ny)
    own = np.empty((high - low, nx), np.int32)  # first group of each pixel itself
    for y in range(low, high):
        for x in range(nx):
            own[y - low, x] = ngroups
        for group in range(ngroups):
            for x in range(nx):
                found = np.int32(group if data[integration, group, y, x] >= threshold[y, x] else ngroups)
                own[y - low, x] = min(own[y - low, x], found)
    column = np.empty(nx, np.int32)
    for y in range(begin, end):
        for x in range(nx):
            column[x] = ngroups
        for row in range(max(y - grow, 0), min(y + grow + 1, ny)):
            for x in range(nx):
                column[x] = min(column[x], own[row - low, x])
        for x in range(nx):
            earliest = column[x]
            for near in range(max(x - grow, 0), min(x + grow + 1, nx)):
                earliest = min(earliest, column[near])
            first[y, x] = earliest
        for group in range(ngroups):
            for x in range(nx):
                floor = AD_FLOOR | DO_NOT_USE if data[integration, group, y, x] <= 0 else 0
                groupdq[integration, group, y, x] |= np.uint8(floor)
        for x in range(nx):
            partial[y, x] = -1
            group = first[y, x] - 1
            if use_read_pattern and 0 <= group < ngroups - 1 and mean_read[group] != last_read[group]:
                dilution = 1.0 if unchecked[y, x] else mean_read[group] / last_read[group]
                value = np.float64(data[integration, group, y, x])
                if value >= threshold[y, x] * dilution and groupdq[integration, group, y, x] & DO_NOT_USE == 0:
                    partial[y, x] = group


@njit
def _flag_rows(
    begin, end, data, groupdq, threshold, bias, unchecked, mean_read, last_read, nframes, grow, use_read_pattern,
    first, partial, integration,
):  # fmt: skip
    """Flag what was found, with the neighbours of groups that are saturated in part."""
    _, ngroups, ny, nx = data.shape
    for y in range(begin, end):
        for x in range(nx):
            for group in range(first[y, x], ngroups):
                groupdq[integration, group, y, x] |= np.uint8(SATURATED)
            if use_read_pattern and nframes > 1:
                for row in range(max(y - grow, 0), min(y + grow + 1, ny)):
                    for near in range(max(x - grow, 0), min(x + grow + 1, nx)):
                        if partial[row, near] >= 0:
                            groupdq[integration, partial[row, near], y, x] |= np.uint8(DO_NOT_USE)
            if use_read_pattern and ngroups > 2 and first[y, x] == 2:
                # a second group that rose too much, though the first one did not foretell saturation of the third
                start = data[integration, 0, y, x]
                limit = threshold[y, x]
                level = bias[y, x]
                expected = np.float64(start - level) / mean_read[0] * last_read[2] + level
                rise = data[integration, 1, y, x] - start
                if expected < limit and rise > (limit - start) / np.float32(nframes):
                    groupdq[integration, 1, y, x] |= np.uint8(DO_NOT_USE)
