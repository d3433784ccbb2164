"""Scattered light and stripes that the report shows, against what was put into exposures."""

import numpy as np
import pytest
from matplotlib.text import Text

from sky_scenes import NOISE, filaments, make_slopes, stars
from snakewebb.io.products import write_image
from snakewebb.report import residual_light

SHAPE = (512, 512)
WISP = 1.5 * NOISE
"""The brightest of the scattered light."""


def write_exposures(folder, *, number=4, wisp=WISP, stripes=0.25 * NOISE, turned=False, shape=SHAPE, **keywords):
    """Exposures of different stars on different skies, with the same scattered light."""
    paths = []
    for k in range(1, number + 1):
        rng = np.random.default_rng(k)
        x, y = rng.random((2, 150)) * shape[0]
        scene = 0.3 + 0.05 * k + stars(shape, x, y, np.minimum(0.3 / rng.random(150), 300)) + wisp * filaments(shape)
        image = make_slopes(scene.T if turned else scene, k, stripes=stripes, **keywords)
        if turned:
            image.data, image.dq = (np.ascontiguousarray(plane.T) for plane in (image.data, image.dq))
        paths.append(folder / f"jw01234001001_02101_{k:05d}_nrcb4_cal.fits")
        write_image(paths[-1], image, "ImageModel")
    return paths


def texts(figure):
    return [entry.get_text() for entry in figure.findobj(Text) if entry.get_text()]


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize(("stripes", "shape"), [(0.0, SHAPE), (0.1, SHAPE), (0.4, SHAPE), (0.1, (1024, 1024))], ids=str)
def test_stripes_are_those_that_were_put_in(tmp_path, turned, stripes, shape):
    (path,) = write_exposures(tmp_path, number=1, wisp=0.0, stripes=stripes * NOISE, turned=turned, shape=shape)
    found = residual_light.background_of(path)
    assert (found.name, found.detector, found.unit) == ("jw01234001001_02101_00001_nrcb4", "NRCB4", "DN/s")
    assert found.noise == pytest.approx(NOISE * np.hypot(1, stripes), rel=0.03)
    along, across = (found.columns, found.rows) if turned else (found.rows, found.columns)
    # in units of the noise of a pixel, of which stripes are a part
    assert along == pytest.approx(stripes / np.hypot(1, stripes), abs=0.03)
    assert across < 0.04


def test_scattered_light_is_common_to_the_exposures_of_a_detector(tmp_path):
    """Stars and levels are not: they differ."""
    found = [residual_light.background_of(path) for path in write_exposures(tmp_path, number=5)]
    common = residual_light.common_light(found)
    expected = WISP * residual_light.cell_medians(filaments(SHAPE).astype(np.float32), residual_light.BOX)
    expected -= np.median(expected)
    assert np.ptp(expected) > 0.4 * NOISE
    assert np.std(common - expected) < 0.05 * NOISE
    assert np.sum(common * expected) / np.sum(expected**2) == pytest.approx(1, abs=0.1)
    nothing = [residual_light.background_of(path) for path in write_exposures(tmp_path, number=5, wisp=0.0)]
    assert np.std(residual_light.common_light(nothing)) < 0.05 * NOISE


def test_the_picture_says_how_much_is_left(tmp_path):
    paths = write_exposures(tmp_path, number=4)
    for path in write_exposures(tmp_path, number=1, wisp=0.0, DETECTOR="NRCB3", WISPSCL1=0.953, WISPERR1=0.021):
        paths.append(path.rename(tmp_path / path.name.replace("nrcb4", "nrcb3")))
    # the first exposure of the other detector was made anew
    write_exposures(tmp_path, number=1)
    words = texts(residual_light.residual_light_figure(paths))
    assert {"NRCB4, 4 exposures", "NRCB3, 1 exposure", "00004 nrcb4", "templates: 0.95 ± 0.02"} <= set(words)
    # of the wisp, whose cells reach to the noise
    shares = [float(word.split()[4]) for word in words if word.startswith("2 to 98 %")]
    assert 0.5 < shares[0] < 1.0
    assert shares[1] < 0.25  # the noise of a cell is 0.04
    residual_light.write_residual_light_figure(paths, tmp_path / "a.png")
    residual_light.write_residual_light_figure(paths, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_exposures_without_a_usable_pixel(tmp_path):
    image = make_slopes(np.ones((64, 70)), 1, bad=1.1)
    write_image(tmp_path / "jw01234001001_02101_00001_nrcb4_cal.fits", image, "ImageModel")
    (path,) = tmp_path.glob("*.fits")
    assert texts(residual_light.residual_light_figure([path])) == ["no exposure has a usable pixel"]
