"""Flags of saturated samples."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.interleaved import science_rows
from snakewebb.detector.read_pattern import read_numbers_of
from snakewebb.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED
from snakewebb.steps import Between, Status, step

_NEVER = np.float32(65536)  # DN, above the largest number of the converter

# what the read pattern is used for
_IGNORED = 0
_SECOND_GROUP = 1  # a second group of which some frames are saturated
_SECOND_GROUP_SATURATED = 2  # the same, by the rule that the oracle has for interleaved frames
_ALL_GROUPS = 3


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

    Of frames with interleaved reference pixels (NIRSpec's IRS2 read-out) only the other pixels are looked at, and of the read pattern
    only what it says of the second group.

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
        In frames with interleaved reference pixels, a second group of which only some of the averaged frames are saturated then
        gets SATURATED, as its neighbours do, instead of DO_NOT_USE, whether or not a neighbour was saturated before.

    Returns
    -------
    Status

    References
    ----------
    Step saturation of jwst 3.0.0.
    """
    limits, reference_dq = references.array("saturation"), references.dq("saturation")
    rows = science_rows(ramp.header) if ramp.interleaved else np.arange(ramp.data.shape[2])
    threshold, unchecked = np.empty_like(limits), np.empty(limits.shape, np.bool_)

    def prepare(first, last):
        missing = np.isnan(limits[first:last])
        flags = reference_dq[first:last] | np.where(missing, np.uint32(NO_SAT_CHECK), np.uint32(0))
        unchecked[first:last] = (flags & NO_SAT_CHECK) != 0
        threshold[first:last] = np.where(unchecked[first:last], _NEVER, limits[first:last])
        ramp.pixeldq[rows[first:last]] |= flags

    by_rows(prepare, len(limits), block=128)
    if references.has("superbias"):
        bias = references.array("superbias", interleaved=ramp.interleaved)
        bias = bias[rows] if ramp.interleaved else bias
    else:
        bias = np.zeros_like(threshold)
    bias.flags.writeable = False  # as that of the reference: one compiled kernel serves both
    reads = read_numbers_of(ramp, native=compatibility == "native")
    if not use_readpatt:
        pattern = _IGNORED
    elif ramp.interleaved:
        pattern = _SECOND_GROUP_SATURATED if compatibility == "jwst" else _SECOND_GROUP
    else:
        pattern = _ALL_GROUPS
    _flag_saturation(
        ramp.data, ramp.groupdq, rows, threshold, unchecked, bias, reads.mean(axis=1), reads[:, -1].astype(np.float64),
        reads.shape[1], n_pix_grow_sat, pattern,
    )  # fmt: skip
    if ramp.zeroframe is not None:
        zeroframe = ramp.zeroframe[:, None]
        unusable = np.zeros(zeroframe.shape, np.uint8)
        one = np.ones(1)
        _flag_saturation(zeroframe, unusable, rows, threshold, unchecked, bias, one, one, 1, n_pix_grow_sat, _IGNORED)
        zeroframe[unusable != 0] = 0
    references.drop("saturation")
    return Status()


def _flag_saturation(data, groupdq, rows, threshold, unchecked, bias, mean_read, last_read, nframes, grow, pattern):
    """Flag saturation in ``groupdq``, in some rows of the frames, which are taken to be neighbours.

    A pixel stays saturated, so one number per pixel, the first group that is saturated, holds all there is to know.
    """
    ny, nx = threshold.shape
    first, partial = np.empty((ny, nx), np.int32), np.empty((ny, nx), np.int32)
    common = data, groupdq, rows, threshold, bias, unchecked, mean_read, last_read, nframes, grow, pattern
    for integration in range(len(data)):
        by_rows(_find_rows, ny, *common, first, partial, integration)
        by_rows(_flag_rows, ny, *common, first, partial, integration)


@njit
def _find_rows(
    begin, end, data, groupdq, rows, threshold, bias, unchecked, mean_read, last_read, nframes, grow, pattern,
    first, partial, integration,
):  # fmt: skip
    """Flag the floor of the converter in rows ``begin`` to ``end - 1``, and find what saturates there, and when.

    Sets ``first``, the first group that is saturated or has a saturated neighbour (the number of groups if none), and
    ``partial``, the group of which some frames are saturated (-1 if none).
    """
    _, ngroups, _, nx = data.shape
    ny = rows.size
    low, high = max(begin - grow, 0), min(end + grow, ny)
    own = np.empty((high - low, nx), np.int32)  # first group of each pixel itself
    for y in range(low, high):
        mine, limit = own[y - low], threshold[y]
        mine[:] = ngroups
        for group in range(ngroups - 1, -1, -1):
            samples = data[integration, group, rows[y]]
            number = np.int32(group)
            for x in range(nx):
                before = mine[x]
                mine[x] = number if samples[x] >= limit[x] else before
    column = np.empty(nx, np.int32)
    bits = np.uint8(AD_FLOOR | DO_NOT_USE)
    for y in range(begin, end):
        at = rows[y]
        column[:] = ngroups
        for row in range(max(y - grow, 0), min(y + grow + 1, ny)):
            mine = own[row - low]
            for x in range(nx):
                column[x] = min(column[x], mine[x])
        earliest = first[y]
        earliest[:] = column
        for shift in range(1, min(grow + 1, nx)):
            for x in range(nx - shift):
                earliest[x] = min(earliest[x], column[x + shift])
            for x in range(shift, nx):
                earliest[x] = min(earliest[x], column[x - shift])
        for group in range(ngroups):
            samples, flags = data[integration, group, at], groupdq[integration, group, at]
            for x in range(nx):
                flags[x] |= bits if samples[x] <= 0 else np.uint8(0)
        partial[y, :] = -1
        if earliest.min() == ngroups:
            continue
        for x in range(nx):
            group = first[y, x] - 1
            if pattern == _ALL_GROUPS and 0 <= group < ngroups - 1 and mean_read[group] != last_read[group]:
                dilution = 1.0 if unchecked[y, x] else mean_read[group] / last_read[group]
                value = np.float64(data[integration, group, at, x])
                usable = groupdq[integration, group, at, x] & DO_NOT_USE == 0
                if value >= threshold[y, x] * dilution and usable:
                    partial[y, x] = group


@njit
def _flag_rows(
    begin, end, data, groupdq, rows, threshold, bias, unchecked, mean_read, last_read, nframes, grow, pattern,
    first, partial, integration,
):  # fmt: skip
    """Flag what was found, with the neighbours of groups that are saturated in part."""
    _, ngroups, _, nx = data.shape
    ny = rows.size
    second = np.uint8(SATURATED if pattern == _SECOND_GROUP_SATURATED else DO_NOT_USE)
    reach = grow if pattern == _SECOND_GROUP_SATURATED else 0
    for y in range(begin, end):
        at = rows[y]
        for group in range(first[y].min(), ngroups):
            flags, earliest, number = groupdq[integration, group, at], first[y], np.int32(group)
            for x in range(nx):
                flags[x] |= np.uint8(SATURATED) if earliest[x] <= number else np.uint8(0)
        if pattern == _ALL_GROUPS and nframes > 1:
            for row in range(max(y - grow, 0), min(y + grow + 1, ny)):
                if partial[row].max() < 0:
                    continue
                for x in range(nx):
                    if partial[row, x] >= 0:
                        for near in range(max(x - grow, 0), min(x + grow + 1, nx)):
                            groupdq[integration, partial[row, x], at, near] |= np.uint8(DO_NOT_USE)
        if pattern != _IGNORED and ngroups > 2:
            for row in range(max(y - reach, 0), min(y + reach + 1, ny)):
                for x in range(nx):
                    if pattern == _SECOND_GROUP_SATURATED:
                        chosen = data[integration, 2, rows[row], x] >= threshold[row, x]
                    else:
                        chosen = first[y, x] == 2
                    if chosen and _rose_too_much(
                        data[integration, 0, rows[row], x], data[integration, 1, rows[row], x],
                        threshold[row, x], bias[row, x], mean_read[0], last_read[2], nframes,
                    ):  # fmt: skip
                        for near in range(max(x - reach, 0), min(x + reach + 1, nx)):
                            groupdq[integration, 1, at, near] |= second


@njit
def _rose_too_much(start, after, limit, level, mean_read, last_read, nframes):
    """Whether the second group rose too much, though the first one did not foretell saturation of the third."""
    expected = np.float64(start - level) / mean_read * last_read + level
    return expected < limit and after - start > (limit - start) / np.float32(nframes)
