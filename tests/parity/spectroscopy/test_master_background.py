"""Master background of the MRS, against the oracle's on the same exposures and spectra."""

import numpy as np
import pytest
from astropy.io import fits

pytest.importorskip("jwst")
from jwst.combine_1d.combine1d import combine_1d_spectra
from jwst.datamodels import ModelContainer
from jwst.master_background import MasterBackgroundStep
from stdatamodels.jwst import datamodels

from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.errors import BadDataError
from snakewebb.io.fits import write
from snakewebb.io.spectrum_file import write_spectra
from snakewebb.spectroscopy.combine_spectra import combine_spectra
from snakewebb.spectroscopy.master_background import MEMBERS, master_background, mean_background
from snakewebb.steps import COMPLETE, NOT_APPLICABLE


def spectrum(low, high, number, *, time=100.0, seed=1, error=0.4):
    """A spectrum of the sky: rising, with noise, some values flagged or without flux."""
    rng = np.random.default_rng(seed)
    table = empty_table(number, miri=True)
    table["WAVELENGTH"] = np.linspace(low, high, number)
    table["BACKGROUND"] = 20 + 4 * (table["WAVELENGTH"] - 5) + rng.normal(0, error, number)
    table["BKGD_ERROR"] = error
    table["FLUX"], table["FLUX_ERROR"], table["SURF_BRIGHT"], table["SB_ERROR"] = 1.0, 0.1, 7.0, 0.3
    table["FLUX"][7:9] = np.nan
    table["DQ"][20:22] = (1, 4)
    header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS", "EFFEXPTM": time})
    header.update({"TARG_RA": 80.0, "TARG_DEC": -30.0, "FILENAME": f"bkg{seed}_x1d.fits", "BKGDTARG": True})
    return Spectrum(table, header, {"SRCTYPE": "EXTENDED"}, 80.0, -30.0)


BANDS = [
    spectrum(4.9, 5.4, 300, seed=1),
    spectrum(4.9, 5.4, 300, seed=2, time=150.0),
    spectrum(4.9003, 5.4003, 300, seed=3),
    spectrum(5.3, 5.75, 251, seed=4),
    spectrum(7.4, 8.9, 400, seed=5, time=50.0),
]


@pytest.fixture
def oracle_spectra(tmp_path):
    """The oracle's models of spectra, read from our files."""

    def make(spectra):
        models = []
        for number, one in enumerate(spectra):
            write_spectra(tmp_path / f"{number}_x1d.fits", [one])
            models.append(datamodels.open(tmp_path / f"{number}_x1d.fits"))
        return models

    return make


@pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (0, 1, 2, 3, 4), (3,)])
def test_the_mean_is_the_oracles(oracle_spectra, chosen):
    spectra = [BANDS[number] for number in chosen]
    (theirs,) = combine_1d_spectra(ModelContainer(oracle_spectra(spectra)), "exposure_time").spec
    ours = combine_spectra([one.table for one in spectra], [one.header["EFFEXPTM"] for one in spectra]).table()
    assert ours.dtype.names == tuple(name.upper() for name in theirs.spec_table.dtype.names)
    for name in ours.dtype.names:
        np.testing.assert_allclose(ours[name], theirs.spec_table[name], rtol=1e-12, err_msg=name)


@pytest.fixture
def container(ifu_model, with_wcs, oracle_spectra):
    """The oracle's exposures and spectra."""

    def make(image, spectra):
        model = with_wcs(ifu_model(image), image.geometry)
        model.meta.asn.exptype = "science"
        models = [model, *oracle_spectra(spectra)]
        for one in models[1:]:
            one.meta.asn.exptype = "background"
        found = ModelContainer(models)
        members = [{"expname": str(n), "exptype": one.meta.asn.exptype} for n, one in enumerate(models)]
        found.asn_table = {"asn_id": "a3001", "products": [{"name": "p", "members": members}]}
        found.asn_table_name, found.asn_pool_name = "asn", "pool"
        return found

    return make


@pytest.fixture
def exposure(make_mrs, slices):
    def make(data=None):
        image = make_mrs(data)
        image.geometry = slices()
        return image

    return make


@pytest.mark.parametrize("kernel", [1, 8])
def test_what_is_subtracted_is_the_oracles(exposure, container, assert_same, kernel):
    image = exposure()
    (theirs,) = MasterBackgroundStep(median_kernel=kernel).process(container(image, BANDS))
    image.members[MEMBERS] = BANDS
    status = master_background(image, None, median_kernel=kernel, compatibility="jwst")
    assert status.state == COMPLETE
    assert theirs.meta.cal_step.master_background == "COMPLETE"
    assert_same(image, theirs)


def test_the_users_spectrum(exposure, container, assert_same, tmp_path):
    write_spectra(tmp_path / "sky_x1d.fits", [BANDS[4]])
    image = exposure()
    path = str(tmp_path / "sky_x1d.fits")
    (theirs,) = MasterBackgroundStep(user_background=path).process(container(image, []))
    status = master_background(image, None, user_background=path, compatibility="jwst", save_background=True)
    assert "sky_x1d.fits; it does not reach" in status.reason
    assert_same(image, theirs)
    assert image.header["MASTERBG"] == theirs.meta.background.master_background_file == "sky_x1d.fits"
    for suffix in ("masterbg1d", "masterbg2d"):
        write(tmp_path / f"{suffix}.fits", image.extra[suffix])
    with fits.open(tmp_path / "masterbg2d.fits") as units:
        assert np.nanmax(units["SCI"].data) == pytest.approx(7.0)
    with fits.open(tmp_path / "masterbg1d.fits") as units:
        assert units["COMBINE1D"].columns["SURF_BRIGHT"].unit == "MJy/sr"


def test_the_noise_of_the_background_is_propagated(exposure):
    """The variance of the mean is added to that of each pixel, and is the scatter of means of many backgrounds."""
    image = exposure()
    image.members[MEMBERS] = [spectrum(4.0, 9.0, 900, seed=seed, error=0.5) for seed in (1, 2)]
    before = image.err.copy()
    master_background(image, None)
    good = (image.geometry.slices > 0) & np.isfinite(image.data)
    added = image.err[good].astype(float) ** 2 - before[good].astype(float) ** 2
    np.testing.assert_allclose(added, 0.5**2 / 2, rtol=2e-3, atol=1e-5)
    total = image.var_poisson.astype(float) + image.var_rnoise + image.var_flat
    np.testing.assert_allclose(image.err[good] ** 2, total[good], rtol=1e-5)
    pulls = []
    for seed in range(300):
        mean = mean_background([spectrum(4.9, 5.4, 60, seed=2 * seed + k, error=0.5) for k in (0, 1)])
        pulls.append((mean["SURF_BRIGHT"] - 20 - 4 * (mean["WAVELENGTH"] - 5)) / mean["SB_ERROR"])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.02)


def test_the_ends_of_the_running_median(exposure):
    """A flat background stays flat as far as its ends; zeros beyond them pull it down as the oracle has it."""
    flat = spectrum(4.5, 9.5, 400, error=0.0)
    flat.table["BACKGROUND"], flat.table["FLUX"], flat.table["DQ"] = 10.0, 1.0, 0
    found = {}
    for compatibility in ("native", "jwst"):
        image = exposure(np.full((1024, 1032), 30.0))
        image.members[MEMBERS] = [flat]
        master_background(image, None, median_kernel=25, save_background=True, compatibility=compatibility)
        found[compatibility] = image.extra["masterbg1d"][1].data["SURF_BRIGHT"]
    np.testing.assert_array_equal(found["native"], 10.0)
    assert found["jwst"][12] == 10.0
    image = exposure()
    for compatibility in ("native", "jwst"):
        image.members[MEMBERS] = [spectrum(4.5, 9.5, 41, error=0.0)]
        master_background(
            image, None, median_kernel=11, save_background=True, force_subtract=True, compatibility=compatibility
        )
        found[compatibility] = image.extra["masterbg1d"][1].data["SURF_BRIGHT"][-1]
    assert found["native"] == pytest.approx(38.0)
    assert found["jwst"] == pytest.approx(35.5)  # the median of six rising values and five zeros is the lowest value


def test_a_value_without_brightness_does_not_count(exposure):
    tables = [spectrum(4.9, 5.4, 50, seed=1).table, spectrum(4.9, 5.4, 50, seed=2).table]
    tables[0]["SURF_BRIGHT"][30] = np.nan
    native, jwst = (
        combine_spectra(tables, [1.0, 1.0], compatibility=compatibility) for compatibility in ("native", "jwst")
    )
    place = np.argmin(np.abs(native.wavelength - tables[0]["WAVELENGTH"][30]))
    assert native.surf_bright[place] == 7.0
    assert jwst.surf_bright[place] == 3.5


def test_when_nothing_is_subtracted(exposure, tmp_path):
    image = exposure()
    before = image.data.copy()
    assert master_background(image, None).state == NOT_APPLICABLE
    image.header["S_BKDSUB"] = "COMPLETE"
    image.members[MEMBERS] = BANDS
    status = master_background(image, None)
    assert status.state == NOT_APPLICABLE
    assert "S_BKDSUB is COMPLETE" in status.reason
    np.testing.assert_array_equal(image.data, before)
    assert master_background(image, None, force_subtract=True).state == COMPLETE
    write(tmp_path / "other.fits", [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="SCI")])
    with pytest.raises(BadDataError, match=r"other\.fits has the extensions PRIMARY, SCI, expected a table with"):
        master_background(image, None, user_background=str(tmp_path / "other.fits"), force_subtract=True)
    broken = spectrum(4.9, 5.4, 50)
    broken.table["FLUX"] = np.nan
    image.members[MEMBERS] = [broken]
    with pytest.raises(BadDataError, match="none of 1 spectra has a valid FLUX"):
        master_background(image, None, force_subtract=True)
