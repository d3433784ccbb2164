"""Tables of the workflow in memory: what they need of astropy's, whose import takes a quarter of a second."""

import numpy as np


class ColumnTable:
    """Columns of the same length, of numbers, logical values or texts.

    ``table["name"]`` is a column, ``table[3]`` a row as a dict by column, and a slice, a mask or a list of places gives a table of those
    rows; iteration gives the rows.

    Parameters
    ----------
    columns : dict of array_like (n,)
        By name; they are not copied.
    units : dict of str, optional
        Of columns that have one.
    formats : dict of str, optional
        Of columns whose values are shown rounded; files have them in full.
    meta : dict, optional
    """

    def __init__(self, columns, *, units=None, formats=None, meta=None):
        self.columns = {name: np.asarray(values) for name, values in columns.items()}
        self.units, self.formats, self.meta = dict(units or {}), dict(formats or {}), dict(meta or {})
        lengths = {name: values.shape for name, values in self.columns.items()}
        if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
            raise ValueError(f"columns of a table: found shapes {lengths}, expected one dimension and one length")

    @classmethod
    def of_rows(cls, rows, names, **more):
        """A table of tuples, one for each row, with the values in the order of ``names``."""
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return cls(dict(zip(names, map(list, columns), strict=True)), **more)

    @property
    def colnames(self):
        """Names of the columns, as astropy calls them."""
        return list(self.columns)

    def __len__(self):
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.columns[key]
        chosen = {name: values[key] for name, values in self.columns.items()}
        if isinstance(key, (int, np.integer)):
            return chosen
        return ColumnTable(chosen, units=self.units, formats=self.formats, meta=self.meta)

    def __setitem__(self, name, values):
        """Add or replace a column; a single value is that of all rows."""
        self.columns[name] = np.array(np.broadcast_to(values, (len(self),)) if self.columns else values)

    def __iter__(self):
        return (self[place] for place in range(len(self)))

    def rows_by(self, name):
        """Rows by the text that a column has in them, of several with the same the last."""
        return dict(zip(map(str, self[name]), self, strict=True))
