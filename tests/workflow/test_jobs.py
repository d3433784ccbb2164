"""The jobs of the benchmarks are those of the workflow."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks.jobs import load_plan, run_once
from benchmarks.run import jobs_of_stage


def images(folder):
    """Checksums of the images that the records of a folder list, by the ending of the file and the extension."""
    found = set()
    for path in folder.rglob("*.json"):
        for name, file in json.loads(path.read_text()).get("files", {}).items():
            suffix = name.removesuffix(".fits").split("_")[-1]
            found |= {
                (suffix, extension, file["datasum"][extension])
                for extension in ("SCI", "ERR")
                if extension in file["datasum"]
            }
    return found


@pytest.mark.parametrize(
    ("stage", "suffixes"), [(1, {"rate", "rateints"}), (2, {"cal", "i2d"}), (3, {"crf", "i2d", "segm"})]
)
def test_benchmarks_make_the_products_of_the_workflow(programme, monkeypatch, stage, suffixes):
    monkeypatch.chdir(programme.folder)
    work = Path(__file__).parents[2] / "benchmarks" / "work"
    work.mkdir(exist_ok=True)
    plan = load_plan("nircam_imaging")
    root, product = next(iter(plan.exposures)), next(iter(plan.associations))
    run_once(jobs_of_stage(plan, stage, root, product, Path("bench")), threads=2)
    made = images(Path("bench"))
    assert {suffix for suffix, _, _ in made} == suffixes
    assert made <= images(Path(f"stage{stage}"))
