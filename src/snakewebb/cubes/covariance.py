"""What the spaxels of a cube have in common: by how much the noise of their sum exceeds that of independent ones."""

import numpy as np


def covariance_scale(extents, spaxel):
    """Factor of the errors of a sum over many spaxels of a drizzled plane, as `extract_1d` takes it in ``ifu_covar_scale``.

    A pixel of the detector is a rectangle on the sky, whose noise goes to all the spaxels that it overlaps, in proportion to the overlaps;
    added up as if these were independent it counts with the sum of their squares instead of the square of their sum. Here the mean over all
    places of the rectangle on the grid, with its sides along the axes, and evenly covered spaxels; apertures are many pixels wide.

    Parameters
    ----------
    extents : (float, float)
        Of a pixel on the sky: width of a slice, and pixel along it, arcsec.
    spaxel : float
        Side of a spaxel, arcsec.

    Returns
    -------
    float
    """
    return float(1 / np.sqrt(np.prod([_kept(extent / spaxel) for extent in extents])))


def _kept(ratio):
    """Sum of the squares of the parts of a length that fall into the cells of a grid, in the mean over its places.

    Parameters
    ----------
    ratio : float
        The length over that of a cell.
    """
    return (1 - 1 / (3 * ratio)) / ratio if ratio >= 1 else 1 - ratio / 3
