"""Kernels that go over the pixels of an image once for its pictures, without temporaries of its size."""

import numpy as np

from snakewebb.compiled import njit


@njit
def blank(data, flags, bits):
    """Set pixels with one of these flags to NaN, in place.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    flags : ndarray of uint32 (ny, nx)
    bits : uint32
    """
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if flags[y, x] & bits:
                data[y, x] = np.nan


@njit
def blank_beyond(data, limit):
    """Set pixels that are not nearer to 0 than a limit to NaN, in place.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    limit : float32
    """
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if not abs(data[y, x]) < limit:
                data[y, x] = np.nan


@njit
def average_blocks(image, size, means):
    """Means of the finite pixels of square blocks, NaN of blocks without any.

    Parameters
    ----------
    image : ndarray of float (ny, nx)
    size : int
        Side of a block; the last ones may be smaller.
    means : ndarray of float (rows, columns)
        Is filled.
    """
    for row in range(means.shape[0]):
        last = min((row + 1) * size, image.shape[0])
        for column in range(means.shape[1]):
            total, number = 0.0, 0
            for y in range(row * size, last):
                for x in range(column * size, min((column + 1) * size, image.shape[1])):
                    if np.isfinite(image[y, x]):
                        total += image[y, x]
                        number += 1
            means[row, column] = total / number if number else np.nan


@njit
def mark_seen(plane, above, rows, columns):
    """Mark the rows and columns that have a value above another one, and return the number of these values.

    Parameters
    ----------
    plane : ndarray of float32 (ny, nx)
    above : float32
    rows : ndarray of bool (ny,)
    columns : ndarray of bool (nx,)
        Are set.
    """
    number = 0
    for y in range(plane.shape[0]):
        before = number
        for x in range(plane.shape[1]):
            there = plane[y, x] > above
            number += there
            columns[x] |= there
        rows[y] |= number > before
    return number


@njit
def average_weighted(image, weight, left, right, size, means, mean_weights):
    """Means over square blocks of the finite pixels that have weight, and of the weights of those that have it; NaN without any.

    Parameters
    ----------
    image, weight : ndarray of float32 (ny, nx)
    left, right : int
        First column of the blocks and the one after the last.
    size : int
        Side of a block; the last ones may be smaller.
    means, mean_weights : ndarray of float64 (rows, columns)
        Are filled.
    """
    for row in range(means.shape[0]):
        last = min((row + 1) * size, image.shape[0])
        for column in range(means.shape[1]):
            begin = left + column * size
            total, number, weights, weighted = 0.0, 0, 0.0, 0
            for y in range(row * size, last):
                for x in range(begin, min(begin + size, right)):
                    if weight[y, x] > 0:
                        weights += weight[y, x]
                        weighted += 1
                        if np.isfinite(image[y, x]):
                            total += image[y, x]
                            number += 1
            means[row, column] = total / number if number else np.nan
            mean_weights[row, column] = weights / weighted if weighted else np.nan


@njit
def count_classes(flags, bits, size, totals, first):
    """Numbers of flagged pixels by class: of those that have it, and in square blocks of those that have none before it.

    Parameters
    ----------
    flags : ndarray of uint32 (ny, nx)
    bits : ndarray of uint32 (classes,)
    size : int
        Side of a block.
    totals : ndarray of int64 (classes,)
        Is added to.
    first : ndarray of int32 (rows, columns, classes)
        Is added to.
    """
    for row in range(first.shape[0]):
        last = min((row + 1) * size, flags.shape[0])
        for column in range(first.shape[1]):
            for y in range(row * size, last):
                for x in range(column * size, min((column + 1) * size, flags.shape[1])):
                    if flags[y, x] == 0:
                        continue
                    free = 1
                    for k in range(bits.size):
                        if flags[y, x] & bits[k]:
                            totals[k] += 1
                            first[row, column, k] += free
                            free = 0


@njit
def shade_blocks(blocks, colours, ground, shown):
    """Colours of blocks of pixels of which parts belong to classes, on a ground that shows where these are small.

    Parameters
    ----------
    blocks : ndarray of float64 (rows, columns, classes)
        Parts of the pixels, of which the root is the part of the colour that is not of the ground.
    colours : ndarray of float64 (classes, 3)
    ground : ndarray of float64 (3,)
    shown : ndarray of float64 (rows, columns, 3)
        Is filled.
    """
    for row in range(blocks.shape[0]):
        for column in range(blocks.shape[1]):
            flagged = 0.0
            for k in range(colours.shape[0]):
                flagged += blocks[row, column, k]
            shade = np.sqrt(flagged)
            for channel in range(3):
                mixed = 0.0
                for k in range(colours.shape[0]):
                    mixed += blocks[row, column, k] * colours[k, channel]
                mixed = mixed / flagged if flagged > 0 else 0.0
                shown[row, column, channel] = (1 - shade) * ground[channel] + shade * mixed


@njit
def keep_usable(values, errors):
    """Move the finite values of positive error, and these errors, to the front, in place, and return their number.

    Parameters
    ----------
    values, errors : ndarray of float32 (n,)
    """
    number = 0
    for k in range(values.size):
        value, error = values[k], errors[k]
        values[number], errors[number] = value, error
        number += np.isfinite(value) and error > 0
    return number


@njit
def count_pulls(values, errors, level, first, width, counts):
    """Make values less a level over error of values, in place, and count them in bins.

    Parameters
    ----------
    values, errors : ndarray of float32 (n,)
    level, first, width : float32
        First is the lower edge of the bin after the first one.
    counts : ndarray of int64 (bins,)
        Is added to; the first and the last bin are of all that is beyond the others.
    """
    inside = np.float32(counts.size - 2)
    for k in range(values.size):
        values[k] = (values[k] - level) / errors[k]
        place = min(max((values[k] - first) / width, np.float32(-1)), inside)
        counts[int(np.floor(place)) + 1] += 1


@njit
def gather(values, low, high, near):
    """Collect the values from low to high.

    Parameters
    ----------
    values : ndarray of float (n,)
    low, high : float
    near : ndarray of float (m,)
        Is filled, as far as there is room.

    Returns
    -------
    int, int
        Number of values below low, and of those from low to high.
    """
    below, number, room = 0, 0, near.size - 1
    for k in range(values.size):
        value = values[k]
        below += value < low
        near[min(number, room)] = value
        number += (value >= low) & (value <= high)
    return below, number


@njit
def colour_codes(shown, depth, codes, used):
    """Colours of a picture as numbers of the highest bits of red, green and blue.

    Parameters
    ----------
    shown : ndarray of uint8 (ny, nx, 3 or 4)
    depth : int
        Bits that count of each.
    codes : ndarray of int32 (ny, nx)
        Is filled.
    used : ndarray of bool (8^depth,)
        Is set for the numbers that there are.
    """
    for y in range(codes.shape[0]):
        for x in range(codes.shape[1]):
            code = 0
            for channel in range(3):
                code = (code << depth) | (shown[y, x, channel] >> (8 - depth))
            codes[y, x] = code
            used[code] = True


@njit
def interpolate(image, rows, columns, spacing, sampled):
    """Bilinear interpolation between the finite pixels of an image; NaN where they have no more than half of the weight.

    The places where it is sampled are interpolated themselves.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    rows, columns : ndarray of float64
        Places in the image, from 0, of each so many samples in both directions, beyond the last.
    spacing : int
        That number.
    sampled : ndarray of float32 (my, mx)
        Is filled.
    """
    for k in range(sampled.shape[0]):
        for j in range(sampled.shape[1]):
            up, low = divmod(k, spacing)
            right, near = divmod(j, spacing)
            v, u = low / spacing, near / spacing
            y = (1 - v) * ((1 - u) * rows[up, right] + u * rows[up, right + 1])
            y += v * ((1 - u) * rows[up + 1, right] + u * rows[up + 1, right + 1])
            x = (1 - v) * ((1 - u) * columns[up, right] + u * columns[up, right + 1])
            x += v * ((1 - u) * columns[up + 1, right] + u * columns[up + 1, right + 1])
            first, left = int(np.floor(y)), int(np.floor(x))
            total, weight = 0.0, 0.0
            for row in range(max(first, 0), min(first + 2, image.shape[0])):
                for column in range(max(left, 0), min(left + 2, image.shape[1])):
                    if np.isfinite(image[row, column]):
                        share = (1 - abs(y - row)) * (1 - abs(x - column))
                        total += share * image[row, column]
                        weight += share
            sampled[k, j] = total / weight if weight > 0.5 else np.nan


@njit
def mean_known(planes, mean):
    """Mean of the finite values of each pixel, NaN without any.

    Parameters
    ----------
    planes : ndarray of float32 (n, ny, nx)
    mean : ndarray of float32 (ny, nx)
        Is filled.
    """
    for y in range(mean.shape[0]):
        for x in range(mean.shape[1]):
            total, number = 0.0, 0
            for k in range(planes.shape[0]):
                if np.isfinite(planes[k, y, x]):
                    total += planes[k, y, x]
                    number += 1
            mean[y, x] = total / number if number else np.nan


@njit
def mix_colours(planes, mean, black, stretch, softening, nothing, image):
    """Colours whose sum is stretched by an asinh, and which keep their ratios.

    One of three planes that is not finite has its neighbour in its place; a pixel where one is missing all the same is grey.

    Parameters
    ----------
    planes : ndarray of float32 (1 to 3, ny, nx)
        Light in red and blue, with green between them, which else is their mean.
    mean : ndarray of float32 (ny, nx)
        As from `mean_known`.
    black : float
        Light that is black.
    stretch, softening : float
        Of the asinh: light over which it is linear, and how fast it becomes logarithmic.
    nothing : ndarray of uint8 (3,)
        Colour of pixels without light.
    image : ndarray of uint8 (ny, nx, 3)
        Is filled.

    References
    ----------
    Lupton et al. 2004, PASP 116, 133; as `astropy.visualization.make_lupton_rgb`.
    """
    part = 0.1  # of the scale, at which the slope is that of the linear one
    slope, steepness = part / np.arcsinh(part * softening), softening / stretch
    last = planes.shape[0] - 1
    for y in range(mean.shape[0]):
        for x in range(mean.shape[1]):
            grey = np.float64(mean[y, x])
            if not np.isfinite(grey):
                image[y, x] = nothing
                continue
            red, blue = np.float64(planes[0, y, x]), np.float64(planes[last, y, x])
            green = 0.5 * (red + blue)
            if last == 2 and np.isfinite(planes[1, y, x]):
                green = np.float64(planes[1, y, x])
                red = red if np.isfinite(red) else green
                blue = blue if np.isfinite(blue) else green
            if not np.isfinite(red + green + blue):
                red = green = blue = grey
            red, green, blue = red - black, green - black, blue - black
            light = (red + green + blue) / 3
            factor = np.arcsinh(light * steepness) * slope / light if light > 0 else 0.0
            red, green, blue = max(red * factor, 0.0), max(green * factor, 0.0), max(blue * factor, 0.0)
            most = max(red, green, blue, 1.0)
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = (
                255 * (red / most),
                255 * (green / most),
                255 * (blue / most),
            )


def load():
    """Call every kernel once with what the pictures give it: processes that are forked then have them."""
    plane, flags, wide = np.ones((1, 1), np.float32), np.zeros((1, 1), np.uint32), np.ones((1, 1))
    one = np.float32(1)
    blank(plane, flags, np.uint32(1))
    blank_beyond(plane, one + one)  # which leaves what the others count
    for image, means in ((plane, wide), (plane, plane), (wide, wide)):
        average_blocks(image, 1, np.empty_like(means))
    mark_seen(plane, one, np.zeros(1, np.bool_), np.zeros(1, np.bool_))
    average_weighted(plane, plane, 0, 1, 1, np.empty((1, 1)), np.empty((1, 1)))
    count_classes(flags, np.zeros(3, np.uint32), 1, np.zeros(3, np.int64), np.zeros((1, 1, 3), np.int32))
    shade_blocks(wide[None], np.ones((1, 3)), np.ones(3), np.empty((1, 1, 3)))
    keep_usable(plane[0], plane[0])
    count_pulls(plane[0], plane[0], one, one, one, np.zeros(3, np.int64))
    gather(plane[0], one, one, plane[0])
    colour_codes(np.zeros((1, 1, 4), np.uint8), 1, np.zeros((1, 1), np.int32), np.zeros(8, np.bool_))
    interpolate(plane, np.ones((2, 2)), np.ones((2, 2)), 32, np.empty((1, 1), np.float32))
    mean_known(plane[None], plane)
    mix_colours(plane[None], plane, 0.0, 1.0, 8.0, np.zeros(3, np.uint8), np.zeros((1, 1, 3), np.uint8))
