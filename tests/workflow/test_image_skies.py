"""Backgrounds from other dithers, smooth ones, and templates of scattered light, in programmes calibrated as a user would."""

import json

import numpy as np
import pytest
from astropy.io import fits

from expected_reruns import FROM_IMAGE2
from glowing_programme import MODE, brightness, calibrated_programme, roots
from sky_scenes import filaments

DITHERS = 5
ON = "dither_background: {skip: false, min_shift: 1}, bkg_subtract: {skip: true}"


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Dithers on a bright sky with the glow of the instrument, calibrated up to stage 2; the backgrounds only tell what the sky is."""
    folder = tmp_path_factory.mktemp("dithers")
    return calibrated_programme(folder, f"steps: {{{ON}}}\n", seed=6, dithers=DITHERS, background_dithers=1)


def test_sky_and_glow_are_gone_and_the_noise_is_right(calibrated):
    sky = brightness(calibrated, roots(calibrated, "002")[0])
    rows = np.linspace(-0.5, 0.5, sky.shape[0])[:, None] * np.ones(sky.shape[1])
    columns = np.linspace(-0.5, 0.5, sky.shape[1]) * np.ones(sky.shape[0])[:, None]
    shapes = np.stack([np.ones(sky.shape), rows, columns])
    pulls = []
    for root in roots(calibrated, "001"):
        with fits.open(calibrated.folder / "stage2" / f"{root}_cal.fits") as units:
            assert units[0].header["S_BKGDTH"] == "COMPLETE"
            image, err, dq = (units[name].data for name in ("SCI", "ERR", "DQ"))
        expected = brightness(calibrated, root) - sky
        blank = (dq == 0) & (np.abs(expected) < 0.5)
        assert blank.mean() > 0.5
        pulls.append((image - expected)[blank] / err[blank])
        left, before = (_fit(shapes, values, err, blank) for values in (image - expected, sky))
        noise = np.sqrt(np.mean(err[blank] ** 2) / blank.sum() * np.array([1, 12, 12]))
        # the level is that of the exposure itself: faint stars are in it
        assert np.all(np.abs(left) < 4 * noise + [0.1, 0, 0] + 4e-3 * np.abs(before)), (left, before, noise)
        assert before[0] > 7
        assert np.abs(before[1:]).max() > 30 * noise[1]
    pulls = np.concatenate(pulls)
    width = np.diff(np.percentile(pulls, [25, 75]))[0] / 1.349
    assert width == pytest.approx(1.0, abs=0.04)


def _fit(shapes, image, err, use):
    """Coefficients of shapes in an image."""
    design = shapes[:, use].T / err[use][:, None]
    return np.linalg.lstsq(design, image[use] / err[use], rcond=None)[0]


def test_it_reruns_with_its_parameters_and_its_dithers(calibrated):
    assert calibrated.counts(MODE, "--until", "image2") == {}
    calibrated.configure(f"steps: {{{ON.replace('min_shift: 1', 'min_shift: 1, grow: 5')}}}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {"dither_background": DITHERS, "image2": DITHERS}
    calibrated.configure("steps: {bkg_subtract: {skip: true}}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {"image2": DITHERS}
    last = roots(calibrated, "001")[-1]
    calibrated.configure(f"steps: {{{ON}}}\nexclude: [{last}]\n")
    counts = calibrated.counts(MODE, "--until", "image2")
    assert counts == {"dither_background": DITHERS - 1, "image2": DITHERS - 1}
    calibrated.configure(f"steps: {{{ON}}}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {}


def test_templates_are_fitted_and_a_replaced_one_reruns_its_exposures(programme):
    """A template of the light of one detector; where there is none of it the images stay as they are."""
    folder = programme.folder
    root = next(path.name.removesuffix("_uncal.fits") for path in sorted((folder / "uncal").glob("*_uncal.fits")))
    before = fits.getdata(folder / f"stage2/{root}_cal.fits", "SCI")
    shape = before.shape
    template = folder / "wisp_NRCBLONG.fits"
    fits.PrimaryHDU(filaments(shape).astype(np.float32)).writeto(template)
    on = "wisp_subtract: {skip: false, templates: ['wisp_{DETECTOR}.fits'], box_size: 32}"
    programme.configure(f"steps: {{{on}}}\n")
    assert programme.plan() == FROM_IMAGE2
    programme.snakemake("--until", "image2")
    with fits.open(folder / f"stage2/{root}_cal.fits") as units:
        header, after = units[0].header, units["SCI"].data
    assert header["WISPTPL1"] == "wisp_NRCBLONG.fits"
    assert abs(header["WISPSCL1"]) < 4 * header["WISPERR1"]
    assert header["S_WISP"] == "SKIPPED"
    np.testing.assert_array_equal(after, before)
    record = json.loads((folder / f"stage2/{root}_cal.json").read_text())
    (status,) = [entry for entry in record["steps"] if entry["step"] == "wisp_subtract"]
    assert status["status"] == "NOT_APPLICABLE"
    assert status["reason"].endswith("not subtracted")
    # what follows is made of images that did not change
    assert programme.plan("--until", "image2") == {}
    fits.PrimaryHDU(filaments(shape).T.astype(np.float32)).writeto(template, overwrite=True)
    assert programme.plan("--until", "image2") == {"image2": 4}
    template.unlink()
    result = programme.snakemake("--dry-run", check=False)
    assert result.returncode
    assert "wisp_NRCBLONG.fits cannot be read (No such file or directory)" in result.stdout + result.stderr
