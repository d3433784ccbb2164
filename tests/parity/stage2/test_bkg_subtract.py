"""Dedicated backgrounds of images: the step beside the oracle's."""

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.background import BackgroundStep

from snakewebb.spectroscopy.bkg_subtract import bkg_subtract
from snakewebb.steps import COMPLETE

MIRI = {
    "INSTRUME": "MIRI",
    "DETECTOR": "MIRIMAGE",
    "FILTER": "F1500W",
    "EXP_TYPE": "MIR_IMAGE",
    "READPATT": "FASTR1",
    "SUBARRAY": "BRIGHTSKY",
}
NIRCAM = {}
SHAPE = (70, 90)  # more rows than one block has


@pytest.fixture
def exposures(make_rate):
    """An exposure and a number of backgrounds with cosmic rays: ``exposures(number, **keywords)``."""

    def make(number, **keywords):
        found = []
        for seed in range(number + 1):
            image = make_rate(SHAPE, seed=10 + seed, **keywords)
            for key in ("PUPIL", "CHANNEL", "MODULE") if keywords else ():
                del image.header[key]
            image.data += np.float32(40.0 if seed == 0 else 30.0)
            hit = np.random.default_rng(50 + seed).random(SHAPE) < 0.03
            image.data[hit] += 500.0
            found.append(image)
        return found[0], found[1:]

    return make


@pytest.mark.parametrize("keywords", [MIRI, NIRCAM], ids=["MIRI", "NIRCam"])
@pytest.mark.parametrize("number", [1, 2, 4, 12])
@pytest.mark.parametrize("limits", [{}, {"sigma": 1.3}, {"sigma": 1.1, "maxiters": 2}])
def test_the_step_is_the_oracles(exposures, oracle_model, assert_agree, keywords, number, limits):
    image, backgrounds = exposures(number, **keywords)
    step = BackgroundStep()
    for name, value in limits.items():
        setattr(step, name, value)
    theirs = step.process(oracle_model(image), [oracle_model(one) for one in backgrounds])
    before = image.data.copy()
    image.members["background"] = backgrounds
    status = bkg_subtract(image, None, compatibility="jwst", **limits)
    assert (status.state, theirs.meta.cal_step.bkg_subtract) == (COMPLETE, "COMPLETE")
    # the mean is a sum of up to twelve values, rounded once
    assert_agree(image.data, theirs.data, scale=before)
    np.testing.assert_array_equal(image.dq, theirs.dq)
    for name in ("err", "var_poisson", "var_rnoise"):
        np.testing.assert_array_equal(getattr(image, name), getattr(theirs, name))


def test_the_noise_of_backgrounds_is_in_the_errors(make_rate):
    """Differences of noisy exposures over the errors: width 1 here, and too wide with the oracle's errors."""
    rng = np.random.default_rng(3)
    shape, number = (200, 300), 3

    def noisy(level):
        image = make_rate(shape, **MIRI)
        image.dq[...] = 0
        image.data[...] = rng.normal(level, np.sqrt(0.2), shape)
        image.var_poisson[...], image.var_rnoise[...] = 0.15, 0.05
        image.err[...] = np.sqrt(0.2)
        return image

    image, backgrounds = noisy(52.0), [noisy(50.0) for _ in range(number)]
    image.members["background"] = backgrounds
    widths = {}
    for compatibility in ("jwst", "native"):
        data, err, poisson, rnoise = (getattr(image, n).copy() for n in ("data", "err", "var_poisson", "var_rnoise"))
        bkg_subtract(image, None, compatibility=compatibility)
        widths[compatibility] = np.std((image.data - 2.0) / image.err)
        if compatibility == "jwst":
            image.data, image.err, image.var_poisson, image.var_rnoise = data, err, poisson, rnoise
    np.testing.assert_allclose(image.var_poisson, 0.15 * (1 + 1 / number), rtol=1e-6)
    np.testing.assert_allclose(image.var_rnoise, 0.05 * (1 + 1 / number), rtol=1e-6)
    np.testing.assert_allclose(image.err**2, image.var_poisson + image.var_rnoise, rtol=1e-6)
    assert widths["native"] == pytest.approx(1.0, abs=0.01)
    assert widths["jwst"] == pytest.approx(np.sqrt(1 + 1 / number), abs=0.01)
