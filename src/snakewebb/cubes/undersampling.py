"""How much spectra of single spaxels waver, which the slices and pixels sample too coarsely, and that of an aperture does not."""

from dataclasses import dataclass

import numpy as np

_NEAR = 1  # spaxels on each side of the source
_PART = 4  # of the planes lie in the window of the running median
_DEGREE = 3  # of the polynomial through the part of the light that a spaxel has: the image grows with wavelength
_CLIP, _PASSES = 3.0, 3
_LEAST = 16  # planes with data
_SIGMA = 1.4826  # standard deviation over the median absolute deviation of a Gaussian


@dataclass(frozen=True)
class Undersampling:
    """Relative wavering of the spectra of a point source.

    Attributes
    ----------
    spaxels : float
        Of single spaxels around the source, the median.
    aperture : float
        Of the spectrum of the aperture.
    noise : float
        What the errors of the spaxels let expect, the median.
    wave : ndarray (nwave,)
        Micron.
    spaxel : ndarray (nwave,)
        Spectrum of the spaxel of the source over that of the aperture and a polynomial, less 1.
    whole : ndarray (nwave,)
        Spectrum of the aperture over its running median, less 1.
    """

    spaxels: float
    aperture: float
    noise: float
    wave: np.ndarray
    spaxel: np.ndarray
    whole: np.ndarray

    @property
    def ratio(self):
        """Wavering of single spaxels beyond their noise, in units of that of the aperture."""
        return float(np.sqrt(max(self.spaxels**2 - self.noise**2, 0.0)) / self.aperture) if self.aperture else np.nan


def undersampling(cube, spectrum):
    """Measure it.

    Of a spaxel: the width of its spectrum over that of the aperture, which holds all of the source's lines, about a polynomial. Of the
    aperture: the width of its spectrum, without residual fringes where these were corrected, about a running median over a quarter of the
    planes. Widths are those of the median absolute
    deviation, in which lines, few and far out, hardly count.

    Parameters
    ----------
    cube : Cube
    spectrum : Spectrum
        Of the cube, with the same planes.

    Returns
    -------
    Undersampling or None
        ``None`` unless the source is a point in the cube, with data in enough planes.

    References
    ----------
    Law et al. 2023, AJ 166, 45, section 5.
    """
    if str(spectrum.keywords.get("SRCTYPE", "")).upper() != "POINT" or len(spectrum.table) != len(cube.data):
        return None
    x, y = (round(float(spectrum.keywords[key])) for key in ("EXTR_X", "EXTR_Y"))
    _, ny, nx = cube.data.shape
    if not (_NEAR <= x < nx - _NEAR and _NEAR <= y < ny - _NEAR):
        return None
    flux = np.where((spectrum.table["DQ"] & 1) == 0, spectrum.table["FLUX"], np.nan)
    # spaxels and aperture have the same fringes, so these are no matter of sampling
    clean = spectrum.table["RF_FLUX"] if "RF_FLUX" in spectrum.table.dtype.names else flux
    whole = _about_median(np.where(np.isfinite(clean) & np.isfinite(flux), clean, flux))
    spaxels, noises = [], []
    for j in range(y - _NEAR, y + _NEAR + 1):
        for i in range(x - _NEAR, x + _NEAR + 1):
            values = np.where(cube.weight[:, j, i] > 0, cube.data[:, j, i], np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                spaxels.append(_about_polynomial(np.where(flux != 0, values / flux, np.nan)))
            with np.errstate(divide="ignore", invalid="ignore"):
                noise = cube.err[:, j, i] / np.abs(values)
            noises.append(np.nanmedian(noise) if np.isfinite(noise).any() else np.nan)
    widths = [_width(one) for one in (*spaxels, whole)]
    if not np.isfinite(widths).all():
        return None
    middle = spaxels[len(spaxels) // 2]
    wave = np.asarray(spectrum.table["WAVELENGTH"])
    return Undersampling(
        float(np.median(widths[:-1])), float(widths[-1]), float(np.nanmedian(noises)), wave, middle, whole
    )


def _about_polynomial(values):
    """What a polynomial through all but outliers leaves of values, relative to it; NaN where there is no data."""
    known = np.isfinite(values)
    left = np.full(len(values), np.nan)
    if known.sum() < _LEAST:
        return left
    place, used = np.linspace(-1, 1, len(values)), known
    for _ in range(_PASSES):
        smooth = np.polynomial.legendre.Legendre.fit(place[used], values[used], _DEGREE, domain=[-1, 1])(place)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = values / smooth - 1
        used = known & (np.abs(left) <= _CLIP * _width(left))
        if used.sum() < _LEAST:
            break
    return left


def _about_median(values):
    """What a running median leaves of a spectrum, relative to it; NaN where there is no data."""
    from scipy.ndimage import median_filter

    known = np.isfinite(values)
    left = np.full(len(values), np.nan)
    if known.sum() >= _LEAST:
        smooth = median_filter(values[known], size=2 * (known.sum() // (2 * _PART)) + 1, mode="nearest")
        with np.errstate(divide="ignore", invalid="ignore"):
            left[known] = np.where(smooth != 0, values[known] / smooth - 1, np.nan)
    return left


def _width(left):
    known = left[np.isfinite(left)]
    return _SIGMA * np.median(np.abs(known - np.median(known))) if len(known) >= _LEAST else np.nan
