"""A pair of dithers of wavefront sensing, simulated and combined as a user would."""

import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from small_programmes import Programme
from snakewebb.io.products import read_wcs
from snakewebb.plan.folder import plan_of_folder
from snakewebb.plan.needs import Needs
from snakewebb.simulate.truth import default_effects, simulate

MODE = "nircam_imaging"


@pytest.fixture(scope="module")
def programme(tmp_path_factory):
    """Two dithers of a field of stars, in a visit of wavefront sensing."""
    folder = tmp_path_factory.mktemp("wavefront")
    effects = default_effects(MODE) - {"pointing_error"}
    simulate(MODE, folder, preset="tiny", seed=6, effects=effects, dithers=2, star_density=1500.0, galaxy_density=0.0)
    for path in (folder / "uncal").glob("*_uncal.fits"):
        with fits.open(path, mode="update") as units:
            units[0].header.update({"VISITYPE": "PRIME_WFSC_SENSING_CONTROL", "PATTTYPE": "WFSC"})
    programme = Programme(folder, "jwst_9999.pmap")
    programme.configure()
    programme.snakemake(MODE)
    return programme


def product_of(programme):
    (path,) = programme.folder.glob("stage3/*_wfscmb-*.fits")
    return path


def test_the_stars_of_both_are_where_the_first_has_them(programme):
    path = product_of(programme)
    with fits.open(path) as units:
        names = [unit.name for unit in units]
        data, err, header = units["SCI"].data.astype(float), units["ERR"].data, units[0].header
    assert names == ["PRIMARY", "SCI", "ERR", "DQ", "ASDF"]
    assert (header["S_WFSCOM"], header["FILENAME"], header["DATAMODL"]) == ("COMPLETE", path.name, "ImageModel")
    wcs = read_wcs(path)
    sources = Table.read(programme.folder / "truth/sources.ecsv", format="ascii.ecsv")
    x, y = wcs.invert(np.array(sources["ra"]), np.array(sources["dec"]), with_bounding_box=False)
    distances = []
    for i, j in zip(x, y, strict=True):
        if not (6 <= i < data.shape[1] - 7 and 6 <= j < data.shape[0] - 7):
            continue
        window = np.s_[round(j) - 2 : round(j) + 3, round(i) - 2 : round(i) + 3]
        light = data[window] - np.nanmedian(data)
        if not np.isfinite(light).all() or light.sum() < 100 * np.sqrt((err[window] ** 2).sum()):
            continue
        rows, columns = np.mgrid[window]
        distances.append(np.hypot((light * columns).sum() / light.sum() - i, (light * rows).sum() / light.sum() - j))
    assert len(distances) > 5
    # the shift is rounded to whole pixels, half of which the mean shows
    assert np.median(distances) < 0.35


def test_nothing_is_left_to_be_made_and_the_steps_parameters_rerun_it_alone(programme):
    assert not list(programme.folder.glob("stage3/*_i2d.fits"))
    assert programme.counts(MODE) == {}
    programme.configure("steps: {wfs_combine: {do_refine: true, psf_size: 60}}\n")
    assert programme.counts(MODE) == {"wfs_combine": 1, "report_pair": 1}
    programme.configure()


def test_it_has_a_page_with_its_exposures_offset_and_flags(programme):
    path = product_of(programme)
    assert not (programme.folder / "report/programme.html").exists(), "there is no mosaic"
    page = (programme.folder / f"report/{path.stem}.html").read_text()
    roots = [cal.name.removesuffix("_cal.fits") for cal in sorted(programme.folder.glob("stage2/*_cal.fits"))]
    assert len(roots) == 2
    for root in roots:
        assert f"{root}: slopes, flagged pixels" in page
    reason = json.loads(path.with_suffix(".json").read_text())["steps"][0]["reason"]
    moved = [-int(number) for number in re.search(r"moved by (-?\d+), (-?\d+) pixels", reason).groups()]
    cells = "".join(f"<td>{number}</td>" for number in moved)
    assert f"<td>taken</td>{cells}" in page
    assert "Flagged pixels of the two images" in page


def test_its_memory_and_disk_are_predicted(programme, monkeypatch):
    monkeypatch.chdir(programme.folder)
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")
    path = product_of(programme)
    programme.snakemake(MODE, "--forcerun", "wfs_combine")
    needs = Needs(plan_of_folder(MODE, repository=None))
    for rule in ("wfs_combine", "report_pair"):
        (log,) = programme.folder.glob(f"logs/{rule}/*.log")
        measured = int(log.read_text().rpartition("the job's memory: at most ")[2].split()[0])
        assert 1.0 <= needs.megabytes(rule, None, path.stem) / measured <= 1.5, rule
    assert path.stat().st_size / 1e6 <= needs.disk_megabytes("wfs_combine", None, path.stem)
    pictures = sum(file.stat().st_size for file in programme.folder.glob(f"report/{path.stem}*/*"))
    assert pictures / 1e6 <= needs.disk_megabytes("report_pair", None, path.stem)


def test_the_oracle_reads_it_and_combines_the_same_pair(programme):
    pytest.importorskip("jwst")
    from jwst.wfs_combine.wfs_combine import DataSet
    from stdatamodels.jwst import datamodels

    (record,) = programme.folder.glob("stage3/*_asn.json")
    assert "{suffix}-01" in record.read_text()
    cals = sorted(programme.folder.glob("stage2/*_cal.fits"))
    data = DataSet(*(datamodels.open(cal) for cal in cals), False, True, 100, 10, 2)
    theirs = data.do_all()
    with datamodels.open(product_of(programme)) as ours:
        assert isinstance(ours, datamodels.ImageModel)
        assert ours.meta.cal_step.wfs_combine == "COMPLETE"
        assert ours.meta.exposure.exposure_time == theirs.meta.exposure.exposure_time
        inner = np.s_[60:-60, 60:-60]
        good = np.isfinite(ours.data[inner]) & (theirs.data[inner] != 0)
        assert good.mean() > 0.9
        np.testing.assert_array_equal(ours.data[inner][good], theirs.data[inner][good])
