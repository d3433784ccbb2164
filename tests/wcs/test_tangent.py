import json

import numpy as np
import pytest

from snakewebb.errors import BadDataError
from snakewebb.wcs.tangent import ARCSEC, TangentWCS, wcs_of

DETECTORS = ("NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCB1", "NRCB2", "NRCB3", "NRCB4", "NRCALONG", "NRCBLONG")


@pytest.fixture(scope="module")
def pair(geometry):
    """The exact gwcs and the light WCS of a detector."""
    header = geometry.pointing("NRCA1")
    exact = geometry.gwcs(geometry.distortion("NRCA1"), header)
    return exact, TangentWCS.from_gwcs(exact, header)


def separation(first, second):
    """Angle between positions in degrees, in arcseconds."""
    (ra1, dec1), (ra2, dec2) = (np.radians(position) for position in (first, second))
    difference = (ra1 - ra2 + np.pi) % (2 * np.pi) - np.pi
    return np.hypot(difference * np.cos(dec1), dec1 - dec2) / ARCSEC


def pixels(seed, count=2000):
    return np.random.default_rng(seed).uniform(-0.5, 2047.5, (2, count))


@pytest.mark.parametrize("detector", DETECTORS)
def test_it_follows_the_exact_gwcs_of_every_detector(geometry, detector):
    header = geometry.pointing(detector, ra=0.001, dec=33.3, roll=301.0)
    exact = geometry.gwcs(geometry.distortion(detector), header)
    light = TangentWCS.from_gwcs(exact, header)
    x, y = pixels(5)
    scale = 0.0312 if "LONG" not in detector else 0.0629
    distance = separation(exact(x, y, with_bounding_box=False), light.pixel_to_sky(x, y)) / scale
    assert distance.max() < 1e-7
    assert light.fit_error < 1e-7
    back = light.sky_to_pixel(*light.pixel_to_sky(x, y))
    np.testing.assert_allclose(back, [x, y], atol=1e-7, rtol=0)


def test_the_tangent_plane_is_the_correctors(pair, geometry):
    tweakwcs = pytest.importorskip("tweakwcs")
    exact, light = pair
    header = geometry.pointing("NRCA1")
    corrector = tweakwcs.JWSTWCSCorrector(
        exact, {name.lower(): header[name] for name in ("V2_REF", "V3_REF", "ROLL_REF")}
    )
    x, y = pixels(6, 300)
    np.testing.assert_allclose(
        np.stack(light.pixel_to_tangent(x, y)) / ARCSEC, corrector.det_to_tanp(x, y), atol=1e-9, rtol=0
    )


def test_corrections_compose(pair):
    light = pair[1]
    first = (np.array([[1.0, 1e-4], [-2e-4, 1.0001]]), np.array([1e-6, -2e-6]))
    second = (np.array([[0.9999, -3e-4], [1e-4, 1.0]]), np.array([-5e-7, 3e-7]))
    both = light.corrected(*first).corrected(*second)
    x, y = pixels(7, 50)
    plain = np.stack(light.pixel_to_tangent(x, y))
    expected = second[0] @ (first[0] @ plain + first[1][:, None]) + second[1][:, None]
    np.testing.assert_allclose(both.pixel_to_tangent(x, y), expected, atol=1e-18, rtol=1e-14)
    np.testing.assert_allclose(both.sky_to_pixel(*both.pixel_to_sky(x, y)), [x, y], atol=1e-7, rtol=0)


def test_vectors_and_positions_agree(pair):
    light = pair[1]
    x, y = np.meshgrid(np.arange(0.0, 2048, 300), np.arange(0.0, 2048, 500))
    ra, dec = (np.radians(angle) for angle in light.pixel_to_sky(x, y))
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    found = light.pixel_to_vector(x, y)
    assert found.shape == (5, 7, 3)
    np.testing.assert_allclose(found, vectors, atol=1e-15, rtol=0)


def test_the_reference_point_is_where_the_header_says(pair, geometry):
    header = geometry.pointing("NRCA1")
    ra, dec = pair[1].pixel_to_sky(1023.5, 1023.5)
    assert separation((ra, dec), (header["RA_REF"], header["DEC_REF"])) < 1e-9


def test_positions_far_away_have_no_pixel(pair):
    light = pair[1]
    ra, dec = light.ra_ref, light.dec_ref
    x, y = light.sky_to_pixel([ra, ra + 180.0, ra, ra], [dec, -dec, dec + 0.1, dec + 60.0])
    np.testing.assert_array_equal(np.isnan(x), [False, True, True, True])
    np.testing.assert_array_equal(np.isnan(x), np.isnan(y))


def test_pixels_a_little_outside_are_found_again(pair):
    light = pair[1]
    x, y = np.array([-400.0, 2400.0, 1000.0]), np.array([-300.0, 1000.0, 2500.0])
    np.testing.assert_allclose(light.sky_to_pixel(*light.pixel_to_sky(x, y)), [x, y], atol=1e-7, rtol=0)


def test_a_record_survives_json(pair):
    light = pair[1].corrected([[1.0, 1e-3], [-1e-3, 1.0]], [1e-6, 2e-6])
    again = TangentWCS.from_record(json.loads(json.dumps(light.as_record())))
    x, y = pixels(8, 100)
    np.testing.assert_array_equal(again.pixel_to_sky(x, y), light.pixel_to_sky(x, y))
    assert again.as_record() == light.as_record()


def test_the_record_of_a_checked_product_is_taken(pair, tmp_path):
    """Without reading the product again; of one that was not checked the headers are read first."""
    light = pair[1]
    product = tmp_path / "x_cal.fits"
    product.with_suffix(".json").write_text(json.dumps({"wcs": light.as_record(), "files": {product.name: {}}}))
    assert wcs_of(product, checked=True).as_record() == light.as_record()
    with pytest.raises(BadDataError, match=r"x_cal\.fits: cannot be read"):
        wcs_of(product)


def test_footprint_is_the_corners_in_the_order_of_s_region(pair):
    exact, light = pair
    corners = np.array([[-0.5, -0.5], [-0.5, 2047.5], [2047.5, 2047.5], [2047.5, -0.5]])
    np.testing.assert_allclose(light.footprint(), np.stack(exact(*corners.T), axis=-1), atol=1e-12, rtol=0)


def test_results_do_not_depend_on_threads(pair):
    from snakewebb.compiled import set_threads

    light = pair[1]
    x, y = pixels(9, 100_000)
    set_threads(1)
    ra, dec = light.pixel_to_sky(x, y)
    back = light.sky_to_pixel(ra, dec)
    set_threads(64)
    np.testing.assert_array_equal(light.pixel_to_sky(x, y), (ra, dec))
    np.testing.assert_array_equal(light.sky_to_pixel(ra, dec), back)


def test_a_transform_that_is_not_smooth_is_refused(geometry):
    def kinked(x, y):
        return np.abs(x - 1000.0) * 0.03 + x, y * 1.0

    with pytest.raises(BadDataError, match="the WCS is not smooth"):
        TangentWCS.fitted(kinked, (2048, 2048), ((-0.5, 2047.5), (-0.5, 2047.5)), geometry.pointing("NRCA1"))


def test_missing_keywords_are_named_together(geometry):
    header = geometry.pointing("NRCA1")
    del header["V2_REF"], header["ROLL_REF"]
    with pytest.raises(BadDataError, match="ROLL_REF, V2_REF"):
        TangentWCS.fitted(lambda x, y: (x, y), (10, 10), ((-0.5, 9.5), (-0.5, 9.5)), header)


def test_few_points_and_many_are_computed_alike(geometry):
    """A few are computed without compiled code."""
    header = geometry.pointing("NRCB3")
    distortion = geometry.distortion("NRCB3")
    box = ((-0.5, 2047.5), (-0.5, 2047.5))
    light = TangentWCS.fitted(distortion, (2048, 2048), box, header).corrected([[1.0, 1e-4], [-1e-4, 1.0]], [1e-6, 0])
    x, y = np.random.default_rng(0).uniform(0, 2047, (2, 5000))
    for method in ("pixel_to_tangent", "pixel_to_sky", "pixel_to_vector"):
        many, few = getattr(light, method)(x, y), getattr(light, method)(x[:50], y[:50])
        if method == "pixel_to_vector":
            many, few = many.T, few.T
        for all_values, values in zip(many, few, strict=True):
            np.testing.assert_allclose(values, all_values[:50], rtol=0, atol=1e-13 * np.abs(all_values).max() + 1e-18)
