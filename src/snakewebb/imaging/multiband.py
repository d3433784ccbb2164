"""One table of a target: the sources of the detection filter with their fluxes in all filters."""

from snakewebb.errors import BadDataError

_ONCE = ("label", "sky_centroid", "xcentroid", "ycentroid")
_OF_THE_DETECTION = ("is_extended", "semimajor_sigma", "semiminor_sigma", "ellipticity", "sky_orientation")


def merge_bands(detected, bands):
    """Put the tables of forced photometry of several filters side by side.

    Parameters
    ----------
    detected : QTable
        Catalogue of the detection filter.
    bands : dict of str to QTable
        Tables as from `forced_photometry`, by the name of the filter, which precedes the names of columns: ``F200W_aper_total_flux``.

    Returns
    -------
    QTable
        A row for each source of the detection filter, in its order. A filter without references has no columns; the metadata of each
        filter are under its name.

    Raises
    ------
    BadDataError
        If a table is not of the sources of this catalogue.
    """
    from astropy.table import QTable

    for band, table in bands.items():
        if "xcentroid" in table.colnames and list(table["label"]) != list(detected["label"]):
            raise BadDataError(
                f"the table of {band} has {len(table)} sources, but the catalogue of the detection filter has {len(detected)}, or others; "
                "delete stage3/*_forced.* and run again"
            )
    merged = QTable()
    first = next((table for table in bands.values() if "xcentroid" in table.colnames), detected)
    for name in _ONCE:
        merged[name] = first[name]
    for name in _OF_THE_DETECTION:
        merged[name] = detected[name]
    for band, table in bands.items():
        merged.meta[band] = dict(table.meta)
        if "xcentroid" not in table.colnames:
            continue
        for name in table.colnames:
            if name not in _ONCE:
                merged[f"{band}_{name}"] = table[name]
    return merged
