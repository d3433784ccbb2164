"""How many exposures saw each place of a target."""

import numpy as np

from snakewebb.io.fits import shape_of
from snakewebb.report import style
from snakewebb.report.plane_bands import named_units, plane_bands

MAPS = 12
"""Mosaics of a target whose coverage is drawn."""

_COLUMNS = 3
_SIDE = 350  # blocks
_SHORT = 12  # letters of a name that has room for numbers behind it


def read_coverage(i2d):
    """Number of exposures in each pixel of a mosaic, reduced while it is read: memory does not grow with it.

    Parameters
    ----------
    i2d : path-like
        With the extension CON, whose bits are exposures.

    Returns
    -------
    ndarray of float (rows, columns), int
        Means of blocks of pixels, NaN where no exposure was, and the side of a block.
    """
    context = named_units(i2d)["CON"]
    shape = shape_of(context)
    planes = shape[0] if len(shape) == 3 else 1
    size = style.block_size(shape[-2:], _SIDE)
    parts = []
    for bands in zip(*(plane_bands(i2d, context, size, plane=plane) for plane in range(planes)), strict=True):
        count = sum(np.bitwise_count(bits.view(np.uint32)).astype(np.float32) for _, bits in bands)
        parts.append(style.block_means(np.where(count > 0, count, np.nan), size))
    return np.concatenate(parts), size


@style.styled
def coverage_figure(maps):
    """Maps of the number of exposures, one for each mosaic.

    Parameters
    ----------
    maps : dict of (ndarray, int)
        As from `read_coverage`, by name; the first `MAPS` are drawn.

    Returns
    -------
    Figure
    """
    from matplotlib.colors import Normalize

    shown = dict(list(maps.items())[:MAPS])
    columns = min(len(shown), _COLUMNS)
    rows = -(-len(shown) // columns)
    sheet, axes = style.figure(
        4.1 * columns,
        3.7 * rows,
        margins=(0.6, 0.55, 0.5, 0.45),
        gaps=(0.95, 0.95),
        nrows=rows,
        ncols=columns,
        squeeze=False,
    )
    for panel in axes.flat[len(shown) :]:
        panel.axis("off")
    for panel, (name, (count, step)) in zip(axes.flat, shown.items(), strict=False):
        most = np.nanmax(count) if np.isfinite(count).any() else 1.0
        style.show(panel, count, Normalize(0, most), label="exposures", step=step, cmap="viridis", whole=True)
        covered = count[np.isfinite(count)]
        between = ": " if len(name) < _SHORT else "\n"
        numbers = f"{between}median {np.median(covered):.3g}, at most {most:.3g}" if covered.size else ""
        panel.set_title(name + numbers)
    return sheet


def write_coverage_figure(i2ds, path):
    """Write `coverage_figure` of mosaics, a dict by name, as PNG or SVG."""
    style.save(coverage_figure({name: read_coverage(i2d) for name, i2d in i2ds.items()}), path)
