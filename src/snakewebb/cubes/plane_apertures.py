"""Sums over apertures in the planes of a cube, with backgrounds from rings."""

from dataclasses import dataclass

import numpy as np

from snakewebb.imaging.stack_median import middle

CLIP_PASSES = 5


@dataclass
class PlaneSums:
    """Sums of each plane of a cube, in the unit of the cube times spaxels.

    Attributes
    ----------
    flux, variance : ndarray of float64 (nwave,)
        Of the aperture, less the background.
    area : ndarray of float64 (nwave,)
        Spaxels of the aperture that have data.
    empty : ndarray of bool (nwave,)
        Planes whose aperture has no data; ``area`` is that of the whole aperture then.
    background, background_variance : ndarray of float64 (nwave,)
        Sums over the ring, or, without one, over the aperture without outliers.
    background_area : ndarray of float64 (nwave,)
    """

    flux: np.ndarray
    variance: np.ndarray
    area: np.ndarray
    empty: np.ndarray
    background: np.ndarray
    background_variance: np.ndarray
    background_area: np.ndarray

    @classmethod
    def of(cls, count):
        """Sums that are 0."""
        arrays = [np.zeros(count) for _ in range(6)]
        return cls(*arrays[:3], np.zeros(count, bool), *arrays[3:])


def circle_weights(shape, x, y, radius, *, method, subpixels):
    """Part of each spaxel that lies inside a circle.

    Parameters
    ----------
    shape : (int, int)
    x, y, radius : float
        0-based spaxels.
    method : {"exact", "subpixel", "center"}
    subpixels : int
        Sampling along each axis of the method subpixel.

    Returns
    -------
    ndarray of float64 (ny, nx)
    """
    from photutils.geometry import circular_overlap_grid

    ny, nx = shape
    sampling = int(subpixels) if method == "subpixel" else 1
    limits = (-0.5 - x, nx - 0.5 - x, -0.5 - y, ny - 0.5 - y)
    return circular_overlap_grid(*limits, nx, ny, float(radius), int(method == "exact"), sampling)


def sum_circles(cube, position, radii, rings, *, method, subpixels, clip, jwst):
    """Sums in circles, less the background in rings.

    Parameters
    ----------
    cube : Cube
    position : (float, float)
        Centre, 0-based spaxels.
    radii : ndarray (nwave,)
        Spaxels.
    rings : (ndarray, ndarray) or None
        Inner and outer radius of the ring of each plane, spaxels; ``None`` for no background.
    method, subpixels
        As in `circle_weights`.
    clip : float
        Standard deviations beyond which spaxels do not count as background.
    jwst : bool
        As the oracle does it: limits of clipping from all spaxels of the plane, the background divided by the area before
        clipping, variances weighted as the data are.

    Returns
    -------
    PlaneSums
    """
    count = len(cube.data)
    sums = PlaneSums.of(count)
    shape = cube.data.shape[1:]
    for k in range(count):
        valid = cube.weight[k] > 0
        weights = circle_weights(shape, *position, radii[k], method=method, subpixels=subpixels)
        inside = (weights > 0) & valid
        used = weights[inside]
        variance = cube.err[k].astype(np.float32) ** 2
        power = 1 if jwst else 2
        sums.area[k] = used.sum()
        sums.flux[k] = (used * cube.data[k][inside]).sum(dtype=np.float64)
        sums.variance[k] = (used**power * variance[inside]).sum(dtype=np.float64)
        if sums.area[k] == 0:
            sums.empty[k], sums.area[k] = True, np.pi * radii[k] ** 2
        if rings is None or not 0 < rings[0][k] < rings[1][k]:
            continue
        outer, inner = (circle_weights(shape, *position, r[k], method=method, subpixels=subpixels) for r in rings[::-1])
        ring = np.where(valid, outer - inner, 0.0)
        whole = ring.sum()
        if whole == 0:
            continue
        values = cube.data[k][valid if jwst else ring > 0]
        low, high = clip_limits(values, clip)
        # the limits are finite, so what is not a number is not outside of them
        kept = np.where((cube.data[k] < low) | (cube.data[k] > high), 0.0, ring)
        taken = kept > 0
        area = whole if jwst else kept.sum()
        if area == 0:
            continue
        sums.background[k] = (kept[taken] * cube.data[k][taken]).sum(dtype=np.float64)
        counted = ring > 0 if jwst else taken
        sums.background_variance[k] = ((ring if jwst else kept)[counted] ** power * variance[counted]).sum(
            dtype=np.float64
        )
        sums.background_area[k] = area
        ratio = sums.area[k] / area
        sums.flux[k] -= sums.background[k] * ratio
        sums.variance[k] += sums.background_variance[k] * ratio * ratio
    return sums


def sum_planes(cube, *, clip):
    """Sums over all spaxels with data; the background is the same without outliers.

    Returns
    -------
    PlaneSums
    """
    sums = PlaneSums.of(len(cube.data))
    for k in range(len(cube.data)):
        valid = cube.weight[k] > 0
        data, variance = cube.data[k][valid], cube.err[k][valid].astype(np.float32) ** 2
        sums.area[k], sums.flux[k] = valid.sum(), data.sum(dtype=np.float64)
        sums.variance[k] = variance.sum(dtype=np.float64)
        if not valid.any():
            sums.empty[k], sums.area[k] = True, valid.size
            continue
        low, high = clip_limits(data, clip)
        kept = (data >= low) & (data <= high) | np.isnan(data)
        sums.background[k] = data[kept].sum(dtype=np.float64)
        sums.background_variance[k] = variance[kept].sum(dtype=np.float64)
        sums.background_area[k] = kept.sum()
    return sums


def clip_limits(values, clip):
    """Limits at ``clip`` standard deviations from the mean of what is left after clipping about the median."""
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return -np.inf, np.inf
    for _ in range(CLIP_PASSES):
        median, deviation = middle(values.copy(), values.size), values.std()
        kept = values[(values >= median - clip * deviation) & (values <= median + clip * deviation)]
        if kept.size == values.size:
            break
        values = kept
    return values.mean() - clip * values.std(), values.mean() + clip * values.std()
