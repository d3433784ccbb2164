"""Subtraction of the flicker (1/f) noise of the read-out."""

import logging
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from astropy.io import fits

from snakewebb.detector.draft_rate import draft_rates
from snakewebb.detector.flicker_background import background_level
from snakewebb.detector.flicker_cleaning import Cleaning, Masks, clean_exposure
from snakewebb.detector.scene_mask import background_mask, needs_wcs, science_regions
from snakewebb.errors import ConfigError
from snakewebb.io.models import Ramp
from snakewebb.steps import FAILED, NO_REFERENCE, Between, Status, step

log = logging.getLogger(__name__)

_FREQUENCY_FIT = ("NRS_MSASPEC", "NRS_IFU", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
# what else the scale of their median image is taken from, and needs steps for that are not part of stage 1
_SPECTRUM = ("NIS_SOSS", "NRS_BRIGHTOBJ", "NRC_TSGRISM")


@step(
    version=1,
    keyword="S_CLNFNS",
    optional_references=("gain", "readnoise", "flat", "pastasoss"),
    skip=True,
    whole_exposure=True,
)
def clean_flicker_noise(
    exposure,
    references,
    *,
    autoparam: bool = False,
    fit_method: Literal["fft", "median"] = "median",
    fit_by_channel: bool = False,
    background_method: Literal["median", "model", "median_image"] | None = "median",
    background_box_size: list[int] | None = None,
    mask_science_regions: bool = False,
    apply_flat_field: bool = False,
    n_sigma: Annotated[float, Between(0, None)] = 2.0,
    fit_histogram: bool = False,
    single_mask: bool = True,
    user_mask: str | None = None,
    save_mask: bool = False,
    save_background: bool = False,
    save_noise: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Fit and subtract the noise that the pixels of a line of the read-out have in common.

    In a ramp, the differences of consecutive groups are cleaned and added up again; in rate images, the images. Pixels that show
    sources, jumps or unusable samples are left out of the fit. A smooth background is subtracted before and restored
    afterwards. Pixels that are NaN stay so, in a ramp from there on.

    Parameters
    ----------
    exposure : Ramp or Image
        A ramp between jump and ramp_fit, or rate images. ``data`` is changed; the maps that are to be saved are
        put into ``extra``.
    references : References
        Gain and read noise, for the draft rates of a ramp; FLAT; PASTASOSS for the traces of NIRISS SOSS.
    autoparam : bool
        For images of NIRCam and NIRISS, choose background_method, fit_by_channel and apply_flat_field from the
        image; what the user gave for these is then not used.
    fit_method : {"fft", "median"}
        Noise as the median of each line along the slow axis, or, for NIRSpec, as low frequencies of the line.
    fit_by_channel : bool
        Median of each amplifier by itself; for full frames of the near-infrared detectors.
    background_method : {"median", "model", "median_image", None}
        What is subtracted before the fit: the median of the background pixels, a smooth model of them, the median of
        all integrations scaled to the flux of each (time series), or nothing.
    background_box_size : list of int, optional
        Rows and columns of the boxes of the model, pixels; by default the largest divisors of the image's sides up to 32.
    mask_science_regions : bool
        Leave out regions of spectra (NIRISS SOSS) and what is no sky (MIRI), whatever their values.
    apply_flat_field : bool
        Divide by the flat field during the fit.
    n_sigma : float
        Pixels more than this many standard deviations above the background are taken for sources; 0: none is.
    fit_histogram : bool
        Find level and width of the background by fitting a Gaussian to the histogram of the draft rates.
    single_mask : bool
        One mask of the sources for all integrations.
    user_mask : str, optional
        Path of a FITS image or cube, not 0 for pixels of the background, instead of the mask from the draft rates.
    save_mask : bool
        Keep the mask as ``extra["mask"]``.
    save_background : bool
        Keep what was subtracted before the fit as ``extra["flicker_bkg"]``, DN or DN/s; as large as ``data``.
    save_noise : bool
        Keep result minus input as ``extra["flicker_noise"]``, DN or DN/s; as large as ``data``.
    compatibility : {"native", "jwst"}
        ``"jwst"`` repeats what `jwst` 3.0.0 does where ``"native"`` differs on purpose, see Notes.

    Returns
    -------
    Status
        FAILED, with the data unchanged, for exposures that the method is not made for.

    Raises
    ------
    ConfigError
        If the user's mask cannot be read, or the box size is not two positive numbers.

    Notes
    -----
    What ``"native"`` changes:

    * ``fft``: the weights of a pixel come from the mask around it, and the model is subtracted where it was fitted. In
      ``"jwst"`` both are displaced by a line and a pixel (in subarrays, the weights by a pixel).
    * The draft rates are those of `ramp_fit` with the same choice.
    * Traces of NIRISS SOSS in full frames are masked where they are. In ``"jwst"`` they are masked at the rows that they
      have in SUBSTRIP256.

    An image in which no pixel is left for the fit stays as it is, in both; `jwst` 3.0.0 gives the exposure up in the
    ``fft`` method.

    References
    ----------
    The step ``clean_flicker_noise`` of `jwst`; Willott's image1overf; Rauscher 2024, PASP 136, 015001 (NSClean).
    """
    header = exposure.header
    exp_type = header.get("EXP_TYPE", "")
    axis = 0 if exp_type.startswith("MIR") else abs(int(header.get("SLOWAXIS", 1))) - 1
    if autoparam:
        chosen = _chosen_parameters(exposure, references, axis, compatibility)
        fit_by_channel = chosen.get("fit_by_channel", fit_by_channel)
        background_method = chosen.get("background_method", background_method)
        apply_flat_field = chosen.get("apply_flat_field", apply_flat_field)
    scaled = background_method == "median_image"
    refusal = _refusal(exposure, fit_method, scaled, mask_science_regions and user_mask is None)
    if refusal:
        log.warning("clean_flicker_noise: %s", refusal)
        return Status(FAILED, refusal)
    ramp = isinstance(exposure, Ramp)
    needed = ["gain", "readnoise"] if ramp and (user_mask is None or scaled) else []
    if exp_type == "NIS_SOSS" and mask_science_regions and user_mask is None:
        needed.append("pastasoss")
    missing = [reftype for reftype in needed if not references.has(reftype)]
    if missing:
        return Status(NO_REFERENCE, f"no {', '.join(missing)} reference for this exposure")
    flat = None
    if apply_flat_field and references.has("flat"):
        flat = filled_flat(references)
    elif apply_flat_field:
        log.warning("clean_flicker_noise: there is no FLAT reference for EXP_TYPE %s, none is applied", exp_type)
    full_near_infrared = header.get("SUBARRAY", "").upper() == "FULL" and not exp_type.startswith("MIR")
    if fit_by_channel and not full_near_infrared:
        log.warning("clean_flicker_noise: fit_by_channel is for full frames of near-infrared detectors, not used")
    cleaning = Cleaning(
        fit_method=fit_method,
        background_method=None if scaled else background_method,
        box_size=_box_size(background_box_size),
        n_sigma=n_sigma,
        axis=axis,
        by_channel=bool(fit_by_channel and full_near_infrared),
        detector=header.get("DETECTOR", "").upper(),
        subarray=header.get("SUBARRAY", "").upper(),
        flat=flat,
        compatibility=compatibility,
    )
    if user_mask is not None:
        masks = Masks(_read_mask(user_mask))
        nints = 1 if exposure.data.ndim == 2 else exposure.data.shape[0]
        if masks.shape != exposure.data.shape[-2:] or (not masks.single and len(masks) != nints):
            return Status(
                FAILED,
                f"user_mask {user_mask} has the shape {masks.array().shape}, expected {exposure.data.shape[-2:]} "
                f"or {(nints, *exposure.data.shape[-2:])}",
            )
    else:
        regions = None
        if mask_science_regions:
            dq = exposure.pixeldq if ramp else exposure.dq
            regions = science_regions(exposure, dq, references, compatibility=compatibility)
        single = single_mask and not scaled
        rates = draft_images(exposure, references, flat, together=single and ramp, compatibility=compatibility)
        found = (
            background_mask(plane, _plane(regions, i), n_sigma=n_sigma, fit_histogram=fit_histogram)
            for i, plane in enumerate(rates)
        )
        masks = Masks(_all(found) if single or exposure.data.ndim == 2 else found)
    scales = None
    if scaled:
        scales = _integration_scales(draft_images(exposure, references, flat, compatibility=compatibility))
        if scales is None:
            return Status(FAILED, "no integration has a finite median rate, so the median image cannot be scaled")
    background = np.zeros_like(exposure.data) if save_background else None
    before = exposure.data.copy() if save_noise else None
    skipped = clean_exposure(exposure, masks, cleaning, scales=scales, save_background=background)
    if save_mask:
        exposure.extra["mask"] = _units(exposure, masks.array())
    if save_background:
        exposure.extra["flicker_bkg"] = _units(exposure, background)
    if save_noise:
        exposure.extra["flicker_noise"] = _units(exposure, np.subtract(exposure.data, before, out=before))
    return Status(reason=f"{skipped} images have no usable pixel and were left as they are" if skipped else "")


def _chosen_parameters(exposure, references, axis, compatibility):
    """What autoparam chooses; nothing where it cannot."""
    from snakewebb.detector.flicker_parameters import image_parameters

    missing = [reftype for reftype in ("gain", "readnoise") if not references.has(reftype)]
    if isinstance(exposure, Ramp) and missing:
        return {}
    if exposure.data.ndim == 3:
        with np.errstate(invalid="ignore"):
            number = np.count_nonzero(~np.isnan(exposure.data), axis=0)
            rate = np.nansum(exposure.data, axis=0) / number.astype(np.float32)
    else:
        rate = next(draft_images(exposure, references, together=True, compatibility=compatibility)).copy()
    flat = filled_flat(references) if references.has("flat") else None
    return image_parameters(exposure.header.get("EXP_TYPE", ""), rate, flat, axis)


def filled_flat(references):
    """The flat field, with a smooth model of it where it is 0 or not finite."""
    flat = references.array("flat").copy()
    bad = (flat == 0) | ~np.isfinite(flat)
    if bad.any():
        model = background_level(flat, ~bad, method="model")
        flat[bad] = model if np.ndim(model) == 0 else model[bad]
    return flat


def _refusal(exposure, fit_method, scaled, regions):
    """Why the step cannot be done for an exposure, or nothing."""
    header = exposure.header
    exp_type = header.get("EXP_TYPE", "")
    if exp_type.startswith("MIR") and exp_type != "MIR_IMAGE":
        return f"flicker noise of EXP_TYPE {exp_type} is not supported"
    if fit_method == "fft" and exp_type not in _FREQUENCY_FIT:
        return f"fit_method fft is for EXP_TYPE {', '.join(_FREQUENCY_FIT)}, not for {exp_type}"
    if regions and needs_wcs(exp_type):
        return (
            f"mask_science_regions needs the places of the slits or slices of {exp_type}, which follow from a WCS that this "
            "version cannot make; set it to false, or give a user_mask"
        )
    if not scaled:
        return ""
    nints = 1 if exposure.data.ndim == 2 else exposure.data.shape[0]
    if nints < 2:
        return f"background_method median_image needs at least 2 integrations, there is {nints}"
    if exp_type in _SPECTRUM:
        return (
            f"background_method median_image needs an extracted spectrum for {exp_type}, which this version cannot make"
        )
    if exp_type == "NRC_TSIMAGE" or (exp_type == "MIR_IMAGE" and header.get("TSOVISIT")):
        return (
            f"background_method median_image needs aperture photometry for time series of {exp_type}, which this version "
            "cannot make"
        )
    return ""


def _box_size(given):
    if given is None:
        return None
    if len(given) != 2 or min(given) < 1:
        raise ConfigError(
            f"clean_flicker_noise.background_box_size: found {given!r}, expected two positive numbers: rows and columns"
        )
    return tuple(given)


def draft_images(exposure, references, flat=None, *, together=False, compatibility="native"):
    """Rate images of an exposure one after the other, divided by the flat field.

    Parameters
    ----------
    exposure : Ramp or Image
    references : References
        Gain and read noise, for a ramp.
    flat : ndarray of float32 (ny, nx), optional
    together : bool
        One image for all integrations of a ramp.
    compatibility : {"native", "jwst"}
        As in `ramp_fit`.

    Yields
    ------
    ndarray of float32 (ny, nx)
    """
    data = exposure.data
    if not isinstance(exposure, Ramp):
        for plane in data.reshape(-1, *data.shape[-2:]):
            yield plane if flat is None else plane / flat
        return
    parts = [slice(None)] if together else [slice(i, i + 1) for i in range(data.shape[0])]
    for part in parts:
        zeroframe = None if exposure.zeroframe is None else exposure.zeroframe[part]
        one = replace(exposure, data=data[part], groupdq=exposure.groupdq[part], zeroframe=zeroframe)
        rate = draft_rates(one, references, compatibility=compatibility)
        yield rate if flat is None else np.divide(rate, flat, out=rate)


def _plane(regions, integration):
    return regions[integration] if regions is not None and regions.ndim == 3 else regions


def _all(masks):
    total = next(masks)
    for mask in masks:
        total &= mask
    return total


def _integration_scales(rates):
    """Median rate of each integration relative to the median of all, float32; None if there is none."""
    medians = []
    for rate in rates:
        values = rate[~np.isnan(rate)]
        medians.append(np.median(values) if values.size else np.float32(np.nan))
    medians = np.array(medians, np.float32)
    if np.isnan(medians).all():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = medians / np.nanmedian(medians)
    finite = np.isfinite(scales)
    if not finite.any():
        return None
    if not finite.all():
        log.warning(
            "clean_flicker_noise: %d integrations have no median rate, scaled by that of the others", (~finite).sum()
        )
        scales[~finite] = np.median(scales[finite])
    return scales


def _read_mask(path):
    try:
        with fits.open(path) as units:
            unit = units["SCI"] if "SCI" in units else next(unit for unit in units if unit.data is not None)
            mask = np.asarray(unit.data)
    except (OSError, StopIteration) as error:
        raise ConfigError(f"clean_flicker_noise.user_mask: {path} cannot be read as a FITS image ({error})") from error
    if mask.dtype.names or mask.ndim not in (2, 3):
        raise ConfigError(f"clean_flicker_noise.user_mask: {path} holds no image or cube, but {mask.ndim} axes")
    return mask.astype(np.bool_)


def _units(exposure, array):
    return [fits.PrimaryHDU(header=exposure.header.copy()), fits.ImageHDU(array, name="SCI")]
