"""Cubes in files: read back, opened and validated by the archive's data models, their WCS."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from slice_geometry import STEP, WAVE, synthetic_exposure, synthetic_references
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.errors import BadDataError
from snakewebb.io.cube_file import read_cube, write_cube

NROWS = 30


@pytest.fixture(scope="module", params=["linear", "not linear"])
def cube(request, tmp_path_factory):
    references = synthetic_references(tmp_path_factory.mktemp("cubepar") / "cubepar.fits")
    data = np.random.default_rng(0).normal(10, 1, (NROWS, 1032))
    exposures = [synthetic_exposure(data, name=f"d{n}_cal.fits") for n in range(2)]
    cubes = CubeSet(exposures)
    cube_build(
        cubes,
        references,
        linear_wave=request.param == "linear",
        cube_pa=31.0,
        wavemin=WAVE + 4 * STEP,
        wavemax=WAVE + 20 * STEP,
    )
    return cubes.cubes[0]


def test_a_cube_is_read_as_it_was_written(cube, tmp_path):
    path = tmp_path / "product_ch1-short_s3d.fits"
    write_cube(path, cube)
    found = read_cube(path)
    for name in ("data", "err", "dq", "weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(cube, name))
    assert found.bands == (("1", "short"),)
    assert list(found.header_table["FILENAME"]) == ["d0_cal.fits", "d1_cal.fits"]
    for name in ("x", "y"):
        np.testing.assert_allclose(getattr(found.grid, name), getattr(cube.grid, name), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.grid.wave, cube.grid.wave, rtol=1e-7)
    assert found.grid.angle == pytest.approx(31.0)


def test_the_data_models_open_it_without_warnings(cube, tmp_path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    path = tmp_path / "product_ch1-short_s3d.fits"
    write_cube(path, cube)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(path) as model:
            assert type(model).__name__ == "IFUCubeModel"
            model.validate()
            np.testing.assert_array_equal(model.data, cube.data)
            np.testing.assert_array_equal(model.weightmap, cube.weight)
            np.testing.assert_allclose(model.wavetable["wavelength"][0].ravel(), cube.grid.wave, rtol=1e-7)
            assert model.meta.ifu.weighting == "drizzle"
            voxels = (np.array([3.0, 9.0]), np.array([2.0, 5.0]), np.array([1.0, 7.0]))
            ra, dec, wave = model.meta.wcs(*voxels)
            x, y, z = model.meta.wcs.invert(ra, dec, wave)
    expected = cube.grid.pixel_to_sky(*voxels[:2])
    np.testing.assert_allclose((ra, dec), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(wave, cube.grid.wave[[1, 7]], rtol=1e-9)
    np.testing.assert_allclose((x, y, z), voxels, atol=1e-5)


def test_the_keywords_give_the_same_coordinates(cube, tmp_path):
    path = tmp_path / "product_ch1-short_s3d.fits"
    write_cube(path, cube)
    with fits.open(path) as units, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec, wave = WCS(units["SCI"].header, units).pixel_to_world_values([0.0, 9.0], [2.0, 5.0], [1.0, 7.0])
    np.testing.assert_allclose((ra, dec), cube.grid.pixel_to_sky(np.array([0.0, 9.0]), np.array([2.0, 5.0])), atol=1e-9)
    # the unit of a table of wavelengths is not converted to metres
    scale = 1e6 if cube.grid.linear else 1.0
    np.testing.assert_allclose(np.asarray(wave) * scale, cube.grid.wave[[1, 7]], rtol=1e-7)


def test_a_file_that_is_no_cube_is_refused(cube, tmp_path):
    path = tmp_path / "product_s3d.fits"
    write_cube(path, cube)
    with fits.open(path) as units:
        units.pop("WMAP")
        units.writeto(tmp_path / "less_s3d.fits")
    with pytest.raises(BadDataError, match=r"less_s3d.fits: extensions WMAP are missing; an s3d file is expected"):
        read_cube(tmp_path / "less_s3d.fits")
