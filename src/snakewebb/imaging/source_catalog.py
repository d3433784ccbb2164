"""Catalogue of the sources of a mosaic: positions, fluxes and shapes, and the map of their segments."""

import logging
from functools import partial
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.errors import ConfigError
from snakewebb.imaging import deblending, segmentation
from snakewebb.imaging.background_mesh import background_mesh
from snakewebb.imaging.catalog_calibration import calibration_of, for_pixel_size, jansky_per_unit
from snakewebb.imaging.catalog_table import (
    aperture_columns,
    beyond_thresholds,
    empty_catalog,
    make_catalog,
    wider_than_a_star,
)
from snakewebb.imaging.empty_apertures import empty_apertures
from snakewebb.imaging.star_shape import sharpness_and_roundness
from snakewebb.imaging.windowed_centroid import windowed_centroids
from snakewebb.steps import COMPLETE, NO_REFERENCE, Between, Status, step

log = logging.getLogger(__name__)

KRON_PARAMETERS = (2.5, 1.4, 0.0)

STAR_THRESHOLDS = (2.0, 1.8)
"""Of the archive: the ratios of a uniform source are about 2 for most filters, so that few galaxies exceed both."""


@step(version=5, keyword="S_SRCCAT", references=("apcorr", "abvegaoffset"))
def source_catalog(
    mosaic,
    references,
    *,
    aperture_ee1: Annotated[int, Between(1, 99)] = 30,
    aperture_ee2: Annotated[int, Between(1, 99)] = 50,
    aperture_ee3: Annotated[int, Between(1, 99)] = 70,
    ci1_star_threshold: float | None = None,
    ci2_star_threshold: float | None = None,
    star_excess: Annotated[float, Between(0, None)] = 0.12,
    starfinder: Literal["dao", "iraf", "segmentation"] = "segmentation",
    snr_threshold: float = 3.0,
    bkg_boxsize: Annotated[int, Between(1, None)] = 1000,
    kernel_fwhm: Annotated[float, Between(0, None)] = 2.0,
    minsep_fwhm: Annotated[float, Between(0, None)] = 0.0,
    sigma_radius: Annotated[float, Between(0, None)] = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: Annotated[int, Between(1, None)] = 200,
    peakmax: float | None = None,
    npixels: Annotated[int, Between(1, None)] = 25,
    connectivity: Literal[4, 8] = 8,
    nlevels: Annotated[int, Between(1, None)] = 32,
    contrast: Annotated[float, Between(0, 1)] = 0.001,
    multithresh_mode: Literal["exponential", "linear", "sinh"] = "exponential",
    localbkg_width: Annotated[int, Between(0, None)] = 0,
    apermask_method: Literal["correct", "mask", "none"] = "correct",
    kron_params: list[float] | None = None,
    deblend: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Find the sources of a mosaic and measure their positions, fluxes and shapes.

    Pixels without weight or error do not count. A background mesh is subtracted, the rest is smoothed, and
    connected pixels above a multiple of the local noise are sources; those with several peaks are divided.
    Isophotal quantities are of the pixels of a source with the mesh background subtracted; aperture fluxes
    are of the mosaic itself less the clipped median of a ring, and errors are those of independent pixels
    with the standard deviations of the mosaic.

    Aperture corrections are those of the reference, which are for pixels as large as the detector's; where those of the mosaic are not,
    they are corrected to first order for how much less, or more, they blur a star.

    Besides the isophotal centroid there is that in a Gaussian window as wide as the second aperture
    (xcentroid_win, ycentroid_win, sky_centroid_win), which is better for stars, by a factor of 2 for faint ones.

    How much fluxes in circles without a source scatter, and the limiting magnitudes that follow, are in the
    metadata of the catalogue (``empty_apertures``): pixels of a mosaic are not independent.

    Sets ``mosaic.catalog`` and ``mosaic.segments``. Where there is no source (also: no pixel with data),
    the catalogue has its columns and no row, and all segments are 0. Planes of the size of the mosaic are made by ``mosaic.empty``.

    Parameters
    ----------
    mosaic : MosaicImage
    references : References
    aperture_ee1, aperture_ee2, aperture_ee3 : int
        Per cent of the light of a star inside the three apertures, increasing; the apcorr reference must
        have them.
    ci1_star_threshold, ci2_star_threshold : float or None
        A source is extended if the ratio of the fluxes in the second and first aperture exceeds the first
        value and that of the third and second the second one (null: 2.0 and 1.8 where the other is given, and with
        `compatibility` ``jwst``). If both are null, `star_excess` decides.
    star_excess : float
        A source is extended if the ratio of the fluxes in the third and first aperture, less its error, exceeds that of a
        star by this fraction; the ratio of a star is that of the aperture corrections.
    starfinder : {"dao", "iraf", "segmentation"}
        How sources are found. With the first two there are no segments, and isophotal quantities other than
        the flux and, for iraf, the orientation are NaN.
    snr_threshold : float
        Detection threshold in standard deviations of the background.
    bkg_boxsize : int
        Side of the boxes of the background mesh, pixels.
    kernel_fwhm : float
        Full width at half maximum of the smoothing kernel, pixels; also that of the star finders and of the
        columns sharpness and roundness.
    minsep_fwhm : float
        dao, iraf: smallest separation of two sources, in units of ``kernel_fwhm`` (at least 2 pixels).
    sigma_radius : float
        dao, iraf: radius of the kernel in standard deviations.
    sharplo, sharphi, roundlo, roundhi : float
        dao, iraf: limits of sharpness and roundness.
    brightest : int
        dao, iraf: number of sources that are kept.
    peakmax : float
        dao, iraf: sources with a pixel above this are left out, Jy per pixel.
    npixels : int
        segmentation: smallest number of pixels of a source.
    connectivity : {4, 8}
        segmentation: whether pixels that touch at a corner are connected.
    nlevels : int
        segmentation: number of levels at which a source is examined for several peaks.
    contrast : float
        segmentation: smallest part of the flux of a source that is divided off.
    multithresh_mode : {"exponential", "linear", "sinh"}
        segmentation: spacing of the levels.
    localbkg_width : int
        segmentation: width in pixels of a rectangular ring whose background is subtracted from isophotal
        fluxes.
    apermask_method, kron_params
        Recorded in the catalogue, of no effect on its columns.
    deblend : bool
        segmentation: divide sources with several peaks.
    compatibility : {"native", "jwst"}
        "jwst" puts the upper and right edges of sky_bbox one pixel too far out, as jwst does, leaves the
        centroids in a window and the empty circles out, and takes aperture corrections as they are.

    Returns
    -------
    Status
        NO_REFERENCE if the references have nothing for the filter; the catalogue is empty then.

    Raises
    ------
    ConfigError
        If the apertures do not increase, or the reference has no such aperture.
    BadDataError
        If keywords are missing or the unit is not MJy/sr.

    References
    ----------
    Step source_catalog of jwst 3.0.0 and photutils 3.0.
    """
    energies = (aperture_ee1, aperture_ee2, aperture_ee3)
    _check_parameters(energies, kron_params)
    settings = {
        "local_bkg_width": localbkg_width,
        "aperture_mask_method": apermask_method,
        "kron_params": list(kron_params or KRON_PARAMETERS),
    }
    scale = jansky_per_unit(mosaic, "source_catalog")
    shape, empty = mosaic.data.shape, mosaic.empty
    try:
        calibration = calibration_of(mosaic, references, energies)
    except LookupError as error:
        mosaic.segments = np.zeros(shape, np.int32)
        mosaic.catalog = empty_catalog(energies, reason=str(error))
        return Status(NO_REFERENCE, str(error))
    if compatibility == "native":
        calibration = for_pixel_size(calibration)
    data, err, mask = (empty(shape, dtype) for dtype in (np.float32, np.float32, np.bool_))
    by_rows(_to_jansky, len(data), mosaic.data, mosaic.err, mosaic.weight, np.float32(scale), data, err, mask)
    try:
        background, noise = background_mesh(data, mask, box=bkg_boxsize, empty=empty)
    except ValueError:
        reason = "no pixel of the mosaic has data"
        mosaic.segments = np.zeros(shape, np.int32)
        mosaic.catalog = empty_catalog(energies, calibration, reason=reason)
        return Status(COMPLETE, reason)
    subtracted, threshold = background, noise  # in their place
    by_rows(_subtract, len(data), data, np.float32(snr_threshold), subtracted, threshold)
    smoothed = segmentation.smooth(subtracted, mask, kernel_fwhm, empty=empty)
    detection = partial(segmentation.detect, smoothed, threshold, mask, empty=empty)
    if starfinder == "segmentation":
        segments = detection(npixels=npixels, connectivity=int(connectivity))
        if deblend:
            deblending.deblend(
                smoothed,
                segments,
                npixels=npixels,
                connectivity=int(connectivity),
                nlevels=nlevels,
                contrast=contrast,
                mode=multithresh_mode,
            )
        mosaic.segments = segments
        by_rows(_blank, len(data), mask, subtracted)
        found = segmentation.measure(subtracted, smoothed, segments, err=err, local_background_width=localbkg_width)
    else:
        settings = {}
        segments = detection(npixels=5, connectivity=8)
        mosaic.segments = np.zeros(shape, np.int32)
        found = _stars(
            subtracted,
            float(np.median(threshold)),
            mask,
            starfinder,
            fwhm=kernel_fwhm,
            sigma_radius=sigma_radius,
            min_separation=max(2, int(minsep_fwhm * kernel_fwhm + 0.5)),
            sharpness_range=(sharplo, sharphi),
            roundness_range=(roundlo, roundhi),
            n_brightest=brightest,
            peak_max=peakmax,
        )
    if compatibility == "native":
        by_rows(_take, len(data), segments, mask)
        settings["empty_apertures"] = empty_apertures(data, err, mask, calibration)
    thresholds = (ci1_star_threshold, ci2_star_threshold)
    if thresholds == (None, None) and compatibility == "native":
        extended = partial(wider_than_a_star, corrections=calibration.corrections, excess=star_excess)
    else:
        usual = zip(thresholds, STAR_THRESHOLDS, strict=True)
        extended = partial(
            beyond_thresholds, thresholds=[default if given is None else given for given, default in usual]
        )
    count = len(found["x"])
    if count == 0:
        reason = "no source above the threshold"
        mosaic.catalog = empty_catalog(energies, calibration, settings, reason=reason)
        return Status(COMPLETE, reason)
    log.info("%d sources", count)
    mosaic.catalog = make_catalog(
        found,
        aperture_columns(data, err, found, calibration, extended),
        sharpness_and_roundness(data, found["x"], found["y"], kernel_fwhm),
        mosaic,
        calibration,
        settings,
        beyond=1.5 if compatibility == "jwst" else 0.5,
        window=None if compatibility == "jwst" else _windowed(subtracted, found, calibration),
    )
    return Status()


@njit
def _to_jansky(first, last, data, err, weight, scale, scaled, scaled_err, mask):
    """Fill rows of the images in Jy, and mark pixels without weight or error."""
    for row in range(first, last):
        for column in range(data.shape[1]):
            scaled[row, column] = data[row, column] * scale
            error = err[row, column] * scale
            scaled_err[row, column] = error
            mask[row, column] = (error != error) | (weight[row, column] == 0)


@njit
def _subtract(first, last, data, snr, background, noise):
    """Replace the background by the data less that, and the noise by the threshold."""
    for row in range(first, last):
        for column in range(data.shape[1]):
            background[row, column] = data[row, column] - background[row, column]
            noise[row, column] *= snr


@njit
def _blank(first, last, mask, image):
    for row in range(first, last):
        for column in range(image.shape[1]):
            image[row, column] = np.nan if mask[row, column] else image[row, column]


@njit
def _take(first, last, segments, taken):
    for row in range(first, last):
        for column in range(taken.shape[1]):
            taken[row, column] |= segments[row, column] > 0


def _windowed(data, found, calibration):
    """Centroids in a window whose full width at half maximum is the diameter of the second aperture."""
    sigma = calibration.radii[1] / np.sqrt(2.0 * np.log(2.0))
    return windowed_centroids(data, found["x"], found["y"], sigma)


def _check_parameters(energies, kron_params):
    if not energies[0] < energies[1] < energies[2]:
        raise ConfigError(
            f"steps.source_catalog.aperture_ee1, aperture_ee2, aperture_ee3: found {energies}, "
            "expected three increasing numbers"
        )
    if kron_params is not None and len(kron_params) not in (2, 3):
        raise ConfigError(
            f"steps.source_catalog.kron_params: found {kron_params}, expected two or three numbers or null"
        )


def _stars(data, threshold, mask, starfinder, **settings):
    """Sources of the star finders, in the form of `segmentation.measure`."""
    import warnings

    from photutils import use_future_column_names
    from photutils.detection import DAOStarFinder, IRAFStarFinder
    from photutils.utils import NoDetectionsWarning

    finder = {"dao": DAOStarFinder, "iraf": IRAFStarFinder}[starfinder](threshold, **settings)
    with warnings.catch_warnings(), use_future_column_names():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = finder(data, mask=mask)
    if table is None:
        return {"x": np.empty(0)}
    unknown = np.full(len(table), np.nan)
    return {
        "x": np.asarray(table["x_centroid"], np.float64),
        "y": np.asarray(table["y_centroid"], np.float64),
        "flux": np.asarray(table["flux"], np.float64),
        "orientation": np.asarray(table["orientation"], np.float64) if starfinder == "iraf" else unknown,
        "boxes": np.full((len(table), 4), np.nan),
    } | dict.fromkeys(("flux_err", "area", "semimajor", "semiminor", "ellipticity"), unknown)
