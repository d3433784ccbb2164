"""The oracle's pipelines on the same programme: the products agree, and so does what is recovered of the truth."""

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import vstack

pytest.importorskip("jwst")
sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks.truth_figures import calibrate_with_oracle, difference

from snakewebb.simulate import recovery

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def programme(programme, tmp_path_factory):
    """The same raw data, ramps weighted and outliers rejected as there: jumps and cores of stars would differ on purpose."""
    folder = tmp_path_factory.mktemp("as_oracle")
    for name in ("uncal", "truth", "crds"):
        (folder / name).symlink_to(programme.folder / name)
    return type(programme)(
        folder, "steps: {ramp_fit: {compatibility: jwst}, outlier_detection: {compatibility: jwst}}\n"
    )


@pytest.fixture(scope="module")
def oracle(programme):
    """Folder of the oracle's products."""
    calibrate_with_oracle(programme.folder, list(programme.crfs.values()))
    return programme.folder / "oracle"


@pytest.mark.parametrize("kind", ["rates", "cals"])
def test_exposures_are_the_oracles(programme, oracle, kind):
    for path in getattr(programme, kind).values():
        found = difference(path, oracle / path.name)
        assert found["compared"] > 0.97
        assert found["beyond"] == 0
        assert found["dq"] == "nowhere"


def test_mosaic_of_aligned_exposures_is_the_oracles(programme, oracle):
    found = difference(programme.mosaic, oracle / "aligned_i2d.fits")
    assert found["compared"] > 0.7
    assert found["beyond"] == 0


def test_fluxes_are_the_oracles(programme, oracle):
    truth = programme.folder / "truth"
    ours, theirs = (
        vstack([recovery.exposure_stars(path, truth) for path in paths])
        for paths in (programme.cals.values(), [oracle / path.name for path in programme.cals.values()])
    )
    np.testing.assert_array_equal(ours["id"], theirs["id"])
    np.testing.assert_allclose(ours["ratio"], theirs["ratio"], rtol=1e-5)


def test_alignment_is_the_oracles(programme, oracle):
    truth = programme.folder / "truth"
    ours = recovery.alignment_residuals(list(programme.crfs.values()), truth)
    theirs = recovery.alignment_residuals(sorted(oracle.glob("*_crf.fits")), truth)
    for axis in ("dx", "dy"):
        np.testing.assert_allclose(ours[axis], theirs[axis], atol=1e-4)


def test_outliers_are_the_oracles(programme, oracle):
    ours, theirs = (
        np.array([fits.getdata(path, "DQ") & 16 for path in paths])
        for paths in (programme.crfs.values(), sorted(oracle.glob("*nrcb1*_crf.fits")))
    )
    assert np.count_nonzero(theirs) > 5
    np.testing.assert_array_equal(ours, theirs)


def test_isophotal_centroids_are_the_oracles(programme, oracle):
    truth = programme.folder / "truth"
    assert len(programme.catalogue)
    ours, _ = recovery.catalogue_stars(
        programme.folder / "stage3/cat.ecsv", programme.mosaic, truth, centroid="sky_centroid"
    )
    theirs, _ = recovery.catalogue_stars(oracle / "oracle_cat.ecsv", oracle / "oracle_i2d.fits", truth)
    assert len(ours) > 60
    np.testing.assert_array_equal(ours["id"], theirs["id"])
    # the errors of the exposures differ a little, so that a few outliers do
    for name, tolerance in (("dx", 2e-3), ("dy", 2e-3), ("ratio", 1e-4)):
        assert np.percentile(np.abs(ours[name] - theirs[name]), 90) < tolerance
