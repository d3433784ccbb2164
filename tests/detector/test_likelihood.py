"""Rates by likelihood: constructed truth, jumps, uneven groups."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import DO_NOT_USE, JUMP_DET, SATURATED
from snakewebb.io.products import write_image

GAIN, READNOISE, TIME, RATE = 2.0, 10.0, 10.0, 5.0


@pytest.fixture
def noisy_ramp(make_ramp, make_references):
    """Ramps of `RATE` DN/s at given times: ``noisy_ramp(shape, times=None, **keywords)``."""

    def make(shape, times=None, *, zeroframe=None, **keywords):
        rng = np.random.default_rng(1)
        times = TIME * np.arange(1, shape[1] + 1) if times is None else np.asarray(times)
        charge = rng.poisson(RATE * GAIN * np.diff(times, prepend=0)[:, None, None], shape).cumsum(axis=1)
        data = charge / GAIN + rng.normal(0, READNOISE / np.sqrt(2), shape)
        ramp = make_ramp(data, zeroframe=zeroframe, **{"TGROUP": TIME, "TFRAME": TIME} | keywords)
        images = {"gain": GAIN, "readnoise": READNOISE}
        return ramp, make_references(
            ramp, **{name: {"SCI": np.full(shape[2:], value, np.float32)} for name, value in images.items()}
        )

    return make


def test_pulls_have_unit_width(noisy_ramp):
    ramp, references = noisy_ramp((2, 6, 150, 150))
    ramp_fit(ramp, references, algorithm="LIKELY")
    for image in (ramp.rate, ramp.rateints):
        pulls = (image.data - RATE) / image.err
        assert np.std(pulls) == pytest.approx(1, abs=0.03)
        assert np.mean(image.data - RATE) == pytest.approx(0, abs=0.02 * float(np.mean(image.err)))
        np.testing.assert_allclose(image.err**2, image.var_poisson + image.var_rnoise, rtol=1e-5)


def test_jumps_are_found_flagged_and_left_out(noisy_ramp):
    ramp, references = noisy_ramp((1, 8, 20, 20))
    ramp.data[0, 5:, 3, 4] += 2000
    ramp_fit(ramp, references, algorithm="LIKELY", save_opt=True)
    assert ramp.groupdq[0, 5, 3, 4] == JUMP_DET
    assert ramp.rate.dq[3, 4] == ramp.rateints.dq[0, 3, 4] == JUMP_DET
    assert abs(ramp.rate.data[3, 4] - RATE) < 5 * ramp.rate.err[3, 4]
    assert ramp.rate.err[3, 4] > 1.05 * np.median(ramp.rate.err)
    chisq = ramp.extra["likely_chisq"][1].data
    assert np.mean(chisq) == pytest.approx(6, abs=0.6)  # 7 differences, 1 parameter


def test_unusable_ramps_and_samples(noisy_ramp):
    ramp, references = noisy_ramp((1, 6, 8, 8))
    ramp.groupdq[0, 1:, 1, 1] = SATURATED
    ramp.groupdq[0, :, 2, 2] = SATURATED
    ramp.data[0, 2, 3, 3] = np.nan
    ramp_fit(ramp, references, algorithm="LIKELY")
    assert np.argwhere(np.isnan(ramp.rate.data)).tolist() == [[1, 1], [2, 2]]
    assert ramp.rate.dq[1, 1] == ramp.rate.dq[2, 2] == SATURATED | DO_NOT_USE
    assert ramp.rate.err[1, 1] == 0
    assert abs(ramp.rate.data[3, 3] - RATE) < 5 * ramp.rate.err[3, 3]


def test_too_few_groups_fall_back_and_say_so(noisy_ramp):
    ramp, references = noisy_ramp((1, 3, 8, 8))
    status = ramp_fit(ramp, references, algorithm="LIKELY")
    assert status.reason == "OLS_C: LIKELY needs 4 groups, the ramps have 3"
    for product in (ramp.rate, ramp.rateints):
        assert product.header["RFITALG"] == "OLS_C"
        assert product.header.comments["RFITALG"] == "Ramp fitting algorithm; LIKELY needs 4 groups"
    by_likelihood = ramp.rate.data
    ramp_fit(ramp, references)
    np.testing.assert_array_equal(ramp.rate.data, by_likelihood)


@pytest.mark.parametrize("algorithm", ["LIKELY", "OLS_C"])
def test_the_header_names_the_algorithm(noisy_ramp, tmp_path, algorithm):
    ramp, references = noisy_ramp((2, 5, 8, 8))
    ramp_fit(ramp, references, algorithm=algorithm)
    for product, model in ((ramp.rate, "ImageModel"), (ramp.rateints, "CubeModel")):
        write_image(tmp_path / "x_rate.fits", product, model)
        header = fits.getheader(tmp_path / "x_rate.fits")
        assert header["RFITALG"] == algorithm
        assert header.comments["RFITALG"] == "Ramp fitting algorithm"
    assert "RFITALG" not in ramp.header


def test_the_keyword_of_the_algorithm_belongs_to_no_schema():
    schemas = pytest.importorskip("stdatamodels.jwst.datamodels").__path__[0]
    files = list(Path(schemas, "schemas").glob("*.yaml"))
    assert len(files) > 100
    assert not [file.name for file in files if "RFITALG" in file.read_text()]


@pytest.mark.parametrize("ngroups", [2, 6])
def test_uneven_groups_are_fitted_by_likelihood(noisy_ramp, ngroups):
    times = 10 + np.cumsum(np.where(np.arange(ngroups) % 2, 3.0, 30.0))
    ramp, references = noisy_ramp((1, ngroups, 60, 60), times)
    ramp.read_times = times
    status = ramp_fit(ramp, references)
    assert status.reason == "LIKELY for groups that are not evenly spaced"
    assert ramp.rate.header["RFITALG"] == "LIKELY"
    assert ramp.rate.header.comments["RFITALG"] == "Ramp fitting algorithm; not OLS_C: uneven groups"
    assert np.mean(ramp.rate.data) == pytest.approx(RATE, abs=4 * float(np.mean(ramp.rate.err)) / 60)


def test_results_do_not_depend_on_threads(noisy_ramp):
    results = []
    for number in (1, 2):
        set_threads(number)
        ramp, references = noisy_ramp((2, 6, 70, 90), NFRAMES=1)
        ramp_fit(ramp, references, algorithm="LIKELY")
        results.append([ramp.rate.data, ramp.rate.err, ramp.rateints.data, ramp.rateints.dq, ramp.groupdq])
    set_threads(available_threads())
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
