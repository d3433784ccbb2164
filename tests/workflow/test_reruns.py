"""What reruns after what: the expected sets are written here by hand."""

import json
import os
import shutil
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from expected_reruns import (
    FROM_ALIGNMENT,
    FROM_CATALOG,
    FROM_DETECTOR1,
    FROM_IMAGE2,
    FROM_OUTLIERS,
    FROM_RESAMPLE,
    FROM_SKY,
    FROM_SOURCES,
)

MY_STEP = '''
from snakewebb.steps import Status, step


@step(version=1, keyword="S_MINE")
def scaled(image, references, *, factor: float = 0.5) -> Status:
    """Scale the data."""
    image.data *= factor
    return Status()
'''

# one parameter of each step, and the jobs that it makes stale
CHANGES = [
    ("saturation", "n_pix_grow_sat: 2", FROM_DETECTOR1),
    ("refpix", "odd_even_columns: false", FROM_DETECTOR1),
    ("dark_current", "average_dark_current: 0.01", FROM_DETECTOR1),
    ("jump", "rejection_threshold: 5.0", FROM_DETECTOR1),
    ("ramp_fit", "suppress_one_group: false", FROM_DETECTOR1),
    # without its reference file the set of files is another one, and gets a token of its own
    ("linearity", "skip: true", {**FROM_DETECTOR1, "references": 1}),
    ("superbias", "skip: true", FROM_DETECTOR1),
    ("dq_init", "skip: true", {**FROM_DETECTOR1, "references": 1}),
    ("group_scale", "skip: true", FROM_DETECTOR1),
    ("gain_scale", "skip: true", FROM_DETECTOR1),
    ("ipc", "skip: true", FROM_DETECTOR1),
    ("assign_wcs", "sip_degree: 3", FROM_IMAGE2),
    ("flat_field", "inverse: true", FROM_IMAGE2),
    ("background_2d", "skip: false", FROM_IMAGE2),
    ("photom", "apply_time_correction: false", FROM_IMAGE2),
    ("resample_exposure", "pixfrac: 0.9", {"resample_exposure": 4}),
    ("tweakreg", "snr_threshold: 12", FROM_SOURCES),
    ("tweakreg", "searchrad: 1.5", FROM_ALIGNMENT),
    ("skymatch", "skymethod: global", FROM_SKY),
    ("outlier_detection", "snr: '6.0 4.0'", FROM_OUTLIERS),
    ("resample", "pixfrac: 0.8", FROM_RESAMPLE),
    ("source_catalog", "snr_threshold: 4", FROM_CATALOG),
]


def test_a_finished_programme_has_nothing_to_do(programme):
    assert programme.plan() == {}


@pytest.mark.parametrize(
    ("step", "change", "expected"), CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_parameter_makes_stale_what_follows_it(programme, step, change, expected):
    programme.configure(f"steps: {{{step}: {{{change}}}}}\n")
    assert programme.plan() == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("detector1", FROM_DETECTOR1), ("resample", FROM_RESAMPLE), ("report", {"report": 1, "report_programme": 1})],
)
def test_what_follows_a_job_runs_after_it(programme, rule, expected):
    assert programme.plan("--forcerun", rule) == expected


def test_steps_that_are_off_make_stale_the_exposures_that_they_are_switched_on_for(programme):
    """Each of four steps for one of the four exposures."""
    roots = sorted(path.name.removesuffix("_uncal.fits") for path in (programme.folder / "uncal").glob("*_uncal.fits"))
    steps = ("charge_migration", "clean_flicker_noise", "picture_frame", "persistence")
    lines = [
        f"  - {{select: {{exposure: {root}}}, steps: {{{step}: {{skip: false}}}}}}\n"
        for root, step in zip(roots, steps, strict=True)
    ]
    programme.configure("overrides:\n" + "".join(lines))
    planned = programme.plan()
    planned.pop("references", None)
    assert planned == FROM_DETECTOR1


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("detector1: {before: {linearity: dark_current}}", FROM_DETECTOR1),
        ("image3: {remove: [skymatch]}", FROM_OUTLIERS),
        ("image3: {remove: [outlier_detection]}", FROM_OUTLIERS),
    ],
)
def test_an_edited_chain_makes_stale_what_follows(programme, edit, expected):
    programme.configure(f"chain_edits: {{{edit}}}\n")
    assert programme.plan() == expected


def test_a_step_of_a_module_of_the_user_runs_and_its_source_counts(programme):
    cal = sorted(programme.folder.glob("stage2/*_cal.fits"))[0]
    before = fits.getdata(cal, "SCI")
    module = programme.folder / "mine.py"
    module.write_text(MY_STEP)
    programme.configure(
        "chain_edits: {image2: {after: {photom: 'mine:scaled'}}}\nsteps: {'mine:scaled': {factor: 0.25}}\n"
    )
    assert programme.plan() == FROM_IMAGE2
    programme.snakemake("--until", "image2")
    np.testing.assert_allclose(fits.getdata(cal, "SCI"), before * 0.25, rtol=1e-6)
    after = {rule: n for rule, n in FROM_IMAGE2.items() if rule != "image2"}
    assert programme.plan() == after
    module.write_text(MY_STEP.replace("*= factor", "*= 1 / factor"))
    assert programme.plan() == FROM_IMAGE2


@pytest.mark.parametrize(
    ("change", "rerun", "kept"),
    [
        ("steps: {resample: {pixfrac: 0.8}}\n", "stage3/*_i2d.json", "stage3/*_crf.json"),
        ("steps: {flat_field: {skip: true}}\n", "stage2/*_cal.json", "stage1/*_rate.json"),
    ],
)
def test_the_plan_is_what_runs(programme, change, rerun, kept):
    before = {path: path.read_bytes() for pattern in (rerun, kept) for path in programme.folder.glob(pattern)}
    times = {path: path.stat().st_mtime_ns for path in before}
    programme.configure(change)
    planned = programme.plan()
    assert programme.counts(programme.snakemake()) == planned
    for path in programme.folder.glob(kept):
        assert path.stat().st_mtime_ns == times[path]
        assert path.read_bytes() == before[path]
    for path in programme.folder.glob(rerun):
        assert path.stat().st_mtime_ns != times[path]
        assert path.read_bytes() != before[path]
    assert programme.plan() == {}
    programme.configure("")
    planned.pop("references", None)  # this token is there already
    assert programme.plan() == planned  # and back


def test_the_reason_names_what_changed(programme):
    programme.configure("steps: {jump: {rejection_threshold: 5.0}}\n")
    text = programme.snakemake("--dry-run").stdout
    assert "Params have changed since last execution" in text
    assert "'rejection_threshold': 4.0" in text
    assert "'rejection_threshold': 5.0" in text


def test_the_spelling_of_a_value_does_not_matter(programme):
    programme.configure("steps: {jump: {rejection_threshold: 4}, resample: {pixfrac: '1.0'}}\n")
    assert programme.plan() == {}


def test_command_line_values_have_their_type_and_cannot_lose_the_mode(programme):
    assert programme.plan("--config", "steps={jump: {rejection_threshold: 4}}") == {}
    assert programme.plan("--config", "steps={jump: {rejection_threshold: 6.5}}") == FROM_DETECTOR1
    assert programme.plan("--config", "steps={resample_exposure: {skip: true}}") == {}
    (programme.folder / "other.yaml").write_text("steps: {source_catalog: {snr_threshold: 5}}\n")
    assert programme.plan("--configfile", "other.yaml") == FROM_CATALOG


def test_touching_everything_reruns_nothing(programme):
    time.sleep(0.01)
    for path in programme.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert programme.plan() == {}


def test_a_copy_without_times_reruns_nothing(programme, tmp_path):
    shutil.copytree(programme.folder, tmp_path / "copy", copy_function=shutil.copy)
    programme.folder = tmp_path / "copy"
    assert programme.plan() == {}


def test_a_moved_or_purged_cache_reruns_nothing(programme, tmp_path):
    shutil.move(programme.folder / "crds", tmp_path / "elsewhere")
    assert programme.plan("--config", f"crds_path={tmp_path / 'elsewhere'}") == {}
    shutil.rmtree(tmp_path / "elsewhere" / "references")
    assert programme.plan("--config", f"crds_path={tmp_path / 'elsewhere'}") == {}


def test_an_edited_override_reruns_what_uses_it(programme):
    source = next((programme.folder / "crds" / "references" / "jwst" / "nircam").glob("*flat*.fits"))
    mine = programme.folder / "my_flat.fits"
    shutil.copy(source, mine)
    programme.configure("steps: {flat_field: {override_flat: my_flat.fits}}\n")
    assert programme.plan() == {**FROM_IMAGE2, "references": 1}
    programme.snakemake("--until", "image2")
    os.utime(mine)
    assert programme.plan() == {rule: n for rule, n in FROM_IMAGE2.items() if rule != "image2"}
    with fits.open(mine, mode="update") as units:
        units["SCI"].data *= 1.01
    assert programme.plan() == FROM_IMAGE2


def test_an_edited_table_of_alignments_reruns_the_alignment_and_what_follows(programme):
    made = next((programme.folder / "stage3").glob("*_alignment.ecsv"))
    mine = programme.folder / "my_alignment.ecsv"
    shutil.copy(made, mine)
    programme.configure("alignment_table: my_alignment.ecsv\n")
    assert programme.plan() == FROM_ALIGNMENT
    programme.snakemake("--until", "tweakreg")
    before = Table.read(made)
    assert set(before["status"]) == {"USER"}
    os.utime(mine)
    after = {rule: n for rule, n in FROM_ALIGNMENT.items() if rule != "tweakreg"}
    assert programme.plan() == after
    edited = Table.read(mine)
    edited["shift_x"][1] += 0.25
    edited.write(mine, overwrite=True)
    assert programme.plan() == FROM_ALIGNMENT
    programme.snakemake("--until", "tweakreg")
    moved = Table.read(made)
    np.testing.assert_allclose(moved["dx"] - before["dx"], [0, 0.25, 0, 0], atol=1e-9)
    residuals = Table.read(str(made).replace("_alignment", "_residuals"))
    shifted = residuals["exposure"] == moved["exposure"][1]
    assert shifted.sum() > 5
    assert abs(np.median(residuals["east"][shifted])) > 0.2


def test_an_exposure_taken_away_or_added_reruns_the_mosaic_only(programme):
    one = sorted((programme.folder / "uncal").glob("*_uncal.fits"))[-1]
    shutil.move(one, programme.folder / one.name)
    assert programme.plan() == {**FROM_ALIGNMENT, "association": 1}
    shutil.move(programme.folder / one.name, one)
    assert programme.plan() == {}


def test_an_edited_association_reruns_the_mosaic_only(programme):
    (exported,) = (programme.folder / "stage3").glob("*_asn.json")
    mine = programme.folder / "mine_asn.json"
    shutil.copy(exported, mine)
    programme.configure("associations: [mine_asn.json]\n")
    assert programme.plan() == {}
    association = json.loads(mine.read_text())
    association["products"][0]["members"].pop()
    mine.write_text(json.dumps(association))
    assert programme.plan() == {**FROM_ALIGNMENT, "association": 1}


def test_an_input_that_was_made_again_reruns_what_follows_it(programme):
    first = sorted((programme.folder / "uncal").glob("*_uncal.fits"))[0]
    with fits.open(first, mode="update") as units:
        units["SCI"].data[0, -1] += 1
        units[0].header["DATE"] = "2031-01-01T00:00:00.000"
    one = {"detector1": 1, "image2": 1, "resample_exposure": 1, "find_sources": 1}
    assert programme.plan() == {**FROM_DETECTOR1, **one}


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("i2d.fits", FROM_RESAMPLE),
        ("segm.fits", FROM_CATALOG),
        ("cat.ecsv", FROM_CATALOG),
    ],
)
def test_a_deleted_product_is_made_again(programme, ending, expected):
    next(programme.folder.glob(f"stage3/*_{ending}")).unlink()
    assert programme.plan() == expected


def test_what_a_product_was_made_from_may_be_deleted(programme):
    for path in (*programme.folder.glob("stage1/*_rate.fits"), *programme.folder.glob("stage2/*_cal.fits")):
        path.unlink()
    for path in programme.folder.glob("stage3/*_crf"):
        shutil.rmtree(path)
    assert programme.plan() == {}


def test_an_override_for_one_exposure_reruns_that_one(programme):
    root = sorted((programme.folder / "uncal").glob("*_uncal.fits"))[0].name.removesuffix("_uncal.fits")
    programme.configure(f"overrides: [{{select: {{exposure: {root}}}, steps: {{jump: {{rejection_threshold: 9}}}}}}]\n")
    one = {"detector1": 1, "image2": 1, "resample_exposure": 1, "find_sources": 1}
    assert programme.plan() == {**FROM_DETECTOR1, **one}


def test_a_bumped_results_version_reruns_what_uses_it(programme, tmp_path):
    """With a copy of the package in which one step has the next version."""
    import snakewebb

    source = os.path.dirname(snakewebb.__file__)
    copy = tmp_path / "src" / "snakewebb"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = (copy / "imaging" / "flat_field.py").read_text()
    assert code.count("@step(version=1,") + code.count("    version=1,") == 1
    (copy / "imaging" / "flat_field.py").write_text(code.replace("version=1,", "version=2,"))
    changed = {"PYTHONPATH": str(tmp_path / "src")}
    assert programme.plan(environment=changed) == FROM_IMAGE2
    # a comment is not a version
    (copy / "imaging" / "flat_field.py").write_text(code + "\n# a comment\n")
    assert programme.plan(environment=changed) == {}


def test_records_have_no_dates_and_no_paths_of_this_machine(finished):
    records = sorted(finished.rglob("stage*/*.json"))
    assert len(records) > 10
    for path in records:
        text = path.read_text()
        json.loads(text)
        assert str(finished) not in text
