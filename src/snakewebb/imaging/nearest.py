"""scipy's k-d tree without the rest of `scipy.spatial`.

That brings hulls, rotations and the linear algebra that these need: a sixth of a second for a job that looks for nearest neighbours only.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

import scipy

_COMPILED = "scipy.spatial._ckdtree"


def _module():
    """The compiled module, under its own name: `scipy.spatial` takes the same one if it is imported later."""
    if _COMPILED not in sys.modules:
        spec = PathFinder.find_spec(_COMPILED, [os.path.join(path, "spatial") for path in scipy.__path__])
        if spec is None:  # another release of scipy
            return importlib.import_module("scipy.spatial")
        sys.modules[_COMPILED] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_COMPILED])
    return sys.modules[_COMPILED]


cKDTree = _module().cKDTree  # noqa: N816 - as it is called there
