"""The triangle: what the simulator puts in, the oracle's pipeline takes out, with the simulated references.

Each effect is switched on alone, with references that have no errors, and must be removed to the truth;
then all together, with the references' stated errors. The structure of the bias is always there: without any
noise it is what makes the digitisation of neighbouring pixels differ, so that its errors average out.
"""

import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jwst")

from snakewebb.io import fits as checked_fits
from snakewebb.simulate import particles, ramps
from snakewebb.simulate.crds_cache import build_cache, environment
from snakewebb.simulate.designs import design
from snakewebb.simulate.detector_truth import make_detector
from snakewebb.simulate.programme import make_programme
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.simulate.truth import (
    EFFECTS,
    exposure_row,
    programme_sky,
    simulate_exposure,
)
from snakewebb.simulate.uncal import file_name, reference_keywords, uncal_units

SEED = 7
GROUPS = 10
DESIGN = {
    "configurations": ((("NRCA1", "F200W", "CLEAR"),),),
    "subarray": "SUB160",
    "flux_range": (2e-6, 3e-4),
    "min_separation": 0.45,
    "dithers": 1,
    "pattern": "SHALLOW4",
    "ngroups": GROUPS,
    "star_density": 2500.0,
    "galaxy_density": 100.0,
}
# standard deviation of the rate, DN/s, from rounding four frames and their average (SHALLOW4) in ten groups
DIGITAL = 0.028
JUMP, SATURATED, DO_NOT_USE = 4, 2, 1
BRIGHT_SKY = {"background": 40.0}  # MJy/sr
FLAGS = 0b1111 << 10  # DEAD, HOT, WARM, LOW_QE

CASES = {
    "superbias": ({"sources"}, {}),
    "flat": ({"sky_background"}, BRIGHT_SKY),
    "dark": ({"bad_pixels"}, {}),
    "gain": ({"sources"}, {}),
    "nonlinearity": ({"sources"}, {"flux_range": (2e-5, 2e-2)}),
    "saturation": ({"sources"}, {"flux_range": (2e-5, 2e-2)}),
    "bad_pixels": ({"sky_background"}, BRIGHT_SKY),
    "reset_noise": ({"sources"}, {}),
    "amplifier_offsets": ({"sky_background"}, {}),
    "one_over_f": ({"sky_background"}, {}),
    "read_noise": (set(), {}),
    "poisson": ({"sky_background"}, BRIGHT_SKY),
    "cosmic_rays": ({"sky_background"}, {}),
    "pointing_error": ({"sources"}, {}),
    "velocity_aberration": ({"sources"}, {}),
    "filter_offset": ({"sources"}, {}),
    "all": (EFFECTS, {"background": 3.0}),
}
"""What is on besides the effect itself and the bias, and changes of the programme."""
SHORT = ("flat", "nonlinearity", "all")


@dataclass
class Result:
    """A simulated exposure and what the oracle made of it."""

    raw: ramps.RawRamp
    scene: object
    truth: object
    row: dict
    readout: ramps.Readout
    arrays: dict = field(default_factory=dict)

    @property
    def rate(self):
        """True rate, DN/s."""
        return self.scene.rate / self.truth.gain

    @property
    def good(self):
        """Light-sensitive pixels that may be used."""
        return ((self.truth.bad >> 31) == 0) & ((self.arrays["dq"] & DO_NOT_USE) == 0)

    @property
    def residual(self):
        """Measured minus true rate of the good pixels, DN/s."""
        return (self.arrays["data"] - self.rate)[self.good]

    @property
    def shifts(self):
        """Positions of the sources in the oracle's WCS minus true ones, but for the error of the pointing."""
        x = self.arrays["x"] + self.row["dx"] - np.asarray(self.scene.sources["x"])
        y = self.arrays["y"] + self.row["dy"] - np.asarray(self.scene.sources["y"])
        inside = np.asarray(self.scene.sources["inside"])
        return np.array([x[inside], y[inside]])


def _calibrate(names, folder):
    """Simulate the cases and let the oracle calibrate them in one process."""
    results, jobs = {}, []
    for number, name in enumerate(names):
        context = f"jwst_{9001 + number}.pmap"
        companions, changes = CASES[name]
        effects = frozenset({name, "superbias"} | companions) & EFFECTS
        preset = design("tiny", **DESIGN | changes)
        programme = make_programme(
            preset,
            seed=SEED,
            pointing_errors="pointing_error" in effects,
            velocity_aberration="velocity_aberration" in effects,
        )
        exposure, catalogue = programme.exposures[0], programme_sky(programme, effects)
        with pytest.MonkeyPatch.context() as patch:
            if name == "cosmic_rays":
                patch.setattr(particles, "_COSMIC_RAYS_PER_SECOND", 4e-4)
            raw, scene, truth = simulate_exposure(exposure, catalogue, effects)
        truth = copy.deepcopy(truth)  # lets go of the full detector
        results[name] = Result(raw, scene, truth, exposure_row(exposure, truth, raw), exposure.readout)
        uncal = folder / name / file_name(exposure)
        checked_fits.write(uncal, uncal_units(exposure, raw))
        # weights and thresholds need a read noise, whether or not the data have it
        known = effects | {"read_noise"}
        build_cache(
            folder / "crds",
            truths=lambda *key, known=known: make_detector(key[0], key[1], pupil=key[2], seed=SEED, effects=known),
            exposures=[reference_keywords(exposure)],
            context=context,
            errors=None if name == "all" else ReferenceErrors.zero(),
            seed=SEED,
            extent="subarray",
        )
        rows = np.searchsorted(catalogue["id"], scene.sources["id"])
        np.savez(folder / name / "sky.npz", ra=catalogue["ra"][rows], dec=catalogue["dec"][rows])
        jobs.append(
            {
                "uncal": str(uncal),
                "context": context,
                "sky": str(folder / name / "sky.npz"),
                "result": str(folder / name / "result.npz"),
            }
        )
    (folder / "jobs.json").write_text(json.dumps(jobs))
    program = Path(__file__).with_name("oracle_calibration.py")
    done = subprocess.run(
        [sys.executable, program, folder / "jobs.json"],
        env=os.environ | environment(folder / "crds", jobs[0]["context"]),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, job in zip(names, jobs, strict=True):
        results[name].arrays = dict(np.load(job["result"]))
    return results


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return _calibrate(SHORT, tmp_path_factory.mktemp("short"))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return _calibrate([name for name in CASES if name not in SHORT], tmp_path_factory.mktemp("matrix"))


def check_digitised(result):
    """Nothing but the digitisation is left."""
    residual = result.residual
    assert abs(residual.mean()) < 4 * DIGITAL / np.sqrt(residual.size) + 2e-3
    assert residual.std() < 1.3 * DIGITAL
    assert abs(residual).max() < 6 * DIGITAL


def test_flat(short):
    result = short["flat"]
    assert result.truth.flat[result.good].std() > 0.01
    cal = result.arrays["cal"][result.good]
    expected = BRIGHT_SKY["background"]
    assert cal.mean() == pytest.approx(expected, rel=3e-4)
    # digitisation, in units of the sky's rate
    assert cal.std() / expected < 1.4 * DIGITAL / result.rate[result.good].mean()


def test_nonlinearity(short):
    result = short["nonlinearity"]
    bright = result.good & (result.rate > 500) & ((result.arrays["dq"] & (SATURATED | JUMP)) == 0)
    ratio = result.arrays["data"][bright] / result.rate[bright]
    charge = result.scene.rate[bright] * result.readout.integration_time
    a, b = result.truth.nonlinearity[:, bright]
    assert np.median(charge * (a + b * charge)) > 0.003
    assert np.median(ratio) == pytest.approx(1, abs=1e-4)
    assert abs(ratio - 1).max() < 3e-3


def test_all_effects_together(short):
    result = short["all"]
    pull = result.residual / result.arrays["err"][result.good]
    assert abs(np.median(result.residual)) < 0.08
    assert 1.4826 * np.median(abs(pull - np.median(pull))) == pytest.approx(1.05, abs=0.1)
    np.testing.assert_array_equal(result.arrays["dq"] & FLAGS, result.truth.bad & FLAGS)
    bright = result.good & (result.rate > 100) & ((result.arrays["dq"] & (SATURATED | JUMP)) == 0)
    assert np.median(result.arrays["data"][bright] / result.rate[bright]) == pytest.approx(1, abs=0.01)
    assert abs(result.shifts).max() < 0.015
    cal = result.arrays["cal"][bright] / result.scene.brightness[bright]
    assert np.median(cal) == pytest.approx(1, abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("name", ["superbias", "gain", "reset_noise"])
def test_removed_completely(matrix, name):
    check_digitised(matrix[name])


@pytest.mark.long
def test_a_star_keeps_its_flux(matrix):
    """Surface brightness times the pixel areas, over the whole image, is the flux of what was drawn."""
    result = matrix["superbias"]
    arrays = result.arrays
    light = (result.truth.bad >> 31) == 0
    measured = np.sum((arrays["cal"] * arrays["area"])[light]) * arrays["pixel_area"] * 1e6
    solid_angle = arrays["area"] * arrays["pixel_area"]
    drawn = np.sum((result.scene.brightness * solid_angle)[light]) * 1e6
    assert measured == pytest.approx(drawn, rel=2e-3)


@pytest.mark.long
def test_dark(matrix):
    result = matrix["dark"]
    warm = result.good & ((result.truth.bad & (1 << 12)) != 0)
    dark = (result.truth.dark / result.truth.gain)[warm]
    assert dark.mean() > 0.1
    assert abs(result.arrays["data"][warm]).mean() < 1.3 * DIGITAL


@pytest.mark.long
def test_saturation(matrix):
    result = matrix["saturation"]
    charge = result.scene.rate * result.readout.integration_time
    sure = charge > result.truth.full_well
    never = charge < 0.99 * result.truth.full_well
    flagged = (result.arrays["dq"] & SATURATED) != 0
    assert sure.sum() >= 10
    assert np.all(flagged[sure])
    # neighbours are flagged too
    from scipy.ndimage import binary_dilation

    assert not np.any(flagged & ~binary_dilation(~never, np.ones((3, 3))))
    partly = result.good & flagged
    assert np.median(result.arrays["data"][partly] / result.rate[partly]) == pytest.approx(1, abs=1e-3)


@pytest.mark.long
def test_bad_pixels(matrix):
    result = matrix["bad_pixels"]
    np.testing.assert_array_equal(result.arrays["dq"] & FLAGS, result.truth.bad & FLAGS)
    assert (result.truth.bad & FLAGS).astype(bool).sum() > 20
    assert abs(result.residual).max() < 6 * DIGITAL


@pytest.mark.long
def test_amplifier_offsets(matrix):
    result = matrix["amplifier_offsets"]
    levels = result.raw.data[0].astype(float).mean(axis=(1, 2))
    assert np.std(np.diff(levels)) > 0.3
    check_digitised(result)


@pytest.mark.long
def test_slow_noise_keeps_only_what_reference_pixels_cannot_see(matrix):
    result = matrix["one_over_f"]
    assert abs(result.residual.mean()) < 0.1
    rows = np.where(result.good, result.arrays["data"] - result.rate, 0).sum(axis=1) / result.good.sum(axis=1).clip(1)
    assert rows.std() > 0.02


@pytest.mark.long
def test_read_noise(matrix):
    result = matrix["read_noise"]
    pull = result.residual / np.sqrt(result.arrays["var_rnoise"][result.good])
    assert pull.std() == pytest.approx(1.0, abs=0.04)


@pytest.mark.long
def test_poisson(matrix):
    result = matrix["poisson"]
    # the read noise is in the weights but not in the data
    pull = result.residual / np.sqrt(result.arrays["var_poisson"][result.good])
    assert 0.85 < pull.std() < 1.1
    assert abs(result.residual.mean()) < 4 * result.residual.std() / np.sqrt(result.residual.size) + 0.01


@pytest.mark.long
def test_cosmic_rays(matrix):
    result = matrix["cosmic_rays"]
    rays = result.raw.cosmic_rays
    jump = (result.arrays["dq"] & JUMP) != 0
    x, y = np.rint(rays["x"]).astype(int), np.rint(rays["y"]).astype(int)
    strong = (rays["electrons"] > 500) & (x >= 4) & (x < 156) & (y >= 4) & (y < 156) & (rays["group"] > 0)
    strong &= (rays["length"] < 1) & (rays["group"] < GROUPS)
    light = (result.truth.bad >> 31) == 0
    strong[strong] = light[y[strong], x[strong]]
    assert strong.sum() > 30
    near = np.array([jump[b - 1 : b + 2, a - 1 : a + 2].any() for a, b in zip(x[strong], y[strong], strict=True)])
    assert near.mean() > 0.97
    # what is left of the tracks is below the threshold, 4 sigma of the read noise in one difference
    assert 1.4826 * np.median(abs(result.residual)) < 1.3 * DIGITAL
    assert np.percentile(abs(result.residual), 99.9) < 2.0


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "tolerance"), [("pointing_error", 0.02), ("velocity_aberration", 1e-4), ("filter_offset", 1e-4)]
)
def test_positions(matrix, name, tolerance):
    result = matrix[name]
    assert abs(result.shifts).max() < tolerance
    moved = {
        "pointing_error": abs(result.row["dx"]) + abs(result.row["dy"]),
        "velocity_aberration": 1,
        "filter_offset": abs(result.row["column_offset"]),
    }[name]
    assert moved > 0.1
