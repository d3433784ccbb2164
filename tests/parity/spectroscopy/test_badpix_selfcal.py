import time

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.badpix_selfcal import BadpixSelfcalStep

from snakewebb.errors import ConfigError
from snakewebb.spectroscopy.badpix_selfcal import badpix_selfcal
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.steps import COMPLETE, NOT_APPLICABLE


@pytest.fixture
def exposures(make_mrs):
    """The same warm pixels in three exposures of different scenes."""

    def make(**keywords):
        made = []
        warm = np.random.default_rng(99).random(SHAPE) < 3e-4
        for seed in (1, 2, 3):
            rng = np.random.default_rng(seed)
            data = rng.normal(3.0, 0.1, SHAPE) + 5 * np.sin(np.arange(SHAPE[0]) / 40.0)[:, np.newaxis]
            image = make_mrs(data + 4.0 * warm, seed, **keywords)
            image.sci_header["DISPAXIS"] = 2
            made.append(image)
        image = made[0]
        image.members = {"background": [made[1]], "selfcal": [made[2]]}
        return image, warm

    return make


@pytest.mark.parametrize("parameters", [{}, {"kernel_size": 7, "flagfrac_lower": 0.0, "flagfrac_upper": 0.01}])
@pytest.mark.parametrize("keywords", [{}, {"DETECTOR": "MIRIFULONG", "CHANNEL": "34"}])
def test_flags_are_the_oracles(exposures, ifu_model, assert_same, parameters, keywords):
    image, warm = exposures(**keywords)
    models = [ifu_model(one) for one in (image, image.members["selfcal"][0], image.members["background"][0])]
    start = time.perf_counter()
    theirs, backgrounds = BadpixSelfcalStep(**parameters).process(models[0], [models[1]], [models[2]])
    middle = time.perf_counter()
    assert badpix_selfcal(image, None, compatibility="jwst", **parameters).state == COMPLETE
    print(
        f"\nbadpix_selfcal: oracle {middle - start:.2f} s, ours with compilation {time.perf_counter() - middle:.2f} s"
    )
    assert_same(image, theirs, ulps=0)
    assert_same(image.members["background"][0], backgrounds[0], ulps=0)
    found = (image.dq & (1 << 30)) > 0
    assert (found & warm).sum() > 0.6 * warm.sum()


def test_edges_are_compared_with_pixels_only(exposures):
    """With a level far from zero the padding of the oracle makes bad pixels of the edges."""
    number = {}
    for compatibility in ("native", "jwst"):
        image, _ = exposures()
        for one in (image, *image.members["background"], *image.members["selfcal"]):
            one.data += np.where(np.arange(SHAPE[1]) < 480, np.float32(500.0), np.float32(0.0))
        badpix_selfcal(image, None, compatibility=compatibility)
        found = (image.dq & (1 << 30)) > 0
        number[compatibility] = int(found[[0, -1]].sum())
    assert number["native"] < 10
    assert number["jwst"] > number["native"]


def test_without_other_exposures(exposures, ifu_model, assert_same):
    image, _ = exposures()
    image.members = {}
    assert badpix_selfcal(image, None).state == NOT_APPLICABLE
    theirs, _ = BadpixSelfcalStep(force_single=True).process(ifu_model(image))
    badpix_selfcal(image, None, force_single=True, compatibility="jwst")
    assert_same(image, theirs, ulps=0)


def test_messages(exposures):
    image, _ = exposures()
    with pytest.raises(ConfigError, match=r"steps.badpix_selfcal.kernel_size: found 14, expected an odd number"):
        badpix_selfcal(image, None, kernel_size=14)
