"""Bands A of the spectrometer from raw exposures, with all effects of the detectors: flux of a point, brightness of a field, lines, noise.

Made in a temporary folder, or taken from the folder that SNAKEWEBB_MRS_TRUTH_RAMPS names, where ``python -m benchmarks.mrs_truth
--ramps --folder`` has made them. A short form of it, of one exposure, is in tests/workflow/test_miri_mrs.py.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks import mrs_truth

from snakewebb.simulate import mrs_recovery as recovery

pytestmark = pytest.mark.long

BANDS = [band for band in mrs_truth.BANDS if band.endswith("A")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of the two calibrated programmes."""
    kept = os.environ.get("SNAKEWEBB_MRS_TRUTH_RAMPS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("ramps")
    for scene in mrs_truth.SCENES:
        if not list((folder / scene).glob("report/*_miri.html")):
            mrs_truth.make(folder / scene, scene, ramps=True, bands=("SHORT",))
    return folder


def spectrum_of(folder, scene, band, **options):
    return recovery.extracted(mrs_truth.spectra_of(folder / scene)[0][band], **options)


@pytest.mark.parametrize("band", BANDS)
def test_the_flux_of_a_point_comes_back(folder, band):
    spectrum = spectrum_of(folder, "point", band)
    assert spectrum.signal_to_noise > 100
    assert recovery.flux_ratio(spectrum, folder / "point/truth", "star") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("band", BANDS)
def test_the_brightness_of_a_field_comes_back(folder, band):
    spectrum = spectrum_of(folder, "field", band)
    assert recovery.brightness_ratio(spectrum, folder / "field/truth", "field") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("band", BANDS)
def test_lines_are_where_they_were(folder, band):
    """Within 0.02 resolution elements, without residual fringes."""
    lines = recovery.line_offsets(spectrum_of(folder, "point", band, without_fringes=True), folder / "point/truth")
    assert len(lines) > 0
    assert np.all(np.abs(lines["offset"]) < 0.02), lines


@pytest.mark.parametrize("band", BANDS)
def test_errors_with_the_covariance_are_as_wide_as_the_noise_of_the_ramps(folder, band):
    assert (folder / "point/stage1").exists()
    width = mrs_truth.noise_pulls(folder / "point", band) / mrs_truth.covariance_of(band)
    assert width == pytest.approx(1, abs=0.1)
