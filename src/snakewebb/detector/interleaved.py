"""Layout of NIRSpec's IRS2 frames, in which reference pixels lie between those of the sky.

A frame has 3200 columns of the detector, which are rows of the products: the reference output, then the four outputs of the detector,
640 columns each. In an output, 8 columns of the sky are followed by 4 of reference pixels and 8 of the sky, over and over. Neighbouring
outputs are read in opposite directions.
"""

import numpy as np

from snakewebb.errors import BadDataError

OUTPUTS = 5
WIDTH = 640  # columns of an output
SIZE = 2048  # rows of the detector
SCIENCE, REFERENCE = 16, 4  # columns of each kind in a period
PERIOD = SCIENCE + REFERENCE
_BEFORE = SCIENCE // 2  # columns of the sky in front of the first reference pixels


def check_layout(header):
    """Check that a frame of 3200 rows is laid out in the one known way.

    Raises
    ------
    BadDataError
        If the detector is not one of NIRSpec's, or the keywords of the pattern have other values.
    """
    wrong = []
    if header.get("DETECTOR") not in ("NRS1", "NRS2"):
        wrong.append(f"DETECTOR = {header.get('DETECTOR')!r} (expected NRS1 or NRS2)")
    for key, expected in (("NRS_NORM", SCIENCE), ("NRS_REF", REFERENCE)):
        if header.get(key, expected) != expected:
            wrong.append(f"{key} = {header[key]!r} (expected {expected})")
    if wrong:
        raise BadDataError(
            f"the array has 3200 rows, as IRS2 read-outs of NIRSpec have, but {'; '.join(wrong)}; correct the header"
        )


def reversed_axes(header):
    """Whether rows and columns of the detector run against those of the products (NRS2)."""
    return header["DETECTOR"] == "NRS2"


def is_reference():
    """Which of the 640 columns of an output, in either direction, are reference pixels between those of the sky."""
    return (np.arange(WIDTH) - _BEFORE) % PERIOD < REFERENCE


def science_columns():
    """The 2048 columns of the detector that see the sky, or the detector's border."""
    inside = ~is_reference()
    return np.flatnonzero(np.concatenate([np.zeros(WIDTH, bool), *[inside] * (OUTPUTS - 1)]))


def science_rows(header):
    """The 2048 rows of a frame, in the orientation of the products, that hold no interleaved reference pixels."""
    check_layout(header)
    columns = science_columns()
    return OUTPUTS * WIDTH - 1 - columns[::-1] if reversed_axes(header) else columns


def without_interleaved(array, rows):
    """Take the interleaved pixels out of the last but one axis of an array, within its memory.

    Parameters
    ----------
    array : ndarray (..., 3200, n)
        C-contiguous; overwritten.
    rows : ndarray of int
        From `science_rows`.

    Returns
    -------
    ndarray (..., 2048, n)
        The beginning of the memory of ``array``.
    """
    frames = array.reshape(-1, *array.shape[-2:])
    kept = frames.reshape(-1)[: len(frames) * len(rows) * frames.shape[2]].reshape(-1, len(rows), frames.shape[2])
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    for frame, target in zip(frames, kept, strict=True):
        # ascending, so that nothing is overwritten before it is moved
        for first, last in zip(starts, [*starts[1:], len(rows)], strict=True):
            target[first:last] = frame[rows[first] : rows[first] + last - first]
    return kept.reshape(*array.shape[:-2], *kept.shape[1:])
