"""Cubes and spectra as specutils reads them, without being told what they are; jdaviz opens files with it."""

import numpy as np
import pytest
import specutils
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS

from extraction_references import make_cube, write_extract1d
from snakewebb.cubes.extract_1d import extract_1d
from snakewebb.io.cube_file import write_cube
from snakewebb.io.references import References
from snakewebb.io.spectrum_file import write_spectra


@pytest.fixture
def cube():
    return make_cube(nwave=12, noise=0.2)


def test_a_cube(cube, tmp_path):
    path = tmp_path / "product_ch1-short_s3d.fits"
    write_cube(path, cube)
    found = specutils.Spectrum.read(path)
    assert found.flux.unit == units.Unit("MJy/sr")
    # wavelengths along the axis that specutils says, others as in the file
    flux, error = (
        np.moveaxis(array, found.spectral_axis_index, 0) for array in (found.flux.value, found.uncertainty.array)
    )
    np.testing.assert_array_equal(flux, cube.data)
    np.testing.assert_array_equal(error, cube.err)
    np.testing.assert_allclose(found.spectral_axis.to_value("um"), cube.grid.wave, rtol=1e-7)
    sky = found.wcs.pixel_to_world_values(14, 16, 3)
    ra, dec = cube.grid.pixel_to_sky(14, 16)
    np.testing.assert_allclose(sky, (ra, dec, cube.grid.wave[3]), rtol=0, atol=1e-8)
    assert found.mask[0, 0, 0] != 0
    # Cubeviz makes its own of these extensions, with the units and the WCS of the headers
    with fits.open(path) as hdus:
        wcs = WCS(hdus["SCI"].header, hdus)
        assert wcs.world_axis_physical_types == ["pos.eq.ra", "pos.eq.dec", "em.wl"]
        for name in ("SCI", "ERR"):
            own = specutils.Spectrum(flux=hdus[name].data << units.Unit(hdus[name].header["BUNIT"]), wcs=wcs)
            np.testing.assert_allclose(own.spectral_axis.to_value("um"), cube.grid.wave, rtol=1e-7)
        assert hdus["DQ"].data.shape == cube.data.shape


@pytest.mark.parametrize("kind", ["POINT", "EXTENDED"])
def test_a_spectrum(cube, tmp_path, kind):
    references = References({"extract1d": write_extract1d(tmp_path / "extract1d.asdf"), "apcorr": None}, (1, 1, 1, 1))
    extract_1d(cube, references, ifu_rfcorr=False, ifu_set_srctype=kind)
    path = tmp_path / "product_ch1-short_x1d.fits"
    write_spectra(path, cube.spectra)
    found = specutils.Spectrum.read(path)
    (same,) = specutils.SpectrumList.read(path, format="JWST x1d multi")
    table = cube.spectra[0].table
    name, error, unit = ("FLUX", "FLUX_ERROR", "Jy") if kind == "POINT" else ("SURF_BRIGHT", "SB_ERROR", "MJy/sr")
    for spectrum in (found, same):
        np.testing.assert_array_equal(spectrum.flux.to_value(unit), table[name])
        np.testing.assert_array_equal(spectrum.uncertainty.array, table[error])
        np.testing.assert_array_equal(spectrum.spectral_axis.to_value("um"), table["WAVELENGTH"])
