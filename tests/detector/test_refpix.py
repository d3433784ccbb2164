import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.refpix import refpix
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.steps import NOT_APPLICABLE


def detector_frame(array, detector):
    """The oracle's rule for NIRCam: long-wave A, A1, A3, B2, B4 are mirrored along rows, the others along columns."""
    mirrored = detector in ("NRCALONG", "NRCA1", "NRCA3", "NRCB2", "NRCB4")
    return array[..., ::-1] if mirrored else array[..., ::-1, :]


@pytest.mark.parametrize("detector", ["NRCALONG", "NRCB3"])
def test_offsets_of_amplifiers_and_columns_are_removed(make_ramp, detector):
    """A stripe along the first rows of the detector: offsets of its four amplifiers, and of their odd columns."""
    data = np.zeros((2, 2, 40, 2048))
    column = np.arange(2048)
    offset = 10.0 * (column // 512) + 3 * (column % 2)
    detector_frame(data, detector)[:] = offset + np.array([0, 100])[:, None, None]
    corner = (1, 1) if detector == "NRCALONG" else (1, 2009)
    ramp = make_ramp(data, zeroframe=data[:, 0], detector=detector, corner=corner, NOUTPUTS=4)
    refpix(ramp, None)
    assert np.abs(ramp.data).max() == 0
    assert np.abs(ramp.zeroframe).max() == 0


def test_slow_drift_of_rows_is_removed_by_the_sides(make_ramp):
    """A linear drift along the rows is its own running median, but for the ends, where it is mirrored."""
    drift = 0.5 * np.arange(200)[:, None]
    data = np.broadcast_to(drift, (1, 1, 200, 2048))
    ramp = make_ramp(data, corner=(1, 901), NOUTPUTS=4)
    refpix(ramp, None)
    assert np.abs(ramp.data[0, 0, 5:-5]).max() < 1e-4
    untouched = make_ramp(data, corner=(1, 901), NOUTPUTS=4)
    assert refpix(untouched, None, use_side_ref_pixels=False).state == NOT_APPLICABLE
    half = make_ramp(data, corner=(1, 901), NOUTPUTS=4)
    refpix(half, None, side_gain=0.5)
    np.testing.assert_allclose(half.data[0, 0, 5:-5], 0.5 * data[0, 0, 5:-5], atol=1e-4)


def test_cosmic_rays_are_clipped_and_bad_pixels_left_out(make_ramp):
    rng = np.random.default_rng(1)
    data = rng.normal(50, 1, (1, 1, 40, 2048))
    data[0, 0, 0, ::37] = 5000  # cosmic rays
    data[0, 0, 1, ::3] = -9999  # a third of a row, which clipping would not find
    pixeldq = np.zeros((40, 2048), np.uint32)
    pixeldq[1, ::3] = DO_NOT_USE
    ramp = make_ramp(data, pixeldq=pixeldq, NOUTPUTS=4)
    refpix(ramp, None, use_side_ref_pixels=False)
    # 1024 pixels of noise 1 in each mean
    assert np.abs((data - ramp.data)[0, 0, 20] - 50).max() < 0.2


def test_one_output_uses_pixels_flagged_as_reference(make_ramp):
    data = np.full((1, 2, 30, 31), 7.0)
    data[..., 1::2] = 9
    data[..., 10:, :] += 100
    pixeldq = np.zeros((30, 31), np.uint32)
    pixeldq[:4] = REFERENCE_PIXEL
    ramp = make_ramp(data, pixeldq=pixeldq)
    refpix(ramp, None)
    assert np.all(ramp.data[:, :, :10] == 0)
    assert np.all(ramp.data[:, :, 10:] == 100)


def test_marks_of_the_zero_frame_stay(make_ramp):
    data = np.full((1, 1, 40, 2048), 50.0)
    zeroframe = data[:, 0].copy()
    zeroframe[0, 20, 20] = 0
    ramp = make_ramp(data, zeroframe=zeroframe, NOUTPUTS=4)
    refpix(ramp, None)
    assert not ramp.zeroframe.any()
    zeroframe[0, 20, 20] = 1
    ramp = make_ramp(data, zeroframe=zeroframe, NOUTPUTS=4)
    refpix(ramp, None)
    assert ramp.zeroframe[0, 20, 20] == -49


def test_reasons_for_doing_nothing(make_ramp):
    data = np.full((1, 2, 30, 31), 7.0)
    for keywords, reason in (
        ({"corner": (2040, 1)}, "does not fit on the detector"),
        ({"corner": (800, 800), "NOUTPUTS": 4}, "no usable reference pixels"),
        ({"corner": (1, 1), "NOUTPUTS": 1}, "no usable reference pixels"),
    ):
        ramp = make_ramp(data, **keywords)
        status = refpix(ramp, None)
        assert status.state == NOT_APPLICABLE
        assert reason in status.reason
        assert np.all(ramp.data == 7)


def test_any_number_of_threads_gives_the_same(make_ramp):
    data = np.random.default_rng(1).normal(0, 30, (2, 3, 90, 2048))
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_ramp(data, NOUTPUTS=4)
        refpix(ramp, None)
        results.append(ramp.data)
    np.testing.assert_array_equal(*results)
