"""One grid of the sky for the mosaics of all filters, detectors and observations of a target, or of a programme.

It is computed from the pointing keywords before anything runs, and recorded: an exposure that is added changes it only if it reaches
beyond it, and then by whole pixels at its edges.
"""

import difflib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import ConfigError
from snakewebb.plan.ifu_exposures import is_background, text
from snakewebb.plan.mosaics import is_absurd, native_scale, position_angle

RECORD = Path("grids.json")
"""Table of the grids in the folder of the programme, which is only ever added to."""

OF_THE_GRID = ("output_shape", "crpix", "crval", "rotation", "pixel_scale", "pixel_scale_ratio", "output_wcs")
"""Parameters of ``resample`` that a common grid takes the place of."""

_OUTLINE = (
    1.03  # how much larger an exposure may be than its pixels of the nominal scale, which is rounded down: distortion
)
_SCOPES = ("target", "programme")
# key -> (default, smallest, largest, what is expected); rotation is modulo 360
_NUMBERS = {
    "pixel_scale": (None, 0.001, 10.0, "arcsec per pixel, from 0.001 to 10"),
    "rotation": (None, -360.0, 360.0, "degrees from -360 to 360"),
    "margin": (2.0, 0.0, 600.0, "arcsec from 0 to 600"),
}


@dataclass(frozen=True)
class CommonGrid:
    """A grid that several mosaics share.

    Attributes
    ----------
    name : str
        ``jw01234_t001_nircam``, or of a programme ``jw01234_nircam``.
    shape : (int, int)
        Rows and columns.
    crpix : (float, float)
        The tangent point, 0-based pixels (x, y): whole numbers.
    crval : (float, float)
        Its right ascension and declination, degrees.
    rotation : float
        Position angle of the y axis, degrees from north to east.
    pixel_scale : float
        Arcsec.
    parity : int
        -1 where right ascension grows to the left with the y axis up, as VPARITY.
    """

    name: str
    shape: tuple
    crpix: tuple
    crval: tuple
    rotation: float
    pixel_scale: float
    parity: int

    def parameters(self):
        """The grid as parameters of ``resample``."""
        return {
            "output_shape": [self.shape[1], self.shape[0]],
            "crpix": list(self.crpix),
            "crval": list(self.crval),
            "rotation": self.rotation,
            "pixel_scale": self.pixel_scale,
            "pixel_scale_ratio": 1.0,
            "output_wcs": "",
        }

    def pixels(self, east, north):
        """0-based pixels (x, y) of offsets on the tangent plane, arcsec."""
        cosine, sine = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        x = self.parity * (cosine * east - sine * north) / self.pixel_scale
        y = (sine * east + cosine * north) / self.pixel_scale
        return x + self.crpix[0], y + self.crpix[1]

    def span(self, vertices):
        """Smallest and largest x and y of unit vectors, pixels: ``(x, y), (x, y)``; ``None`` if they reach beyond a hemisphere."""
        found = [self.pixels(*offsets) for offsets in map(_plane_at(self.crval), vertices) if offsets is not None]
        if len(found) < len(vertices):
            return None
        return tuple(tuple(end(axis) for axis in zip(*found, strict=True)) for end in (min, max))


def check_common_grid(origin, content):
    """The keys of ``common_grid`` as they are meant.

    Parameters
    ----------
    origin : str
        Where they come from, for messages.
    content : dict

    Raises
    ------
    ConfigError
        For an unknown key, or a value that is not what is expected.
    """
    valid = ("of", *_NUMBERS)
    checked = {}
    for key, value in content.items():
        where = f"{origin}: common_grid.{key}"
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(valid)}"
            raise ConfigError(f"{where}: unknown key; {hint}")
        if key == "of":
            if value not in _SCOPES:
                raise ConfigError(f"{where}: found {value!r}, expected {' or '.join(_SCOPES)}")
        elif value is not None:
            _, low, high, expected = _NUMBERS[key]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(f"{where}: found {value!r}, expected {expected}")
            value = float(value)
        checked[key] = value
    return checked


def common_grids(plan):
    """The common grid of every product that has one.

    Parameters
    ----------
    plan : Plan
        Its ``notes`` are added to where a recorded grid has to grow.

    Returns
    -------
    dict of str to CommonGrid
        By product; empty without ``common_grid`` in the configuration.

    Raises
    ------
    ConfigError
        If parameters of ``resample`` contradict it, exposures cannot share a grid, or it would be absurdly large.
    """
    if not plan.configuration["common_grid"] or plan.mode.stage3 != "image3" or not plan.is_on("resample"):
        return {}
    settings = _settings(plan)
    sharing = {}
    for product, association in plan.associations.items():
        header = plan.exposures[association.members[0]].header
        if text(header, "TARGTYPE") == "MOVING":
            plan.notes.append(f"{product} follows a moving target: it has a grid of its own, not common_grid")
            continue
        target = product.split("_")[1]
        parts = [f"jw{association.program}", header["INSTRUME"].lower()]
        if settings["of"] == "target" or is_background(header):
            parts.insert(1, target)
        sharing.setdefault("_".join(parts), []).append(product)
    recorded = read_json(RECORD, {})
    grids = {}
    for name, products in sharing.items():
        for product in products:
            _refuse_other_grids(plan, product)
        roots = sorted({root for product in products for root in plan.associations[product].members})
        members = [plan.exposures[root] for root in roots]
        grid = _grid_of(plan, name, members, settings, recorded.get(name))
        grids |= dict.fromkeys(products, grid)
    return grids


def record_grids(plan):
    """Write the grids of a plan whose run starts into `RECORD`, beside those of other modes that are there."""
    if not plan.grids:
        return
    settings = _settings(plan)
    found = {grid.name: asdict(grid) | {"settings": settings} for grid in plan.grids.values()}
    write_json_if_changed(RECORD, read_json(RECORD, {}) | found)


def _settings(plan):
    """What the configuration says, with the defaults."""
    defaults = {key: default for key, (default, *_) in _NUMBERS.items()}
    return {"of": "target"} | defaults | plan.configuration["common_grid"]


def _refuse_other_grids(plan, product):
    """Refuse parameters of a grid that the user gave besides."""
    chain = plan.chain("resample", like=plan.associations[product].members[0])
    for key in OF_THE_GRID:
        origin = chain.origins.get("resample", {}).get(key, "")
        if origin and not origin.startswith(("CRDS ", "mode ")):
            found = chain.entries[0]["parameters"][key]
            raise ConfigError(
                f"{origin}: steps.resample.{key}: found {found!r} besides common_grid, which says where all mosaics lie; take it out, "
                "or set common_grid.pixel_scale, rotation or margin instead"
            )


def _grid_of(plan, name, members, settings, recorded):
    parity = _parity(name, members)
    vertices = [vertex for member in members for vertex in outline(member)]
    known = None
    if recorded is not None and (recorded["settings"], recorded["parity"]) == (settings, parity):
        content = {key: value for key, value in recorded.items() if key != "settings"}
        known = CommonGrid(**{key: tuple(v) if isinstance(v, list) else v for key, v in content.items()})
        grid = _grown(known, vertices, settings)
    else:
        scale = settings["pixel_scale"] or round(min(native_scale(member.header) for member in members) + 0.0003, 3)
        rotation = settings["rotation"]
        if rotation is None:
            rotation = round(position_angle(members[0].header, 0.0), 4)
        grid = _new(name, vertices, scale, rotation, parity, settings)
    if grid is None:
        raise ConfigError(f"{name}: {len(members)} exposures reach over more than a hemisphere; {_advice(settings)}")
    _refuse_absurd(grid, members, settings)
    if known not in (None, grid):
        plan.notes.append(_growth(known, grid, members))
    return grid


def _parity(name, members):
    found = {}
    for member in members:
        missing = [key for key in ("RA_REF", "DEC_REF", "ROLL_REF") if member.header.get(key) is None]
        if missing:
            raise ConfigError(
                f"{member.path}[SCI]: keywords {', '.join(missing)} are missing, so the common grid {name} cannot be found; exclude it"
            )
        found.setdefault(int(member.header.get("VPARITY", -1)), member.root)
    if len(found) > 1:
        raise ConfigError(
            f"common_grid: the images of {found[-1]} and {found[1]} are mirrored (VPARITY -1 and 1), so they cannot share the grid {name}; "
            "make their mosaics in runs of their own, with exclude"
        )
    return next(iter(found))


def outline(member):
    """Unit vectors of the corners of an exposure by its pointing keywords, of which it must have RA_REF and DEC_REF."""
    header = member.header
    rows, columns = member.shape[-2:]
    x0, y0 = header.get("CRPIX1") or (columns + 1) / 2, header.get("CRPIX2") or (rows + 1) / 2
    parity = int(header.get("VPARITY", -1))
    scale = math.radians(_OUTLINE * native_scale(header) / 3600)
    angle = math.radians(position_angle(header, 0.0))
    axes = _axes(header["RA_REF"], header["DEC_REF"])
    for x, y in ((0.5, 0.5), (0.5, rows + 0.5), (columns + 0.5, rows + 0.5), (columns + 0.5, 0.5)):
        across, up = parity * scale * (x - x0), scale * (y - y0)
        east = across * math.cos(angle) + up * math.sin(angle)
        north = -across * math.sin(angle) + up * math.cos(angle)
        vector = [a + east * b + north * c for a, b, c in zip(*axes, strict=True)]
        length = math.hypot(*vector)
        yield tuple(value / length for value in vector)


def _axes(ra, dec):
    """Unit vectors towards a position in degrees, and east and north of it."""
    ra, dec = math.radians(ra), math.radians(dec)
    return (
        (math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)),
        (-math.sin(ra), math.cos(ra), 0.0),
        (-math.sin(dec) * math.cos(ra), -math.sin(dec) * math.sin(ra), math.cos(dec)),
    )


def _plane_at(crval):
    """What projects a unit vector onto the tangent plane at a position: arcsec east and north, ``None`` beyond 90 degrees."""
    axes = _axes(*crval)

    def project(vector):
        depth, east, north = (sum(a * b for a, b in zip(axis, vector, strict=True)) for axis in axes)
        return (math.degrees(east / depth) * 3600, math.degrees(north / depth) * 3600) if depth > 1e-3 else None

    return project


def _new(name, vertices, scale, rotation, parity, settings):
    x, y, z = ((min(axis) + max(axis)) / 2 for axis in zip(*vertices, strict=True))
    ra, dec = math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y)))
    empty = CommonGrid(name, (0, 0), (0.0, 0.0), (round(ra, 8), round(dec, 8)), rotation, scale, parity)
    return _grown(empty, vertices, settings)


def _grown(grid, vertices, settings):
    """The grid itself if it holds all of these directions, else one with more pixels at its edges; ``None`` beyond a hemisphere."""
    span = grid.span(vertices)
    if span is None:
        return None
    (left, bottom), (right, top) = span
    rows, columns = grid.shape
    if min(left, bottom) >= -0.5 and right <= columns - 0.5 and top <= rows - 0.5:
        return grid
    margin = settings["margin"] / grid.pixel_scale
    if not rows:  # not yet of any size
        before = [math.ceil(margin - low) for low in (left, bottom)]
        after = [math.ceil(high + margin) + 1 for high in (right, top)]
    else:
        before = [math.ceil(margin - low) if low < -0.5 else 0 for low in (left, bottom)]
        ends = ((right, columns), (top, rows))
        after = [math.ceil(high + margin) - n + 1 if high > n - 0.5 else 0 for high, n in ends]
    return CommonGrid(
        grid.name,
        (rows + before[1] + after[1], columns + before[0] + after[0]),
        (grid.crpix[0] + before[0], grid.crpix[1] + before[1]),
        grid.crval,
        grid.rotation,
        grid.pixel_scale,
        grid.parity,
    )


def _growth(known, grid, members):
    """What is to be said of a grid that was recorded and has to grow."""
    beyond = [member.root for member in members if _grown(known, list(outline(member)), {"margin": 0.0}) is not known]
    sizes = " to ".join(f"{shape[1]} x {shape[0]}" for shape in (known.shape, grid.shape))
    return (
        f"common_grid: {len(beyond)} exposures ({beyond[0]}{' ...' if len(beyond) > 1 else ''}) reach beyond the recorded grid "
        f"{known.name}: it grows at its edges from {sizes} pixels, so the mosaics of all its products are made again; exclude them to "
        "keep it"
    )


def _refuse_absurd(grid, members, settings):
    pixels = math.prod(grid.shape)
    covered = sum(
        math.prod(member.shape[-2:]) * (native_scale(member.header) / grid.pixel_scale) ** 2 for member in members
    )
    if is_absurd(pixels, covered):
        raise ConfigError(
            f"the common grid {grid.name} would have {grid.shape[1]} x {grid.shape[0]} pixels of {grid.pixel_scale:g} arcsec for "
            f"{len(members)} exposures, which have {covered:.2g} of its {pixels:.2g} pixels if they do not overlap; {_advice(settings)}"
        )


def _advice(settings):
    first = "set common_grid.of: target, " if settings["of"] == "programme" else ""
    return f"{first}make its pixels larger with common_grid.pixel_scale, or leave exposures out with exclude"
