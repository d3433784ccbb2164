"""Combining exposures on one grid of the sky."""

from functools import partial
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import behind, by_rows, njit
from snakewebb.dq import bits_from_expression
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.drizzle_kernel import BITS, Drizzle
from snakewebb.imaging.mosaic import Mosaic, grouped, images_of
from snakewebb.imaging.mosaic_depth import RADII, note_depth
from snakewebb.imaging.mosaic_header import MosaicHeader
from snakewebb.imaging.output_grid import mean_pixel_area, output_grid
from snakewebb.imaging.pixel_map import PixelMap, used_box
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

VARIANCES = ("var_rnoise", "var_flat", "var_poisson")


@step(version=1, keyword="S_RESAMP")
def resample(
    mosaic,
    references,
    *,
    pixfrac: Annotated[float, Between(0.0, 1.0)] = 1.0,
    kernel: Literal["square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"] = "square",
    fillval: str = "NAN",
    weight_type: Literal["ivm", "exptime"] | None = "ivm",
    output_shape: list[int] | None = None,
    crpix: list[float] | None = None,
    crval: list[float] | None = None,
    rotation: float | None = None,
    pixel_scale_ratio: float = 1.0,
    pixel_scale: float | None = None,
    output_wcs: str = "",
    single: bool = False,
    blendheaders: bool = True,
    in_memory: bool = True,
    enable_ctx: bool = True,
    enable_err: bool = True,
    report_var: bool = True,
    propagate_dq: bool = False,
    pixmap_stepsize: float = 1.0,
    pixmap_order: Annotated[int, Between(1, 3)] = 1,
    good_bits: str = "~DO_NOT_USE+NON_SCIENCE",
    depth_radii: list[float] | None = None,
):
    """Drizzle exposures onto one grid of the sky.

    Exposures are read one at a time: memory is that of the output and of one input. The sky level that `skymatch` found
    is subtracted.

    Parameters
    ----------
    mosaic : Mosaic
        Its exposures are the input; the result is stored in it.
    references : References
        Not used.
    pixfrac : float
        Side of the shrunken input pixel, in units of the input pixel (no unit).
    kernel : str
        How the flux of an input pixel is distributed. Only ``square`` and ``point`` conserve it exactly.
    fillval : str
        Value of output pixels without input: a number, or NAN.
    weight_type : str
        Weight of an input pixel: the inverse variance of the read noise (``ivm``), the exposure time (``exptime``), or
        none.
    output_shape : list of int
        Columns and rows of the output, pixels.
    crpix : list of float
        0-based pixel coordinates (x, y) of the reference point.
    crval : list of float
        Right ascension and declination of the reference point, degrees.
    rotation : float
        Position angle of the output's y axis, degrees from north to east; by default that of the first exposure.
    pixel_scale_ratio : float
        Output over input pixel scale (no unit).
    pixel_scale : float
        Output pixel scale, arcseconds; overrides ``pixel_scale_ratio``.
    output_wcs : str
        ASDF file with the WCS of the output; overrides the other parameters of the grid.
    single : bool
        Resample the exposures of each group separately, on the common grid.
    blendheaders : bool
        Combine the keywords of all exposures, and list them in the table HDRTAB.
    in_memory : bool
        Accepted for compatibility; exposures are always read one at a time.
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
    depth_radii : list of float
        Radii of circles without a source, pixels of the detector: how much their fluxes scatter, over the stated error and as limiting
        magnitude, is written into the header (EMPTYRn, EMPTYPn, DEPTHn; see `note_depth`); null: 1.5, 3 and 6; an empty list: none.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        For parameters that contradict each other.
    BadDataError
        If the exposures have different units, or lie so far apart that the mosaic would be absurdly large.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144; step `resample` of jwst.
    """
    if not mosaic.exposures and mosaic.tile is None:
        return Status(NOT_APPLICABLE, "there is no exposure")
    check_map_parameters(pixmap_stepsize, pixmap_order)
    check_units(mosaic.exposures)
    if mosaic.tile is None and not mosaic.only_headers:
        mosaic.grid = grid_of(
            mosaic.exposures,
            output_shape=output_shape,
            crpix=crpix,
            crval=crval,
            rotation=rotation,
            pixel_scale=pixel_scale,
            pixel_scale_ratio=pixel_scale_ratio,
            output_wcs=output_wcs,
        )
    settings = {
        "pixfrac": pixfrac,
        "kernel": kernel,
        "fillval": fill_value(fillval),
        "weight_type": weight_type,
        "good_bits": bits_from_expression(good_bits),
        "stepsize": pixmap_stepsize,
        "order": pixmap_order,
        "context": enable_ctx,
        "propagate_dq": propagate_dq,
    }
    if single:
        for group, exposures in grouped(mosaic.exposures).items():
            part = Mosaic(exposures, grid=mosaic.grid)
            _combine(part, error="drizzled", keep_variances=False, blend=blendheaders, settings=settings)
            if mosaic.save_single is not None:
                mosaic.save_single(group, part)
            else:
                mosaic.singles[group] = part
        return Status()
    error = "from variances" if enable_err else None
    blend = blendheaders and len(mosaic.exposures) > 1
    if mosaic.only_headers:
        _make_headers(mosaic, settings, blend=blend)
    else:
        _combine(mosaic, error=error, keep_variances=report_var, blend=blend, settings=settings)
    if mosaic.tile is None:
        note_depth(mosaic, RADII if depth_radii is None else depth_radii)
    return Status()


def check_map_parameters(stepsize, order):
    """Refuse an interpolation of pixel positions that does not exist."""
    if order not in (1, 3):
        raise ConfigError(f"pixmap_order: found {order}, expected 1 or 3")
    if not stepsize >= 1:
        raise ConfigError(f"pixmap_stepsize: found {stepsize}, expected a number of at least 1")


def fill_value(text):
    """Number for a fill value given as text (a number, NAN or INDEF)."""
    word = str(text).strip()
    if word.upper() in ("", "INDEF", "NAN", "NONE"):
        return np.nan
    try:
        return float(word)
    except ValueError:
        raise ConfigError(f"fillval: found {text!r}, expected a number or NAN") from None


def grid_of(exposures, **parameters):
    """Output grid of a list of exposures; the first one sets scale and orientation."""
    first = exposures[0]
    header = first.sci_header.copy()
    for key in ("ROLL_REF", "V3I_YANG", "VPARITY", "RA_REF", "DEC_REF"):
        if header.get(key) is None and first.header.get(key) is not None:
            header[key] = first.header[key]
    grid = output_grid(
        [exposure.footprints() for exposure in exposures],
        [exposure.name for exposure in exposures],
        first.wcs,
        first.shape,
        header,
        **parameters,
    )
    if grid.pixel_scale_ratio is None:
        area = first.keyword("PIXAR_SR") or mean_pixel_area(first.wcs, first.shape)
        ratio = grid.pixel_scale / (3600.0 * np.rad2deg(np.sqrt(area)))
        object.__setattr__(grid, "pixel_scale_ratio", float(ratio))
    return grid


def check_units(exposures):
    """Refuse exposures of different units."""
    units = {exposure.name: exposure.keyword("BUNIT") for exposure in exposures}
    if len(set(units.values())) > 1:
        first = exposures[0].name
        other = next(name for name, unit in units.items() if unit != units[first])
        raise BadDataError(
            f"{other}[SCI]: BUNIT is {units[other]!r}, but {first} has {units[first]!r}; "
            "calibrate all exposures to the same unit"
        )


def _combine(mosaic, *, error, keep_variances, blend, settings):
    """Drizzle the exposures of a mosaic onto its grid, and make its headers."""
    grid = mosaic.grid
    names = VARIANCES if error == "from variances" else ()
    common = {
        "kernel": settings["kernel"],
        "pixfrac": settings["pixfrac"],
        "pixel_scale_ratio": grid.pixel_scale_ratio,
        "fillval": settings["fillval"],
    }
    tile = mosaic.tile
    drizzled = Drizzle(
        grid.shape if tile is None else tile.window.shape,
        len(mosaic.exposures) if tile is None else BITS,
        n_variances=len(names),
        context=settings["context"],
        dq=settings["propagate_dq"],
        origin=(0, 0) if tile is None else (tile.window.row, tile.window.column),
        **common,
    )
    errors = Drizzle(grid.shape, 1, context=False, **common) if error == "drizzled" else None
    images = images_of(mosaic.exposures)
    room = None
    with behind() as then:
        if tile is None:
            then(partial(_make_headers, mosaic, settings, blend=blend))
        for index, exposure in enumerate(mosaic.exposures):
            number = index if tile is None else tile.numbers[index]
            if tile is not None and drizzled.context is not None:
                tile.keep_context(drizzled, number)
            pixel_map = map_of(exposure, grid, settings)
            planes = {"variances": names, "errors": errors, "number": number}
            room = drizzle_exposure(drizzled, exposure, next(images), pixel_map, settings, room=room, **planes)
    del room
    if tile is not None and drizzled.context is not None:
        tile.keep_context(drizzled)
    mosaic.weight = drizzled.weight
    mosaic.context = drizzled.context
    mosaic.dq = drizzled.dq
    mosaic.data = drizzled.finished_data()
    if errors is not None:
        mosaic.err = errors.finished_data() / np.float32(grid.pixel_scale_ratio)
    if names:
        variances = [drizzled.finished_variance(index) for index in range(len(names))]
        mosaic.err = _error_of(variances)
        if keep_variances:
            for name, variance in zip(names, variances, strict=True):
                setattr(mosaic, name, variance)


def _make_headers(mosaic, settings, *, blend):
    """Combine the headers of the exposures of a mosaic."""
    keywords = MosaicHeader()
    for exposure in mosaic.exposures:
        keywords.add(exposure)
    keywords.finish(mosaic, settings, blend=blend)


def map_of(exposure, grid, settings):
    """Where the pixels of an exposure lie on a grid, computed once for each grid."""
    if exposure.pixel_map is None or exposure.pixel_map.grid is not grid:
        parameters = {key: settings[key] for key in ("stepsize", "order")}
        exposure.pixel_map = PixelMap(exposure.wcs, grid, exposure.shape, **parameters)
    return exposure.pixel_map


def drizzle_exposure(
    drizzled, exposure, image, pixel_map, settings, *, variances=(), errors=None, number=None, room=None
):
    """Add one exposure to a drizzled image, with its variances, and its errors to a second one.

    Returned is the map at all pixels, the ``room`` of the next exposure (see `PixelMap.positions`).
    """
    weight_type = settings["weight_type"]
    time = exposure.weight_time if weight_type == "exptime" else 1.0
    data, weight = weighted_data(
        image,
        weight_type=weight_type,
        good_bits=settings["good_bits"],
        time=time,
        level=exposure.sky_level,
        slope=exposure.sky_slope,
    )
    planes = [_plane(image, name) for name in variances]
    # without read noise the exposures count alike, as their pixels do
    image_weight = None if weight_type == "ivm" and planes and planes[0] is not None else time
    positions = pixel_map.positions(room)
    box = used_box(exposure.shape, getattr(exposure.wcs, "bounding_box", None))
    dq = np.ascontiguousarray(image.dq, np.uint32) if settings["propagate_dq"] else None
    drizzled.add(*positions, data, weight, planes, box=box, image_weight=image_weight, dq=dq, number=number)
    if errors is not None:
        errors.add(*positions, _plane(image, "err"), weight, box=box)
    return positions


def _plane(image, name):
    """A plane of an image as float32, ``None`` if it has none of the data's shape."""
    plane = getattr(image, name)
    if plane is None or plane.shape != image.data.shape:
        return None
    return np.ascontiguousarray(plane, np.float32)


def weighted_data(image, *, weight_type, good_bits, time=1.0, level=0.0, slope=None):
    """Data without sky and the weight of each pixel, 0 where it is not to be used.

    Parameters
    ----------
    image : Image
    weight_type : {"ivm", "exptime", None}
    good_bits : int
        Mask of the flags that are allowed. A pixel that is not a number in the data, the error or a variance counts
        as flagged DO_NOT_USE.
    time : float
        Weight for ``exptime``.
    level : float
        Sky level to subtract, in the unit of the data.
    slope : ndarray of float32 (ny, nx) or None
        What the sky has besides.

    Returns
    -------
    data, weight : ndarray of float32 (ny, nx)
    """
    data = np.ascontiguousarray(image.data, np.float32)
    planes = [_plane(image, name) for name in ("err", *VARIANCES)]
    inverse = weight_type == "ivm" and planes[1] is not None
    constant = np.float32(time if weight_type == "exptime" else 1.0)
    planes = [data if plane is None else plane for plane in planes]
    weight = np.empty(data.shape, np.float32)
    bad_bits = np.uint32(~good_bits & 0xFFFFFFFF)
    dq = np.ascontiguousarray(image.dq, np.uint32)
    by_rows(_weigh_rows, data.shape[0], data, *planes, dq, bad_bits, inverse, constant, weight)
    if level:
        data = data - np.float32(level)
    if slope is not None:
        data = data - slope
    return data, weight


@njit
def _weigh_rows(first, last, data, err, var_rnoise, var_flat, var_poisson, dq, bad_bits, inverse, constant, weight):
    excluded = bad_bits & np.uint32(1) != 0
    for j in range(first, last):
        for i in range(weight.shape[1]):
            unusable = dq[j, i] & bad_bits != 0 or np.isnan(data[j, i])
            if excluded and not unusable:
                unusable = (
                    np.isnan(err[j, i])
                    or np.isnan(var_rnoise[j, i])
                    or np.isnan(var_flat[j, i])
                    or np.isnan(var_poisson[j, i])
                )
            value = np.float32(1.0) / var_rnoise[j, i] if inverse else constant
            weight[j, i] = np.float32(0.0) if unusable or not np.isfinite(value) else value


def _error_of(variances):
    """Square root of the sum of those variances that are finite; NaN where none is."""
    error = np.empty(variances[0].shape, np.float32)
    by_rows(_sum_rows, error.shape[0], *variances, error)
    return error


@njit
def _sum_rows(first, last, one, two, three, error):
    for j in range(first, last):
        for i in range(error.shape[1]):
            total = np.float64(0.0)
            known = False
            for value in (one[j, i], two[j, i], three[j, i]):
                if not np.isnan(value):
                    total += value
                    known = True
            error[j, i] = np.sqrt(total) if known else np.nan
