"""What exposures of the spectrometer go through before and after their cubes, all of it switched on, on a simulated programme.

A star with a flat spectrum, two dithers of bands 3A, 4A and 3B, 4B, whose pointings are wrong by known amounts, and one exposure of
blank sky of each.
"""

import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from small_programmes import Programme
from snakewebb.dq import OUTLIER
from snakewebb.io.products import read_image
from snakewebb.plan.names import root_of
from snakewebb.plan.needs import Needs
from snakewebb.simulate.mrs_scene import Source, thermal_background
from snakewebb.simulate.truth import simulate
from snakewebb.wcs.mrs import mrs_geometry

pytestmark = pytest.mark.long

MODE = "miri_mrs"
FLUX = 0.05
STAR = Source("star", flux=FLUX, slope=0.0, lines=0.0)
PRODUCT, SKY = "jw01235-o001_t001_miri", "jw01235-o002_t002_miri"
ROOTS = [f"jw01235001001_{group}_0000{number}_mirifulong" for group in ("02101", "04101") for number in (1, 2)]
ON = {
    "bkg_subtract": "{skip: true}",
    "measured_offsets": "{skip: false}",
    "cube_outliers": "{skip: false}",
    "stitch_spectra": "{skip: false}",
}
# what is changed, and the jobs that follow from it
AFTER_CUBES = {"extract_1d": 4, "stitch_spectra": 1, "report_spectra": 1}
AFTER_OFFSETS = {"cube_outliers": 1, "cube_build": 4, **AFTER_CUBES}
ALL_CUBES = {"cube_build": 8, "extract_1d": 8, "stitch_spectra": 2, "report_spectra": 2}
CHANGES = {
    "master_background": (
        "{median_kernel: 5}",
        {"master_background": 4, "outlier_detection": 1, "measured_offsets": 1, **AFTER_OFFSETS},
    ),
    "outlier_detection": (
        "{threshold_percent: 99.9}",
        {"outlier_detection": 2, "measured_offsets": 1, "cube_outliers": 2, **ALL_CUBES},
    ),
    "measured_offsets": ("{skip: false, weighting: emsm}", {"measured_offsets": 1, **AFTER_OFFSETS}),
    "cube_outliers": ("{skip: false, snr: '6.0 4.0'}", {"cube_outliers": 2, **ALL_CUBES}),
    "cube_build": ("{scalew: 0.002}", ALL_CUBES),
    "stitch_spectra": ("{skip: false, scaling: offset}", {"stitch_spectra": 2, "report_spectra": 2}),
}


def steps(**changes):
    """The configuration with everything on, some of it changed."""
    return "steps:\n" + "".join(f"  {name}: {value}\n" for name, value in (ON | changes).items())


def jobs(programme):
    """Number of jobs of each rule that a dry run would start, without tokens and the targets."""
    return {rule: n for rule, n in programme.counts(MODE).items() if rule != "references"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    programme = Programme(tmp_path_factory.mktemp("members"), "jwst_9999.pmap")
    simulate(
        MODE, programme.folder, preset="tiny", seed=5, sources=(STAR,), ngroups=5, dithers=2, detectors=("MIRIFULONG",),
        bands=("SHORT", "MEDIUM"), background_dithers=1, pointing_error=0.1,
    )  # fmt: skip
    programme.configure(steps())
    with pytest.MonkeyPatch.context() as patch:
        # each job in a process of its own, as on clusters, whose memory is predicted: a fork counts what its parent holds
        patch.setenv("SNAKEWEBB_JOB_SERVER", "off")
        programme.snakemake(MODE)
    return programme


def truth_of(programme, root):
    """What the pixels of an exposure see (MJy/sr), and the background of it."""
    (path,) = (programme.folder / "truth").glob(f"{root}*_truth.fits")
    brightness = fits.getdata(path, "BRIGHTNESS")
    image = read_image(programme.folder / f"stage2/{root}_cal.fits", wcs=True)
    geometry, _, _ = mrs_geometry(image.wcs)
    return brightness, thermal_background(np.where(np.isfinite(geometry.wavelength), geometry.wavelength, 5.0))


def test_a_spectrum_of_the_background_takes_the_background_away(finished):
    """To a tenth of it: the noise of a pixel is many times more."""
    for root in ROOTS:
        path = finished.folder / f"stage3/mbsub/{root}_mbsub.fits"
        brightness, sky = truth_of(finished, root)
        data, header = fits.getdata(path, "SCI"), fits.getheader(path)
        assert header["S_MSBSUB"] == "COMPLETE"
        before = fits.getdata(finished.folder / f"stage2/{root}_cal.fits", "SCI")
        use = (brightness > 0) & np.isfinite(data)
        assert use.sum() > 400_000
        level = np.median(sky[use])
        assert np.median((before - data)[use]) == pytest.approx(level, rel=0.1)
        assert np.median((before - data - sky)[use] / sky[use]) == pytest.approx(0, abs=0.1)


def test_errors_of_the_pointing_are_found_within_their_errors(finished):
    """Relative to each other: to a tenth of a slice (0.39 and 0.66 arcsec), and within four of the errors that the table states."""
    table = Table.read(finished.folder / f"stage3/{PRODUCT}_offsets.ecsv", format="ascii.ecsv")
    truth = Table.read(finished.folder / "truth" / "exposures.ecsv", format="ascii.ecsv")
    errors = {str(row["exposure"]): np.array([row["error_east"], row["error_north"]]) for row in truth}
    assert list(dict.fromkeys(map(root_of, np.array(table["filename"], str)))) == ROOTS
    pulls = []
    for channel, width in (("3", 0.39), ("4", 0.656)):
        rows = table[np.array(table["channel"], str) == channel]
        found = {root_of(str(row["filename"])): np.array([row["raoffset"], row["decoffset"]]) for row in rows}
        stated = {root_of(str(row["filename"])): np.array([row["raerror"], row["decerror"]]) for row in rows}
        for first, second in (ROOTS[:2], ROOTS[2:]):
            expected = errors[second] - errors[first]
            assert np.hypot(*expected) > 0.05
            wrong = found[second] - found[first] - expected
            assert np.hypot(*wrong) < 0.1 * width
            # of two exposures, offsets to their mean are opposite
            pulls.append(wrong / (stated[first] + stated[second]))
    assert np.abs(pulls).max() < 4
    assert not (finished.folder / f"stage3/{SKY}_offsets.ecsv").exists()


def test_hits_of_single_exposures_are_flagged_in_files_of_their_own(finished, tmp_path):
    """Hits that jump did not see, of 50 errors: most of them are flagged, where the other exposure looks, and hardly anything else."""
    programme = Programme(tmp_path / "hit", finished.context)
    (programme.folder / "cal").mkdir(parents=True)
    (programme.folder / "crds").symlink_to(finished.folder / "crds")
    random, hits = np.random.default_rng(3), {}
    for root in ROOTS[:2]:
        with fits.open(finished.folder / f"stage2/{root}_cal.fits") as units:
            usable = np.isfinite(units["SCI"].data) & ((units["DQ"].data & 1) == 0)
            hits[root] = usable & (random.random(usable.shape) < 0.002)
            units["SCI"].data[hits[root]] += 50 * units["ERR"].data[hits[root]]
            for unit in units:
                unit.header.pop("DATASUM", None)
                unit.header.pop("CHECKSUM", None)
            units.writeto(programme.folder / "cal" / f"{root}_cal.fits")
    programme.configure(steps(outlier_detection="{skip: true}", measured_offsets="{skip: true}"))
    programme.snakemake(MODE, "--until", "cube_outliers")
    for root in ROOTS[:2]:
        path = programme.folder / f"stage3/{PRODUCT}_cubecrf/{root}_o001_crf.fits"
        before, after = fits.getdata(programme.folder / f"cal/{root}_cal.fits", "DQ"), fits.getdata(path, "DQ")
        assert fits.getheader(path)["S_CUBOUT"] == "COMPLETE"
        assert ((before & ~after) == 0).all()
        flagged = ((after & OUTLIER) != 0) & ((before & OUTLIER) == 0)
        assert flagged[hits[root]].mean() > 0.5
        assert flagged[~hits[root]].mean() < 1e-3
        assert np.isnan(fits.getdata(path, "SCI")[flagged]).all()


def test_one_spectrum_has_the_level_of_the_star_everywhere(finished):
    with fits.open(finished.folder / f"stage3/{PRODUCT}_stitched.fits") as units:
        table, factors = units["EXTRACT1D"].data, units["FACTORS"].data
        assert (units[0].header["CHANNEL"], units[0].header["BAND"]) == ("34", "MULTIPLE")
        assert [name.strip() for name in factors["BAND"]] == ["3A", "3B", "4A", "4B"]
        assert [flag.strip() for flag in factors["FLAG"]] == ["REFERENCE", "OK", "NO_OVERLAP", "OK"]
        np.testing.assert_allclose(factors["FACTOR"], 1.0, atol=0.1)
        wave, good = table["WAVELENGTH"], (table["DQ"] & 1) == 0
        assert (np.diff(wave) > 0).all()
        assert (wave[0], wave[-1]) == (pytest.approx(11.55, abs=0.1), pytest.approx(24.5, abs=0.2))
        parts = [
            good & (wave >= low) & (wave <= high)
            for low, high in zip(factors["WAVEMIN"], factors["WAVEMAX"], strict=True)
        ]
        levels = [np.mean(table["FLUX"][part]) for part in parts]
        # two pointings undersample the star: a coarse bound for each band
        np.testing.assert_allclose(levels, FLUX, rtol=0.06)
        joint = factors["WAVEMAX"][0]
        sides = [good & (wave > joint - 0.2) & (wave < joint), good & (wave >= joint) & (wave < joint + 0.2)]
        assert np.mean(table["FLUX"][sides[0]]) == pytest.approx(np.mean(table["FLUX"][sides[1]]), rel=0.03)
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    with datamodels.open(finished.folder / f"stage3/{PRODUCT}_stitched.fits") as model:
        assert type(model).__name__ == "MRSMultiSpecModel"
        assert len(model.spec[0].spec_table) == len(wave)


def test_the_page_shows_offsets_factors_and_steps(finished):
    page = (finished.folder / f"report/{PRODUCT}.html").read_text()
    assert "<h2>Offsets of the pointing</h2>" in page
    assert "<h2>Levels of the bands</h2>" in page
    for step in ("master_background", "measured_offsets", "cube_outliers", "stitch_spectra"):
        assert f"<span>{step}</span>" in page
    assert (finished.folder / f"report/{PRODUCT}/stitched.png").stat().st_size > 10_000


def test_jobs_take_no_more_memory_than_is_planned(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    needs = Needs(finished.plan(MODE))
    made = [("master_background", ROOTS[0], None)]
    made += [(rule, None, PRODUCT) for rule in ("measured_offsets", "cube_outliers", "stitch_spectra")]
    for rule, root, name in made:
        log = (finished.folder / f"logs/{rule}/{root or name}.log").read_text()
        measured = int(re.search(r"the job's memory: at most (\d+) MB", log)[1])
        # kernels are compiled in these jobs; one that is killed for memory is given half as much again
        assert measured <= 1.5 * needs.megabytes(rule, root, name), rule


def test_what_a_change_makes_stale(finished):
    try:
        assert jobs(finished) == {}
        for step, (change, expected) in CHANGES.items():
            finished.configure(steps(**{step: change}))
            assert jobs(finished) == expected, step
    finally:
        finished.configure(steps())


def test_exposures_of_a_nod_are_subtracted_from_each_other(finished):
    """In place of the spectrum of the background: what is left is the difference of what the two exposures see."""
    finished.configure(steps(master_background="{skip: true}", nod_subtract="{skip: false}"))
    try:
        finished.snakemake(MODE, "--until", "nod_subtract")
        for first, second in (ROOTS[:2], ROOTS[1::-1], ROOTS[2:]):
            path = finished.folder / f"stage3/nodsub/{first}_nodsub.fits"
            assert fits.getheader(path)["S_NODSUB"] == "COMPLETE"
            data, err = fits.getdata(path, "SCI"), fits.getdata(path, "ERR")
            (mine, sky), (theirs, _) = (truth_of(finished, root) for root in (first, second))
            use = (mine > 0) & np.isfinite(data)
            assert abs(np.median((data - (mine - theirs))[use])) < 0.1 * np.median(sky[use])
            before = fits.getdata(finished.folder / f"stage2/{first}_cal.fits", "ERR")
            assert np.nanmedian((err / before)[use]) == pytest.approx(np.sqrt(2), rel=0.05)
    finally:
        finished.configure(steps())
