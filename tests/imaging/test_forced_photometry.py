"""Forced photometry against constructed skies: stars in two filters, one of which does not show all of them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from scipy.special import erf

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.catalog_files import read_detection, write_catalog, write_segments
from snakewebb.imaging.forced_photometry import forced_photometry
from snakewebb.imaging.mosaic_image import MosaicImage
from snakewebb.imaging.multiband import merge_bands
from snakewebb.imaging.output_grid import TanProjection
from snakewebb.imaging.source_catalog import source_catalog
from snakewebb.io.references import References
from snakewebb.io.scratch import Scratch

WIDTHS = {"F444W": 1.6, "F200W": 1.1}  # standard deviation of a star, pixels of the detector
AREA = 2.3e-14  # sr, of a pixel
SHAPE = (420, 420)
GRID = TanProjection((210.0, 210.0), (50.0, 10.0), (8.6e-6, 8.6e-6), ((-1.0, 0.0), (0.0, 1.0)))


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Apertures of Gaussian stars in pixels of the detector, which blur twice: when they collect light and when a circle cuts them."""
    import asdf

    folder = tmp_path_factory.mktemp("references")
    names = ("filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout")
    rows = [
        (name, "CLEAR", part, np.sqrt(-2 * np.log1p(-part) * (width**2 + 2 / 12)), 1 / part, 9.0, 13.0)
        for name, width in WIDTHS.items()
        for part in np.arange(1, 10) / 10
    ]
    table = np.array(rows, dtype=list(zip(names, ["S12", "S15", "f4", "f4", "f4", "f4", "f4"], strict=True)))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="APCORR")]).writeto(folder / "apcorr.fits")
    offsets = Table({"filter": ["F200W", "F444W"], "pupil": ["CLEAR"] * 2, "abvega_offset": [1.7, 3.2]})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(folder / "abvegaoffset.asdf")
    paths = {"apcorr": folder / "apcorr.fits", "abvegaoffset": folder / "abvegaoffset.asdf"}
    return References(paths, (1, 1, 2048, 2048))


def image_of(name, x, y, flux, seed, *, ratio=1.0):
    """The mosaic of a filter; ``ratio``: its pixels over those of the detector."""
    image = np.zeros(SHAPE)
    width = WIDTHS[name] / ratio
    for column, row, total in zip(x, y, flux, strict=True):
        across, down = (
            0.5 * np.diff(erf((np.arange(length + 1) - 0.5 - centre) / (np.sqrt(2) * width)))
            for length, centre in ((SHAPE[1], column), (SHAPE[0], row))
        )
        image += total * np.outer(down, across)
    err = np.sqrt(0.02**2 + (image + 0.3) / 2000)
    data = image + 0.3 + np.random.default_rng(seed).normal(0, err)
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": name, "PUPIL": "CLEAR", "PXSCLRT": ratio, "FILENAME": "i2d"})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": AREA, "CRPIX1": 211.0, "CRPIX2": 211.0})
    planes = (plane.astype(np.float32) for plane in (data, err))
    return MosaicImage(header, sci_header, *planes, np.ones(SHAPE, np.float32), GRID)


@pytest.fixture(scope="module")
def sky(references):
    """Stars, their fluxes in two filters (every third has none in F200W), and the mosaic of F444W with its catalogue."""
    rng = np.random.default_rng(11)
    y, x = (np.mgrid[:12, :12] * 34.0 + 20).reshape(2, -1) + rng.uniform(-3, 3, (2, 144))
    flux = {"F444W": 10 ** rng.uniform(0.5, 2.2, x.size), "F200W": 10 ** rng.uniform(0.0, 2.0, x.size)}
    flux["F200W"][::3] = 0
    mosaic = image_of("F444W", x, y, flux["F444W"], 5)
    source_catalog(mosaic, references, npixels=6)
    order = np.argmin(
        np.hypot(x[:, None] - mosaic.catalog["xcentroid"], y[:, None] - mosaic.catalog["ycentroid"]), axis=0
    )
    assert len(mosaic.catalog) == len(set(order)) == 144
    return x, y, flux, order, mosaic


def measured(mosaic, sky, references, **parameters):
    mosaic.segments, mosaic.detected = sky[4].segments, sky[4].catalog
    status = forced_photometry(mosaic, references, **parameters)
    return mosaic.forced, status


def pulls(table, truth):
    """Errors of totals in units of those that are stated, and half a per cent of the flux: of the positions, and of the apertures."""
    return (table["aper_total_flux"].value - truth) / np.hypot(table["aper_total_flux_err"].value, 0.005 * truth)


@pytest.mark.parametrize("name", WIDTHS)
def test_fluxes_in_both_filters_are_those_of_the_stars_within_their_errors(sky, references, name):
    x, y, flux, order, _ = sky
    table, status = measured(image_of(name, x, y, flux[name], 7), sky, references)
    assert (status.state, len(table)) == ("COMPLETE", 144)
    truth = flux[name][order] * AREA * 1e6
    pull = pulls(table, truth)
    assert abs(np.mean(pull)) < 4 / np.sqrt(144)
    assert 0.8 < np.std(pull) < 1.2
    bright = truth > 20 * AREA * 1e6
    assert np.median(table["aper_total_flux"].value[bright] / truth[bright]) == pytest.approx(1, abs=0.01)
    abmag = -2.5 * np.log10(truth[bright]) + 8.9
    np.testing.assert_allclose(table["aper_total_abmag"][bright], abmag, atol=0.08)
    np.testing.assert_allclose(
        (table["aper_total_abmag"] - table["aper_total_vegamag"])[bright], {"F200W": 1.7, "F444W": 3.2}[name], atol=1e-6
    )


def test_stars_that_are_not_seen_have_upper_limits_above_their_flux(sky, references):
    x, y, flux, order, _ = sky
    table, _ = measured(image_of("F200W", x, y, flux["F200W"], 9), sky, references)
    dark = flux["F200W"][order] == 0
    limit = table["aper_total_flux_limit"].value
    total, error = (table[name].value for name in ("aper_total_flux", "aper_total_flux_err"))
    assert np.count_nonzero(dark) == 48
    # one in 740 normal deviates is above 3
    assert np.count_nonzero(np.isnan(limit[dark])) <= 1
    faint = total < 3 * error
    np.testing.assert_array_equal(np.isfinite(limit), faint)
    np.testing.assert_allclose(limit[faint], np.maximum(total[faint], 0) + 3 * error[faint], rtol=1e-12)
    assert np.isnan(limit[flux["F200W"][order] > 10]).all()
    assert (np.isnan(table["aper_total_abmag"]) == (total < 0)).all()
    higher, _ = measured(image_of("F200W", x, y, flux["F200W"], 9), sky, references, limit_sigma=20.0)
    assert np.isfinite(higher["aper_total_flux_limit"]).sum() > faint.sum()


@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_pixels_of_another_size_than_the_detectors_do_not_bias_totals(sky, references, ratio):
    x, y, flux, order, _ = sky
    truth = flux["F200W"][order] * AREA * 1e6
    bright = truth > 20 * AREA * 1e6
    found = {}
    for corrected in (True, False):
        mosaic = image_of("F200W", x, y, flux["F200W"], 7, ratio=ratio)
        table, _ = measured(mosaic, sky, references, pixel_size=corrected)
        found[corrected] = np.median(table["aper_total_flux"].value[bright] / truth[bright])
    assert found[True] == pytest.approx(1, abs=0.008)
    assert found[False] > 1.015


@pytest.mark.parametrize("ratio", [0.5, 0.75, 1.0])
def test_totals_of_the_catalogue_are_not_biased_by_the_size_of_pixels(sky, references, ratio):
    x, y, flux, _, _ = sky
    found = {}
    for compatibility in ("native", "jwst"):
        mosaic = image_of("F444W", x, y, flux["F444W"], 7, ratio=ratio)
        source_catalog(mosaic, references, npixels=6, compatibility=compatibility)
        catalog = mosaic.catalog
        distance = np.hypot(x - catalog["xcentroid"][:, None], y - catalog["ycentroid"][:, None])
        truth = flux["F444W"][np.argmin(distance, axis=1)] * AREA * 1e6
        bright = (distance.min(axis=1) < 1) & (truth > 20 * AREA * 1e6)
        assert bright.sum() > 60
        found[compatibility] = np.median(catalog["aper_total_flux"].value[bright] / truth[bright])
    assert found["native"] == pytest.approx(1, abs=0.008)
    if ratio == 1.0:
        assert found["native"] == found["jwst"]
    elif ratio == 0.5:
        assert found["jwst"] > 1.01


def test_fluxes_of_segments_are_those_of_the_catalogue_in_the_detection_filter(sky, references):
    x, y, flux, _, mosaic = sky
    table, _ = measured(image_of("F444W", x, y, flux["F444W"], 5), sky, references)
    for name in ("isophotal_flux", "isophotal_flux_err"):
        np.testing.assert_allclose(table[name].value, mosaic.catalog[name].value, rtol=2e-5)
    assert (table["coverage"] == 1).all()


def test_planes_on_disk_and_bands_of_rows_change_nothing(sky, references, tmp_path, monkeypatch):
    x, y, flux, _, _ = sky
    tables = {}
    for where in ("memory", "disk"):
        mosaic = image_of("F200W", x, y, flux["F200W"], 7)
        mosaic.weight[:, :50] = 0
        with Scratch(tmp_path, budget=0, resident=1_000_000) as scratch:
            if where == "disk":
                monkeypatch.setattr("snakewebb.imaging.row_bands._PIXELS", 7 * 420)
                mosaic.empty = scratch.empty
            table, _ = measured(mosaic, sky, references)
            write_catalog(tmp_path / f"{where}.ecsv", table)
            tables[where] = (tmp_path / f"{where}.ecsv").read_bytes()
    assert tables["memory"] == tables["disk"]


def test_sources_beyond_the_image_of_a_filter_have_no_flux(sky, references):
    x, y, flux, _, _ = sky
    mosaic = image_of("F200W", x, y, flux["F200W"], 7)
    mosaic.weight[:, :200] = 0
    table, _ = measured(mosaic, sky, references)
    outside = table["xcentroid"] < 190
    assert np.isnan(table["aper_total_flux"][outside]).all()
    assert np.isnan(table["isophotal_flux"][outside]).all()
    assert (table["coverage"][outside] == 0).all()
    assert np.isfinite(table["aper_total_flux"][table["xcentroid"] > 210]).all()


def test_errors_hold_what_fluxes_in_empty_circles_scatter(sky, references):
    """Noise that is correlated as in a drizzled image: that of independent pixels is too small."""
    x, y, flux, order, _ = sky
    mosaics = [image_of("F200W", x, y, flux["F200W"], 7) for _ in range(2)]
    noise = np.random.default_rng(3).normal(0, 0.06, (210, 210)).repeat(2, 0).repeat(2, 1)
    for mosaic in mosaics:
        mosaic.data += noise.astype(np.float32)
        mosaic.err = np.hypot(mosaic.err, np.float32(0.06))
    truth = flux["F200W"][order] * AREA * 1e6
    honest, _ = measured(mosaics[0], sky, references)
    pixels, _ = measured(mosaics[1], sky, references, errors="pixels")
    assert 0.8 < np.std(pulls(honest, truth)) < 1.2
    assert np.std(pulls(pixels, truth)) > 1.3
    assert pixels.meta["error_factors"] == [1.0, 1.0, 1.0]
    assert honest.meta["error_factors"][2] > 1.4


def test_tables_of_filters_are_put_side_by_side(sky, references, tmp_path):
    x, y, flux, _, detection = sky
    bands = {name: measured(image_of(name, x, y, flux[name], 7), sky, references)[0] for name in ("F200W", "F444W")}
    merged = merge_bands(detection.catalog, bands)
    write_catalog(tmp_path / "multiband.ecsv", merged)
    read = QTable.read(tmp_path / "multiband.ecsv", format="ascii.ecsv")
    assert len(read) == 144
    assert read.colnames[:4] == ["label", "sky_centroid", "xcentroid", "ycentroid"]
    for name, table in bands.items():
        np.testing.assert_allclose(read[f"{name}_aper_total_flux"].value, table["aper_total_flux"].value, rtol=1e-6)
        assert read.meta[name]["abvega_offset"] == pytest.approx({"F200W": 1.7, "F444W": 3.2}[name])
    assert (read["sky_centroid"].separation(detection.catalog["sky_centroid"]).arcsec < 1e-6).all()
    with pytest.raises(BadDataError, match=r"the table of F200W has 143 sources, but the catalogue .* has 144"):
        merge_bands(detection.catalog, {"F200W": bands["F200W"][1:]})


def test_a_filter_without_references_has_an_empty_table(sky, references):
    x, y, flux, _, detection = sky
    mosaic = image_of("F200W", x, y, flux["F200W"], 7)
    mosaic.header["FILTER"] = "F090W"
    table, status = measured(mosaic, sky, references)
    assert (status.state, len(table)) == ("NO_REFERENCE", 0)
    assert "has no row for FILTER F090W" in table.meta["reason"]
    merged = merge_bands(detection.catalog, {"F090W": table})
    assert len(merged) == 144
    assert not any(name.startswith("F090W") for name in merged.colnames)


def test_without_sources_the_tables_are_empty(sky, references):
    mosaic = image_of("F444W", [], [], [], 5)
    source_catalog(mosaic, references, snr_threshold=100.0)
    other = image_of("F200W", [], [], [], 6)
    other.segments, other.detected = mosaic.segments, mosaic.catalog
    status = forced_photometry(other, references)
    assert (status.state, status.reason) == ("COMPLETE", "no source in the detection filter")
    merged = merge_bands(mosaic.catalog, {"F200W": other.forced})
    assert len(merged) == 0
    assert "F200W_aper_total_flux_limit" in merged.colnames


def test_mosaics_that_are_not_on_one_grid_are_refused(sky, references, tmp_path):
    _, _, _, _, detection = sky
    write_segments(tmp_path / "segm.fits", detection, "cat.ecsv")
    write_catalog(tmp_path / "cat.ecsv", detection.catalog)
    mosaic = image_of("F200W", [], [], [], 6)
    read_detection(mosaic, tmp_path / "cat.ecsv", tmp_path / "segm.fits")
    np.testing.assert_array_equal(mosaic.segments, detection.segments)
    mosaic.sci_header["CRPIX1"] = 212.0
    with pytest.raises(
        BadDataError, match=r"i2d\[SCI\]: CRPIX1 is 212.0, but 211.0 in .*segm.fits: .* set common_grid"
    ):
        read_detection(mosaic, tmp_path / "cat.ecsv", tmp_path / "segm.fits")
    mosaic.segments = mosaic.segments[:-1]
    with pytest.raises(
        BadDataError, match=r"i2d\[SCI\]: 420 x 420 pixels, but the segments .* have 420 x 419; set common_grid"
    ):
        forced_photometry(mosaic, references)


def test_apertures_that_do_not_increase_are_refused(sky, references):
    with pytest.raises(
        ConfigError, match=r"steps.forced_photometry.aperture_ee1, .*: found \(50, 50, 70\), expected three"
    ):
        measured(image_of("F200W", [], [], [], 6), sky, references, aperture_ee1=50)
    with pytest.raises(
        ConfigError,
        match=r"steps.forced_photometry.aperture_ee3: found 75, expected an aperture of apcorr.fits: 10, 20",
    ):
        measured(image_of("F200W", [], [], [], 6), sky, references, aperture_ee3=75)
