"""Pixels, V2/V3 and sky, against the SIAF and against real headers."""

import numpy as np
import pytest

from snakewebb.errors import ConfigError
from snakewebb.simulate.geometry import (
    ARCSEC,
    Attitude,
    DetectorGeometry,
    aberrate,
    longitude_latitude,
    observatory_velocity,
    unit_vector,
)

ALL = ["NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCALONG", "NRCB1", "NRCB2", "NRCB3", "NRCB4", "NRCBLONG"]
BETA = np.array([-5.6, 27.3, 11.9]) / 299792.458


@pytest.mark.parametrize("detector", ALL)
def test_pixels_go_where_the_siaf_says(detector):
    geometry = DetectorGeometry(detector, "SUB160")
    x, y = np.random.default_rng(1).uniform(0, 160, (2, 20))
    expected = geometry.full.sci_to_tel(x + geometry.start[0], y + geometry.start[1])
    np.testing.assert_allclose(geometry.pixel_to_telescope(x, y), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(geometry.telescope_to_pixel(*expected), (x, y), rtol=0, atol=1e-8)


def test_a_real_subarray_has_its_real_corner_and_readout_directions():
    # jw01184001001_03106_00001_nrcalong: SUB320A335R
    geometry = DetectorGeometry("NRCALONG", "MASK335R")
    assert geometry.start == (492, 1502)
    assert geometry.shape == (320, 320)
    assert (geometry.fast_axis, geometry.slow_axis) == (-1, 2)


@pytest.mark.parametrize("detector", ALL)
def test_every_subarray_lies_on_the_detector(detector):
    for subarray in ("FULL", "SUB640", "SUB320", "SUB160"):
        geometry = DetectorGeometry(detector, subarray)
        rows, columns = geometry.window
        assert (rows.stop - rows.start, columns.stop - columns.start) == geometry.shape
        assert min(rows.start, columns.start) >= 0
        assert max(rows.stop, columns.stop) <= 2048


def test_an_unknown_subarray_is_named_with_the_valid_ones():
    with pytest.raises(ConfigError, match=r"NRCALONG has no subarray 'SUB65'; the SIAF has .*SUB640"):
        DetectorGeometry("NRCALONG", "SUB65")


def test_filter_offset_moves_the_image_the_other_way():
    plain, offset = DetectorGeometry("NRCA1"), DetectorGeometry("NRCA1", filter_offset=(0.4, -0.3))
    v2, v3 = plain.pixel_to_telescope(1000.0, 500.0)
    np.testing.assert_allclose(offset.telescope_to_pixel(v2, v3), (999.6, 500.3), rtol=0, atol=1e-9)


def test_jacobian_and_solid_angle():
    geometry = DetectorGeometry("NRCB3")
    x, y, h = 1900.0, 30.0, 1e-3
    for index, (dx, dy) in enumerate(((h, 0), (0, h))):
        high, low = geometry.pixel_to_telescope(x + dx, y + dy), geometry.pixel_to_telescope(x - dx, y - dy)
        slope = (np.array(high) - np.array(low)) / (2 * h)
        np.testing.assert_allclose(np.array(geometry.jacobian(x, y))[[index, index + 2]], slope, atol=1e-9)
    # against the spherical area of the pixel's four corners, from which the solid angle must not differ
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    vectors = unit_vector(*(v / 3600 for v in geometry.pixel_to_telescope(x + corners[:, 0], y + corners[:, 1])))
    area = 0.5 * np.linalg.norm(np.cross(vectors[2] - vectors[0], vectors[3] - vectors[1]))
    assert geometry.solid_angle(x, y) == pytest.approx(area, rel=1e-7)
    assert geometry.solid_angle_map()[30, 1900] == pytest.approx(geometry.solid_angle(x, y), rel=1e-9)


def test_attitude_is_that_of_pysiaf_at_rest():
    from pysiaf.utils import rotations

    attitude = Attitude.at(80.0, -69.5, 33.0, 85.9, -493.5)
    np.testing.assert_allclose(attitude.matrix, rotations.attitude(85.9, -493.5, 80.0, -69.5, 33.0), rtol=0, atol=1e-9)


def test_attitude_puts_the_reference_point_where_it_should():
    attitude = Attitude.at(350.0, 89.0, 200.0, -100.0, -500.0, BETA)
    assert attitude.telescope_to_sky(-100.0, -500.0) == pytest.approx((350.0, 89.0), abs=1e-10)
    assert attitude.roll(-100.0, -500.0) == pytest.approx(200.0, abs=1e-7)
    v2, v3 = np.array([0.0, 120.0]), np.array([-400.0, 30.0])
    np.testing.assert_allclose(attitude.sky_to_telescope(*attitude.telescope_to_sky(v2, v3)), (v2, v3), atol=1e-8)


def test_aberration_is_undone_by_the_opposite_velocity_and_is_the_exact_angle():
    u = unit_vector(np.array([10.0, 200.0]), np.array([-30.0, 60.0]))
    seen = aberrate(u, BETA)
    np.testing.assert_allclose(aberrate(seen, -BETA), u, rtol=0, atol=1e-15)
    speed = np.linalg.norm(BETA)
    cosine, seen_cosine = u @ BETA / speed, seen @ BETA / speed
    np.testing.assert_allclose(seen_cosine, (cosine + speed) / (1 + speed * cosine), rtol=0, atol=1e-15)


def test_aberration_scales_the_field():
    geometry = DetectorGeometry("NRCALONG")
    v2, v3 = float(geometry.aperture.V2Ref), float(geometry.aperture.V3Ref)
    attitude = Attitude.at(80.0, -29.5, 33.0, v2, v3, BETA)
    scale = geometry.keywords(attitude)["VA_SCALE"]
    a = unit_vector(*attitude.telescope_to_sky(v2 - 30, v3))
    b = unit_vector(*attitude.telescope_to_sky(v2 + 30, v3))
    seen = unit_vector((v2 - 30) / 3600, v3 / 3600) @ unit_vector((v2 + 30) / 3600, v3 / 3600)
    assert np.arccos(a @ b) / np.arccos(seen) == pytest.approx(scale, abs=1e-8)
    assert abs(scale - 1) > 1e-6


def test_keywords_describe_a_tangent_plane_that_fits_the_centre():
    """The WCS of the keywords has the nominal scales, half a per cent from those at the centre."""
    from astropy.wcs import WCS

    geometry = DetectorGeometry("NRCALONG", "SUB160")
    attitude = Attitude.at(53.16, -27.8, 120.0, float(geometry.aperture.V2Ref), float(geometry.aperture.V3Ref))
    keywords = geometry.keywords(attitude)
    header = {key: keywords[key] for key in keywords if key.startswith(("CR", "CD", "PC", "CT", "CU"))}
    x, y = np.array([79.5, 89.5, 79.5]), np.array([79.5, 79.5, 89.5])
    sky = WCS(header).all_pix2world(x, y, 0)
    np.testing.assert_allclose(geometry.sky_to_pixel(attitude, *sky), (x, y), rtol=0, atol=0.06)
    corners = np.array(keywords["S_REGION"].split()[2:], float).reshape(4, 2)
    np.testing.assert_allclose(
        geometry.sky_to_pixel(attitude, *corners.T),
        [[-0.5, -0.5, 159.5, 159.5], [-0.5, 159.5, 159.5, -0.5]],
        atol=1e-3,
    )


def test_observatory_moves_as_it_really_did():
    """The header of jw01184001001_03106_00001_nrcalong, to the orbit around L2 and the wobble of the Sun."""
    velocity, position = observatory_velocity(59855.25592944907)
    np.testing.assert_allclose(velocity, (-5.5998, 27.3179, 11.8840), rtol=0, atol=0.6)
    np.testing.assert_allclose(position / 1e6, (147.383, 23.247, 10.494), rtol=0, atol=2.5)


def test_the_siaf_is_read_without_the_network():
    """Importing pysiaf would open a web page."""
    import subprocess
    import sys

    code = """
import socket
def refuse(*_, **__):
    raise SystemExit("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from snakewebb.simulate.geometry import siaf_of
print(siaf_of("NRCALONG")["NRCA5_FULL"].XSciSize)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2048", "")


def test_longitude_latitude_inverts_unit_vector():
    lon, lat = np.array([0.0, 359.9, 180.0]), np.array([-89.0, 0.0, 45.0])
    np.testing.assert_allclose(longitude_latitude(unit_vector(lon, lat)), (lon, lat), atol=1e-12)
    assert pytest.approx(np.pi) == ARCSEC * 3600 * 180
