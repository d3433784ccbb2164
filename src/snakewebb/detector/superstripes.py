"""Superstripes: exposures of which each integration holds another stripe of the detector (NIRISS SOSS, NIRCam).

Until the reference pixels are subtracted, the integrations of each stripe are worked on for themselves, with the flags and the references
of their own lines. Then one integration of the whole subarray is put together from each round of stripes.
"""

import dataclasses

import numpy as np

from snakewebb.detector.stripes import STRIPE_KEYWORDS, lines_of, samples_of_lines, slow_axis
from snakewebb.dq import REFERENCE_PIXEL
from snakewebb.errors import BadDataError
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.models import Stripe

_SIZE = 2048  # lines of the detector
_PORTION = 32_000_000  # bytes of samples and flags that are worked on together
_LINE_OVERHEAD = 12  # pixel clocks that are lost at the end of a line
_CLOCK = 1e-5  # seconds


def rounds_of(ramp):
    """The complete rounds of stripes: number of the first integration in the array, and of the rounds.

    Raises
    ------
    BadDataError
        If there is none.
    """
    number = ramp.superstripes
    first = -ramp.first_integration % number
    count = (len(ramp.data) - first) // number
    if count < 1:
        begin = ramp.first_integration + 1
        raise BadDataError(
            f"{ramp.header.get('FILENAME', 'uncal')}: SSTR_NST is {number}, but integrations {begin} to {begin + len(ramp.data) - 1} hold "
            f"no complete round of {number} stripes; fetch the file again or exclude the exposure"
        )
    return first, count


def portions(ramp):
    """Integrations to be worked on one after the other, as ranges of the array of some rounds each."""
    number = ramp.superstripes
    first, count = rounds_of(ramp)
    size = ramp.data[0].nbytes + ramp.groupdq[0].nbytes
    together = max(1, _PORTION // (size * number))
    for start in range(0, count, together):
        yield range(first + start * number, first + min(start + together, count) * number)


def take_stripe(ramp, integrations, number, pixeldq):
    """The integrations of one stripe among ``integrations``, as a ramp of its own: copies of its samples and flags.

    Parameters
    ----------
    ramp : Ramp
    integrations : range
        Of whole rounds.
    number : int
        Of the stripe, from 0.
    pixeldq : ndarray of uint32 (ny, nx)
        Flags of the pixels of this stripe to begin with.

    Returns
    -------
    Ramp
    """
    own = slice(integrations.start + number, integrations.stop, ramp.superstripes)
    return dataclasses.replace(
        ramp,
        data=np.ascontiguousarray(ramp.data[own]),
        groupdq=np.ascontiguousarray(ramp.groupdq[own]),
        pixeldq=pixeldq.copy(),
        zeroframe=None if ramp.zeroframe is None else np.ascontiguousarray(ramp.zeroframe[own]),
        first_integration=ramp.first_integration + own.start,
        stripe=Stripe(number, ramp.pixeldq[0] if number > 0 else None),
        scratch=None,
        unread=None,
        extra={},
    )


def put_stripe(ramp, part, integrations):
    """Put back what `take_stripe` took."""
    number = part.stripe.number
    own = slice(integrations.start + number, integrations.stop, ramp.superstripes)
    ramp.data[own] = part.data
    ramp.groupdq[own] = part.groupdq
    ramp.pixeldq[number] |= part.pixeldq
    if part.zeroframe is not None:
        ramp.zeroframe[own] = part.zeroframe


def collated_subarray(header):
    """First column and row (1-based, full detector) and size in x and y of the frames that `collate` makes.

    Those of the header if the exposure has no superstripes.
    """
    values = [int(header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")]
    if int(header.get("SSTR_NST") or 0) > 0:
        slow = -slow_axis(header) - 1
        first, values[2 + slow] = _frame(header)
        values[slow] = first + 1
    return tuple(values)


def collated_shape(header, shape):
    """Shape of the ramp that `collate` makes of one of this shape."""
    nints, ngroups = shape[0] // int(header["SSTR_NST"]), shape[1] * (int(samples_of_lines(header).max()) + 1)
    return (nints, ngroups, *collated_subarray(header)[:1:-1])


def collate(ramp):
    """Put one integration of the whole subarray together from each round of stripes, in place of the ramp's arrays.

    Each line lies where it is on the detector: between the first and the last line of all stripes, or in full length in the subarrays of
    SOSS. Lines of reference pixels that every stripe begins with are left out. Samples of lines that no stripe holds are NaN, and
    REFERENCE_PIXEL. If a frame reads a line several times, each time is a group; ``read_times`` then says when. The
    header becomes that of the new ramp, without the keywords of stripes; the times of the stripes go to ``int_times_stripe``.

    Parameters
    ----------
    ramp : Ramp
        With flags of the pixels of each stripe; changed in place.

    Returns
    -------
    str
        What is to be said: integrations that are left out because their round is incomplete; nothing if there are none.

    Raises
    ------
    BadDataError
        If there is no complete round.

    References
    ----------
    ``jwst.lib.stripe_utils`` of `jwst` 3.0.0.
    """
    header, number = ramp.header, ramp.superstripes
    first, count = rounds_of(ramp)
    left_out = len(ramp.data) - count * number
    samples = samples_of_lines(header)
    repeats = int(samples.max()) + 1
    shape = (count, *collated_shape(header, ramp.data.shape)[1:])
    moves = _moves(header, samples)
    data, groupdq = ramp.zeros(shape), ramp.zeros(shape, np.uint8)
    pixeldq = np.full(shape[2:], REFERENCE_PIXEL, np.uint32)
    zeroframe = None if ramp.zeroframe is None else ramp.zeros((count, *shape[2:]))
    for integration in range(count):
        data[integration] = np.nan
        if zeroframe is not None:
            zeroframe[integration] = np.nan
        for stripe, repeat, source, target in moves:
            old, groups = first + integration * number + stripe, slice(repeat, None, repeats)
            data[integration, groups][target] = ramp.data[old][source]
            groupdq[integration, groups][target] = ramp.groupdq[old][source]
            if zeroframe is not None and repeat == 0:
                zeroframe[integration][target] = ramp.zeroframe[old][source]
            if integration == 0:
                pixeldq[target] = ramp.pixeldq[stripe][source]
    begin = ramp.first_integration + first
    ramp.int_times_stripe, ramp.int_times = _times(ramp.int_times, begin, count, number)
    ramp.read_times = sample_times(header, ramp.data.shape[1], repeats) if repeats > 1 else None
    ramp.data, ramp.groupdq, ramp.pixeldq, ramp.zeroframe = data, groupdq, pixeldq, zeroframe
    ramp.first_integration = begin // number
    _update_header(ramp, number)
    return f"{left_out} integrations of incomplete rounds of {number} stripes were left out" if left_out else ""


def _frame(header):
    """First line, from 0, and number of lines of the collated frames, in the orientation of the products."""
    if str(header.get("SUBARRAY", "")).upper().endswith("STRIPE_SOSS"):
        return 0, _SIZE
    lines = lines_of(header)[1][in_products_of(samples_of_lines(header), header) >= 0]
    return int(lines.min()), int(lines.max() - lines.min()) + 1


def in_products_of(samples, header):
    """What `samples_of_lines` gives, in the order of the lines in the products."""
    return samples if int(header["SLOWAXIS"]) > 0 else samples[..., ::-1]


def _moves(header, samples):
    """What goes where: stripe, number of the sample in a frame, and slices of the last two axes of its array and of the new one."""
    axis, lines = lines_of(header)
    samples = in_products_of(samples, header)
    start = _frame(header)[0]
    moves = []
    for stripe, repeat in np.ndindex(len(lines), int(samples.max()) + 1):
        source = np.flatnonzero(samples[stripe] == repeat)
        target = lines[stripe, source] - start
        breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(target) != 1)) + 1
        for old, new in zip(np.split(source, breaks), np.split(target, breaks), strict=True):
            if old.size:
                pair = [slice(int(part[0]), int(part[-1]) + 1) for part in (old, new)]
                pair = [(..., part, slice(None)) if axis == -2 else (..., part) for part in pair]
                moves.append((stripe, repeat, *pair))
    return moves


def sample_times(header, ngroups, repeats):
    """Times of the samples of a line that a frame reads several times.

    The first sample of an integration ends a reset of one stripe later than the reset began; the others follow in the time that
    reading the stripe takes.

    Parameters
    ----------
    header : Header
        Of the exposure before its stripes are put together.
    ngroups, repeats : int
        Groups of the exposure; samples that a frame holds of a line.

    Returns
    -------
    ndarray of float64 (ngroups * repeats,)
        Seconds since the reset, the mean of the frames that are averaged to the group.
    """
    outputs, nframes, gap = (int(header[key]) for key in ("NOUTPUTS", "NFRAMES", "GROUPGAP"))
    slow = 1 if abs(int(header["SLOWAXIS"])) == 1 else 2
    nlines, columns = int(header[f"SUBSIZE{slow}"]), int(header[f"SUBSIZE{3 - slow}"])
    extra_lines, extra_clocks = (1, 1) if outputs == 4 else (2 if outputs == 1 and columns >= 9 else 3, 0)
    line = columns / outputs + _LINE_OVERHEAD
    frame = (line * (nlines + extra_lines) + extra_clocks) * _CLOCK
    stripe = nlines // repeats
    steps = np.full(repeats, line * stripe * _CLOCK)
    steps[0] = (line * (stripe + extra_lines) + extra_clocks) * _CLOCK
    group = steps.sum() + frame * (nframes - 1 + gap)
    return np.add.outer(np.arange(ngroups) * group, np.cumsum(steps)).ravel() + frame * (nframes - 1) / 2


def _times(table, begin, count, number):
    """Tables of the times of the stripes, and of the new integrations; None for both if the old one lacks any.

    Parameters
    ----------
    table : FITS record array or None
    begin : int
        Number of the first integration, from 0.
    count, number : int
        Of rounds; of stripes.
    """
    if table is None or len(table) == 0:
        return None, None
    listed = np.asarray(table["integration_number"]).astype(np.int64)
    order = np.argsort(listed, kind="stable")
    wanted = begin + 1 + np.arange(count * number)
    place = np.minimum(np.searchsorted(listed, wanted, sorter=order), len(listed) - 1)
    rows = order[place]
    if not np.array_equal(listed[rows], wanted):
        return None, None
    old = {name: np.asarray(table[name])[rows] for name in table.dtype.names}
    integrations = begin // number + 1 + np.arange(count)
    kinds = [(name, np.int32 if name == "integration_number" else np.float64) for name in old]
    stripes = np.empty(len(rows), [kinds[0], ("stripe_number", np.int32), *kinds[1:]])
    joined = np.empty(count, kinds)
    stripes["stripe_number"] = np.arange(len(rows)) % number + 1
    for name, values in old.items():
        stripes[name] = values
        if "_mid_" not in name:
            joined[name] = values[number - 1 :: number] if "_end_" in name else values[::number]
    for name in old:
        if "_mid_" in name:
            start, end = (joined[name.replace("_mid_", part)] for part in ("_start_", "_end_"))
            joined[name] = (end - start) / 2 + start
    stripes["integration_number"] = np.repeat(integrations, number)
    joined["integration_number"] = integrations
    return stripes, joined


def _update_header(ramp, number):
    header = ramp.header
    names = "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"
    nints, ngroups = ramp.data.shape[:2]
    values = dict(zip(names, collated_subarray(header), strict=True)) | {
        "NINTS": -(-int(header["NINTS"]) // number),
        "INTSTART": ramp.first_integration + 1,
        "INTEND": ramp.first_integration + nints,
        "NGROUPS": ngroups,
    }
    for keyword in STRIPE_KEYWORDS:
        header.remove(keyword, ignore_missing=True)
    for keyword, value in values.items():
        set_keyword(header, keyword, value)
