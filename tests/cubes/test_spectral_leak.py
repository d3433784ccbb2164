"""The leak of band 1B into band 3A, of a constructed size."""

import numpy as np
import pytest
from astropy.io import fits

from extraction_references import write_mrsptcorr
from snakewebb.cubes.spectral_leak import SpectrumSet, spectral_leak
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.errors import MissingReferenceError
from snakewebb.io.references import References


def make_spectrum(channel, band, wave, flux, kind="POINT"):
    table = empty_table(len(wave), miri=True)
    table["WAVELENGTH"], table["FLUX"], table["RF_FLUX"] = wave, flux, 0.99 * flux
    table["FLUX_ERROR"], table["NPIXELS"] = 0.01 * flux, 40.0
    for name in ("FLUX", "RF_FLUX"):
        table[name.replace("FLUX", "SURF_BRIGHT")] = table[name] * 3.0
    table["SB_ERROR"] = table["FLUX_ERROR"] * 3.0
    return Spectrum(table, fits.Header({"CHANNEL": channel, "BAND": band}), {"SRCTYPE": kind})


def spectra(kind="POINT"):
    wave_1, wave_3 = np.linspace(5.66, 6.63, 200), np.linspace(11.55, 13.47, 150)
    return SpectrumSet(
        [
            make_spectrum("3", "SHORT", wave_3, 2 + 0.1 * wave_3, kind),
            make_spectrum("1", "MEDIUM", wave_1, 10 + wave_1**2, kind),
        ]
    )


@pytest.fixture
def references(tmp_path):
    return References({"mrsptcorr": write_mrsptcorr(tmp_path / "leak.fits", error=0.002)}, (1, 1, 1, 1))


def test_flux_error_and_surface_brightness_are_corrected(references):
    group, before = spectra(), spectra().spectra[0].table
    assert spectral_leak(group, references).state == "COMPLETE"
    after, source = group.spectra[0].table, group.spectra[1].table
    wave = before["WAVELENGTH"]
    leak = references.table("mrsptcorr", "LEAKCOR")
    fraction = np.interp(wave, leak["WAVELENGTH"], leak["FRAC_LEAK"])
    leaked = np.interp(wave / 2, source["WAVELENGTH"], source["FLUX"])
    np.testing.assert_allclose(after["FLUX"], before["FLUX"] - fraction * leaked, rtol=1e-9)
    np.testing.assert_allclose(after["RF_FLUX"], before["RF_FLUX"] - 0.99 * fraction * leaked, rtol=1e-9)
    np.testing.assert_allclose(after["SURF_BRIGHT"], 3.0 * after["FLUX"], rtol=1e-9)
    np.testing.assert_allclose(after["RF_SURF_BRIGHT"], 3.0 * after["RF_FLUX"], rtol=1e-9)
    error = np.hypot(0.01 * fraction * leaked, 0.002 * leaked)
    np.testing.assert_allclose(after["FLUX_ERROR"], np.hypot(before["FLUX_ERROR"], error), rtol=1e-4)
    np.testing.assert_allclose(after["SB_ERROR"], 3.0 * after["FLUX_ERROR"], rtol=1e-9)
    np.testing.assert_array_equal(group.spectra[1].table, spectra().spectra[1].table)


def test_as_the_oracle_flux_only(references):
    native, oracles, before = spectra(), spectra(), spectra().spectra[0].table
    spectral_leak(native, references)
    spectral_leak(oracles, references, compatibility="jwst")
    after = oracles.spectra[0].table
    for name in ("FLUX", "RF_FLUX"):
        np.testing.assert_array_equal(after[name], native.spectra[0].table[name])
    for name in set(before.dtype.names) - {"FLUX", "RF_FLUX"}:
        np.testing.assert_array_equal(after[name], before[name])


def test_where_there_is_nothing_to_correct(references):
    group = spectra()
    del group.spectra[1]
    assert spectral_leak(group, references).reason == "there is no spectrum of band 1B"
    status = spectral_leak(spectra("EXTENDED"), references)
    assert (status.state, status.reason) == (
        "NOT_APPLICABLE", "the source is extended, and the leak is known of point sources only",
    )  # fmt: skip


def test_a_reference_without_the_leak_is_refused(tmp_path):
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "other.fits")
    with pytest.raises(
        MissingReferenceError, match=r"other.fits: extension LEAKCOR is missing; use another mrsptcorr reference"
    ):
        spectral_leak(spectra(), References({"mrsptcorr": tmp_path / "other.fits"}, (1, 1, 1, 1)))
