import warnings

import numpy as np
import pytest
from astropy.io import fits

from mrs_references import SHAPE, flight_references, image_of, made_up_references

pytest.importorskip("jwst")
from jwst.assign_wcs.assign_wcs import load_wcs
from stdatamodels.jwst import datamodels

from snakewebb.io.products import write_image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE
from snakewebb.wcs.assign_wcs import assign_wcs

# one always, the others take the oracle long
BANDS = [
    ("34", "LONG"),
    *(
        pytest.param(channel, band, marks=pytest.mark.oracle_long)
        for channel, band in (("12", "SHORT"), ("12", "MEDIUM"), ("12", "LONG"), ("34", "SHORT"), ("34", "MEDIUM"))
    ),
]


def oracle_of(image, paths):
    """The oracle's model of an image with its WCS."""
    units = [fits.PrimaryHDU(header=image.header.copy())]
    units += [
        fits.ImageHDU(image.data.copy(), image.sci_header.copy(), name="SCI"),
        fits.ImageHDU(image.err, name="ERR"),
    ]
    units.append(fits.ImageHDU(image.dq.copy(), name="DQ"))
    model = datamodels.IFUImageModel(fits.HDUList(units))
    with warnings.catch_warnings():
        # reference files of tests lack descriptions
        warnings.simplefilter("ignore")
        return load_wcs(model, {reftype: str(path) for reftype, path in paths.items()})


def assert_same(image, theirs, path, step):
    """Coordinates within 1e-6 (pixel, arcsec, micron), the footprint in every digit, the same new keywords."""
    y, x = np.mgrid[0.0 : SHAPE[0] : step, 0.0 : SHAPE[1] : 3]
    exact = theirs.meta.wcs
    assert image.wcs.available_frames == exact.available_frames
    assert image.wcs.bounding_box == exact.bounding_box.bounding_box(order="F")
    for frame in ("alpha_beta", "v2v3", "v2v3vacorr"):
        found = image.wcs.get_transform("detector", frame)(x, y)
        expected = exact.get_transform("detector", frame)(x, y)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)  # arcsec, arcsec, micron
    world = exact(x, y)
    np.testing.assert_allclose(image.wcs(x, y), world, rtol=0, atol=1e-11)  # degree, degree, micron
    light = np.isfinite(world[0])
    assert light.any()
    world = [values[light] for values in world]
    # the stated inverse is the archive's
    stated = image.wcs.get_transform("world", "detector")(*world)
    expected = exact.get_transform("world", "detector")(*world)
    np.testing.assert_allclose(stated, expected, rtol=0, atol=1e-6)  # pixel
    write_image(path, image, "IFUImageModel")
    with datamodels.open(path) as read, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(read, datamodels.IFUImageModel)
        np.testing.assert_allclose(read.meta.wcs(x, y), image.wcs(x, y), rtol=0, atol=1e-11)
        np.testing.assert_allclose(read.meta.wcs.get_transform("world", "detector")(*world), stated, rtol=0, atol=1e-6)
        ours, expected = (model.meta.wcsinfo.instance for model in (read, theirs))
        assert set(ours) == set(expected)
        assert ours["s_region"] == expected["s_region"]
        assert (ours["specsys"], ours["dispersion_direction"]) == (
            expected["specsys"],
            expected["dispersion_direction"],
        )
        np.testing.assert_allclose(ours["spectral_region"], expected["spectral_region"], rtol=0, atol=1e-12)
    theirs.save(path.with_name("theirs.fits"))
    with fits.open(path) as mine, fits.open(path.with_name("theirs.fits")) as other:
        assert {unit.name for unit in mine} - {"VAR_POISSON", "VAR_RNOISE"} == {unit.name for unit in other}
        assert set(mine["SCI"].header) - {"", "BUNIT", "CHECKSUM", "DATASUM"} == set(other["SCI"].header) - {
            "",
            "BUNIT",
        }


@pytest.mark.parametrize("velocity", [12000.0, pytest.param(None, marks=pytest.mark.oracle_long)])
def test_made_up_references(tmp_path, velocity):
    paths = made_up_references(tmp_path)
    image, other = image_of(velocity=velocity), image_of(velocity=velocity)
    assert assign_wcs(image, References(paths, (1, 1, SHAPE[1], SHAPE[0]))).state == COMPLETE
    assert_same(image, oracle_of(other, paths), tmp_path / "cal.fits", 13)


def test_crossed_dichroics(tmp_path):
    paths = made_up_references(tmp_path, dichroic="MEDIUM-LONG")
    image, other = image_of(band="MEDIUM-LONG"), image_of(band="MEDIUM-LONG")
    assert assign_wcs(image, References(paths, (1, 1, SHAPE[1], SHAPE[0]))).state == COMPLETE
    assert_same(image, oracle_of(other, paths), tmp_path / "cal.fits", 29)


@pytest.mark.parametrize(("channel", "band"), BANDS)
def test_the_geometry_of_flight(tmp_path, channel, band):
    paths = flight_references(tmp_path, channel, band)
    image, other = image_of(channel, band), image_of(channel, band)
    assert assign_wcs(image, References(paths, (1, 1, SHAPE[1], SHAPE[0]))).state == COMPLETE
    assert_same(image, oracle_of(other, paths), tmp_path / "cal.fits", 31)
