"""Photometry of a mosaic at the positions, and on the segments, of the sources of another mosaic on the same grid."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import njit
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.aperture_photometry import circular_sums, ring_background
from snakewebb.imaging.background_mesh import background_mesh
from snakewebb.imaging.catalog_calibration import calibration_of, file_name, for_pixel_size, jansky_per_unit
from snakewebb.imaging.catalog_table import ab_magnitudes
from snakewebb.imaging.empty_apertures import empty_apertures
from snakewebb.imaging.row_bands import row_bands
from snakewebb.steps import COMPLETE, NO_REFERENCE, Between, Status, step


@step(version=1, keyword="S_FORCED", references=("apcorr", "abvegaoffset"), skip=True)
def forced_photometry(
    mosaic,
    references,
    *,
    aperture_ee1: Annotated[int, Between(1, 99)] = 30,
    aperture_ee2: Annotated[int, Between(1, 99)] = 50,
    aperture_ee3: Annotated[int, Between(1, 99)] = 70,
    positions: Literal["window", "isophotal"] = "window",
    errors: Literal["empty_apertures", "pixels"] = "empty_apertures",
    pixel_size: bool = True,
    limit_sigma: Annotated[float, Between(0, None)] = 3.0,
    bkg_boxsize: Annotated[int, Between(1, None)] = 1000,
) -> Status:
    """Measure the fluxes of sources that were found in the mosaic of the detection filter, whether or not they are seen here.

    Fluxes in circles with given parts of the light of a star, each with the radius of this filter, less the clipped median of a ring,
    are corrected to totals. Fluxes of segments are sums of the same pixels in all filters, less a background mesh. Neither depends on
    the threshold of a detection here, so they may be negative; where the total is less than ``limit_sigma`` times its error, there is
    an upper limit besides. Images are not convolved to one point-spread function: colours of stars are those of their totals.

    Sets ``mosaic.forced``.

    Parameters
    ----------
    mosaic : MosaicImage
        With ``segments`` and ``detected``: the map and the catalogue of the detection filter.
    references : References
    aperture_ee1, aperture_ee2, aperture_ee3 : int
        Per cent of the light of a star inside the three circles, increasing; the apcorr reference must have them. Totals are from the
        largest.
    positions : {"window", "isophotal"}
        Centres of the circles: the centroids in a Gaussian window, or those of the segments. Sources without the former have the latter.
    errors : {"empty_apertures", "pixels"}
        Errors of circles are those of independent pixels (``pixels``), multiplied by how much more the fluxes in circles without a
        source scatter (``empty_apertures``), if they do.
    pixel_size : bool
        Correct the corrections for pixels of the mosaic of another size than those of the detector, which blur a star more or less. To
        first order the light in a circle changes by half of the change of the variance times the slope of the light per area.
    limit_sigma : float
        Upper limits are the flux, or 0 if that is negative, plus so many of its errors.
    bkg_boxsize : int
        Side of the boxes of the background mesh, pixels.

    Returns
    -------
    Status
        NO_REFERENCE if the references have nothing for the filter; the table is empty then.

    Raises
    ------
    ConfigError
        If the apertures do not increase, or the reference has no such aperture.
    BadDataError
        If the map of the segments is not on the grid of the mosaic, or the unit is not MJy/sr.

    References
    ----------
    Circles, rings and corrections are those of `source_catalog`.
    """
    energies = (aperture_ee1, aperture_ee2, aperture_ee3)
    if not energies[0] < energies[1] < energies[2]:
        raise ConfigError(
            f"steps.forced_photometry.aperture_ee1, aperture_ee2, aperture_ee3: found {energies}, expected three increasing numbers"
        )
    if mosaic.segments.shape != mosaic.data.shape:
        raise BadDataError(
            f"{file_name(mosaic)}[SCI]: {mosaic.data.shape[1]} x {mosaic.data.shape[0]} pixels, but the segments of the detection filter "
            f"have {mosaic.segments.shape[1]} x {mosaic.segments.shape[0]}; set common_grid in config.yaml"
        )
    scale = jansky_per_unit(mosaic, "forced_photometry")
    detected = mosaic.detected
    try:
        calibration = calibration_of(mosaic, references, energies, step="forced_photometry")
    except LookupError as error:
        mosaic.forced = _table({}, detected[:0], {"reason": str(error)})
        return Status(NO_REFERENCE, str(error))
    if pixel_size:
        calibration = for_pixel_size(calibration)
    shape, empty, segments = mosaic.data.shape, mosaic.empty, mosaic.segments
    data, err = (empty(shape, np.float32) for _ in range(2))
    mask, taken = (empty(shape, np.bool_) for _ in range(2))
    for rows in row_bands(shape):
        np.logical_or(np.isnan(mosaic.err[rows]), mosaic.weight[rows] == 0, out=mask[rows])
        np.logical_or(mask[rows], segments[rows] > 0, out=taken[rows])
        for plane, source in ((data, mosaic.data), (err, mosaic.err)):
            plane[rows] = np.where(mask[rows], np.float32(np.nan), source[rows] * np.float32(scale))
    x, y = _centres(detected, positions)
    flux, flux_err, factors = _circles(data, err, x, y, calibration, taken, errors)
    columns = {"xcentroid": x, "ycentroid": y}
    for energy, value, error in zip(calibration.energies, flux, flux_err, strict=True):
        columns |= {f"aper{energy}_flux": value, f"aper{energy}_flux_err": error}
    total, total_err = (calibration.corrections[-1] * values[-1] for values in (flux, flux_err))
    magnitude, magnitude_err = ab_magnitudes(total, total_err)
    with np.errstate(invalid="ignore"):
        faint = total < limit_sigma * total_err
    columns |= {
        "aper_total_flux": total,
        "aper_total_flux_err": total_err,
        "aper_total_flux_limit": np.where(faint, np.maximum(total, 0.0) + limit_sigma * total_err, np.nan),
        "aper_total_abmag": magnitude,
        "aper_total_abmag_err": magnitude_err,
        "aper_total_vegamag": magnitude - calibration.vega_offset,
        **_of_segments(data, err, segments, mask, len(detected), box=bkg_boxsize, empty=empty),
    }
    settings = {
        "limit_sigma": limit_sigma,
        "error_factors": factors,
        "aperture_ee": list(calibration.energies),
        "aperture_radii": list(calibration.radii),
        "aperture_corrections": list(calibration.corrections),
        "abvega_offset": calibration.vega_offset,
    }
    mosaic.forced = _table(columns, detected, settings)
    return Status(COMPLETE, "" if len(detected) else "no source in the detection filter")


def _centres(detected, positions):
    """Centres of the circles, 0-based pixels."""
    x, y = (np.asarray(detected[name], np.float64) for name in ("xcentroid", "ycentroid"))
    if positions == "window" and "xcentroid_win" in detected.colnames:
        own = [np.asarray(detected[name], np.float64) for name in ("xcentroid_win", "ycentroid_win")]
        known = np.isfinite(own[0]) & np.isfinite(own[1])
        x, y = (np.where(known, better, value) for better, value in zip(own, (x, y), strict=True))
    return x, y


def _circles(data, err, x, y, calibration, taken, errors):
    """Fluxes in circles less the background of the ring, their errors, and what these were multiplied by for each radius."""
    level = ring_background(data, x, y, *calibration.ring)[0]
    flux, flux_err = circular_sums(data, err, x, y, calibration.radii)
    flux -= level * np.pi * np.square(calibration.radii)[:, None]
    factors = [1.0] * len(calibration.radii)
    if errors == "empty_apertures":
        pulls = empty_apertures(data, err, taken, calibration)["pull"]
        factors = [1.0 if pull is None else max(1.0, pull) for pull in pulls]
    return flux, flux_err * np.array(factors)[:, None], factors


def _of_segments(data, err, segments, mask, count, *, box, empty):
    """Sums over the pixels of each segment, and the part of these that has data: 0-based by label - 1."""
    area, seen, flux, variance = sums = np.zeros((4, count))
    try:
        background, _ = background_mesh(data, mask, box=box, empty=empty)
    except ValueError:  # no pixel has data
        background = data
    _add_pixels(data, background, err, segments, mask, sums)
    coverage = seen / np.maximum(area, 1)
    partial = (coverage < 1.0) | (area == 0)
    flux[partial] = variance[partial] = np.nan
    return {"isophotal_flux": flux, "isophotal_flux_err": np.sqrt(variance), "coverage": coverage}


@njit
def _add_pixels(data, background, err, segments, mask, sums):
    """Add up, for each segment: pixels, pixels with data, and the values and variances of the latter."""
    for row in range(segments.shape[0]):
        for column in range(segments.shape[1]):
            segment = segments[row, column] - 1
            if 0 <= segment < sums.shape[1]:
                sums[0, segment] += 1.0
                if not mask[row, column]:
                    sums[1, segment] += 1.0
                    sums[2, segment] += data[row, column] - background[row, column]
                    sums[3, segment] += np.float64(err[row, column]) ** 2


def _table(columns, detected, settings):
    """The table of a filter: label and position of the detection, then what was measured."""
    from astropy import units
    from astropy.table import QTable

    table = QTable()
    for name in ("label", "sky_centroid"):
        table[name] = detected[name]
    for name, values in columns.items():
        table[name] = units.Quantity(values, "Jy") if "_flux" in name else values
        table[name].info.format = ".6e" if "_flux" in name else ".4f"
        table[name].info.description = _DESCRIPTIONS.get(name) or _described(name)
    table.meta.update(settings)
    return table


_DESCRIPTIONS = {
    "xcentroid": "Centre of the circles, 0-based column of the common grid",
    "ycentroid": "Centre of the circles, 0-based row of the common grid",
    "aper_total_flux": "Total flux of a star, from the largest circle",
    "aper_total_flux_limit": "Upper limit of the total flux where it is less than limit_sigma errors",
    "aper_total_abmag": "AB magnitude of aper_total_flux, NaN if that is negative",
    "aper_total_vegamag": "Vega magnitude of aper_total_flux, NaN if that is negative",
    "isophotal_flux": "Sum over the pixels of the segment in the detection filter, NaN if some have no data",
    "coverage": "Part of the pixels of the segment that have data in this filter",
}


def _described(name):
    if name.endswith("_err"):
        return f"Standard error of {name.removesuffix('_err')}"
    return f"Flux in the circle with {name.removeprefix('aper').removesuffix('_flux')} % of the light of a star"
