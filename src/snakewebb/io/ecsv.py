"""Tables as ECSV, byte for byte as astropy writes them: it formats number by number, which takes most of the time of a catalogue."""

import csv
from io import StringIO

_ROWS = 1024  # whose texts are in memory at once


def write_ecsv(path, table):
    """Write a table as ECSV.

    Parameters
    ----------
    path : path-like
        Replaced if it is there.
    table : astropy.table.Table or QTable
    """
    from astropy.table.serialize import represent_mixins_as_columns
    from astropy.utils.data_info import serialize_context_as

    with serialize_context_as("ecsv"):
        plain = represent_mixins_as_columns(table)
    columns = list(plain.columns.values())
    if any(column.ndim > 1 or column.dtype.kind not in "biufU" or hasattr(column, "mask") for column in columns):
        plain.write(path, format="ascii.ecsv", overwrite=True)
        return
    header = StringIO()
    plain[:0].write(header, format="ascii.ecsv")
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(header.getvalue())
        for first in range(0, len(plain), _ROWS):
            texts = (_texts(column[first : first + _ROWS]) for column in columns)
            stream.writelines(" ".join(row) + "\n" for row in zip(*texts, strict=True))


def _texts(column):
    """Values of a column as the file has them."""
    if column.dtype.kind == "U":
        return [_quoted(value) for value in column.tolist()]
    # Python's numbers of 64 bits have the same texts as numpy's
    values = column.tolist() if column.dtype.itemsize == 8 or column.dtype.kind != "f" else column.data
    return [str(value) for value in values]


def _quoted(text):
    line = StringIO()
    csv.writer(line, delimiter=" ").writerow([text.strip(" \t")])
    return line.getvalue().removesuffix("\r\n")
