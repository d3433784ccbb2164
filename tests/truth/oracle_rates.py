"""Run by the tests as a program: the oracle's stage 1 on raw files, each with its own CRDS context.

Argument: a JSON file with a list of {"uncal", "context", "steps", "result"}: raw file, context, parameters of steps,
and .npz to write.
"""

import json
import logging
import os
import sys
import warnings

import numpy as np


def main(jobs):
    """Calibrate each raw file and save what the tests compare."""
    from crds.core.utils import clear_function_caches
    from jwst.pipeline import Detector1Pipeline
    from stdatamodels.jwst import datamodels

    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    for job in jobs:
        os.environ["CRDS_CONTEXT"] = job["context"]
        clear_function_caches()
        folder = os.path.dirname(job["uncal"])
        rate = Detector1Pipeline.call(job["uncal"], steps=job["steps"], save_results=True, output_dir=folder)
        names = ("data", "err", "dq", "var_poisson", "var_rnoise")
        arrays = {name: np.array(getattr(rate, name)) for name in names}
        with datamodels.open(job["uncal"].replace("_uncal", "_rateints")) as integrations:
            arrays |= {"ints": np.array(integrations.data), "ints_dq": np.array(integrations.dq)}
        arrays["status"] = np.array(json.dumps(rate.meta.cal_step.instance))
        np.savez(job["result"], **arrays)


if __name__ == "__main__":
    with open(sys.argv[1]) as stream:
        main(json.load(stream))
