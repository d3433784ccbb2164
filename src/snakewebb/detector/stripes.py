"""Which lines of the detector a striped read-out holds (NIRCam DHS, NIRISS SOSS stripes)."""

import numpy as np

from snakewebb.errors import BadDataError

_SIZE = 2048  # lines of the detector
STRIPE_KEYWORDS = ("MSTR_RD1", "MSTR_SK1", "MSTR_RD2", "MSTR_SK2", "MSTR_RPT", "MSTR_ILV", "SSTR_STP", "SSTR_NST")
"""Keywords of a striped read-out."""


def is_striped(header):
    """Whether an exposure has a striped read-out."""
    return header.get("MSTR_RD1") is not None or number_of_superstripes(header) > 0


def number_of_superstripes(header):
    """Number of integrations that together cover the subarray; 0 if each frame holds all of it."""
    return int(header.get("SSTR_NST") or 0)


def detector_lines(header):
    """Lines of the detector that make up the lines of the array, in the direction of the read-out, from 0.

    A frame begins with MSTR_RD1 lines of reference pixels, skips MSTR_SK1 and reads MSTR_RD2 (if that is 0, SSTR_STP). Until the
    array is full it then skips MSTR_SK2 and reads MSTR_RD2 again, or with MSTR_RPT goes back to the beginning and reads the
    reference pixels and the same lines again; with MSTR_ILV these lines are those after the ones of before. Each superstripe
    lies SSTR_STP lines after the one before.

    Parameters
    ----------
    header : Header
        Of an exposure for which `is_striped`.

    Returns
    -------
    ndarray of int64 (max(superstripes, 1), nlines)

    Raises
    ------
    BadDataError
        If the keywords do not give the number of lines of the array, or lines beyond the detector.
    """
    return _read_order(header)[0]


def samples_of_lines(header):
    """Which of the lines of the array see the sky, and the how manieth time a frame reads them.

    Returns
    -------
    ndarray of int64 (max(superstripes, 1), nlines)
        -1 for the lines of reference pixels that every stripe begins with; 0 for a line that is read for the first time in the frame,
        1 for the second time. In the order of `detector_lines`.
    """
    lines, leading = _read_order(header)
    samples = np.full(lines.shape, -1)
    for stripe, frame in enumerate(lines):
        times = np.zeros(_SIZE, np.int64)
        for number in np.flatnonzero(~leading[stripe]):
            samples[stripe, number] = times[frame[number]]
            times[frame[number]] += 1
    return samples


def _read_order(header):
    """The lines of the array, and which of them are the reference pixels that a stripe begins with."""
    values = [int(header.get(keyword) or 0) for keyword in STRIPE_KEYWORDS]
    reads1, skips1, reads2, skips2, repeats, interleaves, advance, superstripes = values
    axis = abs(int(header["SLOWAXIS"]))
    size = int(header[f"SUBSIZE{axis}"])
    if superstripes > 0 and reads2 <= 0:
        reads2 = advance
    begin = _first_line(header, axis)
    found, leading = [], []
    for stripe in range(max(superstripes, 1)):
        offset = skips1 + advance * stripe if superstripes > 0 else skips1
        frame, reference, line, repeated = [], [], begin, 0
        while len(frame) < size and reads2 > 0:
            if line == begin or repeats > 0:
                line = begin
                frame += range(line, line + reads1)
                reference += [True] * reads1
                line += reads1
                again = interleaves and repeated > 0
                line += skips1 + repeated * (skips2 + reads2) if again else offset
                repeated += 1
            else:
                line += skips2
            frame += range(line, line + reads2)
            reference += [False] * reads2
            line += reads2
        found.append(frame)
        leading.append(reference)
    lengths = {len(frame) for frame in found}
    last = max((max(frame, default=0) for frame in found), default=0)
    if lengths != {size} or last >= _SIZE:
        given = ", ".join(f"{keyword} {value}" for keyword, value in zip(STRIPE_KEYWORDS, values, strict=True))
        raise BadDataError(
            f"{header.get('FILENAME', 'uncal')}: {given} give {', '.join(map(str, sorted(lengths)))} lines up to line {last + 1} "
            f"of the detector, but SUBSIZE{axis} is {size} and the detector has {_SIZE} lines; fetch the file again"
        )
    return np.array(found, np.int64), np.array(leading, bool)


def _first_line(header, axis):
    """Line of the detector at which the read-out begins."""
    start = int(header[f"SUBSTRT{axis}"])
    if "DHS" in str(header.get("SUBARRAY", "")).upper():
        return 0
    if int(header["SLOWAXIS"]) > 0:
        return start - 1
    # 1 would be the end of the detector: it stands for the beginning
    return 0 if start == 1 else _SIZE - start


def lines_of(header):
    """Where the lines of the array lie in a full frame of the products.

    Returns
    -------
    axis : int
        -2 if lines are rows, -1 if they are columns.
    lines : ndarray of int64 (nlines,), or (superstripes, nlines)
        Row or column of a full frame, from 0, of each line of the array. ``None`` instead of the pair if the read-out is not
        striped.
    """
    if not is_striped(header):
        return None
    lines = in_products(detector_lines(header), header)
    return slow_axis(header), np.ascontiguousarray(lines if number_of_superstripes(header) > 0 else lines[0])


def slow_axis(header):
    """Axis of the products along which lines follow each other: -2 if they are rows, -1 if they are columns."""
    return -2 if abs(int(header["SLOWAXIS"])) == 2 else -1


def in_products(lines, header):
    """Lines of the detector, in the direction of the read-out, as rows or columns of a full frame of the products, ascending with these."""
    return lines if int(header["SLOWAXIS"]) > 0 else _SIZE - 1 - lines[..., ::-1]
