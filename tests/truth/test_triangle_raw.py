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
from astropy.io import fits

pytest.importorskip("jwst")

from snakewebb.io import fits as checked_fits
from snakewebb.simulate import charge, particles
from snakewebb.simulate.crds_cache import environment
from snakewebb.simulate.raw_modes import raw_design, raw_programme
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, expose_raw, raw_references
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.simulate.truth import simulate
from snakewebb.simulate.uncal import file_name, uncal_units

SEED = 11
DO_NOT_USE, SATURATED, JUMP, PERSISTENCE = 1, 2, 4, 32


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
FAINTER = {"scene_options": (("background", 40.0), ("bright", 5e5), ("density", 4e-3))}
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
        (
            (particles, "_SHOWERS_PER_SECOND", 1.0 / 256**2 / 9),
            (particles, "_SHOWER_PEAK", (400.0, 800.0)),
            (particles, "_SHOWER_SIGMA", (10.0, 14.0)),
        ),
    ),
    "miri": Case("miri_imaging", DEFAULT_EFFECTS, {"ngroups": 30, "nints": 2}, errors=None),
    # the oracle's clocks know nothing of averages
    "miri, averaged": Case(
        "miri_imaging", DEFAULT_EFFECTS - {"emi"}, {"pattern": "FASTGRPAVG", "ngroups": 15}, errors=None
    ),
    "niriss, averaged": Case(
        "niriss_imaging",
        DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"},
        {"pattern": "NIS", "ngroups": 10},
        errors=None,
    ),
    "charge migration": Case("niriss_imaging", {"charge_migration", "saturation", "scene"}, STARS),
    "charge migration left alone": Case(
        "niriss_imaging", {"charge_migration", "saturation", "scene"}, STARS, {"charge_migration": {"skip": True}}
    ),
    "ipc": Case("niriss_imaging", {"ipc", "scene"}, STARS | FAINTER),
    "ipc left alone": Case("niriss_imaging", {"ipc", "scene"}, STARS | FAINTER, {"ipc": {"skip": True}}),
    "persistence": Case(
        "niriss_imaging",
        {"persistence", "saturation", "scene"},
        {"ngroups": 12, "scene_options": (("background", 40.0), ("bright", 3e7), ("density", 6e-3))},
        {},
        ((charge, "TRAP_FILLING", 0.2), (charge, "TRAP_RELEASE", 2.0)),
    ),
    "snowballs": Case(
        "niriss_imaging",
        {"snowballs", "saturation", "read_noise", "scene"},
        {"subarray": "SUB256", "ngroups": 20, "scene_options": (("background", 40.0), ("bright", 100.0))},
        {},
        ((particles, "_SNOWBALLS_PER_SECOND", 3.0 / 256**2 / 14 / 5),),
    ),
    "time series": Case("niriss_soss", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, errors=None),
    "guider": Case("fgs_imaging", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, errors=None),
    "niriss": Case(
        "niriss_imaging", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, {"ngroups": 10}, errors=None
    ),
    "nirspec offsets": Case("nirspec_fs", {"amplifier_offsets", "reset_noise"}),
    "nirspec": Case("nirspec_fs", DEFAULT_EFFECTS - {"one_over_f", "amplifier_offsets"}, errors=None),
    "fgs": Case("fgs_imaging", {"dark", "reset_noise", "scene"}),
    "interleaved": Case("nirspec_irs2", {"scene", "reset_noise", "dark"}),
    "interleaved noise": Case("nirspec_irs2", {"correlated_noise"}),
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


def check_digitised(result):
    """Nothing but the digitisation is left."""
    residual = result.residual
    assert abs(residual.mean()) < 4 * result.digital / np.sqrt(residual.size) + 0.1 * result.digital
    assert residual.std() < 1.8 * result.digital
    assert abs(residual).max() < 9 * result.digital


def check_pulls(result, *, bias=0.15):
    """Residuals are as wide as the errors."""
    good = result.good
    pull = (result.arrays["data"] - result.rate)[good] / result.arrays["err"][good]
    assert abs(np.median(pull)) < bias
    assert 1.4826 * np.median(abs(pull - np.median(pull))) == pytest.approx(1.03, abs=0.1)


def test_interference(short):
    alone, removed = short["emi left alone"], short["emi"]
    assert alone.status("emicorr") == "SKIPPED"
    assert removed.status("emicorr") == "COMPLETE"
    assert abs(alone.residual.mean()) > 5 * alone.digital
    assert abs(removed.residual.mean()) < 0.05 * removed.digital
    assert removed.residual.std() < 1.6 * removed.digital


def test_migrating_charge(short):
    removed, alone = short["charge migration"], short["charge migration left alone"]
    saturated = (removed.arrays["dq"] & SATURATED) != 0
    bright = removed.good & (removed.rate > 2e4) & ~saturated
    wrong = alone.arrays["data"][bright] / alone.rate[bright] - 1
    right = removed.arrays["data"][bright] / removed.rate[bright] - 1
    assert bright.sum() >= 5
    assert abs(wrong).max() > 0.01
    assert abs(right).max() < 1e-3
    rest = removed.good & ~saturated
    left = abs(removed.arrays["data"] - removed.rate)[rest]
    assert np.all(left < 6 * removed.digital + 1e-3 * removed.rate[rest])


@pytest.mark.parametrize("name", ["nirspec offsets", "fgs"])
def test_near_infrared_detectors(short, name):
    check_digitised(short[name])


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["reset anomaly", "dark settling", "first frame", "last frame", "rscd", "nonlinear pedestal"]
)
def test_settling_of_mid_infrared_detectors(matrix, name):
    check_digitised(matrix[name])


@pytest.mark.long
@pytest.mark.parametrize(("name", "least"), [("reset anomaly", 100), ("rscd", 30)])
def test_settling_matters(matrix, name, least):
    result = matrix[f"{name} left alone"]
    assert abs(result.residual).max() > least * result.digital


@pytest.mark.long
def test_ends_of_integrations_are_disturbed(matrix):
    first = matrix["first frame"].raw.data[:, 0].astype(float) - matrix["last frame"].raw.data[:, 0]
    last = matrix["last frame"].raw.data[:, -1].astype(float) - matrix["first frame"].raw.data[:, -1]
    light = (matrix["first frame"].truth.bad >> 31) == 0
    assert np.median(first[:, light]) == pytest.approx(-25, abs=1)
    assert np.median(last[:, light].reshape(2, -1)) == pytest.approx(-10, abs=21)
    assert np.ptp(last[:, light]) > 35


@pytest.mark.long
def test_showers(matrix):
    result = matrix["showers"]
    jump = (result.arrays["ints_dq"] & JUMP) != 0
    events = result.raw.showers
    found = []
    for event in events[(events["frame"] > 3) & (events["frame"] < 26)]:
        x, y = round(event["x"]), round(event["y"])
        if 12 < x < 244 and 12 < y < 244:
            found.append(jump[event["integration"], y - 5 : y + 6, x - 5 : x + 6].mean())
    assert len(found) >= 1
    assert min(found) > 0.95
    assert jump.mean() < 0.5
    untouched = result.good & ~jump.any(axis=0)
    pull = (result.arrays["data"] / result.arrays["err"])[untouched]
    assert abs(np.median(pull)) < 0.3


@pytest.mark.long
def test_coupling_of_pixels(matrix):
    removed, alone = matrix["ipc"], matrix["ipc left alone"]
    assert removed.status("ipc") == "COMPLETE"
    inside = removed.good & ((removed.arrays["dq"] & SATURATED) == 0)
    inside[:6] = inside[-3:] = inside[:, :6] = inside[:, -3:] = False
    wrong = abs(alone.arrays["data"] - alone.rate)[inside]
    right = abs(removed.arrays["data"] - removed.rate)[inside]
    assert wrong.max() > 100
    # what a kernel of five by five pixels cannot undo
    assert right.max() < 0.02 * wrong.max()


@pytest.mark.long
def test_persistence(matrix):
    result = matrix["persistence"]
    assert result.status("persistence") == "COMPLETE"
    held = result.raw.traps > 1
    flagged = (result.arrays["dq"] & (PERSISTENCE | DO_NOT_USE)) != 0
    assert held.sum() >= 10
    assert np.all(flagged[held])
    untouched = result.good & ~flagged
    assert abs((result.arrays["data"] - result.rate)[untouched]).max() < 6 * result.digital


@pytest.mark.long
def test_snowballs(matrix):
    result = matrix["snowballs"]
    events = result.raw.snowballs
    jump = (result.arrays["dq"] & (JUMP | SATURATED | DO_NOT_USE)) != 0
    rows, columns = np.indices(jump.shape)
    light = (result.truth.bad >> 31) == 0
    some = 0
    for event in events[(events["frame"] > 1) & (events["frame"] < 18)]:
        near = np.hypot(columns - event["x"], rows - event["y"]) < 1.5 * event["radius"]
        assert jump[near & light].mean() > 0.95
        some += 1
    assert some >= 1
    untouched = result.good & ~jump
    pull = (result.arrays["data"] - result.rate)[untouched] / np.sqrt(result.arrays["var_rnoise"][untouched])
    assert abs(np.median(pull)) < 0.2


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "niriss",
        "niriss, averaged",
        "miri, averaged",
        "time series",
        "nirspec",
        "guider",
        "miri",
        "interleaved, second detector",
        "spectrometer",
    ],
)
def test_all_effects_together(matrix, name):
    result = matrix[name]
    check_pulls(result)
    bad = 0b111 << 10  # DEAD, HOT, WARM
    np.testing.assert_array_equal(result.arrays["dq"] & bad, result.truth.bad & bad)


@pytest.mark.long
def test_interleaved_reference_pixels_are_stripped(matrix):
    result = matrix["interleaved"]
    assert result.raw.data.shape[-2:] == (3200, 2048)
    assert result.arrays["data"].shape == (2048, 2048)
    assert abs(result.residual.mean()) < 0.1 * result.digital
    assert result.residual.std() < 1.8 * result.digital


@pytest.mark.long
def test_noise_of_the_reference_output(matrix):
    from snakewebb.simulate.irs2 import pixel_columns

    result = matrix["interleaved noise"]
    # slopes of the same ramps without correction, by least squares
    ramps = result.raw.data[0, :, pixel_columns()].astype(float)
    ngroups = result.readout.ngroups
    time = (np.arange(ngroups) - (ngroups - 1) / 2) * result.readout.group_time
    axis = ramps.shape.index(ngroups)
    slopes = np.tensordot(time, np.moveaxis(ramps, axis, 0), 1) / np.sum(time**2)
    assert slopes.std() > 3 * result.residual.std()
    assert abs(result.residual.mean()) < 0.1 * slopes.std()


GUIDE = """
import glob, sys
import numpy as np
from jwst.pipeline import GuiderPipeline
for path in sorted(glob.glob(f"{sys.argv[1]}/uncal/*.fits")):
    rate = GuiderPipeline.call(path, steps={"flat_field": {"skip": True}})
    assert rate.meta.cal_step.guider_cds == "COMPLETE"
    np.save(path.replace("_uncal.fits", ".npy"), rate.data)
"""


@pytest.mark.long
def test_guiding(tmp_path):
    paths = simulate("guider", tmp_path, preset="tiny", effects={"scene", "superbias"}, errors=ReferenceErrors.zero())
    done = subprocess.run(
        [sys.executable, "-c", GUIDE, tmp_path],
        env=os.environ | environment(tmp_path / "crds"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for path in paths:
        rates = np.load(str(path).replace("_uncal.fits", ".npy"))
        true = fits.getdata(str(path).replace("/uncal/", "/truth/").replace("_uncal", "_truth"), "RATE")
        # the rate of fine guiding is the mean of the last four groups minus that of the first four, over one group time
        factor = 4 if "gs-fg" in path.name else 1
        seconds = fits.getval(path, "TGROUP")
        np.testing.assert_allclose(rates, np.broadcast_to(factor * true, rates.shape), rtol=1e-5, atol=1.01 / seconds)
