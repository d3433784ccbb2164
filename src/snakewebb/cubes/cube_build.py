"""Spectral cubes from the exposures of an integral-field unit."""

import logging
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows
from snakewebb.cubes import coverage, kernels
from snakewebb.cubes.cube import Cube, slabs
from snakewebb.cubes.cube_grid import axis_angle, footprint_corners, sky_grid, slice_grid
from snakewebb.cubes.cube_header import finish_header
from snakewebb.cubes.cube_parameters import cube_parameters
from snakewebb.cubes.cubes_of_product import check_bands, cubes_of, suffix_of
from snakewebb.cubes.pixel_cache import PixelCache
from snakewebb.cubes.pixels import MRS_SLICES
from snakewebb.cubes.pointing_offsets import read_offsets
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.output_grid import footprint_of_region
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)


@step(version=1, keyword="S_IFUCUB", references=("cubepar",))
def cube_build(
    cubes,
    references,
    *,
    channel: str = "all",
    band: str = "all",
    grating: str = "all",
    filter: str = "all",
    output_type: Literal["band", "channel", "grating", "multi"] = "band",
    linear_wave: bool = True,
    scalexy: Annotated[float, Between(0.0, None)] = 0.0,
    scalew: Annotated[float, Between(0.0, None)] = 0.0,
    weighting: Literal["drizzle", "emsm", "msm"] = "drizzle",
    coord_system: Literal["skyalign", "world", "ifualign", "internal_cal"] = "skyalign",
    ra_center: Annotated[float | None, Between(0.0, 360.0)] = None,
    dec_center: Annotated[float | None, Between(-90.0, 90.0)] = None,
    cube_pa: float | None = None,
    nspax_x: Annotated[int | None, Between(1, None)] = None,
    nspax_y: Annotated[int | None, Between(1, None)] = None,
    rois: Annotated[float, Between(0.0, None)] = 0.0,
    roiw: Annotated[float, Between(0.0, None)] = 0.0,
    weight_power: Annotated[float, Between(0.0, None)] = 2.0,
    wavemin: float | None = None,
    wavemax: float | None = None,
    skip_dqflagging: bool = False,
    output_use_model: bool = True,
    offset_file: str | None = None,
    debug_spaxel: str = "-1 -1 -1",
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Combine the exposures of an integral-field unit into spectral cubes.

    Every detector pixel is the quadrilateral that it sees of the sky, as wide as its slice, and an interval in wavelength. A voxel is
    the mean of the pixels that overlap with it, weighted by the overlap; surface brightness and flux are conserved. With emsm and msm
    a pixel is a point, and counts with a weight that falls with the distance from the voxel.

    Memory is that of one cube, of a slab of it, and of some exposures; these are read as they are needed, and the result does not
    depend on the number of threads.

    Voxels of the field of view without data are DO_NOT_USE; those outside of it NON_SCIENCE as well. Data and errors are NaN in both.

    Parameters
    ----------
    cubes : CubeSet
        Its exposures are the input; the cubes are stored in it, or handed to its ``save``.
    references : References
    channel : str
        Channels of the MRS to use, separated by commas; or all.
    band : str
        Bands of the MRS to use (short, medium, long and combinations like short-long), separated by commas; or all.
    grating, filter : str
        The same of NIRSpec.
    output_type : str
        What one cube holds: one band (of one channel), one channel, one grating, or everything (multi, whose wavelengths are not
        equally spaced).
    linear_wave : bool
        Equally spaced wavelengths; otherwise those of the table of the reference.
    scalexy : float
        Side of the spaxels, arcsec; 0 for that of the reference.
    scalew : float
        Width of the planes, micron; 0 for that of the reference.
    weighting : str
        By overlap (drizzle), or by a function of the distance: exponential (emsm) or a power (msm).
    coord_system : str
        Axes along right ascension and declination (skyalign, also called world), along the slices (ifualign), or slice by slice without
        resampling across them (internal_cal, of one exposure and one band).
    ra_center, dec_center : float
        Centre of the cube, degrees.
    cube_pa : float
        Position angle of the y axis, degrees from north to east; with skyalign.
    nspax_x, nspax_y : int
        Spaxels along the axes; an even number is raised by 1.
    rois, roiw : float
        Radius (arcsec) and half length (micron) of the region around a voxel whose pixels count, with emsm and msm; 0 for those of the
        reference, the radius of which is enlarged by half for msm and fewer than 4 exposures.
    weight_power : float
        Exponent of the weights of msm; 0 for that of the reference.
    wavemin, wavemax : float
        Limits of the wavelength axis, micron.
    skip_dqflagging : bool
        Do not tell holes in the field of view from voxels outside of it.
    output_use_model : bool
        Accepted for compatibility; names come from the plan.
    offset_file : str
        ASDF file with lists ``filename``, ``raoffset`` and ``decoffset`` (arcsec), which is added to the pointing of exposures; or an ECSV
        table with these columns.
    debug_spaxel : str
        Accepted for compatibility.
    compatibility : {"native", "jwst"}
        "jwst" leaves the field of view of the MRS empty, so that all voxels without data are NON_SCIENCE, leaves out overlaps with
        spaxels at the lower edges of a cube that is smaller than the field, and refuses internal_cal for the MRS, as jwst does.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        For parameters that contradict each other, or that select nothing.
    BadDataError
        If the exposures are of different instruments or units, or too far apart.
    MissingReferenceError
        If the reference lacks a band.

    References
    ----------
    Law et al. 2023, AJ 166, 45; step ``cube_build`` of jwst.
    """
    if not cubes.exposures:
        return Status(NOT_APPLICABLE, "there is no exposure")
    instrument = _instrument(cubes.exposures)
    local = coord_system == "internal_cal"
    if local and instrument == "MIRI" and compatibility == "jwst":
        raise ConfigError(
            "steps.cube_build.coord_system: found 'internal_cal' with compatibility: jwst, which refuses it for the MRS; "
            "use ifualign, or compatibility: native"
        )
    asked = {"channel": channel, "band": band, "grating": grating, "filter": filter}
    wanted = cubes_of(cubes.exposures, instrument, "band" if local else output_type, asked)
    linear = local or (linear_wave and output_type != "multi")
    offsets = read_offsets(offset_file, cubes.exposures) if offset_file else {}
    reasons = []
    for bands in wanted:
        members = [(exposure, name) for name in bands for exposure in cubes.exposures if name in exposure.bands]
        if local and len(members) > 1:
            raise ConfigError(
                f"steps.cube_build.coord_system: found 'internal_cal' with {len(members)} exposures of one band, expected one: "
                "the slices of several exposures do not coincide; use skyalign or ifualign"
            )
        parameters = cube_parameters(
            references,
            instrument,
            bands,
            weighting="drizzle" if local else weighting,
            linear=linear,
            nexposures=len(members),
            scalexy=scalexy,
            scalew=scalew,
            rois=rois,
            roiw=roiw,
            weight_power=weight_power,
            wavemin=wavemin,
            wavemax=wavemax,
        )
        corners = "local" if local else "sky" if weighting == "drizzle" else None
        pixels = PixelCache(members, corners, offsets)
        pixels.read_ahead()
        if local:
            grid = _slice_grid(pixels, parameters, instrument)
        else:
            angle = axis_angle(members[0][0].angle(members[0][1])) if coord_system == "ifualign" else cube_pa
            use_regions = (
                angle is None
                and instrument == "MIRI"
                and (output_type == "multi" or not {"1", "3"} & {b[0] for b in bands})
            )
            grid = sky_grid(
                footprints_of(pixels, use_regions),
                parameters,
                angle=angle,
                centre=(ra_center, dec_center),
                size=(nspax_x, nspax_y),
                instrument=instrument,
            )
        cube = _empty(grid, bands)
        cube.suffix = suffix_of(instrument, bands, internal=local)
        _accumulate(
            cube,
            pixels,
            parameters,
            weighting="local" if local else weighting,
            jwst=compatibility == "jwst",
            flag=not skip_dqflagging,
        )
        if instrument == "MIRI":
            torn = coverage.blank_low_coverage(cube.data, cube.err, cube.weight, cube.dq)
            if torn:
                log.info("%s: %d planes with low coverage are blank", cube.suffix, torn)
        reasons += [f"{cube.suffix}: {text}" for text in _without_pixels(pixels)]
        finish_header(cube, [exposure for exposure, _ in members], parameters, weighting=weighting, local=local)
        if cubes.save is not None:
            cubes.save(cube)
        else:
            cubes.cubes.append(cube)
    check_bands(cubes.exposures, wanted)
    return Status(reason="; ".join(reasons))


def _without_pixels(pixels):
    """Which slices had no valid pixel, in words."""
    if not pixels.any_used:
        yield "no exposure has a valid pixel"
        return
    for number, (labels, count) in sorted(pixels.empty_slices.items()):
        name = pixels.members[number][0].name
        if len(labels) == count:
            yield f"{name} has no valid pixel"
        elif len(labels):
            yield f"{name} has no valid pixel in slice {', '.join(map(str, labels))}"


def _instrument(exposures):
    found = {str(exposure.keyword("INSTRUME", "")).strip().upper() for exposure in exposures}
    if len(found) > 1 or not found <= {"MIRI", "NIRSPEC"}:
        raise BadDataError(
            f"INSTRUME of the exposures of a cube is {', '.join(sorted(found))}, expected one of MIRI and NIRSPEC; "
            "remove the others from the association"
        )
    units = {str(exposure.keyword("BUNIT", "")).strip() for exposure in exposures}
    if len(units) > 1:
        raise BadDataError(
            f"[SCI]: BUNIT of the exposures of a cube differs: {', '.join(sorted(map(repr, units)))}; run photom on all of them"
        )
    return found.pop()


def _empty(grid, bands):
    shape = grid.shape
    return Cube(
        data=np.empty(shape, np.float32),
        err=np.empty(shape, np.float32),
        dq=np.empty(shape, np.uint32),
        weight=np.empty(shape, np.float32),
        grid=grid,
        bands=tuple(bands),
    )


def footprints_of(pixels, use_regions):
    """Corners of the fields of all exposures, degrees: those of S_REGION where they are those of the channel."""
    corners = []
    for number, (exposure, _) in enumerate(pixels.members):
        region = exposure.keyword("S_REGION")
        moving = str(exposure.keyword("TARGTYPE", "")).strip().upper() == "MOVING"
        if use_regions and region is not None and exposure.spectral_region is not None and not moving:
            found = pixels.shifted(number, np.concatenate(footprint_of_region(region))[:4])
        else:
            table = pixels.table(number)
            found = footprint_corners(table.ra, table.dec) if len(table) else np.empty((0, 2))
        corners.append(found)
    corners = np.concatenate(corners)
    if not len(corners):
        raise BadDataError(
            f"{', '.join(exposure.name for exposure, _ in pixels.members)}: no pixel has coordinates on the sky; run assign_wcs with a "
            "regions reference that has slices of the channel"
        )
    return corners


def _slice_grid(pixels, parameters, instrument):
    exposure, band = pixels.members[0]
    table = pixels.table(0)
    known = np.isfinite(table.corner_along).all(axis=1)
    if not known.any():
        raise BadDataError(
            f"{exposure.name}: no pixel of channel {band[0]} has coordinates; run assign_wcs with its regions reference"
        )
    first, last = MRS_SLICES[band[0]]
    numbers, beta = table.slice_number[known], table.beta[known]
    low, high = numbers.min(), numbers.max()
    width = (np.median(beta[numbers == high]) - np.median(beta[numbers == low])) / max(high - low, 1)
    edge = np.median(beta[numbers == low]) - (low - first + 0.5) * width
    if width < 0:
        raise BadDataError(
            f"{exposure.name}: beta falls with the number of the slice in channel {band[0]}; expected it to grow"
        )
    along = table.corner_along[known]
    count = last - first + 1
    return slice_grid(
        (along.min(), along.max()), (edge, edge + count * width), parameters, count, instrument=instrument
    )


def _accumulate(cube, pixels, parameters, *, weighting, jwst, flag):
    """Fill the planes of a cube, one slab after the other."""
    grid = cube.grid
    outside = np.uint32(coverage.OUTSIDE)
    for first, last in slabs(grid):
        sums = np.zeros((last - first, *grid.shape[1:], 4))
        fields = []
        for number, (_, band) in enumerate(pixels.members):
            prepared = pixels.prepared(number, grid, parameters, weighting, (first, last))
            if prepared is None:
                continue
            add_exposure(sums, prepared, grid, (first, last), weighting, jwst)
            if flag and not jwst and not grid.local and grid.instrument == "MIRI":
                fields.append((*prepared.centres(grid), prepared.reach, band[0]))
        planes = slice(first, last)
        by_rows(
            kernels.finish_planes,
            last - first,
            sums,
            cube.data[planes],
            cube.err[planes],
            cube.weight[planes],
            cube.dq[planes],
            outside,
        )
        del sums
        for *centres, reach, channel in fields:
            coverage.add_field(cube.dq[planes], grid, first, *centres, reach, channel)
        if fields:
            by_rows(coverage.open_holes, last - first, cube.dq[planes])


def add_exposure(sums, prepared, grid, planes, weighting, jwst):
    """Add an exposure to the sums of a slab."""
    first, last = planes
    wave, width = grid.wave[first:last], grid.wave_width[first:last]
    count = len(prepared.flux)
    ranges = np.empty((2, count), np.int32)
    by_rows(kernels.plane_ranges, count, prepared.wave, prepared.half_width, wave, width, *ranges, block=1 << 15)
    nblocks = -(-(last - first) // kernels.BLOCK_PLANES)
    members, starts = kernels.bucketed(*ranges, nblocks, kernels.BLOCK_PLANES)
    common = (members, starts, kernels.BLOCK_PLANES, *ranges)
    dx, dy = map(float, grid.cdelt)
    if weighting == "drizzle":
        by_rows(
            kernels.drizzle_blocks, nblocks, *common, prepared.corner_x, prepared.corner_y, prepared.wave, prepared.wave_width,
            prepared.flux, prepared.err, grid.x, grid.y, wave, width, dx, dy, jwst, sums, block=1,
        )  # fmt: skip
    elif weighting == "local":
        by_rows(
            kernels.slice_blocks, nblocks, *common, prepared.corner_x, prepared.corner_y, prepared.row, prepared.flux, prepared.err,
            grid.x, wave, dx, float(grid.step), sums, block=1,
        )  # fmt: skip
    else:
        by_rows(
            kernels.cloud_blocks, nblocks, *common, prepared.x, prepared.y, prepared.wave, prepared.flux, prepared.err, prepared.rois,
            prepared.half_width, prepared.power, prepared.softening, prepared.scale, weighting == "emsm", grid.x, grid.y, wave, width,
            dx, dy, sums, block=1,
        )  # fmt: skip
