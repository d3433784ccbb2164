"""Source finding: positions against the truth, masks, limits, and a user's catalogues."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.custom_catalogues import read_catfile
from snakewebb.imaging.sources import find_sources
from snakewebb.io.models import Image
from snakewebb.wcs.tangent import TangentWCS

SHAPE = (180, 220)
POSITIONS = [(30.3, 40.1), (100.7, 60.5), (180.2, 150.9), (60.0, 120.6), (150.4, 30.8), (1.2, 90.0)]
FLUXES = [4000.0, 2000.0, 3000.0, 1500.0, 5000.0, 2500.0]


def star_image(noise=0.5, seed=1):
    y, x = np.indices(SHAPE)
    data = 2.0 + np.random.default_rng(seed).normal(0, noise, SHAPE)
    for (u, v), flux in zip(POSITIONS, FLUXES, strict=True):
        data += flux * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 1.1**2)) / (2 * np.pi * 1.1**2)
    zeros = np.zeros(SHAPE, np.uint32)
    header = fits.Header({"FILENAME": "jw01_nrcalong_cal.fits"})
    return Image(header, fits.Header(), data.astype(np.float32), np.full(SHAPE, noise, np.float32), zeros)


def plain_wcs(box):
    coefficients = np.array([[0.0, 1e-4], [1e-4, 0.0]])
    return TangentWCS(SHAPE, box, coefficients, coefficients.T, 0.0, 0.0, 0.0, 0.0, 0.0)


def nearest(table, position):
    return np.min(np.hypot(table["x"] - position[0], table["y"] - position[1]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"starfinder": "iraf"},
        {"starfinder": "dao", "roundlo": -1.0, "roundhi": 1.0},
        {"starfinder": "segmentation"},
    ],
)
def test_stars_are_found_where_they_are(parameters):
    table = find_sources(star_image(), None, **parameters)
    assert list(table.colnames) == ["id", "x", "y", "flux"]
    # the last star is at the edge
    assert len(table) in (5, 6)
    for position in POSITIONS[:5]:
        assert nearest(table, position) < 0.15


def test_brightest_first_and_limits():
    table = find_sources(star_image(), None, brightest=3)
    assert len(table) == 3
    assert np.all(np.diff(table["flux"]) < 0)
    assert nearest(table, POSITIONS[4]) < 0.2
    everything = find_sources(star_image(), None, brightest=None)
    assert np.all(np.diff(np.round(everything["y"])) >= -1)
    faint = find_sources(star_image(), None, peakmax=300.0)
    assert 0 < len(faint) < len(everything)
    assert nearest(faint, POSITIONS[4]) > 10
    inside = find_sources(star_image(), plain_wcs(((90.0, 219.5), (-0.5, 100.0))))
    assert len(inside) == 2
    assert inside["x"].min() > 90
    assert inside["y"].max() < 100


def test_masked_pixels_do_not_count():
    image = star_image()
    image.dq[55:66, 95:106] = 1
    image.dq[145:156, 175:186] = 512
    image.data[36:45, 26:35] = np.nan
    table = find_sources(image, None)
    for position in POSITIONS[:3]:
        assert nearest(table, position) > 4
    image.dq[:] = 1
    assert len(find_sources(image, None)) == 0
    image.dq[:] = 0
    image.data[:] = np.nan
    assert len(find_sources(image, None)) == 0


def test_noise_alone_has_no_sources():
    image = star_image()
    image.data[:] = np.random.default_rng(3).normal(0, 1, SHAPE)
    for finder in ("iraf", "dao", "segmentation"):
        table = find_sources(image, None, starfinder=finder)
        assert len(table) == 0
        assert table.colnames == ["id", "x", "y", "flux"]


def test_result_does_not_depend_on_threads():
    from snakewebb.compiled import available_threads, set_threads

    tables = []
    for threads in (1, 2):
        set_threads(threads)
        tables.append(find_sources(star_image(), None))
    set_threads(available_threads())
    for name in tables[0].colnames:
        np.testing.assert_array_equal(tables[0][name], tables[1][name])


def test_custom_catalogues(tmp_path):
    image = star_image()
    Table({"xcentroid": [5.0, 500.0, np.nan], "y_centroid": [6.0, 7.0, 8.0], "weight": [1.0, 2.0, 3.0]}).write(
        tmp_path / "mine.ecsv"
    )
    catfile = tmp_path / "list.txt"
    catfile.write_text("# exposure catalogue\njw01_nrcalong_cal.fits mine.ecsv\njw02_nrcalong_cal.fits\n")
    assert read_catfile(catfile) == {
        "jw01_nrcalong_cal.fits": tmp_path / "mine.ecsv",
        "jw02_nrcalong_cal.fits": None,
    }
    wcs = plain_wcs(((-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5)))
    given = {"use_custom_catalogs": True, "catfile": str(catfile)}
    table = find_sources(image, wcs, **given)
    assert (list(table["x"]), list(table["y"]), list(table["weight"])) == ([5.0], [6.0], [1.0])
    # without an entry, or with an empty one, the sources are found
    image.header["FILENAME"] = "jw02_nrcalong_cal.fits"
    assert len(find_sources(image, wcs, **given)) > 3
    image.header["TCATFILE"] = str(tmp_path / "mine.ecsv")
    assert len(find_sources(image, wcs, use_custom_catalogs=True)) == 1

    image.header["FILENAME"] = "jw01_nrcalong_cal.fits"
    Table({"x": [1.0]}).write(tmp_path / "mine.ecsv", overwrite=True)
    with pytest.raises(BadDataError, match=r"mine\.ecsv: found columns .*'x'.*, expected one of .*ycentroid"):
        find_sources(image, wcs, **given)
    (tmp_path / "mine.ecsv").unlink()
    with pytest.raises(BadDataError, match=r"mine\.ecsv cannot be read"):
        find_sources(image, wcs, **given)
    catfile.write_text("one two three\n")
    with pytest.raises(ConfigError, match="line 1: found 3 words"):
        read_catfile(catfile)
    with pytest.raises(ConfigError, match=r"steps\.tweakreg\.catfile: .*nowhere.txt cannot be read"):
        read_catfile(str(tmp_path / "nowhere.txt"))
