"""What jobs ask for, against what they took: every job writes its largest memory into its log."""

import re
import shutil
from dataclasses import dataclass

import pytest

from raw_exposures import REPOSITORY, raw_name, write_raw
from small_programmes import Programme as ModeProgramme
from small_programmes import cache
from small_programmes import programme as mode_programme
from snakewebb.plan.folder import plan_of_folder
from snakewebb.plan.needs import Needs
from snakewebb.simulate.truth import simulate
from snakewebb.warm_up import PROGRAMMES, mark_of

__all__ = ["cache", "mode_programme"]

MEASURED = ("detector1", "image2", "resample_exposure", "find_sources", "tweakreg", "skymatch", "outlier_detection")
MEASURED += ("resample", "source_catalog", "report", "report_programme")
PERSISTENCE = "steps: {persistence: {skip: false, persistence_time: 1000}}\n"
# all rules of the spectrometer
REPLACED = "steps: {pixel_replace: {skip: false}}\n"
SPECTRA = {"detector1", "spec2", "pixel_replace", "cube_build_exposure", "extract_1d_exposure", "outlier_detection"}
SPECTRA |= {"cube_build", "extract_1d", "spectral_leak", "report_spectra"}
# what is slow of stage 1 and off by default
SLOWEST = """\
steps:
  clean_flicker_noise: {skip: false}
  jump: {expand_large_events: true}
  ramp_fit: {algorithm: LIKELY}
"""


@dataclass(frozen=True)
class Row:
    """What a job took, and what it was predicted to."""

    rule: str
    name: str
    megabytes: int
    predicted: int
    seconds: float
    busy: float
    limit: int

    def __str__(self):
        return (
            f"{self.rule:18} {self.name:45} measured {self.megabytes:5} MB, predicted {self.predicted:5} MB, "
            f"{self.predicted / self.megabytes:.2f}; {self.seconds:6.1f} s ({self.busy:.1f} s of processors), limit {self.limit} min"
        )


def needs_of(folder, repository, monkeypatch, mode="nircam_imaging"):
    """The plan of a programme and its needs, in this process."""
    monkeypatch.chdir(folder)
    plan = plan_of_folder(mode, repository=repository)
    return plan, Needs(plan)


def compare(programme, monkeypatch, mode="nircam_imaging"):
    """A row for every job that was run."""
    plan, needs = needs_of(programme.folder, REPOSITORY, monkeypatch, mode)
    for log in sorted((programme.folder / "logs").rglob("*.log")):
        rule, name = log.relative_to(programme.folder / "logs").parts[0].removesuffix(".log"), log.stem
        if rule in ("references", "association"):
            continue
        job = {"product": name} if name in plan.associations or name in plan.cubes else {"root": name}
        if rule == "guider":
            rule = "guider_rates"
        elif rule == name:
            job = {}
        measured = re.search(
            r"the job's memory: at most (\d+) MB; its time: ([\d.]+) s, ([\d.]+) s of", log.read_text()
        )
        assert measured, f"{log}: no memory in it"
        times = (float(measured[2]), float(measured[3]), needs.minutes(rule, **job))
        yield Row(rule, name, int(measured[1]), needs.megabytes(rule, **job), *times)


def check(rows, rules=MEASURED):
    """Every prediction is 1 to 1.5 times the measured peak, no limit is near, and no rule is missing."""
    wrong = [str(row) for row in rows if not 1.0 <= row.predicted / row.megabytes <= 1.5]
    # this machine is not the slowest one
    wrong += [str(row) for row in rows if 2 * row.seconds > 60 * row.limit]
    assert not wrong, "\n".join(wrong)
    assert {row.rule for row in rows} == set(rules)


@pytest.fixture(autouse=True)
def own_processes(monkeypatch):
    """Each job starts a Python of its own, as on clusters, whose limits are predicted."""
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")


@pytest.fixture
def compiled():
    """A job that compiles kernels takes up to twice the memory, once for all: what is predicted is what others take."""
    if not all(mark_of(mode).exists() for mode in PROGRAMMES):
        pytest.skip("kernels were not compiled ahead, as set-up does: run `snakewebb compile`")


@pytest.mark.usefixtures("compiled")
def test_memory_of_every_rule_is_predicted(fresh, monkeypatch):
    fresh.snakemake()
    check(list(compare(fresh, monkeypatch)))


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("preset", ["small", "full"])
def test_memory_of_every_rule_is_predicted_for_whole_frames(tmp_path, monkeypatch, capsys, fresh, preset):
    from snakewebb.cli import main

    shutil.rmtree(fresh.folder)
    assert main(["simulate", "nircam_imaging", "--out", str(fresh.folder), "--preset", preset, "--seed", "7"]) == 0
    fresh.snakemake()
    rows = list(compare(fresh, monkeypatch))
    with capsys.disabled():
        print("", preset, *rows, sep="\n")
    check(rows)


@pytest.mark.usefixtures("compiled")
def test_memory_of_darks_windows_guider_and_pages_is_predicted(mode_programme, monkeypatch):
    folder = mode_programme.folder
    for number in (1, 2):
        times = {"EXPSTART": 60000.0 + number / 1440, "EXPEND": 60000.0 + number / 1440 + 1e-4}
        write_raw(folder / "uncal" / raw_name("NIS_AMI", number), "NIS_AMI", **times)
    write_raw(folder / "uncal" / raw_name("NIS_DARK", 3), "NIS_DARK")
    write_raw(folder / "uncal" / raw_name("FGS_TRACK"), "FGS_TRACK", NGROUPS=2)
    mode_programme.configure(PERSISTENCE)
    for mode, rules in {
        "niriss_ami": {"persistence_windows", "detector1", "report_exposures"},
        "nir_dark": {"dark"},
        "guider": {"guider_rates"},
    }.items():
        mode_programme.snakemake(mode)  # compiles what set-up does not
        shutil.rmtree(folder / "logs")
        mode_programme.snakemake(mode, "--forceall")
        rows = compare(mode_programme, monkeypatch, mode)
        # a page without pictures takes less than one with them
        check([row for row in rows if row.rule in rules], rules)


def check_backgrounds(folder, monkeypatch, preset):
    """Backgrounds of other exposures, of the dithers themselves, and smooth ones, in programmes calibrated up to stage 2."""
    simulate("miri_imaging", folder, preset=preset, seed=6, dithers=5, background_dithers=2, ngroups=5)
    programme = ModeProgramme(folder, "jwst_9999.pmap")
    for configuration, rules in {
        "steps: {background_2d: {skip: false}}\n": {"bkg_subtract", "image2"},
        "steps: {dither_background: {skip: false, min_shift: 1}, bkg_subtract: {skip: true}}\n": {"dither_background"},
    }.items():
        shutil.rmtree(folder / "logs", ignore_errors=True)
        programme.configure(configuration)
        programme.snakemake("miri_imaging", "--until", "image2")
        check([row for row in compare(programme, monkeypatch, "miri_imaging") if row.rule in rules], rules)


@pytest.mark.usefixtures("compiled")
def test_memory_of_backgrounds_is_predicted(tmp_path, monkeypatch):
    check_backgrounds(tmp_path / "programme", monkeypatch, "tiny")


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
def test_memory_of_backgrounds_of_whole_frames_is_predicted(tmp_path, monkeypatch):
    check_backgrounds(tmp_path / "programme", monkeypatch, "full")


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("mode", "preset", "configuration", "rules"),
    [
        ("miri_mrs", "small", REPLACED, SPECTRA),
        ("guider", "full", "", {"guider_rates", "report_exposures"}),
        ("miri_imaging", "small", "", {"detector1", "report"}),
        ("niriss_soss", "full", "", {"detector1", "report_exposures"}),
        ("fgs_imaging", "full", "", {"detector1", "report"}),
        ("fgs_imaging", "full", SLOWEST, {"detector1", "report"}),
    ],
    ids=["MRS", "guider", "MIRI", "SOSS", "FGS", "FGS slowly"],
)
def test_memory_of_other_modes_is_predicted(tmp_path, monkeypatch, capsys, mode, preset, configuration, rules):
    from snakewebb.cli import main

    programme = ModeProgramme(tmp_path / "programme")
    assert main(["simulate", mode, "--out", str(programme.folder), "--preset", preset, "--seed", "7"]) == 0
    with open(programme.folder / "config.yaml", "a") as stream:
        stream.write(configuration)
    if configuration:
        programme.snakemake(mode)  # compiles what set-up does not
        shutil.rmtree(programme.folder / "logs")
    programme.snakemake(mode, "--forceall")
    rows = list(compare(programme, monkeypatch, mode))
    with capsys.disabled():
        print("", mode, preset, *rows, sep="\n")
    # of the guiders there are no aperture corrections, and so no catalogue
    rows = [row for row in rows if (mode, row.rule) != ("fgs_imaging", "source_catalog")]
    found = {row.rule for row in rows}
    assert rules <= found
    check(rows, found)


def test_the_size_of_a_mosaic_is_predicted(programme, monkeypatch):
    from astropy.io import fits

    plan, needs = needs_of(programme.folder, programme.repository, monkeypatch)
    (product,) = plan.associations
    pixels = fits.getdata(programme.folder / f"stage3/{product}_i2d.fits", "SCI").size
    assert 1.0 <= needs.work("resample", None, product).mosaic / pixels < 1.3


def test_what_jobs_ask_for_grows_with_attempts_and_in_arrays_is_that_of_the_largest(programme, monkeypatch):
    plan, needs = needs_of(programme.folder, programme.repository, monkeypatch)
    root, other, *_ = plan.exposures
    once, twice, thrice = (needs.megabytes("detector1", root, attempt=n) for n in (1, 2, 3))
    assert twice == pytest.approx(1.5 * once, abs=1)
    assert thrice == pytest.approx(2.25 * once, abs=1)
    assert needs.minutes("detector1", root, attempt=2) >= 2 * needs.minutes("detector1", root) - 1
    assert needs.megabytes("detector1", root, submitted=True) >= once + 400
    large = plan.exposures[other]
    object.__setattr__(large, "shape", (4, 10, 2048, 2048))
    again = Needs(plan)
    assert again.megabytes("detector1", root) == once
    assert again.megabytes("detector1", root, uniform=True) == again.megabytes("detector1", other) > 2 * once
    assert again.minutes("detector1", root, uniform=True) == again.minutes("detector1", other)


def test_the_disk_that_is_asked_for_holds_what_is_written(programme, monkeypatch):
    plan, needs = needs_of(programme.folder, programme.repository, monkeypatch)
    root = next(iter(plan.exposures))
    (product,) = plan.associations
    folder = programme.folder
    for job, files in {
        ("detector1", root, None): [f"stage1/{root}_rate.fits", f"stage1/{root}_rateints.fits"],
        ("image2", root, None): [f"stage2/{root}_cal.fits"],
        ("resample_exposure", root, None): [f"stage2/{root}_i2d.fits"],
        ("outlier_detection", None, product): [f"stage3/{product}_crf"],
        ("resample", None, product): [f"stage3/{product}_i2d.fits"],
        ("source_catalog", None, product): [f"stage3/{product}_segm.fits", f"stage3/{product}_cat.ecsv"],
        ("report", None, product): [f"report/{product}", f"report/{product}.html"],
    }.items():
        written = (
            sum(path.stat().st_size for name in files for path in (folder / name, *(folder / name).rglob("*"))) / 1e6
        )
        assert written <= needs.disk_megabytes(*job), job
