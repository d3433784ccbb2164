"""Pointing keywords of instruments whose optics are not simulated: a reference point, an angle, and a scale."""

from types import SimpleNamespace

import numpy as np

from snakewebb.simulate.geometry import DetectorGeometry
from snakewebb.simulate.instruments import chip, corners

# V2_REF, V3_REF (arcsec), V3I_YANG (degrees), scale (arcsec per pixel), prefix of the aperture's name
_APERTURES = {
    "MIRIMAGE": (-453.348, -373.668, 4.835, 0.1105, "MIRIM_{}"),
    "MIRIFUSHORT": (-503.227, -318.714, 8.0, 0.196, "MIRIFU_CHANNEL1A"),
    "MIRIFULONG": (-503.227, -318.714, 8.0, 0.245, "MIRIFU_CHANNEL3A"),
    "NIS": (-291.141, -698.015, 0.5613, 0.0653, "NIS_{}"),
    "NRS1": (378.563, -428.403, 138.575, 0.1033, "NRS_{}_MSA"),
    "NRS2": (378.563, -428.403, 138.575, 0.1033, "NRS_{}_MSA"),
    "GUIDER1": (206.407, -697.765, -1.2412, 0.0684, "FGS1_{}"),
    "GUIDER2": (22.865, -699.28, 0.2915, 0.0679, "FGS2_{}"),
}


class AperturePointing(DetectorGeometry):
    """Where a subarray of a detector points: a flat field of square pixels around the reference point.

    Parameters
    ----------
    detector, subarray : str
    """

    def __init__(self, detector, subarray):
        v2, v3, angle, scale, name = _APERTURES[detector]
        self.detector, self.subarray = detector, subarray
        self.filter_offset = (0.0, 0.0)
        column, row, nx, ny = corners(detector, subarray)
        self.start, self.shape = (column, row), (ny, nx)
        self.fast_axis, self.slow_axis = chip(detector).axes
        full_rows, full_columns = chip(detector).shape
        self.aperture = SimpleNamespace(
            AperName=name.format(subarray),
            V2Ref=v2,
            V3Ref=v3,
            V3IdlYAngle=angle,
            VIdlParity=-1,
            XSciScale=scale,
            YSciScale=scale,
        )
        # the reference point is the middle of the detector
        self.reference_pixel = ((full_columns + 1) / 2 - column + 1, (full_rows + 1) / 2 - row + 1)

    def pixel_to_telescope(self, x, y):
        """0-based pixel of the subarray to V2, V3 in arcsec."""
        scale = self.aperture.XSciScale
        ideal_x = (np.asarray(x, float) + 1 - self.reference_pixel[0]) * scale
        ideal_y = (np.asarray(y, float) + 1 - self.reference_pixel[1]) * scale
        return self.ideal_offset(ideal_x, ideal_y)
