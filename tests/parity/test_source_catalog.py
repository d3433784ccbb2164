"""The catalogue and the segmentation map against step source_catalog of jwst, on a crowded simulated mosaic."""

import warnings

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table

pytest.importorskip("jwst")

from snakewebb.imaging.mosaic_image import MosaicImage
from snakewebb.imaging.source_catalog import source_catalog
from snakewebb.io.references import References

SHAPE = (380, 420)
PIXEL_AREA = 2.26e-14


class GwcsGrid:
    def __init__(self, wcs):
        self.wcs = wcs

    def pixel_to_sky(self, x, y):
        return self.wcs(x, y, with_bounding_box=False)


@pytest.fixture(scope="module")
def mosaic_arrays():
    rng = np.random.default_rng(21)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.zeros(SHAPE)
    for number in range(130):
        column, row, flux = rng.uniform(0, SHAPE[1]), rng.uniform(0, SHAPE[0]), 10 ** rng.uniform(-0.3, 3)
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.3, 1) if number % 3 == 0 else 1.0
        along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        across = -(x - column) * np.sin(angle) + (y - row) * np.cos(angle)
        distance = along**2 + (across / ratio) ** 2
        width = rng.uniform(2, 5) if number % 3 == 0 else 1.0
        profile = np.exp(-np.sqrt(distance) / width) if number % 3 == 0 else (1 + distance / 3) ** -2.5
        image += flux * profile / profile.sum()
    err = np.sqrt(0.01**2 + 0.0005 * (image + 0.3)).astype(np.float32)
    data = (image + 0.3 + 0.0003 * x + rng.normal(0, 1, SHAPE) * err).astype(np.float32)
    weight = np.ones(SHAPE, np.float32)
    outside = (x + 0.3 * y < 40) | (y > SHAPE[0] - 15)
    data[outside] = err[outside] = np.nan
    weight[outside] = 0
    weight[200:206, 100:104] = 0
    return data, err, weight


@pytest.fixture(scope="module")
def grid():
    from astropy import coordinates, units
    from astropy.modeling.models import Pix2Sky_TAN
    from gwcs import coordinate_frames, wcs
    from gwcs.fitswcs import FITSImagingWCSTransform

    angle = np.deg2rad(33.0)
    transform = FITSImagingWCSTransform(
        Pix2Sky_TAN(),
        crpix=[209.7, 190.2],
        crval=[359.9999, -62.2],
        cdelt=[0.031 / 3600] * 2,
        pc=np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]),
    )
    detector = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = coordinate_frames.CelestialFrame(name="world", reference_frame=coordinates.ICRS())
    return wcs.WCS([(detector, transform), (sky, None)])


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    import asdf

    folder = tmp_path_factory.mktemp("references")
    columns = ("filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout")
    rows = [
        ("F200W", "CLEAR", energy, radius, correction, 6.0, 9.0)
        for energy, radius, correction in (
            (0.2, 0.8, 5.0),
            (0.3, 1.0, 3.4),
            (0.5, 1.6, 2.05),
            (0.7, 3.1, 1.46),
            (0.8, 5.0, 1.27),
        )
    ]
    table = np.array(rows, dtype=list(zip(columns, ["S12", "S15"] + ["f4"] * 5, strict=True)))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="APCORR")]).writeto(folder / "apcorr.fits")
    with fits.open(folder / "apcorr.fits", mode="update") as units:
        units[0].header["DATAMODL"] = "NrcImgApcorrModel"
    offsets = Table({"filter": ["F200W"], "pupil": ["CLEAR"], "abvega_offset": np.array([1.7], np.float32)})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(folder / "abvegaoffset.asdf")
    return {"apcorr": folder / "apcorr.fits", "abvegaoffset": folder / "abvegaoffset.asdf"}


def oracle_catalog(arrays, grid, references, folder, parameters):
    """Table and segmentation map (or None) that the oracle writes."""
    from jwst.source_catalog import SourceCatalogStep
    from stdatamodels.jwst import datamodels

    data, err, weight = arrays
    model = datamodels.ImageModel(data.copy())
    model.err, model.wht = err.copy(), weight.copy()
    for name, value in {"name": "NIRCAM", "filter": "F200W", "pupil": "CLEAR", "detector": "MULTIPLE"}.items():
        setattr(model.meta.instrument, name, value)
    model.meta.bunit_data = model.meta.bunit_err = "MJy/sr"
    model.meta.photometry.pixelarea_steradians = PIXEL_AREA
    model.meta.resample.pixel_scale_ratio = 0.8
    model.meta.wcs = grid
    model.meta.wcsinfo.crpix1, model.meta.wcsinfo.crpix2 = 210.7, 191.2
    step = SourceCatalogStep(output_dir=str(folder), **parameters)
    step.save_results = True
    step.get_reference_file = lambda _, reftype: str(references[reftype])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step.process(model)
    (catalog,) = folder.glob("*_cat.ecsv")
    segments = list(folder.glob("*_segm.fits"))
    return QTable.read(catalog), fits.getdata(segments[0]) if segments else None


def native_catalog(arrays, grid, references, parameters):
    data, err, weight = (array.copy() for array in arrays)
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F200W", "PUPIL": "CLEAR", "PXSCLRT": 0.8})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXEL_AREA, "CRPIX1": 210.7, "CRPIX2": 191.2})
    mosaic = MosaicImage(header, sci_header, data, err, weight, GwcsGrid(grid))
    paths = References(references, (1, 1, 2048, 2048))
    assert source_catalog(mosaic, paths, compatibility="jwst", **parameters).state == "COMPLETE"
    for array, original in zip((data, err, weight), arrays, strict=True):
        np.testing.assert_array_equal(array, original)
    return mosaic.catalog, mosaic.segments


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"aperture_ee1": 20, "aperture_ee3": 80, "npixels": 8, "snr_threshold": 5.0, "bkg_boxsize": 100},
        {"connectivity": "4", "multithresh_mode": "linear", "localbkg_width": 8, "kernel_fwhm": 3.2},
        {"deblend": False, "ci1_star_threshold": 1.7, "ci2_star_threshold": 1.4},
        {"starfinder": "iraf", "snr_threshold": 10.0, "brightest": 30},
        {"starfinder": "dao", "snr_threshold": 5.0, "roundlo": -1.0, "roundhi": 1.0},
    ],
    ids=["default", "apertures", "linear", "undivided", "iraf", "dao"],
)
def test_equals_oracle(mosaic_arrays, grid, references, tmp_path, parameters):
    expected, expected_segments = oracle_catalog(mosaic_arrays, grid, references, tmp_path, parameters)
    if "connectivity" in parameters:
        parameters = parameters | {"connectivity": int(parameters["connectivity"])}
    catalog, segments = native_catalog(mosaic_arrays, grid, references, parameters)

    assert len(catalog) == len(expected) > 10
    assert catalog.colnames == expected.colnames
    segmented = expected_segments is not None
    if segmented:
        np.testing.assert_array_equal(segments, expected_segments)
    for name in expected.colnames:
        ours, theirs = catalog[name], expected[name]
        if isinstance(theirs, SkyCoord):
            assert ours.separation(theirs).arcsec.max() < 1e-9, name
            continue
        if name.startswith("sky_bbox") and not segmented:
            assert np.isnan(ours.ra).all()  # theirs: numbers without unit, also NaN
            continue
        if segmented:
            assert ours.dtype == theirs.dtype, name
            assert ours.info.format == theirs.info.format, name
            assert getattr(ours, "unit", None) == getattr(theirs, "unit", None), name
        # the oracle convolves in float32, which leaves few digits in a difference of neighbours
        tolerance = {"atol": 2e-5} if name == "roundness" else {"rtol": 1e-5}
        np.testing.assert_allclose(
            getattr(ours, "value", ours), getattr(theirs, "value", theirs), err_msg=name, **tolerance
        )
    for name in ("local_bkg_width", "aperture_mask_method", "abvega_offset"):
        assert catalog.meta.get(name) == pytest.approx(expected.meta.get(name))
    for name, values in expected.meta["aperture_params"].items():
        np.testing.assert_allclose(catalog.meta["aperture_params"][name], values, rtol=1e-6)


def test_oracle_finds_nothing_where_we_find_nothing(mosaic_arrays, grid, references, tmp_path):
    data, err, weight = mosaic_arrays
    arrays = (np.full_like(data, np.nan), err, weight)
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F200W", "PUPIL": "CLEAR", "PXSCLRT": 0.8})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXEL_AREA})
    mosaic = MosaicImage(header, sci_header, *arrays, GwcsGrid(grid))
    source_catalog(mosaic, References(references, (1, 1, 2048, 2048)))
    assert len(mosaic.catalog) == 0
    with pytest.raises(ValueError, match="not enough values to unpack"):
        oracle_catalog(arrays, grid, references, tmp_path, {})  # it writes no file
