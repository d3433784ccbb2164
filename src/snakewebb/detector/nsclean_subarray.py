"""Flicker noise of NIRSpec fitted in the frequency domain, for subarrays: in the order of time, in blocks of lines."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.mode_fit import solve_modes

_OVERHEAD = 12  # pixel times between two lines
_PIXEL_TIME = 10e-6  # s
_OUTLIER_SIGMA = 4.0
_BLOCK_PIXELS = 512
_SMALLEST_FRACTION = 0.05

DEFAULT_BAND = (1061.0, 1211.0, 49943.0, 49957.0)
ALLSLITS_BAND = (150.0, 200.0, 49943.0, 49957.0)
"""Frequencies in Hz: the noise below the first and above the last is removed, that between the second and third is not."""


def subarray_model(image, mask, detector, band=DEFAULT_BAND, *, compatibility="native"):
    """Model of the flicker noise of a subarray.

    The lines are divided into blocks that hold just over 512 background pixels each and overlap by half. In each, the modes of
    the frequencies to be removed are fitted to the background pixels at the times when they are read, with the inverse
    of the density of such pixels around them as their weights. In a line of two blocks, the nearer to its own middle counts more.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        True for background. Outliers beyond 4 standard deviations of it, and their neighbours, are not used.
    detector : {"NRS1", "NRS2"}
    band : tuple of float
        Frequencies in Hz, as `DEFAULT_BAND`.
    compatibility : {"native", "jwst"}
        ``"jwst"`` displaces the weights by one pixel, as `jwst` 3.0.0 does.

    Returns
    -------
    ndarray of float64 (ny, nx) or None
        None if there is no background pixel.

    References
    ----------
    The class ``NSCleanSubarray`` of `jwst`; Rauscher 2024, PASP 136, 015001.
    """
    turned = slice(None) if detector == "NRS1" else slice(None, None, -1)
    lines = np.ascontiguousarray(image.T[turned])
    usable = _without_outliers(lines, mask.T[turned])
    blocks = _blocks(usable.sum(axis=1))
    if not blocks:
        return None
    model = np.zeros(lines.shape)
    total = np.zeros((lines.shape[0], 1))
    for first, last in blocks:
        weight = 1.001 - np.abs(np.linspace(-1, 1, last - first))[:, None]
        total[first:last] += weight
        if usable[first:last].mean() > _SMALLEST_FRACTION:
            model[first:last] += weight * _fitted(lines[first:last], usable[first:last], band, compatibility)
    model /= np.where(total > 0, total, 1.0)
    return model[turned].T


def _without_outliers(lines, mask):
    """Background pixels that are no outliers nor next to one."""
    values = lines[mask]
    if values.size == 0:
        return mask
    median = np.median(values)
    sigma = np.float32(1.4825) * np.median(np.abs(values - median))
    outlier = mask & (np.abs(lines - median) > np.float32(_OUTLIER_SIGMA) * sigma)
    usable = mask & ~outlier
    usable[1:] &= ~outlier[:-1]
    usable[:-1] &= ~outlier[1:]
    usable[:, 1:] &= ~outlier[:, :-1]
    usable[:, :-1] &= ~outlier[:, 1:]
    return usable


def _blocks(counts):
    """First and last line, exclusive, of blocks with just over 512 usable pixels; the last takes a rest of less than 768."""
    lines = np.flatnonzero(counts)
    if lines.size == 0:
        return []
    before = np.concatenate(([0], np.cumsum(counts)))
    first, end = int(lines[0]), int(lines[-1]) + 1
    blocks = []
    while first < end:
        last = end
        if before[-1] - before[first] > 1.5 * _BLOCK_PIXELS:
            last = min(int(np.searchsorted(before, before[first] + _BLOCK_PIXELS, "right")), end)
        blocks.append((first, last))
        if last == end:
            break
        first += max(round((last - first) / 2), 1)
    return blocks


def _fitted(lines, usable, band, compatibility):
    """Model of the noise of a block."""
    number, size = lines.shape
    ticks = number * (size + _OVERHEAD)
    gain = _gain(np.fft.rfftfreq(ticks, _PIXEL_TIME), band)
    modes = np.flatnonzero(gain > 0)
    clocked = np.zeros((number, size + _OVERHEAD))
    clocked[:, :size] = usable
    clocked = clocked.ravel()
    times = np.flatnonzero(clocked)
    density = _smooth_density(clocked, band, compatibility)[times]
    weight = np.where(density > 1e-7, 1.0 / np.where(density > 1e-7, density, 1.0), 0.0) ** 2
    coefficients = _fit_modes(times, lines[usable].astype(np.float64), weight, modes, ticks)
    spectrum = np.zeros(gain.size, np.complex128)
    spectrum[modes] = ticks * coefficients * gain[modes]
    return np.fft.irfft(spectrum, ticks).reshape(number, -1)[:, :size]


def _gain(frequency, band):
    """1 below the band and above it, 0 inside, half a cosine between."""
    frequency = frequency.astype(np.float32)
    low_end, low_zero, high_zero, high_end = np.array(band, np.float32)
    gain = np.zeros(frequency.size, np.float32)
    gain[frequency < low_end] = 1.0
    gain[frequency >= high_end] = 1.0
    falls = (frequency >= low_end) & (frequency < low_zero)
    gain[falls] = 0.5 * (1 + np.cos(np.pi / (low_zero - low_end) * (frequency[falls] - low_end)))
    rises = (frequency >= high_zero) & (frequency < high_end)
    gain[rises] = 0.5 * (1 - np.cos(np.pi / (high_end - high_zero) * (frequency[rises] - high_zero)))
    return gain


def _smooth_density(clocked, band, compatibility):
    """Density of the background pixels in time, smoothed by a Gaussian."""
    sigma = 1 / ((band[0] + band[1]) / 2) / _PIXEL_TIME / 8
    middle = clocked.size // 2 + (1 if compatibility == "jwst" else 0)
    kernel = np.exp(-(((np.arange(clocked.size) - middle) / sigma) ** 2) / 2) / sigma / np.sqrt(2 * np.pi)
    return np.fft.irfft(np.fft.rfft(clocked) * np.fft.rfft(np.fft.ifftshift(kernel)), clocked.size)


@njit
def _fit_modes(times, values, weight, modes, ticks):
    """Weighted least-squares fit of complex modes to values at some of the ticks."""
    nmodes = modes.size
    cosine = np.empty(ticks)
    sine = np.empty(ticks)
    for t in range(ticks):
        cosine[t] = np.cos(2.0 * np.pi * t / ticks)
        sine[t] = np.sin(2.0 * np.pi * t / ticks)
    # the element of two modes depends on their difference only
    largest = modes[nmodes - 1] - modes[0]
    wanted = np.full(largest + 1, -1, np.int64)
    for i in range(nmodes):
        for j in range(i + 1):
            wanted[modes[i] - modes[j]] = 0
    sums = np.zeros(largest + 1, np.complex128)
    for difference in range(largest + 1):
        if wanted[difference] == 0:
            real, imaginary = 0.0, 0.0
            for p in range(times.size):
                phase = times[p] * difference % ticks
                real += weight[p] * cosine[phase]
                imaginary += weight[p] * sine[phase]
            sums[difference] = complex(real, imaginary)
    right = np.zeros(nmodes, np.complex128)
    for i in range(nmodes):
        real, imaginary = 0.0, 0.0
        for p in range(times.size):
            phase = times[p] * modes[i] % ticks
            real += weight[p] * values[p] * cosine[phase]
            imaginary -= weight[p] * values[p] * sine[phase]
        right[i] = complex(real, imaginary)
    return solve_modes(sums, modes, right)
