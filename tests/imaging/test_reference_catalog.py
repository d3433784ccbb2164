"""Reference catalogues: files and proper motions."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.absolute_catalogue import absolute_catalogue
from snakewebb.imaging.pointing import Pointing
from snakewebb.imaging.reference_catalog import catalogue_of_table, read_reference_catalogue
from snakewebb.wcs.tangent import ARCSEC, TangentWCS


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits"])
def test_formats_and_names_of_columns(tmp_path, suffix):
    path = tmp_path / f"stars.{suffix}"
    Table({"Ra": [10.0, 20.0], "DEC": [-5.0, 6.0], "weight": [1.0, 2.0]}).write(path)
    catalogue = read_reference_catalogue(path)
    np.testing.assert_array_equal(catalogue.ra, [10.0, 20.0])
    np.testing.assert_array_equal(catalogue.dec, [-5.0, 6.0])
    np.testing.assert_array_equal(catalogue.weight, [1.0, 2.0])
    assert len(catalogue) == 2
    assert not catalogue.moves


def test_rows_without_position_or_weight_are_left_out():
    table = Table({"ra": [10.0, np.nan, 12.0, 13.0], "dec": [1.0, 2.0, 3.0, 4.0]})
    table["weight"] = MaskedColumn([1.0, 1.0, 1.0, 2.0], mask=[False, False, True, False])
    catalogue = catalogue_of_table(table, "stars")
    np.testing.assert_array_equal(catalogue.ra, [10.0, 13.0])
    np.testing.assert_array_equal(catalogue.weight, [1.0, 2.0])
    with pytest.raises(BadDataError, match="stars: found no row with a position"):
        catalogue_of_table(table[1:2], "stars")


def test_proper_motion():
    table = Table({"ra": [80.0, 80.0], "dec": [60.0, 60.0], "pmra": [100.0, 0.0], "pmdec": [-50.0, 0.0]})
    table["pmra"] = MaskedColumn(table["pmra"], mask=[False, True])
    table["epoch"] = 2016.0
    catalogue = catalogue_of_table(table, "stars")
    start, end = catalogue.vectors(2016.0), catalogue.vectors(2026.0)
    # 1 arcsec east (on the sky) and 0.5 south in ten years; an unknown motion is none
    east = np.array([-np.sin(np.radians(80)), np.cos(np.radians(80)), 0.0])
    np.testing.assert_allclose((end - start)[0] @ east / ARCSEC, 1.0, rtol=1e-9)
    assert (end - start)[0, 2] / ARCSEC == pytest.approx(-0.5 * np.cos(np.radians(60)), rel=1e-4)
    np.testing.assert_array_equal(end[1], start[1])
    np.testing.assert_array_equal(catalogue.vectors(None), catalogue.vectors(2016.0))
    each = catalogue.vectors(np.array([2026.0, 2016.0]), np.array([0, 0]))
    np.testing.assert_allclose(each, [end[0], start[0]])
    # a unit is obeyed
    table["pmra"] = np.array([0.1, 0.0])
    table["pmra"].unit = "arcsec / yr"
    np.testing.assert_allclose(catalogue_of_table(table, "stars").pmra, [100.0, 0.0])


def test_errors_name_the_file_and_the_columns(tmp_path):
    with pytest.raises(ConfigError, match=r"steps\.tweakreg\.abs_refcat: found .*stars.ecsv"):
        read_reference_catalogue(tmp_path / "stars.ecsv")
    (tmp_path / "stars.ecsv").write_text("nothing of the kind")
    with pytest.raises(BadDataError, match=r"stars\.ecsv cannot be read"):
        read_reference_catalogue(tmp_path / "stars.ecsv")
    with pytest.raises(BadDataError, match="stars: found columns x; expected RA and DEC"):
        catalogue_of_table(Table({"x": [1.0]}), "stars")
    with pytest.raises(BadDataError, match="stars: columns ra and RA have the same meaning"):
        catalogue_of_table(Table({"ra": [1.0], "RA": [1.0], "dec": [1.0]}), "stars")


def pointings():
    half = 0.5 * 2048 * 0.063 * ARCSEC
    x, y = np.array([[0.0, 0.0], [-half, 0.0]]), np.array([[0.0, half], [0.0, 0.0]])
    box = ((-0.5, 2047.5), (-0.5, 2047.5))
    return [
        Pointing(f"jw{k}", f"g{k}", TangentWCS((2048, 2048), box, x, y, 10.0, -5.0 + 0.01 * k, 0.0, 0.0, 0.0), epoch)
        for k, epoch in enumerate((2024.0, 2025.0))
    ]


def test_stars_of_the_service_are_taken_to_the_mean_epoch_and_those_of_a_user_are_not(tmp_path):
    table = Table({"RA": [10.0], "DEC": [-5.0], "pmra": [0.0], "pmdec": [1000.0], "epoch": [2016.0]})
    table.write(tmp_path / "mine.ecsv")
    table.meta["catalogue"] = "GAIADR3"
    table.write(tmp_path / "gaia.ecsv")
    mine, gaia = (absolute_catalogue(pointings(), str(tmp_path / f"{name}.ecsv")) for name in ("mine", "gaia"))
    assert (mine.dec[0], mine.epoch[0]) == (-5.0, 2016.0)
    assert gaia.epoch[0] == 2024.5
    assert gaia.dec[0] == pytest.approx(-5.0 + 8.5 / 3600, abs=1e-11)  # but for the curvature of the sky
    np.testing.assert_allclose(gaia.vectors(2025.0), mine.vectors(2025.0), atol=1e-11)
    undated = [replace(pointing, epoch=None) for pointing in pointings()]
    with pytest.raises(BadDataError, match=r"gaia\.ecsv: no exposure has a date"):
        absolute_catalogue(undated, str(tmp_path / "gaia.ecsv"))


def test_the_name_of_a_service_is_no_file():
    with pytest.raises(
        ConfigError, match=r"found 'GAIADR3', whose stars only a plan asks the service for.*fetch_stars"
    ):
        absolute_catalogue(pointings(), "GAIADR3")
