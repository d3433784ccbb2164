"""Pairs of dithered exposures of wavefront sensing, which are combined two by two."""

import re
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.associations import PAIRS_RULE, Association, is_of_wavefront_sensing, read_content, target_name
from snakewebb.plan.ifu_exposures import text
from snakewebb.plan.names import PAIR, PAIR_PATTERN, level3_name, parse_exposure


def is_dithered(header):
    """Whether an exposure is one of a pair (PATTTYPE is WFSC)."""
    return text(header, "PATTTYPE") == "WFSC"


def find_pairs(exposures, target_numbers):
    """Pairs by the archive's rule: two exposures of one visit, activity, detector and optical elements, whose PATTTYPE is WFSC.

    Parameters
    ----------
    exposures : list of Exposure
    target_numbers : callable
        Number of a target by name.

    Returns
    -------
    pairs : list of Association
        Sorted by product.
    notes : list of str
        What is to be said of exposures that make no pair.
    """
    activities = {}
    for exposure in exposures:
        if is_dithered(exposure.header):
            visit, activity, _, detector = exposure.root.split("_")
            elements = [text(exposure.header, key) for key in ("FILTER", "PUPIL", "SUBARRAY")]
            activities.setdefault((visit, activity, detector, *elements), []).append(exposure)
    found, notes = {}, []
    for (visit, activity, detector, *_), members in sorted(activities.items()):
        roots = tuple(sorted(member.root for member in members))
        if len(roots) != 2:
            more = f" and {len(roots) - 1} more" if len(roots) > 1 else ""
            notes.append(
                f"{roots[0]}{more}: PATTTYPE is WFSC, but of {visit}_{activity}, {detector}, {len(roots)} are here, expected 2: not "
                "combined; fetch what is missing, or say in an association file (wfs-image3) which are a pair"
            )
            continue
        name, target = parse_exposure(Path(members[0].path).name), target_name(members[0].header)
        candidate = f"o{name.observation}"
        stem = level3_name(name.program, candidate, target_numbers(target), [member.header for member in members])
        product = f"{stem}-{detector}_{PAIR}-{activity[-2:]}"
        if product in found:
            notes.append(
                f"{roots[0]}, {roots[1]}: not combined, as {product} is made of {', '.join(found[product].members)}; exclude those, or say "
                "in an association file (wfs-image3) under which name"
            )
            continue
        found[product] = Association(
            product, name.program, candidate, target, roots, "a pair of wavefront sensing", PAIRS_RULE
        )
    return [found[product] for product in sorted(found)], notes


def read_pairs(path):
    """Pairs of an official association file (``wfs-image3``), in which ``{suffix}`` stands for that of the product.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Association
        Members in the order of the file.

    Raises
    ------
    ConfigError
        If a product is not one of a pair, or has not two science members.
    """
    found = []
    content = read_content(path)
    for entry in content["products"]:
        product = str(entry["name"]).replace("{suffix}", PAIR)
        if not re.fullmatch(PAIR_PATTERN, product):
            raise ConfigError(
                f"{path}: found the product {product!r}, expected jw<program>-<candidate>_t<target>_..._{PAIR}-<activity>"
            )
        names = [parse_exposure(Path(member["expname"]).name) for member in _science(entry)]
        if len(names) != 2 or None in names:
            listed = ", ".join(str(member["expname"]) for member in _science(entry)) or "none"
            raise ConfigError(
                f"{path}: {product}: found the science members {listed}, expected the names of two exposures"
            )
        roots = tuple(name.root for name in names)
        program, candidate = product.split("_")[0].removeprefix("jw").split("-")
        found.append(
            Association(product, program, candidate, str(content.get("target", "")), roots, str(path), PAIRS_RULE)
        )
    return found


def _science(entry):
    return [member for member in entry["members"] if member.get("exptype", "science") == "science"]


def pairs_of(plan, usable, target_numbers):
    """Pairs of a plan by product: those of official associations, and those made by rule whose product no official one makes.

    Parameters
    ----------
    plan : Plan
        Its ``notes`` are added to.
    usable : list of Exposure
    target_numbers : callable

    Returns
    -------
    dict of str to Association
    """
    if plan.mode.stage3 != "image3":
        return {}
    official = {pair.product: pair for path in plan.official["pairs"] for pair in read_pairs(path)}
    taken = {root for pair in official.values() for root in pair.members}
    made, notes = find_pairs([exposure for exposure in usable if exposure.root not in taken], target_numbers)
    pairs = {pair.product: pair for pair in made} | official
    there = {exposure.root for exposure in usable}
    for product, pair in list(pairs.items()):
        missing = [root for root in pair.members if root not in there]
        if missing:
            notes.append(
                f"{product}: not combined, as {', '.join(missing)} of {pair.source} cannot be used or is not here"
            )
            del pairs[product]
    combined = {root for found in (plan.associations, pairs) for one in found.values() for root in one.members}
    alone = [one for one in usable if is_of_wavefront_sensing(one.header) and one.root not in combined]
    if alone:
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        notes.append(
            f"{alone[0].root}{more}: VISITYPE is {alone[0].header['VISITYPE']}: in no mosaic, as in the archive; an association file "
            "(image3) makes one"
        )
    plan.notes += notes
    return dict(sorted(pairs.items()))
