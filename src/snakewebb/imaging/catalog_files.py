"""Files of the catalogue of a mosaic: the table, and the map of the segments."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.imaging.catalog_table import empty_catalog
from snakewebb.imaging.mosaic_image import gwcs_of
from snakewebb.imaging.row_bands import row_bands
from snakewebb.io.atomic import atomic
from snakewebb.io.ecsv import write_ecsv
from snakewebb.io.fits import write
from snakewebb.io.tables import asdf_table


def write_catalog(path, catalog):
    """Write a catalogue as ECSV, atomically; equal catalogues give equal bytes.

    Parameters
    ----------
    path : path-like
    catalog : QTable or None
        ``None`` (the step did not run) writes an empty one.

    Returns
    -------
    dict
        ``sha256`` of the file.
    """
    if catalog is None:
        catalog = empty_catalog(reason="source_catalog did not run")
    with atomic(path) as temporary:
        write_ecsv(temporary, catalog)
        return {"sha256": hashlib.sha256(temporary.read_bytes()).hexdigest()}


def write_segments(path, mosaic, catalog_name):
    """Write the segmentation map of a mosaic, as `SegmentationMapModel` of the archive.

    Parameters
    ----------
    path : path-like
    mosaic : MosaicImage
        After `source_catalog`, without which there are no segments; keywords and coordinate system are those of
        the mosaic.
    catalog_name : str
        File name of the catalogue, for SCATFILE.

    Returns
    -------
    dict
        DATASUM by extension.
    """
    segments = mosaic.segments if mosaic.segments is not None else np.zeros(mosaic.data.shape, np.int32)
    header = mosaic.header.copy(strip=True)
    for name in ("CHECKSUM", "DATASUM"):
        header.remove(name, ignore_missing=True)
    header.update(
        FILENAME=Path(path).name,
        DATAMODL="SegmentationMapModel",
        SCATFILE=catalog_name,
        DATE=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
    )
    header.update(_depth_keywords(mosaic.catalog))
    sci_header = fits.Header([card for card in mosaic.sci_header.cards if card.keyword in _SEGMENT_KEYWORDS])
    units = [
        fits.PrimaryHDU(header=header),
        fits.ImageHDU(segments.view(np.uint32), header=sci_header, name="SCI"),
    ]
    if mosaic.tree:
        units.append(_asdf_unit(mosaic.tree))
    return write(path, units)


def read_detection(mosaic, catalog, segmentation):
    """Give a mosaic the sources and segments of the detection filter.

    Parameters
    ----------
    mosaic : MosaicImage
        Its ``detected`` and ``segments`` are set.
    catalog, segmentation : path-like
        As `write_catalog` and `write_segments` write them.

    Raises
    ------
    BadDataError
        If the segments have other coordinates than the mosaic.
    """
    from astropy.table import QTable

    with fits.open(segmentation, memmap=False) as units:
        header = units["SCI"].header
        segments = mosaic.empty(units["SCI"].shape, np.int32)
        for rows in row_bands(segments.shape):
            segments[rows] = units["SCI"].section[rows]
    for key in sorted(_COORDINATES):
        found, expected = (one.get(key) for one in (mosaic.sci_header, header))
        if found != expected:
            raise BadDataError(
                f"{mosaic.header.get('FILENAME', 'mosaic')}[SCI]: {key} is {found!r}, but {expected!r} in {segmentation}: the mosaics are "
                "not on one grid; set common_grid in config.yaml"
            )
    mosaic.segments = segments
    mosaic.detected = QTable.read(catalog, format="ascii.ecsv")


def _depth_keywords(catalog):
    """Limiting magnitude and width of the pulls in empty circles: keyword -> value and comment."""
    if catalog is None or "empty_apertures" not in catalog.meta:
        return {}
    depth, energies = catalog.meta["empty_apertures"], catalog.meta["aperture_params"]["aperture_ee"]
    keywords = {}
    for number, energy in enumerate(energies):
        if depth["pull"][number] is not None:
            magnitude, pull = depth["limiting_abmag"][number], depth["pull"][number]
            keywords[f"DEPTH{energy}"] = (round(magnitude, 4), f"[AB mag] 5 sigma, star, {energy}% circle")
            keywords[f"EMPTYP{energy}"] = (round(pull, 4), f"scatter/error of empty {energy}% circles")
    return keywords


def _asdf_unit(tree):
    """ASDF extension with the tree of the mosaic; with its gwcs alone where the tree names other extensions."""
    if b"fits:" in tree:
        from snakewebb.io.products import asdf_unit

        return asdf_unit(gwcs_of(tree))
    return asdf_table(tree)


_COORDINATES = {
    *("WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CDELT1"),
    *("CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "RADESYS"),
}
# keywords of the mosaic's SCI extension that hold for its segments too
_SEGMENT_KEYWORDS = {*_COORDINATES, "S_REGION", "PIXAR_SR", "PIXAR_A2"}
