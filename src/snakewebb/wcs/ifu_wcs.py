"""The WCS of an image of an integral-field unit: detector pixels to sky and wavelength, without importing gwcs."""

from dataclasses import dataclass

import numpy as np

from snakewebb.io.asdf_tree import CORE, Tagged
from snakewebb.wcs.image_wcs import Frame, ImageWCS
from snakewebb.wcs.regions import RegionsSelector
from snakewebb.wcs.transforms import GWCS, UnsupportedTransformError, transform_of

_STEP = 0.01  # pixels, of the differences that stand for derivatives
_ITERATIONS = 5
_CONVERGED = 1e-4  # pixels (or arcseconds) of the last step, which is far smaller where the inverse of the file is good


@dataclass(frozen=True)
class SpectralFrame:
    """A plane or the sky, with wavelengths in micron beside it.

    Attributes
    ----------
    name : str
    spatial : Frame
    spectral : str
        Name of the frame of the wavelengths.
    """

    name: str
    spatial: Frame
    spectral: str = "spectral"

    def tree(self):
        """The frame as a tagged tree."""
        spectral = {
            "name": self.spectral,
            "axes_order": [2],
            "axes_names": ["lambda"],
            "axis_physical_types": ["em.wl"],
            "unit": [Tagged(f"{CORE}unit/unit-1.0.0", "um")],
        }
        frames = [self.spatial.tree(), Tagged(f"{GWCS}spectral_frame-1.2.0", spectral)]
        return Tagged(f"{GWCS}composite_frame-1.0.0", {"name": self.name, "frames": frames})

    @classmethod
    def of(cls, node):
        """The frame of a tagged tree.

        Raises
        ------
        UnsupportedTransformError
            If it is not a plane or the sky with wavelengths in micron.
        """
        kinds = [getattr(frame, "kind", None) for frame in node.value["frames"]]
        if len(kinds) != 2 or kinds[1] != "gwcs/spectral_frame":
            raise UnsupportedTransformError(f"the frame {node.value['name']!r} of the WCS holds the frames {kinds}")
        spatial, spectral = node.value["frames"]
        units = [str(getattr(unit, "value", unit)) for unit in spectral.value["unit"]]
        if units != ["um"]:
            raise UnsupportedTransformError(f"the wavelengths of the WCS are in {units}, expected um")
        return cls(str(node.value["name"]), Frame.of(spatial), str(spectral.value["name"]))


class IfuWCS(ImageWCS):
    """A chain of frames from detector pixels (0-based) over positions in the slices to sky and wavelength.

    Its first transform is a `RegionsSelector` from pixels to position along the slice, across the slices (arcseconds) and
    wavelength (micron); its second one a `RegionsSelector` from there to the telescope frame.
    """

    def __call__(self, x, y, *, with_bounding_box=True):
        """Right ascension and declination, degrees, and wavelength, micron, of 0-based pixel coordinates.

        NaN between slices, where there is no light of the slice's channel, and outside the bounding box.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        world = self.get_transform(self.frames[0].name, self.frames[-1].name)(x, y)
        if with_bounding_box and self.bounding_box is not None:
            outside = self._outside(x, y)
            world = tuple(np.where(outside, np.nan, values) for values in world)
        return world

    def invert(self, ra, dec, wavelength, *, with_bounding_box=True):
        """0-based pixel coordinates of positions on the sky in degrees and wavelengths in micron.

        A position between the centres of two slices lies in the nearer one. The inverse that the references state is an
        approximation, off by some 0.1 pixel, and leaves out the correction of the wavelength for the observatory's motion: it is
        where the exact inverse is looked for by Newton's method. ``get_transform("world", "detector")`` is the stated one.

        NaN where there is no slice, and outside the bounding box.
        """
        ra, dec, wavelength = np.broadcast_arrays(*(np.asarray(values, np.float64) for values in (ra, dec, wavelength)))
        sky = [values.ravel() for values in (ra, dec, wavelength)]
        telescope = self.get_transform(self.frames[-1].name, "v2v3")(*sky)
        x, y = self._pixels(*self._positions(*telescope))
        if with_bounding_box and self.bounding_box is not None:
            outside = self._outside(x, y)
            x, y = np.where(outside, np.nan, x), np.where(outside, np.nan, y)
        return x.reshape(ra.shape), y.reshape(ra.shape)

    def _positions(self, v2, v3, wavelength):
        """Alpha, beta and wavelength of positions in the telescope frame."""
        forward = self.transforms[1]
        found = np.full((3, v2.size), np.nan)
        for members, approximate in forward.inverse.by_region(v2, v3, wavelength):
            target = v2[members], v3[members]
            alpha, beta, lam = approximate._evaluate(*target, wavelength[members])
            label = int(forward.label_mapper(alpha[:1], beta[:1], lam[:1])[0])

            def telescope(alpha, beta, transform=forward.selector[label], lam=lam):
                return transform._evaluate(alpha, beta, lam)[:2]

            found[:, members] = *_solved(telescope, (alpha, beta), target), lam
        return found

    def _pixels(self, alpha, beta, wavelength):
        """Pixel coordinates of positions in the slices."""
        forward = self.transforms[0]
        found = np.full((2, alpha.size), np.nan)
        inverse = forward.inverse
        labels = inverse.label_mapper(alpha, beta, wavelength)
        for label, approximate in inverse.selector.items():
            members = np.flatnonzero(labels == label)
            if members.size:
                target = alpha[members], wavelength[members]
                start = approximate._evaluate(target[0], beta[members], target[1])

                def position(x, y, transform=forward.selector[label]):
                    along, _, wavelength = transform._evaluate(x, y)
                    return along, wavelength

                found[:, members] = _solved(position, start, target)
        return found

    def region(self, shape):
        """The smallest rectangle in right ascension and declination around all pixel centres, and the wavelengths.

        Parameters
        ----------
        shape : (ny, nx)

        Returns
        -------
        ndarray (4, 2), (float, float)
            Corners in degrees, in the order of S_REGION, and limits in micron; NaN if no pixel lies in a slice.
        """
        y, x = np.indices(shape, np.float64)
        return region_of(*self(x, y))

    @classmethod
    def of(cls, node):
        """The WCS of the tagged tree of a gwcs.

        Raises
        ------
        UnsupportedTransformError
            If it is not that of an integral-field unit, or holds transforms that are not known here.
        """
        steps = [step.value for step in node.value["steps"]]
        frames = [Frame.of(steps[0]["frame"])]
        for step in steps[1:]:
            if getattr(step["frame"], "kind", None) != "gwcs/composite_frame":
                raise UnsupportedTransformError("a frame of the WCS has no wavelengths")
            frames.append(SpectralFrame.of(step["frame"]))
        transforms = [transform_of(step["transform"]) for step in steps[:-1]]
        if not all(isinstance(transform, RegionsSelector) for transform in transforms[:2]):
            raise UnsupportedTransformError("the WCS is not that of slices")
        return cls(frames, transforms, node.value.get("name") or "")


def region_of(ra, dec, wavelength):
    """See `IfuWCS.region`."""
    valid = np.isfinite(ra)
    if not valid.any():
        return np.full((4, 2), np.nan), (np.nan, np.nan)
    ra = ra[valid]
    middle = np.median(ra)
    # on both sides of the meridian of right ascension zero
    far = np.abs(ra - middle) > 180.0
    if far.any() and middle != 180.0:
        ra[far] += 360.0 if middle > 180.0 else -360.0
    west, east = ra.min(), ra.max()
    west = west + 360.0 if west < 0 else west
    east = east - 360.0 if east >= 360.0 else east
    south, north = np.nanmin(dec), np.nanmax(dec)
    corners = np.array([[west, south], [east, south], [east, north], [west, north]])
    return corners, (float(np.nanmin(wavelength)), float(np.nanmax(wavelength)))


def wcs_of_tree(node):
    """The WCS of the tagged tree of a gwcs: of an image, or of an image of an integral-field unit.

    Raises
    ------
    UnsupportedTransformError
        If it is neither.
    """
    steps = node.value.get("steps", []) if isinstance(node, Tagged) and node.kind == "gwcs/wcs" else []
    spectral = bool(steps) and getattr(steps[-1].value["frame"], "kind", None) == "gwcs/composite_frame"
    return (IfuWCS if spectral else ImageWCS).of(node)


def _solved(function, start, target):
    """Solve function(u, v) = target for many points, from approximate solutions; where that fails these remain."""
    u, v = start
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for _ in range(_ITERATIONS):
            a, b = function(u, v)
            a_u, b_u = (end - begin for end, begin in zip(function(u + _STEP, v), (a, b), strict=True))
            a_v, b_v = (end - begin for end, begin in zip(function(u, v + _STEP), (a, b), strict=True))
            determinant = a_u * b_v - a_v * b_u
            da, db = target[0] - a, target[1] - b
            du = _STEP * (b_v * da - a_v * db) / determinant
            dv = _STEP * (a_u * db - b_u * da) / determinant
            u, v = u + du, v + dv
        failed = ~(np.hypot(du, dv) < _CONVERGED)
    return np.where(failed, start[0], u), np.where(failed, start[1], v)
