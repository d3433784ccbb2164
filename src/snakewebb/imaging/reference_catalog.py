"""Catalogues of known positions that exposures are aligned to."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.ecsv_columns import read_columns
from snakewebb.io.star_service import GAIA_CATALOGUES

_MAS = np.pi / 180.0 / 3600.0 / 1000.0


@dataclass(frozen=True)
class ReferenceCatalogue:
    """Positions of reference sources.

    Attributes
    ----------
    name : str
    ra, dec : ndarray
        Degrees ICRS, at `epoch`.
    weight : ndarray or None
    pmra, pmdec : ndarray or None
        Proper motion, milliarcsec per year; that in right ascension includes the cosine of the declination.
    epoch : ndarray or None
        Decimal year.
    of_service : bool
        Whether it is a file of the observatory's service, as `snakewebb.io.star_service.fetch_stars` writes it.
    """

    name: str
    ra: np.ndarray
    dec: np.ndarray
    weight: np.ndarray | None = None
    pmra: np.ndarray | None = None
    pmdec: np.ndarray | None = None
    epoch: np.ndarray | None = None
    of_service: bool = False

    def __len__(self):
        return len(self.ra)

    @property
    def moves(self):
        """Whether proper motions and their epoch are known."""
        return self.pmra is not None and self.pmdec is not None and self.epoch is not None

    def vectors(self, epoch=None, index=slice(None)):
        """Unit vectors (n, 3) of sources at an epoch (decimal year); as catalogued if it is None."""
        ra, dec = np.radians(self.ra[index]), np.radians(self.dec[index])
        vector = np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)
        if epoch is None or not self.moves:
            return vector
        years = (epoch - self.epoch[index])[:, None]
        east = np.stack((-np.sin(ra), np.cos(ra), np.zeros_like(ra)), axis=-1)
        north = np.stack((-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)), axis=-1)
        motion = self.pmra[index, None] * east + self.pmdec[index, None] * north
        vector = vector + years * _MAS * motion
        return vector / np.linalg.norm(vector, axis=1, keepdims=True)

    def at_epoch(self, epoch):
        """The same stars, at their positions at another epoch (decimal year)."""
        x, y, z = self.vectors(epoch).T
        ra, dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
        return replace(self, ra=ra, dec=dec, epoch=np.full(len(self), float(epoch)))


def read_reference_catalogue(path):
    """Read a user's catalogue.

    Parameters
    ----------
    path : str or Path
        ECSV, CSV or FITS table with columns RA and DEC (degrees; upper or lower case) or sky_centroid, and
        optionally weight, pmra and pmdec (milliarcsec per year unless the column has a unit) with ref_epoch
        or epoch (decimal year).

    Returns
    -------
    ReferenceCatalogue
        Of the rows with finite position and weight; an unknown proper motion is 0.

    Raises
    ------
    ConfigError
        If the file is not there.
    BadDataError
        If it cannot be read or lacks the columns.
    """
    from astropy.table import Table

    path = Path(path)
    if str(path).upper() in GAIA_CATALOGUES:
        raise ConfigError(
            f"abs_refcat: found {str(path)!r}, whose stars only a plan asks the service for; outside of a workflow write them to a file "
            "with snakewebb.io.star_service.fetch_stars, and give that"
        )
    if not path.is_file():
        raise ConfigError(
            f"steps.tweakreg.abs_refcat: found {str(path)!r}, expected an existing file or one of "
            f"{', '.join(GAIA_CATALOGUES)}"
        )
    try:
        table = Table.read(path)
    except Exception as error:  # readers of many formats raise many classes
        raise BadDataError(f"catalogue {path} cannot be read: {error}") from error
    return catalogue_of_table(table, str(path))


def read_detected_stars(path):
    """Positions in the catalogue of a mosaic that exposures of other filters are aligned to.

    Parameters
    ----------
    path : str or Path
        ``_cat.ecsv`` as `snakewebb.imaging.source_catalog` makes it.

    Returns
    -------
    ReferenceCatalogue
        Of the centroids in a window where the catalogue has them, else of the isophotal ones; of a mosaic without sources it is empty.
    """
    isophotal, windowed = (
        [f"{name}.{axis}" for axis in ("ra", "dec")] for name in ("sky_centroid", "sky_centroid_win")
    )
    table = read_columns(path, isophotal, optional=windowed)
    ra, dec = (table[name] for name in (windowed if windowed[0] in table.colnames else isophotal))
    known = np.isfinite(ra) & np.isfinite(dec)
    return ReferenceCatalogue(str(path), ra[known], dec[known])


def catalogue_of_table(table, name):
    """The reference catalogue in a table; see `read_reference_catalogue`."""
    columns = {}
    for column in table.colnames:
        key = column.lower()
        if key in columns and key in ("ra", "dec", "sky_centroid"):
            raise BadDataError(f"catalogue {name}: columns {columns[key]} and {column} have the same meaning")
        columns.setdefault(key, column)
    if "ra" in columns and "dec" in columns:
        ra, dec = (_values(table[columns[key]], "deg") for key in ("ra", "dec"))
    elif "sky_centroid" in columns:
        position = table[columns["sky_centroid"]].icrs
        ra, dec = position.ra.deg, position.dec.deg
    else:
        raise BadDataError(
            f"catalogue {name}: found columns {', '.join(table.colnames)}; expected RA and DEC, or sky_centroid"
        )
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    weight = _values(table[columns["weight"]], None) if "weight" in columns else None
    known = np.isfinite(ra) & np.isfinite(dec)
    if weight is not None:
        known &= np.isfinite(weight)
    motion = {}
    epoch = next((columns[key] for key in ("ref_epoch", "epoch") if key in columns), None)
    if epoch is not None and "pmra" in columns and "pmdec" in columns:
        motion["epoch"] = _values(table[epoch], None)[known]
        if not np.isfinite(motion["epoch"]).all():
            raise BadDataError(f"catalogue {name}, column {epoch}: found empty values, expected decimal years")
        for key in ("pmra", "pmdec"):
            motion[key] = np.nan_to_num(_values(table[columns[key]], "mas / yr")[known])
    of_service = table.meta.get("catalogue") in GAIA_CATALOGUES
    if not known.any() and not of_service:  # its answer may be that there are no stars
        raise BadDataError(f"catalogue {name}: found no row with a position")
    weight = None if weight is None else weight[known]
    return ReferenceCatalogue(name, ra[known], dec[known], weight, **motion, of_service=of_service)


def _values(column, unit):
    """Values of a column as float64, NaN where masked, in the given unit if the column has one."""
    if unit is not None and getattr(column, "unit", None) is not None:
        from astropy import units

        factor = units.Unit(column.unit).to(units.Unit(unit))
    else:
        factor = 1.0
    values = np.ma.asarray(getattr(column, "value", column)).astype(np.float64)
    return factor * np.ma.filled(values, np.nan)
