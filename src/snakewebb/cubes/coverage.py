"""Which voxels the field of view covers, and the data-quality plane of a cube."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.cubes.kernels import overlap
from snakewebb.cubes.pixels import MRS_SLICES
from snakewebb.dq import DO_NOT_USE, NON_SCIENCE

HOLE = DO_NOT_USE
OUTSIDE = DO_NOT_USE | NON_SCIENCE
TOLERANCE = 0.05
"""Part of a spaxel that must lie in the field of view."""

LOW_COVERAGE = 0.75
"""Planes of the MRS with fewer good spaxels than this part of a low percentile are blanked."""


def add_field(dq, grid, first_plane, xi, eta, wave, slice_number, reach, channel):
    """Turn voxels without data that lie in the field of view of an exposure of the MRS from OUTSIDE into HOLE.

    The field at a wavelength is the quadrilateral between the ends of the two extreme slices.

    Parameters
    ----------
    dq : ndarray of uint32 (nplanes, ny, nx)
        Some planes of the cube, changed in place; 0 where there are data.
    grid : CubeGrid
    first_plane : int
        Number of the first of these planes.
    xi, eta, wave, slice_number : ndarray (n,)
        Centres of the pixels, arcsec and micron.
    reach : float
        Pixels closer to a plane than this count, micron.
    channel : str
    """
    sides = []
    for number in MRS_SLICES[channel]:
        mine = slice_number == number
        order = np.argsort(wave[mine], kind="stable")
        sides += [xi[mine][order], eta[mine][order], wave[mine][order]]
    planes = grid.wave[first_plane : first_plane + len(dq)]
    by_rows(_cover_planes, len(dq), planes, reach, *sides, grid.x, grid.y, *map(float, grid.cdelt), dq, block=8)


@njit
def _cover_planes(first, last, planes, reach, xi_a, eta_a, wave_a, xi_b, eta_b, wave_b, xc, yc, dx, dy, dq):
    corners_x, corners_y = np.empty(4), np.empty(4)
    work = np.empty((4, 12))
    for w in range(first, last):
        if not (
            _ends(planes[w], reach, xi_a, eta_a, wave_a, corners_x[:2], corners_y[:2])
            and _ends(planes[w], reach, xi_b, eta_b, wave_b, corners_x[2:], corners_y[2:])
        ):
            continue
        # in cyclic order: the end of the second slice that is nearer to the last end comes first
        near = (corners_x[2] - corners_x[1]) ** 2 + (corners_y[2] - corners_y[1]) ** 2
        far = (corners_x[3] - corners_x[1]) ** 2 + (corners_y[3] - corners_y[1]) ** 2
        if far < near:
            corners_x[2], corners_x[3] = corners_x[3], corners_x[2]
            corners_y[2], corners_y[3] = corners_y[3], corners_y[2]
        for j in range(len(yc)):
            if yc[j] + dy / 2 < corners_y.min() or yc[j] - dy / 2 > corners_y.max():
                continue
            for i in range(len(xc)):
                if dq[w, j, i] == OUTSIDE:
                    area = overlap(
                        corners_x, corners_y, xc[i] - dx / 2, xc[i] + dx / 2, yc[j] - dy / 2, yc[j] + dy / 2, work
                    )
                    if area > TOLERANCE * dx * dy:
                        dq[w, j, i] = HOLE


@njit
def _ends(plane, reach, xi, eta, wave, ends_x, ends_y):
    """The two ends of a slice at a wavelength, along the axis in which it is longer; whether there are any."""
    begin = np.searchsorted(wave, plane - reach, "right")
    end = np.searchsorted(wave, plane + reach, "left")
    if end <= begin:
        return False
    along_x = xi[begin:end].max() - xi[begin:end].min() >= eta[begin:end].max() - eta[begin:end].min()
    along = xi[begin:end] if along_x else eta[begin:end]
    for number, index in enumerate((begin + along.argmin(), begin + along.argmax())):
        ends_x[number] = xi[index]
        ends_y[number] = eta[index]
    return True


@njit
def open_holes(first, last, dq):
    """Turn holes at the border of the cube or beside a voxel that is not covered into voxels that are not covered.

    Works on planes ``first`` to ``last - 1``; the neighbours are those before any change.
    """
    ny, nx = dq.shape[1:]
    for w in range(first, last):
        plane = dq[w].copy()
        for j in range(ny):
            for i in range(nx):
                if plane[j, i] != HOLE:
                    continue
                if (
                    j == 0
                    or i == 0
                    or j == ny - 1
                    or i == nx - 1
                    or plane[j - 1, i] == OUTSIDE
                    or plane[j + 1, i] == OUTSIDE
                    or plane[j, i - 1] == OUTSIDE
                    or plane[j, i + 1] == OUTSIDE
                ):
                    dq[w, j, i] = OUTSIDE


def blank_low_coverage(data, err, weight, dq):
    """Blank planes with few good spaxels, which are torn by the ends of the spectra; in place.

    Returns
    -------
    int
        Number of planes.

    References
    ----------
    ``jwst.cube_build.ifu_cube.IFUCubeData.setup_final_ifucube_model``
    """
    good = np.array([np.count_nonzero(plane == 0) for plane in dq])
    if not good.any():
        return 0
    low = np.nonzero((good > 0) & (good < LOW_COVERAGE * np.percentile(good[good > 0], 3)))[0]
    data[low], err[low], weight[low], dq[low] = np.nan, np.nan, 0.0, OUTSIDE
    return len(low)
