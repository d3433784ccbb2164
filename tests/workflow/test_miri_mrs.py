"""The mode of MIRI's spectrometer: a tiny simulated programme from raw ramps to cubes and spectra, and what reruns."""

import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks.jobs import run_once
from benchmarks.spectrometer import jobs_of_spectrometer

from raw_exposures import REPOSITORY, write_raw
from small_programmes import Programme
from snakewebb.bundle.products import products_of
from snakewebb.dq import DO_NOT_USE
from snakewebb.plan.needs import Needs
from snakewebb.simulate.geometry import ARCSEC
from snakewebb.simulate.mrs_geometry import DetectorSlices
from snakewebb.simulate.mrs_scene import Source, thermal_background
from snakewebb.simulate.truth import simulate

STAR = Source("star", flux=0.05, slope=0.0, lines=0.0)
# much wider than the field of view
FIELD = Source("field", size=200.0, flux=1181.4, slope=0.0, lines=0.0)
ROOT = "jw01235001001_02101_00001_mirifushort"
PRODUCT = "jw01235-o001_t001_miri"
CONTEXT = "jwst_9999.pmap"
MODE = "miri_mrs"

# a change of each step of a single exposure, and the rule that its parameters belong to
CHANGES = {
    "assign_wcs": ("sip_degree: 3", "spec2"),
    "badpix_selfcal": ("kernel_size: 17", "spec2"),
    "imprint_subtract": ("compatibility: jwst", "spec2"),
    "bkg_subtract": ("sigma: 4", "spec2"),
    "srctype": ("source_type: EXTENDED", "spec2"),
    "straylight": ("skip: true", "spec2"),
    "flat_field": ("inverse: true", "spec2"),
    "fringe": ("skip: true", "spec2"),
    "photom": ("apply_time_correction: false", "spec2"),
    "residual_fringe": ("save_intermediate_results: true", "spec2"),
    "adaptive_trace_model": ("oversample: 2", "pixel_replace"),
    "pixel_replace": ("algorithm: fit_profile", "pixel_replace"),
    "cube_build_exposure": ("weighting: emsm", "cube_build_exposure"),
    "extract_1d_exposure": ("ifu_rscale: 1.5", "extract_1d_exposure"),
}
OF_AN_EXPOSURE = ("spec2", "pixel_replace", "cube_build_exposure", "extract_1d_exposure")
ON = """\
  badpix_selfcal: {skip: false}
  residual_fringe: {skip: false}
  adaptive_trace_model: {skip: false}
  pixel_replace: {skip: false}
"""


def jobs(programme, *arguments):
    """Number of jobs of each rule that a dry run would start, without tokens and the targets."""
    return {rule: n for rule, n in programme.counts(MODE, *arguments).items() if rule != "references"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A star in a field of uniform brightness, exposed once in the short bands of channels 1 and 2, calibrated."""
    programme = Programme(tmp_path_factory.mktemp("spectrometer"), CONTEXT)
    simulate(MODE, programme.folder, preset="tiny", seed=5, sources=(STAR, FIELD), ngroups=5)
    programme.configure("steps: {cube_build_exposure: {channel: '2'}}\n")
    programme.snakemake(MODE)
    return programme


def opened(path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datamodels.open(path)


@pytest.fixture
def again(finished):
    """The calibrated programme, whose configuration a test changes."""
    before = (finished.folder / "config.yaml").read_text()
    yield finished
    (finished.folder / "config.yaml").write_text(before)


def test_the_archives_data_models_read_what_was_made(finished):
    kinds = {"cal": "IFUImageModel", "s3d": "IFUCubeModel", "x1d": "MRSMultiSpecModel"}
    stems = [f"stage2/{ROOT}", f"stage3/{PRODUCT}_ch1-short", f"stage3/{PRODUCT}_ch2-short"]
    for stem in stems:
        for suffix, kind in kinds.items():
            if suffix == "cal" and "stage3" in stem:
                continue
            with opened(finished.folder / f"{stem}_{suffix}.fits") as model:
                assert type(model).__name__ == kind
                assert model.meta.cal_step.photom == model.meta.cal_step.straylight == "COMPLETE"
                assert model.meta.cal_step.residual_fringe == "SKIPPED"
                if suffix != "cal":
                    assert model.meta.instrument.band == "SHORT"
                    assert model.meta.instrument.channel == ("1" if "ch1" in stem else "2")
    with opened(finished.folder / f"stage2/{ROOT}_cal.fits") as cal:
        assert cal.meta.wcsinfo.dispersion_direction == 2
        assert cal.meta.wcsinfo.s_region.startswith("POLYGON ICRS")
        assert cal.meta.bunit_data == "MJy/sr"
    association = json.loads((finished.folder / f"stage3/{PRODUCT}_asn.json").read_text())
    assert (association["asn_type"], association["asn_rule"]) == ("spec3", "Asn_Lv3MIRMRS")
    assert (finished.folder / f"report/{PRODUCT}/{PRODUCT}_ch1-short.png").exists()
    assert "CH1-SHORT" in (finished.folder / f"report/{PRODUCT}.html").read_text().upper()


def test_the_calibrated_brightness_is_that_of_the_scene(finished):
    """A pedestal that is left, or taken twice, is seen in the 200 MJy/sr of most pixels. Their noise is more than 50 MJy/sr."""
    (truth,) = (finished.folder / "truth").glob("*_truth.fits")
    with fits.open(truth) as true, fits.open(finished.folder / f"stage2/{ROOT}_cal.fits") as cal:
        brightness = true["BRIGHTNESS"].data
        use = (brightness > 0) & np.isfinite(cal["SCI"].data)
        assert use.sum() > 500_000
        assert abs(np.median((cal["SCI"].data - brightness)[use])) < 2


@pytest.mark.parametrize("channel", ["1", "2"])
def test_the_flux_of_the_star_comes_back(finished, channel):
    """One pointing undersamples the star, whose fringes are not those of the flat: a coarse bound, of the average of the band."""
    with opened(finished.folder / f"stage3/{PRODUCT}_ch{channel}-short_x1d.fits") as model:
        table = model.spec[0].spec_table
        good = (table["DQ"] & 1) == 0
        assert good.mean() > 0.95
        assert model.spec[0].source_type == "POINT"
        assert np.mean(table["FLUX"][good]) == pytest.approx(STAR.flux, rel=0.03)


@pytest.mark.parametrize("channel", ["1", "2"])
def test_the_brightness_of_the_field_comes_back(finished, channel):
    """Within 1 per cent, from raw samples to the cube, beside the star."""
    with opened(finished.folder / f"stage3/{PRODUCT}_ch{channel}-short_s3d.fits") as model:
        data, dq, wave = model.data, model.dq, np.asarray(model.wavetable["wavelength"], float).ravel()
        scale = abs(model.meta.wcsinfo.cdelt1) * 3600
    with opened(finished.folder / f"stage3/{PRODUCT}_ch{channel}-short_x1d.fits") as model:
        x, y = model.spec[0].extraction_x, model.spec[0].extraction_y
    rows, columns = np.indices(data.shape[1:])
    beside = (dq == 0) & (np.hypot(columns - x, rows - y) * scale > 1.5)
    true = FIELD.flux / (2 * np.pi * (FIELD.size * ARCSEC) ** 2 * 1e6) + thermal_background(wave)
    assert true.mean() == pytest.approx(200, abs=20)
    ratios = (data / true[:, np.newaxis, np.newaxis])[beside]
    assert len(ratios) > 100_000
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)


def test_a_finished_programme_has_nothing_to_do(finished):
    assert jobs(finished) == {}


def test_jobs_take_no_more_memory_than_is_planned(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    needs = Needs(finished.plan(MODE))
    cubes = [f"{PRODUCT}_ch{channel}-short" for channel in "12"]
    made = [(rule, ROOT, None) for rule in ("spec2", "cube_build_exposure", "extract_1d_exposure")]
    made += [(rule, None, cube) for rule in ("cube_build", "extract_1d") for cube in cubes]
    made += [("outlier_detection", None, PRODUCT), ("report_spectra", None, PRODUCT)]
    for rule, root, name in made:
        log = (finished.folder / f"logs/{rule}/{root or name}.log").read_text()
        measured = int(re.search(r"the job's memory: at most (\d+) MB", log)[1])
        planned = needs.megabytes(rule, root, name)
        # kernels are compiled in these jobs; one that is killed for memory is given half as much again
        assert measured <= 1.5 * planned, rule
        # the cube and a gigabyte
        shape = needs.work(rule, root, name).cube
        assert planned < 1024 + (16 * np.prod(shape, dtype=float) / 1e6 if shape else 0), rule


@pytest.mark.parametrize("stage", ["spec2", "cube", "spec3"])
def test_benchmarks_make_the_products_of_the_workflow(finished, tmp_path, monkeypatch, stage):
    monkeypatch.chdir(finished.folder)
    (REPOSITORY / "benchmarks" / "work").mkdir(exist_ok=True)
    run_once(jobs_of_spectrometer(finished.plan(MODE), stage, ROOT, PRODUCT, tmp_path), threads=2)
    made, expected = sums(tmp_path), sums(finished.folder / "stage2") | sums(finished.folder / "stage3")
    assert {name: expected[name] for name in made} == made
    cubes = [f"{PRODUCT}_ch1-short", f"{PRODUCT}_ch2-short"]
    stems = {
        "spec2": [f"{ROOT}_cal", f"{ROOT}_s3d", f"{ROOT}_x1d"],
        "cube": [f"{cube}_s3d" for cube in cubes],
        "spec3": [f"{ROOT}_o001_crf", *(f"{cube}_{suffix}" for cube in cubes for suffix in ("s3d", "x1d"))],
    }
    assert sorted(made) == sorted(f"{stem}.fits" for stem in stems[stage])


def sums(folder):
    """DATASUM of the extensions of all products of a folder, by the names of their files, from their records."""
    records = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    return {name: file["datasum"] for record in records for name, file in record.get("files", {}).items()}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("extract_1d: {ifu_rscale: 1.5}", {"extract_1d": 2, "report_spectra": 1}),
        ("cube_build: {weighting: emsm}", {"cube_build": 2, "extract_1d": 2, "report_spectra": 1}),
        (
            "pixel_replace: {skip: false}",
            {
                "pixel_replace": 1,
                "cube_build_exposure": 1,
                "extract_1d_exposure": 1,
                "cube_build": 2,
                "extract_1d": 2,
                "report_spectra": 1,
            },
        ),
    ],
)
def test_a_parameter_makes_stale_what_follows_it(again, steps, expected):
    again.configure(f"steps: {{cube_build_exposure: {{channel: '2'}}, {steps}}}\n")
    assert jobs(again) == expected


def test_modelling_the_traces_makes_stale_what_replacing_pixels_does(again):
    """Both run in one job of an exposure, and in those of the cubes."""
    steps = "adaptive_trace_model: {skip: false, oversample: 2}"
    again.configure(f"steps: {{cube_build_exposure: {{channel: '2'}}, {steps}}}\n")
    assert jobs(again) == {
        "pixel_replace": 1,
        "cube_build_exposure": 1,
        "extract_1d_exposure": 1,
        "cube_build": 2,
        "extract_1d": 2,
        "report_spectra": 1,
    }


@pytest.mark.long
def test_cubes_of_finer_exposures_hold_the_same_flux(finished, tmp_path):
    """From the calibrated exposure on: the file of the finer exposure, its cube, and the cube and spectrum of the product."""
    programme = Programme(tmp_path / "finer", CONTEXT)
    (programme.folder / "cal").mkdir(parents=True)
    (programme.folder / "crds").symlink_to(finished.folder / "crds")
    shutil.copy(finished.folder / f"stage2/{ROOT}_cal.fits", programme.folder / "cal")
    steps = "adaptive_trace_model: {skip: false, oversample: 2}, pixel_replace: {skip: false, algorithm: trace_model}"
    programme.configure(f"steps: {{cube_build: {{channel: '1'}}, cube_build_exposure: {{channel: '1'}}, {steps}}}\n")
    programme.snakemake(MODE)
    with opened(programme.folder / f"stage2/{ROOT}_pixel_replace.fits") as model:
        assert model.data.shape == (1024, 2064)
        assert model.meta.cal_step.adaptive_trace_model == model.meta.cal_step.pixel_replace == "COMPLETE"
        assert "coordinates" in model.meta.wcs.available_frames
    for folder in ("stage2", "stage3"):
        name = f"stage2/{ROOT}" if folder == "stage2" else f"stage3/{PRODUCT}_ch1-short"
        with opened(programme.folder / f"{name}_x1d.fits") as model:
            table = model.spec[0].spec_table
            good = (table["DQ"] & 1) == 0
            assert good.mean() > 0.95
            assert np.mean(table["FLUX"][good]) == pytest.approx(STAR.flux, rel=0.03)


@pytest.mark.long
def test_a_slice_without_valid_pixels_goes_through_all_steps(finished, tmp_path):
    """From slopes that have none in a slice beside the star, with every step of an exposure on."""
    programme = Programme(tmp_path / "dark", CONTEXT)
    (programme.folder / "rate").mkdir(parents=True)
    (programme.folder / "crds").symlink_to(finished.folder / "crds")
    dark = DetectorSlices("MIRIFUSHORT", "SHORT").regions()[7] == 104
    with fits.open(finished.folder / f"stage1/{ROOT}_rate.fits") as units:
        for unit in units[1:]:
            if unit.name in ("SCI", "ERR"):
                unit.data[dark] = np.nan
            elif unit.name == "DQ":
                unit.data[dark] |= DO_NOT_USE
        for unit in units:
            unit.header.pop("DATASUM", None)
            unit.header.pop("CHECKSUM", None)
        units.writeto(programme.folder / "rate" / f"{ROOT}_rate.fits")
    programme.configure(f"steps:\n{ON}  cube_build: {{channel: '1'}}\n  cube_build_exposure: {{channel: '1'}}\n")
    programme.snakemake(MODE)
    data = fits.getdata(programme.folder / f"stage2/{ROOT}_cal.fits", "SCI")
    before = fits.getdata(finished.folder / f"stage2/{ROOT}_cal.fits", "SCI")
    assert np.isnan(data[dark]).all()
    np.testing.assert_array_equal(np.isnan(data[~dark]), np.isnan(before[~dark]))
    record = json.loads((programme.folder / f"stage3/{PRODUCT}_ch1-short_s3d.json").read_text())
    assert "has no valid pixel in slice 104" in json.dumps(record)
    with opened(programme.folder / f"stage3/{PRODUCT}_ch1-short_x1d.fits") as model:
        table = model.spec[0].spec_table
        good = (table["DQ"] & 1) == 0
        assert good.mean() > 0.95
        assert np.mean(table["FLUX"][good]) == pytest.approx(STAR.flux, rel=0.03)


def test_a_cube_that_does_not_fit_is_refused_with_the_numbers(again):
    again.configure("steps: {cube_build: {scalexy: 0.002}}\nmemory_mb: 8000\n")
    result = again.snakemake(MODE, "--dry-run", check=False)
    text = result.stdout + result.stderr
    found = re.search(
        r"the cube of (\S+) has about (\d+) x (\d+) x (\d+) voxels \(planes, rows, columns\) and needs (\d+) MB", text
    )
    assert found[1].startswith(PRODUCT)
    planes, rows, columns, needed = (int(found[number]) for number in range(2, 6))
    assert (rows, columns) > (2000, 2000)
    assert needed > planes * rows * columns * 16 / 1e6 > 8000
    assert "but memory_mb allows 8000 MB; make it smaller with steps.cube_build.scalexy" in text
    assert "Traceback" not in text


@pytest.mark.long
def test_a_change_of_each_step_makes_stale_the_exposures_that_it_is_for(finished, tmp_path, monkeypatch):
    """One real dry run: each of some exposures has a change of its own."""
    programme = Programme(tmp_path / "many", CONTEXT)
    programme.folder.mkdir()
    (programme.folder / "crds").symlink_to(finished.folder / "crds")
    roots = {}
    for number, step in enumerate([*CHANGES, None], start=1):
        roots[step] = f"jw01235001001_02101_{number:05d}_mirifushort"
        write_raw(
            programme.folder / "uncal" / f"{roots[step]}_uncal.fits",
            "MIR_MRS",
            SUBARRAY="FULL",
            SUBSIZE1=1032,
            SUBSIZE2=1024,
        )
    programme.configure(f"steps:\n{ON}")
    monkeypatch.chdir(programme.folder)
    plan = programme.plan(MODE)
    assert sorted(plan.exposures) == sorted(roots.values())
    pretend_made(programme.folder, plan)
    programme.snakemake(MODE, "--touch", "--forceall")
    assert jobs(programme) == {}
    changes = [f"  - {{select: {{exposure: {roots[s]}}}, steps: {{{s}: {{{c}}}}}}}\n" for s, (c, _) in CHANGES.items()]
    programme.configure(f"steps:\n{ON}overrides:\n{''.join(changes)}")
    expected = {rule: 0 for rule in OF_AN_EXPOSURE}
    for _, first in CHANGES.values():
        for rule in OF_AN_EXPOSURE[OF_AN_EXPOSURE.index(first) :]:
            expected[rule] += 1
    assert jobs(programme) == {
        **expected,
        "outlier_detection": 1,
        "cube_build": 2,
        "extract_1d": 2,
        "report_spectra": 1,
    }


def test_slopes_of_the_user_lose_their_background_and_imprint(finished, tmp_path):
    """A background of a tenth of the light, and an imprint that is in both: nine tenths are left, and nothing of the imprint."""
    programme = Programme(tmp_path / "slopes", CONTEXT)
    (programme.folder / "rate").mkdir(parents=True)
    (programme.folder / "crds").symlink_to(finished.folder / "crds")
    roles = {
        ROOT: (1.0, 0.05, {}),
        ROOT.replace("001001_02101_00001", "002001_02101_00001"): (
            0.1,
            0.05,
            {"BKGDTARG": True, "OBSERVTN": "002", "TARGPROP": "SKY"},
        ),
        ROOT.replace("02101_00001", "03101_00001"): (0.0, 0.05, {"IS_IMPRT": True, "VISITGRP": "03"}),
    }
    for root, (part, imprint, keywords) in roles.items():
        with fits.open(finished.folder / f"stage1/{ROOT}_rate.fits") as units:
            units["SCI"].data = (part * units["SCI"].data + imprint).astype(np.float32)
            units[0].header.update({**keywords, "FILENAME": f"{root}_rate.fits"})
            for unit in units:
                unit.header.pop("DATASUM", None)
                unit.header.pop("CHECKSUM", None)
            units.writeto(programme.folder / "rate" / f"{root}_rate.fits")
    programme.configure()
    programme.snakemake(MODE, "--until", "spec2")
    assert len(list((programme.folder / "stage2").glob("*_cal.fits"))) == 2  # the imprint ends at its slopes
    with (
        opened(programme.folder / f"stage2/{ROOT}_cal.fits") as cal,
        opened(finished.folder / f"stage2/{ROOT}_cal.fits") as before,
    ):
        for folder, status in ((programme.folder, "COMPLETE"), (finished.folder, "SKIPPED")):
            header = fits.getheader(folder / f"stage2/{ROOT}_cal.fits")
            assert (header["S_BKDSUB"], header["S_IMPRNT"]) == (status, status)
        bright = before.data > 100
        assert bright.sum() > 1e4
        np.testing.assert_allclose(cal.data[bright], 0.9 * before.data[bright], rtol=1e-5)
        # the noise of the background and, of it and of the exposure, of the imprint: four times the variance
        assert np.nanmedian(cal.err[bright] / before.err[bright]) == pytest.approx(2, rel=0.02)


def pretend_made(folder, plan):
    """Write files under the names of everything that the plan would make, for Snakemake to note as made."""
    paths = [f"references/{name}.json" for name in plan.reference_sets]
    for product in products_of(plan):
        paths += [path for path in (product.record, *product.files) if path]
        if product.rule == "report_spectra":
            (folder / f"report/{product.name}").mkdir(parents=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("made\n")
