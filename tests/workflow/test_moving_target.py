"""A moving target that dithered exposures follow, over 0 hours of right ascension, simulated and calibrated as a user would."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from small_programmes import Programme
from snakewebb.io.products import read_wcs
from snakewebb.simulate.designs import Target
from snakewebb.simulate.truth import default_effects, simulate

MODE = "nircam_imaging"
PIXEL = 0.063  # arcsec
# over 0 hours between the second and the third exposure: arcsec per hour, and so far from 0 at the start
MOTION = (500.0, 300.0)
START = Target("COMET", 359.9808, 33.0)


@pytest.fixture(scope="module")
def programme(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moving")
    simulate(
        MODE,
        folder,
        preset="tiny",
        seed=4,
        effects=default_effects(MODE) - {"pointing_error"},
        targets=(START,),
        motion=MOTION,
        target_flux=1e-4,
        dithers=3,
        star_density=100.0,
        galaxy_density=0.0,
    )
    programme = Programme(folder, "jwst_9999.pmap")
    programme.configure()
    programme.snakemake(MODE, "--until", "resample")
    return programme


def only(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_exposures_stack_on_the_target(programme):
    folder = programme.folder
    targets = Table.read(only(folder, "stage3/*_mtwcs.ecsv"), format="ascii.ecsv")
    assert set(targets["status"]) == {"COMPLETE"}
    ra, dec = np.array(targets["mt_ra"]), np.array(targets["mt_dec"])
    assert ra.max() > 359
    assert ra.min() < 1
    mean = SkyCoord(np.mean((ra + 180) % 360) - 180, dec.mean(), unit="deg")
    found = SkyCoord(targets["mt_avra"][0], targets["mt_avdec"][0], unit="deg")
    assert found.separation(mean).arcsec < 1e-2
    assert not list(folder.glob("stage3/*_alignment.ecsv"))

    crfs = sorted(folder.glob("stage3/*_crf/*_crf.fits"))
    assert len(crfs) == 3
    for path, row in zip(crfs, targets, strict=True):
        header, science = fits.getheader(path, 0), fits.getheader(path, "SCI")
        assert header["S_MTWCS"] == "COMPLETE"
        assert (science["MT_RA"], science["MT_DEC"]) == (row["mt_ra"], row["mt_dec"])
        assert (science["MT_AVRA"], science["MT_AVDEC"]) == (row["mt_avra"], row["mt_avdec"])
        assert read_wcs(path).available_frames[-2:] == ["world", "moving_target"]

    with fits.open(only(folder, "stage3/*_i2d.fits")) as units:
        image, err = units["SCI"].data.astype(float), units["ERR"].data
        context, header = units["CON"].data, units["SCI"].header
    # one detector's field and its dithers, not the way of the target
    assert max(image.shape) < 320
    from astropy.wcs import WCS

    x, y = WCS(header).world_to_pixel(found)
    i, j = round(float(x)), round(float(y))
    window = np.s_[j - 4 : j + 5, i - 4 : i + 5]
    assert np.isfinite(image[window]).all()
    light = image[window] - np.nanmedian(image)
    rows, columns = np.mgrid[j - 4 : j + 5, i - 4 : i + 5]
    centre = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
    np.testing.assert_allclose(centre, (x, y), atol=0.1)
    # all exposures show it there: its light is that of one star, and that of stars is rejected or spread
    assert np.all(context[0][window] == 0b111)
    flux = light.sum() * 1e6 * header["PIXAR_SR"]
    assert flux == pytest.approx(1e-4, rel=0.1)
    assert light.sum() > 100 * np.sqrt((err[window] ** 2).sum())


def test_the_step_is_a_rule_and_its_switch_reruns_what_follows(programme):
    assert programme.counts(MODE, "--until", "resample") == {}
    programme.configure("steps: {assign_mtwcs: {compatibility: jwst}}\n")
    following = {"skymatch": 1, "outlier_detection": 1, "resample": 1}
    assert programme.counts(MODE, "--until", "resample") == {"assign_mtwcs": 1, **following}
    programme.configure("steps: {assign_mtwcs: {skip: true}}\n")
    assert programme.counts(MODE, "--until", "resample") == following
    programme.configure("steps: {tweakreg: {snr_threshold: 5}}\n")
    assert programme.counts(MODE, "--until", "resample") == {}
    programme.configure()
