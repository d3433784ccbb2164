"""Flicker noise as one level per line of the read-out: medians of the background pixels of each line."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.imaging.stack_median import middle

CHANNELS = 4
"""Number of amplifiers of a full frame of the near-infrared detectors."""

_WIDTH = 16  # columns that are gathered together: a cache line


def subtract_stripes(image, mask, axis, *, by_channel=False):
    """Subtract from each line of an image the median of its background pixels, in place.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        True for background. A line without any is left as it is.
    axis : {0, 1}
        Axis along which the medians are taken.
    by_channel : bool
        Take the medians of each amplifier (a quarter of 2048 pixels along ``axis``) by themselves; ignored for other sizes.
    """
    parts = CHANNELS if by_channel and image.shape[axis] == 2048 else 1
    if axis == 1:
        _subtract_rows(image, mask, parts)
    else:
        _subtract_columns(image, mask, parts)


@njit
def _subtract_rows(image, mask, parts):
    ny, nx = image.shape
    size = nx // parts
    line = np.empty(size + 1, np.float32)
    for y in range(ny):
        for part in range(parts):
            begin = part * size
            count = 0
            for x in range(begin, begin + size):
                # stored in any case and counted if used, so that there is no branch
                line[count] = image[y, x]
                count += mask[y, x]
            if count == 0:
                continue
            stripe = middle(line, count)
            for x in range(begin, begin + size):
                image[y, x] -= stripe


@njit
def _subtract_columns(image, mask, parts):
    ny, nx = image.shape
    size = ny // parts
    lines = np.empty((_WIDTH, size), np.float32)
    count = np.empty(_WIDTH, np.int64)
    stripe = np.empty(_WIDTH, np.float32)
    for part in range(parts):
        begin = part * size
        for left in range(0, nx, _WIDTH):
            columns = min(_WIDTH, nx - left)
            for x in range(columns):
                count[x] = 0
            for y in range(begin, begin + size):
                for x in range(columns):
                    if mask[y, left + x]:
                        lines[x, count[x]] = image[y, left + x]
                        count[x] += 1
            for x in range(columns):
                stripe[x] = middle(lines[x], count[x]) if count[x] > 0 else np.float32(0)
            for y in range(begin, begin + size):
                for x in range(columns):
                    image[y, left + x] -= stripe[x]
