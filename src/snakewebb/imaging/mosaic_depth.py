"""Depth of a mosaic in its header: how much fluxes in circles without a source scatter, and the errors that are stated for them.

Only small squares around places on a grid are looked at, so it takes the same time for every mosaic, and one that lies in tiles is not
read as a whole. `empty_apertures` does the same with the sources and apertures of the catalogue, which the mosaic does not have yet.
"""

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.imaging.aperture_photometry import circular_sums, ring_background
from snakewebb.imaging.empty_apertures import MARGIN, SMALLEST_COUNT, scatter_of, spread
from snakewebb.io.tile_files import TiledPlane

RADII = (1.5, 3.0, 6.0)
"""Of the circles, pixels of the detector."""

_PLACES = 1500
_PIXELS = 8_000_000  # of all squares at most
_RING = (4 / 3, 2.0)  # inner and outer radius of the ring of the background, in units of the largest circle
_SOURCE = 5.0  # standard deviations by which a mean of 3 x 3 pixels exceeds the background where there is a source
_ROUGH = 1.5  # scatter over error relative to that of the median square, beyond which one is of a source


def note_depth(mosaic, radii):
    """Write the depth of a mosaic into its primary header.

    For circle n these are EMPTYRn (radius, arcsec), EMPTYNn (number of circles without a source), EMPTYPn (standard deviation of flux
    over the error of independent pixels) and, of mosaics in MJy/sr, DEPTHn (AB magnitude of five times the standard deviation of the
    flux in the circle; not corrected to the total light of a star). Where fewer than 10 circles are empty there is none.

    Parameters
    ----------
    mosaic : Mosaic
        With its headers; planes may be `TiledPlane`.
    radii : sequence of float
        Pixels of the detector.

    Raises
    ------
    ConfigError
        If a radius is not above 0.
    """
    if not all(radius > 0 for radius in radii):
        raise ConfigError(
            f"steps.resample.depth_radii: found {list(radii)}, expected numbers above 0, in pixels of the detector"
        )
    if mosaic.err is None or not len(radii):
        return
    ratio = mosaic.grid.pixel_scale_ratio or 1.0
    circles = measured_circles(mosaic.data, mosaic.err, [radius / ratio for radius in radii])
    scale = _jansky(mosaic)
    for number, (radius, (flux, error)) in enumerate(zip(radii, circles, strict=True), start=1):
        if flux.size < SMALLEST_COUNT:
            continue
        arcsec = radius / ratio * mosaic.grid.pixel_scale
        scatter, _, pull, magnitude = scatter_of(flux * scale, error * scale)
        mosaic.header[f"EMPTYR{number}"] = (round(arcsec, 4), "[arcsec] radius of circles without a source")
        mosaic.header[f"EMPTYN{number}"] = (int(flux.size), "number of these")
        mosaic.header[f"EMPTYP{number}"] = (round(pull, 4), "scatter of their fluxes over the stated error")
        if scale != 1.0 and scatter > 0:
            mosaic.header[f"DEPTH{number}"] = (round(magnitude, 4), "[AB mag] 5 times the scatter, in the circle")


def _jansky(mosaic):
    """Jy in a pixel per unit of the data, 1 where it is not known."""
    unit = str(mosaic.sci_header.get("BUNIT", "")).strip()
    area = mosaic.sci_header.get("PIXAR_SR", mosaic.header.get("PIXAR_SR"))
    return 1.0e6 * float(area) if unit == "MJy/sr" and area else 1.0


def measured_circles(data, err, radii):
    """Fluxes in circles without a source, less that of a ring around, and their errors.

    Parameters
    ----------
    data, err : ndarray of float32 (ny, nx) or TiledPlane
    radii : sequence of float
        Pixels.

    Returns
    -------
    list of (ndarray (n,), ndarray (n,))
        Of each radius, in the unit of the data times pixels.
    """
    largest = max(radii)
    ring = tuple(factor * largest for factor in _RING)
    reach = int(np.ceil(ring[1])) + 1
    corners = _places(data.shape, reach, int(np.ceil(2 * largest)) + 1)
    values, errors = (_squares(plane, corners, 2 * reach + 1) for plane in (data, err))
    values[~(errors > 0)] = np.nan
    kept = _without_sources(values, errors, int(np.ceil(largest + MARGIN)), ring)
    values, errors = values[kept], errors[kept]
    x, y = spread(np.full(len(values), float(reach)), reach + np.arange(len(values)) * (2.0 * reach + 1))
    # one below the other: circles and rings end within their square
    values, errors = (squares.reshape(-1, 2 * reach + 1) for squares in (values, errors))
    sums, sum_errors = circular_sums(values, errors, x, y, radii)
    level = ring_background(values, x, y, *ring)[0]
    found = []
    for radius, flux, error in zip(radii, sums, sum_errors, strict=True):
        flux = flux - level * np.pi * radius**2
        known = np.isfinite(flux) & (error > 0)
        found.append((flux[known], error[known]))
    return found


def _places(shape, reach, step):
    """Rows and columns (n, 2) of the first pixels of squares on an even grid."""
    side = 2 * reach + 1
    lengths = [length - side + 1 for length in shape]
    if min(lengths) < 1:
        return np.empty((0, 2), np.int64)
    number = max(1, min(_PLACES, _PIXELS // side**2))
    step = max(step, int(np.ceil(np.sqrt(np.prod(lengths, dtype=float) / number))))
    rows, columns = (np.arange((length - 1) % step // 2, length, step) for length in lengths)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _squares(plane, corners, side):
    """Squares of pixels (n, side, side) of a plane."""
    if isinstance(plane, TiledPlane):
        return plane.squares(corners, side)
    squares = np.empty((len(corners), side, side), np.float32)
    for square, (row, column) in zip(squares, corners, strict=True):
        square[:] = plane[row : row + side, column : column + side]
    return squares


def _without_sources(values, errors, radius, ring):
    """Which squares have data and no source within a distance of their middle, ndarray of bool (n,)."""
    side = values.shape[1]
    middle = np.s_[:, side // 2 - radius - 1 : side // 2 + radius + 2, side // 2 - radius - 1 : side // 2 + radius + 2]
    kept = np.isfinite(values[middle]).all(axis=(1, 2)) & (errors[middle] > 0).all(axis=(1, 2))
    places = np.flatnonzero(kept)
    if not places.size:
        return kept
    x, y = np.full(places.size, side // 2), places * side + side // 2
    level = ring_background(values.reshape(-1, side), x, y, *ring)[0]
    part = values[middle][places] - level[:, None, None].astype(np.float32)
    part = part[:, :-2] + part[:, 1:-1] + part[:, 2:]
    part = (part[:, :, :-2] + part[:, :, 1:-1] + part[:, :, 2:]).reshape(places.size, -1)
    scatter = 1.4826 * np.median(np.abs(part), axis=1)
    rough = scatter / np.median(errors[middle][places].reshape(places.size, -1), axis=1)
    kept[places] = (part.max(axis=1) < _SOURCE * scatter) & (rough < _ROUGH * np.median(rough))
    return kept
