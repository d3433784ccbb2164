"""The pixel grid of a mosaic: size, scale, orientation and position on the sky."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.plan.mosaics import is_absurd


@dataclass(frozen=True)
class TanProjection:
    """A gnomonic projection: 0-based pixel coordinates to right ascension and declination in degrees, and back.

    Attributes
    ----------
    crpix : (float, float)
        Reference pixel (x, y), 0-based.
    crval : (float, float)
        Right ascension and declination of the reference pixel, degrees.
    cdelt : (float, float)
        Degrees per pixel.
    pc : ((float, float), (float, float))
        Rotation matrix.
    """

    crpix: tuple
    crval: tuple
    cdelt: tuple
    pc: tuple

    def _axes(self):
        """Unit vectors towards the reference point, east and north of it."""
        ra, dec = np.deg2rad(self.crval)
        return np.array(
            [
                [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)],
                [-np.sin(ra), np.cos(ra), 0.0],
                [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)],
            ]
        )

    def _matrix(self):
        """Pixel offsets to offsets east and north on the tangent plane, radians."""
        return np.deg2rad(np.asarray(self.cdelt, float))[:, np.newaxis] * np.asarray(self.pc, float)

    def pixel_to_sky(self, x, y):
        """Right ascension and declination in degrees of pixel positions."""
        dx, dy = np.asarray(x, float) - self.crpix[0], np.asarray(y, float) - self.crpix[1]
        matrix, axes = self._matrix(), self._axes()
        east = matrix[0, 0] * dx + matrix[0, 1] * dy
        north = matrix[1, 0] * dx + matrix[1, 1] * dy
        vector = [axes[0, k] + east * axes[1, k] + north * axes[2, k] for k in range(3)]
        ra = np.rad2deg(np.arctan2(vector[1], vector[0])) % 360.0
        return ra, np.rad2deg(np.arctan2(vector[2], np.hypot(vector[0], vector[1])))

    def sky_to_pixel(self, ra, dec):
        """Pixel positions; NaN for directions more than 90 degrees from the reference point."""
        ra, dec = np.deg2rad(ra), np.deg2rad(dec)
        vector = (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
        depth, east, north = (sum(a * v for a, v in zip(axis, vector, strict=True)) for axis in self._axes())
        depth = np.where(depth > 0, depth, np.nan)
        east, north = east / depth, north / depth
        inverse = np.linalg.inv(self._matrix())
        return (
            inverse[0, 0] * east + inverse[0, 1] * north + self.crpix[0],
            inverse[1, 0] * east + inverse[1, 1] * north + self.crpix[1],
        )


@dataclass(frozen=True)
class OutputGrid:
    """The grid of a mosaic.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    projection : TanProjection or GwcsImage
    bounding_box : ((float, float), (float, float))
        Limits in x and y.
    pixel_scale : float
        Arcseconds per pixel.
    pixel_scale_ratio : float or None
        Output over input pixel scale; ``None`` until the first exposure tells it.
    wcs : gwcs.WCS or None
        What the user gave.
    """

    shape: tuple
    projection: Any
    bounding_box: tuple
    pixel_scale: float
    pixel_scale_ratio: float | None
    wcs: Any = field(default=None, compare=False)

    def pixel_to_sky(self, x, y):
        """Right ascension and declination in degrees."""
        return self.projection.pixel_to_sky(x, y)

    def sky_to_pixel(self, ra, dec):
        """Pixel positions, 0-based."""
        return self.projection.sky_to_pixel(ra, dec)

    def corners(self):
        """Right ascension and declination of the outer corners, degrees, shape (4, 2)."""
        (x1, x2), (y1, y2) = self.bounding_box
        return np.stack(self.pixel_to_sky(np.array([x1, x1, x2, x2]), np.array([y1, y2, y2, y1])), axis=-1)

    def as_gwcs(self):
        """The grid as a gwcs, as the archive's mosaics have it."""
        if self.wcs is not None:
            return self.wcs
        import gwcs
        from astropy import coordinates, units
        from astropy.modeling import models
        from gwcs import coordinate_frames

        projection = self.projection
        transform = gwcs.FITSImagingWCSTransform(
            models.Pix2Sky_TAN(),
            crpix=list(projection.crpix),
            crval=list(projection.crval),
            cdelt=list(projection.cdelt),
            pc=np.asarray(projection.pc),
        )
        detector = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
        sky = coordinate_frames.CelestialFrame(
            name="world", axes_order=(0, 1), unit=(units.deg, units.deg), reference_frame=coordinates.ICRS()
        )
        wcs = gwcs.WCS([gwcs.Step(detector, transform), gwcs.Step(sky, None)])
        wcs.bounding_box = self.bounding_box
        wcs.pixel_shape = self.shape[::-1]
        return wcs

    def as_tree(self):
        """The same gwcs as a tagged tree for an ASDF file, made without importing gwcs."""
        from snakewebb.io.asdf_tree import CORE, Tagged
        from snakewebb.wcs.image_wcs import Frame
        from snakewebb.wcs.transforms import GWCS

        projection = self.projection
        box = {axis: list(limits) for axis, limits in zip("xy", self.bounding_box, strict=True)}
        tangent = {"direction": "pix2sky", "inputs": ["x", "y"], "outputs": ["phi", "theta"]}
        transform = {
            "bounding_box": Tagged(
                f"{CORE}transform/property/bounding_box-1.2.0", {"ignore": [], "intervals": box, "order": "F"}
            ),
            "cdelt": np.array(projection.cdelt, float),
            "crpix": np.array(projection.crpix, float),
            "crval": np.array(projection.crval, float),
            "inputs": ["x", "y"],
            "outputs": ["lon", "lat"],
            "pc": np.array(projection.pc, float),
            "projection": Tagged(f"{CORE}transform/gnomonic-1.4.0", tangent),
        }
        frames = Frame("detector", "pixel"), Frame("world", "deg", ("lon", "lat"))
        transforms = Tagged(f"{GWCS}fitswcs_imaging-1.0.0", transform), None
        steps = [
            Tagged(f"{GWCS}step-1.3.0", {"frame": frame.tree(), "transform": transform})
            for frame, transform in zip(frames, transforms, strict=True)
        ]
        return Tagged(f"{GWCS}wcs-1.4.0", {"name": "", "pixel_shape": list(self.shape[::-1]), "steps": steps})

    def fits_keywords(self):
        """Celestial WCS keywords of the FITS standard."""
        projection = self.projection
        if not isinstance(projection, TanProjection):
            projection = _linear_projection(self)
        return {
            "WCSAXES": 2,
            "CRPIX1": projection.crpix[0] + 1,
            "CRPIX2": projection.crpix[1] + 1,
            "CRVAL1": projection.crval[0],
            "CRVAL2": projection.crval[1],
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CDELT1": projection.cdelt[0],
            "CDELT2": projection.cdelt[1],
            "PC1_1": projection.pc[0][0],
            "PC1_2": projection.pc[0][1],
            "PC2_1": projection.pc[1][0],
            "PC2_2": projection.pc[1][1],
            "RADESYS": "ICRS",
        }


def footprint_of_region(region):
    """Vertices (n, 2) in degrees of each polygon of an S_REGION keyword.

    Parameters
    ----------
    region : str
        ``POLYGON ICRS ra dec ra dec ...``, one or more.

    Raises
    ------
    BadDataError
        If there is no polygon with finite vertices in it.
    """
    polygons = []
    for part in str(region).split("POLYGON")[1:]:
        words = [word for word in part.split() if word.upper() not in ("ICRS", "FK5")]
        try:
            numbers = np.array(words, float)
        except ValueError:
            numbers = np.array([np.nan])
        if numbers.size < 6 or numbers.size % 2 or not np.isfinite(numbers).all():
            raise BadDataError(f"S_REGION is {region!r}, expected 'POLYGON ICRS ra dec ra dec ra dec ...'")
        polygons.append(numbers.reshape(-1, 2))
    if not polygons:
        raise BadDataError(f"S_REGION is {region!r}, expected 'POLYGON ICRS ra dec ra dec ra dec ...'")
    return polygons


def region_of_footprints(polygons):
    """S_REGION keyword of polygons with vertices in degrees."""
    return "  ".join("POLYGON ICRS  " + " ".join(f"{ra:.9f} {dec:.9f}" for ra, dec in polygon) for polygon in polygons)


def output_grid(
    footprints,
    names,
    wcs,
    shape,
    header,
    *,
    output_shape=None,
    crpix=None,
    crval=None,
    rotation=None,
    pixel_scale=None,
    pixel_scale_ratio=1.0,
    output_wcs="",
):
    """Find the grid that holds all exposures.

    Parameters
    ----------
    footprints : list of list of ndarray (n, 2)
        Polygons of each exposure, degrees.
    names : list of str
        Names of the exposures, for messages.
    wcs : object with pixel_to_sky and sky_to_pixel
        WCS of the first exposure; it sets scale and orientation.
    shape : (int, int)
        Rows and columns of the first exposure.
    header : Header
        Of the first exposure, with RA_REF, DEC_REF, ROLL_REF, V3I_YANG, VPARITY.
    output_shape : list of int, optional
        Columns and rows of the output.
    crpix : list of float, optional
        Reference pixel (x, y), 0-based.
    crval : list of float, optional
        Right ascension and declination of the reference pixel, degrees.
    rotation : float, optional
        Position angle of the output's y axis, degrees; by default the orientation of the first exposure.
    pixel_scale : float, optional
        Arcseconds; overrides ``pixel_scale_ratio``.
    pixel_scale_ratio : float
        Output over input pixel scale.
    output_wcs : str
        ASDF file with the output WCS; overrides everything else but ``output_shape``.

    Returns
    -------
    OutputGrid

    Raises
    ------
    ConfigError
        If the parameters contradict each other or the grid is smaller than 2 x 2.
    BadDataError
        If the grid would be absurdly large; the exposure that lies farthest off is named.

    References
    ----------
    `stcal.alignment.wcs_from_sregions` and `jwst.resample`.
    """
    for name, pair in (("output_shape", output_shape), ("crpix", crpix), ("crval", crval)):
        if pair is not None and len(pair) != 2:
            raise ConfigError(f"steps.resample.{name}: found {list(pair)}, expected two numbers")
    if output_shape is not None and min(output_shape) < 1:
        raise ConfigError(f"steps.resample.output_shape: found {list(output_shape)}, expected numbers of at least 1")
    if output_wcs:
        return _custom_grid(output_wcs, output_shape)

    missing = [key for key in ("ROLL_REF", "V3I_YANG", "VPARITY", "RA_REF", "DEC_REF") if header.get(key) is None]
    if missing:
        raise BadDataError(
            f"{names[0]}[SCI]: keywords {', '.join(missing)} are missing, so the mosaic has no orientation"
        )
    vertices = np.vstack([polygon for polygons in footprints for polygon in polygons])
    crval = _middle(vertices) if crval is None else tuple(float(value) for value in crval)

    if pixel_scale is None:
        scale = pixel_scale_ratio * _scale_at_reference(wcs, header["RA_REF"], header["DEC_REF"])
        ratio = float(pixel_scale_ratio)
    else:
        scale = pixel_scale / 3600.0
        ratio = float(scale / np.rad2deg(np.sqrt(mean_pixel_area(wcs, shape))))

    parity, yangle = int(header["VPARITY"]), np.deg2rad(header["V3I_YANG"])
    angle = np.deg2rad(header["ROLL_REF"]) - parity * yangle if rotation is None else np.deg2rad(rotation)
    pc = (
        (parity * np.cos(angle), np.sin(angle)),
        (-parity * np.sin(angle), np.cos(angle)),
    )
    centred = TanProjection((0.0, 0.0), crval, (scale, scale), pc)
    positions = np.stack(centred.sky_to_pixel(*vertices.T), axis=-1)
    if not np.isfinite(positions).all():
        raise BadDataError(_too_large(footprints, names, "reaches over more than a hemisphere"))
    low, high = positions.min(axis=0), positions.max(axis=0)
    origin = -low if crpix is None else np.asarray(crpix, float)
    low, high = low + origin, high + origin
    if output_shape is None:
        size = [int(limit + 0.5) for limit in high]
        bounding_box = tuple((-0.5, n - 0.5) for n in size)
        _check_size(size, footprints, names, scale)
    else:
        size = [int(n) for n in output_shape]
        bounding_box = tuple(
            (max(0, int(first + 0.5)) - 0.5, min(int(last + 0.5), n) - 0.5)
            for first, last, n in zip(low, high, size, strict=True)
        )
    if min(size) < 2:
        raise ConfigError(
            f"the output grid would have {size[0]} x {size[1]} pixels; "
            "check steps.resample.output_shape, crpix and crval"
        )
    projection = TanProjection(tuple(origin.tolist()), tuple(map(float, crval)), (scale, scale), pc)
    return OutputGrid((size[1], size[0]), projection, bounding_box, 3600.0 * scale, ratio)


def _middle(vertices):
    """Direction of the middle of the box around unit vectors."""
    ra, dec = np.deg2rad(vertices).T
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    x, y, z = (vectors.max(axis=1) + vectors.min(axis=1)) / 2.0
    return float(np.rad2deg(np.arctan2(y, x)) % 360.0), float(np.rad2deg(np.arctan2(z, np.hypot(x, y))))


def _scale_at_reference(wcs, ra_ref, dec_ref):
    """Geometric mean of the steps of one pixel along x and y at a direction, degrees."""
    x, y = (float(np.squeeze(value)) for value in wcs.sky_to_pixel(ra_ref, dec_ref))
    if not np.isfinite(x + y):  # far outside a subarray
        (x1, x2), (y1, y2) = wcs.bounding_box
        x, y = 0.5 * (x1 + x2), 0.5 * (y1 + y2)
    vectors = _unit_vectors(*wcs.pixel_to_sky(np.array([x, x + 1, x]), np.array([y, y, y + 1])))
    steps = [2.0 * np.arcsin(0.5 * np.linalg.norm(vectors[k] - vectors[0])) for k in (1, 2)]
    return float(np.rad2deg(np.sqrt(steps[0] * steps[1])))


def _unit_vectors(ra, dec):
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def mean_pixel_area(wcs, shape):
    """Mean area of the pixels between the centres of the outermost ones inside the bounding box, steradians."""
    ny, nx = shape
    (x1, x2), (y1, y2) = getattr(wcs, "bounding_box", None) or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    x1, x2 = max(0, int(x1 + 0.5)), min(nx - 1, int(x2 - 0.5))
    y1, y2 = max(0, int(y1 + 0.5)), min(ny - 1, int(y2 - 0.5))
    n = max(2, max(x2 - x1, y2 - y1) // 15 + 1)
    along_x, along_y = np.linspace(x1, x2, n), np.linspace(y1, y2, n)
    x = np.concatenate([along_x[:-1], np.full(n - 1, x2), along_x[:0:-1], np.full(n - 1, x1)])
    y = np.concatenate([np.full(n - 1, y1), along_y[:-1], np.full(n - 1, y2), along_y[:0:-1]])
    vectors = _unit_vectors(*wcs.pixel_to_sky(x, y))
    centre = vectors.mean(axis=0)
    centre /= np.linalg.norm(centre)
    east = np.cross([0.0, 0.0, 1.0] if abs(centre[2]) < 0.9 else [1.0, 0.0, 0.0], centre)
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    # Lambert's azimuthal projection keeps areas
    factor = np.sqrt(2.0 / (1.0 + vectors @ centre))
    u, v = factor * (vectors @ east), factor * (vectors @ north)
    area = 0.5 * abs(np.sum(u * np.roll(v, -1) - np.roll(u, -1) * v))
    return float(area / ((x2 - x1) * (y2 - y1)))


def _check_size(size, footprints, names, scale):
    covered = sum(_flat_area(polygon) for polygons in footprints for polygon in polygons) / scale**2
    if is_absurd(size[0] * size[1], covered):
        raise BadDataError(_too_large(footprints, names, f"would have {size[0]} x {size[1]} pixels"))


def _flat_area(polygon):
    ra, dec = polygon.T
    x, y = (np.deg2rad(ra - ra[0]) + np.pi) % (2 * np.pi) - np.pi, dec - dec[0]
    x = np.rad2deg(x) * np.cos(np.deg2rad(dec))
    return 0.5 * abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _too_large(footprints, names, what):
    centres = np.array([_unit_vectors(*np.vstack(polygons).T).mean(axis=0) for polygons in footprints])
    middle = np.median(centres, axis=0)
    middle /= np.linalg.norm(middle)
    distances = np.rad2deg(np.arccos(np.clip(centres @ middle / np.linalg.norm(centres, axis=1), -1, 1)))
    worst = int(np.argmax(distances))
    return (
        f"the mosaic {what}: exposure {names[worst]} lies {distances[worst] * 60:.1f} arcmin from the others; "
        "exclude it, or set steps.resample.output_shape with crval and crpix to the part that is wanted"
    )


def _custom_grid(path, output_shape):
    """Grid of an ASDF file with ``wcs`` and, optionally, ``pixel_area``, ``pixel_scale``, ``pixel_shape``."""
    import asdf

    from snakewebb.imaging.pixel_map import GwcsImage, bounding_box_of

    try:
        with asdf.open(path, lazy_load=False, memmap=False) as stream:
            tree = dict(stream.tree)
    except (OSError, ValueError) as error:
        raise ConfigError(f"steps.resample.output_wcs: {path} cannot be read ({error})") from error
    if "wcs" not in tree:
        raise ConfigError(f"steps.resample.output_wcs: {path} has no 'wcs' in it")
    wcs = tree["wcs"]
    box = bounding_box_of(wcs)
    if output_shape is not None:
        shape = tuple(int(n) for n in output_shape[::-1])
    elif wcs.array_shape is not None:
        shape = tuple(wcs.array_shape)
    elif tree.get("array_shape") is not None:
        shape = tuple(tree["array_shape"])
    elif tree.get("pixel_shape") is not None:
        shape = tuple(tree["pixel_shape"][::-1])
    elif box is not None:
        shape = tuple(int(high + 0.5) for _, high in box[::-1])
    else:
        raise ConfigError(
            f"steps.resample.output_wcs: the WCS of {path} has neither a shape nor a bounding box; "
            "set steps.resample.output_shape"
        )
    wcs.array_shape = shape
    box = box or ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
    scale = tree.get("pixel_scale")
    if scale is None and tree.get("pixel_area") is not None:
        scale = float(np.sqrt(tree["pixel_area"]))
    projection = _tan_projection(wcs) or GwcsImage(wcs, shape)
    if scale is None:
        view = GwcsImage(wcs, shape)
        scale = 3600.0 * float(np.rad2deg(np.sqrt(mean_pixel_area(view, shape))))
    return OutputGrid(shape, projection, box, float(scale), None, wcs)


def _tan_projection(wcs):
    """The projection of a gwcs that is a plain gnomonic one, else ``None``."""
    transform = wcs.forward_transform
    if (
        type(transform).__name__ != "FITSImagingWCSTransform"
        or type(transform.projection).__name__ != "Pix2Sky_Gnomonic"
    ):
        return None
    return TanProjection(
        tuple(map(float, transform.crpix.value)),
        tuple(map(float, transform.crval.value)),
        tuple(map(float, transform.cdelt.value)),
        tuple(map(tuple, np.asarray(transform.pc.value, float))),
    )


def _linear_projection(grid):
    """The gnomonic projection about the middle of the grid that agrees with it there to first order."""
    ny, nx = grid.shape
    x, y = 0.5 * (nx - 1), 0.5 * (ny - 1)
    crval = tuple(float(value) for value in grid.pixel_to_sky(x, y))
    scale = grid.pixel_scale / 3600.0
    plane = TanProjection((0.0, 0.0), crval, (scale, scale), ((1.0, 0.0), (0.0, 1.0)))
    east, north = plane.sky_to_pixel(*grid.pixel_to_sky(np.array([x - 1, x + 1, x, x]), np.array([y, y, y - 1, y + 1])))
    pc = (
        (float(east[1] - east[0]) / 2, float(east[3] - east[2]) / 2),
        (float(north[1] - north[0]) / 2, float(north[3] - north[2]) / 2),
    )
    return TanProjection((x, y), crval, (scale, scale), pc)
