"""Two filters of one field on one grid: aligned to the catalogue of the detection filter, and what reruns."""

import math
import re
import shutil

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from mosaic_planes import planes

LONG, SHORT = (f"jw01234-o001_t001_nircam_clear-{name}-sub400p" for name in ("f444w", "f200w"))
ERROR = (0.12, -0.09)  # arcsec east and north, of the pointing of the exposures of F200W
OPTIONS = "truth: truth\ncommon_grid: {of: target}\ndetection_filter: F444W\n"
PIXEL = 0.031  # arcsec, of the grid


@pytest.fixture(scope="module")
def two_filters(tmp_path_factory, programme_in):
    """Three dithers of a field in each of two filters, calibrated; the second one points elsewhere than it says."""
    from snakewebb.simulate.truth import EFFECTS, simulate

    folder = tmp_path_factory.mktemp("two") / "programme"
    simulate(
        "nircam_imaging",
        folder,
        preset="tiny",
        seed=5,
        effects=EFFECTS - {"one_over_f", "amplifier_offsets"},
        configurations=((("NRCBLONG", "F444W", "CLEAR"),), (("NRCB1", "F200W", "CLEAR"),)),
        dithers=3,
        subarray="SUB400P",
        pattern="SHALLOW4",
        dither_step=1.0,
        star_density=1800.0,
        galaxy_density=0.0,
        flux_range=(3e-6, 1.2e-4),
        min_separation=1.0,
        whole_references=False,
    )
    for path in (folder / "uncal").glob("*_nrcb1_uncal.fits"):
        with fits.open(path, mode="update") as units:
            header = units["SCI"].header
            header["RA_REF"] += ERROR[0] / 3600 / math.cos(math.radians(header["DEC_REF"]))
            header["DEC_REF"] += ERROR[1] / 3600
    (folder / "simulated.yaml").write_text("crds_path: crds\ncrds_context: jwst_9999.pmap\n")
    programme = programme_in(folder)
    programme.configure(OPTIONS)
    programme.snakemake()
    return folder


@pytest.fixture
def programme(two_filters, tmp_path, programme_in):
    """A copy of it."""
    shutil.copytree(two_filters, tmp_path / "programme")
    return programme_in(tmp_path / "programme")


def test_mosaics_of_both_filters_have_the_same_coordinates(two_filters):
    headers = [fits.getheader(two_filters / f"stage3/{product}_i2d.fits", "SCI") for product in (LONG, SHORT)]
    keywords = (
        "NAXIS1 NAXIS2 CTYPE1 CTYPE2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CDELT1 CDELT2 PC1_1 PC1_2 PC2_1 PC2_2 RADESYS PIXAR_SR"
    )
    long, short = ([header[keyword] for keyword in keywords.split()] for header in headers)
    assert long == short
    assert headers[0]["CDELT1"] == pytest.approx(PIXEL / 3600, rel=1e-12)


def offsets_from_truth(folder, product):
    """Median offset (arcsec east and north) of bright stars of a catalogue from where they were simulated, and their number."""
    catalogue, truth = Table.read(folder / f"stage3/{product}_cat.ecsv"), Table.read(folder / "truth/sources.ecsv")
    bright = catalogue["aper_total_flux"] > 50 * catalogue["aper_total_flux_err"]
    found, stars = catalogue["sky_centroid_win"][bright], SkyCoord(truth["ra"], truth["dec"], unit="deg")
    index, distance, _ = found.match_to_catalog_sky(stars)
    near = distance.arcsec < 0.2
    east, north = found.spherical_offsets_to(stars[index])
    return np.array([-np.median(axis.arcsec[near]) for axis in (east, north)]), np.count_nonzero(near)


def test_an_error_of_the_pointing_of_one_filter_is_removed(two_filters):
    (long, _), (short, number) = (offsets_from_truth(two_filters, product) for product in (LONG, SHORT))
    assert number > 60
    assert np.sqrt(np.mean((short - long) ** 2)) < 0.02 * PIXEL
    table = Table.read(two_filters / f"stage3/{SHORT}_alignment.ecsv")
    assert table["absolute"].all()
    assert np.hypot(np.mean(table["dx"]) + ERROR[0], np.mean(table["dy"]) + ERROR[1]) < 0.1


def products_of_jobs(result):
    """What the jobs of a dry run make of each product, as their messages say."""
    messages = re.findall(r"^Job \d+: (.*): (\S+)$", result.stdout, re.MULTILINE)
    return {product: {what for what, name in messages if name == product} for product in (LONG, SHORT)}


def test_a_parameter_of_the_catalogue_of_the_detection_filter_reruns_the_alignment_of_the_other(programme):
    assert programme.plan() == {}
    programme.configure(OPTIONS + "steps: {source_catalog: {contrast: 0.01}}\n")
    found = programme.plan()
    assert found == {
        "source_catalog": 2,
        "tweakreg": 1,
        "skymatch": 1,
        "outlier_detection": 1,
        "resample": 1,
        "report": 2,
        "report_programme": 1,
    }
    jobs = products_of_jobs(programme.snakemake("--dry-run"))
    assert jobs[LONG] == {"catalogue", "report"}
    assert jobs[SHORT] == {"alignment", "sky levels", "outliers", "mosaic", "catalogue", "report"}
    # of the other filter alone: nothing of the detection filter, and not its calibration
    select = "overrides: [{select: {filter: F444W}, steps: {tweakreg: {snr_threshold: 12}}}]\n"
    programme.configure(OPTIONS + select)
    found = programme.plan()
    assert not {"image2", "detector1", "resample_exposure"} & set(found)
    assert (found["find_sources"], found["tweakreg"]) == (3, 2)
    programme.configure(OPTIONS.replace("detection_filter: F444W\n", ""))
    assert products_of_jobs(programme.snakemake("--dry-run"))[LONG] == set()


FORCED = OPTIONS + "steps: {forced_photometry: {skip: false}}\n"


@pytest.fixture(scope="module")
def measured(two_filters, tmp_path_factory, programme_in):
    """The two filters with forced photometry."""
    folder = tmp_path_factory.mktemp("forced") / "programme"
    shutil.copytree(two_filters, folder)
    programme = programme_in(folder)
    programme.configure(FORCED)
    assert programme.plan() == {"forced_photometry": 2, "multiband_catalog": 1, "report_programme": 1}
    programme.snakemake()
    assert programme.plan() == {}
    return programme


def test_one_table_has_the_fluxes_of_the_stars_in_both_filters(measured):
    table = Table.read(measured.folder / f"stage3/{LONG}_multiband.ecsv")
    truth = Table.read(measured.folder / "truth/sources.ecsv")
    stars = SkyCoord(truth["ra"], truth["dec"], unit="deg")
    index, distance, _ = table["sky_centroid"].match_to_catalog_sky(stars)
    _, neighbour, _ = stars.match_to_catalog_sky(stars, nthneighbor=2)
    alone = (distance.arcsec < 0.2) & (neighbour[index].arcsec > 0.99)
    assert len(table) > 250
    for name, number in (("F444W", 200), ("F200W", 40)):
        flux, error = (table[f"{name}_aper_total_flux{suffix}"] for suffix in ("", "_err"))
        injected = truth[f"flux_{name}"][index]
        seen = alone & np.isfinite(flux)
        assert np.count_nonzero(seen) > number
        ratio = (flux / injected)[seen]
        assert np.median(ratio) == pytest.approx(1, abs=0.01)
        # the light of a star depends on where in a pixel it falls
        pull = ((flux - injected) / np.hypot(error, 0.02 * injected))[seen]
        assert np.median(np.abs(pull)) < 1.0
        assert np.isfinite(table[f"{name}_aper_total_flux_limit"][seen]).sum() == (flux < 3 * error)[seen].sum()
    # beyond the smaller image of F200W there is no flux
    assert np.isnan(table["F200W_aper_total_flux"][table["F200W_coverage"] == 0]).all()


def test_the_page_of_the_programme_shows_the_colours(measured):
    page = (measured.folder / "report/programme.html").read_text()
    assert "sources of the detection filter in every filter" in page
    assert "S/N &gt; 5 in the filters of a colour" in page
    assert (measured.folder / "report/programme/colours0.png").stat().st_size > 5000
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "steps: {forced_photometry: {skip: false, limit_sigma: 5}}\n",
            {"forced_photometry": 2, "multiband_catalog": 1, "report_programme": 1},
        ),
        ("steps: {forced_photometry: {skip: true}}\n", {"report_programme": 1}),
        (
            "steps: {forced_photometry: {skip: false}, source_catalog: {aperture_ee1: 40}}\n",
            {
                "source_catalog": 2,
                "tweakreg": 1,
                "skymatch": 1,
                "outlier_detection": 1,
                "resample": 1,
                "report": 2,
                "report_programme": 1,
                "forced_photometry": 2,
                "multiband_catalog": 1,
            },
        ),
        (
            "steps: {forced_photometry: {skip: false}}\n"
            "overrides: [{select: {filter: F200W}, steps: {photom: {apply_time_correction: false}}}]\n",
            {
                "image2": 3,
                "resample_exposure": 3,
                "find_sources": 3,
                "tweakreg": 1,
                "skymatch": 1,
                "outlier_detection": 1,
                "resample": 1,
                "source_catalog": 1,
                "report": 1,
                "report_programme": 1,
                "forced_photometry": 1,
                "multiband_catalog": 1,
            },
        ),
    ],
)
def test_what_makes_the_photometry_stale(measured, change, expected):
    measured.configure(OPTIONS + change)
    assert measured.plan() == expected
    measured.configure(FORCED)


def test_tiles_of_the_common_grid_make_the_same_mosaic(programme):
    paths = [programme.folder / f"stage3/{product}_i2d.fits" for product in (LONG, SHORT)]
    before = [planes(path) for path in paths]
    programme.configure(OPTIONS + "mosaic_tiles: 400\n")
    found = programme.plan()
    assert (found["mosaic_grid"], found["mosaic_tile"], found["resample"]) == (2, 18, 2)
    programme.snakemake("--until", "resample")
    assert [planes(path) for path in paths] == before


def test_a_grid_that_aligned_exposures_do_not_lie_on_is_refused(programme):
    grid = (programme.folder / "grids.json").read_text()
    assert '"margin": 2.0' in grid
    programme.configure(OPTIONS.replace("{of: target}", "{of: target, margin: 0}"))
    # the table of the user moves an exposure by 4 arcsec
    table = Table.read(programme.folder / f"stage3/{LONG}_alignment.ecsv")
    table["shift_x"] += 4.0
    table.write(programme.folder / "mine.ecsv")
    programme.configure(OPTIONS.replace("{of: target}", "{of: target, margin: 0}") + "alignment_table: mine.ecsv\n")
    result = programme.snakemake("--until", "resample", check=False)
    assert result.returncode != 0
    text = (programme.folder / f"logs/resample/{LONG}.log").read_text()
    assert "the common grid jw01234_t001_nircam has" in text
    assert "of 3 exposures reach beyond it, jw01234001001_02101_0000" in text
    assert "set common_grid.margin larger by that, or exclude the exposures" in text
