"""What the benchmarks say of differences, and which run they compare."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # the repository, for its benchmarks

from benchmarks.compare import compare_runs
from benchmarks.jobs import compatible, linked


def found(difference, dq):
    return {"compared_fraction": 0.9, "largest_difference_in_err": difference, "dq_differing_fraction": dq}


def test_a_row_holds_the_difference_of_the_compatible_run_and_of_the_default():
    row = compare_runs(compatible=[found(1e-5, 0.0), found(3e-5, 0.1)], default=[found(2.0, 0.2), found(1.0, 0.3)])
    assert row == found(3e-5, 0.1) | {
        "default_largest_difference_in_err": 2.0,
        "default_dq_differing_fraction": 0.2,
    }


@pytest.mark.parametrize("order", [1, -1])
def test_a_product_that_cannot_be_compared_is_the_worst(order):
    products = [found(1.0, 0.0), found(float("nan"), 1.0)][::order]
    assert compare_runs(compatible=products, default=products)["dq_differing_fraction"] == 1.0


def test_every_step_with_the_parameter_is_compatible_and_keeps_what_the_case_asks():
    steps = compatible({"jump": {"find_showers": True}, "dark_current": {"average_dark_current": 1.0}})
    assert steps["jump"] == {"find_showers": True, "compatibility": "jwst"}
    assert steps["dark_current"] == {"average_dark_current": 1.0}
    assert {"saturation", "linearity", "refpix", "ramp_fit", "tweakreg", "skymatch"} <= steps.keys()
    assert all(steps[name]["compatibility"] == "jwst" for name in steps.keys() - {"dark_current"})


def test_linked_jobs_read_what_earlier_ones_write():
    jobs = [
        {"input": {"cals": ["a_cal", "b_cal"]}, "output": {"sources": "bench/a_sources"}},
        {"input": {"cals": ["a_cal", "b_cal"]}, "output": {"sources": "bench/b_sources"}},
        {"input": {"cals": ["a_cal", "b_cal"], "sources": ["a", "b"]}, "output": {"crf": "bench/crf"}},
        {"input": {"crf": "stage3/crf"}, "output": {"i2d": "bench/i2d"}},
    ]
    first, _, third, last = linked(jobs)
    assert first == jobs[0]
    assert third["input"] == {"cals": ["a_cal", "b_cal"], "sources": ["bench/a_sources", "bench/b_sources"]}
    assert last["input"] == {"crf": "bench/crf"}


def test_every_benchmark_can_be_loaded():
    folder = Path(__file__).parents[1] / "benchmarks"
    code = "\n".join(f"import benchmarks.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "job")
    result = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
