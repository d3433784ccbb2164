import numpy as np
import pytest

from mrs_references import (
    MIDDLES,
    RANGES,
    SHAPE,
    flight_references,
    image_of,
    made_up_geometry,
    made_up_references,
    made_up_telescope,
    write_regions,
)
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.asdf_tree import dump, parse
from snakewebb.io.products import read_image, read_wcs, write_image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE
from snakewebb.wcs.assign_wcs import assign_wcs
from snakewebb.wcs.ifu_wcs import region_of

FULL = (1, 1, SHAPE[1], SHAPE[0])
BANDS = [(channel, band) for channel in ("12", "34") for band in ("SHORT", "MEDIUM", "LONG")]
LIGHT = 299792458.0  # m/s


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """An image with the WCS of the made-up references, and these; neither is to be changed."""
    paths = made_up_references(tmp_path_factory.mktemp("references"))
    image = image_of()
    assert assign_wcs(image, References(paths, FULL)).state == COMPLETE
    return image, paths


def test_positions_and_wavelengths_are_those_of_the_references(made_up):
    image, _ = made_up
    y, x = np.mgrid[-0.5:1023:50.25, -0.5:1031:3]
    alpha, beta, wavelength = image.wcs.get_transform("detector", "alpha_beta")(x, y)
    v2, v3, same = image.wcs.get_transform("detector", "v2v3")(x, y)
    inside = np.zeros(x.shape, bool)
    for channel, middles in MIDDLES.items():
        for number, middle in enumerate(middles, 1):
            part = np.abs(np.floor(x + 0.5) - middle) <= 15
            inside |= part
            a, b, lam = made_up_geometry(100 * channel + number, x[part], y[part])
            lam /= 1 + 12000 / LIGHT
            np.testing.assert_allclose(alpha[part], a, rtol=0, atol=1e-12)  # arcsec
            np.testing.assert_allclose(beta[part], b, rtol=0, atol=1e-12)
            np.testing.assert_allclose(wavelength[part], lam, rtol=0, atol=1e-12)  # micron
            low, high = RANGES[f"{channel}SHORT"]
            light = (lam > low) & (lam < high)
            assert light.any()
            assert not light.all()
            expected = [np.where(light, values, np.nan) for values in (*made_up_telescope(channel, a, b), lam)]
            for found, true in zip((v2, v3, same), expected, strict=True):
                np.testing.assert_allclose(found[part], true, rtol=0, atol=1e-10)
    assert np.isnan(alpha[~inside]).all()
    assert np.isnan(v2[~inside]).all()


def test_the_sky_is_the_telescope_frame_rotated(made_up):
    """Angles between positions are kept but for the aberration, the reference point and the roll angle are where they should be."""
    image, _ = made_up
    to_sky = image.wcs.get_transform("v2v3vacorr", "world")
    v2, v3 = -503.378, -318.999
    ra, dec, wavelength = to_sky([v2, v2], [v3, v3 + 1.0], [5.0, 6.0])
    np.testing.assert_allclose([ra[0], dec[0]], [0.0005, -45.0], rtol=0, atol=1e-11)
    east, north = (ra[1] - ra[0]) * np.cos(np.radians(dec[0])) * 3600, (dec[1] - dec[0]) * 3600
    # position angle of +V3 at the reference point is ROLL_REF
    np.testing.assert_allclose([east, north], [np.sin(np.pi / 6), np.cos(np.pi / 6)], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(wavelength, [5.0, 6.0])
    corrected = image.wcs.get_transform("v2v3", "v2v3vacorr")(v2 + 10.0, v3 - 10.0, 5.0)
    np.testing.assert_allclose(corrected[:2], [v2 + 10 * 1.00003, v3 - 10 * 1.00003], rtol=0, atol=1e-10)


def test_the_exact_inverse_does_not_need_a_good_one_in_the_references(made_up):
    image, _ = made_up
    y, x = np.mgrid[1:1023:20, 0:1031]
    world = image.wcs(x, y)
    light = np.isfinite(world[0])
    assert light.sum() > 8000
    found = image.wcs.invert(*world)
    for values, true in zip(found, (x, y), strict=True):
        np.testing.assert_allclose(values[light], true[light], rtol=0, atol=1e-8)  # pixels
        assert np.isnan(values[~light]).all()
    stated = image.wcs.get_transform("world", "detector")(*world)
    assert np.nanmax(np.abs(stated[1] - y)) > 1.0


def test_a_position_between_slices_lies_in_the_nearer_one(made_up):
    image, _ = made_up
    x, y = np.array([195.0, 203.0]), np.array([400.0, 600.0])
    alpha, beta, wavelength = image.wcs.get_transform("detector", "alpha_beta")(x, y)
    for part, middle in ((0.4, 200), (0.6, 300), (-0.6, 100)):
        world = image.wcs.get_transform("alpha_beta", "world")(alpha, beta + part * 0.177, wavelength)
        found = image.wcs.invert(*world)
        # the slices of the made-up references differ by a shift along the rows only
        np.testing.assert_allclose(found[0], x - 200 + middle, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found[1], y, rtol=0, atol=1e-7)
    away = image.wcs.get_transform("alpha_beta", "world")(alpha, beta + 2 * 0.177, wavelength)
    assert np.isnan(image.wcs.invert(*away)).all()


def test_the_geometry_of_the_image_is_that_of_its_wcs(made_up):
    image, paths = made_up
    geometry = image.geometry
    np.testing.assert_array_equal(geometry.slices, parse(paths["regions"].read_bytes(), "regions")["regions"][7])
    y, x = np.indices(SHAPE)
    np.testing.assert_array_equal(geometry.wavelength, image.wcs(x, y)[2])
    alpha = image.wcs.get_transform("detector", "alpha_beta")(x, y)[0]
    np.testing.assert_array_equal(geometry.alpha, np.where(np.isnan(geometry.wavelength), np.nan, alpha))


def test_the_product_holds_the_same_wcs(made_up, tmp_path):
    image, _ = made_up
    assert dump({"wcs": image.wcs.tree()}) == dump({"wcs": image.wcs.tree()})
    write_image(tmp_path / "cal.fits", image, "IFUImageModel")
    y, x = np.mgrid[0:1024:13, 0:1032:7].astype(float)
    for wcs in (read_wcs(tmp_path / "cal.fits"), read_image(tmp_path / "cal.fits", wcs=True).wcs):
        assert wcs.available_frames == ["detector", "alpha_beta", "v2v3", "v2v3vacorr", "world"]
        assert wcs.bounding_box == ((-0.5, 1031.5), (-0.5, 1023.5))
        np.testing.assert_array_equal(wcs(x, y), image.wcs(x, y))
        np.testing.assert_array_equal(wcs.invert(*wcs(x, y)), image.wcs.invert(*image.wcs(x, y)))
    again = read_image(tmp_path / "cal.fits", wcs=True)
    assert again.tree["meta"]["wcsinfo"]["spectral_region"] == image.tree["meta"]["wcsinfo"]["spectral_region"]
    assert (tmp_path / "cal.fits").stat().st_size < 5 * 4 * image.data.size + 500_000


def test_without_a_velocity_wavelengths_stay_those_of_the_observatory(made_up, caplog):
    corrected, paths = made_up
    image = image_of(velocity=None)
    assign_wcs(image, References(paths, FULL))
    assert "VELOSYS is missing" in caplog.text
    ratio = image.geometry.wavelength / corrected.geometry.wavelength
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], 1 + 12000 / LIGHT, rtol=1e-14)


def test_crossed_dichroics_have_references_of_their_own(tmp_path):
    image = image_of(band="SHORT-LONG")
    assign_wcs(image, References(made_up_references(tmp_path, dichroic="SHORT-LONG"), FULL))
    assert np.isfinite(image.geometry.wavelength).sum() > 150_000
    with pytest.raises(MissingReferenceError, match=r"has 1SHORT-LONG, 2SHORT-LONG, not 1SHORT \(CHANNEL and BAND"):
        assign_wcs(image_of(), References(made_up_references(tmp_path, dichroic="SHORT-LONG"), FULL))


def test_the_footprint_crosses_the_meridian():
    corners, wavelengths = region_of(
        np.array([359.9, 0.2, np.nan, 0.3]), np.array([1.0, 2.0, np.nan, -3.0]), np.array([5.0, 6.0, np.nan, 7.0])
    )
    np.testing.assert_allclose(corners, [[359.9, -3.0], [0.3, -3.0], [0.3, 2.0], [359.9, 2.0]])
    assert wavelengths == (5.0, 7.0)


@pytest.mark.parametrize("reftype", ["distortion", "regions", "specwcs", "wavelengthrange"])
def test_a_missing_reference_is_named(made_up, reftype):
    _, paths = made_up
    with pytest.raises(
        MissingReferenceError, match=f"of type {reftype} was selected for DETECTOR=MIRIFUSHORT, CHANNEL=12"
    ):
        assign_wcs(image_of(), References(paths | {reftype: None}, FULL))


def test_damaged_and_foreign_references_are_named(tmp_path):
    paths = made_up_references(tmp_path)
    refs = References(paths, FULL)
    write_regions(paths["regions"], np.zeros(SHAPE, np.int16))
    with pytest.raises(MissingReferenceError, match=r"regions\.asdf: plane 7 .* has no pixel in any slice"):
        assign_wcs(image_of(), refs)
    write_regions(paths["regions"], np.full(SHAPE, 301, np.int32))
    with pytest.raises(MissingReferenceError, match="the slices 301 to 301 are those of another detector"):
        assign_wcs(image_of(), refs)
    paths["specwcs"].write_bytes(dump({"meta": {}}))
    write_regions(paths["regions"], np.full(SHAPE, 101, np.int32))
    with pytest.raises(MissingReferenceError, match="specwcs reference holds no 'model'"):
        assign_wcs(image_of(), refs)


def test_a_slice_without_pixels_is_said(tmp_path, caplog):
    paths = made_up_references(tmp_path)
    labels = parse(paths["regions"].read_bytes(), "regions")["regions"][7]
    labels[labels == 102] = 0
    write_regions(paths["regions"], labels)
    image = image_of()
    assert assign_wcs(image, References(paths, FULL)).state == COMPLETE
    assert "slice 102 has no pixel" in caplog.text
    assert not np.isfinite(image.geometry.wavelength[:, 185:216]).any()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"DETECTOR": "MIRIMAGE"}, "DETECTOR is 'MIRIMAGE', expected one of MIRIFUSHORT, MIRIFULONG"),
        ({"DETECTOR": "MIRIFULONG"}, "CHANNEL is '12', expected '34' for DETECTOR MIRIFULONG"),
    ],
)
def test_exposures_of_another_detector_are_refused(made_up, keywords, message):
    _, paths = made_up
    with pytest.raises(BadDataError, match=message):
        assign_wcs(image_of(**keywords), References(paths, FULL))


@pytest.mark.parametrize(("channel", "band"), BANDS)
def test_flight_geometry_there_and_back(tmp_path, channel, band):
    """Detector to sky and back within 1e-3 pixel, for pixel centres and between them."""
    image = image_of(channel, band)
    assign_wcs(image, References(flight_references(tmp_path, channel, band), FULL))
    y, x = np.meshgrid(np.arange(0.0, 1023.3, 7.75), np.arange(0.0, 1031.0, 1.75), indexing="ij")
    world = image.wcs(x, y)
    light = np.isfinite(world[0])
    assert light.mean() > 0.55
    found = image.wcs.invert(*(values[light] for values in world))
    np.testing.assert_allclose(found[0], x[light], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found[1], y[light], rtol=0, atol=1e-3)
