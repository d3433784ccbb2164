"""One job of the workflow in a process of its own, as Snakemake runs it: ``python job.py JOB.json [REPEATS]``.

The script of the rule is run with an object that has what Snakemake gives it. With REPEATS the script's work is repeated in the
process, and the seconds of each are printed: the first includes loading of compiled kernels, the later ones are warm.
"""

import json
import runpy
import sys
import time
from types import SimpleNamespace

# what the preamble of every script imports
from snakemake.iocontainers import Snakemake  # noqa: F401
from snakemake.logging import logger  # noqa: F401


class _Files(list):
    """Files of a rule, by position and by name."""

    def __init__(self, files):
        super().__init__(files.values())
        self.__dict__.update(files)


def main(job_file, repeats=1):
    """Run the job of a file."""
    global snakemake  # there before anything else is imported, as in a script
    with open(job_file) as stream:
        job = json.load(stream)
    snakemake = SimpleNamespace(
        input=_Files(job["input"]),
        output=_Files(job["output"]),
        params=SimpleNamespace(**job["params"]),
        wildcards=SimpleNamespace(**job["wildcards"]),
        log=[job["log"]],
        threads=job["threads"],
    )
    for _ in range(repeats):
        started = time.perf_counter()
        runpy.run_path(job["script"], init_globals={"snakemake": snakemake})
        print(f"inside {time.perf_counter() - started:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
