import logging
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.io.checksum import ones_complement_sum
from snakewebb.io.fits import (
    check_structure,
    shape_of,
    units_of,
    verify_checksums,
    warn_of_foreign_bytes,
    write,
)
from snakewebb.io.tables import PlainTable, table_unit
from snakewebb.io.words import store_swapped, sum_swapped, swap_and_sum


def units():
    rng = np.random.default_rng(1)
    table = fits.BinTableHDU.from_columns(
        [fits.Column("a", "J", array=[1, -2, 3]), fits.Column("s", "5A", array=["x", "yy", "zzz"])]
    )
    table.header["EXTNAME"] = "TABLE"
    return [
        fits.PrimaryHDU(),
        fits.ImageHDU(rng.normal(size=(7, 5)).astype(np.float32), name="SCI"),
        fits.ImageHDU(rng.integers(0, 2**32, (7, 5), dtype=np.uint32), name="DQ"),
        fits.ImageHDU(rng.integers(0, 2**16, (3, 5), dtype=np.uint16), name="RAW"),
        fits.ImageHDU(rng.integers(0, 2**8, (3, 5), dtype=np.uint8), name="GROUPDQ"),
        fits.ImageHDU(rng.normal(size=(2, 3)), name="SCI", ver=2),
        table,
    ]


def test_written_files_are_read_by_astropy_with_valid_checksums(tmp_path):
    path = tmp_path / "a.fits"
    original = units()
    sums = write(path, original)
    assert list(sums) == ["PRIMARY", "SCI", "DQ", "RAW", "GROUPDQ", "SCI,2", "TABLE"]
    with fits.open(path, checksum=True) as read:  # a wrong checksum is a warning, and warnings are errors
        read.verify("exception")
        for before, after in zip(original[1:-1], read[1:-1], strict=True):
            assert after.data.dtype.newbyteorder("=") == before.data.dtype
            np.testing.assert_array_equal(after.data, before.data)
            assert after.header["DATASUM"] == sums[f"{after.name},{after.ver}" if after.ver > 1 else after.name]
        np.testing.assert_array_equal(read["TABLE"].data["a"], [1, -2, 3])
        assert list(read["TABLE"].data["s"]) == ["x", "yy", "zzz"]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a.fits", units())
    write(tmp_path / "b.fits", units())
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


def test_checksums_are_those_of_astropy(tmp_path):
    ours = write(tmp_path / "a.fits", units())
    fits.HDUList(units()).writeto(tmp_path / "b.fits", checksum=True)
    with fits.open(tmp_path / "b.fits") as theirs:
        assert {u.name if u.ver == 1 else f"{u.name},{u.ver}": u.header["DATASUM"] for u in theirs} == ours


@pytest.mark.parametrize("count", [-100, 0, 1, 2880, 5761])
def test_bytes_after_the_last_unit_are_counted(tmp_path, caplog, count):
    path = tmp_path / "a.fits"
    write(path, units())
    content = path.read_bytes()
    path.write_bytes(content[:count] if count < 0 else content + b"x" * count)
    with caplog.at_level(logging.WARNING):
        warn_of_foreign_bytes(path, units_of(path))
    assert caplog.messages == [
        f"{path}: {count} bytes after the last unit (TABLE) are not read: they are no FITS extension; if the file should "
        "hold more, download it again"
    ] * (count > 0)


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "a.fits"
    write(path, units())
    content = path.read_bytes()
    whole = [start for _, start in check_structure(path)]
    cut = tmp_path / "cut.fits"
    found = 0
    for size in range(80, len(content) - 2880, 720):
        cut.write_bytes(content[:size])
        try:
            units_left = len(check_structure(cut))
        except BadDataError:
            found += 1
            with pytest.raises(BadDataError, match="truncated"):
                check_structure(cut)
        else:
            assert units_left < len(whole)  # only a cut between two units is a smaller, valid file
    assert found >= 30


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a.fits"
    write(path, units())
    content = bytearray(path.read_bytes())
    start = check_structure(path)[2][1]
    content[start + 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(BadDataError, match=r"a.fits\[DQ\]: DATASUM is \d+ but the data give \d+: the file is corrupt"):
        verify_checksums(path)


def test_impossible_sizes_are_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.fits"
    header = fits.PrimaryHDU(np.zeros((2, 2), np.float32)).header
    header["NAXIS1"] = 2**50
    path.write_bytes(header.tostring().encode() + b"\0" * 2880)
    with pytest.raises(BadDataError, match=r"truncated, \d+ bytes expected"):
        check_structure(path)
    header["NAXIS1"] = -5
    path.write_bytes(header.tostring().encode() + b"\0" * 2880)
    with pytest.raises(BadDataError, match="impossible sizes"):
        check_structure(path)


def test_comments_are_cut_where_values_need_the_room(tmp_path):
    unit = fits.PrimaryHDU()
    unit.header["FILENAME"] = ("a.fits", "Name of the file")
    unit.header["FILENAME"] = "jw01234-o001_t001_nircam_clear-f444w-sub160_with_more_i2d.fits"
    write(tmp_path / "a.fits", [unit])
    header = fits.getheader(tmp_path / "a.fits")
    assert header["FILENAME"] == "jw01234-o001_t001_nircam_clear-f444w-sub160_with_more_i2d.fits"
    assert "Name of the file".startswith(header.comments["FILENAME"].rstrip())


@pytest.mark.parametrize(
    "unit",
    [table_unit, lambda rows, name: table_unit(fits.FITS_rec.from_columns(rows), name), PlainTable],
    ids=["record array", "FITS_rec", "plain"],
)
def test_tables_are_written_as_astropy_writes_them(tmp_path, unit):
    columns = [
        np.array(["ab", "cde"]),
        np.array([True, False]),
        np.array([1.5, np.nan]),
        np.array([3, -4]),
        np.array(["", ""]),
    ]
    kinds = ["U3", "?", "f8", "i8", "U1"]
    for kind in ("f4", "i4", "i2", "u1"):
        columns.append(np.array([7, 100]))
        kinds.append(kind)
    rows = np.rec.fromarrays(columns, dtype=list(zip("ABCDEFGHI", kinds, strict=True)))

    write(tmp_path / "ours.fits", [fits.PrimaryHDU(), unit(rows, "ROWS")])
    write(tmp_path / "theirs.fits", [fits.PrimaryHDU(), fits.BinTableHDU(rows, name="ROWS")])

    assert (tmp_path / "ours.fits").read_bytes() == (tmp_path / "theirs.fits").read_bytes()
    with fits.open(tmp_path / "ours.fits", checksum=True) as read:
        for name, column in zip("ABCDEFGHI", columns, strict=True):
            np.testing.assert_array_equal(read["ROWS"].data[name], column)


def test_writing_loads_neither_tables_of_astropy_nor_asdf():
    code = """
import io, sys
import numpy as np
from snakewebb.io.tables import asdf_table, table_unit
rows = np.rec.fromarrays([np.arange(3)], names="a")
table_unit(rows, "ROWS").writeto(io.BytesIO())
assert asdf_table(b"#ASDF").content == b"#ASDF"
print({"astropy.table", "asdf"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


VALUES = {
    "NUMBER": -12,
    "LARGE": 2147483648,
    "REAL": 1.5e-7,
    "LOGICAL": True,
    "TEXT": "NRCALONG",
    "SLASH": "a / b",
    "QUOTE": "don't",
    "EMPTY": "",
    "LONG": "POLYGON ICRS " + " ".join(["53.130911435 -27.805294203"] * 8),
    "AMPER": "this & that &",
    "UNDEF": None,
    "DIGITS": "12",
}


def test_values_of_units_are_those_of_their_headers(tmp_path):
    path = tmp_path / "file.fits"
    header = fits.Header([(key, value, "a comment") for key, value in VALUES.items() if key != "LONG"])
    header["LONG"] = VALUES["LONG"]
    second = fits.ImageHDU(np.zeros((2, 3), np.float32), header, name="SCI", ver=2)
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(np.zeros(2), name="SCI"), second]).writeto(path)
    primary, first, last = units_of(path)
    assert {key: primary.get(key) for key in VALUES} == {key: fits.getheader(path)[key] for key in VALUES}
    assert [unit.label for unit in (primary, first, last)] == ["PRIMARY", "SCI", "SCI,2"]
    assert (shape_of(last), last.get("NAXIS3"), last.get("NOTHERE", 5)) == ((2, 3), None, 5)
    assert [unit.start for unit in (primary, first, last)] == [info["datLoc"] for info in file_infos(path)]


def file_infos(path):
    with fits.open(path) as units:
        return [units.fileinfo(number) for number in range(len(units))]


def test_an_end_record_with_other_characters_ends_a_header(tmp_path):
    path = tmp_path / "file.fits"
    fits.PrimaryHDU().writeto(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"END" + b" " * 77, b"END = " + b" " * 74))
    ((header, start),) = check_structure(path)
    assert (list(header)[:2], start) == (["SIMPLE", "BITPIX"], 2880)
    path.write_bytes(content.replace(b"END" + b" " * 77, b"ENDING" + b" " * 74))
    with pytest.raises(BadDataError, match="has no END card"):
        check_structure(path)


@pytest.mark.parametrize("size", [0, 1, 5, 70_000])
def test_words_are_swapped_and_summed(size):
    words = np.random.default_rng(1).integers(0, 2**32, size, np.uint32)
    swapped, total = words.byteswap(), int(words.sum(dtype=np.uint64))
    assert int(sum_swapped(swapped)) == total
    assert ones_complement_sum(swapped.data) == (total % 0xFFFFFFFF if size else 0)
    assert ones_complement_sum(swapped[1:].data, int(words[:1].sum())) == ones_complement_sum(swapped.data)
    sign = np.uint32(1 << 31)
    result = np.empty_like(words)
    assert int(store_swapped(words ^ sign, sign, result)) == total
    np.testing.assert_array_equal(result, swapped)
    assert int(swap_and_sum(result, sign)) == total
    np.testing.assert_array_equal(result, words ^ sign)
