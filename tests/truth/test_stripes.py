"""Simulated superstripes of NIRISS SOSS through stage 1: raw file and references of the simulator, rates against the truth."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.chain import run_chain
from snakewebb.detector.stripes import detector_lines, lines_of
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.references import References
from snakewebb.io.uncal import read_ramp
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS
from snakewebb.simulate.stripes import STRIPES
from snakewebb.simulate.truth import simulate

CHAIN = (
    *("group_scale", "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current"),
    *("jump", "ramp_fit", "gain_scale"),
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stripes")
    # noise that pixels share is not in their errors
    (path,) = simulate("niriss_soss", folder, preset="stripes", seed=5, effects=DEFAULT_EFFECTS - {"one_over_f"})
    return folder, path


@pytest.fixture(scope="module")
def calibrated(simulated):
    folder, path = simulated
    ramp = read_ramp(path)
    found = {}
    for file in (folder / "crds" / "references" / "jwst" / "niriss").glob("*.fits"):
        found[fits.getval(file, "REFTYPE").lower()] = file
    references = References(found, ramp.subarray, lines_of(ramp.header))
    outcomes = run_chain(ramp, [{"step": name} for name in CHAIN], references)
    assert {outcome.step: outcome.status.state for outcome in outcomes if outcome.status.state != "COMPLETE"} == {
        "group_scale": "NOT_APPLICABLE",
        "gain_scale": "NOT_APPLICABLE",
    }
    return ramp


def test_raw_files_say_what_they_hold(simulated):
    with fits.open(simulated[1]) as units:
        header = units[0].header
        assert units["SCI"].shape == (12, 5, 256, 684)
        assert len(units["INT_TIMES"].data) == 12
    for name, stripes in STRIPES.items():
        changed = header.copy()
        for keyword, value, _ in stripes.keywords:
            changed[keyword] = value
        changed["SUBARRAY"], changed["SUBSIZE1"] = name, stripes.corner[2]
        lines = detector_lines(changed)
        for number in range(stripes.count):
            np.testing.assert_array_equal(2047 - lines[number][::-1], stripes.columns(number))


def test_rates_are_the_true_ones(simulated, calibrated):
    folder, path = simulated
    with fits.open(folder / "truth" / path.name.replace("_uncal", "_truth")) as units:
        true = units["RATE"].data.astype(np.float64)
        light = units["BRIGHTNESS"].data.reshape(4, 3)
    rate = calibrated.rate
    assert rate.data.shape == true.shape == (256, 2048)
    unread = np.r_[0:4, 2044:2048]
    assert np.isnan(rate.data[:, unread]).all()
    assert (rate.dq[:, unread] & DO_NOT_USE != 0).all()
    assert (rate.dq[-4:] & REFERENCE_PIXEL != 0).all()
    usable = np.isfinite(rate.data)
    usable[-4:] = False
    assert usable[:252, 4:2044].mean() > 0.9
    pulls = ((rate.data - true) / rate.err)[usable]
    assert abs(np.median(pulls)) < 0.05
    assert 0.85 < np.percentile(np.abs(pulls - np.median(pulls)), 68.27) < 1.25
    # the planet passes in front of the star, in each stripe at its own time
    always = np.isfinite(calibrated.rateints.data).all(axis=0)
    for number in range(3):
        own = STRIPES["SUB680STRIPE_SOSS"].columns(number)[:-4]
        bright = always[:, own] & (true[:, own] > np.percentile(true[:, own], 95))
        whole = true[:, own][bright].sum()
        measured = calibrated.rateints.data[:, :, own][:, bright].sum(axis=1, dtype=np.float64) / whole
        error = np.sqrt((calibrated.rateints.err[:, :, own][:, bright].astype(np.float64) ** 2).sum(axis=1)) / whole
        assert (error < 0.003).all()
        assert (np.abs(measured - light[:, number]) < 4 * error).all()


def test_times_of_stripes_and_rounds(calibrated):
    table = calibrated.rateints.int_times_stripe
    assert table["stripe_number"].tolist() == [1, 2, 3] * 4
    assert calibrated.rateints.int_times["integration_number"].tolist() == [1, 2, 3, 4]
    assert (np.diff(table["int_start_MJD_UTC"]) > 0).all()
