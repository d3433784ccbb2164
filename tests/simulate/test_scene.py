"""Skies and scenes: positions, fluxes, and what of them arrives on a detector."""

import numpy as np
import pytest

from snakewebb.errors import ConfigError
from snakewebb.simulate.detector_truth import make_detector
from snakewebb.simulate.geometry import Attitude, DetectorGeometry
from snakewebb.simulate.scene import make_scene
from snakewebb.simulate.sky import make_sky, pivot_wavelength


def sky(**changes):
    values = {"stars": 40, "galaxies": 10, "flux_range": (1e-7, 1e-4), "seed": 3, "min_separation": 0.3}
    return make_sky(53.16, -27.8, 12.0, ["F200W", "F444W"], **values | changes)


@pytest.fixture(scope="module")
def setting():
    """A detector with the effects of the optics alone, and where it points."""
    whole = make_detector("NRCALONG", "F444W", seed=1, effects={"filter_offset"})
    geometry = DetectorGeometry("NRCALONG", "SUB320", whole.filter_offset)
    v2, v3 = float(geometry.aperture.V2Ref), float(geometry.aperture.V3Ref)
    return (
        geometry,
        Attitude.at(53.16, -27.8, 70.0, v2, v3),
        whole.cut(*geometry.start, *geometry.shape[::-1]),
    )


def test_the_same_seed_gives_the_same_sky():
    a, b = sky(), sky()
    for name in a.colnames:
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]))
    assert not np.array_equal(a["ra"], sky(seed=4)["ra"])


def test_sources_are_inside_the_field_and_apart():
    catalogue = sky()
    east = (np.asarray(catalogue["ra"]) - 53.16) * np.cos(np.radians(-27.8)) * 3600
    north = (np.asarray(catalogue["dec"]) + 27.8) * 3600
    assert np.hypot(east, north).max() < 12.001
    assert np.asarray(catalogue["nearest"]).min() > 0.3
    distance = np.hypot(east[:, None] - east, north[:, None] - north) + np.eye(50) * 99
    np.testing.assert_allclose(catalogue["nearest"], distance.min(axis=1), atol=1e-3)


def test_fluxes_follow_a_power_law_between_the_limits():
    catalogue = make_sky(10, 20, 100, ["F200W"], stars=20000, galaxies=0, flux_range=(1e-7, 1e-4), seed=1)
    flux = np.asarray(catalogue["flux_F200W"])
    assert 0.9e-7 < flux.min() < flux.max() < 1.1e-4
    cut = 1e-6
    expected = (cut**-0.45 - 1e-4**-0.45) / (1e-7**-0.45 - 1e-4**-0.45)
    assert np.mean(flux > cut) == pytest.approx(expected, abs=0.02)


def test_too_many_sources_are_refused():
    with pytest.raises(ConfigError, match="do not fit into a radius of 12"):
        sky(stars=50, min_separation=5.0)


def test_unknown_filter_is_named():
    with pytest.raises(KeyError, match="'F123W' is not an imaging filter"):
        pivot_wavelength("F123W")


def test_a_star_has_its_flux_when_pixels_are_weighted_with_their_area(setting):
    geometry, attitude, truth = setting
    catalogue = sky(stars=1, galaxies=0)
    catalogue["ra"], catalogue["dec"] = geometry.pixel_to_sky(attitude, np.array([160.3]), np.array([158.9]))
    scene = make_scene(catalogue, geometry, attitude, truth)
    flux = np.sum(scene.brightness * geometry.solid_angle_map()) * 1e6
    assert flux == pytest.approx(catalogue["flux_F444W"][0], rel=1e-5)
    np.testing.assert_allclose([scene.sources["x"][0], scene.sources["y"][0]], (160.3, 158.9), atol=1e-8)
    assert scene.rate.sum(dtype=float) == pytest.approx(scene.sources["electrons"][0], rel=1e-4)


def test_a_galaxy_has_its_flux_and_its_orientation(setting):
    geometry, attitude, truth = setting
    catalogue = sky(stars=0, galaxies=1)
    catalogue["ra"], catalogue["dec"] = geometry.pixel_to_sky(attitude, np.array([160.0]), np.array([160.0]))
    catalogue["axis_ratio"], catalogue["position_angle"] = 0.4, 30.0
    catalogue["sersic_index"], catalogue["half_light_radius"] = 1.0, 0.4
    scene = make_scene(catalogue, geometry, attitude, truth)
    flux = scene.brightness * geometry.solid_angle_map() * 1e6
    assert flux.sum() == pytest.approx(catalogue["flux_F444W"][0], rel=1e-4)
    # the major axis, seen from the sky
    rows, columns = np.indices(flux.shape)
    ra, dec = geometry.pixel_to_sky(attitude, columns, rows)
    east = (ra - catalogue["ra"][0]) * np.cos(np.radians(dec))
    north = dec - catalogue["dec"][0]
    xx, xy, yy = (np.sum(flux * value) for value in (east * east, east * north, north * north))
    assert np.degrees(0.5 * np.arctan2(2 * xy, yy - xx)) == pytest.approx(30.0, abs=0.5)


def test_a_uniform_sky_is_uniform_after_the_flat(setting):
    geometry, attitude, _ = setting
    truth = make_detector("NRCALONG", "F444W", seed=1).cut(*geometry.start, *geometry.shape[::-1])
    scene = make_scene(sky(stars=0, galaxies=0), geometry, attitude, truth, background=2.0)
    light = truth.flat > 0
    brightness = (scene.rate / truth.gain * truth.photmjsr)[light] / truth.flat[light]
    np.testing.assert_allclose(brightness, 2.0, rtol=1e-5)
    assert np.all(scene.rate[~light] == 0)


def test_shapes_must_agree(setting):
    geometry, attitude, truth = setting
    with pytest.raises(ValueError, match=r"the subarray SUB320 has \(320, 320\)"):
        make_scene(sky(), geometry, attitude, truth.cut(1 + geometry.start[0], 1 + geometry.start[1], 9, 9))
