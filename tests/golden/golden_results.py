"""How the golden files hold what a step gives: arrays and keywords by the name of the variant."""

import numpy as np

from snakewebb.steps import find_step


def run_step(name, exposure, references, **parameters):
    """Run a step, which must not be skipped."""
    status = find_step(name)(exposure, references, **parameters)
    assert status.state == "COMPLETE", status


def arrays_of(variant, exposure, names):
    """Arrays of an exposure by name; what is None is left out."""
    found = {name: getattr(exposure, name) for name in names}
    return {f"{variant}_{name}": array for name, array in found.items() if array is not None}


def keywords_of(variant, header, names):
    """Numbers of a header by keyword."""
    return {f"{variant}_{name}": np.float64(header[name]) for name in names}
