"""A programme of calibrated exposures in a strip of many pointings, made directly: noise, sky and stars."""

import math
from pathlib import Path

import numpy as np

from snakewebb.io.products import read_image, write_image
from snakewebb.io.references import References
from snakewebb.wcs.assign_wcs import assign_wcs
from snakewebb.wcs.tangent import TangentWCS

SCALE = 0.063  # arcsec
DITHERS = ((0.0, 0.0), (7.3, -5.6), (-6.4, 9.1), (11.7, 4.2))  # pixels
SKY, NOISE, WIDTH = 0.4, 0.05, 1.1


def write_strip(folder, template, references, *, exposures, size=640, step=0.62, tilt=2.0, stars=400, hits=50):
    """Write calibrated exposures: four dithers of each pointing, pointings one after the other along the strip.

    Parameters
    ----------
    folder : Path
        Where ``cal`` is made.
    template : path-like
        A calibrated exposure whose headers are taken.
    references : dict
        Paths of ``distortion`` and ``filteroffset``.
    exposures : int
    size : int
        Rows and columns of an exposure.
    step : float
        Distance of pointings in sizes of an exposure.
    tilt : float
        Angle between the strip and the detector's y axis, degrees.
    stars, hits : int
        In an exposure, about; cosmic rays are single pixels.
    """
    model = read_image(template)
    (folder / "cal").mkdir(parents=True)
    parity, turn = model.sci_header["VPARITY"], model.sci_header["V3I_YANG"]
    angle = math.radians(model.sci_header["ROLL_REF"] - parity * turn + tilt)
    ra, dec = model.sci_header["RA_REF"], model.sci_header["DEC_REF"]
    sky = np.random.default_rng(1)
    length = (exposures // len(DITHERS) + 1) * step * size
    number = int(stars * length / size)
    along, across = sky.uniform(-size, length, number), sky.uniform(-size, size, number)
    flux = 10 ** sky.uniform(0.5, 2.5, number)
    for k in range(exposures):
        place = (k // len(DITHERS)) * step * size + DITHERS[k % len(DITHERS)][0]
        side = DITHERS[k % len(DITHERS)][1]
        image = read_image(template)
        header, science = image.header, image.sci_header
        root = f"jw01234001001_02101_{k + 1:05d}_nrcblong"
        header.update({"EXPOSURE": str(k + 1), "SUBARRAY": "SUB640", "FILENAME": f"{root}_cal.fits"})
        header.update({"SUBSTRT1": 705, "SUBSTRT2": 705, "SUBSIZE1": size, "SUBSIZE2": size})
        science["DEC_REF"] = dec + SCALE / 3600 * (place * math.cos(angle) - side * math.sin(angle))
        east = SCALE / 3600 * (place * math.sin(angle) + side * math.cos(angle))
        science["RA_REF"] = ra + east / math.cos(math.radians(dec))
        rng = np.random.default_rng(100 + k)
        image.data = (SKY + NOISE * rng.standard_normal((size, size), np.float32)).astype(np.float32)
        image.err = np.full((size, size), NOISE, np.float32)
        image.dq = np.zeros((size, size), np.uint32)
        image.area = np.ones((size, size), np.float32)
        for name in ("var_poisson", "var_rnoise", "var_flat"):
            setattr(image, name, np.full((size, size), NOISE**2 / 3, np.float32))
        assign_wcs(image, References(dict(references), (705, 705, size, size)))
        science["NAXIS1"] = science["NAXIS2"] = size
        wcs = TangentWCS.from_gwcs(image.wcs, science)
        if k == 0:
            centre = wcs.footprint().mean(axis=0)
            star_ra = centre[0] + SCALE / 3600 * (along * math.sin(angle) + across * math.cos(angle)) / math.cos(
                math.radians(centre[1])
            )
            star_dec = centre[1] + SCALE / 3600 * (along * math.cos(angle) - across * math.sin(angle))
        _add_stars(image, wcs, star_ra, star_dec, flux)
        image.data[rng.integers(4, size - 4, hits), rng.integers(4, size - 4, hits)] += 100 * NOISE
        write_image(folder / "cal" / f"{root}_cal.fits", image, "ImageModel")


def _add_stars(image, wcs, ra, dec, flux):
    near = np.hypot(
        (ra - wcs.footprint()[:, 0].mean()) * math.cos(math.radians(dec[0])), dec - wcs.footprint()[:, 1].mean()
    )
    near = near < image.data.shape[0] * SCALE / 3600
    offsets = np.arange(-6, 7)
    for x, y, total in zip(*wcs.sky_to_pixel(ra[near], dec[near]), flux[near], strict=True):
        if not (7 <= x < image.data.shape[1] - 8 and 7 <= y < image.data.shape[0] - 8):
            continue
        i, j = round(float(x)), round(float(y))
        along, down = (np.exp(-((p + offsets - q) ** 2) / (2 * WIDTH**2)) for p, q in ((i, x), (j, y)))
        image.data[j - 6 : j + 7, i - 6 : i + 7] += total * np.outer(down, along) / (2 * math.pi * WIDTH**2)


def references_of(crds):
    """Paths of the references of the geometry in a cache of a simulation."""
    folder = Path(crds) / "references/jwst/nircam"
    return {name: next(folder.glob(f"jwst_nircam_{name}_*.asdf")) for name in ("distortion", "filteroffset")}
