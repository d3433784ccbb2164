"""The sky: a catalogue of stars and galaxies with known positions, shapes and fluxes."""

import numpy as np
from astropy.table import Table

from snakewebb.errors import ConfigError
from snakewebb.simulate.bands import pivot_wavelength

_LOG_FLUX_SLOPE = 0.45  # d log10(N) / d log10(1/F): many faint sources, few bright ones


def make_sky(ra, dec, radius, filters, *, stars, galaxies, flux_range, seed, min_separation=0.0):
    """Draw a field of stars and galaxies.

    Parameters
    ----------
    ra, dec : float
        Centre of the field, ICRS, degrees.
    radius : float
        Radius of the field, arcsec.
    filters : sequence of str
        Filters to give fluxes for; every source has one power-law spectrum.
    stars, galaxies : int
        Number of sources of each kind.
    flux_range : (float, float)
        Faintest and brightest flux density in Jy at 2 micron.
    seed : int or sequence of int
        Seed of `numpy.random.default_rng`.
    min_separation : float
        No two sources are nearer than this, in arcsec (0: anything goes).

    Returns
    -------
    Table
        ``id``, ``kind`` (star or galaxy), ``ra``, ``dec`` (degrees), ``flux_<filter>`` (Jy), and for galaxies
        ``sersic_index``, ``half_light_radius`` (arcsec, along the major axis), ``axis_ratio``,
        ``position_angle`` (degrees, north through east); ``nearest`` is the distance to the nearest other
        source (arcsec).
    """
    random = np.random.default_rng(seed)
    count = stars + galaxies
    east, north = _positions(random, count, radius, min_separation)
    kind = np.array(["star"] * stars + ["galaxy"] * galaxies)
    is_galaxy = kind == "galaxy"

    faint, bright = flux_range
    # inverse of the cumulative power law between the two limits
    u = random.random(count)
    power = -_LOG_FLUX_SLOPE
    flux = (faint**power + u * (bright**power - faint**power)) ** (1 / power)
    colour = np.where(is_galaxy, random.normal(0.3, 0.5, count), random.normal(-1.6, 0.4, count))

    table = Table()
    table["id"] = np.arange(1, count + 1)
    table["kind"] = kind
    table["ra"], table["dec"] = _offset(ra, dec, east, north)
    for name in filters:
        table[f"flux_{name}"] = flux * (pivot_wavelength(name) / 2.0) ** colour
    table["sersic_index"] = np.where(is_galaxy, random.choice([1.0, 1.5, 2.5, 4.0], count), np.nan)
    table["half_light_radius"] = np.where(is_galaxy, random.lognormal(np.log(0.25), 0.4, count), np.nan)
    table["axis_ratio"] = np.where(is_galaxy, random.uniform(0.3, 1.0, count), np.nan)
    table["position_angle"] = np.where(is_galaxy, random.uniform(0.0, 180.0, count), np.nan)
    table["nearest"] = _nearest(east, north)
    for name, unit in (("ra", "deg"), ("dec", "deg"), ("half_light_radius", "arcsec"), ("nearest", "arcsec"),
                       ("position_angle", "deg"), *((f"flux_{name}", "Jy") for name in filters)):  # fmt: skip
        table[name].unit = unit
    return table


def _positions(random, count, radius, min_separation):
    """Uniform in a disc, with a least distance between any two: dart throwing on a grid of cells."""
    east, north = np.empty(count), np.empty(count)
    placed, thrown = 0, 0
    while placed < count:
        r, angle = radius * np.sqrt(random.random()), 2 * np.pi * random.random()
        x, y = r * np.cos(angle), r * np.sin(angle)
        thrown += 1
        if thrown > 1000 * count:
            raise ConfigError(
                f"{count} sources at least {min_separation} arcsec apart do not fit into a radius of "
                f"{radius} arcsec; ask for fewer sources or a smaller separation"
            )
        if min_separation and np.any((east[:placed] - x) ** 2 + (north[:placed] - y) ** 2 < min_separation**2):
            continue
        east[placed], north[placed] = x, y
        placed += 1
    return east, north


def _nearest(east, north):
    from scipy.spatial import cKDTree

    if len(east) < 2:
        return np.full(len(east), np.inf)
    points = np.column_stack([east, north])
    return cKDTree(points).query(points, k=2)[0][:, 1]


def _offset(ra, dec, east, north):
    """Positions at tangent-plane offsets in arcsec from (ra, dec) in degrees (gnomonic projection)."""
    xi, eta = np.radians(east / 3600), np.radians(north / 3600)
    sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    across = cos_dec - eta * sin_dec
    new_ra = ra + np.degrees(np.arctan2(xi, across))
    new_dec = np.degrees(np.arctan2(sin_dec + eta * cos_dec, np.hypot(across, xi)))
    return new_ra % 360, new_dec
