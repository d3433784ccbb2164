"""The catalogue against constructed skies, and its answers to hopeless mosaics."""

import copy

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from snakewebb.compiled import available_threads, set_threads
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.catalog_calibration import calibration_of
from snakewebb.imaging.catalog_files import write_catalog, write_segments
from snakewebb.imaging.catalog_table import empty_catalog
from snakewebb.imaging.mosaic_image import MosaicImage, read_mosaic
from snakewebb.imaging.source_catalog import source_catalog
from snakewebb.io.references import References
from snakewebb.io.scratch import Scratch

FWHM = 2.4
SIGMA = FWHM / 2.3548200450309493
# the pixels blur a star once when they collect its light and once when a circle cuts them
BLURRED = np.sqrt(SIGMA**2 + 2 / 12)
PIXEL_AREA = 2.3e-14  # sr
ENERGIES = (30, 50, 70, 80)


class Plane:
    """A rotated tangent plane, linear near the reference point."""

    def __init__(self, angle=30.0, scale=0.03 / 3600):
        self.cos, self.sin = np.cos(np.deg2rad(angle)) * scale, np.sin(np.deg2rad(angle)) * scale

    def pixel_to_sky(self, x, y):
        x, y = np.asarray(x, float) - 100, np.asarray(y, float) - 100
        dec = 10.0 + self.sin * x + self.cos * y
        return 50.0 + (-self.cos * x + self.sin * y) / np.cos(np.deg2rad(10.0)), dec


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Apertures of a Gaussian star, in pixels of the mosaic."""
    import asdf

    folder = tmp_path_factory.mktemp("references")
    names = ("filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout")
    rows = [
        (filter_name, "CLEAR", energy / 100, BLURRED * np.sqrt(-2 * np.log1p(-energy / 100)), 100 / energy, 8.0, 12.0)
        for filter_name in ("F200W", "F150W")
        for energy in ENERGIES
    ]
    kinds = ["S12", "S15", "f4", "f4", "f4", "f4", "f4"]
    table = np.array(rows, dtype=list(zip(names, kinds, strict=True)))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="APCORR")]).writeto(folder / "apcorr.fits")
    offsets = Table({"filter": ["F200W", "F444W"], "pupil": ["CLEAR"] * 2, "abvega_offset": [1.7, 3.2]})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(folder / "abvegaoffset.asdf")
    paths = {"apcorr": folder / "apcorr.fits", "abvegaoffset": folder / "abvegaoffset.asdf"}
    return References(paths, (1, 1, 2048, 2048))


def mosaic_of(data, err, weight=None, **keywords):
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F200W", "PUPIL": "CLEAR", "PXSCLRT": 1.0} | keywords)
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXEL_AREA, "CRPIX1": 101.0, "CRPIX2": 101.0})
    weight = np.ones(data.shape, np.float32) if weight is None else weight
    return MosaicImage(header, sci_header, data.astype(np.float32), err.astype(np.float32), weight, Plane())


def star_image(shape, x, y, flux):
    """Gaussian stars integrated over pixels."""
    image = np.zeros(shape)
    for column, row, total in zip(x, y, flux, strict=True):
        across, down = (
            0.5 * np.diff(erf((np.arange(length + 1) - 0.5 - centre) / (np.sqrt(2) * SIGMA)))
            for length, centre in ((shape[1], column), (shape[0], row))
        )
        image += total * np.outer(down, across)
    return image


def observed(image, seed, sky=0.3, read=0.02, gain=2000.0):
    err = np.sqrt(read**2 + (image + sky) / gain)
    return image + sky + np.random.default_rng(seed).normal(0, err), err


@pytest.fixture(scope="module")
def isolated_stars(references):
    """A grid of stars of S/N 20 to 400, and the mosaic with its catalogue."""
    rng = np.random.default_rng(11)
    y, x = (np.mgrid[:12, :12] * 34.0 + 20).reshape(2, -1) + rng.uniform(-3, 3, (2, 144))
    flux = 10 ** rng.uniform(0.3, 2.2, x.size)
    mosaic = mosaic_of(*observed(star_image((420, 420), x, y, flux), seed=5))
    status = source_catalog(mosaic, references, npixels=6)
    assert status.state == "COMPLETE"
    catalog = mosaic.catalog
    nearest = np.argmin(np.hypot(x[:, None] - catalog["xcentroid"], y[:, None] - catalog["ycentroid"]), axis=1)
    return x, y, flux, catalog[nearest], mosaic


def test_every_star_is_found_once(isolated_stars):
    x, y, _, matched, mosaic = isolated_stars
    assert len(mosaic.catalog) == x.size == len(np.unique(matched["label"]))
    labels = mosaic.segments[np.rint(y).astype(int), np.rint(x).astype(int)]
    np.testing.assert_array_equal(labels, matched["label"])
    assert not matched["is_extended"].any()


def test_fluxes_of_isolated_stars(isolated_stars):
    _, _, flux, matched, _ = isolated_stars
    expected = flux * PIXEL_AREA * 1e6
    ratio = matched["aper_total_flux"].value / expected
    error = matched["aper_total_flux_err"].value / expected
    bright = 1 / error > 50
    assert bright.sum() > 60
    assert np.mean(ratio[bright]) == pytest.approx(1.0, abs=0.005)
    for energy in (30, 50, 70):
        inside = matched[f"aper{energy}_flux"].value / expected
        assert np.mean(inside[bright]) == pytest.approx(energy / 100, abs=0.008)
    # for brighter stars the place of the star within its pixel dominates
    pull = ((ratio - 1) / error)[1 / error < 80]
    assert np.std(pull) == pytest.approx(1.0, abs=0.2)
    magnitude = -2.5 * np.log10(matched["aper_total_flux"].value) + 8.9
    np.testing.assert_allclose(matched["aper_total_abmag"], magnitude, rtol=1e-12)
    np.testing.assert_allclose(matched["aper_total_vegamag"], magnitude - 1.7, rtol=1e-7)


def test_positions_of_isolated_stars(isolated_stars):
    x, y, _, matched, _ = isolated_stars
    snr = matched["aper_total_flux"] / matched["aper_total_flux_err"]
    limit = np.sqrt((FWHM / (2 * snr)) ** 2 + 0.02**2)
    good = snr > 20
    for truth, name in ((x, "xcentroid"), (y, "ycentroid")):
        offset = np.asarray(matched[name]) - truth
        assert abs(np.mean(offset[good])) < 0.01
        assert np.sqrt(np.mean((offset / limit)[good] ** 2)) < 1.2
    ra, dec = Plane().pixel_to_sky(matched["xcentroid"], matched["ycentroid"])
    np.testing.assert_allclose(matched["sky_centroid"].ra.deg, ra, rtol=1e-14)
    np.testing.assert_allclose(matched["sky_centroid"].dec.deg, dec, rtol=1e-14)


def test_depth_in_metadata_and_header(isolated_stars, references, tmp_path):
    """Circles between the stars have the noise of the sky; cut pixels are less noisy than the stated errors say."""
    mosaic = isolated_stars[-1]
    depth = mosaic.catalog.meta["empty_apertures"]
    assert min(depth["count"]) > 100
    noise = np.sqrt(0.02**2 + 0.3 / 2000.0) * PIXEL_AREA * 1e6
    radii = np.array(mosaic.catalog.meta["aperture_params"]["aperture_radii"])
    np.testing.assert_allclose(depth["stated"], noise * np.sqrt(np.pi) * radii, rtol=0.02)
    assert all(0.7 < pull < 1.25 for pull in depth["pull"])
    write_segments(tmp_path / "x_segm.fits", mosaic, "x_cat.ecsv")
    header = fits.getheader(tmp_path / "x_segm.fits")
    for number, energy in enumerate(mosaic.catalog.meta["aperture_params"]["aperture_ee"]):
        assert header[f"DEPTH{energy}"] == pytest.approx(depth["limiting_abmag"][number], abs=1e-4)
        assert header[f"EMPTYP{energy}"] == pytest.approx(depth["pull"][number], abs=1e-4)
    other = copy.copy(mosaic)
    source_catalog(other, references, npixels=6, compatibility="jwst")
    assert "empty_apertures" not in other.catalog.meta


def test_shape_and_orientation_of_a_galaxy(references):
    y, x = np.mgrid[:200, :200] - 100.0
    angle = np.deg2rad(25.0)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    galaxy = 300 * np.exp(-0.5 * ((along / 8) ** 2 + (across / 3) ** 2)) / (2 * np.pi * 24)
    mosaic = mosaic_of(*observed(galaxy, seed=8))
    source_catalog(mosaic, references)
    (row,) = mosaic.catalog[mosaic.catalog["isophotal_area"].value > 200]
    assert row["orientation"].value % 180 == pytest.approx(25.0, abs=1.0)
    # north is 30 degrees clockwise from the y axis of the plane, east is left
    assert row["sky_orientation"].value % 180 == pytest.approx((25.0 - 60.0) % 180, abs=1.0)
    assert row["ellipticity"].value == pytest.approx(1 - 3 / 8, abs=0.05)
    assert row["is_extended"]


def test_stars_and_galaxies_are_told_apart(isolated_stars, references):
    """Galaxies of half-light radii from 1 to 4 FWHM; the archive's thresholds are those of sources of even brightness."""
    rng = np.random.default_rng(4)
    y, x = (np.mgrid[:10, :10] * 40.0 + 25).reshape(2, -1) + rng.uniform(-3, 3, (2, 100))
    radii, fluxes = FWHM * rng.uniform(1, 4, 100), 10 ** rng.uniform(1.5, 2.5, 100)
    rows, columns = np.mgrid[:420, :420]
    image = np.zeros((420, 420))
    for column, row, radius, flux in zip(x, y, radii, fluxes, strict=True):
        # of Sersic index 1
        profile = np.exp(-1.678 * np.hypot(columns - column, rows - row) / radius)
        image += flux * profile / profile.sum()
    mosaic = mosaic_of(*observed(gaussian_filter(image, SIGMA), seed=6))

    def flagged(mosaic, x, y, **parameters):
        again = copy.copy(mosaic)
        source_catalog(again, references, npixels=6, **parameters)
        catalog = again.catalog
        nearest = np.argmin(np.hypot(x[:, None] - catalog["xcentroid"], y[:, None] - catalog["ycentroid"]), axis=1)
        signal = catalog["aper70_flux"] / catalog["aper70_flux_err"]
        return np.asarray(catalog["is_extended"])[nearest[np.asarray(signal)[nearest] > 20]]

    x_stars, y_stars, *_, stars = isolated_stars
    galaxies = flagged(mosaic, x, y)
    assert len(galaxies) >= 90
    assert galaxies.mean() > 0.97
    assert not flagged(stars, x_stars, y_stars).any()
    assert flagged(mosaic, x, y, compatibility="jwst").mean() < 0.5
    # a threshold that is given counts, with the other one of the archive
    assert not flagged(mosaic, x, y, ci1_star_threshold=3.0).any()
    assert flagged(mosaic, x, y, ci1_star_threshold=0.0, ci2_star_threshold=0.0).all()


@pytest.mark.parametrize(("compatibility", "beyond"), [("native", 0.5), ("jwst", 1.5)])
def test_box_on_the_sky(references, compatibility, beyond):
    mosaic = mosaic_of(*observed(star_image((100, 100), [50.2], [40.7], [100.0]), seed=1))
    source_catalog(mosaic, references, compatibility=compatibility)
    rows, columns = np.nonzero(mosaic.segments == 1)
    for name, column, row in (
        ("ll", columns.min() - 0.5, rows.min() - 0.5),
        ("ul", columns.min() - 0.5, rows.max() + beyond),
        ("lr", columns.max() + beyond, rows.min() - 0.5),
        ("ur", columns.max() + beyond, rows.max() + beyond),
    ):
        corner = mosaic.catalog[f"sky_bbox_{name}"][0]
        assert (corner.ra.deg, corner.dec.deg) == pytest.approx(Plane().pixel_to_sky(column, row), rel=1e-14)


def test_two_stars_are_divided_only_if_asked(references):
    image = star_image((80, 80), [36.0, 42.5], [40.0, 41.0], [200.0, 120.0])
    for deblend, count in ((True, 2), (False, 1)):
        mosaic = mosaic_of(*observed(image, seed=3))
        source_catalog(mosaic, references, deblend=deblend, npixels=8)
        assert len(mosaic.catalog) == mosaic.segments.max() == count
    first = mosaic_of(*observed(image, seed=3))
    source_catalog(first, references, npixels=8)
    assert list(first.catalog["nn_label"]) == [2, 1]
    assert first.catalog["nn_dist"].value == pytest.approx(np.hypot(6.5, 1.0), abs=0.3)


@pytest.mark.parametrize(
    ("separation", "found", "scatter"), [(1.5, 0.0, 0.0), (2.0, 0.67, 0.04), (2.5, 1.0, 0.01), (4.0, 1.0, 0.005)]
)
def test_deblended_pairs_have_the_flux_of_each_star(references, separation, found, scatter):
    """Pairs of a star and one of a third to all of its flux, at a distance in FWHM and any angle."""
    rng = np.random.default_rng(21)
    x, y = (np.mgrid[:7, :7] * 60.0 + 30).reshape(2, -1) + rng.uniform(-0.5, 0.5, (2, 49))
    angle, flux = rng.uniform(0, 2 * np.pi, 49), 10 ** rng.uniform(2.0, 2.6, 49)
    x = np.concatenate([x, x + separation * FWHM * np.cos(angle)])
    y = np.concatenate([y, y + separation * FWHM * np.sin(angle)])
    flux = np.concatenate([flux, flux * rng.uniform(0.33, 1.0, 49)])
    mosaic = mosaic_of(*observed(star_image((420, 420), x, y, flux), seed=9))
    source_catalog(mosaic, references, npixels=6)
    catalog = mosaic.catalog
    assert (len(catalog) - 49) / 49 == pytest.approx(found, abs=0.06)
    if not found:
        return
    distance = np.hypot(x - catalog["xcentroid"][:, None], y - catalog["ycentroid"][:, None])
    nearest = np.argmin(distance, axis=0)
    both = nearest[:49] != nearest[49:]
    both = np.concatenate([both, both])
    assert np.median(distance.min(axis=0)[both]) < 0.25
    ratio = catalog["isophotal_flux"].value[nearest[both]] / (flux[both] * PIXEL_AREA * 1e6)
    # light of each is in the segment of the other
    assert np.median(ratio) == pytest.approx(1.0, abs=0.005)
    assert np.std(ratio) < scatter


@pytest.mark.parametrize("starfinder", ["dao", "iraf"])
def test_star_finders(references, starfinder):
    x, y = np.array([30.3, 80.0, 55.1]), np.array([33.0, 40.6, 77.7])
    mosaic = mosaic_of(*observed(star_image((110, 110), x, y, [300.0, 400.0, 500.0]), seed=4))
    source_catalog(mosaic, references, starfinder=starfinder, snr_threshold=20, roundlo=-1, roundhi=1, sharplo=0.2)
    assert not mosaic.segments.any()
    order = np.argsort(mosaic.catalog["ycentroid"])
    assert np.asarray(mosaic.catalog["xcentroid"][order]) == pytest.approx(x, abs=0.1)
    assert np.isnan(mosaic.catalog["isophotal_area"]).all()
    assert mosaic.catalog.colnames == empty_catalog().colnames


@pytest.mark.parametrize(
    ("data", "weight", "reason"),
    [
        (np.full((60, 70), np.nan), 1.0, "no pixel of the mosaic has data"),
        (np.ones((60, 70)), 0.0, "no pixel of the mosaic has data"),
        (np.ones((60, 70)), 1.0, "no source above the threshold"),
        (np.random.default_rng(1).normal(0.3, 0.01, (60, 70)), 1.0, "no source above the threshold"),
    ],
)
def test_mosaics_without_sources(references, tmp_path, data, weight, reason):
    mosaic = mosaic_of(data, np.full(data.shape, 0.01), np.full(data.shape, weight, np.float32))
    status = source_catalog(mosaic, references)
    assert (status.state, status.reason) == ("COMPLETE", reason)
    assert len(mosaic.catalog) == 0
    assert mosaic.segments.shape == data.shape
    assert not mosaic.segments.any()
    write_catalog(tmp_path / "cat.ecsv", mosaic.catalog)
    table = QTable.read(tmp_path / "cat.ecsv")
    assert table.colnames == empty_catalog().colnames
    assert table.meta["reason"] == reason
    assert table["aper50_flux"].unit == "Jy"


def test_filter_without_apertures(references):
    mosaic = mosaic_of(np.ones((50, 50)), np.ones((50, 50)), FILTER="F115W")
    status = source_catalog(mosaic, references)
    assert status.state == "NO_REFERENCE"
    assert status.reason == "apcorr.fits has no row for FILTER F115W, PUPIL CLEAR; for FILTER it has F200W, F150W"
    assert len(mosaic.catalog) == 0
    mosaic.header["FILTER"] = "F150W"
    with pytest.raises(
        LookupError, match=r"abvegaoffset.asdf has no row for FILTER F150W, PUPIL CLEAR; for FILTER it has F200W, F444W"
    ):
        calibration_of(mosaic, references)


def test_apertures_scale_with_the_pixels(references):
    mosaic = mosaic_of(np.ones((50, 50)), np.ones((50, 50)), PXSCLRT=0.5)
    calibration = calibration_of(mosaic, references, (30, 50, 80))
    expected = [2 * BLURRED * np.sqrt(-2 * np.log1p(-energy / 100)) for energy in (30, 50, 80)]
    assert calibration.radii == pytest.approx(expected, rel=1e-6)
    assert calibration.corrections == pytest.approx((100 / 30, 2.0, 1.25), rel=1e-6)
    assert calibration.ring == (16.0, 24.0)


def test_wrong_parameters_and_units(references):
    mosaic = mosaic_of(np.ones((50, 50)), np.ones((50, 50)))
    with pytest.raises(ConfigError, match=r"found \(50, 50, 70\), expected three increasing numbers"):
        source_catalog(mosaic, references, aperture_ee1=50)
    with pytest.raises(ConfigError, match=r"aperture_ee1: found 25, expected an aperture of apcorr.fits: 30, 50, 70"):
        source_catalog(mosaic, references, aperture_ee1=25)
    with pytest.raises(ConfigError, match=r"kron_params: found \[2.5\], expected two or three numbers"):
        source_catalog(mosaic, references, kron_params=[2.5])
    mosaic.sci_header["BUNIT"] = "DN/s"
    with pytest.raises(BadDataError, match=r"BUNIT is 'DN/s', expected 'MJy/sr'; run photom"):
        source_catalog(mosaic, references)
    mosaic.sci_header["BUNIT"] = "MJy/sr"
    del mosaic.sci_header["PIXAR_SR"]
    with pytest.raises(BadDataError, match="PIXAR_SR is missing"):
        source_catalog(mosaic, references)


def test_written_catalogue_is_reproducible(isolated_stars, tmp_path):
    catalog = isolated_stars[4].catalog
    for name in ("first.ecsv", "second.ecsv"):
        write_catalog(tmp_path / name, catalog)
    assert (tmp_path / "first.ecsv").read_bytes() == (tmp_path / "second.ecsv").read_bytes()
    table = QTable.read(tmp_path / "first.ecsv")
    assert table.colnames == catalog.colnames
    np.testing.assert_array_equal(table["aper_total_flux"], catalog["aper_total_flux"])
    assert table["sky_centroid"].separation(catalog["sky_centroid"]).arcsec.max() == 0
    assert table.meta["aperture_params"]["aperture_ee"] == [30, 50, 70]


@pytest.mark.parametrize("settings", [{}, {"bkg_boxsize": 90, "localbkg_width": 5, "connectivity": 4}], ids=str)
def test_threads_planes_on_disk_and_bands_of_rows_change_nothing(
    isolated_stars, references, tmp_path, monkeypatch, settings
):
    data, err, weight = (getattr(isolated_stars[4], name).copy() for name in ("data", "err", "weight"))
    weight[:60, :80] = 0
    err[200:204, 300:310] = np.nan
    found = {}
    for where in ("one thread", "memory", "disk"):
        set_threads(1 if where == "one thread" else available_threads())
        mosaic = mosaic_of(data, err, weight)
        with Scratch(tmp_path, budget=0, resident=1_000_000) as scratch:
            if where == "disk":
                monkeypatch.setattr("snakewebb.imaging.row_bands._PIXELS", 7 * 420)
                mosaic.empty = scratch.empty
                mosaic.data, mosaic.err, mosaic.weight = (scratch.empty((420, 420)) for _ in range(3))
                mosaic.data[:], mosaic.err[:], mosaic.weight[:] = data, err, weight
            source_catalog(mosaic, references, npixels=6, **settings)
            write_catalog(tmp_path / f"{where}_cat.ecsv", mosaic.catalog)
            found[where] = mosaic.segments.copy()
    assert found["memory"].max() > 120
    for where in ("one thread", "disk"):
        np.testing.assert_array_equal(found[where], found["memory"])
        assert (tmp_path / f"{where}_cat.ecsv").read_bytes() == (tmp_path / "memory_cat.ecsv").read_bytes()


def mosaic_file(path, *, tan=True):
    """An i2d file with one star, as the mosaic step writes it."""
    from snakewebb.imaging.mosaic import Mosaic
    from snakewebb.imaging.output_grid import OutputGrid, TanProjection
    from snakewebb.io.mosaic_file import write_mosaic

    angle = np.deg2rad(20.0)
    projection = TanProjection(
        crpix=(40.25, 30.5),
        crval=(210.1234567890123, -45.98765432109876),
        cdelt=(0.03 / 3600, 0.03 / 3600),
        pc=((-np.cos(angle), np.sin(angle)), (np.sin(angle), np.cos(angle))),
    )
    shape = (70, 90)
    grid = OutputGrid(shape, projection, ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5)), 0.03, 1.0)
    if not tan:
        from astropy.modeling.models import Identity

        wcs = grid.as_gwcs()
        grid = OutputGrid(shape, projection, grid.bounding_box, 0.03, 1.0, wcs)
        wcs.insert_transform("world", Identity(2))
    data, err = observed(star_image(shape, [50.2], [40.7], [100.0]), seed=1)
    header = fits.Header({"INSTRUME": "NIRCAM", "FILTER": "F200W", "PUPIL": "CLEAR", "PXSCLRT": 1.0})
    sci_header = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXEL_AREA, **grid.fits_keywords()})
    planes = (data.astype(np.float32), err.astype(np.float32), np.ones(shape, np.float32))
    write_mosaic(path, Mosaic([], header, sci_header, *planes, grid=grid))
    return projection


def test_files(references, tmp_path):
    from stdatamodels.jwst import datamodels

    projection = mosaic_file(tmp_path / "x_i2d.fits")
    mosaic = read_mosaic(tmp_path / "x_i2d.fits")
    x, y = np.array([0.0, 80.0]), np.array([3.0, 60.0])
    np.testing.assert_allclose(mosaic.grid.pixel_to_sky(x, y), projection.pixel_to_sky(x, y), rtol=1e-15)
    source_catalog(mosaic, references)
    assert set(write_catalog(tmp_path / "x_cat.ecsv", mosaic.catalog)) == {"sha256"}
    sums = write_segments(tmp_path / "x_segm.fits", mosaic, "x_cat.ecsv")
    assert list(sums) == ["PRIMARY", "SCI", "ASDF"]
    with datamodels.open(tmp_path / "x_segm.fits") as model:
        assert type(model).__name__ == "SegmentationMapModel"
        assert model.data.dtype == np.uint32
        np.testing.assert_array_equal(model.data, mosaic.segments)
        assert model.meta.source_catalog == "x_cat.ecsv"
        assert model.meta.filename == "x_segm.fits"
        assert model.meta.wcsinfo.crpix1 == 41.25
        np.testing.assert_allclose(model.meta.wcs(x, y), projection.pixel_to_sky(x, y), rtol=1e-13)


def test_planes_that_are_larger_than_the_budget_are_read_to_disk(tmp_path):
    mosaic_file(tmp_path / "x_i2d.fits")
    in_memory = read_mosaic(tmp_path / "x_i2d.fits")
    with Scratch(tmp_path, budget=4 * 70 * 90 - 1) as scratch:
        on_disk = read_mosaic(tmp_path / "x_i2d.fits", scratch)
        assert on_disk.empty == scratch.empty
        for name in ("data", "err", "weight"):
            np.testing.assert_array_equal(getattr(on_disk, name), getattr(in_memory, name))
    with Scratch(tmp_path, budget=4 * 70 * 90) as scratch:
        assert read_mosaic(tmp_path / "x_i2d.fits", scratch).empty is in_memory.empty is np.empty


def test_files_of_a_step_that_did_not_run(tmp_path):
    mosaic_file(tmp_path / "x_i2d.fits")
    mosaic = read_mosaic(tmp_path / "x_i2d.fits")
    write_catalog(tmp_path / "x_cat.ecsv", mosaic.catalog)
    write_segments(tmp_path / "x_segm.fits", mosaic, "x_cat.ecsv")
    table = QTable.read(tmp_path / "x_cat.ecsv")
    assert (len(table), table.meta["reason"]) == (0, "source_catalog did not run")
    assert not fits.getdata(tmp_path / "x_segm.fits").any()


def test_mosaic_with_another_coordinate_system(tmp_path):
    projection = mosaic_file(tmp_path / "y_i2d.fits", tan=False)
    mosaic = read_mosaic(tmp_path / "y_i2d.fits")
    assert type(mosaic.grid).__name__ == "GwcsImage"
    x, y = np.array([0.0, 80.0]), np.array([3.0, 60.0])
    np.testing.assert_allclose(mosaic.grid.pixel_to_sky(x, y), projection.pixel_to_sky(x, y), rtol=1e-13)


def test_incomplete_mosaics(tmp_path):
    mosaic_file(tmp_path / "x_i2d.fits")
    with fits.open(tmp_path / "x_i2d.fits", mode="update") as units:
        del units["ASDF"], units["SCI"].header["PC1_2"]
    with pytest.raises(BadDataError, match=r"x_i2d.fits\[SCI\]: CTYPE1 is 'RA---TAN' and PC1_2 is missing"):
        read_mosaic(tmp_path / "x_i2d.fits")
    with fits.open(tmp_path / "x_i2d.fits", mode="update") as units:
        del units["WHT"], units["ERR"]
    with pytest.raises(BadDataError, match="extension ERR, WHT missing; a mosaic"):
        read_mosaic(tmp_path / "x_i2d.fits")
