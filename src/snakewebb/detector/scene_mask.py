"""Which pixels of a rate image show nothing but background: no sources, no bad pixels, no regions of spectra."""

import numpy as np

from snakewebb.detector.flicker_background import clip_to_background
from snakewebb.detector.soss_traces import mask_soss_traces, soss_traces
from snakewebb.dq import DO_NOT_USE, NO_FLAT_FIELD, NON_SCIENCE

MSA_FAILED_OPEN = 1 << 29
FIXED_SLIT_ROWS = slice(922, 1116)
"""Rows (0-based) of the fixed slits in spectra of the micro-shutters and of the integral field unit."""

_SLITS = ("NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_MSASPEC", "NRS_IFU")


def needs_wcs(exp_type):
    """Whether the regions of the spectra of an EXP_TYPE follow from its WCS."""
    return exp_type in _SLITS


def science_regions(exposure, dq, references, *, compatibility="native"):
    """Pixels that are not background whatever their values, as far as references and flags tell.

    These are the traces of NIRISS SOSS, what is no sky in MIRI images, failed-open shutters that are flagged already, and
    the rows of the fixed slits in the spectra of NIRSpec's other modes. Slits and slices, whose places follow
    from a WCS, are not among them.

    Parameters
    ----------
    exposure : Ramp or Image
    dq : ndarray of uint32 (..., ny, nx)
        Flags of the pixels.
    references : References
        FLAT for MIRI images, PASTASOSS for NIRISS SOSS.
    compatibility : {"native", "jwst"}
        As in `soss_traces`.

    Returns
    -------
    ndarray of bool, same shape as ``dq``
    """
    exp_type = exposure.header.get("EXP_TYPE", "")
    inside = np.zeros(dq.shape, np.bool_)
    if exp_type.startswith("NRS"):
        inside |= (dq & np.uint32(MSA_FAILED_OPEN)) != 0
    if exp_type in ("NRS_IFU", "NRS_MSASPEC"):
        inside[..., FIXED_SLIT_ROWS, :] = True
    if exp_type == "MIR_IMAGE":
        inside |= (dq & np.uint32(DO_NOT_USE | NON_SCIENCE)) != 0
        if references.has("flat"):
            inside |= _no_sky(references)
    if exp_type == "NIS_SOSS":
        header = exposure.header
        traces = soss_traces(
            references.tree("pastasoss"), header.get("PWCPOS"), header.get("SUBARRAY"), compatibility=compatibility
        )
        background = np.ones(dq.shape, np.bool_)
        mask_soss_traces(background, traces)
        inside |= ~background
    return inside


def background_mask(rates, regions, *, n_sigma, fit_histogram=False):
    """Background pixels of rate images.

    Parameters
    ----------
    rates : ndarray of float32 (ny, nx) or (nints, ny, nx)
        NaN or 0 marks a pixel without a rate.
    regions : ndarray of bool, broadcastable, or None
        Pixels that are no background.
    n_sigma : float
        Pixels more than this many standard deviations above the centre are no background, nor those more than 3 below; 0:
        no pixel is left out for its value.
    fit_histogram : bool
        As in `clip_to_background`.

    Returns
    -------
    ndarray of bool, same shape
    """
    mask = ~np.isnan(rates)
    mask &= rates != 0
    if regions is not None:
        mask &= ~regions
    if n_sigma > 0:
        for image, plane in zip(_planes(rates), _planes(mask), strict=True):
            clip_to_background(image, plane, sigma_upper=n_sigma, fit_histogram=fit_histogram)
    return mask


def _planes(array):
    return array.reshape(-1, *array.shape[-2:])


def _no_sky(references):
    flat, dq = references.array("flat"), references.dq("flat")
    return ((dq & np.uint32(DO_NOT_USE | NON_SCIENCE | NO_FLAT_FIELD)) != 0) | np.isnan(flat) | (flat == 0)
