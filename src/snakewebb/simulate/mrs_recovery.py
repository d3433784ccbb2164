"""How well cubes and spectra of the spectrometer recover what was simulated: flux, brightness, wavelengths, noise.

Products are read as any reader of the archive's files does, so those of other pipelines can be measured too.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from snakewebb.simulate.geometry import ARCSEC
from snakewebb.simulate.mrs_bands import LETTERS, resolving_power

_EDGE = 0.01  # part of the planes at each end that is left out: there the field of view is not covered by all dithers
_REACH = 3.0  # full widths around a line that are fitted
_CLEAR = 4.0  # full widths within which no other line may be
_LEAST = 8  # planes of a line


@dataclass(frozen=True)
class Extracted:
    """A spectrum in a file.

    Attributes
    ----------
    band : str
        As ``1A``.
    wave, flux, error, brightness, brightness_error : ndarray (n,)
        Of usable planes: micron, Jy, Jy, MJy/sr, MJy/sr.
    """

    band: str
    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    brightness: np.ndarray
    brightness_error: np.ndarray

    @property
    def signal_to_noise(self):
        """Of the mean over the band, with the errors as they are stated."""
        return float(self.flux.sum() / np.sqrt(np.sum(self.error**2)))


def extracted(x1d, *, without_fringes=False):
    """Read the first spectrum of a file x1d.

    Parameters
    ----------
    x1d : path-like
    without_fringes : bool
        The columns that residual fringes were taken out of.

    Returns
    -------
    Extracted
    """
    with fits.open(x1d) as units:
        header, table = units[0].header, units["EXTRACT1D"].data
        prefix = "RF_" if without_fringes else ""
        columns = ["WAVELENGTH", f"{prefix}FLUX", "FLUX_ERROR", f"{prefix}SURF_BRIGHT", "SB_ERROR"]
        values = [np.asarray(table[name], float) for name in columns]
        known = ((table["DQ"] & 1) == 0) & np.all(np.isfinite(values), axis=0)
    margin = int(_EDGE * len(known))
    known[:margin] = known[len(known) - margin :] = False
    name = f"{str(header['CHANNEL']).strip()}{LETTERS[str(header['BAND']).strip()]}"
    return Extracted(name, *(array[known] for array in values))


def flux_ratio(spectrum, truth, source):
    """Flux of a spectrum over that of a source, in the mean over the band.

    Parameters
    ----------
    spectrum : Extracted
    truth : path-like
        Folder of the truth.
    source : str
        Name of the source.

    Returns
    -------
    float
    """
    return float(spectrum.flux.sum() / _truth(truth, "spectra", source, spectrum.wave).sum())


def brightness_ratio(spectrum, truth, source=None):
    """Brightness of a spectrum over that of the sky, and of the middle of a wide source in front of it, in the mean over the band.

    Parameters
    ----------
    spectrum : Extracted
    truth : path-like
        Folder of the truth.
    source : str or None
        Name of the source.

    Returns
    -------
    float
    """
    true = _truth(truth, "background", "brightness", spectrum.wave)
    if source is not None:
        sources = Table.read(Path(truth) / "sources.ecsv", format="ascii.ecsv")
        (size,) = sources["size"][sources["name"] == source]
        area = 2 * np.pi * (float(size) * ARCSEC) ** 2 * 1e6  # Jy to MJy/sr
        true = true + _truth(truth, "spectra", source, spectrum.wave) / area
    return float(spectrum.brightness.sum() / true.sum())


def _truth(folder, table, column, wave):
    rows = Table.read(Path(folder) / f"{table}.ecsv", format="ascii.ecsv")
    return np.interp(wave, rows["wavelength"], rows[column])


def line_offsets(spectrum, truth):
    """How far lines lie from where they are, by a Gaussian on a straight line that is fitted to each.

    Parameters
    ----------
    spectrum : Extracted
    truth : path-like
        Folder of the truth.

    Returns
    -------
    Table
        ``line``, ``wavelength`` (micron), ``offset`` and ``uncertainty`` in resolution elements (wavelength over resolving power), of lines
        that are in the band with no other one near.
    """
    from scipy.optimize import curve_fit

    lines = Table.read(Path(truth) / "lines.ecsv", format="ascii.ecsv")
    found = []
    for line in lines:
        true = float(line["wavelength"])
        width = true / resolving_power(true)
        others = np.abs(np.asarray(lines["wavelength"]) - true)
        near = np.abs(spectrum.wave - true) < _REACH * width
        inside = spectrum.wave.min() + _REACH * width < true < spectrum.wave.max() - _REACH * width
        if not inside or near.sum() < _LEAST or np.sum(others < _CLEAR * width) > 1:
            continue
        x, y, error = (spectrum.wave[near] - true) / width, spectrum.flux[near], spectrum.error[near]
        scale = np.ptp(y)
        start = (1.0, 0.0, 1 / 2.3548, np.min(y) / scale, 0.0)
        values, covariance = curve_fit(_line, x, y / scale, start, sigma=error / scale, absolute_sigma=True)
        found.append((str(line["line"]), true, float(values[1]), float(np.sqrt(covariance[1, 1]))))
    return Table(rows=found, names=("line", "wavelength", "offset", "uncertainty"), dtype=("U16", float, float, float))


def _line(x, height, middle, sigma, level, slope):
    return height * np.exp(-0.5 * ((x - middle) / sigma) ** 2) + level + slope * x


def pull_width(spectrum, mean=0.0):
    """Standard deviation of a spectrum over its errors, about what is expected of it.

    Parameters
    ----------
    spectrum : Extracted
    mean : float or ndarray (n,)
        Jy.

    Returns
    -------
    float
    """
    return float(np.std((spectrum.flux - mean) / spectrum.error))
