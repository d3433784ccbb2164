"""Fringes in one column of a slice: lines left out, continuum, sums of sines."""

import logging
from dataclasses import dataclass

import numpy as np

from snakewebb.spectroscopy.envelopes import envelopes, outside_lines, reset_runaways
from snakewebb.spectroscopy.fringe_background import FringeFitError, continuum
from snakewebb.spectroscopy.sine_fit import fit_sines

log = logging.getLogger(__name__)

_TINY = 1e-8
_LOW_WEIGHT = 3e-3
_PLACEHOLDER = 1e-3  # periods below stand for no fringe
_ROBUST = 1.5  # periods above are fitted robustly
_DICHROIC = (3, 4)  # channels whose lines are searched without the fringes of the dichroics
_WINDOW = 7
_DERIVATIVE_NOISE = 1.482602 / np.sqrt(6.0)
_LOG_AMPLITUDES = np.log(10.0 - -3.0)
_LOG_NOISES = np.log(10.0) - np.log(0.001)


@dataclass(frozen=True)
class Component:
    """One kind of fringes of a slice.

    Attributes
    ----------
    period, width : float
        Middle and half of the range of periods, 1/cm.
    most : int
        Most sines.
    least_snr : float
        Signal-to-noise ratio of a column below which it is not corrected.
    resolution : float
        Step of the periodogram, 1/cm.
    """

    period: float
    width: float
    most: int
    least_snr: float
    resolution: float


@dataclass(frozen=True)
class CorrectedColumn:
    """Flux, the factors it was multiplied by, and the continuum, at the rows that are corrected."""

    flux: np.ndarray
    factors: np.ndarray
    continuum: np.ndarray


def correct_column(column, components, amplitudes, *, whole):
    """Divide a column by its fringes.

    Parameters
    ----------
    column : Column
    components : list of Component
    amplitudes : (ndarray, ndarray)
        Wavelengths, micron, and the largest relative amplitude of fringes there.
    whole : bool
        Leave the column as it is if a kind of fringes cannot be fitted.

    Returns
    -------
    CorrectedColumn or None
        ``None`` if the column is left as it is.
    """
    valid = column.wavelength > 0
    snr = _signal_to_noise(np.where(column.flux[valid] < 0, _TINY, column.flux[valid]))
    if snr < components[0].least_snr:
        return None
    flux, weights = np.maximum(column.flux, _TINY), np.maximum(column.weights, _TINY)
    wavenumber = _filled(column.wavelength)
    largest = 2 * np.interp(column.wavelength, *amplitudes)
    usable = _usable(flux, weights, column, largest)
    cleaned, factors, base = flux, np.ones(len(flux)), flux
    done = 0
    for component in components:
        if component.period <= _PLACEHOLDER or snr <= component.least_snr:
            continue
        try:
            base, fitted, usable = _component(cleaned, weights, usable, wavenumber, component, column, largest)
        except FringeFitError as error:
            log.debug("column %d: %s", column.column, error)
            if whole:
                return None
            continue
        factor = 1 / (fitted * (weights > 1e-5) + 1)
        cleaned, factors = np.nan_to_num(cleaned * factor, posinf=_TINY, neginf=_TINY), factors * factor
        cleaned = np.where(cleaned < 0, _TINY, cleaned)
        done += 1
    if not done and not whole:
        return None
    return CorrectedColumn(cleaned[column.rows], factors[column.rows], base[column.rows])


def _component(flux, weights, usable, wavenumber, component, column, largest):
    """Continuum, fitted fringes, and the weights that they were fitted with."""
    base = continuum(flux, usable, wavenumber, component.period, rising=column.channel in _DICHROIC)
    ratio = np.divide(flux, base, out=np.zeros_like(flux), where=base != 0)
    fringes = np.where(ratio != 0, ratio - 1, 0.0) * np.where(weights > 1e-7, 1.0, _TINY)
    fringes = np.where(np.isfinite(fringes), fringes, 0.0)
    scale = wavenumber.min()
    number = int(np.around(2 * component.width / component.resolution))
    periods = np.linspace(
        (component.period - component.width) / scale, (component.period + component.width) / scale, number
    )
    initial = usable.sum()
    usable = usable * column.bright
    fitted, found = fit_sines(
        wavenumber / scale,
        fringes,
        usable,
        initial,
        periods,
        component.most,
        component.period > _ROBUST,
        _LOG_AMPLITUDES,
        _LOG_NOISES,
    )
    if not len(found):
        raise FringeFitError(f"no fringes of about {component.period:g} per cm")
    reset_runaways(fitted, largest)
    return base, fitted, usable


def _signal_to_noise(flux):
    """Mean over a robust noise from second differences (DER_SNR; Stoehr et al. 2008, ASP Conf. 394, 505)."""
    noise = _DERIVATIVE_NOISE * np.nanmedian(np.abs(2.0 * flux[2:-2] - flux[:-4] - flux[4:]))
    return np.nanmean(flux) / noise if noise != 0 else 0.0


def _filled(wavelength):
    """Wavenumbers, 1/cm; outside the slice those of a cubic through the others, as fits need some number there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        wavenumber = 1e4 / wavelength
    inside = np.isfinite(wavenumber)
    if inside.all():
        return wavenumber
    rows = np.arange(len(wavenumber))
    coefficients = np.polynomial.polynomial.polyfit(rows[inside], wavenumber[inside], 3)
    return np.where(inside, wavenumber, np.polynomial.polynomial.polyval(rows, coefficients))


def _usable(flux, weights, column, largest):
    """Weights without spectral lines."""
    lower, _ = envelopes(flux, len(flux), 1)
    usable = weights * outside_lines((np.abs(flux / lower) - 1) * column.bright, largest)
    if column.channel in _DICHROIC:
        # the fringes of the dichroics are smoothed away first
        total = np.cumsum(np.insert(flux, 0, 0.0))
        lower, _ = envelopes((total[_WINDOW:] - total[:-_WINDOW]) / _WINDOW, len(flux), 1)
        usable = usable * outside_lines(np.abs(flux / lower) - 1, largest)
    # a single sample before a gap
    present = np.flatnonzero(usable)
    if len(present) > 1:
        if usable[0] != 0 and present[1] - present[0] > 1:
            usable[0] = _TINY
        if usable[-1] != 0 and present[-1] - present[-2] > 1:
            usable[-1] = _TINY
    return np.where(usable <= _LOW_WEIGHT, _TINY, usable)
