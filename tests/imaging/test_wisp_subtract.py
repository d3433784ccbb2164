"""Templates of scattered light against what was injected, and files that are none."""

import numpy as np
import pytest
from astropy.io import fits

from sky_scenes import NOISE, crowded_field, filaments, make_slopes
from snakewebb.errors import ConfigError
from snakewebb.imaging.template_fit import fit_templates
from snakewebb.imaging.wisp_subtract import wisp_subtract
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SHAPE = (512, 512)
NONE = References({}, (1, 1, *SHAPE[::-1]))


def write_template(path, data, err=None, **keywords):
    units = [fits.PrimaryHDU(), fits.ImageHDU(np.asarray(data, np.float32), name="SCI")]
    units[0].header.update(keywords)
    if err is not None:
        units.append(fits.ImageHDU(np.asarray(err, np.float32), name="ERR"))
    fits.HDUList(units).writeto(path, overwrite=True)
    return str(path)


@pytest.fixture(scope="module")
def field():
    """Crowded field on a sky of 0.3 DN/s."""
    return 0.3 + crowded_field(SHAPE, 1)


@pytest.fixture
def template(tmp_path):
    """The template, brighter than what is injected."""
    return write_template(tmp_path / "WISP_NRCB4_F200W.fits", 0.1 * filaments(SHAPE), DETECTOR="NRCB4")


def test_an_injected_wisp_is_recovered_on_a_crowded_field(field, template):
    """Its peak is three times the noise of a pixel, its scale known to some per cent; what is left of it is less than that."""
    wisp = filaments(SHAPE)
    for seed, scale in ((11, 0.6), (12, 0.3), (13, 1.5)):
        image = make_slopes(field + scale * 0.1 * wisp, seed, stripes=0.25 * NOISE)
        before = image.data.copy()
        status = wisp_subtract(image, NONE, templates=[template])
        assert status.state == COMPLETE
        found, error = (image.header[key] for key in ("WISPSCL1", "WISPERR1"))
        assert image.header["WISPTPL1"] == "WISP_NRCB4_F200W.fits"
        assert status.reason == f"WISP_NRCB4_F200W.fits: scale {found:.4g} +- {error:.2g}"
        assert found == pytest.approx(scale, rel=0.05)
        assert abs(found - scale) < 3.5 * error
        assert 0.001 < error < 0.03
        good = np.isfinite(before)
        np.testing.assert_allclose((before - image.data)[good], found * 0.1 * wisp[good], atol=2e-5)


def test_where_there_is_none_nothing_is_subtracted(field, template):
    """The scale is 0 within its error, and its error that of the scatter over many exposures."""
    scales, errors = [], []
    for seed in range(20, 28):
        image = make_slopes(field, seed, stripes=0.25 * NOISE)
        before = image.data.copy(), image.err.copy()
        status = wisp_subtract(image, NONE, templates=[template])
        scales.append(image.header["WISPSCL1"])
        errors.append(image.header["WISPERR1"])
        assert status.state == NOT_APPLICABLE
        assert status.reason.endswith("not subtracted")
        np.testing.assert_array_equal(image.data, before[0])
        np.testing.assert_array_equal(image.err, before[1])
    assert abs(np.mean(scales)) < 0.02
    assert (np.abs(scales) < 3.5 * np.array(errors)).all()


def test_negative_scales_are_not_subtracted(template):
    image = make_slopes(0.3 - 0.05 * filaments(SHAPE), 30)
    before = image.data.copy()
    status = wisp_subtract(image, NONE, templates=[template])
    assert status.state == NOT_APPLICABLE
    assert image.header["WISPSCL1"] == pytest.approx(-0.5, abs=0.02)
    np.testing.assert_array_equal(image.data, before)


def test_two_templates_are_fitted_together(field, template, tmp_path):
    """Of one that is there and one that is not, the first alone is subtracted."""
    other = write_template(tmp_path / "claw.fits", filaments(SHAPE).T)
    image = make_slopes(field + 0.08 * filaments(SHAPE), 31)
    status = wisp_subtract(image, NONE, templates=[template, other])
    assert status.state == COMPLETE
    assert image.header["WISPSCL1"] == pytest.approx(0.8, rel=0.05)
    assert abs(image.header["WISPSCL2"]) < 3.5 * image.header["WISPERR2"]
    first, second = status.reason.split("; ")
    assert first.startswith("WISP_NRCB4_F200W.fits: scale")
    assert second.endswith("not subtracted")


def test_noise_of_template_and_scale_is_added(tmp_path):
    wisp = filaments(SHAPE)
    path = write_template(tmp_path / "template.fits", wisp, err=np.full(SHAPE, 0.3))
    image = make_slopes(0.3 + 0.1 * wisp, 32)
    before = {name: getattr(image, name).copy() for name in ("err", "var_poisson", "var_rnoise")}
    wisp_subtract(image, NONE, templates=[path])
    scale, error = image.header["WISPSCL1"], image.header["WISPERR1"]
    added = (scale * 0.3) ** 2 + (error * wisp) ** 2
    np.testing.assert_allclose(image.var_poisson, before["var_poisson"] + added, rtol=1e-5)
    np.testing.assert_allclose(image.err**2, before["err"] ** 2 + added, rtol=1e-5)
    np.testing.assert_array_equal(image.var_rnoise, before["var_rnoise"])


def test_templates_of_the_whole_detector_are_cut_and_paths_hold_keywords(tmp_path):
    whole = np.zeros((700, 800))
    whole[100:612, 200:712] = filaments(SHAPE)
    write_template(tmp_path / "NRCB4_F200W-CLEAR.fits", whole)
    image = make_slopes(0.3 + 0.1 * filaments(SHAPE), 33, SUBSTRT1=201, SUBSTRT2=101)
    wisp_subtract(image, NONE, templates=[str(tmp_path / "{DETECTOR}_{FILTER}-{PUPIL}.fits")])
    assert image.header["WISPSCL1"] == pytest.approx(0.1, rel=0.02)


def test_pixels_without_a_value_in_the_template_are_left_as_they_are(tmp_path):
    wisp = filaments(SHAPE)
    wisp[:, 250:260] = np.nan
    path = write_template(tmp_path / "template.fits", wisp)
    image = make_slopes(0.3 + 0.1 * np.nan_to_num(wisp), 34)
    before = image.data.copy()
    wisp_subtract(image, NONE, templates=[path])
    assert image.header["WISPSCL1"] == pytest.approx(0.1, rel=0.02)
    np.testing.assert_array_equal(image.data[:, 250:260], before[:, 250:260])


def test_files_that_are_no_templates_are_refused(tmp_path):
    image = make_slopes(np.full(SHAPE, 0.3), 35)
    good = write_template(tmp_path / "good.fits", filaments(SHAPE))
    (tmp_path / "text.fits").write_text("no image")
    for path, message in {
        write_template(tmp_path / "a4.fits", filaments(SHAPE), DETECTOR="NRCA4"): (
            r"a4\.fits: DETECTOR is 'NRCA4', expected 'NRCB4' as in the exposure; give the template of this detector"
        ),
        write_template(tmp_path / "small.fits", np.ones((50, 60))): (
            r"small\.fits has an image of 60 x 50 pixels, expected one of 512 x 512, as the exposure has, or of the whole detector"
        ),
        write_template(
            tmp_path / "flat.fits", np.ones(SHAPE)
        ): r"flat\.fits has no structure, expected an image of scattered",
        write_template(
            tmp_path / "err.fits", filaments(SHAPE), err=np.ones((5, 5))
        ): r"err\.fits has an image of 512 x 512",
        str(tmp_path / "text.fits"): r"text\.fits cannot be read as FITS",
        str(tmp_path / "gone.fits"): r"gone\.fits cannot be read as FITS .*No such file",
        str(
            tmp_path / "{MODULES}.fits"
        ): r"found '.*\{MODULES\}\.fits', expected a path in which \{INSTRUME\}, \{DETECTOR\}",
    }.items():
        with pytest.raises(ConfigError, match=rf"steps\.wisp_subtract\.templates: .*{message}"):
            wisp_subtract(image, NONE, templates=[path])
    with pytest.raises(ConfigError, match=r"good\.fits and good\.fits cannot be told apart"):
        wisp_subtract(image, NONE, templates=[good, good])
    with pytest.raises(ConfigError, match=r"templates: found no template, expected the paths of files"):
        wisp_subtract(image, NONE)


def test_errors_of_scales_are_those_of_noise_that_neighbours_share():
    """Noise that blocks of 8 x 8 pixels share: white noise would be thought to give an eighth of the error."""
    rng = np.random.default_rng(3)
    shape = (256, 256)
    template, good = filaments(shape).astype(np.float32), np.ones(shape, bool)
    pulls, errors = [], []
    for _ in range(60):
        shared = np.kron(rng.normal(0, 1, (32, 32)), np.ones((8, 8)))
        scales, error, constant = fit_templates((2 + 0.5 * template + shared).astype(np.float32), [template], good)
        pulls.append((scales[0] - 0.5) / error[0])
        errors.append(error[0])
        assert constant == pytest.approx(2, abs=0.3)
    white = 1 / np.sqrt(np.square(template - template.mean()).sum())
    assert 4 < np.median(errors) / white < 12
    assert 0.75 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.5


@pytest.mark.parametrize("fast_axis", [-1, 2])
def test_errors_of_scales_are_those_of_stripes(fast_axis):
    rng = np.random.default_rng(4)
    shape = (256, 256)
    template, good = filaments(shape).astype(np.float32), np.ones(shape, bool)
    pulls = []
    for _ in range(60):
        stripes = rng.normal(0, 0.5, (256, 1))
        data = 2 + 0.5 * template + rng.normal(0, 1, shape) + (stripes if fast_axis == -1 else stripes.T)
        scales, errors, _ = fit_templates(data.astype(np.float32), [template], good, fast_axis=fast_axis)
        pulls.append((scales[0] - 0.5) / errors[0])
    assert 0.75 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.5
