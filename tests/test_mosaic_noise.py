"""Errors of aperture fluxes in mosaics, by weight: what docs/accuracy.md says, on small images."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # the repository, for its benchmarks

from benchmarks import mosaic_noise


@pytest.mark.parametrize(("ratio", "pixfrac"), [(1.0, 1.0), (0.5, 1.0)])
def test_scatter_grows_over_the_stated_error_with_the_circle(ratio, pixfrac):
    """Noise of neighbouring pixels is correlated, the more so the smaller the pixels of the mosaic are."""
    pulls, scatter = {}, {}
    for weight_type in ("ivm", "exptime"):
        found = [
            mosaic_noise.measured(mosaic_noise.empty_exposures(500, seed), weight_type, ratio, pixfrac)
            for seed in range(2)
        ]
        assert min(min(one["count"]) for one in found) > 200
        pulls[weight_type] = np.mean([one["pull"] for one in found], axis=0)
        scatter[weight_type] = np.mean([one["scatter"] for one in found], axis=0)
        assert (np.diff(pulls[weight_type]) > 0).all()
    # noise that the mosaic's error does not know, whatever the weight
    np.testing.assert_allclose(pulls["ivm"], pulls["exptime"], rtol=0.06)
    # of exposures whose sky matters more than their read noise, the time is the better weight
    assert (scatter["exptime"] < scatter["ivm"]).all()
