"""Reference files of MIRI's spectrometer: they open as the models of the archive, and hold what the truth says."""

import numpy as np
import pytest

from snakewebb.simulate import mrs_optics as optics
from snakewebb.simulate.mrs_bands import BANDS, band
from snakewebb.simulate.mrs_cube_references import (
    SPAXELS,
    aperture_correction,
    write_apcorr,
    write_cubepar,
    write_extract1d,
)
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_references import (
    artifact_model,
    fitted_artifacts,
    write_flat,
    write_fringe,
    write_fringefreq,
    write_mrsptcorr,
    write_mrsxartcorr,
    write_photom,
)
from snakewebb.simulate.reference_format import ReferenceErrors

datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
DETECTOR, SETTING = "MIRIFULONG", "SHORT"
ERRORS = ReferenceErrors()


def opened(name, path):
    model = getattr(datamodels, name)(path, strict_validation=True)
    model.validate()
    return model


def test_flat_and_fringe_are_the_true_ones_but_for_their_errors(tmp_path):
    path = tmp_path / "flat.fits"
    write_flat(path, DETECTOR, SETTING, readpatt="FASTR1", truth_seed=1, errors=ERRORS, seed=2)
    with opened("FlatModel", path) as model:
        ratio = model.data / optics.pixel_flat(DETECTOR, SETTING, 1)
        assert np.std(ratio) == pytest.approx(ERRORS.flat, rel=0.05)
        assert model.meta.instrument.band == SETTING
    path = tmp_path / "fringe.fits"
    write_fringe(path, DETECTOR, SETTING, errors=ERRORS)
    wavelength, throughput = DetectorSlices(DETECTOR, SETTING).maps()
    with opened("FringeModel", path) as model:
        seen = throughput > 0.5
        true = optics.fringes(wavelength[seen]) - 1
        np.testing.assert_allclose(model.data[seen] - 1, 0.98 * true, atol=1e-6)
        assert np.all(model.data[throughput < 0.01] == 1)


@pytest.mark.parametrize("mjd", [60949.0, None])
def test_photom_undoes_the_response_and_its_decline(tmp_path, mjd):
    path = tmp_path / "photom.fits"
    write_photom(path, DETECTOR, SETTING, mjd=mjd, errors=ERRORS, seed=2)
    wavelength, throughput = DetectorSlices(DETECTOR, SETTING).maps()
    with opened("MirMrsPhotomModel", path) as model:
        seen = (throughput > 0.3) & (wavelength < 14)
        expected = optics.photmjsr(band(3, SETTING), wavelength[seen]) / throughput[seen]
        np.testing.assert_allclose(model.data[seen], expected, rtol=1e-6)
        assert np.all(np.isnan(model.data) == (model.dq & 1 > 0))
        table = model.timecoeff_powerlaw_ch3
        for day, tolerance in ((optics.FIRST_DAY + 365, 1e-6), (60949.0, 1e-6), (60500.0, 2e-2)):
            found = (
                table["year1value"] * ((day - table["t0"] + table["tsoft"]) / (365 + table["tsoft"])) ** table["alpha"]
            )
            true = optics.time_loss(table["binwave"], day) if mjd else np.ones(len(table))
            np.testing.assert_allclose(found, true, rtol=tolerance)


@pytest.mark.parametrize("channel", [1, 2, 3, 4])
def test_the_fitted_cross_artifact_is_close_to_the_true_one_and_not_equal(channel):
    distance = np.arange(-300.0, 301.0)
    for place, parameters in zip(np.linspace(0, 1, 9), fitted_artifacts(channel), strict=True):
        true = optics.artifact_kernel(channel, place, distance)
        difference = artifact_model(parameters, distance) - true
        assert 1e-4 * true.max() < np.abs(difference).max() < 0.08 * true.max()
        assert abs(difference.sum()) < 0.15 * true.sum()


def test_tables_of_straylight_leak_and_fringe_frequencies_open(tmp_path):
    write_mrsxartcorr(tmp_path / "xart.fits")
    with opened("MirMrsXArtCorrModel", tmp_path / "xart.fits") as model:
        for channel in (1, 2, 3, 4):
            table = getattr(model, f"ch{channel}b_table")
            assert len(table) == SHAPE[0]
            np.testing.assert_allclose(table["lor_scale"][0], fitted_artifacts(channel)[0, 1], rtol=1e-5)
    write_mrsptcorr(tmp_path / "pt.fits")
    with opened("MirMrsPtCorrModel", tmp_path / "pt.fits") as model:
        table = model.leakcor_table
        np.testing.assert_allclose(table["frac_leak"], optics.leak(np.arange(11.4, 13.65, 0.01)), atol=1e-9)
        assert table["frac_leak"][0] == table["frac_leak"][-1] == 0
    write_fringefreq(tmp_path / "ff.fits", DETECTOR)
    with opened("FringeFreqModel", tmp_path / "ff.fits") as model:
        assert set(model.rfc_freq_long_table["slice"]) >= {301.0, 412.0}
        assert model.rfc_freq_short_table["ffreq"][0] == pytest.approx(1 / (2 * 0.172))
        assert np.all(np.diff(model.max_amp_table["Wavelength"]) > 0)


def test_cube_parameters_cover_all_bands(tmp_path):
    write_cubepar(tmp_path / "cubepar.fits")
    with opened("MiriIFUCubeParsModel", tmp_path / "cubepar.fits") as model:
        rows = {(row["channel"].strip(), row["band"].strip()): row for row in model.ifucubepars_table}
        assert set(rows) == {(str(channel), setting) for channel in (1, 2, 3, 4) for setting in BANDS}
        for (channel, setting), row in rows.items():
            low, high = band(int(channel), setting).wavelengths
            assert low < row["wavemin"] < row["wavemax"] < high
            assert row["spaxelsize"] == pytest.approx(SPAXELS[int(channel)])
        for name in ("msm", "emsm"):
            assert len(getattr(model, f"ifucubepars_{name}_table")) == 12
        for name in ("msm", "emsm", "driz"):
            wavelength = getattr(model, f"ifucubepars_multichannel_{name}_wavetable")["wavelength"]
            assert np.all(np.diff(wavelength) > 0)
            assert wavelength[0] < 4.9
            assert wavelength[-1] > 28.2


def test_apertures_and_their_corrections(tmp_path):
    write_extract1d(tmp_path / "extract1d.asdf")
    with opened("Extract1dIFUModel", tmp_path / "extract1d.asdf") as model:
        index = np.argmin(np.abs(model.data.wavelength - 10.0))
        assert model.data.radius[index] == pytest.approx(2 * (0.033 * 10 + 0.106))
        assert model.meta.subtract_background is True
    write_apcorr(tmp_path / "apcorr.asdf")
    with opened("MirMrsApcorrModel", tmp_path / "apcorr.asdf") as model:
        table = model.apcorr_table
        assert table.apcorr.shape == table.radius.shape == (7, len(table.wavelength))
        assert np.all(np.diff(table.radius, axis=0) > 0)
        assert np.all(np.diff(table.apcorr, axis=0) < 0)
        index = int(np.argmin(np.abs(table.wavelength - 10.0)))
        assert table.apcorr[5, index] == pytest.approx(
            aperture_correction(float(table.wavelength[index]), 2.0), rel=1e-5
        )
    # a wide image of three Gaussians, seen through boxes of slices and pixels
    assert 1.03 < aperture_correction(10.0, 2.0) < 1.12
