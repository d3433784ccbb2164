"""The work of the jobs of stage 3: each step is a rule of its own, and its work holds the parameters that concern it."""

import dataclasses

from snakewebb.plan import product_members
from snakewebb.plan.contracts import alignment_parameters
from snakewebb.plan.cubes import spectra_of_leak, stitched_cubes, stitching_notes
from snakewebb.plan.detection import bands_of, reference_product
from snakewebb.plan.ifu_exposures import missing_dithers, text
from snakewebb.plan.masks import mask_notes, masks_of
from snakewebb.plan.star_catalogues import star_field

ALIGNMENT = {"tweakreg": "alignment", "assign_mtwcs": "mtwcs"}
"""Steps that say where the exposures of a product are, and the suffix of their tables."""


def is_moving(plan, product):
    """Whether a product is of a moving target (TARGTYPE)."""
    return text(plan.exposures[plan.associations[product].members[0]].header, "TARGTYPE") == "MOVING"


def aligned_by(plan, product):
    """The step that says where the exposures of a product are, ``None`` if it is off: stars cannot align what follows a moving target."""
    step = "assign_mtwcs" if is_moving(plan, product) else "tweakreg"
    return step if plan.is_on(step) else None


def works_with_references(plan):
    """Works of the jobs of all products that may use reference files."""
    steps = plan.chains.get(plan.mode.stage3, ())
    if plan.mode.stage3 == "spec3":
        before = [
            (step, product)
            for product in plan.associations
            for step, _, _ in product_members.product_jobs(plan, product)
        ]
        after = [(step, cube) for cube in plan.cubes for step in cube_steps(plan, cube)]
        return [plan.product_work(step, name) for step, name in (*before, *after)]
    return [
        plan.product_work(step, product)
        for product in plan.associations
        for step in steps
        if step not in ("tweakreg", "wfs_combine")
    ]


def cube_steps(plan, cube):
    """Steps of stage 3 that are on for a cube, in their order."""
    steps = ["cube_build"]
    if plan.is_on("extract_1d"):
        steps.append("extract_1d")
        steps += ["spectral_leak"] if spectra_of_leak(plan, cube) else []
    return steps


def product_notes(plan):
    """What is to be said of products that are made of less than was observed."""
    notes = mask_notes(plan)
    if plan.mode.stage3 == "spec3":
        for product, association in plan.associations.items():
            notes += missing_dithers(product, [plan.exposures[root] for root in association.members])
        notes += product_members.notes(plan) + stitching_notes(plan)
    return notes


def source_finding_work(plan, root):
    """Work of the job that finds the sources of an exposure: tweakreg's parameters that concern it."""
    (entry,) = plan.chain("tweakreg", root).entries
    work = _part(entry, alignment_parameters()[0])
    if plan.exposures[root].level == "cal":
        work["input"] = plan.exposures[root].identity
    if masks := masks_of(plan, [root]):
        work["masks"] = masks
    catalogue = _custom_catalogue(plan, root, entry["parameters"])
    return work | ({"catalogue": catalogue} if catalogue else {})


def _custom_catalogue(plan, root, parameters):
    """Path and hash of the user's catalogue of an exposure that ``catfile`` lists."""
    if not parameters["use_custom_catalogs"] or not parameters["catfile"].strip():
        return None
    from snakewebb.imaging.custom_catalogues import read_catfile

    path = read_catfile(parameters["catfile"]).get(f"{root}_cal.fits")
    return path and {"path": str(path), "sha1": plan.hash_of(path, "steps.tweakreg.catfile")}


def alignment_work(plan, product):
    """Work of a product's alignment: tweakreg's parameters that concern the matching."""
    (entry,) = product_chain(plan, "tweakreg", product).entries
    work = _part(entry, alignment_parameters()[1]) | _members(plan, product)
    table = plan.configuration["alignment_table"]
    if table:
        work["alignment_table"] = {"path": table, "sha1": plan.hash_of(table, "alignment_table")}
    return work


def product_chain(plan, step, product):
    """The resolved chain of a job of a product or a cube.

    Parameters of the grid of a mosaic are those of the common grid, if there is one; the absolute catalogue of an alignment is that of
    the detection filter, or the file with the stars of the service that is named.
    """
    chain = plan.chain(step, like=(plan.cubes.get(product) or plan.association(product)).members[0])
    given, origin = {}, ""
    if step == "resample" and product in plan.grids:
        given, origin = plan.grids[product].parameters(), "common_grid"
    if step == "tweakreg" and reference_product(plan, product):
        given, origin = {"abs_refcat": f"stage3/{reference_product(plan, product)}_cat.ecsv"}, "detection_filter"
    elif step == "tweakreg" and (field := star_field(plan, product)):
        given, origin = {"abs_refcat": field.path}, f"{chain.origins[step]['abs_refcat']}: {field.catalogue}"
    (entry, *_) = chain.entries
    if not given or entry.get("skip"):
        return chain
    files = {key: value for key, value in entry.get("files", {}).items() if key not in given}
    entry = {key: value for key, value in entry.items() if key != "files"}
    entry |= {"parameters": entry["parameters"] | given} | ({"files": files} if files else {})
    origins = {step: chain.origins.get(step, {}) | dict.fromkeys(given, origin)}
    return dataclasses.replace(chain, entries=[entry], origins=origins)


def product_work(plan, step, product):
    """Work of another job of a product or a cube: what determines it, besides the products it is made of."""
    if product in plan.cubes:
        return cube_work(plan, step, product)
    if step == "stitch_spectra":
        chain = plan.chain(step, like=plan.associations[product].members[0])
        return {"chain": chain.entries, "spectra": list(stitched_cubes(plan, product))}
    if plan.mode.stage3 == "spec3":
        return product_members.product_work(plan, step, product)
    if step == "multiband_catalog":
        (entry,) = product_chain(plan, "forced_photometry", product).entries
        return {"version": entry["version"], "bands": bands_of(plan, product)}
    first = plan.association(product).members[0]
    chain = product_chain(plan, step, product)
    work = {"chain": chain.entries}
    if step == "forced_photometry":
        work["detection"] = plan.detections.get(product)
    if step == "resample" and product in plan.grids:
        work["common_grid"] = plan.grids[product].name
    if step in ("assign_mtwcs", "skymatch", "outlier_detection", "wfs_combine"):
        work |= _members(plan, product)
    masks = masks_of(plan, plan.associations[product].members) if step in ("skymatch", "outlier_detection") else {}
    if masks:
        work["masks"] = masks
    if step == "outlier_detection" and aligned_by(plan, product) is not None:
        # the corrected WCS is approximated by FITS keywords as tweakreg's parameters say
        (entry,) = plan.chain("tweakreg", like=first).entries
        if entry.get("parameters", {}).get("sip_approx"):
            work["sip"] = {
                name.removeprefix("sip_"): entry["parameters"][name]
                for name in sorted(entry["parameters"])
                if name.startswith("sip_") and name != "sip_approx"
            }
    types = chain.reference_types()
    if types:
        work["references"] = {reftype: plan.reference(first, reftype, chain.overrides) for reftype in types}
    return work


def cube_work(plan, step, name):
    """The work of a job of a cube: what determines its result, besides the products it is made of."""
    cube = plan.cubes[name]
    chain = plan.chain(step, like=cube.members[0])
    work = {"chain": chain.entries}
    if step == "cube_build":
        (entry,) = chain.entries
        own = {
            name: ",".join(dict.fromkeys(part))
            for name, part in zip(("channel", "band"), zip(*cube.bands, strict=True), strict=True)
        }
        work = {"chain": [entry | {"parameters": entry["parameters"] | own}], "members": list(cube.members)}
        # pixels are replaced after more of them are found to be bad, so not always by the job of the exposure
        folder = product_members.folder_before(plan, step, cube.product)
        replaced = [root for root in cube.members if plan.is_on("pixel_replace", root)]
        by_cube = [root for root in replaced if folder is not None or product_members.member_steps(plan, root)]
        if by_cube:
            work["replaced"] = {root: plan.chain("pixel_replace", root).entries for root in by_cube}
        direct = [root for root in cube.members if root not in replaced]
        work |= product_members.own_inputs(plan, step, cube.product, direct)
    types = chain.reference_types()
    if types:
        work["references"] = {reftype: plan.reference(cube.members[0], reftype, chain.overrides) for reftype in types}
    return work


def _part(entry, names):
    part = {
        "version": entry["version"],
        "parameters": {name: entry["parameters"][name] for name in sorted(names)},
    }
    files = {key: value for key, value in entry.get("files", {}).items() if key in names}
    return part | ({"files": files} if files else {})


def _members(plan, product):
    """Members of a product, and the identity of those that are the user's own calibrated files."""
    members = plan.association(product).members
    own = {root: plan.exposures[root].identity for root in members if plan.exposures[root].level == "cal"}
    return {"members": list(members)} | ({"inputs": own} if own else {})
