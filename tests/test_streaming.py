"""Exposures that are too large for memory: the same results, from arrays on a scratch file, an integration at a time."""

import numpy as np
import pytest
from astropy.io import fits

import snakewebb.chain
from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.detector import row_blocks
from snakewebb.errors import BadDataError, ConfigError, TransientError
from snakewebb.io.fits import write
from snakewebb.io.products import write_image, write_ramp
from snakewebb.io.references import References
from snakewebb.io.scratch import Scratch
from snakewebb.io.uncal import read_ramp
from snakewebb.steps import NOT_APPLICABLE, Status, step

SHAPE = (4, 7, 40, 48)
BIAS, GAIN = 12000.0, 1.8
CHAIN = (
    *("group_scale", "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current"),
    *("jump", "ramp_fit", "gain_scale"),
)


@pytest.fixture
def uncal(make_ramp, tmp_path):
    """A raw file: the last four integrations of an exposure of six, with jumps, saturation and zero frames."""
    rng = np.random.default_rng(11)
    nints, ngroups, ny, nx = SHAPE
    rate = rng.uniform(5, 60, (ny, nx))
    rate[rng.random((ny, nx)) < 0.05] = 9000
    times = 10.0 * np.arange(1, ngroups + 1)[:, None, None]
    signal = rate * times + rng.normal(0, 6, SHAPE)
    signal += 400 * (rng.random(SHAPE) < 0.02).cumsum(axis=1)
    samples = np.clip(BIAS + signal + rng.normal(0, 30, (nints, ngroups, 1, 1)), 0, 65535).astype(np.uint16)
    zeroframe = np.clip(BIAS + rate + rng.normal(0, 6, (nints, ny, nx)), 0, 65535).astype(np.uint16)
    keywords = {"NFRAMES": 3, "FRMDIVSR": 4, "GROUPGAP": 1, "NOUTPUTS": 1}
    header = make_ramp(samples, zeroframe=zeroframe, **keywords).header
    header.update({"NINTS": 6, "INTSTART": 3, "INTEND": 6, "DATAMODL": "Level1bModel"})
    times = fits.Column("integration_number", "J", array=np.arange(3, 7))
    units = [
        fits.PrimaryHDU(header=header),
        fits.ImageHDU(samples, name="SCI"),
        fits.ImageHDU(zeroframe, name="ZEROFRAME"),
        fits.BinTableHDU.from_columns([times], name="INT_TIMES"),
    ]
    write(tmp_path / "raw" / "a_uncal.fits", units)
    return tmp_path / "raw" / "a_uncal.fits"


@pytest.fixture
def paths(uncal, make_references):
    """Reference files for all steps, each with flags of its own."""
    rng = np.random.default_rng(12)
    ny, nx = SHAPE[2:]
    flags = [(1, "DO_NOT_USE"), (2, "HOT"), (4, "NO_LIN_CORR"), (8, "REFERENCE_PIXEL"), (16, "NO_SAT_CHECK")]

    def dq(*bits):
        plane = np.zeros((ny, nx), np.uint32)
        for bit in bits:
            plane[rng.random((ny, nx)) < 0.03] |= np.uint32(bit)
        return plane

    mask = dq(1, 2)
    mask[:4] |= np.uint32(8)
    coefficients = np.zeros((4, ny, nx), np.float32)
    coefficients[1], coefficients[2] = 1, rng.uniform(1e-7, 2e-6, (ny, nx))
    bias = (BIAS + rng.normal(0, 10, (ny, nx))).astype(np.float32)
    dark = rng.normal(0.5, 0.1, (20, ny, nx)).cumsum(axis=0).astype(np.float32)
    return make_references(
        read_ramp(uncal),
        mask={"DQ": mask, "flags": flags},
        saturation={"SCI": np.full((ny, nx), 60000, np.float32), "DQ": dq(16), "flags": flags},
        superbias={"SCI": bias, "DQ": dq(2), "flags": flags},
        linearity={"COEFFS": coefficients, "DQ": dq(4), "flags": flags},
        # DO_NOT_USE of this step must not reach refpix, which comes before it
        dark={"SCI": dark, "DQ": dq(1, 2), "flags": flags, "header": {"NFRAMES": 1, "GROUPGAP": 0}},
        gain={"SCI": np.full((ny, nx), GAIN, np.float32), "header": {"GAINFACT": 2.0}},
        readnoise={"SCI": rng.uniform(8, 12, (ny, nx)).astype(np.float32)},
    ).paths


def calibrated(uncal, paths, folder, names, budget, saved=(), **parameters):
    """Calibrate with a budget; the ramp, its outcomes, and the checksums of all that was written."""
    chain = [
        {"step": name, "version": 1, "parameters": parameters.get(name, {}), "save_results": name in saved}
        for name in names
    ]
    sums = {}

    def save(name, ramp):
        sums[name] = write_ramp(folder / f"{name}.fits", ramp)

    with Scratch(folder, budget=budget, resident=1 << 16) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        assert (ramp.scratch is None) == (budget > 0)
        references = References(paths, ramp.subarray)
        outcomes = run_chain(ramp, chain, references, save=save)
        for name, image in (("ImageModel", ramp.rate), ("CubeModel", ramp.rateints)):
            sums[name] = write_image(folder / f"{name}.fits", image, name)
            # a plain header says what differs better than its checksum
            sums[name].pop("PRIMARY")
    for name in saved:
        sums[name].pop("PRIMARY")
    return ramp, outcomes, sums


def plain(outcomes):
    return [(outcome.step, outcome.status) for outcome in outcomes]


ROW = 5 * SHAPE[0] * SHAPE[1] * SHAPE[3]
"""Bytes of a row of all groups and their flags."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("names", "integration", "rows"),
    [
        (CHAIN, 1 << 30, 3 * ROW),
        (CHAIN, 0, 0),
        (
            ("dq_init", "saturation", "superbias", "jump", "refpix", "linearity", "dark_current", "ramp_fit"),
            1 << 30,
            9 * ROW,
        ),
    ],
    ids=["in memory", "mapped", "jump first"],
)
def test_results_are_the_same_to_the_bit(uncal, paths, tmp_path, monkeypatch, names, integration, rows, threads):
    monkeypatch.setattr(snakewebb.chain, "INTEGRATION_BUDGET", integration)
    monkeypatch.setattr(row_blocks, "_MEMORY", rows)
    set_threads(threads)
    saved = ("saturation", "refpix", "dark_current", "jump")
    options = {"saved": saved, "ramp_fit": {"save_opt": True, "suppress_one_group": False}}
    held, outcomes, sums = calibrated(uncal, paths, tmp_path / "held", names, 1 << 30, **options)
    streamed, streamed_outcomes, streamed_sums = calibrated(uncal, paths, tmp_path / "streamed", names, 0, **options)
    assert np.isfinite(held.rate.data).mean() > 0.8
    assert len({bytes(image) for image in held.rateints.data}) == SHAPE[0]
    assert set(streamed_sums) == {*saved, "ImageModel", "CubeModel"}
    assert streamed_sums == sums
    assert plain(streamed_outcomes) == plain(outcomes)
    assert streamed.rate.header == held.rate.header
    for name in ("data", "groupdq", "pixeldq", "zeroframe", "average_dark_current"):
        assert getattr(streamed, name).tobytes() == getattr(held, name).tobytes(), name
    for ours, theirs in zip(streamed.extra["fitopt"][1:], held.extra["fitopt"][1:], strict=True):
        assert ours.data.tobytes() == theirs.data.tobytes()
    assert not list((tmp_path / "streamed").glob(".scratch*"))


@pytest.mark.parametrize("rows", [0, 3 * ROW])
def test_fits_of_likelihood_are_the_same_to_the_bit(uncal, paths, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(row_blocks, "_MEMORY", rows)
    options = {"ramp_fit": {"algorithm": "LIKELY"}}
    held, _, sums = calibrated(uncal, paths, tmp_path / "held", CHAIN, 1 << 30, **options)
    streamed, _, streamed_sums = calibrated(uncal, paths, tmp_path / "streamed", CHAIN, 0, **options)
    assert held.rate.header["RFITALG"] == "LIKELY"
    assert streamed_sums == sums
    assert streamed.groupdq.tobytes() == held.groupdq.tobytes()


@step(version=1, keyword="S_TOY")
def toy(ramp, references):
    """Notes what it was given, as steps of users may."""
    number = ramp.first_integration
    ramp.data = ramp.data + np.float32(number)
    ramp.groupdq = np.ascontiguousarray(ramp.groupdq[:, :, 2:]) + np.uint8(number)
    ramp.pixeldq = ramp.pixeldq[2:] | np.uint32(1 << number)
    ramp.extra["toy"] = [fits.PrimaryHDU(), fits.ImageHDU(np.full((len(ramp.data), 2, 2), number, np.int32))]
    ramp.header["TOY"] = 1
    ramp.read_times = np.arange(ramp.data.shape[1])
    return Status(reason=f"saw {number}") if number > 3 else Status(NOT_APPLICABLE, "too early")


def test_what_a_step_makes_besides_is_put_together(uncal, tmp_path, monkeypatch):
    monkeypatch.setattr(snakewebb.chain, "find_step", {"toy": toy}.get)
    with Scratch(tmp_path, budget=0) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        chain = [{"step": "toy", "parameters": {}}, {"step": "toy", "skip": True}]
        outcomes = run_chain(ramp, chain, References({}, ramp.subarray))
    raw = fits.getdata(uncal, "SCI")
    for number in range(4):
        np.testing.assert_array_equal(ramp.data[number], raw[number].astype(np.float32) + number + 2)
        assert (ramp.groupdq[number] == number + 2).all()
    assert ramp.groupdq.shape == (*SHAPE[:2], SHAPE[2] - 2, SHAPE[3])
    assert ramp.pixeldq.shape == (SHAPE[2] - 2, SHAPE[3])
    assert (ramp.pixeldq == 4 + 8 + 16 + 32).all()
    np.testing.assert_array_equal(ramp.extra["toy"][1].data[:, 0, 0], [2, 3, 4, 5])
    assert ramp.header["TOY"] == 1
    assert ramp.read_times.size == SHAPE[1]
    assert ramp.first_integration == 2
    assert outcomes[0].status == Status(reason="saw 4; saw 5")
    assert outcomes[1].status.state == "SKIPPED"


def test_corrupt_data_are_found_before_anything_is_written(uncal, paths, tmp_path):
    with fits.open(uncal) as opened:
        start = opened["SCI"].fileinfo()["datLoc"]
    content = bytearray(uncal.read_bytes())
    content[start + 11] ^= 1
    uncal.write_bytes(content)
    with pytest.raises(BadDataError, match=r"SCI\]: DATASUM is \d+ but the data give \d+"):
        calibrated(uncal, paths, tmp_path / "out", CHAIN, 0)
    assert not list((tmp_path / "out").iterdir())


def test_odd_numbers_of_samples_are_summed_right(make_ramp, tmp_path):
    samples = np.random.default_rng(5).integers(0, 65536, (5, 1, 3, 37)).astype(np.uint16)
    header = make_ramp(samples, zeroframe=None, SUBARRAY="SUB64P").header
    write(tmp_path / "a.fits", [fits.PrimaryHDU(header=header), fits.ImageHDU(samples, name="SCI")])
    np.testing.assert_array_equal(read_ramp(tmp_path / "a.fits").data, samples)


def test_scratch_arrays_keep_their_content_when_given_back(tmp_path):
    with Scratch(tmp_path, resident=0) as scratch:
        array = scratch.empty((300, 1000), np.float32)
        assert not array.any()
        array[...] = np.arange(1000)
        scratch.release()
        assert (array == np.arange(1000)).all()
        assert scratch.empty((0, 5)).shape == (0, 5)
    assert (array[7] == np.arange(1000)).all()


def test_parts_of_scratch_arrays_are_copied(tmp_path):
    content = np.random.default_rng(6).normal(size=(3, 4, 50, 700)).astype(np.float32)
    with Scratch(tmp_path) as scratch:
        scratch.empty((9,))  # another file
        array = scratch.empty(content.shape)
        for number in (2, 0, 1):
            scratch.store(array[number], content[number])
        np.testing.assert_array_equal(array, content)
        part = np.empty(content[1].shape, np.float32)
        scratch.load(array[1], part)
        np.testing.assert_array_equal(part, content[1])
        rows = np.empty((3, 4, 7, 700), np.float32)
        scratch.load_rows(array, 11, rows)
        np.testing.assert_array_equal(rows, content[:, :, 11:18])
        scratch.store_rows(array, 43, rows)
        np.testing.assert_array_equal(array[:, :, 43:], content[:, :, 11:18])
        np.testing.assert_array_equal(array[:, :, :43], content[:, :, :43])
        with pytest.raises(ValueError, match="do not agree"):
            scratch.load(array[1], rows)


def test_no_space_and_no_folder_are_said(tmp_path, monkeypatch):
    with pytest.raises(TransientError, match=r"no space for a scratch file of \d+\.\d GB .*SNAKEWEBB_SCRATCH"):
        Scratch(tmp_path).empty((1 << 44,), np.uint8)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="no scratch file can be made here"):
        Scratch(tmp_path / "file").empty((4,))
    monkeypatch.setenv("SNAKEWEBB_SCRATCH", str(tmp_path / "other"))
    Scratch(tmp_path / "file").empty((4,))
    assert (tmp_path / "other").is_dir()


def test_an_integration_is_a_view_with_its_own_pixel_flags(uncal):
    ramp = read_ramp(uncal)
    one = ramp.integration(1)
    assert one.first_integration == 3
    assert np.shares_memory(one.data, ramp.data)
    assert not np.shares_memory(one.pixeldq, ramp.pixeldq)
    assert one.header is ramp.header
    assert one.zeroframe.shape == (1, *SHAPE[2:])
