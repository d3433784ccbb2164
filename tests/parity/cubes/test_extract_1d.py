"""Spectra of a cube, against the oracle's of the same cube and references; and their file."""

import warnings

import numpy as np
import pytest
from astropy.io import fits

from extraction_references import make_cube, write_apcorr, write_extract1d, write_mrsptcorr
from snakewebb.cubes.extract_1d import extract_1d
from snakewebb.cubes.spectral_leak import SpectrumSet, spectral_leak
from snakewebb.io.cube_file import write_cube
from snakewebb.io.references import References
from snakewebb.io.spectrum_file import read_spectra, write_spectra

NOT_FRINGES = slice(0, -3)  # columns


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    return {"extract1d": write_extract1d(folder / "extract1d.asdf"), "apcorr": write_apcorr(folder / "apcorr.asdf")}


def oracle_spectrum(cube, path, references, kind="POINT", **parameters):
    """The oracle's x1d model of a cube."""
    from jwst.extract_1d.ifu import ifu_extract1d
    from stdatamodels.jwst import datamodels

    write_cube(path, cube)
    apcorr = references["apcorr"]
    options = {"ifu_rfcorr": False, "subtract_background": None, "bkg_sigma_clip": 3.0} | parameters
    with datamodels.open(path) as model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ifu_extract1d(
            model,
            str(references["extract1d"]),
            kind,
            options.pop("subtract_background"),
            options.pop("bkg_sigma_clip"),
            None if apcorr is None else str(apcorr),
            **options,
        )


CASES = {
    "point": {},
    "the user's centre and radius": {"center_xy": [14.3, 16.1], "ifu_rscale": 1.3, "ifu_covar_scale": 1.6},
    "no background": {"subtract_background": False},
    "stronger clipping": {"bkg_sigma_clip": 2.0},
    "found": {"ifu_autocen": True},
    "extended": {"kind": "EXTENDED", "ifu_covar_scale": 1.4},
}


@pytest.mark.parametrize("name", CASES)
def test_spectra_are_those_of_the_oracle(paths, tmp_path, name):
    parameters = dict(CASES[name])
    kind = parameters.pop("kind", "POINT")
    cube = make_cube(noise=0.4)
    theirs = oracle_spectrum(cube, tmp_path / "oracle_s3d.fits", paths, kind, **parameters).spec[0]
    references = References(paths, (1, 1, 1, 1))
    extract_1d(cube, references, compatibility="jwst", ifu_rfcorr=False, ifu_set_srctype=kind, **parameters)
    ours = cube.spectra[0]
    assert theirs.spec_table.dtype.names == ours.table.dtype.names
    # the oracle reads wavelengths through its WCS, and the scale is that of the sphere, not of the plane
    tolerance = 1e-4 if name == "found" else 1e-6
    for column in ours.table.dtype.names[NOT_FRINGES]:
        np.testing.assert_allclose(ours.table[column], theirs.spec_table[column], rtol=tolerance, err_msg=column)
    for key, attribute in (
        ("EXTR_X", "extraction_x"),
        ("EXTR_Y", "extraction_y"),
        ("SLIT_RA", "slit_ra"),
        ("SLIT_DEC", "slit_dec"),
    ):
        assert ours.keywords[key] == pytest.approx(getattr(theirs, attribute), rel=1e-4 if name == "found" else 1e-9), (
            key
        )
    assert (ours.keywords["SRCTYPE"], ours.keywords["SLTNAME"]) == (theirs.source_type, theirs.name)


@pytest.mark.parametrize("method", ["subpixel", "center"])
def test_methods_of_apertures(paths, tmp_path, method):
    mine = paths | {"extract1d": write_extract1d(tmp_path / "extract1d.asdf", method=method)}
    cube = make_cube(noise=0.4)
    theirs = oracle_spectrum(cube, tmp_path / "oracle_s3d.fits", mine).spec[0].spec_table
    extract_1d(cube, References(mine, (1, 1, 1, 1)), compatibility="jwst", ifu_rfcorr=False)
    for column in ("FLUX", "FLUX_ERROR", "BACKGROUND", "NPIXELS"):
        np.testing.assert_allclose(cube.spectra[0].table[column], theirs[column], rtol=1e-6, err_msg=column)


def test_a_file_of_spectra(paths, tmp_path):
    from stdatamodels.jwst import datamodels

    cube = make_cube(noise=0.4)
    oracle_spectrum(cube, tmp_path / "oracle_s3d.fits", paths).save(tmp_path / "oracle_x1d.fits")
    extract_1d(cube, References(paths, (1, 1, 1, 1)), ifu_rfcorr=False)
    path = tmp_path / "product_ch1-short_x1d.fits"
    write_spectra(path, cube.spectra)
    (found,) = read_spectra(path)
    for name in found.table.dtype.names:
        np.testing.assert_array_equal(found.table[name], cube.spectra[0].table[name])
    assert found.keywords == pytest.approx(cube.spectra[0].keywords)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(path) as model:
            assert type(model).__name__ == "MRSMultiSpecModel"
            model.validate()
            np.testing.assert_array_equal(model.spec[0].spec_table["FLUX"], cube.spectra[0].table["FLUX"])
            assert model.spec[0].source_type == "POINT"
            assert model.spec[0].slit_ra == pytest.approx(cube.spectra[0].ra)
    with fits.open(path) as ours, fits.open(tmp_path / "oracle_x1d.fits") as theirs:
        assert ours["EXTRACT1D"].columns.names == theirs["EXTRACT1D"].columns.names
        assert ours["EXTRACT1D"].columns.formats == theirs["EXTRACT1D"].columns.formats
        units = [[str(unit or "") for unit in units["EXTRACT1D"].columns.units] for units in (ours, theirs)]
        assert units[0] == units[1]
        keywords = [
            set(units["EXTRACT1D"].header) - {"CHECKSUM", "DATASUM", "", "EXTLEVEL"} for units in (ours, theirs)
        ]
        assert keywords[0] >= keywords[1]


def test_the_leak_is_that_of_the_oracle(tmp_path):
    from jwst.spectral_leak.spectral_leak import do_correction
    from stdatamodels.jwst import datamodels

    leak = write_mrsptcorr(tmp_path / "leak.fits")
    groups = []
    extract1d = References({"extract1d": write_extract1d(tmp_path / "e.asdf"), "apcorr": None}, (1, 1, 1, 1))
    for channel, band, start in (("1", "medium", 6.0), ("3", "short", 12.0)):
        cube = make_cube(channel=channel, band=band, start=start, nwave=80, noise=0.1)
        extract_1d(cube, extract1d, ifu_rfcorr=False)
        cube.spectra[0].table["RF_FLUX"] = 0.9 * cube.spectra[0].table["FLUX"]
        groups += cube.spectra
    models = []
    for number, spectrum in enumerate(groups):
        write_spectra(tmp_path / f"{number}_x1d.fits", [spectrum])
        models.append(datamodels.open(tmp_path / f"{number}_x1d.fits"))
    flux, corrected = do_correction(str(leak), *models)
    for model in models:
        model.close()
    status = spectral_leak(SpectrumSet(groups), References({"mrsptcorr": leak}, (1, 1, 1, 1)), compatibility="jwst")
    assert status.state == "COMPLETE"
    np.testing.assert_allclose(groups[1].table["FLUX"], flux, rtol=1e-12)
    np.testing.assert_allclose(groups[1].table["RF_FLUX"], corrected, rtol=1e-12)
