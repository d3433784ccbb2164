"""Table extensions of FITS files."""

import numpy as np
from astropy.io import fits


def asdf_table(content):
    """The ASDF extension that holds the bytes of an ASDF file, as the data models lay it out."""
    return PlainTable(np.frombuffer(content, [("ASDF_METADATA", np.uint8, (len(content),))]), "ASDF")


def table_unit(rows, name):
    """A table extension: as astropy makes it of rows, without loading its `Table`, which takes a fifth of a second.

    Parameters
    ----------
    rows : record array
    name : str
    """
    unit = fits.BinTableHDU(name=name)
    unit.data = rows if isinstance(rows, fits.FITS_rec) else fits.FITS_rec.from_columns(rows)
    return unit


class PlainTable:
    """A table extension of numbers, logical values and texts, as astropy makes it, which takes a third of a second for 200 columns.

    Parameters
    ----------
    rows : record array
    name : str

    Attributes
    ----------
    header : Header
    content : bytes
        What FITS stores.
    """

    def __init__(self, rows, name):
        kinds = [(column, *_table_format(rows.dtype[column])) for column in rows.dtype.names]
        stored = np.empty(rows.shape, [(column, kind) for column, _, kind in kinds])
        for column in rows.dtype.names:
            values = rows[column]
            if values.dtype.kind == "b":
                values = np.where(values, ord("T"), ord("F"))
            stored[column] = values
        self.content = stored.tobytes()
        cards = [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", stored.dtype.itemsize, "length of dimension 1"),
            ("NAXIS2", stored.size, "length of dimension 2"),
            ("PCOUNT", 0, "number of group parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("TFIELDS", len(kinds), "number of table fields"),
        ]
        for number, (column, code, _) in enumerate(kinds, 1):
            cards += [(f"TTYPE{number}", column), (f"TFORM{number}", code)]
        self.header = fits.Header([*cards, ("EXTNAME", name, "extension name")])


def _table_format(dtype):
    """TFORM of a column, and the type of its values in the file."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        code, kind = _table_format(base)
        return f"{int(np.prod(shape))}{code}", (kind, shape)
    if dtype.kind in "US":
        length = max(dtype.itemsize // (4 if dtype.kind == "U" else 1), 1)
        return f"{length}A", f"S{length}"
    code = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}[dtype.str[1:]]
    return code, "u1" if code == "L" else dtype.newbyteorder(">")
