"""Convert count rates to surface brightness."""

import logging
from typing import Literal

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.imaging.invalid_pixels import match_invalid, planes, row_blocks
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy import mrs_photometry
from snakewebb.spectroscopy.mrs import is_mrs
from snakewebb.steps import COMPLETE, NO_REFERENCE, NOT_APPLICABLE, Status, step
from snakewebb.wording import missing_row

log = logging.getLogger(__name__)

# microjansky per square arcsecond in a megajansky per steradian
UJA2_PER_MJSR = 1e12 * (np.pi / 180.0 / 3600.0) ** 2

# keywords that select the row of the PHOTOM table; FGS has no optical elements, and one row
_SELECTORS = {"NIRCAM": ("FILTER", "PUPIL"), "NIRISS": ("FILTER", "PUPIL"), "MIRI": ("FILTER", "SUBARRAY"), "FGS": ()}
_SPECTRA = ("NRC_WFSS", "NRC_TSGRISM", "NRC_GRISM", "NIS_WFSS", "NIS_SOSS")
_SPECTRA += ("MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_WFSS")
_TIME_TABLES = ("TIMECOEFF_LINEAR", "TIMECOEFF_EXPONENTIAL", "TIMECOEFF_POWERLAW")


@step(version=1, keyword="S_PHOTOM", references=("photom",), optional_references=("area",))
def photom(
    image: Image,
    refs: References,
    *,
    inverse: bool = False,
    apply_time_correction: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Convert an image from DN/s to MJy/sr, and attach the map of pixel areas.

    The conversion and the nominal size of a pixel are written as PHOTMJSR, PHOTUJA2, PIXAR_SR and PIXAR_A2. The map of
    pixel areas is attached, not applied: the image is surface brightness on pixels of unequal size.

    Parameters
    ----------
    inverse : bool
        Undo the conversion.
    apply_time_correction : bool
        Divide the conversion by the throughput at the time of the exposure, relative to that at the reference time,
        where the reference file has its coefficients.
    compatibility : str
        ``jwst``: with ``inverse``, images of the medium-resolution spectrometer are divided by the throughput as well, so that the
        conversion is not undone.

    Raises
    ------
    MissingReferenceError
        If the tables of the reference file do not belong together, select several rows, or do not hold for the date.
    BadDataError
        If the time of the exposure is needed and not in the header.

    References
    ----------
    ``jwst.photom`` (imaging, MRS). Where the reference has no row for the optical element, the oracle leaves the image in
    DN/s and says COMPLETE; here the status is NO_REFERENCE (SKIPPED in the header).
    """
    instrument, exp_type = (str(image.header.get(key, "")).upper() for key in ("INSTRUME", "EXP_TYPE"))
    if is_mrs(image.header):
        return _spectrometer(image, refs, inverse, apply_time_correction, compatibility)
    if instrument not in _SELECTORS or exp_type in _SPECTRA:
        return Status(NOT_APPLICABLE, f"no imaging photometry is defined for EXP_TYPE {exp_type!r} of {instrument!r}")
    path = refs.path("photom")
    try:
        with fits.open(path, memmap=False) as units:
            header = units[0].header
            tables = {unit.name: unit.data for unit in units if unit.name in ("PHOTOM", *_TIME_TABLES)}
    except OSError as error:
        raise MissingReferenceError(f"{path}: not a readable FITS file ({error}); get it again") from error
    if "PHOTOM" not in tables:
        raise MissingReferenceError(f"{path}: extension PHOTOM is missing; get the reference file again")
    _attach_areas(image, refs, header)
    selection = {key: str(image.header.get(key, "")).upper() for key in _SELECTORS[instrument]}
    if "subarray" in (name.lower() for name in tables["PHOTOM"].names):
        selection["SUBARRAY"] = str(image.header.get("SUBARRAY", "")).upper()
    row = _row(tables["PHOTOM"], selection, path)
    if row is None and instrument == "MIRI":  # older files have one row for all subarrays
        row = _row(tables["PHOTOM"], selection | {"SUBARRAY": "GENERIC"}, path)
    if row is None:
        reason = missing_row(path.name, selection, {key: _texts(tables["PHOTOM"], key) for key in selection})
        return Status(
            NO_REFERENCE,
            f"{reason}. The image stays in DN/s; take another CRDS context, or set override_photom of the step to a file that has it",
        )
    conversion = tables["PHOTOM"]["photmjsr"][row]
    if not (np.isfinite(conversion) and conversion > 0):
        return Status(NO_REFERENCE, f"{path.name}: photmjsr is {conversion} for {selection}: the image stays in DN/s")
    if apply_time_correction:
        throughput = _throughput(tables, row, image.header.get("EXPMID"), path)
        if throughput != 1.0:
            log.info("throughput at EXPMID relative to the reference time: %.6g", throughput)
            conversion = conversion / throughput
    _convert(image, conversion, inverse)
    set_keyword(image.sci_header, "PHOTMJSR", float(conversion))
    set_keyword(image.sci_header, "PHOTUJA2", float(conversion * UJA2_PER_MJSR))
    image.sci_header["BUNIT"] = "DN/s" if inverse else "MJy/sr"
    return Status(COMPLETE)


def _spectrometer(image, refs, inverse, apply_time_correction, compatibility):
    header = refs.header("photom")
    mrs_photometry.convert(
        image, refs, inverse=inverse, apply_time_correction=apply_time_correction, compatibility=compatibility
    )
    _attach_areas(image, refs, header)
    conversion = header.get("PHOTMJSR")
    if isinstance(conversion, (int, float)):
        set_keyword(image.sci_header, "PHOTMJSR", float(conversion))
        set_keyword(image.sci_header, "PHOTUJA2", float(conversion * UJA2_PER_MJSR))
    else:
        log.warning("%s gives no PHOTMJSR, so it is not written", refs.path("photom"))
    image.sci_header["BUNIT"] = "DN/s" if inverse else "MJy/sr"
    return Status(COMPLETE)


def _attach_areas(image, refs, photom_header):
    """Map of pixel areas, and nominal area of a pixel: from the AREA reference, else from that of the photometry."""
    headers = [photom_header]
    if refs.has("area"):
        image.area = refs.array("area", "SCI")
        headers.insert(0, refs.header("area"))
    for key in ("PIXAR_SR", "PIXAR_A2"):
        value = next((header[key] for header in headers if isinstance(header.get(key), (int, float))), None)
        if value is None:
            log.warning("no reference gives %s, so it is not written", key)
        else:
            set_keyword(image.sci_header, key, float(value))


def _texts(table, key):
    """Values of the column of a keyword, as headers have them."""
    return np.char.upper(np.char.strip(np.asarray(table[key.lower()], str)))


def _row(table, selection, path):
    """Number of the row of a table with these values, or None."""
    chosen = np.ones(len(table), bool)
    for key, value in selection.items():
        chosen &= _texts(table, key) == value
    rows = np.flatnonzero(chosen)
    if len(rows) > 1:
        raise MissingReferenceError(f"{path}[PHOTOM]: {len(rows)} rows for {selection}, one expected; use another file")
    return int(rows[0]) if len(rows) else None


def _throughput(tables, row, time, path):
    """Throughput at a time (MJD) relative to that at the reference time."""
    product = np.float64(1.0)
    for name in _TIME_TABLES:
        if name not in tables:
            continue
        _check_aligned(tables["PHOTOM"], tables[name], f"{path}[{name}]")
        if not isinstance(time, (int, float)):
            raise BadDataError(
                "primary header: EXPMID is missing, so the throughput at the time of the exposure is not known; "
                "set apply_time_correction to false to do without"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            throughput = _MODELS[name](tables[name][row], time)
        if not (np.isfinite(throughput) and throughput > 0):
            raise MissingReferenceError(
                f"{path}[{name}]: at EXPMID {time} the throughput is {throughput}, expected a positive number (t0 is "
                f"{tables[name]['t0'][row]}): the table does not hold for this date; use another file, or set "
                "apply_time_correction to false"
            )
        product *= throughput
    return product


def _check_aligned(table, times, where):
    if len(table) != len(times):
        raise MissingReferenceError(f"{where}: {len(times)} rows, but PHOTOM has {len(table)}; use another file")
    for key in ("filter", "pupil", "subarray"):
        if key in table.names and key in times.names and not np.array_equal(table[key], times[key]):
            raise MissingReferenceError(f"{where}: column {key} differs from that of PHOTOM; use another file")


def _linear(row, time):
    return 1.0 - row["lossperyear"] * (time - row["t0"]) / 365.0


def _exponential(row, time):
    return row["amplitude"] * np.exp(-(time - row["t0"]) / row["tau"]) + row["const"]


def _power_law(row, time):
    # numpy's routine for arrays, as the oracle: that for single numbers differs in the last bit
    normalisation = np.power(365.0 + row["tsoft"], row["alpha"]) / row["year1value"]
    return np.power(time - row["t0"] + row["tsoft"], row["alpha"]) / normalisation


_MODELS = dict(zip(_TIME_TABLES, (_linear, _exponential, _power_law), strict=True))


def _convert(image, conversion, inverse):
    square = conversion * conversion
    factors = [(image.data, conversion), (image.err, conversion)]
    variances = (image.var_poisson, image.var_rnoise, image.var_flat)
    factors += [(variance, square) for variance in variances if variance is not None]
    operation = np.divide if inverse else np.multiply
    with np.errstate(invalid="ignore", over="ignore"):
        for block in [block for rows in row_blocks(image) for block in planes(image, rows)]:
            for array, factor in factors:
                part = array[block]
                operation(part, factor, out=part, casting="same_kind")
            match_invalid(image, block)
