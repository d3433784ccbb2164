"""The cube of a single exposure and its spectrum: the steps for products, with parameters of their own."""

import dataclasses
import functools

from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.extract_1d import extract_1d


def _for_exposures(function, name):
    """A step under another name, so that its parameters for products do not change what is made of single exposures."""

    @functools.wraps(function)
    def of_exposure(*arguments, **parameters):
        return function(*arguments, **parameters)

    of_exposure.__name__ = name
    of_exposure.contract = dataclasses.replace(function.contract, name=name)
    return of_exposure


cube_build_exposure = _for_exposures(cube_build, "cube_build_exposure")
extract_1d_exposure = _for_exposures(extract_1d, "extract_1d_exposure")
