"""Header of a mosaic, and the table of the headers of its exposures."""

import re

import numpy as np

from snakewebb.imaging import header_rules as rules
from snakewebb.imaging.output_grid import region_of_footprints
from snakewebb.imaging.pointing import SLOPES
from snakewebb.imaging.region_union import union_of_polygons

_DISTORTION = re.compile(r"^(CD[12]_[12]|(A|B|AP|BP)_(\d_\d|ORDER|DMAX)|SIPMXERR|SIPIVERR)$")
_DETECTOR_FRAME = ("V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF", "V3I_YANG", "VPARITY")
STRUCTURE = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BSCALE", "BZERO")
_NOTBLENDED = ("FILENAME", "PIXAR_SR", "PIXAR_A2")
_MULTIPLE = rules.MULTIPLE | rules.OWN_MULTIPLE
BLENDED = sorted(rules.LEAST | rules.GREATEST | rules.MEAN | rules.SUM | _MULTIPLE | rules.WHEEL_TOLERANCE)


class MosaicHeader:
    """Collects what the header of a mosaic needs of each exposure."""

    def __init__(self):
        self._rows = []
        self._footprints = []
        self._groups = {}

    def add(self, exposure):
        """Take the keywords of an exposure."""
        keys = [*rules.TABLE_KEYWORDS, *(key for key in BLENDED if key not in rules.TABLE_KEYWORDS)]
        present = {
            *exposure.sci_header,
            *exposure.header,
        }  # to find that a header lacks a keyword takes longer than its value
        found = {key: exposure.keyword(key) for key in keys if key in present}
        self._rows.append({key: value for key, value in found.items() if value is not None})
        self._footprints.extend(exposure.footprints())
        if exposure.group not in self._groups:
            keys = ("EFFEXPTM", "DURATION", "TMEASURE", "EXPSTART", "EXPEND")
            self._groups[exposure.group] = {key: exposure.keyword(key) for key in keys}

    def finish(self, mosaic, settings, *, blend):
        """Set ``header``, ``sci_header``, ``header_table`` and ``tree`` of a mosaic."""
        first, grid = mosaic.exposures[0], mosaic.grid
        primary = first.header.copy(strip=True)
        science = first.sci_header.copy(strip=True)
        for header in (primary, science):
            for key in ("CHECKSUM", "DATASUM", "EXTNAME", "EXTVER", *STRUCTURE):
                header.remove(key, ignore_missing=True)
        for key in [key for key in science if _DISTORTION.match(key) or key in _DETECTOR_FRAME]:
            science.remove(key, ignore_missing=True)

        def put(key, value):
            header = science if (key in science and key not in primary) or key in _SCIENCE else primary
            if value is None:
                header.remove(key, ignore_missing=True)
            else:
                header[key] = value

        if blend:
            for key in BLENDED:
                values = [row[key] for row in self._rows if key in row]
                if values:
                    put(key, blended(key, values))
            mosaic.header_table = table_of_headers(self._rows)
        for key, value in self._times().items():
            put(key, value)
        area = grid.pixel_scale**2
        put("PIXAR_A2", area)
        put("PIXAR_SR", area / np.rad2deg(3600.0) ** 2)
        for key, value in grid.fits_keywords().items():
            put(key, value)
        region = union_of_polygons(self._footprints, grid)
        put("S_REGION", region_of_footprints(region) if region else None)
        for key in ("BKGLEVEL", *SLOPES, "BKGSUB"):
            put(key, None)
        put("NDRIZ", len(self._groups))
        put("RESWHT", settings["weight_type"] or "none")
        put("PIXFRAC", settings["pixfrac"])
        put("PXSCLRT", grid.pixel_scale_ratio)
        put("S_RESAMP", "COMPLETE")
        put("DATAMODL", "ImageModel")
        mosaic.header, mosaic.sci_header = primary, science
        fill = settings["fillval"]
        mosaic.tree = {
            "meta": {"resample": {"kernel": settings["kernel"], "fillval": "NAN" if np.isnan(fill) else str(fill)}}
        }

    def _times(self):
        """Exposure times summed over groups: detectors that expose at the same time count once."""
        groups = list(self._groups.values())

        def values(key):
            return [group[key] for group in groups if group[key] is not None]

        exposure, duration, measured = (sum(values(key)) for key in ("EFFEXPTM", "DURATION", "TMEASURE"))
        complete = len(values("TMEASURE")) == len(groups)
        return {
            "EFFEXPTM": exposure,
            "XPOSURE": exposure,
            "DURATION": duration,
            "TELAPSE": duration,
            "TMEASURE": measured if complete else None,
            "EXPSTART": min(values("EXPSTART"), default=None),
            "EXPEND": max(values("EXPEND"), default=None),
        }


_SCIENCE = {
    "XPOSURE", "TELAPSE", "MJD-BEG", "MJD-AVG", "MJD-END", "TDB-BEG", "TDB-MID", "TDB-END", "PIXAR_SR", "PIXAR_A2",
    "S_REGION", "WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CDELT1",
    "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "RADESYS",
}  # fmt: skip


def table_of_headers(rows):
    """The table HDRTAB: keywords of each exposure, as a record array.

    Parameters
    ----------
    rows : list of dict
        Value by keyword of each exposure.
    """
    names, columns = [], []
    for key in rules.TABLE_KEYWORDS:
        if any(key in row for row in rows):
            names.append(key)
            columns.append(np.array([row.get(key, np.nan) for row in rows]))
    return np.rec.fromarrays(columns, dtype=[(n, c.dtype) for n, c in zip(names, columns, strict=True)])


def blended(key, values):
    """Value of a keyword of a product, from those of its exposures."""
    if key in rules.LEAST:
        return min(values)
    if key in rules.GREATEST:
        return max(values)
    if key in rules.MEAN:
        return float(np.mean(values))
    if key in rules.SUM:
        return sum(values)
    if key in _MULTIPLE:
        return values[0] if len(set(values)) == 1 else "MULTIPLE"
    outside = "outside calibration tolerance"
    return outside if outside in values else "within commanded tolerance"
