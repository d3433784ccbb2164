"""Fringes that the fringe flat leaves, fitted in every column of every slice."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy.io import fits

from snakewebb.compiled import granted_threads
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.fringe_columns import Component, correct_column
from snakewebb.spectroscopy.mrs import CHANNELS, SHAPE, check_full_frame, detector_of, is_mrs
from snakewebb.spectroscopy.slice_geometry import geometry_of
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Status, step

log = logging.getLogger(__name__)

_PLANE = 7  # of the regions reference: a throughput of 80 %
_LEAST_PIXELS = 50


@step(version=1, keyword="S_RESFRI", references=("fringefreq", "regions"), skip=True)
def residual_fringe(
    image: Image,
    refs: References,
    *,
    ignore_region_min: list[float] | None = None,
    ignore_region_max: list[float] | None = None,
    save_intermediate_results: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Divide images of the spectrometer by the fringes that the fringe flat leaves.

    In each column of each slice, sums of sines in wavenumber are fitted to the deviation from the continuum, spectral lines left out,
    with the periods that the reference gives for the slice.

    Parameters
    ----------
    ignore_region_min, ignore_region_max : list of float or None
        Limits of ranges of wavelength that are not used, micron.
    save_intermediate_results : bool
        Save the factors, the mask of corrected pixels and the continuum, suffix ``fit_results``.
    compatibility : str
        ``jwst`` leaves a column as it is if one of its two kinds of fringes is not found; here the other one is corrected.

    Raises
    ------
    ConfigError
        If the two lists are of different length.
    BadDataError
        If the fringe flat was not applied.
    MissingReferenceError
        If the references do not have the band, or the planes, of the exposure.

    References
    ----------
    ``jwst.residual_fringe``; Kavanagh et al., in preparation there.
    """
    if not is_mrs(image.header):
        return Status(NOT_APPLICABLE, f"residual fringes are not defined for EXP_TYPE {image.header.get('EXP_TYPE')!r}")
    low, high = ignore_region_min or [], ignore_region_max or []
    if len(low) != len(high):
        raise ConfigError(
            f"steps.residual_fringe: ignore_region_min has {len(low)} values and ignore_region_max {len(high)}; give both for each range"
        )
    if str(image.header.get("S_FRINGE", "COMPLETE")) != "COMPLETE":
        raise BadDataError(
            "primary header: S_FRINGE is not COMPLETE; the fringe flat must be applied before residual_fringe"
        )
    check_full_frame(image, "residual_fringe")
    geometry = geometry_of(image, "residual_fringe")
    components, amplitudes = _components(image, refs)
    labels = _regions(refs)
    columns, scale = _columns(image, geometry.wavelength, labels, components, list(zip(low, high, strict=True)))
    with ThreadPoolExecutor(granted_threads()) as pool:
        results = list(pool.map(lambda one: correct_column(*one, amplitudes, whole=compatibility == "jwst"), columns))
    maps = {name: np.zeros(SHAPE) for name in ("RFC_FACTORS", "FIT_MASK", "BACKGROUND_FIT")}
    corrected = 0
    for column, result in zip(columns, results, strict=True):
        if result is None:
            continue
        corrected += 1
        rows, x = column[0].rows, column[0].column
        image.data[rows, x] = (result.flux.astype(np.float32) * scale).astype(np.float32)
        maps["RFC_FACTORS"][rows, x], maps["FIT_MASK"][rows, x] = result.factors, 1.0
        maps["BACKGROUND_FIT"][rows, x] = result.continuum
    unusable = ((image.dq & np.uint32(DO_NOT_USE)) != 0) | ~np.isfinite(image.data)
    image.data[unusable] = np.nan
    if save_intermediate_results:
        image.extra["fit_results"] = [fits.ImageHDU(array, name=name) for name, array in maps.items()]
    return Status(COMPLETE, f"{corrected} of {len(columns)} columns corrected")


@dataclass(frozen=True)
class Column:
    """One column of a slice.

    Attributes
    ----------
    column, channel : int
    rows : ndarray of int
        Where the flux is positive, and can be corrected.
    flux : ndarray of float64 (ny,)
        In units of the median of the image, 0 outside the slice and where it is not usable.
    weights : ndarray of float64 (ny,)
    wavelength : ndarray of float64 (ny,)
        Micron, NaN or 0 outside the slice.
    bright : ndarray of float64 (ny,)
        1 where the ratio of signal to noise is above 10, else 0.
    """

    column: int
    channel: int
    rows: np.ndarray
    flux: np.ndarray
    weights: np.ndarray
    wavelength: np.ndarray
    bright: np.ndarray


def _components(image, refs):
    """Kinds of fringes by slice, and the largest amplitude by wavelength."""
    band = str(image.header.get("BAND", "")).strip().upper()
    name = f"RFC_FREQ_{band if band in ('SHORT', 'MEDIUM') else 'LONG'}"
    path = refs.path("fringefreq")
    for extension in (name, "MAX_AMP"):
        if not refs.has_extension("fringefreq", extension):
            raise MissingReferenceError(f"{path}: extension {extension} is missing; get the reference file again")
    table = refs.table("fringefreq", name)
    components = {}
    for row in table:
        values = [np.atleast_1d(row[key]) for key in ("ffreq", "dffreq", "max_nfringes", "min_snr", "pgram_res")]
        components[int(row["slice"])] = [
            Component(float(period), float(width), int(most), float(snr), float(resolution))
            for period, width, most, snr, resolution in zip(*values, strict=True)
        ]
    limits = refs.table("fringefreq", "MAX_AMP")
    return components, (np.asarray(limits["Wavelength"], float), np.asarray(limits["Amplitude"], float))


def _regions(refs):
    planes = np.asarray(refs.tree("regions")["regions"])
    if planes.ndim != 3 or planes.shape[1:] != SHAPE or len(planes) <= _PLANE:
        raise MissingReferenceError(
            f"{refs.path('regions')}: regions of shape {planes.shape}, expected at least {_PLANE + 1} planes of {SHAPE}; use another file"
        )
    return planes[_PLANE]


def _columns(image, wavelength, labels, components, ignored):
    """Columns that may be corrected, each with its kinds of fringes; and the flux that their unit is."""
    flux = image.data.copy()
    flux[((image.dq & np.uint32(DO_NOT_USE)) != 0) | ~np.isfinite(flux)] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = image.data[image.data > 0]
        if not len(positive):
            return [], np.float32(1.0)
        scale = np.median(positive)
        flux /= scale
        means = np.array([np.nanmean(line) if np.isfinite(line).any() else np.nan for line in image.data.T], np.float32)
        weights = (image.data / means).astype(float)
        bright = np.where(image.data / image.err > 10, 1.0, 0.0)
    weights[~np.isfinite(weights) & ~np.isneginf(weights)] = 0.0
    for low, high in ignored:
        weights[(wavelength > low) & (wavelength < high)] = 0.0
    columns = []
    for channel in sorted(CHANNELS[detector_of(image.header)]):
        present = np.unique(labels[(labels >= 100 * channel) & (labels < 100 * (channel + 1))])
        for label in present:
            inside = labels == label
            if int(label) not in components:
                raise MissingReferenceError(
                    f"the fringefreq reference has no row for slice {int(label)}; use the one of this detector and band"
                )
            edges = np.flatnonzero(np.diff(inside.sum(axis=0)))
            if not len(edges):
                continue
            for x in range(int(edges[0]), int(edges[-1]) + 1):
                part = inside[:, x]
                waves = np.where(part, wavelength[:, x], 0.0)
                if np.count_nonzero(waves > 0) <= _LEAST_PIXELS:
                    continue
                light = np.where(part, flux[:, x], 0.0).astype(float)
                own = Column(
                    x, channel, np.flatnonzero(light > 0), light, np.where(part, weights[:, x], 0.0),
                    np.where(np.isnan(wavelength[:, x]), np.nan, waves), bright[:, x],
                )  # fmt: skip
                columns.append((own, components[int(label)]))
    return columns, scale
