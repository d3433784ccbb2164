"""Centroids in a Gaussian window: for stars nearly as good as fitting the point-spread function."""

import numpy as np

from snakewebb.compiled import by_rows, njit

_STEPS = 50
_SMALL = 1e-5  # pixel
_REACH = 4.0  # of the window, in standard deviations
_LEASH = 3.0  # distance from the start beyond which something else was found, in standard deviations


def windowed_centroids(data, x, y, sigma):
    """Centroids weighted with a Gaussian around them, found by iteration.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
        Background subtracted; pixels that are not finite do not count.
    x, y : ndarray of float (n,)
        Where to begin, 0-based pixels.
    sigma : float
        Standard deviation of the window, pixels.

    Returns
    -------
    x, y : ndarray of float64 (n,)
        The given position where the iteration does not end near it.

    References
    ----------
    Parameters XWIN_IMAGE, YWIN_IMAGE of Source Extractor (Bertin & Arnouts 1996, A&AS 117, 393; the documentation of version 2).
    """
    found_x, found_y = np.array(x, np.float64), np.array(y, np.float64)
    if np.isfinite(sigma) and sigma > 0:
        by_rows(_iterate, found_x.size, np.asarray(data, np.float32), found_x, found_y, float(sigma))
    return found_x, found_y


@njit
def _iterate(first, last, data, x, y, sigma):
    height, width = data.shape
    reach = _REACH * sigma
    for source in range(first, last):
        if not (np.isfinite(x[source]) and np.isfinite(y[source])):
            continue
        at_x, at_y = x[source], y[source]
        converged = False
        for _ in range(_STEPS):
            top, bottom = max(int(np.ceil(at_y - reach)), 0), min(int(at_y + reach), height - 1)
            left, right = max(int(np.ceil(at_x - reach)), 0), min(int(at_x + reach), width - 1)
            total, along_x, along_y = 0.0, 0.0, 0.0
            for row in range(top, bottom + 1):
                dy = row - at_y
                for column in range(left, right + 1):
                    value = np.float64(data[row, column])
                    dx = column - at_x
                    square = dx * dx + dy * dy
                    if np.isfinite(value) and square < reach * reach:
                        value *= np.exp(-0.5 * square / (sigma * sigma))
                        total += value
                        along_x += value * dx
                        along_y += value * dy
            if not total > 0.0:
                break
            # the window halves the step for a source as wide as itself
            step_x, step_y = 2.0 * along_x / total, 2.0 * along_y / total
            at_x += step_x
            at_y += step_y
            if not (at_x - x[source]) ** 2 + (at_y - y[source]) ** 2 < (_LEASH * sigma) ** 2:
                break
            if step_x * step_x + step_y * step_y < _SMALL * _SMALL:
                converged = True
                break
        if converged:
            x[source], y[source] = at_x, at_y
