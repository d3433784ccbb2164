"""The FITS approximation of a WCS: its stated residuals are those that astropy's SIP has."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from snakewebb.io.models import Image
from snakewebb.wcs.assign_wcs import write_fits_approximation

PARAMETERS = {"max_pix_error": 0.01, "degree": None, "max_inv_pix_error": 0.01, "inv_degree": None, "npoints": 12}


@pytest.fixture(scope="module")
def exact(geometry):
    return geometry.gwcs(geometry.distortion("NRCALONG"), geometry.pointing("NRCALONG"))


@pytest.fixture
def image(geometry, exact):
    plane = np.zeros((2048, 2048), np.float32)
    return Image(fits.Header(), geometry.pointing("NRCALONG"), plane, None, None, wcs=exact)


@pytest.mark.parametrize("degree", [None, 2, 4])
def test_residuals_are_stated(exact, image, degree):
    write_fits_approximation(image, **PARAMETERS | {"degree": degree, "inv_degree": degree})
    written = image.sci_header
    ticks = np.linspace(0, 2047, 60)
    x, y = (values.ravel() for values in np.meshgrid(ticks, ticks))
    sky = exact(x, y, with_bounding_box=False)
    approximate = WCS(written)
    u, v = approximate.all_world2pix(*sky, 0)
    error = np.hypot(u - x, v - y).max()
    assert error < 1.05 * written["SIPMXERR"] + 1e-6
    assert error > 0.5 * written["SIPMXERR"]
    assert written["SIPMXERR"] == pytest.approx(image.tree["meta"]["wcsinfo"]["sipmxerr"], rel=0.01)
    assert written["SIPIVERR"] == pytest.approx(image.tree["meta"]["wcsinfo"]["sipiverr"], rel=0.01)
    if degree is None:
        assert written["SIPMXERR"] < 0.01
        assert written["SIPIVERR"] < 0.01


def test_residuals_of_an_approximation_before_do_not_stay(image):
    image.sci_header["SIPIVERR"] = 99.0
    write_fits_approximation(image, **PARAMETERS | {"max_inv_pix_error": 0.0})
    assert "SIPIVERR" not in image.sci_header
    assert image.sci_header["SIPMXERR"] < 0.01
