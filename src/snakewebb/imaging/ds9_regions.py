"""Regions in the format of DS9: the shapes that a mask is made of."""

import re
from dataclasses import dataclass

import numpy as np

from snakewebb.errors import ConfigError

_PIXELS = ("image", "physical")
_SKY = ("fk5", "icrs", "j2000")
_SYSTEMS = (*_PIXELS, *_SKY)
_OTHER_SYSTEMS = ("fk4", "b1950", "galactic", "ecliptic", "linear", "detector", "amplifier", "wcs", "tile")
# shape -> how many numbers it takes
_NUMBERS = {
    "circle": "x, y, radius",
    "ellipse": "x, y, radius, radius, angle",
    "box": "x, y, width, height, angle",
    "annulus": "x, y, radius, radius, ...",
    "polygon": "x1, y1, x2, y2, x3, y3, ...",
}
_ROUND = ("ellipse", "box")
_SHAPE = re.compile(r"([+-]?)\s*([a-z]+)\s*\(([^()]*)\)$", re.IGNORECASE)
# degrees in each unit of a length
_LENGTHS = {'"': 1 / 3600, "'": 1 / 60, "d": 1.0, "r": 180 / np.pi, "": 1.0}
_TILE = 128  # side of the parts of an image that are looked at together, pixels
_MARGIN = 1.01  # of the distance at which a region is left aside


@dataclass(frozen=True)
class Region:
    """A shape, in pixels or on the sky.

    Attributes
    ----------
    shape : str
        ``circle``, ``ellipse``, ``box``, ``annulus`` or ``polygon``.
    sky : bool
    included : bool
        False for what is taken out of the others.
    centre : (float, float)
        0-based pixel, or right ascension and declination in degrees.
    sizes : tuple of float
        Radii, or width and height, in pixels or degrees; of a polygon none.
    angle : float
        From the first axis to the second, degrees.
    corners : tuple of (float, float)
        Of a polygon, as ``centre``.
    """

    shape: str
    sky: bool
    included: bool
    centre: tuple
    sizes: tuple = ()
    angle: float = 0.0
    corners: tuple = ()


def read_regions(path):
    """Read a file of regions.

    Circles, ellipses, boxes, annuli and polygons are known, in the coordinates image, physical (the same), fk5 and icrs (the same to
    0.02 arcsec). A minus before a shape takes it out of the others.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Region

    Raises
    ------
    ConfigError
        Naming file and line, for what is not known, or if nothing is included.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"masks: {path} cannot be read as a file of regions ({error})") from error
    regions, system = [], None
    for number, line in enumerate(lines, start=1):
        for part in line.partition("#")[0].split(";"):
            part = part.strip()
            where = f"masks: {path}, line {number}"
            word = part.lower()
            if not part or word.startswith("global"):
                continue
            if word in _SYSTEMS:
                system = word
            elif word in _OTHER_SYSTEMS:
                raise ConfigError(
                    f"{where}: found the coordinates {part!r}, expected one of {', '.join(_SYSTEMS)}; save the regions in one of these"
                )
            else:
                regions.append(_region(part, system, where))
    if not any(region.included for region in regions):
        found = "only excluded regions" if regions else "no region"
        raise ConfigError(
            f"masks: {path} has {found}, expected at least one that is not to be used, such as `image; circle(1024, 1024, 30)`"
        )
    return regions


def _region(text, system, where):
    """One shape."""
    match = _SHAPE.match(text)
    shape = match[2].lower() if match else ""
    if shape not in _NUMBERS:
        raise ConfigError(f"{where}: found {text!r}, expected one of the shapes {', '.join(_NUMBERS)}")
    if system is None:
        raise ConfigError(
            f"{where}: found {text!r} before any coordinates, expected a line with one of {', '.join(_SYSTEMS)}"
        )
    sky, words = system in _SKY, [word for word in re.split(r"[,\s]+", match[3].strip()) if word]
    if not _count_fits(shape, len(words)):
        raise ConfigError(f"{where}: found {text!r} with {len(words)} numbers, expected {shape}({_NUMBERS[shape]})")
    included = match[1] != "-"
    if shape == "polygon":
        corners = tuple(_position(words[k : k + 2], sky, where, text) for k in range(0, len(words), 2))
        return Region(shape, sky, included, _middle(corners, sky), corners=corners)
    centre = _position(words[:2], sky, where, text)
    ends = len(words) - (shape in _ROUND)
    sizes = tuple(_length(word, sky, where, text) for word in words[2:ends])
    if shape == "annulus":
        sizes = (min(sizes), max(sizes))
    return Region(shape, sky, included, centre, sizes, _angle(words[-1], where, text) if shape in _ROUND else 0.0)


def _count_fits(shape, count):
    if shape == "polygon":
        return count >= 6 and count % 2 == 0
    if shape == "annulus":
        return count >= 4
    return count == {"circle": 3, "ellipse": 5, "box": 5}[shape]


def _position(words, sky, where, text):
    """A position as 0-based pixel or in degrees."""
    if sky:
        position = _degrees(words[0], True), _degrees(words[1], False)
        if None not in position and abs(position[1]) <= 90:
            return position
    else:
        position = tuple(_number(word.rstrip("ip")) for word in words)
        if None not in position:
            return position[0] - 1.0, position[1] - 1.0
    expected = "degrees, or hours and degrees such as 5:21:35.2, -69:29:54" if sky else "pixels"
    raise ConfigError(f"{where}: found the position {', '.join(words)} in {text!r}, expected {expected}")


def _degrees(word, hours):
    """An angle in degrees, or as hours (or degrees), minutes and seconds; ``None`` if it is none."""
    parts = [part for part in re.split(r"[:hdms]", word.lower()) if part]
    if len(parts) == 1 and word.lower().rstrip("d") == parts[0]:
        return _number(parts[0])
    numbers = [_number(part) for part in parts]
    if len(parts) != 3 or None in numbers:
        return None
    first, minutes, seconds = numbers
    size = abs(first) + minutes / 60 + seconds / 3600
    return (-size if parts[0].startswith("-") else size) * (15 if hours else 1)


def _length(word, sky, where, text):
    """A length in pixels or degrees."""
    unit = word[-1] if sky and word[-1] in _LENGTHS else word[-1] if not sky and word[-1] in "ip" else ""
    number = _number(word[: len(word) - len(unit)])
    if number is None or number < 0:
        expected = "degrees, or with a unit such as 3\" or 2'" if sky else "pixels"
        raise ConfigError(f"{where}: found the size {word!r} in {text!r}, expected {expected}")
    return number * _LENGTHS[unit] if sky else number


def _angle(word, where, text):
    number = _number(word.rstrip("d"))
    if number is None:
        raise ConfigError(f"{where}: found the angle {word!r} in {text!r}, expected degrees")
    return number


def _number(word):
    try:
        number = float(word)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _middle(corners, sky):
    """Mean of corners; right ascensions may be on both sides of 0."""
    first, second = np.array(corners).T
    if sky:
        first = (first - first[0] + 180) % 360 - 180 + first[0]
    return float(first.mean()) % 360 if sky else float(first.mean()), float(second.mean())


def pixels_inside(regions, shape, wcs):
    """Pixels whose centres are inside a region and not in one that is excluded.

    Parameters
    ----------
    regions : list of Region
    shape : (int, int)
        Rows and columns of the image.
    wcs : TangentWCS or None
        Of the image, for regions on the sky.

    Returns
    -------
    ndarray of bool
    """
    inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
    planes = [_tangent_axes(region.centre) if region.sky else None for region in regions]
    for row in range(0, shape[0], _TILE):
        for column in range(0, shape[1], _TILE):
            tile = np.s_[row : row + _TILE, column : column + _TILE]
            y, x = (
                axis.astype(float)
                for axis in np.mgrid[row : min(row + _TILE, shape[0]), column : min(column + _TILE, shape[1])]
            )
            vectors = wcs.pixel_to_vector(x, y) if any(region.sky for region in regions) else None
            for region, plane in zip(regions, planes, strict=True):
                u, v = _offsets(x, y, vectors, region, plane)
                reach = _reach(region, plane)
                near = np.hypot(u, v) <= _MARGIN * reach
                if near.any():
                    mask = inside if region.included else outside
                    mask[tile] |= near & _contains(region, plane, u, v)
    return inside & ~outside


def _tangent_axes(centre):
    """Unit vectors to a position, and to the west and north of it."""
    ra, dec = np.radians(centre)
    to = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    return to, -east, np.cross(to, east)


def _offsets(x, y, vectors, region, plane):
    """Offsets from the centre of a region along its axes: pixels, or degrees west and north; infinite on the far hemisphere."""
    if not region.sky:
        return x - region.centre[0], y - region.centre[1]
    return _project(vectors, plane)


def _project(vectors, plane):
    """Coordinates of unit vectors in a tangent plane, degrees."""
    to, west, north = (vectors @ axis for axis in plane)
    with np.errstate(divide="ignore", invalid="ignore"):
        return tuple(np.where(to > 0, np.degrees(along / to), np.inf) for along in (west, north))


def _corners(region, plane):
    """Corners of a polygon as offsets from its centre."""
    if not region.sky:
        return np.array(region.corners) - region.centre
    vectors = np.array([_tangent_axes(corner)[0] for corner in region.corners])
    return np.stack(_project(vectors, plane), axis=1)


def _reach(region, plane):
    """Largest distance of a point of a region from its centre."""
    if region.shape == "polygon":
        return np.hypot(*_corners(region, plane).T).max()
    return np.hypot(*region.sizes) / 2 if region.shape == "box" else max(region.sizes)


def _contains(region, plane, u, v):
    """Which offsets are inside a region."""
    if region.shape == "circle":
        return np.hypot(u, v) <= region.sizes[0]
    if region.shape == "annulus":
        distance = np.hypot(u, v)
        return (distance >= region.sizes[0]) & (distance <= region.sizes[1])
    if region.shape == "polygon":
        return _in_polygon(_corners(region, plane), u, v)
    cosine, sine = np.cos(np.radians(region.angle)), np.sin(np.radians(region.angle))
    along, across = cosine * u + sine * v, cosine * v - sine * u
    first, second = region.sizes
    if region.shape == "box":
        return (np.abs(along) <= first / 2) & (np.abs(across) <= second / 2)
    if not first or not second:
        return np.zeros(u.shape, bool)
    return (along / first) ** 2 + (across / second) ** 2 <= 1


def _in_polygon(corners, u, v):
    """Which points are inside a polygon: a line from them crosses its edges an odd number of times."""
    inside = np.zeros(u.shape, bool)
    for (u0, v0), (u1, v1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if v0 != v1:
            crosses = (v0 <= v) != (v1 <= v)
            inside ^= crosses & (u < u0 + (v - v0) / (v1 - v0) * (u1 - u0))
    return inside
