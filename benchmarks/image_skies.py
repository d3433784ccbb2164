"""Scattered light and backgrounds of whole frames: scales that are recovered, seconds and memory: ``python -m benchmarks.image_skies``.

The scenes are those of the tests, 2048 x 2048 pixels: a crowded field of 17,000 stars on a sky of 0.3 DN/s, 0.02 DN/s of noise in a
pixel, and stripes of a quarter of that.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.imaging.background_2d import background_2d
from snakewebb.imaging.dither_background import dither_background
from snakewebb.imaging.wisp_subtract import wisp_subtract
from snakewebb.io.references import References
from snakewebb.job import largest_memory_mb

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from sky_scenes import NOISE, crowded_field, filaments, glow, make_slopes

SHAPE = (2048, 2048)
NONE = References({}, (1, 1, *SHAPE[::-1]))
PEAKS = (0.0, 0.3, 1.0, 3.0, 10.0)  # of the scattered light, in units of the noise of a pixel


def timed(step, image, **parameters):
    """Seconds of processors that a step takes on an image."""
    started = os.times()
    step(image, NONE, **parameters)
    ended = os.times()
    return ended.user + ended.system - started.user - started.system


def resident():
    """Largest memory of this process since the last call, MB."""
    peak = largest_memory_mb()
    Path("/proc/self/clear_refs").write_text("5")
    return peak


def main():
    """Print Markdown tables."""
    set_threads(1)
    field = 0.3 + crowded_field(SHAPE, 1)
    wisp = filaments(SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.fits"
        fits.PrimaryHDU(wisp.astype(np.float32)).writeto(path)
        print(
            "| peak, noise of a pixel | scale / injected | error / injected | (scale - injected) / error | seconds | MB more |"
        )
        print("|---|---|---|---|---|---|")
        for number, peak in enumerate(PEAKS):
            image = make_slopes(field + peak * NOISE * wisp, number, stripes=0.25 * NOISE)
            resident()
            before = resident()
            seconds = timed(wisp_subtract, image, templates=[str(path)])
            scale, error = (image.header[key] / NOISE for key in ("WISPSCL1", "WISPERR1"))
            relative = f"{scale / peak:.4f} | {error / peak:.4f}" if peak else f"({scale:.4f}) | ({error:.4f})"
            print(f"| {peak} | {relative} | {(scale - peak) / error:.1f} | {seconds:.1f} | {resident() - before:.0f} |")
    image = make_slopes(field, 20)
    resident()
    before = resident()
    print(f"background_2d: {timed(background_2d, image):.1f} s, {resident() - before:.0f} MB more")
    for number in (4, 12):
        image = make_slopes(glow(SHAPE), 30)
        image.members["dithers"] = (make_slopes(glow(SHAPE), 31 + k) for k in range(number))
        resident()
        before = resident()
        seconds = timed(dither_background, image)
        print(
            f"dither_background, {number} dithers (made while it runs): {seconds:.1f} s, {resident() - before:.0f} MB more"
        )


if __name__ == "__main__":
    main()
