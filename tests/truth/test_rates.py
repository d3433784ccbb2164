"""Rates of ramps whose truth is known: without bias, and with errors as wide as the pulls of the oracle, or as wide as they should be."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks.ramp_exposures import NIRCAM, PATTERNS, RAYS, simulate
from benchmarks.rate_fits import measure

PIXELS = 64 * 64
WIDTH_ERROR = 1 / np.sqrt(2 * PIXELS)
CELLS = [("RAPID", 5), ("SHALLOW4", 2), ("MEDIUM8", 10), ("DEEP8", 4)]
EQUAL = 0.01
"""Largest difference of two pull widths, or biases in units of ERR, that count as equal."""
TRUE = 0.03
"""Largest deviation of a pull width from 1 where errors are to be right."""


def largest_difference(found, first, second):
    return np.nanmax(np.abs(found[first][:2] - found[second][:2]))


def test_ramps_are_those_of_the_flux_and_the_noise():
    flux = np.full((64, 64), 20.0)
    simulation = simulate("MEDIUM8", 3, flux)
    # mean times of the groups in frames: 4.5, 14.5, 24.5
    expected = 20 * 10.73677 / 2 * np.array([4.5, 14.5, 24.5])
    scatter = simulation.data[0].std(axis=(1, 2), dtype=np.float64)
    assert simulation.data[0].mean(axis=(1, 2)) == pytest.approx(expected, abs=4 * scatter.max() / 64)
    # frame j of n has the Poisson noise of the frames before it too: variance (n + 1) (2 n + 1) / (6 n) of a frame's
    variance = (204 / 64 * 20 * 10.73677 + 12**2 / 8) / 4 + 1 / 12
    assert scatter[0] == pytest.approx(np.sqrt(variance), rel=5 * WIDTH_ERROR)


@pytest.mark.parametrize(("pattern", "ngroups"), CELLS)
def test_rates_are_unbiased_and_errors_of_the_right_size(pattern, ngroups):
    width, bias, *_ = measure(pattern, ngroups, pixels=PIXELS, fluxes=NIRCAM.fluxes, fits_by=["native"])["native"]

    assert np.abs(bias).max() < 4 / np.sqrt(PIXELS)
    # errors are too large for two groups of averaged frames, whose common Poisson noise the fit does not know
    low = 0.86 if ngroups == 2 else 0.92
    assert low - 3 * WIDTH_ERROR < width.min()
    assert width.max() < 1.10 + 3 * WIDTH_ERROR


@pytest.mark.parametrize(("pattern", "ngroups", "rays"), [*((*cell, 0.0) for cell in CELLS), ("MEDIUM8", 10, RAYS)])
def test_pulls_are_those_of_the_oracle(pattern, ngroups, rays):
    pytest.importorskip("jwst")
    fits_by = ["native", "jwst", "oracle"]
    found = measure(pattern, ngroups, pixels=PIXELS, fluxes=NIRCAM.fluxes, rays=rays, fits_by=fits_by)

    assert largest_difference(found, "jwst", "oracle") < EQUAL
    if rays == 0:
        # without dark current and jumps nothing differs by default either
        assert largest_difference(found, "native", "oracle") < EQUAL
    else:
        # segments are weighted by their whole variances, which makes errors truer
        native, oracle = (np.abs(found[name][0] - 1).mean() for name in ("native", "oracle"))
        assert native < oracle - 0.002
        assert native < 0.025


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rates_of_all_instruments_are_unbiased_and_their_errors_true(pattern):
    for ngroups in (2, 5):
        fits_by = ["native", "exact"] + ["likely"] * (ngroups >= 4)
        fluxes = PATTERNS[pattern].detector.fluxes[1:5:3]
        found = measure(pattern, ngroups, pixels=4 * PIXELS, fluxes=fluxes, fits_by=fits_by, seed=3)
        for fit in fits_by:
            width, bias, *_ = found[fit]
            assert np.abs(bias).max() < 4 / np.sqrt(4 * PIXELS)
            if fit != "native":
                assert np.abs(width - 1).max() < TRUE


@pytest.mark.parametrize(
    ("pattern", "ngroups", "faintest"),
    # with a signal-to-noise ratio of 2 to 5, as of the ramps of 50 groups at 0.05, errors follow the noise of the rate: 1.035
    [("RAPID", 2, 0.05), ("MEDIUM8", 2, 0.05), ("SHALLOW4", 4, 0.05), ("SHALLOW4", 20, 0.05), ("RAPID", 50, 0.6)],
)
def test_widths_are_1_with_exact_variances_and_with_likely(pattern, ngroups, faintest):
    fits_by = ["exact"] + ["likely"] * (ngroups >= 4)
    fluxes = [faintest, 2.0, 20.0]
    found = measure(pattern, ngroups, pixels=4 * PIXELS, fluxes=fluxes, fits_by=fits_by, seed=ngroups)

    for width, *_ in found.values():
        assert np.abs(width - 1).max() < TRUE


def test_dark_current_counts_in_electrons():
    pytest.importorskip("jwst")
    darks = np.array([0.03, 1.0, 5.0])
    fits_by = ["native", "jwst", "exact", "oracle"]
    found = measure("MEDIUM8", 10, pixels=PIXELS, fluxes=[0.2] * 3, dark=darks[:, None], fits_by=fits_by)

    assert largest_difference(found, "jwst", "oracle") < EQUAL
    width = found["native"][0]
    assert np.abs(width - 1).max() < 0.08
    assert np.abs(found["exact"][0] - 1).max() < TRUE + 2 * WIDTH_ERROR
    # the oracle takes electrons for DN: with a gain of 2 its Poisson variance of the dark is twice what it should be
    assert found["oracle"][0][1:] / width[1:] == pytest.approx(np.sqrt(1 / 2), abs=0.05)
