"""A model of the light of compact sources in the slices of the spectrometer, and finer sampling of the slices with it."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
from astropy.io import fits

from snakewebb.compiled import granted_threads
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.compact_sources import near_compact_sources, spacing_of
from snakewebb.spectroscopy.mrs import is_mrs
from snakewebb.spectroscopy.slice_geometry import geometry_of
from snakewebb.spectroscopy.trace_oversampling import oversample_image
from snakewebb.spectroscopy.trace_splines import fit_slice, trace_of
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step

_CHANNELS = (1, 2, 3, 4)
_LOW_SNR, _HIGH_ERROR = 5.0, 5.0
_NEGATIVE_NOD = -5.0


@step(version=1, keyword="S_TRCMOD", skip=True)
def adaptive_trace_model(
    image: Image,
    refs: References,
    *,
    fit_threshold: float = 10.0,
    oversample: Annotated[float, Between(1.0, 10.0)] = 1.0,
    slope_limit: float = 0.1,
    psf_optimal: bool = False,
    save_intermediate_results: bool = False,
    output_use_model: bool = True,
    maximum_cores: str = "none",
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Fit splines to the profile along each slice, and keep them as a trace model where they show a compact source.

    The image does not change unless it is oversampled; pixel_replace with ``algorithm: trace_model`` uses the model. With ``oversample``
    the image gets that many times as many columns: the model with what it leaves of the data where it holds, and the data interpolated
    linearly elsewhere. Errors are interpolated, and enlarged for what neighbouring pixels have in common.

    Parameters
    ----------
    fit_threshold : float
        Slices are fitted whose brightest profile exceeds the mean of their channel by this many standard deviations; 0: all.
    oversample : float
        Number of columns of the result for each one of the detector.
    slope_limit : float
        Step of the normalised profile from pixel to pixel above which the source is compact; 0: the model holds everywhere.
    psf_optimal : bool
        One point source fills everything: all slices are fitted, the model holds everywhere, and what it leaves of the data is not added.
    save_intermediate_results : bool
        Save the splines everywhere and where they are used, and what is interpolated linearly and left by the splines in an oversampled
        image: suffixes ``spline_full``, ``spline_used``, ``linear_interp``, ``spline_residual``.
    output_use_model, maximum_cores
        Accepted for compatibility; names come from the plan, and threads from the job.
    compatibility : {"native", "jwst"}
        "jwst" adds a negative mean of the image, which is subtracted for the fits, twice to the trace of an oversampled image whose
        ``slope_limit`` is 0.

    Raises
    ------
    BadDataError
        If the positions of the pixels along the slices are not known, or, to oversample, the WCS.

    References
    ----------
    ``jwst.adaptive_trace_model``; Law & Clarke 2026, AJ 171, 304.
    """
    if not is_mrs(image.header):
        return Status(NOT_APPLICABLE, f"no trace model is defined for EXP_TYPE {image.header.get('EXP_TYPE')!r}")
    geometry = geometry_of(image, "adaptive_trace_model")
    if geometry.alpha is None:
        raise BadDataError(
            "the positions of the pixels along the slices are not known; run assign_wcs before adaptive_trace_model"
        )
    if image.oversample != 1:
        raise BadDataError("the image is oversampled already; run adaptive_trace_model once on an exposure")
    if psf_optimal:
        fit_threshold = slope_limit = 0.0
    labels, flux = geometry.slices, image.data
    # as the oracle adds them up: rows are turned to columns, from the last column on
    mean = _statistics(np.rot90(flux)[np.rot90(labels) > 0])[0]
    lifted = min(mean, 0.0)  # the median of a profile must not be negative
    if lifted:
        flux = flux - lifted
    limits = _limits(flux, labels, fit_threshold)
    numbers = np.unique(labels[labels > 0])
    cuts = [_Cut(labels == number, flux, image.err, geometry.alpha) for number in numbers]

    def fitted(number, cut):
        return _slice_splines(cut, limits.get(int(number) // 100))

    with ThreadPoolExecutor(granted_threads()) as pool:
        splines = list(pool.map(fitted, numbers, cuts))
    breakpoints = _breakpoints(splines)
    fit = sum(found is not None for found in splines)
    if oversample != 1:
        made, compact = oversample_image(
            image,
            flux,
            cuts,
            splines,
            breakpoints,
            factor=oversample,
            slope_limit=slope_limit,
            with_residual=not psf_optimal,
            lifted=lifted,
            twice=compatibility == "jwst" and slope_limit <= 0,
        )
    else:
        made, compact = _traces(flux.shape, cuts, splines, breakpoints, slope_limit)
        for array in made.values():
            array += lifted
    image.trace_model = made["spline_used"]
    if save_intermediate_results:
        for suffix, array in made.items():
            image.extra[suffix] = [fits.ImageHDU(array.copy(), name="SCI")]
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
    for channel in _CHANNELS:
        inside = labels // 100 == channel
        if inside.any():
            mean, deviation = _statistics(flux[inside])
            limits[channel] = mean + threshold * deviation
    return limits


class _Cut:
    """A slice by itself, turned so that wavelengths lie along rows, NaN outside.

    Attributes
    ----------
    place : tuple of slice
        Where it is in the image.
    first : int
        Number of its first row in the whole turned image.
    inside : ndarray of bool (nspatial, nspectral)
    flux, err, alpha : ndarray of the type of the flux (nspatial, nspectral)
    """

    def __init__(self, inside, flux, err, alpha):
        columns = np.flatnonzero(inside.any(axis=0))
        start, stop = int(columns[0]), int(columns[-1]) + 1
        self.place, self.width = np.s_[:, start:stop], inside.shape[1]
        self.first = self.width - stop
        self.inside = np.ascontiguousarray(np.rot90(inside[self.place]))
        self.flux, self.err, self.alpha = (
            np.ascontiguousarray(np.rot90(np.where(inside[self.place], array[self.place], np.nan))).astype(flux.dtype)
            for array in (flux, err, alpha)
        )

    def sums(self, *, positive):
        """Sum of the flux of each element of the spectrum, or of what is positive.

        In the order in which the oracle adds the whole width of the detector: samples at the limit of outliers must not change sides.
        """
        whole = np.full((self.flux.shape[1], self.width), np.nan, self.flux.dtype)
        whole[:, self.first : self.first + len(self.flux)] = self.flux.T
        with np.errstate(invalid="ignore"):
            return np.sum(whole, where=whole > 0, axis=1) if positive else np.nansum(whole, axis=1)


def _slice_splines(cut, limit):
    """Splines of a slice, None if it is too faint or nothing fits."""
    profile = _profile(cut)
    if limit is not None and not _bright(profile, limit):
        return None
    if profile is not None:
        _trim(cut, profile)
        profile = _profile(cut)
        if limit is not None and not _bright(profile, limit):
            return None
    total = cut.sums(positive=profile is not None and np.nanmin(profile[3]) < _NEGATIVE_NOD)
    size = cut.flux.shape[1]
    # from both ends to the middle, so that what stands in for a failed fit is never far
    order = np.concatenate([np.arange(size // 2 + 1), np.arange(size - 1, size // 2, -1)])
    found = fit_slice(cut.flux, cut.alpha, total, order)
    return found if found[2].any() else None


def _breakpoints(splines):
    """Number of pieces of the first spline of all."""
    for found in splines:
        if found is not None:
            knots, _, number, _, _ = found
            first = int(np.flatnonzero(number)[0])
            return len(np.unique(knots[first, : number[first]])) - 1
    return None


def _traces(shape, cuts, splines, breakpoints, slope_limit):
    """The splines at all pixels of the slices, and those near compact sources alone; the number of slices with such."""
    made = {name: np.full(shape, np.nan, np.float32) for name in ("spline_full", "spline_used")}
    compact = 0
    for cut, found in zip(cuts, splines, strict=True):
        if found is None:
            continue
        trace, steep = trace_of(cut.alpha.astype(np.float32), *found, slope_limit)
        holds = cut.inside
        if slope_limit > 0:
            alpha = cut.alpha.astype(np.float32)
            holds = near_compact_sources(alpha, alpha[steep], spacing_of(alpha), breakpoints)
        for name, where in (("spline_full", cut.inside), ("spline_used", holds)):
            part = made[name][cut.place]
            turned = np.rot90(where, k=-1)
            part[turned] = np.rot90(trace, k=-1)[turned]
        compact += bool((holds & np.isfinite(trace)).any())
    return made, compact


def _bright(profile, limit):
    return profile is not None and np.nanmax(profile[1]) > limit


def _profile(cut):
    """Positions, and median flux, error, and signal-to-noise ratio there over all wavelengths; None without valid pixels."""
    flux, err, alpha = cut.flux, cut.err, cut.alpha
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(flux) & np.isfinite(err) & np.isfinite(alpha) & (err > 0)
    if not valid.any():
        return None
    step = spacing_of(alpha) / 2.0
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


def _trim(cut, profile):
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
            cut.flux[cut.alpha <= below.max()] = np.nan
        if len(above):
            cut.flux[cut.alpha >= above.min()] = np.nan
