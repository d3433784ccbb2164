"""Some columns of a table (ECSV), read line by line: the others are never in memory."""

import csv
from array import array

import numpy as np

from snakewebb.errors import BadDataError


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
    astropy.table.Table
        Numbers as float64 (NaN where there is none), logical values and texts, with the metadata of the table and without units.

    Raises
    ------
    BadDataError
        If the file is no such table, or has no such column.
    """
    from astropy.table import Table

    with open(path, encoding="utf-8", newline="") as stream:
        header = []
        line = stream.readline()
        while line.startswith("#"):
            header.append(line[2:].rstrip("\r\n"))
            line = stream.readline()
        if not header or not header[0].startswith("%ECSV"):
            raise BadDataError(f"{path}: found no line '# %ECSV', expected a table in that format; make it again")
        described = _described(header[1:])
        types = {column["name"]: column["datatype"] for column in described["datatype"]}
        missing = [name for name in names if name not in types]
        if missing:
            raise BadDataError(f"{path}: found no column {', '.join(missing)}; expected them beside {', '.join(types)}")
        further = filter(optional, types) if callable(optional) else (name for name in optional if name in types)
        wanted = [*names, *further]
        places = [list(types).index(name) for name in wanted]
        found = [array("d") if _is_number(types[name]) else [] for name in wanted]
        for row in csv.reader(stream, delimiter=described.get("delimiter", " ")):
            for values, place in zip(found, places, strict=True):
                text = row[place]
                values.append((float(text) if text else np.nan) if isinstance(values, array) else text)
    columns = {}
    for name, values in zip(wanted, found, strict=True):
        values = np.array(values) if _is_number(types[name]) else np.array(values, str)
        columns[name] = values == "True" if types[name] == "bool" else values
    meta = described.get("meta") or {}
    return Table(columns, meta={key: value for key, value in meta.items() if key != "__serialized_columns__"})


def _described(lines):
    """Content of the header, by a parser that takes a fifth of the time of astropy's, unless it holds what only that one knows."""
    import yaml
    from astropy.table.meta import get_header_from_yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        """Ordered maps as dicts, and content of classes of astropy as it is written."""

    Loader.add_constructor("tag:yaml.org,2002:omap", _ordered_map)
    Loader.add_multi_constructor("!astropy.", lambda loader, _, node: loader.construct_mapping(node, deep=True))
    try:
        return yaml.load("\n".join(lines), Loader=Loader)
    except yaml.YAMLError:
        return get_header_from_yaml(lines)


def _ordered_map(loader, node):
    return {key: value for pair in node.value for key, value in loader.construct_mapping(pair, deep=True).items()}


def _is_number(datatype):
    return datatype not in ("bool", "string")
