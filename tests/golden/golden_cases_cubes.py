"""Golden results of the steps that make cubes and extract spectra from them."""

import sys
from pathlib import Path

from golden_input import noise

sys.path.insert(0, str(Path(__file__).parents[1]))  # for make.py, too

from slice_geometry import STEP, WAVE, synthetic_exposure, synthetic_references
from snakewebb.cubes.cube import CubeSet
from snakewebb.steps import find_step

NROWS = 14
LIMITS = {"wavemin": WAVE + 3 * STEP, "wavemax": WAVE + 9 * STEP, "nspax_x": 25, "nspax_y": 25}


def _cube(references, **parameters):
    exposures = [
        synthetic_exposure(
            10.0 + noise((NROWS, 1032), number),
            name=f"d{number}_cal.fits",
            centre=(80.0 + 4e-5 * number, -30.0 + 3e-5 * number),
        )
        for number in range(2)
    ]
    cubes = CubeSet(exposures)
    status = find_step("cube_build")(cubes, references, **LIMITS | parameters)
    assert status.state == "COMPLETE", status
    return cubes.cubes[0]


def cube_build(folder):
    references = synthetic_references(Path(folder) / "cubepar.fits")
    variants = {"drizzle": {}, "emsm": {"weighting": "emsm"}, "msm": {"weighting": "msm", "coord_system": "ifualign"}}
    results = {}
    for variant, parameters in variants.items():
        cube = _cube(references, **parameters)
        results |= {f"{variant}_{name}": getattr(cube, name) for name in ("data", "err", "dq", "weight")}
    return results


CASES = {function.__name__: function for function in (cube_build,)}
