"""The page of a programme: colours, counts and tables against what was put in."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units import Quantity
from astropy.wcs import WCS

from snakewebb.report import composite, coverage, pixels, programme

RA, DEC = 150.0, 2.0
SCALE = 0.1 / 3600


def plane(shape, *, roll, scale=SCALE):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.crpix = [0.5 * (shape[1] + 1), 0.5 * (shape[0] + 1)]
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    wcs.wcs.pc = [[-c, s], [s, c]]
    wcs.wcs.cdelt = [scale, scale]
    return wcs


def write_mosaic(path, filter_name, sources, *, shape=(300, 300), roll=0.0, pupil="CLEAR", covered=True, noise=0.01):
    """A mosaic with sources (offset east and north in arcsec, peak) of 7 x 7 pixels."""
    data = np.random.default_rng(len(filter_name)).normal(0.5, noise, shape).astype(np.float32)
    wcs = plane(shape, roll=roll)
    for east, north, peak in sources:
        x, y = wcs.wcs_world2pix(RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600, 0)
        column, row = round(float(x)), round(float(y))
        data[row - 3 : row + 4, column - 3 : column + 4] += peak
    weight = np.ones(shape, np.float32)
    if not covered:
        data[:, : shape[1] // 2], weight[:, : shape[1] // 2] = np.nan, 0
    header = wcs.to_header()
    header["PIXAR_A2"] = (3600 * SCALE) ** 2
    primary = fits.PrimaryHDU(header=fits.Header({"FILTER": filter_name, "PUPIL": pupil}))
    units = [primary, fits.ImageHDU(data, header, name="SCI"), fits.ImageHDU(weight, name="WHT")]
    fits.HDUList(units).writeto(path)
    return path


def colour_at(image, scale, east, north):
    """Mean colour of the 3 x 3 pixels at an offset from the middle of the picture."""
    row = round(0.5 * (image.shape[0] - 1) + north / scale)
    column = round(0.5 * (image.shape[1] - 1) - east / scale)
    return image[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).mean(axis=0)


def test_colours_are_at_their_place_on_the_sky(tmp_path):
    places = {"red": (8.0, 4.0), "white": (-7.0, 6.0), "blue": (3.0, -9.0)}
    red = [(*places["red"], 3.0), (*places["white"], 3.0)]
    blue = [(*places["blue"], 3.0), (*places["white"], 3.0)]
    bands = [
        composite.read_band(write_mosaic(tmp_path / "a_i2d.fits", "F200W", blue, roll=30.0)),
        composite.read_band(write_mosaic(tmp_path / "b_i2d.fits", "F444W", red, roll=75.0)),
    ]
    image, scale = composite.composite(bands)
    assert image.dtype == np.uint8
    r, g, b = colour_at(image, scale, *places["red"])
    assert r > g > b
    r, g, b = colour_at(image, scale, *places["blue"])
    assert b > g > r
    r, g, b = colour_at(image, scale, *places["white"])
    assert min(r, g, b) > 150
    assert max(r, g, b) - min(r, g, b) < 15
    corner = image[0, 0]
    assert tuple(corner) == (0xE8, 0xE4, 0xDC), "nothing was observed there"


def test_there_is_no_colour_where_a_band_is_missing(tmp_path):
    half = composite.read_band(write_mosaic(tmp_path / "a_i2d.fits", "F200W", [], covered=False))
    whole = composite.read_band(write_mosaic(tmp_path / "b_i2d.fits", "F444W", [(8.0, 4.0, 3.0), (-8.0, 4.0, 3.0)]))
    image, scale = composite.composite([half, whole])
    r, g, b = colour_at(image, scale, 8.0, 4.0)  # columns grow to the west
    assert r == g == b > 150
    r, _, b = colour_at(image, scale, -8.0, 4.0)
    assert r > b + 50
    alone, scale = composite.composite([whole])
    assert np.ptp(alone[:-1, :-1].astype(int), axis=2).max() == 0


def test_all_mosaics_of_a_filter_are_shown(tmp_path):
    """Two observations of a target in one filter, side by side: each half is known from one, the middle from both."""
    west = composite.read_band(write_mosaic(tmp_path / "a_i2d.fits", "F200W", [(-8.0, 4.0, 3.0)], covered=False))
    both = [(8.0, 4.0, 3.0), (-8.0, 4.0, 1.0)]
    whole = composite.read_band(write_mosaic(tmp_path / "b_i2d.fits", "F200W", both))
    image, scale = composite.composite([west, whole])
    alone, _ = composite.composite([whole])
    np.testing.assert_allclose(image.shape, alone.shape, atol=1)
    east, shared = (8.0, 4.0), (-8.0, 4.0)
    assert colour_at(image, scale, *east)[0] == pytest.approx(colour_at(alone, scale, *east)[0], abs=12)
    assert colour_at(image, scale, *shared)[0] > colour_at(alone, scale, *shared)[0] + 10, "the mean of 3 and 1"
    assert np.ptp(image[2:-2, 2:-2].astype(int), axis=2).max() == 0


def test_a_filter_without_data_has_its_neighbour_in_its_place(tmp_path):
    star = [(8.0, 4.0, 3.0), (-8.0, 4.0, 3.0)]  # columns grow to the west
    blue = write_mosaic(tmp_path / "a_i2d.fits", "F090W", star, covered=False)
    green = write_mosaic(tmp_path / "b_i2d.fits", "F200W", [(east, north, 0.6 * peak) for east, north, peak in star])
    red = write_mosaic(tmp_path / "c_i2d.fits", "F444W", star)
    image, scale = composite.composite([composite.read_band(path) for path in (blue, green, red)])
    r, g, b = colour_at(image, scale, 8.0, 4.0)
    assert r > g + 20
    assert g == pytest.approx(b, abs=1)
    r, g, b = colour_at(image, scale, -8.0, 4.0)
    assert r == pytest.approx(b, abs=10)
    assert b > g + 20


def test_the_picture_is_of_what_was_seen_on_a_grid_that_is_larger(tmp_path):
    path = write_mosaic(tmp_path / "a_i2d.fits", "F200W", [(2.0, 3.0, 3.0)], covered=False)
    with fits.open(path, mode="update") as units:
        units["SCI"].data[:100] = np.nan
        units["SCI"].data[160:] = np.nan
    image, scale = composite.composite([composite.read_band(path)])
    np.testing.assert_allclose(image.shape[:2], (60, 150), atol=1)
    assert scale == pytest.approx(0.1)


def test_places_between_the_nodes_are_those_of_the_transform():
    grid, wcs = plane((901, 700), roll=0.0, scale=4.0 / 3600), plane((1500, 1800), roll=37.0, scale=3.0 / 3600)
    wcs.wcs.crval = [RA + 0.4, DEC - 0.3]
    nodes = composite._places(wcs, grid, (901, 700))
    rows, columns = np.indices((901, 700), dtype=float)
    x, y = wcs.wcs_world2pix(*grid.wcs_pix2world(columns.ravel(), rows.ravel(), 0), 0)
    inside = (x > 1) & (x < 1798) & (y > 1) & (y < 1498)
    assert np.mean(inside) > 0.5
    for image, expected in zip(np.indices((1500, 1800), dtype=np.float32), (y, x), strict=True):
        sampled = np.empty((901, 700), np.float32)  # an image of its rows or columns gives the places
        pixels.interpolate(image, *nodes, composite._NODES, sampled)
        assert np.abs(sampled.ravel() - expected)[inside].max() < 1e-3


@pytest.mark.parametrize(
    ("name", "number"),
    [("F2550W", 2550), ("F150W2-F162M", 162), ("F444W-F470N", 470), ("O002_CLEAR-F200W", 200), ("FGS", 0)],
)
def test_wavelengths_in_names(name, number):
    assert composite.wavelength_of(name) == number


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["F090W", "F115W", "F200W", "F444W"], "red F444W, green F200W, blue F090W"),
        (["F560W", "F770W", "F2550W"], "red F2550W, green F770W, blue F560W"),
        (["F444W", "F200W"], "red F444W, green their mean, blue F200W"),
        (["FGS"], "FGS alone, in grey"),
    ],
)
def test_bands_of_the_colours(names, expected):
    assert composite.colours_of(names) == expected
    assert composite.colours_of(names[::-1]) == expected


def test_a_large_mosaic_is_reduced_where_it_lies(tmp_path, monkeypatch):
    path = write_mosaic(
        tmp_path / "a_i2d.fits", "F150W2", [(5.0, 3.0, 9.0)], shape=(290, 310), roll=20.0, pupil="F162M"
    )
    monkeypatch.setattr(composite, "PICTURE_SIDE", 50)
    monkeypatch.setattr("snakewebb.report.plane_bands._PIXELS", 5000)
    band = composite.read_band(path)
    assert band.name == "F162M"
    image = band.image()
    assert image.shape == band.shape == (73, 78)
    data = fits.getdata(path, "SCI")
    np.testing.assert_allclose(band.image()[3, 5], data[12:16, 20:24].mean(), rtol=1e-6)
    row, column = np.unravel_index(np.nanargmax(image), image.shape)
    ra, dec = band.wcs.wcs_pix2world(column, row, 0)
    assert abs((float(ra) - RA) * 3600 * np.cos(np.radians(DEC)) - 5.0) < 0.4
    assert abs((float(dec) - DEC) * 3600 - 3.0) < 0.4


def catalogue(path, magnitudes, limits=(27.5, 27.25, 27.0)):
    table = QTable(
        {
            "flux": Quantity(np.ones(len(magnitudes)), "Jy"),
            "aper_total_abmag": np.array(magnitudes, float),
            "is_extended": np.arange(len(magnitudes)) % 2 == 1,
        }
    )
    table.meta["empty_apertures"] = {"limiting_abmag": [*limits], "pull": [1.0, 1.1, None]}
    table.write(path, format="ascii.ecsv")
    return path


def test_depth_and_counts(tmp_path):
    i2d = write_mosaic(tmp_path / "a_i2d.fits", "F200W", [], shape=(600, 600), covered=False)
    catalog = catalogue(tmp_path / "a_cat.ecsv", [20.1, 20.2, 22.0, np.nan])
    field = programme.read_field("p", i2d, catalog)
    assert field.area == pytest.approx(0.5, rel=1e-12)  # one square arcmin, half of it seen
    heading, columns, rows = programme.depth_table([field])
    assert heading.startswith("Depth")
    assert dict(zip(columns, rows[0], strict=True)) == {
        "Mosaic": "p",
        "Filter": "F200W",
        "Exposures": "",
        "arcmin²": "0.50",
        "Sources": 4,
        "extended": 2,
        "5σ depth (AB mag)": "27.50, 27.25, 27.00",
        "Scatter / ERR": "1.00, 1.10",
    }
    (axes,) = programme.counts_figure([field]).axes
    (steps,) = axes.patches
    values, edges, _ = steps.get_data()
    # two in half a magnitude and half a square arcmin
    assert list(edges) == [20.0, 20.5, 21.0, 21.5, 22.0, 22.5]
    np.testing.assert_allclose(np.nan_to_num(values), [8, 0, 0, 0, 4], rtol=1e-12)
    assert axes.lines[0].get_xdata() == [27.5, 27.5]
    nothing = programme.read_field("p", i2d, catalogue(tmp_path / "b_cat.ecsv", []))
    (axes,) = programme.counts_figure([nothing]).axes
    assert axes.texts[0].get_text() == "no source was found"


def test_alignment_and_jobs(tmp_path, monkeypatch):
    table = Table(
        {
            "status": ["REFERENCE", "SUCCESS", "SUCCESS", "FAILED"],
            "absolute": [False] * 4,
            "rmse": [np.nan, 0.002, 0.004, np.nan],
            "dx": [0.0, 0.03, 0.0, np.nan],
            "dy": [0.0, 0.04, 0.01, np.nan],
        }
    )
    table.write(tmp_path / "p_alignment.ecsv", format="ascii.ecsv")
    _, _, rows = programme.alignment_table({"p": tmp_path / "p_alignment.ecsv"})
    assert rows == [["p", "1 reference, 2 success, 1 failed", "no", "3.0, 4.0", "50"]]
    for number, (seconds, memory) in enumerate([("1.5", "200"), ("2.25", "-"), ("-", "350.4")]):
        path = tmp_path / "benchmarks" / "detector1" / f"{number}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{memory}\n")
    for name, text in (("detector1/0", "1 MB; its time: 9.0 s"), ("tile/p/x0", "120 MB; its time: 0.5 s"), ("all", "")):
        path = tmp_path / "logs" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"2026-01-01 INFO the job's memory: at most {text}, 0.4 s of processors\n")
    jobs = programme.jobs_of(tmp_path / "logs", tmp_path / "benchmarks")
    _, columns, rows = programme.rule_table(jobs)
    assert columns[0] == "Rule"
    assert rows == [["detector1", 3, "3.8", "2.2", "350"], ["tile", 1, "0.5", "0.5", "120"]]
    assert programme.job_table(jobs)[2] == [
        ["detector1", "0", "1.5", "200"],
        ["detector1", "1", "2.2", ""],
        ["detector1", "2", "", "350"],
        ["tile", "p/x0", "0.5", "120"],
    ]
    monkeypatch.setattr(programme, "LISTED", 2)
    assert [row[1] for row in programme.job_table(jobs)[2]] == ["0", "1"], "the longest"
    assert programme.rule_table(programme.jobs_of(tmp_path / "none", tmp_path / "none"))[2] == []


@pytest.mark.parametrize("planes", [1, 3])
def test_coverage_counts_exposures(tmp_path, monkeypatch, planes):
    context = np.zeros((planes, 50, 70), np.int32)
    context[0, :, 10:] = -1  # all 32 of the first plane, of which one bit is the sign
    context[-1, :, 40:] |= 5
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(context, name="CON")]).writeto(tmp_path / "a_i2d.fits")
    monkeypatch.setattr(coverage, "_SIDE", 7)
    monkeypatch.setattr("snakewebb.report.plane_bands._PIXELS", 1400 * planes)
    count, size = coverage.read_coverage(tmp_path / "a_i2d.fits")
    assert (size, count.shape) == (10, (5, 7))
    assert np.isnan(count[:, 0]).all()
    assert (count[:, 1:4] == 32).all()
    assert (count[:, 4:] == (32 if planes == 1 else 34)).all()
    (panel, *_) = coverage.coverage_figure({"F200W": (count, size)}).axes
    assert panel.get_title(loc="left") == f"F200W: median {33 - (planes == 1):.3g}, at most {34 - 2 * (planes == 1)}"
    nothing = coverage.coverage_figure({"F200W": (np.full((5, 7), np.nan), size)}).axes[0]
    assert nothing.get_title(loc="left") == "F200W"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_stretch_of_colours_is_that_of_lupton(count):
    from astropy.visualization import make_lupton_rgb

    planes = np.random.default_rng(4).normal(1.0, 1.0, (count, 40, 50)).astype(np.float32)
    planes[:, :20] *= 10.0 ** np.linspace(-1, 4, 50, dtype=np.float32)
    mean, image = np.empty((40, 50), np.float32), np.empty((40, 50, 3), np.uint8)
    pixels.mean_known(planes, mean)
    np.testing.assert_allclose(mean, planes.mean(axis=0), rtol=1e-5, atol=1e-5)
    pixels.mix_colours(planes, mean, -0.2, 0.8, 8.0, np.zeros(3, np.uint8), image)
    red, blue = planes[0].astype(float), planes[-1].astype(float)
    green = planes[1].astype(float) if count == 3 else 0.5 * (red + blue)
    expected = make_lupton_rgb(red, green, blue, minimum=-0.2, stretch=0.8, Q=8)
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert np.mean(image != expected) < 1e-3
