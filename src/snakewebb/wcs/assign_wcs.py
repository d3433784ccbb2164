"""Assign a WCS: from detector pixels through the telescope frame to the sky."""

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.asdf_tree import parse
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step
from snakewebb.wcs.ifu_wcs import region_of
from snakewebb.wcs.image_wcs import Frame, ImageWCS
from snakewebb.wcs.mrs import REFERENCES as MRS_REFERENCES
from snakewebb.wcs.mrs import mrs_geometry, mrs_wcs
from snakewebb.wcs.sip import SIPError, sip_keywords
from snakewebb.wcs.transforms import (
    CartesianToSpherical,
    Identity,
    RotationSequence,
    Scale,
    Shift,
    SphericalToCartesian,
    transform_of,
)

log = logging.getLogger(__name__)

POINTING_KEYWORDS = ("RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF")


@dataclass(frozen=True)
class Imager:
    """What the imaging WCS of an instrument needs besides its references.

    Attributes
    ----------
    exp_types : tuple of str
    offset_keys : tuple of str
        Keywords that select the row of the FILTEROFFSET reference; none: the instrument has no such offsets.
    """

    exp_types: tuple
    offset_keys: tuple


IMAGERS = {
    "NIRCAM": Imager(
        ("NRC_IMAGE", "NRC_TACQ", "NRC_TACONFIRM", "NRC_CORON", "NRC_FOCUS", "NRC_TSIMAGE"), ("FILTER", "PUPIL")
    ),
    "NIRISS": Imager(("NIS_IMAGE", "NIS_AMI", "NIS_TACQ", "NIS_TACONFIRM", "NIS_FOCUS"), ("FILTER", "PUPIL")),
    "MIRI": Imager(("MIR_IMAGE", "MIR_TACQ", "MIR_TACONFIRM", "MIR_LYOT", "MIR_4QPM", "MIR_CORONCAL"), ("FILTER",)),
    "FGS": Imager(("FGS_IMAGE", "FGS_FOCUS"), ()),
}

_SIP_SERIES = ("A", "B", "AP", "BP")
_SIP_RESIDUALS = {
    "SIPMXERR": "[pixel] largest error of the FITS WCS",
    "SIPIVERR": "[pixel] largest error of its inverse",
}


@step(
    version=2,
    keyword="S_WCS",
    references=("distortion",),
    optional_references=("filteroffset",),
    references_by_type={"MIR_MRS": MRS_REFERENCES},
)
def assign_wcs(
    image: Image,
    refs: References,
    *,
    sip_approx: bool = True,
    sip_max_pix_error: float = 0.01,
    sip_degree: Annotated[int | None, Between(None, 6)] = None,
    sip_max_inv_pix_error: float = 0.01,
    sip_inv_degree: Annotated[int | None, Between(None, 6)] = None,
    sip_npoints: int = 12,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Build the WCS of an image from its pointing and the distortion of its detector.

    The chain is detector pixel, telescope frame (V2, V3), telescope frame corrected for differential velocity
    aberration, sky (ICRS). The footprint is written as S_REGION, a FITS approximation as keywords of the SCI header.
    Images of MIRI's medium-resolution spectrometer get sky and wavelength from the references distortion, regions,
    specwcs and wavelengthrange (`snakewebb.wcs.mrs`), and no approximation: none of the parameters concerns them.

    Parameters
    ----------
    sip_approx : bool
        Write a FITS WCS with SIP polynomials that approximates the WCS.
    sip_max_pix_error : float
        Largest error of the approximation, pixels; the lowest degree that keeps it is taken.
    sip_degree : int or None
        Degree of its polynomials; null: the lowest sufficient one, at most 5.
    sip_max_inv_pix_error : float
        Largest error of its inverse, pixels; 0: no inverse.
    sip_inv_degree : int or None
        Degree of the polynomials of the inverse; null: the lowest sufficient one, at most 5.
    sip_npoints : int
        Number of points a side of the grid of pixels that is fitted, at least 8.
    compatibility : str
        ``native``: the bounding box of a subarray is that of its array. ``jwst``: if it begins with the first pixel of the detector, as
        those of NRCA4 and NRCB1 in SUB160, SUB320 and SUB640 do, the bounding box of the reference file, which is that of the whole
        detector, and so is the footprint.

    Raises
    ------
    BadDataError
        If keywords of the pointing are missing.
    MissingReferenceError
        If a reference file is not what it should be.

    References
    ----------
    ``jwst.assign_wcs`` (imaging modes).
    """
    instrument, exp_type = (str(image.header.get(key, "")).upper() for key in ("INSTRUME", "EXP_TYPE"))
    if exp_type == "MIR_MRS":
        return _assign_to_slices(image, refs)
    imager = IMAGERS.get(instrument)
    if imager is None or exp_type not in imager.exp_types:
        return Status(NOT_APPLICABLE, f"no imaging WCS is defined for EXP_TYPE {exp_type!r} of {instrument!r}")
    pointing = _pointing(image)
    distortion = _distortion(image, refs, imager, whole_box=compatibility == "jwst")
    image.wcs = ImageWCS(
        [
            Frame("detector", "pixel"),
            Frame("v2v3", "arcsec", ("v2", "v3")),
            Frame("v2v3vacorr", "arcsec", ("v2", "v3")),
            Frame("world", "deg", ("lon", "lat")),
        ],
        [distortion, _aberration(image, pointing), _to_sky(pointing)],
    )
    write_region(image.sci_header, image.wcs)
    if sip_approx:
        write_fits_approximation(
            image,
            max_pix_error=sip_max_pix_error,
            degree=sip_degree,
            max_inv_pix_error=sip_max_inv_pix_error,
            inv_degree=sip_inv_degree,
            npoints=sip_npoints,
        )
    return Status(COMPLETE)


def _assign_to_slices(image, refs):
    """The WCS of an image of MIRI's integral-field unit, its geometry and its footprint."""
    pointing = _pointing(image)
    image.wcs = mrs_wcs(image, refs, _aberration(image, pointing), _to_sky(pointing))
    image.geometry, ra, dec = mrs_geometry(image.wcs)
    corners, wavelengths = region_of(ra, dec, image.geometry.wavelength)
    if not np.isfinite(corners).all():
        raise BadDataError(
            "no pixel of the slices has a position and a wavelength: the regions, specwcs and wavelengthrange references do not belong "
            f"together ({', '.join(refs.path(reftype).name for reftype in MRS_REFERENCES)}); use those of one CRDS context"
        )
    _write_corners(image.sci_header, corners)
    set_keyword(image.sci_header, "DISPAXIS", 2)
    set_keyword(image.sci_header, "SPECSYS", "BARYCENT")
    image.tree.setdefault("meta", {}).setdefault("wcsinfo", {})["spectral_region"] = list(wavelengths)
    return Status(COMPLETE)


def _pointing(image):
    """Values of the keywords that place the reference point on the sky."""
    missing = [key for key in POINTING_KEYWORDS if not isinstance(image.sci_header.get(key), (int, float))]
    if missing:
        raise BadDataError(
            f"SCI: keywords {', '.join(missing)} are missing or not numbers, so the pointing is not known; "
            "download the exposure again"
        )
    return {key: float(image.sci_header[key]) for key in POINTING_KEYWORDS}


def _distortion(image, refs, imager, whole_box):
    """Detector pixel of this array to telescope frame, with its bounding box."""
    transform = _reference_model(refs)
    box = transform.bounding_box
    offset = _filter_offset(image, refs, imager)
    if offset is not None:
        transform.bounding_box = None
        transform = (Shift(offset[0]) & Shift(offset[1])) | transform
    ny, nx = image.data.shape[-2:]
    transform.bounding_box = box or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    first = [int(image.header.get(key, 1)) - 1 for key in ("SUBSTRT1", "SUBSTRT2")]
    beyond = any(length - 0.5 < end for length, (_, end) in zip((nx, ny), transform.bounding_box, strict=True))
    if any(first):
        to_full = [Shift(start) if start else Identity(1) for start in first]
        transform = (to_full[0] & to_full[1]) | transform
        size = [int(image.header[key]) for key in ("SUBSIZE1", "SUBSIZE2")]
        transform.bounding_box = tuple((-0.5, length - 0.5) for length in size)
    elif beyond and not whole_box:
        transform.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return transform


def _reference_model(refs):
    path = refs.path("distortion")
    tree = parse(path.read_bytes(), path)
    if "model" not in tree:
        raise MissingReferenceError(f"{path}: the distortion reference holds no model; get it again")
    try:
        transform = transform_of(tree["model"])
    except BadDataError as error:
        raise MissingReferenceError(f"{path}: the model of the distortion reference cannot be used: {error}") from error
    if (transform.n_inputs, transform.n_outputs) != (2, 2):
        raise MissingReferenceError(f"{path}: the distortion model has {transform.n_inputs} inputs, 2 expected")
    return transform


def _filter_offset(image, refs, imager):
    """Shift in x and y, pixels, of the optical element, or None."""
    if not imager.offset_keys or not refs.has("filteroffset"):
        return None
    path = refs.path("filteroffset")
    rows = parse(path.read_bytes(), path).get("filters")
    if not isinstance(rows, list):
        raise MissingReferenceError(f"{path}: the filter-offset reference holds no list 'filters'; get it again")
    wanted = {key.lower(): image.header.get(key) for key in imager.offset_keys}
    found = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    if len(found) > 1:
        raise MissingReferenceError(f"{path}: {len(found)} rows for {wanted}, one expected; get the file again")
    if not found:
        log.info("%s has no row for %s: no filter offset", path.name, wanted)
        return None
    offset = [found[0].get(key, "N/A") for key in ("column_offset", "row_offset")]
    return None if "N/A" in offset else offset


def _aberration(image, pointing):
    """Telescope frame to telescope frame corrected for differential velocity aberration."""
    scale = image.sci_header.get("VA_SCALE", image.header.get("VA_SCALE"))
    if scale is None or scale == 1:
        return Identity(2)
    if scale <= 0:
        raise BadDataError(f"SCI: VA_SCALE is {scale}, expected a positive number; download the exposure again")
    scaled = Scale(scale).named("dva_scale_v2") & Scale(scale).named("dva_scale_v3")
    v2, v3 = pointing["V2_REF"], pointing["V3_REF"]
    if v2 == 0 and v3 == 0:
        return scaled
    back = Shift((1 - scale) * v2).named("dva_v2_shift") & Shift((1 - scale) * v3).named("dva_v3_shift")
    return (scaled | back).named("DVA_Correction")


def _to_sky(pointing):
    """Corrected telescope frame (arcseconds) to sky (degrees)."""
    angles = [
        pointing["V2_REF"] / 3600,
        -pointing["V3_REF"] / 3600,
        pointing["ROLL_REF"],
        pointing["DEC_REF"],
        -pointing["RA_REF"],
    ]
    chain = (Scale(1 / 3600) & Scale(1 / 3600)) | SphericalToCartesian(180)
    return (chain | RotationSequence(angles, "zyxyz") | CartesianToSpherical(360)).named("v23tosky")


def write_region(sci_header, wcs):
    """Write the footprint of an image, from its WCS, into S_REGION of its SCI header."""
    corners = wcs.footprint()
    corners[:, 0] %= 360.0
    _write_corners(sci_header, corners)


def _write_corners(sci_header, corners):
    if np.isfinite(corners).all():
        numbers = " ".join(f"{value:.9f}" for value in corners.ravel())
        set_keyword(sci_header, "S_REGION", f"POLYGON ICRS  {numbers}")


def write_fits_approximation(image, *, max_pix_error, degree, max_inv_pix_error, inv_degree, npoints):
    """Write keywords of the FITS approximation of the WCS of an image; where none can be made, log the reason.

    Parameters
    ----------
    image : Image
        With its WCS. Its SCI header and ASDF tree are changed.
    max_pix_error, max_inv_pix_error : float
        Pixels.
    degree, inv_degree : int or None
    npoints : int
    """
    header = image.sci_header
    crpix = [header.get("CRPIX1"), header.get("CRPIX2")]
    try:
        keywords = sip_keywords(
            lambda x, y: image.wcs(x, y, with_bounding_box=False),
            image.wcs.bounding_box,
            None if None in crpix else crpix,
            max_pix_error=max_pix_error,
            degree=degree,
            max_inv_pix_error=max_inv_pix_error,
            inv_degree=inv_degree,
            npoints=npoints,
        )
    except SIPError as error:
        log.warning("no FITS approximation of the WCS is written: %s", error)
        return
    remove_fits_approximation(header, but=keywords)
    extra = image.tree.setdefault("meta", {}).setdefault("wcsinfo", {})
    for key in [key for key in extra if key.startswith(("ap_", "bp_", "sip"))]:
        del extra[key]
    extra.update(wcsname="world", radesys="ICRS", lonpole=180.0, latpole=keywords["CRVAL2"], mjdref=0.0)
    for key, value in keywords.items():
        if key.islower():
            extra[key] = value
        else:
            set_keyword(header, key, value)
    for key, comment in _SIP_RESIDUALS.items():
        if key.lower() in keywords:
            # digits beyond these differ with the processor's linear algebra
            header[key] = (float(f"{keywords[key.lower()]:.3g}"), comment)


def remove_fits_approximation(header, but=()):
    """Remove scale, matrix and distortion of the FITS WCS from a header.

    Parameters
    ----------
    header : Header
    but : iterable of str
        Keywords that stay where they are: they get new values.
    """
    matrices = [f"{name}{i}_{j}" for name in ("PC", "CD") for i in (1, 2) for j in (1, 2)]
    sip = [f"{name}_{i}_{j}" for name in _SIP_SERIES for i in range(10) for j in range(10)]
    removed = {"CDELT1", "CDELT2", *matrices, *(f"{name}_ORDER" for name in _SIP_SERIES), *sip, *_SIP_RESIDUALS}
    for key in removed.intersection(header).difference(but):
        del header[key]
