"""Spectra of constructed cubes: fluxes, backgrounds, errors and positions that are known."""

import numpy as np
import pytest

from extraction_references import make_cube, write_apcorr, write_extract1d
from snakewebb.cubes.extract_1d import extract_1d
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.io.references import References

AREA = 0.13**2 * 2.3504e-11


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    paths = {
        "extract1d": write_extract1d(folder / "extract1d.asdf", radius=0.25, inner=0.3, outer=0.36),
        "apcorr": None,
    }
    return References(paths, (1, 1, 1, 1))


def spectrum(cube, references, **parameters):
    status = extract_1d(cube, references, **{"ifu_rfcorr": False} | parameters)
    return cube.spectra[-1], status


def test_flux_of_a_point_source_on_a_background(references):
    cube = make_cube()
    found, _ = spectrum(cube, references)
    radius = 0.25 * cube.grid.wave / 0.13
    inside = 1 - np.exp(-(radius**2) / (2 * 2.0**2))
    expected = 50.0 * (1 + 0.1 * np.arange(6)) * 2 * np.pi * 2.0**2 * inside * AREA * 1e6
    np.testing.assert_allclose(found.table["FLUX"], expected, rtol=2e-3)
    np.testing.assert_allclose(found.table["NPIXELS"], np.pi * radius**2, rtol=1e-6)
    np.testing.assert_allclose(found.table["SURF_BRIGHT"], found.table["FLUX"] / (AREA * 1e6 * found.table["NPIXELS"]))
    np.testing.assert_allclose(found.table["BACKGROUND"], 3.0, rtol=2e-3)
    assert (found.keywords["EXTR_X"], found.keywords["EXTR_Y"]) == pytest.approx((16.3, 14.2), abs=1e-6)


def test_an_outlier_in_the_ring_is_not_background(references):
    cube = make_cube(peak=0.0, noise=0.2)
    cube.data[:, 14, 29] = 1e4
    native, _ = spectrum(cube, references)
    assert np.abs(native.table["BACKGROUND"] - 3.0).max() < 0.1
    oracles, _ = spectrum(cube, references, compatibility="jwst")
    # divided by the area before clipping: the oracle's is too small
    assert (oracles.table["BACKGROUND"] < native.table["BACKGROUND"]).all()


def test_errors_are_the_scatter_of_independent_spaxels(references):
    fluxes, errors = [], []
    for seed in range(60):
        cube = make_cube(nwave=40, peak=0.0)
        cube.data += np.random.default_rng(seed).normal(0, 0.5, cube.data.shape).astype(np.float32)
        found, _ = spectrum(cube, references, bkg_sigma_clip=6.0, ifu_covar_scale=1.0)
        fluxes.append(found.table["FLUX"])
        errors.append(found.table["FLUX_ERROR"])
    pulls = np.array(fluxes) / np.array(errors)
    assert pulls.std() == pytest.approx(1.0, abs=0.05)
    scaled, _ = spectrum(cube, references, bkg_sigma_clip=6.0, ifu_covar_scale=1.6)
    for name in ("FLUX_ERROR", "SB_ERROR", "BKGD_ERROR"):
        np.testing.assert_allclose(scaled.table[name], 1.6 * found.table[name])


def test_an_extended_source_is_the_sum_of_the_field(references):
    cube = make_cube(peak=0.0)
    found, _ = spectrum(cube, references, ifu_set_srctype="EXTENDED")
    good = (cube.dq[0] == 0).sum()
    np.testing.assert_allclose(found.table["NPIXELS"], good)
    np.testing.assert_allclose(found.table["SURF_BRIGHT"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(found.table["BACKGROUND"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(found.table["FLUX"], 3.0 * good * AREA * 1e6, rtol=1e-6)
    np.testing.assert_allclose(found.table["SB_ERROR"], 0.5 / np.sqrt(good), rtol=1e-6)
    assert found.keywords["SRCTYPE"] == "EXTENDED"


def test_the_source_is_found_in_the_median_of_the_planes(references):
    cube = make_cube(position=(11.7, 18.4), noise=0.3)
    cube.header["TARG_RA"] = 80.0
    found, status = spectrum(cube, references, ifu_autocen=True)
    assert (found.keywords["EXTR_X"], found.keywords["EXTR_Y"]) == pytest.approx((11.7, 18.4), abs=0.1)
    assert status.reason == "no apcorr reference: no aperture correction"
    nothing = make_cube(peak=0.0)
    _, status = spectrum(nothing, references, ifu_autocen=True)
    assert "no source found; the target is used" in status.reason


def test_positions(references):
    cube = make_cube()
    given, _ = spectrum(cube, references, center_xy=[10.25, 12.5])
    assert (given.keywords["EXTR_X"], given.keywords["EXTR_Y"]) == (10.25, 12.5)
    oracles, _ = spectrum(cube, references, compatibility="jwst")
    assert (oracles.keywords["EXTR_X"], oracles.keywords["EXTR_Y"]) == (16.0, 14.0)
    cube.header["TARG_DEC"] = -31.0
    outside, _ = spectrum(cube, references)
    assert (outside.keywords["EXTR_X"], outside.keywords["EXTR_Y"]) == (15.0, 15.0)
    oracles, _ = spectrum(cube, references, compatibility="jwst")
    assert (oracles.keywords["EXTR_X"], oracles.keywords["EXTR_Y"]) == (15.5, 15.5)


def test_radius_in_units_of_the_point_spread_function(references):
    cube = make_cube()
    whole, _ = spectrum(cube, references)
    half, _ = spectrum(cube, references, ifu_rscale=1.0)
    np.testing.assert_allclose(half.table["NPIXELS"], whole.table["NPIXELS"] / 4, rtol=1e-9)


def test_aperture_correction(references, tmp_path):
    cube = make_cube()
    plain, _ = spectrum(cube, references)
    corrected = References({**references.paths, "apcorr": write_apcorr(tmp_path / "apcorr.asdf")}, (1, 1, 1, 1))
    found, status = spectrum(cube, corrected)
    factor = found.table["FLUX"] / plain.table["FLUX"]
    # 1 + exp(-r) / 2, linearly between radii of 0.2 and 0.3 times the wavelength
    wave = cube.grid.wave
    expected = 1 + 0.25 * (np.exp(-0.2 * wave) + np.exp(-0.3 * wave))
    np.testing.assert_allclose(factor, expected, rtol=1e-3)
    for name in ("FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR"):
        np.testing.assert_allclose(found.table[name] / plain.table[name], factor)
    np.testing.assert_array_equal(found.table["BACKGROUND"], plain.table["BACKGROUND"])
    assert status.reason == ""
    off, _ = spectrum(cube, corrected, apply_apcorr=False)
    np.testing.assert_array_equal(off.table["FLUX"], plain.table["FLUX"])


def test_planes_without_data_are_flagged(references):
    cube = make_cube()
    cube.weight[2], cube.data[2], cube.err[2] = 0, np.nan, np.nan
    found, _ = spectrum(cube, references)
    assert list(found.table["DQ"]) == [0, 0, DO_NOT_USE, 0, 0, 0]
    assert found.table["FLUX"][2] == 0


def test_residual_fringes_have_columns_of_their_own(references):
    cube = make_cube(nwave=600)
    ripple = 1 + 0.05 * np.sin(2 * np.pi * 1e4 / cube.grid.wave / 2.9)
    cube.data *= ripple[:, None, None].astype(np.float32)
    found, _ = spectrum(cube, references, ifu_rfcorr=True)
    smooth = 1 + 0.1 * np.arange(600)
    assert np.std(found.table["RF_FLUX"] / smooth) < 0.3 * np.std(found.table["FLUX"] / smooth)
    off, _ = spectrum(cube, references)
    assert np.isnan(off.table["RF_FLUX"]).all()


def test_what_cannot_be_extracted_is_refused(references, tmp_path):
    with pytest.raises(ConfigError, match=r"steps.extract_1d.center_xy: found \[1.0\], expected two numbers"):
        extract_1d(make_cube(), references, center_xy=[1.0])
    cube = make_cube()
    del cube.sci_header["PIXAR_SR"]
    with pytest.raises(BadDataError, match="keyword PIXAR_SR of the cube is missing or 0"):
        extract_1d(cube, references)
    wrong = References({"extract1d": write_apcorr(tmp_path / "wrong.asdf")}, (1, 1, 1, 1))
    with pytest.raises(MissingReferenceError, match=r"wrong.asdf: 'data' is missing, expected apertures by wavelength"):
        extract_1d(make_cube(), wrong)
    cube = make_cube()
    cube.header["SRCTYPE"] = "UNKNOWN"
    _, status = spectrum(cube, references)
    assert status.reason == "SRCTYPE is UNKNOWN, taken for EXTENDED"
