"""Sky levels against constructed ones, and the pixels of overlaps against their exact positions."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging import skymatch as module
from snakewebb.imaging.pointing import Pointing
from snakewebb.imaging.skymatch import skymatch
from snakewebb.io.models import Image
from snakewebb.wcs.tangent import ARCSEC, TangentWCS

SIZE = 250
SCALE = 0.063
LEVELS = [0.40, 0.70, 0.55, 0.48]
OFFSETS = [(0.0, 0.0), (3.0, 1.0), (-2.0, 4.0), (1.0, -5.0)]


def tangent_wcs(east, north, roll=10.0, size=SIZE):
    half = 0.5 * size * SCALE * ARCSEC
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    x, y = np.zeros((2, 3, 3))
    # edges that bend by three pixels
    x[1, 0], x[0, 1], x[2, 0] = -half * c, half * s, 0.02 * half
    y[1, 0], y[0, 1], y[2, 0] = half * s, half * c, 0.02 * half
    box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    return TangentWCS((size, size), box, x, y, 10.0 + east / 3600, -0.1 + north / 3600, roll, 0.0, 0.0)


def make_exposures(levels=LEVELS, offsets=OFFSETS, groups=None, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    pointings, images = [], []
    for number, (level, offset) in enumerate(zip(levels, offsets, strict=True)):
        data = level + rng.normal(0, noise, (SIZE, SIZE))
        bright = rng.random(data.shape) < 0.02
        data[bright] += rng.exponential(3.0, bright.sum())
        dq = np.zeros(data.shape, np.uint32)
        dq[:, 100:104], data[:, 100:104] = 1, 50.0
        data[7] = np.nan
        group = f"g{number}" if groups is None else groups[number]
        pointings.append(Pointing(f"jw01234001001_02101_{number:05d}_nrcalong", group, tangent_wcs(*offset)))
        images.append(Image(fits.Header(), fits.Header(), data.astype(np.float32), None, dq))
    return pointings, images


@pytest.mark.parametrize("statistic", ["mode", "median", "midpt", "mean"])
def test_injected_levels_are_recovered(statistic):
    pointings, images = make_exposures()
    table = skymatch(pointings, images, skystat=statistic)
    assert table.colnames == ["exposure", "level", "method", "status", "reason"]
    # the mode of 60000 pixels in bins of a tenth of the noise is good to a fifth of the noise
    tolerance = 0.01 if statistic == "mode" else 0.001
    np.testing.assert_allclose(table["level"], np.subtract(LEVELS, 0.40), atol=tolerance)
    assert set(table["status"]) == {"COMPLETE"}
    upward = skymatch(pointings, images, skystat=statistic, match_down=False)
    np.testing.assert_allclose(upward["level"], np.subtract(LEVELS, 0.70), atol=tolerance)


def test_methods():
    pointings, images = make_exposures(groups=["a", "a", "b", "c"], levels=[0.4, 0.7, 0.55, 0.48])
    local = skymatch(pointings, images, skymethod="local", skystat="median")
    np.testing.assert_allclose(local["level"], [0.4, 0.4, 0.55, 0.48], atol=0.002)
    everywhere = skymatch(pointings, images, skymethod="global", skystat="median")
    np.testing.assert_allclose(everywhere["level"], 0.4, atol=0.002)
    pointings, images = make_exposures()
    both = skymatch(pointings, images, skymethod="global+match", skystat="median")
    np.testing.assert_allclose(both["level"], LEVELS, atol=0.002)


def test_result_does_not_depend_on_threads_and_data_are_not_touched():
    from snakewebb.compiled import available_threads, set_threads

    pointings, images = make_exposures()
    before = [image.data.copy() for image in images]
    results = []
    for threads in (1, 2):
        set_threads(threads)
        # images are read one at a time
        loaders = [lambda image=image: image for image in images]
        results.append(skymatch(pointings, loaders, subtract=True, surface="plane"))
    set_threads(available_threads())
    np.testing.assert_array_equal(results[0]["level"], results[1]["level"])
    assert results[0].meta["subtract"] is True
    for image, data in zip(images, before, strict=True):
        np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize(("stepsize", "allowed"), [(None, 6.5), (10, 2.5)])
def test_overlap_holds_the_pixels_inside_both_outlines(stepsize, allowed):
    """Up to the rounding of the vertices, and without vertices on the edges, up to their curvature."""
    first, second = tangent_wcs(0.0, 0.0), tangent_wcs(4.0, -3.0, roll=25.0)
    outlines = [module._outline(wcs, stepsize) for wcs in (first, second)]
    polygon = module._overlap(first, *outlines, stepsize is not None)
    inside = np.zeros((SIZE, SIZE), np.bool_)
    module._fill_polygon(inside, *module._grid_vertices(*polygon))
    y, x = np.indices(inside.shape)
    u, v = second.sky_to_pixel(*first.pixel_to_sky(x, y))
    # distance to the nearest edge of the second image, positive inside
    depth = np.minimum(np.minimum(u + 0.5, SIZE - 0.5 - u), np.minimum(v + 0.5, SIZE - 0.5 - v))
    depth = np.where(np.isnan(depth), -SIZE, depth)
    if stepsize is None:
        # the quadrangle of the corners also leaves out a strip at the first image's own edges
        edge = np.minimum(np.minimum(x, SIZE - 1 - x), np.minimum(y, SIZE - 1 - y))
        depth = np.where(depth > 0, np.minimum(depth, edge), depth)
    assert inside[depth > allowed].all()
    assert not inside[depth < -allowed].any()
    assert 0.3 < inside.mean() < 0.9


def test_exposures_that_do_not_overlap():
    pointings, images = make_exposures(offsets=[(0.0, 0.0), (3.0, 1.0), (300.0, 0.0), (3600.0 * 120, 0.0)])
    table = skymatch(pointings, images, skystat="median")
    np.testing.assert_allclose(table["level"], [0.0, 0.3, 0.0, 0.0], atol=0.002)
    assert list(table["status"]) == ["COMPLETE", "COMPLETE", "SKIPPED", "SKIPPED"]
    assert table["reason"][3] == "no overlap with another exposure"


def test_images_of_no_use():
    pointings, images = make_exposures()
    images[1].dq[:] = 1
    images[2].data[:] = np.nan
    table = skymatch(pointings, images, skystat="median")
    np.testing.assert_allclose(table["level"][[0, 3]], [0.0, 0.08], atol=0.002)
    assert list(table["status"]) == ["COMPLETE", "SKIPPED", "SKIPPED", "COMPLETE"]
    local = skymatch(pointings, images, skymethod="local")
    assert list(local["reason"]) == ["", "no usable pixel", "no usable pixel", ""]
    single = skymatch(pointings[:1], images[:1])
    assert single["reason"][0] == "a single exposure: nothing to match"
    constant = make_exposures(noise=0.0)
    for image in constant[1]:
        image.data[:] = 3.0
    for statistic in ("mode", "midpt", "median", "mean"):
        table = skymatch(*constant, skymethod="local", skystat=statistic)
        np.testing.assert_allclose(table["level"], 3.0, rtol=1e-6)


def test_given_levels(tmp_path):
    pointings, images = make_exposures()
    path = tmp_path / "sky.txt"
    lines = [f"{p.exposure}{'_cal.fits' if k % 2 else ''} {0.1 * k}" for k, p in enumerate(pointings)]
    path.write_text("# name level\n" + "\n".join(lines))
    table = skymatch(pointings, images, skymethod="user", skylist=str(path))
    np.testing.assert_allclose(table["level"], [0.0, 0.1, 0.2, 0.3])
    assert set(table["method"]) == {"user"}

    path.write_text("\n".join(lines[:3]))
    with pytest.raises(ConfigError, match="no level for jw01234001001_02101_00003_nrcalong"):
        skymatch(pointings, images, skymethod="user", skylist=str(path))
    path.write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(ConfigError, match="line 5: jw01234001001_02101_00000_nrcalong is listed twice"):
        skymatch(pointings, images, skymethod="user", skylist=str(path))
    path.write_text("some words here\n")
    with pytest.raises(ConfigError, match="line 1: found 'some words here', expected a name and a level"):
        skymatch(pointings, images, skymethod="user", skylist=str(path))
    with pytest.raises(ConfigError, match="skylist: found null, expected a file with names and levels"):
        skymatch(pointings, images, skymethod="user")


def exposures_of_a_field(
    slopes, *, levels=LEVELS, offsets=OFFSETS, rolls=(10.0,) * 4, gradient=(0.0, 0.0), seed=3, number_of_stars=8000
):
    """Exposures of one field, crowded by default, each with a plane of its own, on a sky with a gradient per arcsec east and north."""
    rng = np.random.default_rng(seed)
    stars = rng.uniform(-16, 16, (number_of_stars, 2))
    fluxes = rng.pareto(1.5, len(stars))
    axis = np.arange(SIZE) - 0.5 * (SIZE - 1)
    pointings, images = [], []
    for number, (slope, level, offset, roll) in enumerate(zip(slopes, levels, offsets, rolls, strict=True)):
        wcs = tangent_wcs(*offset, roll=roll)
        x, y = wcs.sky_to_pixel(10.0 + stars[:, 0] / 3600, -0.1 + stars[:, 1] / 3600)
        data = level + rng.normal(0, 0.05, (SIZE, SIZE)) + slope[0] * axis + slope[1] * axis[:, np.newaxis]
        ra, dec = wcs.pixel_to_sky(*np.meshgrid(np.arange(SIZE), np.arange(SIZE)))
        data += gradient[0] * (ra - 10.0) * 3600 + gradient[1] * (dec + 0.1) * 3600
        for i, j, flux in zip(x, y, fluxes, strict=True):
            if not (np.isfinite(i) and np.isfinite(j)):
                continue
            i, j = round(i), round(j)
            data[max(0, j - 2) : max(0, j + 3), max(0, i - 2) : max(0, i + 3)] += flux
        data[7] = np.nan
        pointings.append(Pointing(f"jw01234001001_02101_{number:05d}_nrcalong", f"g{number}", wcs))
        dq = np.zeros(data.shape, np.uint32)
        images.append(Image(fits.Header(), fits.Header(), data.astype(np.float32), None, dq))
    return pointings, images


SLOPES = np.array([(1.0, -0.5), (-0.6, 0.9), (0.3, 0.4), (-0.7, -0.8)]) * 1e-3
"""Per pixel; their mean is 0, as a slope that all have cannot be seen in differences."""


@pytest.mark.parametrize("seed", [3, 4])
def test_slopes_of_crowded_exposures_are_recovered(seed):
    pointings, images = exposures_of_a_field(SLOPES, seed=seed)
    assert np.nanmedian(images[0].data) > 0.52, "sources raise the median by more than what the slopes change"
    table = skymatch(pointings, images, surface="plane", skystat="median")
    assert table.colnames[-2:] == ["slope_x", "slope_y"]
    found = np.stack((table["slope_x"], table["slope_y"]), axis=1)
    # 0.125 from the centre to the edge, found to a third of the noise of a pixel
    np.testing.assert_allclose(125 * found, 125 * SLOPES, atol=0.016)
    np.testing.assert_allclose(table["level"], np.subtract(LEVELS, 0.40), atol=0.016)
    constant = skymatch(pointings, images, skystat="median")
    assert constant.colnames == ["exposure", "level", "method", "status", "reason"]


def test_slopes_of_rolled_exposures_are_recovered():
    rolls = (10.0, 100.0, 190.0, 280.0)
    slopes = [(1e-3, 0.0)] * 4  # of the detector: straylight, say; it turns on the sky
    # few stars: those of this scene do not turn with the detector
    offsets = [(0, 0), (0.5, 0.2), (-0.3, 0.6), (0.1, -0.7)]
    pointings, images = exposures_of_a_field(slopes, rolls=rolls, offsets=offsets, number_of_stars=300)
    table = skymatch(pointings, images, surface="plane", skystat="median")
    found = np.stack((table["slope_x"], table["slope_y"]), axis=1)
    np.testing.assert_allclose(125 * found, 125 * np.array(slopes), atol=0.016)


def test_a_gradient_of_the_sky_itself_is_kept():
    pointings, images = exposures_of_a_field(np.zeros((4, 2)), levels=[0.4] * 4, gradient=(0.01, -0.02))
    table = skymatch(pointings, images, surface="plane", skystat="median")
    for column in ("slope_x", "slope_y"):
        # of 0.08 and 0.16 from the centre to the edge
        np.testing.assert_allclose(125 * table[column], 0, atol=0.016)


def test_slopes_of_single_exposures():
    rng = np.random.default_rng(1)
    pointings, images = make_exposures(levels=[0.4, 0.7], offsets=[(0, 0), (900, 0)])
    for image, slope in zip(images, SLOPES[:2], strict=True):
        axis = np.arange(SIZE) - 0.5 * (SIZE - 1)
        image.data[:] += (slope[0] * axis + slope[1] * axis[:, np.newaxis]).astype(np.float32)
        image.data[rng.random(image.data.shape) < 0.001] = 1e4
    table = skymatch(pointings, images, skymethod="local", surface="plane", skystat="median")
    np.testing.assert_allclose(np.stack((table["slope_x"], table["slope_y"]), axis=1), SLOPES[:2], atol=1e-3 / 125)
    np.testing.assert_allclose(table["level"], [0.4, 0.7], atol=0.004)
    apart = skymatch(pointings, images, surface="plane")
    assert list(apart["slope_x"]) == [0, 0]
    assert set(apart["reason"]) == {"no overlap with another exposure"}


def test_planes_need_measured_skies():
    pointings, images = make_exposures()
    with pytest.raises(ConfigError, match=r"steps\.skymatch\.surface: found plane, expected constant"):
        skymatch(pointings, images, skymethod="user", skylist="levels.txt", surface="plane")


def test_subtracted_data_and_unknown_flags_are_refused():
    pointings, images = make_exposures()
    with pytest.raises(ConfigError, match="unknown data-quality flag 'DO_NOT_USED'"):
        skymatch(pointings, images, dqbits="~DO_NOT_USED")
    images[0].header["BKGSUB"] = True
    with pytest.raises(BadDataError, match="00000_nrcalong, primary header: BKGSUB is T"):
        skymatch(pointings, images)


def test_every_parameter_is_described():
    for name, parameter in skymatch.contract.parameters.items():
        assert parameter.description, name
