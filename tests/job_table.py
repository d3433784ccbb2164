"""The jobs that Snakemake plans, written to a file: ``python -P job_table.py TABLE <arguments of snakemake>``."""

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

    table, execute = Path(sys.argv.pop(1)), Workflow.execute

    def execute_and_write(self, *arguments, **keywords):
        success = execute(self, *arguments, **keywords)
        jobs = [described(self.dag, job) for job in self.dag.jobs]
        table.write_text(
            json.dumps(
                sorted(jobs, key=lambda job: (job["rule"], sorted(job["wildcards"].items()))), indent=1, sort_keys=True
            )
        )
        return success

    Workflow.execute = execute_and_write
    cli.main()


if __name__ == "__main__":
    main()
