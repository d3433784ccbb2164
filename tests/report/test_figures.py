"""The pictures: what is drawn is what is in the products, and empty products give a picture too."""

import shutil

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units import Quantity
from matplotlib.colors import to_rgb
from PIL import Image as Picture

from snakewebb import dq
from snakewebb.io.models import Image
from snakewebb.io.products import write_image
from snakewebb.report import alignment, exposure, guider, mosaic, style, truth
from snakewebb.report.colour_image import show_colours


def texts(figure):
    """All text of a figure."""
    from matplotlib.text import Text

    return [entry.get_text() for entry in figure.findobj(Text) if entry.get_text()]


@pytest.fixture
def rate(tmp_path):
    rng = np.random.default_rng(1)
    data = rng.normal(5.0, 0.1, (64, 80)).astype(np.float32)
    flags = np.zeros(data.shape, np.uint32)
    flags[:32, :8] = dq.JUMP_DET
    flags[0, 0] |= dq.SATURATED
    flags[63] = dq.DO_NOT_USE
    data[63] = np.nan
    header = fits.Header({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "EXP_TYPE": "NRC_IMAGE"})
    header.update(SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=80, SUBSIZE2=64)
    image = Image(header, fits.Header({"BUNIT": "DN/s"}), data, np.full(data.shape, 0.1, np.float32), flags)
    write_image(tmp_path / "x_rate.fits", image, "ImageModel")
    return tmp_path / "x_rate.fits"


def test_exposure(rate, tmp_path):
    figure = exposure.exposure_figure(rate)
    words = texts(figure)
    for expected in ("DN/s", "saturated\n0.02 %", "jump\n5 %", "do not use\n1.6 %"):
        assert expected in words
    (width,) = (float(word.split()[-1]) for word in words if word.startswith("measured"))
    assert width == pytest.approx(1.0, abs=0.05)
    exposure.write_exposure_figure(rate, tmp_path / "x.png")
    other = shutil.copy(rate, tmp_path / "other_rate.fits")
    with fits.open(other, mode="update") as units:
        units["SCI"].data *= 300
        units["DQ"].data[:] |= dq.SATURATED
        units["DQ"].data[:30] |= dq.DO_NOT_USE
    # on the sheet of another one, and on a new one
    exposure.write_exposure_figure(other, tmp_path / "other.png")
    exposure.write_exposure_figure(rate, tmp_path / "y.png")
    exposure._SHEETS.clear()
    exposure.write_exposure_figure(rate, tmp_path / "z.png")
    exposure.write_exposure_figure(other, tmp_path / "another.png")
    for first, second in (("x", "y"), ("x", "z"), ("other", "another")):
        assert (tmp_path / f"{first}.png").read_bytes() == (tmp_path / f"{second}.png").read_bytes()
    assert (tmp_path / "x.png").read_bytes() != (tmp_path / "other.png").read_bytes()
    with Picture.open(tmp_path / "x.png") as picture:
        assert picture.width > 1000
    exposure.write_exposure_figure(rate, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


def test_exposure_without_a_usable_pixel(rate):
    with fits.open(rate, mode="update") as units:
        units["DQ"].data[:] = dq.DO_NOT_USE
        units["SCI"].data[:] = np.nan
    assert "no usable pixel" in texts(exposure.exposure_figure(rate))


@pytest.mark.parametrize(("shape", "strip"), [((32, 256), True), ((128, 256), False), ((256, 32), False)])
def test_a_strip_of_the_detector_fills_the_width_of_its_figure(tmp_path, shape, strip):
    data = np.random.default_rng(2).normal(5.0, 0.1, shape).astype(np.float32)
    header = fits.Header({"INSTRUME": "NIRISS", "DETECTOR": "NIS", "EXP_TYPE": "NIS_SOSS"})
    header.update(SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=shape[1], SUBSIZE2=shape[0])
    image = Image(header, fits.Header(), data, np.full(shape, 0.1, np.float32), np.zeros(shape, np.uint32))
    write_image(tmp_path / "x_rate.fits", image, "ImageModel")
    figure = exposure.exposure_figure(tmp_path / "x_rate.fits")
    figure.draw_without_rendering()
    frames = {axes.get_title(loc="left"): axes.get_position() for axes in figure.axes}
    slope, flags = frames["Slope"], frames["Flagged pixels"]
    size = figure.get_size_inches()
    if strip:
        assert slope.width > 0.5
        assert slope.height > 0.25
        assert slope.y0 > flags.y1
        assert slope.x0 == pytest.approx(flags.x0, abs=0.01)
    else:
        assert slope.width * size[0] / (slope.height * size[1]) == pytest.approx(shape[1] / shape[0], rel=1e-6)
        assert slope.x1 < flags.x0


def test_fractions_of_flags():
    flags = np.array([[0, dq.SATURATED, dq.SATURATED | dq.JUMP_DET, dq.DO_NOT_USE]], np.uint32)
    fractions, blocks = exposure.flag_counts(flags, 3)
    assert fractions == {"saturated": 0.5, "jump": 0.25, "do not use": 0.25}
    # in blocks the first class that holds; the last block is of one pixel
    np.testing.assert_allclose(blocks, [[[2 / 3, 0, 0], [0, 0, 1]]])


def test_colours_of_flags():
    flags = np.zeros((4, 8), np.uint32)
    flags[:2, :2] = dq.SATURATED | dq.JUMP_DET  # the first class that holds
    flags[0, 2] = dq.JUMP_DET
    flags[2, 4] = 1 << 11  # of no class
    red, sky = (np.array(to_rgb(colour)) for colour in (style.RED, style.SKY))
    ground = np.array(to_rgb("#F7F7F7"))
    colours = exposure.flag_colours(exposure.flag_counts(flags, 2)[1])
    np.testing.assert_allclose(colours[0, 0], red)
    np.testing.assert_allclose(colours[0, 1], (ground + sky) / 2)
    np.testing.assert_allclose(colours[1], [ground] * 4)
    np.testing.assert_allclose(exposure.flag_colours(exposure.flag_counts(flags, 1)[1])[0, 2], sky)


def test_signal_of_a_guide_star(tmp_path):
    levels = np.array([5.0, -300.0, 40.0])
    data = np.zeros((3, 20, 24), np.float32) + levels[:, None, None].astype(np.float32)
    data[:, 9:12, 13:16] += np.array([10.0, 20.0, 30.0], np.float32)[:, None, None]
    data[:, 3, 3] += 80  # a hot pixel is not the star
    data[2, 9, 13] = np.nan  # in no sum, so that all are of the same pixels
    flags = np.zeros((20, 24), np.uint32)
    flags[11, 15] = dq.DO_NOT_USE
    numbers, signal, error = guider.star_signal(data, np.full(data.shape, 0.5), flags != 0, np.nanmean(data, axis=0))
    np.testing.assert_array_equal(numbers, [1, 2, 3])
    np.testing.assert_allclose(signal, [70, 140, 210])
    np.testing.assert_allclose(error, 0.5 * np.sqrt(62))
    path = tmp_path / "x_cal.fits"
    for usable in (True, False):
        flags[:] |= 0 if usable else dq.DO_NOT_USE
        units = [fits.ImageHDU(a, name=name) for name, a in (("SCI", data), ("ERR", np.ones_like(data)), ("DQ", flags))]
        fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path, overwrite=True)
        figure = guider.guider_figure(path)
        assert ("no usable pixel" in texts(figure)) == (not usable)
        assert {"Mean of the integrations", "Signal", "DN/s"} <= set(texts(figure))
    guider.write_guider_figure(path, tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


def alignment_table(path, rows):
    names = ("exposure", "status", "n_matches", "rmse", "dx", "dy")
    Table(rows=rows, names=names).write(path, format="ascii.ecsv")
    return path


def test_alignment(tmp_path):
    root = "jw01234001001_02101"
    rows = [
        (f"{root}_00001_nrca1", "REFERENCE", 0, np.nan, 0.0, 0.0),
        (f"{root}_00002_nrca1", "SUCCESS", 55, 0.004, 0.050, -0.020),
        (f"{root}_00003_nrca1", "FAILED", 3, np.nan, np.nan, np.nan),
    ]
    figure = alignment.alignment_figure(alignment_table(tmp_path / "a.ecsv", rows))
    words = texts(figure)
    assert "55 matches" in words
    assert {"reference", "success", "failed", "00001 nrca1", "00003 nrca1"} <= set(words)
    left = figure.axes[0]
    points = np.concatenate([line.get_xydata() for line in left.lines])
    np.testing.assert_allclose(points[np.isfinite(points[:, 0])], [[0, 0], [50, -20]], atol=1e-9)
    assert left.get_xlim()[0] > left.get_xlim()[1]  # east is left
    empty = alignment.alignment_figure(alignment_table(tmp_path / "b.ecsv", rows).with_name("b.ecsv"))
    assert len(empty.axes) == 2


def test_of_many_exposures_some_have_their_names(tmp_path):
    count = 1000
    roots = [f"jw01234001001_02101_{number:05d}_nrca1" for number in range(1, 1 + count)]
    rows = [(root, "SUCCESS" if n % 10 else "FAILED", 9, 0.002, 0.01, 0.0) for n, root in enumerate(roots)]
    figure = alignment.alignment_figure(alignment_table(tmp_path / "a.ecsv", rows))
    right = figure.axes[1]
    assert len(right.get_yticklabels()) == 40
    assert sum(len(line.get_xdata()) for line in right.lines) == count, "each has a point"
    assert len(texts(figure)) < 100
    table = Table({"exposure": roots, "level": np.arange(count) / 1e3, "status": ["COMPLETE"] * count})
    table["level"][3] = np.nan
    table.write(tmp_path / "s.ecsv", format="ascii.ecsv")
    figure = alignment.sky_figure(tmp_path / "s.ecsv")
    assert len(figure.axes[0].get_yticklabels()) == 40
    assert len(texts(figure)) < 100


def test_the_axes_of_a_mosaic_are_those_of_what_was_seen(i2d):
    """A grid that mosaics share is larger than each: the first twelve columns have no data."""
    figure = mosaic.mosaic_figure(i2d)
    for axes in figure.axes[:2]:
        assert axes.get_xlim() == (11.5, 119.5)
        assert axes.get_ylim() == (-0.5, 89.5)


def test_a_mosaic_is_reduced_in_bands_to_the_means_of_its_blocks(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    data, weight = rng.normal(2, 1, (2, 1310, 730)).astype(np.float32)
    weight[:41] = weight[:, :17] = weight[700:720] = 0
    data[300:340, 100:140] = np.nan
    names = {"SCI": data, "WHT": np.maximum(weight, 0)}
    units = [fits.ImageHDU(plane, name=name) for name, plane in names.items()]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "a_i2d.fits")
    monkeypatch.setattr("snakewebb.report.plane_bands._PIXELS", 9 * 730)
    found = mosaic.read_overview(tmp_path / "a_i2d.fits")
    assert found.corner == (17, 41)
    assert found.covered == np.mean(weight > 0)
    assert found.unit == "MJy/sr"
    size = found.step
    assert size == 3
    for image, plane in ((found.image, data), (found.coverage, weight)):
        seen = np.where(weight > 0, plane, np.nan)[41:, 17:]
        assert image.shape == (-(-1269 // size), -(-713 // size))
        np.testing.assert_allclose(image[5, 7], np.nanmean(seen[15:18, 21:24]), rtol=1e-6)
        np.testing.assert_allclose(
            image[-1, -1], np.nanmean(seen[-(1269 % size or size) :, -(713 % size or size) :]), rtol=1e-6
        )
        assert np.isnan(image[(700 - 41) // size + 1 : (720 - 41) // size]).all()
    assert np.isnan(found.image[(300 - 41) // 3 + 1 : (340 - 41) // 3, (100 - 17) // 3 + 1 : (140 - 17) // 3]).all()


@pytest.mark.parametrize("catalogue", [False, True])
def test_residuals(tmp_path, catalogue):
    """3 mas east and 1 south of the others with a scatter of 2; half of the field 10 mas east of the catalogue, half 10 west."""
    rng = np.random.default_rng(6)
    ra, dec = 359.999 + rng.uniform(0, 0.02, 800) - 0.01, rng.uniform(-0.01, 0.01, 800)
    offsets = {
        "ra": ra % 360,
        "dec": dec,
        "east": rng.normal(0.003, 0.002, 800),
        "north": rng.normal(-0.001, 0.002, 800),
        "cat_east": np.where(dec > 0, 0.01, -0.01) if catalogue else np.full(800, np.nan),
        "cat_north": np.zeros(800) if catalogue else np.full(800, np.nan),
    }
    offsets["east"][:3] = 0.5
    Table(offsets).write(tmp_path / "r.ecsv", format="ascii.ecsv")
    figure = alignment.residual_figure(tmp_path / "r.ecsv")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    against = ["Against the other exposures", "Against the catalogue"][: 1 + catalogue]
    assert titles == [*against, "Median over the field"]
    lines = next(text for text in texts(figure) if text.startswith("east ")).splitlines()
    numbers = [[float(word) for word in line.split() if word[-1].isdigit()] for line in lines[:2]]
    np.testing.assert_allclose(numbers, [[3, 2], [-1, 2]], atol=0.25)
    assert lines[2] == "800 sources, 3 beyond the frame"
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]  # east is left
    # arrows of 81 cells at most, of the catalogue where there is one
    (arrows,) = [entry for entry in figure.axes[-1].collections if hasattr(entry, "U")]
    assert 60 < len(arrows.U) <= 81
    places = arrows.get_offsets()[:, 1]
    if catalogue:
        np.testing.assert_allclose(
            arrows.U[np.abs(places) > 0.1], 10 * np.sign(places[np.abs(places) > 0.1]), atol=1e-6
        )
    else:
        np.testing.assert_allclose(np.median(arrows.U), 3, atol=0.3)


def test_residuals_of_nothing(tmp_path):
    names = ("ra", "dec", "east", "north", "cat_east", "cat_north")
    Table({name: np.empty(0) for name in names}).write(tmp_path / "r.ecsv", format="ascii.ecsv")
    (message,) = texts(alignment.residual_figure(tmp_path / "r.ecsv"))
    assert message == "no star was seen in two exposures or in the catalogue"


def test_short_names():
    names = ["jw01234001001_02101_00001_nrca1", "jw01234001001_02101_00012_nrcalong"]
    assert alignment.short_names(names) == ["00001 nrca1", "00012 nrcalong"]
    assert alignment.short_names([names[0], names[1].replace("02101", "04101")]) == [
        "02101 00001 nrca1",
        "04101 00012 nrcalong",
    ]
    assert alignment.short_names(["mine", "jw1_2"]) == ["mine", "jw1_2"]


def test_sky(tmp_path):
    rows = [("jw01234001001_02101_00001_nrca1", 0.0, "match", "COMPLETE")]
    rows += [("jw01234001001_02101_00002_nrca1", 0.125, "match", "COMPLETE")]
    rows += [("jw01234001001_02101_00003_nrca1", np.nan, "match", "SKIPPED")]
    table = Table(rows=rows, names=("exposure", "level", "method", "status"))
    table["level"].unit = "MJy/sr"
    table.write(tmp_path / "s.ecsv", format="ascii.ecsv")
    figure = alignment.sky_figure(tmp_path / "s.ecsv")
    words = texts(figure)
    assert "Sky levels (method: match)" in words
    assert "skipped" in words
    assert any("MJy/sr" in word for word in words)
    table[:0].write(tmp_path / "e.ecsv", format="ascii.ecsv")
    assert texts(alignment.sky_figure(tmp_path / "e.ecsv")) == ["no sky level was measured"]


@pytest.fixture
def i2d(tmp_path):
    rng = np.random.default_rng(2)
    data = rng.normal(0.3, 0.01, (90, 120)).astype(np.float32)
    weight = np.ones(data.shape, np.float32)
    data[:, :12], weight[:, :12] = np.nan, 0
    sci = fits.ImageHDU(data, fits.Header({"BUNIT": "MJy/sr"}), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), sci, fits.ImageHDU(weight, name="WHT")]).writeto(tmp_path / "p_i2d.fits")
    return tmp_path / "p_i2d.fits"


def catalogue(path, ra=(10.0, 10.001), dec=(5.0, 5.001), flux=(2.02e-6, 1e-5)):
    count = len(ra)
    QTable(
        {
            "label": np.arange(1, count + 1),
            "xcentroid": np.linspace(20, 80, count),
            "ycentroid": np.linspace(30, 60, count),
            "is_extended": np.arange(count) % 2 == 1,
            "isophotal_flux": Quantity(flux, "Jy"),
            "semimajor_sigma": Quantity(np.full(count, 3.0), "pix"),
            "semiminor_sigma": Quantity(np.full(count, 1.0), "pix"),
            "orientation": Quantity(np.full(count, 30.0), "deg"),
            "sky_centroid": SkyCoord(np.asarray(ra, float), np.asarray(dec, float), unit="deg"),
            "aper_total_flux": Quantity(flux, "Jy"),
            "aper_total_flux_err": Quantity(flux, "Jy") / 100,
        }
    ).write(path, format="ascii.ecsv")
    return path


def test_mosaic(i2d, tmp_path):
    figure = mosaic.mosaic_figure(i2d, catalogue(tmp_path / "c.ecsv"))
    words = texts(figure)
    assert {"Mosaic and its 2 sources", "1 point-like", "1 extended", "MJy/sr"} <= set(words)
    assert "Weight (90 % of the pixels covered)" in words
    assert "Mosaic" in texts(mosaic.mosaic_figure(i2d))
    empty = catalogue(tmp_path / "e.ecsv", ra=(), dec=(), flux=())
    assert "Mosaic (no source found)" in texts(mosaic.mosaic_figure(i2d, empty))


def test_depth_of_a_mosaic(i2d, tmp_path):
    path = catalogue(tmp_path / "c.ecsv")
    rows = QTable.read(path)
    rows.meta["aperture_params"] = {"aperture_ee": [30, 50, 70], "aperture_radii": [1.0, 1.6, 3.1]}
    rows.meta["empty_apertures"] = {
        "count": [500, 400, 3],
        "pull": [1.104, 1.25, None],
        "limiting_abmag": [27.123, 27.5, None],
    }
    rows.write(path, overwrite=True)
    assert (
        "500 empty circles of 1.0 pixels (30 %): 5 sigma 27.12 AB mag, scatter 1.10 of the stated error\n"
        "400 empty circles of 1.6 pixels (50 %): 5 sigma 27.50 AB mag, scatter 1.25 of the stated error\n"
        "3 empty circles of 3.1 pixels (70 %): too few"
    ) in texts(mosaic.mosaic_figure(i2d, path))


def test_mosaic_without_weight(i2d):
    with fits.open(i2d, mode="update") as units:
        units["WHT"].data[:] = 0
    assert "no pixel has weight" in texts(mosaic.mosaic_figure(i2d))


def test_truth(tmp_path):
    rng = np.random.default_rng(3)
    ra, dec = 10 + rng.uniform(0, 0.02, 40), 5 + rng.uniform(0, 0.02, 40)
    flux = 10 ** rng.uniform(-6, -4, 40)
    stars = Table({"kind": ["star"] * 40, "ra": ra, "dec": dec, "flux_F200W": flux, "nearest": [2.0] * 30 + [0.5] * 10})
    stars.add_row(("galaxy", 10.0, 5.0, 1e-5, 3.0))
    stars.write(tmp_path / "t.ecsv", format="ascii.ecsv")
    # 4 mas east, 2 mas south, 1 % too bright
    shifted = ra + 0.004 / 3600 / np.cos(np.deg2rad(dec))
    measured = np.append(1.01 * flux, np.nan)
    path = catalogue(tmp_path / "c.ecsv", np.append(shifted, ra[0]), np.append(dec - 0.002 / 3600, dec[0]), measured)
    numbers = truth.summary(truth.compared(path, tmp_path / "t.ecsv", "flux_F200W"))
    assert numbers["stars"] == 30
    assert numbers["ratio"] == pytest.approx(1.01, abs=1e-9)
    assert (numbers["east"], numbers["north"]) == pytest.approx((4.0, -2.0), abs=1e-3)
    words = texts(truth.truth_figure(path, tmp_path / "t.ecsv", "flux_F200W"))
    assert any("1.0100 ± 0.0000 (30 isolated" in word for word in words)
    empty = catalogue(tmp_path / "e.ecsv", ra=(), dec=(), flux=())
    assert truth.summary(truth.compared(empty, tmp_path / "t.ecsv", "flux_F200W")) == {"stars": 0}
    (message,) = texts(truth.truth_figure(empty, tmp_path / "t.ecsv", "flux_F200W"))
    assert message == "no catalogued source is one of the simulated stars"


def test_reduced_keeps_means_and_flags():
    image = np.arange(24, dtype=float).reshape(4, 6)
    image[0, 0] = np.nan
    small, size = style.reduced(image, side=3)
    assert size == 2
    assert small.shape == (2, 3)
    assert small[0, 0] == pytest.approx((1 + 6 + 7) / 3)
    assert small[1, 2] == pytest.approx((16 + 17 + 22 + 23) / 4)
    uneven, size = style.reduced(image[:3, :5], side=3)
    assert uneven[1, 2] == 16


@pytest.mark.parametrize(
    ("value", "label"), [(0.0301, "0.0301"), (-700.0, "-700"), (8000.0, "8000"), (2.5e7, "2.5e+07"), (0.0, "0")]
)
def test_labels_of_colour_bars(value, label):
    assert style.tick_label(value) == label


def test_stretch_is_increasing():
    image = np.random.default_rng(5).normal(10, 1, (50, 50))
    image[10, 10] = 1e5
    norm = style.asinh_norm(image)
    values = norm(np.linspace(norm.vmin, norm.vmax, 50))
    assert (values[0], values[-1]) == pytest.approx((0, 1))
    assert (np.diff(values) > 0).all()
    assert style.asinh_norm(np.full((3, 3), np.nan)).vmax == 1


@pytest.mark.parametrize("count", [1, 1000, 500_000])
@pytest.mark.parametrize("kind", ["noise", "sorted", "few values", "periodic"])
def test_quantiles_are_those_of_numpy(count, kind):
    rng = np.random.default_rng(8)
    values = rng.normal(5, 1, count).astype(np.float32)
    if kind == "sorted":
        values.sort()
    elif kind == "few values":
        values = np.round(values)
    elif kind == "periodic":  # what a sample of every so many values does not see
        values[:: max(1, count // 30_000)] = 1e6
    fractions = [0.0, 0.1587, 0.5, 0.9999, 1.0]
    expected = np.quantile(values.astype(np.float64), fractions)
    np.testing.assert_allclose(style.quantiles(values, fractions), expected, rtol=1e-6)


def test_few_colours_are_near_those_of_the_picture():
    rng = np.random.default_rng(9)
    grey = np.repeat(rng.integers(0, 256, (200, 300, 1)), 3, axis=2).astype(np.uint8)
    grey[:3, :3] = [int(style.RED[place : place + 2], 16) for place in (1, 3, 5)]
    grey[-1, -1], grey[-1, -2] = 255, 0
    picture = style._with_few_colours(grey)
    assert picture.mode == "P"
    shown = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(shown - grey).max() <= 4
    assert tuple(shown[-1, -1]) == (255, 255, 255)
    assert tuple(shown[-1, -2]) == (0, 0, 0)


@pytest.mark.parametrize("shape", [(37, 53), (450, 450), (900, 1200)])
@style.styled
def test_an_image_in_colours_is_drawn_as_matplotlib_does(shape):
    colours = np.random.default_rng(6).integers(0, 256, (*shape, 3), np.uint8)
    pictures = []
    for draw in (show_colours, lambda axes, image: axes.imshow(image, origin="lower", interpolation="nearest")):
        sheet, axes = style.figure(5, 4, margins=(0.33, 0.21, 0.4, 0.1))
        draw(axes, colours)
        axes.set(xlim=(3, shape[1] + 4))
        pictures.append(style._drawn(sheet, ()))
    np.testing.assert_array_equal(*pictures)
