import tracemalloc
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clipped_stats

from snakewebb.compiled import set_threads
from snakewebb.detector.clean_flicker_noise import clean_flicker_noise
from snakewebb.detector.flicker_background import background_level, background_limits, clip_to_background
from snakewebb.detector.flicker_cleaning import Masks
from snakewebb.detector.flicker_stripes import subtract_stripes
from snakewebb.detector.mode_fit import solve_modes
from snakewebb.detector.nsclean_subarray import subarray_model
from snakewebb.detector.scene_mask import science_regions
from snakewebb.detector.soss_traces import soss_traces
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.steps import COMPLETE, FAILED, NO_REFERENCE

SHAPE = (2, 4, 40, 50)


@pytest.fixture
def case(make_ramp, make_references):
    """Ramp of a flat sky with read noise and stripes along the fast axis, and the stripes of each group."""

    def make(slow=2, noise=4.0, shape=SHAPE, **keywords):
        rng = np.random.default_rng(3)
        lines = rng.normal(0, 2, (*shape[:2], shape[2], 1) if slow == 2 else (*shape[:2], 1, shape[3]))
        ramp = make_ramp(100.0 * np.arange(shape[1])[:, None, None] + lines + rng.normal(0, noise, shape))
        ramp.header.update({"SLOWAXIS": slow, "EXP_TYPE": "NRC_IMAGE"} | keywords)
        planes = {
            name: {"SCI": np.full(shape[2:], value, np.float32)} for name, value in (("gain", 2), ("readnoise", 8))
        }
        return ramp, make_references(ramp, **planes), lines

    return make


@pytest.mark.parametrize("slow", [1, 2, -1, -2])
def test_stripes_are_removed(case, slow):
    ramp, references, _ = case(abs(slow), SLOWAXIS=slow)
    first = ramp.data[:, 0].copy()
    assert clean_flicker_noise(ramp, references).state == COMPLETE
    np.testing.assert_array_equal(ramp.data[:, 0], first)
    line = np.diff(ramp.data, axis=1).mean(axis=3 if abs(slow) == 2 else 2)
    # a median of 40 pixels with a noise of 5.7 is uncertain by 1.1; the stripes made 2.8
    assert abs(line.mean() - 100) < 1.0
    assert line.std() < 1.3


def test_stripes_across_are_not(case):
    ramp, references, _ = case(2, SLOWAXIS=1)
    clean_flicker_noise(ramp, references)
    assert np.diff(ramp.data, axis=1).mean(axis=3).std() > 2.5


def test_sources_are_not_fitted(case):
    ramp, references, _ = case()
    star = np.zeros(SHAPE[2:])
    star[10:16, 5:31] = 500.0
    ramp.data += (star * np.arange(SHAPE[1])[:, None, None]).astype(np.float32)
    clean_flicker_noise(ramp, references, save_mask=True)
    assert not ramp.extra["mask"][1].data[star > 0].any()
    difference = np.diff(ramp.data, axis=1)
    assert np.abs(difference[..., star > 0].mean(axis=-1) - 600).max() < 1.5
    assert np.abs(difference[..., star == 0].mean(axis=-1) - 100).max() < 1.5


def test_jumps_and_unusable_samples_are_not_fitted(case):
    ramp, references, _ = case()
    ramp.data[0, 2:, 7, :30] += 1e4
    ramp.groupdq[0, 2, 7, :30] = 4
    ramp.data[1, 3, 9, :30] -= 1e4
    ramp.groupdq[1, 3, 9, :30] = 1
    clean_flicker_noise(ramp, references, n_sigma=0.0, background_method=None)
    # the sky of 100 is part of the medians where no background is subtracted
    difference = np.diff(ramp.data, axis=1)
    assert abs(difference[0, 1, 7, 30:].mean()) < 4
    assert abs(difference[1, 2, 9, 30:].mean()) < 4
    assert abs(difference[0, 1, 7, :30].mean() - 1e4) < 5


def test_nan_stays(case):
    ramp, references, _ = case()
    ramp.data[0, 2, 3, 4] = np.nan
    clean_flicker_noise(ramp, references)
    assert np.isnan(ramp.data[0, :, 3, 4]).tolist() == [False, False, True, True]
    assert np.isnan(ramp.data).sum() == 2


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("by_channel", [False, True])
def test_medians_are_those_of_numpy(axis, by_channel):
    rng = np.random.default_rng(7)
    image = np.round(rng.normal(0, 3, (21, 2048) if axis == 1 else (2048, 21)), 1).astype(np.float32)
    mask = rng.random(image.shape) < 0.5
    lines = mask if axis == 1 else mask.T
    lines[3, :512] = False
    lines[4] = False
    lines[5, 1:] = False
    expected = image.copy()
    for part in np.split(np.arange(2048), 4) if by_channel else [np.arange(2048)]:
        for line in range(21):
            index = (line, part) if axis == 1 else (part, line)
            used = image[index][mask[index]]
            expected[index] -= np.median(used) if used.size else 0
    subtract_stripes(image, mask, axis, by_channel=by_channel)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("number", [1, 2, 9, 1500, 20000])
@pytest.mark.parametrize("lower_half_only", [False, True])
def test_limits_are_those_of_astropy(number, lower_half_only):
    rng = np.random.default_rng(number)
    values = np.sort(np.concatenate((rng.normal(3, 2, number), rng.exponential(90, number // 4))).astype(np.float32))
    _, centre, sigma = sigma_clipped_stats(values.astype(np.float64))
    if lower_half_only:
        below = values[values <= centre] - centre
        _, centre, sigma = sigma_clipped_stats(np.concatenate((below, -below)) + centre)
    found = background_limits(values, sigma_lower=3, sigma_upper=2, lower_half_only=lower_half_only)
    np.testing.assert_allclose(found, (centre - 3 * sigma, centre + 2 * sigma), rtol=1e-12, atol=1e-12)


def test_equal_values_are_not_clipped():
    image = np.full((40, 50), 0.1, np.float32)
    mask = np.ones(image.shape, bool)
    clip_to_background(image, mask, lower_half_only=True)
    assert mask.all()
    mask[:] = False
    clip_to_background(image, mask)
    assert not mask.any()


def test_model_of_a_slope():
    y, x = np.mgrid[:320, :320]
    slope = (0.02 * x + 0.01 * y).astype(np.float32)
    image = slope + np.random.default_rng(1).normal(0, 0.05, slope.shape).astype(np.float32)
    image[20:26, 30:36] += 40
    mask = np.ones(image.shape, bool)
    model = background_level(image, mask, method="model")
    assert not mask[20:26, 30:36].any()
    assert np.abs(model - slope)[112:-112, 112:-112].max() < 0.05
    # boxes that lack pixels: the median
    mask[:] = np.random.default_rng(2).random(mask.shape) < 0.5
    level = background_level(image, mask, method="model")
    assert np.ndim(level) == 0
    assert level == np.median(image[mask])


def test_amplitudes_of_modes():
    times = np.sort(np.random.default_rng(1).choice(400, 90, replace=False))
    weight = np.random.default_rng(2).uniform(1, 3, 90)
    modes = np.array([0, 1, 2, 5, 150])
    amplitudes = np.array([3, 1 - 2j, 0.5j, -2, 0.25 + 1j])
    values = (amplitudes * np.exp(2j * np.pi * np.outer(times, modes) / 400)).sum(axis=1)
    sums = (weight[:, None] * np.exp(2j * np.pi * np.outer(times, np.arange(151)) / 400)).sum(axis=0)
    right = ((weight * values)[:, None] * np.exp(-2j * np.pi * np.outer(times, modes) / 400)).sum(axis=0)
    np.testing.assert_allclose(solve_modes(sums, modes, right), amplitudes, atol=1e-12)
    # two samples tell two modes apart
    sums = np.exp(2j * np.pi * np.outer(times[:2], np.arange(151)) / 400).sum(axis=0)
    found = solve_modes(sums, modes, right)
    assert np.all(found[:2] != 0)
    assert np.all(found[2:] == 0)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_low_frequencies_of_a_subarray_are_removed(detector):
    """A slow wave in the order of the read-out: lines along the columns, from the left or from the right."""
    tick = np.arange(256)[:, None] * 76 + np.arange(64)
    wave = np.sin(2 * np.pi * tick / 700).astype(np.float32)
    image = (wave if detector == "NRS1" else wave[::-1]).T
    mask = np.ones(image.shape, bool)
    mask[20:40, 50:90] = False
    left = image - subarray_model(image, mask, detector)
    assert np.abs(left[:, 8:-8]).max() < 0.1
    assert subarray_model(image, np.zeros_like(mask), detector) is None


def test_an_image_without_usable_pixels_stays(case):
    ramp, references, _ = case()
    ramp.groupdq[1, 2] = 1
    before = ramp.data[1].copy()
    status = clean_flicker_noise(ramp, references)
    assert (status.state, status.reason) == (COMPLETE, "1 images have no usable pixel and were left as they are")
    np.testing.assert_array_equal(ramp.data[1, 2], before[2])
    assert (before[3] - before[2]).mean(axis=1).std() > 2
    assert (ramp.data[1, 3] - ramp.data[1, 2]).mean(axis=1).std() < 0.9


def test_median_of_the_integrations_is_restored(case):
    """A source that is not masked does not matter if it is the same in all integrations."""
    ramp, references, lines = case(shape=(5, 3, 40, 50))
    star = np.zeros((40, 50))
    star[:, 5:45] = np.linspace(0, 90, 40)[:, None]
    ramp.data += (star * np.arange(3)[:, None, None]).astype(np.float32)
    expected = ramp.data - lines + np.median(lines, axis=0)
    clean_flicker_noise(ramp, references, background_method="median_image", n_sigma=0.0)
    assert np.abs(ramp.data - expected).mean() < 1


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"background_method": "model", "single_mask": False},
        {"background_method": "median_image"},
        {"fit_method": "fft"},
    ],
    ids=str,
)
def test_any_number_of_threads_gives_the_same(case, parameters):
    keywords = {"EXP_TYPE": "NRS_FIXEDSLIT", "DETECTOR": "NRS2"} if "fit_method" in parameters else {}
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp, references, _ = case(1, shape=(2, 6, 70, 50), **keywords)
        assert clean_flicker_noise(ramp, references, **parameters).state == COMPLETE
        results.append(ramp.data)
    np.testing.assert_array_equal(*results)


def test_a_mapped_ramp_is_cleaned_in_place_without_a_copy(case, tmp_path):
    shape = (3, 30, 64, 96)
    expected, references, _ = case(shape=shape)
    mapped, _, _ = case(shape=shape)
    values = mapped.data
    mapped.data = np.memmap(tmp_path / "ramp.dat", np.float32, "w+", shape=shape)
    mapped.data[:] = values
    del values
    clean_flicker_noise(expected, references)
    tracemalloc.start()
    clean_flicker_noise(mapped, references)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(mapped.data, expected.data)
    assert peak < 0.35 * mapped.data.nbytes  # of 90 planes


def test_masks_are_kept_as_bits():
    stack = np.random.default_rng(1).random((3, 7, 9)) < 0.5
    masks = Masks(iter(stack))
    np.testing.assert_array_equal(masks.array(), stack)
    masks.of(1)[:] = False
    np.testing.assert_array_equal(masks.of(1), stack[1])
    single = Masks(stack[0])
    assert single.single
    np.testing.assert_array_equal(single.of(5), stack[0])


@pytest.mark.parametrize(
    ("exp_type", "parameters", "reason"),
    [
        ("MIR_MRS", {}, "EXP_TYPE MIR_MRS is not supported"),
        ("NRC_IMAGE", {"fit_method": "fft"}, "fit_method fft is for EXP_TYPE NRS_MSASPEC"),
        ("NRS_IFU", {"mask_science_regions": True}, "follow from a WCS that this version cannot make"),
        ("NRS_BRIGHTOBJ", {"background_method": "median_image"}, "needs an extracted spectrum for NRS_BRIGHTOBJ"),
        ("NRC_TSGRISM", {"background_method": "median_image"}, "needs an extracted spectrum for NRC_TSGRISM"),
        ("NIS_SOSS", {"background_method": "median_image"}, "needs an extracted spectrum for NIS_SOSS"),
        ("NRC_TSIMAGE", {"background_method": "median_image"}, "needs aperture photometry"),
    ],
)
def test_what_cannot_be_done_fails_with_a_reason(case, exp_type, parameters, reason):
    ramp, references, _ = case(EXP_TYPE=exp_type)
    before = ramp.data.copy()
    status = clean_flicker_noise(ramp, references, **parameters)
    assert status.state == FAILED
    assert reason in status.reason
    np.testing.assert_array_equal(ramp.data, before)


def test_missing_references(case):
    ramp, references, _ = case()
    references.paths["gain"] = None
    status = clean_flicker_noise(ramp, references)
    assert (status.state, status.reason) == (NO_REFERENCE, "no gain reference for this exposure")
    ramp, references, _ = case(EXP_TYPE="NIS_SOSS")
    assert "no pastasoss reference" in clean_flicker_noise(ramp, references, mask_science_regions=True).reason


def test_all_rates_missing(case):
    ramp, references, _ = case()
    ramp.pixeldq[:] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = clean_flicker_noise(ramp, references, background_method="median_image")
        assert status.state == FAILED
        assert "no integration has a finite median rate" in status.reason
        assert "6 images have no usable pixel" in clean_flicker_noise(ramp, references).reason


def test_users_mask_that_cannot_be_used(case, tmp_path):
    ramp, references, _ = case()
    with pytest.raises(
        ConfigError, match=r"clean_flicker_noise.user_mask: nowhere.fits cannot be read as a FITS image"
    ):
        clean_flicker_noise(ramp, references, user_mask="nowhere.fits")
    path = tmp_path / "mask.fits"
    fits.PrimaryHDU(np.ones((30, 50), np.uint8)).writeto(path)
    status = clean_flicker_noise(ramp, references, user_mask=str(path))
    assert status.state == FAILED
    assert "has the shape (30, 50), expected (40, 50) or (2, 40, 50)" in status.reason
    fits.PrimaryHDU(np.ones(30, np.uint8)).writeto(path, overwrite=True)
    with pytest.raises(ConfigError, match="holds no image or cube, but 1 axes"):
        clean_flicker_noise(ramp, references, user_mask=str(path))


@pytest.mark.parametrize("size", [[32], [0, 8], [8, 8, 8]])
def test_boxes_that_are_none(case, size):
    ramp, references, _ = case()
    with pytest.raises(ConfigError, match=r"background_box_size: found .*, expected two positive numbers"):
        clean_flicker_noise(ramp, references, background_box_size=size)


def test_regions_that_need_no_wcs(make_ramp, make_references):
    ramp = make_ramp(np.zeros((1, 1, 1200, 8)))
    dq = np.zeros((1200, 8), np.uint32)
    dq[5, 5] = 1 << 29
    for exp_type, rows in (("NRS_IFU", 194), ("NRS_MSASPEC", 194), ("NRS_FIXEDSLIT", 0), ("NRC_IMAGE", 0)):
        ramp.header["EXP_TYPE"] = exp_type
        regions = science_regions(ramp, dq, None)
        assert regions[922:1116].sum() == 8 * rows
        assert regions.sum() == 8 * rows + exp_type.startswith("NRS")


def test_pupil_wheel_out_of_range():
    tree = {"meta": {"pwcpos_bounds": [245.5, 246.0], "pwcpos_cmd": 245.76}}
    with pytest.raises(MissingReferenceError, match="PASTASOSS reference: entry 'wavemap_wlmin' is missing"):
        soss_traces(tree, 245.7, "SUBSTRIP256")
    tree["meta"] |= {"wavemap_wlmin": 0.5, "wavemap_wlmax": 3.0, "wavemap_nwl": 10}
    for position in (246.5, None):
        with pytest.raises(BadDataError, match=rf"PWCPOS is {position}, expected 245.5 to 246.0 degrees"):
            soss_traces(tree, position, "SUBSTRIP256")
