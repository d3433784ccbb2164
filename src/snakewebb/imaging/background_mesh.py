"""Two-dimensional background and noise of an image from sigma-clipped statistics in a mesh of boxes."""

import numpy as np

EXCLUDE_PERCENTILE = 10.0  # a box with more per cent of its pixels masked or clipped is left out


def background_mesh(data, mask=None, *, box, exclude_percentile=EXCLUDE_PERCENTILE, empty=np.empty):
    """Background and its standard deviation for every pixel of an image.

    Each box of the mesh gives the median and the standard deviation of its values after clipping at 3
    standard deviations about the median, at most 5 times. Boxes with too few values are filled from their
    neighbours by inverse distances, the mesh is smoothed by a 3 x 3 median and enlarged by a bicubic spline
    that stays within the range of the mesh. If no box has enough values, the whole image is one box.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
        Values that are not finite are left out.
    mask : ndarray of bool (ny, nx), optional
        Pixels without coverage: left out, and 0 in both results.
    box : int
        Side of a box in pixels; at most the side of the image is used.
    exclude_percentile : float
        Per cent of the pixels of a box (of full size) that may be masked, missing or clipped.
    empty : callable
        Makes planes, as `MosaicImage.empty`.

    Returns
    -------
    background, rms : ndarray of float32 (ny, nx)
        Unit of ``data``.

    Raises
    ------
    ValueError
        If no pixel is finite and unmasked.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393; the same numbers as `photutils.background.Background2D` with
    ``MedianBackground`` and ``SigmaClip(3)``.
    """
    shape = data.shape
    if mask is None:
        mask = np.zeros(shape, np.bool_)
    from snakewebb.imaging.mesh_kernels import box_statistics  # with numba, which jobs that make no mesh start without

    sides = min(int(box), shape[0]), min(int(box), shape[1])
    required = (1.0 - exclude_percentile / 100.0) * sides[0] * sides[1]
    medians, deviations = box_statistics(data, mask, sides, required)
    if np.isnan(medians).all():
        sides = shape
        medians, deviations = box_statistics(data, mask, sides, 0, empty=empty)
    if np.isnan(medians).all():
        raise ValueError("no pixel is finite and covered, so there is no background to measure")
    background, rms = (empty(shape, np.float32) for _ in range(2))
    for mesh, plane in ((medians, background), (deviations, rms)):
        _enlarge(smoothed_mesh(filled_mesh(mesh)), sides, mask, plane)
    return background, rms


def filled_mesh(mesh):
    """The mesh with missing boxes replaced by the mean of the 10 nearest, weighted by inverse distance."""
    missing = np.isnan(mesh)
    if not missing.any():
        return mesh
    known, wanted = np.argwhere(~missing), np.argwhere(missing)
    if len(known) > _NEAREST:
        from snakewebb.imaging.nearest import cKDTree  # imports scipy.sparse

        distance, index = cKDTree(known, leafsize=10).query(wanted, k=_NEAREST)
    else:
        distances = np.sqrt(((wanted[:, None] - known) ** 2).sum(axis=2))
        index = np.argsort(distances, axis=1, kind="stable")
        distance = np.take_along_axis(distances, index, axis=1)
    values = mesh[~missing].astype(np.float64)
    filled = mesh.copy()
    weight = 1.0 / distance
    filled[missing] = (weight * values[index]).sum(axis=1) / weight.sum(axis=1)
    return filled


_NEAREST = 10
"""Boxes that fill a missing one."""


def smoothed_mesh(mesh, size=3):
    """Median of ``size x size`` boxes; at the edges, of the boxes that exist."""
    padded = np.pad(mesh, size // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(*mesh.shape, size * size)
    return np.nanmedian(windows, axis=-1)


def _enlarge(mesh, sides, mask, image):
    """Fill an image with the mesh, interpolated by bicubic splines, and 0 where it is masked."""
    from snakewebb.imaging.mesh_kernels import enlarge

    low, high = mesh.min(), mesh.max()
    # the interpolation is linear and separable: its matrix along an axis is what it does to unit vectors
    down = spline_matrix(mesh.shape[0], sides[0])[: image.shape[0]]
    across = spline_matrix(mesh.shape[1], sides[1])[: image.shape[1]]
    enlarge(down @ mesh.astype(np.float64), across, low, high, mask, image)


def spline_matrix(size, factor):
    """Matrix (size * factor, size) of the bicubic spline that enlarges a mesh along one axis.

    The mesh is mirrored at its edges. This is `scipy.ndimage.zoom` with ``order=3, mode="reflect", grid_mode=True``, whose import takes
    longer than all else here.
    """
    fine = (np.arange(size * factor) + 0.5) / factor - 0.5
    return _spline_values(fine, size) @ _spline_coefficients(size)


def _spline_values(positions, size):
    """Values (n, size) at positions of the cubic B-splines around the points of a mesh, those beyond its edges mirrored."""
    first = np.floor(positions).astype(int) - 1
    values = np.zeros((len(positions), size))
    for point in (first, first + 1, first + 2, first + 3):
        distance = np.abs(positions - point)
        near = 2 / 3 - distance**2 * (1 - distance / 2)
        far = np.maximum(2 - distance, 0) ** 3 / 6
        folded = point % (2 * size)
        mirrored = np.minimum(folded, 2 * size - 1 - folded)
        np.add.at(values, (np.arange(len(positions)), mirrored), np.where(distance < 1, near, far))
    return values


def _spline_coefficients(size):
    """Coefficients (size, size) of the splines through unit vectors, by the recursion of Unser 1999, IEEE SPM 16, 22.

    As in scipy, the sum for the first one uses itself for the point that mirrors it last: wrong by a part of 0.27^(2 size).
    """
    if size == 1:
        return np.eye(1)
    pole = np.sqrt(3.0) - 2.0
    found = 6.0 * np.eye(size)
    start = found[0].copy()
    found[0] += pole**size * found[-1]
    for k in range(1, size):
        found[0] += pole**k * (found[k] + pole**size * found[size - 1 - k])
    found[0] = start + found[0] * pole / (1 - pole ** (2 * size))
    for k in range(1, size):
        found[k] += pole * found[k - 1]
    found[-1] *= pole / (pole - 1)
    for k in range(size - 2, -1, -1):
        found[k] = pole * (found[k + 1] - found[k])
    return found
