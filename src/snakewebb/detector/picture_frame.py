"""Subtraction of the thermal picture frame of NIRSpec's full frames."""

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows
from snakewebb.detector.clean_flicker_noise import draft_images
from snakewebb.detector.flicker_background import median_level, sorted_values
from snakewebb.detector.scene_mask import background_mask, needs_wcs, science_regions
from snakewebb.io.models import Ramp
from snakewebb.steps import NO_REFERENCE, NOT_APPLICABLE, Status, step

# rows and columns, counted from 0, the last one excluded
_CENTRE = (76, 1984)
_EDGES = ((4, 75), (1985, 2043))


@step(
    version=1,
    keyword="S_PCTFRM",
    references=("pictureframe",),
    optional_references=("gain", "readnoise"),
    skip=True,
    whole_exposure=True,
)
def picture_frame(
    exposure,
    references,
    *,
    mask_science_regions: bool = True,
    n_sigma: float = 2.0,
    save_mask: bool = False,
    save_correction: bool = False,
) -> Status:
    """Subtract the thermal background of a full frame, which is brighter at the edges than in the middle.

    The reference image is scaled and shifted so that its medians in the middle and at the edges are those of the
    background pixels of each group less the first, or of each rate image, and subtracted. The first group stays as it is.

    Parameters
    ----------
    exposure : Ramp or Image
        A ramp between jump and ramp_fit, or rate images; ``data`` is changed.
    references : References
        PICTUREFRAME, and for ramps gain and read noise.
    mask_science_regions : bool
        Leave out the rows of the fixed slits in the spectra of the other modes, and failed-open shutters that are
        flagged. The places of slits and slices follow from a WCS that this version cannot make: they are left out
        only as far as they are bright, and the status says so.
    n_sigma : float
        Pixels more than this many standard deviations above the background are taken for sources; 0: none is.
    save_mask : bool
        Keep the mask as ``extra["pctfrm_mask"]``.
    save_correction : bool
        Keep result minus input as ``extra["pctfrm_correction"]``, DN or DN/s; as large as ``data``.

    Returns
    -------
    Status
        NOT_APPLICABLE for other exposures, for ramps of one group, and where no background pixel is left in the
        middle or at the edges.

    References
    ----------
    The step ``picture_frame`` of `jwst`.
    """
    header, data = exposure.header, exposure.data
    ramp = isinstance(exposure, Ramp)
    if header.get("INSTRUME", "").upper() != "NIRSPEC" or header.get("SUBARRAY", "").upper() != "FULL":
        return Status(NOT_APPLICABLE, "the correction is for full frames of NIRSpec")
    if ramp and data.shape[1] == 1:
        return Status(NOT_APPLICABLE, "a ramp of one group has no difference that could be corrected")
    missing = [reftype for reftype in ("gain", "readnoise") if ramp and not references.has(reftype)]
    if missing:
        return Status(NO_REFERENCE, f"no {', '.join(missing)} reference for this exposure")
    mask = _background(exposure, references, mask_science_regions, n_sigma)
    centre, edge = _regions(mask)
    if not centre.any() or not edge.any():
        where = "in the middle" if not centre.any() else "at the edges"
        return Status(NOT_APPLICABLE, f"there is no background pixel {where}")
    before = data.copy() if save_correction else None
    reference = references.array("pictureframe")
    edge_level = _level(reference, edge)
    contrast = _level(reference, centre) - edge_level
    shape = reference - edge_level
    stacks = [data[i, 1:] for i in range(data.shape[0])] if ramp else [data.reshape(-1, *data.shape[-2:])]
    for integration, images in enumerate(stacks):
        zero = np.array(data[integration, 0]) if ramp else np.float32(0.0)
        by_rows(_correct, images.shape[0], images, zero, shape, contrast, centre, edge, block=1)
    references.drop("pictureframe")
    if save_mask:
        exposure.extra["pctfrm_mask"] = _units(exposure, mask.astype(np.float32))
    if save_correction:
        exposure.extra["pctfrm_correction"] = _units(exposure, np.subtract(data, before, out=before))
    if mask_science_regions and needs_wcs(header.get("EXP_TYPE", "")):
        return Status(reason="slits, slices and open shutters were masked as far as they are bright, for want of a WCS")
    return Status()


def _background(exposure, references, mask_science_regions, n_sigma):
    """Pixels that are background in all images."""
    regions = None
    if mask_science_regions:
        dq = exposure.pixeldq if isinstance(exposure, Ramp) else exposure.dq
        regions = science_regions(exposure, dq, references)
        regions = regions.any(axis=0) if regions.ndim == 3 else regions
    mask = np.ones(exposure.data.shape[-2:], np.bool_)
    for rate in draft_images(exposure, references, together=True):
        mask &= background_mask(rate, regions, n_sigma=n_sigma)
    return mask


def _regions(mask):
    """Background pixels of the middle and of the edges, without the reference pixels."""
    size = mask.shape[0]
    middle = np.zeros(size, np.bool_)
    middle[slice(*_CENTRE)] = True
    rim = np.zeros(size, np.bool_)
    for edge in _EDGES:
        rim[slice(*edge)] = True
    inside = np.zeros(size, np.bool_)
    inside[_EDGES[0][0] : _EDGES[1][1]] = True
    frame = (rim[:, None] | rim) & inside[:, None] & inside
    return mask & middle[:, None] & middle, mask & frame


def _level(image, region):
    return median_level(sorted_values(image, region))


def _correct(first, last, images, zero, shape, contrast, centre, edge):
    for k in range(first, last):
        image = images[k] - zero
        edge_level = _level(image, edge)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = (_level(image, centre) - edge_level) / contrast
            correction = scale * shape
            correction += edge_level
            np.subtract(zero, correction, out=correction)
            np.add(image, correction, out=images[k])


def _units(exposure, array):
    return [fits.PrimaryHDU(header=exposure.header.copy()), fits.ImageHDU(array, name="SCI")]
