"""The single exposure on an undistorted grid of its own."""

from typing import Annotated, Literal

from snakewebb.imaging.resample import resample
from snakewebb.steps import Between, Status, step


@step(version=1, keyword="S_RESAMP")
def resample_exposure(
    mosaic,
    references,
    *,
    pixfrac: Annotated[float, Between(0.0, 1.0)] = 1.0,
    kernel: Literal["square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"] = "square",
    fillval: str = "NAN",
    weight_type: Literal["ivm", "exptime"] | None = "ivm",
    rotation: float | None = None,
    pixel_scale_ratio: float = 1.0,
    pixel_scale: float | None = None,
    enable_ctx: bool = True,
    enable_err: bool = True,
    report_var: bool = True,
    propagate_dq: bool = False,
    pixmap_stepsize: float = 1.0,
    pixmap_order: Annotated[int, Between(1, 3)] = 1,
    good_bits: str = "~DO_NOT_USE+NON_SCIENCE",
) -> Status:
    """Drizzle one exposure onto an undistorted grid, as a quick look.

    Step `resample` on a single exposure, with parameters of its own, so that those of the mosaic do not change it.

    Parameters
    ----------
    mosaic : Mosaic
        With one exposure.
    references : References
        Not used.
    pixfrac : float
        Side of the shrunken input pixel, in units of the input pixel (no unit).
    kernel : str
        How the flux of an input pixel is distributed.
    fillval : str
        Value of output pixels without input: a number, or NAN.
    weight_type : str
        Weight of an input pixel: the inverse variance of the read noise (``ivm``), the exposure time (``exptime``), or
        none.
    rotation : float
        Position angle of the output's y axis, degrees from north to east; by default that of the exposure.
    pixel_scale_ratio : float
        Output over input pixel scale (no unit).
    pixel_scale : float
        Output pixel scale, arcseconds; overrides ``pixel_scale_ratio``.
    enable_ctx : bool
        Make the context image.
    enable_err : bool
        Make the error image, from the variances.
    report_var : bool
        Keep the variances.
    propagate_dq : bool
        Combine the data-quality flags of the pixels that contribute.
    pixmap_stepsize : float
        Above 1, pixel positions are computed every so many pixels only, and interpolated.
    pixmap_order : int
        Order of that interpolation, 1 or 3.
    good_bits : str
        Data-quality flags that a pixel may have and yet be used.

    Returns
    -------
    Status

    References
    ----------
    Step `resample` of jwst, as its stage 2 runs it.
    """
    return resample(
        mosaic,
        references,
        pixfrac=pixfrac,
        kernel=kernel,
        fillval=fillval,
        weight_type=weight_type,
        rotation=rotation,
        pixel_scale_ratio=pixel_scale_ratio,
        pixel_scale=pixel_scale,
        blendheaders=False,
        enable_ctx=enable_ctx,
        enable_err=enable_err,
        report_var=report_var,
        propagate_dq=propagate_dq,
        pixmap_stepsize=pixmap_stepsize,
        pixmap_order=pixmap_order,
        good_bits=good_bits,
        depth_radii=[],
    )
