"""Drifts of the read-out from the reference pixels at both sides, by convolution with optimal kernels (SIRS)."""

import numpy as np

from snakewebb.errors import MissingReferenceError

_SIDE = 4  # columns of reference pixels at a side
_SIGMA = 1.48  # standard deviations of a normal distribution in its median absolute deviation


def make_kernels(references, detector, smoothing, half_width):
    """Kernels of a detector.

    Parameters
    ----------
    references : References
        Uses SIRSKERNEL: the Fourier transforms ``gamma`` and ``zeta`` of the kernels of the left and of the right side.
    detector : str
    smoothing : float
        Standard deviation of the Gaussian that smooths the kernels, in rows.
    half_width : int
        In rows.

    Returns
    -------
    ndarray of float64 (side, amplifier, 2 * half_width + 1), or None
        None if the reference does not have this detector.

    Raises
    ------
    MissingReferenceError
        If the kernels are not there or shorter than asked for.
    """
    tree = {str(name).lower(): value for name, value in references.tree("sirskernel").items()}
    content = tree.get(detector.lower())
    if content is None:
        return None
    window = np.exp(-(np.arange(-half_width, half_width + 1) ** 2) / (2 * smoothing**2))
    window /= window.sum()
    sides = []
    for name in ("gamma", "zeta"):
        transforms = np.asarray(content[name]) if name in content else np.empty(0)
        if transforms.ndim != 2 or not half_width < transforms.shape[1]:
            raise MissingReferenceError(
                f"{references.path('sirskernel')}: {detector}.{name} has shape {transforms.shape}, expected (amplifier, "
                f"more than halfwidth = {half_width} frequencies); choose a smaller halfwidth or another reference"
            )
        middle = transforms.shape[1] - 1
        whole = np.fft.fftshift(np.fft.irfft(transforms), axes=1)
        cut = whole[:, middle - half_width : middle + half_width + 1]
        sides.append([np.convolve(kernel, window, mode="same") for kernel in cut])
    return np.array(sides, np.float64)


def subtract_sides(view, by_column, kernels, sigreject):
    """Subtract the signal of the sides from planes in detector orientation, in place.

    Parameters
    ----------
    view : ndarray of float32 (plane, row, column)
    by_column : ndarray of float64 (plane, column)
        What is still to be subtracted from the columns.
    kernels : ndarray of float64 (side, amplifier, sample)
    sigreject : float
        Limit beyond which pixels are left out, in standard deviations from the median.
    """
    amplifiers = kernels.shape[1]
    width = view.shape[2] // amplifiers
    for plane, level in zip(view, by_column, strict=True):
        signal = np.zeros((amplifiers, len(plane)))
        for columns, of_side in zip((slice(0, _SIDE), slice(-_SIDE, None)), kernels, strict=True):
            mean, usable = _row_means(plane[:, columns] - level[columns], sigreject)
            for amplifier, kernel in enumerate(of_side):
                signal[amplifier] += _weighted(mean, usable, kernel)
        for amplifier in range(amplifiers):
            plane[:, amplifier * width : (amplifier + 1) * width] -= signal[amplifier][:, None]


def _row_means(side, sigreject):
    """Sum of the usable pixels of each row over their possible number, and the fraction that is usable."""
    if np.isnan(side).all():
        return np.zeros(len(side)), np.zeros(len(side))
    middle = np.nanmedian(side)
    reach = sigreject * _SIGMA * np.nanmedian(np.abs(side - middle))
    good = np.abs(side - middle) <= reach
    return np.where(good, side, 0).sum(axis=1) / _SIDE, good.mean(axis=1)


def _weighted(mean, usable, kernel):
    """Convolution of the rows with a kernel as if all pixels were usable; 0 where none in reach is."""
    full = np.convolve(np.ones_like(mean), kernel, mode="same")
    there = np.convolve(usable, kernel, mode="same")
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = np.convolve(mean, kernel, mode="same") * (full / there)
    return np.where(np.isfinite(signal), signal, 0)
