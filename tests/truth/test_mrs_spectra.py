"""Spectra of a simulated point source in one band, from calibrated exposures with noise of known size: flux and width of the pulls."""

import numpy as np
import pytest

from simulated_mrs import simulated_exposures
from snakewebb.cubes.covariance import covariance_scale
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.extract_1d import extract_1d
from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.io.references import References
from snakewebb.simulate.mrs_bands import band
from snakewebb.simulate.mrs_cube_references import SPAXELS, write_apcorr, write_cubepar, write_extract1d
from snakewebb.simulate.mrs_scene import Source

STAR = Source("star", flux=0.2, slope=0.0, lines=0.0)
ROWS = slice(440, 560)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    paths = {"cubepar": folder / "cubepar.fits", "extract1d": folder / "e.asdf", "apcorr": folder / "a.asdf"}
    for (_, path), write in zip(paths.items(), (write_cubepar, write_extract1d, write_apcorr), strict=True):
        write(path)
    return References(paths, (1, 1, 1, 1))


@pytest.fixture(scope="module")
def exposures():
    return simulated_exposures(rows=ROWS, sources=(STAR,))


def spectrum(exposures, references, channel, **parameters):
    """Columns of the spectrum of four dithers, where all rows of the planes are there."""
    cubes = CubeSet([mrs_exposure(one.image, one.geometry) for one in exposures])
    cube_build(cubes, references, channel=channel)
    (cube,) = cubes.cubes
    cube.sci_header["SRCTYPE"] = "POINT"
    extract_1d(cube, references, ifu_rfcorr=False, **parameters)
    table = cube.spectra[0].table
    known = np.flatnonzero((table["DQ"] & 1) == 0)
    return table[known[10:-10]]


@pytest.mark.parametrize("channel", ["1", "2"])
def test_the_flux_of_a_point_comes_back(exposures, references, channel):
    table = spectrum(exposures, references, channel)
    assert len(table) > 60
    assert table["FLUX"].sum() / np.sqrt((table["FLUX_ERROR"] ** 2).sum()) > 100
    assert table["FLUX"].mean() == pytest.approx(STAR.flux, rel=0.01)


@pytest.mark.parametrize("channel", ["1", "2"])
def test_errors_with_the_covariance_are_as_wide_as_the_noise(exposures, references, channel):
    one = band(int(channel), "SHORT")
    scale = covariance_scale((one.width, one.scale), SPAXELS[int(channel)])
    whole = spectrum(exposures, references, channel, ifu_covar_scale=scale)
    noisy = [one.image.data for one in exposures]
    for one in exposures:
        one.image.data = one.brightness.astype(np.float32)
    calm = spectrum(exposures, references, channel)
    for one, data in zip(exposures, noisy, strict=True):
        one.image.data = data
    pulls = (whole["FLUX"] - calm["FLUX"]) / whole["FLUX_ERROR"]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
