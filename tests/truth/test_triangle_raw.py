"""The triangle for modes that are simulated up to the raw data: what goes in, the oracle's stage 1 takes out.

As in test_triangle.py, each effect is switched on alone, with references that have no errors. The structure of the
bias, or of the pedestal, is always there, so that the digitisation of neighbouring pixels differs.
"""

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
from snakewebb.simulate import charge, particles
from snakewebb.simulate.crds_cache import environment
from snakewebb.simulate.raw_modes import raw_design, raw_programme
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, expose_raw, raw_references
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.simulate.uncal import file_name, uncal_units

SEED = 11
DO_NOT_USE, SATURATED, JUMP, PERSISTENCE, CHARGELOSS = 1, 2, 4, 32, 128


@dataclass
class Case:
    """What is simulated, and how the oracle takes it out.

    Attributes
    ----------
    mode : str
    effects : set of str
        Besides the structure of the bias.
    changes : dict
        Of the tiny preset.
    steps : dict
        Parameters of the oracle's steps.
    patches : tuple of (module, name, value)
    errors : ReferenceErrors or None
        None: the stated ones.
    """

    mode: str
    effects: set
    changes: dict = field(default_factory=dict)
    steps: dict = field(default_factory=dict)
    patches: tuple = ()
    errors: ReferenceErrors | None = field(default_factory=ReferenceErrors.zero)


MANY = {"ngroups": 20, "nints": 2}
BRIGHT = {"scene_options": (("background", 60.0), ("bright", 6e5))}
STARS = {"ngroups": 12, "scene_options": (("background", 40.0), ("bright", 2e6), ("density", 4e-3))}
CASES = {
    "emi": Case("miri_imaging", {"emi"}, MANY),
    "emi left alone": Case("miri_imaging", {"emi"}, MANY, {"emicorr": {"skip": True}}),
    "reset anomaly": Case("miri_imaging", {"reset_anomaly", "scene"}, MANY),
    "reset anomaly left alone": Case(
        "miri_imaging", {"reset_anomaly", "scene"}, MANY, {"reset": {"skip": True}, "rscd": {"skip": True}}
    ),
    "dark settling": Case("miri_imaging", {"dark_settling", "dark", "scene"}, MANY),
    "first frame": Case("miri_imaging", {"first_frame", "scene"}, MANY),
    "last frame": Case("miri_imaging", {"last_frame", "scene"}, MANY),
    "rscd": Case("miri_imaging", {"rscd", "scene"}, MANY | BRIGHT),
    "rscd left alone": Case("miri_imaging", {"rscd", "scene"}, MANY | BRIGHT, {"rscd": {"skip": True}}),
    "nonlinear pedestal": Case("miri_imaging", {"nonlinearity", "scene"}, MANY | BRIGHT),
    "showers": Case(
        "miri_imaging",
        {"showers", "read_noise"},
        {"subarray": "SUB256", "ngroups": 30},
        {},
        ((particles, "_SHOWERS_PER_SECOND", 5.0 / 256**2 / 9), (particles, "_SHOWER_PEAK", (400.0, 800.0))),
    ),
    "miri": Case("miri_imaging", DEFAULT_EFFECTS, {"ngroups": 30, "nints": 2}, errors=None),
    "charge migration": Case("niriss_imaging", {"charge_migration", "saturation", "scene"}, STARS),
    "charge migration left alone": Case(
        "niriss_imaging", {"charge_migration", "saturation", "scene"}, STARS, {"charge_migration": {"skip": True}}
    ),
    "ipc": Case("niriss_imaging", {"ipc", "scene"}, STARS),
    "ipc left alone": Case("niriss_imaging", {"ipc", "scene"}, STARS, {"ipc": {"skip": True}}),
    "persistence": Case(
        "niriss_imaging",
        {"persistence", "saturation", "scene"},
        {"ngroups": 12, "scene_options": (("background", 40.0), ("bright", 3e6), ("density", 3e-3))},
        {},
        ((charge, "TRAP_FILLING", 0.2), (charge, "TRAP_RELEASE", 2.0)),
    ),
    "snowballs": Case(
        "niriss_imaging",
        {"snowballs", "saturation", "read_noise", "scene"},
        {"subarray": "SUB256", "ngroups": 20, "scene_options": (("background", 40.0), ("bright", 100.0))},
        {},
        ((particles, "_SNOWBALLS_PER_SECOND", 12.0 / 256**2 / 14),),
    ),
    "niriss": Case("niriss_imaging", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, {"ngroups": 10}, errors=None),
    "nirspec offsets": Case("nirspec_fs", {"amplifier_offsets", "reset_noise"}),
    "nirspec": Case("nirspec_fs", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, errors=None),
    "fgs": Case("fgs_imaging", {"dark", "reset_noise", "scene"}),
    "interleaved": Case("nirspec_irs2", {"scene", "reset_noise", "dark"}),
    "interleaved noise": Case("nirspec_irs2", {"correlated_noise"}),
    "interleaved noise left alone": Case("nirspec_irs2", {"correlated_noise"}, {}, {"refpix": {"skip": True}}),
    "interleaved, second detector": Case("nirspec_irs2", DEFAULT_EFFECTS, {"detectors": ("NRS2",)}, errors=None),
    "spectrometer": Case("miri_mrs", DEFAULT_EFFECTS - {"emi"}, errors=None),
}
SHORT = ("emi", "emi left alone", "charge migration", "charge migration left alone", "nirspec offsets", "fgs")


@dataclass
class Result:
    """A simulated exposure and what the oracle made of it."""

    raw: object
    light: np.ndarray
    truth: object
    readout: object
    arrays: dict = field(default_factory=dict)

    @property
    def rate(self):
        """True rate, DN/s."""
        return self.light / self.truth.gain

    @property
    def good(self):
        """Light-sensitive pixels that may be used."""
        return ((self.truth.bad >> 31) == 0) & ((self.arrays["dq"] & DO_NOT_USE) == 0)

    @property
    def residual(self):
        """Measured minus true rate of the good pixels, DN/s."""
        return (self.arrays["data"] - self.rate)[self.good]

    @property
    def digital(self):
        """Standard deviation of a slope from rounding alone, DN/s."""
        n = self.readout.ngroups
        return np.sqrt(1 / 12 * 12 / (n**3 - n) / self.readout.nints) / self.readout.group_time

    def status(self, step):
        """What became of a step."""
        return json.loads(str(self.arrays["status"]))[step]


def _calibrate(names, folder):
    """Simulate the cases and let the oracle calibrate them in one process."""
    results, jobs, made = {}, [], {}
    for number, name in enumerate(names):
        case, context = CASES[name], f"jwst_{9001 + number}.pmap"
        effects = frozenset({"superbias"} | case.effects)
        programme = raw_programme(raw_design(case.mode, "tiny", **case.changes), seed=SEED)
        exposure = programme.exposures[0]
        with pytest.MonkeyPatch.context() as patch:
            for module, attribute, value in case.patches:
                patch.setattr(module, attribute, value)
            raw, light, truth = expose_raw(exposure, effects)
        results[name] = Result(raw, light, truth, exposure.readout)
        uncal = folder / name.replace(" ", "_") / file_name(exposure)
        checked_fits.write(uncal, uncal_units(exposure, raw))
        key = (case.mode, effects, str(case.changes), case.errors is None)
        if key not in made:
            made[key] = context
            raw_references(folder / "crds", programme, effects, case.errors, context=context)
        jobs.append(
            {
                "uncal": str(uncal),
                "context": made[key],
                "steps": case.steps,
                "result": str(uncal.parent / "result.npz"),
            }
        )
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("oracle_rates.py"), folder / "jobs.json"],
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
