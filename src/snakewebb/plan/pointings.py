"""Where exposures point, and how far from each other, by their keywords."""

import math


def offset(first, second):
    """How far another exposure points from a first one.

    Parameters
    ----------
    first, second : mapping
        RA_REF and DEC_REF, degrees.

    Returns
    -------
    (float, float)
        Arcsec east and north; 0 if one of them has no pointing.
    """
    places = [[header.get(key) for key in ("RA_REF", "DEC_REF")] for header in (first, second)]
    if not all(isinstance(value, (int, float)) for place in places for value in place):
        return 0.0, 0.0
    (ra0, dec0), (ra, dec) = places
    return ((ra - ra0 + 180) % 360 - 180) * math.cos(math.radians(dec0)) * 3600, (dec - dec0) * 3600


def distance(first, second):
    """Arcsec between the pointings of two exposures; parameters as those of `offset`."""
    return math.hypot(*offset(first, second))
