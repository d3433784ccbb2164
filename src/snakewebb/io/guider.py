"""Tables of guide-star exposures."""

from astropy.io import fits

from snakewebb.plan.keywords import GUIDER_TABLES


def guider_tables(path):
    """Tables of an exposure that its product carries on: stars, pointing, centroids, subarrays.

    Parameters
    ----------
    path : path-like
        An uncal file.

    Returns
    -------
    list of (str, FITS record array)
        Names of the extensions and their rows, in the archive's order; those that the file lacks are left out.
    """
    with fits.open(path, memmap=False) as units:
        names = {unit.name.upper(): unit for unit in units}
        found = [(name, names.get(name.upper())) for name in GUIDER_TABLES]
        return [(name, unit.data) for name, unit in found if unit is not None and unit.data is not None]
