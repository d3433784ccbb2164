"""Pieces of the correction of interleaved frames, against brute force."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.detector import irs2_noise
from snakewebb.detector.interleaved import is_reference, science_columns, science_rows, without_interleaved
from snakewebb.detector.irs2_columns import bad_columns, replace_column
from snakewebb.detector.refpix import refpix
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.io.references import References
from snakewebb.steps import NO_REFERENCE, find_step

SHAPE = (3200, 2048)


@pytest.fixture
def irs2_ramp(make_ramp):
    def make(data, detector="NRS1", **keywords):
        ramp = make_ramp(data, detector=detector, INSTRUME="NIRSPEC", SUBARRAY="FULL", NOUTPUTS=5, SUBSIZE2=2048)
        ramp.header.update({"NRS_NORM": 16, "NRS_REF": 4, "READPATT": "NRSIRS2RAPID"} | keywords)
        return ramp

    return make


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_interleaved_rows_are_taken_out_in_place(detector):
    rows = science_rows({"DETECTOR": detector})
    assert rows.size == 2048
    assert np.all(np.diff(rows) > 0)
    data = np.arange(2 * 3 * 3200 * 4, dtype=np.float32).reshape(2, 3, 3200, 4)
    expected = data[:, :, rows].copy()
    found = without_interleaved(data, rows)
    np.testing.assert_array_equal(found, expected)
    assert np.shares_memory(found, data)


def test_pattern_of_an_output():
    pattern = "".join("r" if reference else "s" for reference in is_reference())
    assert pattern == "ssssssssrrrrssssssss" * 32
    assert science_columns()[0] == 640


def test_layout_that_is_not_known(irs2_ramp):
    ramp = irs2_ramp(np.zeros((1, 1, *SHAPE)), NRS_NORM=32)
    with pytest.raises(BadDataError, match=r"NRS_NORM = 32 \(expected 16\)"):
        refpix(ramp, References({}, ramp.subarray))


def test_order_of_time():
    order = irs2_noise.TimeOrder.of(False)
    assert order.slots[:14].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15]
    assert order.slots[-1] == 703
    assert order.rows[0, 0] == 639  # the reference output, 2 and 4 are read backwards
    assert order.rows[1, 0] == 640
    assert order.rows[2, 0] == 1919
    turned = irs2_noise.TimeOrder.of(True)
    np.testing.assert_array_equal(turned.rows, 3199 - order.rows)


def test_even_part_gives_the_real_part_of_the_inverse_transform():
    rng = np.random.default_rng(1)
    signal, transfer = rng.normal(size=64), rng.normal(size=64) + 1j * rng.normal(size=64)
    parts = np.empty(128, np.float32)
    parts[::2], parts[1::2] = transfer.real, transfer.imag
    half = np.empty(33, np.complex64)
    irs2_noise._even_part(parts, half)
    expected = np.fft.ifft(transfer * np.fft.fft(signal)).real
    np.testing.assert_allclose(np.fft.irfft(half * np.fft.rfft(signal)), expected, atol=1e-6)


def test_bad_columns_stand_out():
    rng = np.random.default_rng(1)
    data = rng.standard_normal((2, 1, *SHAPE), np.float32)
    data[1, :, 650] += 50  # differs from its other read, in one integration
    data[:, :, 1288:1290] += 30
    data[:, :, 1928:1930] *= 9
    data[:, :, 2568:2570] += 40  # known
    known = np.zeros(3200, bool)
    known[2568] = True
    found = bad_columns(data, known, 6.0)
    assert np.flatnonzero(found).tolist() == [650, 651, 1288, 1289, 1928, 1929]


def test_what_takes_the_place_of_a_column():
    data = np.broadcast_to(np.arange(3200, dtype=np.float32)[:, None], (1, 1, 3200, 2)).copy()
    between = np.tile(is_reference(), 5)

    def replaced(column, *others, direction=1):
        bad = np.zeros(3200, bool)
        bad[[column, *others]] = True
        copy = data.copy()
        replace_column(copy, column, bad, between, (640, 1280), direction)
        return copy[0, 0, column, 0] - column

    assert replaced(668) == 0  # the mean of 648 and 688
    assert replaced(668, 688) == -20
    assert replaced(648) == 20  # the first one of the output
    assert replaced(668, 648, 688) == 2
    assert replaced(670, 650, 690) == -2
    assert replaced(668, 648, 688, 670) == -668  # nothing is left
    assert replaced(670, 650, 690, direction=-1) == -2


def test_gaps_are_filled_with_weighted_means():
    rng = np.random.default_rng(2)
    sequence = rng.normal(5, 1, (2048, 712)).astype(np.float32)
    sequence[rng.random(sequence.shape) < 0.3] = 0
    sequence[10, 100:200] = 0
    filled = np.empty_like(sequence)
    irs2_noise._fill_gaps(sequence, filled)
    flat = sequence.ravel().astype(float)
    weights = np.sin(np.pi * np.arange(1, 32) / 32)
    total = sum(weight * np.roll(flat, shift) for weight, shift in zip(weights, range(-15, 16), strict=True))
    weight = sum(weight * (np.roll(flat, shift) != 0) for weight, shift in zip(weights, range(-15, 16), strict=True))
    expected = np.where(flat != 0, flat, total / np.where(weight == 0, 1, weight))
    np.testing.assert_allclose(filled.ravel(), expected, rtol=1e-6)


def test_without_reference_the_pixels_are_taken_out(irs2_ramp):
    ramp = irs2_ramp(np.broadcast_to(np.arange(3200)[:, None], (1, 2, *SHAPE)), "NRS2")
    status = refpix(ramp, References({}, ramp.subarray))
    assert status.state == NO_REFERENCE
    assert "only taken out" in status.reason
    assert not ramp.interleaved
    assert ramp.groupdq.shape == ramp.data.shape == (1, 2, 2048, 2048)
    assert ramp.pixeldq.shape == (2048, 2048)
    np.testing.assert_array_equal(ramp.data[0, 1, :, 0], science_rows(ramp.header))


def test_a_reference_of_another_length(irs2_ramp, tmp_path):
    columns = [
        fits.Column(f"{name}_{number}", "E", array=[0.0, 1.0]) for name in ("alpha", "beta") for number in range(4)
    ]
    table = fits.BinTableHDU.from_columns(columns, name="IRS2")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "refpix.fits")
    ramp = irs2_ramp(np.zeros((1, 1, *SHAPE)))
    with pytest.raises(MissingReferenceError, match=r"refpix.fits\[IRS2\]: 2 rows found, expected a table of 2916352"):
        refpix(ramp, References({"refpix": tmp_path / "refpix.fits"}, ramp.subarray))


def test_later_steps_refuse_interleaved_frames(irs2_ramp):
    ramp = irs2_ramp(np.zeros((1, 1, *SHAPE)))
    chain = [{"step": "gain_scale", "version": 1, "parameters": {}}]
    with pytest.raises(ConfigError, match="step 'gain_scale' cannot use frames with interleaved"):
        run_chain(ramp, chain, References({"gain": None}, ramp.subarray))


def test_references_must_have_the_same_layout(irs2_ramp, make_references):
    ramp = irs2_ramp(np.zeros((1, 1, *SHAPE)))
    references = make_references(ramp, mask={"DQ": np.zeros((2048, 2048), np.uint32)})
    with pytest.raises(MissingReferenceError, match="has 2048 rows, but the science data need one with interleaved"):
        find_step("dq_init")(ramp, references)


def test_all_integrations_are_needed_for_interleaved_frames_only():
    contract = find_step("refpix").contract
    assert contract.needs_whole_exposure("NRSIRS2RAPID")
    assert not contract.needs_whole_exposure("NRSRAPID")
    assert find_step("jump").contract.needs_whole_exposure("RAPID") is True


def test_any_number_of_threads_gives_the_same():
    rng = np.random.default_rng(1)
    order = irs2_noise.TimeOrder.of(True)
    size = 2048 * 712 // 2 + 1
    transfer = (rng.normal(0, 0.3, (8, size)) + 1j * rng.normal(0, 0.3, (8, size))).astype(np.complex64)
    model = irs2_noise.NoiseModel(transfer[:4], transfer[4:])
    frames = rng.standard_normal((2, *SHAPE), np.float32)
    offset = np.empty(SHAPE)
    irs2_noise.mean_of_groups(0, 3200, frames, offset)
    results = []
    from snakewebb.compiled import by_rows

    for threads in (1, 2):
        set_threads(threads)
        copy = frames.copy()
        by_rows(irs2_noise.subtract_noise, 2, copy, offset, order, model, False, block=1)
        results.append(copy)
    np.testing.assert_array_equal(*results)
    assert not np.array_equal(results[0], frames)
