"""Some columns of a table against the whole of it."""

import re
import tracemalloc

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.units import Quantity

from snakewebb.errors import BadDataError
from snakewebb.io.ecsv_columns import read_columns, read_table


def write_table(path, rows=5):
    table = QTable(
        {
            "label": np.arange(1, rows + 1),
            "sky_centroid": SkyCoord(np.linspace(10, 11, rows), np.linspace(-3, -2, rows), unit="deg"),
            "flux": Quantity(np.linspace(-1, 1e-9, rows), "Jy"),
            "name": [f"a star {number}" for number in range(rows)],
            "is_extended": np.arange(rows) % 2 == 0,
            "magnitude": MaskedColumn(np.linspace(20, 25, rows), mask=np.arange(rows) == 1),
        }
    )
    table["magnitude"].info.description = "with\nlines"
    table.meta["empty_apertures"] = {"pull": [1.0, None]}
    table.write(path, format="ascii.ecsv")
    return path


def test_columns_are_those_of_the_table(tmp_path):
    path = write_table(tmp_path / "a.ecsv")
    whole = QTable.read(path, format="ascii.ecsv")
    names = ["flux", "sky_centroid.ra", "sky_centroid.dec", "is_extended", "name", "label"]
    found = read_columns(path, names, optional=["magnitude", "nothing"])
    assert found.colnames == [*names, "magnitude"]
    assert (np.array(found["flux"]) == whole["flux"].value).all()
    assert (np.array(found["sky_centroid.dec"]) == whole["sky_centroid"].dec.deg).all()
    assert list(found["is_extended"]) == [True, False, True, False, True]
    assert found["is_extended"].dtype == bool
    assert list(found["name"]) == list(whole["name"])
    assert np.isnan(found["magnitude"]).tolist() == [False, True, False, False, False]
    assert found.meta == {"empty_apertures": {"pull": [1.0, None]}}


def test_other_delimiters_and_no_rows(tmp_path):
    Table({"x": [1.5, 2.5], "text": ["a, b", ""]}).write(tmp_path / "a.ecsv", format="ascii.ecsv", delimiter=",")
    found = read_columns(tmp_path / "a.ecsv", ["text", "x"])
    assert list(found["text"]) == ["a, b", ""]
    assert list(found["x"]) == [1.5, 2.5]
    empty = read_columns(write_table(tmp_path / "b.ecsv", rows=0), ["flux", "is_extended"])
    assert (len(empty), empty["is_extended"].dtype) == (0, bool)


def test_what_is_not_such_a_table_is_named(tmp_path):
    path = write_table(tmp_path / "a.ecsv")
    with pytest.raises(
        BadDataError, match=r"a.ecsv: found no column depth; expected them beside label, sky_centroid.ra"
    ):
        read_columns(path, ["flux", "depth"])
    (tmp_path / "b.ecsv").write_text("x y\n1 2\n")
    with pytest.raises(BadDataError, match=r"b.ecsv: found no line '# %ECSV'"):
        read_columns(tmp_path / "b.ecsv", ["x"])


def test_whole_numbers_units_and_all_columns(tmp_path):
    table = Table({"n": [1, 2], "known": MaskedColumn([3, 4], mask=[True, False]), "x": [0.5, 1.5]})
    table["x"].unit = "arcsec"
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    found = read_table(tmp_path / "a.ecsv")
    assert (found.colnames, found.units) == (["n", "known", "x"], {"x": "arcsec"})
    assert found["n"].dtype == np.int64
    assert [row["known"] for row in found][1] == 4
    assert np.isnan(found["known"][0])


def test_rows_that_users_spoiled_are_named(tmp_path):
    path = tmp_path / "a.ecsv"
    Table({"name": ["a", "b"], "x": [0.5, 1.5]}).write(path, format="ascii.ecsv")
    lines = path.read_text().splitlines()
    for bad, message in (
        ("b 1,5", "found '1,5' in column x, expected a number"),
        ("a star 1.5", "found 3 values, expected 2, one for each column; a text with spaces needs quotation marks"),
        ("b", "found 1 values, expected 2"),
    ):
        path.write_text("\n".join([*lines[:-1], "", bad]))
        with pytest.raises(BadDataError, match=rf"a.ecsv, line {len(lines) + 1}: {re.escape(message)}"):
            read_table(path)


def test_memory_is_that_of_the_columns(tmp_path):
    rows = 20_000
    columns = {f"c{number}": Column(np.linspace(0, 1, rows)) for number in range(20)}
    Table(columns).write(tmp_path / "a.ecsv", format="ascii.ecsv")
    read_columns(tmp_path / "a.ecsv", ["c1"])
    tracemalloc.start()
    try:
        read_columns(tmp_path / "a.ecsv", ["c3", "c7"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 8 * 2 * rows
