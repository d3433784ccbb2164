"""Reference pixels of NIRSpec's IRS2 read-out, which lie between the pixels of the sky."""

import numpy as np

from snakewebb.compiled import by_rows
from snakewebb.detector.interleaved import (
    OUTPUTS,
    PERIOD,
    SIZE,
    WIDTH,
    check_layout,
    is_reference,
    reversed_axes,
    science_rows,
    without_interleaved,
)
from snakewebb.detector.irs2_columns import bad_columns, replace_column
from snakewebb.detector.irs2_noise import NoiseModel, TimeOrder, mean_of_groups, subtract_noise
from snakewebb.detector.reference_means import ReferenceMeans, subtract_signals
from snakewebb.dq import BAD_REF_PIXEL, DO_NOT_USE
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NO_REFERENCE, Status

_BORDER = 4  # rows of reference pixels at each edge of the detector


def correct_interleaved(ramp, references, *, odd_even_columns, siglimit, limit, preserve, as_oracle):
    """Correct a ramp with its interleaved reference pixels, and take them out.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses REFPIX.
    odd_even_columns : bool or None
        Whether odd and even columns are treated separately when the means of the first and last rows are subtracted; None: they are
        not subtracted.
    siglimit : float
        Limit of the clipping of these means.
    limit : float
        Limit beyond which columns of reference pixels are bad, in standard deviations.
    preserve : bool
        Keep the interleaved pixels.
    as_oracle : bool
        Columns of the sky may count as bad reference pixels.

    Returns
    -------
    Status
    """
    check_layout(ramp.header)
    rows = science_rows(ramp.header)
    if not references.has("refpix"):
        if not preserve:
            _take_out(ramp, rows)
        return Status(NO_REFERENCE, "no refpix reference for this exposure: the interleaved pixels were only taken out")
    model = NoiseModel.read(references)
    between = np.tile(is_reference(), OUTPUTS)
    bad = (ramp.pixeldq & np.uint32(BAD_REF_PIXEL)).any(axis=1)
    if not as_oracle:
        bad &= between
    bad |= bad_columns(ramp.data, bad, limit)
    ramp.pixeldq[bad] |= np.uint32(BAD_REF_PIXEL | DO_NOT_USE)
    if odd_even_columns is not None:
        _subtract_means(ramp, odd_even_columns, siglimit)
    for row in np.flatnonzero(bad):
        first = row // WIDTH * WIDTH
        replace_column(ramp.data, row, bad, between, (first, first + WIDTH), 1)
    replaced = int(bad.sum()) + _replace_listed(ramp, references, bad, between)
    order = TimeOrder.of(reversed_axes(ramp.header))
    for frames in ramp.data:
        offset = np.empty(frames.shape[1:], np.float64)
        by_rows(mean_of_groups, len(offset), frames, offset)
        # groups do not depend on each other: a thread works on one at a time
        by_rows(subtract_noise, len(frames), frames, offset, order, model, preserve, block=1)
    if not preserve:
        _take_out(ramp, rows)
    return Status(reason=f"{replaced} columns of interleaved reference pixels were replaced")


def _take_out(ramp, rows):
    ramp.pixeldq = np.ascontiguousarray(ramp.pixeldq[rows])
    ramp.groupdq = without_interleaved(ramp.groupdq, rows)
    ramp.data = without_interleaved(ramp.data, rows)
    if ramp.zeroframe is not None:
        ramp.zeroframe = without_interleaved(ramp.zeroframe, rows)


def _subtract_means(ramp, odd_even, siglimit):
    """Subtract from each output the clipped means of its first and last rows, for odd and even columns.

    Of four interleaved pixels the first two count as even, the others as odd columns, counted from 0.
    """
    turn = -1 if reversed_axes(ramp.header) else 1
    column = np.arange(OUTPUTS * WIDTH)
    parity = np.where(np.tile(is_reference(), OUTPUTS), column % PERIOD % 4 // 2, column % 2)
    if not odd_even:
        parity[:] = 0
    edge = np.full(SIZE, -1)
    edge[:_BORDER], edge[-_BORDER:] = 0, 1
    good = (ramp.pixeldq[::turn, ::turn].T & np.uint32(DO_NOT_USE)) == 0
    means = ReferenceMeans.of(good, edge, column // WIDTH, parity, (OUTPUTS, 2 if odd_even else 1, 2))
    planes = [ramp.data.reshape(-1, *ramp.data.shape[2:])]
    if ramp.zeroframe is not None:
        planes.append(ramp.zeroframe)
    for data in planes:
        unusable = data == 0 if data is ramp.zeroframe else None
        signal = means.signal(data[:, ::turn, ::turn].swapaxes(1, 2), siglimit)
        by_y = np.ascontiguousarray(signal[:, ::turn])
        by_rows(subtract_signals, len(data) * data.shape[1], data, np.zeros((len(data), SIZE)), by_y, block=256)
        if unusable is not None:
            data[unusable] = 0


def _replace_listed(ramp, references, bad, between):
    """Replace the columns that the reference lists as bad, unless they were before; the number of them."""
    if not references.has_extension("refpix", "DQ"):
        return 0
    turn = reversed_axes(ramp.header)
    bad = bad[::-1].copy() if turn else bad.copy()
    before = int(bad.sum())
    for row in references.table("refpix", "DQ"):
        output, pair, mask = int(row["OUTPUT"]), int(row["ODD_EVEN"]), int(row["MASK"]) & 0xFFFFFFFF
        if not (1 <= output < OUTPUTS and pair in (1, 2)):
            raise MissingReferenceError(
                f"{references.path('refpix')}[DQ]: OUTPUT {output} and ODD_EVEN {pair} found, expected 1 to 4 and 1 or 2"
            )
        pair = 3 - pair if output % 2 == 0 else pair  # even outputs are read backwards
        starts = output * WIDTH + PERIOD * np.flatnonzero([mask >> bit & 1 for bit in range(32)]) + 8 + 2 * (pair - 1)
        new = [column for start in starts for column in (start, start + 1) if not bad[column]]
        bad[new] = True
        for column in new:
            place = bad.size - 1 - column if turn else column
            flags = bad[::-1] if turn else bad
            first = place // WIDTH * WIDTH
            replace_column(ramp.data, place, flags, between, (first, first + WIDTH), -1 if turn else 1)
    return int(bad.sum()) - before
