# Questions that the rules ask the plan.


from dataclasses import asdict

from snakewebb.plan.cubes import cube_suffixes, reported_products, stitched_cubes
from snakewebb.plan.detection import bands_of, detection_images, reference_product
from snakewebb.plan.mosaics import tiles_of, tiling_of
from snakewebb.plan.names import (
    EXPOSURE_PATTERN,
    FIELD_PATTERN,
    PAIR_PATTERN,
    PRODUCT_PATTERN,
    TILE_PATTERN,
)
from snakewebb.plan.stage2_work import last_records, members_of, slopes_before
from snakewebb.plan.stage3_work import ALIGNMENT, aligned_by
from snakewebb.plan.staleness import MARK
from snakewebb.plan.star_catalogues import fields_by_name, star_field


wildcard_constraints:
    exposure=EXPOSURE_PATTERN,
    field=FIELD_PATTERN,
    product=PRODUCT_PATTERN,
    tile=TILE_PATTERN,


def keep_going_in_groups():
    """In a group of jobs that is one of a cluster, a bad exposure does not stop the others.

    Snakemake does not tell the process of a job to keep going, and its settings are there only when input functions are called.
    """
    if not workflow.is_main_process and workflow.execution_settings is not None:
        workflow.execution_settings.keep_going = True


def exposure(wildcards):
    """The input file of an exposure."""
    keep_going_in_groups()
    return PLAN.exposures[wildcards.exposure]


def token_of(transition):
    """Input function: token of the references that an exposure's job uses."""
    return lambda wildcards: as_ancient(
        PLAN.token(PLAN.exposure_work(transition, wildcards.exposure))
    )


def product_token_of(step):
    """Input function: token of the references that a product's job uses."""
    return lambda wildcards: as_ancient(
        PLAN.token(PLAN.product_work(step, wildcards.product))
    )


def as_ancient(path):
    """A list with one file whose time does not count, or none."""
    return [] if path is None else [ancient(path)]


OLD_MARK = ancient(str(MARK))


def mark_for(record):
    """Input function: the mark that is new for a product that is stale by its record and forgotten by Snakemake."""

    def mark(wildcards):
        if FORGOTTEN and record.format(**dict(wildcards.items())) in FORGOTTEN:
            return str(MARK)
        return OLD_MARK

    return mark


def work_of(transition):
    """Params function: what determines the product of an exposure's job."""
    return lambda wildcards: PLAN.exposure_work(transition, wildcards.exposure)


def product_work_of(step):
    """Params function: what determines the result of a product's job."""
    return lambda wildcards: PLAN.product_work(step, wildcards.product)


def circumstances_of(transition):
    """Params function: what a record tells besides. With `output` among its arguments, Snakemake does not compare it."""
    return lambda wildcards, output: PLAN.circumstances(
        transition,
        getattr(wildcards, "exposure", None),
        getattr(wildcards, "product", None),
    )


def members(wildcards):
    """Roots of the exposures of a product."""
    keep_going_in_groups()
    return PLAN.association(wildcards.product).members


def calibrated(root):
    """The calibrated file of an exposure: made by the rule of stage 2, or the user's own."""
    keep_going_in_groups()
    start = PLAN.exposures[root]
    return start.path if start.level == "cal" else f"stage2/{root}_cal.fits"


def calibrated_record(root):
    """The record of the calibrated file, none for the user's own."""
    return [] if PLAN.exposures[root].level == "cal" else [f"stage2/{root}_cal.json"]


def calibrated_members(wildcards):
    """Input function: calibrated files of a product's members."""
    return [ancient(calibrated(root)) for root in members(wildcards)]


def calibrated_member_records(wildcards):
    """Input function: records of a product's members."""
    return [record for root in members(wildcards) for record in calibrated_record(root)]


def rate_of(root):
    """Slope image of an exposure: made by rule detector1, or the user's own."""
    start = PLAN.exposures[root]
    return start.path if start.level == "rate" else f"stage1/{root}_rate.fits"


def slopes_for(transition):
    """Input function: slopes that a job of stage 2 takes, those of stage 1 or with the background subtracted, or the user's own."""

    def slopes(wildcards):
        start = exposure(wildcards)
        stem = slopes_before(PLAN, transition, start.root)
        return ancient(start.path if stem is None else f"{stem}.fits")

    return slopes


def slopes_record_for(transition):
    """Input function: record of the slopes that a job of stage 2 takes, none for the user's own."""

    def record(wildcards):
        stem = slopes_before(PLAN, transition, exposure(wildcards).root)
        return [] if stem is None else [f"{stem}.json"]

    return record


def member_roots(transition, wildcards):
    """Backgrounds and imprints of an exposure."""
    members = members_of(PLAN, wildcards.exposure, transition)
    return sorted({root for roots in members.values() for root in roots})


def members_for(transition):
    """Input function: slope images that belong to an exposure."""
    return lambda wildcards: [
        ancient(rate_of(root)) for root in member_roots(transition, wildcards)
    ]


def member_records_for(transition):
    """Input function: their records, none for the user's own."""
    return lambda wildcards: [
        f"stage1/{root}_rate.json"
        for root in member_roots(transition, wildcards)
        if PLAN.exposures[root].level != "rate"
    ]


def member_paths_for(transition):
    """Params function: slope images that belong to an exposure, by role."""
    return lambda wildcards, output: {
        role: [rate_of(root) for root in roots]
        for role, roots in members_of(PLAN, wildcards.exposure, transition).items()
    }


def alignment_of(wildcards):
    """Table of tweakreg, or of a moving target that of assign_mtwcs, if the step is on."""
    step = aligned_by(PLAN, wildcards.product)
    return [f"stage3/{wildcards.product}_{ALIGNMENT[step]}.ecsv"] if step else []


def corrections_of(wildcards):
    """Table of tweakreg of a product, if it is aligned by that."""
    return [
        path for path in alignment_of(wildcards) if path.endswith("_alignment.ecsv")
    ]


def residuals_of(wildcards):
    """Table of how well the stars of a product agree, if it is aligned by tweakreg."""
    return [
        f"stage3/{wildcards.product}_residuals.ecsv" for _ in corrections_of(wildcards)
    ]


def reference_of(wildcards):
    """Catalogue of the detection filter that a product is aligned to, if it is one of another filter."""
    reference = reference_product(PLAN, wildcards.product)
    return [f"stage3/{reference}_cat.ecsv"] if reference else []


def stars_of(wildcards):
    """Stars of the observatory's service that a product is aligned to, if it is."""
    field = star_field(PLAN, wildcards.product)
    return [field.path] if field else []


def tiles_for(wildcards):
    """Grid and tiles of a product's mosaic, with their records; nothing if one job makes it as a whole."""
    tiles = tiles_of(PLAN, wildcards.product)
    folder = f"stage3/{wildcards.product}_tiles"
    files = [
        f"{folder}/{tile}.{suffix}" for tile in tiles for suffix in ("fits", "json")
    ]
    return [f"{folder}/grid.json", *files] if tiles else []


def sky_of(wildcards):
    """Sky table of a product, if skymatch is on."""
    return [f"stage3/{wildcards.product}_sky.ecsv"] if PLAN.is_on("skymatch") else []


def rates_of(wildcards):
    """Slope images of a product's members, of those that start from raw or slope files."""
    paths = []
    for root in members(wildcards):
        start = PLAN.exposures[root]
        if start.level != "cal":
            paths.append(rate_of(root))
    return paths


def slopes():
    """Slope images, or those of the guider, of all exposures that go through stage 1."""
    if PLAN.mode.stage1 == "dark":
        return []
    return [
        f"stage1/{root}_{PLAN.stage1_suffix}.fits"
        for root, start in PLAN.exposures.items()
        if start.level == "uncal"
    ]


def exposure_targets():
    """What is made of single exposures: the records of the calibrated file and of what is made of it."""
    return last_records(PLAN)


def product_targets():
    """What is made of associations, files and records. What it was made from may be deleted, and is made again when it is needed."""
    targets = [
        f"stage3/{product}_asn.json" for product in (*PLAN.associations, *PLAN.pairs)
    ]
    ends = (".fits", ".json")
    targets += [f"stage3/{pair}{end}" for pair in combined_pairs() for end in ends]
    if PLAN.mode.stage3 == "spec3":
        made = [
            f"{product}_stitched"
            for product in PLAN.associations
            if stitched_cubes(PLAN, product)
        ]
        made += [
            f"{cube}_{suffix}"
            for cube in PLAN.cubes
            for suffix in cube_suffixes(PLAN, cube)
        ]
    elif PLAN.is_on("resample"):
        made = [f"{product}_i2d" for product in PLAN.associations]
    else:
        return targets + [f"stage3/{product}_crf.json" for product in PLAN.associations]
    targets += [f"stage3/{name}{end}" for name in made for end in (".fits", ".json")]
    if PLAN.mode.stage3 == "image3" and PLAN.is_on("source_catalog"):
        targets += [
            f"stage3/{product}_{end}"
            for product in PLAN.associations
            for end in ("cat.ecsv", "cat.json", "segm.fits")
        ]
    targets += [
        f"stage3/{product}_multiband{end}"
        for product in detection_images(PLAN)
        for end in (".ecsv", ".json")
    ]
    return targets


def combined_pairs():
    """Pairs of wavefront sensing that are combined."""
    return list(PLAN.pairs) if PLAN.is_on("wfs_combine") else []


def products_by_target():
    """Products of images by the name of their target."""
    targets = {}
    for product, association in PLAN.associations.items():
        targets.setdefault(association.target, []).append(product)
    return targets


def aligned_products():
    """Products that tweakreg aligns."""
    return [
        product
        for product in PLAN.associations
        if aligned_by(PLAN, product) == "tweakreg"
    ]


def report_targets():
    """A page for each pair, for each product that has a catalogue, and one of all; in modes without products, one for all exposures."""
    if PLAN.mode.stage3 == "spec3":
        return [f"report/{product}.html" for product in reported_products(PLAN)]
    if PLAN.mode.stage3 is None:
        return [f"report/{PLAN.mode.name}.html"] if PLAN.exposures else []
    pages = [f"report/{pair}.html" for pair in combined_pairs()]
    if PLAN.associations and PLAN.is_on("source_catalog") and PLAN.is_on("resample"):
        pages += [
            *(f"report/{product}.html" for product in PLAN.associations),
            "report/programme.html",
        ]
    return pages
