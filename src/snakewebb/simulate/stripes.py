"""Stripes of NIRISS: exposures that read another part of the subarray in each integration."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.table import vstack

from snakewebb.simulate.ramps import RawRamp, expose

_COLUMNS = 2048  # of the detector
_BORDER = 4  # columns of reference pixels


@dataclass(frozen=True)
class Stripes:
    """How a subarray is read in stripes: from the last column of the detector on, which is read first.

    Attributes
    ----------
    count : int
        Stripes, one in each integration.
    width : int
        Columns of a stripe.
    first_row, rows : int
        First row (1-based), and number of rows.
    """

    count: int
    width: int
    first_row: int = 1793
    rows: int = 256

    @property
    def corner(self):
        """SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2 of the raw data."""
        return _COLUMNS, self.first_row, self.width + _BORDER, self.rows

    @property
    def whole(self):
        """The same of the part of the detector that all stripes together are of."""
        return 1, self.first_row, _COLUMNS, self.rows

    @property
    def keywords(self):
        """Keywords of the read-out, as (name, value, comment)."""
        return [
            ("MSTR_RD1", _BORDER, "Num. substripe rows read starting at SUBSTRT1"),
            ("MSTR_SK1", 0, "Num. rows to skip after reading MSTR_RD1 rows"),
            ("MSTR_RD2", 0, "Num. rows read in subsequent substripes"),
            ("MSTR_SK2", 0, "Num. rows to skip between susequent substripes"),
            ("MSTR_RPT", 0, "Repeat reading MSTR_RD2 rows at first position"),
            ("MSTR_ILV", 0, "Interleave MSTR_RD1 rows between substripes"),
            ("SSTR_STP", self.width, "Rows to advance superstripe postn btwn intgrtns"),
            ("SSTR_NST", self.count, "Num. superstripe positions in super-integration"),
        ]

    def columns(self, number):
        """Columns of the detector, from 0, that a stripe holds; the last four are those of reference pixels."""
        end = _COLUMNS - _BORDER - number * self.width
        return np.concatenate([np.arange(end - self.width, end), np.arange(_COLUMNS - _BORDER, _COLUMNS)])


STRIPES = {
    "SUB17STRIPE_SOSS": Stripes(120, 17),
    "SUB60STRIPE_SOSS": Stripes(34, 60),
    "SUB204STRIPE_SOSS": Stripes(10, 204),
    "SUB680STRIPE_SOSS": Stripes(3, 680),
}
"""Subarrays that are read in stripes."""


def expose_stripes(rate, truth, readout, stripes, *, seed, brightness=None, traps=None, **options):
    """Take an exposure of which each integration reads the next stripe; pixels of the others gather no light that is kept.

    Parameters
    ----------
    rate : ndarray of float32 (ny, nx)
        Electrons per second in the part of the detector that all stripes are of.
    truth : DetectorTruth
        Cut to the same part.
    readout : Readout
        Of a stripe; its number of integrations is that of the exposure.
    stripes : Stripes
    seed : sequence of int
    brightness : ndarray (nints,), optional
    traps : ndarray of float32 (ny, nx), optional
    **options
        As for `ramps.expose`.

    Returns
    -------
    RawRamp
        Positions of events are columns of that part.
    """
    data, tables, held = None, {"cosmic_rays": [], "snowballs": [], "showers": []}, None
    for number in range(stripes.count):
        columns = stripes.columns(number)
        own = slice(number, None, stripes.count)
        part = expose(
            np.ascontiguousarray(rate[:, columns]),
            truth.rearranged(lambda plane, columns=columns: np.ascontiguousarray(plane[..., columns])),
            replace(readout, nints=len(range(number, readout.nints, stripes.count))),
            seed=[*seed, number],
            brightness=None if brightness is None else brightness[own],
            traps=None if traps is None else traps[:, columns],
            **options,
        )
        if data is None:
            data = np.empty((readout.nints, *part.data.shape[1:]), np.uint16)
        data[own] = part.data
        for name, parts in tables.items():
            table = getattr(part, name)
            table["integration"] = table["integration"] * stripes.count + number
            table["x"] = columns[np.clip(np.round(table["x"]).astype(int), 0, columns.size - 1)]
            parts.append(table)
        if part.traps is not None:
            held = np.zeros(rate.shape, np.float32) if held is None else held
            held[:, columns] = part.traps
    tables = {name: vstack(parts) for name, parts in tables.items()}
    return RawRamp(data, None, tables["cosmic_rays"], None, tables["snowballs"], tables["showers"], held)
