"""Tables of the workflow in memory."""

import numpy as np
import pytest

from snakewebb.io.column_table import ColumnTable


def test_columns_rows_and_parts():
    table = ColumnTable.of_rows(
        [("a", 1, 0.5), ("b", 2, np.nan)], ("name", "n", "x"), units={"x": "pix"}, meta={"k": 1}
    )
    assert (len(table), table.colnames, table["n"].dtype) == (2, ["name", "n", "x"], np.int64)
    assert [row["name"] for row in table] == ["a", "b"]
    assert table[-1]["n"] == 2
    part = table[np.isfinite(table["x"])]
    assert (list(part["name"]), part.units, part.meta) == (["a"], {"x": "pix"}, {"k": 1})


def test_rows_by_a_text_of_them():
    rows = ColumnTable({"exposure": ["a", "b", "a"], "level": [1.0, 2.0, 3.0]}).rows_by("exposure")
    assert {name: row["level"] for name, row in rows.items()} == {"a": 3.0, "b": 2.0}


def test_a_column_may_be_one_value():
    table = ColumnTable({"x": [1.0, 2.0]})
    table["status"] = "COMPLETE"
    table["x"] = [3.0, 4.0]
    assert (list(table["status"]), list(table["x"])) == (["COMPLETE"] * 2, [3.0, 4.0])


def test_without_rows():
    table = ColumnTable.of_rows([], ("name", "x"))
    assert (len(table), list(table), len(ColumnTable({}))) == (0, [], 0)


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="expected one dimension and one length"):
        ColumnTable({"x": [1.0, 2.0], "y": [1.0]})
