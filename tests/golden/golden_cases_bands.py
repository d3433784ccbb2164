"""Golden case of forced photometry: stars of one filter measured in the mosaic of another one."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table
from golden_input import make_references, noise, plane_pixels, plane_wcs, sky_grid, stars

from snakewebb.imaging.mosaic_image import MosaicImage
from snakewebb.steps import find_step


def forced_photometry(folder):
    import asdf

    shape = (110, 120)
    east, north, flux = sky_grid(4, 1.6, 500)
    x, y = plane_pixels(east, north, shape)
    detected = QTable({"label": np.arange(1, x.size + 1), "xcentroid": x + 0.1, "ycentroid": y - 0.1})
    # of the last source there is no centroid in a window
    detected["xcentroid_win"], detected["ycentroid_win"] = (np.append(axis[:-1], np.nan) for axis in (x, y))
    detected["sky_centroid"] = np.zeros(x.size)
    rows, columns = np.indices(shape)
    segments = np.zeros(shape, np.int32)
    for label, (column, row) in enumerate(zip(x, y, strict=True), start=1):
        segments[np.hypot(columns - column, rows - row) < 3.2] = label
    flux[::4] = 0.0  # not seen here
    data = 0.3 + stars(shape, x, y, flux)
    err = np.sqrt(0.0004 + 0.002 * data)
    data += err * noise(shape, 510)
    weight = np.ones(shape)
    edge = columns < 25
    data[edge], err[edge], weight[edge] = np.nan, np.nan, 0
    names = ["filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout"]
    numbers = ((0.1, 0.5, 10.3), (0.3, 1.0, 3.4), (0.5, 1.6, 2.05), (0.7, 3.1, 1.46), (0.8, 4.0, 1.27))
    table = np.array(
        [("F444W", "CLEAR", *row, 6.0, 9.0) for row in numbers],
        dtype=list(zip(names, ["S12", "S15"] + ["f4"] * 5, strict=True)),
    )
    references = make_references(folder, (1, 1, 2048, 2048), apcorr={"APCORR": table})
    references.paths["abvegaoffset"] = Path(folder) / "abvegaoffset.asdf"
    offsets = Table({"filter": ["F444W"], "pupil": ["CLEAR"], "abvega_offset": np.array([3.2], np.float32)})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(references.paths["abvegaoffset"])
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F444W", "PUPIL": "CLEAR", "PXSCLRT": 0.8})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": 9.3e-14})
    results = {}
    variants = {
        "default": {},
        "pixels": {"errors": "pixels", "positions": "isophotal", "pixel_size": False, "limit_sigma": 5.0},
    }
    for variant, parameters in variants.items():
        arrays = [array.astype(np.float32) for array in (data, err, weight)]
        mosaic = MosaicImage(header, sci_header, *arrays, plane_wcs(shape, bend=0.001))
        mosaic.segments, mosaic.detected = segments, detected
        status = find_step("forced_photometry")(mosaic, references, **parameters)
        assert status.state == "COMPLETE", status
        for name in mosaic.forced.colnames:
            column = mosaic.forced[name]
            results[f"{variant}_{name}"] = np.asarray(getattr(column, "value", column))
    return results


CASES = {"forced_photometry": forced_photometry}
