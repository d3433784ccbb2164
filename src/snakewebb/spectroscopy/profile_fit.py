"""Bad pixels of a spectrum replaced by the spatial profile of neighbouring lines."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, NON_SCIENCE

_DNU, _OUTSIDE, _ESTIMATED = np.uint32(DO_NOT_USE), np.uint32(NON_SCIENCE), np.uint32(FLUX_ESTIMATED)
_SCALED_SNR = 5.0  # profiles that nowhere reach it are not normalised
_TOO_LARGE = 1e20
_SIMPLEX = 1e-4  # where the simplex stops, in position and in value
_CALLS = 200
_HORIZONTAL = 1


def replace_from_profiles(plane, slices, axis, *, adjacent, simplex):
    """Replace pixels flagged DO_NOT_USE, but not NON_SCIENCE, by the scaled median profile of the lines around theirs.

    A line is one element of the spectrum: a row where wavelengths run along columns.

    Parameters
    ----------
    plane : Image
        (ny, nx), changed in place.
    slices : ndarray of int (ny, nx) or None
        Labels of slices, 0 between them; each has its own profile. ``None``: one spectrum.
    axis : int
        1 if wavelengths run along rows, 2 if along columns.
    adjacent : int
        Lines on each side of which the profile is the median.
    simplex : bool
        Find the scale as the oracle does.

    References
    ----------
    ``jwst.pixel_replace``, algorithm ``fit_profile``.
    """
    whole = np.ones(plane.data.shape, np.int32) if slices is None else np.ascontiguousarray(slices, np.int32)
    parts = [plane.err, plane.var_poisson, plane.var_rnoise, plane.var_flat]
    present = [part for part in parts if part is not None]
    views = [plane.data, plane.dq, whole, *present]
    if axis == _HORIZONTAL:
        views = [view.T for view in views]
    data, dq, labels = (np.ascontiguousarray(view) for view in views[:3])
    # variances as errors, so that they scale like the data
    errors = np.stack([view if number == 0 else np.sqrt(view) for number, view in enumerate(views[3:])])
    new_data, new_dq, new_errors, changed = data.copy(), dq.copy(), errors.copy(), np.zeros(data.shape, bool)
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        good = inside & ((dq & _DNU) == 0)
        if not good.any():
            continue
        rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
        first, begin, end = int(rows[0]), int(columns[0]), int(columns[-1]) + 1
        cut = np.s_[first : int(rows[-1]) + 1, begin:end]
        content = (data[cut], dq[cut], inside[cut], errors[:, *cut])
        result = (new_data[cut], new_dq[cut], new_errors[:, *cut], changed[cut])
        by_rows(_replace, len(content[0]), *content, adjacent, simplex, *result)
    outputs = [new_data, new_dq, *new_errors]
    targets = [plane.data, plane.dq, *present]
    if axis == _HORIZONTAL:
        outputs, changed = [output.T for output in outputs], changed.T
    for number, (target, output) in enumerate(zip(targets, outputs, strict=True)):
        value = output[changed]
        target[changed] = value * value if number > 2 else value


@njit
def _replace(first, last, data, dq, inside, errors, adjacent, simplex, new_data, new_dq, new_errors, changed):
    nrows, width = data.shape
    profiles = np.empty((2 * adjacent, width), np.float32)
    rows = np.empty(2 * adjacent, np.int64)
    scales = np.empty(2 * adjacent, np.float32)
    profile = np.empty(width, np.float32)
    line = np.empty(width, np.float32)
    window = np.empty(2 * adjacent, np.float32)
    for row in range(first, last):
        good, bad = _count(dq[row], inside[row])
        if bad == 0 or good == 0:
            continue
        number = 0
        for other in range(max(0, row - adjacent), min(nrows, row + adjacent + 1)):
            if other != row and _count(dq[other], inside[other])[0] > 0:
                rows[number] = other
                number += 1
        if number == 0:
            continue
        best = _normalise(data, dq, inside, errors[0], rows[:number], profiles, scales)
        if best < _SCALED_SNR:
            scales[:number] = np.float32(1.0)
        for other in range(number):
            for column in range(width):
                profiles[other, column] /= scales[other]
        for column in range(width):
            profile[column] = _median_of(profiles[:number, column], window)
        usable, largest = 0, np.float32(-np.inf)
        for column in range(width):
            value = data[row, column]
            valid = inside[row, column] and (dq[row, column] & _DNU) == 0 and not np.isnan(value)
            line[column] = value if valid else np.float32(np.nan)
            if valid:
                usable += 1
                largest = max(largest, value)
        if usable == 0:
            continue
        factor, scaled = np.float64(1.0), _median_of(scales[:number], window) != np.float32(1.0)
        if scaled:
            factor = _scale(profile, line, largest, simplex)
        for column in range(width):
            flags = dq[row, column]
            if not inside[row, column] or (flags & _DNU) == 0 or (flags & _OUTSIDE) != 0:
                continue
            changed[row, column] = True
            value = np.float32(profile[column] * factor)
            new_data[row, column] = value
            if not np.isnan(value):
                new_dq[row, column] = (flags ^ _DNU) | _ESTIMATED
            for part in range(len(errors)):
                for other in range(number):
                    source = rows[other]
                    known = inside[source, column] and (dq[source, column] & _DNU) == 0
                    profiles[other, column] = (
                        errors[part, source, column] / scales[other] if known else np.float32(np.nan)
                    )
                new_errors[part, row, column] = np.float32(_median_of(profiles[:number, column], window) * factor)


@njit
def _count(flags, inside):
    """Number of good and of bad pixels of the spectrum in a line."""
    good = bad = 0
    for column in range(len(flags)):
        if inside[column] and (flags[column] & _OUTSIDE) == 0:
            if (flags[column] & _DNU) != 0:
                bad += 1
            else:
                good += 1
    return good, bad


@njit
def _normalise(data, dq, inside, err, rows, profiles, scales):
    """Values of some lines, NaN where they are bad, and the largest of each; returns the largest ratio of signal to noise."""
    best = -np.inf
    for number in range(len(rows)):
        row = rows[number]
        largest = np.float32(np.nan)
        for column in range(data.shape[1]):
            value = data[row, column]
            if not inside[row, column] or (dq[row, column] & _DNU) != 0:
                value = np.float32(np.nan)
            profiles[number, column] = value
            size = abs(value)
            if not np.isnan(size):
                if not size <= largest:
                    largest = size
                ratio = size / err[row, column]
                if ratio > best:
                    best = ratio
        scales[number] = largest
    return best if best > -np.inf else np.nan


@njit
def _median_of(values, window):
    """Median of the values that are not NaN; NaN if there is none."""
    count = 0
    for number in range(len(values)):
        value = values[number]
        if np.isnan(value):
            continue
        place = count
        while place > 0 and window[place - 1] > value:
            window[place] = window[place - 1]
            place -= 1
        window[place] = value
        count += 1
    if count == 0:
        return np.float32(np.nan)
    if count % 2:
        return window[count // 2]
    return np.float32((window[count // 2 - 1] + window[count // 2]) * np.float32(0.5))


@njit
def _scale(profile, line, largest, simplex):
    """Factor by which a normalised profile becomes this line; magnitudes are compared."""
    width = len(line)
    current, median = np.empty(width), np.empty(width)
    number, valid = 0, 0
    highest, start = 0.0, -np.inf
    for column in range(width):
        if np.isnan(line[column]):
            continue
        valid += 1
        value = np.float32(line[column] / largest)
        start = max(start, value)
        if abs(value) > highest:
            highest = abs(value)
        if not np.isnan(profile[column]):
            current[number], median[number] = abs(value), abs(profile[column])
            highest = max(highest, median[number])
            number += 1
    if number == 0 or not highest < _TOO_LARGE:
        return 1.0
    if simplex:
        return _simplex(np.float32(abs(start)), median[:number], current[:number], valid) * largest
    square = (median[:number] * median[:number]).sum()
    return (median[:number] * current[:number]).sum() / square * largest if square > 0 else 1.0


@njit
def _misfit(scale, median, current, valid):
    total = 0.0
    for number in range(len(median)):
        difference = np.float32(np.float32(current[number]) - np.float32(np.float32(median[number]) * scale))
        total += difference * difference
    return total / valid


@njit
def _simplex(start, median, current, valid):
    """Nelder and Mead's search in one dimension from a start, in single precision."""
    best = np.float32(start)
    worst = np.float32(1.05 * best) if best != 0 else np.float32(0.00025)
    at_best, at_worst = _misfit(best, median, current, valid), _misfit(worst, median, current, valid)
    calls = 2
    for _ in range(_CALLS):
        if at_worst < at_best:
            best, worst, at_best, at_worst = worst, best, at_worst, at_best
        if calls >= _CALLS or (abs(worst - best) <= _SIMPLEX and abs(at_worst - at_best) <= _SIMPLEX):
            break
        reflected = np.float32(np.float32(2.0) * best - worst)
        value = _misfit(reflected, median, current, valid)
        calls += 1
        if value < at_best:
            expanded = np.float32(np.float32(3.0) * best - np.float32(2.0) * worst)
            further = _misfit(expanded, median, current, valid)
            calls += 1
            if further < value:
                worst, at_worst = expanded, further
            else:
                worst, at_worst = reflected, value
            continue
        if value < at_worst:
            contracted = np.float32(np.float32(1.5) * best - np.float32(0.5) * worst)
            between = _misfit(contracted, median, current, valid)
            accepted = between <= value
        else:
            contracted = np.float32(np.float32(0.5) * best + np.float32(0.5) * worst)
            between = _misfit(contracted, median, current, valid)
            accepted = between < at_worst
        calls += 1
        if accepted:
            worst, at_worst = contracted, between
        else:
            worst = np.float32(best + np.float32(0.5) * (worst - best))
            at_worst = _misfit(worst, median, current, valid)
            calls += 1
    return np.float64(best)
