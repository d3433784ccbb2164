"""Pixel maps against the exact transforms."""

import numpy as np
import pytest

from snakewebb.imaging.output_grid import OutputGrid, TanProjection
from snakewebb.imaging.pixel_map import PixelMap, used_box

DETECTORS = ["NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCA5", "NRCB1", "NRCB2", "NRCB3", "NRCB4", "NRCB5"]


class SiafWCS:
    """The distortion of the SIAF and an attitude: 0-based pixel to sky, exactly."""

    bounding_box = ((-0.5, 2047.5), (-0.5, 2047.5))

    def __init__(self, detector, ra, dec, roll):
        import pysiaf

        self.aperture = pysiaf.Siaf("NIRCam")[f"{detector}_FULL"]
        self.attitude = pysiaf.rotations.attitude_matrix(self.aperture.V2Ref, self.aperture.V3Ref, ra, dec, roll)

    def pixel_to_sky(self, x, y):
        v2, v3 = self.aperture.sci_to_tel(np.asarray(x) + 1.0, np.asarray(y) + 1.0)
        v2, v3 = np.deg2rad(v2 / 3600.0), np.deg2rad(v3 / 3600.0)
        vector = self.attitude @ np.stack([np.cos(v3) * np.cos(v2), np.cos(v3) * np.sin(v2), np.sin(v3)]).reshape(3, -1)
        ra = np.rad2deg(np.arctan2(vector[1], vector[0])) % 360.0
        dec = np.rad2deg(np.arctan2(vector[2], np.hypot(vector[0], vector[1])))
        return ra.reshape(np.shape(x)), dec.reshape(np.shape(x))


def a_grid(ra, dec, angle=30.0, scale=0.031):
    pc = (
        (-np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))),
        (np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))),
    )
    projection = TanProjection((3000.0, 3000.0), (ra, dec), (scale / 3600.0, scale / 3600.0), pc)
    return OutputGrid((6000, 6000), projection, ((-0.5, 5999.5), (-0.5, 5999.5)), scale, 1.0)


@pytest.mark.parametrize("detector", DETECTORS)
def test_error_of_the_map(detector):
    """Within 1e-6 pixel of the exact transform, everywhere on the detector, near the pole and across RA 0 too."""
    rng = np.random.default_rng(1)
    for ra, dec in ((150.1, 2.2), (0.005, 85.0)):
        wcs = SiafWCS(detector, ra, dec, 37.0)
        grid = a_grid(ra + 0.01, dec - 0.005)
        map_x, map_y = PixelMap(wcs, grid, (2048, 2048)).positions()
        rows, columns = rng.integers(0, 2048, (2, 3000))
        rows[:4], columns[:4] = [0, 0, 2047, 2047], [0, 2047, 0, 2047]
        x, y = grid.sky_to_pixel(*wcs.pixel_to_sky(columns.astype(float), rows.astype(float)))
        assert np.abs(map_x[rows, columns] - x).max() < 1e-6
        assert np.abs(map_y[rows, columns] - y).max() < 1e-6


def test_sparse_map():
    wcs = SiafWCS("NRCB3", 150.1, 2.2, 37.0)
    grid = a_grid(150.1, 2.2)
    exact = PixelMap(wcs, grid, (2048, 2048)).positions()
    for order, limit in ((1, 5e-2), (3, 1e-4)):
        sparse = PixelMap(wcs, grid, (2048, 2048), stepsize=20.0, order=order).positions()
        assert max(np.abs(a - b).max() for a, b in zip(sparse, exact, strict=True)) < limit


def test_rough_map_is_evaluated_pixel_by_pixel():
    grid = a_grid(150.1, 2.2)

    class Rough:
        bounding_box = None

        def pixel_to_sky(self, x, y):
            return grid.pixel_to_sky(x + 100.0 + 0.1 * np.abs(x - 30.3), y + 50.0)

    map_x, map_y = PixelMap(Rough(), grid, (40, 60)).positions()
    y, x = np.indices((40, 60))
    np.testing.assert_allclose(map_x, x + 100.0 + 0.1 * np.abs(x - 30.3), rtol=0, atol=1e-7)
    np.testing.assert_allclose(map_y, y + 50.0, rtol=0, atol=1e-7)


def test_pixels_inside_the_bounding_box():
    assert used_box((10, 20), None) == (0, 19, 0, 9)
    assert used_box((10, 20), ((-0.5, 19.5), (-0.5, 9.5))) == (0, 19, 0, 9)
    assert used_box((10, 20), ((3.5, 15.2), (1.0, 8.0))) == (4, 15, 1, 8)
