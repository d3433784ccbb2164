"""One spectrum of several of the same thing, on wavelengths made of theirs."""

import logging
from dataclasses import dataclass

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError

log = logging.getLogger(__name__)

_CLUMP = 0.8  # spread of wavelengths that belong together, in units of that of the windows beside
_VALUES = (("FLUX", "FLUX_ERROR"), ("SURF_BRIGHT", "SB_ERROR"))


@dataclass(frozen=True)
class CombinedSpectrum:
    """A mean spectrum.

    Attributes
    ----------
    wavelength : ndarray of float64 (n,)
        Micron, rising.
    flux, flux_error : ndarray of float64 (n,)
        Jy.
    surf_bright, sb_error : ndarray of float64 (n,)
        MJy/sr.
    dq : ndarray of uint32 (n,)
    weight, n_input : ndarray of float64 (n,)
        Sum of the weights, and number of spectra that contribute.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray
    surf_bright: np.ndarray
    sb_error: np.ndarray
    dq: np.ndarray
    weight: np.ndarray
    n_input: np.ndarray

    def table(self):
        """The spectrum in the archive's columns of a c1d file."""
        columns = (
            ("WAVELENGTH", self.wavelength), ("FLUX", self.flux), ("ERROR", self.flux_error), ("SURF_BRIGHT", self.surf_bright),
            ("SB_ERROR", self.sb_error), ("DQ", self.dq), ("WEIGHT", self.weight), ("N_INPUT", self.n_input),
        )  # fmt: skip
        table = np.zeros(len(self.wavelength), [(name, values.dtype) for name, values in columns])
        for name, values in columns:
            table[name] = values
        return table


def combine_spectra(tables, weights, *, compatibility="native"):
    """Weighted mean of spectra; each value goes to the nearest wavelength of the result.

    Parameters
    ----------
    tables : list of structured ndarray
        With WAVELENGTH (micron, rising or falling), FLUX, FLUX_ERROR, SURF_BRIGHT, SB_ERROR and DQ.
    weights : list of float
        Of each spectrum, such as its exposure time.
    compatibility : {"native", "jwst"}
        "jwst" counts the weight of a value whose surface brightness is not a number as if it were zero.

    Returns
    -------
    CombinedSpectrum
        Wavelengths to which no spectrum contributes are left out.

    Raises
    ------
    BadDataError
        If no spectrum has a valid flux and wavelengths in order.

    References
    ----------
    ``jwst.combine_1d``
    """
    kept = [(table, weight) for table, weight in zip(tables, weights, strict=True) if _is_valid(table)]
    if not kept:
        raise BadDataError(
            f"none of {len(tables)} spectra has a valid FLUX and rising or falling WAVELENGTH; leave them out of the association"
        )
    if len(kept) < len(tables):
        log.warning("%d of %d spectra without valid flux are left out", len(tables) - len(kept), len(tables))
    wavelength = np.sort(_common_wavelengths(*_covered([table["WAVELENGTH"] for table, _ in kept])))
    shape = (len(kept), len(wavelength))
    sums = {name: np.zeros(shape) for pair in _VALUES for name in pair}
    weight, dq = np.zeros(shape), np.zeros(len(wavelength), np.uint32)
    pixel = np.arange(len(wavelength), dtype=float)
    for number, (table, own) in enumerate(kept):
        place = np.interp(table["WAVELENGTH"], wavelength, pixel, left=np.nan, right=np.nan)
        good = ((table["DQ"].astype(np.uint32) & DO_NOT_USE) == 0) & ~np.isnan(table["FLUX"]) & ~np.isnan(place)
        if compatibility == "native":
            good &= ~np.isnan(table["SURF_BRIGHT"])
        place = np.rint(place[good]).astype(int)
        np.bitwise_or.at(dq, place, table["DQ"][good].astype(np.uint32))
        # of several values for one wavelength the last one counts
        last = len(place) - 1 - np.unique(place[::-1], return_index=True)[1]
        for name, values in sums.items():
            values[number, place[last]] = table[name][good][last]
        weight[number, place[last]] = own
    count = (weight > 0).sum(axis=0).astype(float)
    reached = count > 0
    total = weight.sum(axis=0)
    means = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, error in _VALUES:
            means[name] = (np.nansum(sums[name] * weight, axis=0) / total)[reached]
            means[error] = (np.sqrt(np.nansum((sums[error] * weight) ** 2, axis=0)) / total)[reached]
    return CombinedSpectrum(
        wavelength[reached], means["FLUX"], means["FLUX_ERROR"], means["SURF_BRIGHT"], means["SB_ERROR"], dq[reached], total[reached],
        count[reached],
    )  # fmt: skip


def _is_valid(table):
    steps = np.diff(table["WAVELENGTH"])
    return bool(np.isfinite(table["FLUX"]).any() and ((steps > 0).all() or (steps < 0).all()))


def _covered(spectra):
    """All wavelengths in order, and how many of the spectra reach each of them."""
    spectra = [np.sort(wavelength) for wavelength in spectra if len(wavelength) > 1]
    every = np.sort(np.concatenate(spectra))
    number = np.zeros(len(every), np.int64)
    for wavelength in spectra:
        low = wavelength[0] - 0.5 * (wavelength[1] - wavelength[0])
        high = wavelength[-1] + 0.5 * (wavelength[-1] - wavelength[-2])
        number += (every >= low) & (every < high)
    return every, number


def _common_wavelengths(every, number):
    """Means of the wavelengths that belong together: as many as there are spectra, closer than their neighbours are.

    Where none do, of as many as there are spectra in turn.
    """
    size = len(every)
    spread, mean, found = np.full(size, 9999.0), np.full(size, -99.0), np.full(size, -99.0)
    for n in np.unique(number):
        mine = np.flatnonzero(number == n)
        if n == 1:
            spread[mine], mean[mine], found[mine] = 0.0, every[mine], every[mine]
            continue
        begin = mine + n // 2 + 1 - n
        mine, begin = mine[(begin >= 0) & (begin + n <= size)], begin[(begin >= 0) & (begin + n <= size)]
        windows = every[begin[:, None] + np.arange(n)]
        spread[mine], mean[mine] = windows.std(axis=1), windows.mean(axis=1)
        same = mine[spread[mine] == 0.0]
        found[same] = mean[same]
    beside = np.empty(size)
    beside[1:-1] = (spread[:-2] + spread[2:]) / 2.0
    beside[0], beside[-1] = spread[1], spread[-2]
    close = (spread > 0.0) & (spread < _CLUMP * beside)
    found[close] = mean[close]
    place = 0
    while place < size:
        n = number[place]
        if place + n // 2 < size:
            n = number[place + n // 2]
            if place + n < size and found[max(place - 1, 0) : min(place + n + 1, size - 1)].max() <= 0.0:
                found[place] = every[place : place + n].mean()
        place += n
    return found[found > 0.0]
