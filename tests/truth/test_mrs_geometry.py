"""Where the pixels of the spectrometer look, by assign_wcs, against the mapping that the simulator sent the light through."""

import numpy as np
import pytest

from mrs_references import image_of
from snakewebb.io.references import References
from snakewebb.simulate.mrs_bands import BANDS, resolving_power
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_geometry_references import (
    write_distortion,
    write_regions,
    write_specwcs,
    write_wavelengthrange,
)
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.steps import COMPLETE
from snakewebb.wcs.assign_wcs import assign_wcs

SETTINGS = [(detector, setting) for setting in BANDS for detector in ("MIRIFULONG", "MIRIFUSHORT")]


@pytest.mark.parametrize(
    ("detector", "setting"), [SETTINGS[0], *(pytest.param(*one, marks=pytest.mark.long) for one in SETTINGS[1:])]
)
def test_pixels_look_where_their_light_came_from(tmp_path, detector, setting):
    """Positions in the slices and wavelengths within 0.005 pixel, and wavelengths within 0.02 resolution elements."""
    paths = {kind: tmp_path / f"{kind}.asdf" for kind in ("distortion", "specwcs", "regions", "wavelengthrange")}
    errors = {"errors": ReferenceErrors.zero(), "seed": 1}
    write_distortion(paths["distortion"], detector, setting, **errors)
    write_specwcs(paths["specwcs"], detector, setting, **errors)
    write_regions(paths["regions"], detector, setting)
    write_wavelengthrange(paths["wavelengthrange"])
    speed = 12000.0
    image = image_of("12" if detector == "MIRIFUSHORT" else "34", setting, velocity=speed)
    assert assign_wcs(image, References(paths, (1, 1, SHAPE[1], SHAPE[0]))).state == COMPLETE
    wavelength, alpha = image.geometry.wavelength, image.geometry.alpha
    seen = np.zeros(SHAPE, bool)
    for _, one, columns, x, y in DetectorSlices(detector, setting).windows():
        inside = (image.geometry.slices[:, columns] == one.number) & np.isfinite(wavelength[:, columns])
        seen[:, columns] |= inside
        # the observatory moves away from the source
        true = one.wavelength(x, y) / (1 + speed / 299792458.0)
        off = (wavelength[:, columns] - true)[inside]
        step = np.abs(np.gradient(true, axis=0))[inside]
        assert np.abs(off / step).max() < 0.005
        assert np.abs(off * resolving_power(true[inside]) / true[inside]).max() < 0.02
        along = np.abs(np.gradient(one.alpha(x, y), axis=1))[inside]
        assert np.abs((alpha[:, columns] - one.alpha(x, y))[inside] / along).max() < 0.005
    assert seen.sum() > 600_000
