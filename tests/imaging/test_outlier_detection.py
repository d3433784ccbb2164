"""Outlier detection against constructed truth, and its parts against plain numpy."""

import re
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clip

from snakewebb.compiled import available_threads, set_threads
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging import outlier_detection as module
from snakewebb.imaging import resample as resample_module
from snakewebb.imaging.mosaic import Exposure, Mosaic
from snakewebb.imaging.outlier_detection import outlier_detection, weight_threshold
from snakewebb.imaging.outlier_flags import flag_outliers
from snakewebb.imaging.outlier_limits import outliers_of
from snakewebb.imaging.output_grid import TanProjection
from snakewebb.imaging.stack_median import median_of
from snakewebb.io.models import Image

SCALE = 0.063 / 3600.0
SHAPE = (90, 100)
NOISE = 0.05


def exposures_of_a_star_field(n=5, hits=30, level=0.0, slope=0.0, seed=1):
    """Dithered images of Gaussian stars, and the pixels of each that a cosmic ray hit."""
    rng = np.random.default_rng(seed)
    stars = rng.uniform(0.05, 0.95, (25, 2)) * SHAPE[::-1]
    fluxes = 10 ** rng.uniform(-0.5, 0.5, 25)
    y, x = np.indices(SHAPE, dtype=float)
    made, truth = [], []
    for number in range(n):
        shift = rng.uniform(-5, 5, 2)
        angle = np.deg2rad(20.0)
        pc = ((-np.cos(angle), np.sin(angle)), (np.sin(angle), np.cos(angle)))
        wcs = TanProjection((49.5 + shift[0], 44.5 + shift[1]), (10.0, 41.0), (SCALE, SCALE), pc)
        scene = np.full(SHAPE, 0.3)
        for (a, b), flux in zip(stars + shift, fluxes, strict=True):
            scene += flux * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 1.3**2))
        # of each exposure its own
        slopes = {"BKGSLPX": slope * (-1) ** number, "BKGSLPY": -0.5 * slope}
        plane = slopes["BKGSLPX"] * (x - x.mean()) + slopes["BKGSLPY"] * (y - y.mean())
        data = scene + NOISE * rng.normal(size=SHAPE) + level + plane
        hit = np.zeros(SHAPE, bool)
        hit[rng.integers(14, 76, hits), rng.integers(14, 86, hits)] = True  # where three exposures or more overlap
        data[hit] += 60 * NOISE + 3.0 * (scene[hit] - 0.3)
        science = {"BUNIT": "MJy/sr", "ROLL_REF": 20.0, "V3I_YANG": 0.0, "VPARITY": -1, "RA_REF": 10.0, "DEC_REF": 41.0}
        if level:
            science |= {"BKGLEVEL": level, "BKGSUB": False, **(slopes if slope else {})}
        image = Image(
            fits.Header({"EFFEXPTM": 100.0}),
            fits.Header(science),
            data.astype(np.float32),
            np.full(SHAPE, NOISE, np.float32),
            np.zeros(SHAPE, np.uint32),
            var_rnoise=np.full(SHAPE, NOISE**2, np.float32),
            wcs=wcs,
        )
        made.append(Exposure.of_image(image, f"exposure{number}"))
        truth.append(hit)
    return made, truth


@pytest.mark.parametrize(("level", "slope"), [(0.0, 0.0), (7.5, 0.0), (7.5, 0.01)])
def test_hits_are_found_and_stars_are_kept(level, slope):
    exposures, truth = exposures_of_a_star_field(level=level, slope=slope)
    mosaic = Mosaic(exposures)
    status = outlier_detection(mosaic, None)
    assert status.state == "COMPLETE"
    found = missed = false = 0
    for exposure, hit in zip(exposures, truth, strict=True):
        image = exposure.load()
        flagged = image.dq & 16 > 0
        np.testing.assert_array_equal(flagged, image.dq & 1 > 0)
        np.testing.assert_array_equal(flagged, np.isnan(image.data))
        np.testing.assert_array_equal(flagged, np.isnan(image.var_rnoise))
        found += np.count_nonzero(flagged & hit)
        missed += np.count_nonzero(~flagged & hit)
        false += np.count_nonzero(flagged & ~hit)
        assert mosaic.outlier_fractions[exposure.name] == np.count_nonzero(flagged) / flagged.size
    assert missed <= 0.02 * (found + missed)
    assert false <= 1e-3 * 5 * np.prod(SHAPE)


@pytest.mark.parametrize("resample_data", [True, False])
def test_an_exposure_that_disagrees_as_a_whole_is_named(caplog, resample_data):
    """Its sky is 40 errors too high: the log and the status say that it is as good as left out, and of the others nothing."""
    exposures, _ = exposures_of_a_star_field(n=4, hits=0)
    exposures[2].load().data += np.float32(40 * NOISE)
    status = outlier_detection(Mosaic(exposures), None, resample_data=resample_data, snr="12 12")
    expected = (
        r"exposure2: (9\d|100)(\.\d+)? % of the pixels that can be compared differ from the median of the exposures"
    )
    assert re.search(rf"\d % of the pixels at most; {expected}", status.reason), status.reason
    said = [message for message in caplog.messages if "can be compared" in message]
    assert len(said) == 1
    assert re.match(expected, said[0])


def test_exposures_are_saved_one_by_one():
    exposures, _ = exposures_of_a_star_field(n=3)
    saved = []
    for exposure in exposures:
        exposure.save = lambda image, name=exposure.name: saved.append((name, np.count_nonzero(image.dq)))
    outlier_detection(Mosaic(exposures), None)
    # the last one is in memory when the median is made
    assert [name for name, _ in saved] == ["exposure2", "exposure1", "exposure0"]
    assert all(count > 0 for _, count in saved)


def test_one_exposure_is_passed_on():
    exposures, _ = exposures_of_a_star_field(n=1)
    before = exposures[0].load().data.copy()
    saved = []
    exposures[0].save = saved.append
    status = outlier_detection(Mosaic(exposures), None)
    assert status.state == "NOT_APPLICABLE"
    assert "fewer than two" in status.reason
    np.testing.assert_array_equal(saved[0].data, before)
    assert not saved[0].dq.any()


@pytest.mark.parametrize("change", ["in a file", "one thread"])
def test_same_flags_whatever_the_storage_and_threads(change, monkeypatch):
    flags = []
    for changed in (False, True):
        exposures, _ = exposures_of_a_star_field(n=4)
        parameters = {}
        if changed and change == "in a file":
            parameters = {"in_memory": False}
            monkeypatch.setattr(module, "LARGEST_STACK", 0)
        try:
            set_threads(1 if changed and change == "one thread" else available_threads())
            outlier_detection(Mosaic(exposures), None, **parameters)
        finally:
            set_threads(available_threads())
        flags.append(b"".join(exposure.load().dq.tobytes() for exposure in exposures))
    assert flags[0] == flags[1]


def test_intermediate_results():
    exposures, _ = exposures_of_a_star_field(n=3)
    mosaic = Mosaic(exposures)
    kept = []
    mosaic.save_intermediate = lambda suffix, name, array: kept.append((suffix, name, array.ndim))
    outlier_detection(mosaic, None, save_intermediate_results=True)
    names = [exposure.name for exposure in exposures]
    assert kept == [("outlier_i2d", name, 2) for name in names] + [("median", None, 2)] + [
        ("blot", name, 2) for name in reversed(names)
    ]


def test_without_resampling_shapes_must_agree():
    exposures, _ = exposures_of_a_star_field(n=2)
    exposures[1].shape = (80, 80)
    with pytest.raises(BadDataError, match="exposure1: the shape is"):
        outlier_detection(Mosaic(exposures), None, resample_data=False)


@pytest.mark.parametrize("text", ["5", "5 4 3", "five four"])
def test_limits_are_two_numbers(text):
    exposures, _ = exposures_of_a_star_field(n=2)
    with pytest.raises(ConfigError, match=r"steps.outlier_detection.snr: found '.*', expected two numbers"):
        outlier_detection(Mosaic(exposures), None, snr=text)


def test_median():
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 8, 60):
        stack = rng.normal(size=(n, 20, 30)).astype(np.float32).round(1)
        stack[rng.random(stack.shape) < 0.3] = np.nan
        stack[:, 3, 4] = np.nan
        expected = np.full((20, 30), np.nan, np.float32)
        known = ~np.isnan(stack).all(axis=0)
        expected[known] = np.nanmedian(stack[:, known], axis=0)
        np.testing.assert_array_equal(median_of(stack), expected)


def test_weight_threshold():
    rng = np.random.default_rng(3)
    weight = rng.normal(400.0, 10.0, (200, 210)).astype(np.float32)
    weight[:, :50] = rng.uniform(0.0, 400.0, (200, 50))
    weight[150:] = 0.0
    weight[0, 60] = 1e6
    clipped = sigma_clip(weight[weight != 0], sigma=3, maxiters=5, masked=False)
    assert weight_threshold(weight, 0.7) == pytest.approx(0.7 * np.mean(clipped, dtype=float), rel=1e-6)
    assert np.isnan(weight_threshold(np.zeros((3, 3), np.float32), 0.7))


def test_outliers_by_hand():
    """A lone deviation above the first limit, its neighbour above the second, another without such a neighbour."""
    expected = np.zeros((9, 9), np.float32)
    err = np.ones((9, 9), np.float32)
    data = np.zeros((9, 9), np.float32)
    data[2, 2], data[3, 3], data[6, 6], data[0, 8] = 5.5, -4.5, 4.5, 5.5
    err[0, 8] = np.nan
    flagged = outliers_of(data, err, expected, (5.0, 4.0), (1.2, 0.7), 0.0)
    assert sorted(map(tuple, np.argwhere(flagged).tolist())) == [(0, 8), (2, 2), (3, 3)]
    expected[4:, :] = 3.0  # a step of 3 raises both limits on its sides
    data[4:, :] += 3.0
    assert not outliers_of(data, err, expected, (5.0, 4.0), (1.2, 0.7), 0.0)[3, 3]
    expected[2, 2] = np.nan
    assert not outliers_of(data, err, expected, (5.0, 4.0), (1.2, 0.7), 0.0)[2, 2]


def test_everything_unusable_becomes_nan():
    exposures, _ = exposures_of_a_star_field(n=1)
    image = exposures[0].load()
    image.dq[1, 1] = 1
    image.data[2, 2] = np.nan
    outliers = np.zeros(SHAPE, bool)
    outliers[3, 3] = True
    assert flag_outliers(image, outliers) == pytest.approx(1 / (np.prod(SHAPE) - 1))
    for plane in (image.data, image.err, image.var_rnoise):
        assert [tuple(index) for index in np.argwhere(np.isnan(plane)).tolist()] == [(1, 1), (2, 2), (3, 3)]
    assert (image.dq[1, 1], image.dq[2, 2], image.dq[3, 3]) == (1, 1, 17)


def test_each_exposure_is_mapped_and_resampled_once_and_the_last_read_once(monkeypatch):
    exposures, _ = exposures_of_a_star_field(n=3)
    counts = {"maps": 0, "resamplings": 0, "reads": []}

    class CountedMap(resample_module.PixelMap):
        def __init__(self, *arguments, **keywords):
            counts["maps"] += 1
            super().__init__(*arguments, **keywords)

    class CountedDrizzle(module.Drizzle):
        def add(self, *arguments, **keywords):
            counts["resamplings"] += 1
            super().add(*arguments, **keywords)

    for exposure in exposures:

        def counted(done=None, exposure=exposure, load=exposure.load):
            counts["reads"].append(exposure.name)
            return load(done)

        exposure.load = counted
    monkeypatch.setattr(resample_module, "PixelMap", CountedMap)
    monkeypatch.setattr(module, "Drizzle", CountedDrizzle)
    outlier_detection(Mosaic(exposures), None)
    assert (counts["maps"], counts["resamplings"]) == (3, 3)
    assert counts["reads"] == ["exposure0", "exposure1", "exposure2", "exposure1", "exposure0"]


@pytest.mark.parametrize("number", [1, 2, 3, 16, 17])
def test_median_of_few_and_of_many_planes(number):
    rng = np.random.default_rng(number)
    stack = rng.normal(size=(number, 9, 300)).astype(np.float32)
    stack[rng.random(stack.shape) < 0.3] = np.nan
    stack[:, 4, 5] = np.nan
    stack[0, 2, 3] = np.inf
    with warnings.catch_warnings(action="ignore"):
        expected = np.nanmedian(stack, axis=0)
    np.testing.assert_array_equal(median_of(stack), expected)
