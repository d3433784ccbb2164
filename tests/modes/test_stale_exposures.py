"""One parameter of every step in every mode, with real dry runs: each is changed for an exposure of its own."""

import re

import pytest

from raw_exposures import REPOSITORY, raw_name, write_raw
from snakewebb.plan.modes import MODES, read_mode

# a change of each step of stage 1; steps without parameters are switched off
CHANGES = {
    "group_scale": "skip: true",
    "dq_init": "skip: true",
    "emicorr": "use_n_cycles: 4",
    "saturation": "n_pix_grow_sat: 2",
    "ipc": "skip: true",
    "superbias": "skip: true",
    "firstframe": "bright_use_group1: false",
    "lastframe": "skip: true",
    "reset": "skip: true",
    "refpix": "odd_even_rows: false",
    "linearity": "compatibility: jwst",
    "rscd": "skip: true",
    "dark_current": "average_dark_current: 0.5",
    "charge_migration": "signal_threshold: 20000",
    "jump": "rejection_threshold: 5",
    "picture_frame": "n_sigma: 3",
    "clean_flicker_noise": "n_sigma: 3",
    "persistence": "persistence_dnu: true",
    "ramp_fit": "suppress_one_group: false",
    "gain_scale": "skip: true",
    "guider_cds": "skip: true",
    "flat_field": "inverse: true",
}
ON = """\
steps:
  emicorr: {skip: false}
  firstframe: {skip: false}
  charge_migration: {skip: false}
  picture_frame: {skip: false}
  clean_flicker_noise: {skip: false}
  persistence: {skip: false, persistence_time: 100}
"""
DARK = "group_scale dq_init saturation ipc superbias refpix linearity"
MIRI_DARK = "group_scale dq_init emicorr saturation ipc firstframe lastframe reset linearity rscd"
STEPS = {
    "nir_dark": DARK.split(),
    "miri_dark": MIRI_DARK.split(),
    "guider": ["dq_init", "guider_cds", "flat_field"],
    "near infrared": [
        *DARK.split(),
        *[
            "dark_current",
            "charge_migration",
            "jump",
            "picture_frame",
            "clean_flicker_noise",
            "persistence",
            "ramp_fit",
            "gain_scale",
        ],
    ],
    "miri": [
        *MIRI_DARK.split(),
        *[
            "dark_current",
            "refpix",
            "charge_migration",
            "jump",
            "picture_frame",
            "clean_flicker_noise",
            "persistence",
            "ramp_fit",
        ],
        "gain_scale",
    ],
}
RULES = {"nir_dark": ("dark", ["dark"]), "miri_dark": ("dark", ["dark"]), "guider": ("guider_rates", ["cal"])}
MESSAGES = {
    "detector1": "ramps to slopes",
    "dark": "corrected dark ramps",
    "guider_rates": "count rates of the guider",
}
ALWAYS = ("miri_lrs_slit", "niriss_soss", "miri_dark", "nir_dark", "guider")


def steps_of(mode):
    return STEPS.get(mode) or STEPS["miri" if mode.startswith("miri") else "near infrared"]


@pytest.mark.parametrize(
    "mode",
    [
        name if name in ALWAYS else pytest.param(name, marks=pytest.mark.long)
        for name in MODES
        if not name.endswith("_imaging") and name != "miri_mrs"  # more than stage 1
    ],
)
def test_a_change_of_each_step_makes_stale_the_exposures_that_it_is_for(programme, plan_of, mode):
    rule, suffixes = RULES.get(mode, ("detector1", ["rate", "rateints"]))
    taken = read_mode(REPOSITORY / f"config/modes/{mode}.yaml", mode, REPOSITORY / "config/chains.yaml")
    kind = taken.exp_types[-1]
    steps = steps_of(mode)
    roots = []
    for number in range(1, len(steps) + 2):
        name = raw_name(kind, number)
        # days apart: no persistence from one to the next
        times = {"EXPSTART": 60000.0 + number, "EXPEND": 60000.0001 + number}
        write_raw(programme.folder / "uncal" / name, kind, TSOVISIT=taken.tso is True, **times)
        roots.append(name.removesuffix("_uncal.fits"))
    programme.configure(ON)
    plan = plan_of(mode)
    assert sorted(plan.exposures) == sorted(roots)
    pretend_made(programme.folder, plan, suffixes)
    programme.snakemake(mode, "--touch", "--forceall")
    changes = [
        f"  - {{select: {{exposure: {root}}}, steps: {{{step}: {{{CHANGES[step]}}}}}}}\n"
        for root, step in zip(roots, steps, strict=False)
    ]
    programme.configure(f"{ON}overrides:\n{''.join(changes)}")
    result = programme.snakemake(mode, "--dry-run")
    text = result.stdout + result.stderr
    assert sorted(re.findall(rf": {MESSAGES[rule]}: (\S+)$", text, re.MULTILINE)) == sorted(roots[:-1])
    counts = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", text, re.MULTILINE)}
    # without a reference file the set of files is another one, and gets a token of its own
    counts.pop("references", None)
    counts.pop("total")
    assert counts == {rule: len(steps), "report_exposures": 1, mode: 1}


def pretend_made(folder, plan, suffixes):
    """Write files under the names of everything that the plan would make, for Snakemake to note as made."""
    for name in plan.reference_sets:
        _write(folder / f"references/{name}.json")
    for root in plan.exposures:
        for suffix in suffixes:
            _write(folder / f"stage1/{root}_{suffix}.fits")
        _write(folder / f"stage1/{root}_{suffixes[0]}.json")
    _write(folder / f"report/{plan.mode.name}.html")
    (folder / f"report/{plan.mode.name}").mkdir()


def _write(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("made\n")
