"""Pixels that differ too much from what the other exposures show."""

import numpy as np

from snakewebb.compiled import by_rows, njit


def outliers_of(data, err, expected, limits, factors, level, *, change=None):
    """Pixels that differ too much from what is expected.

    Parameters
    ----------
    data, err, expected : ndarray of float32 (ny, nx)
    limits : (float, float)
        First and second limit in units of the error.
    factors : (float, float)
        Factors of the largest step to a neighbour in ``expected``.
    level : float
        Added to ``expected``, in the unit of the data.
    change : float or None
        That of `keep_redistributed_light`; ``None``: differences alone decide.

    Returns
    -------
    ndarray of bool (ny, nx)
    """
    data, err, expected = (np.ascontiguousarray(plane, np.float32) for plane in (data, err, expected))
    passed = np.empty(data.shape, np.uint8)
    numbers = [np.float32(number) for number in (*limits, *factors, level)]
    by_rows(_compare_rows, data.shape[0], data, err, expected, *numbers, passed)
    if change is not None:
        keep_redistributed_light(data, err, expected, level, passed, change=change)
    return confirmed(passed)


def confirmed(passed):
    """Pixels beyond the second limit (bit 2) of which a pixel of the 3 x 3 around is beyond the first one (bit 1).

    Parameters
    ----------
    passed : ndarray of uint8 (ny, nx)

    Returns
    -------
    ndarray of bool (ny, nx)
    """
    outliers = np.empty(passed.shape, np.bool_)
    by_rows(_confirm_rows, passed.shape[0], passed, outliers)
    return outliers


@njit
def _compare_rows(first, last, data, err, expected, limit1, limit2, factor1, factor2, level, passed):
    """Bit 1: above the first limit; bit 2: above the second one."""
    ny, nx = data.shape
    for j in range(first, last):
        below = max(j - 1, 0)
        above = min(j + 1, ny - 1)
        for i in range(nx):
            here = expected[j, i]
            steepest = np.float32(0.0)
            for value in (
                expected[below, i],
                expected[above, i],
                expected[j, max(i - 1, 0)],
                expected[j, min(i + 1, nx - 1)],
            ):
                step = abs(here - value)
                if step > steepest:
                    steepest = step
            noise = err[j, i]
            if np.isnan(noise):
                noise = np.float32(0.0)
            # false where the data or what is expected is not a number
            difference = abs(data[j, i] - here - level)
            flags = 0
            if difference > factor1 * steepest + limit1 * noise:
                flags |= 1
            if difference > factor2 * steepest + limit2 * noise:
                flags |= 2
            passed[j, i] = flags


@njit
def _confirm_rows(first, last, passed, outliers):
    """Second limit, where a pixel of the 3 x 3 around is above the first one."""
    ny, nx = passed.shape
    for j in range(first, last):
        for i in range(nx):
            found = False
            if passed[j, i] & 2:
                for jj in range(max(j - 1, 0), min(j + 2, ny)):
                    for ii in range(max(i - 1, 0), min(i + 2, nx)):
                        found |= passed[jj, ii] & 1 != 0
            outliers[j, i] = found


def keep_redistributed_light(data, err, expected, level, passed, *, change):
    """Clear the marks of pixels whose difference comes from where the light of a compact source falls on the pixels.

    The image of a star narrower than a pixel changes with the place of the star in its pixel, by most of its light, but what the
    3 x 3 pixels around hold together does not: a mark is cleared if these hold what is expected, within a part of the light of the
    source there and one error, and the source has enough light to move.

    Parameters
    ----------
    data, err, expected : ndarray of float32 (ny, nx)
    level : float
        Added to ``expected``, in the unit of the data.
    passed : ndarray of uint8 (ny, nx)
        Marks; changed in place.
    change : float
        Largest change of the light in 3 x 3 pixels, relative to that of the source there (no unit).
    """
    by_rows(_keep_rows, data.shape[0], data, err, expected, np.float32(level), np.float32(change), passed)


@njit
def _keep_rows(first, last, data, err, expected, level, change, passed):
    ny, nx = data.shape
    ring = np.empty(24, np.float32)
    for j in range(first, last):
        for i in range(nx):
            if passed[j, i] == 0:
                continue
            around = _ring_median(expected, j, i, ring)
            light = difference = variance = np.float32(0.0)
            for jj in range(max(j - 1, 0), min(j + 2, ny)):
                for ii in range(max(i - 1, 0), min(i + 2, nx)):
                    beyond = data[jj, ii] - expected[jj, ii] - level
                    # what one of the two does not have is not compared
                    if np.isfinite(beyond):
                        difference += beyond
                        light += expected[jj, ii] - around
                        if np.isfinite(err[jj, ii]):
                            variance += err[jj, ii] ** 2
            moved = abs(data[j, i] - expected[j, i] - level)
            if moved <= light and abs(difference) <= change * light + np.sqrt(variance):
                passed[j, i] = 0


@njit
def _ring_median(image, row, column, ring):
    """Median of the border of the 7 x 7 pixels around one, NaN without a finite value there."""
    ny, nx = image.shape
    count = 0
    for j in range(max(row - 3, 0), min(row + 4, ny)):
        for i in range(max(column - 3, 0), min(column + 4, nx)):
            if max(abs(j - row), abs(i - column)) == 3 and np.isfinite(image[j, i]):
                ring[count] = image[j, i]
                count += 1
    if count == 0:
        return np.float32(np.nan)
    return np.sort(ring[:count])[count // 2]
