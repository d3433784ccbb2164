"""Correction of the flux in an aperture for what falls outside of it."""

import numpy as np

from snakewebb.errors import MissingReferenceError


def interpolated(x, xp, fp):
    """Linear interpolation, continued linearly beyond the ends; ``xp`` of any order."""
    order = np.argsort(xp, kind="stable")
    xp, fp = np.asarray(xp, np.float64)[order], np.asarray(fp, np.float64)[order]
    if len(xp) == 1:
        return np.full(np.shape(x), fp[0])
    index = np.clip(np.searchsorted(xp, x) - 1, 0, len(xp) - 2)
    part = (x - xp[index]) / (xp[index + 1] - xp[index])
    return fp[index] + part * (fp[index + 1] - fp[index])


def aperture_correction(references, wave, radii, scale):
    """Factor of the flux in each aperture.

    Parameters
    ----------
    references : References
        Their ``apcorr`` is read: an ASDF file with radii and factors by wavelength.
    wave : ndarray (nwave,)
        Micron.
    radii : ndarray (nwave,)
        Spaxels.
    scale : float
        Arcsec per spaxel.

    Returns
    -------
    ndarray of float64 (nwave,)

    Raises
    ------
    MissingReferenceError
        If the file has no table of radii.

    References
    ----------
    ``jwst.extract_1d.apply_apcorr.ApCorrRadial``
    """
    tree = references.tree("apcorr")
    try:
        table = tree["apcorr_table"]
        grid = np.asarray(table["wavelength"], np.float64).ravel()
        sizes, factors = np.atleast_2d(np.asarray(table["radius"])), np.atleast_2d(np.asarray(table["apcorr"]))
    except (KeyError, TypeError) as error:
        raise MissingReferenceError(
            f"{references.path('apcorr')}: apcorr_table with wavelength, radius and apcorr is missing ({error}); "
            "use an aperture correction of integral-field units, or steps.extract_1d.apply_apcorr: false"
        ) from error
    if str(table.get("radius_units", "arcsec")).startswith("arcsec"):
        sizes = sizes / scale
    sizes = np.stack([interpolated(wave, grid, row) for row in sizes])
    factors = np.stack([interpolated(wave, grid, row) for row in factors])
    found = [interpolated(radius, sizes[:, k], factors[:, k]) for k, radius in enumerate(radii)]
    return np.array(found, np.float64)
