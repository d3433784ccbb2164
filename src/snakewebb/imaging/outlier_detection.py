"""Finding pixels that disagree with the other exposures of the same sky."""

import contextlib
import functools
import logging
import tempfile
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import behind, by_rows
from snakewebb.dq import bits_from_expression
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.drizzle_kernel import Drizzle, blot_exposure
from snakewebb.imaging.grid_window import Planes, Window, whole, window_of
from snakewebb.imaging.heavy_pixels import keep_heavy, weight_threshold
from snakewebb.imaging.mosaic import grouped, images_of
from snakewebb.imaging.outlier_flags import flag_compared
from snakewebb.imaging.outlier_limits import outliers_of
from snakewebb.imaging.resample import (
    check_map_parameters,
    drizzle_exposure,
    fill_value,
    grid_of,
    map_of,
    weighted_data,
)
from snakewebb.imaging.stack_median import median_of, median_rows
from snakewebb.plan.resources import LARGEST_STACK
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)

SUSPICIOUS_FRACTION = 0.1
"""Fraction of an exposure's usable pixels above which flagging them is reported as a warning."""

_BLOCK = 2048  # rows and columns of the parts of the grid of which the median is made
_BAND_BYTES = 1 << 24  # of the groups that are in memory for that

LARGEST_MINORITY = 0.5
"""Fraction of the pixels compared above which it is the exposure that disagrees with the others, not single pixels."""


@step(version=4, keyword="S_OUTLIR")
def outlier_detection(
    mosaic,
    references,
    *,
    weight_type: Literal["ivm", "exptime"] = "ivm",
    pixfrac: Annotated[float, Between(0.0, 1.0)] = 1.0,
    kernel: Literal["square", "point", "turbo"] = "square",
    fillval: str = "NAN",
    maskpt: float = 0.7,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    backg: float = 0.0,
    save_intermediate_results: bool = False,
    resample_data: bool = True,
    good_bits: str = "~DO_NOT_USE",
    in_memory: bool = True,
    pixmap_stepsize: float = 1.0,
    pixmap_order: Annotated[int, Between(1, 3)] = 1,
    kernel_size: str = "7 7",
    threshold_percent: Annotated[float, Between(0.0, 100.0)] = 99.8,
    ifu_second_check: bool = False,
    by_band: bool = False,
    core_change: Annotated[float, Between(0.0, 1.0)] = 0.3,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Flag the pixels of each exposure that differ from the median of all exposures.

    The exposures of each group are drizzled onto a common grid, and the median over groups is interpolated back to the
    pixels of each exposure. A pixel is flagged DO_NOT_USE and OUTLIER, and its values become NaN, if it differs from
    that by more than ``snr`` errors plus ``scale`` times the largest step to a neighbour in the interpolated median:
    by the second pair of limits, where it or a neighbour differs by the first one. It is kept if the 3 x 3 pixels around it
    together hold the light that the median has there, and it is no brighter than a star of which the median shows that much would be
    without the blur of resampling: undersampled stars look different in each dither, but are as bright.
    Exposures are read one at a time and handed to their ``save`` function. Of the resampled groups and their median, the part of the
    grid that a group covers is in memory at once; the rest lies in temporary files if it is large, so memory does not depend on the
    number of exposures, and time and files grow in proportion to it.

    Of integral-field units (``kernel_size`` to ``by_band`` are theirs alone), a pixel is flagged in all exposures of a detector
    that differs from both its neighbours across the dispersion, relative to the pixels around, by more than a percentile in every
    one of them.

    Parameters
    ----------
    mosaic : Mosaic or IFUMembers
        Its exposures are changed.
    references : References
        Not used.
    weight_type : str
        Weight of an input pixel in its group: inverse variance of the read noise, or exposure time.
    pixfrac : float
        Side of the shrunken input pixel, in units of the input pixel (no unit).
    kernel : str
        How the flux of an input pixel is distributed.
    fillval : str
        Value of resampled pixels without input: a number, or NAN.
    maskpt : float
        Resampled pixels whose weight is below this fraction of the mean weight do not take part in the median.
    snr : str
        First and second limit, in units of the error (no unit).
    scale : str
        First and second factor of the largest step to a neighbour (no unit).
    backg : float
        Background that is added to the median, in the unit of the data, for exposures whose header has no sky level.
    save_intermediate_results : bool
        Hand the resampled groups, the median and the interpolated medians to ``mosaic.save_intermediate``.
    resample_data : bool
        False: take the median pixel by pixel, without resampling; the first limit alone decides.
    good_bits : str
        Data-quality flags that a pixel may have and yet take part in the median.
    in_memory : bool
        False: keep the resampled groups in a temporary file even if they are small.
    pixmap_stepsize : float
        Above 1, pixel positions are computed every so many pixels only, and interpolated.
    pixmap_order : int
        Order of that interpolation, 1 or 3.
    kernel_size : str
        Rows and columns of the median that differences between neighbours are divided by; even numbers are raised by 1.
    threshold_percent : float
        Per cent of the pixels that are not flagged.
    ifu_second_check : bool
        Flag pixels that have no valid neighbour in any exposure, too.
    by_band : bool
        Compare exposures of the same band only, not all of the detector; a band with one exposure is left as it is.
    core_change : float
        Largest change of the light in 3 x 3 pixels, relative to that of the source there, for which a pixel is kept that is no
        brighter than the sampling of stars explains (no unit).
    compatibility : {"native", "jwst"}
        ``"jwst"`` rejects the cores of undersampled stars, as `jwst` 3.0.0 does: ``core_change`` has no effect.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        For parameters that cannot be read.
    BadDataError
        If the exposures cannot be put on one grid.

    References
    ----------
    Step `outlier_detection` of jwst, imaging and IFU modes; Fruchter & Hook 2002, PASP 114, 144, section 4.
    """
    from snakewebb.cubes.ifu_members import IFUMembers

    if isinstance(mosaic, IFUMembers):
        from snakewebb.cubes.ifu_outliers import flag_ifu_outliers

        return flag_ifu_outliers(
            mosaic,
            kernel_size=kernel_size,
            threshold_percent=threshold_percent,
            ifu_second_check=ifu_second_check,
            by_band=by_band,
            save_intermediate_results=save_intermediate_results,
        )
    limits = pair_of(snr, "outlier_detection.snr")
    factors = pair_of(scale, "outlier_detection.scale")
    check_map_parameters(pixmap_stepsize, pixmap_order)
    change = None if compatibility == "jwst" else core_change
    groups = grouped(mosaic.exposures)
    if len(groups) < 2:
        for exposure in mosaic.exposures:
            if exposure.save is not None:
                exposure.save(exposure.load())
        return Status(NOT_APPLICABLE, "fewer than two exposures of the same sky")
    keep = mosaic.save_intermediate if save_intermediate_results else None
    settings = {
        "weight_type": weight_type,
        "good_bits": bits_from_expression(good_bits),
        "stepsize": pixmap_stepsize,
        "order": pixmap_order,
        "propagate_dq": False,
    }
    ordered = [exposure for exposures in groups.values() for exposure in exposures]
    done = []
    images = images_of(ordered, done)
    if resample_data:
        grid = grid_of(mosaic.exposures)
        drizzle_settings = {
            "kernel": kernel,
            "pixfrac": pixfrac,
            "pixel_scale_ratio": grid.pixel_scale_ratio,
            "fillval": fill_value(fillval),
        }
        largest = LARGEST_STACK if in_memory else 0
        with Planes([whole(grid)], largest) as median:
            last = _median_of_groups(median, groups, images, grid, maskpt, settings, drizzle_settings, largest, keep)
            if keep is not None:
                keep("median", None, median.read(0, whole(grid)))
            find = functools.partial(
                _beyond_resampled,
                median,
                grid,
                settings,
                limits=limits,
                factors=factors,
                backg=backg,
                change=change,
                keep=keep,
            )
            apart = _flag_exposures(mosaic, ordered, last, done, find)
    else:
        median, last = _median_of_exposures(ordered, images, maskpt, settings, in_memory)
        if keep is not None:
            keep("median", None, median)
        apart = _flag_exposures(mosaic, ordered, last, done, functools.partial(_beyond_median, median, limits[0]))
    fractions = mosaic.outlier_fractions
    for name, fraction in fractions.items():
        if fraction > SUSPICIOUS_FRACTION:
            log.warning("%s: %.1f %% of the usable pixels are flagged as outliers", name, 100 * fraction)
    for text in apart:
        log.warning("%s", text)
    return Status(reason="; ".join([f"{100 * max(fractions.values()):.3f} % of the pixels at most", *apart]))


def _beyond_resampled(median, grid, settings, exposure, image, *, limits, factors, backg, change, keep):
    """What the median has at the pixels of an exposure, and which of them differ from it."""
    window = window_of(exposure.wcs, grid, exposure.shape) or Window(0, 0, 1, 1)
    pixel_map = map_of(exposure, grid, settings)
    expected = blot_exposure(median.read(0, window), pixel_map, np.nan, window=window, shape=grid.shape)
    if keep is not None:
        keep("blot", exposure.name, expected)
    in_data = exposure.keyword("BKGLEVEL") is not None and not exposure.keyword("BKGSUB", False)
    level = exposure.sky_level if in_data else backg
    slope = exposure.sky_slope
    data = image.data if slope is None else image.data - slope
    return expected, outliers_of(data, image.err, expected, limits, factors, level, change=change)


def _beyond_median(median, limit, exposure, image):
    """The median, and which pixels of an exposure differ from it by more than so many errors."""
    return median, np.abs(image.data - median) > np.float32(limit) * np.nan_to_num(image.err)


def _flag_exposures(mosaic, ordered, image, done, find):
    """Flag the outliers that ``find`` finds in each exposure and save it; what is to be said of those that differ as a whole.

    The last exposure comes first, whose ``image`` is in memory. Each is saved while the next one is read and compared, into the arrays of
    the oldest image in ``done``: two are in memory.
    """
    fractions, apart = {}, {}
    with behind() as then:
        for exposure in reversed(ordered):
            if image is None:
                image = exposure.load(done.pop(0) if len(done) > 1 else None)  # the last one is being saved
            expected, outliers = find(exposure, image)
            fractions[exposure.name], minority = flag_compared(image, outliers, expected)
            del expected, outliers
            if minority > LARGEST_MINORITY:
                apart[exposure.name] = _disagreement(exposure.name, minority)
            if exposure.save is not None:
                then(functools.partial(exposure.save, image))
            done.append(image)
            image = None
    names = [exposure.name for exposure in mosaic.exposures]
    mosaic.outlier_fractions = {name: fractions[name] for name in names}
    return [apart[name] for name in names if name in apart]


def _disagreement(name, fraction):
    """What is to be said of an exposure that differs from the others not in single pixels but as a whole."""
    return (
        f"{name}: {100 * fraction:.3g} % of the pixels that can be compared differ from the median of the exposures and are flagged, the "
        "exposure is as good as left out there: compare its sky level (skymatch), alignment (tweakreg) and ERR with those "
        "of the others, or switch this step off (steps.outlier_detection.skip)"
    )


def pair_of(text, key):
    """Two numbers of a text such as '5.0 4.0'; ``key`` is that of the parameter below ``steps``."""
    words = str(text).replace(",", " ").split()
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        raise ConfigError(f"steps.{key}: found {text!r}, expected two numbers such as '5.0 4.0'") from None
    return first, second


@contextlib.contextmanager
def _stack(shape, in_memory):
    """Array of float32 in memory, or in a temporary file if it is large."""
    if in_memory and 4 * np.prod(shape, dtype=np.int64) <= LARGEST_STACK:
        yield np.empty(shape, np.float32)
        return
    with tempfile.TemporaryFile(prefix="snakewebb-") as stream:
        stack = np.memmap(stream, np.float32, "w+", shape=shape)
        try:
            yield stack
        finally:
            del stack


def _median_of_groups(median, groups, images, grid, maskpt, settings, drizzle_settings, largest, keep):
    """Drizzle each group onto the part of the grid that it covers, and write the median over groups into a plane of the grid.

    Every group is drizzled once. The median is made for blocks of the grid, from the groups that touch them. Returned is the image of
    the last exposure.
    """
    # other kernels make the whole grid; a number where nothing contributes may take part in the median
    parts = drizzle_settings["kernel"] == "square" and np.isnan(drizzle_settings["fillval"]) and keep is None
    windows = [_window_of_group(exposures, grid) if parts else whole(grid) for exposures in groups.values()]
    image, room = None, None
    with Planes(windows, largest) as planes:

        def finish(number, group, drizzled):
            data = drizzled.finished_data()
            if keep is not None:
                keep("outlier_i2d", group, data)
            kept = data if keep is None else np.empty_like(data)
            keep_heavy(data, drizzled.weight, weight_threshold(drizzled.weight, maskpt), kept)
            planes.write(number, windows[number], kept)

        with behind() as then:
            for number, (group, exposures) in enumerate(groups.items()):
                window = windows[number]
                origin = (window.row, window.column)
                drizzled = Drizzle(window.shape, len(exposures), context=False, origin=origin, **drizzle_settings)
                for exposure in exposures:
                    image = next(images)
                    room = drizzle_exposure(
                        drizzled, exposure, image, map_of(exposure, grid, settings), settings, room=room
                    )
                then(functools.partial(finish, number, group, drizzled))
                del drizzled
            del room
        for block in _blocks(grid.shape):
            touching = [number for number, window in enumerate(windows) if window.common(block)]
            if touching:
                _median_of_block(median, block, planes, touching)
    return image


def _window_of_group(exposures, grid):
    """The part of the grid that the exposures of a group cover."""
    found = [window_of(exposure.wcs, grid, exposure.shape) for exposure in exposures]
    return functools.reduce(Window.around, [window for window in found if window] or [Window(0, 0, 1, 1)])


def _blocks(shape):
    """Windows that make up a grid."""
    ny, nx = shape
    for row in range(0, ny, _BLOCK):
        for column in range(0, nx, _BLOCK):
            yield Window(row, column, min(_BLOCK, ny - row), min(_BLOCK, nx - column))


def _median_of_block(median, block, planes, touching):
    """Write the median of those planes that touch a block of the grid, in bands of rows."""
    for band in block.bands(max(1, _BAND_BYTES // (4 * len(touching) * block.columns))):
        stack = np.full((len(touching), *band.shape), np.nan, np.float32)
        for k, number in enumerate(touching):
            part = planes.windows[number].common(band)
            if part is not None:
                stack[k][part.within(band)] = planes.read(number, part)
        values = np.empty(band.shape, np.float32)
        by_rows(median_rows, band.rows, stack, values, block=8)
        median.write(0, band, values)


def _median_of_exposures(exposures, images, maskpt, settings, in_memory):
    """Median of exposures pixel by pixel, and the image of the last one."""
    shapes = {exposure.name: exposure.shape for exposure in exposures}
    first = exposures[0]
    for name, shape in shapes.items():
        if shape != first.shape:
            raise BadDataError(
                f"{name}: the shape is {shape}, but {first.name} has {first.shape}; "
                "set steps.outlier_detection.resample_data: true"
            )
    with _stack((len(exposures), *first.shape), in_memory) as stack:
        for number, exposure in enumerate(exposures):
            weight_type = settings["weight_type"]
            time = exposure.weight_time if weight_type == "exptime" else 1.0
            image = next(images)
            data, weight = weighted_data(image, weight_type=weight_type, good_bits=settings["good_bits"], time=time)
            keep_heavy(data, weight, weight_threshold(weight, maskpt), stack[number])
        return median_of(stack), image
