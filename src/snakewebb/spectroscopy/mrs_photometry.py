"""Conversion of slope images of the medium-resolution spectrometer to surface brightness, pixel by pixel."""

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.spectroscopy.mrs import CHANNELS, MIDDLE, check_full_frame, detector_of
from snakewebb.spectroscopy.slice_geometry import geometry_of

_TABLE = "TIMECOEFF_POWERLAW_CH{}"
_LAST = 1031  # first column that belongs to no channel


def convert(image, refs, *, inverse, apply_time_correction, compatibility):
    """Multiply an image by the conversion of each pixel, and divide by the throughput at its time and wavelength.

    Parameters
    ----------
    image : Image
        (1024, 1032), with its geometry; changed in place.
    refs : References
        With the PHOTOM reference: SCI (MJy/sr per DN/s), DQ, and tables TIMECOEFF_POWERLAW_CH1 to CH4.
    inverse, apply_time_correction, compatibility
        Parameters of photom.

    Raises
    ------
    BadDataError
        If the image is no full frame, or its time or wavelengths are needed and not known.
    MissingReferenceError
        If the table of a channel is missing or empty.

    References
    ----------
    ``jwst.photom`` (MRS).
    """
    check_full_frame(image, "photom")
    sensitivity = refs.array("photom", "SCI")
    # refused before anything has changed
    throughput = None
    if apply_time_correction and refs.has_extension("photom", _TABLE.format(1)):
        throughput = _throughput(image, refs)
    flags = refs.dq("photom") if refs.has_extension("photom", "DQ") else np.zeros(sensitivity.shape, np.uint32)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        _scale(image, sensitivity, sensitivity * sensitivity, np.divide if inverse else np.multiply)
        image.dq |= np.where(np.isnan(sensitivity), flags | np.uint32(DO_NOT_USE), flags)
        if throughput is not None:
            undone = inverse and compatibility == "native"
            _scale(image, throughput, throughput * throughput, np.multiply if undone else np.divide)
    match_invalid(image, ...)
    refs.drop("photom")


def _scale(image, factor, square, operation):
    for array, by in ((image.data, factor), (image.err, factor)):
        operation(array, by, out=array, casting="same_kind")
    for variance in (image.var_poisson, image.var_rnoise, image.var_flat):
        if variance is not None:
            operation(variance, square, out=variance, casting="same_kind")


def _throughput(image, refs):
    """Throughput of every pixel relative to that at the reference time, 1 between slices (float64)."""
    time = image.header.get("EXPMID")
    if not isinstance(time, (int, float)):
        raise BadDataError(
            "primary header: EXPMID is missing, so the throughput at the time of the exposure is not known; "
            "set apply_time_correction to false to do without"
        )
    wavelength = geometry_of(image, "photom").wavelength
    throughput = np.ones(wavelength.shape)
    left, right = CHANNELS[detector_of(image.header)]
    for channel, columns in ((left, slice(0, MIDDLE)), (right, slice(MIDDLE, _LAST))):
        nodes, values = _curve(refs, channel, time)
        throughput[:, columns] = _extrapolated(wavelength[:, columns], nodes, values)
    throughput[~(np.abs(throughput) > 0)] = 1.0  # NaN and zero
    return throughput


def _curve(refs, channel, time):
    """Wavelengths (micron) at which the throughput of a channel is known, increasing, and its values at a time, 1 at most."""
    name, path = _TABLE.format(channel), refs.path("photom")
    if not refs.has_extension("photom", name):
        raise MissingReferenceError(f"{path}: extension {name} is missing; get the reference file again")
    rows = refs.table("photom", name)
    if rows is None or len(rows) < 2:
        raise MissingReferenceError(f"{path}[{name}]: fewer than two rows; get the reference file again")
    # in the precision of the table
    columns = {key: np.asarray(rows[key], np.float32) for key in ("binwave", "alpha", "year1value", "tsoft", "t0")}
    normalisation = (365.0 + columns["tsoft"]) ** columns["alpha"] / columns["year1value"]
    values = (time - columns["t0"] + columns["tsoft"]) ** columns["alpha"] / normalisation
    order = np.argsort(columns["binwave"], kind="stable")
    return columns["binwave"][order].astype(float), np.minimum(values, 1.0)[order].astype(float)


def _extrapolated(x, nodes, values):
    """Linear interpolation between nodes that goes on beyond the first and the last."""
    interval = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
    fraction = (x - nodes[interval]) / (nodes[interval + 1] - nodes[interval])
    return values[interval] * (1.0 - fraction) + values[interval + 1] * fraction
