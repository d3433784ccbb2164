"""Kernels of cube building: what each detector pixel adds to the voxels of a block of wavelength planes.

Every kernel works on blocks of planes that share no voxel, and adds the pixels of an exposure in their order on the
detector: sums do not depend on the number of threads or on the size of the blocks. A voxel has four sums, next to
each other: weight times flux, weight, squared weight times variance, and the number of contributions.
"""

import math

import numpy as np

from snakewebb.compiled import njit

BLOCK_PLANES = 16
"""Wavelength planes that are accumulated together."""

DRIZZLE, EMSM, MSM = 0, 1, 2

_ARCSEC = 180.0 * 3600.0 / math.pi


@njit
def standard_coordinates(first, last, ra, dec, ra0, dec0, angle, xi, eta):
    """Gnomonic coordinates (arcsec) of flat arrays of sky positions (degrees), into ``xi`` and ``eta``.

    ``xi`` grows towards west; both are rotated by ``angle`` (degrees). Works on elements ``first`` to ``last - 1``.
    """
    degree = math.pi / 180.0
    sin0, cos0 = math.sin(dec0 * degree), math.cos(dec0 * degree)
    sin_a, cos_a = math.sin(angle * degree), math.cos(angle * degree)
    for k in range(first, last):
        difference = ra[k] * degree - ra0 * degree
        sin_d, cos_d = math.sin(dec[k] * degree), math.cos(dec[k] * degree)
        cos_r = math.cos(difference)
        h = sin_d * sin0 + cos_d * cos0 * cos_r
        x = -(cos_d * math.sin(difference) / h) * _ARCSEC
        y = (sin_d * cos0 - cos_d * sin0 * cos_r) / h * _ARCSEC
        xi[k] = x * cos_a + y * sin_a
        eta[k] = y * cos_a - x * sin_a


@njit
def plane_ranges(first, last, wave, reach, planes, width, first_plane, last_plane):
    """First plane and the one behind the last that each pixel can reach: closer than ``reach`` and the widest plane.

    ``planes`` increase; works on pixels ``first`` to ``last - 1``.
    """
    count = len(planes)
    widest = 0.0
    for value in width:
        widest = max(widest, value)
    for k in range(first, last):
        begin = np.searchsorted(planes, wave[k] - reach[k] - widest)
        end = begin
        while end < count and planes[end] <= wave[k] + reach[k] + widest:
            end += 1
        first_plane[k] = begin
        last_plane[k] = end


@njit
def bucketed(first_plane, last_plane, nblocks, block):
    """Pixels of each block of planes in their order, one block after the other, and where each block begins."""
    starts = np.zeros(nblocks + 1, np.int64)
    for k in range(len(first_plane)):
        if last_plane[k] > first_plane[k]:
            for b in range(first_plane[k] // block, (last_plane[k] - 1) // block + 1):
                starts[b + 1] += 1
    for b in range(nblocks):
        starts[b + 1] += starts[b]
    members = np.empty(starts[nblocks], np.int32)
    place = starts[:-1].copy()
    for k in range(len(first_plane)):
        if last_plane[k] > first_plane[k]:
            for b in range(first_plane[k] // block, (last_plane[k] - 1) // block + 1):
                members[place[b]] = k
                place[b] += 1
    return members, starts


@njit(inline="always")
def _clip(x, y, count, new_x, new_y, limit, sign):
    """Part of a polygon on one side of a limit of its first coordinate; returns the number of corners."""
    found = 0
    before = count - 1
    for j in range(count):
        inside, was_inside = sign * (x[j] - limit) > 0.0, sign * (x[before] - limit) > 0.0
        if inside != was_inside:
            new_x[found] = limit
            new_y[found] = y[before] + (y[j] - y[before]) * ((limit - x[before]) / (x[j] - x[before]))
            found += 1
        if inside:
            new_x[found] = x[j]
            new_y[found] = y[j]
            found += 1
        before = j
    return found


@njit(inline="always")
def _area(x, y, count):
    """Area of a polygon, computed about its first corner."""
    total = 0.0
    for j in range(1, count - 1):
        total += (x[j] - x[0]) * (y[j + 1] - y[0]) - (x[j + 1] - x[0]) * (y[j] - y[0])
    return 0.5 * abs(total)


@njit(inline="always")
def overlap(x, y, left, right, bottom, top, work):
    """Area that a convex quadrilateral shares with a rectangle; ``work`` is scratch of shape (4, 12)."""
    count = _clip(x, y, 4, work[0], work[1], left, 1.0)
    count = _clip(work[0], work[1], count, work[2], work[3], right, -1.0)
    count = _clip(work[3], work[2], count, work[1], work[0], bottom, 1.0)
    count = _clip(work[1], work[0], count, work[3], work[2], top, -1.0)
    return _area(work[2], work[3], count)


@njit(inline="always")
def _window(low, high, start, step, count, mirrored):
    """First spaxel and the one behind the last along an axis that an interval can overlap.

    ``mirrored``: as the oracle computes it, which takes the distance of what lies outside the first spaxel for an index.
    """
    if mirrored:
        begin = int(abs((low - 0.5 * step - start) / step) - 1.0)
        end = int(abs((high + 0.5 * step - start) / step) + 1.0)
    else:
        begin = math.floor((low - start) / step) - 1
        end = math.floor((high - start) / step) + 2
    return max(begin, 0), min(end, count)


@njit(inline="always")
def _add(voxel, flux, err, weight):
    voxel[0] += flux * weight
    voxel[1] += weight
    voxel[2] += (err * weight) * (err * weight)
    voxel[3] += 1.0


@njit
def drizzle_blocks(
    first, last, members, starts, block, first_plane, last_plane, corner_xi, corner_eta, wave, wave_width, flux, err,
    xc, yc, zc, dz, dx, dy, mirrored, sums,
):  # fmt: skip
    """Add the pixels of an exposure by their overlap with the voxels of blocks ``first`` to ``last - 1``.

    ``corner_xi`` and ``corner_eta`` have the shape (npixels, 4); ``sums`` (nplanes, ny, nx, 4).
    """
    nx, ny = len(xc), len(yc)
    work = np.empty((4, 12))
    strip_x, strip_y = np.empty(12), np.empty(12)
    share = np.empty(len(zc))
    for b in range(first, last):
        for m in range(starts[b], starts[b + 1]):
            k = members[m]
            if np.isnan(flux[k]) or np.isnan(err[k]):
                continue
            # the part of each plane's width that the pixel covers
            begin, end = max(first_plane[k], b * block), min(last_plane[k], (b + 1) * block)
            low, high = wave[k] - wave_width[k] / 2, wave[k] + wave_width[k] / 2
            while begin < end and zc[begin] + dz[begin] / 2 <= low:
                begin += 1
            while begin < end and zc[end - 1] - dz[end - 1] / 2 >= high:
                end -= 1
            if begin >= end:
                continue
            for w in range(begin, end):
                share[w] = min(high, zc[w] + dz[w] / 2) - max(low, zc[w] - dz[w] / 2)
            x, y = corner_xi[k], corner_eta[k]
            x_low, x_high = min(x[0], x[1], x[2], x[3]), max(x[0], x[1], x[2], x[3])
            y_low, y_high = min(y[0], y[1], y[2], y[3]), max(y[0], y[1], y[2], y[3])
            ix_begin, ix_end = _window(x_low, x_high, xc[0] - dx / 2, dx, nx, False)
            iy_begin, iy_end = _window(y_low, y_high, yc[0] - dy / 2, dy, ny, False)
            if mirrored:
                ix_begin, ix_end = _window(x_low, x_high, xc[0], dx, nx, True)
                iy_begin, iy_end = _window(y_low, y_high, yc[0], dy, ny, True)
            for ix in range(ix_begin, ix_end):
                left, right = xc[ix] - dx * 0.5, xc[ix] + dx * 0.5
                if left >= x_high or right <= x_low:
                    continue
                # the column is cut out once for all its spaxels
                count = _clip(x, y, 4, work[0], work[1], left, 1.0)
                count = _clip(work[0], work[1], count, strip_x, strip_y, right, -1.0)
                if count == 0:
                    continue
                lowest, highest = strip_y[0], strip_y[0]
                for j in range(1, count):
                    lowest, highest = min(lowest, strip_y[j]), max(highest, strip_y[j])
                for iy in range(iy_begin, iy_end):
                    bottom, top = yc[iy] - dy * 0.5, yc[iy] + dy * 0.5
                    if bottom >= highest or top <= lowest:
                        continue
                    corners = _clip(strip_y, strip_x, count, work[1], work[0], bottom, 1.0)
                    corners = _clip(work[1], work[0], corners, work[3], work[2], top, -1.0)
                    area = _area(work[2], work[3], corners)
                    for w in range(begin, end):
                        weight = area * share[w]
                        if weight > 0.0:
                            _add(sums[w, iy, ix], flux[k], err[k], weight)


@njit
def cloud_blocks(
    first, last, members, starts, block, first_plane, last_plane, xi, eta, wave, flux, err, radius, reach, power,
    softening, scale, modified, xc, yc, zc, dz, dx, dy, sums,
):  # fmt: skip
    """Add the pixels of an exposure as points, weighted by their distance from the voxels within a region of interest.

    Arrays of one value per pixel: ``radius`` (arcsec) and ``reach`` (micron) of the region, and the power and the
    softening of Shepard's weights, or, if ``modified``, the scale of exponential ones.
    """
    nx, ny = len(xc), len(yc)
    along = np.empty(len(zc))
    for b in range(first, last):
        for m in range(starts[b], starts[b + 1]):
            k = members[m]
            if np.isnan(flux[k]) or np.isnan(err[k]):
                continue
            begin, end = max(first_plane[k], b * block), min(last_plane[k], (b + 1) * block)
            while begin < end and abs(zc[begin] - wave[k]) > reach[k]:
                begin += 1
            while begin < end and abs(zc[end - 1] - wave[k]) > reach[k]:
                end -= 1
            if begin >= end:
                continue
            width = scale[k] / dx
            for w in range(begin, end):
                distance = (wave[k] - zc[w]) / dz[w]
                along[w] = math.exp(-distance * distance / width) if modified else distance * distance
            ix_begin, ix_end = _window(xi[k] - radius[k], xi[k] + radius[k], xc[0] - dx / 2, dx, nx, False)
            iy_begin, iy_end = _window(eta[k] - radius[k], eta[k] + radius[k], yc[0] - dy / 2, dy, ny, False)
            for iy in range(iy_begin, iy_end):
                across_y = abs(yc[iy] - eta[k])
                for ix in range(ix_begin, ix_end):
                    across_x = abs(xc[ix] - xi[k])
                    if math.sqrt(across_x * across_x + across_y * across_y) > radius[k]:
                        continue
                    squared = (across_x / dx) * (across_x / dx) + (across_y / dy) * (across_y / dy)
                    part = math.exp(-squared / width) if modified else squared
                    for w in range(begin, end):
                        if modified:
                            weight = part * along[w]
                        else:
                            weight = 1.0 / max(math.pow(math.sqrt(part + along[w]), power[k]), softening[k])
                        _add(sums[w, iy, ix], flux[k], err[k], weight)


@njit
def slice_blocks(
    first, last, members, starts, block, first_plane, last_plane, corner_along, corner_wave, row, flux, err, ac, zc, da,
    dz, sums,
):  # fmt: skip
    """Add the pixels of an exposure to the slices of the instrument, each a row of the cube.

    A pixel is a quadrilateral in the plane of along-slice coordinate and wavelength (arrays of shape (npixels, 4)), and its weight the
    part of its area that falls into a voxel. ``sums`` has the shape (nplanes, nslices, nalong, 4).
    """
    work = np.empty((4, 12))
    for b in range(first, last):
        for m in range(starts[b], starts[b + 1]):
            k = members[m]
            if np.isnan(flux[k]) or np.isnan(err[k]):
                continue
            a, z = corner_along[k], corner_wave[k]
            whole = _area(a, z, 4)
            ia_begin, ia_end = _window(
                min(a[0], a[1], a[2], a[3]), max(a[0], a[1], a[2], a[3]), ac[0] - da / 2, da, len(ac), False
            )
            for w in range(max(first_plane[k], b * block), min(last_plane[k], (b + 1) * block)):
                for ia in range(ia_begin, ia_end):
                    area = overlap(a, z, ac[ia] - 0.5 * da, ac[ia] + 0.5 * da, zc[w] - 0.5 * dz, zc[w] + 0.5 * dz, work)
                    if area > 0.0:
                        weight = area / whole
                        _add(sums[w, row[k], ia], flux[k], err[k], weight)


@njit
def finish_planes(first, last, sums, data, err, weight, dq, outside):
    """Means and errors of the planes ``first`` to ``last - 1`` from their sums; voxels without weight get the flag ``outside``."""
    for w in range(first, last):
        for j in range(sums.shape[1]):
            for i in range(sums.shape[2]):
                voxel = sums[w, j, i]
                weight[w, j, i] = voxel[3]
                if voxel[1] > 0.0:
                    data[w, j, i] = voxel[0] / voxel[1]
                    err[w, j, i] = math.sqrt(voxel[2] / (voxel[1] * voxel[1]))
                    dq[w, j, i] = 0
                else:
                    data[w, j, i] = np.nan
                    err[w, j, i] = np.nan
                    dq[w, j, i] = outside
