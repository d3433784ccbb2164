"""Tables as ECSV, byte for byte as astropy writes them."""

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from numpy.testing import assert_array_equal

from snakewebb.io.column_table import ColumnTable
from snakewebb.io.ecsv import write_ecsv

TEXTS = ["a b", "", '"q"', "it's", "x\ny", "#z", " lead", "t\t", "é,;", "NIRCam"]


def assert_as_astropy(table, folder):
    write_ecsv(folder / "own.ecsv", table)
    table.write(folder / "astropy.ecsv", format="ascii.ecsv", overwrite=True)
    assert (folder / "own.ecsv").read_bytes() == (folder / "astropy.ecsv").read_bytes()


def test_the_bytes_are_those_of_astropy(tmp_path):
    bits = np.random.default_rng(3).integers(0, 1 << 64, 3000, dtype=np.uint64)
    narrow = (bits >> np.uint64(32)).astype(np.uint32)
    table = Table(
        {
            "double": bits.view(np.float64),
            "single": narrow.view(np.float32),
            "half": bits.astype(np.uint16).view(np.float16),
            "unsigned": bits,
            "signed": narrow.view(np.int32),
            "logical": bits % 2 == 0,
            "text": np.array(TEXTS)[bits % np.uint64(len(TEXTS))],
            "span": 10.0 ** np.random.default_rng(4).uniform(-25, 25, len(bits)),
        },
        meta={"numbers": [1, 2.5], "nested": {"why": "it's so"}},
    )
    table["single"].info.format, table["double"].unit, table["text"].description = ".3f", "Jy", "of: a kind"
    for some in (table, table[:1], table[:0]):
        assert_as_astropy(some, tmp_path)
    write_ecsv(tmp_path / "own.ecsv", table)
    assert_array_equal(Table.read(tmp_path / "own.ecsv", format="ascii.ecsv")["double"], table["double"])


def test_tables_of_the_workflow_are_written_as_astropys(tmp_path):
    columns = {
        "exposure": TEXTS,
        "x (pix)": np.linspace(0, 1, len(TEXTS)),
        "n": np.arange(len(TEXTS)),
        "use": np.arange(len(TEXTS)) > 3,
    }
    meta = {
        "parameters": {"b": None, "a": [1, 2.5], "dqbits": "~DO_NOT_USE+NON_SCIENCE", "long": "word " * 60},
        "abs_refcat": "",
    }
    own = ColumnTable(columns, units={"x (pix)": "pix"}, formats={"x (pix)": ".3f"}, meta=meta)
    table = Table(columns, meta=meta)
    table["x (pix)"].unit, table["x (pix)"].info.format = "pix", ".3f"
    for mine, theirs in ((own, table), (own[:0], table[:0])):
        write_ecsv(tmp_path / "own.ecsv", mine)
        theirs.write(tmp_path / "astropy.ecsv", format="ascii.ecsv", overwrite=True)
        assert (tmp_path / "own.ecsv").read_bytes() == (tmp_path / "astropy.ecsv").read_bytes()


def test_quantities_coordinates_and_missing_values_are_as_of_astropy(tmp_path):
    table = QTable({"flux": [1.5, np.nan] * units.Jy, "place": SkyCoord([1.0, 2.0], [3.0, -4.0], unit="deg")})
    assert_as_astropy(table, tmp_path)
    table["known"] = MaskedColumn([1, 2], mask=[False, True])
    assert_as_astropy(table, tmp_path)
    assert_as_astropy(Table({"vectors": np.arange(6.0).reshape(3, 2)}), tmp_path)
