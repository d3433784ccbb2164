"""The oracle calibrates simulated images of NIRISS, MIRI and FGS to their true brightness."""

import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.simulate.crds_cache import environment
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.simulate.truth import default_effects, simulate

pytest.importorskip("jwst")
pytestmark = pytest.mark.long

RUN = """
import sys
from jwst.pipeline import Detector1Pipeline, Image2Pipeline
rate = Detector1Pipeline.call(sys.argv[1])
(cal,) = Image2Pipeline.call(rate, steps={"resample": {"skip": True}})
cal.save(sys.argv[2])
"""


@pytest.mark.parametrize("mode", ["niriss_imaging", "miri_imaging", "fgs_imaging"])
def test_the_oracle_recovers_the_true_brightness(mode, tmp_path):
    effects = default_effects(mode) - {"one_over_f", "amplifier_offsets", "row_offsets", "emi", "cosmic_rays"}
    (uncal,) = simulate(mode, tmp_path, preset="tiny", effects=effects, errors=ReferenceErrors.zero(), dithers=1)
    cal = tmp_path / uncal.name.replace("uncal", "cal")
    done = subprocess.run(
        [sys.executable, "-c", RUN, uncal, cal],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | environment(tmp_path / "crds"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with fits.open(cal) as units, fits.open(tmp_path / "truth" / uncal.name.replace("uncal", "truth")) as truth:
        assert units["SCI"].header["BUNIT"] == "MJy/sr"
        steps = [units[0].header[f"S_{step}"] for step in ("WCS", "FLAT", "PHOTOM")]
        assert steps == ["COMPLETE"] * 3
        good = ((units["DQ"].data & 1) == 0) & np.isfinite(units["SCI"].data)
        assert good.mean() > 0.9
        pulls = ((units["SCI"].data - truth["BRIGHTNESS"].data) / units["ERR"].data)[good]
    low, middle, high = np.percentile(pulls, [16, 50, 84])
    assert abs(middle) < 0.1
    assert 0.85 < (high - low) / 2 < 1.15
