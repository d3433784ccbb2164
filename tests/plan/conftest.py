"""Small input files with the keywords that planning reads."""

import numpy as np
import pytest
from astropy.io import fits

from small_programmes import cache, no_references, plan_of, programme
from two_filters import filters

__all__ = ["cache", "filters", "make_exposure", "no_references", "plan_of", "programme"]

HEADER = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "FILTER": "F444W",
    "PUPIL": "CLEAR",
    "SUBARRAY": "FULL",
    "EXP_TYPE": "NRC_IMAGE",
    "READPATT": "RAPID",
    "PROGRAM": "01234",
    "OBSERVTN": "001",
    "VISIT": "001",
    "TARGPROP": "FIELD-1",
    "DATE-OBS": "2026-01-02",
    "TIME-OBS": "03:04:05.000",
    "DATE": "2026-02-03T04:05:06",
}


@pytest.fixture
def make_exposure():
    """Write an exposure file; keywords of None are left out."""

    def make(path, **keywords):
        primary = fits.PrimaryHDU()
        for key, value in {**HEADER, **keywords}.items():
            if value is not None:
                primary.header[key] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        sci = fits.ImageHDU(np.zeros((1, 2, 4, 4), np.uint16), name="SCI")
        fits.HDUList([primary, sci]).writeto(path, overwrite=True)
        return path

    return make
