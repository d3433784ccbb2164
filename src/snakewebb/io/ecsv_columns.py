"""Some columns of a table (ECSV), read line by line: the others are never in memory."""

import csv
from array import array
from functools import partial

import numpy as np
import yaml

from snakewebb.errors import BadDataError
from snakewebb.io.column_table import ColumnTable


def read_table(path):
    """All columns of a table, as `read_columns` gives them."""
    return read_columns(path, (), optional=lambda name: True)


def read_columns(path, names, *, optional=()):
    """Read columns of a table.

    Parameters
    ----------
    path : path-like
        ECSV.
    names : iterable of str
        Columns; of coordinates the parts, as ``sky_centroid.ra``.
    optional : iterable of str or callable
        Columns that are read where the table has them, or what says of a name whether it is one.

    Returns
    -------
    ColumnTable
        Numbers as float64 (NaN where there is none; whole ones as int64 where none is missing), logical values and texts, with units
        and metadata.

    Raises
    ------
    BadDataError
        If the file is no such table, has no such column, or a value that is none of its type.
    """
    with open(path, encoding="utf-8", newline="") as stream:
        header = []
        line = stream.readline()
        while line.startswith("#"):
            header.append(line[2:].rstrip("\r\n"))
            line = stream.readline()
        if not header or not header[0].startswith("%ECSV"):
            raise BadDataError(f"{path}: found no line '# %ECSV', expected a table in that format; make it again")
        described = yaml.load("\n".join(header[1:]), _HeaderLoader)
        types = {column["name"]: column["datatype"] for column in described["datatype"]}
        units = {
            column["name"]: column["unit"] for column in described["datatype"] if isinstance(column.get("unit"), str)
        }
        missing = [name for name in names if name not in types]
        if missing:
            raise BadDataError(f"{path}: found no column {', '.join(missing)}; expected them beside {', '.join(types)}")
        further = filter(optional, types) if callable(optional) else (name for name in optional if name in types)
        wanted = [*names, *further]
        places = [list(types).index(name) for name in wanted]
        found = [array("d") if _is_number(types[name]) else [] for name in wanted]
        adders = [partial(_add_number, values) if isinstance(values, array) else values.append for values in found]
        reader = csv.reader(stream, delimiter=described.get("delimiter", " "))
        for row in filter(None, reader):
            try:
                for add, place in zip(adders, places, strict=True):
                    add(row[place])
            except (ValueError, IndexError):
                line = len(header) + 1 + reader.line_num
                raise BadDataError(f"{path}, line {line}: {_what_is_wrong(row, types)}") from None
    columns = {}
    for name, values in zip(wanted, found, strict=True):
        values = np.array(values, float if _is_number(types[name]) else str)
        if types[name] == "bool":
            values = values == "True"
        elif "int" in types[name] and np.isfinite(values).all():
            values = values.astype(np.int64)
        columns[name] = values
    meta = described.get("meta") or {}
    return ColumnTable(
        columns,
        units={name: units[name] for name in wanted if name in units},
        meta={key: value for key, value in meta.items() if key != "__serialized_columns__"},
    )


def _add_number(values, text):
    values.append(float(text) if text else np.nan)


def _what_is_wrong(row, types):
    if len(row) != len(types):
        return f"found {len(row)} values, expected {len(types)}, one for each column; a text with spaces needs quotation marks"
    for text, (name, datatype) in zip(row, types.items(), strict=True):
        if _is_number(datatype):
            try:
                float(text or "nan")
            except ValueError:
                return f"found {text!r} in column {name}, expected a number"
    return f"cannot be read: {row}"


class _HeaderLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads headers in a tenth of the time of astropy's; what stands for objects of astropy stays plain."""


def _plain(loader, _, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    whole = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return whole(node, deep=True)


def _ordered(loader, node):
    return {key: value for pair in loader.construct_sequence(node, deep=True) for key, value in pair.items()}


_HeaderLoader.add_multi_constructor("!", _plain)
_HeaderLoader.add_constructor("tag:yaml.org,2002:omap", _ordered)


def _is_number(datatype):
    return datatype not in ("bool", "string")
