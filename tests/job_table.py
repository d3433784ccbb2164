"""The jobs that Snakemake plans, written to a file: ``python -P job_table.py TABLE <arguments of snakemake>``.

The file also tells how many functions were called until all was planned, and whether the quicker functions are in place.
"""

import cProfile
import json
import sys
from pathlib import Path


def described(dag, job):
    """Everything that a job is known by."""

    def files(listed):
        return [(str(file), sorted(file.flags)) for file in listed]

    def named(listed):
        return {name: repr(value) for name, value in listed.items()}

    return {
        "rule": job.rule.name,
        "wildcards": job.wildcards_dict,
        "input": files(job.input),
        "input_names": named(job.input),
        "output": files(job.output),
        "output_names": named(job.output),
        "log": files(job.log),
        "benchmark": str(job.benchmark),
        "params": named(job.params),
        "compared": sorted(map(repr, job.non_derived_params)),
        "resources": {name: str(value) for name, value in job.resources.items() if name != "tmpdir"},
        "needed_by": sorted(f"{other.rule.name} {other.wildcards_dict}" for other in dag.depending[job]),
        "made_from": sorted(
            f"{other.rule.name} {sorted(map(str, found))}" for other, found in dag.dependencies[job].items()
        ),
        "reason": sorted(str(dag.reason(job)).replace(",", " ").replace(";", " ").split()),
        "runs": dag.needrun(job),
    }


def main():
    from snakemake import cli
    from snakemake.workflow import Workflow

    from snakewebb.quick_planning import plan_quickly

    table, execute = Path(sys.argv.pop(1)), Workflow.execute

    profile = cProfile.Profile()

    def execute_and_write(self, *arguments, **keywords):
        success = execute(self, *arguments, **keywords)
        profile.disable()
        calls = sum(entry.callcount for entry in profile.getstats())
        jobs = sorted((described(self.dag, job) for job in self.dag.jobs), key=lambda job: str(job["output"]))
        content = {"calls": calls, "quick": plan_quickly(), "jobs": jobs}
        table.write_text(json.dumps(content, indent=1, sort_keys=True))
        return success

    Workflow.execute = execute_and_write
    profile.enable()
    cli.main()


if __name__ == "__main__":
    main()
