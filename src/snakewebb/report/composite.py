"""Colour composite of the mosaics of a target."""

import re
from dataclasses import dataclass

import numpy as np

from snakewebb.imaging.row_bands import row_bands
from snakewebb.plan.resources import PICTURE_SIDE
from snakewebb.report import style

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
    size : int
        Side of a block, pixels.
    shape : (int, int)
        Rows and columns of blocks.
    wcs : WCS
        Of the blocks.
    """

    name: str
    path: str
    size: int
    shape: tuple
    wcs: object

    def image(self):
        """Means of the blocks, NaN without data: reduced while they are read, so that memory does not grow with the mosaic."""
        from astropy.io import fits

        with fits.open(self.path, memmap=False) as units:
            header = units["SCI"].header
            rows = row_bands((header["NAXIS2"], header["NAXIS1"]), self.size)
            return np.concatenate([style.block_means(units["SCI"].section[part], self.size) for part in rows])


def read_band(i2d):
    """A mosaic of a filter: what its header says.

    Parameters
    ----------
    i2d : path-like

    Returns
    -------
    Band
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    with fits.open(i2d, memmap=True) as units:
        header = units["SCI"].header
        name = filter_of(units[0].header)
    shape = header["NAXIS2"], header["NAXIS1"]
    size = style.block_size(shape, 2 * PICTURE_SIDE)
    wcs = WCS(header, naxis=2)
    wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) / size + 0.5
    wcs.wcs.cdelt = wcs.wcs.cdelt * size
    return Band(name, i2d, size, tuple(-(-length // size) for length in shape), wcs)


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
    from astropy.visualization import make_lupton_rgb

    grid, shape, scale = _grid(bands)
    planes = {
        name: _plane([band for band in bands if band.name == name], grid, shape)
        for name in dict.fromkeys(band.name for band in bands)
    }
    red, green, blue = (np.mean([planes[name] for name in members], axis=0) for members in chosen(planes))
    if len(planes) > 2:
        red, green, blue = (
            np.where(np.isfinite(red), red, green),
            np.where(np.isfinite(green), green, 0.5 * (red + blue)),
            np.where(np.isfinite(blue), blue, green),
        )
    colours = np.array([red, green, blue])
    cube = np.array(list(planes.values()))
    known = np.isfinite(cube)
    seen = known.any(axis=0)
    light = np.where(known, cube, 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    # of one filter there is no colour
    colours = np.where(np.isfinite(colours).all(axis=0), colours, light)
    noise = 1.4826 * np.median(np.abs(light[seen])) if seen.any() else 0.0
    image = make_lupton_rgb(*colours, minimum=-2 * noise, stretch=8 * noise or 1.0, Q=8)
    image[~seen] = [int(style.NO_DATA[place : place + 2], 16) for place in (1, 3, 5)]
    return image, scale


def _grid(bands):
    """WCS around what all mosaics have data of, with north up, its shape, and arcsec per pixel."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    corners = []
    for band in bands:
        seen = np.isfinite(band.image())
        # a grid that mosaics share is larger than each
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
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


def _plane(bands, grid, shape):
    """Mean of the mosaics of a filter on the grid, each less its median; NaN without data."""
    if len(bands) == 1:
        return _sampled(bands[0], grid, shape)
    light, count = np.zeros(shape), np.zeros(shape, np.int32)
    for band in bands:
        sampled = _sampled(band, grid, shape)
        known = np.isfinite(sampled)
        light[known] += sampled[known]
        count += known
    return np.divide(light, count, out=np.full(shape, np.nan), where=count > 0)


def _sampled(band, grid, shape):
    """A mosaic on the grid, less its median."""
    from snakewebb.report import pixels

    sampled = np.empty(shape)
    pixels.interpolate(band.image(), *_places(band.wcs, grid, shape), sampled)
    good = sampled[np.isfinite(sampled)]
    return sampled - np.median(good) if good.size else sampled


_NODES = 32
"""Pixels of the grid between those whose places are calculated; the others are interpolated."""


def _places(wcs, grid, shape):
    """Row and column in a mosaic of each pixel of the grid."""
    (rows, down), (columns, across) = (_nodes(length) for length in shape)
    sky = grid.wcs_pix2world(np.tile(columns, len(rows)), np.repeat(rows, len(columns)), 0)
    x, y = (values.reshape(len(rows), len(columns)) for values in wcs.wcs_world2pix(*sky, 0))
    return down @ y @ across.T, down @ x @ across.T


def _nodes(length):
    """Some pixels of an axis, the first and one that is not before the last among them, and what makes all pixels of them."""
    nodes = np.arange(0.0, length + _NODES, _NODES)
    weights = 1 - np.abs(np.arange(length)[:, None] - nodes) / _NODES
    return nodes, np.maximum(weights, 0)


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

    image, scale = composite(bands)
    rows, columns = image.shape[:2]
    width = 8.0 if columns >= rows else max(3.0, 8.0 * columns / rows)
    sheet, axes = style.figure(width, min(12.0, width * rows / columns + 0.35), margins=(0.02, 0.02, 0.02, 0.3))
    axes.imshow(image, origin="lower", interpolation="nearest")
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
