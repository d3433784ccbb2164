"""Calibration of James Webb Space Telescope data, from raw ramps to science products."""

import gc
import sys
from importlib.metadata import version

if hasattr(sys.modules.get("__main__"), "snakemake"):
    # a job of the workflow: what it imports stays, and looking for garbage there takes time; `snakewebb.job.job` resumes that
    gc.disable()

__version__ = version("snakewebb")
