"""Where a point lies in the slices of one exposure: its image, sampled as slices and pixels sample it, fitted to the pixels.

Centroids of cubes are pulled to the middles of slices, which are nearly as wide as the image; a model of the image that is integrated
over slices and pixels is not.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from snakewebb.cubes.pixels import slice_width, usable

SAMPLING = 0.002, 0.004
"""Errors of positions along and across, relative to pixels and slices: what is left at any brightness, as the image is not the model's.

Measured with images of three forms at all phases of slices and pixels; the test of this module does it again.
"""

_WIDE = 2.0  # width of the model's second Gaussian relative to the first
# widths along and across relative to those measured in flight; part of the light in the second Gaussian
_SHAPE = (1.0, 1.0, 0.1)
_LIMITS = ((0.5, 4.0), (0.5, 4.0), (0.0, 0.6))
_REACH = 2.5  # full widths of the image, at least as many slices: pixels that far away are fitted
# of the model and of its peak: errors besides those stated, as the image is not quite the model's
_INEXACT = (0.02, 0.003)
_PER_BIN = 250  # pixels of a wavelength bin
_MOST_BINS, _CHUNKS = 256, 8
_LEAST = 12  # pixels
_CLIP = 6.0
_ROUNDS, _STEPS = 3, 30
_SMALL = 1e-6  # of a slice
_DIFFERENCE = 1e-4  # of a parameter


@dataclass
class SlicePixels:
    """Pixels around a source.

    Attributes
    ----------
    low, high : ndarray of float64 (n,)
        Ends of the pixels along their slices, arcsec.
    beta, wave, flux, err : ndarray of float64 (n,)
        Of the middle of the slice (arcsec), micron, and in the unit of the exposure.
    width : float
        Of the slices, arcsec.
    bins : ndarray of int (n,)
        Number of the wavelength bin of each, in each of which source and background have brightnesses of their own.
    to_plane : ndarray (2, 6)
        Tangent-plane coordinates (arcsec) of positions along and across: coefficients of 1, a, b, a^2, ab, b^2.
    start : (float, float)
        Where the source is about, along and across, arcsec.
    """

    low: np.ndarray
    high: np.ndarray
    beta: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    err: np.ndarray
    width: float
    bins: np.ndarray
    to_plane: np.ndarray
    start: tuple

    @property
    def pixel(self):
        """Mean extent of the pixels along the slices, arcsec."""
        return float(np.mean(self.high - self.low))


@dataclass
class SlicePosition:
    """A fitted position.

    Attributes
    ----------
    place : ndarray (2,)
        Along and across the slices, arcsec.
    covariance : ndarray (2, 2)
        Of the noise, or of the scatter over wavelength where that is larger, and of the sampling, arcsec^2.
    shape : ndarray (3,)
        Widths of the image along and across, relative to those measured in flight, and the part of the light in its wings.
    """

    place: np.ndarray
    covariance: np.ndarray
    shape: np.ndarray


def image_width(wave):
    """Full width at half maximum of the image of a point, arcsec (Law et al. 2023, AJ 166, 45)."""
    return 0.033 * np.asarray(wave) + 0.106


def pixels_near(table, grid, x, y, *, longest):
    """Pixels around a position.

    Parameters
    ----------
    table : PixelTable
        With corners in the local plane.
    grid : CubeGrid
        Of the tangent plane.
    x, y : float
        Tangent-plane coordinates, arcsec.
    longest : float
        Micron, above which pixels are too noisy.

    Returns
    -------
    SlicePixels or None
        ``None`` if too few pixels are there.
    """
    width = slice_width(table.beta)
    good = usable(table) & np.isfinite(table.err) & (table.err > 0) & (table.wave < longest)
    good &= np.isfinite(table.corner_along).all(axis=1)
    along, up = grid.to_plane(table.ra, table.dec)
    reach = _REACH * np.maximum(image_width(table.wave), width)
    good &= np.hypot(along - x, up - y) < reach
    if good.sum() < _LEAST or not np.isfinite(width):
        return None
    order = np.flatnonzero(good)
    order = order[np.argsort(table.wave[order], kind="stable")]
    corners, beta = table.corner_along[order], table.beta[order]
    low, high = np.sort([corners[:, [0, 3]].mean(axis=1), corners[:, [1, 2]].mean(axis=1)], axis=0)
    number = int(np.clip(len(order) // _PER_BIN, 1, _MOST_BINS))
    alpha, plane = (low + high) / 2, np.stack([along[order], up[order]])
    return SlicePixels(
        low, high, beta, table.wave[order], table.flux[order], table.err[order], width,
        np.arange(len(order)) * number // len(order),
        _polynomials(np.stack([alpha, beta]), plane),
        tuple(_polynomials(plane, np.stack([alpha, beta])) @ _powers(x, y)),
    )  # fmt: skip


def _powers(a, b):
    return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b])


def _polynomials(places, values):
    """Coefficients of the polynomials of second order that give two values at places (2, n)."""
    powers = _powers(*places)
    matrix = np.array([[np.sum(one * other) for other in powers] for one in powers])
    return np.stack([np.linalg.solve(matrix, [np.sum(one * value) for one in powers]) for value in values])


def on_plane(pixels, place):
    """Tangent-plane coordinates (arcsec) of a place along and across the slices, and their derivatives (2, 2)."""
    a, b = place
    slopes = np.array([[0, 1, 0, 2 * a, b, 0], [0, 0, 1, 0, a, 2 * b]])
    return pixels.to_plane @ _powers(a, b), pixels.to_plane @ slopes.T


def fit_position(pixels, shape=None):
    """Fit the position of a source, and the shape of its image if that is not given.

    Parameters
    ----------
    pixels : SlicePixels
    shape : ndarray (3,), optional

    Returns
    -------
    SlicePosition or None
        ``None`` if there is no source, or the fit leaves its surroundings.
    """
    free = 5 if shape is None else 2
    values = np.array([*pixels.start, *(_SHAPE if shape is None else shape)], float)
    used = np.ones(len(pixels.flux), bool)
    variance = pixels.err**2
    for _ in range(_ROUNDS):
        weight = np.where(used, 1 / variance, 0.0)
        values, fitted = _minimum(pixels, values, free, weight)
        if not np.hypot(*(values[:2] - pixels.start)) < 2 * max(pixels.width, float(image_width(pixels.wave.max()))):
            return None
        source = fitted.source * fitted.model
        if not np.median(fitted.source) > 0:
            return None
        peak = fitted.source * fitted.model.max()
        variance = pixels.err**2 + (_INEXACT[0] * source) ** 2 + (_INEXACT[1] * peak) ** 2
        scaled = np.abs(fitted.left) / np.sqrt(variance)
        used = scaled < _CLIP * max(1.4826 * np.median(scaled), 1.0)
    weight = np.where(used, 1 / variance, 0.0)
    values, fitted = _minimum(pixels, values, free, weight)
    return SlicePosition(values[:2], _covariance(pixels, values, fitted, weight), values[2:])


class _Fitted:
    """A model of given position and shape with the brightnesses of source and background that fit best in each wavelength bin."""

    def __init__(self, pixels, values, weight):
        self._bins, self._weight = pixels.bins, weight
        self.model = _image(pixels, *values)
        self._pp, self._p1 = self._sums(self.model**2), self._sums(self.model)
        self._11 = self._sums(np.ones_like(self.model))
        source, background = self._best(pixels.flux)
        self.source = source[self._bins]
        self.left = pixels.flux - self.source * self.model - background[self._bins]
        self.cost = float(np.sum(weight * self.left**2))

    def _sums(self, values):
        return np.bincount(self._bins, self._weight * values)

    def _best(self, values):
        along, level = self._sums(self.model * values), self._sums(values)
        determinant = self._pp * self._11 - self._p1**2
        known = determinant > 1e-9 * self._pp * self._11
        inverse = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=known)
        return (self._11 * along - self._p1 * level) * inverse, (self._pp * level - self._p1 * along) * inverse

    def slope(self, change):
        """How the fitted values change with a parameter that changes the model so, brightnesses fitted again."""
        change = self.source * change
        source, background = self._best(change)
        return change - source[self._bins] * self.model - background[self._bins]


def _image(pixels, alpha, beta, along, across, wings):
    """Part of a point's light that pixels see, by area (1/arcsec^2)."""
    sigma = image_width(pixels.wave) / (2 * np.sqrt(2 * np.log(2)))
    total = 0.0
    for part, wide in ((1 - wings, 1.0), (wings, _WIDE)):
        scale = 1 / (np.sqrt(2) * sigma * wide)
        one = erf((pixels.high - alpha) * scale / along) - erf((pixels.low - alpha) * scale / along)
        offset, half = pixels.beta - beta, pixels.width / 2
        other = erf((offset + half) * scale / across) - erf((offset - half) * scale / across)
        total = total + part * one * other
    return total / (4 * (pixels.high - pixels.low) * pixels.width)


def _slopes(pixels, values, fitted, free):
    """Derivatives of the fitted values by the free parameters."""
    slopes = []
    for number in range(free):
        step = _DIFFERENCE * (pixels.width if number < 2 else 1.0)
        changed = values.copy()
        changed[number] += step
        slopes.append(fitted.slope((_image(pixels, *changed) - fitted.model) / step))
    return slopes


def _minimum(pixels, values, free, weight):
    """Levenberg's and Marquardt's way to the least squares."""
    fitted, damping = _Fitted(pixels, values, weight), 1e-3
    low, high = np.transpose(_LIMITS)
    for _ in range(_STEPS):
        slopes = _slopes(pixels, values, fitted, free)
        matrix = np.array([[np.sum(weight * one * other) for other in slopes] for one in slopes])
        vector = np.array([np.sum(weight * one * fitted.left) for one in slopes])
        if not (np.isfinite(matrix).all() and (np.diag(matrix) > 0).all()):
            break
        while damping < 1e6:
            step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), vector)
            moved = values.copy()
            moved[:free] += step
            moved[2:] = np.clip(moved[2:], low, high)
            trial = _Fitted(pixels, moved, weight)
            if trial.cost <= fitted.cost:
                break
            damping *= 10
        else:
            break
        small = np.max(np.abs(moved - values)) < _SMALL * pixels.width
        values, fitted, damping = moved, trial, max(damping / 10, 1e-9)
        if small:
            break
    return values, fitted


def _covariance(pixels, values, fitted, weight):
    """Of the position: of the noise, or of the scatter over wavelength where that is larger, and of the sampling."""
    slopes = _slopes(pixels, values, fitted, 2)
    number = pixels.bins.max() + 1
    count = int(min(_CHUNKS, number // 2))
    chunk = pixels.bins * max(count, 1) // number
    products = [[weight * one * other for other in slopes] for one in slopes]
    total = np.sum(products, axis=2)
    found = np.linalg.inv(total) * max(fitted.cost / max(np.count_nonzero(weight) - 2 * number - 2, 1), 1.0)
    if count >= 4:
        matrices = np.array([[np.bincount(chunk, part) for part in row] for row in products]).transpose(2, 0, 1)
        vectors = np.stack([np.bincount(chunk, weight * one * fitted.left) for one in slopes], axis=1)
        known = np.linalg.det(matrices) > 0
        places = np.linalg.solve(matrices[known], vectors[known, :, None])[..., 0]
        scatter = np.var(places, axis=0, ddof=1) / len(places) if len(places) > 1 else 0.0
        # along and across are independent, as pixels are
        found = np.diag(np.maximum(np.diag(found), scatter))
    return found + np.diag(np.square([SAMPLING[0] * pixels.pixel, SAMPLING[1] * pixels.width]))
