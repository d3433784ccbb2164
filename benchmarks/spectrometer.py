"""Benchmarks of MIRI's spectrometer: its programme, the jobs of its rules, and what the oracle is asked for.

``python -m benchmarks.spectrometer FOLDER`` simulates the programme: the three bands of channels 1 and 2 at four dither positions.
"""

import json
import sys
from pathlib import Path

from benchmarks.jobs import plain_job
from benchmarks.oracle import OracleTask

PROGRAMME = {"detectors": ("MIRIFUSHORT",), "bands": ("SHORT", "MEDIUM", "LONG"), "dithers": 4}
"""Design of the programme; its ramps are as short as they may be, since its stages 2 and 3 are what is measured."""


def simulate(folder):
    """Simulate the programme."""
    from snakewebb.simulate.truth import SIMULATED_CONFIG, simulate

    simulate("miri_mrs", folder, preset="tiny", progress=print, **PROGRAMME)
    (folder / "config.yaml").write_text(SIMULATED_CONFIG)


def jobs_of_spectrometer(plan, stage, root, product, scratch):
    """Jobs of a stage, each reading what the one before made.

    Parameters
    ----------
    plan : Plan
    stage : {"spec2", "cube", "spec3"}
        Stage 2 of an exposure; the cubes of a product, of its exposures with outliers flagged; stage 3 of a product.
    root, product : str
    scratch : Path
        Folder of the outputs.
    """
    if stage == "spec2":
        return _of_exposure(plan, root, scratch)
    members = plan.associations[product].members
    crf = f"stage3/{product}_crf"
    jobs = []
    if stage == "spec3":
        inputs = {key: [f"stage2/{name}_cal.{kind}" for name in members] for key, kind in _KINDS.items()}
        jobs.append(_job(plan, "outlier_detection", scratch, f"{product}_crf", inputs, {"crf": ""}, product=product))
        crf = jobs[0]["output"]["crf"]
    for cube in plan.cubes:
        inputs = {"cals": [crf], "cal_records": [f"{crf}.json"]}
        jobs.append(_job(plan, "cube_build", scratch, f"{cube}_s3d", inputs, {"s3d": ".fits"}, product=cube))
        if stage == "spec3":
            jobs.append(_spectrum(plan, "extract_1d", scratch, cube, product=cube))
    return jobs


_KINDS = {"cals": "fits", "cal_records": "json"}


def _of_exposure(plan, root, scratch):
    inputs = {"rate": f"stage1/{root}_rate.fits", "rate_record": [f"stage1/{root}_rate.json"], "member_records": []}
    jobs = [_job(plan, "spec2", scratch, f"{root}_cal", inputs, {"result": ".fits"}, root=root)]
    jobs[0]["params"]["members"] = {}
    inputs = {key: [str(scratch / f"{root}_cal.{kind}")] for key, kind in _KINDS.items()}
    jobs.append(_job(plan, "cube_build_exposure", scratch, f"{root}_s3d", inputs, {"s3d": ".fits"}, root=root))
    jobs.append(_spectrum(plan, "extract_1d_exposure", scratch, root, root=root))
    return jobs


def _spectrum(plan, rule, scratch, name, **subject):
    inputs = {"s3d": str(scratch / f"{name}_s3d.fits"), "s3d_record": [str(scratch / f"{name}_s3d.json")]}
    return _job(plan, rule, scratch, f"{name}_x1d", inputs, {"x1d": ".fits"}, **subject)


_SCRIPTS = {
    "spec2": "slopes",
    "cube_build_exposure": "cube_build",
    "extract_1d_exposure": "extract_1d",
    "outlier_detection": "ifu_outliers",
}


def _job(plan, rule, scratch, stem, inputs, outputs, *, root=None, product=None):
    """A job of a rule: of an exposure, a product, or a cube; its outputs by their endings."""
    work = plan.exposure_work(rule, root) if root else plan.product_work(rule, product)
    return plain_job(
        rule,
        script=_SCRIPTS.get(rule),
        inputs=inputs,
        outputs={key: str(scratch / f"{stem}{end}") for key, end in (outputs | {"record": ".json"}).items()},
        params={"work": work, "circumstances": plan.circumstances(rule, root)},
        wildcards={"exposure": root} if root else {"product": product},
        threads=1,
    )


def oracle_of_spectrometer(plan, stage, root, product, folder):
    """What the oracle runs.

    Parameters
    ----------
    plan, stage, root, product
        As in `jobs_of_spectrometer`.
    folder : Path
        Where the association is written.

    Returns
    -------
    OracleTask
    """
    if stage == "spec2":
        pairs = {f"{root}_{suffix}.fits": f"{root}_{suffix}.fits" for suffix in ("cal", "s3d", "x1d")}
        source = Path(f"stage1/{root}_rate.fits").resolve()
        return OracleTask("pipeline.Spec2Pipeline", "calwebb_spec2", source, pairs)
    association = plan.associations[product]
    made, suffix = ("stage2", "cal") if stage == "spec3" else (f"stage3/{product}_crf", f"{association.candidate}_crf")
    tree = association.as_json(suffix=suffix)
    for member in tree["products"][0]["members"]:
        member["expname"] = str(Path(made, member["expname"]).resolve())
    source = folder.resolve() / "asn.json"
    source.write_text(json.dumps(tree))
    suffixes = ("s3d", "x1d") if stage == "spec3" else ("s3d",)
    pairs = {f"{cube}_{suffix}.fits": f"{cube}_{suffix}.fits" for cube in plan.cubes for suffix in suffixes}
    if stage == "cube":
        return OracleTask("cube_build.CubeBuildStep", "cube_build", source, pairs)
    return OracleTask("pipeline.Spec3Pipeline", "calwebb_spec3", source, pairs)


if __name__ == "__main__":
    simulate(Path(sys.argv[1]))
