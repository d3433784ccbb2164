"""The exposures of the products of a spectrometer on their way to cubes: which jobs they go through, with what, made of which files."""

import dataclasses
import functools
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.associations import read_content, target_name
from snakewebb.plan.chains import OF_MEMBERS
from snakewebb.plan.ifu_exposures import is_background, is_imprint, text
from snakewebb.plan.names import parse_exposure
from snakewebb.plan.stage2_work import exposure_steps

FOLDERS = {"outlier_detection": "crf", "cube_outliers": "cubecrf"}
"""Steps of products that write their exposures again, and the suffix of the folder that these are in."""
_ORDER = ("outlier_detection", "measured_offsets", "cube_outliers", "cube_build")
"""Steps that read the exposures of a product, in their order."""
OFFSETS = "offsets"
"""Suffix of the table of offsets of the pointing."""
_ROLES = {"master_background": "background_spectra", "nod_subtract": "nod"}
"""Role of the other exposures that a step uses."""
_SETTING = ("PROGRAM", "INSTRUME", "DETECTOR", "CHANNEL", "BAND")
_NOD = (*_SETTING, "OBSERVTN", "READPATT", "SUBARRAY")


def find_companions(plan):
    """Exposures that others are corrected with in stage 3.

    Spectra of the background are those of exposures of a background target (BKGDTARG) of the same programme, detector and band, however
    they were read out. Official level-3 associations decide for the exposures that they name. Exposures of a nod are those of the same
    observation, target, detector, band and read-out.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of str to dict
        Roots by role, for the exposures that have any: ``background_spectra``; ``nod``, with the exposure itself.

    Raises
    ------
    ConfigError
        If an official association names a background that is not there.
    """
    member_steps.cache_clear()  # of a plan before exposures were left out
    if plan.mode.stage3 != "spec3":
        return {}
    stated, nods = {}, {}
    for path in plan.official[3]:
        stated |= _stated_backgrounds(plan, path)
    backgrounds = {}
    for root, exposure in plan.exposures.items():
        if is_background(exposure.header):
            backgrounds.setdefault(_setting(exposure), []).append(root)
        elif not is_imprint(exposure.header):
            nods.setdefault(_nod(exposure), []).append(root)
    found = {root: {"nod": group} for group in map(tuple, nods.values()) if len(group) > 1 for root in group}
    for root, exposure in plan.exposures.items():
        if is_imprint(exposure.header) or is_background(exposure.header):
            continue
        key = _setting(exposure)
        if root in stated:
            spectra = [other for other in stated[root] if _setting(plan.exposures[other])[1:] == key[1:]]
        else:
            spectra = backgrounds.get(key, ())
        if spectra:
            found.setdefault(root, {})["background_spectra"] = tuple(sorted(spectra))
    return found


def _setting(exposure):
    return tuple(text(exposure.header, key) for key in _SETTING)


def _nod(exposure):
    return (*(text(exposure.header, key) for key in _NOD), target_name(exposure.header))


def _stated_backgrounds(plan, path):
    """Exposures of the background of each exposure that an official level-3 association names."""
    found = {}
    for product in read_content(path)["products"]:
        roots = {"science": [], "background": []}
        for member in product["members"]:
            name = parse_exposure(Path(member["expname"]).name)
            kind = member.get("exptype", "science").lower()
            if name is not None and kind in roots:
                roots[kind].append(name.root)
        left_out = {Path(path).name.rsplit("_", 1)[0] for path, _ in plan.left_out}
        missing = sorted(set(roots["background"]) - plan.exposures.keys() - left_out)
        if missing:
            raise ConfigError(
                f"{path}: background members {', '.join(missing)} of {product['name']} are not in the input folders; get them with "
                "`snakewebb fetch --exposures` and these names, or take the file off `associations`"
            )
        there = [root for root in roots["background"] if root in plan.exposures]
        found |= dict.fromkeys(roots["science"], there)
    return found


def with_backgrounds(plan, association):
    """An association with the exposures of the background that belong to its members."""
    found = {
        other for root in association.members for other in plan.companions.get(root, {}).get("background_spectra", ())
    }
    return dataclasses.replace(association, backgrounds=tuple(sorted(found))) if found else association


@functools.lru_cache(maxsize=65536)
def member_steps(plan, root):
    """Steps of stage 3 that have a job for an exposure, each made of what the one before made.

    Returns
    -------
    tuple of str
    """
    header = plan.exposures[root].header
    if plan.mode.stage3 != "spec3" or is_imprint(header) or is_background(header):
        return ()
    steps = []
    for step in OF_MEMBERS:
        parameters = _parameters(plan, step, root)
        if parameters is None or not (companions_of(plan, step, root) or parameters.get("user_background")):
            continue
        if parameters["force_subtract"] or not (steps or background_is_gone(plan, root)):
            steps.append(step)
    return tuple(steps)


def _parameters(plan, step, root):
    return plan.chain(step, root).entries[0].get("parameters")


def background_is_gone(plan, root):
    """Whether stage 2 subtracts a background from an exposure, or has done so from the user's own file."""
    exposure = plan.exposures[root]
    if exposure.level == "cal":
        return any(text(exposure.header, key) == "COMPLETE" for key in ("S_BKDSUB", "S_MSBSUB"))
    on = {entry["step"] for entry in plan.chain(plan.mode.stage2, root).entries if not entry.get("skip")}
    return "bkg_subtract" in on and bool(plan.members.get(root, {}).get("background"))


def companions_of(plan, step, root):
    """Other exposures that the job of a step reads, those that have what it reads.

    Returns
    -------
    tuple of str
    """
    if step == "master_background" and (_parameters(plan, step, root) or {}).get("user_background"):
        return ()
    found = plan.companions.get(root, {}).get(_ROLES[step], ())
    if step == "master_background":
        return tuple(other for other in found if "extract_1d_exposure" in exposure_steps(plan, other))
    return tuple(other for other in found if other != root)


def member_work(plan, step, root):
    """Work of the job of an exposure: what determines its product, besides the products it is made of."""
    others = companions_of(plan, step, root)
    work = {"chain": plan.chain(step, root).entries}
    if _is_direct(plan, root, step):
        work["input"] = plan.exposures[root].identity
    if others:
        work["members"] = {_ROLES[step]: list(others)}
    own = {
        other: plan.exposures[other].identity
        for other in others
        if step == "nod_subtract" and _is_direct(plan, other, step)
    }
    return work | ({"inputs": own} if own else {})


def _is_direct(plan, root, step=None):
    """Whether a step, or jobs of products, read the user's own file of an exposure."""
    return plan.exposures[root].level == "cal" and not _steps_before(plan, root, step)


def member_file(plan, root, *, before=None):
    """The file of an exposure that jobs of products read, or that a step does: the last that was made of it."""
    steps = _steps_before(plan, root, before)
    exposure = plan.exposures[root]
    if not steps:
        return exposure.path if exposure.level == "cal" else f"stage2/{root}_cal.fits"
    return f"{_stem(steps[-1], root)}.fits"


def member_records(plan, root, *, before=None):
    """Path of the record of `member_file` in a tuple, empty for a file of the user."""
    steps = _steps_before(plan, root, before)
    if steps:
        return (f"{_stem(steps[-1], root)}.json",)
    return () if plan.exposures[root].level == "cal" else (f"stage2/{root}_cal.json",)


def _steps_before(plan, root, step):
    order = list(OF_MEMBERS)
    first = len(order) if step is None else order.index(step)
    return [name for name in member_steps(plan, root) if order.index(name) < first]


def _stem(step, root):
    return f"stage3/{OF_MEMBERS[step]}/{root}_{OF_MEMBERS[step]}"


def companion_files(plan, step, root):
    """Files that a step reads of other exposures, and their records.

    Returns
    -------
    files, records : list of str
    """
    others = companions_of(plan, step, root)
    if step == "nod_subtract":
        records = [record for other in others for record in member_records(plan, other, before=step)]
        return [member_file(plan, other, before=step) for other in others], records
    return [f"stage2/{other}_x1d.fits" for other in others], [f"stage2/{other}_x1d.json" for other in others]


def member_jobs(plan, root):
    """Step, record and tracked inputs of the jobs of an exposure in stage 3, in their order."""
    for step in member_steps(plan, root):
        inputs = (*member_records(plan, root, before=step), *companion_files(plan, step, root)[1])
        yield step, f"{_stem(step, root)}.json", inputs


def read_by(plan, step, product, roots):
    """What the job of a step reads of exposures of a product.

    Parameters
    ----------
    plan : Plan
    step : str
        One of those that read the exposures of a product.
    product : str
    roots : iterable of str
        Exposures.

    Returns
    -------
    files : list of str
        One folder with all of them, or a file of each.
    records : list of str
    """
    folder = folder_before(plan, step, product)
    if folder is not None:
        return [folder], [f"{folder}.json"]
    files, records = [], []
    for root in roots:
        if step == "cube_build" and not member_steps(plan, root) and plan.is_on("pixel_replace", root):
            files.append(f"stage2/{root}_pixel_replace.fits")
            records.append(f"stage2/{root}_pixel_replace.json")
        else:
            files.append(member_file(plan, root))
            records += member_records(plan, root)
    return files, records


def folder_before(plan, step, product):
    """Folder of the exposures of a product as the steps before a step left them, ``None`` if there is none."""
    steps = [name for name in _steps_of(plan, product, before=step) if name in FOLDERS]
    return f"stage3/{product}_{FOLDERS[steps[-1]]}" if steps else None


def offsets_before(plan, step, product):
    """Path of the table of offsets of the pointing that a step takes, in a list; empty if none were measured before it."""
    return [f"stage3/{product}_{OFFSETS}.ecsv"] if "measured_offsets" in _steps_of(plan, product, before=step) else []


def _steps_of(plan, product, *, before="cube_build"):
    """Steps that are on for a product and read its exposures, those before a step."""
    steps = [step for step in _ORDER[: _ORDER.index(before)] if plan.is_on(step)]
    if is_background(plan.exposures[plan.associations[product].members[0]].header):
        return [step for step in steps if step != "measured_offsets"]  # there is no source
    return steps


def own_inputs(plan, step, product, roots):
    """Identities of the user's own calibrated files that the job of a step reads, by exposure, as part of its work."""
    if folder_before(plan, step, product) is not None:
        return {}
    own = {root: plan.exposures[root].identity for root in roots if _is_direct(plan, root)}
    return {"inputs": own} if own else {}


def product_jobs(plan, product):
    """Step, record and tracked inputs of the jobs of a product that come before its cubes, in their order."""
    roots = plan.associations[product].members
    for step in _steps_of(plan, product):
        inputs = (*read_by(plan, step, product, roots)[1], *offsets_before(plan, step, product))
        yield step, f"stage3/{product}_{FOLDERS.get(step, OFFSETS)}.json", inputs


def product_work(plan, step, product):
    """Work of a job of a product that comes before its cubes."""
    members = plan.associations[product].members
    chain = plan.chain(step, like=members[0])
    work = {"chain": chain.entries, "members": list(members)} | own_inputs(plan, step, product, members)
    types = chain.reference_types()
    if types:
        work["references"] = {reftype: plan.reference(members[0], reftype, chain.overrides) for reftype in types}
    parameters = chain.entries[0].get("parameters") or {}
    if parameters.get("method") == "imager":
        key = "steps.measured_offsets.alignment_tables"
        work["tables"] = {table: plan.hash_of(table, key) for table in parameters["alignment_tables"] or ()}
    return work


def notes(plan):
    """What is to be said of exposures that are not corrected although it is asked for.

    Raises
    ------
    ConfigError
        If offsets of the pointing are both to be measured and given, or the table that they are to be taken from is not named.
    """
    _check_offsets(plan)
    lines = []
    silent = sorted(
        root
        for root, found in plan.companions.items()
        if found.get("background_spectra")
        and _parameters(plan, "master_background", root) is not None
        and not background_is_gone(plan, root)
        and "master_background" not in member_steps(plan, root)
    )
    if silent:
        more = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
        lines.append(
            f"{silent[0]}{more}: no master_background, as its background exposures have no spectra: switch steps.cube_build_exposure and "
            "steps.extract_1d_exposure on"
        )
    if "nod_subtract" in plan.chains.get(plan.mode.stage3, ()):
        lines += _nod_notes(plan)
    return lines


def _nod_notes(plan):
    """Exposures of products whose nod is not subtracted although the step is on."""
    roots = [root for association in plan.associations.values() for root in association.members]
    roots = [
        root for root in roots if plan.is_on("nod_subtract", root) and not is_background(plan.exposures[root].header)
    ]
    without = sorted({root for root in roots if "nod_subtract" not in member_steps(plan, root)})
    if not without:
        return []
    first = without[0]
    reason = (
        "its background is subtracted (steps.nod_subtract.force_subtract: true subtracts the nod too)"
        if companions_of(plan, "nod_subtract", first)
        else "there is no other exposure of its observation, target, band and read-out"
    )
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return [f"{first}{more}: no nod_subtract, as {reason}"]


def _check_offsets(plan):
    parameters = plan.chain("measured_offsets").entries[0].get("parameters")
    if parameters is None:
        return
    given = (plan.chain("cube_build").entries[0].get("parameters") or {}).get("offset_file")
    if given:
        raise ConfigError(
            f"steps.cube_build.offset_file: found {given!r} with measured_offsets on, expected one of them; to use a table of offsets of "
            "your own, set steps.measured_offsets.method: table and offset_table"
        )
    key = {"imager": "alignment_tables", "table": "offset_table"}.get(parameters["method"])
    if key and not parameters[key]:
        raise ConfigError(
            f"steps.measured_offsets.{key}: found nothing, expected the path of a table, as method is {parameters['method']}"
        )
