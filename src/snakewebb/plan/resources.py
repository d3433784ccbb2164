"""What a job needs: memory, time, disk space and threads, from the shapes and pointings that headers tell.

There is one model of memory per rule: that of the interpreter with what the rule imports, and bytes per pixel of what it holds at
once. The constants are measured: every job writes its largest memory into its log, and the tests compare.
"""

import math
from dataclasses import dataclass

from snakewebb.plan.cube_needs import CHANNEL_PIXELS, VOXEL_BYTES, cube_bytes, outlier_bytes

RAMP_BUDGET = 450_000_000
"""Bytes of an exposure in stage 1 up to which it is kept in memory; a larger one lies on a scratch file."""

INTEGRATION_BUDGET = 560_000_000
"""Bytes of an integration, of an exposure on a scratch file, up to which steps work on a copy of it in memory."""

RESIDENT = 128_000_000
"""Bytes of a scratch file that may be in memory before they are given back."""

LARGEST_STACK = 256 * 1024**2
"""Bytes of the stack of outlier_detection up to which it is kept in memory; a larger one is a temporary file."""

LARGEST_CONTEXT = 128 * 1024**2
"""Bytes of the context planes of a tile of a mosaic up to which they are kept in memory; else they lie in a temporary file."""

LARGEST_PLANE = 80_000_000
"""Bytes of a plane of a mosaic up to which source_catalog keeps planes in memory; larger ones lie in temporary files."""

PLANES = 40
"""Bytes of a pixel of a mosaic in these files."""

RESIDENT_PLANES = 500_000_000
"""Bytes of the parts of these planes that are in memory at once."""

DITHER = 12
"""Bytes of a pixel of each other dither that lie in a temporary file: data, and two variances."""

PICTURES = 24
"""Exposures with pictures on the page of a mode: a page with hundreds of them is of no use."""

THUMBNAILS = 100
"""Exposures with pictures in the page of a product or programme, which have 0.2 MB each."""

TARGETS = 24
"""Targets with pictures in the page of a programme, which have 1.5 MB each."""

PICTURE_SIDE = 900
"""Largest side of the picture of a target, pixels."""

SUBMITTED = 420
"""MB of the Snakemake processes that stand around a job that a cluster runs: one or two, each with the plan of the programme."""

SUBMITTED_PER_EXPOSURE = 0.05
"""MB that the plan of such a process grows by with every exposure of the programme."""

_LINES = 2048  # of the detectors that have superstripes
_PLANE = 90  # bytes of a pixel of the detector in stage 1: slopes, flags, and what a step reads of its references
_SLOPES = 80_000_000  # bytes that steps and writing hold of the slopes of an exposure on a scratch file
_WITHOUT_SLOPES = (
    185,
    60,
    0,
)  # MB of the process, bytes of a pixel of the detector, and of the slopes of an integration
_PROCESS = 200  # MB of a process of stage 1: interpreter, libraries and compiled kernels


@dataclass(frozen=True)
class Model:
    """Needs of the jobs of a rule.

    Attributes
    ----------
    process : float
        MB of a job that has nothing to do: interpreter, libraries, compiled kernels.
    frame : float
        Bytes per pixel of one exposure's image.
    mosaic : float
        Bytes per pixel of the product's image.
    members : float
        MB per exposure of the product.
    seconds : float
        Of a processor, per million pixels of all images that are read and of the product's, as measured.
    written : float
        Bytes on disk per pixel of the images that are written.
    images : int or None
        Exposures that are read at most.
    voxel : float
        Bytes on disk per voxel of a cube, and in memory what is held of it.
    held : float
        Bytes per pixel of each further exposure that is held.
    """

    process: float
    frame: float = 0.0
    mosaic: float = 0.0
    members: float = 0.0
    seconds: float = 0.0
    written: float = 0.0
    images: int | None = None
    voxel: float = 0.0
    held: float = 0.0


MODELS = {
    "bkg_subtract": Model(process=170, frame=60, held=24, written=25, seconds=0.5),
    "dither_background": Model(process=230, frame=120, written=25, seconds=2.0),
    "image2": Model(process=75, frame=48, written=45, seconds=0.3),
    "image2_with_sky": Model(process=210, frame=110, written=45, seconds=3.0),
    "resample_exposure": Model(process=190, frame=105, mosaic=60, written=60, seconds=0.3),
    "find_sources": Model(process=190, frame=30, seconds=0.5),
    "assign_mtwcs": Model(process=80, members=0.2, seconds=0.05),
    "tweakreg": Model(process=90, mosaic=40, members=0.4, seconds=0.05),
    "skymatch": Model(process=200, frame=42, members=0.15, seconds=0.3),
    "outlier_detection": Model(process=208, frame=68, members=0.35, written=45, seconds=0.3),
    "ifu_outliers": Model(process=170, frame=110, written=45, seconds=1.0),
    "resample": Model(process=195, frame=100, mosaic=36, members=0.2, written=60, seconds=0.3),
    "mosaic_grid": Model(process=195, members=0.2, seconds=0.05),
    "mosaic_tile": Model(process=195, frame=100, mosaic=36, written=60, seconds=0.3),
    "gather_tiles": Model(process=195, members=0.5, written=60, seconds=0.1),
    "source_catalog": Model(process=262, mosaic=50, written=8, seconds=1.0),
    "forced_photometry": Model(process=262, mosaic=50, seconds=0.5),
    "wfs_combine": Model(process=92, frame=66, written=15, seconds=0.3),
    "multiband_catalog": Model(process=150, seconds=0.05),
    "report": Model(process=350, frame=40, written=2, seconds=0.5, images=THUMBNAILS),
    "report_pair": Model(process=320, frame=60, written=2, seconds=0.5),
    "spec2": Model(process=190, frame=150, members=26, written=45, seconds=5.0),
    "master_background": Model(process=185, frame=210, written=45, seconds=1.0),
    "nod_subtract": Model(process=185, frame=210, members=26, written=45, seconds=1.0),
    "pixel_replace": Model(process=185, frame=210, written=45, seconds=1.0),
    "cube_build_exposure": Model(process=200, voxel=16, seconds=3.0),
    "extract_1d_exposure": Model(process=300, voxel=20, seconds=3.0),
    "measured_offsets": Model(process=230, frame=60, members=2, voxel=16, seconds=3.0),
    "cube_outliers": Model(process=230, frame=100, written=45, seconds=3.0),
    "cube_build": Model(process=330, voxel=16, seconds=3.0),
    "extract_1d": Model(process=300, voxel=20, seconds=3.0),
    "spectral_leak": Model(process=72, seconds=1.0),
    "stitch_spectra": Model(process=150, seconds=1.0),
    "report_spectra": Model(process=200, voxel=33, seconds=1.5),
    "report_programme": Model(process=300, mosaic=50, seconds=1.0),
    "report_exposures": Model(process=228, frame=66, written=2, seconds=0.5, images=PICTURES),
}
"""Models of the rules beyond stage 1, of memory with a sixth more than was measured; those of stage 1 are `stage1_megabytes` and `GUIDER`.

Their seconds are not measured one by one: together they are twice what the benchmarks of stages 2 and 3 take, starts included.
"""

_GROUP = 30  # bytes of a pixel of the part of the grid that a group covers: data, weights, and their sorted sums

GUIDER = (185, 6, 17)
"""MB of the process of guider_rates, bytes per sample, and per pixel of all integrations: it holds the whole exposure."""

SAFETY = 5
"""How many times longer a job may take than one processor that was measured: a slower one, waiting for it, a busy file system."""

STAGE1_SECONDS = {"detector1": 0.35, "dark": 0.05, "persistence_windows": 0.08, "guider_rates": 0.17}
"""Seconds of a processor per million samples of the rules of stage 1; of detector1 with what is slow and off by default."""

_START = 3  # minutes: a start from a cold file system, and kernels to compile

THREADS = {
    **dict.fromkeys(("detector1", "dark", "resample_exposure", "skymatch", "outlier_detection", "resample"), 2),
    **dict.fromkeys(("source_catalog", "mosaic_tile", "report", "report_pair", "report_programme"), 2),
    **dict.fromkeys(
        ("bkg_subtract", "spec2", "cube_build_exposure", "measured_offsets", "cube_outliers", "cube_build"), 2
    ),
}
"""Threads of the rules that use more than one."""


@dataclass(frozen=True)
class Work:
    """What a job has before it, in numbers.

    Attributes
    ----------
    shape : tuple of int
        Of the exposure that is the largest one: integrations, groups, rows, columns; or rows, columns.
    header : mapping
        Its keywords.
    exposures : int
        Exposures that the job reads.
    mosaic : int
        Pixels of the product's image, or of the largest tile that a job makes of it.
    group : int
        Pixels of the part of it that the largest group of exposures covers.
    groups : int
        Number of groups of exposures that were taken at the same time.
    tiles : int
        Tiles that it is put together from.
    context : int
        Planes of the context image that are in memory.
    cube : tuple of int
        Planes, rows and columns of a cube; empty without one.
    copies : float
        Exposures, in frames of the detector, that the job writes to temporary files.
    channels : int
        Of each exposure that go into its cube.
    sky : bool
        Whether a job of stage 2 finds sources, to subtract what lies below them.
    on_disk : bool
        Whether planes of the mosaic lie in temporary files.
    """

    shape: tuple
    header: dict
    exposures: int = 1
    mosaic: int = 0
    group: int = 0
    groups: int = 1
    tiles: int = 0
    context: int = 1
    cube: tuple = ()
    copies: float = 0.0
    channels: int = 1
    sky: bool = False
    on_disk: bool = False

    @property
    def frame(self):
        """Pixels of one image of an exposure."""
        return math.prod(self.shape[-2:])


def megabytes(rule, work, attempt=1):
    """Largest memory of the process of a job.

    Parameters
    ----------
    rule : str
    work : Work
    attempt : int
        A job that was killed is given half as much again each time.

    Returns
    -------
    int
    """
    rule = _kind(rule, work)
    if rule == "guider_rates":
        process, sample, pixel = GUIDER
        need = process + (sample * math.prod(work.shape) + pixel * work.shape[0] * work.frame) / 1e6
    elif rule in STAGE1_SECONDS:
        need = stage1_megabytes(work.shape, work.header, rule)
    else:
        model = MODELS[rule]
        mosaic = RESIDENT_PLANES if work.on_disk else model.mosaic * work.mosaic
        need = model.process + (model.frame * work.frame + mosaic) / 1e6
        need += model.held * work.frame * (work.exposures - 1) / 1e6
        need += model.members * work.exposures + model.voxel * math.prod(work.cube or (0,)) / 1e6
        if rule == "cube_outliers":
            need += outlier_bytes(work.cube, CHANNEL_PIXELS, nexposures=work.exposures) / 1e6
        elif rule == "measured_offsets" or rule.startswith("cube_build"):
            number = 1 if rule == "measured_offsets" else work.channels * work.exposures
            need += (
                cube_bytes(work.cube, CHANNEL_PIXELS, nexposures=number) - VOXEL_BYTES * math.prod(work.cube)
            ) / 1e6
        if rule == "outlier_detection":
            resampled, median = 4 * work.groups * work.group, 4 * work.mosaic
            need += (_GROUP * work.group + min(resampled, LARGEST_STACK) + min(median, LARGEST_STACK)) / 1e6
        if rule == "resample":
            need += 4 * (work.context - 1) * work.mosaic / 1e6
        if rule == "mosaic_tile":
            need += min(4 * work.context * work.mosaic, LARGEST_CONTEXT) / 1e6
    return math.ceil(need * 1.5 ** (attempt - 1))


def _kind(rule, work):
    """Name of the model of a rule: outliers of spectra are another job than those of images; so is what puts tiles together.

    Stage 2 of images takes more where it finds sources.
    """
    if rule == "image2" and work.sky:
        return "image2_with_sky"
    if rule == "outlier_detection" and not work.mosaic:
        return "ifu_outliers"
    return "gather_tiles" if rule == "resample" and work.tiles else rule


def minutes(rule, work, attempt=1):
    """Minutes after which a job may be stopped: the start, and `SAFETY` times what was measured.

    Parameters
    ----------
    rule : str
    work : Work
    attempt : int
        Twice as long each time.
    """
    rule = _kind(rule, work)
    if rule not in MODELS:
        seconds = STAGE1_SECONDS[rule] * math.prod(work.shape) / 1e6
    else:
        model = MODELS[rule]
        images = work.exposures if model.images is None else min(work.exposures, model.images)
        seconds = model.seconds * (work.frame * images + work.mosaic + math.prod(work.cube or (0,))) / 1e6
    return math.ceil((_START + SAFETY * seconds / 60) * 2 ** (attempt - 1))


def disk_megabytes(rule, work):
    """Space on disk for what a job writes, its temporary files included.

    Parameters
    ----------
    rule : str
    work : Work
    """
    if rule not in MODELS:
        integrations = work.shape[0] if len(work.shape) == 4 else 1
        written = ramp_bytes(work.shape) if len(work.shape) == 4 else math.prod(work.shape) * 4
        written *= 2 if rule == "dark" else 1  # its product is a ramp too
        written += work.frame * (integrations + 1) * 32
    else:
        written = MODELS[rule].written * (work.mosaic or work.frame) + VOXEL_BYTES * math.prod(work.cube or (0,))
        if rule in ("outlier_detection", "cube_outliers"):
            written = MODELS[rule].written * work.frame * work.exposures
            written += 4 * (work.groups * work.group + work.mosaic)
        if rule in ("resample", "mosaic_tile"):
            written += 4 * (work.context - 1) * work.mosaic
        written += MODELS["pixel_replace"].written * work.frame * work.copies
        if work.on_disk:
            written += PLANES * work.mosaic
        if rule == "dither_background":
            written += DITHER * work.frame * (work.exposures - 1)
    return 10 + math.ceil(written / 1e6)


def ramp_bytes(shape):
    """Bytes of an exposure in stage 1: samples and their flags, zero frame, and slopes of the integrations.

    Parameters
    ----------
    shape : tuple of int
        Integrations, groups, rows, columns.
    """
    return shape[0] * integration_bytes(shape) + shape[0] * shape[2] * shape[3] * 24


def integration_bytes(shape):
    """Bytes of the samples of an integration and their flags, of an exposure of this shape."""
    return math.prod(shape[1:]) * 5


def stage1_megabytes(shape, header=None, rule="detector1"):
    """Largest memory of a job of stage 1 for an exposure of this shape.

    Parameters
    ----------
    shape : tuple of int
        Integrations, groups, rows, columns of the file.
    header : mapping, optional
        Keywords, for superstripes (SSTR_NST), whose frames become larger when they are put together.
    rule : str
        ``detector1``; or ``dark`` or ``persistence_windows``, which make no slopes.
    """
    process, plane, slopes = (_PROCESS, _PLANE, 24) if rule == "detector1" else _WITHOUT_SLOPES
    one, pixels = integration_bytes(shape), shape[2] * shape[3]
    ramp = shape[0] * (one + slopes * pixels)
    streamed = ramp_bytes(shape) > RAMP_BUDGET
    if streamed:
        ramp = RESIDENT + max(one if one <= INTEGRATION_BUDGET else 0, RESIDENT if slopes else 0)
        ramp += _SLOPES if slopes else 0
    if header is not None and (header.get("SSTR_NST") or 0) > 0:
        across = shape[3] if abs(int(header["SLOWAXIS"])) == 2 else shape[2]
        ramp, pixels = 2 * RESIDENT if streamed else RAMP_BUDGET, _LINES * across
    return process + math.ceil((ramp + plane * pixels) / 1_000_000)
