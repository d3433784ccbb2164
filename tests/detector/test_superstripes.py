import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.chain import run_chain
from snakewebb.detector.stripes import STRIPE_KEYWORDS, lines_of
from snakewebb.detector.superstripes import collate, collated_shape, collated_subarray
from snakewebb.dq import DO_NOT_USE, JUMP_DET, REFERENCE_PIXEL
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.fits import write
from snakewebb.io.persistence_windows import read_all_windows
from snakewebb.io.products import read_image, write_image, write_ramp
from snakewebb.io.references import References
from snakewebb.io.scratch import Scratch
from snakewebb.io.uncal import read_ramp
from snakewebb.steps import NOT_APPLICABLE, SKIPPED, Status

REPOSITORY = Path(__file__).parents[2]
THREE = (2, 10, 0, 0, 0, 0, 8, 3)  # two lines of reference pixels, then eight lines of each of three stripes
CHAIN = (
    *("dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current"),
    *("jump", "ramp_fit", "gain_scale"),
)


def number(line, column):
    """A sample that says where it comes from."""
    return 10 * line + 1000 * column


@pytest.fixture
def make_stripes(make_ramp):
    """A ramp whose samples are numbers of lines and columns of the detector: ``make_stripes(values, size, rounds=2, ...)``."""

    def make(
        values, size, *, rounds=2, ngroups=3, first=0, extra=0, axes=(1, 2), subarray="FULL_SUPSTP008", **keywords
    ):
        along_rows = abs(axes[1]) == 2
        nints = rounds * values[-1] + extra
        shape = (size, 6) if along_rows else (6, size)
        ramp = make_ramp(
            np.zeros((nints, ngroups, *shape)), FASTAXIS=axes[0], SLOWAXIS=axes[1], SUBARRAY=subarray, **keywords
        )
        ramp.header.update(dict(zip(STRIPE_KEYWORDS, values, strict=True)))
        ramp.header.update({"NINTS": nints + first})
        ramp.first_integration = first
        ramp.pixeldq = np.zeros((values[-1], *shape), np.uint32)
        lines = lines_of(ramp.header)[1]
        for integration in range(nints):
            line = lines[(first + integration) % values[-1]]
            plane = number(line[:, None], np.arange(6)) if along_rows else number(line, np.arange(6)[:, None])
            ramp.data[integration] = plane + np.arange(ngroups)[:, None, None] + 0.125 * integration
        return ramp

    return make


@pytest.mark.parametrize("axes", [(1, 2), (1, -2), (2, 1), (-2, -1)])
def test_lines_come_to_their_places(make_stripes, axes):
    ramp = make_stripes(THREE, 10, axes=axes)
    flags = np.arange(1, ramp.pixeldq.size + 1, dtype=np.uint32).reshape(ramp.pixeldq.shape)
    ramp.pixeldq[:] = flags
    shape = collated_shape(ramp.header, ramp.data.shape)
    assert collate(ramp) == ""
    assert ramp.data.shape == ramp.groupdq.shape == shape
    data, pixeldq = (np.moveaxis(array, -1, -2) if abs(axes[1]) == 1 else array for array in (ramp.data, ramp.pixeldq))
    # detector lines 12 to 35, read backwards in a frame of the products where the slow axis is negative
    line = np.arange(12, 36) if axes[1] > 0 else 2047 - np.arange(12, 36)[::-1]
    slow = 2 if abs(axes[1]) == 2 else 1
    assert ramp.header[f"SUBSTRT{slow}"] == line[0] + 1
    assert ramp.header[f"SUBSIZE{slow}"] == 24
    stripe = (np.arange(24) if axes[1] > 0 else np.arange(24)[::-1]) // 8
    for integration in range(2):
        for group in range(3):
            origin = 3 * integration + stripe
            expected = number(line[:, None], np.arange(6)) + group + 0.125 * origin[:, None]
            np.testing.assert_array_equal(data[integration, group], expected)
    # flags of lines of reference pixels are left out
    assert np.isin(pixeldq, flags).all()
    assert len(np.unique(pixeldq)) == 24 * 6
    assert not any(keyword in ramp.header for keyword in STRIPE_KEYWORDS)
    assert [ramp.header[keyword] for keyword in ("NINTS", "INTSTART", "INTEND", "NGROUPS")] == [2, 1, 2, 3]
    assert ramp.read_times is None


def test_frames_of_soss_have_all_columns(make_stripes):
    ramp = make_stripes(
        (4, 0, 0, 0, 0, 0, 680, 3), 684, axes=(-2, -1), subarray="SUB680STRIPE_SOSS", corner=(2048, 1793)
    )
    collate(ramp)
    assert ramp.data.shape == (2, 3, 6, 2048)
    assert np.isnan(ramp.data[..., :4]).all()
    assert np.isnan(ramp.data[..., -4:]).all()
    np.testing.assert_array_equal(ramp.data[0, 0, 0, 4:2044] // 10, np.arange(4, 2044))
    np.testing.assert_array_equal(
        np.flatnonzero(ramp.pixeldq[0] == REFERENCE_PIXEL), [0, 1, 2, 3, 2044, 2045, 2046, 2047]
    )
    assert (ramp.header["SUBSTRT1"], ramp.header["SUBSIZE1"], ramp.header["SUBSTRT2"]) == (1, 2048, 1793)


@pytest.mark.parametrize(
    ("values", "size", "repeats", "lines"),
    [
        ((1, 10, 4, 0, 1, 0, 4, 2), 15, 3, range(11, 19)),
        ((1, 10, 0, 0, 1, 0, 4, 2), 15, 3, range(11, 19)),  # MSTR_RD2 of 0 stands for SSTR_STP
        ((1, 10, 4, 3, 0, 0, 20, 2), 9, 1, [*range(11, 15), *range(18, 22), *range(31, 35), *range(38, 42)]),
        ((1, 10, 4, 3, 1, 1, 0, 1), 10, 1, [*range(11, 15), *range(18, 22)]),
    ],
    ids=["repeated", "repeated, of one step", "stripes of two", "interleaved"],
)
def test_each_time_that_a_frame_reads_a_line_is_a_group(make_stripes, values, size, repeats, lines):
    """Lines that a frame reads once are a single sample, in however many pieces."""
    ramp = make_stripes(values, size, NOUTPUTS=1)
    ramp.data += np.arange(size)[:, None] * np.float32(1 / 64)  # place in the array
    order = ramp.data[0, 0, :, 0] % 1 * 64
    assert (np.diff(order) == 1).all()
    collate(ramp)
    assert ramp.data.shape[1] == 3 * repeats
    read = np.flatnonzero(~np.isnan(ramp.data[0, 0, :, 0])) + ramp.header["SUBSTRT2"] - 1
    np.testing.assert_array_equal(read, lines)
    if repeats > 1:
        place = ramp.data[0, :, 0, 0] % 0.125 * 64
        np.testing.assert_array_equal(place % 8, np.tile([1, 6, 11], 3) % 8)
        steps = np.diff(ramp.read_times)
        row = (6 + 12) * 1e-5
        # five lines between samples of a frame, and the lines that a frame has beyond its own before the next
        np.testing.assert_allclose(steps, np.tile([5 * row, 5 * row, 8 * row], 3)[:-1], rtol=1e-9)
    else:
        assert ramp.read_times is None


def test_jumps_are_searched_with_the_true_intervals(make_stripes, make_references):
    """Samples of a steady light that follow each other quickly in a frame, and slowly from one group to the next."""
    values, ngroups = (1, 10, 4, 0, 1, 0, 4, 2), 5
    row = (6 + 12) * 1e-5
    frame = row * (15 + 3)
    # three samples of five lines in a frame, the first one after a reset of three lines more; three frames are skipped between groups
    times = np.add.outer(np.arange(ngroups) * (row * (8 + 5 + 5) + 3 * frame), row * np.array([8, 13, 18]))
    fractions = {}
    for compatibility in ("native", "jwst"):
        rng = np.random.default_rng(6)
        ramp = make_stripes(
            values, 15, rounds=40, ngroups=ngroups, NOUTPUTS=1, GROUPGAP=3, TFRAME=frame, TGROUP=4 * frame
        )
        light = rng.poisson(np.diff(2e5 * times.ravel(), prepend=0)[:, None, None], (80, 15, 4, 6)).cumsum(axis=1)
        for sample in range(3):
            ramp.data[:, :, 5 * sample + 1 : 5 * sample + 5] = light[:, sample::3]
        references = make_references(
            ramp,
            gain={"SCI": np.ones((2048, 6), np.float32)},
            readnoise={"SCI": np.full((2048, 6), 5, np.float32)},
        )
        chain = [{"step": "jump", "parameters": {"compatibility": compatibility}}]
        run_chain(ramp, chain, References(references.paths, ramp.subarray, lines_of(ramp.header)))
        np.testing.assert_allclose(ramp.read_times, times.ravel(), rtol=1e-9)
        fractions[compatibility] = np.mean(ramp.groupdq[:, 1:] & JUMP_DET != 0)
    assert fractions["native"] < 0.02
    assert fractions["jwst"] > 0.1


def test_incomplete_rounds_are_left_out(make_stripes):
    ramp = make_stripes(THREE, 10, first=4, extra=1)  # begins with the second stripe of the second round
    assert collate(ramp) == "4 integrations of incomplete rounds of 3 stripes were left out"
    assert ramp.data.shape[0] == 1
    assert ramp.first_integration == 2
    assert (ramp.header["INTSTART"], ramp.header["INTEND"]) == (3, 3)
    np.testing.assert_array_equal(ramp.data[0, 0, :, 0] // 10, np.arange(12, 36))
    with pytest.raises(
        BadDataError, match=r"SSTR_NST is 3, but integrations 2 to 4 hold no complete round of 3 stripes"
    ):
        collate(make_stripes(THREE, 10, rounds=1, first=1))


def test_times_of_stripes_and_of_rounds(make_stripes):
    kinds = [("integration_number", "i4"), *((f"int_{part}_MJD_UTC", "f8") for part in ("start", "mid", "end"))]
    for missing in (False, True):
        ramp = make_stripes(THREE, 10, first=3)
        # other integrations too, in no order
        numbers = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1])
        table = np.empty(9, kinds)
        table["integration_number"] = numbers
        for name, offset in zip(("start", "mid", "end"), (0, 0.3, 0.5), strict=True):
            table[f"int_{name}_MJD_UTC"] = numbers + offset
        ramp.int_times = table[:4] if missing else table
        collate(ramp)
        if missing:
            assert ramp.int_times is ramp.int_times_stripe is None
            continue
        assert ramp.int_times.tolist() == [(2, 4.0, 5.25, 6.5), (3, 7.0, 8.25, 9.5)]
        assert ramp.int_times_stripe["integration_number"].tolist() == [2, 2, 2, 3, 3, 3]
        assert ramp.int_times_stripe["stripe_number"].tolist() == [1, 2, 3, 1, 2, 3]
        assert ramp.int_times_stripe["int_mid_MJD_UTC"].tolist() == [4.3, 5.3, 6.3, 7.3, 8.3, 9.3]


def test_each_stripe_has_its_own_reference_pixels(make_ramp, make_references):
    """One stripe has a bad line of reference pixels: native leaves it out there, `jwst` judges by the first stripe."""
    level = np.random.default_rng(1).normal(0, 100, (6, 4))
    results = {}
    for compatibility in ("native", "jwst"):
        ramp = make_ramp(
            np.zeros((6, 4, 10, 40)) + level[:, :, None, None], SLOWAXIS=2, FASTAXIS=1, SUBARRAY="FULL_SUPSTP008"
        )
        ramp.header.update(dict(zip(STRIPE_KEYWORDS, THREE, strict=True)))
        ramp.data[1::3, :, 1] += 500
        ramp.pixeldq = np.zeros((3, 10, 40), np.uint32)
        ramp.pixeldq[:, :2] = REFERENCE_PIXEL
        ramp.pixeldq[1, 1] |= np.uint32(DO_NOT_USE)
        chain = [{"step": "refpix", "parameters": {"compatibility": compatibility, "siglimit": 1e3}}]
        run_chain(ramp, chain, References({}, ramp.subarray, lines_of(ramp.header)))
        results[compatibility] = ramp.data.reshape(2, 4, 3, 8, 40)
    np.testing.assert_allclose(results["native"], 0, atol=1e-4)
    np.testing.assert_allclose(results["jwst"][:, :, [0, 2]], 0, atol=1e-4)
    np.testing.assert_allclose(results["jwst"][:, :, 1], -250, atol=1e-3)


@pytest.fixture
def uncal(make_stripes, tmp_path):
    """A raw file of stripes with ramps of light, and references that cover the detector's lines."""
    rng = np.random.default_rng(4)
    ramp = make_stripes(THREE, 10, rounds=4, ngroups=5, NOUTPUTS=1)
    lines = lines_of(ramp.header)[1]
    rate, bias = rng.uniform(5, 50, (2048, 6)), rng.normal(10000, 100, (2048, 6)).astype(np.float32)
    samples = np.empty(ramp.data.shape, np.uint16)
    for integration in range(12):
        at = lines[integration % 3]
        light = np.where(at[:, None] < 4, 0, rate[at]) * 10.7 * np.arange(1, 6)[:, None, None]
        samples[integration] = bias[at] + light + rng.normal(0, 5, light.shape) + rng.normal(0, 30, (5, 1, 1))
    ramp.header.update({"DATAMODL": "Level1bModel", "ZEROFRAM": False})
    kinds = [("integration_number", "i4"), *((f"int_{part}_MJD_UTC", "f8") for part in ("start", "mid", "end"))]
    times = np.array([(n, *(60000 + (100 * n + part) / 86400 for part in (0, 30, 60))) for n in range(1, 13)], kinds)
    units = [
        fits.PrimaryHDU(header=ramp.header),
        fits.ImageHDU(samples, name="SCI"),
        fits.BinTableHDU(times, name="INT_TIMES"),
    ]
    write(tmp_path / "a_uncal.fits", units)
    return tmp_path / "a_uncal.fits", rate, bias


def calibrated(uncal, folder, references, *, budget=1 << 30, skip=(), saved=(), steps=CHAIN):
    chain = [{"step": name, "version": 1, "skip": name in skip, "save_results": name in saved} for name in steps]
    with Scratch(folder, budget=budget, resident=1 << 16) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        assert (ramp.scratch is None) == (budget > 0)
        written = References(references.paths, ramp.subarray, lines_of(ramp.header))
        outcomes = run_chain(ramp, chain, written, save=lambda name, ramp: write_ramp(folder / f"{name}.fits", ramp))
        for name, image in (("ImageModel", ramp.rate), ("CubeModel", ramp.rateints)):
            if image is not None:
                write_image(folder / f"{name}.fits", image, name)
    return ramp, {outcome.step: outcome.status for outcome in outcomes}


@pytest.fixture
def references(make_references, uncal):
    path, _, bias = uncal
    full = (2048, 6)
    mask = np.zeros(full, np.uint32)
    mask[:4] = REFERENCE_PIXEL
    mask[20, 2] = DO_NOT_USE
    coefficients = np.zeros((3, *full), np.float32)
    coefficients[1] = 1
    flags = np.zeros(full, np.uint32)
    return make_references(
        read_ramp(path),
        mask={"DQ": mask},
        saturation={"SCI": np.full(full, 60000, np.float32), "DQ": flags},
        superbias={"SCI": bias, "ERR": bias * 0, "DQ": flags},
        linearity={"COEFFS": coefficients, "DQ": flags},
        dark={"SCI": np.zeros((5, *full), np.float32), "DQ": flags, "header": {"NFRAMES": 1, "GROUPGAP": 0}},
        ipc={"SCI": np.ones((3, 3), np.float32)},
        gain={"SCI": np.ones(full, np.float32), "header": {"GAINFACT": 2.0}},
        readnoise={"SCI": np.full(full, 7, np.float32)},
    )


def test_rates_are_the_true_ones(uncal, references, tmp_path):
    ramp, statuses = calibrated(uncal[0], tmp_path, references)
    assert statuses["ipc"] == Status(NOT_APPLICABLE, "the neighbours of superstripes are in other integrations")
    pulls = (ramp.rate.data / 2 - uncal[1][12:36]) / (ramp.rate.err / 2)
    bad = np.zeros(pulls.shape, bool)
    bad[8, 2] = True
    np.testing.assert_array_equal(np.isnan(pulls), bad)
    np.testing.assert_array_equal(ramp.rate.dq & DO_NOT_USE != 0, bad)
    assert abs(np.nanmean(pulls)) < 0.3
    assert ramp.rateints.data.shape == (4, 24, 6)
    image = read_image(tmp_path / "CubeModel.fits")
    assert image.int_times_stripe["stripe_number"].tolist() == [1, 2, 3] * 4
    assert np.round((image.int_times["int_end_MJD_UTC"] - 60000) * 86400, 3).tolist() == [360, 660, 960, 1260]


@pytest.mark.parametrize("saved", [(), ("saturation", "refpix", "jump")])
def test_streamed_exposures_give_the_same(uncal, references, tmp_path, saved, monkeypatch):
    # a round at a time
    monkeypatch.setattr("snakewebb.detector.superstripes._PORTION", 1)
    held, _ = calibrated(uncal[0], tmp_path / "held", references)
    streamed, _ = calibrated(uncal[0], tmp_path / "streamed", references, budget=0, saved=saved)
    for name in ("data", "groupdq", "pixeldq"):
        assert getattr(held, name).tobytes() == getattr(streamed, name).tobytes(), name
    for name in ("data", "err", "dq", "var_poisson"):
        assert getattr(held.rateints, name).tobytes() == getattr(streamed.rateints, name).tobytes(), name
    for name in saved:
        with fits.open(tmp_path / "streamed" / f"{name}.fits") as units:
            before = name == "saturation"
            assert units[0].header["DATAMODL"] == ("SuperstripeRampModel" if before else "RampModel")
            assert units["PIXELDQ"].data.shape == ((3, 10, 6) if before else (24, 6))
            assert units["SCI"].data.shape == ((12, 5, 10, 6) if before else (4, 5, 24, 6))
            assert ("INT_TIMES_STRIPE" in units) != before


def test_stripes_are_put_together_without_refpix_too(uncal, references, tmp_path):
    ramp, statuses = calibrated(uncal[0], tmp_path, references, skip=("refpix",))
    assert statuses["refpix"].state == SKIPPED
    assert ramp.rateints.data.shape == (4, 24, 6)
    ramp, _ = calibrated(uncal[0], tmp_path, references, steps=("linearity", "dark_current"))
    assert ramp.data.shape == (4, 5, 24, 6)


def test_windows_of_persistence_are_those_of_the_whole_frame(uncal, references, tmp_path):
    """The job that finds them, and a later exposure in stripes that takes them."""
    path = uncal[0]
    with fits.open(path, mode="update") as units:
        del units["SCI"].header["DATASUM"]
        units["SCI"].data[1, 4, 5, 3] = 65000  # second stripe: line 20 + 5 - 2 of the detector
    spec = importlib.util.spec_from_file_location(
        "windows", REPOSITORY / "workflow" / "scripts" / "persistence_windows.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    work = {
        "chain": [
            *(
                {"step": name, "version": 1, "parameters": {"n_pix_grow_sat": 0} if name == "saturation" else {}}
                for name in CHAIN[:2]
            ),
            {"step": "persistence", "version": 1, "parameters": {"persistence_time": 3600}},
        ],
        "references": {name: {"path": str(references.paths[name])} for name in ("mask", "saturation", "superbias")},
    }
    circumstances = {"crds_path": "", "context": "jwst_0000.pmap"}
    script.find_windows(
        path, tmp_path / "w.asdf", tmp_path / "w.json", work=work, circumstances=circumstances, threads=1
    )
    header = read_ramp(path).header
    assert collated_subarray(header) == (1, 13, 6, 24)
    ends = read_all_windows([tmp_path / "w.asdf"], header["DETECTOR"], collated_subarray(header))
    assert np.argwhere(ends).tolist() == [[11, 3]]


def test_other_steps_must_follow(uncal, references, tmp_path):
    with pytest.raises(
        ConfigError, match=r"step 'jump' cannot use the integrations .* \(superstripes\) .* run after refpix"
    ):
        calibrated(uncal[0], tmp_path, references, steps=("dq_init", "jump", "refpix"))


def test_a_mask_of_the_user_has_a_plane_for_each_stripe(uncal, references, tmp_path):
    user = np.zeros((3, 10, 6), np.int32)
    user[2, 5, 1] = DO_NOT_USE
    fits.PrimaryHDU(user).writeto(tmp_path / "user.fits")
    fits.PrimaryHDU(user[0]).writeto(tmp_path / "plane.fits")
    for name, good in (("user", True), ("plane", False)):
        ramp = read_ramp(uncal[0])
        chain = [{"step": "dq_init", "parameters": {"user_supplied_dq": str(tmp_path / f"{name}.fits")}}]
        written = References(references.paths, ramp.subarray, lines_of(ramp.header))
        if not good:
            with pytest.raises(ConfigError, match=r"expected whole numbers of shape \(3, 10, 6\)"):
                run_chain(ramp, chain, written)
            continue
        run_chain(ramp, chain, written)
        assert np.argwhere(ramp.pixeldq & DO_NOT_USE).tolist() == [[8, 2], [19, 1]]
