"""The sky in front of MIRI's spectrometer, and the light that it gives on the detector."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table, vstack

from snakewebb.simulate import mrs_optics as optics
from snakewebb.simulate.geometry import ARCSEC
from snakewebb.simulate.mrs_bands import resolving_power
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices

_PLANCK, _BOLTZMANN, _LIGHT = 6.62607015e-34, 1.380649e-23, 2.99792458e8
# temperature (K) and emissivity of what glows: dust of the zodiac, sunshield, mirrors
_GLOW = ((262.0, 7.0e-8), (143.0, 3.0e-6), (75.0, 1.0e-5))
_REACH = 6.0  # standard deviations


@dataclass(frozen=True)
class Line:
    """An emission line: name, wavelength at rest (micron), flux (W/m^2)."""

    name: str
    wavelength: float
    flux: float


LINES = (
    Line("H2 S(8)", 5.0531, 4e-18),
    Line("[Fe II]", 5.3402, 6e-18),
    Line("H2 S(7)", 5.5112, 3e-18),
    Line("H2 S(6)", 6.1086, 3e-18),
    Line("H2 S(5)", 6.9095, 5e-18),
    Line("[Ar II]", 6.9853, 8e-18),
    Line("[Ne VI]", 7.6524, 5e-18),
    Line("H2 S(4)", 8.0250, 4e-18),
    Line("[Ar III]", 8.9914, 5e-18),
    Line("H2 S(3)", 9.6649, 5e-18),
    Line("[S IV]", 10.5105, 8e-18),
    Line("H2 S(2)", 12.2786, 5e-18),
    Line("[Ne II]", 12.8135, 1e-17),
    Line("[Ne V]", 14.3217, 7e-18),
    Line("[Ne III]", 15.5551, 1e-17),
    Line("H2 S(1)", 17.0348, 6e-18),
    Line("[S III]", 18.7130, 1e-17),
    Line("[Ar III]", 21.8302, 1.2e-17),
    Line("[O IV]", 25.8903, 1.5e-17),
)
"""Lines of every source that has any."""


@dataclass(frozen=True)
class Source:
    """A source: a point, or a round Gaussian.

    Attributes
    ----------
    name : str
    east, north : float
        Offset from the target, arcsec.
    size : float
        Standard deviation on the sky, arcsec; 0 for a point.
    flux : float
        Of the continuum at 10 micron, Jy.
    slope : float
        Power of the wavelength that the continuum (Jy) follows.
    lines : float
        Factor on the fluxes of `LINES`.
    redshift : float
    """

    name: str
    east: float = 0.0
    north: float = 0.0
    size: float = 0.0
    flux: float = 0.02
    slope: float = 0.5
    lines: float = 1.0
    redshift: float = 0.0

    def continuum(self, wavelength):
        """Jy."""
        return self.flux * (np.asarray(wavelength) / 10.0) ** self.slope

    def line_flux(self, wavelength, low, high):
        """Mean of the lines between two wavelengths, Jy, with the resolving power that the spectrometer has there."""
        total = np.zeros(np.shape(wavelength))
        if not self.lines:
            return total
        for line in LINES:
            centre = line.wavelength * (1 + self.redshift)
            sigma = centre / resolving_power(centre) / 2.3548
            near = (high > centre - 8 * sigma) & (low < centre + 8 * sigma)
            if not near.any():
                continue
            # W/m^2 to Jy micron
            strength = self.lines * line.flux * centre**2 * 1e-6 / _LIGHT * 1e26
            inside = optics.part_in_box(low[near] - centre, high[near] - centre, sigma)
            total[near] += strength * inside / (high[near] - low[near])
        return total

    def spectrum(self, wavelength):
        """Continuum and lines in Jy, as the spectrometer resolves them."""
        wavelength = np.asarray(wavelength, float)
        half = 1e-5 * wavelength
        return self.continuum(wavelength) + self.line_flux(wavelength, wavelength - half, wavelength + half)


def thermal_background(wavelength):
    """Brightness of the zodiacal light and the telescope, MJy/sr: grey bodies."""
    metres = np.asarray(wavelength, float) * 1e-6
    total = np.zeros(metres.shape)
    for temperature, emissivity in _GLOW:
        exponent = _PLANCK * _LIGHT / (metres * _BOLTZMANN * temperature)
        total += emissivity * 2 * _PLANCK * _LIGHT / metres**3 / np.expm1(exponent) * 1e20
    return total


@dataclass
class Light:
    """What falls on a detector.

    Attributes
    ----------
    rate : ndarray of float32 (1024, 1032)
        Electrons per second, all effects included.
    brightness : ndarray of float32 (1024, 1032)
        Surface brightness of what each pixel sees, MJy/sr, before any effect of the instrument but its image; 0
        between the slices.
    scattered : ndarray of float32 (1024, 1032)
        Part of `rate` that is scattered light.
    sources : ndarray (n,)
        Flux of each source that falls into the slices, relative to its whole flux, in the mean over wavelength; by the
        left and the right half of the detector in two rows.
    """

    rate: np.ndarray
    brightness: np.ndarray
    scattered: np.ndarray
    sources: np.ndarray


def make_light(detector, setting, sources, positions, *, gain, flat, mjd, effects, doppler=1.0):
    """Light on a detector.

    Parameters
    ----------
    detector, setting : str
        DETECTOR, BAND.
    sources : list of Source
    positions : ndarray (n, 2)
        V2, V3 of each, arcsec.
    gain, flat : ndarray (1024, 1032)
        Electrons per DN; response of the pixels.
    mjd : float
        When.
    effects : set of str
    doppler : float
        Wavelengths seen by the observatory relative to those of the sources at rest.

    Returns
    -------
    Light
    """
    brightness = np.zeros(SHAPE)
    filled, pointed = np.zeros(SHAPE), np.zeros(SHAPE)  # DN/s of light that fills the slices, and of sources
    caught = np.zeros((2, len(sources)))
    slices = DetectorSlices(detector, setting)
    columns_of = {}
    for channel, one, columns, x, y in slices.windows():
        band = channel.band
        if channel not in columns_of:
            columns_of[channel] = [channel.from_telescope(*place) for place in positions]
        geometry = _PixelBoxes(one, x, y)
        response = channel.throughput(one, geometry.alpha) / optics.photmjsr(band, geometry.wavelength)
        if "time_loss" in effects:
            response = response * optics.time_loss(geometry.wavelength, mjd)
        leaks = "spectral_leak" in effects and band.name == "3SHORT"
        inside = np.abs(geometry.alpha) < band.length / 2
        fills = thermal_background(geometry.wavelength) if "sky_background" in effects else np.zeros(x.shape)
        if leaks:
            fills = fills + optics.leak(geometry.wavelength) * (
                thermal_background(geometry.wavelength / 2) if "sky_background" in effects else 0.0
            )
        light = np.zeros(x.shape)
        for number, (source, (alpha, beta)) in enumerate(zip(sources, columns_of[channel], strict=True)):
            if "sources" not in effects:
                continue
            part = geometry.part(source, alpha, one.beta - beta, band.width, geometry.wavelength)
            if part is None:
                continue
            area = geometry.width * band.width * ARCSEC**2 * 1e6  # Jy to MJy/sr
            flux = geometry.flux(source, doppler)
            light += flux * part / area
            side = slices.channels.index(channel)
            caught[side, number] += np.sum(part * inside) / SHAPE[0]
            if leaks:
                half = geometry.wavelength / 2
                part = geometry.part(source, alpha, one.beta - beta, band.width, half)
                light += optics.leak(geometry.wavelength) * geometry.flux(source, 2 * doppler) * part / area
        seen = brightness[:, columns]
        seen += np.where(inside, fills + light, 0)
        if "fringes" in effects:
            filled[:, columns] += fills * response * optics.fringes(geometry.wavelength)
            pointed[:, columns] += light * response * optics.fringes(geometry.wavelength, 1 + optics.POINT_PATH)
        else:
            filled[:, columns] += fills * response
            pointed[:, columns] += light * response
    total = (filled + pointed) * flat
    scattered = optics.cross_artifact(total, detector, setting) if "cross_artifact" in effects else np.zeros(SHAPE)
    return Light(
        rate=((total + scattered) * gain).astype(np.float32),
        brightness=brightness.astype(np.float32),
        scattered=(scattered * gain).astype(np.float32),
        sources=caught,
    )


class _PixelBoxes:
    """Extent of the pixels of a slice along it and in wavelength."""

    def __init__(self, one, x, y):
        self.alpha, self.wavelength = one.alpha(x, y), one.wavelength(x, y)
        self.left, self.right = one.alpha(x - 0.5, y), one.alpha(x + 0.5, y)
        edges = one.wavelength(x, y - 0.5), one.wavelength(x, y + 0.5)
        self.low, self.high = np.minimum(*edges), np.maximum(*edges)
        self.width = self.right - self.left

    def flux(self, source, stretch):
        """Spectrum of a source in the pixels, Jy, whose wavelengths arrive longer by a factor."""
        wavelength = self.wavelength / stretch
        return source.continuum(wavelength) + source.line_flux(wavelength, self.low / stretch, self.high / stretch)

    def part(self, source, alpha, across, width, wavelength):
        """Part of a source's light that the pixels see through a slice, or None if it is too far away."""
        sigmas = [(part, np.hypot(sigma, source.size)) for part, sigma in optics.psf_components(wavelength)]
        total, near = 0.0, False
        for part, sigma in sigmas:
            if abs(across) - width / 2 > _REACH * sigma.max():
                continue
            near = True
            over = optics.part_in_box(across - width / 2, across + width / 2, sigma)
            total = total + part * over * optics.part_in_box(self.left - alpha, self.right - alpha, sigma)
        return total if near else None


def spectra_table(sources, wavelengths):
    """Spectra of the sources: WAVELENGTH (micron) and one column of Jy for each, named as they are."""
    table = Table({"wavelength": wavelengths})
    table["wavelength"].unit = "um"
    for source in sources:
        table[source.name] = source.spectrum(wavelengths)
        table[source.name].unit = "Jy"
    return table


def lines_table(sources):
    """The lines of each source: where they are observed, and their fluxes."""
    tables = [
        Table(
            {
                "source": [source.name] * len(LINES),
                "line": [line.name for line in LINES],
                "wavelength": [line.wavelength * (1 + source.redshift) for line in LINES],
                "flux": [line.flux * source.lines for line in LINES],
            }
        )
        for source in sources
        if source.lines
    ]
    if not tables:
        return Table({"source": np.array([], str), "line": np.array([], str), "wavelength": [], "flux": []})
    table = vstack(tables)
    table["wavelength"].unit, table["flux"].unit = "um", "W / m2"
    return table


def background_table(wavelengths):
    """Brightness of the background, MJy/sr."""
    table = Table({"wavelength": wavelengths, "brightness": thermal_background(wavelengths)})
    table["wavelength"].unit, table["brightness"].unit = "um", "MJy / sr"
    return table
