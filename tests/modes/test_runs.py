"""Tiny exposures of several modes, calibrated by Snakemake as a user would."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from bundles import check_bundle
from raw_exposures import REPOSITORY, SIZE, raw_name, write_raw, write_reference
from snakewebb.plan.modes import MODES

DAY = 86400.0
DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[3] / "shared" / "data"))
REAL = DATA / "real" / "raw" / "add_wcs_default_acq1.fits"


def open_without_warnings(path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datamodels.open(path)


def int_times(first, count, step=6.0):
    """Rows of INT_TIMES for integrations from ``first`` (from 1)."""
    numbers = first + np.arange(count)
    start = 60000.0 + (numbers - 1) * step / DAY
    names = (
        "int_start_MJD_UTC",
        "int_mid_MJD_UTC",
        "int_end_MJD_UTC",
        "int_start_BJD_TDB",
        "int_mid_BJD_TDB",
        "int_end_BJD_TDB",
    )
    columns = [fits.Column("integration_number", "J", array=numbers)]
    columns += [fits.Column(name, "D", array=start + part * step / 2 / DAY) for part, name in enumerate(names)]
    return fits.BinTableHDU.from_columns(columns).data


def test_a_miri_exposure_ends_at_its_slopes_with_a_page(programme):
    write_raw(programme.folder / "uncal" / raw_name("MIR_LRS-FIXEDSLIT"), "MIR_LRS-FIXEDSLIT", NINTS=2)
    assert programme.counts("miri_lrs_slit") == {"detector1": 1, "references": 1, "report_exposures": 1}
    programme.snakemake("miri_lrs_slit")
    assert programme.counts("miri_lrs_slit") == {}
    root = "jw01234001001_02101_00001_mirimage"
    with open_without_warnings(programme.folder / f"stage1/{root}_rate.fits") as rate:
        assert rate.meta.model_type == "ImageModel"
        assert np.nanmedian(rate.data) == pytest.approx(50 * 1.0, rel=0.1)
        assert rate.meta.cal_step.charge_migration == rate.meta.cal_step.persistence == "SKIPPED"
        assert rate.meta.cal_step.ipc == "COMPLETE"
    page = (programme.folder / "report" / "miri_lrs_slit.html").read_text()
    assert root in page
    assert (programme.folder / f"report/miri_lrs_slit/{root}.png").exists()
    check_bundle(programme.folder)


def test_segments_of_a_time_series_keep_the_times_of_their_integrations(programme):
    raw = programme.folder / "uncal"
    for segment, (start, end) in enumerate(((1, 2), (3, 5)), start=1):
        keywords = {"NINTS": 5, "INTSTART": start, "INTEND": end, "EXSEGNUM": segment, "EXSEGTOT": 2}
        table = int_times(start, end - start + 1)
        write_raw(raw / raw_name("NIS_SOSS", 1, segment), "NIS_SOSS", int_times=table, TSOVISIT=True, **keywords)
    programme.snakemake("niriss_soss")
    for segment, numbers in ((1, [1, 2]), (2, [3, 4, 5])):
        path = programme.folder / f"stage1/jw01234001001_02101_00001-seg{segment:03d}_nis_rateints.fits"
        with open_without_warnings(path) as cube:
            assert cube.data.shape == (len(numbers), SIZE, SIZE)
            assert list(cube.int_times["integration_number"]) == numbers
            begin = 60000.0 + (np.array(numbers) - 1) * 6 / DAY
            np.testing.assert_array_equal(cube.int_times["int_start_MJD_UTC"], begin)
            assert (cube.meta.exposure.integration_start, cube.meta.exposure.integration_end) == (
                numbers[0],
                numbers[-1],
            )


@pytest.mark.long
def test_without_references_for_slopes_the_reason_is_told(programme):
    write_raw(programme.folder / "uncal" / raw_name("MIR_LYOT"), "MIR_LYOT")
    programme.configure("steps: {ramp_fit: {override_gain: N/A}}\n")
    result = programme.snakemake("miri_coron", check=False)
    assert result.returncode != 0
    assert "no slopes were made (ramp_fit: no gain reference for this exposure)" in result.stdout + result.stderr
    assert "Traceback" not in (programme.folder / "logs/detector1/jw01234001001_02101_00001_mirimage.log").read_text()


def test_a_dark_ends_at_its_corrected_ramps(programme):
    write_raw(programme.folder / "uncal" / raw_name("NIS_DARK"), "NIS_DARK", NINTS=2, int_times=int_times(1, 2))
    assert programme.counts("nir_dark") == {"dark": 1, "references": 1, "report_exposures": 1}
    programme.snakemake("nir_dark")
    assert programme.counts("nir_dark") == {}
    with open_without_warnings(programme.folder / "stage1/jw01234001001_02101_00001_nis_dark.fits") as dark:
        assert dark.meta.model_type == "RampModel"
        assert dark.data.shape == dark.groupdq.shape == (2, 5, SIZE, SIZE)
        assert dark.pixeldq[3, 4] & 1
        assert np.median(dark.data[:, 0]) == pytest.approx(1050 - 900, abs=1)
        assert dark.meta.cal_step.linearity == "COMPLETE"
        assert dark.meta.cal_step.dark_sub is None
    with fits.open(programme.folder / "stage1/jw01234001001_02101_00001_nis_dark.fits") as units:
        assert [unit.name for unit in units] == ["PRIMARY", "SCI", "PIXELDQ", "GROUPDQ", "INT_TIMES", "ASDF"]
    check_bundle(programme.folder)


def test_the_real_guide_star_exposure(programme):
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there")
    root = "jw01019001001_gs-acq1_2022117003102"
    raw = programme.folder / "uncal" / f"{root}_uncal.fits"
    raw.parent.mkdir()
    raw.write_bytes(REAL.read_bytes())
    rng = np.random.default_rng(1)
    planes = {
        "mask": {"DQ": rng.choice(np.array([0, 0, 0, 1 << 11], np.uint32), (128, 128))},
        "gain": {"SCI": rng.uniform(1, 3, (128, 128)).astype(np.float32)},
        "readnoise": {"SCI": rng.uniform(5, 20, (128, 128)).astype(np.float32)},
        "flat": {
            "SCI": rng.uniform(0.9, 1.1, (128, 128)).astype(np.float32),
            "ERR": np.full((128, 128), 0.01, np.float32),
            "DQ": np.zeros((128, 128), np.uint32),
        },
    }
    corner = {"SUBARRAY": "128X128", "SUBSTRT1": 887, "SUBSTRT2": 1022, "SUBSIZE1": 128, "SUBSIZE2": 128}
    for reftype, content in planes.items():
        path = programme.folder / f"{reftype}.fits"
        write_reference(path, reftype, "FGS", "GUIDER2", content)
        with fits.open(path, mode="update") as units:
            units[0].header.update({**corner, "FASTAXIS": 2, "SLOWAXIS": -1})
    programme.configure(
        "steps: {dq_init: {override_mask: mask.fits}, flat_field: {override_flat: flat.fits}, "
        "guider_cds: {override_gain: gain.fits, override_readnoise: readnoise.fits}}\n"
    )
    programme.snakemake("guider")
    assert programme.counts("guider") == {}
    with open_without_warnings(programme.folder / f"stage1/{root}_cal.fits") as cal:
        assert cal.meta.model_type == "GuiderCalModel"
        assert (cal.meta.bunit_data, cal.meta.cal_step.guider_cds) == ("DN/s", "COMPLETE")
        ours = {name: getattr(cal, name).copy() for name in ("data", "err", "dq")}
    theirs = oracle_guider(raw, programme.folder)
    for name in ("data", "err", "dq"):
        np.testing.assert_array_equal(ours[name], getattr(theirs, name))
    record = json.loads((programme.folder / f"stage1/{root}_cal.json").read_text())
    assert [step["status"] for step in record["steps"]] == ["COMPLETE"] * 3
    check_bundle(programme.folder)


def oracle_guider(raw, folder):
    """The oracle's steps on a guide-star exposure, with the references of a folder."""
    pytest.importorskip("jwst")
    from jwst.dq_init import DQInitStep
    from jwst.flatfield import FlatFieldStep
    from jwst.guider_cds import GuiderCdsStep
    from stdatamodels.jwst.datamodels import GuiderRawModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GuiderRawModel(raw)
        for step_class in (DQInitStep, GuiderCdsStep, FlatFieldStep):
            step = step_class()
            for reftype in step.reference_file_types:
                path = folder / f"{reftype}.fits"
                setattr(step, f"override_{reftype}", str(path) if path.exists() else "N/A")
            model = step.process(model)
    return model


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in MODES if name != "miri_mrs"])  # it needs references of stage 2
def test_a_dry_run_of_every_mode(programme, name):
    select = yaml.safe_load((REPOSITORY / "config" / "modes" / f"{name}.yaml").read_text())["select"]
    for number, kind in enumerate(select["exp_type"], start=1):
        keywords = {"TSOVISIT": select.get("tso") is True, "TARGPROP": None}
        write_raw(programme.folder / "uncal" / raw_name(kind, number), kind, **keywords)
    counts = programme.counts(name)
    rule = {"nir_dark": "dark", "miri_dark": "dark", "guider": "guider_rates"}.get(name, "detector1")
    assert counts[rule] == len(select["exp_type"])
    if not name.endswith("_imaging"):
        assert set(counts) <= {rule, "references", "report_exposures"}
