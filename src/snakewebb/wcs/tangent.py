"""A light numeric imaging WCS: detector pixel -> tangent plane of the telescope frame -> sky.

It stands in for a gwcs wherever coordinates are computed: the chain of a gwcs from pixels to the
(velocity-aberration corrected) telescope frame is one pair of Chebyshev series, fitted once to the exact
transform, and the rest is the gnomonic projection about the reference point, which is exact. In this plane
the alignment correction of JWST images is an affine transformation.
"""

import json
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev

from snakewebb.errors import BadDataError
from snakewebb.io.fits import check_structure
from snakewebb.wcs.correction import correction_of
from snakewebb.wcs.image_wcs import limits_of, transform_between
from snakewebb.wcs.transforms import rotation_matrix

ARCSEC = np.pi / 180.0 / 3600.0
_DEGREES = (5, 7, 9, 11, 13, 15)
_FIT_TOLERANCE = 1e-7  # pixels
_CHECK_POINTS = 23  # a side; not the nodes of the fit
_FEW = 4000  # points that numpy computes faster than compiled code is loaded


class TangentWCS:
    """An imaging WCS: Chebyshev series to the tangent plane, an affine correction there, gnomonic projection.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image.
    bounding_box : ((float, float), (float, float))
        Limits of x and of y (0-based pixels) between which the WCS is defined; also the domain of the series,
        which is scaled to [-1, 1].
    x_coef, y_coef : ndarray of float64 (n, m)
        Coefficients c[i, j] of T_i(scaled x) T_j(scaled y), in radians: the coordinates y/x and z/x (east and
        north at the reference point) of the unit vector in the frame whose x axis points to (V2_REF, V3_REF).
    ra_ref, dec_ref, roll_ref : float
        Sky position of the reference point and position angle of V3 there, degrees.
    v2_ref, v3_ref : float
        Reference point in the telescope frame, arcseconds.
    matrix : ndarray (2, 2)
        Matrix of the alignment correction, applied to the tangent-plane coordinates.
    shift : ndarray (2,)
        Shift of the alignment correction, applied after the matrix, radians.
    fit_error : float
        Largest distance between the series and the transform that it was fitted to, pixels.
    """

    def __init__(
        self,
        shape,
        bounding_box,
        x_coef,
        y_coef,
        ra_ref,
        dec_ref,
        roll_ref,
        v2_ref,
        v3_ref,
        matrix=((1.0, 0.0), (0.0, 1.0)),
        shift=(0.0, 0.0),
        *,
        fit_error=0.0,
    ):
        self.shape = tuple(int(length) for length in shape)
        self.bounding_box = tuple(tuple(float(limit) for limit in limits) for limits in bounding_box)
        self.x_coef = np.ascontiguousarray(x_coef, np.float64)
        self.y_coef = np.ascontiguousarray(y_coef, np.float64)
        self.ra_ref, self.dec_ref, self.roll_ref = float(ra_ref), float(dec_ref), float(roll_ref)
        self.v2_ref, self.v3_ref = float(v2_ref), float(v3_ref)
        self.matrix = np.ascontiguousarray(matrix, np.float64).reshape(2, 2)
        self.shift = np.ascontiguousarray(shift, np.float64).reshape(2)
        self.fit_error = float(fit_error)
        self._domain = np.array(self.bounding_box)
        self._rotation = tangent_to_sky(self.ra_ref, self.dec_ref)

    def __repr__(self):
        return f"TangentWCS({self.shape[1]} x {self.shape[0]} pixels at {self.ra_ref:.6f} {self.dec_ref:.6f})"

    def pixel_to_tangent(self, x, y):
        """Corrected tangent-plane coordinates, radians east and north, of 0-based pixel coordinates."""
        x, y, shape = _flat(x, y)
        if x.size <= _FEW:
            plane = np.stack(self._series(*self._scaled(x, y)))
            xi, eta = self.matrix @ plane + self.shift[:, None]
            return xi.reshape(shape), eta.reshape(shape)
        from snakewebb.wcs import series

        xi, eta = np.empty_like(x), np.empty_like(x)
        series.apply(
            series.tangent_of_pixels,
            x.size,
            x,
            y,
            self._domain,
            self.x_coef,
            self.y_coef,
            self.matrix,
            self.shift,
            xi,
            eta,
        )
        return xi.reshape(shape), eta.reshape(shape)

    def tangent_to_pixel(self, xi, eta):
        """0-based pixel coordinates of corrected tangent-plane coordinates in radians.

        NaN where the solution is farther than half a detector outside the bounding box.
        """
        from snakewebb.wcs import series

        xi, eta, shape = _flat(xi, eta)
        x, y = np.empty_like(xi), np.empty_like(xi)
        slopes, start = self._slopes_and_start()
        inverse = np.linalg.inv(self.matrix)
        series.apply(
            series.pixels_of_tangent,
            xi.size,
            xi,
            eta,
            self._domain,
            self.x_coef,
            self.y_coef,
            slopes,
            start,
            inverse,
            self.shift,
            x,
            y,
        )
        return x.reshape(shape), y.reshape(shape)

    def pixel_to_sky(self, x, y):
        """Right ascension (in [0, 360)) and declination, degrees ICRS, of 0-based pixel coordinates.

        The bounding box is not applied: outside of it the series is continued.
        """
        xi, eta = self.pixel_to_tangent(x, y)
        if xi.size <= _FEW:
            p, q, r = np.moveaxis(self._directions(xi, eta), -1, 0)
            ra = np.degrees(np.arctan2(q, p))
            return np.where(ra < 0, ra + 360.0, ra), np.degrees(np.arctan2(r, np.hypot(p, q)))
        from snakewebb.wcs import series

        ra, dec = np.empty(xi.size), np.empty(xi.size)
        series.apply(series.sky_of_tangent, xi.size, xi.ravel(), eta.ravel(), self._rotation, ra, dec)
        return ra.reshape(xi.shape), dec.reshape(xi.shape)

    def pixel_to_vector(self, x, y):
        """Unit vectors on the sky, (..., 3), of 0-based pixel coordinates."""
        xi, eta = self.pixel_to_tangent(x, y)
        if xi.size <= _FEW:
            vectors = self._directions(xi, eta)
            return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        from snakewebb.wcs import series

        vectors = np.empty((xi.size, 3))
        series.apply(series.vectors_of_tangent, xi.size, xi.ravel(), eta.ravel(), self._rotation, vectors)
        return vectors.reshape(*xi.shape, 3)

    def sky_to_tangent(self, ra, dec):
        """Tangent-plane coordinates, radians, of a position in degrees; NaN on the far hemisphere."""
        from snakewebb.wcs import series

        ra, dec, shape = _flat(ra, dec)
        xi, eta = np.empty_like(ra), np.empty_like(ra)
        series.apply(series.tangent_of_sky, ra.size, ra, dec, self._rotation, xi, eta)
        return xi.reshape(shape), eta.reshape(shape)

    def sky_to_pixel(self, ra, dec):
        """0-based pixel coordinates of a position in degrees.

        NaN on the far hemisphere and farther than half a detector outside the bounding box.
        """
        return self.tangent_to_pixel(*self.sky_to_tangent(ra, dec))

    def corrected(self, matrix, shift_rad):
        """The WCS with another affine correction of the tangent plane after the one that it has.

        Parameters
        ----------
        matrix : array_like (2, 2)
        shift_rad : array_like (2,)
            Radians east and north, applied after the matrix.

        Returns
        -------
        TangentWCS
        """
        matrix = np.asarray(matrix, np.float64)
        record = self.as_record()
        record["matrix"] = (matrix @ self.matrix).tolist()
        record["shift"] = (matrix @ self.shift + np.asarray(shift_rad, np.float64)).tolist()
        return TangentWCS.from_record(record)

    def footprint(self):
        """Corners of the bounding box on the sky, (4, 2), degrees, in the order of S_REGION.

        The order is (low x, low y), (low x, high y), (high x, high y), (high x, low y).
        """
        (x0, x1), (y0, y1) = self.bounding_box
        return np.stack(self.pixel_to_sky([x0, x0, x1, x1], [y0, y1, y1, y0]), axis=-1)

    def as_record(self):
        """Plain dict (numbers, lists, text) that holds everything."""
        return {
            "kind": "tangent",
            "shape": list(self.shape),
            "bounding_box": [list(limits) for limits in self.bounding_box],
            "x_coef": self.x_coef.tolist(),
            "y_coef": self.y_coef.tolist(),
            "ra_ref": self.ra_ref,
            "dec_ref": self.dec_ref,
            "roll_ref": self.roll_ref,
            "v2_ref": self.v2_ref,
            "v3_ref": self.v3_ref,
            "matrix": self.matrix.tolist(),
            "shift": self.shift.tolist(),
            "fit_error": self.fit_error,
        }

    @classmethod
    def from_record(cls, record):
        """The WCS of a record that `as_record` made."""
        return cls(**{name: value for name, value in record.items() if name != "kind"})

    @classmethod
    def fitted(cls, to_v2v3, shape, bounding_box, pointing, *, matrix=None, shift=None):
        """Fit the series to a transform from pixels to the (velocity-aberration corrected) telescope frame.

        Parameters
        ----------
        to_v2v3 : callable
            ``to_v2v3(x, y)`` gives V2 and V3 in arcseconds.
        shape : (int, int)
        bounding_box : ((float, float), (float, float))
        pointing : mapping
            RA_REF, DEC_REF, ROLL_REF (degrees), V2_REF, V3_REF (arcseconds), as in the SCI header.
        matrix, shift : array_like, optional
            Alignment correction after that frame (shift in radians).

        Raises
        ------
        BadDataError
            If no series describes the transform to 1e-7 pixel.
        """
        names = ("RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF")
        missing = [name for name in names if pointing.get(name) is None]
        if missing:
            raise BadDataError(f"SCI: keywords {', '.join(missing)} are missing: the pointing is not known")
        reference = {name.lower(): float(pointing[name]) for name in names}
        axes = v2v3_to_tangent(reference["v2_ref"], reference["v3_ref"], reference["roll_ref"])
        (x0, x1), (y0, y1) = bounding_box

        def plane(u, v):
            """Uncorrected tangent-plane coordinates at scaled pixel coordinates."""
            v2, v3 = to_v2v3(0.5 * (x0 + x1 + u * (x1 - x0)), 0.5 * (y0 + y1 + v * (y1 - y0)))
            longitude, latitude = np.asarray(v2) * ARCSEC, np.asarray(v3) * ARCSEC
            vector = np.stack(
                [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
            )
            turned = np.tensordot(axes, vector, axes=1)
            return turned[1] / turned[0], turned[2] / turned[0]

        ticks = np.linspace(-1.0, 1.0, _CHECK_POINTS)
        u_check, v_check = (grid.ravel() for grid in np.meshgrid(ticks, ticks))
        expected = np.stack(plane(u_check, v_check))
        best = None
        for degree in _DEGREES:
            x_coef, y_coef = _interpolated(plane, degree)
            difference = np.hypot(
                chebyshev.chebval2d(u_check, v_check, x_coef) - expected[0],
                chebyshev.chebval2d(u_check, v_check, y_coef) - expected[1],
            )
            # the largest derivative underestimates no pixel's size, so the error in pixels is an upper limit
            scale = _smallest_pixel(x_coef, y_coef, bounding_box)
            error = float(np.max(difference)) / scale
            if best is None or error < 0.1 * best[0]:
                best = (error, x_coef, y_coef)
            if not error > _FIT_TOLERANCE * 0.01:
                break
        if not best[0] < _FIT_TOLERANCE:
            raise BadDataError(
                f"the WCS is not smooth: a Chebyshev series of degree {_DEGREES[-1]} differs from it by "
                f"{best[0]:.1e} pixel, at most {_FIT_TOLERANCE:.0e} expected; check the distortion reference"
            )
        return cls(
            shape,
            bounding_box,
            best[1],
            best[2],
            **reference,
            matrix=np.eye(2) if matrix is None else matrix,
            shift=np.zeros(2) if shift is None else shift,
            fit_error=best[0],
        )

    @classmethod
    def from_gwcs(cls, wcs, header):
        """The light form of a gwcs of a JWST image.

        Parameters
        ----------
        wcs : ImageWCS or gwcs.WCS
            With the frames detector, v2v3, v2v3vacorr (if there is one), v2v3corr (if it is aligned), world.
        header : Header
            Header of the SCI extension (RA_REF, DEC_REF, ROLL_REF, V2_REF, V3_REF, NAXIS1, NAXIS2).

        Raises
        ------
        BadDataError
            If the WCS is not of an image, or no series describes it to 1e-7 pixel.
        """
        frames = wcs.available_frames
        if "v2v3" not in frames:
            raise BadDataError(f"the WCS has the frames {', '.join(frames)}: no v2v3, it is not of an image")
        last = "v2v3vacorr" if "v2v3vacorr" in frames else "v2v3"
        matrix, shift = correction_of(wcs) or (None, None)
        shape = (int(header["NAXIS2"]), int(header["NAXIS1"]))
        limits = limits_of(wcs) or ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))
        to_v2v3 = transform_between(wcs, frames[0], last)
        return cls.fitted(to_v2v3, shape, limits, header, matrix=matrix, shift=shift)

    def _scaled(self, x, y):
        """Pixel coordinates scaled to [-1, 1] on the bounding box."""
        (x0, x1), (y0, y1) = self.bounding_box
        return (2.0 * x - x0 - x1) / (x1 - x0), (2.0 * y - y0 - y1) / (y1 - y0)

    def _series(self, u, v):
        """Uncorrected tangent-plane coordinates at scaled pixel coordinates."""
        return chebyshev.chebval2d(u, v, self.x_coef), chebyshev.chebval2d(u, v, self.y_coef)

    def _directions(self, xi, eta):
        """Vectors on the sky, (..., 3), not normalised, of tangent-plane coordinates."""
        return np.stack((np.ones_like(xi), xi, eta), axis=-1) @ self._rotation.T

    def _slopes_and_start(self):
        """Series of the four derivatives, padded to one shape, and the affine inverse at the centre."""
        slopes = np.zeros((4, *np.maximum(self.x_coef.shape, self.y_coef.shape)))
        for number, (coefficients, axis) in enumerate(
            [(self.x_coef, 0), (self.x_coef, 1), (self.y_coef, 0), (self.y_coef, 1)]
        ):
            slope = chebyshev.chebder(coefficients, axis=axis)
            slopes[number, : slope.shape[0], : slope.shape[1]] = slope
        centre = [chebyshev.chebval2d(0.0, 0.0, coefficients) for coefficients in (self.x_coef, self.y_coef)]
        jacobian = np.array([chebyshev.chebval2d(0.0, 0.0, slope) for slope in slopes]).reshape(2, 2)
        inverse = np.linalg.inv(jacobian)
        return slopes, np.column_stack([inverse, -inverse @ centre])


def v2v3_to_tangent(v2_ref, v3_ref, roll_ref):
    """Rotation matrix from the telescope frame to the frame of the tangent plane.

    Parameters
    ----------
    v2_ref, v3_ref : float
        Arcseconds.
    roll_ref : float
        Degrees.
    """
    roll = rotation_matrix("x", np.radians(roll_ref))
    return roll @ rotation_matrix("y", -v3_ref * ARCSEC) @ rotation_matrix("z", v2_ref * ARCSEC)


def tangent_to_sky(ra_ref, dec_ref):
    """Rotation matrix from the frame of the tangent plane to ICRS (degrees)."""
    return rotation_matrix("z", -np.radians(ra_ref)) @ rotation_matrix("y", np.radians(dec_ref))


def _interpolated(plane, degree):
    """Coefficients of both series of a degree in each variable, by interpolation at Chebyshev's nodes."""
    count = degree + 1
    angles = (np.arange(count) + 0.5) * np.pi / count
    nodes = np.cos(angles)
    u, v = np.meshgrid(nodes, nodes, indexing="ij")
    weights = 2.0 / count * np.cos(np.outer(np.arange(count), angles))
    weights[0] /= 2.0
    return [weights @ values @ weights.T for values in plane(u, v)]


def _smallest_pixel(x_coef, y_coef, bounding_box):
    """Side of a pixel at the centre, radians: the smaller singular value of the Jacobian."""
    jacobian = [
        [chebyshev.chebval2d(0.0, 0.0, chebyshev.chebder(coefficients, axis=axis)) for axis in (0, 1)]
        for coefficients in (x_coef, y_coef)
    ]
    per_pixel = np.array(jacobian) * [2.0 / (high - low) for low, high in bounding_box]
    return np.linalg.svd(per_pixel, compute_uv=False)[-1]


def _flat(first, second):
    """Two broadcast arrays as flat contiguous float64, and their shape."""
    first, second = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return np.ascontiguousarray(first).ravel(), np.ascontiguousarray(second).ravel(), first.shape


def wcs_of(path, *, checked=False):
    """The light WCS of a cal or crf file.

    It is taken from the record in the JSON sidecar (``<stem>.json``) if there is one that belongs to
    the file, else it is fitted to the gwcs in the file, which takes seconds.

    Parameters
    ----------
    path : path-like
    checked : bool
        Whether `snakewebb.io.sidecar.check_product` has found that a sidecar belongs to the file.

    Raises
    ------
    BadDataError
        If the file has no gwcs.
    """
    path = Path(path)
    sidecar = path.with_suffix(".json")
    if sidecar.exists():
        from snakewebb.io.sidecar import matches

        record = json.loads(sidecar.read_text()).get("wcs")
        if record is not None and (checked or matches(path)[0]):
            return TangentWCS.from_record(record)
    from snakewebb.io.products import read_wcs

    wcs = read_wcs(path)
    header = next(header for header, _ in check_structure(path) if header.get("EXTNAME") == "SCI")
    return TangentWCS.from_gwcs(wcs, header)
