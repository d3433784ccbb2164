"""Finding the stars that images are aligned with."""

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, NON_SCIENCE
from snakewebb.errors import BadDataError
from snakewebb.imaging.background_mesh import background_mesh
from snakewebb.imaging.custom_catalogues import read_catfile
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import Between

_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


def find_sources(
    image,
    wcs,
    *,
    use_custom_catalogs: bool = False,
    catfile: str = "",
    starfinder: Literal["dao", "iraf", "segmentation"] = "iraf",
    snr_threshold: float = 10.0,
    kernel_fwhm: Annotated[float, Between(0, None)] = 2.5,
    bkg_boxsize: Annotated[int, Between(1, None)] = 400,
    minsep_fwhm: Annotated[float, Between(0, None)] = 0.0,
    sigma_radius: Annotated[float, Between(0, None)] = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: Annotated[int | None, Between(1, None)] = 200,
    peakmax: float | None = None,
    npixels: Annotated[int, Between(1, None)] = 10,
    connectivity: Literal[4, 8] = 8,
    nlevels: Annotated[int, Between(1, None)] = 32,
    contrast: Annotated[float, Between(0, 1)] = 0.001,
    multithresh_mode: Literal["exponential", "linear", "sinh"] = "exponential",
    localbkg_width: Annotated[int, Between(0, None)] = 0,
    apermask_method: Literal["correct", "mask", "none"] = "correct",
    kron_params: list[float] | None = None,
    deblend: bool = True,
):
    """List the sources of one exposure.

    The background is the median of the 3-sigma clipped pixels in each box of a mesh, smoothed by a 3x3 median
    and interpolated by cubic splines; a source must stand out of it by ``snr_threshold`` times its standard
    deviation. Pixels flagged DO_NOT_USE or NON_SCIENCE do not count.

    The keywords are parameters of `snakewebb.imaging.tweakreg.tweakreg`, explained there.

    Parameters
    ----------
    image : Image
        A calibrated exposure; its ``data``, ``dq`` and (segmentation only) ``err`` are read.
    wcs : TangentWCS or None
        Sources on or outside of the limits of its bounding box are dropped.

    Returns
    -------
    ColumnTable
        Columns id (int), x, y (0-based pixels) and flux (unit of the data), the brightest first if
        ``brightest`` is given; further columns of a user's catalogue are kept, in an astropy Table. Empty if there is no source.

    Raises
    ------
    BadDataError
        If a user's catalogue cannot be read or has no positions.

    References
    ----------
    Stetson 1987, PASP 99, 191; the same numbers as the star finders of photutils.
    """
    custom = _custom_catalogue_path(image.header, catfile) if use_custom_catalogs else None
    if custom is not None:
        return _inside(_read_custom_catalogue(custom), wcs)
    data = np.asarray(image.data, np.float32)
    masked = np.empty(data.shape, np.bool_)
    by_rows(_mask, data.shape[0], image.dq, np.uint32(DO_NOT_USE | NON_SCIENCE), masked)
    try:
        background, noise = background_mesh(data, masked, box=bkg_boxsize)
    except ValueError:  # no pixel has data
        return _source_table([], [], [])
    subtracted = np.subtract(data, background, out=background)
    if starfinder == "segmentation":
        columns = _segmentation_sources(
            subtracted,
            np.float32(snr_threshold) * noise,
            masked,
            kernel_fwhm,
            finder={
                "n_pixels": npixels,
                "connectivity": int(connectivity),
                "n_levels": nlevels,
                "contrast": contrast,
                "mode": multithresh_mode,
                "deblend": deblend,
            },
            catalogue={
                "error": image.err,
                "local_bkg_width": localbkg_width,
                "aperture_mask_method": apermask_method,
                "kron_params": (2.5, 1.4, 0.0) if kron_params is None else tuple(kron_params),
            },
        )
        return _inside(_source_table(*columns), wcs)

    threshold = np.float32(snr_threshold) * np.median(noise, overwrite_input=True)
    kernel = _density_enhancement(kernel_fwhm, sigma_radius)
    if starfinder == "dao":
        threshold = float(threshold) * kernel["relative_error"]
    separation = max(2, int(minsep_fwhm * kernel_fwhm + 0.5))
    convolved, peaks = noise, np.zeros(data.shape, np.bool_)  # its memory
    by_rows(_convolve, data.shape[0], subtracted, *kernel["taps"], convolved)
    by_rows(_local_maxima, data.shape[0], convolved, masked, float(threshold), *_disc(separation), peaks)
    y, x = np.divmod(np.flatnonzero(peaks), data.shape[1])
    catalogue = _dao_properties if starfinder == "dao" else _iraf_properties
    star = catalogue(subtracted, convolved, x, y, kernel)
    keep = star["valid"]
    for name in star["shape_measures"]:
        low, high = (sharplo, sharphi) if name == "sharpness" else (roundlo, roundhi)
        keep &= (star[name] >= low) & (star[name] <= high)
    if peakmax is not None:
        keep &= star["peak"] <= peakmax
    chosen = np.flatnonzero(keep)
    if brightest is not None:
        chosen = chosen[np.argsort(star["flux"][chosen])[::-1][:brightest]]
    return _inside(_source_table(star["x"][chosen], star["y"][chosen], star["flux"][chosen]), wcs)


def _density_enhancement(fwhm, sigma_radius):
    """Zero-sum Gaussian kernel of the star finders (Stetson 1987)."""
    sigma = fwhm / _FWHM_PER_SIGMA
    radius = int(max(2, math.sqrt(2.0 * sigma**2 * sigma_radius**2 / 2.0)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    scaled = (x**2 + y**2) / (2.0 * sigma**2)
    inside = (scaled <= sigma_radius**2 / 2.0) | (np.hypot(x, y) <= 2.0)
    gaussian = np.exp(-scaled)
    cut = gaussian * inside
    count = np.count_nonzero(inside)
    spread = (cut**2).sum() - cut.sum() ** 2 / count
    weights = (cut - cut.sum() / count) / spread * inside
    used = np.abs(weights) > np.finfo(np.float64).eps
    return {
        "sigma": sigma,
        "fwhm": fwhm,
        "radius": radius,
        "inside": inside,
        "gaussian": gaussian,
        "relative_error": 1.0 / math.sqrt(spread),
        "taps": (y[used], x[used], weights[used]),
    }


def _disc(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = (x**2 + y**2 <= radius**2) & ((x != 0) | (y != 0))
    return y[inside], x[inside]


@njit
def _mask(first, last, dq, flags, masked):
    for row in range(first, last):
        for column in range(dq.shape[1]):
            masked[row, column] = (dq[row, column] & flags) != 0


@njit
def _convolve(first, last, data, tap_y, tap_x, weights, result):
    """Convolve with a point-symmetric kernel; pixels outside of the image are 0."""
    ny, nx = data.shape
    row = np.empty(nx)
    for y in range(first, last):
        row[:] = 0.0
        for k in range(len(weights)):
            source = y + tap_y[k]
            if 0 <= source < ny:
                # loops begin at 0: an index that might be negative keeps the compiler from vector instructions
                left, right = max(tap_x[k], 0), max(-tap_x[k], 0)
                line, sums, weight = data[source, left:], row[right:], weights[k]
                for x in range(nx - left - right):
                    sums[x] += weight * line[x]
        for x in range(nx):
            result[y, x] = np.float32(row[x])


@njit
def _local_maxima(first, last, data, masked, threshold, near_y, near_x, peaks):
    """Mark pixels above the threshold that no pixel of the given neighbourhood exceeds; 0 outside of the image."""
    ny, nx = data.shape
    for y in range(first, last):
        for x in range(nx):
            value = data[y, x]
            if not value > threshold or masked[y, x]:
                continue
            highest = True
            for k in range(len(near_y)):
                v, u = y + near_y[k], x + near_x[k]
                neighbour = data[v, u] if 0 <= v < ny and 0 <= u < nx else np.float32(0.0)
                if neighbour > value:
                    highest = False
                    break
            peaks[y, x] = highest


def _cutouts(data, x, y, radius):
    """Square cut-outs around pixels, 0 outside of the image."""
    offset = np.arange(-radius, radius + 1)
    rows = y[:, None, None] + offset[None, :, None]
    columns = x[:, None, None] + offset[None, None, :]
    ny, nx = data.shape
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    return np.where(inside, data[np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)], np.float32(0.0))


def _iraf_properties(data, convolved, x, y, kernel):
    """Properties of stars from image moments, as IRAF's starfind measures them."""
    inside, radius = kernel["inside"], kernel["radius"]
    cutout = _cutouts(data, x, y, radius)
    sky = np.sum(cutout * ~inside, axis=(1, 2)) / np.count_nonzero(~inside)
    star = (cutout - sky[:, None, None]) * inside.astype(int)
    star[star < 0] = 0.0
    offset = np.arange(2 * radius + 1, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        flux = star.sum(axis=(1, 2))
        cx = star.sum(axis=1) @ offset / flux
        cy = star.sum(axis=2) @ offset / flux
        dx, dy = offset - cx[:, None], offset - cy[:, None]
        xx = np.einsum("nyx,nx->n", star, dx**2) / flux
        yy = np.einsum("nyx,ny->n", star, dy**2) / flux
        xy = np.einsum("nyx,ny,nx->n", star, dy, dx) / flux
        fwhm = 2.0 * np.sqrt(math.log(2.0) * (xx + yy))
        properties = {
            "x": cx + (x - radius),
            "y": cy + (y - radius),
            "flux": flux,
            "peak": star.max(axis=(1, 2)) if len(x) else flux,
            "sharpness": fwhm / kernel["fwhm"],
            "roundness": np.sqrt((xx - yy) ** 2 + 4.0 * xy**2) / (xx + yy),
        }
    valid = (np.count_nonzero(star, axis=(1, 2)) > 1) & np.isfinite(sky)
    for values in properties.values():
        valid &= np.isfinite(values)
    return properties | {"valid": valid, "shape_measures": ("sharpness", "roundness")}


def _dao_properties(data, convolved, x, y, kernel):
    """Properties of stars from fits of Gaussians to the marginal distributions (Stetson 1987)."""
    inside, radius = kernel["inside"], kernel["radius"]
    cutout = _cutouts(data, x, y, radius)
    around = _cutouts(convolved, x, y, radius)
    peak = cutout[:, radius, radius]
    height = around[:, radius, radius].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (np.sum(cutout * inside.astype(int), axis=(1, 2)) - peak) / (np.count_nonzero(inside) - 1)
        sharpness = (peak - others) / height
        around[:, radius, radius] = 0.0
        twofold = (
            -around[:, : radius + 1, radius + 1 :].sum(axis=(1, 2))
            + around[:, :radius, : radius + 1].sum(axis=(1, 2))
            - around[:, radius:, :radius].sum(axis=(1, 2))
            + around[:, radius + 1 :, radius:].sum(axis=(1, 2))
        )
        symmetry = 2.0 * twofold / np.abs(around).sum(axis=(1, 2))
        dx, hx = _marginal_fit(cutout, kernel, axis=1)
        dy, hy = _marginal_fit(cutout, kernel, axis=0)
        properties = {
            "x": x + dx,
            "y": y + dy,
            "flux": cutout.sum(axis=(1, 2)),
            "peak": peak,
            "sharpness": sharpness,
            "roundness1": symmetry,
            "roundness2": 2.0 * (hx - hy) / (hx + hy),
        }
    valid = np.isfinite(hx) & np.isfinite(hy)
    for values in properties.values():
        valid &= np.isfinite(values)
    return properties | {"valid": valid, "shape_measures": ("sharpness", "roundness1", "roundness2")}


def _marginal_fit(cutout, kernel, axis):
    """Shift and height of the kernel's marginal profile along an axis (0: y, 1: x), fitted to the data's."""
    radius = kernel["radius"]
    offset = np.arange(-radius, radius + 1)
    triangle = radius - np.abs(offset) + 1
    across = triangle[:, None] if axis == 1 else triangle[None, :]
    profile = np.sum(kernel["gaussian"] * across, axis=1 - axis)
    data = np.sum(cutout * across, axis=2 - axis)
    slope = profile * -offset
    weight = triangle.sum()
    sum_data = data @ triangle
    sum_profile = profile @ triangle
    numerator = data @ (profile * triangle) - sum_data * sum_profile / weight
    denominator = profile**2 @ triangle - sum_profile**2 / weight
    height = numerator / denominator
    shift = ((profile * slope) @ triangle - (data @ (slope * triangle) - (slope @ triangle) * sum_data)) / (
        height * (slope**2 @ triangle) / kernel["sigma"] ** 2
    )
    # far from the peak the fit says nothing: fall back on the centroid of the profile
    size = len(offset)
    sign = -1 if axis == 1 else 1
    centroid = data @ (sign * offset * triangle) / sum_data
    far = np.abs(shift) > size / 2
    shift = np.where(far, np.where(sum_data == 0, 0.0, centroid), shift)
    shift = np.where(np.abs(shift) > size / 2, 0.0, shift)
    fitted = (numerator > 0) & (denominator > 0)
    return np.where(fitted, shift, np.nan), np.where(fitted, height, np.nan)


def _segmentation_sources(data, threshold, masked, kernel_fwhm, finder, catalogue):
    import warnings

    from astropy.convolution import Gaussian2DKernel, convolve
    from astropy.utils.exceptions import AstropyUserWarning
    from photutils import use_future_column_names
    from photutils.segmentation import SourceCatalog, SourceFinder
    from photutils.utils import NoDetectionsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        # NaN pixels are meant to be left out
        warnings.simplefilter("ignore", AstropyUserWarning)
        smooth = data
        if kernel_fwhm > 0:
            smooth = convolve(data, Gaussian2DKernel(kernel_fwhm / _FWHM_PER_SIGMA), mask=masked)
        segments = SourceFinder(progress_bar=False, **finder)(smooth, threshold, mask=masked)
        if segments is None:
            return [], [], []
        with use_future_column_names():
            table = SourceCatalog(data, segments, mask=masked, convolved_data=smooth, **catalogue).to_table(
                columns=["x_centroid", "y_centroid", "segment_flux"]
            )
    return tuple(np.asarray(table[name]) for name in table.colnames)


def _source_table(x, y, flux):
    columns = [np.arange(1, len(x) + 1), *(np.asarray(column, np.float64) for column in (x, y, flux))]
    return ColumnTable(dict(zip(("id", "x", "y", "flux"), columns, strict=True)))


def _inside(table, wcs):
    """Drop sources on or outside of the limits of the bounding box, or without a position."""
    keep = np.isfinite(table["x"]) & np.isfinite(table["y"])
    if wcs is not None and wcs.bounding_box is not None:
        (x0, x1), (y0, y1) = wcs.bounding_box
        keep &= (table["x"] > x0) & (table["x"] < x1) & (table["y"] > y0) & (table["y"] < y1)
    return table[keep]


def _custom_catalogue_path(header, catfile):
    """The user's catalogue of an exposure: named in `catfile`, else in its header; None if there is none."""
    name = str(header.get("FILENAME", ""))
    listed = read_catfile(catfile) if catfile.strip() else {}
    if name in listed:
        return listed[name]
    stored = str(header.get("TCATFILE", "")).strip()
    return Path(stored) if stored else None


def _read_custom_catalogue(path):
    from astropy.table import Table

    try:
        table = Table.read(path)
    except OSError as error:
        raise BadDataError(f"catalogue {path} cannot be read: {error}") from error
    for axis in ("x", "y"):
        names = (axis, f"{axis}centroid", f"{axis}_centroid")
        found = next((name for name in names if name in table.colnames), None)
        if found is None:
            raise BadDataError(f"catalogue {path}: found columns {table.colnames}, expected one of {names}")
        if found != axis:
            table.rename_column(found, axis)
    if "id" not in table.colnames:
        table["id"] = np.arange(1, len(table) + 1)
    return table
