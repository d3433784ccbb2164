"""Spectra of the sources in cubes of integral-field units."""

import logging
from typing import Annotated, Literal

import numpy as np

from snakewebb.cubes.aperture_correction import aperture_correction, interpolated
from snakewebb.cubes.plane_apertures import sum_circles, sum_planes
from snakewebb.cubes.source_position import source_position
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.steps import Between, Status, step

log = logging.getLogger(__name__)


@step(version=1, keyword="S_EXTR1D", references=("extract1d",), optional_references=("apcorr",))
def extract_1d(
    cube,
    references,
    *,
    subtract_background: bool | None = None,
    apply_apcorr: bool = True,
    extraction_type: Literal["box", "optimal"] | None = "box",
    use_source_posn: bool | None = None,
    position_offset: float = 0.0,
    model_nod_pair: bool = True,
    optimize_psf_location: bool = True,
    smoothing_length: int | None = None,
    bkg_fit: Literal["poly", "mean", "median"] | None = None,
    bkg_order: Annotated[int | None, Between(0, None)] = None,
    log_increment: int = 50,
    save_profile: bool = False,
    save_scene_model: bool = False,
    save_residual_image: bool = False,
    center_xy: list[float] | None = None,
    ifu_autocen: bool = False,
    bkg_sigma_clip: Annotated[float, Between(0.0, None)] = 3.0,
    ifu_rfcorr: bool = True,
    ifu_set_srctype: Literal["POINT", "EXTENDED"] | None = None,
    ifu_rscale: Annotated[float | None, Between(0.5, 3.0)] = None,
    ifu_covar_scale: Annotated[float, Between(0.0, None)] = 1.0,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Extract the spectrum of a cube: in a circle around a point source, or of the whole field.

    The circle grows with wavelength as the reference says; the background comes from a ring around it, without outliers, and the flux
    is corrected for what falls outside of the circle. An extended source is the sum over all spaxels, without background subtraction
    and correction; BACKGROUND is the mean of the field without outliers then.

    Errors are those of independent spaxels, from ERR; neighbouring spaxels of a cube are not independent, which ``ifu_covar_scale``
    accounts for.

    Appends to ``cube.spectra``.

    Parameters
    ----------
    cube : Cube
    references : References
    subtract_background : bool
        Subtract the background of a point source; by default as the reference says.
    apply_apcorr : bool
        Correct a point source for what falls outside of the circle.
    extraction_type, use_source_posn, position_offset, model_nod_pair, optimize_psf_location
        For slits; of no effect on cubes.
    smoothing_length, bkg_fit, bkg_order, log_increment, save_profile, save_scene_model, save_residual_image
        For slits; of no effect on cubes.
    center_xy : list of float
        Column and row of the source, 0-based spaxels.
    ifu_autocen : bool
        Use the brightest source of the median of all planes.
    bkg_sigma_clip : float
        Standard deviations beyond which spaxels do not count as background.
    ifu_rfcorr : bool
        Correct spectra of the MRS for residual fringes, in columns of their own (RF_FLUX, RF_SURF_BRIGHT, RF_BACKGROUND).
    ifu_set_srctype : str
        POINT or EXTENDED; by default what srctype found (SRCTYPE).
    ifu_rscale : float
        Radius of the circle for the MRS, in units of the full width at half maximum of the point spread function; that of the
        reference is 2.
    ifu_covar_scale : float
        Factor of all errors; `snakewebb.cubes.covariance.covariance_scale` gives it for apertures in drizzled cubes.
    compatibility : {"native", "jwst"}
        "jwst" puts a target given by TARG_RA and TARG_DEC at the centre of the nearest spaxel and a source without position half a
        spaxel beyond the middle of the cube, takes the limits of clipping from the whole plane and the mean background over the ring with
        its outliers, and weights variances as the data are.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        If ``center_xy`` is not two numbers.
    BadDataError
        If the cube has no PIXAR_SR.
    MissingReferenceError
        If a reference lacks its table.

    References
    ----------
    Step ``extract_1d`` of jwst.
    """
    if center_xy is not None and len(center_xy) != 2:
        raise ConfigError(
            f"steps.extract_1d.center_xy: found {center_xy}, expected two numbers: column and row, 0-based"
        )
    area = cube.keyword("PIXAR_SR")
    if not area:
        raise BadDataError(
            "[SCI]: keyword PIXAR_SR of the cube is missing or 0, so fluxes have no unit; make the cube again"
        )
    jwst = compatibility == "jwst"
    reasons = []
    kind = str(ifu_set_srctype or cube.keyword("SRCTYPE", "")).strip().upper()
    if kind not in ("POINT", "EXTENDED"):
        reasons.append(f"SRCTYPE is {kind or 'missing'}, taken for EXTENDED")
        kind = "EXTENDED"
    table, settings = _apertures(references)
    wave = np.asarray(cube.grid.wave, np.float64)
    miri = cube.grid.instrument == "MIRI"
    radii = None
    _, ny, nx = cube.data.shape
    if kind == "POINT":
        x, y, how = source_position(cube, center_xy=center_xy, autocen=ifu_autocen, jwst=jwst)
        if ifu_autocen and how not in ("auto", "user"):
            reasons.append(f"no source found; the {how} is used")
        scale = cube.grid.cdelt[0]
        factor = ifu_rscale / 2.0 if miri and ifu_rscale is not None else 1.0
        radii = interpolated(wave, table["wavelength"], table["radius"] * factor) / scale
        wanted = settings["subtract_background"] if subtract_background is None else subtract_background
        rings = tuple(
            interpolated(wave, table["wavelength"], table[name]) / scale for name in ("inner_bkg", "outer_bkg")
        )
        sums = sum_circles(
            cube,
            (x, y),
            radii,
            rings if wanted else None,
            method=settings["method"],
            subpixels=settings["subpixels"],
            clip=bkg_sigma_clip,
            jwst=jwst,
        )
    else:
        x, y = (nx - 1) / 2.0, (ny - 1) / 2.0
        sums = sum_planes(cube, clip=bkg_sigma_clip)
    columns = _columns(sums, wave, float(area), ifu_covar_scale, miri)
    if miri:
        reasons += _correct_fringes(columns, cube.bands, float(area), wanted=ifu_rfcorr)
    if kind == "POINT" and apply_apcorr:
        if references.has("apcorr"):
            _apply(columns, aperture_correction(references, wave, radii, scale))
        else:
            reasons.append("no apcorr reference: no aperture correction")
    ra, dec = cube.grid.pixel_to_sky(nx / 2.0, ny / 2.0) if not cube.grid.local else (np.nan, np.nan)
    keywords = {"SLTNAME": cube.keyword("EXP_TYPE"), "SRCTYPE": kind, "EXTR_X": x, "EXTR_Y": y}
    keywords |= {
        "SLIT_RA": float(ra),
        "SLIT_DEC": float(dec),
        "DETECTOR": cube.keyword("DETECTOR"),
        "PA_APER": cube.keyword("PA_APER"),
    }
    keywords = {key: value for key, value in keywords.items() if value is not None}
    cube.spectra.append(Spectrum(columns, cube.header.copy(), keywords, float(ra), float(dec)))
    return Status(reason="; ".join(reasons))


def _apertures(references):
    """Radii by wavelength (arcsec, micron), and how to sum."""
    tree = references.tree("extract1d")
    try:
        data, meta = tree["data"], tree["meta"]
        table = {
            name: np.asarray(data[name], np.float64).ravel()
            for name in ("wavelength", "radius", "inner_bkg", "outer_bkg")
        }
        settings = {
            "subtract_background": bool(meta["subtract_background"]),
            "method": str(meta["method"]),
            "subpixels": int(meta["subpixels"]),
        }
    except (KeyError, TypeError) as error:
        raise MissingReferenceError(
            f"{references.path('extract1d')}: {error} is missing, expected apertures by wavelength of an integral-field unit; "
            "use another extract1d reference"
        ) from error
    return table, settings


def _columns(sums, wave, area, scale, miri):
    """The table of a spectrum, in its units."""
    columns = empty_table(len(wave), miri=miri)
    spaxels = np.where(sums.area > 0, sums.area, 1.0)
    ring = np.where(sums.background_area > 0, sums.background_area, 1.0)
    columns["WAVELENGTH"] = wave
    columns["FLUX"] = sums.flux * area * 1e6
    columns["FLUX_ERROR"] = np.sqrt(sums.variance) * area * 1e6 * scale
    columns["SURF_BRIGHT"] = sums.flux / spaxels
    columns["SB_ERROR"] = np.sqrt(sums.variance) / spaxels * scale
    columns["BACKGROUND"] = sums.background / ring
    columns["BKGD_ERROR"] = np.sqrt(sums.background_variance) / ring * scale
    columns["NPIXELS"] = sums.area
    columns["DQ"] = np.where(sums.empty, DO_NOT_USE, 0)
    return columns


def _correct_fringes(columns, bands, area, *, wanted):
    """Fill the columns without residual fringes, or with NaN; returns what could not be corrected."""
    pairs = (("RF_FLUX", "FLUX"), ("RF_SURF_BRIGHT", "SURF_BRIGHT"), ("RF_BACKGROUND", "BACKGROUND"))
    if not wanted:
        for name, _ in pairs:
            columns[name] = np.nan
        return []
    from snakewebb.spectroscopy.fringe_background import FringeFitError
    from snakewebb.spectroscopy.residual_fringe_1d import without_fringes

    channels = {channel for channel, _ in bands}
    channel = int(channels.pop()) if len(channels) == 1 else None
    failed = []
    for name, source in pairs:
        # in surface brightness, as the limits of what counts are
        factor = area * 1e6 if source == "FLUX" else 1.0
        try:
            columns[name] = without_fringes(columns[source] / factor, columns["WAVELENGTH"], channel) * factor
        except FringeFitError as error:
            columns[name] = np.nan
            failed.append(f"{name} ({error})")
    return [f"no correction of residual fringes in {', '.join(failed)}"] if failed else []


def _apply(columns, correction):
    names = columns.dtype.names
    for name in ("FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "RF_FLUX", "RF_SURF_BRIGHT"):
        if name in names:
            columns[name] *= correction
