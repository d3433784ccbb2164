"""Products of images that cannot be as usual: each is made as well as it can be, and says what is wrong."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from small_programmes import Programme
from snakewebb.plan.mosaics import shape_of_mosaic
from snakewebb.simulate.truth import default_effects, simulate

MODE = "nircam_imaging"
LONG, SHORT = ("NRCBLONG", "F444W", "CLEAR"), ("NRCB1", "F200W", "CLEAR")
USUAL = default_effects(MODE)
# programme -> how it differs from two dithers of a field of stars
PROGRAMMES = {
    "01234": {"configurations": ((LONG, SHORT),)},
    "01235": {"dithers": 1},
    "01236": {"dither_step": 60.0},
    "01237": {"effects": USUAL - {"sources"}},
    "01238": {"flux_range": (0.5, 5.0), "star_density": 500.0},
    "01239": {"dithers": 4},
}
ONE, APART, EMPTY, SATURATED, STRAY = (f"jw0123{n}-o001_t001_nircam_clear-f444w-sub160p" for n in (5, 6, 7, 8, 9))
MIXED = "jw01234-c1001_t001_nircam_both-channels-sub160p"


def raw_files(folder, program):
    return sorted((folder / "uncal").glob(f"jw{program}*_uncal.fits"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The programmes in one folder, calibrated; and what Snakemake said."""
    folder = tmp_path_factory.mktemp("bad_images")
    usual = {"preset": "tiny", "seed": 3, "dithers": 2, "galaxy_density": 0.0}
    for program, changes in PROGRAMMES.items():
        simulate(MODE, folder, program=program, references=program == "01234", **usual | changes)
    # one detector missing from a dither
    raw_files(folder, "01234")[-1].unlink()
    # an exposure that looks elsewhere
    with fits.open(raw_files(folder, "01239")[1], mode="update") as units:
        units["SCI"].header["RA_REF"] += 2.0
    # exposures of both channels in one product
    members = [path.name.replace("uncal", "cal") for path in raw_files(folder, "01234")]
    members = [{"expname": name, "exptype": "science"} for name in members]
    association = {"asn_type": "image3", "products": [{"name": MIXED, "members": members}]}
    (folder / "mixed_asn.json").write_text(json.dumps(association))
    # a catalogue of another part of the sky
    places = np.random.default_rng(1).uniform(-0.001, 0.001, (40, 2))
    Table({"ra": 53.4 + places[:, 0], "dec": -27.8 + places[:, 1]}).write(folder / "elsewhere.ecsv")
    programme = Programme(folder, "jwst_9999.pmap")
    programme.configure("associations: [mixed_asn.json]\nsteps: {tweakreg: {abs_refcat: elsewhere.ecsv}}\n")
    return programme, programme.snakemake(MODE, "--until", "source_catalog")


def table(run, product, suffix):
    return Table.read(run[0].folder / f"stage3/{product}_{suffix}.ecsv", format="ascii.ecsv")


def outcome(run, product, suffix):
    """Status and reason of the step that a record is of, and the record."""
    record = json.loads((run[0].folder / f"stage3/{product}_{suffix}.json").read_text())
    (step,) = record["steps"]
    return step["status"], step["reason"], record


def mosaic(run, product):
    return fits.getdata(run[0].folder / f"stage3/{product}_i2d.fits", "SCI")


def test_an_exposure_that_looks_elsewhere_is_named_and_left_out(run):
    path = raw_files(run[0].folder, "01239")[1]
    assert f"uncal/{path.name}: RA_REF 55.1" in run[1].stderr
    assert " arcmin from the other exposures of " in run[1].stderr
    assert "not in that product; check its pointing" in run[1].stderr
    assert len(list(run[0].folder.glob(f"stage3/{STRAY}_crf/*_crf.fits"))) == 3
    assert max(mosaic(run, STRAY).shape) < 220
    # it is calibrated nevertheless, as no product needs
    assert run[0].counts(MODE)["image2"] == 1


def test_a_catalogue_without_matches_leaves_the_relative_alignment(run):
    found = table(run, STRAY, "alignment")
    assert sorted(found["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS"]
    assert set(found["reason"]) == {"absolute alignment: 0 sources match the reference, at least 15 are needed"}
    assert np.count_nonzero(found["shift_x"]) == 2
    assert not any(found["absolute"])


def test_one_exposure_is_a_mosaic(run):
    (row,) = table(run, ONE, "alignment")
    assert row["status"] == "SKIPPED"
    assert row["reason"].startswith("a single group with sources: nothing to align with")
    assert table(run, ONE, "sky")["reason"][0] == "a single exposure: nothing to match"
    assert outcome(run, ONE, "crf")[:2] == ("NOT_APPLICABLE", "fewer than two exposures of the same sky")
    assert outcome(run, ONE, "cat")[2]["sources"] > 10


def test_exposures_that_do_not_overlap_are_combined_as_they_are(run):
    found = table(run, APART, "alignment")
    assert list(found["status"]) == ["REFERENCE", "FAILED"]
    assert found["reason"][1] == "0 sources match the reference, at least 15 are needed"
    assert list(table(run, APART, "sky")["reason"]) == ["no overlap with another exposure"] * 2
    assert outcome(run, APART, "cat")[2]["sources"] > 20
    assert 2 * 150**2 < np.isfinite(mosaic(run, APART)).sum() < 2.1 * 160**2


def test_a_field_without_sources_has_an_empty_catalogue(run):
    found = table(run, EMPTY, "alignment")
    assert list(found["status"]) == ["FAILED"] * 2
    assert all(reason.startswith("no sources") for reason in found["reason"])
    assert outcome(run, EMPTY, "cat")[:2] == ("COMPLETE", "no source above the threshold")
    catalogue = table(run, EMPTY, "cat")
    assert len(catalogue) == 0
    assert "aper_total_flux" in catalogue.colnames


def test_saturated_stars_align_nothing_and_have_no_fluxes_in_apertures(run):
    found = table(run, SATURATED, "alignment")
    assert list(found["status"]) == ["FAILED"] * 2
    assert list(found["n_sources"]) == [0, 0]
    catalogue = table(run, SATURATED, "cat")
    errors = np.ma.filled(np.ma.masked_invalid(catalogue["aper_total_flux_err"]), np.nan)
    assert np.isnan(errors).mean() > 0.5


def test_mixed_pixel_scales_and_a_missing_detector_are_named(run):
    text = run[1].stderr
    assert (
        f"{MIXED}: nrcblong of jw01234001001_02101_00002 not here, unlike in other exposures of that observation: fetch"
        in text
    )
    assert (
        f"{MIXED}: pixels of about 0.031 (jw01234001001_02101_00001_nrcb1), 0.062 (jw01234001001_02101_00001_nrcblong) arcsec are"
        in text
    )
    status, reason, record = outcome(run, MIXED, "cat")
    assert (status, record["sources"]) == ("NO_REFERENCE", 0)
    assert "has no row for FILTER MULTIPLE" in reason
    with fits.open(run[0].folder / f"stage3/{MIXED}_i2d.fits") as units:
        assert np.sqrt(units["SCI"].header["PIXAR_A2"]) == pytest.approx(0.031, abs=5e-4)
    # the long-wavelength field is twice as wide
    assert min(mosaic(run, MIXED).shape) > 310


def test_sizes_of_mosaics_are_predicted(run, monkeypatch):
    monkeypatch.chdir(run[0].folder)
    plan = run[0].plan(MODE)
    for product in plan.associations:
        assert 1.0 <= np.prod(shape_of_mosaic(plan, product)) / mosaic(run, product).size < 1.5, product
