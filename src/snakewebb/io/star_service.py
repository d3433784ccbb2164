"""The observatory's web service of star catalogues: what it is asked, and the file that its answer becomes.

Only fetching and the rule ``star_catalogue`` ask it; what aligns exposures reads the file.
"""

import csv
import math
import os
import urllib.parse

from snakewebb.io.connection import Connection, ask
from snakewebb.io.retries import AgainError

GAIA_CATALOGUES = ("GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1")
"""Names of catalogues that the web service serves."""

DEFAULT_SERVICE = "https://gsss.stsci.edu/webservices"

EPOCH = 2016.0
"""Decimal year of the positions that are asked for, whatever the exposures': proper motions are in the file."""

_COLUMNS = {
    "ra": ("RA", "deg"),
    "dec": ("DEC", "deg"),
    "mag": ("mag", "mag"),
    "pmra": ("pmra", "mas / yr"),
    "pmdec": ("pmdec", "mas / yr"),
}
_NEEDED = ("ra", "dec", "pmra", "pmdec")


def service_url(configured=None):
    """Address of the service, ``None`` if there is none: work offline.

    Parameters
    ----------
    configured : str, optional
        ``catalogue_server`` of the configuration; without it ``$ASTROMETRIC_CATALOG_URL`` counts, as for jwst.
    """
    url = configured or os.environ.get("ASTROMETRIC_CATALOG_URL")
    return url.rstrip("/") if url else None


def fetch_stars(path, *, catalogue, ra, dec, radius, service, attempts=5, pause=1.0, timeout=60):
    """Write the stars of a circle on the sky into a file, whole or not at all.

    Parameters
    ----------
    path : path-like
        ECSV: RA, DEC (degrees ICRS at `EPOCH`), mag, pmra, pmdec (milliarcsec per year), epoch (decimal year), the brightest first;
        sources without proper motion are left out. The same answer gives the same bytes.
    catalogue : str
        One of `GAIA_CATALOGUES`.
    ra, dec, radius : float
        Degrees.
    service : str
        Address, see `service_url`.
    attempts, pause, timeout
        As in `snakewebb.io.download.download`.

    Returns
    -------
    int
        Number of stars.

    Raises
    ------
    NotOnServerError
        If the service refuses.
    TransientError
        If it does not answer with a catalogue, after all attempts.
    """
    query = {"RA": ra, "DEC": dec, "EPOCH": EPOCH, "SR": radius, "FORMAT": "CSV", "CAT": catalogue}
    url = f"{service}/vo/CatalogSearch.aspx?{urllib.parse.urlencode(query)}"
    connection = Connection(timeout=timeout)
    rows = ask(
        lambda: _rows(_text(connection, url)),
        url,
        attempts=attempts,
        pause=pause,
        failure=f"{catalogue}: {service} gave no catalogue",
        advice="set steps.tweakreg.abs_refcat to a catalogue file, or to '' for relative alignment only",
    )
    _write(path, rows, {"catalogue": catalogue, "ra": ra, "dec": dec, "radius": radius})
    return len(rows)


def _text(connection, url):
    import requests

    with connection.get(url, {}) as response:
        try:
            content = response.content
        except requests.RequestException as error:
            raise AgainError("the answer was cut short") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise AgainError(f"the answer is not text: {content[:60]!r}") from error


def _rows(text):
    """Values of the columns of each star with a position and a proper motion, the brightest first; of an answer without records, none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines and lines[0].startswith("No data records"):
        return []
    names = [name.strip().lower() for name in lines[0].split(",")] if lines else []
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise AgainError(f"the answer has no column {', '.join(missing)}: {(lines or [''])[0][:80]!r}")
    rows = []
    for fields in csv.reader(lines[1:]):
        if len(fields) != len(names):
            raise AgainError(
                f"the answer has a row of {len(fields)} values under {len(names)} names: {','.join(fields)[:80]!r}"
            )
        row = dict(zip(names, map(_number, fields), strict=True))
        if all(math.isfinite(row[name]) for name in _NEEDED):
            rows.append([row.get(name, math.nan) for name in _COLUMNS])
    return sorted(rows, key=lambda row: (math.isnan(row[2]), row[2], *row[:2]))


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def _write(path, rows, meta):
    import numpy as np
    from astropy.table import Column, Table

    from snakewebb.io.ecsv import write_ecsv
    from snakewebb.io.fits import atomic

    values = np.array(rows, np.float64).reshape(-1, len(_COLUMNS))
    columns = [Column(values[:, n], name, unit=unit) for n, (name, unit) in enumerate(_COLUMNS.values())]
    table = Table([*columns, Column(np.full(len(rows), EPOCH), "epoch", unit="yr")], meta=meta)
    with atomic(path) as temporary:
        write_ecsv(temporary, table)
