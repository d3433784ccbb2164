"""Exposures that belong to another one in stage 2: its backgrounds, its imprints, and those that show its bad pixels."""

import fnmatch
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.associations import read_content
from snakewebb.plan.ifu_exposures import is_background, is_imprint, text
from snakewebb.plan.names import parse_exposure

ROLES = ("background", "imprint", "selfcal")
"""Roles of the members of a level-2 association that a job reads besides the exposure."""
_SETTING = ("PROGRAM", "INSTRUME", "DETECTOR", "CHANNEL", "BAND", "FILTER", "PUPIL", "GRATING")
_READOUT = ("READPATT", "SUBARRAY")


def level2_members(exposures, paths, chosen=None, left_out=()):
    """Exposures that belong to each exposure, by role.

    Official associations decide for the exposures that they name. For others the headers do: backgrounds (BKGDTARG) and imprints
    (IS_IMPRT) of the same programme, detector and optical elements, taken with the same read-out; of several imprints those of the same
    observation, if there are any. Backgrounds have imprints, but no backgrounds. Above both is what the user chose.

    Parameters
    ----------
    exposures : dict of str to Exposure
    paths : list of path-like
        Level-2 ``_asn.json`` files.
    chosen : dict of str to list of str, optional
        Backgrounds that the user chose: patterns of exposures to patterns of theirs, none for an empty list. The first pattern that fits
        an exposure counts.
    left_out : collection of str
        Exposures that are not used, which an association may name all the same.

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
    chosen, notes = _chosen_backgrounds(chosen or {}, exposures)
    stated = {}
    for path in paths:
        stated |= _stated_members(path, exposures, left_out)
    settings = {root: tuple(text(exposure.header, key) for key in _SETTING) for root, exposure in exposures.items()}
    others = {role: {} for role in _ROLE_OF}
    for root, exposure in exposures.items():
        for role, takes in _ROLE_OF.items():
            if takes(exposure.header):
                others[role].setdefault(settings[root], []).append(exposure)
    found, refused = {}, {}
    for root, exposure in exposures.items():
        if exposure.level == "cal" or is_imprint(exposure.header):
            continue
        alike = {role: candidates.get(settings[root], ()) for role, candidates in others.items()}
        members = stated[root] if root in stated else _members_by_header(exposure, alike, refused)
        named = next((named for pattern, named in chosen.items() if fnmatch.fnmatchcase(root, pattern)), None)
        if named is not None:
            named = [exposures[other] for other in named if other != root and settings[other] == settings[root]]
            members = members | {"background": _usable(exposure, named, "background", refused)}
        members = {role: roots for role, roots in members.items() if roots}
        if members:
            found[root] = members
    return found, notes + [f"{path}: {reason}" for path, reason in sorted(refused.items())]


def _chosen_backgrounds(chosen, exposures):
    """Roots of backgrounds by the pattern of the exposures that they are for, and notes of what fits no exposure."""
    found, notes = {}, []
    for pattern, backgrounds in chosen.items():
        backgrounds = [backgrounds] if isinstance(backgrounds, str) else backgrounds
        if not isinstance(backgrounds, list) or not all(isinstance(entry, str) for entry in backgrounds):
            raise ConfigError(
                f"backgrounds.{pattern}: found {backgrounds!r}, expected a list of exposures (patterns), [] for no background"
            )
        fitting = {entry: fnmatch.filter(exposures, entry) for entry in backgrounds}
        found[str(pattern)] = list(dict.fromkeys(root for roots in fitting.values() for root in roots))
        fitting[pattern] = fnmatch.filter(exposures, str(pattern))
        notes += [f"backgrounds.{pattern}: no exposure fits {entry!r}" for entry, roots in fitting.items() if not roots]
    return found, notes


_ROLE_OF = {"background": is_background, "imprint": is_imprint}


def _members_by_header(exposure, others, refused):
    """Members of an exposure by role, of those taken with the same setting."""
    members = {}
    for role, candidates in others.items():
        if role == "background" and is_background(exposure.header):
            continue
        taken = _usable(exposure, candidates, role, refused)
        if role == "imprint":
            own = text(exposure.header, "OBSERVTN")
            observation = {other.root for other in candidates if text(other.header, "OBSERVTN") == own}
            taken = tuple(root for root in taken if root in observation) or taken
        members[role] = taken
    imprints = set(members["imprint"])
    # those of the backgrounds are subtracted from these in the same job
    for other in others["background"]:
        if other.root in members.get("background", ()):
            imprints.update(_members_by_header(other, others, refused)["imprint"])
    members["imprint"] = tuple(sorted(imprints))
    return members


def _usable(exposure, candidates, role, refused):
    """Roots of the candidates that can be subtracted from an exposure, sorted; why the others cannot goes into ``refused``."""
    taken = []
    for other in candidates:
        problem = _problem(exposure, other)
        if problem:
            refused[other.path] = f"not used as {role} of {exposure.root}: {problem}"
        else:
            taken.append(other.root)
    return tuple(sorted(taken))


def _problem(exposure, other, keys=_READOUT):
    """Why an exposure cannot be subtracted from another one, ``None`` if it can."""
    if other.level == "cal":
        return "a cal file; slopes are subtracted, so give its rate or uncal file"
    for key in keys:
        theirs, own = text(other.header, key), text(exposure.header, key)
        if theirs != own:
            return f"{key} is {theirs!r}, expected {own!r}"
    return None


def _stated_members(path, exposures, left_out):
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
            if science in exposures and exposures[science].level != "cal":
                found[science] = {role: tuple(sorted(set(roots.get(role, ())) - set(left_out))) for role in ROLES}
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
            problem = _problem(exposures[science], exposures[root], (*_SETTING[1:], *_READOUT))
            if problem:
                raise ConfigError(
                    f"{path}: {root} cannot be {role} of {science}: {problem}; take it out of the association"
                )
