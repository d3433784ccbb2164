"""Writing mosaics in the archive's layout (i2d)."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.io.asdf_tree import dump
from snakewebb.io.fits import write
from snakewebb.io.streamed_image import StreamedImage
from snakewebb.io.tables import PlainTable, asdf_table
from snakewebb.io.tile_files import TiledPlane


def write_mosaic(path, mosaic):
    """Write a mosaic as ``i2d`` file: SCI, CON, ERR, WHT, variances, DQ, HDRTAB and the gwcs in ASDF.

    Parameters
    ----------
    path : path-like
    mosaic : Mosaic
        Its planes may be `TiledPlane`, which are not read as a whole.

    Returns
    -------
    dict
        DATASUM by extension name.
    """
    primary = mosaic.header.copy()
    primary["FILENAME"] = Path(path).name
    primary["DATE"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    unit = mosaic.sci_header.get("BUNIT")
    error_header = fits.Header({"BUNIT": unit}) if unit is not None else None
    units = [fits.PrimaryHDU(header=primary), _image(mosaic.data, mosaic.sci_header, "SCI")]
    planes = (
        ("ERR", mosaic.err, error_header),
        ("DQ", mosaic.dq, None),
        ("CON", mosaic.context, None),
        ("WHT", mosaic.weight, None),
        ("VAR_POISSON", mosaic.var_poisson, None),
        ("VAR_RNOISE", mosaic.var_rnoise, None),
        ("VAR_FLAT", mosaic.var_flat, None),
    )
    units += [_image(plane, header, name) for name, plane, header in planes if plane is not None]
    if mosaic.header_table is not None:
        units.append(PlainTable(mosaic.header_table, "HDRTAB"))
    for extension in units[1:]:
        extension.header["EXTVER"] = (1, "extension value")
    units.append(_asdf_unit(mosaic))
    return write(path, units)


def _image(plane, header, name):
    """An image extension."""
    if not isinstance(plane, TiledPlane):
        return fits.ImageHDU(plane, header, name=name)
    like = fits.ImageHDU(np.broadcast_to(plane.dtype.type(0), plane.shape), header, name=name)
    return StreamedImage(like.header, plane.dtype, plane.nbytes, plane.pieces)


def _asdf_unit(mosaic):
    """The ASDF extension, with the gwcs where the data models look for it."""
    meta = mosaic.tree.get("meta", {})
    if mosaic.grid.wcs is None:
        content = dump({"meta": {**meta, "wcs": mosaic.grid.as_tree()}})
    else:
        import asdf

        buffer = BytesIO()
        asdf.AsdfFile({"meta": {**meta, "wcs": mosaic.grid.wcs}}).write_to(buffer)
        content = buffer.getvalue()
    return asdf_table(content)
