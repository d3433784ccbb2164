"""Where along a slice the profile is steep enough to be that of a compact source."""

import numpy as np

_PAD = 3  # pixels around a compact source
_LEAST_STEEP = 50  # pixels, for a compact source
_PEAK = 0.2  # of the largest number of steep pixels


def spacing_of(alpha):
    """Distance of neighbouring pixels along a slice whose wavelengths lie along rows, in the unit of the positions."""
    return np.abs(np.nanmedian(np.diff(alpha, axis=0)))


def near_compact_sources(alpha, steep, spacing, breakpoints):
    """Which positions are near those where many pixels are steep.

    Parameters
    ----------
    alpha : ndarray (ny, nx)
        Positions along the slice, arcsec; NaN outside.
    steep : ndarray (n,)
        Positions of steep pixels.
    spacing : float
        Distance of neighbouring pixels of the detector.
    breakpoints : int
        Pieces of the splines: bins of the histogram of positions.

    Returns
    -------
    ndarray of bool (ny, nx)

    References
    ----------
    ``jwst.adaptive_trace_model.trace_model``.
    """
    from scipy.signal import find_peaks

    near = np.zeros(alpha.shape, bool)
    if len(steep) < _LEAST_STEEP:
        return near
    half = spacing * breakpoints / 4
    with np.errstate(invalid="ignore"):
        number, _ = np.histogram(steep, bins=breakpoints, range=(-half, half), density=True)
        peaks, _ = find_peaks(number / np.nanmax(number), height=_PEAK)
        for position in (np.arange(breakpoints) * spacing / 2 - half)[peaks]:
            near |= (alpha > position - _PAD * spacing) & (alpha <= position + _PAD * spacing)
    return near
