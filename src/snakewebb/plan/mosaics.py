"""The mosaics of a plan: how large each will be, from its pointings alone, and in which tiles it is made."""

import dataclasses
import functools
import math

from snakewebb.errors import ConfigError
from snakewebb.imaging.pointing import group_of
from snakewebb.plan.ifu_exposures import text
from snakewebb.plan.names import tile_name
from snakewebb.plan.pointings import offset

TILE = 4096
"""Rows and columns of the tiles of a mosaic at most, in pixels."""

LARGEST_MOSAIC = 1_000_000_000
"""Bytes of all planes of a mosaic up to which one job makes it as a whole."""

PIXEL = 36
"""Bytes of a pixel of a mosaic that is being made: data, weight, sums of three variances and their weights, one context plane."""

SMALLEST_TILE = 32

LARGEST_GRID = 1_000_000_000
"""Output pixels above which a grid that was computed from the exposures is refused."""

SPARSEST_GRID = 50
"""Output area over the summed area of the exposures above which a large computed grid is refused."""

LARGE_GRID = 100_000_000
"""Output pixels up to which any grid is made."""


def is_absurd(pixels, covered):
    """Whether a grid that was computed from the exposures is refused.

    Parameters
    ----------
    pixels : float
        Of the grid.
    covered : float
        Summed area of the exposures, in its pixels.
    """
    return pixels > LARGE_GRID and (pixels > LARGEST_GRID or pixels > SPARSEST_GRID * covered)


# arcsec; the SIAF's, rounded down, so that a mosaic is not predicted too small
_PIXEL_SCALES = {("NIRCAM", "SHORT"): 0.0307, ("NIRCAM", "LONG"): 0.0625, "NIRISS": 0.0652, "MIRI": 0.109, "FGS": 0.068}


def mosaic_shape(members, *, ratio=1.0, scale=None, shape=None, rotation=None):
    """Rows and columns of the mosaic of exposures, a little more rather than less, from their pointings.

    Parameters
    ----------
    members : list of (tuple of int, mapping)
        Shape of the array and header of each exposure.
    ratio : float
        Output over input pixel scale.
    scale : float, optional
        Output pixel scale in arcsec, which counts instead.
    shape : (int, int), optional
        Columns and rows, where the user gave them.
    rotation : float, optional
        Position angle of the output's y axis, degrees, by default that of the first exposure.

    Returns
    -------
    (int, int)
    """
    if shape:
        return int(shape[1]), int(shape[0])
    first = members[0][1]
    native = native_scale(first)
    output = (scale or ratio * native) / native
    angle = position_angle(first, 0.0) if rotation is None else float(rotation)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    low, high = [math.inf, math.inf], [-math.inf, -math.inf]
    for array, header in members:
        east, north = offset(first, header)
        turn = math.radians(position_angle(header, angle) - angle)
        # in pixels of the first one, where channels are mixed
        rows, columns = (n * native_scale(header) / native for n in array[-2:])
        half = (
            (columns * abs(math.cos(turn)) + rows * abs(math.sin(turn))) / 2,
            (rows * abs(math.cos(turn)) + columns * abs(math.sin(turn))) / 2,
        )
        place = ((east * cosine - north * sine) / native, (east * sine + north * cosine) / native)
        for axis in range(2):
            low[axis] = min(low[axis], place[axis] - half[axis])
            high[axis] = max(high[axis], place[axis] + half[axis])
    # pixels are not quite square, and edges not quite straight
    columns, rows = (math.ceil(1.04 * (last - first) / output + 4) for first, last in zip(low, high, strict=True))
    return rows, columns


def native_scale(header):
    """Arcsec per pixel of the detector of an exposure, rounded down; 0.1 of an unknown one."""
    return _PIXEL_SCALES.get(header["INSTRUME"]) or _PIXEL_SCALES.get((header["INSTRUME"], header.get("CHANNEL")), 0.1)


def position_angle(header, default):
    """Position angle of the detector's y axis, degrees."""
    angle = float(header.get("ROLL_REF", default))
    turn, parity = header.get("V3I_YANG"), header.get("VPARITY")
    return angle if turn is None or parity is None else angle - float(parity) * float(turn)


@functools.lru_cache(maxsize=4096)
def shape_of_mosaic(plan, product):
    """Rows and columns of the mosaic of a product.

    Parameters
    ----------
    plan : Plan
    product : str

    Returns
    -------
    (int, int)
    """
    if product in plan.grids:
        return plan.grids[product].shape
    members = combined_members(plan, product)
    return mosaic_shape(
        [(member.shape, member.header) for member in members], **(grid_parameters(plan, members[0].root) or {})
    )


@functools.lru_cache(maxsize=4096)
def outlier_grid(plan, product):
    """The grid on which outliers are found: its pixels, the number of groups of exposures, and the pixels that the largest covers.

    Parameters
    ----------
    plan : Plan
    product : str

    Returns
    -------
    (int, int, int)
    """
    groups = {}
    members = combined_members(plan, product)
    for member in members:
        groups.setdefault(group_of(member.header) or member.root, []).append((member.shape, member.header))
    pixels = math.prod(mosaic_shape([one for found in groups.values() for one in found]))
    (entry,) = plan.chain("outlier_detection", like=members[0].root).entries
    if entry.get("parameters", {}).get("kernel", "square") != "square":
        return pixels, len(groups), pixels
    angle = position_angle(members[0].header, 0.0)
    return pixels, len(groups), max(math.prod(mosaic_shape(found, rotation=angle)) for found in groups.values())


def combined_members(plan, product):
    """Exposures of a product, as `where_combined` has them."""
    return where_combined(plan, [plan.exposures[root] for root in plan.associations[product].members])


def where_combined(plan, members):
    """Exposures with the pointing that they have on their mosaic: those of a moving target as if it stood still.

    Parameters
    ----------
    plan : Plan
    members : list of Exposure
        Of one product.

    Returns
    -------
    list of Exposure
    """
    if text(members[0].header, "TARGTYPE") != "MOVING" or not plan.is_on("assign_mtwcs"):
        return members
    return [dataclasses.replace(member, header=about_target(member.header, members[0].header)) for member in members]


def about_target(header, first):
    """Keywords of an exposure of a moving target that points where it would if the target were where it is in the first one."""
    places = [[one.get(key) for key in ("TARG_RA", "TARG_DEC", "RA_REF", "DEC_REF")] for one in (first, header)]
    if not all(isinstance(value, (int, float)) for place in places for value in place):
        return header
    (ra, dec, _, _), (here_ra, here_dec, ra_ref, dec_ref) = places
    return {**header, "RA_REF": ra_ref + ra - here_ra, "DEC_REF": dec_ref + dec - here_dec}


def _parameters(plan, product):
    (entry,) = plan.chain("resample", like=plan.associations[product].members[0]).entries
    return entry.get("parameters", {})


def grid_parameters(plan, root):
    """Parameters of the grid of mosaics, as `mosaic_shape` takes them, by the parameter files of an exposure; ``None`` without a mosaic.

    Where the user gave the grid as a file, the mosaic is taken to hold all exposures.
    """
    (entry,) = plan.chain("resample", like=root).entries
    parameters = entry.get("parameters")
    if parameters is None:
        return None
    return {
        "ratio": parameters.get("pixel_scale_ratio") or 1.0,
        "scale": parameters.get("pixel_scale"),
        "shape": parameters.get("output_shape"),
        "rotation": parameters.get("rotation"),
    }


def context_planes(exposures):
    """Planes of the context image of so many exposures."""
    return -(-exposures // 32)


@functools.lru_cache(maxsize=4096)
def tiling_of(plan, product):
    """Numbers of tiles along rows and columns of a product's mosaic, ``None`` if one job makes it as a whole.

    By the configuration's ``mosaic_tiles``: the side of a tile in pixels; 0 for no tiles; by default tiles of `TILE` where the planes
    of the whole mosaic would have more than `LARGEST_MOSAIC` bytes.

    Parameters
    ----------
    plan : Plan
    product : str

    Returns
    -------
    (int, int) or None

    Raises
    ------
    ConfigError
        For tiles smaller than `SMALLEST_TILE`.
    """
    side = plan.configuration["mosaic_tiles"]
    if side is not None and side != 0 and side < SMALLEST_TILE:
        raise ConfigError(
            f"mosaic_tiles: found {side}, expected 0 (no tiles) or a number of pixels of at least {SMALLEST_TILE}"
        )
    if side == 0 or plan.mode.stage3 != "image3" or not plan.is_on("resample"):
        return None
    parameters = _parameters(plan, product)
    if parameters.get("kernel") != "square" or parameters.get("single"):
        return None
    shape = shape_of_mosaic(plan, product)
    planes = context_planes(len(plan.associations[product].members)) if parameters.get("enable_ctx") else 0
    if side is None and math.prod(shape) * (PIXEL - 4 + 4 * planes) <= LARGEST_MOSAIC:
        return None
    across = tuple(math.ceil(n / (side or TILE)) for n in shape)
    return across if math.prod(across) > 1 else None


def tile_pixels(plan, product):
    """Pixels of the largest tile of a product's mosaic."""
    return math.prod(
        math.ceil(n / number)
        for n, number in zip(shape_of_mosaic(plan, product), tiling_of(plan, product), strict=True)
    )


def tiles_of(plan, product):
    """Names of the tiles of a product's mosaic, none if it is made as a whole."""
    rows, columns = tiling_of(plan, product) or (0, 0)
    return [tile_name(row, column) for row in range(rows) for column in range(columns)]
