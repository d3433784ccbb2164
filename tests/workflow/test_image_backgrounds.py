"""MIRI images with dedicated backgrounds, simulated and calibrated as a user would, against what was simulated."""

import numpy as np
import pytest
from astropy.io import fits

from glowing_programme import MODE, brightness, calibrated_programme, roots

DITHERS, SKY = 2, 3


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A programme with a bright sky and the glow of the instrument, calibrated up to stage 2."""
    folder = tmp_path_factory.mktemp("backgrounds")
    return calibrated_programme(folder, seed=5, dithers=DITHERS, background_dithers=SKY)


def test_sky_and_glow_are_gone_and_the_noise_is_right(calibrated):
    sky = np.mean([brightness(calibrated, root) for root in roots(calibrated, "002")], axis=0)
    rows = np.linspace(-0.5, 0.5, sky.shape[0])[:, None] * np.ones(sky.shape[1])
    columns = np.linspace(-0.5, 0.5, sky.shape[1]) * np.ones(sky.shape[0])[:, None]
    shapes = np.stack([np.ones(sky.shape), rows, columns])
    pulls = []
    for root in roots(calibrated, "001"):
        with fits.open(calibrated.folder / "stage2" / f"{root}_cal.fits") as units:
            assert units[0].header["S_BKDSUB"] == "COMPLETE"
            image, err, dq = (units[name].data for name in ("SCI", "ERR", "DQ"))
            parts = sum(units[name].data for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"))
        expected = brightness(calibrated, root) - sky
        blank = (dq == 0) & (np.abs(expected) < 0.5)
        assert blank.mean() > 0.5
        np.testing.assert_allclose(err[blank] ** 2, parts[blank], rtol=1e-5)
        pull = (image - expected)[blank] / err[blank]
        pulls.append(pull)
        # level and slopes of what is left, and of what there was
        left = _fit(shapes, image - expected, err, blank)
        before = _fit(shapes, sky, err, blank)
        noise = np.sqrt(np.mean(err[blank] ** 2) / blank.sum() * np.array([1, 12, 12]))
        assert np.all(np.abs(left) < 4 * noise + 2e-3 * np.abs(before)), (left, before, noise)
        assert before[0] > 7
        assert np.abs(before[1:]).max() > 30 * noise[1]
    pulls = np.concatenate(pulls)
    assert abs(np.median(pulls)) < 0.02
    width = np.diff(np.percentile(pulls, [25, 75]))[0] / 1.349
    assert width == pytest.approx(1.0, abs=0.03)


def _fit(shapes, image, err, use):
    """Coefficients of shapes in an image."""
    design = shapes[:, use].T / err[use][:, None]
    return np.linalg.lstsq(design, image[use] / err[use], rcond=None)[0]


def test_switched_off_it_reruns_what_follows_only(calibrated):
    assert "bkg_subtract" not in calibrated.counts(MODE, "--until", "image2")
    calibrated.configure("steps: {bkg_subtract: {skip: true}}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {"image2": DITHERS}
    calibrated.configure("steps: {bkg_subtract: {sigma: 2}}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {"bkg_subtract": DITHERS, "image2": DITHERS}
    calibrated.configure("backgrounds: {jw01234001001_02101_00001_mirimage: ['jw01234002001_02101_0000[12]*']}\n")
    assert calibrated.counts(MODE, "--until", "image2") == {"bkg_subtract": 1, "image2": 1}
    calibrated.configure()
    assert calibrated.counts(MODE, "--until", "image2") == {}
