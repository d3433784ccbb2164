"""Apertures and zero points of the catalogue of a mosaic, from the reference files."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.io.asdf_tree import Tagged, parse
from snakewebb.wording import missing_row

log = logging.getLogger(__name__)

DEFAULT_APERTURES = (30, 50, 70)  # per cent of the light of a star


@dataclass(frozen=True)
class Calibration:
    """Apertures and zero point of one filter, from the references, in pixels of the mosaic.

    Attributes
    ----------
    energies : tuple of int
        Per cent of the light of a star within each aperture.
    radii, corrections : tuple of float
        Radius of each aperture in pixels, and total flux over the flux inside.
    ring : (float, float)
        Inner and outer radius of the background ring in pixels.
    vega_offset : float
        AB magnitude less Vega magnitude.
    profile : (tuple of float, tuple of float)
        Radii of all apertures of the reference, in pixels of the detector, and the parts of a star's light within.
    pixel_ratio : float
        Pixel of the mosaic over that of the detector.
    """

    energies: tuple
    radii: tuple
    corrections: tuple
    ring: tuple
    vega_offset: float
    profile: tuple = ((), ())
    pixel_ratio: float = 1.0


def file_name(mosaic):
    """Name of the file of a mosaic, for messages."""
    return mosaic.header.get("FILENAME", "mosaic")


def jansky_per_unit(mosaic, step):
    """Jy in a pixel of a mosaic per MJy/sr; ``step`` is what asks, for messages."""
    unit = str(mosaic.sci_header.get("BUNIT", "")).strip()
    if unit != "MJy/sr":
        raise BadDataError(f"{file_name(mosaic)}[SCI]: BUNIT is {unit!r}, expected 'MJy/sr'; run photom before {step}")
    area = mosaic.sci_header.get("PIXAR_SR", mosaic.header.get("PIXAR_SR"))
    if not area:
        raise BadDataError(f"{file_name(mosaic)}[SCI]: keyword PIXAR_SR is missing or 0, so fluxes have no unit")
    return 1.0e6 * float(area)


def calibration_of(mosaic, references, energies=DEFAULT_APERTURES, *, step="source_catalog"):
    """Apertures and zero point for the filter of a mosaic.

    Parameters
    ----------
    mosaic : MosaicImage or Mosaic
        Its headers are read.
    references : References
        With the types apcorr and abvegaoffset.
    energies : sequence of int
        Per cent of the light of a star inside the apertures.
    step : str
        What asks, for messages.

    Returns
    -------
    Calibration

    Raises
    ------
    LookupError
        If a reference has no row for the instrument, filter and pupil (or subarray, detector).
    ConfigError
        If the apcorr reference has no such aperture for it.
    MissingReferenceError
        If a reference is not what it should be.
    """
    instrument = str(mosaic.header.get("INSTRUME", "")).strip()
    if instrument not in _SELECTORS:
        raise BadDataError(f"{file_name(mosaic)}: INSTRUME is {instrument!r}, expected one of {', '.join(_SELECTORS)}")
    apertures = _selected(
        references.table("apcorr", "APCORR"), _SELECTORS[instrument][0], mosaic, references.path("apcorr")
    )
    percent = np.round(np.asarray(apertures["eefraction"], np.float64) * 100).astype(int)
    rows = [np.flatnonzero(percent == energy) for energy in energies]
    for number, (energy, row) in enumerate(zip(energies, rows, strict=True), start=1):
        if len(row) != 1:
            raise ConfigError(
                f"steps.{step}.aperture_ee{number}: found {energy}, expected an aperture of "
                f"{references.path('apcorr').name}: {', '.join(map(str, sorted(set(percent))))}"
            )
    chosen = apertures[[int(row[0]) for row in rows]]
    if len(np.unique(chosen["skyin"])) > 1 or len(np.unique(chosen["skyout"])) > 1:
        raise MissingReferenceError(
            f"{references.path('apcorr')}: the background rings of one filter differ, "
            "expected the same for all apertures"
        )
    ratio = mosaic.header.get("PXSCLRT", mosaic.sci_header.get("PXSCLRT"))
    if ratio is None:
        log.warning("%s: no PXSCLRT, the pixels of the mosaic are taken to be those of the detector", file_name(mosaic))
        ratio = 1.0
    offsets = _offset_table(references.path("abvegaoffset"))
    offset = _selected(offsets, _SELECTORS[instrument][1], mosaic, references.path("abvegaoffset"))
    if len(offset) > 1:
        raise MissingReferenceError(f"{references.path('abvegaoffset')}: more than one row for the filter")
    return Calibration(
        energies=tuple(int(energy) for energy in energies),
        radii=tuple(float(radius) / ratio for radius in chosen["radius"]),
        corrections=tuple(float(correction) for correction in chosen["apcorr"]),
        ring=(float(chosen["skyin"][0]) / ratio, float(chosen["skyout"][0]) / ratio),
        vega_offset=float(offset["abvega_offset"][0]),
        profile=tuple(tuple(map(float, np.sort(apertures[name]))) for name in ("radius", "eefraction")),
        pixel_ratio=float(ratio),
    )


def for_pixel_size(calibration):
    """The calibration with aperture corrections for the pixels of a mosaic, where these are not as large as the detector's.

    The light within a radius is E(r); blurring by a variance v along each axis, in place of that of the detector's pixel, changes it by
    pi r I'(r) v = (E'' - E' / r) v / 2, where I = E' / (2 pi r) is the light per area: that is the equation of heat. A pixel of the
    mosaic blurs twice: it averages what falls on it, and a circle takes parts of pixels as if they were even.

    Parameters
    ----------
    calibration : Calibration

    Returns
    -------
    Calibration
        The same, where the pixels are as large, or where the reference has fewer than four apertures to tell the profile.
    """
    radii, energies = (np.concatenate([[0.0], part]) for part in calibration.profile)
    if calibration.pixel_ratio == 1.0 or len(radii) < 5:
        return calibration
    from scipy.interpolate import CubicSpline

    light = CubicSpline(radii, energies, bc_type=((1, 0.0), "not-a-knot"))
    r = np.array(calibration.radii) * calibration.pixel_ratio
    variance = 2.0 * (calibration.pixel_ratio**2 - 1.0) / 12.0
    change = 0.5 * variance * (light(r, 2) - light(r, 1) / r)
    corrections = tuple(float(value) for value in 1.0 / (1.0 / np.array(calibration.corrections) + change))
    return replace(calibration, corrections=corrections)


# columns of the apcorr and of the abvegaoffset reference that select a row, and the keywords they equal
_SELECTORS = {
    "NIRCAM": ({"filter": "FILTER", "pupil": "PUPIL"}, {"filter": "FILTER", "pupil": "PUPIL"}),
    "NIRISS": ({"filter": "FILTER", "pupil": "PUPIL"}, {"filter": "FILTER", "pupil": "PUPIL"}),
    "MIRI": ({"filter": "FILTER", "subarray": "SUBARRAY"}, {"filter": "FILTER"}),
    "FGS": ({}, {"detector": "DETECTOR"}),
}


def _selected(table, columns, mosaic, path):
    wanted = {keyword: str(mosaic.header.get(keyword, "")).strip() for keyword in columns.values()}
    found = {}
    for name, keyword in columns.items():
        if name not in table.dtype.names:
            raise MissingReferenceError(f"{path}: column {name!r} is missing, found {table.dtype.names}")
        found[keyword] = np.array([_text(entry) for entry in table[name]], str)
    rows = np.ones(len(table), bool)
    for keyword, value in wanted.items():
        rows &= found[keyword] == value
    if not rows.any():
        raise LookupError(missing_row(path.name, wanted, found))
    return table[rows]


def _text(entry):
    return (entry.decode() if isinstance(entry, bytes) else str(entry)).strip()


def _offset_table(path):
    """The table of an abvegaoffset reference, as a record array."""
    table = parse(path.read_bytes(), path).get("abvega_offset")
    if not (isinstance(table, Tagged) and "columns" in table.value):
        raise MissingReferenceError(f"{path}: no table abvega_offset, expected an abvegaoffset reference")
    columns = {column.value["name"]: column.value["data"] for column in table.value["columns"]}
    return np.rec.fromarrays(list(columns.values()), names=list(columns))
