"""Picture of a guide-star exposure: the star, and how steady its signal is."""

import numpy as np

from snakewebb import dq
from snakewebb.report import style


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
    numbers, signal, error = star_signal(data, err, bad)
    sheet, (left, right) = style.figure(9.5, 3.8, ncols=2, width_ratios=[1.0, 1.35])
    usable = np.isfinite(data) & ~bad
    count = usable.sum(axis=0)
    mean = np.where(usable, data, 0.0).sum(axis=0) / np.where(count, count, 1)
    mean[count == 0] = np.nan
    style.show(left, mean, style.asinh_norm(mean, high=100), label=unit)
    left.set_title("Mean of the integrations")
    right.set(xlabel="integration", ylabel=f"sum of the pixels ({unit})")
    right.set_title("Signal")
    if not np.isfinite(signal).any():
        right.text(0.5, 0.5, "no usable pixel", ha="center", transform=right.transAxes, color=style.GREY)
        return sheet
    right.errorbar(numbers, signal, error, fmt="o", markersize=3, color=style.BLUE, ecolor=style.PALE)
    right.xaxis.get_major_locator().set_params(integer=True)
    return sheet


def star_signal(data, err, bad):
    """Sum over the usable pixels of each integration.

    Parameters
    ----------
    data, err : ndarray (nints, ny, nx)
        DN/s.
    bad : ndarray of bool (ny, nx)
        Pixels not to be used in any integration; nor is one that has no value in some integration, so that all sums are of the same
        pixels.

    Returns
    -------
    ndarray of int, ndarray of float, ndarray of float
        Numbers of the integrations, from 1; sums and their errors, DN/s, NaN if no pixel is usable.
    """
    usable = np.isfinite(data).all(axis=0) & ~bad
    numbers = 1 + np.arange(len(data))
    if not usable.any():
        nothing = np.full(len(data), np.nan)
        return numbers, nothing, nothing
    return numbers, data[:, usable].sum(axis=1), np.sqrt((err[:, usable] ** 2).sum(axis=1))


def write_guider_figure(cal, path):
    """Write `guider_figure` of a cal file as PNG or SVG."""
    style.save(guider_figure(cal), path)
