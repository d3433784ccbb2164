"""What the golden files hold of the steps that combine images of one field to a mosaic."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from golden_input import chosen, make_image, make_references, noise, plane_pixels, plane_wcs, sky_grid, stars, uniform
from golden_results import arrays_of, keywords_of, run_step

from snakewebb.steps import find_step

FIELD = (44, 52)
DITHERS = [
    ((0.1, 0.05), (0.8, 0.6)),
    ((-0.3, 0.2), (0.8, 0.6)),
    ((0.25, -0.35), (0.6, 0.8)),
    ((-0.1, -0.3), (0.8, 0.6)),
]


def _dithered_images(seed, *, shape=FIELD, spacing=0.9, number=3, level=(0.5, 0.62, 0.41, 0.55), rays=0.0):
    """Images of one field of stars, and their WCSs."""
    east, north, flux = sky_grid(number, spacing, seed)
    images, transforms = [], []
    for index, (centre, turned) in enumerate(DITHERS):
        x, y = plane_pixels(east, north, shape, centre, turned=turned)
        data = level[index] + stars(shape, x, y, flux)
        data += np.sqrt(0.003 + 0.002 * data) * noise(shape, seed + 10 + index)
        data += np.where(chosen(shape, seed + 20 + index, rays), 5 / (0.05 + uniform(shape, seed + 30)), 0)
        keywords = {"EFFEXPTM": 100.0 + index, "TMEASURE": 95.0 + index, "DURATION": 110.0 + index}
        keywords |= {"EXPSTART": 60100.0 + index, "EXPEND": 60100.1 + index}
        image = make_image(data, seed=seed + 50 + 5 * index, unit="MJy/sr", **keywords)
        image.var_flat = (1e-4 * data * data).astype(np.float32)
        images.append(image)
        transforms.append(plane_wcs(shape, centre, turned=turned, bend=0.0005))
    return images, transforms


def _mosaic(images, transforms):
    from snakewebb.imaging.mosaic import Exposure, Mosaic

    pairs = enumerate(zip(images, transforms, strict=True), start=1)
    return Mosaic([Exposure.of_image(image, f"exposure{number}", wcs) for number, (image, wcs) in pairs])


def _mosaic_arrays(variant, mosaic):
    names = ("data", "err", "weight", "context", "var_poisson", "var_rnoise", "var_flat", "dq")
    keywords = ("PIXAR_A2", "CRPIX1", "CRPIX2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2")
    header = mosaic.sci_header
    results = arrays_of(variant, mosaic, names) | keywords_of(variant, header, keywords)
    return results | {
        f"{variant}_CRVAL": np.array([(header["CRVAL1"] - 80.25) * 3600, (header["CRVAL2"] + 69.5) * 3600])
    }


def resample_exposure(folder):
    images, transforms = _dithered_images(170)
    mosaic = _mosaic(images[:1], transforms[:1])
    run_step("resample_exposure", mosaic, None)
    return _mosaic_arrays("single", mosaic)


def resample(folder):
    results = {}
    for variant, parameters in (
        ("default", {}),
        ("gaussian", {"kernel": "gaussian", "weight_type": "exptime", "propagate_dq": True, "report_var": False}),
        ("turned", {"rotation": 20.0, "pixfrac": 0.7, "pixel_scale_ratio": 0.8, "report_var": False}),
    ):
        images, transforms = _dithered_images(170)
        for index, image in enumerate(images):
            image.header.update({"BKGLEVEL": 0.4 + 0.05 * index, "BKGSUB": False, "BKGMETH": "match"})
        mosaic = _mosaic(images, transforms)
        run_step("resample", mosaic, None, **parameters)
        results |= _mosaic_arrays(variant, mosaic)
    return results


def outlier_detection(folder):
    results = {}
    for variant, parameters in (
        ("default", {}),
        ("jwst", {"compatibility": "jwst"}),
        ("unresampled", {"resample_data": False}),
    ):
        images, transforms = _dithered_images(230, rays=0.02)
        if variant == "unresampled":
            transforms = transforms[:1] * len(images)
        run_step("outlier_detection", _mosaic(images, transforms), None, **parameters)
        for number, image in enumerate(images, start=1):
            results |= arrays_of(f"{variant}_{number}", image, ("data", "dq"))
    return results


def _pointings(transforms):
    from snakewebb.imaging.pointing import Pointing

    return [
        Pointing(f"exposure{number}", f"group{number}", wcs, 2023.5) for number, wcs in enumerate(transforms, start=1)
    ]


def _table_arrays(variant, table):
    columns = {name: np.asarray(table[name]) for name in table.colnames}
    return {f"{variant}_{name}": column for name, column in columns.items() if column.dtype.kind in "fiub"}


def tweakreg(folder):
    shape = (150, 150)
    images, transforms = _dithered_images(300, shape=shape, spacing=1.6, number=5)
    errors = [(0.0, 0.0), (0.05, -0.03), (-0.04, 0.02), (0.02, 0.06)]
    pointings = _pointings(
        [wcs.corrected(np.eye(2), np.array(error) / 206265) for wcs, error in zip(transforms, errors, strict=True)]
    )
    results = {}
    for variant, parameters in (
        ("default", {}),
        ("dao", {"starfinder": "dao", "fitgeometry": "general", "roundlo": -1.0, "roundhi": 1.0}),
        ("segmentation", {"starfinder": "segmentation", "fitgeometry": "shift", "expand_refcat": True}),
    ):
        table = find_step("tweakreg")(pointings, images, **parameters)
        assert list(table["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS", "SUCCESS"], table
        results |= _table_arrays(variant, table)
    return results


def skymatch(folder):
    images, transforms = _dithered_images(400, shape=(64, 64))
    results = {}
    for variant, parameters in (
        ("default", {}),
        ("local", {"skymethod": "local", "skystat": "median"}),
        ("global+match", {"skymethod": "global+match", "skystat": "mean", "lsigma": 2.5}),
    ):
        table = find_step("skymatch")(_pointings(transforms), images, **parameters)
        results |= _table_arrays(variant, table)
    return results


def source_catalog(folder):
    import asdf
    from astropy.table import Table

    from snakewebb.imaging.mosaic_image import MosaicImage

    shape = (110, 120)
    east, north, flux = sky_grid(4, 1.6, 500)
    x, y = plane_pixels(east, north, shape)
    # close pairs, to be divided
    x, y, flux = np.append(x, x[:3] + 4), np.append(y, y[:3] + 2), np.append(flux, flux[:3] / 2)
    data = 0.3 + stars(shape, x, y, flux)
    err = np.sqrt(0.0004 + 0.002 * data)
    data += err * noise(shape, 510)
    weight = np.ones(shape)
    edge = np.indices(shape)[1] < 6
    data[edge], err[edge], weight[edge] = np.nan, np.nan, 0
    names = ["filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout"]
    rows = [("F444W", "CLEAR", *numbers, 6.0, 9.0) for numbers in ((0.3, 1.0, 3.4), (0.5, 1.6, 2.05), (0.7, 3.1, 1.46))]
    table = np.array(rows, dtype=list(zip(names, ["S12", "S15"] + ["f4"] * 5, strict=True)))
    references = make_references(folder, (1, 1, 2048, 2048), apcorr={"APCORR": table})
    references.paths["abvegaoffset"] = Path(folder) / "abvegaoffset.asdf"
    offsets = Table({"filter": ["F444W"], "pupil": ["CLEAR"], "abvega_offset": np.array([3.2], np.float32)})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(references.paths["abvegaoffset"])
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F444W", "PUPIL": "CLEAR", "PXSCLRT": 0.9})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": 9.3e-14, "CRPIX1": 60.0, "CRPIX2": 55.0})
    results = {}
    for variant, parameters in (("default", {}), ("iraf", {"starfinder": "iraf", "snr_threshold": 10.0})):
        arrays = [array.astype(np.float32) for array in (data, err, weight)]
        mosaic = MosaicImage(header, sci_header, *arrays, plane_wcs(shape, bend=0.001))
        run_step("source_catalog", mosaic, references, **parameters)
        assert len(mosaic.catalog) >= 15, mosaic.catalog
        results[f"{variant}_segments"] = mosaic.segments
        for name in mosaic.catalog.colnames:
            column = mosaic.catalog[name]
            if hasattr(column, "ra"):
                column = np.stack([(column.ra.deg - 80.25) * 3600, (column.dec.deg + 69.5) * 3600])
            column = np.asarray(getattr(column, "value", column))
            if column.dtype.kind in "fiub":
                results[f"{variant}_{name}"] = column
    return results


CASES = {
    function.__name__: function
    for function in (resample_exposure, tweakreg, skymatch, outlier_detection, resample, source_catalog)
}
