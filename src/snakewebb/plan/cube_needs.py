"""How large cubes are, and what memory they take, from the pointings of headers and the sampling that is asked for, stated or usual."""

import math

VOXEL_BYTES = 16
"""Data, error, number of contributions and flags of a voxel."""
SUM_BYTES = 32
"""The four sums of a voxel of the slab that is being accumulated."""
SLAB_BYTES = 256 << 20
"""Sums that are kept at once; a slab of a cube has as many planes as fit."""
TABLE_BYTES = 400 << 20
"""Pixels of exposures that are kept for the next slab."""
KEPT_BYTES = 136
"""A pixel of an exposure that is kept, with its coordinates and corners on the sky."""
PIXEL_BYTES = 320
"""A pixel of an exposure while it is being added: its corners on the sky and in the plane, twice."""
CHANNEL_PIXELS = 450_000
"""Pixels in the slices of a channel of an exposure, at most: the gaps between slices have none."""

# spaxel (arcsec), plane (micron) of CUBEPAR in flight, and diagonal of the field (arcsec) of Argyriou et al. 2023, by channel
_SAMPLING = {"1": (0.13, 0.0008, 4.9), "2": (0.17, 0.0013, 6.3), "3": (0.20, 0.0025, 8.1), "4": (0.35, 0.006, 10.2)}
# micron, of the same
_LIMITS = {
    "1": {"short": (4.90, 5.74), "medium": (5.66, 6.63), "long": (6.53, 7.65)},
    "2": {"short": (7.51, 8.77), "medium": (8.67, 10.13), "long": (10.01, 11.70)},
    "3": {"short": (11.55, 13.47), "medium": (13.34, 15.57), "long": (15.41, 17.98)},
    "4": {"short": (17.70, 20.95), "medium": (20.69, 24.48), "long": (24.40, 28.70)},
}


def cube_shape(bands, headers, parameters, stated=None):
    """Planes, rows and columns of a cube, a little more rather than less.

    Parameters
    ----------
    bands : sequence of (str, str)
        Channels and bands.
    headers : list of mapping
        Of its exposures: RA_REF and DEC_REF, degrees.
    parameters : dict
        Of cube_build.
    stated : dict, optional
        Spaxel (arcsec), plane, first and last wavelength (micron) by channel and band (``1-short``), where a reference states them;
        the sampling that is usual in flight counts for the others.

    Returns
    -------
    (int, int, int)
    """
    stated = stated or {}
    spaxel = parameters["scalexy"] or min(stated.get("-".join(band), (_SAMPLING[band[0]][0],))[0] for band in bands)
    side = max(_SAMPLING[channel][2] for channel, _ in bands)
    east, north = _spread(headers)
    columns = parameters["nspax_x"] or math.ceil((side + east) / spaxel) + 2
    rows = parameters["nspax_y"] or math.ceil((side + north) / spaxel) + 2
    return _planes(bands, parameters, stated), rows, columns


def _spread(headers):
    """Ranges of the pointings, arcsec."""
    places = [
        (float(header["RA_REF"]), float(header["DEC_REF"]))
        for header in headers
        if "RA_REF" in header and "DEC_REF" in header
    ]
    if not places:
        return 0.0, 0.0
    ra0, dec0 = places[0]
    east = [((ra - ra0 + 180) % 360 - 180) * math.cos(math.radians(dec0)) * 3600 for ra, _ in places]
    north = [(dec - dec0) * 3600 for _, dec in places]
    return max(east) - min(east), max(north) - min(north)


def _planes(bands, parameters, stated):
    wanted = parameters["wavemin"] or 0.0, parameters["wavemax"] or math.inf
    linear = parameters["linear_wave"] and parameters["output_type"] != "multi"
    step, ranges = parameters["scalew"] or math.inf, []
    for channel, names in bands:
        _, plane, *limits = stated.get(f"{channel}-{names}", (None, _SAMPLING[channel][1]))
        step = step if parameters["scalew"] else min(step, plane)
        for low, high in [limits] if limits else [_LIMITS[channel][name] for name in names.split("-")]:
            ranges.append((max(low, wanted[0]), min(high, wanted[1]), plane))
    if linear:
        return max(1, math.ceil((max(high for _, high, _ in ranges) - min(low for low, _, _ in ranges)) / step) + 1)
    # a table of all wavelengths between the bands, with the planes of each
    low, high = min(low for low, _, _ in ranges), max(high for _, high, _ in ranges)
    planes = 0
    for channel, limits in _LIMITS.items():
        for begin, end in limits.values():
            begin, end = max(low, begin), min(high, end)
            if end > begin:
                planes += math.ceil((end - begin) / _SAMPLING[channel][1]) + 1
                low = end
    return max(1, planes)


def cube_bytes(shape, exposure_pixels, *, nexposures=1):
    """Bytes of memory that building a cube takes at most, without those of the program itself.

    Parameters
    ----------
    shape : (int, int, int)
        Planes, rows and columns.
    exposure_pixels : int
        Pixels of a channel of one exposure.
    nexposures : int
        Exposures times bands that go into it.
    """
    voxels = math.prod(int(size) for size in shape)
    plane = int(shape[1]) * int(shape[2]) * SUM_BYTES
    slab = min(max(SLAB_BYTES, plane), voxels * SUM_BYTES)
    tables = min(TABLE_BYTES, nexposures * exposure_pixels * KEPT_BYTES) + exposure_pixels * PIXEL_BYTES
    return voxels * VOXEL_BYTES + slab + tables


def outlier_bytes(shape, exposure_pixels, *, nexposures):
    """Bytes of memory that comparing exposures with cubes of each other takes at most; parameters as those of `cube_bytes`."""
    voxels = math.prod(int(size) for size in shape)
    # data and errors of the cube of each exposure, and four more planes for the median
    cubes = min(SLAB_BYTES, voxels * 8 * (nexposures + 4))
    sums = cubes * SUM_BYTES // (8 * (nexposures + 4))
    tables = min(TABLE_BYTES, nexposures * exposure_pixels * KEPT_BYTES) + exposure_pixels * PIXEL_BYTES
    return cubes + sums + tables
