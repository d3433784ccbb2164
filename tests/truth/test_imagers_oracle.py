"""Programmes of the imagers beside NIRCam's, and of a filter in NIRCam's pupil wheel, calibrated by the oracle's pipelines too."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

pytest.importorskip("jwst")
sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks.jobs import compatible
from benchmarks.truth_figures import calibrate_with_oracle, difference

from small_programmes import Programme
from snakewebb.simulate.truth import simulate

pytestmark = pytest.mark.long

EDGE = 2  # pixels of a mosaic

CASES = {
    "MIRI": ("miri_imaging", {}),
    "NIRISS": ("niriss_imaging", {}),
    "FGS": ("fgs_imaging", {}),
    "pupil wheel": ("nircam_imaging", {"configurations": ((("NRCALONG", "F444W", "F470N"),),)}),
}


@pytest.fixture(scope="module", params=CASES)
def programme(tmp_path_factory, request):
    """A small programme calibrated by both, with what differs on purpose as the oracle has it."""
    mode, design = CASES[request.param]
    folder = tmp_path_factory.mktemp("imager")
    simulate(mode, folder, preset="tiny", seed=3, **design)
    programme = Programme(folder, "jwst_9999.pmap")
    programme.configure(f"truth: truth\nsteps: {json.dumps(compatible({}))}\n")
    programme.snakemake(mode)
    calibrate_with_oracle(folder, sorted(folder.glob("stage3/*_crf/*_crf.fits")))
    return folder


@pytest.mark.parametrize("kind", ["rate", "cal"])
def test_exposures_are_the_oracles(programme, kind):
    paths = sorted(programme.glob(f"stage[12]/*_{kind}.fits"))
    assert len(paths) >= 2
    for path in paths:
        found = difference(path, programme / "oracle" / path.name)
        assert found["compared"] > 0.9
        assert found["beyond"] == 0
        assert found["dq"] == "nowhere"


def test_mosaic_of_aligned_exposures_is_the_oracles(programme):
    (path,) = programme.glob("stage3/*_i2d.fits")
    with fits.open(path) as ours, fits.open(programme / "oracle" / "aligned_i2d.fits") as theirs:
        assert ours["SCI"].shape == theirs["SCI"].shape
        # pixels whose centres are outside reach into the outermost ones, which the oracle does not count
        mine, other, error = (
            np.asarray(plane[EDGE:-EDGE, EDGE:-EDGE], float)
            for plane in (ours["SCI"].data, theirs["SCI"].data, theirs["ERR"].data)
        )
    np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(other))
    good = np.isfinite(other) & (error > 0)
    assert good.mean() > 0.5
    assert np.all(np.abs(mine - other)[good] <= np.maximum(1e-5 * np.abs(other), 1e-3 * error)[good])
