"""Mosaics in tiles: made by jobs of their own, the same file as without, and of hundreds of exposures with bounded memory."""

import json
import re
import shutil

import numpy as np
import pytest
from astropy.io import fits

from expected_reruns import FROM_CATALOG
from mosaic_planes import planes
from snakewebb.plan.resources import LARGEST_PLANE
from strip_programme import references_of, write_strip

TILES = "mosaic_tiles: 100\n"
LIMIT = 1500  # MB of a job


def test_a_product_in_tiles_is_the_same_and_only_what_follows_a_change_reruns(programme):
    folder = programme.folder
    (i2d,) = folder.glob("stage3/*_i2d.fits")
    record = i2d.with_suffix(".json")
    before, told = planes(i2d), json.loads(record.read_text())
    product = i2d.name.removesuffix("_i2d.fits")
    programme.configure(TILES)
    found = programme.plan()
    tiles = found["mosaic_tile"]
    assert tiles > 1
    # what is made of the mosaic may rerun as far as a dry run can tell
    assert {key: found[key] for key in ("mosaic_grid", "resample")} == {"mosaic_grid": 1, "resample": 1}
    assert not {"outlier_detection", "skymatch", "tweakreg"} & set(found)
    programme.snakemake()
    assert len(list((folder / "logs/mosaic_tile").iterdir())) == tiles
    assert planes(i2d) == before
    assert json.loads(record.read_text()) == told
    assert not (folder / f"stage3/{product}_tiles").exists() or not list((folder / f"stage3/{product}_tiles").iterdir())
    assert programme.plan() == {}
    programme.configure(TILES + "steps: {resample: {pixfrac: 0.8}}\n")
    found = programme.plan()
    assert found == {"mosaic_grid": 1, "mosaic_tile": tiles, "resample": 1, **FROM_CATALOG}
    programme.configure(TILES)
    shutil.rmtree(folder / ".snakemake")
    assert programme.plan() == {}


def jobs_of(folder):
    """Largest memory in MB, and seconds of processors, of the jobs of each rule."""
    found = {}
    for log in sorted((folder / "logs").rglob("*.log")):
        rule = log.relative_to(folder / "logs").parts[0].removesuffix(".log")
        measured = re.search(r"the job's memory: at most (\d+) MB; its time: [\d.]+ s, ([\d.]+) s of", log.read_text())
        if measured:
            found.setdefault(rule, []).append((int(measured[1]), float(measured[2])))
    return {rule: (max(m for m, _ in jobs), sum(s for _, s in jobs), len(jobs)) for rule, jobs in found.items()}


@pytest.mark.long
def test_memory_does_not_grow_with_exposures_and_time_does_in_proportion(
    finished, fresh, tmp_path, monkeypatch, capsys
):
    """50 and 200 exposures in a strip: a mosaic of 200 as a whole would take more than the limit."""
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")
    template = min(finished.glob("stage2/*_cal.fits"))
    shutil.rmtree(fresh.folder / "uncal")
    measured = {}
    for exposures in (50, 200):
        write_strip(fresh.folder, template, references_of(fresh.folder / "crds"), exposures=exposures)
        fresh.configure("mosaic_tiles: 4096\n")
        fresh.snakemake()
        measured[exposures] = jobs_of(fresh.folder)
        (i2d,) = fresh.folder.glob("stage3/*_i2d.fits")
        with fits.open(i2d) as units:
            assert units["CON"].shape[0] == -(-exposures // 32)
            pixels = units["SCI"].data.size
            covered = np.count_nonzero(units["WHT"].data)
        assert covered > exposures / 4 * 0.6 * 640**2
        for name in ("stage3", "logs", "cal", ".snakemake", ".snakewebb"):
            shutil.rmtree(fresh.folder / name)
    few, many = measured[50], measured[200]
    with capsys.disabled():
        print()
        for rule in many:
            print(f"{rule:18} 50 exposures: {few[rule]}, 200: {many[rule]} (MB at most, seconds of processors, jobs)")
        print(f"mosaic of 200: {pixels / 1e6:.1f} million pixels")
    assert many["mosaic_tile"][2] >= 4
    assert 4 * pixels > LARGEST_PLANE
    assert {"source_catalog", "report", "report_programme"} < set(many)
    for rule, (megabytes, seconds, _) in many.items():
        assert megabytes <= LIMIT, rule
        assert megabytes <= few[rule][0] + 150, rule
        assert seconds <= 4 * 1.35 * few[rule][1] + 10, rule
