import numpy as np
import pytest

from snakewebb.errors import BadDataError
from snakewebb.wcs.image_wcs import ImageWCS
from snakewebb.wcs.moving_target import mean_position, moved_gwcs, moved_tangent
from snakewebb.wcs.tangent import ARCSEC, TangentWCS

# a comet that goes over 0 hours, and one near the pole; degrees
CASES = [((359.99, 33.0), (0.02, 33.05)), ((80.0, -69.5), (80.4, -69.3)), ((10.0, 0.0), (10.0, 0.0))]


def vectors(position):
    ra, dec = np.radians(np.asarray(position, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]).reshape(3, -1)


def separation(first, second):
    """Angle between positions in degrees, in arcseconds."""
    return np.linalg.norm(vectors(first) - vectors(second), axis=0) / ARCSEC


@pytest.fixture(scope="module")
def wcs_at(geometry):
    """``wcs_at(position)`` gives the exact and the light WCS of an exposure that points there."""

    def make(position):
        header = geometry.pointing("NRCALONG", ra=position[0] % 360, dec=position[1], roll=211.0)
        exact = ImageWCS.of_gwcs(geometry.gwcs(geometry.distortion("NRCALONG"), header))
        return exact, TangentWCS.from_gwcs(exact, header)

    return make


@pytest.mark.parametrize(("start", "end"), CASES)
def test_the_sky_is_turned_and_not_distorted(wcs_at, start, end):
    exact, light = wcs_at((start[0] + 0.004, start[1] - 0.003))
    moved, moved_light = moved_gwcs(exact, start, end), moved_tangent(light, start, end)
    assert moved.available_frames == [*exact.available_frames, "moving_target"]
    x, y = np.random.default_rng(1).uniform(0, 2047, (2, 400))
    before, after = exact(x, y), moved(x, y)
    # the target itself
    place = light.sky_to_pixel(*start)
    assert separation(moved(*place, with_bounding_box=False), end) < 1e-7
    # distances from the target and between all are what they were
    np.testing.assert_allclose(separation(after, end), separation(before, start), atol=1e-7, rtol=0)
    np.testing.assert_allclose(
        separation(after, np.roll(after, 1, axis=1)), separation(before, np.roll(before, 1, axis=1)), atol=1e-7, rtol=0
    )
    # north stays north at the target
    north, north_after = (start[0], start[1] + 1e-3), (end[0], end[1] + 1e-3)
    place = light.sky_to_pixel(*north)
    assert separation(moved(*place, with_bounding_box=False), north_after) < 1e-6
    # both forms, there and back
    assert separation(after, moved_light.pixel_to_sky(x, y)).max() < 1e-7
    np.testing.assert_allclose(moved.invert(*after), exact.invert(*before), atol=1e-6)
    np.testing.assert_allclose(moved_light.sky_to_pixel(*after), (x, y), atol=2e-6)


def test_added_differences_are_what_compatibility_asks_for(wcs_at):
    start, end = (80.0, -69.5), (80.05, -69.484)
    exact, light = wcs_at((80.004, -69.503))
    x, y = np.random.default_rng(1).uniform(0, 2047, (2, 400))
    ra, dec = exact(x, y)
    moved = moved_gwcs(exact, start, end, compatibility="jwst")(x, y)
    np.testing.assert_allclose(moved, (ra + end[0] - start[0], dec + end[1] - start[1]), atol=1e-12, rtol=0)
    moved_light = moved_tangent(light, start, end, compatibility="jwst").pixel_to_sky(x, y)
    assert separation(moved, moved_light).max() < 1e-4
    # at this declination a minute of arc stretches the field by a quarter of a pixel
    native = moved_gwcs(exact, start, end)(x, y)
    assert 5e-3 < separation(moved, native).max() < 0.2


def test_a_frame_takes_the_place_of_an_earlier_one(wcs_at):
    exact, _ = wcs_at((80.0, -69.5))
    once = moved_gwcs(exact, (80.0, -69.5), (80.1, -69.4))
    twice = moved_gwcs(once, (80.0, -69.5), (80.2, -69.3))
    assert twice.available_frames == once.available_frames
    np.testing.assert_allclose(
        twice(5.0, 6.0), moved_gwcs(exact, (80.0, -69.5), (80.2, -69.3))(5.0, 6.0), rtol=0, atol=1e-12
    )


def test_the_mean_goes_over_zero_hours():
    ra, dec = mean_position([359.9, 0.1], [10.0, 10.0])
    assert 0 <= ra < 360
    assert ((ra + 180) % 360 - 180, dec) == pytest.approx((0.0, 10.0), abs=1e-4)
    assert mean_position([359.9, 0.1], [10.0, 10.0], compatibility="jwst") == pytest.approx((180.0, 10.0))
    ra, dec = mean_position([359.7, 359.9], [-1.0, 1.0])
    assert (ra, dec) == pytest.approx((359.8, 0.0), abs=1e-4)
    with pytest.raises(BadDataError, match="all over the sky"):
        mean_position([0.0, 180.0], [0.0, 0.0])
