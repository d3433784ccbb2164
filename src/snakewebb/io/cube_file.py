"""Spectral cubes in the archive's layout (s3d)."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.cubes.cube import Cube
from snakewebb.cubes.cube_grid import CubeGrid
from snakewebb.cubes.cube_wcs import cube_wcs_tree
from snakewebb.errors import BadDataError
from snakewebb.io.asdf_tree import CORE, Tagged
from snakewebb.io.fits import check_structure, write
from snakewebb.io.products import asdf_unit, named_unit, primary_unit
from snakewebb.io.tables import PlainTable

_PLANES = (("data", "SCI"), ("err", "ERR"), ("dq", "DQ"), ("weight", "WMAP"))


def write_cube(path, cube):
    """Write a cube as ``s3d`` file: SCI, ERR, DQ, WMAP, WCS-TABLE, HDRTAB and the gwcs in ASDF.

    Parameters
    ----------
    path : path-like
    cube : Cube

    Returns
    -------
    dict
        DATASUM by extension name.
    """
    units = [primary_unit(path, cube.header, "IFUCubeModel")]
    for attribute, name in _PLANES:
        header = cube.sci_header.copy() if name == "SCI" else fits.Header()
        if name == "ERR":
            if "BUNIT" in cube.sci_header:
                header["BUNIT"] = (cube.sci_header["BUNIT"], "physical units of the array values")
            header["ERRTYPE"] = ("ERR", "Type of errors stored here")
        units.append(named_unit(fits.ImageHDU(getattr(cube, attribute), header), name))
    units.append(named_unit(_wave_unit(cube.grid.wave), "WCS-TABLE"))
    if cube.header_table is not None:
        units.append(named_unit(PlainTable(cube.header_table, "HDRTAB"), "HDRTAB"))
    units.append(
        asdf_unit(None, {"meta": {"wcs": cube_wcs_tree(cube.grid)}, "wavetable": _wave_node(len(cube.grid.wave))})
    )
    return write(path, units)


def _wave_unit(wave):
    """The table of the wavelengths of the planes: one row, one vector."""
    values = np.asarray(wave, np.float32).reshape(1, -1, 1)
    column = fits.Column("wavelength", f"{len(wave)}E", dim=f"(1,{len(wave)})", array=values)
    return fits.BinTableHDU.from_columns([column], name="WCS-TABLE")


def _wave_node(count):
    """Where the data models find the wavelengths."""
    column = {"byteorder": "big", "datatype": "float32", "name": "wavelength", "shape": [count, 1]}
    node = {"source": "fits:WCS-TABLE,1", "datatype": [column], "byteorder": "big", "shape": [1]}
    return Tagged(f"{CORE}core/ndarray-1.1.0", node)


def read_cube(path):
    """Read an ``s3d`` file, ours or the archive's.

    Raises
    ------
    BadDataError
        If the file is damaged, or lacks an extension or a keyword of its axes.
    """
    path = Path(path)
    check_structure(path)
    with fits.open(path, memmap=False) as units:
        names = {unit.name for unit in units}
        missing = [name for _, name in _PLANES if name not in names]
        if missing:
            raise BadDataError(f"{path}: extensions {', '.join(missing)} are missing; an s3d file is expected")
        header, science = units[0].header.copy(), units["SCI"].header.copy()
        planes = {
            attribute: np.ascontiguousarray(units[name].data, np.uint32 if name == "DQ" else np.float32)
            for attribute, name in _PLANES
        }
        table = np.asarray(units["WCS-TABLE"].data["wavelength"], np.float64).ravel() if "WCS-TABLE" in names else None
        rows = units["HDRTAB"].data if "HDRTAB" in names else None
    grid = _grid_of(path, science, planes["data"].shape, table, str(header.get("INSTRUME", "")).strip())
    bands = _bands_of(header)
    return Cube(**planes, grid=grid, bands=bands, header=header, sci_header=science, header_table=rows)


def _bands_of(header):
    if str(header.get("INSTRUME", "")).strip() == "MIRI":
        return tuple(
            (channel, str(header.get("BAND", "")).strip().lower()) for channel in str(header.get("CHANNEL", "")).strip()
        )
    return ((str(header.get("GRATING", "")).strip().lower(), str(header.get("FILTER", "")).strip().lower()),)


def _grid_of(path, header, shape, table, instrument):
    """The axes of a cube, from its keywords."""
    linear = str(header.get("CTYPE3", "")).strip() == "WAVE"
    needed = ["CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2", *(("CRVAL3", "CDELT3") if linear else ())]
    missing = [key for key in needed if key not in header]
    if missing or (not linear and (table is None or len(table) != shape[0])):
        what = (
            f"keywords {', '.join(missing)} are missing"
            if missing
            else "WCS-TABLE does not have the wavelengths of its planes"
        )
        raise BadDataError(f"{path}[SCI]: {what}; an s3d file is expected, get it again")
    local = not str(header.get("CTYPE1", "")).startswith("RA")
    scale = 1.0 if local else 3600.0
    cdelt = float(header["CDELT1"]) * scale, float(header["CDELT2"]) * scale
    if linear:
        wave = float(header["CRVAL3"]) + (np.arange(shape[0]) + 1.0 - float(header.get("CRPIX3", 1.0))) * float(
            header["CDELT3"]
        )
        width = np.full(shape[0], float(header["CDELT3"]))
    else:
        wave, width = table, np.diff(table, append=2 * table[-1] - table[-2]) if len(table) > 1 else np.zeros(1)
    crpix = float(header["CRPIX1"]), float(header["CRPIX2"])
    return CubeGrid(
        (np.arange(shape[2]) + 1.0 - crpix[0]) * cdelt[0],
        (np.arange(shape[1]) + 1.0 - crpix[1]) * cdelt[1],
        wave,
        width,
        crval=(float(header["CRVAL1"]), float(header["CRVAL2"])),
        crpix=crpix,
        cdelt=cdelt,
        angle=0.0 if local else float(np.rad2deg(np.arctan2(header.get("PC2_1", 0.0), header.get("PC2_2", 1.0)))),
        linear=linear,
        local=local,
        start=float(header["CRVAL3"]) if linear else None,
        step=float(header["CDELT3"]) if linear else None,
        instrument=instrument,
    )
