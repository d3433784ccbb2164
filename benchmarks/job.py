"""One job of the workflow, or several, in processes as Snakemake runs them.

``python job.py JOB.json [REPEATS]`` runs the script of a job with an object that has what Snakemake gives it, REPEATS times in this
process, and prints the seconds of each: the first includes loading of compiled kernels, the later ones are warm.
``python job.py --whole JOB.json ...`` runs jobs one after the other as the workflow does, each a fork of a server that has imported
what jobs need.
"""

import json
import pickle
import runpy
import sys
import time
from types import SimpleNamespace

# what the preamble of every script imports
from snakemake.iocontainers import Namedlist, Snakemake  # noqa: F401
from snakemake.logging import logger  # noqa: F401


def read_job(path):
    """The ``snakemake`` object of the job of a file, and its script."""
    with open(path) as stream:
        job = json.load(stream)
    given = SimpleNamespace(log=[job["log"]], threads=job["threads"], rule=job["rule"])
    for key in ("input", "output", "params", "wildcards"):
        setattr(given, key, Namedlist(fromdict=job[key]))
    return given, job["script"]


def repeat(path, times):
    """Run a job in this process, so many times."""
    global snakemake  # there before anything else is imported, as in a script
    snakemake, script = read_job(path)
    for _ in range(times):
        started = time.perf_counter()
        runpy.run_path(script, init_globals={"snakemake": snakemake})
        print(f"inside {time.perf_counter() - started:.4f}")


def run_whole(paths):
    """Run jobs one after the other through a server of their own."""
    from snakewebb.job_server import JobServer

    server = JobServer()
    for path in paths:
        given, script = read_job(path)
        code = server.run(script, pickle.dumps(given), environment={})
        if code:
            server.close()
            sys.exit(code)
    server.close()


if __name__ == "__main__":
    if sys.argv[1] == "--whole":
        run_whole(sys.argv[2:])
    else:
        repeat(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
