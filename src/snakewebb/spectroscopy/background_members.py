"""Averages of the exposures of a background, and their noise."""

from dataclasses import dataclass

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError

_SAME = ("INSTRUME", "DETECTOR", "CHANNEL", "BAND", "FILTER", "GRATING", "SUBARRAY", "READPATT")
_MAX_PASSES = 1 << 30
_ROWS = 64  # of a block


@dataclass(frozen=True)
class Background:
    """Average of background exposures.

    Attributes
    ----------
    data : ndarray of float32 (ny, nx)
        DN/s; NaN where no exposure has a usable value.
    variances : dict of ndarray of float64 (ny, nx)
        Variance of the average by part, ``var_poisson`` and ``var_rnoise``.
    err : ndarray of float32 (ny, nx)
        Standard deviation of the average.
    dq : ndarray of uint32 (ny, nx)
    """

    data: np.ndarray
    variances: dict
    err: np.ndarray
    dq: np.ndarray


def check_alike(image, members, role):
    """Refuse exposures that were not taken as the image was.

    Parameters
    ----------
    image : Image
    members : list of Image
    role : str
        What they are, for the message.

    Raises
    ------
    BadDataError
        Naming file, keyword and both values.
    """
    for member in members:
        name = member.header.get("FILENAME", f"a {role} exposure")
        for key in _SAME:
            theirs, own = (str(one.header.get(key) or "").strip().upper() for one in (member, image))
            if theirs != own:
                raise BadDataError(
                    f"{name}, primary header: {key} is {theirs!r}, expected {own!r} as in {image.header.get('FILENAME')}; "
                    f"a {role} must be taken like the exposure it belongs to: leave this one out"
                )
        if member.data.shape[-2:] != image.data.shape[-2:]:
            sizes = [f"{one.data.shape[-1]} x {one.data.shape[-2]}" for one in (member, image)]
            raise BadDataError(f"{name}, SCI: {sizes[0]} pixels, expected {sizes[1]}; leave this {role} out")


def average(members, *, sigma, maxiters, compatibility):
    """Mean of exposures after clipping over them, pixel by pixel.

    Parameters
    ----------
    members : list of Image
        Of one shape; an exposure of several integrations is averaged over them first, with the same clipping.
    sigma : float
        Limit in standard deviations about the median.
    maxiters : int or None
        Most passes of clipping; ``None``: until nothing changes.
    compatibility : str
        ``jwst``: every finite value counts, flags of all exposures are joined, and a pixel without a value has 0.

    Returns
    -------
    Background
    """
    shape = members[0].data.shape[-2:]
    whole = Background(
        np.empty(shape, np.float32),
        {name: np.empty(shape) for name in ("var_poisson", "var_rnoise")},
        np.empty(shape, np.float32),
        np.empty(shape, np.uint32),
    )
    for first in range(0, shape[0], _ROWS):
        rows = slice(first, first + _ROWS)
        part = _average_rows(members, rows, sigma, maxiters, compatibility == "native")
        whole.data[rows], whole.err[rows], whole.dq[rows] = part.data, part.err, part.dq
        for name, variance in part.variances.items():
            whole.variances[name][rows] = variance
    return whole


def _average_rows(members, rows, sigma, maxiters, native):
    """`average` of some rows, so that the stack of exposures takes little memory."""
    exposures = [_over_integrations(member, rows, sigma, maxiters, native) for member in members]
    data = np.stack([exposure["data"] for exposure in exposures])
    dq = np.stack([exposure["dq"] for exposure in exposures])
    parts = {
        name: np.stack([exposure[name] for exposure in exposures]) for name in ("square", "var_poisson", "var_rnoise")
    }
    kept = _kept(data, dq, sigma, maxiters, native)
    number = kept.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(kept, data.astype(float), 0.0).sum(axis=0) / number
        variances = {name: np.where(kept, part, 0.0).sum(axis=0) / number**2 for name, part in parts.items()}
    joined = np.bitwise_or.reduce(np.where(kept, dq, np.uint32(0)) if native else dq, axis=0)
    empty = number == 0
    if native:
        joined |= np.where(empty, np.uint32(DO_NOT_USE) | np.bitwise_or.reduce(dq, axis=0), np.uint32(0))
    else:
        mean[empty] = 0.0
    err = np.sqrt(variances.pop("square"))
    return Background(mean.astype(np.float32), variances, err.astype(np.float32), joined)


def _over_integrations(member, rows, sigma, maxiters, native):
    """Rows of an exposure as one plane: data, flags, and variances."""
    data, dq = (np.ascontiguousarray(array[..., rows, :]) for array in (member.data, member.dq))
    arrays = {"data": data, "dq": dq, "square": member.err[..., rows, :].astype(float) ** 2}
    for name in ("var_poisson", "var_rnoise"):
        array = getattr(member, name)
        arrays[name] = np.zeros(data.shape) if array is None else array[..., rows, :]
    if data.ndim == 2:
        return arrays
    kept = _kept(data, dq, sigma, maxiters, native)
    number = kept.sum(axis=0)
    plane = {"dq": np.bitwise_or.reduce(np.where(kept, dq, np.uint32(0)) if native else dq, axis=0)}
    with np.errstate(invalid="ignore", divide="ignore"):
        plane["data"] = np.where(kept, data.astype(float), 0.0).sum(axis=0) / number
        for name in ("square", "var_poisson", "var_rnoise"):
            plane[name] = np.where(kept, arrays[name], 0.0).sum(axis=0) / number**2
    empty = number == 0
    if not native:
        plane["data"][empty] = 0.0
    plane["dq"] |= np.where(empty, np.uint32(DO_NOT_USE), np.uint32(0)) if native else np.uint32(0)
    return plane


def _kept(data, dq, sigma, maxiters, native):
    """Which values of a stack (n, ny, nx) count."""
    usable = np.isfinite(data)
    if native:
        usable &= (dq & np.uint32(DO_NOT_USE)) == 0
    passes = _MAX_PASSES if maxiters is None else maxiters
    by_rows(_clip, data.shape[1], data, usable, float(sigma), passes)
    return usable


@njit
def _clip(first, last, data, usable, sigma, passes):
    """Take values out of ``usable`` that lie outside the limits of the last pass."""
    values = np.empty(len(data))
    for row in range(first, last):
        for column in range(data.shape[2]):
            number = 0
            for plane in range(len(data)):
                if usable[plane, row, column]:
                    values[number] = data[plane, row, column]
                    number += 1
            # neither of two values is further than one deviation from their middle
            if number < 2 or passes == 0 or (number == 2 and sigma >= 1.0):
                continue
            ordered = np.sort(values[:number])
            low, high = _limits(ordered, sigma, passes)
            for plane in range(len(data)):
                value = data[plane, row, column]
                if not (low <= value <= high):
                    usable[plane, row, column] = False


@njit
def _limits(ordered, sigma, passes):
    begin, end = 0, len(ordered)
    low, high = ordered[0], ordered[-1]
    done = 0
    while done < passes:
        done += 1
        count = end - begin
        mean = ordered[begin:end].sum() / count
        square = 0.0
        for number in range(begin, end):
            square += (ordered[number] - mean) ** 2
        deviation = np.sqrt(square / count)
        middle = 0.5 * (ordered[begin + (count - 1) // 2] + ordered[begin + count // 2])
        low, high = middle - sigma * deviation, middle + sigma * deviation
        first, last = begin, end
        while first < last and ordered[first] < low:
            first += 1
        while last > first and ordered[last - 1] > high:
            last -= 1
        if (first == begin and last == end) or first == last:
            break
        begin, end = first, last
    return low, high
