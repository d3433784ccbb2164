"""Alignment to the stars of an image of the user's."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from pointed_exposures import DEC, RA, exposure, positions_table, rms_error, star_positions, tangent_wcs
from snakewebb.errors import BadDataError
from snakewebb.imaging.absolute_catalogue import absolute_catalogue
from snakewebb.imaging.reference_image import is_image, stars_of_image
from snakewebb.imaging.tweakreg import align
from snakewebb.wcs.tangent import ARCSEC

SIDE, SCALE = 900, 0.05  # pixels, arcsec


def coordinates(ra=RA, dec=DEC):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [SIDE / 2, SIDE / 2]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs


def write_image(path, stars, *, extension="SCI", wcs=None, weight=False):
    """An image of stars on a sky of 2 with noise of 0.1, without data in the corners."""
    wcs = wcs or coordinates()
    rng = np.random.default_rng(2)
    data = 2.0 + rng.normal(0, 0.1, (SIDE, SIDE))
    rows, columns = np.indices((SIDE, SIDE))
    for x, y in zip(*wcs.all_world2pix(*stars, 0), strict=True):
        if 0 < x < SIDE and 0 < y < SIDE:
            cut = np.s_[max(0, int(y) - 8) : int(y) + 9, max(0, int(x) - 8) : int(x) + 9]
            data[cut] += 30 * np.exp(-((columns[cut] - x) ** 2 + (rows[cut] - y) ** 2) / (2 * 1.1**2))
    outside = np.hypot(rows - SIDE / 2, columns - SIDE / 2) > 0.6 * SIDE
    data[outside] = 0.0
    units = [fits.PrimaryHDU(), fits.ImageHDU(data.astype(np.float32), wcs.to_header(), name=extension)]
    if weight:
        units.append(fits.ImageHDU((columns > SIDE // 2).astype(np.float32), name="WHT"))
    units.append(fits.table_to_hdu(Table({"FILENAME": ["a"]})))
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def pointed(error=(0.3, -0.2)):
    """Two exposures, both wrong by the same."""
    stars = star_positions(200)
    pointings, tables, truth = [], [], []
    for number, offset in enumerate([(0, 0), (3, 2)]):
        wcs = tangent_wcs(*offset)
        truth.append(wcs.corrected(np.eye(2), np.array(error) * ARCSEC))
        pointings.append(exposure(number, wcs))
        tables.append(positions_table(truth[-1], stars))
    return stars, pointings, tables, truth


def test_exposures_are_moved_onto_the_stars_of_an_image(tmp_path):
    stars, pointings, tables, truth = pointed()
    path = write_image(tmp_path / "hst_drc.fits", stars)
    table = align(pointings, tables, abs_refcat=str(path))
    assert list(table["status"]) == ["SUCCESS", "SUCCESS"]
    assert table["absolute"].all()
    assert table["n_matches"][0] > 40
    for pointing, row, true in zip(pointings, table, truth, strict=True):
        assert rms_error(pointing, row, true) < 0.02


def test_only_what_exposures_cover_is_read_and_what_has_weight(tmp_path):
    stars, pointings, _, _ = pointed()
    path = write_image(tmp_path / "image.fits", stars, weight=True)
    found = stars_of_image(path, pointings, margin=1.0)
    x, _ = coordinates().all_world2pix(found.ra, found.dec, 0)
    assert len(found) > 20
    assert x.min() > SIDE // 2 - 3
    near = stars_of_image(path, pointings[:1], margin=1.0)
    assert 10 < len(near) <= len(found)
    away = write_image(tmp_path / "away.fits", (stars[0] + 1.0, stars[1]), wcs=coordinates(ra=RA + 1.0))
    assert len(absolute_catalogue(pointings, str(away))) == 0
    table = align(pointings, pointed()[2], abs_refcat=str(away))
    assert "0 sources in" in table["reason"][0]


def test_images_are_told_from_catalogues(tmp_path):
    stars, pointings, _, _ = pointed()
    Table({"RA": stars[0], "DEC": stars[1]}).write(tmp_path / "stars.fits")
    (tmp_path / "stars.csv").write_text("RA,DEC\n1,2\n")
    assert not is_image(tmp_path / "stars.fits")
    assert not is_image(tmp_path / "stars.csv")
    assert not is_image(tmp_path / "missing.fits")
    assert is_image(write_image(tmp_path / "image.fits", stars))
    assert len(absolute_catalogue(pointings, str(tmp_path / "stars.fits"))) == 200


def test_coordinates_that_cannot_be_read_are_named(tmp_path):
    stars, pointings, _, _ = pointed()
    path = write_image(tmp_path / "image.fits", stars)
    with fits.open(path, mode="update") as units:
        units["SCI"].header["CTYPE1"] = "RA---XYZ"
    with pytest.raises(
        BadDataError, match=r"image.fits\[SCI\]: its coordinates cannot be read .*abs_refcat a catalogue"
    ):
        stars_of_image(path, pointings, margin=1.0)
