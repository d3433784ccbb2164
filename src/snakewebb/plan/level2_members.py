"""Exposures that belong to another one in stage 2: its backgrounds, its imprints, and those that show its bad pixels."""

from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.associations import read_content
from snakewebb.plan.ifu_exposures import is_background, is_imprint, text
from snakewebb.plan.names import parse_exposure

ROLES = ("background", "imprint", "selfcal")
"""Roles of the members of a level-2 association that a job reads besides the exposure."""
_SETTING = ("INSTRUME", "DETECTOR", "CHANNEL", "BAND")
_READOUT = ("READPATT", "SUBARRAY")


def level2_members(exposures, paths):
    """Exposures that belong to each exposure, by role.

    Official associations decide for the exposures that they name. For others the headers do: backgrounds (BKGDTARG) and imprints
    (IS_IMPRT) of the same programme, detector and band, taken with the same read-out; of several imprints those of the same
    observation, if there are any. Backgrounds have imprints, but no backgrounds.

    Parameters
    ----------
    exposures : dict of str to Exposure
    paths : list of path-like
        Level-2 ``_asn.json`` files.

    Returns
    -------
    dict of str to dict
        Roots by role, for the exposures that have any members.
    list of str
        What could not be used, and why.

    Raises
    ------
    ConfigError
        If an association is damaged, or names a member that is not there or was taken in another way.
    """
    stated = {}
    for path in paths:
        stated |= _stated_members(path, exposures)
    others = {kind: [e for e in exposures.values() if takes(e.header)] for kind, takes in _ROLE_OF.items()}
    found, refused = {}, {}
    for root, exposure in exposures.items():
        if exposure.level == "cal" or is_imprint(exposure.header):
            continue
        members = stated[root] if root in stated else _members_by_header(exposure, others, refused)
        members = {role: roots for role, roots in members.items() if roots}
        if members:
            found[root] = members
    return found, [f"{path}: {reason}" for path, reason in sorted(refused.items())]


_ROLE_OF = {"background": is_background, "imprint": is_imprint}


def _members_by_header(exposure, others, refused):
    members = {}
    for role, candidates in others.items():
        if role == "background" and is_background(exposure.header):
            continue
        taken = []
        for other in candidates:
            if any(text(other.header, key) != text(exposure.header, key) for key in ("PROGRAM", *_SETTING)):
                continue
            problem = _problem(exposure, other)
            if problem:
                refused[other.path] = f"not used as {role} of {exposure.root}: {problem}"
            else:
                taken.append(other)
        if role == "imprint":
            own = text(exposure.header, "OBSERVTN")
            taken = [other for other in taken if text(other.header, "OBSERVTN") == own] or taken
        members[role] = tuple(sorted(other.root for other in taken))
    imprints = set(members["imprint"])
    # those of the backgrounds are subtracted from these in the same job
    for other in others["background"]:
        if other.root in members.get("background", ()):
            imprints.update(_members_by_header(other, others, refused)["imprint"])
    members["imprint"] = tuple(sorted(imprints))
    return members


def _problem(exposure, other, keys=_READOUT):
    """Why an exposure cannot be subtracted from another one, ``None`` if it can."""
    if other.level == "cal":
        return "a cal file; slopes are subtracted, so give its rate or uncal file"
    for key in keys:
        theirs, own = text(other.header, key), text(exposure.header, key)
        if theirs != own:
            return f"{key} is {theirs!r}, expected {own!r}"
    return None


def _stated_members(path, exposures):
    """What an official association says of the exposures that are there."""
    found = {}
    for product in read_content(path)["products"]:
        roots = {}
        for member in product["members"]:
            name = parse_exposure(Path(member["expname"]).name)
            if name is None:
                raise ConfigError(f"{path}: member {member['expname']!r} is not the name of an exposure")
            roots.setdefault(member.get("exptype", "science").lower(), []).append(name.root)
        for science in roots.get("science", []):
            if science in exposures:
                found[science] = {role: tuple(sorted(set(roots.get(role, ())))) for role in ROLES}
                _check(path, exposures, science, found[science])
    return found


def _check(path, exposures, science, members):
    for role, roots in members.items():
        missing = [root for root in roots if root not in exposures]
        if missing:
            raise ConfigError(
                f"{path}: {role} members {', '.join(missing)} of {science} are not in the input folders; get them with "
                "`snakewebb fetch --exposures` and these names, or take the file off `associations`"
            )
        for root in roots:
            problem = _problem(exposures[science], exposures[root], (*_SETTING, *_READOUT))
            if problem:
                raise ConfigError(
                    f"{path}: {root} cannot be {role} of {science}: {problem}; take it out of the association"
                )
