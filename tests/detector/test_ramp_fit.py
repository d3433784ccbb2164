"""Rates of ramps with known slopes, and of bad data."""

import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED
from snakewebb.errors import BadDataError, ConfigError

GAIN = 2.0
READNOISE = 10.0
TIME = 10.0
RATE = 5.0
MODES = ("native", "jwst")


@pytest.fixture
def flat_ramp(make_ramp, make_references):
    """Noiseless ramps of `RATE` DN/s and their references: ``flat_ramp(shape, **keywords)``."""

    def make(shape=(1, 10, 3, 4), gain=GAIN, readnoise=READNOISE, *, zeroframe=None, gain_header=None, **keywords):
        data = np.zeros(shape) + RATE * TIME * np.arange(1, shape[1] + 1)[:, None, None]
        ramp = make_ramp(data, zeroframe=zeroframe, **{"TGROUP": TIME, "TFRAME": TIME} | keywords)
        images = {
            reftype: {"SCI": np.broadcast_to(np.float32(value), shape[2:]).copy()}
            for reftype, value in (("gain", gain), ("readnoise", readnoise))
        }
        images["gain"]["header"] = gain_header or {}
        return ramp, make_references(ramp, **images)

    return make


@pytest.fixture
def threads():
    yield set_threads
    set_threads(available_threads())


def read_variance(ngroups):
    return 12 * (READNOISE**2 / 2) / TIME**2 / (ngroups**3 - ngroups)


def poisson_variance(ngroups, dark=0.0):
    return (RATE + dark) / (GAIN * TIME * (ngroups - 1))


def arrays(image):
    return image.data, image.err, image.var_poisson, image.var_rnoise


@pytest.mark.parametrize("nints", [1, 3])
@pytest.mark.parametrize("ngroups", [2, 3, 4, 10, 31])
def test_rate_and_variances_of_a_straight_ramp(flat_ramp, ngroups, nints):
    ramp, references = flat_ramp((nints, ngroups, 3, 4))

    status = ramp_fit(ramp, references)

    assert status.keyword_value == "COMPLETE"
    for image, number in ((ramp.rate, nints), (ramp.rateints, 1)):
        np.testing.assert_allclose(image.data, RATE, rtol=1e-6)
        np.testing.assert_allclose(image.var_poisson, poisson_variance(ngroups) / number, rtol=1e-6)
        np.testing.assert_allclose(image.var_rnoise, read_variance(ngroups) / number, rtol=1e-6)
        np.testing.assert_allclose(image.err**2, image.var_poisson + image.var_rnoise, rtol=1e-6)
        assert not image.dq.any()
    assert ramp.rate.data.shape == (3, 4)
    assert ramp.rateints.data.shape == (nints, 3, 4)
    assert {array.dtype for array in arrays(ramp.rate) + arrays(ramp.rateints)} == {np.dtype(np.float32)}
    assert ramp.rate.dq.dtype == ramp.rateints.dq.dtype == np.uint32


def test_rates_and_errors_describe_noisy_ramps(make_ramp, make_references):
    rng = np.random.default_rng(11)
    shape = (1, 10, 200, 200)
    rate = 3.0
    electrons = np.cumsum(rng.poisson(rate * GAIN * TIME, shape), axis=1)
    ramp = make_ramp(electrons / GAIN + rng.normal(0, READNOISE / np.sqrt(2), shape), TGROUP=TIME, TFRAME=TIME)
    images = {"gain": GAIN, "readnoise": READNOISE}
    images = {name: {"SCI": np.full(shape[2:], value, np.float32)} for name, value in images.items()}

    ramp_fit(ramp, make_references(ramp, **images))

    pulls = (ramp.rate.data - rate) / ramp.rate.err
    # 40,000 pixels; the variances are those of an unweighted fit, hence the width is not exactly 1
    assert np.mean(pulls) == pytest.approx(0, abs=0.02)
    assert np.std(pulls) == pytest.approx(1, abs=0.06)


def test_a_jump_divides_the_ramp_into_segments(flat_ramp):
    ramp, references = flat_ramp((1, 10, 3, 4))
    ramp.data[0, 4:, 1, 1] += 700
    ramp.groupdq[0, 4, 1, 1] = JUMP_DET

    ramp_fit(ramp, references)

    # groups 0-3, and 4-9 with the jump as the first one
    read, poisson = np.array([read_variance(4), read_variance(6)]), RATE / GAIN / TIME / np.array([3, 5])
    weights = 1 / (read + poisson)
    weights /= weights.sum()
    assert ramp.rate.data[1, 1] == pytest.approx(RATE, rel=1e-6)
    assert ramp.rate.var_rnoise[1, 1] == pytest.approx(np.sum(weights**2 * read), rel=1e-6)
    assert ramp.rate.var_poisson[1, 1] == pytest.approx(np.sum(weights**2 * poisson), rel=1e-6)
    assert ramp.rate.err[1, 1] ** 2 == pytest.approx(1 / np.sum(1 / (read + poisson)), rel=1e-6)
    assert ramp.rate.dq[1, 1] == ramp.rateints.dq[0, 1, 1] == JUMP_DET
    assert np.count_nonzero(ramp.rate.dq) == 1


def test_weights_of_a_bright_ramp_follow_its_ends(flat_ramp):
    ramp, references = flat_ramp((1, 11, 2, 2), readnoise=0.01)
    ramp.data[0] *= 1e3
    ramp.data[0, 4, 1, 1] += 1e3

    ramp_fit(ramp, references)

    # S/N > 100: weights go with the tenth power of the distance from the middle
    distance = np.arange(11) - 5.0
    weights = np.abs(distance / 5) ** 10
    excess = weights[4] * distance[4] * 1e3 / np.sum(weights * distance**2) / TIME
    assert ramp.rate.data[1, 1] - ramp.rate.data[0, 0] == pytest.approx(excess, abs=0.001)
    assert abs(excess) < 1e-3


@pytest.mark.parametrize(("first", "last"), [(2, 7), (None, 7), (2, None), (-4, 30)])
def test_groups_outside_first_and_last_are_not_used(flat_ramp, first, last):
    ramp, references = flat_ramp((1, 10, 3, 4))
    begin, end = max(first or 0, 0), min(9 if last is None else last, 9)
    ramp.data[0, :begin] = 1e4
    ramp.data[0, end + 1 :] = -1e4

    ramp_fit(ramp, references, firstgroup=first, lastgroup=last)

    np.testing.assert_allclose(ramp.rate.data, RATE, rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_rnoise, read_variance(end - begin + 1), rtol=1e-6)
    assert not ramp.groupdq.any()


def test_first_and_last_in_the_wrong_order_are_ignored(flat_ramp, caplog):
    ramp, references = flat_ramp()

    ramp_fit(ramp, references, firstgroup=5, lastgroup=3)

    assert "firstgroup 5 is not smaller than lastgroup 3, both are ignored" in caplog.text
    np.testing.assert_allclose(ramp.rate.var_rnoise, read_variance(10), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_partly_saturated_ramps(flat_ramp, mode):
    ramp, references = flat_ramp((2, 10, 3, 4))
    ramp.groupdq[0, 6:, 0, 0] = SATURATED
    ramp.groupdq[0, :, 0, 1] = SATURATED
    ramp.groupdq[:, :, 0, 2] = SATURATED
    ramp.groupdq[:, 1:, 0, 3] = SATURATED
    ramp.data[ramp.groupdq != 0] = 60000

    ramp_fit(ramp, references, compatibility=mode)

    np.testing.assert_allclose(ramp.rate.data[0, :2], RATE, rtol=1e-6)
    assert np.isnan(ramp.rate.data[0, 2:]).all()
    assert ramp.rate.dq[0].tolist() == [SATURATED, SATURATED, SATURATED | DO_NOT_USE, SATURATED | DO_NOT_USE]
    assert ramp.rateints.dq[0, 0].tolist() == [SATURATED, *[SATURATED | DO_NOT_USE] * 3]
    assert ramp.rateints.dq[1, 0].tolist() == [0, 0, SATURATED | DO_NOT_USE, SATURATED | DO_NOT_USE]
    assert not np.any([array[0, 2:] for array in arrays(ramp.rate)[1:]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("flag", "dq"), [(SATURATED, SATURATED | DO_NOT_USE), (DO_NOT_USE, DO_NOT_USE)])
@pytest.mark.parametrize("ngroups", [1, 2, 3, 10])
def test_an_exposure_of_bad_groups_only_has_products(flat_ramp, flag, dq, ngroups, mode):
    ramp, references = flat_ramp((2, ngroups, 3, 4))
    ramp.groupdq[:] = flag

    status = ramp_fit(ramp, references, compatibility=mode)

    assert status.keyword_value == "COMPLETE"
    for image in (ramp.rate, ramp.rateints):
        assert np.isnan(image.data).all()
        assert np.all(image.dq == dq)
        assert not np.any(arrays(image)[1:])


@pytest.mark.parametrize(
    "flags",
    [(JUMP_DET,) * 6, (DO_NOT_USE, *(JUMP_DET,) * 5), (DO_NOT_USE, DO_NOT_USE, *(JUMP_DET,) * 3, SATURATED)],
)
def test_a_ramp_without_a_segment_is_not_a_number(flat_ramp, flags):
    ramp, references = flat_ramp((2, 6, 3, 4))
    ramp.groupdq[:, :, 1, 1] = flags
    ramp.groupdq[0, :, 2, 2] = flags

    ramp_fit(ramp, references)

    found = JUMP_DET | (flags[-1] & SATURATED)
    assert np.isnan(ramp.rate.data[1, 1])
    assert np.isnan(ramp.rateints.data[:, 1, 1]).all()
    assert ramp.rate.dq[1, 1] == found | DO_NOT_USE
    assert ramp.rateints.dq[:, 1, 1].tolist() == [found | DO_NOT_USE] * 2
    assert ramp.rate.data[2, 2] == pytest.approx(RATE, rel=1e-6)
    assert (ramp.rate.dq[2, 2], ramp.rateints.dq[0, 2, 2], ramp.rateints.dq[1, 2, 2]) == (found, found | DO_NOT_USE, 0)
    assert np.isfinite(ramp.rate.data).sum() == 11

    ramp_fit(ramp, references, compatibility="jwst")

    assert (ramp.rate.data[1, 1], ramp.rate.err[1, 1], ramp.rate.dq[1, 1]) == (0, 0, found)


def test_dark_current_is_converted_by_the_gain(flat_ramp):
    ramp, references = flat_ramp((1, 10, 3, 4))
    ramp.average_dark_current = np.full((3, 4), 3.0, np.float32)
    ramp.average_dark_current[0, :2] = -3.0, np.nan

    ramp_fit(ramp, references)

    np.testing.assert_allclose(ramp.rate.var_poisson[1:], poisson_variance(10, dark=3.0 / GAIN), rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_poisson[0, :2], poisson_variance(10), rtol=1e-6)

    ramp_fit(ramp, references, compatibility="jwst")

    np.testing.assert_allclose(ramp.rate.var_poisson[1:], poisson_variance(10, dark=3.0), rtol=1e-6)


@pytest.mark.parametrize(("mode", "level"), [("native", RATE), ("jwst", 2 / 3 * RATE)])
def test_poisson_variance_with_an_unusable_integration(flat_ramp, mode, level):
    ramp, references = flat_ramp((3, 10, 3, 4))
    ramp.groupdq[1] = DO_NOT_USE

    ramp_fit(ramp, references, compatibility=mode)

    np.testing.assert_allclose(ramp.rate.var_poisson, level / (GAIN * TIME * 18), rtol=1e-6)


@pytest.mark.parametrize("suppress", [True, False])
def test_ramps_of_one_group(flat_ramp, suppress):
    ramp, references = flat_ramp((3, 1, 3, 4), NFRAMES=4, TFRAME=TIME / 4)
    ramp.groupdq[1, 0, 1, 1] = SATURATED
    time = 2.5 * TIME / 4

    ramp_fit(ramp, references, suppress_one_group=suppress)

    rate = RATE * TIME / time
    number = np.full((3, 4), 3)
    number[1, 1] = 2
    np.testing.assert_allclose(ramp.rate.data, rate, rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_poisson, rate / (GAIN * time * number), rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_rnoise, READNOISE**2 / 4 / time**2 / number, rtol=1e-6)
    assert np.isnan(ramp.rateints.data[1, 1, 1])

    ramp_fit(ramp, references, suppress_one_group=suppress, compatibility="jwst")

    # the saturated integration takes the Poisson noise off the pixel
    assert ramp.rate.var_poisson[1, 1] == 0


def test_ramps_with_one_good_group(flat_ramp):
    ramp, references = flat_ramp((1, 10, 3, 4), NFRAMES=3, TFRAME=2.0)
    ramp.groupdq[0, 1:, 1, 1] = SATURATED

    ramp_fit(ramp, references)
    assert np.isnan(ramp.rate.data[1, 1])
    assert ramp.rate.dq[1, 1] == SATURATED | DO_NOT_USE

    ramp_fit(ramp, references, suppress_one_group=False)
    assert ramp.rate.data[1, 1] == pytest.approx(RATE * TIME / 4.0)
    assert ramp.rate.dq[1, 1] == SATURATED


@pytest.mark.parametrize("ngroups", [1, 5])
def test_the_zero_frame_replaces_a_saturated_ramp(flat_ramp, ngroups):
    frame = np.zeros((1, 3, 4))
    frame[0, 1, 1:] = 30.0, np.nan, 1e30
    ramp, references = flat_ramp((1, ngroups, 3, 4), zeroframe=frame, NFRAMES=8, TFRAME=1.5)
    ramp.groupdq[:] = SATURATED

    ramp_fit(ramp, references, suppress_one_group=False)

    assert ramp.rate.data[1, 1] == pytest.approx(20.0)
    assert ramp.rate.var_poisson[1, 1] == pytest.approx(20.0 / (GAIN * 1.5))
    assert ramp.rate.data[1, 3] == pytest.approx(1e30 / 1.5)
    assert np.isfinite(ramp.rate.data).sum() == 2
    assert ramp.rate.dq[1, 2] == SATURATED | DO_NOT_USE


def test_charge_loss_does_not_raise_the_read_noise(flat_ramp):
    ramp, references = flat_ramp((2, 10, 3, 4))
    ramp.groupdq[0, 6:, 1, 1] = CHARGELOSS | DO_NOT_USE

    ramp_fit(ramp, references)

    assert ramp.rateints.var_rnoise[0, 1, 1] == pytest.approx(read_variance(10), rel=1e-6)
    assert ramp.rate.var_rnoise[1, 1] == pytest.approx(read_variance(10) / 2, rel=1e-6)
    assert ramp.rateints.var_poisson[0, 1, 1] == pytest.approx(poisson_variance(6), rel=1e-6)
    assert ramp.rate.dq[1, 1] == 0


def test_persistence_is_kept_and_not_obeyed(flat_ramp):
    ramp, references = flat_ramp((1, 10, 3, 4))
    ramp.groupdq[0, 3:, 1, 1] = PERSISTENCE

    ramp_fit(ramp, references)

    assert ramp.rate.data[1, 1] == pytest.approx(RATE, rel=1e-6)
    assert ramp.rate.dq[1, 1] == PERSISTENCE


@pytest.mark.parametrize("ngroups", [1, 2, 3, 10])
def test_bad_references_and_samples(flat_ramp, ngroups):
    gain = np.full((4, 20), GAIN)
    gain[0, :4] = np.nan, 0, -1, np.inf
    readnoise = np.full((4, 20), READNOISE)
    readnoise[1, :4] = np.nan, 0, -1, np.inf
    ramp, references = flat_ramp((1, ngroups, 4, 20), gain, readnoise)
    ramp.data[0, :, 2, 0] = np.nan
    ramp.data[0, :, 2, 1] = np.inf
    ramp.data[0, :, 2, 2] = 1e30 * np.arange(1, ngroups + 1)
    ramp.data[0, -1, 2, 3] = 3e38
    ramp.data[0, -1, 3, 0] = np.nan

    ramp_fit(ramp, references)

    for image in (ramp.rate, ramp.rateints):
        for array in arrays(image)[1:]:
            assert np.isfinite(array).all()
        np.testing.assert_array_equal(np.isnan(image.data), image.dq & DO_NOT_USE != 0)
    assert np.flatnonzero(ramp.rate.dq[0]).tolist() == [0, 1, 2, 3]
    assert np.all(ramp.rate.dq[0, :3] == NO_GAIN_VALUE | DO_NOT_USE)
    assert np.flatnonzero(ramp.rate.dq[1]).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(ramp.rate.dq[2]).tolist() == [0, 1]
    assert ramp.rate.data[2, 2] == pytest.approx(1e30 / TIME, rel=1e-6)
    expected = 1e30 / TIME / (GAIN * TIME * max(ngroups - 1, 1))
    assert ramp.rate.var_poisson[2, 2] == pytest.approx(expected, rel=1e-6)
    # the ramp ends before the sample that is missing
    assert np.isnan(ramp.rate.data[3, 0]) == (ngroups < 3)


def test_large_variances_are_kept(flat_ramp):
    ramp, references = flat_ramp((1, 2, 3, 4), readnoise=200.0, TGROUP=0.05, TFRAME=0.05)
    ramp.data *= 1000

    ramp_fit(ramp, references)

    rate = RATE * TIME * 1000 / 0.05
    np.testing.assert_allclose(ramp.rate.data, rate, rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_poisson, rate / (GAIN * 0.05), rtol=1e-6)
    np.testing.assert_allclose(ramp.rate.var_rnoise, (200 / 0.05) ** 2, rtol=1e-6)

    ramp_fit(ramp, references, compatibility="jwst")

    assert not np.any(arrays(ramp.rate))


def test_only_the_products_are_set(flat_ramp):
    ramp, references = flat_ramp((2, 5, 3, 4), gain_header={"GAINFACT": 1.5})
    ramp.groupdq[0, 1:, 1, 1] = SATURATED
    ramp.sci_header["BUNIT"] = "DN"
    ramp.int_times = np.zeros(2)
    before = ramp.data.copy(), ramp.groupdq.copy(), ramp.pixeldq.copy(), ramp.header.copy(), ramp.sci_header.copy()

    ramp_fit(ramp, references, firstgroup=1)

    for array, old in zip((ramp.data, ramp.groupdq, ramp.pixeldq), before, strict=False):
        np.testing.assert_array_equal(array, old)
    assert (ramp.header, ramp.sci_header) == before[3:]
    assert ramp.extra == {}
    assert ramp.rate.sci_header["BUNIT"] == ramp.rateints.sci_header["BUNIT"] == "DN/s"
    assert ramp.rate.header["DETECTOR"] == ramp.header["DETECTOR"]
    assert ramp.rate.header["GAINFACT"] == 1.5
    assert ramp.rateints.int_times is ramp.int_times
    assert ramp.rate.header is not ramp.rateints.header


def test_results_of_segments(flat_ramp, tmp_path):
    ramp, references = flat_ramp((1, 10, 3, 4), NFRAMES=4, GROUPGAP=1, TFRAME=TIME / 5)
    ramp.data += 120
    ramp.data[0, 4:, 1, 1] += 700
    ramp.groupdq[0, 4, 1, 1] = JUMP_DET

    ramp_fit(ramp, references, save_opt=True)

    fits.HDUList(ramp.extra["fitopt"]).writeto(tmp_path / "fitopt.fits")
    with fits.open(tmp_path / "fitopt.fits") as units:
        assert [unit.name for unit in units] == [
            "PRIMARY", "SLOPE", "SIGSLOPE", "VAR_POISSON", "VAR_RNOISE", "YINT", "SIGYINT", "PEDESTAL", "WEIGHTS",
            "CRMAG",
        ]  # fmt: skip
        assert units["SLOPE"].data.shape == (1, 2, 3, 4)
        np.testing.assert_allclose(units["SLOPE"].data[0, :, 1, 1], RATE, rtol=1e-5)
        np.testing.assert_allclose(units["VAR_RNOISE"].data[0, :, 1, 1], [read_variance(4) / 4, read_variance(6) / 4],
                                   rtol=1e-5)  # fmt: skip
        variance = units["VAR_RNOISE"].data + units["VAR_POISSON"].data
        np.testing.assert_allclose(units["WEIGHTS"].data, 1 / np.where(variance, variance, np.inf), rtol=1e-5)
        np.testing.assert_allclose(units["YINT"].data[0, :, 1, 1], [170, 870], rtol=1e-5)
        assert units["CRMAG"].data[0, 0, 1, 1] == 750
        # the mean time of a group of 4 frames, each 2 s long, is 5 s after the reset
        np.testing.assert_allclose(units["PEDESTAL"].data, 170 - RATE * 5, rtol=1e-5)
        assert units["PEDESTAL"].data.shape == (1, 3, 4)


@pytest.mark.parametrize("shape", [(1, 10, 70, 131), (3, 5, 70, 50)])
def test_results_do_not_depend_on_threads_or_rows(flat_ramp, make_ramp, make_references, threads, shape):
    rng = np.random.default_rng(0)
    ramp, references = flat_ramp(shape)
    ramp.data += rng.normal(0, 7, shape).astype(np.float32)
    ramp.groupdq[rng.random(shape) < 0.1] = JUMP_DET
    results = []
    for number in (1, 2):
        threads(number)
        ramp_fit(ramp, references, save_opt=True)
        units = [unit.data for unit in ramp.extra["fitopt"][1:]]
        results.append([*arrays(ramp.rate), ramp.rate.dq, *arrays(ramp.rateints), ramp.rateints.dq, *units])
    part = make_ramp(ramp.data[:, :, 17:43], groupdq=ramp.groupdq[:, :, 17:43], TGROUP=TIME, TFRAME=TIME)
    images = {name: {"SCI": references.array(name)[17:43]} for name in ("gain", "readnoise")}
    ramp_fit(part, make_references(part, **images))

    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    for whole, cut in zip(arrays(ramp.rate), arrays(part.rate), strict=True):
        np.testing.assert_array_equal(whole[17:43], cut)


def test_little_memory_is_taken_besides_the_products(flat_ramp):
    # large beside the blocks of rows that each thread has, 85 kB
    ramp, references = flat_ramp((1, 20, 400, 400))
    ramp_fit(ramp, references)
    products = sum(array.nbytes for array in (*arrays(ramp.rate), ramp.rate.dq)) * 2
    tracemalloc.start()

    ramp_fit(ramp, references)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # median rates, whether a ramp is flagged, and a dark current of 0: 13 bytes a pixel
    assert peak < products + 14 * ramp.rate.data.size + 1e5


@pytest.mark.parametrize("missing", [("NFRAMES",), ("TGROUP", "TFRAME"), ("GROUPGAP",)])
def test_all_missing_keywords_are_named(flat_ramp, missing):
    ramp, references = flat_ramp()
    for keyword in missing:
        del ramp.header[keyword]

    with pytest.raises(BadDataError, match="None, ".join(f"{keyword} is " for keyword in missing)):
        ramp_fit(ramp, references)


def test_algorithms_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match=r"algorithm: found 'GLS', expected one of 'OLS_C', 'LIKELY'"):
        ramp_fit.contract.resolve({"algorithm": "GLS"}, "steps.ramp_fit")


@pytest.mark.parametrize(("nframes", "gap"), [(1, 0), (4, 1), (8, 12)])
@pytest.mark.parametrize("ngroups", [2, 5, 9])
def test_exact_variances_are_those_of_the_weighted_slope(flat_ramp, ngroups, nframes, gap):
    ramp, references = flat_ramp((1, ngroups, 3, 4), NFRAMES=nframes, GROUPGAP=gap, TFRAME=TIME / (nframes + gap))

    ramp_fit(ramp, references, variance="exact")

    reads = (np.arange(ngroups)[:, None] * (nframes + gap) + np.arange(1, nframes + 1)) * TIME / (nframes + gap)
    # charge at the time of each read; averages of groups; and a slope that is linear in them
    shared = (
        np.minimum.outer(reads.ravel(), reads.ravel()).reshape(ngroups, nframes, ngroups, nframes).mean(axis=(1, 3))
    )
    signal = RATE * TIME * (ngroups - 1) * GAIN
    snr = signal / np.sqrt(READNOISE**2 / 2 / nframes * GAIN**2 + signal)
    power = (0, 0.4, 1, 3, 6, 10)[np.searchsorted((5, 10, 20, 50, 100), snr, side="right")] if ngroups > 2 else 0
    distance = np.arange(ngroups) - (ngroups - 1) / 2
    slope = np.abs(distance / distance[-1]) ** power * distance
    slope /= np.sum(slope * distance) * TIME
    np.testing.assert_allclose(ramp.rate.var_poisson, RATE / GAIN * slope @ shared @ slope, rtol=1e-5)
    np.testing.assert_allclose(ramp.rate.var_rnoise, READNOISE**2 / 2 / nframes * slope @ slope, rtol=1e-5)
    np.testing.assert_allclose(ramp.rate.data, RATE, rtol=1e-6)


def test_exact_variances_hold_the_poisson_noise_of_the_fitted_rate(flat_ramp):
    products = []
    for excess in (0.0, 4.0):
        ramp, references = flat_ramp((2, 6, 3, 4))
        # one bright difference changes the rate of all integrations, and no median
        ramp.data[1, 5] += excess * RATE * TIME
        ramp.average_dark_current = np.full((3, 4), 0.5, np.float32)
        ramp_fit(ramp, references, variance="exact", save_opt=True)
        products.append((ramp.rateints, ramp.rate))

    (plain_ints, _), (bright_ints, bright) = products
    assert np.all(bright.data > 1.1 * RATE)
    dark = 0.5 / GAIN
    ratio = (bright.data + dark) / (RATE + dark)
    np.testing.assert_allclose(bright_ints.var_poisson[0], ratio * plain_ints.var_poisson[0], rtol=1e-5)
    np.testing.assert_array_equal(bright_ints.var_rnoise[0], plain_ints.var_rnoise[0])
    for image in (bright, bright_ints):
        np.testing.assert_allclose(image.err**2, image.var_poisson + image.var_rnoise, rtol=1e-5)
    # ramps of one segment
    variances = {unit.name: unit.data for unit in ramp.extra["fitopt"]}["VAR_POISSON"]
    np.testing.assert_allclose(variances[:, 0], bright_ints.var_poisson, rtol=1e-6)
