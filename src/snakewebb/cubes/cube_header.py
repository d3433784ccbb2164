"""Header of a cube, from those of its exposures."""

import numpy as np

from snakewebb.cubes.cube_grid import SR_PER_ARCSEC2
from snakewebb.imaging.header_rules import TABLE_KEYWORDS
from snakewebb.imaging.mosaic_header import BLENDED, STRUCTURE, blended, table_of_headers
from snakewebb.imaging.output_grid import region_of_footprints

_OF_THE_DETECTOR = ("V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF", "V3I_YANG", "VPARITY")
_NOT_KEPT = (*_OF_THE_DETECTOR, "CHECKSUM", "DATASUM", "EXTNAME", "EXTVER", *STRUCTURE)
_PRIMARY_BLENDED = ("XPOSURE", "TELAPSE")


def finish_header(cube, exposures, parameters, *, weighting, local):
    """Set ``header``, ``sci_header`` and ``header_table`` of a cube.

    Parameters
    ----------
    cube : Cube
    exposures : list of IFUExposure
        Those of the cube, once for each of their bands.
    parameters : CubeParameters
    weighting : {"drizzle", "emsm", "msm"}
    local : bool
        Whether the axes are those of the slices.
    """
    first, grid = exposures[0], cube.grid
    primary, science = first.header.copy(strip=True), first.sci_header.copy(strip=True)
    for header in (primary, science):
        for key in _NOT_KEPT:
            header.remove(key, ignore_missing=True, remove_all=True)
    if len(exposures) > 1:
        _blend(primary, science, exposures)
        cube.header_table = table_of_headers([_keywords(exposure, TABLE_KEYWORDS) for exposure in exposures])
    if grid.instrument == "MIRI":
        primary["CHANNEL"] = "".join(sorted({channel for channel, _ in cube.bands}))
    area = grid.pixel_area
    science["PIXAR_SR"], science["PIXAR_A2"] = area * SR_PER_ARCSEC2, area
    for key, value in grid.fits_keywords().items():
        science[key] = value
    if not local:
        science["S_REGION"] = region_of_footprints([footprint_of_grid(grid)])
    primary["FLUXEXT"], primary["ERREXT"], primary["MASKEXT"] = "SCI", "ERR", "DQ"
    used = weighting != "drizzle" and not local
    if used and not grid.linear:
        roiw = float(np.mean(parameters.table["roiw"]))
    else:
        roiw = parameters.roiw
    primary["ROIS"] = float(parameters.rois) if used else 0
    primary["ROIW"] = float(roiw) if used else 0
    primary["WTYPE"] = "emsm" if local else weighting
    primary["WPOWER"] = float(parameters.power or 0) if used else 0
    primary["S_IFUCUB"] = "COMPLETE"
    primary["DATAMODL"] = "IFUCubeModel"
    cube.header, cube.sci_header = primary, science


def footprint_of_grid(grid):
    """Sky positions of the outer spaxels' centres at the corners, (4, 2) in degrees, beginning at the end of the first row."""
    _, ny, nx = grid.shape
    x, y = np.array([nx - 1, nx - 1, 0, 0]), np.array([0, ny - 1, ny - 1, 0])
    return np.stack(grid.pixel_to_sky(x, y), axis=-1)


def _keywords(exposure, names):
    found = {key: exposure.keyword(key) for key in names}
    return {key: value for key, value in found.items() if value is not None}


def _blend(primary, science, exposures):
    for key in BLENDED:
        values = [value for value in (exposure.keyword(key) for exposure in exposures) if value is not None]
        if values:
            header = science if key in science and key not in primary else primary
            header[key] = blended(key, values)
    mean_ra, mean_dec = exposures[0].keyword("MT_AVRA"), exposures[0].keyword("MT_AVDEC")
    if mean_ra is not None:
        science["MT_RA"], science["MT_DEC"] = mean_ra, mean_dec
        primary["TARG_RA"], primary["TARG_DEC"] = mean_ra, mean_dec
