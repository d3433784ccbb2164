"""The geometric reference files: distortion, filter offsets, pixel areas."""

import numpy as np

from snakewebb.simulate.detector_truth import channel, generator
from snakewebb.simulate.distortion_forms import miri_form, nircam_form, niriss_form
from snakewebb.simulate.geometry import full_aperture
from snakewebb.simulate.imagers import IMAGER_OF, instrument_of, wheel_of
from snakewebb.simulate.reference_format import (
    USEAFTER,
    full_frame,
    full_shape,
    header_of,
    image,
    meta_of,
    smooth_field,
    write_asdf,
    write_fits,
)


def write_distortion(path, detector, *, errors, seed, filters="N/A", useafter=USEAFTER):
    """Write the DISTORTION reference: 0-based pixel of the full detector to V2, V3 in arcsec, and back.

    Parameters
    ----------
    path : path-like
    detector : str
    errors : ReferenceErrors
    seed : int
    filters : str
        FILTER of the exposures that the file is for; of NIRCam.
    useafter : str
    """
    from astropy import units

    tree = {
        "meta": {
            **meta_of("distortion", "DistortionModel", useafter, f"error {errors.distortion:g} pixel, smooth"),
            **_selection(detector, filters),
            "input_units": units.pix,
            "output_units": units.arcsec,
        },
        "model": distortion_model(detector, error=errors.distortion, seed=seed),
    }
    write_asdf(path, tree)


_ALSO = {
    "NIRCAM": "NRC_IMAGE|NRC_TSIMAGE|NRC_WFSS|NRC_TACQ|",
    "NIRISS": "NIS_IMAGE|NIS_AMI|NIS_WFSS|NIS_TACQ|NIS_FOCUS|NIS_TACONFIRM|",
    "MIRI": "MIR_IMAGE|MIR_TACQ|MIR_LYOT|MIR_4QPM|MIR_CORONCAL|MIR_LRS-FIXEDSLIT|MIR_LRS-SLITLESS|MIR_TACONFIRM|",
    "FGS": "FGS_IMAGE|FGS_FOCUS|FGS_SKYFLAT|FGS_INTFLAT|",
}


def _selection(detector, filters):
    """Metadata by which a distortion is selected."""
    instrument = instrument_of(detector)
    own = {
        "NIRCAM": lambda: {
            "channel": channel(detector),
            "module": detector[3],
            "filter": filters,
            "p_pupil": "ANY|",
        },
        "MIRI": lambda: {"channel": "N/A", "band": "N/A"},
    }.get(instrument, dict)()
    subarray = {"name": "FULL", "p_subarray": "GENERIC|"} if instrument == "NIRCAM" else {"name": "GENERIC"}
    return {
        "exposure": {"type": IMAGER_OF[instrument].exp_type, "p_exptype": _ALSO[instrument]},
        "instrument": {"name": instrument, "detector": detector, **own},
        "subarray": subarray,
    }


def distortion_model(detector, *, error=0.0, seed=0):
    """The distortion of a detector as the model that its reference file holds.

    Parameters
    ----------
    detector : str
    error : float
        Standard deviation over the detector of a smooth displacement, in pixels.
    seed : int
        Of the displacement.

    Returns
    -------
    astropy.modeling.Model
        With an inverse, and with a bounding box but for MIRI and NIRISS, whose files have none.
    """
    aperture = full_aperture(detector)
    shape = full_shape(detector)
    forward = [_coefficients(aperture, axis) for axis in "XY"]
    if error:
        displaced = _displacement(generator(seed, detector, "distortion error"), error, shape)
        scale = [[coefficients[1, 0], coefficients[0, 1]] for coefficients in forward]
        for row, coefficients in enumerate(forward):
            coefficients[:3, :3] += scale[row][0] * displaced[0] + scale[row][1] * displaced[1]
    angle = np.deg2rad(aperture.V3IdlYAngle)
    parity = aperture.VIdlParity
    centre = (aperture.XSciRef, aperture.YSciRef)
    form = {"MIRI": miri_form, "NIRISS": niriss_form}.get(instrument_of(detector), nircam_form)
    return form(
        forward,
        _inverse_coefficients(forward, centre, shape),
        np.array([[parity * np.cos(angle), np.sin(angle)], [-parity * np.sin(angle), np.cos(angle)]]),
        centre,
        (aperture.V2Ref, aperture.V3Ref),
        shape,
    )


def write_filteroffset(path, detector, offsets, *, errors, seed, useafter=USEAFTER):
    """Write the FILTEROFFSET reference: of a module and channel of NIRCam, of NIRISS, or of MIRI's imager.

    Parameters
    ----------
    path : path-like
    detector : str
        Any detector of the module and channel.
    offsets : dict of (str, str) to (float, float)
        True offset in pixels (column, row) of each filter and pupil.
    errors : ReferenceErrors
    seed : int
    useafter : str
    """
    from astropy import units

    entries = []
    for filter, pupil in sorted(offsets):
        scatter = generator(seed, wheel_of(detector), f"filter offset {filter} {pupil}")
        column, row = offsets[filter, pupil] + errors.filter_offset * scatter.standard_normal(2)
        entries.append({"filter": filter, "pupil": pupil, "column_offset": float(column), "row_offset": float(row)})
    meta = meta_of("filteroffset", "FilteroffsetModel", useafter, f"error {errors.filter_offset:g} pixel")
    if instrument_of(detector) == "NIRCAM":
        meta["instrument"] = {"name": "NIRCAM", "channel": channel(detector), "module": detector[3]}
    else:
        chosen = _selection(detector, "N/A")
        meta |= {"exposure": chosen["exposure"], "instrument": chosen["instrument"]}
    write_asdf(path, {"meta": meta | {"input_units": units.pix}, "filters": entries})


def write_area(path, truth, *, errors, seed, useafter=USEAFTER):
    """Write the AREA reference: solid angle of each pixel of the full detector, relative to the nominal."""
    relative, nominal = pixel_area(truth.detector)
    relative = relative * (1 + errors.area * smooth_field(seed, truth, "area"))
    whole = full_frame(truth.detector)
    header = header_of("area", "PixelAreaModel", truth, whole, useafter, f"relative error {errors.area:g}, smooth")
    exp_type = IMAGER_OF[instrument_of(truth.detector)].exp_type
    header.update(FILTER=truth.filter, PUPIL=truth.pupil, EXP_TYPE=exp_type, **nominal_area(nominal))
    write_fits(path, header, image("SCI", relative))


def pixel_area(detector):
    """Solid angle of the pixels of a detector, from the geometry of its full-frame aperture.

    Returns
    -------
    relative : ndarray of float32 (ny, nx)
        Relative to the nominal area.
    nominal : float
        Area at the reference pixel of the aperture, arcsec^2.
    """
    aperture = full_aperture(detector)
    ny, nx = full_shape(detector)
    x = np.arange(1, nx + 1) - aperture.XSciRef
    y = np.arange(1, ny + 1) - aperture.YSciRef
    (xx, xy), (yx, yy) = (_derivatives(_coefficients(aperture, axis), x, y) for axis in "XY")
    nominal = pixel_area_nominal(detector)
    return (np.abs(xx * yy - xy * yx) / nominal).astype(np.float32), nominal


def pixel_area_nominal(detector):
    """Nominal pixel area in arcsec^2: at the reference pixel of the full-frame aperture."""
    x, y = (_coefficients(full_aperture(detector), axis) for axis in "XY")
    return float(abs(x[1, 0] * y[0, 1] - x[0, 1] * y[1, 0]))


def nominal_area(square_arcseconds):
    """Keywords of a nominal pixel area given in arcsec^2."""
    return {
        "PIXAR_SR": square_arcseconds * np.deg2rad(1 / 3600) ** 2,
        "PIXAR_A2": square_arcseconds,
    }


def _displacement(random, error, shape):
    """Quadratic polynomials, coefficients (3, 3) in centred pixels, of a displacement in x and y."""
    half_y, half_x = (size / 2 for size in shape)
    x, y = np.meshgrid(np.linspace(-half_x, half_x, 33), np.linspace(-half_y, half_y, 33))
    tables = []
    for _ in range(2):
        table = np.zeros((3, 3))
        for i in range(3):
            for j in range(3 - i):
                table[i, j] = random.normal() / (half_x**i * half_y**j)
        field = np.polynomial.polynomial.polyval2d(x, y, table)
        tables.append(table * error / np.sqrt(np.mean(field**2)))
    return tables


def _coefficients(aperture, axis):
    """Coefficients (power of x, power of y) from centred pixels to the ideal frame in arcsec."""
    degree = aperture.Sci2IdlDeg
    table = np.zeros((degree + 1, degree + 1))
    for total in range(degree + 1):
        for power in range(total + 1):
            table[total - power, power] = getattr(aperture, f"Sci2Idl{axis}{total}{power}")
    return table


def _derivatives(table, x, y):
    """Derivatives with respect to x and y of a polynomial, on the grid of the vectors x and y."""
    values = []
    for axis in (0, 1):
        derived = np.polynomial.polynomial.polyder(table, axis=axis)
        powers_x = np.vander(x, derived.shape[0], increasing=True)
        powers_y = np.vander(y, derived.shape[1], increasing=True)
        values.append(powers_y @ derived.T @ powers_x.T)
    return values


def _inverse_coefficients(forward, centre, shape):
    """Polynomials from the ideal frame to centred pixels, fitted over the detector."""
    degree = 7
    polyval2d = np.polynomial.polynomial.polyval2d
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(-2, nx + 3, 60) - centre[0], np.linspace(-2, ny + 3, 60) - centre[1])
    ideal = [polyval2d(x, y, table).ravel() for table in forward]
    size = max(np.abs(values).max() for values in ideal)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    terms = np.stack([(ideal[0] / size) ** i * (ideal[1] / size) ** j for i, j in powers], axis=1)
    tables = []
    for target in (x, y):
        fitted = np.linalg.lstsq(terms, target.ravel(), rcond=None)[0]
        table = np.zeros((degree + 1, degree + 1))
        for (i, j), value in zip(powers, fitted, strict=True):
            table[i, j] = value / size ** (i + j)
        tables.append(table)
    return tables
