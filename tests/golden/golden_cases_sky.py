"""What the golden files hold of the steps that subtract light of the sky, and scattered light, from single exposures."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from golden_input import make_image, noise, stars, uniform

from snakewebb.io.references import References
from snakewebb.steps import find_step

SHAPE = (96, 128)
NONE = References({}, (1, 1, *SHAPE[::-1]))


def _field(seed, shift=(0, 0)):
    """Stars on noise."""
    x, y = 12 + 104 * uniform((12,), 900) + shift[0], 10 + 76 * uniform((12,), 901) + shift[1]
    return stars(SHAPE, x, y, 5 + 40 * uniform((12,), 902)) + 0.05 * noise(SHAPE, seed)


def _ramp_of_light():
    y, x = np.indices(SHAPE)
    distance = (y - 20 - (x - 64) * (x - 64) / 100) / 12
    return 1 / (1 + distance * distance)


def _arrays(variant, image):
    return {f"{variant}_{name}": getattr(image, name) for name in ("data", "err", "dq", "var_poisson", "var_rnoise")}


def wisp_subtract(folder):
    path = Path(folder) / "template.fits"
    light = _ramp_of_light().astype(np.float32)
    units = [fits.PrimaryHDU(), fits.ImageHDU(light, name="SCI"), fits.ImageHDU(0.1 * light, name="ERR")]
    fits.HDUList(units).writeto(path)
    results = {}
    for variant, scale in (("there", 0.4), ("not_there", 0.0)):
        image = make_image(0.5 + _field(910) + scale * light, seed=911)
        find_step("wisp_subtract")(image, NONE, templates=[str(path)], box_size=24)
        results |= _arrays(variant, image)
        results[f"{variant}_scale"] = np.array([image.header["WISPSCL1"], image.header["WISPERR1"]])
    return results


def background_2d(folder):
    results = {}
    for variant, keep_level in (("all", False), ("structure", True)):
        image = make_image(0.5 + _field(920) + 0.5 * _ramp_of_light(), seed=921)
        status = find_step("background_2d")(image, NONE, box_size=16, keep_level=keep_level)
        assert status.state == "COMPLETE", status
        results |= _arrays(variant, image)
    return results


def dither_background(folder):
    images = [
        make_image(0.5 + 0.1 * k + _field(930 + k, shift) + _ramp_of_light(), seed=940 + 5 * k)
        for k, shift in enumerate(((0, 0), (9, 4), (-8, 6), (5, -9), (-7, -5)))
    ]
    images[0].members["dithers"] = images[1:]
    status = find_step("dither_background")(images[0], NONE, box_size=16)
    assert status.state == "COMPLETE", status
    return _arrays("dithers", images[0])


CASES = {function.__name__: function for function in (wisp_subtract, background_2d, dither_background)}
