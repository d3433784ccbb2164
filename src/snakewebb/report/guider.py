"""Picture of a guide-star exposure: the star, and how steady its signal is."""

import numpy as np

from snakewebb import dq
from snakewebb.report import style

BOX = 8
"""Side of the square whose signal is shown: the frame of fine guiding."""


@style.styled
def guider_figure(cal):
    """Mean of the integrations, and the signal of each.

    Parameters
    ----------
    cal : path-like
        A cal file of the guider: SCI and ERR (nints, ny, nx), DQ (ny, nx).

    Returns
    -------
    Figure
    """
    from astropy.io import fits

    with fits.open(cal, memmap=False) as units:
        data, err = (units[name].data.astype(np.float64) for name in ("SCI", "ERR"))
        unit = units["SCI"].header.get("BUNIT", "DN/s")
        bad = (units["DQ"].data & dq.DO_NOT_USE) != 0
    usable = np.isfinite(data) & ~bad
    count = usable.sum(axis=0)
    mean = np.where(usable, data, 0.0).sum(axis=0) / np.where(count, count, 1)
    mean[count == 0] = np.nan
    numbers, signal, error = star_signal(data, err, bad, mean)
    sheet, (left, right) = style.figure(9.5, 3.8, ncols=2, width_ratios=[1.0, 1.35])
    style.show(left, mean, style.asinh_norm(mean, high=100), label=unit)
    left.set_title("Mean of the integrations")
    right.set(xlabel="integration", ylabel=f"sum of {BOX} x {BOX} pixels above the background ({unit})")
    right.set_title("Signal")
    if not np.isfinite(signal).any():
        right.text(0.5, 0.5, "no usable pixel", ha="center", transform=right.transAxes, color=style.GREY)
        return sheet
    right.errorbar(numbers, signal, error, fmt="o", markersize=3, color=style.BLUE, ecolor=style.PALE)
    right.xaxis.get_major_locator().set_params(integer=True)
    return sheet


def star_signal(data, err, bad, mean):
    """Sum over the pixels about the star in each integration, above the background.

    The background of an integration is the median of its outermost pixels: the level of a frame drifts.

    Parameters
    ----------
    data, err : ndarray (nints, ny, nx)
        DN/s.
    bad : ndarray of bool (ny, nx)
        Pixels not to be used in any integration; nor is one that has no value in some integration, so that all sums are of the same
        pixels.
    mean : ndarray (ny, nx)
        Mean of the integrations, in which the star is the brightest square of 3 x 3 pixels.

    Returns
    -------
    ndarray of int, ndarray of float, ndarray of float
        Numbers of the integrations, from 1; sums and the errors of their pixels, DN/s, NaN if no pixel is usable.
    """
    from scipy.ndimage import uniform_filter

    usable = np.isfinite(data).all(axis=0) & ~bad
    edge = usable.copy()
    edge[1:-1, 1:-1] = False
    light = uniform_filter(np.where(usable, mean, 0.0), 3)
    row, column = np.unravel_index(np.argmax(light), light.shape)
    star = np.zeros_like(usable)
    star[max(row - BOX // 2, 0) : row + BOX // 2, max(column - BOX // 2, 0) : column + BOX // 2] = True
    star &= usable
    numbers = 1 + np.arange(len(data))
    if not (star.any() and edge.any()):
        nothing = np.full(len(data), np.nan)
        return numbers, nothing, nothing
    signal = (data[:, star] - np.median(data[:, edge], axis=1)[:, None]).sum(axis=1)
    return numbers, signal, np.sqrt((err[:, star] ** 2).sum(axis=1))


def write_guider_figure(cal, path):
    """Write `guider_figure` of a cal file as PNG or SVG."""
    style.save(guider_figure(cal), path)
