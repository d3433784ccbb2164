"""All twelve bands of the spectrometer, calibrated by the workflow from simulated slopes.

Flux of a point, brightness of a field, wavelengths, noise, and the second order.

The programmes are made in a temporary folder, or taken from the folder that SNAKEWEBB_MRS_TRUTH names, where ``python -m
benchmarks.mrs_truth --folder`` has made them.
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of the two calibrated programmes."""
    kept = os.environ.get("SNAKEWEBB_MRS_TRUTH")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("bands")
    for scene in mrs_truth.SCENES:
        if not list((folder / scene).glob("report/*_miri.html")):
            mrs_truth.make(folder / scene, scene)
    return folder


def spectrum_of(folder, scene, band, **options):
    return recovery.extracted(mrs_truth.spectra_of(folder / scene)[0][band], **options)


@pytest.mark.parametrize("band", mrs_truth.BANDS)
def test_the_flux_of_a_point_comes_back(folder, band):
    spectrum = spectrum_of(folder, "point", band)
    assert spectrum.band == band
    assert spectrum.signal_to_noise > 100
    assert recovery.flux_ratio(spectrum, folder / "point/truth", "star") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("band", mrs_truth.BANDS)
def test_the_brightness_of_a_field_comes_back(folder, band):
    spectrum = spectrum_of(folder, "field", band)
    assert recovery.brightness_ratio(spectrum, folder / "field/truth", "field") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("band", mrs_truth.BANDS)
def test_lines_are_where_they_were(folder, band):
    """Within 0.02 resolution elements, without residual fringes, which are as narrow as lines and move them."""
    lines = recovery.line_offsets(spectrum_of(folder, "point", band, without_fringes=True), folder / "point/truth")
    assert len(lines) > 0
    assert np.all(np.abs(lines["offset"]) < 0.02), lines


@pytest.mark.parametrize("band", mrs_truth.BANDS)
def test_errors_with_the_covariance_are_as_wide_as_the_noise(folder, band):
    width = mrs_truth.noise_pulls(folder / "point", band) / mrs_truth.covariance_of(band)
    assert width == pytest.approx(1, abs=0.1)


def test_the_second_order_is_taken_away(folder):
    """Light of band 1B in band 3A: a per cent and more of the flux where it is seen."""
    ratios = dict(mrs_truth.leak_rows(folder / "point"))
    assert ratios["extracted"] - ratios["corrected"] > 0.005
    assert ratios["corrected"] == pytest.approx(1, abs=0.01)
