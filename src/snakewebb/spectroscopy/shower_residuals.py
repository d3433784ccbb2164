"""What is left of cosmic-ray showers in a slope image of the spectrometer, seen between its slices."""

import numpy as np

from snakewebb.compiled import by_rows, njit


def shower_model(data, between, *, deviations, percentiles, dark_outside=False):
    """Smooth light between slices, interpolated over the slices.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
        DN/s.
    between : ndarray of bool (ny, nx)
        Usable pixels between slices.
    deviations : (float, float)
        Standard deviations in y and x of the Gaussian, pixel; it ends at four of the larger one.
    percentiles : (float, float)
        Pixels between slices outside these percentiles are not used.
    dark_outside : bool
        Beyond the edges of the detector there are pixels without light, as the oracle has it, and not none.

    Returns
    -------
    ndarray of float64 (ny, nx)
        DN/s; 0 where no usable pixel is within reach.

    References
    ----------
    ``jwst.straylight.clean_showers``.
    """
    used = between & np.isfinite(data)
    if not used.any():
        return np.zeros(data.shape)
    low, high = np.percentile(data[used], percentiles)
    used &= (data >= low) & (data <= high)
    half = int(np.ceil(8 * max(deviations))) // 2
    along_y, along_x = (_gaussian(deviation, half) for deviation in deviations)
    smooth = []
    for plane in (np.where(used, data, np.float32(0.0)).astype(float), used.astype(float)):
        rows, both = np.empty(data.shape), np.empty(data.shape)
        by_rows(_smooth_x, len(plane), plane, along_x, rows)
        by_rows(_smooth_y, len(plane), rows, along_y, both)
        smooth.append(both)
    light, weight = smooth
    if dark_outside:
        inside = [
            np.convolve(np.ones(n), kernel, "same") for n, kernel in zip(data.shape, (along_y, along_x), strict=True)
        ]
        outside = 1.0 - np.outer(*inside)
        outside[half:-half, half:-half] = 0.0  # to the bit, as weights may be tiny
        weight += outside
    reached = weight > 10 * np.finfo(float).eps
    return np.where(reached, light / np.where(reached, weight, 1.0), 0.0)


def _gaussian(deviation, half):
    """Normal distribution at integer distances up to ``half``, of sum 1."""
    values = np.exp(-0.5 * (np.arange(-half, half + 1) / deviation) ** 2)
    return values / values.sum()


@njit
def _smooth_x(first, last, plane, kernel, out):
    half, width = len(kernel) // 2, plane.shape[1]
    padded = np.zeros(width + 2 * half)
    for row in range(first, last):
        padded[half : half + width] = plane[row]
        out[row] = 0.0
        for number in range(len(kernel)):
            out[row] += kernel[number] * padded[number : number + width]


@njit
def _smooth_y(first, last, plane, kernel, out):
    half = len(kernel) // 2
    for row in range(first, last):
        out[row] = 0.0
        for number in range(max(0, half - row), min(len(kernel), len(plane) + half - row)):
            out[row] += kernel[number] * plane[row + number - half]
