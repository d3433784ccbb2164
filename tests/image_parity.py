"""What is compared of an image with a WCS or photometry and the oracle's."""

import os
from pathlib import Path

import numpy as np
import pytest

from snakewebb.wcs.tangent import TangentWCS

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[1] / "../shared/data"))

PIXEL = 1.75e-5  # degrees


def assert_equal_wcs(image, theirs):
    ny, nx = image.data.shape[-2:]
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 13), np.linspace(-0.5, ny - 0.5, 11))
    exact = theirs.meta.wcs
    assert image.wcs.available_frames == exact.available_frames
    assert image.wcs.bounding_box == exact.bounding_box.bounding_box(order="F")
    for frame in ("v2v3", "v2v3vacorr"):
        np.testing.assert_allclose(
            image.wcs.get_transform("detector", frame)(x, y),
            exact.get_transform("detector", frame)(x, y, with_bounding_box=False),
            rtol=0,
            atol=1e-10,
        )
    sky = exact(x, y)
    np.testing.assert_allclose(image.wcs(x, y), sky, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        image.wcs.invert(*sky, with_bounding_box=False),
        exact.invert(*sky, with_bounding_box=False),
        rtol=0,
        atol=1e-7,
    )
    light = TangentWCS.from_gwcs(image.wcs, {**image.sci_header, "NAXIS1": nx, "NAXIS2": ny})
    np.testing.assert_allclose(light.pixel_to_sky(x, y), sky, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.array(image.wcs.as_gwcs()(x, y)), sky, rtol=0, atol=1e-11)


def assert_equal_keywords(image, theirs):
    """Footprint equal in every digit; the approximation to what rounding leaves of its fit."""
    info = theirs.meta.wcsinfo.instance
    header = image.sci_header
    assert header["S_REGION"] == info["s_region"]
    sip = {key for key in header if key.split("_")[0] in ("A", "B", "AP", "BP")}
    assert sip == {key.upper() for key in info if key.split("_")[0] in ("a", "b")} | {
        key.upper() for key in info if key.split("_")[0] in ("ap", "bp") and key[-3:] not in ("0_1", "1_0")
    }
    for key in ("CTYPE1", "CTYPE2", "CUNIT1", "CRPIX1", "CRPIX2", "WCSAXES"):
        assert header[key] == info[key.lower()], key
    for key in ("CRVAL1", "CRVAL2"):
        assert header[key] == pytest.approx(info[key.lower()], abs=2e-11), key
    assert not [key for key in header if key.startswith(("PC", "CDELT"))]
    tree = image.tree["meta"]["wcsinfo"]
    reach = max(
        max(abs(header[f"CRPIX{axis}"] - edge) for edge in (0.5, length + 0.5))
        for axis, length in zip((1, 2), image.data.shape[:-3:-1], strict=True)
    )
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        assert abs(header[key] - info[key.lower()]) / PIXEL * reach < 1e-6, key
    for key in sip:
        if key.endswith("ORDER"):
            assert header[key] == info[key.lower()], key
        else:
            degree = sum(int(digit) for digit in key.split("_")[1:])
            # effect of the difference anywhere in the image, pixels
            assert abs(header[key] - info[key.lower()]) * reach**degree < 1e-6, key
    for key in tree:
        if key in ("sipmxerr", "sipiverr"):
            # what rounding leaves of the residuals differs with the processor's linear algebra; pixels
            assert tree[key] == pytest.approx(info[key], rel=1e-5, abs=1e-8), key
        elif isinstance(tree[key], float):
            assert tree[key] == pytest.approx(info[key], rel=1e-5, abs=1e-9), key
        else:
            assert tree[key] == info[key], key
    assert set(tree) >= {"sipmxerr", "wcsname", "lonpole", "latpole"}


def assert_equal_photometry(image, theirs, assert_agree):
    np.testing.assert_array_equal(image.dq, theirs.dq)
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        assert_agree(getattr(image, name), getattr(theirs, name))
    info = theirs.meta.photometry
    header = image.sci_header
    assert header["PHOTMJSR"] == pytest.approx(float(info.conversion_megajanskys), rel=1e-7)
    assert header["PHOTUJA2"] == pytest.approx(float(info.conversion_microjanskys), rel=2e-7)
    assert header["PIXAR_SR"] == info.pixelarea_steradians
    assert header["PIXAR_A2"] == info.pixelarea_arcsecsq
    assert header["BUNIT"] == theirs.meta.bunit_data
    if theirs.hasattr("area"):
        np.testing.assert_array_equal(image.area, theirs.area)
    else:
        assert image.area is None
