"""Reference files of MIRI, NIRISS, NIRSpec and FGS: their formats, how they are selected, and that they undo the truth."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.plan.crds_selection import select_names
from snakewebb.simulate import charge, irs2
from snakewebb.simulate import instrument_references as own
from snakewebb.simulate.crds_cache import CONTEXT, KINDS
from snakewebb.simulate.instrument_truth import make_instrument_detector
from snakewebb.simulate.miri_readout import settling
from snakewebb.simulate.raw_modes import raw_design, raw_programme
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, raw_references
from snakewebb.simulate.reference_format import ReferenceErrors, Subarray
from snakewebb.simulate.uncal import reference_keywords

SEED = 3
SUB64 = Subarray("SUB64", 1, 779, 72, 64)


@pytest.fixture(autouse=True)
def memo(tmp_path, monkeypatch):
    """An empty folder for what is remembered of selections."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))


@pytest.fixture(scope="module")
def image():
    return make_instrument_detector("MIRIMAGE", seed=SEED)


@pytest.fixture
def options():
    return {"errors": ReferenceErrors.zero(), "seed": SEED, "subarray": SUB64}


def opened(model, path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    found = getattr(datamodels, model)(path)
    found.validate()
    return found


def test_linearity_of_signals_with_a_pedestal(image, options, tmp_path):
    own.write_linearity(tmp_path / "linearity.fits", image, **options)
    part = image.cut(*SUB64.corners)
    with opened("LinearityModel", tmp_path / "linearity.fits") as model:
        coefficients = np.array(model.coeffs, np.float64)
    for fill in (0.1, 0.5, 0.9):
        electrons = fill * np.minimum(part.full_well, 2e5)
        raw = part.superbias + part.measured(electrons) / part.gain
        linear = sum(values * raw**power for power, values in enumerate(coefficients))
        # float32 coefficients and a degree of six
        assert abs(linear - (part.superbias + electrons / part.gain)).max() < 0.2


def test_dark_of_two_integrations(image, options, tmp_path):
    own.write_dark(
        tmp_path / "dark.fits",
        image,
        ngroups=5,
        nframes=4,
        groupgap=0,
        tframe=0.08512,
        readpatt="FASTGRPAVG",
        **options,
    )
    part = image.cut(*SUB64.corners)
    with opened("DarkMIRIModel", tmp_path / "dark.fits") as model:
        assert model.data.shape == (2, 5, 64, 72)
        assert model.dq.shape == (2, 1, 64, 72)
        for integration in range(2):
            level = np.mean([settling("dark_settling", frame, integration) for frame in range(8, 12)])
            expected = part.dark * 10.5 * 0.08512 / part.gain + level * part.planes["dark_settling"]
            np.testing.assert_allclose(model.data[integration, 2], expected, rtol=1e-5, atol=1e-5)


def test_reset_ends_when_the_anomaly_is_over(image, options, tmp_path):
    own.write_reset(
        tmp_path / "reset.fits", image, ngroups=90, nframes=1, groupgap=0, tframe=0.1, readpatt="FASTR1", **options
    )
    with opened("ResetModel", tmp_path / "reset.fits") as model:
        assert model.data.shape == (2, own.RESET_GROUPS, 64, 72)
        assert abs(model.data[:, -1]).max() < 0.002 * abs(model.data[0, 0]).max()
        np.testing.assert_allclose(model.data[1], 0.6 * model.data[0], rtol=1e-4, atol=1e-6)


def test_groups_to_leave_out(tmp_path):
    own.write_rscd(tmp_path / "rscd.fits", "MIRIMAGE", subarrays={"FULL", "SUB64"})
    with opened("RSCDModel", tmp_path / "rscd.fits") as model:
        rows = {(row["subarray"], row["readpatt"]): row for row in model.rscd_group_skip_table}
    assert (rows["SUB64", "FASTR1"]["group_skip1"], rows["SUB64", "FASTR1"]["group_skip"]) == (1, 5)
    assert len(rows) == 6


def test_waveforms_of_the_interference(tmp_path):
    cases = {"FULL_FAST": (271, 277504), "FULL_SLOW": (2333, 2388992), "SUB64": (28, 8512)}
    own.write_emicorr(tmp_path / "emicorr.asdf", cases)
    with opened("EmiModel", tmp_path / "emicorr.asdf") as model:
        assert model.subarray_cases.SUB64.frameclocks == 8512
        assert list(model.subarray_cases.SUB64.freqs.FAST) == ["Hz390", "Hz10"]
        assert list(model.subarray_cases.FULL_SLOW.freqs.SLOW.MIRIFULONG) == ["Hz10"]
        wave = np.array(model.frequencies.Hz390.phase_amplitudes)
    assert wave.max() == pytest.approx(4.0, rel=1e-3)
    assert len(wave) == 500


@pytest.mark.parametrize(("detector", "turned"), [("MIRIMAGE", False), ("NIS", True)])
def test_the_kernel_undoes_the_coupling(tmp_path, detector, turned):
    from scipy.signal import convolve2d

    own.write_ipc(tmp_path / "ipc.fits", detector)
    with opened("IPCModel", tmp_path / "ipc.fits") as model:
        kernel = np.array(model.data, np.float64)
    coupling = charge.coupling_kernel()
    both = convolve2d(kernel, coupling.T if turned else coupling)
    assert both[3, 3] == pytest.approx(1, abs=1e-5)
    both[3, 3] = 0
    assert abs(both).max() < 2e-5


def test_interleaved_files_cover_all_samples(tmp_path):
    truth = make_instrument_detector("NRS2", seed=SEED, pattern="NRSIRS2")
    own.write_irs2_mask(tmp_path / "mask.fits", truth)
    own.write_irs2_superbias(tmp_path / "superbias.fits", truth, errors=ReferenceErrors.zero(), seed=SEED)
    # the second detector is read from its far corner, so the reference output comes last
    pixels = 3199 - irs2.pixel_columns()[::-1]
    with opened("MaskModel", tmp_path / "mask.fits") as model:
        assert model.dq.shape == (3200, 2048)
        np.testing.assert_array_equal(model.dq[pixels], truth.bad)
        assert np.all(model.dq[np.setdiff1d(np.arange(3200), pixels)] >> 31 == 1)
    with opened("SuperBiasModel", tmp_path / "superbias.fits") as model:
        np.testing.assert_array_equal(model.data[pixels], truth.superbias)


@pytest.mark.long
def test_weights_of_reference_pixels(tmp_path):
    truth = make_instrument_detector("NRS1", seed=SEED, pattern="NRSIRS2")
    own.write_irs2_refpix(tmp_path / "refpix.fits", truth)
    with opened("IRS2Model", tmp_path / "refpix.fits") as model:
        table = model.irs2_table
        assert len(table) == 2 * 712 * 2048
        found = irs2.weights(3, 10.0)
        np.testing.assert_array_equal(table["alpha_2"][0::2] + 1j * table["alpha_2"][1::2], found.alpha)
        assert [tuple(row) for row in model.dq_table][2] == (2, 1, 1 << 5)
        assert len(model.dq_table) == 8


@pytest.mark.parametrize("mode", ["miri_imaging", "niriss_soss", "niriss_imaging", "nirspec_fs", "fgs_imaging"])
def test_every_type_is_selected(mode, tmp_path):
    programme = raw_programme(raw_design(mode, "tiny"), seed=SEED)
    root = raw_references(tmp_path, programme, DEFAULT_EFFECTS | {"ipc"})
    header = reference_keywords(programme.exposures[0])
    instrument = header["INSTRUME"]
    found = select_names({"a": header}, list(KINDS[instrument]), CONTEXT, root)["a"]
    for reftype, kind in KINDS[instrument].items():
        if kind.needed(header):
            assert found[reftype] == f"jwst_{instrument.lower()}_{reftype}_9001{kind.extension}"
            assert (root / "references/jwst" / instrument.lower() / found[reftype]).exists()
        else:
            assert found[reftype] is None
        # a subarray of its own, where the mapping asks for one
        if reftype == "gain":
            path = root / "references/jwst" / instrument.lower() / found[reftype]
            assert fits.getval(path, "SUBARRAY") == header["SUBARRAY"]


@pytest.mark.long
def test_a_spectrometer_without_a_filter(tmp_path):
    programme = raw_programme(raw_design("miri_mrs", "tiny", ngroups=3), seed=SEED)
    root = raw_references(tmp_path, programme)
    header = reference_keywords(programme.exposures[0])
    assert "FILTER" not in header
    found = select_names({"a": header}, ["linearity", "dark", "reset", "emicorr"], CONTEXT, root)["a"]
    assert None not in found.values()


def test_the_command(tmp_path):
    command = [
        sys.executable,
        "-m",
        "snakewebb.cli",
        "simulate",
        "niriss_imaging",
        "--out",
        tmp_path,
        "--preset",
        "tiny",
    ]
    done = subprocess.run([*command, "--events", "ipc", "snowballs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "uncal/jw01234001001_02101_00001_nis_uncal.fits").exists()
    assert (tmp_path / "truth/jw01234001001_02101_00001_nis_snowballs.ecsv").exists()
    assert list((tmp_path / "crds/references/jwst/niriss").glob("jwst_niriss_pars-ipcstep_*.asdf"))
    wrong = subprocess.run([*command, "--events", "snowbals"], capture_output=True, text=True)
    assert wrong.returncode != 0
    assert "unknown effect 'snowbals'; did you mean 'snowballs'" in wrong.stderr
