"""Run by the tests as a program: the oracle's spectroscopic stage 2 on rates, each with its own CRDS context.

Argument: a JSON file with a list of {"rate", "context", "points", "result"}: file, context, 0-based pixels whose place on
the sky is asked for, and .npz to write.
"""

import json
import logging
import os
import sys
import warnings

import numpy as np


def main(jobs):
    """Calibrate each file and save what the tests compare."""
    from crds.core.utils import clear_function_caches
    from jwst.pipeline import Spec2Pipeline

    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    off = {name: {"skip": True} for name in ("cube_build", "extract_1d")}
    for job in jobs:
        os.environ["CRDS_CONTEXT"] = job["context"]
        clear_function_caches()
        cal = Spec2Pipeline.call(job["rate"], steps=off)[0]
        x, y = np.array(job["points"], float).reshape(-1, 2).T
        world = np.array(cal.meta.wcs(x, y))
        status = np.array(json.dumps(cal.meta.cal_step.instance))
        np.savez(job["result"], data=cal.data, dq=cal.dq, world=world, status=status)


if __name__ == "__main__":
    with open(sys.argv[1]) as stream:
        main(json.load(stream))
