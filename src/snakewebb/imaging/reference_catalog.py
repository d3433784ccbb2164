"""Catalogues of known positions that exposures are aligned to."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import BadDataError, ConfigError, TransientError

GAIA_CATALOGUES = ("GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1")
"""Names of catalogues that the web service serves."""

SERVICE = "https://gsss.stsci.edu/webservices"
"""Base of the web service, unless $ASTROMETRIC_CATALOG_URL is set."""

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
    """

    name: str
    ra: np.ndarray
    dec: np.ndarray
    weight: np.ndarray | None = None
    pmra: np.ndarray | None = None
    pmdec: np.ndarray | None = None
    epoch: np.ndarray | None = None

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


def absolute_catalogue(pointings, name, *, margin=6.0):
    """The catalogue, or the stars of the image, that exposures are aligned to.

    Parameters
    ----------
    pointings : list of Pointing
    name : str
        ``abs_refcat`` of `snakewebb.imaging.tweakreg.tweakreg`.
    margin : float
        Sources this far outside of the exposures count, arcsec.

    Returns
    -------
    ReferenceCatalogue
    """
    if name.upper() in GAIA_CATALOGUES:
        table = fetch_gaia(pointings, name.upper(), margin=margin)
        return catalogue_of_table(table, name) if len(table) else ReferenceCatalogue(name, np.empty(0), np.empty(0))
    from snakewebb.imaging.reference_image import is_image, stars_of_image

    if is_image(name):
        return stars_of_image(name, pointings, margin=margin)
    return read_reference_catalogue(name)


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
    from astropy.table import QTable

    table = QTable.read(path, format="ascii.ecsv")
    position = table["sky_centroid_win" if "sky_centroid_win" in table.colnames else "sky_centroid"]
    if not len(table):
        return ReferenceCatalogue(str(path), np.empty(0), np.empty(0))
    ra, dec = position.icrs.ra.deg, position.icrs.dec.deg
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
    if not known.any():
        raise BadDataError(f"catalogue {name}: found no row with a position")
    return ReferenceCatalogue(name, ra[known], dec[known], None if weight is None else weight[known], **motion)


def fetch_gaia(pointings, catalogue, *, epoch=None, margin=6.0, timeout=30.0):
    """Ask the archive's web service for the catalogue around some exposures.

    Parameters
    ----------
    pointings : list of Pointing
    catalogue : str
        One of `GAIA_CATALOGUES`.
    epoch : float, optional
        Decimal year of the positions; the mean of the exposures' if not given.
    margin : float
        Search this much beyond the farthest corner, arcsec.
    timeout : float
        Seconds.

    Returns
    -------
    astropy.table.Table
        RA, DEC (degrees, at the epoch), mag, pmra, pmdec (mas/yr), epoch; sources without proper motion are
        left out. Written to a file it can be read by `read_reference_catalogue`.

    Raises
    ------
    TransientError
        If the service cannot be reached or answers with an error.
    """
    import urllib.error
    import urllib.parse
    import urllib.request

    from astropy.table import Table

    if epoch is None:
        epochs = [pointing.epoch for pointing in pointings if pointing.epoch is not None]
        if not epochs:
            raise BadDataError(f"{catalogue}: no exposure has a date (EXPMID or DATE-OBS), so the epoch is unknown")
        epoch = float(np.mean(epochs))
    corners = np.concatenate([_vectors(*pointing.wcs.footprint().T) for pointing in pointings])
    centre = corners.mean(axis=0)
    centre /= np.linalg.norm(centre)
    radius = np.degrees(np.arccos(np.clip((corners @ centre).min(), -1, 1))) + margin / 3600.0
    query = {
        "RA": float(np.degrees(np.arctan2(centre[1], centre[0])) % 360.0),
        "DEC": float(np.degrees(np.arcsin(centre[2]))),
        "EPOCH": epoch,
        "SR": float(radius),
        "FORMAT": "CSV",
        "CAT": catalogue,
    }
    base = os.environ.get("ASTROMETRIC_CATALOG_URL", SERVICE)
    url = f"{base}/vo/CatalogSearch.aspx?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError, OSError, UnicodeDecodeError, ValueError) as error:
        raise TransientError(
            f"{catalogue}: the catalogue service {base} gave no answer within {timeout:g} s ({error}); "
            "try again, or set steps.tweakreg.abs_refcat to a catalogue file, or to '' for relative alignment only"
        ) from error
    names = ("ra", "dec", "mag", "pmra", "pmdec")
    rows = _csv_rows(text, names, f"{catalogue} from {base}")
    table = Table(rows, names=("RA", "DEC", "mag", "pmra", "pmdec"))
    for name, unit in (
        ("RA", "deg"),
        ("DEC", "deg"),
        ("mag", "mag"),
        ("pmra", "mas / yr"),
        ("pmdec", "mas / yr"),
    ):
        table[name].unit = unit
    table["epoch"] = np.full(len(table), epoch)
    table.meta["catalogue"] = catalogue
    table.sort("mag", reverse=True)
    return table


def _csv_rows(text, names, source):
    """Rows with all of the named columns but mag; of an answer without records, none."""
    import csv

    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or lines[0].startswith("No data records"):
        return np.empty((0, len(names)))
    rows = list(csv.DictReader(lines))
    if not rows:
        return np.empty((0, len(names)))
    given = {key.strip().lower(): key for key in rows[0] if key}
    missing = [name for name in names if name not in given]
    if missing:
        raise TransientError(f"{source}: the answer has no column {', '.join(missing)}: {lines[0][:80]!r}")

    def number(row, name):
        try:
            return float(row[given[name]])
        except (TypeError, ValueError):
            return np.nan

    values = np.array([[number(row, name) for name in names] for row in rows])
    return values[np.isfinite(values[:, [0, 1, 3, 4]]).all(axis=1)]


def _vectors(ra, dec):
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def _values(column, unit):
    """Values of a column as float64, NaN where masked, in the given unit if the column has one."""
    if unit is not None and getattr(column, "unit", None) is not None:
        from astropy import units

        factor = units.Unit(column.unit).to(units.Unit(unit))
    else:
        factor = 1.0
    values = np.ma.asarray(getattr(column, "value", column)).astype(np.float64)
    return factor * np.ma.filled(values, np.nan)
