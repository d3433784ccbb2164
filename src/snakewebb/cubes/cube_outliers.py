"""Cosmic rays in single exposures of an integral-field unit: pixels that the other exposures of the same sky do not confirm."""

from typing import Annotated

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.cubes import kernels
from snakewebb.cubes.coverage import OUTSIDE
from snakewebb.cubes.cube import SLAB_BYTES
from snakewebb.cubes.cube_build import add_exposure, footprints_of
from snakewebb.cubes.cube_grid import sky_grid
from snakewebb.cubes.cube_parameters import cube_parameters
from snakewebb.cubes.ifu_members import IFUMembers
from snakewebb.cubes.pixel_cache import PixelCache
from snakewebb.cubes.pixels import usable
from snakewebb.cubes.pointing_offsets import read_offsets
from snakewebb.imaging.outlier_detection import pair_of
from snakewebb.imaging.outlier_flags import flag_outliers
from snakewebb.imaging.outlier_limits import confirmed
from snakewebb.imaging.stack_median import middle
from snakewebb.io.references import References
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

MEDIAN_NOISE = 1.2533
"""Error of the median of many values in units of that of their mean."""

ENOUGH = 3
"""Other exposures from which on values that are too low are flagged too: one bad one among them does not decide their median."""


@step(version=1, keyword="S_CUBOUT", references=("cubepar",), skip=True)
def cube_outliers(
    product: IFUMembers,
    refs: References,
    *,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    scalexy: Annotated[float, Between(0.0, None)] = 0.0,
    scalew: Annotated[float, Between(0.0, None)] = 0.0,
) -> Status:
    """Flag the pixels of each exposure that differ from a cube of the other exposures.

    Each exposure of a band is drizzled into a cube of its own. The median of the cubes of the others is interpolated to the place and
    wavelength of each pixel of an exposure. The pixel is flagged DO_NOT_USE and OUTLIER, and its values become NaN, if it
    differs from that by more than ``snr`` errors, of the pixel and of the median, plus ``scale`` times the largest step to a neighbouring
    voxel: by the second pair of limits, where it or a neighbour on the detector differs by the first one. Where fewer than three others
    see the sky, only values that are too high are flagged. Cubes are made some planes at a time.

    Parameters
    ----------
    product : IFUMembers
        With ``pixels`` and, if there are any, offsets of the pointing; its exposures are changed.
    refs : References
        Spaxel and plane of the cubes are those of the reference.
    snr : str
        First and second limit, in units of the error (no unit).
    scale : str
        First and second factor of the largest step (no unit).
    scalexy : float
        Side of the spaxels, arcsec; 0 for that of the reference.
    scalew : float
        Width of the planes, micron; 0 for that of the reference.

    Returns
    -------
    Status
        NOT_APPLICABLE if no band has two exposures.

    Raises
    ------
    ConfigError
        For limits that cannot be read.
    MissingReferenceError
        If the reference lacks a band.

    References
    ----------
    After the imaging mode of ``outlier_detection`` of jwst, with cubes in place of images.
    """
    limits = (*pair_of(snr, "cube_outliers.snr"), *pair_of(scale, "cube_outliers.scale"))
    exposures = [member.pixels() for member in product.members]
    offsets = read_offsets(product.offset_file, exposures) if product.offset_file else {}
    passed = {}
    bands = [
        band
        for band in dict.fromkeys(band for exposure in exposures for band in exposure.bands)
        if sum(band in exposure.bands for exposure in exposures) > 1
    ]
    for band in bands:
        members = [(number, exposure) for number, exposure in enumerate(exposures) if band in exposure.bands]
        parameters = cube_parameters(
            refs, "MIRI", [band], weighting="drizzle", linear=True, nexposures=len(members), scalexy=scalexy, scalew=scalew,
            rois=0.0, roiw=0.0, weight_power=0.0, wavemin=None, wavemax=None,
        )  # fmt: skip
        pixels = PixelCache([(exposure, band) for _, exposure in members], "sky", offsets)
        found = _compared(pixels, parameters, limits)
        for (number, _), (place, bits) in zip(members, found, strict=True):
            passed.setdefault(number, []).append((place, bits))
    for number, member in enumerate(product.members):
        image = member.load()
        if number in passed:
            marks = np.zeros(image.data.size, np.uint8)
            for place, bits in passed.pop(number):
                marks[place] = bits
            product.outlier_fractions[member.name] = flag_outliers(image, confirmed(marks.reshape(image.data.shape)))
        if member.save is not None:
            member.save(image)
    if not bands:
        return Status(NOT_APPLICABLE, "no band has two exposures")
    return Status(reason=f"{100 * max(product.outlier_fractions.values()):.3f} % of the pixels at most")


def _compared(pixels, parameters, limits):
    """Places of the pixels of each exposure, and which limits they are beyond: bit 1 the first, bit 2 the second."""
    grid = sky_grid(
        footprints_of(pixels, False), parameters, angle=None, centre=(None, None), size=(None, None), instrument="MIRI"
    )
    count = len(pixels.members)
    nplanes, ny, nx = grid.shape
    depth = max(1, SLAB_BYTES // (ny * nx * 8 * (count + 4)))
    found = [(pixels.table(number).place, np.zeros(len(pixels.table(number)), np.uint8)) for number in range(count)]
    for first in range(0, nplanes - 1, depth):
        # planes of the pixels between two planes of the slab, and one more on both sides for the steps
        planes = max(first - 1, 0), min(first + depth + 2, nplanes)
        data, err = _cubes_of_single_exposures(pixels, grid, parameters, planes)
        for number in range(count):
            _compare_exposure(
                pixels.table(number),
                grid,
                planes[0],
                (first, first + depth),
                data,
                err,
                number,
                limits,
                found[number][1],
            )
    return found


def _cubes_of_single_exposures(pixels, grid, parameters, planes):
    """Data and errors (n, nplanes, ny, nx) of some planes of the cube of each exposure; NaN where it does not look."""
    count, depth = len(pixels.members), planes[1] - planes[0]
    data, err = (np.full((count, depth, *grid.shape[1:]), np.nan, np.float32) for _ in range(2))
    weight, dq = np.empty(data.shape[1:], np.float32), np.empty(data.shape[1:], np.uint32)
    for number in range(count):
        prepared = pixels.prepared(number, grid, parameters, "drizzle", planes)
        if prepared is None:
            continue
        sums = np.zeros((*data.shape[1:], 4))
        add_exposure(sums, prepared, grid, planes, "drizzle", False)
        by_rows(kernels.finish_planes, depth, sums, data[number], err[number], weight, dq, np.uint32(OUTSIDE))
    return data, err


def _compare_exposure(table, grid, first_plane, core, data, err, number, limits, bits):
    """Compare the pixels between the planes of ``core`` with the median of the cubes of the other exposures."""
    depth = data.shape[1]
    z = (table.wave - grid.wave[0]) / (grid.wave[1] - grid.wave[0])
    near = np.flatnonzero(usable(table) & (z >= core[0]) & (z < core[1]))
    if not near.size:
        return
    expected, noise, steps = (np.empty(data.shape[1:], np.float32) for _ in range(3))
    others = np.empty(data.shape[1:], np.int16)
    by_rows(_median_of_others, depth, data, err, number, expected, noise, others, block=4)
    by_rows(_largest_steps, depth, expected, steps, block=4)
    x, y = grid.to_plane(table.ra[near], table.dec[near])
    x, y = (x - grid.x[0]) / grid.cdelt[0], (y - grid.y[0]) / grid.cdelt[1]
    mine = np.zeros(near.size, np.uint8)
    by_rows(
        _compare_pixels, near.size, x, y, z[near] - first_plane, table.flux[near], table.err[near], expected, noise, steps, others,
        *map(float, limits), mine, block=1 << 14,
    )  # fmt: skip
    bits[near] = mine


@njit
def _median_of_others(first, last, data, err, left_out, expected, noise, others):
    count, _, ny, nx = data.shape
    values = np.empty(count, np.float32)
    for k in range(first, last):
        for j in range(ny):
            for i in range(nx):
                number = 0
                variance = 0.0
                for n in range(count):
                    value = data[n, k, j, i]
                    if n != left_out and not np.isnan(value):
                        values[number] = value
                        variance += float(err[n, k, j, i]) ** 2
                        number += 1
                others[k, j, i] = number
                if number == 0:
                    expected[k, j, i] = np.nan
                    noise[k, j, i] = np.nan
                    continue
                expected[k, j, i] = middle(values, number)
                noise[k, j, i] = np.sqrt(variance) / number * (MEDIAN_NOISE if number > 2 else 1.0)


@njit
def _largest_steps(first, last, expected, steps):
    """Largest absolute difference of a voxel from its six neighbours."""
    depth, ny, nx = expected.shape
    for k in range(first, last):
        for j in range(ny):
            for i in range(nx):
                here = expected[k, j, i]
                largest = np.float32(0.0)
                for value in (
                    expected[max(k - 1, 0), j, i],
                    expected[min(k + 1, depth - 1), j, i],
                    expected[k, max(j - 1, 0), i],
                    expected[k, min(j + 1, ny - 1), i],
                    expected[k, j, max(i - 1, 0)],
                    expected[k, j, min(i + 1, nx - 1)],
                ):
                    step = abs(here - value)
                    if step > largest:
                        largest = step
                steps[k, j, i] = largest


@njit
def _compare_pixels(
    first, last, x, y, z, flux, err, expected, noise, steps, others, limit1, limit2, factor1, factor2, bits
):
    """Bit 1: beyond the first limit; bit 2: beyond the second one. Pixels that look outside of the cube have neither."""
    depth, ny, nx = expected.shape
    for n in range(first, last):
        i, j, k = int(np.floor(x[n])), int(np.floor(y[n])), int(np.floor(z[n]))
        if not (0 <= i < nx - 1 and 0 <= j < ny - 1 and 0 <= k < depth - 1):
            continue
        u, v, w = x[n] - i, y[n] - j, z[n] - k
        weight, value, error, steepest = 0.0, 0.0, 0.0, 0.0
        fewest = 1 << 14
        for kk in range(2):
            for jj in range(2):
                for ii in range(2):
                    here = expected[k + kk, j + jj, i + ii]
                    if np.isnan(here):
                        continue
                    part = (w if kk else 1 - w) * (v if jj else 1 - v) * (u if ii else 1 - u)
                    weight += part
                    value += part * here
                    error += part * noise[k + kk, j + jj, i + ii]
                    steepest = max(steepest, steps[k + kk, j + jj, i + ii])
                    fewest = min(fewest, others[k + kk, j + jj, i + ii])
        if weight < 0.5:
            continue
        difference = flux[n] - value / weight
        if fewest >= ENOUGH:
            difference = abs(difference)
        pixel = 0.0 if np.isnan(err[n]) else err[n]
        sigma = np.sqrt(pixel**2 + (error / weight) ** 2)
        if difference > factor1 * steepest + limit1 * sigma:
            bits[n] |= 1
        if difference > factor2 * steepest + limit2 * sigma:
            bits[n] |= 2
