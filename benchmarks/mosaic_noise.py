"""Errors of aperture fluxes in mosaics: as they are stated, and as fluxes in empty circles scatter, by weight and pixels.

``python -m benchmarks.mosaic_noise`` prints a Markdown table. Exposures of an empty sky with noise that is known are made here, two of
a fourth of the time of the others, and combined by `resample`.
"""

import argparse
import logging

import benchmarks.offline  # noqa: F401
import numpy as np
from astropy.io import fits
from benchmarks.star_outliers import DEC, RA, READ_NOISE, ROLL, SKY

from snakewebb.imaging.catalog_calibration import Calibration
from snakewebb.imaging.empty_apertures import empty_apertures
from snakewebb.imaging.mosaic import Exposure, Mosaic
from snakewebb.imaging.output_grid import TanProjection
from snakewebb.imaging.resample import resample
from snakewebb.io.models import Image

TIMES = (1.0, 1.0, 4.0, 4.0)
"""Of the exposures; the sky of one of time 1 is `SKY` electrons in a pixel."""
PIXEL = 0.0629
"""arcsec."""
RADII = (1.5, 3.0, 6.0)
"""Of the circles, pixels of the detector."""
OUTPUTS = ((1.0, 1.0), (1.0, 0.7), (0.5, 1.0), (0.5, 0.7))
"""Pixels of the mosaic in those of the detector, and `pixfrac`."""


def empty_exposures(side, seed):
    """Dithered exposures of a sky of one level, which is subtracted."""
    random = np.random.default_rng(seed)
    exposures = []
    for number, time in enumerate(TIMES):
        variance = (SKY * time + READ_NOISE**2) / time**2
        data = random.normal(0, np.sqrt(variance), (side, side)).astype(np.float32)
        planes = {
            name: np.full(data.shape, value, np.float32)
            for name, value in (
                ("err", np.sqrt(variance)),
                ("var_rnoise", READ_NOISE**2 / time**2),
                ("var_poisson", SKY / time),
                ("var_flat", 0.0),
            )
        }
        angle, scale = np.deg2rad(ROLL), PIXEL / 3600
        turn = ((-np.cos(angle), np.sin(angle)), (np.sin(angle), np.cos(angle)))
        centre = tuple(side / 2 + random.uniform(-6, 6, 2))
        science = {"BUNIT": "MJy/sr", "ROLL_REF": ROLL, "V3I_YANG": 0.0, "VPARITY": -1, "RA_REF": RA, "DEC_REF": DEC}
        image = Image(
            fits.Header({"EFFEXPTM": 100.0 * time, "TMEASURE": 100.0 * time}),
            fits.Header(science),
            data,
            dq=np.zeros(data.shape, np.uint32),
            wcs=TanProjection(centre, (RA, DEC), (scale, scale), turn),
            **planes,
        )
        exposures.append(Exposure.of_image(image, f"exposure{number}"))
    return exposures


def measured(exposures, weight_type, ratio, pixfrac):
    """What empty circles say of the mosaic of some exposures, as `empty_apertures` has it."""
    mosaic = Mosaic(exposures)
    resample(mosaic, None, weight_type=weight_type, pixel_scale_ratio=ratio, pixfrac=pixfrac, blendheaders=False)
    depth = mosaic.weight == 0
    # where all four exposures are
    border = int(20 / ratio)
    inside = np.zeros(depth.shape, bool)
    inside[border:-border, border:-border] = True
    radii = tuple(radius / ratio for radius in RADII)
    ring = (8.0 / ratio, 12.0 / ratio)
    calibration = Calibration((30, 50, 70), radii, (1.0, 1.0, 1.0), ring, 0.0)
    # the unit is that of a pixel's brightness: fluxes of pixels of another size have another scale
    scale = np.float32(ratio**2)
    return empty_apertures(mosaic.data * scale, mosaic.err * scale, depth | ~inside, calibration)


def main(side, seeds):
    """Print the table."""
    logging.disable(logging.WARNING)
    print(
        f"Four exposures of {side} x {side} pixels, two of a fourth of the time, {seeds} skies; circles of some pixels of the detector: "
        "scatter of their fluxes over the stated error; gain in depth over ivm, mag\n"
    )
    print("| pixel | pixfrac | weight | " + " | ".join(f"pull, {radius:g}" for radius in RADII) + " | deeper by |")
    print("|---|---|---|" + "---|" * (len(RADII) + 1))
    for ratio, pixfrac in OUTPUTS:
        scatter = {}
        for weight_type in ("ivm", "exptime"):
            found = [measured(empty_exposures(side, seed), weight_type, ratio, pixfrac) for seed in range(seeds)]
            pulls = np.mean([one["pull"] for one in found], axis=0)
            scatter[weight_type] = np.mean([one["scatter"] for one in found], axis=0)
            deeper = -2.5 * np.log10(scatter[weight_type] / scatter["ivm"])
            gain = ", ".join(f"{value:+.3f}" for value in deeper) if weight_type != "ivm" else ""
            cells = " | ".join(f"{value:.2f}" for value in pulls)
            print(f"| {ratio:g} | {pixfrac:g} | {weight_type} | {cells} | {gain} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=900, help="pixels along a side of an exposure")
    parser.add_argument("--seeds", type=int, default=4, help="skies")
    arguments = parser.parse_args()
    main(arguments.side, arguments.seeds)
