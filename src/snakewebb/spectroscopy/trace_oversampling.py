"""Finer sampling along the slices: the trace model with what it leaves of the data, and linear interpolation elsewhere."""

import math

import numpy as np

from snakewebb.compiled import njit
from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.spectroscopy.compact_sources import near_compact_sources, spacing_of
from snakewebb.spectroscopy.trace_splines import evaluate
from snakewebb.wcs.mrs import mrs_geometry
from snakewebb.wcs.oversampled import nearest_columns

_LEAST = 3  # good pixels of an element
_INFLATION = 0.23, 0.77  # of errors, by the factor: neighbouring pixels share their noise (Law & Clarke 2026)


def oversample_image(
    image, flux, cuts, splines, breakpoints, *, factor, slope_limit, with_residual, lifted, twice=False
):
    """Give an image ``factor`` times as many columns, in place.

    Parameters
    ----------
    image : Image
        With its WCS. Its data, errors, flags, geometry, pixel area and ``oversample`` change; maps of the pixel area are dropped.
    flux : ndarray (ny, nx)
        Its data, less ``lifted``.
    cuts : list
        The slices, with ``first``, ``inside``, ``flux`` and ``alpha``, wavelengths along rows.
    splines : list
        What `fit_slice` gave for each, or ``None``.
    breakpoints : int or None
        Pieces of the splines.
    factor : float
    slope_limit : float
        As in `adaptive_trace_model`.
    with_residual : bool
        Whether what the splines leave of the data is added to them.
    lifted : float
        Negative level of the image, or 0.
    twice : bool
        Add it twice to the trace.

    Returns
    -------
    dict of ndarray of float32 (ny, factor * nx)
        ``spline_full``, ``spline_used``, ``linear_interp``, ``spline_residual``.
    int
        Number of slices with a compact source.

    Raises
    ------
    BadDataError
        If there is no WCS.
    ConfigError
        If the factor does not make a whole number of columns.
    """
    ny, nx = flux.shape
    if image.wcs is None:
        raise BadDataError(
            "there is no WCS, and oversampling needs the positions of the new pixels; run assign_wcs before adaptive_trace_model"
        )
    count = round(nx * factor)
    if abs(count - nx * factor) > 1e-6:
        raise ConfigError(
            f"steps.adaptive_trace_model.oversample: found {factor:g}, which makes {nx * factor:g} columns of {nx}; expected a factor that "
            "makes a whole number, as 2, 3 or 1.5"
        )
    geometry, _, _ = mrs_geometry(image.wcs, factor)
    alpha = np.ascontiguousarray(np.rot90(geometry.alpha))
    linear, full, used, residual = (np.full((count, ny), np.nan) for _ in range(4))
    compact = 0
    for cut, found in zip(cuts, splines, strict=True):
        rows = slice(int(cut.first * factor), math.ceil((cut.first + len(cut.inside)) * factor))
        interpolate_slice(cut.flux.astype(np.float32), cut.inside, cut.first, factor, int(factor), True, linear)
        if found is None:
            continue
        near, steep = np.full(alpha.shape, np.nan), np.zeros(cut.inside.shape, bool)
        position = cut.alpha.astype(np.float32)
        spline_slice(
            cut.flux.astype(np.float32), position, cut.inside, cut.first, factor, int(factor), alpha, *found, slope_limit, full, residual,
            near, steep,
        )  # fmt: skip
        holds = np.isfinite(near[rows])
        if slope_limit > 0:
            holds = near_compact_sources(near[rows], position[steep], spacing_of(position), breakpoints)
        used[rows][holds] = full[rows][holds]
        compact += bool((holds & np.isfinite(full[rows])).any())
    result = np.where(np.isfinite(used), used, linear)
    if with_residual:
        corrected = np.isfinite(used) & np.isfinite(residual)
        result[corrected] += residual[corrected]
    columns = nearest_columns(nx, factor)
    estimated = _oversample_flags(image, _turned_back(result), columns)
    _oversample_errors(image, cuts, factor, columns, estimated)
    for array, times in ((result, 1), (used, 1 + twice), (full, 1 + twice)):
        array += times * lifted
    image.data = _turned_back(result)
    image.geometry, image.oversample, image.area = geometry, factor, None
    for keyword in ("PIXAR_SR", "PIXAR_A2"):
        if image.sci_header.get(keyword) is not None:
            image.sci_header[keyword] /= factor
    match_invalid(image, ...)
    made = {"spline_full": full, "spline_used": used, "linear_interp": linear, "spline_residual": residual}
    return {suffix: _turned_back(array) for suffix, array in made.items()}, compact


def _turned_back(array):
    return np.ascontiguousarray(np.rot90(array, k=-1)).astype(np.float32)


def _oversample_flags(image, result, columns):
    """Flags of the nearest pixels; those of pixels that now have a value are FLUX_ESTIMATED. Returns which these are."""
    dq = image.dq[:, columns]
    estimated = ~np.isnan(result) & ((dq & np.uint32(DO_NOT_USE)) != 0)
    dq[estimated] ^= np.uint32(DO_NOT_USE)
    dq[estimated] |= np.uint32(FLUX_ESTIMATED)
    image.dq = dq
    return estimated


def _oversample_errors(image, cuts, factor, columns, estimated):
    """Interpolate errors linearly, and enlarge them."""
    ny = image.err.shape[0]
    inflation = _INFLATION[0] * factor + _INFLATION[1]
    for name in ("err", "var_rnoise", "var_poisson", "var_flat"):
        array = getattr(image, name)
        if array is None:
            continue
        variance = name != "err"
        with np.errstate(invalid="ignore"):
            error = np.sqrt(array) if variance else array
        turned = np.rot90(error)
        found = np.full((len(columns), ny), np.nan)
        for cut in cuts:
            part = np.where(cut.inside, turned[cut.first : cut.first + len(cut.inside)], np.float32(np.nan))
            interpolate_slice(np.ascontiguousarray(part), cut.inside, cut.first, factor, 0, False, found)
        found = _turned_back(found)
        found[~np.isfinite(error[:, columns]) & ~estimated] = np.nan
        with np.errstate(over="ignore"):
            setattr(image, name, found**2 * np.float32(inflation**2) if variance else found * np.float32(inflation))


@njit
def interpolate_slice(values, inside, first, factor, edge, keep, result):
    """Linear interpolation of a slice, wavelengths along rows, to ``factor`` times as many rows.

    Parameters
    ----------
    values : ndarray of float32 (nspatial, nspectral)
    inside : ndarray of bool, same shape
    first : int
        Row of the image that is the first of the slice.
    factor : float
    edge : int
        New pixels at both ends that get no value.
    keep : bool
        Whether new pixels have no value where the nearest one has none.
    result : ndarray of float64 (factor * rows of the image, nspectral)
        Changed in place, in the slice.
    """
    nspatial, nspectral = values.shape
    rows, known = np.empty(nspatial), np.empty(nspatial)
    for element in range(nspectral):
        begin, length, count = _extent(values, inside, first, factor, element, rows, known)
        for k in range(length if count > _LEAST else 0):
            old = (begin + k) / factor - (factor - 1) / (factor * 2)
            if edge <= k < length - edge:
                nearest = int(np.rint(old)) - first
                if not keep or (0 <= nearest < nspatial and np.isfinite(values[nearest, element])):
                    result[begin + k, element] = _interpolated(old, rows, known, count)


@njit
def spline_slice(
    values, alpha, inside, first, factor, edge, fine, knots, coefficients, number, limits, scale, slope_limit, full, residual, near, steep
):  # fmt: skip
    """The scaled splines of a slice at its new pixels, and what they leave of the data, interpolated.

    Parameters
    ----------
    values, inside, first, factor, edge
        As in `interpolate_slice`.
    alpha : ndarray of float32 (nspatial, nspectral)
        Positions of the pixels, arcsec.
    fine : ndarray of float64 (factor * rows of the image, nspectral)
        Those of the new pixels.
    knots, coefficients, number, limits, scale
        As `fit_slice` gives them.
    slope_limit : float
    full, residual, near : ndarray of float64 (factor * rows of the image, nspectral)
        Changed in place: splines, what they leave, and ``fine`` where a spline holds.
    steep : ndarray of bool (nspatial, nspectral)
        Changed in place: pixels whose spline is steep.
    """
    nspatial, nspectral = values.shape
    rows, known = np.empty(nspatial), np.empty(nspatial)
    places, fitted = np.empty(nspatial, np.int64), np.empty(nspatial)
    for element in range(nspectral):
        begin, length, count = _extent(values, inside, first, factor, element, rows, known)
        if count <= _LEAST or number[element] == 0:
            continue
        own, low, high = knots[element, : number[element]], limits[element, 0], limits[element, 1]
        held = left = 0
        for place in range(nspatial):
            if low <= alpha[place, element] <= high:
                places[held], fitted[held] = (
                    place,
                    evaluate(np.float64(alpha[place, element]), own, coefficients[element]),
                )
                difference = np.float32(np.float64(values[place, element]) - fitted[held] * scale[element])
                if np.isfinite(difference):
                    rows[left], known[left] = first + place, difference
                    left += 1
                held += 1
        for k in range(edge, held - edge):
            if abs(fitted[k] - fitted[k - 1]) > slope_limit:
                steep[places[k], element] = True
        for k in range(length):
            old = (begin + k) / factor - (factor - 1) / (factor * 2)
            if left > 0 and edge <= k < length - edge:
                residual[begin + k, element] = _interpolated(old, rows, known, left)
            position = fine[begin + k, element]
            if low <= position <= high:
                near[begin + k, element] = position
                full[begin + k, element] = evaluate(position, own, coefficients[element]) * scale[element]


@njit
def _extent(values, inside, first, factor, element, rows, known):
    """First new row of an element of a slice, their number, and the number of pixels with a value, which are listed in place."""
    low = high = -1
    count = 0
    for place in range(len(values)):
        if inside[place, element]:
            low, high = (place if low < 0 else low), place
            if np.isfinite(values[place, element]):
                rows[count], known[count] = first + place, values[place, element]
                count += 1
    if low < 0:
        return 0, 0, 0
    begin = (first + low) * factor
    return int(begin), int(np.ceil((first + high + 1) * factor - begin)), count


@njit
def _interpolated(position, rows, known, count):
    """Linear interpolation, beyond the ends their values."""
    if position <= rows[0]:
        return known[0]
    if position >= rows[count - 1]:
        return known[count - 1]
    upper = np.searchsorted(rows[:count], position, side="right")
    slope = (known[upper] - known[upper - 1]) / (rows[upper] - rows[upper - 1])
    return slope * (position - rows[upper - 1]) + known[upper - 1]
