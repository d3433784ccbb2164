"""Bands of the MRS joined to one spectrum, whose levels differ by known factors."""

import numpy as np
import pytest
import specutils
from astropy.io import fits

from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.cubes.stitch_spectra import stitch_spectra
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.spectrum_file import read_spectra, write_spectra
from snakewebb.simulate.mrs_bands import BANDS
from snakewebb.simulate.mrs_bands import band as band_of
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

CHANGES = {
    "1A": 1.0, "1B": 1.04, "1C": 0.97, "2A": 1.02, "2B": 0.9, "2C": 1.0,
    "3A": 1.1, "3B": 1.05, "3C": 0.95, "4A": 1.2, "4B": 1.0, "4C": 0.8,
}  # fmt: skip
LEVELS = {"1A": 0.0, "1B": 0.002, "1C": -0.001, "2A": 0.003}


def truth(wave):
    """Continuum and lines, Jy; a line in an overlap of bands too."""
    lines = sum(0.02 * np.exp(-0.5 * ((wave - middle) / 0.004) ** 2) for middle in (5.3, 5.70, 8.9, 18.7))
    return 0.05 * (wave / 10) ** 1.3 + lines


def spectrum(channel, setting, *, noise=0.002, factor=1.0, offset=0.0, **keywords):
    one = band_of(channel, setting)
    low, high = one.wavelengths
    table = empty_table(900, miri=True)
    wave = np.linspace(low, high, 900)
    random = np.random.default_rng([channel, len(setting)])
    table["WAVELENGTH"] = wave
    table["FLUX_ERROR"] = noise * truth(wave) * factor
    table["FLUX"] = (truth(wave) * (1 + noise * random.normal(size=900))) * factor + offset
    table["RF_FLUX"] = table["FLUX"]
    table["SURF_BRIGHT"], table["SB_ERROR"] = 300 * table["FLUX"], 300 * table["FLUX_ERROR"]
    table["RF_SURF_BRIGHT"] = table["SURF_BRIGHT"]
    table["FLUX_VAR_POISSON"] = table["FLUX_ERROR"] ** 2
    table["DQ"][5] = 1
    table["FLUX"][5] = table["RF_FLUX"][5] = np.nan
    header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS"})
    header.update({"CHANNEL": str(channel), "BAND": setting, "FILENAME": f"{channel}{setting}_x1d.fits", **keywords})
    return Spectrum(table, header, {"SRCTYPE": "POINT"}, 80.0, -30.0)


def every(**parameters):
    bands = [(channel, setting) for channel in (1, 2, 3, 4) for setting in BANDS]
    names = [f"{channel}{letter}" for channel in (1, 2, 3, 4) for letter in "ABC"]
    return [spectrum(*band, factor=CHANGES[name], **parameters) for band, name in zip(bands, names, strict=True)]


@pytest.fixture(scope="module")
def joined():
    group = SpectrumSet(every()[::-1])
    status = stitch_spectra(group, None)
    assert (status.state, status.reason) == (COMPLETE, "12 bands on the level of 1A")
    return group.stitched


def test_factors_are_found_and_undone(joined):
    """Twelve bands that differ by up to 20 %: factors to 0.5 %, the spectrum to the noise and the factors."""
    factors = joined.factors
    assert list(factors["BAND"]) == list(CHANGES)
    assert factors["FLAG"][0] == "REFERENCE"
    assert set(factors["FLAG"][1:]) == {"OK"}
    np.testing.assert_allclose(factors["FACTOR"] * list(CHANGES.values()), 1.0, atol=0.005)
    pulls = (factors["FACTOR"] * list(CHANGES.values()) - 1.0)[1:] / factors["FACTOR_ERROR"][1:]
    assert np.abs(pulls).max() < 4
    table = joined.table
    wave = table["WAVELENGTH"]
    assert (np.diff(wave) > 0).all()
    assert wave[0] == pytest.approx(band_of(1, "SHORT").wavelengths[0])
    assert wave[-1] == pytest.approx(band_of(4, "LONG").wavelengths[1])
    good = np.isfinite(table["FLUX"])
    assert (~good).sum() <= 12
    assert np.abs(table["FLUX"] / truth(wave) - 1.0)[good].max() < 0.02
    error = table["FLUX_ERROR"][good] / truth(wave[good])
    np.testing.assert_allclose(error, 0.002, rtol=0.01)
    np.testing.assert_allclose(table["FLUX_VAR_POISSON"][good], table["FLUX_ERROR"][good] ** 2, rtol=1e-10)
    np.testing.assert_allclose(table["SURF_BRIGHT"][good], 300 * table["FLUX"][good], rtol=1e-10)


def test_the_reference_band_stays_as_it_is():
    group = SpectrumSet(every(noise=0.0))
    before = group.spectra[6].table.copy()
    stitch_spectra(group, None, reference_band="3a")
    row = group.stitched.factors[6]
    assert (row["BAND"], row["FLAG"], row["FACTOR"]) == ("3A", "REFERENCE", 1.0)
    np.testing.assert_allclose(group.stitched.factors["FACTOR"] * list(CHANGES.values()), CHANGES["3A"], rtol=1e-3)
    inside = (before["WAVELENGTH"] >= row["WAVEMIN"]) & (before["WAVELENGTH"] < row["WAVEMAX"])
    table = group.stitched.table
    mine = (table["WAVELENGTH"] >= row["WAVEMIN"]) & (table["WAVELENGTH"] < row["WAVEMAX"])
    np.testing.assert_array_equal(table["FLUX"][mine], before["FLUX"][inside])


def test_offsets():
    bands = [(1, setting) for setting in BANDS] + [(2, "SHORT")]
    group = SpectrumSet([spectrum(*band, offset=level) for band, level in zip(bands, LEVELS.values(), strict=True)])
    stitch_spectra(group, None, scaling="offset")
    np.testing.assert_allclose(group.stitched.factors["OFFSET"], -np.array(list(LEVELS.values())), atol=3e-4)
    assert set(group.stitched.factors["FACTOR"]) == {1.0}
    table = group.stitched.table
    good = np.isfinite(table["FLUX"])
    np.testing.assert_allclose(table["FLUX"][good], truth(table["WAVELENGTH"][good]), rtol=0.02, atol=3e-4)
    np.testing.assert_allclose(table["SURF_BRIGHT"][good], 300 * table["FLUX"][good], rtol=1e-10)


def test_what_cannot_be_scaled_is_flagged():
    group = SpectrumSet([spectrum(1, "SHORT"), spectrum(1, "MEDIUM", factor=1.9), spectrum(3, "SHORT", factor=1.3)])
    status = stitch_spectra(group, None)
    assert status.reason == "3 bands on the level of 1A; 3A: NO_OVERLAP"
    factors = group.stitched.factors
    np.testing.assert_allclose(factors["FACTOR"], [1.0, 1 / 1.9, 1 / 1.9], rtol=0.01)
    assert list(factors["FLAG"]) == ["REFERENCE", "OK", "NO_OVERLAP"]
    status = stitch_spectra(group, None, max_change=0.3)
    assert "1B: LARGE" in status.reason
    stitch_spectra(group, None, scaling="none")
    assert list(group.stitched.factors["FLAG"]) == ["REFERENCE", "NOT_SCALED", "NOT_SCALED"]
    assert set(group.stitched.factors["FACTOR"]) == {1.0}


def test_what_is_refused():
    one = spectrum(1, "SHORT")
    assert stitch_spectra(SpectrumSet([one]), None).state == NOT_APPLICABLE
    with pytest.raises(BadDataError, match="two spectra are of band 1A"):
        stitch_spectra(SpectrumSet([one, one]), None)
    with pytest.raises(BadDataError, match="CHANNEL is '12' and BAND 'SHORT', expected one channel and one of SHORT"):
        stitch_spectra(SpectrumSet([one, spectrum(1, "SHORT", CHANNEL="12")]), None)
    with pytest.raises(ConfigError, match=r"steps\.stitch_spectra\.reference_band: found '5A', expected one of 1A"):
        stitch_spectra(SpectrumSet([one]), None, reference_band="5A")


def test_the_file_holds_spectrum_and_factors(joined, tmp_path):
    path = tmp_path / "stitched_x1d.fits"
    write_spectra(path, [joined])
    with fits.open(path) as units:
        assert [unit.name for unit in units] == ["PRIMARY", "EXTRACT1D", "FACTORS", "ASDF"]
        header = units["EXTRACT1D"].header
        assert (header["STMETHOD"], header["STREFBND"]) == ("FACTOR", "1A")
        assert header["STSCL_2B"] == pytest.approx(1 / CHANGES["2B"], rel=0.005)
        assert list(units["FACTORS"].data["BAND"]) == list(CHANGES)
        np.testing.assert_array_equal(units["FACTORS"].data["FACTOR"], joined.factors["FACTOR"])
        assert units["FACTORS"].columns["WAVEMIN"].unit == "um"
    (again,) = read_spectra(path)
    np.testing.assert_array_equal(again.table["FLUX"], joined.table["FLUX"])


def test_data_models_read_the_file(joined, tmp_path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    path = tmp_path / "stitched_x1d.fits"
    write_spectra(path, [joined])
    with datamodels.open(path) as model:
        assert type(model).__name__ == "MRSMultiSpecModel"
        np.testing.assert_array_equal(model.spec[0].spec_table["FLUX"], joined.table["FLUX"])
        assert model.spec[0].spec_table.columns["FLUX"].unit == "Jy"


def test_specutils_reads_the_file(joined, tmp_path):
    path = tmp_path / "stitched_x1d.fits"
    write_spectra(path, [joined])
    found = specutils.Spectrum.read(path)
    np.testing.assert_array_equal(found.flux.value, joined.table["FLUX"])
    assert str(found.flux.unit) == "Jy"
