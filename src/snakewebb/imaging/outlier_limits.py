"""Pixels that differ too much from what the other exposures show."""

import functools
import math

import numpy as np

from snakewebb.compiled import by_rows, njit

BLUR = 0.7
"""Variance in pixel^2, along each axis, by which an expected star may be wider than one seen by the detector.

Pixels painted onto the grid, the pixels of the grid, and the interpolation back make 1/3 on average and 1/2 where the star falls worst;
the median is lower where a star looks different in each dither. Of pixels of simulated stars that are brighter than expected, 99 % need
0.62 or less and 99.9 % need 0.7, whatever their sampling.
"""

_WIDTHS = 64  # of stars, for which the excess is tabulated


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
    source there and one error, and the source has enough light to move. Nor may a pixel be brighter, by more than one error, than the
    sharper star makes it that `BLUR` widens to the one that is expected (`excess_by_curvature`): that is up to all light of an
    undersampled star, but little of one that is well sampled, where a cosmic ray adds more.

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
    numbers = np.float32(level), np.float32(change)
    by_rows(_keep_rows, data.shape[0], data, err, expected, *numbers, *excess_by_curvature(), passed)


@functools.cache
def excess_by_curvature():
    """How much brighter a pixel can be than expected, in units of the curvature there, by how concentrated the expected star is.

    That of Gaussian stars in the middle of a pixel, whose variance is smaller by `BLUR` than that of the expected ones.

    Returns
    -------
    concentrations : ndarray (n,)
        Part of the expected light of 3 x 3 pixels in the middle one, ascending: from nearly 1/9, as of an extended source, to that of a
        star as wide as the blur alone, as which more concentrated ones count.
    excesses : ndarray (n,)
        Largest excess, relative to four times what is expected in the pixel less what is in its four neighbours.
    """
    variances = np.geomspace(BLUR, 100 * BLUR, _WIDTHS)[::-1]
    middle, neighbour, three = (_within(low, high, variances) for low, high in ((-0.5, 0.5), (0.5, 1.5), (-1.5, 1.5)))
    sharper = _within(-0.5, 0.5, variances - BLUR)
    return (middle / three) ** 2, (sharper**2 - middle**2) / (4 * middle * (middle - neighbour))


def _within(low, high, variances):
    """Parts of the light of Gaussian stars between two distances from their middle along an axis."""
    widths = np.sqrt(2 * np.maximum(variances, 1e-6))
    return np.array([(math.erf(high / width) - math.erf(low / width)) / 2 for width in widths])


@njit
def _keep_rows(first, last, data, err, expected, level, change, concentrations, excesses, passed):
    ny, nx = data.shape
    ring = np.empty(24, np.float32)
    for j in range(first, last):
        for i in range(nx):
            if passed[j, i] == 0:
                continue
            around = _ring_median(expected, j, i, ring)
            light = difference = variance = np.float32(0.0)
            peak_row, peak_column = j, i
            for jj in range(max(j - 1, 0), min(j + 2, ny)):
                for ii in range(max(i - 1, 0), min(i + 2, nx)):
                    beyond = data[jj, ii] - expected[jj, ii] - level
                    # what one of the two does not have is not compared
                    if np.isfinite(beyond):
                        difference += beyond
                        light += expected[jj, ii] - around
                        if np.isfinite(err[jj, ii]):
                            variance += err[jj, ii] ** 2
                        if expected[jj, ii] > expected[peak_row, peak_column]:
                            peak_row, peak_column = jj, ii
            excess = data[j, i] - expected[j, i] - level
            if not (abs(excess) <= light and abs(difference) <= change * light + np.sqrt(variance)):
                continue
            if excess > 0:
                concentration = _concentration(expected, peak_row, peak_column, ring)
                largest = np.interp(concentration, concentrations, excesses) * _curvature(expected, j, i)
                if excess > largest + err[j, i]:
                    continue
            passed[j, i] = 0


@njit
def _concentration(image, row, column, ring):
    """Part of the light of the 3 x 3 pixels around one that is in this one."""
    ny, nx = image.shape
    around = _ring_median(image, row, column, ring)
    light = np.float32(0.0)
    for j in range(max(row - 1, 0), min(row + 2, ny)):
        for i in range(max(column - 1, 0), min(column + 2, nx)):
            if np.isfinite(image[j, i]):
                light += image[j, i] - around
    return (image[row, column] - around) / light


@njit
def _curvature(image, row, column):
    """Four times a pixel less its four neighbours, of which those that are missing are as the others."""
    ny, nx = image.shape
    total = np.float32(0.0)
    count = 0
    for j, i in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if 0 <= j < ny and 0 <= i < nx and np.isfinite(image[j, i]):
            total += image[row, column] - image[j, i]
            count += 1
    return 4 * total / max(count, 1)


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
