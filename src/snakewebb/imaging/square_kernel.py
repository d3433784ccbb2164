"""Exact overlaps of input pixels with output pixels, summed up for several planes at once.

Output rows are shared out to threads in bands of fixed height. Within a band the input is read in a fixed order, and
what an output pixel gets is added in that order, so the result depends neither on the number of threads nor on the
height of the bands. Nor does it depend on the part of the output that is made: positions are those on the whole grid,
and only the sums are stored relative to the first row and column of the part. An input row is worked on in segments:
corners and areas of all its pixels in loops without branches, which the compiler turns into vector instructions. So
are the sums, where pixels that follow each other fall on output pixels that follow each other; elsewhere pixels are
added one by one.
"""

import numpy as np

from snakewebb.compiled import njit

BAND_ROWS = 32
"""Output rows that are accumulated together."""

SEGMENT = 64
"""Input pixels of a row that are worked on together, and whose extent on the output is kept to skip what does not touch a band."""

SHORTEST_RUN = 4
"""Pixels in a run, below which they are added one by one."""

DUST = 1e-10
"""Smallest fraction of an input pixel that counts as overlap; what is below is rounding of the area's four terms."""


@njit
def row_extents(first, last, positions, extents, reach):
    """Lowest and highest output row (or column) of each segment of input rows; largest steps to the next pixels.

    ``positions`` are the output rows, or columns, of the input pixels.
    """
    ny, nx = positions.shape
    for j in range(first, last):
        steepest_x = 0.0
        steepest_y = 0.0
        for s in range(extents.shape[1]):
            low = np.inf
            high = -np.inf
            for i in range(s * SEGMENT, min((s + 1) * SEGMENT, nx)):
                here = positions[j, i]
                if here < low:
                    low = here
                if here > high:
                    high = here
                if i + 1 < nx:
                    step = abs(positions[j, i + 1] - here)
                    if step > steepest_x:
                        steepest_x = step
                if j + 1 < ny:
                    step = abs(positions[j + 1, i] - here)
                    if step > steepest_y:
                        steepest_y = step
            extents[j, s, 0] = low
            extents[j, s, 1] = high
        reach[j] = steepest_x + steepest_y


@njit
def drizzle_bands(
    first_band,
    last_band,
    data,
    first_variance,
    second_variance,
    third_variance,
    present,
    weight,
    dq,
    map_x,
    map_y,
    extents,
    reach,
    column_extents,
    column_reach,
    box,
    half,
    fixed_weight,
    out_data,
    out_weight,
    context,
    bit,
    out_dq,
    variance_sum,
    variance_weight,
    origin,
):
    """Drizzle an image onto bands of output rows; the output begins at the row and column ``origin`` of the grid."""
    n_sums = 2 + present.size
    first_x, last_x, first_y, last_y = box
    ny, nx = out_data.shape
    first_row, left = origin
    right = left + nx
    leftmost = left - 0.5 - column_reach
    rightmost = right - 0.5 + column_reach
    keep_dq = dq.shape[0] > 1
    # flags are combined pixel by pixel
    shortest_run = SEGMENT + 1 if keep_dq else SHORTEST_RUN
    sums = np.zeros((n_sums, BAND_ROWS, nx))  # of weight, weight * data, weight * sqrt(variance) ...
    values = np.ones((5, SEGMENT))  # by which the weight is multiplied in these sums
    corners = np.empty((8, SEGMENT + 1))
    areas = np.empty(SEGMENT)
    limits = np.empty((4, SEGMENT))
    parts = np.empty((3, SEGMENT))
    simple = np.empty(SEGMENT)
    shares = np.empty((4, SEGMENT))
    image_weights = np.empty(nx)
    for band in range(first_band, last_band):
        row0 = first_row + band * BAND_ROWS
        row1 = min(row0 + BAND_ROWS, first_row + ny) - 1
        bottom = row0 - 0.5 - reach
        top = row1 + 0.5 + reach
        touched_low = nx
        touched_high = -1
        for j in range(first_y, last_y + 1):
            for segment in range(extents.shape[1]):
                if extents[j, segment, 1] < bottom or extents[j, segment, 0] > top:
                    continue
                if column_extents[j, segment, 1] < leftmost or column_extents[j, segment, 0] > rightmost:
                    continue
                start = max(segment * SEGMENT, first_x)
                n = min((segment + 1) * SEGMENT - 1, last_x) - start + 1
                if n < 1:
                    continue
                shared = half == 0.5  # neighbours in a row share two corners
                for line in range(0, 4 if shared else 8, 2):
                    dx = -half if line < 4 else half
                    dy = half if line % 4 == 0 else -half
                    _row_of_corners(map_x, map_y, start, n + 1 if shared else n, j, dx, dy, corners, line)
                _overlaps(n, corners, shared, areas, limits, parts, simple)
                _share_out(n, weight, j, start, parts, simple, shares)
                for k in range(n):
                    values[1, k] = data[j, start + k]
                if n_sums > 2:
                    for k in range(n):
                        values[2, k] = np.sqrt(np.float64(first_variance[j, start + k]))
                        values[3, k] = np.sqrt(np.float64(second_variance[j, start + k]))
                        values[4, k] = np.sqrt(np.float64(third_variance[j, start + k]))
                stop = 0
                while stop < n:
                    k = stop
                    stop += 1
                    if not (
                        limits[1, k] >= row0 and limits[0, k] <= row1 and limits[3, k] >= left and limits[2, k] < right
                    ):
                        continue  # also where a corner is not a number
                    row = int(limits[0, k]) - row0
                    column = int(limits[2, k])
                    if simple[k] > 0.0:
                        while (
                            stop < n
                            and simple[stop] > 0.0
                            and limits[0, stop] == limits[0, k]
                            and limits[2, stop] == limits[2, k] + (stop - k)
                        ):
                            stop += 1
                    if stop - k >= shortest_run and column >= left and column + stop - k < right:
                        for upper in range(2):
                            if 0 <= row + upper <= row1 - row0:
                                for s in range(n_sums):
                                    _add_run(sums, s, row + upper, column - left, shares, 2 * upper, values, k, stop)
                        touched_low = min(touched_low, column - left)
                        touched_high = max(touched_high, column + stop - k - left)
                        continue
                    stop = k + 1
                    pixel_weight = np.float64(weight[j, start + k])
                    if pixel_weight == 0.0 or not abs(areas[k]) > 0.0:
                        continue
                    last_row = int(limits[1, k]) - row0
                    last_column = int(limits[3, k])
                    for jj in range(max(row, 0), min(last_row, row1 - row0) + 1):
                        for ii in range(max(column, left), min(last_column, right - 1) + 1):
                            if simple[k] > 0.0:
                                share = shares[2 * (jj - row) + ii - column, k]
                            else:
                                fraction = _common_area(corners, shared, k, ii - 0.5, jj + row0 - 0.5) / areas[k]
                                share = fraction * pixel_weight if fraction > DUST else 0.0
                            if share != 0.0:
                                for s in range(n_sums):
                                    sums[s, jj, ii - left] += share * values[s, k]
                                if keep_dq:
                                    out_dq[jj + row0 - first_row, ii - left] |= dq[j, start + k]
                    touched_low = min(touched_low, max(column, left) - left)
                    touched_high = max(touched_high, min(last_column, right - 1) - left)
        if touched_high < touched_low:
            continue
        low, high = touched_low, touched_high + 1
        for row in range(row1 - row0 + 1):
            jj = row0 - first_row + row
            total = sums[0, row, low:high]
            if bit != 0:
                _mark(total, context[jj, low:high], bit)
            if n_sums > 2:
                _weigh_image(total, sums[2, row, low:high], fixed_weight, image_weights)
            for k in range(n_sums - 2):
                index = present[k]
                planes = variance_sum[index, jj, low:high], variance_weight[index, jj, low:high]
                _combine_variances(total, sums[k + 2, row, low:high], image_weights, *planes)
            _combine_data(total, sums[1, row, low:high], out_data[jj, low:high], out_weight[jj, low:high])
            for s in range(n_sums):
                sums[s, row, low:high] = 0.0


@njit
def _row_of_corners(map_x, map_y, start, n, j, dx, dy, corners, line):
    """Output positions of points beside the centres of ``n`` input pixels of a row, extrapolated at the border of the image.

    One pixel more than the row has: the other side of the last one. They are put into two lines of ``corners``.
    """
    ny, nx = map_x.shape
    row = min(max(j - 1 if dy < 0.0 else j, 0), ny - 2)
    fy = j + dy - row
    # loops begin at 0 everywhere here: an index that might be negative keeps the compiler from vector instructions
    back = 1 if dx < 0.0 else 0
    first = max(start, back)
    count = min(start + n, nx - 1 + back) - first
    lower_x, lower_y = map_x[row, first - back :], map_y[row, first - back :]
    upper_x, upper_y = map_x[row + 1, first - back :], map_y[row + 1, first - back :]
    xs, ys = corners[line, first - start :], corners[line + 1, first - start :]
    for k in range(count):
        i = first + k
        fx = i + dx - (i - back)
        a = (1.0 - fx) * (1.0 - fy)
        b = fx * (1.0 - fy)
        c = (1.0 - fx) * fy
        d = fx * fy
        xs[k] = lower_x[k] * a + lower_x[k + 1] * b + upper_x[k] * c + upper_x[k + 1] * d
        ys[k] = lower_y[k] * a + lower_y[k + 1] * b + upper_y[k] * c + upper_y[k + 1] * d
    for i in (start, start + n - 1):
        if first <= i < first + count:
            continue
        column = 0 if i < back else nx - 2
        fx = i + dx - column
        a = (1.0 - fx) * (1.0 - fy)
        b = fx * (1.0 - fy)
        c = (1.0 - fx) * fy
        d = fx * fy
        for axis in range(2):
            plane = map_x if axis == 0 else map_y
            corners[line + axis, i - start] = (
                plane[row, column] * a
                + plane[row, column + 1] * b
                + plane[row + 1, column] * c
                + plane[row + 1, column + 1] * d
            )


@njit
def _overlaps(n, corners, shared, areas, limits, parts, simple):
    """Areas of quadrilaterals, the output pixels that they touch, and how lines between these divide them.

    Set are, for each of ``n``: its signed area; its first and last row and its first and last column (``limits``); the
    fractions of its area that lie in the first column, in the first row, and in both (``parts``); and 1 in ``simple``
    where it touches no more than two rows and two columns, so that these fractions tell all.
    """
    x0, y0, x3, y3 = corners[0, :SEGMENT], corners[1, :SEGMENT], corners[2, :SEGMENT], corners[3, :SEGMENT]
    x1, y1 = (corners[0, 1:], corners[1, 1:]) if shared else (corners[4, :SEGMENT], corners[5, :SEGMENT])
    x2, y2 = (corners[2, 1:], corners[3, 1:]) if shared else (corners[6, :SEGMENT], corners[7, :SEGMENT])
    for k in range(n):
        ax, ay, bx, by = x0[k], y0[k], x1[k], y1[k]
        cx, cy, dx, dy = x2[k], y2[k], x3[k], y3[k]
        area = 0.5 * ((bx - dx) * (ay - cy) - (ax - cx) * (by - dy))
        first_row = np.floor(min(min(ay, by), min(cy, dy)) + 0.5)
        last_row = np.floor(max(max(ay, by), max(cy, dy)) + 0.5)
        first_column = np.floor(min(min(ax, bx), min(cx, dx)) + 0.5)
        last_column = np.floor(max(max(ax, bx), max(cx, dx)) + 0.5)
        areas[k] = area
        limits[0, k] = first_row
        limits[1, k] = last_row
        limits[2, k] = first_column
        limits[3, k] = last_column
        few = (last_row - first_row <= 1.0) and (last_column - first_column <= 1.0) and (abs(area) > 0.0)
        simple[k] = 1.0 if few else 0.0
        x = first_column + 0.5
        y = first_row + 0.5
        left0, below0, both0 = _edge_areas(ax - x, ay - y, bx - x, by - y)
        left1, below1, both1 = _edge_areas(bx - x, by - y, cx - x, cy - y)
        left2, below2, both2 = _edge_areas(cx - x, cy - y, dx - x, dy - y)
        left3, below3, both3 = _edge_areas(dx - x, dy - y, ax - x, ay - y)
        parts[0, k] = (left0 + left1 + left2 + left3) / area
        parts[1, k] = (below0 + below1 + below2 + below3) / area
        parts[2, k] = (both0 + both1 + both2 + both3) / area


@njit
def _edge_areas(u1, v1, u2, v2):
    """Signed area between an edge and the line v = 0, of the parts left of u = 0, below v = 0, and both.

    Summed over the edges of a polygon, the area of the polygon in the left half plane, the lower one, and in their
    common quadrant. All cases are computed and one is chosen, as vector instructions do.
    """
    below = _lower_area(v1, v2, u2 - u1)
    crossing = v1 - u1 * (v2 - v1) / (u2 - u1)
    is_right = u1 >= 0.0 and u2 >= 0.0
    is_left = u1 <= 0.0 and u2 <= 0.0
    keep_first = is_left or u1 < 0.0
    keep_second = is_left or not u1 < 0.0
    start_u = u1 if keep_first else 0.0
    start_v = v1 if keep_first else crossing
    end_u = u2 if keep_second else 0.0
    end_v = v2 if keep_second else crossing
    width = end_u - start_u
    left = 0.5 * width * (start_v + end_v)
    both = _lower_area(start_v, end_v, width)
    return 0.0 if is_right else left, below, 0.0 if is_right else both


@njit
def _lower_area(v1, v2, du):
    """Signed area between the part of an edge that lies below v = 0 and that line."""
    starts_below = v1 < 0.0
    end = v1 if starts_below else v2
    area = (-0.5 if starts_below else 0.5) * end * end * du / (v2 - v1)
    area = 0.0 if v1 >= 0.0 and v2 >= 0.0 else area
    return 0.5 * du * (v1 + v2) if v1 <= 0.0 and v2 <= 0.0 else area


@njit
def _share_out(n, weight, j, start, parts, simple, shares):
    """Weights that quadrilaterals give to the output pixels left and right in their first row, and in their second one."""
    weights = weight[j, start : start + n]
    for k in range(n):
        left = parts[0, k]
        below = parts[1, k]
        both = parts[2, k]
        pixel_weight = np.float64(weights[k])
        used = simple[k] > 0.0 and pixel_weight != 0.0
        shares[0, k] = both * pixel_weight if used and both > DUST else 0.0
        fraction = below - both
        shares[1, k] = fraction * pixel_weight if used and fraction > DUST else 0.0
        fraction = left - both
        shares[2, k] = fraction * pixel_weight if used and fraction > DUST else 0.0
        fraction = 1.0 - left - below + both
        shares[3, k] = fraction * pixel_weight if used and fraction > DUST else 0.0


@njit
def _add_run(sums, s, row, column, shares, side, values, first, stop):
    """Add to a row of a sum what the input pixels ``first`` to ``stop - 1`` give; the first gives to ``column``.

    An output pixel gets the right share of an input pixel before the left one of the next. A value of which nothing is
    given may be anything.
    """
    count = stop - first
    left, right, value = shares[side, first:stop], shares[side + 1, first:stop], values[s, first:stop]
    total = sums[s, row, column : column + count + 1]
    total[0] += left[0] * value[0] if left[0] != 0.0 else 0.0
    inner, next_left, next_value = total[1:], left[1:], value[1:]
    for k in range(count - 1):
        before = right[k] * value[k] if right[k] != 0.0 else 0.0
        own = next_left[k] * next_value[k] if next_left[k] != 0.0 else 0.0
        inner[k] = inner[k] + before + own
    total[count] += right[count - 1] * value[count - 1] if right[count - 1] != 0.0 else 0.0


@njit
def _common_area(corners, shared, k, x, y):
    """Signed area that a quadrilateral and the unit square at (x, y) have in common."""
    x0, y0, x3, y3 = corners[0, k] - x, corners[1, k] - y, corners[2, k] - x, corners[3, k] - y
    if shared:
        x1, y1, x2, y2 = corners[0, k + 1] - x, corners[1, k + 1] - y, corners[2, k + 1] - x, corners[3, k + 1] - y
    else:
        x1, y1, x2, y2 = corners[4, k] - x, corners[5, k] - y, corners[6, k] - x, corners[7, k] - y
    return (
        _area_below(x0, y0, x1, y1)
        + _area_below(x1, y1, x2, y2)
        + _area_below(x2, y2, x3, y3)
        + _area_below(x3, y3, x0, y0)
    )


@njit
def _area_below(x1, y1, x2, y2):
    """Signed area of the unit square that lies below a segment (positive where x increases along it)."""
    dx = x2 - x1
    if dx == 0.0:
        return 0.0
    if dx < 0.0:
        sign = -1.0
        low = x2
        high = x1
    else:
        sign = 1.0
        low = x1
        high = x2
    if low >= 1.0 or high <= 0.0:
        return 0.0
    low = max(low, 0.0)
    high = min(high, 1.0)
    slope = (y2 - y1) / dx
    y_low = y1 + slope * (low - x1)
    y_high = y1 + slope * (high - x1)
    if y_low <= 0.0 and y_high <= 0.0:
        return 0.0
    if y_low >= 1.0 and y_high >= 1.0:
        return sign * (high - low)
    if y_low < 0.0:
        low = x1 - y1 / slope
        y_low = 0.0
    if y_high < 0.0:
        high = x1 - y1 / slope
        y_high = 0.0
    if y_low <= 1.0:
        if y_high <= 1.0:
            return sign * 0.5 * (high - low) * (y_high + y_low)
        top = x1 + (1.0 - y1) / slope
        return sign * (0.5 * (top - low) * (1.0 + y_low) + high - top)
    top = x1 + (1.0 - y1) / slope
    return sign * (0.5 * (high - top) * (1.0 + y_high) + top - low)


@njit
def _mark(total, context, bit):
    """Note in a row of the context image that an image contributes."""
    for ii in range(total.size):
        context[ii] |= bit if total[ii] != 0.0 else 0


@njit
def _weigh_image(total, first_sum, fixed_weight, image_weights):
    """Weight of the image among the variances of a row of output pixels, 0 where it has none."""
    fixed = not np.isnan(fixed_weight)
    for ii in range(total.size):
        first = (first_sum[ii] / total[ii]) ** 2
        inverse = 1.0 / first if first > 0.0 and first < np.inf else 0.0
        image_weight = fixed_weight if fixed else inverse
        image_weights[ii] = image_weight if total[ii] != 0.0 else 0.0


@njit
def _combine_variances(total, root_sum, image_weights, variance_sum, variance_weight):
    """Add a row of a variance of the image, whose root is drizzled, to those of earlier images."""
    for ii in range(total.size):
        image_weight = image_weights[ii]
        spread = (root_sum[ii] / total[ii]) ** 2
        used = image_weight > 0.0 and spread >= 0.0 and spread < np.inf
        added = variance_sum[ii] + spread * image_weight * image_weight
        variance_sum[ii] = np.float32(added) if used else variance_sum[ii]
        added = variance_weight[ii] + image_weight
        variance_weight[ii] = np.float32(added) if used else variance_weight[ii]


@njit
def _combine_data(total, weighted, data, weight):
    """Average a row of the image with those of earlier images."""
    for ii in range(total.size):
        used = total[ii] != 0.0
        before = np.float64(weight[ii])
        after = before + total[ii]
        mean = (data[ii] * before + weighted[ii]) / after
        data[ii] = np.float32(mean) if used else data[ii]
        weight[ii] = np.float32(after) if used else weight[ii]
