"""Where light falls on the detectors of MIRI's spectrometer: slices, traces, wavelengths, and the place on the sky.

Frames: *detector* is 0-based pixels; *local* is alpha (along the slices) and beta (across them) in arcsec and the
wavelength in micron; *telescope* is V2, V3 in arcsec.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.mrs_bands import BANDS, Band, bands_of

SHAPE = (1024, 1032)
MIDDLE_ROW = 511.5
_HALF_ROWS = 512.0
_EDGE = 0.45  # pixels: standard deviation of the ends of a slice
_REFERENCE = (-503.30, -318.85)  # V2, V3 of the origin of the local frame, arcsec
_ANGLE = 8.4  # degrees, from -V3 to beta


@dataclass(frozen=True)
class Slice:
    """One slice on the detector; its polynomials are exact in the pixel coordinates.

    With v = (y - 511.5) / 512 and u = x - `column`::

        alpha  = scale (u - bend_1 v - bend_2 v^2) (1 + stretch v)
        lambda = centre + step (y - 511.5) (1 + curve v) + tilt u + smile u^2

    Attributes
    ----------
    number : int
        100 times the channel plus the slice, from 1.
    beta : float
        Of its middle, arcsec.
    column : float
        Of its middle on the middle row.
    bend : (float, float)
        Pixels.
    scale, stretch, centre, step, curve, tilt, smile : float
    """

    number: int
    beta: float
    column: float
    bend: tuple
    scale: float
    stretch: float
    centre: float
    step: float
    curve: float
    tilt: float
    smile: float

    def alpha(self, x, y):
        """Along the slice, arcsec."""
        v = (y - MIDDLE_ROW) / _HALF_ROWS
        return self.scale * (x - self.column - v * (self.bend[0] + v * self.bend[1])) * (1 + self.stretch * v)

    def wavelength(self, x, y):
        """Micron."""
        u, t = x - self.column, y - MIDDLE_ROW
        return self.centre + self.step * t * (1 + self.curve * t / _HALF_ROWS) + u * (self.tilt + self.smile * u)

    def pixel(self, alpha, wavelength):
        """Column and row of a place on the slice: fixed-point iteration on the two equations, to 1e-11 pixel."""
        alpha, wavelength = np.broadcast_arrays(np.asarray(alpha, float), np.asarray(wavelength, float))
        x, y = np.full(alpha.shape, self.column), np.full(alpha.shape, MIDDLE_ROW)
        for _ in range(40):
            v = (y - MIDDLE_ROW) / _HALF_ROWS
            u = alpha / (self.scale * (1 + self.stretch * v)) + v * (self.bend[0] + v * self.bend[1])
            t = (wavelength - self.centre - u * (self.tilt + self.smile * u)) / (self.step * (1 + self.curve * v))
            change = np.max(np.abs(MIDDLE_ROW + t - y), initial=0) + np.max(np.abs(self.column + u - x), initial=0)
            x, y = self.column + u, MIDDLE_ROW + t
            if change < 1e-11:
                break
        return x, y

    def alpha_coefficients(self):
        """Coefficients [power of y - 511.5, power of u] of alpha."""
        found = np.zeros((4, 2))
        h, (b1, b2), s = _HALF_ROWS, self.bend, self.stretch
        found[0, 1], found[1, 1] = self.scale, self.scale * s / h
        found[1:, 0] = -self.scale * np.array([b1 / h, (b2 + b1 * s) / h**2, b2 * s / h**3])
        return found

    def wavelength_coefficients(self):
        """Coefficients [power of y - 511.5, power of u] of the wavelength."""
        found = np.zeros((3, 3))
        found[0] = self.centre, self.tilt, self.smile
        found[1:, 0] = self.step, self.step * self.curve / _HALF_ROWS
        return found


@dataclass(frozen=True)
class ChannelGeometry:
    """The slices of one band.

    Attributes
    ----------
    band : Band
    slices : tuple of Slice
    """

    band: Band
    slices: tuple

    @cached_property
    def matrix(self):
        """From (alpha, beta) to V2, V3 relative to `origin`."""
        turn = np.radians(_ANGLE + 0.15 * self.band.channel)
        return np.array([[np.cos(turn), -np.sin(turn)], [-np.sin(turn), -np.cos(turn)]])

    @cached_property
    def origin(self):
        """V2, V3 of alpha = beta = 0: the channels and gratings do not look at quite the same place."""
        random = generator(0, self.band.name, "boresight")
        return np.array(_REFERENCE) + np.round(random.uniform(-0.12, 0.12, 2), 4)

    def to_telescope(self, alpha, beta):
        """V2, V3 in arcsec."""
        (a, b), (c, d) = self.matrix
        return self.origin[0] + a * alpha + b * beta, self.origin[1] + c * alpha + d * beta

    def from_telescope(self, v2, v3):
        """Alpha and beta, arcsec."""
        (a, b), (c, d) = np.linalg.inv(self.matrix)
        v2, v3 = np.asarray(v2) - self.origin[0], np.asarray(v3) - self.origin[1]
        return a * v2 + b * v3, c * v2 + d * v3

    def throughput(self, one, alpha):
        """Part of the light that the ends of a slice let through."""
        half, sigma = self.band.length / 2, _EDGE * one.scale
        return ndtr((half - np.abs(alpha)) / sigma)


class DetectorSlices:
    """All slices of a detector with the gratings in one of their three positions.

    Parameters
    ----------
    detector : str
        ``MIRIFUSHORT`` or ``MIRIFULONG``.
    setting : str
        BAND.
    """

    def __init__(self, detector, setting):
        self.detector, self.setting = detector, setting
        self.channels = [ChannelGeometry(band, tuple(_slices(band))) for band in bands_of(detector, setting)]

    def windows(self):
        """Each slice with its surroundings.

        Yields
        ------
        channel : ChannelGeometry
        one : Slice
        columns : slice
            Those that the slice reaches on any row, and three more at each end.
        x, y : ndarray (1024, columns)
        """
        rows = np.arange(SHAPE[0], dtype=float)[:, None]
        for channel in self.channels:
            for one in channel.slices:
                reach = channel.band.length / 2 / (one.scale * (1 - abs(one.stretch))) + abs(one.bend[0])
                reach = int(np.ceil(reach + abs(one.bend[1]))) + 3
                first, last = max(int(one.column) - reach, 4), min(int(one.column) + reach + 2, SHAPE[1] - 4)
                x = np.arange(first, last, dtype=float)[None, :]
                yield channel, one, slice(first, last), *np.broadcast_arrays(x, rows)

    def regions(self, shift=0.0):
        """Number of the slice that each pixel sees at least a given part of: 10, 20 ... 90 per cent.

        Parameters
        ----------
        shift : float
            Pixels by which all slices are moved along the rows.

        Returns
        -------
        ndarray of int32 (9, 1024, 1032)
            0 between the slices.
        """
        found = np.zeros((9, *SHAPE), np.int32)
        for channel, one, columns, x, y in self.windows():
            part = channel.throughput(one, one.alpha(x - shift, y))
            for plane in range(9):
                view = found[plane, :, columns]
                view[part > 0.1 * (plane + 1)] = one.number
        return found

    def maps(self):
        """Wavelength (micron, not-a-number between the slices) and throughput of every pixel."""
        wavelength, throughput = np.full(SHAPE, np.nan), np.zeros(SHAPE)
        for channel, one, columns, x, y in self.windows():
            part = channel.throughput(one, one.alpha(x, y))
            inside = part > throughput[:, columns]
            wavelength[:, columns][inside] = one.wavelength(x, y)[inside]
            throughput[:, columns][inside] = part[inside]
        wavelength[throughput < 0.01] = np.nan
        return wavelength, throughput

    def footprint(self):
        """V2, V3 of the corners of the field of view of the smaller channel, in turn around it."""
        channel = min(self.channels, key=lambda entry: entry.band.channel)
        alpha, beta = channel.band.length / 2, channel.band.width * channel.band.slices / 2
        return channel.to_telescope(np.array([-alpha, alpha, alpha, -alpha]), np.array([-beta, -beta, beta, beta]))


def _slices(band):
    """The slices of a band, with small differences between them that are the same in every simulation."""
    random = generator(0, band.name, "slices")
    first, last = band.columns
    places = np.linspace(first, last, band.slices)
    # odd and even slices lie in two blocks on the mirror that feeds the detector: neighbours on the sky are apart
    order = np.empty(band.slices, int)
    order[0::2], order[1::2] = np.arange(band.slices // 2, band.slices), np.arange(band.slices // 2)
    place = dict(zip(order.tolist(), places, strict=True))
    low, high = band.wavelengths
    rises = band.channel < 3
    step = (high - low) / (SHAPE[0] + 16) * (1 if rises else -1)
    for index in range(band.slices):
        offset = (index - (band.slices - 1) / 2) / band.slices
        yield Slice(
            number=100 * band.channel + index + 1,
            beta=band.first_beta + index * band.width,
            column=float(place[index] + random.uniform(-0.5, 0.5)),
            bend=(float(random.uniform(-0.4, 0.4)), float(2.2 + 0.4 * offset)),
            scale=band.scale * (1 + 0.01 * offset),
            stretch=float(0.012 + 0.003 * offset),
            centre=band.centre + 0.15 * step * 8 * offset,
            step=step,
            curve=-0.03 + 0.004 * BANDS.index(band.band),
            tilt=float(step * (0.10 + 0.05 * offset)),
            smile=float(step * 2e-3),
        )
