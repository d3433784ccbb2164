"""The needs of every job of a plan: what the models of `snakewebb.plan.resources` are asked for."""

import functools
import math
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.cubes import exposure_bands, shape_of, shape_of_bands
from snakewebb.plan.mosaic_room import require_room
from snakewebb.plan.mosaics import context_planes, outlier_grid, shape_of_mosaic, tile_pixels, tiles_of
from snakewebb.plan.product_members import companions_of
from snakewebb.plan.resources import (
    LARGEST_PLANE,
    PICTURE_SIDE,
    SUBMITTED,
    SUBMITTED_PER_EXPOSURE,
    Work,
    disk_megabytes,
    megabytes,
    minutes,
)
from snakewebb.plan.stage2_work import exposure_steps, members_of, oversampling
from snakewebb.plan.stage3_work import product_chain
from snakewebb.profiles import physical_memory_mb

_OF_A_PRODUCT = (
    *(
        "assign_mtwcs",
        "tweakreg",
        "skymatch",
        "outlier_detection",
        "mosaic_grid",
        "resample",
        "source_catalog",
        "forced_photometry",
        "multiband_catalog",
        "report",
        "report_spectra",
    ),
    *("measured_offsets", "cube_outliers", "stitch_spectra"),
)
_WITH_MEMBERS = ("spec2", "bkg_subtract", "dither_background")
_FINDING_SOURCES = ("wisp_subtract", "background_2d")
_FITS = (".fits", ".fit", ".fits.gz", ".fits.bz2")
_STAR_FINDER = 3_000_000  # pixels whose need is that of the compiled code that finds stars
_TABLE_READER = 1_000_000  # the same of what reads tables of any format
_OF_A_PAIR = ("wfs_combine", "report_pair")
_OF_A_CUBE = ("cube_build", "extract_1d", "spectral_leak")
_OF_AN_EXPOSURES_CUBE = ("cube_build_exposure", "extract_1d_exposure")


def require_memory(plan):
    """Refuse cubes and mosaics that a job could not hold, and mosaics that the disk could not.

    Parameters
    ----------
    plan : Plan
        Its ``memory_mb`` is what a job may have; by default the memory of this machine.

    Raises
    ------
    ConfigError
        Naming the largest of these cubes, its size, what it needs and what there is.
    """
    needs = Needs(plan)
    require_room(plan, needs)
    jobs = [("cube_build", None, name) for name in plan.cubes]
    jobs += [
        ("cube_build_exposure", root, None)
        for root in (plan.exposures if plan.mode.stage2 == "spec2" else ())
        if "cube_build_exposure" in exposure_steps(plan, root)
    ]
    if not jobs:
        return
    largest = max(jobs, key=lambda job: needs.megabytes(*job))
    needed = needs.megabytes(*largest)
    limit = plan.configuration["memory_mb"]
    there = physical_memory_mb() if limit is None else limit
    if needed > there:
        rule, root, name = largest
        shape = needs.work(*largest).cube
        owner = "this machine has" if limit is None else "memory_mb allows"
        raise ConfigError(
            f"the cube of {name or root} has about {' x '.join(map(str, shape))} voxels (planes, rows, columns) and needs {needed} MB of "
            f"memory, but {owner} {there} MB; make it smaller with steps.{rule}.scalexy, scalew, nspax_x, nspax_y, wavemin, wavemax or "
            "output_type, or set memory_mb in config.yaml if jobs run where there is more"
        )


def _channels(bands):
    """How many channels of one exposure go into a cube of these bands: those of a detector."""
    found = {channel for channel, _ in bands}
    return max(len(found & {"1", "2"}), len(found & {"3", "4"}), 1)


def _reference_pixels(plan, product):
    """Pixels of the image that a product is aligned to; of a catalogue, those that take the memory of what reads it."""
    (entry,) = product_chain(plan, "tweakreg", product).entries
    name = entry.get("parameters", {}).get("abs_refcat", "").strip()
    path = Path(name)
    if not path.name.lower().endswith(_FITS) or not path.is_file():
        return _TABLE_READER if name else 0
    # those around the exposures are read; they may be four times as fine along each axis
    return _STAR_FINDER + min(path.stat().st_size // 4, 16 * math.prod(shape_of_mosaic(plan, product)))


class Needs:
    """Memory, time and disk space of the jobs of a plan.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan):
        self._plan = plan

    def megabytes(self, rule, root=None, product=None, *, attempt=1, submitted=False, uniform=False):
        """Memory that a job asks for, MB.

        Parameters
        ----------
        rule : str
        root, product : str, optional
            The exposure or the product.
        attempt : int
        submitted : bool
            The job is run by a cluster, so that there are Snakemake's own processes besides.
        uniform : bool
            What the largest job of the rule needs: the tasks of a job array share the needs of the first.
        """
        around = SUBMITTED + SUBMITTED_PER_EXPOSURE * len(self._plan.exposures) if submitted else 0
        works = self._all(rule) if uniform else (self.work(rule, root, product),)
        return max(megabytes(rule, work, attempt) for work in works) + int(around)

    def minutes(self, rule, root=None, product=None, *, attempt=1, uniform=False):
        """Minutes after which a job may be stopped; parameters as those of `megabytes`."""
        works = self._all(rule) if uniform else (self.work(rule, root, product),)
        return max(minutes(rule, work, attempt) for work in works)

    def disk_megabytes(self, rule, root=None, product=None):
        """Space for what a job writes, MB."""
        return disk_megabytes(rule, self.work(rule, root, product))

    @functools.lru_cache(maxsize=65536)  # noqa: B019
    def work(self, rule, root=None, product=None):
        """What a job has before it.

        Parameters
        ----------
        rule : str
        root, product : str, optional
            The exposure or the product; neither for a job of all exposures.

        Returns
        -------
        Work
        """
        if root is not None:
            exposure = self._plan.exposures[root]
            cube = shape_of(self._plan, root=root) if rule in _OF_AN_EXPOSURES_CUBE else ()
            members = members_of(self._plan, root, rule) if rule in _WITH_MEMBERS else {}
            number = 1 + len({member for found in members.values() for member in found})
            if rule == "nod_subtract":
                number = 1 + len(companions_of(self._plan, rule, root))
            finer = oversampling(self._plan, root) if rule in ("pixel_replace", "cube_build_exposure") else 1
            shape = exposure.shape
            if finer != 1 and rule == "pixel_replace":  # it holds a dozen arrays of the finer image
                shape = (*shape[:-1], math.ceil(shape[-1] * (1 + finer)))
            channels = _channels(exposure_bands(self._plan, root)) if rule == "cube_build_exposure" else 1
            sky = rule == "image2" and any(self._plan.is_on(step, root) for step in _FINDING_SOURCES)
            return Work(
                shape, exposure.header, exposures=math.ceil(number * finer), cube=cube, channels=channels, sky=sky
            )
        if product in self._plan.cubes:
            return self._cube_work(product)
        roots = self._plan.association(product).members if product is not None else tuple(self._plan.exposures)
        members = [self._plan.exposures[member] for member in roots]
        largest = max(members, key=lambda exposure: exposure.shape[-2] * exposure.shape[-1])
        if rule == "report_programme":
            mosaic = max(math.prod(shape_of_mosaic(self._plan, name)) for name in self._plan.associations)
            # north is up in the picture, and mosaics are turned
            return Work(largest.shape, largest.header, exposures=len(members), mosaic=min(2 * mosaic, PICTURE_SIDE**2))
        if rule in ("measured_offsets", "cube_outliers"):
            cube = shape_of_bands(self._plan, rule, product)
            return Work(largest.shape, largest.header, exposures=len(members), cube=cube)
        if rule == "report_spectra":
            shapes = [
                shape_of(self._plan, name=cube.name) for cube in self._plan.cubes.values() if cube.product == product
            ]
            return Work(largest.shape, largest.header, exposures=len(shapes), cube=max(shapes, key=math.prod))
        if rule == "tweakreg":
            pixels = _reference_pixels(self._plan, product)
            return Work(largest.shape, largest.header, exposures=len(members), mosaic=pixels)
        images = product is not None and self._plan.mode.stage3 == "image3"
        if not images or rule in ("skymatch", "mosaic_grid", *_OF_A_PAIR):
            return Work(largest.shape, largest.header, exposures=len(members))
        mosaic, groups, group = math.prod(shape_of_mosaic(self._plan, product)), 1, 0
        if rule == "outlier_detection":
            mosaic, groups, group = outlier_grid(self._plan, product)
        tiles = tiles_of(self._plan, product) if rule in ("resample", "mosaic_tile") else ()
        if rule == "mosaic_tile":
            mosaic = tile_pixels(self._plan, product)
        return Work(
            largest.shape,
            largest.header,
            exposures=len(members),
            mosaic=mosaic,
            group=group,
            groups=groups,
            tiles=len(tiles),
            on_disk=4 * mosaic > LARGEST_PLANE and self._in_bands(rule, members[0].root),
            context=context_planes(len(members)),
        )

    def _in_bands(self, rule, root):
        """Whether a job works on bands of rows of large mosaics; the star finders of photutils want all of it."""
        if rule == "source_catalog":
            (entry,) = self._plan.chain(rule, like=root).entries
            return entry.get("parameters", {}).get("starfinder") == "segmentation"
        return rule == "forced_photometry"

    def _cube_work(self, name):
        roots = self._plan.cubes[name].members
        first = self._plan.exposures[roots[0]]
        number = math.ceil(sum(oversampling(self._plan, root) for root in roots))
        replaced = [root for root in roots if self._plan.is_on("pixel_replace", root)]
        copies = sum(oversampling(self._plan, root) for root in replaced)
        channels = _channels(self._plan.cubes[name].bands)
        cube = shape_of(self._plan, name=name)
        return Work(first.shape, first.header, exposures=number, cube=cube, copies=copies, channels=channels)

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def _all(self, rule):
        if rule in ("report_exposures", "report_programme"):
            return (self.work(rule),)
        if rule in _OF_A_CUBE:
            return tuple(self.work(rule, None, name) for name in self._plan.cubes)
        if rule in _OF_A_PAIR:
            return tuple(self.work(rule, None, pair) for pair in self._plan.pairs)
        if rule == "mosaic_tile":
            tiled = [product for product in self._plan.associations if tiles_of(self._plan, product)]
            return tuple(self.work(rule, None, product) for product in tiled)
        if rule in _OF_A_PRODUCT:
            return tuple(self.work(rule, None, product) for product in self._plan.associations)
        return tuple(self.work(rule, root) for root in self._plan.exposures)
