"""Bad pixels of an integral-field unit that stand out against their neighbours in all exposures of a detector."""

import logging

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.outlier_flags import flag_outliers
from snakewebb.spectroscopy.running_median import running_median
from snakewebb.steps import NOT_APPLICABLE, Status

log = logging.getLogger(__name__)

BORDER = 4
"""Rows and columns at the edges of the detector that the percentile is taken without."""

FLOOR = 1.0 / 3.0
"""Least local median that a difference is divided by, in units of the median of all."""


def flag_ifu_outliers(product, *, kernel_size, threshold_percent, ifu_second_check, by_band, save_intermediate_results):
    """Flag pixels that differ from both neighbours across the dispersion in every exposure of a detector.

    Of each pixel the smaller of the absolute differences from its two neighbours counts, and of these the smallest of all
    exposures; it is divided by its median over the pixels around. What is above a percentile is flagged in all exposures. The
    exposures are read twice, one at a time. Those of a detector on which nothing is valid are handed on as they are.

    Parameters
    ----------
    product : IFUMembers
        Changed and handed to the ``save`` of each exposure.
    kernel_size : str
        Rows and columns of the median; even numbers are raised by 1.
    threshold_percent : float
        Percentile.
    ifu_second_check : bool
        Flag pixels without a difference in any exposure, too.
    by_band : bool
        Compare exposures of the same band only; bands with one exposure are left as they are.
    save_intermediate_results : bool
        Hand differences, their minimum, the local median and the ratio to ``product.save_intermediate``.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        If ``kernel_size`` is not two positive numbers.
    BadDataError
        If the exposures are of different shapes.

    References
    ----------
    ``jwst.outlier_detection.ifu``
    """
    kernel = _kernel(kernel_size)
    if len(product.members) < 2:
        for member in product.members:
            _save(member, member.load())
        return Status(NOT_APPLICABLE, "fewer than two exposures")
    keep = product.save_intermediate if save_intermediate_results else None
    alone, empty = [], []
    for key, members in product.grouped("band" if by_band else "detector").items():
        name = "-".join(key) if by_band else key
        if by_band and len(members) < 2:
            alone.append(name)
            _save(members[0], members[0].load())
            continue
        smallest = _smallest_difference(members, keep)
        if not np.isfinite(smallest).any():
            empty.append(name)
            log.warning("%s: no pixel has a valid value in any exposure; nothing is flagged", name)
            for member in members:
                _save(member, member.load())
            continue
        bad = _standing_out(smallest, kernel, threshold_percent, name, keep)
        if ifu_second_check:
            bad |= np.isnan(smallest)
        del smallest
        for member in members:
            image = member.load()
            product.outlier_fractions[member.name] = flag_outliers(image, bad)
            _save(member, image)
    reasons = [f"one exposure, not compared: {', '.join(alone)}"] if alone else []
    if empty:
        reasons.append(f"no pixel has a valid value in any exposure, not compared: {', '.join(empty)}")
    if product.outlier_fractions:
        reasons.insert(0, f"{100 * max(product.outlier_fractions.values()):.3f} % of the pixels at most")
    return Status(reason="; ".join(reasons))


def _save(member, image):
    if member.save is not None:
        member.save(image)


def _kernel(text):
    words = str(text).replace(",", " ").split()
    if len(words) != 2 or not all(word.isdigit() and int(word) > 0 for word in words):
        raise ConfigError(
            f"steps.outlier_detection.kernel_size: found {text!r}, expected two positive odd numbers such as '7 7'"
        )
    sizes = [int(word) for word in words]
    if any(size % 2 == 0 for size in sizes):
        log.warning("steps.outlier_detection.kernel_size: even numbers of %r are raised by 1", text)
    return [size + 1 - size % 2 for size in sizes]


def _smallest_difference(members, keep):
    """Smallest difference of each pixel from its neighbours over exposures, (ny, nx); NaN where there is none."""
    vertical = members[0].instrument == "NIRSPEC"  # it disperses along the rows
    smallest = None
    for member in members:
        image = member.look()
        if smallest is None:
            smallest = np.full(image.data.shape, np.nan)
        if image.data.shape != smallest.shape:
            raise BadDataError(
                f"{member.name}: the shape is {image.data.shape}, but {members[0].name} has {smallest.shape}; all exposures of a detector "
                "must be full frames: leave this one out"
            )
        data = np.where((image.dq & np.uint32(DO_NOT_USE)) != 0, np.float32(np.nan), image.data)
        differences = np.empty(data.shape)
        if vertical:
            by_rows(_differences, data.shape[1], np.ascontiguousarray(data.T), differences.T)
        else:
            by_rows(_differences, data.shape[0], data, differences)
        if keep is not None:
            keep("diffarr", member.name, differences)
        np.fmin(smallest, differences, out=smallest)
    return smallest


@njit
def _differences(first, last, data, differences):
    """The smaller of the absolute differences from the neighbours along a row; beyond the edges is zero."""
    nx = data.shape[1]
    for j in range(first, last):
        for i in range(nx):
            here = float(data[j, i])
            left = abs(here - (float(data[j, i - 1]) if i > 0 else 0.0))
            right = abs(here - (float(data[j, i + 1]) if i < nx - 1 else 0.0))
            if np.isnan(left) or right < left:
                left = right
            differences[j, i] = left


def _standing_out(smallest, kernel, percent, name, keep):
    """Which pixels are above a percentile of the differences after these are divided by their local median."""
    local = running_median(smallest, *kernel, padded=True)
    known = smallest[np.isfinite(smallest)]
    floor = np.median(known) * FLOOR
    local[local < floor] = floor
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = smallest / local
    middle = ratio[BORDER:-BORDER, BORDER:-BORDER]
    limit = np.percentile(middle[~np.isnan(middle)], percent)
    if keep is not None:
        for kind, array in (("minarr", smallest), ("normarr", local), ("minnorm", ratio)):
            keep(kind, name, array)
    return ratio > limit
