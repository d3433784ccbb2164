"""Flicker noise of NIRSpec fitted in the frequency domain, for full frames.

A line is a row of pixels in the order of the read-out, which is a column of the image. The Fourier modes of a line that are
not filtered out are few, and the matrix of their weighted least-squares fit depends on the difference of two modes only:
sums over the pixels of the line give it without ever making the matrix of the modes.
"""

import functools

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.mode_fit import solve_modes
from snakewebb.imaging.stack_median import middle

SIZE = 2048
"""Number of lines of a full frame, and of pixels of a line."""

_EDGE = 4  # lines of reference pixels on either side, not fitted
_HALF_POWER = 1 / 256  # cycles per pixel
_ROLL_OFF = 1 / 1024
_DENSITY_SIGMA = 32.0  # pixels
_SMOOTHING_SIGMA = 1.5  # lines
_REACH = 12  # lines: further away a weight is less than 1e-14
_OUTLIER_SIGMA = 3.0
_WIDTH = 32  # lines that are fitted together


def subtract_low_frequencies(image, mask, detector, *, compatibility="native"):
    """Subtract the low-frequency noise of the lines of a full frame, in place.

    The modes 0 to 8 of a line are fitted to its background pixels, each with the inverse of the density of such pixels
    around it as its weight, where values beyond 3 standard deviations of the line are replaced by the median. The
    model is damped towards the highest modes and smoothed across the lines.

    Parameters
    ----------
    image : ndarray of float32 (2048, 2048)
    mask : ndarray of bool (2048, 2048)
        True for background.
    detector : {"NRS1", "NRS2"}
    compatibility : {"native", "jwst"}
        ``"jwst"`` displaces the weights and the model by a line and a pixel, as `jwst` 3.0.0 does.

    Notes
    -----
    Where the background pixels of a line cannot tell all modes apart, the highest are left out.

    References
    ----------
    Rauscher 2024, PASP 136, 015001 (NSClean).
    """
    # along the rows of the image, and against them for a detector whose lines are read the other way
    shift = (1, 1 if detector == "NRS1" else -1)
    gains = _gains()
    waves = _waves(gains.size)
    density = np.empty((SIZE, _WIDTH))
    model = np.zeros((SIZE, SIZE), np.float32)
    for first in range(_EDGE, SIZE - _EDGE, _WIDTH):
        last = min(first + _WIDTH, SIZE - _EDGE)
        lines = np.arange(first, last)
        displaced = compatibility == "jwst"
        found = _smooth_density(mask[:, lines - shift[1] if displaced else lines])
        density[:, : last - first] = np.roll(found, shift[0], axis=0) if displaced else found
        _fit_lines(image, mask, first, last, density, gains, waves, model)
    smoothed = _smoothed_across(model, _smoothing_kernel())
    if compatibility == "jwst":
        smoothed = np.roll(smoothed, shift, axis=(0, 1))
    image -= smoothed


def _gains():
    """Gain of each mode that is fitted: 1, and half a cosine towards 0 about the half-power frequency."""
    frequency = np.arange(SIZE // 2 + 1) / SIZE
    phase = np.clip((frequency - _HALF_POWER) / _ROLL_OFF, -0.5, 0.5)
    gain = 0.5 * (1.0 - np.sin(np.pi * phase))
    return gain[gain > 1e-15]


@functools.cache
def _waves(number):
    """Cosine and sine of each mode, (2, number, 2048)."""
    phase = 2 * np.pi * (np.arange(number)[:, None] * np.arange(SIZE) % SIZE) / SIZE
    return np.stack((np.cos(phase), np.sin(phase)))


@functools.cache
def _density_kernel():
    offset = (np.arange(SIZE) + SIZE // 2) % SIZE - SIZE // 2
    kernel = np.exp(-((offset / _DENSITY_SIGMA) ** 2) / 2) / _DENSITY_SIGMA / np.sqrt(2 * np.pi)
    return np.fft.rfft(kernel)[:, None]


def _smooth_density(mask):
    """Density of the background pixels along each line (a column), smoothed."""
    return np.fft.irfft(np.fft.rfft(mask.astype(np.float64), axis=0) * _density_kernel(), SIZE, axis=0)


def _smoothing_kernel():
    offset = np.arange(-_REACH, _REACH + 1)
    return np.exp(-((offset / _SMOOTHING_SIGMA) ** 2) / 2) / _SMOOTHING_SIGMA / np.sqrt(2 * np.pi)


@njit
def _fit_lines(image, mask, first, last, density, gains, waves, model):
    """Fit the modes of the lines ``first`` to ``last - 1``, and evaluate them."""
    size = image.shape[0]
    nmodes = gains.size
    number = last - first
    low = np.empty(number, np.float32)
    high = np.empty(number, np.float32)
    median = np.empty(number, np.float32)
    _line_ranges(image, mask, first, low, high, median)
    # sums of weight * exp(i k m), and of weight * value * exp(i k m)
    matrix = np.zeros((2, nmodes, number))
    right = np.zeros((2, nmodes, number))
    weight = np.empty(number)
    product = np.empty(number)
    for m in range(size):
        for line in range(number):
            value = image[m, first + line]
            inside = value >= low[line] and value <= high[line]
            value = value if inside else median[line]
            usable = mask[m, first + line] and density[m, line] > 1e-7
            w = 1.0 / density[m, line] if usable else 0.0
            weight[line] = w * w
            product[line] = w * w * value if usable else 0.0
        for k in range(nmodes):
            cosine = waves[0, k, m]
            sine = waves[1, k, m]
            for line in range(number):
                matrix[0, k, line] += weight[line] * cosine
                matrix[1, k, line] += weight[line] * sine
                right[0, k, line] += product[line] * cosine
                right[1, k, line] += product[line] * sine
    amplitude = np.zeros((2, nmodes, number))
    modes = np.arange(nmodes)
    sums = np.empty(nmodes, np.complex128)
    products = np.empty(nmodes, np.complex128)
    for line in range(number):
        for k in range(nmodes):
            sums[k] = complex(matrix[0, k, line], matrix[1, k, line])
            products[k] = complex(right[0, k, line], -right[1, k, line])
        solution = solve_modes(sums, modes, products)
        for k in range(nmodes):
            # the signal is real: every mode but the first counts twice
            factor = gains[k] * (1.0 if k == 0 else 2.0)
            amplitude[0, k, line] = factor * solution[k].real
            amplitude[1, k, line] = factor * solution[k].imag
    total = np.empty(number)
    for m in range(size):
        for line in range(number):
            total[line] = 0.0
        for k in range(nmodes):
            cosine = waves[0, k, m]
            sine = waves[1, k, m]
            for line in range(number):
                total[line] += amplitude[0, k, line] * cosine - amplitude[1, k, line] * sine
        for line in range(number):
            model[m, first + line] = total[line]


@njit
def _line_ranges(image, mask, first, low, high, median):
    """Median of each line, and the range outside which values are replaced by it."""
    size = image.shape[0]
    number = low.size
    values = np.empty((number, size), np.float32)
    count = np.zeros(number, np.int64)
    for m in range(size):
        for line in range(number):
            if mask[m, first + line]:
                values[line, count[line]] = image[m, first + line]
                count[line] += 1
    for line in range(number):
        low[line], high[line], median[line] = 0.0, 0.0, 0.0
        if count[line] == 0:
            continue
        centre = middle(values[line], count[line])
        for k in range(count[line]):
            values[line, k] = abs(values[line, k] - centre)
        sigma = np.float32(1.4826) * middle(values[line], count[line])
        low[line] = centre - np.float32(_OUTLIER_SIGMA) * sigma
        high[line] = centre + np.float32(_OUTLIER_SIGMA) * sigma
        median[line] = centre


@njit
def _smoothed_across(model, kernel):
    """The model smoothed across its lines, which are its columns; the last is next to the first."""
    ny, nx = model.shape
    reach = kernel.size // 2
    smoothed = np.empty_like(model)
    padded = np.empty(nx + 2 * reach, np.float32)
    total = np.empty(nx)
    for y in range(ny):
        padded[reach : reach + nx] = model[y]
        padded[:reach] = model[y, nx - reach :]
        padded[reach + nx :] = model[y, :reach]
        total[:] = 0.0
        for tap in range(kernel.size):
            factor = kernel[tap]
            for x in range(nx):
                total[x] += factor * padded[x + tap]
        for x in range(nx):
            smoothed[y, x] = total[x]
    return smoothed
