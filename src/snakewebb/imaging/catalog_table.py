"""The table of the sources of a mosaic, in the archive's columns."""

from functools import partial

import numpy as np
from astropy.io import fits

from snakewebb.imaging.aperture_photometry import circular_sums, ring_background
from snakewebb.imaging.catalog_calibration import DEFAULT_APERTURES, Calibration
from snakewebb.imaging.mosaic_image import MosaicImage

AB_ZERO_POINT = 8.9  # magnitude of 1 Jy


def aperture_columns(data, err, found, calibration, extended):
    """Aperture fluxes and the numbers made of them, by column name, in the order of the catalogue.

    ``extended`` tells from the fluxes and their errors (3, n) which sources are extended.
    """
    x, y = found["x"], found["y"]
    level, level_err = ring_background(data, x, y, *calibration.ring)
    flux, flux_err = circular_sums(data, err, x, y, calibration.radii)
    flux -= level * np.pi * np.square(calibration.radii)[:, None]
    names = [f"aper{energy}" for energy in calibration.energies] + ["aper_total"]
    flux = np.vstack([flux, calibration.corrections[-1] * flux[-1]])
    flux_err = np.vstack([flux_err, calibration.corrections[-1] * flux_err[-1]])
    columns = {"aper_bkg_flux": level, "aper_bkg_flux_err": level_err}
    for name, value, error in zip(names, flux, flux_err, strict=True):
        columns |= {f"{name}_flux": value, f"{name}_flux_err": error}
    magnitudes = [ab_magnitudes(value, error) for value, error in zip(flux, flux_err, strict=True)]
    for system, offset in (("abmag", 0.0), ("vegamag", calibration.vega_offset)):
        for name, (magnitude, error) in zip(names, magnitudes, strict=True):
            columns |= {f"{name}_{system}": magnitude - offset, f"{name}_{system}_err": error}
    first, second, third = calibration.energies
    with np.errstate(divide="ignore", invalid="ignore"):
        columns |= {
            f"CI_{second}_{first}": flux[1] / flux[0],
            f"CI_{third}_{second}": flux[2] / flux[1],
            f"CI_{third}_{first}": flux[2] / flux[0],
        }
        columns["is_extended"] = extended(flux[:3], flux_err[:3])
    return columns


def beyond_thresholds(flux, flux_err, *, thresholds):
    """Sources whose ratios of neighbouring apertures both exceed a threshold."""
    return (flux[1] / flux[0] > thresholds[0]) & (flux[2] / flux[1] > thresholds[1])


def wider_than_a_star(flux, flux_err, *, corrections, excess):
    """Sources whose ratio of the largest to the smallest aperture exceeds that of a star.

    Parameters
    ----------
    flux, flux_err : ndarray (3, n)
        In the apertures; a smaller one is part of a larger one.
    corrections : sequence of float
        Aperture corrections: what makes the fluxes of a star equal.
    excess : float
        Fraction of the star's ratio by which the ratio, less its error, must exceed it.

    Returns
    -------
    ndarray of bool (n)
    """
    ratio = flux[2] / flux[0]
    # the noise of the ring between the two apertures, and that of the smaller one
    ratio_err = np.sqrt(flux_err[2] ** 2 - flux_err[0] ** 2 + ((ratio - 1) * flux_err[0]) ** 2) / flux[0]
    return (flux[0] > 0) & (ratio - ratio_err > (1 + excess) * corrections[0] / corrections[2])


def ab_magnitudes(flux, error):
    """AB magnitudes and their errors of fluxes in Jy; NaN for negative fluxes.

    Returns
    -------
    magnitude, error : ndarray of float64
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = -2.5 * np.log10(flux) + AB_ZERO_POINT
        magnitude_err = 2.5 * np.log10(1.0 + error / flux)
    negative = flux < 0
    magnitude[negative] = np.nan
    magnitude_err[negative] = np.nan
    return magnitude, magnitude_err


def _neighbours(x, y):
    """Index of the nearest other source and its distance in pixels; -1 and NaN if there is none."""
    index, distance = np.full(len(x), -1), np.full(len(x), np.nan)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if known.size > 1:
        from snakewebb.imaging.nearest import cKDTree

        positions = np.column_stack([x, y])[known]
        distances, nearest = cKDTree(positions).query(positions, k=[2])
        index[known], distance[known] = known[nearest[:, 0]], distances[:, 0]
    return index, distance


def _angle_of_north(mosaic):
    """Direction of north at the reference pixel, degrees counter-clockwise from the x axis."""
    middle = [0.5 * (length + 1) for length in mosaic.data.shape[::-1]]
    x = float(mosaic.sci_header.get("CRPIX1", middle[0])) - 1
    y = float(mosaic.sci_header.get("CRPIX2", middle[1])) - 1
    ra, dec = mosaic.grid.pixel_to_sky(np.array([x - 1, x + 1, x, x]), np.array([y, y, y - 1, y + 1]))
    east = (np.diff(ra)[::2] + 180.0) % 360.0 - 180.0
    east *= np.cos(np.deg2rad(np.mean(dec)))
    north = np.diff(dec)[::2]
    # the pixel step (dx, dy) with dx east + dy north = (0, 1)
    determinant = east[0] * north[1] - east[1] * north[0]
    return np.rad2deg(np.arctan2(east[0] / determinant, -east[1] / determinant))


def make_catalog(found, apertures, stetson, mosaic, calibration, settings, beyond, window):
    """The table, in the archive's order of columns."""
    x, y = found["x"], found["y"]
    nearest, distance = _neighbours(x, y)
    labels = np.arange(1, len(x) + 1, dtype=np.int32)
    magnitude, magnitude_err = ab_magnitudes(found["flux"], found["flux_err"])
    top, bottom, left, right = (found["boxes"][:, edge].astype(np.float64) for edge in range(4))
    columns = {
        "label": labels,
        "xcentroid": x,
        "ycentroid": y,
        "sky_centroid": mosaic.grid.pixel_to_sky(x, y),
        **apertures,
        "sharpness": stetson[0],
        "roundness": stetson[1].astype(np.float32),
        "nn_label": np.where(nearest < 0, -1, labels[nearest]).astype(np.int32),
        "nn_dist": distance,
        "isophotal_flux": found["flux"],
        "isophotal_flux_err": found["flux_err"].astype(np.float32),
        "isophotal_abmag": magnitude,
        "isophotal_abmag_err": magnitude_err,
        "isophotal_vegamag": magnitude - calibration.vega_offset,
        "isophotal_vegamag_err": magnitude_err,
        "isophotal_area": found["area"],
        "semimajor_sigma": found["semimajor"],
        "semiminor_sigma": found["semiminor"],
        "ellipticity": found["ellipticity"],
        "orientation": found["orientation"],
        "sky_orientation": (180.0 - _angle_of_north(mosaic) + found["orientation"]) % 360.0,
        "sky_bbox_ll": mosaic.grid.pixel_to_sky(left - 0.5, top - 0.5),
        "sky_bbox_ul": mosaic.grid.pixel_to_sky(left - 0.5, bottom + beyond),
        "sky_bbox_lr": mosaic.grid.pixel_to_sky(right + beyond, top - 0.5),
        "sky_bbox_ur": mosaic.grid.pixel_to_sky(right + beyond, bottom + beyond),
    }
    if window is not None:
        columns |= {
            "xcentroid_win": window[0],
            "ycentroid_win": window[1],
            "sky_centroid_win": mosaic.grid.pixel_to_sky(*window),
        }
    return _table(columns, calibration, settings)


def empty_catalog(energies=DEFAULT_APERTURES, calibration=None, settings=None, *, reason=""):
    """A catalogue with all its columns and no row.

    Parameters
    ----------
    energies : sequence of int
        Per cent of the light of a star inside the apertures.
    calibration : Calibration, optional
    settings : dict, optional
        Further content of the metadata.
    reason : str
        Why there is no source; kept in the metadata.

    Returns
    -------
    QTable
    """
    known = calibration or Calibration(tuple(energies), (np.nan,) * 3, (np.nan,) * 3, (np.nan,) * 2, np.nan)
    nothing = np.empty(0)
    found = dict.fromkeys(
        ("x", "y", "flux", "flux_err", "area", "semimajor", "semiminor", "orientation", "ellipticity"),
        nothing,
    )
    found["boxes"] = np.empty((0, 4))
    apertures = aperture_columns(
        np.zeros((1, 1)), np.zeros((1, 1)), found, known, partial(beyond_thresholds, thresholds=(0.0, 0.0))
    )
    nowhere = MosaicImage(fits.Header(), fits.Header(), np.zeros((1, 1)), None, None, _Nowhere())
    table = make_catalog(found, apertures, (nothing, nothing), nowhere, known, settings or {}, 0.5, (nothing, nothing))
    if calibration is None:
        del table.meta["aperture_params"], table.meta["abvega_offset"]
    table.meta["reason"] = reason
    return table


class _Nowhere:
    """A coordinate system without directions."""

    @staticmethod
    def pixel_to_sky(x, y):
        return np.full(np.shape(x), np.nan), np.full(np.shape(y), np.nan)


def _table(columns, calibration, settings):
    """The columns with units, formats and descriptions, and the metadata."""
    from importlib.metadata import version
    from platform import python_version

    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.table import QTable

    descriptions = _descriptions(calibration.energies)
    table = QTable()
    for name, values in columns.items():
        if name.startswith("sky_") and isinstance(values, tuple):
            table[name] = SkyCoord(*values, unit="deg")
        elif name in _UNITS or name.endswith(("_flux", "_flux_err")):
            table[name] = units.Quantity(values, _UNITS.get(name, "Jy"))
        else:
            table[name] = values
        table[name].info.description = descriptions[name]
        table[name].info.format = _format(name)
    packages = ("numpy", "scipy", "astropy", "photutils", "gwcs", "snakewebb")
    table.meta.update(
        version={"Python": python_version()} | {name: version(name) for name in packages},
        **settings,
        aperture_params={
            "aperture_ee": list(calibration.energies),
            "aperture_radii": list(calibration.radii),
            "aperture_corrections": list(calibration.corrections),
            "bkg_aperture_inner_radius": calibration.ring[0],
            "bkg_aperture_outer_radius": calibration.ring[1],
        },
        abvega_offset=calibration.vega_offset,
    )
    return table


_UNITS = {
    "nn_dist": "pix",
    "isophotal_area": "pix2",
    "semimajor_sigma": "pix",
    "semiminor_sigma": "pix",
    "ellipticity": "",
    "orientation": "deg",
    "sky_orientation": "deg",
}


def _format(name):
    if name.startswith(("xcentroid", "ycentroid", "CI_")):
        return ".4f"
    if "flux" in name:
        return ".6e"
    shapes = ("nn_dist", "sharpness", "roundness", *(name for name in _UNITS if name != "isophotal_area"))
    return ".6f" if "mag" in name or name in shapes else None


def _descriptions(energies):
    described = {
        "label": "Number of the source in the segmentation map",
        "xcentroid": "Centroid, 0-based column",
        "ycentroid": "Centroid, 0-based row",
        "sky_centroid": "Centroid on the sky, ICRS",
        "xcentroid_win": "Centroid in a Gaussian window, 0-based column",
        "ycentroid_win": "Centroid in a Gaussian window, 0-based row",
        "sky_centroid_win": "Centroid in a Gaussian window on the sky, ICRS",
        "aper_bkg_flux": "Background of one pixel: clipped median of the ring around the source",
        "aper_bkg_flux_err": "Standard error of aper_bkg_flux",
        "is_extended": "Whether the concentration exceeds that of a star",
        "sharpness": "Sharpness as of DAOFIND",
        "roundness": "Roundness by symmetry as of DAOFIND",
        "nn_label": "Label of the nearest other source, -1 for none",
        "nn_dist": "Distance of the nearest other source",
        "isophotal_area": "Number of pixels of the source",
        "semimajor_sigma": "Standard deviation along the major axis, from second moments",
        "semiminor_sigma": "Standard deviation along the minor axis, from second moments",
        "ellipticity": "1 - semiminor_sigma / semimajor_sigma",
        "orientation": "Major axis, counter-clockwise from the x axis",
        "sky_orientation": "Position angle of the major axis, east of north",
    }
    quantities = {"flux": "flux", "abmag": "AB magnitude", "vegamag": "Vega magnitude"}
    for suffix, words in quantities.items():
        for energy in energies:
            name = f"aper{energy}_{suffix}"
            described[name] = f"{words} in the circle with {energy} % of the light of a star".capitalize()
        described[f"aper_total_{suffix}"] = f"Total {words} of a star, from the largest circle"
        described[f"isophotal_{suffix}"] = f"{words} of the pixels of the source".capitalize()
    for name in [name for name in described if name.endswith(tuple(quantities))]:
        described[f"{name}_err"] = f"Standard error of {name}"
    described["aper_bkg_flux_err"] = "Standard error of aper_bkg_flux"
    first, second, third = energies
    for larger, smaller in ((second, first), (third, second), (third, first)):
        described[f"CI_{larger}_{smaller}"] = f"Concentration index aper{larger}_flux / aper{smaller}_flux"
    corners = {"ll": "lower left", "ul": "upper left", "lr": "lower right", "ur": "upper right"}
    for corner, words in corners.items():
        described[f"sky_bbox_{corner}"] = f"{words} corner of the box around the source, ICRS".capitalize()
    return described
