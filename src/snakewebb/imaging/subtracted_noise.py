"""The noise of what is subtracted from an image."""

import numpy as np


def add_noise(image, variances):
    """Add the variances of what was subtracted to those of an image.

    Parameters
    ----------
    image : Image
    variances : dict of ndarray (ny, nx)
        By part, ``var_poisson`` and ``var_rnoise``.
    """
    total = image.err.astype(float) ** 2
    for name, variance in variances.items():
        total += variance
        if getattr(image, name) is not None:
            getattr(image, name)[...] += variance
    image.err[...] = np.sqrt(total)
