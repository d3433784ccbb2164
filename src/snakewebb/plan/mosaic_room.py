"""Whether there is memory and disk space for the mosaics of a plan, before anything is made."""

import shutil
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.mosaics import shape_of_mosaic, tiling_of
from snakewebb.plan.strays import check_extent
from snakewebb.profiles import physical_memory_mb

_SMALLER_GRID = "common_grid.pixel_scale, or exclude"
_SMALLER = "steps.resample.pixel_scale_ratio or pixel_scale, output_shape with crval and crpix, or exclude"


def require_room(plan, needs):
    """Refuse mosaics that are absurdly large, that a job could not hold in memory, or the disk.

    Parameters
    ----------
    plan : Plan
        Its ``memory_mb`` is what a job may have; by default the memory of this machine.
    needs : Needs

    Raises
    ------
    ConfigError
        Naming the mosaic, its size, what it needs and what there is.
    """
    if plan.mode.stage3 != "image3" or not plan.is_on("resample"):
        return
    for product in plan.associations:
        reason = check_extent(plan, product)
        if reason:
            raise ConfigError(reason)
        _require_memory(plan, needs, product)
        _require_disk(plan, needs, product)


def _rules(plan, product):
    """Rules of a product that hold or write a part of its mosaic."""
    making = ["mosaic_tile"] if tiling_of(plan, product) else []
    after = ["source_catalog", "report"] if plan.is_on("source_catalog") else []
    after += ["forced_photometry"] if product in plan.detections and plan.is_on("forced_photometry") else []
    return ["outlier_detection", *making, "resample", *after]


def _smaller(plan, product):
    return _SMALLER_GRID if product in plan.grids else _SMALLER


def _require_memory(plan, needs, product):
    limit = plan.configuration["memory_mb"]
    there = physical_memory_mb() if limit is None else limit
    needed, rule = max((needs.megabytes(rule, None, product), rule) for rule in _rules(plan, product))
    if needed <= there:
        return
    rows, columns = shape_of_mosaic(plan, product)
    owner = "this machine has" if limit is None else "memory_mb allows"
    without = (
        ", do without the catalogue (steps.source_catalog.skip: true)" if rule in ("source_catalog", "report") else ""
    )
    smaller = _smaller(plan, product) + without
    raise ConfigError(
        f"the mosaic of {product} has about {columns} x {rows} pixels, of which rule {rule} needs {needed} MB of memory, but {owner} "
        f"{there} MB; make it smaller with {smaller}, or set memory_mb in config.yaml if jobs run where there is more"
    )


def _require_disk(plan, needs, product):
    if Path(f"stage3/{product}_i2d.json").exists():
        return  # what is made again takes the place of what is there
    work = needs.work("resample", None, product)
    needed = needs.disk_megabytes("resample", None, product)
    if work.tiles:
        needed += work.tiles * needs.disk_megabytes("mosaic_tile", None, product)
    if plan.is_on("source_catalog"):
        needed += needs.disk_megabytes("source_catalog", None, product)
    there = shutil.disk_usage(".").free // 1_000_000
    if needed <= there:
        return
    rows, columns = shape_of_mosaic(plan, product)
    raise ConfigError(
        f"the mosaic of {product} has about {columns} x {rows} pixels, which take {needed} MB on disk"
        f" with {'its tiles and ' if work.tiles else ''}what is made of it, but in {Path.cwd()} {there} MB are free; make it smaller with "
        f"{_smaller(plan, product)}, leave the context image out (steps.resample.enable_ctx: false), or work where there is more space"
    )
