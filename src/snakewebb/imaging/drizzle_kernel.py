"""Drizzling of several planes at once, and its inverse, the blot.

The overlap of every input pixel with the output pixels is computed once for all planes (`square_kernel`).
"""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.pixel_map import evaluate_row
from snakewebb.imaging.square_kernel import BAND_ROWS, SEGMENT, drizzle_bands, row_extents

BITS = 32
"""Images of a plane of the context image."""

_NO_PIXELS = np.zeros((1, 1), np.uint32)


class Drizzle:
    """The output of drizzling images one after the other.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the output.
    n_images : int
        Number of images that will be added; sets the depth of the context image.
    kernel : str
        ``square`` is computed here; ``gaussian``, ``point``, ``turbo``, ``lanczos2`` and ``lanczos3`` by the
        ``drizzle`` package.
    pixfrac : float
        Side of the shrunken input pixel, in units of the input pixel.
    pixel_scale_ratio : float
        Output over input pixel scale; it sets the width of the kernels other than square.
    fillval : float
        Value of output pixels to which no input pixel contributes.
    n_variances : int
        Number of variance planes that go with each image: 0 or 3.
    context, dq : bool
        Keep which images contribute to a pixel; keep the union of the data-quality flags that contribute to it.
    origin : (int, int), optional
        The output is a part of a grid that begins at this row and column of it; positions are those on the grid. Every pixel
        gets the bits that it gets where the whole grid is made. Kernel ``square`` alone can do that.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144. The variances are combined as `stcal.resample` does: the square root of each
    is drizzled with the weights of the data, per image, and squared; then V = sum(w^2 v) / sum(w)^2 over images.
    """

    def __init__(
        self,
        shape,
        n_images,
        *,
        kernel="square",
        pixfrac=1.0,
        pixel_scale_ratio=1.0,
        fillval=np.nan,
        n_variances=0,
        context=True,
        dq=False,
        origin=(0, 0),
    ):
        if kernel != "square" and tuple(origin) != (0, 0):
            raise ValueError(f"kernel {kernel!r} cannot make a part of a grid")
        self.origin = (int(origin[0]), int(origin[1]))
        self.shape = (int(shape[0]), int(shape[1]))
        self.kernel = kernel
        self.pixfrac = float(pixfrac)
        self.pixel_scale_ratio = float(pixel_scale_ratio)
        self.fillval = float(fillval)
        self.n_added = 0
        self._data = np.zeros(self.shape, np.float32)
        self.weight = np.zeros(self.shape, np.float32)
        self.context = np.zeros((-(-n_images // BITS), *self.shape), np.int32) if context else None
        self.first_image = 0  # that of the first bit of the context
        self.dq = np.zeros(self.shape, np.uint32) if dq else None
        self._variance_sum = np.zeros((n_variances, *self.shape), np.float32)
        self._variance_weight = np.zeros((n_variances, *self.shape), np.float32)

    def next_contexts(self, first_image):
        """Give the context image away and begin another one, whose first bit is that of the image ``first_image``."""
        done, self.context = self.context, np.zeros_like(self.context)
        self.first_image = first_image
        return done

    def add(self, map_x, map_y, data, weight, variances=(), *, box=None, image_weight=None, dq=None, number=None):
        """Add one image.

        Parameters
        ----------
        map_x, map_y : ndarray of float64 (ny, nx)
            Output pixel coordinates (0-based) of the centre of each input pixel; NaN where there are none.
        data, weight : ndarray of float32 (ny, nx)
        variances : sequence of ndarray of float32 or None
            Planes of which the square root is drizzled; the first is that of the read noise.
        box : (int, int, int, int), optional
            First and last column, first and last row of the input that are used.
        image_weight : float, optional
            Weight of the image among the variances; by default 1 / (drizzled first variance), pixel by pixel.
        dq : ndarray of uint32, optional
        number : int, optional
            That of the image in the context, by default the number of images before it.
        """
        ny, nx = data.shape
        if min(ny, nx) < 2:
            raise ValueError(f"an image of shape {data.shape} cannot be drizzled: at least 2 x 2 pixels are needed")
        box = (0, nx - 1, 0, ny - 1) if box is None else box
        present = tuple(index for index, plane in enumerate(variances) if plane is not None)
        number = (self.n_added if number is None else number) - self.first_image
        self.n_added += 1
        context = self.context[number // BITS] if self.context is not None else _NO_PIXELS.view(np.int32)
        bit = np.int32(np.uint32(1 << (number % BITS)).view(np.int32)) if self.context is not None else np.int32(0)
        fixed_weight = np.nan if image_weight is None else float(image_weight)
        if self.kernel == "square":
            rows, columns = (np.empty((ny, -(-nx // SEGMENT), 2)) for _ in range(2))
            row_reach, column_reach = np.empty(ny), np.empty(ny)
            by_rows(row_extents, ny, map_y, rows, row_reach)
            by_rows(row_extents, ny, map_x, columns, column_reach)
            planes = [np.ascontiguousarray(plane, np.float32) for plane in (data, *(variances[k] for k in present))]
            planes += [planes[0]] * (4 - len(planes))
            by_rows(
                drizzle_bands,
                -(-self.shape[0] // BAND_ROWS),
                planes[0],
                planes[1],
                planes[2],
                planes[3],
                np.array(present, np.int64),
                weight,
                dq if self.dq is not None else _NO_PIXELS,
                map_x,
                map_y,
                rows,
                row_reach.max(),
                columns,
                column_reach.max(),
                tuple(int(limit) for limit in box),
                0.5 * self.pixfrac,
                fixed_weight,
                self._data,
                self.weight,
                context,
                bit,
                self.dq if self.dq is not None else _NO_PIXELS,
                self._variance_sum,
                self._variance_weight,
                self.origin,
                block=2,
            )
        else:
            self._add_with_package(map_x, map_y, data, weight, variances, present, box, fixed_weight, dq, context, bit)

    def _add_with_package(self, map_x, map_y, data, weight, variances, present, box, fixed_weight, dq, context, bit):
        import warnings

        from drizzle.resample import Drizzle as PackageDrizzle

        # it warns of kernels that do not conserve flux; the documentation of the parameter does
        warnings.filterwarnings("ignore", message=".*is not a flux-conserving kernel")
        pixmap = np.stack([map_x, map_y], axis=-1)
        settings = {
            "exptime": 1.0,
            "pixmap": pixmap,
            "weight_map": weight,
            "pixfrac": 1.0 if self.kernel.startswith("lanczos") else self.pixfrac,
            "pixel_scale_ratio": self.pixel_scale_ratio,
            "in_units": "cps",
            "xmin": box[0],
            "xmax": box[1],
            "ymin": box[2],
            "ymax": box[3],
        }
        common = {"kernel": self.kernel, "out_shape": self.shape, "fillval": "NAN"}
        fresh = PackageDrizzle(**common, disable_ctx=self.context is None)
        fresh.add_image(data, dq=dq if self.dq is not None else None, **settings)
        touched = fresh.out_wht != 0
        before, after = self.weight[touched].astype(np.float64), self.weight[touched] + fresh.out_wht[touched]
        with np.errstate(divide="ignore", invalid="ignore"):
            self._data[touched] = (self._data[touched] * before + fresh.out_img[touched] * (after - before)) / after
        self.weight[touched] = after
        if self.context is not None:
            context[fresh.out_ctx[0] != 0] |= bit
        if self.dq is not None:
            self.dq |= fresh.out_dq
        spread = []
        for index in present:
            plane = PackageDrizzle(**common, disable_ctx=True)
            plane.add_image(np.sqrt(variances[index]), **settings)
            spread.append(plane.out_img**2)
        if not spread:
            return
        if np.isnan(fixed_weight):
            image_weight = np.zeros(self.shape)
            np.divide(1.0, spread[0], out=image_weight, where=(spread[0] > 0) & np.isfinite(spread[0]))
        else:
            image_weight = np.full(self.shape, fixed_weight)
        for index, plane in zip(present, spread, strict=True):
            used = (plane >= 0) & np.isfinite(plane) & (image_weight > 0)
            self._variance_sum[index][used] += plane[used] * image_weight[used] ** 2
            self._variance_weight[index][used] += image_weight[used]

    def finished_data(self):
        """Drizzled data, with the fill value where nothing contributes. No image can be added after that."""
        np.copyto(self._data, np.float32(self.fillval), where=self.weight == 0)
        return self._data

    def finished_variance(self, index):
        """One combined variance in the square of the data's unit, NaN where no image has it. Made in place."""
        variance = self._variance_sum[index]
        scale = 1.0 / self.pixel_scale_ratio**2
        by_rows(_finish_variance, self.shape[0], variance, self._variance_weight[index], scale)
        return variance


@njit
def _finish_variance(first, last, total, weight, scale):
    for j in range(first, last):
        for i in range(total.shape[1]):
            w = np.float64(weight[j, i])
            total[j, i] = total[j, i] * scale / w / w if w > 0.0 else np.nan


def blot(image, map_x, map_y, fillval, *, window=None, shape=None):
    """Interpolate an image bilinearly at given positions.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    map_x, map_y : ndarray of float64
        Positions (0-based). Between the last pixel centre and the edge the last row or column is repeated, as
        ``drizzle.resample.blot_image`` does with ``interp="linear"``; below 0 nothing is defined.
    fillval : float
        Value outside.
    window : Window, optional
        ``image`` is this part of a grid of that ``shape``, on which the positions are; it holds all that is asked for.
    shape : (int, int), optional

    Returns
    -------
    ndarray of float32, shape of ``map_x``
    """
    blotted = np.empty(map_x.shape, np.float32)
    by_rows(_blot_rows, map_x.shape[0], map_x, map_y, blotted, *_part(image, fillval, window, shape))
    return blotted


def blot_exposure(image, pixel_map, fillval, *, window=None, shape=None):
    """As `blot`, at the positions of an exposure's pixels, which are made row by row where they are a series.

    Parameters
    ----------
    pixel_map : PixelMap
    """
    if pixel_map.series is None:
        return blot(image, *pixel_map.positions(), fillval, window=window, shape=shape)
    blotted = np.empty(pixel_map.shape, np.float32)
    part = _part(image, fillval, window, shape)
    by_rows(_blot_series_rows, pixel_map.shape[0], pixel_map.series, pixel_map.columns, blotted, *part)
    return blotted


def _part(image, fillval, window, shape):
    """An image, the value outside, the shape of its grid, and where on that it begins."""
    begin = (0, 0) if window is None else (window.row, window.column)
    return image, np.float32(fillval), *(image.shape if shape is None else shape), *begin


@njit
def _blot_rows(first, last, map_x, map_y, blotted, image, fillval, ny, nx, top, left):
    for j in range(first, last):
        _blot_row(map_x[j], map_y[j], blotted[j], image, fillval, ny, nx, top, left)


@njit
def _blot_series_rows(first, last, series, columns, blotted, image, fillval, ny, nx, top, left):
    row_x, row_y = np.empty(columns.size), np.empty(columns.size)
    for j in range(first, last):
        evaluate_row(j, blotted.shape[0], series, columns, row_x, row_y)
        _blot_row(row_x, row_y, blotted[j], image, fillval, ny, nx, top, left)


@njit
def _blot_row(row_x, row_y, blotted, image, fillval, ny, nx, top, left):
    for i in range(row_x.size):
        x = row_x[i]
        y = row_y[i]
        if not (x >= 0.0 and x < nx and y >= 0.0 and y < ny):
            blotted[i] = fillval
            continue
        column = int(x)
        row = int(y)
        fx = x - column
        fy = y - row
        right = min(column + 1, nx - 1)
        above = min(row + 1, ny - 1)
        if row < top or column < left or above - top >= image.shape[0] or right - left >= image.shape[1]:
            blotted[i] = fillval
            continue
        if right == column:
            fx = 0.0
        if above == row:
            fy = 0.0
        lower = (1.0 - fx) * image[row - top, column - left] + fx * image[row - top, right - left]
        upper = (1.0 - fx) * image[above - top, column - left] + fx * image[above - top, right - left]
        blotted[i] = (1.0 - fy) * lower + fy * upper
