"""Subtract light that the detector scatters along its rows, and what is left of cosmic-ray showers."""

import logging
from typing import Annotated, Literal

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import BITS, DO_NOT_USE, NON_SCIENCE
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.mrs import (
    BAND_LETTERS,
    CHANNELS,
    SHAPE,
    check_full_frame,
    detector_of,
    gap_between_channels,
    is_mrs,
)
from snakewebb.spectroscopy.shower_residuals import shower_model
from snakewebb.steps import COMPLETE, NO_REFERENCE, NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)

_UNUSABLE = DO_NOT_USE | NON_SCIENCE | 1 << BITS["DEAD"] | 1 << BITS["HOT"]
_SOURCES = ((0, 516), (516, 1024))  # columns whose light is scattered, left and right
_INSIDE = np.s_[:, 4:1028]  # all but reference pixels
_COLUMNS = ("LOR_FWHM", "LOR_SCALE", "GAU_FWHM", "GAU_XOFF", "GAU_SCALE1", "GAU_SCALE2")


@step(version=2, keyword="S_STRAY", references=("mrsxartcorr",), optional_references=("regions",))
def straylight(
    image: Image,
    refs: References,
    *,
    clean_showers: bool = False,
    shower_plane: Annotated[int, Between(0, 8)] = 3,
    shower_x_stddev: Annotated[float, Between(0.1, None)] = 18.0,
    shower_y_stddev: Annotated[float, Between(0.1, None)] = 5.0,
    shower_low_reject: Annotated[float, Between(0, 100)] = 0.1,
    shower_high_reject: Annotated[float, Between(0, 100)] = 99.9,
    save_shower_model: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Subtract the cross artifact of bright sources and the pedestal between the channels from images of the spectrometer.

    A pixel scatters its light along its row into a Lorentzian and two pairs of Gaussians, whose shapes the reference tabulates by
    row for each half of the detector. Errors stay as they are.

    Parameters
    ----------
    clean_showers : bool
        Subtract residuals of cosmic-ray showers besides: the light between the slices, smoothed.
    shower_plane : int
        Plane of the regions reference, by throughput, that says which pixels lie between slices.
    shower_x_stddev, shower_y_stddev : float
        Standard deviations of the Gaussian that smooths, pixel.
    shower_low_reject, shower_high_reject : float
        Percentiles outside which pixels between slices are not used.
    save_shower_model : bool
        Save what was subtracted as residual of showers, suffix ``shower_model``.
    compatibility : str
        ``jwst`` counts pixels without a value as zeros when the pedestal is measured, and what lies beyond the edges of the detector as
        pixels without residuals of showers; here neither counts.

    Raises
    ------
    BadDataError
        If the image is not a full frame, or BAND is not one of the spectrometer.
    MissingReferenceError
        If a table of the reference has not a row for each row of the detector, or the regions have no such plane.

    References
    ----------
    ``jwst.straylight``.
    """
    if not is_mrs(image.header):
        return Status(
            NOT_APPLICABLE, f"no straylight correction is defined for EXP_TYPE {image.header.get('EXP_TYPE')!r}"
        )
    check_full_frame(image, "straylight")
    if clean_showers and not refs.has("regions"):
        return Status(NO_REFERENCE, "clean_showers needs a regions reference, and there is none for this exposure")
    tables = _tables(image, refs)
    usable = np.isfinite(image.data)
    light = np.where(usable, image.data, np.float32(0.0))
    gap = gap_between_channels(image.header)
    measured = usable.copy() if compatibility == "native" else np.ones_like(usable)
    pedestal, _, deviation = _clipped(light[gap][measured[gap]])
    usable &= (image.dq & np.uint32(_UNUSABLE)) == 0
    usable &= ~(light < pedestal + 3 * deviation)
    scattered = np.zeros(SHAPE)
    source = np.where(usable, np.maximum(light - pedestal, 0.0), 0.0)
    for (first, last), shapes in zip(_SOURCES, tables, strict=True):
        if shapes is not None:
            by_rows(_scatter, SHAPE[0], source, *shapes, first, last, scattered)
    scattered[:, :4] = scattered[:, 1028:] = 0.0
    image.data -= scattered
    _, remaining, _ = _clipped((light - scattered)[gap][measured[gap]])
    if np.isfinite(remaining):
        image.data[_INSIDE] -= np.float32(remaining)
        log.info("pedestal between the channels: %.6g DN/s", remaining)
    if clean_showers:
        regions = _regions(refs, shower_plane)
        model = shower_model(
            image.data,
            (regions == 0) & ((image.dq & np.uint32(DO_NOT_USE | 1 << BITS["REFERENCE_PIXEL"])) == 0),
            deviations=(shower_y_stddev, shower_x_stddev),
            percentiles=(shower_low_reject, shower_high_reject),
            dark_outside=compatibility == "jwst",
        )
        image.data -= model
        if save_shower_model:
            image.extra["shower_model"] = [fits.ImageHDU(model.astype(np.float32), name="SCI")]
    return Status(COMPLETE)


def _tables(image, refs):
    """Shapes by row of the scattered light of the left and of the right half, each None if the reference has none."""
    band = str(image.header.get("BAND", "")).strip().upper()
    if band not in BAND_LETTERS:
        if "-" in band:  # cross-dichroic: only the pedestal is subtracted
            log.info("no cross-artifact parameters for BAND %s", band)
            return None, None
        raise BadDataError(
            f"primary header: BAND is {image.header.get('BAND')!r}, expected one of {', '.join(BAND_LETTERS)}"
        )
    return tuple(_table(refs, f"CH{channel}{BAND_LETTERS[band]}") for channel in CHANNELS[detector_of(image.header)])


def _table(refs, name):
    if not refs.has_extension("mrsxartcorr", name):
        log.info("%s has no %s: no cross artifact is subtracted from that half", refs.path("mrsxartcorr"), name)
        return None
    rows = refs.table("mrsxartcorr", name)
    if len(rows) != SHAPE[0]:
        raise MissingReferenceError(
            f"{refs.path('mrsxartcorr')}[{name}]: {len(rows)} rows, expected {SHAPE[0]}, one for each of the detector; get it again"
        )
    return tuple(np.asarray(rows[column], np.float32) for column in _COLUMNS)


def _regions(refs, plane):
    """Labels of slices at the throughput of a plane of the regions reference."""
    planes = np.asarray(refs.tree("regions")["regions"])
    if planes.ndim != 3 or planes.shape[1:] != SHAPE or plane >= len(planes):
        raise MissingReferenceError(
            f"{refs.path('regions')}: regions of shape {planes.shape}, expected at least {plane + 1} planes of {SHAPE}; "
            "lower shower_plane, or use another file"
        )
    return planes[plane]


def _clipped(values):
    """Mean, median and standard deviation after clipping at 3 standard deviations."""
    from astropy.stats import sigma_clipped_stats

    return sigma_clipped_stats(values) if values.size else (0.0, np.nan, 0.0)


@njit
def _scatter(
    first, last, source, lor_fwhm, lor_scale, gau_fwhm, gau_xoff, gau_scale1, gau_scale2, begin, end, scattered
):
    """Add the light that the pixels of columns ``begin`` to ``end - 1`` scatter into all columns of their row."""
    width = scattered.shape[1]
    shape = np.empty(2 * width - 1)
    for row in range(first, last):
        gamma = np.float64(lor_fwhm[row]) / 2.0
        deviation = np.float64(gau_fwhm[row]) / (2.0 * np.sqrt(2.0 * np.log(2.0)))
        square, offset = gamma * gamma, np.float64(gau_xoff[row])
        for distance in range(width):
            inner = outer = 0.0
            for side in (-1.0, 1.0):
                inner += np.exp(-((distance + side * offset) ** 2) / (2.0 * deviation * deviation))
                outer += np.exp(-((distance + side * 2.0 * offset) ** 2) / (8.0 * deviation * deviation))
            value = (
                lor_scale[row] * square / (square + distance * distance)
                + gau_scale1[row] * inner
                + gau_scale2[row] * outer
            )
            shape[width - 1 + distance] = shape[width - 1 - distance] = value
        for column in range(begin, end):
            flux = source[row, column]
            if flux > 0.0:
                start = width - 1 - column
                for other in range(width):
                    scattered[row, other] += flux * shape[start + other]
