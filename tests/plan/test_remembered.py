"""The last plan, for commands outside of Snakemake."""

from raw_exposures import REPOSITORY, raw_name, write_raw
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.remembered import remember_plan, remembered_plan


def works(plan):
    return {path: job.work for path, job in planned_jobs(plan).items()}


def test_the_last_plan_is_made_again_with_the_configuration_of_now(programme, plan_of, no_references):
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI"), "NIS_AMI")
    (root,) = plan_of("niriss_ami").exposures
    assert remembered_plan() is None
    command_line = {"mode": "niriss_ami", "steps": {"jump": {"rejection_threshold": "5"}}}
    config = REPOSITORY / "config"
    remember_plan(
        {
            "mode_file": config / "modes" / "niriss_ami.yaml",
            "chains_file": config / "chains.yaml",
            "builds_file": config / "builds.yaml",
            "config_file": "config.yaml",
            "command_line": command_line,
        }
    )
    direct = plan_of("niriss_ami", steps=command_line["steps"])
    assert works(remembered_plan()) == works(direct)
    programme.configure("steps: {ramp_fit: {algorithm: LIKELY}}\n")
    (job,) = planned_jobs(remembered_plan()).values()
    parameters = {entry["step"]: entry.get("parameters") for entry in job.work["chain"]}
    assert (parameters["ramp_fit"]["algorithm"], parameters["jump"]["rejection_threshold"]) == ("LIKELY", 5.0)
    assert job.origins == {"jump": {"rejection_threshold": "command line"}, "ramp_fit": {"algorithm": "config.yaml"}}
    assert job.name == root
