"""Finding pixels that disagree with the other exposures of the same sky."""

import contextlib
import logging
import tempfile
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, OUTLIER, bits_from_expression
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.drizzle_kernel import Drizzle, blot
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.imaging.mosaic import grouped
from snakewebb.imaging.outlier_limits import outliers_of
from snakewebb.imaging.pixel_map import pixel_map
from snakewebb.imaging.resample import check_map_parameters, drizzle_exposure, fill_value, grid_of, weighted_data
from snakewebb.plan.resources import LARGEST_STACK
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)

SUSPICIOUS_FRACTION = 0.1
"""Fraction of an exposure's usable pixels above which flagging them is reported as a warning."""

LARGEST_MINORITY = 0.5
"""Fraction of the pixels compared above which it is the exposure that disagrees with the others, not single pixels."""


@step(version=3, keyword="S_OUTLIR")
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
    together hold the light that the median has there: undersampled stars look different in each dither, but are as bright.
    Exposures are read one at a time and handed to their ``save`` function.

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
        Largest change of the light in 3 x 3 pixels, relative to that of the source there, for which a pixel is kept (no unit).
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
    if resample_data:
        grid = grid_of(mosaic.exposures)
        drizzle_settings = {
            "kernel": kernel,
            "pixfrac": pixfrac,
            "pixel_scale_ratio": grid.pixel_scale_ratio,
            "fillval": fill_value(fillval),
        }
        median = _median_of_groups(groups, grid, maskpt, settings, drizzle_settings, in_memory, keep)
    else:
        grid = None
        median = _median_of_exposures(mosaic.exposures, maskpt, settings, in_memory)
    if keep is not None:
        keep("median", None, median)

    fractions, apart = {}, []
    for exposure in mosaic.exposures:
        image = exposure.load()
        if resample_data:
            map_x, map_y = pixel_map(exposure.wcs, grid, exposure.shape, stepsize=pixmap_stepsize, order=pixmap_order)
            expected = blot(median, map_x, map_y, np.nan)
            del map_x, map_y
            if keep is not None:
                keep("blot", exposure.name, expected)
            in_data = exposure.keyword("BKGLEVEL") is not None and not exposure.keyword("BKGSUB", False)
            level = exposure.sky_level if in_data else backg
            outliers = outliers_of(image.data, image.err, expected, limits, factors, level, change=change)
        else:
            expected = median
            outliers = np.abs(image.data - median) > np.float32(limits[0]) * np.nan_to_num(image.err)
        compared = np.isfinite(expected) & ((image.dq & DO_NOT_USE) == 0)
        number = np.count_nonzero(compared)
        minority = np.count_nonzero(outliers & compared) / number if number else 0.0
        if minority > LARGEST_MINORITY:
            apart.append(_disagreement(exposure.name, minority))
        del compared
        fractions[exposure.name] = flag_outliers(image, outliers)
        if exposure.save is not None:
            exposure.save(image)
        del image
    mosaic.outlier_fractions = fractions
    for name, fraction in fractions.items():
        if fraction > SUSPICIOUS_FRACTION:
            log.warning("%s: %.1f %% of the usable pixels are flagged as outliers", name, 100 * fraction)
    for text in apart:
        log.warning("%s", text)
    return Status(reason="; ".join([f"{100 * max(fractions.values()):.3f} % of the pixels at most", *apart]))


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


def _median_of_groups(groups, grid, maskpt, settings, drizzle_settings, in_memory, keep):
    with _stack((len(groups), *grid.shape), in_memory) as stack:
        for number, (group, exposures) in enumerate(groups.items()):
            drizzled = Drizzle(grid.shape, len(exposures), context=False, **drizzle_settings)
            for exposure in exposures:
                drizzle_exposure(drizzled, exposure, exposure.load(), grid, settings)
            data = drizzled.finished_data()
            if keep is not None:
                keep("outlier_i2d", group, data)
            _keep_heavy(data, drizzled.weight, weight_threshold(drizzled.weight, maskpt), stack[number])
        return median_of(stack)


def _median_of_exposures(exposures, maskpt, settings, in_memory):
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
            data, weight = weighted_data(
                exposure.load(), weight_type=weight_type, good_bits=settings["good_bits"], time=time
            )
            _keep_heavy(data, weight, weight_threshold(weight, maskpt), stack[number])
        return median_of(stack)


def weight_threshold(weight, maskpt):
    """Fraction ``maskpt`` of the mean of those weights that are not 0, clipped at 3 standard deviations.

    Up to five times, values further than 3 standard deviations from the median are left out (as
    `astropy.stats.sigma_clip` does).
    """
    values = np.empty(weight.size, weight.dtype)
    values = values[: _used_weights(weight.ravel(), values)]
    if values.size == 0:
        return np.nan
    values.sort()
    offset = np.float64(values[values.size // 2])
    first, second = np.empty(values.size + 1), np.empty(values.size + 1)
    _running_sums(values, offset, first, second)
    low, high = 0, values.size
    for _ in range(5):
        count = high - low
        middle = low + count // 2
        median = values[middle] if count % 2 else 0.5 * (np.float64(values[middle - 1]) + values[middle])
        mean = (first[high] - first[low]) / count
        deviation = np.sqrt(max((second[high] - second[low]) / count - mean**2, 0.0))
        # limits in the type of the values, or all of them would be converted
        new_low = max(low, int(np.searchsorted(values, np.float32(median - 3 * deviation), "left")))
        new_high = min(high, int(np.searchsorted(values, np.float32(median + 3 * deviation), "right")))
        if (new_low, new_high) == (low, high):
            break
        low, high = new_low, new_high
    return maskpt * (offset + (first[high] - first[low]) / (high - low))


@njit
def _used_weights(weight, used):
    """Gather the weights that are finite and not 0, and count them."""
    count = 0
    for value in weight:
        if value != 0.0 and np.isfinite(value):
            used[count] = value
            count += 1
    return count


@njit
def _running_sums(values, offset, first, second):
    """Sums of the differences of the first k values from an offset, and of their squares, for all k."""
    total = 0.0
    squares = 0.0
    first[0] = 0.0
    second[0] = 0.0
    for k in range(values.size):
        difference = np.float64(values[k]) - offset
        total += difference
        squares += difference * difference
        first[k + 1] = total
        second[k + 1] = squares


def _keep_heavy(data, weight, threshold, kept):
    """Copy the data, with NaN where the weight is below a threshold."""
    by_rows(_copy_heavy, data.shape[0], data, weight, np.float64(threshold), np.asarray(kept))


@njit
def _copy_heavy(first, last, data, weight, threshold, kept):
    for j in range(first, last):
        for i in range(data.shape[1]):
            kept[j, i] = np.float32(np.nan) if weight[j, i] < threshold else data[j, i]


def median_of(stack):
    """Median over the first axis, leaving NaN out.

    Parameters
    ----------
    stack : ndarray of float32 (n, ny, nx)

    Returns
    -------
    ndarray of float32 (ny, nx)
    """
    median = np.empty(stack.shape[1:], np.float32)
    rows = max(1, (1 << 24) // (4 * stack.shape[0] * stack.shape[2]))
    for start in range(0, median.shape[0], rows):
        # a stack in a file is read in bands of rows
        band = np.ascontiguousarray(stack[:, start : start + rows])
        by_rows(_median_rows, band.shape[1], band, median[start : start + rows], block=8)
    return median


@njit
def _median_rows(first, last, stack, median):
    values = np.empty(stack.shape[0], np.float32)
    for j in range(first, last):
        for i in range(median.shape[1]):
            count = 0
            for k in range(stack.shape[0]):
                value = stack[k, j, i]
                if not np.isnan(value):
                    values[count] = value
                    count += 1
            if count == 0:
                median[j, i] = np.nan
                continue
            median[j, i] = middle(values, count)


@njit
def middle(values, count):
    """Median of the first ``count`` values, at least one, which are partially sorted in place."""
    upper = select(values, count, count // 2)
    if count % 2:
        return upper
    # what is left of the upper middle value is not larger
    lower = values[0]
    for k in range(1, count // 2):
        lower = max(lower, values[k])
    return (lower + upper) * np.float32(0.5)


@njit
def select(values, count, rank):
    """Value of a rank (from 0) of the first ``count`` values, which are partially sorted in place around it."""
    low = 0
    high = count - 1
    while high - low > 12:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return values[rank]
    for k in range(low + 1, high + 1):
        value = values[k]
        m = k - 1
        while m >= low and values[m] > value:
            values[m + 1] = values[m]
            m -= 1
        values[m + 1] = value
    return values[rank]


def flag_outliers(image, outliers):
    """Flag outliers in an image, in place, and make everything NaN that is not to be used.

    Parameters
    ----------
    image : Image
    outliers : ndarray of bool (ny, nx)

    Returns
    -------
    float
        Fraction of the usable pixels that are outliers.
    """
    usable = np.count_nonzero((image.dq & DO_NOT_USE) == 0)
    np.bitwise_or(image.dq, np.uint32(DO_NOT_USE | OUTLIER), out=image.dq, where=outliers)
    match_invalid(image, ...)
    return float(np.count_nonzero(outliers) / max(usable, 1))
