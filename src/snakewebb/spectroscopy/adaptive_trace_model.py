"""A model of the light of compact sources in the slices of the spectrometer."""

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from astropy.io import fits

from snakewebb.compiled import granted_threads, njit
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.mrs import is_mrs
from snakewebb.spectroscopy.slice_geometry import geometry_of
from snakewebb.spectroscopy.trace_splines import evaluate, fit_slice
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Status, step

log = logging.getLogger(__name__)

_PAD = 3  # pixels around a compact source
_LEAST_STEEP = 50  # pixels, for a compact source
_PEAK = 0.2  # of the largest number of steep pixels
_LOW_SNR, _HIGH_ERROR = 5.0, 5.0
_NEGATIVE_NOD = -5.0


@step(version=1, keyword="S_TRCMOD", skip=True)
def adaptive_trace_model(
    image: Image,
    refs: References,
    *,
    fit_threshold: float = 10.0,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,
    save_intermediate_results: bool = False,
) -> Status:
    """Fit splines to the profile along each slice, and keep them as a trace model where they show a compact source.

    The image does not change; pixel_replace with ``algorithm: trace_model`` uses the model.

    Parameters
    ----------
    fit_threshold : float
        Slices are fitted whose brightest profile exceeds the mean of their channel by this many standard deviations; 0: all.
    slope_limit : float
        Step of the normalised profile from pixel to pixel above which the source is compact; 0: the model holds everywhere.
    psf_optimal : bool
        One point source fills everything: all slices are fitted and the model holds everywhere.
    save_intermediate_results : bool
        Save the splines everywhere and where they are used, suffixes ``spline_full`` and ``spline_used``.

    Raises
    ------
    BadDataError
        If the positions of the pixels along the slices are not known.

    References
    ----------
    ``jwst.adaptive_trace_model`` without oversampling; Law & Clarke 2026, AJ 171, 304.
    """
    if not is_mrs(image.header):
        return Status(NOT_APPLICABLE, f"no trace model is defined for EXP_TYPE {image.header.get('EXP_TYPE')!r}")
    geometry = geometry_of(image, "adaptive_trace_model")
    if geometry.alpha is None:
        raise BadDataError(
            "the positions of the pixels along the slices are not known; run assign_wcs before adaptive_trace_model"
        )
    if psf_optimal:
        fit_threshold = slope_limit = 0.0
    labels, flux = geometry.slices, image.data
    mean = _statistics(flux[labels > 0])[0]
    lifted = min(mean, 0.0)  # the median of a profile must not be negative
    if lifted:
        flux = flux - np.float32(lifted)
    numbers = np.unique(labels[labels > 0])
    limits = _limits(flux, labels, fit_threshold)
    cuts = [_cut(labels == number, flux, image.err, geometry.alpha) for number in numbers]

    def fitted(number, cut):
        return _slice_splines(*cut[1:], limits.get(int(number) // 100))

    with ThreadPoolExecutor(granted_threads()) as pool:
        splines = list(pool.map(fitted, numbers, cuts))
    full, used = np.full(flux.shape, np.nan, np.float32), np.full(flux.shape, np.nan, np.float32)
    breakpoints, compact = None, 0
    for cut, found in zip(cuts, splines, strict=True):
        if found is None or not found[2].any():
            continue
        place, _, _, alpha = cut
        if breakpoints is None:
            first = int(np.flatnonzero(found[2])[0])
            breakpoints = len(np.unique(found[0][first, : found[2][first]])) - 1
        trace, steep = _trace(alpha, *found, slope_limit)
        inside = np.isfinite(alpha)
        holds = inside if slope_limit <= 0 else _compact(alpha, alpha[steep], breakpoints)
        for target, where in ((full, inside), (used, holds)):
            part = target[place]
            part[_turned_back(where)] = _turned_back(trace)[_turned_back(where)]
        compact += bool((holds & np.isfinite(trace)).any())
    if lifted:
        full += np.float32(lifted)
        used += np.float32(lifted)
    image.trace_model = used
    if save_intermediate_results:
        image.extra["spline_full"] = [fits.ImageHDU(full, name="SCI")]
        image.extra["spline_used"] = [fits.ImageHDU(used.copy(), name="SCI")]
    fit = sum(found is not None and bool(found[2].any()) for found in splines)
    return Status(COMPLETE, f"{fit} of {len(numbers)} slices fitted, a compact source in {compact}")


def _statistics(values):
    from astropy.stats import sigma_clipped_stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid values are clipped
        mean, _, deviation = sigma_clipped_stats(values)
    return (mean, deviation) if np.isfinite(mean) else (0.0, 0.0)


def _limits(flux, labels, threshold):
    """Flux that the brightest profile of a slice must exceed, by channel; empty: all slices are fitted."""
    if threshold <= 0:
        return {}
    limits = {}
    for channel in (1, 2, 3, 4):
        inside = labels // 100 == channel
        if inside.any():
            mean, deviation = _statistics(flux[inside])
            limits[channel] = mean + threshold * deviation
    return limits


def _cut(inside, *arrays):
    """Where a slice is, and arrays there in single precision with wavelengths along rows and NaN outside."""
    columns = np.flatnonzero(inside.any(axis=0))
    place = np.s_[:, int(columns[0]) : int(columns[-1]) + 1]
    parts = [np.where(inside[place], array[place], np.nan).astype(np.float32) for array in arrays]
    return (place, *(np.ascontiguousarray(np.rot90(part)) for part in parts))


def _turned_back(array):
    return np.rot90(array, k=-1)


def _slice_splines(flux, err, alpha, limit):
    """Splines of a slice, None if it is too faint."""
    profile = _profile(flux, err, alpha)
    if limit is not None and not _bright(profile, limit):
        return None
    if profile is not None:
        _trim(flux, alpha, profile)
        profile = _profile(flux, err, alpha)
        if limit is not None and not _bright(profile, limit):
            return None
    positive = profile is not None and np.nanmin(profile[3]) < _NEGATIVE_NOD
    with np.errstate(invalid="ignore"):
        total = np.sum(flux, where=flux > 0, axis=0) if positive else np.nansum(flux, axis=0)
    size = flux.shape[1]
    # from both ends to the middle, so that what stands in for a failed fit is never far
    order = np.concatenate([np.arange(size // 2 + 1), np.arange(size - 1, size // 2, -1)])
    return fit_slice(flux, alpha, total, order)


def _bright(profile, limit):
    return profile is not None and np.nanmax(profile[1]) > limit


def _spacing(alpha):
    """Distance of neighbouring pixels along a slice, arcsec."""
    return np.abs(np.nanmedian(np.diff(alpha, axis=0)))


def _profile(flux, err, alpha):
    """Positions, and median flux, error, and signal-to-noise ratio there over all wavelengths; None without valid pixels."""
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(flux) & np.isfinite(err) & np.isfinite(alpha) & (err > 0)
    if not valid.any():
        return None
    step = _spacing(alpha) / 2.0
    positions = np.arange(np.nanmin(alpha), np.nanmax(alpha), step)
    values = [np.full_like(positions, np.nan) for _ in range(3)]
    where, signal, noise = alpha[valid], flux[valid], err[valid]
    ratio = signal / noise
    for k, position in enumerate(positions):
        near = (where >= position - step / 2.0) & (where < position + step / 2.0)
        if near.any():
            for array, source in zip(values, (signal, noise, ratio), strict=True):
                array[k] = np.median(source[near])
    return positions, *values


def _trim(flux, alpha, profile):
    """Take out the edges of a slice, in place, where the error is large and there is no signal."""
    positions, _, noise, ratio = profile
    valid = np.isfinite(ratio)
    if not valid.any():
        return
    mean, deviation = _statistics(noise[valid])
    with np.errstate(invalid="ignore"):
        bad = (np.abs(ratio) < _LOW_SNR) & (noise > mean + _HIGH_ERROR * deviation)
        if not bad.any() or bad.all():
            return
        below, above = positions[bad & (positions < 0)], positions[bad & (positions > 0)]
        if len(below):
            flux[alpha <= below.max()] = np.nan
        if len(above):
            flux[alpha >= above.min()] = np.nan


@njit
def _trace(alpha, knots, coefficients, number, limits, scale, slope_limit):
    """Scaled splines at the pixels of a slice, and where they are steep."""
    trace, steep = np.full(alpha.shape, np.float32(np.nan), np.float32), np.zeros(alpha.shape, np.bool_)
    places, values = np.empty(len(alpha), np.int64), np.empty(len(alpha))
    for element in range(alpha.shape[1]):
        if number[element] == 0:
            continue
        own = knots[element, : number[element]]
        count = 0
        for place in range(len(alpha)):
            if limits[element, 0] <= alpha[place, element] <= limits[element, 1]:
                places[count] = place
                values[count] = evaluate(np.float64(alpha[place, element]), own, coefficients[element])
                count += 1
        # the ends are not trusted
        for k in range(1, count - 1):
            trace[places[k], element] = scale[element] * values[k]
            if k > 1 and abs(values[k] - values[k - 1]) > slope_limit:
                steep[places[k], element] = True
    return trace, steep


def _compact(alpha, steep, breakpoints):
    """Pixels near positions where many are steep."""
    from scipy.signal import find_peaks

    near = np.zeros(alpha.shape, bool)
    if len(steep) < _LEAST_STEEP:
        return near
    spacing = _spacing(alpha)
    half = spacing * breakpoints / 4
    with np.errstate(invalid="ignore"):
        number, _ = np.histogram(steep, bins=breakpoints, range=(-half, half), density=True)
        peaks, _ = find_peaks(number / np.nanmax(number), height=_PEAK)
        for position in (np.arange(breakpoints) * spacing / 2 - half)[peaks]:
            near |= (alpha > position - _PAD * spacing) & (alpha <= position + _PAD * spacing)
    return near
