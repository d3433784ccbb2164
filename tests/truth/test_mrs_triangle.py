"""Each effect of MIRI's spectrometer alone: made by the simulator, undone by the oracle, compared with the truth."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from snakewebb.simulate.crds_cache import environment
from snakewebb.simulate.geometry import LIGHT_SPEED
from snakewebb.simulate.mrs_geometry import DetectorSlices
from snakewebb.simulate.mrs_programme import mrs_design, mrs_programme, recession
from snakewebb.simulate.mrs_scene import Source
from snakewebb.simulate.mrs_simulation import REFERENCE_OF, exposure_light, mrs_references
from snakewebb.simulate.mrs_slopes import STAGE_1, slope_variances, write_slopes
from snakewebb.simulate.raw_simulation import true_detector
from snakewebb.simulate.reference_format import ReferenceErrors

pytest.importorskip("jwst")
pytestmark = pytest.mark.oracle_long

SKY = frozenset({"scene", "sky_background"})
STAR = frozenset({"scene", "sources"})
SOURCES = (Source("star", flux=0.05, slope=-1.0, lines=0.0),)


@dataclass(frozen=True)
class Case:
    """Effects, and the detector."""

    effects: frozenset
    detector: str = "MIRIFUSHORT"


CASES = {
    "nothing": Case(SKY | STAR),
    "velocity": Case(SKY | STAR | {"velocity_aberration"}),
    "flat": Case(SKY | STAR | {"flat"}),
    "fringes of the sky": Case(SKY | {"fringes"}),
    "fringes of a star": Case(STAR | {"fringes"}),
    "decline": Case(SKY | {"time_loss"}, "MIRIFULONG"),
    "cross artifact": Case(STAR | {"cross_artifact"}),
}


@dataclass
class Result:
    """What was made, and what came back."""

    exposure: object
    light: object
    regions: np.ndarray
    arrays: dict

    @property
    def seen(self):
        """Pixels of the slices that may be used."""
        return (self.regions[7] > 0) & ((self.arrays["dq"] & 1) == 0)

    @property
    def ratio(self):
        """Measured over true brightness."""
        return self.arrays["data"][self.seen] / self.light.brightness[self.seen]

    def status(self, step):
        """What became of a step."""
        return json.loads(str(self.arrays["status"]))[step]


def _points(detector):
    points = []
    for channel in DetectorSlices(detector, "SHORT").channels:
        points += [(one.column + shift, row) for one in channel.slices for shift, row in ((-4, 90.0), (3.3, 930.0))]
    return points


def _calibrate(names, folder):
    """Simulate the cases and let the oracle calibrate them in one process."""
    found, jobs = {}, []
    for number, name in enumerate(names):
        case = CASES[name]
        context = f"jwst_{9001 + number}.pmap"
        design = mrs_design("tiny", detectors=(case.detector,), sources=SOURCES)
        programme = mrs_programme(design, seed=1, velocity_aberration="velocity_aberration" in case.effects)
        exposure = programme.exposures[0]
        truth = true_detector(case.detector, design.pattern, 1, case.effects | {"read_noise"})
        light = exposure_light(exposure, truth, case.effects)
        path = folder / name.replace(" ", "_") / f"{exposure.root}_rate.fits"
        write_slopes(path, exposure, light.rate / truth.gain, *slope_variances(exposure, light.rate, truth), seed=None)
        absent = (*STAGE_1, *(reftype for effect, reftype in REFERENCE_OF.items() if effect not in case.effects))
        mrs_references(folder / "crds", programme, case.effects, ReferenceErrors.zero(), absent=absent, context=context)
        jobs.append(
            {
                "rate": str(path),
                "context": context,
                "points": _points(case.detector),
                "result": str(path.parent / "result.npz"),
            }
        )
        found[name] = Result(exposure, light, DetectorSlices(case.detector, "SHORT").regions(), {})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("oracle_mrs.py"), folder / "jobs.json"],
        env=os.environ | environment(folder / "crds", jobs[0]["context"]),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for result, job in zip(found.values(), jobs, strict=True):
        result.arrays = dict(np.load(job["result"]))
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    names = [name for name in CASES if name != "cross artifact"]
    return _calibrate(names, tmp_path_factory.mktemp("spectrometer"))


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    # the oracle takes minutes over it
    return _calibrate(["cross artifact"], tmp_path_factory.mktemp("scattered"))["cross artifact"]


@pytest.mark.parametrize("name", ["nothing", "velocity", "flat", "fringes of the sky"])
def test_what_the_references_hold_exactly_is_undone_exactly(results, name):
    result = results[name]
    assert result.seen.sum() > 5e5
    # the faintest light is in single precision
    np.testing.assert_allclose(result.ratio, 1, rtol=3e-5)
    assert result.status("photom") == "COMPLETE"
    assert result.status("flat_field") == ("COMPLETE" if name == "flat" else "SKIPPED")
    assert result.status("fringe") == ("COMPLETE" if "fringes" in name else "SKIPPED")


def test_the_decline_is_undone_but_for_the_nodes_of_its_table(results):
    ratio = results["decline"].ratio
    assert np.abs(ratio - 1).max() < 2e-3
    # left uncorrected, channel 4 would be low by a third
    assert abs(ratio.mean() - 1) < 3e-4


def test_fringes_of_a_point_are_left_at_the_size_of_their_shift(results):
    result = results["fringes of a star"]
    bright = result.light.brightness[result.seen] > 30
    residual = result.ratio[bright]
    assert 0.01 < residual.std() < 0.1
    assert residual.mean() == pytest.approx(1, abs=5e-3)


def test_scattered_light_is_taken_away_as_well_as_its_kernel_is_fitted(scattered):
    assert scattered.status("straylight") == "COMPLETE"
    truth = scattered.light.brightness.astype(float)
    # scattered light, as bright as it would seem
    added = truth * scattered.light.scattered / np.maximum(scattered.light.rate - scattered.light.scattered, 1e-30)
    residual = scattered.arrays["data"] - truth
    faint = scattered.seen & (truth < 0.02 * truth.max()) & (truth > 0)
    assert np.median(added[faint]) > 0
    assert np.abs(residual[faint]).mean() < 0.2 * added[faint].mean()


@pytest.mark.parametrize("name", ["nothing", "velocity", "decline"])
def test_the_oracle_finds_every_pixel_where_the_light_came_from(results, name):
    result = results[name]
    exposure, attitude = result.exposure, result.exposure.true_attitude
    target = exposure.preset.target
    doppler = 1 + recession(attitude, target.ra, target.dec) / (LIGHT_SPEED * 1e3)
    ra, dec, wavelength = result.arrays["world"]
    points = iter(zip(_points(exposure.detector), ra, dec, wavelength, strict=True))
    for channel in DetectorSlices(exposure.detector, "SHORT").channels:
        for one in channel.slices:
            for _ in range(2):
                (x, y), found_ra, found_dec, found = next(points)
                place = channel.to_telescope(one.alpha(np.array(x), np.array(y)), one.beta)
                true_ra, true_dec = attitude.telescope_to_sky(*place)
                east = (found_ra - float(true_ra)) * np.cos(np.radians(target.dec)) * 3600
                assert np.hypot(east, (found_dec - float(true_dec)) * 3600) < 1e-4
                assert found == pytest.approx(float(one.wavelength(x, y)) / doppler, abs=0.005 * abs(one.step))
