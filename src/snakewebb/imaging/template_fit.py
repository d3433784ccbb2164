"""Robust scales of templates in an image."""

import numpy as np

CLIP = 3.0
"""Limit of what is left after a fit, in standard deviations."""
_PASSES = 10
_BLOCK = 128  # side of the blocks that errors are found from, pixels; a sixteenth of the side of smaller images
_SMALLEST_BLOCK = 8


def fit_templates(data, templates, good, *, fast_axis=1):
    """Scales of templates, and a constant, that fit an image best.

    All pixels count the same, as errors of pixels depend on their values; those that are left further than `CLIP` standard deviations
    are clipped until nothing changes. Errors are those for noise that pixels share within blocks, as that of faint sources, or lines of
    the read-out, as 1/f noise: the scatter over blocks, and over lines, of what they add to the equations.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    templates : list of ndarray of float32 (ny, nx)
        At least one.
    good : ndarray of bool (ny, nx)
        Pixels that are fitted: all values are finite there.
    fast_axis : int
        FASTAXIS of the read-out: 1 or -1 for lines that are rows, 2 or -2 for columns.

    Returns
    -------
    scales, errors : ndarray of float64 (n,)
    constant : float

    Raises
    ------
    numpy.linalg.LinAlgError
        If the templates cannot be told from each other or from a constant in these pixels.

    References
    ----------
    Cameron, Gelbach & Miller 2011, J. Business & Economic Statistics 29, 238, section 2.1 (errors, clustered in two ways).
    """
    values = data[good].astype(np.float64)
    columns = [template[good].astype(np.float64) for template in templates]
    means = [column.mean() for column in columns]
    columns = [column - mean for column, mean in zip(columns, means, strict=True)]
    columns.append(np.ones(values.size))
    kept = np.ones(values.size, bool)
    for _ in range(_PASSES):
        inverse, solution = _solve(columns, values, kept)
        left = values - sum(scale * column for scale, column in zip(solution, columns, strict=True))
        middle = np.median(left[kept])
        deviation = 1.4826 * np.median(np.abs(left[kept] - middle))
        now = np.abs(left - middle) <= CLIP * deviation
        if (now == kept).all() or not now.any():
            break
        kept = now
    moments = [(column * left)[kept] for column in columns]
    blocks, lines, parts = (_spread(labels[good][kept], moments) for labels in _clusters(data.shape, fast_axis))
    # what parts of lines in a block share is in both of the others
    spread = np.diag(inverse @ blocks @ inverse) + np.maximum(np.diag(inverse @ (lines - parts) @ inverse), 0)
    errors = np.sqrt(spread)
    constant = solution[-1] - sum(scale * mean for scale, mean in zip(solution, means, strict=False))
    return solution[:-1], errors[:-1], float(constant)


def _solve(columns, values, kept):
    """Inverse of the matrix of the normal equations, and their solution, from the pixels that are kept."""
    used = [column[kept] for column in columns]
    matrix = np.array([[(one * other).sum() for other in used] for one in used])
    scale = np.sqrt(np.diag(matrix))
    if not scale.all() or np.linalg.cond(matrix / np.outer(scale, scale)) > 1e10:
        raise np.linalg.LinAlgError("templates are the same, or constant")
    inverse = np.linalg.inv(matrix)
    right = np.array([(column * values[kept]).sum() for column in used])
    return inverse, inverse @ right


def _clusters(shape, fast_axis):
    """Of each pixel the number of its block, of its line of the read-out, and of the part of the line in the block."""
    side = max(_SMALLEST_BLOCK, min(_BLOCK, min(shape) // 16))
    rows, columns = np.arange(shape[0])[:, np.newaxis], np.arange(shape[1])
    blocks = rows // side * (shape[1] // side + 1) + columns // side
    lines = np.broadcast_to(rows if abs(fast_axis) == 1 else columns, shape)
    return blocks, lines, blocks * side + lines % side


def _spread(labels, moments):
    """Matrix of the products of moments that are summed over clusters of pixels."""
    sums = np.array([np.bincount(labels, moment) for moment in moments])
    number = np.count_nonzero(np.bincount(labels))
    return np.einsum("ib,jb->ij", sums, sums) * number / max(number - 1, 1)
