"""What the jobs of stage 2 of an exposure are: which steps that are rules of their own, made of what, with which other exposures."""

from pathlib import Path

from snakewebb.plan.chains import OF_EXPOSURES, OF_SLOPES
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.cubes import exposure_bands
from snakewebb.plan.dithers import other_dithers
from snakewebb.plan.ifu_exposures import is_imprint, text
from snakewebb.plan.level2_members import level2_members

# steps that use the members of a role
_USERS = {
    "background": ("badpix_selfcal", "bkg_subtract"),
    "imprint": ("imprint_subtract",),
    "selfcal": ("badpix_selfcal",),
    "dithers": ("dither_background",),
}


def exposure_steps(plan, root):
    """Steps of stage 2 that are rules of their own and on for an exposure, each made of what the one before made."""
    if is_imprint(plan.exposures[root].header):
        return []
    names = [name for name in plan.chains.get(plan.mode.stage2, ()) if name in OF_EXPOSURES]
    names = [name for name in names if plan.is_on(name, root)]
    if plan.mode.stage2 == "spec2" and not ("cube_build_exposure" in names and exposure_bands(plan, root)):
        names = [name for name in names if name not in ("cube_build_exposure", "extract_1d_exposure")]
    return names


def slope_steps(plan, root):
    """Steps of stage 2 that are rules of their own, on for an exposure, and work on its slopes: where it has the members they use."""
    names = OF_SLOPES.get(plan.mode.stage2, {})
    return [name for name in plan.chains.get(plan.mode.stage2, ()) if name in names and members_of(plan, root, name)]


def slopes_before(plan, transition, root):
    """Stem of what the job of a transition takes as slopes, ``None`` if that is the user's own file."""
    steps = slope_steps(plan, root)
    if transition in steps:
        steps = steps[: steps.index(transition)]
    if steps:
        return f"stage2/{root}_{OF_SLOPES[plan.mode.stage2][steps[-1]]}"
    return f"stage1/{root}_{plan.stage1_suffix}" if plan.exposures[root].level == "uncal" else None


def oversampling(plan, root):
    """Columns that an exposure gets for each one of its detector on its way to cubes."""
    if not plan.is_on("adaptive_trace_model", root):
        return 1.0
    entries = plan.chain("pixel_replace", root).entries
    return next(entry["parameters"]["oversample"] for entry in entries if entry["step"] == "adaptive_trace_model")


def first_job(plan, root):
    """The transition that reads the file of the user, ``None`` if only jobs of products do."""
    level = plan.exposures[root].level
    if level == "uncal":
        return plan.mode.stage1
    if level == "rate":
        return next(iter(slope_steps(plan, root)), plan.mode.stage2)
    return next(iter(exposure_steps(plan, root)), None)


def last_records(plan):
    """Records of what is made of single exposures beyond stage 1; of those that end there, of their slopes."""
    found = []
    for root, exposure in plan.exposures.items():
        if plan.mode.stage2 is None or is_imprint(exposure.header):
            found += [f"stage1/{root}_{plan.stage1_suffix}.json"] if exposure.level == "uncal" else []
            continue
        found += [] if exposure.level == "cal" else [f"stage2/{root}_cal.json"]
        found += [f"stage2/{root}_{OF_EXPOSURES[step]}.json" for step in exposure_steps(plan, root)]
    return found


def find_members(plan):
    """Exposures that belong to each exposure, by role, and what could not be used as such; see `level2_members`, `other_dithers`."""
    if plan.mode.stage2 is None:
        return {}, []
    left_out = {Path(path).name.rsplit("_", 1)[0] for path, _ in plan.left_out}
    members, notes = level2_members(
        plan.exposures, plan.official[2], plan.configuration["backgrounds"], left_out - set(plan.exposures)
    )
    if "dither_background" in plan.chains.get(plan.mode.stage2, ()):
        alone = [
            root
            for root in plan.exposures
            if "background" not in members.get(root, {}) or not plan.is_on("bkg_subtract", root)
        ]
        dithers, few = other_dithers(plan, alone)
        for root, roots in dithers.items():
            members[root] = members.get(root, {}) | {"dithers": roots}
        notes += few
    return members, notes


def works_with_references(plan):
    """Works of the jobs of exposures that are rules of their own and may use reference files."""
    steps = [name for name in plan.chains.get(plan.mode.stage2, ()) if contract_of(name).all_reference_types]
    steps = set(steps).intersection(OF_EXPOSURES)
    if not steps:
        return []
    return [
        plan.exposure_work(step, root)
        for root in plan.exposures
        for step in exposure_steps(plan, root)
        if step in steps
    ]


def members_of(plan, root, transition):
    """Exposures that a job of stage 2 reads besides the exposure, by role: those that a step that is on in it uses."""
    members = plan.members.get(root, {})
    if not members:
        return {}
    on = {entry["step"] for entry in plan.chain(transition, root).entries if not entry.get("skip")}
    return {role: list(roots) for role, roots in members.items() if on.intersection(_USERS[role])}


def members_work(plan, transition, root):
    """The part of an exposure's work that names its members, and the identity of those that are the user's own slopes."""
    if transition != plan.mode.stage2 and transition not in OF_SLOPES.get(plan.mode.stage2, ()):
        return {}
    members = members_of(plan, root, transition)
    if not members:
        return {}
    roots = sorted({member for found in members.values() for member in found})
    own = {member: plan.exposures[member].identity for member in roots if plan.exposures[member].level == "rate"}
    return {"members": members} | ({"inputs": own} if own else {})


def without_geometry(plan, selection):
    """Exposures that a step of stage 2 cannot do anything with, as CRDS has no reference of a type for them.

    Parameters
    ----------
    plan : Plan
    selection : dict
        Names of the selected references by exposure and type.

    Returns
    -------
    dict of str to str
        Reasons by exposure.
    """
    found = {}
    for root, exposure in plan.exposures.items():
        if plan.mode.stage2 not in plan._stages_of(exposure):
            continue
        chain = plan.chain(plan.mode.stage2, root)
        for entry in chain.entries:
            needed = (
                ()
                if entry.get("skip")
                else contract_of(entry["step"]).references_by_type.get(exposure.header["EXP_TYPE"], ())
            )
            missing = [
                reftype
                for reftype in needed
                if chain.overrides.get(reftype, selection[root].get(reftype) or "N/A").upper() == "N/A"
            ]
            if missing:
                setting = ", ".join(f"{key} {text(exposure.header, key)}" for key in ("DETECTOR", "CHANNEL", "BAND"))
                found[root] = (
                    f"{plan.context} has no reference of type {', '.join(missing)} for {setting}, and {entry['step']} cannot do without: "
                    f"the exposure is not calibrated; use another crds_context, or set steps.{entry['step']}.override_{missing[0]}"
                )
    return found
