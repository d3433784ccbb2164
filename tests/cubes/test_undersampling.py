"""How much single spaxels waver, measured on cubes that waver by a known part."""

import numpy as np
import pytest

from extraction_references import make_cube
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.cubes.undersampling import undersampling

PLANES = 400
X, Y = 15, 15
PART = 0.12


def wavering(noise=0.0, kind="POINT"):
    """A cube whose neighbouring spaxels waver in opposite senses, by `PART`, and the steady spectrum of its source with one line."""
    cube = make_cube(nwave=PLANES, position=(X, Y))
    cube.data /= (1 + 0.1 * np.arange(PLANES))[:, None, None]  # as bright in all planes
    phase = 2 * np.pi * np.arange(PLANES)[:, None, None] / 20
    y, x = np.mgrid[: cube.data.shape[1], : cube.data.shape[2]]
    cube.data = (cube.data * (1 + PART * np.sin(phase) * (-1.0) ** (x + y))).astype(np.float32)
    cube.data += np.random.default_rng(3).normal(0, noise or 1e-9, cube.data.shape).astype(np.float32)
    cube.err[...] = noise
    table = empty_table(PLANES, miri=True)
    table["WAVELENGTH"] = cube.grid.wave
    table["FLUX"] = 0.1 * (1 + 0.005 * np.sin(phase[:, 0, 0]))
    table["FLUX"][200:206] *= 5
    table["RF_FLUX"] = np.nan
    return cube, Spectrum(table, cube.header, {"SRCTYPE": kind, "EXTR_X": X + 0.2, "EXTR_Y": Y - 0.3})


def test_the_part_by_which_spaxels_waver():
    found = undersampling(*wavering())
    # the median of the absolute value of a sine is its value at 45 degrees
    of_a_sine = 1.4826 * np.sin(np.pi / 4)
    assert found.spaxels == pytest.approx(of_a_sine * PART, rel=0.03)
    # at the ends a running median follows the sine a little
    assert found.aperture == pytest.approx(of_a_sine * 0.005, rel=0.1)
    assert found.noise == 0
    assert found.ratio == pytest.approx(PART / 0.005, rel=0.12)
    assert np.nanmax(np.abs(found.whole)) > 3  # the line is seen, and does not count


def test_the_aperture_counts_without_residual_fringes():
    cube, spectrum = wavering()
    spectrum.table["RF_FLUX"] = 0.1 + 1e-5 * (np.arange(PLANES) % 2)
    found = undersampling(cube, spectrum)
    assert found.aperture < 1e-4
    assert found.spaxels == undersampling(*wavering()).spaxels


def test_noise_is_told_apart():
    found = undersampling(*wavering(noise=8.0))
    assert 0.05 < found.noise < 0.25
    assert found.spaxels > np.hypot(PART, found.noise) * 0.85
    assert found.ratio == pytest.approx(PART / 0.005, rel=0.3)


def test_there_is_none_of_extended_sources_and_at_the_edge():
    cube, spectrum = wavering(kind="EXTENDED")
    assert undersampling(cube, spectrum) is None
    spectrum.keywords |= {"SRCTYPE": "POINT", "EXTR_X": 0.2}
    assert undersampling(cube, spectrum) is None
    spectrum.keywords["EXTR_X"] = X
    cube.weight[...] = 0
    assert undersampling(cube, spectrum) is None
