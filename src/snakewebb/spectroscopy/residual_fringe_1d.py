"""Fringes that remain in an extracted spectrum."""

import logging

import numpy as np

from snakewebb.spectroscopy.envelopes import envelopes, outside_features, outside_lines, reset_runaways
from snakewebb.spectroscopy.fringe_background import continuum
from snakewebb.spectroscopy.sine_fit import fit_sines

log = logging.getLogger(__name__)

# period and half-width of the range of periods, 1/cm, and most sines: fringes of the detector, and of the dichroics
DETECTOR_FRINGE = (2.9, 1.5, 10)
DICHROIC_FRINGE = (0.4, 0.15, 15)
_RESOLUTION = 0.001
_LONGEST = 27.6  # micron, beyond which the flux calibration is too uncertain
_LOG_AMPLITUDES = np.log(1000.0 - -2.0)
_LOG_NOISES = np.log(1.0) - np.log(0.001)
_TINY = 1e-8


def without_fringes(
    flux,
    wavelength,
    channel,
    *,
    dichroic_only=False,
    max_amp=0.4,
    clip_features=True,
    clip_sigma=5.0,
    max_line=0.05,
    ignore_regions=(),
):
    """A spectrum divided by the fringes that are left in it.

    Parameters
    ----------
    flux : ndarray of float64 (n,)
        Only positive values are used and changed.
    wavelength : ndarray of float64 (n,)
        Micron, increasing.
    channel : int
        1 to 4; channels 3 and 4 have fringes of the dichroics besides.
    dichroic_only : bool
        Only those of the dichroics.
    max_amp : float
        Largest relative amplitude of fringes, from their lower to their upper envelope; more is not believed.
    clip_features : bool
        Leave out spectral features by clipping; otherwise by ``max_line``.
    clip_sigma : float
        Limit of the clipping, standard deviations.
    max_line : float
        Largest relative deviation from the continuum that is not a spectral line.
    ignore_regions : sequence of (float, float)
        Ranges of wavelength that are not used, micron.

    Returns
    -------
    ndarray of float64 (n,)

    Raises
    ------
    ValueError
        If ``dichroic_only`` is asked for in channel 1 or 2.
    FringeFitError
        If the spectrum is too short.

    References
    ----------
    ``jwst.residual_fringe.utils.fit_residual_fringes_1d``; sums of sines as in `snakewebb.spectroscopy.sine_fit`.
    """
    if dichroic_only and channel not in (3, 4):
        raise ValueError(f"channel {channel} has no fringes of the dichroics; channels 3 and 4 have")
    positive = np.flatnonzero(flux > 0)
    used = np.asarray(flux, float)[positive]
    waves = np.asarray(wavelength, float)[positive]
    if len(used) < 5:
        return np.array(flux, float)
    weights = np.nan_to_num(used / np.nanmedian(used), posinf=0.0)
    usable = weights.copy()
    usable[waves > _LONGEST] = 0.0
    for low, high in ignore_regions:
        usable[(waves > low) & (waves < high)] = 0.0
    if not usable.any():
        log.warning("no usable flux between %.2f and %.2f micron: fringes are not corrected", waves.min(), waves.max())
        return np.array(flux, float)
    lower, upper = envelopes(used, len(used), 2)
    middle = (lower + upper) / 2
    deviation = np.abs((used - middle) / middle)
    features = (
        outside_features(deviation, clip_sigma)
        if clip_features
        else outside_lines(deviation, np.full(len(used), max_line))
    )
    usable = np.maximum(usable * features, _TINY)
    wavenumber = 1e4 / waves
    cleaned = used
    components = (
        [DICHROIC_FRINGE] if dichroic_only else [DETECTOR_FRINGE, DICHROIC_FRINGE][: 1 if channel in (1, 2) else 2]
    )
    for period, width, most in components:
        base = continuum(cleaned, usable, wavenumber, period, rising=False)
        ratio = np.divide(cleaned, base, out=np.full_like(cleaned, _TINY), where=base != 0)
        fringes = np.where(ratio != 0, ratio - 1, ratio) * np.where(weights > 1e-7, 1.0, _TINY)
        scale = wavenumber.min()
        periods = trial_periods(period / scale, width / scale, round(2 * width / _RESOLUTION))
        fitted, found = fit_sines(
            wavenumber / scale,
            np.nan_to_num(fringes),
            usable,
            usable.sum(),
            periods,
            most,
            True,
            _LOG_AMPLITUDES,
            _LOG_NOISES,
        )
        if not len(found):
            log.info("no fringes of about %g per cm", period)
            continue
        reset_runaways(fitted, np.full(len(used), max_amp))
        cleaned = cleaned / (fitted * (weights > 1e-5) + 1)
        cleaned = np.where(np.isfinite(cleaned), cleaned, 0.0)
    result = np.array(flux, float)
    result[positive] = cleaned
    return result


def trial_periods(period, width, number):
    """Periods that are tried, increasing."""
    return np.linspace(period - width, period + width, number)
