"""What jobs ask for, against what they took: every job writes its largest memory into its log."""

import re
import shutil

import pytest

from snakewebb.cache import cache_root, sources_digest
from snakewebb.plan.folder import plan_of_folder
from snakewebb.plan.needs import Needs

MEASURED = ("detector1", "image2", "resample_exposure", "find_sources", "tweakreg", "skymatch", "outlier_detection")
MEASURED += ("resample", "source_catalog", "report")


def needs_of(folder, repository, monkeypatch):
    """The plan of a NIRCam programme and its needs, in this process."""
    monkeypatch.chdir(folder)
    plan = plan_of_folder("nircam_imaging", repository=repository)
    return plan, Needs(plan)


def compare(programme, monkeypatch):
    """Rule, job, measured and predicted MB of every job that was run."""
    plan, needs = needs_of(programme.folder, programme.repository, monkeypatch)
    for log in sorted((programme.folder / "logs").rglob("*.log")):
        measured = re.search(r"the job's memory: at most (\d+) MB", log.read_text())
        rule, name = log.parent.name, log.stem
        if rule not in MEASURED:
            continue
        assert measured, f"{log}: no memory in it"
        kind = "product" if name in plan.associations else "root"
        yield rule, name, int(measured[1]), needs.megabytes(rule, **{kind: name})


def check(rows):
    """Every prediction is 1 to 1.5 times the measured peak, and no rule is missing."""
    table = [f"{rule:18} {name:45} measured {m:5} MB, predicted {p:5} MB, {p / m:.2f}" for rule, name, m, p in rows]
    wrong = [line for line, (_, _, m, p) in zip(table, rows, strict=True) if not 1.0 <= p / m <= 1.5]
    assert not wrong, "\n".join(wrong)
    assert {row[0] for row in rows} == set(MEASURED)
    return "\n".join(table)


@pytest.fixture
def compiled():
    """A job that compiles kernels takes up to twice the memory, once for all: what is predicted is what others take."""
    if not (cache_root() / f"compiled-{sources_digest(only_kernels=True)}").exists():
        pytest.skip("kernels were not compiled ahead, as set-up does: run `snakewebb compile`")


@pytest.mark.usefixtures("compiled")
def test_memory_of_every_rule_is_predicted(programme, monkeypatch):
    check(list(compare(programme, monkeypatch)))


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("preset", ["small", "full"])
def test_memory_of_every_rule_is_predicted_for_whole_frames(tmp_path, monkeypatch, capsys, fresh, preset):
    from snakewebb.cli import main

    shutil.rmtree(fresh.folder)
    assert main(["simulate", "nircam_imaging", "--out", str(fresh.folder), "--preset", preset, "--seed", "7"]) == 0
    fresh.snakemake()
    table = check(list(compare(fresh, monkeypatch)))
    with capsys.disabled():
        print(f"\n{preset}\n{table}")


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
