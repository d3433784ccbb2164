"""The jobs of a plan: rule, record, tracked inputs and work of each.

The rules of the workflow ask the plan for the same works; here they are listed without Snakemake.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from snakewebb.plan.chains import OF_EXPOSURES, OF_SLOPES
from snakewebb.plan.cubes import spectra_of_leak, spectrum_of, stitched_cubes
from snakewebb.plan.detection import bands_of, detection_images, reference_product
from snakewebb.plan.ifu_exposures import is_imprint
from snakewebb.plan.product_members import member_jobs, offsets_before, product_jobs, read_by
from snakewebb.plan.stage2_work import exposure_steps, members_of, slope_steps, slopes_before
from snakewebb.plan.stage3_work import ALIGNMENT, aligned_by, cube_steps, product_chain
from snakewebb.plan.star_catalogues import star_field


@dataclass(frozen=True)
class Job:
    """A job that makes a product.

    Attributes
    ----------
    rule : str
    name : str
        Root of the exposure, or name of the product.
    record : str
        Path of the record beside what it makes; of an association, the association.
    inputs : tuple of str
        Paths of the records and tables that it is made from; raw files and the user's own are in its work.
    find_work, find_chain : callable
        Make the work and the resolved chain, which most questions do not need.
    """

    rule: str
    name: str
    record: str
    inputs: tuple
    find_work: Callable
    find_chain: Callable | None = None

    @functools.cached_property
    def work(self):
        """What determines its product besides its inputs, a dict."""
        return self.find_work()

    @property
    def origins(self):
        """Origin of the parameters by step and name, of those that are not the step's own default."""
        return self.find_chain().origins if self.find_chain else {}


def planned_jobs(plan):
    """Jobs of a plan, each after those whose products it is made from; without those of tokens, star catalogues and reports.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of str to Job
        By the path of the record.
    """
    jobs = [job for root in plan.exposures for job in _exposure_jobs(plan, root)]
    # the alignment of other filters is made from the catalogue of the detection filter
    for product in sorted(plan.associations, key=lambda product: reference_product(plan, product) is not None):
        jobs += _product_jobs(plan, product)
    for pair in plan.pairs:
        jobs += _pair_jobs(plan, pair)
    for product in detection_images(plan):
        jobs += _band_jobs(plan, product)
    return {job.record: job for job in jobs}


def _exposure_jobs(plan, root):
    level = plan.exposures[root].level
    stage1 = f"stage1/{root}_{plan.stage1_suffix}.json"
    if level == "uncal":
        sources = plan.persistence_sources(root)
        windows = tuple(f"stage1/persistence/{source}_windows.json" for source in sources)
        for source, record in zip(sources, windows, strict=True):
            yield _exposure_job(plan, "persistence_windows", source, record, (), chain="detector1")
        rule = "guider_rates" if plan.mode.stage1 == "guider" else plan.mode.stage1
        yield _exposure_job(plan, plan.mode.stage1, root, stage1, windows, rule=rule)
    stage2 = plan.mode.stage2
    if stage2 is None or is_imprint(plan.exposures[root].header):
        return
    if level != "cal":
        for step in slope_steps(plan, root):
            record = f"stage2/{root}_{OF_SLOPES[stage2][step]}.json"
            yield _exposure_job(plan, step, root, record, _slope_records(plan, step, root))
        yield _exposure_job(plan, stage2, root, f"stage2/{root}_cal.json", _slope_records(plan, stage2, root))
    before = _calibrated_record(plan, root)
    for step in exposure_steps(plan, root):
        record = f"stage2/{root}_{OF_EXPOSURES[step]}.json"
        yield _exposure_job(plan, step, root, record, before)
        before = (record,)
    for step, record, inputs in member_jobs(plan, root):
        yield _exposure_job(plan, step, root, record, inputs)


def _exposure_job(plan, transition, root, record, inputs, *, rule=None, chain=None):
    work = functools.partial(plan.exposure_work, transition, root)
    return Job(rule or transition, root, record, inputs, work, functools.partial(plan.chain, chain or transition, root))


def _product_jobs(plan, product):
    association = plan.associations[product]
    stem = f"stage3/{product}"
    yield Job("association", product, f"{stem}_asn.json", (), association.as_json)
    if plan.mode.stage3 == "spec3":
        for step, record, inputs in product_jobs(plan, product):
            yield _product_job(plan, step, product, record, inputs)
        for cube in plan.cubes.values():
            if cube.product == product:
                yield from _cube_jobs(plan, cube)
        if spectra := stitched_cubes(plan, product):
            records = tuple(f"stage3/{name}_x1d.json" for name in spectra)
            yield _product_job(plan, "stitch_spectra", product, f"{stem}_stitched.json", records)
        return
    inputs = tuple(record for root in association.members for record in _calibrated_record(plan, root))
    aligned = aligned_by(plan, product)
    if aligned == "assign_mtwcs":
        yield _product_job(plan, aligned, product, f"{stem}_mtwcs.json", inputs)
    elif aligned == "tweakreg":
        for root in association.members:
            record = f"stage3/sources/{root}_sources.json"
            yield _exposure_job(plan, "find_sources", root, record, _calibrated_record(plan, root), chain="tweakreg")
        sources = tuple(f"stage3/sources/{root}_sources.ecsv" for root in association.members)
        reference = reference_product(plan, product)
        sources += (f"stage3/{reference}_cat.ecsv",) if reference else ()
        field = star_field(plan, product)
        sources += (field.path,) if field else ()
        work = functools.partial(plan.alignment_work, product)
        yield Job(
            "tweakreg", product, f"{stem}_alignment.json", inputs + sources, work, _chain(plan, "tweakreg", product)
        )
    inputs += (f"{stem}_{ALIGNMENT[aligned]}.ecsv",) if aligned else ()
    if plan.is_on("skymatch"):
        yield _product_job(plan, "skymatch", product, f"{stem}_sky.json", inputs)
        inputs += (f"{stem}_sky.ecsv",)
    yield _product_job(plan, "outlier_detection", product, f"{stem}_crf.json", inputs)
    if plan.is_on("resample"):
        yield _product_job(plan, "resample", product, f"{stem}_i2d.json", (f"{stem}_crf.json",))
        if plan.is_on("source_catalog"):
            yield _product_job(plan, "source_catalog", product, f"{stem}_cat.json", (f"{stem}_i2d.json",))


def _pair_jobs(plan, pair):
    """Jobs of a pair of wavefront sensing."""
    association = plan.pairs[pair]
    yield Job("association", pair, f"stage3/{pair}_asn.json", (), association.as_json)
    if plan.is_on("wfs_combine"):
        inputs = tuple(record for root in association.members for record in _calibrated_record(plan, root))
        yield _product_job(plan, "wfs_combine", pair, f"stage3/{pair}.json", inputs)


def _band_jobs(plan, detection):
    """Jobs of the photometry in all filters at the sources of one."""
    step, catalog, bands = "forced_photometry", f"stage3/{detection}_cat.json", bands_of(plan, detection).values()
    for product in bands:
        inputs = (f"stage3/{product}_i2d.json", catalog)
        yield _product_job(plan, step, product, f"stage3/{product}_forced.json", inputs)
    inputs = (catalog, *(f"stage3/{product}_forced.json" for product in bands))
    work, chain = functools.partial(plan.product_work, "multiband_catalog", detection), _chain(plan, step, detection)
    yield Job("multiband_catalog", detection, f"stage3/{detection}_multiband.json", inputs, work, chain)


def _cube_jobs(plan, cube):
    stem = f"stage3/{cube.name}"
    records = read_by(plan, "cube_build", cube.product, cube.members)[1]
    inputs = (*records, *offsets_before(plan, "cube_build", cube.product))
    steps = cube_steps(plan, cube.name)
    yield _product_job(plan, "cube_build", cube.name, f"{stem}_s3d.json", inputs)
    if "extract_1d" in steps:
        yield _product_job(
            plan, "extract_1d", cube.name, f"stage3/{spectrum_of(plan, cube.name)}.json", (f"{stem}_s3d.json",)
        )
    if "spectral_leak" in steps:
        spectra = tuple(f"stage3/{spectrum_of(plan, name)}.json" for name in spectra_of_leak(plan, cube.name))
        yield _product_job(plan, "spectral_leak", cube.name, f"{stem}_x1d.json", spectra)


def _product_job(plan, step, product, record, inputs):
    work = functools.partial(plan.product_work, step, product)
    return Job(step, product, record, inputs, work, _chain(plan, step, product))


def _chain(plan, step, product):
    return functools.partial(product_chain, plan, step, product)


def _slope_records(plan, transition, root):
    """Paths of the records of what a job of stage 2 takes as slopes: of the exposure, and of those that belong to it."""
    stem = slopes_before(plan, transition, root)
    members = sorted({member for found in members_of(plan, root, transition).values() for member in found})
    own = () if stem is None else (f"{stem}.json",)
    return own + tuple(record for member in members for record in _rate_record(plan, member))


def _rate_record(plan, root):
    """Path of the record of an exposure's slopes in a tuple, empty for a file of the user."""
    return (f"stage1/{root}_{plan.stage1_suffix}.json",) if plan.exposures[root].level == "uncal" else ()


def _calibrated_record(plan, root):
    """Path of the record of an exposure's calibrated file in a tuple, empty for a file of the user."""
    return () if plan.exposures[root].level == "cal" else (f"stage2/{root}_cal.json",)
