"""Colour composite of the mosaics of a target."""

import re
from dataclasses import dataclass

import numpy as np

from snakewebb.io.fits import shape_of
from snakewebb.plan.resources import PICTURE_SIDE
from snakewebb.report import style
from snakewebb.report.plane_bands import named_units, plane_bands

_SCALE_BARS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


def wavelength_of(filter_name):
    """Number in the name of a filter, which grows with the wavelength, of two filters that of the narrower; 0 if there is none."""
    found = re.findall(r"F(\d{3,4})([NMCW])", filter_name)
    return int(min(found, key=lambda parts: "NMCW".index(parts[1]))[0]) if found else 0


@dataclass(frozen=True)
class Band:
    """A mosaic as the composite needs it, in blocks of pixels.

    Attributes
    ----------
    name : str
        Of the filter.
    path : path-like
        Its file.
    unit : Unit
        Of the data in it.
    size : int
        Side of a block, pixels.
    shape : (int, int)
        Rows and columns of blocks.
    wcs : WCS
        Of the blocks.
    """

    name: str
    path: str
    unit: object
    size: int
    shape: tuple
    wcs: object

    def image(self):
        """Means of the blocks, NaN without data: reduced while they are read, so that memory does not grow with the mosaic."""
        from snakewebb.report import pixels

        means = np.empty(self.shape, np.float32)
        for rows, values in plane_bands(self.path, self.unit, self.size):
            pixels.average_blocks(values, self.size, means[rows.start // self.size : -(-rows.stop // self.size)])
        return means

    def seen(self):
        """Rows and columns of blocks that have data."""
        from snakewebb.report import pixels

        in_rows, in_columns = (np.zeros(length, bool) for length in shape_of(self.unit))
        for rows, values in plane_bands(self.path, self.unit):
            pixels.mark_seen(values, np.float32(-np.inf), in_rows[rows], in_columns)
        return [np.unique(np.flatnonzero(each) // self.size) for each in (in_rows, in_columns)]


def read_band(i2d):
    """A mosaic of a filter: what its header says.

    Parameters
    ----------
    i2d : path-like

    Returns
    -------
    Band
    """
    from astropy.wcs import WCS

    units = named_units(i2d)
    unit = units["SCI"]
    shape = shape_of(unit)
    size = style.block_size(shape, 2 * PICTURE_SIDE)
    wcs = WCS(unit.header, naxis=2)
    wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) / size + 0.5
    wcs.wcs.cdelt = wcs.wcs.cdelt * size
    return Band(filter_of(units["PRIMARY"]), i2d, unit, size, tuple(-(-length // size) for length in shape), wcs)


def filter_of(header):
    """Name of the bandpass of a mosaic: that of the pupil wheel if it holds a filter; guiders have none."""
    elements = [str(header.get(key, "")) for key in ("PUPIL", "FILTER")]
    return next((name for name in elements if name.startswith("F") and name[1:4].isdigit()), "FGS")


def chosen(filters):
    """Filters of red, green and blue: reddest, nearest to the middle in ratios of wavelength, bluest.

    Two give red and blue, with their mean in green; one is grey.

    Parameters
    ----------
    filters : iterable of str
        Each once.

    Returns
    -------
    list of list of str
        For each colour.
    """
    ordered = sorted(filters, key=lambda name: (wavelength_of(name), name))
    blue, red = ordered[0], ordered[-1]
    middle = np.sqrt(max(1, wavelength_of(blue)) * max(1, wavelength_of(red)))
    between = sorted(ordered[1:-1], key=lambda name: abs(np.log(max(1, wavelength_of(name)) / middle)))
    return [[red], between[:1] or [red, blue], [blue]]


def composite(bands):
    """Colours of a target, north up and east left.

    Surface brightness per unit frequency is shown: a source whose spectrum is flat in it is white. Where one of three filters has no
    data its neighbour stands for it; what only one has seen is grey. Of several mosaics in one filter the mean is shown; one is in
    memory at a time.

    Parameters
    ----------
    bands : list of Band
        In one to three filters.

    Returns
    -------
    image : ndarray of uint8 (ny, nx, 3)
    scale : float
        Arcsec per pixel.
    """
    from snakewebb.report import pixels

    grid, shape, scale = _grid(bands)
    names = dict.fromkeys(name for members in chosen({band.name for band in bands}) for name in members)
    planes = np.empty((len(names), *shape), np.float32)
    for plane, name in zip(planes, names, strict=True):
        _fill_plane(plane, [band for band in bands if band.name == name], grid)
    light, image = np.empty(shape, np.float32), np.empty((*shape, 3), np.uint8)
    pixels.mean_known(planes, light)
    noise = 1.4826 * _median(np.abs(light))
    nothing = np.array([int(style.NO_DATA[place : place + 2], 16) for place in (1, 3, 5)], np.uint8)
    pixels.mix_colours(planes, light, -2 * noise, 8 * noise or 1.0, 8.0, nothing, image)
    return image, scale


def _median(values):
    """Median of the finite values, 0 without any."""
    finite = values[np.isfinite(values)]
    return style.quantiles(finite, [0.5])[0] if finite.size else 0.0


def _grid(bands):
    """WCS around what all mosaics have data of, with north up, its shape, and arcsec per pixel."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    corners = []
    for band in bands:
        # a grid that mosaics share is larger than each
        rows, columns = band.seen()
        if rows.size == 0:
            rows, columns = (np.arange(length) for length in band.shape)
        corners.append(band.wcs.pixel_to_world(columns[[0, -1, 0, -1]], rows[[0, 0, -1, -1]]))
    directions = np.concatenate([corner.cartesian.xyz.value for corner in corners], axis=1)
    centre = SkyCoord(*directions.mean(axis=1), representation_type="cartesian").spherical
    centre = SkyCoord(centre.lon, centre.lat)
    offsets = [[axis.deg for axis in centre.spherical_offsets_to(corner)] for corner in corners]
    east, north = np.concatenate(offsets, axis=1)
    extent = max(np.ptp(east), np.ptp(north))
    scale = max(extent / PICTURE_SIDE, min(proj_plane_pixel_scales(band.wcs).min() for band in bands))
    shape = tuple(int(np.ceil(np.ptp(values) / scale)) + 1 for values in (north, east))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [centre.ra.deg, centre.dec.deg]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.crpix = [east.max() / scale + 1, -north.min() / scale + 1]
    return wcs, shape, 3600 * scale


def _fill_plane(plane, bands, grid):
    """Fill a plane on the grid with the mean of the mosaics of a filter, each less its median; NaN without data."""
    if len(bands) == 1:
        _sample(bands[0], grid, plane)
        return
    sampled, count = np.empty_like(plane), np.zeros(plane.shape, np.int32)
    plane[:] = 0
    for band in bands:
        _sample(band, grid, sampled)
        known = np.isfinite(sampled)
        plane[known] += sampled[known]
        count += known
    plane[count == 0] = np.nan
    plane /= np.maximum(count, 1)


def _sample(band, grid, sampled):
    """Fill a plane on the grid with a mosaic, less its median."""
    from snakewebb.report import pixels

    pixels.interpolate(band.image(), *_places(band.wcs, grid, sampled.shape), _NODES, sampled)
    sampled -= np.float32(_median(sampled))


_NODES = 32
"""Pixels of the grid between those whose places are calculated; the others are interpolated."""


def _places(wcs, grid, shape):
    """Row and column in a mosaic of each `_NODES`-th pixel of the grid in both directions, from the first to beyond the last."""
    rows, columns = (np.arange(0.0, length + _NODES, _NODES) for length in shape)
    sky = grid.wcs_pix2world(np.tile(columns, len(rows)), np.repeat(rows, len(columns)), 0)
    x, y = (values.reshape(len(rows), len(columns)) for values in wcs.wcs_world2pix(*sky, 0))
    return y, x


@style.styled
def composite_figure(bands, title):
    """Composite with a bar of length and the directions.

    Parameters
    ----------
    bands : list of Band
    title : str

    Returns
    -------
    Figure
    """
    from matplotlib.patheffects import withStroke

    from snakewebb.report.colour_image import show_colours

    image, scale = composite(bands)
    rows, columns = image.shape[:2]
    width = 8.0 if columns >= rows else max(3.0, 8.0 * columns / rows)
    sheet, axes = style.figure(width, min(12.0, width * rows / columns + 0.35), margins=(0.02, 0.02, 0.02, 0.3))
    show_colours(axes, image)
    axes.axis("off")
    axes.set_title(title)
    length = max((bar for bar in _SCALE_BARS if bar / scale <= 0.3 * columns), default=_SCALE_BARS[0])
    outline = [withStroke(linewidth=4, foreground="black", alpha=0.7)]
    left, low = 0.04 * columns, 0.04 * rows
    name = f"{length} arcsec" if length < 60 else f"{length / 60:g} arcmin"
    ground = {"facecolor": "black", "alpha": 0.7, "linewidth": 0, "pad": 3}
    axes.plot([left, left + length / scale], [low, low], color="white", linewidth=2, path_effects=outline)
    axes.text(left, low + 0.018 * rows, name, color="white", va="bottom", bbox=ground)
    axes.text(0.98 * columns, low, "N up, E left", color="white", ha="right", va="bottom", bbox=ground)
    return sheet


def colours_of(filters):
    """Which filter is shown in which colour, in words."""
    (red,), green, (blue,) = chosen(filters)
    if red == blue:
        return f"{red} alone, in grey"
    return f"red {red}, green {green[0] if len(green) == 1 else 'their mean'}, blue {blue}"


def write_composite_figure(i2ds, path, title):
    """Write `composite_figure` of mosaics as PNG, in all its colours, which are few if it is grey."""
    bands = [read_band(i2d) for i2d in i2ds]
    style.save(composite_figure(bands, title), path, few_colours=len({band.name for band in bands}) == 1)
