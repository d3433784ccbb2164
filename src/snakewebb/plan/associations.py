"""Level-3 associations: which exposures are combined to one product, and its name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from snakewebb.cache import write_text_if_changed
from snakewebb.errors import ConfigError
from snakewebb.plan.ifu_exposures import is_background, is_imprint, text
from snakewebb.plan.modes import STAGE2, STAGE3
from snakewebb.plan.names import PAIR, level3_name, optical_elements, parse_exposure

PAIRS_RULE = "Asn_Lv3WFSCMB"
"""Name of the archive's rule of pairs of wavefront sensing."""
_TYPES = {
    "Asn_Lv3Image": "image3",
    "Asn_Lv3ImageBackground": "image3",
    PAIRS_RULE: "wfs-image3",
}  # of spectra otherwise
_PRODUCT = re.compile(r"^jw(?P<program>\d{5})-(?P<candidate>o\d{3}|[acr]\d{4})_t(?P<target>\d{3})_")


@dataclass(frozen=True)
class Association:
    """Exposures that make one level-3 product.

    Attributes
    ----------
    product : str
        Name without suffix.
    program, candidate : str
    target : str
        Name of the target.
    members : tuple of str
        Roots of the exposures, sorted.
    source : str
        The official file it was read from, or the rule that made it.
    rule : str
        Name of the archive's rule.
    backgrounds : tuple of str
        Roots of exposures of the background whose spectra belong to it, sorted.
    """

    product: str
    program: str
    candidate: str
    target: str
    members: tuple
    source: str
    rule: str = "Asn_Lv3Image"
    backgrounds: tuple = ()

    def as_json(self, members=None, suffix="cal"):
        """The association as the archive's JSON (``asn_schema_jw_level3``), a dict."""
        members = self.members if members is None else members
        listed = [{"expname": f"{root}_{suffix}.fits", "exptype": "science"} for root in members]
        listed += [{"expname": f"{root}_x1d.fits", "exptype": "background"} for root in self.backgrounds]
        return {
            "asn_type": _TYPES.get(self.rule, "spec3"),
            "asn_rule": self.rule,
            "asn_id": self.candidate,
            "asn_pool": "none",
            "program": self.program,
            "target": self.target,
            "products": [{"name": self.product.replace(f"_{PAIR}-", "_{suffix}-"), "members": listed}],
        }


def target_name(header):
    """Name of the target of an exposure: the proposal's, else the catalogue's."""
    return str(header.get("TARGPROP") or header.get("TARGNAME") or "UNKNOWN").strip()


def is_of_wavefront_sensing(header):
    """Whether an exposure belongs to a visit of wavefront sensing (VISITYPE), whose images make no mosaics."""
    return "WFSC" in text(header, "VISITYPE")


def image_associations(exposures, *, by, target_numbers):
    """Associations by the archive's rules for images: same target, optical elements, subarray and observation.

    Images of background targets make products of their own; those of visits of wavefront sensing (VISITYPE) belong to none.

    Parameters
    ----------
    exposures : list of Exposure
    by : {"observation", "programme"}
        ``programme`` combines the observations of a programme (candidate ``a3001``).
    target_numbers : callable
        Number of a target by name.

    Returns
    -------
    list of Association
        Sorted by product name.
    """

    def optics(header):
        place = header["INSTRUME"], optical_elements([header]), str(header.get("SUBARRAY", "")).upper()
        return *place, is_background(header)

    found = []
    usable = [exposure for exposure in exposures if not is_of_wavefront_sensing(exposure.header)]
    for (program, candidate, target), members in _grouped(usable, by, optics):
        product = level3_name(program, candidate, target_numbers(target), [member.header for member in members])
        roots = tuple(sorted(member.root for member in members))
        rule = "Asn_Lv3ImageBackground" if is_background(members[0].header) else "Asn_Lv3Image"
        found.append(Association(product, program, candidate, target, roots, f"images of one {by}", rule))
    _no_twins(found)
    return found


def mrs_associations(exposures, *, by, target_numbers):
    """Associations by the archive's rule for MIRI's spectrometer: same target and observation, all channels and bands together.

    Parameters and result as those of `image_associations`; imprints belong to none.
    """
    found = []
    usable = [exposure for exposure in exposures if not is_imprint(exposure.header)]
    for (program, candidate, target), members in _grouped(usable, by, lambda header: (is_background(header),)):
        product = f"jw{program}-{candidate}_t{target_numbers(target):03d}_miri"
        roots = tuple(sorted(member.root for member in members))
        background = is_background(members[0].header)
        rule = "Asn_Lv3MIRMRSBackground" if background else "Asn_Lv3MIRMRS"
        source = f"{'background' if background else 'spectra'} of one {by}"
        found.append(Association(product, program, candidate, target, roots, source, rule))
    _no_twins(found)
    return found


ASSOCIATE = {"image3": image_associations, "spec3": mrs_associations}
"""What makes the associations of a mode, by its pipeline of stage 3."""


def _grouped(exposures, by, keys_of):
    """Exposures of one programme, candidate, target and further keys of the header: ``((program, candidate, target), members)``, sorted."""
    groups = {}
    for exposure in exposures:
        name = parse_exposure(Path(exposure.path).name)
        candidate = f"o{name.observation}" if by == "observation" else "a3001"
        key = (name.program, candidate, target_name(exposure.header), *keys_of(exposure.header))
        groups.setdefault(key, []).append(exposure)
    return [(key[:3], members) for key, members in sorted(groups.items())]


def official_files(paths, stage2, stage3):
    """Official association files of a mode by their level; those of other pipelines are for other modes.

    Parameters
    ----------
    paths : list of path-like
    stage2, stage3 : str or None
        Pipelines of the mode.

    Returns
    -------
    dict of int or str to list
        Paths, by level (2 or 3), or ``pairs``: of wavefront sensing, for modes of images.

    Raises
    ------
    ConfigError
        If one is not an association file.
    """
    found = {2: [], 3: [], "pairs": []}
    for path in paths:
        kind = str(read_content(path).get("asn_type"))
        if kind in STAGE2:
            found[2] += [path] if kind == stage2 else []
        elif kind == _TYPES[PAIRS_RULE]:
            found["pairs"] += [path] if stage3 == "image3" else []
        elif kind not in STAGE3 or kind == stage3:
            found[3].append(path)
    return found


def read_content(path):
    """Content of an association file.

    Raises
    ------
    ConfigError
        If it is not one: the names of its products and lists of members are required.
    """
    try:
        content = json.loads(Path(path).read_text())
        for product in content["products"]:
            product["name"], product["members"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not an association file ({error})") from error
    return content


def read_association(path, roots):
    """Associations of an official ``_asn.json`` file (level 3).

    Parameters
    ----------
    path : path-like
    roots : set of str
        Exposures that are there.

    Raises
    ------
    ConfigError
        If it is not a level-3 association, or members are missing (all are named).
    """
    found = []
    content = read_content(path)
    for product, members in ((entry["name"], entry["members"]) for entry in content["products"]):
        match = _PRODUCT.match(product)
        if match is None:
            raise ConfigError(
                f"{path}: product name {product!r} is not one of level 3 (jw<program>-<candidate>_t<target>_...)"
            )
        wanted = []
        for member in members:
            name = parse_exposure(Path(member["expname"]).name)
            if name is None:
                raise ConfigError(f"{path}: member {member['expname']!r} is not the name of an exposure")
            if member.get("exptype", "science") == "science":
                wanted.append(name.root)
        missing = sorted(set(wanted) - roots)
        if missing:
            raise ConfigError(
                f"{path}: {len(missing)} members are not in the input folders: {', '.join(missing)}; get them with "
                "`snakewebb fetch --exposures` and these names, or take the file off `associations`"
            )
        found.append(
            Association(
                product,
                match["program"],
                match["candidate"],
                str(content.get("target", "")),
                tuple(sorted(set(wanted))),
                str(path),
                "Asn_Lv3MIRMRS" if content.get("asn_type") == "spec3" else "Asn_Lv3Image",
            )
        )
    return found


def merge_associations(official, made):
    """Official associations, and those made by rule whose product no official one makes."""
    names = {association.product for association in official}
    merged = sorted([*official, *(a for a in made if a.product not in names)], key=lambda a: a.product)
    _no_twins(merged)
    return merged


def _no_twins(associations):
    seen = {}
    for association in associations:
        twin = seen.setdefault(association.product, association)
        if twin is not association:
            raise ConfigError(
                f"two associations make the same product {association.product}: {twin.source} and {association.source}; "
                "remove one of them, or give the targets numbers of their own under 'targets' in config.yaml"
            )


def suspect_pointing(header):
    """Why the pointing of an exposure cannot be relied on, ``None`` if it can."""
    quality = str(header.get("ENGQLPTG", "")).upper()
    if quality == "PLANNED":
        return "ENGQLPTG is PLANNED: the pointing is the planned one, not measured by the telescope"
    if str(header.get("VISITSTA", "SUCCESSFUL")).upper() not in ("SUCCESSFUL", "", "NONE"):
        return f"VISITSTA is {header['VISITSTA']}: the visit did not succeed, guiding may have failed"
    if str(header.get("PCS_MODE", "")).upper() == "COARSE":
        return "PCS_MODE is COARSE: the telescope was not guiding"
    return None


class TargetNumbers:
    """Numbers of targets: the user's, an official association's, else from a table that is only ever added to.

    Adding an exposure never renames a product.

    Parameters
    ----------
    table : path-like
        ``targets.tsv`` in the programme folder.
    given : dict
        Number by target name, from the configuration.
    """

    def __init__(self, table, given):
        self.table = Path(table)
        self.given = {str(name): int(number) for name, number in given.items()}
        self.recorded = {}
        if self.table.exists():
            for line in self.table.read_text().splitlines()[1:]:
                name, _, number = line.rpartition("\t")
                self.recorded[name] = int(number)

    def __call__(self, name):
        """Number of a target; a new one is added to the table."""
        if name in self.given:
            return self.given[name]
        if name not in self.recorded:
            taken = {*self.given.values(), *self.recorded.values()}
            number = next(number for number in range(1, 1000) if number not in taken)
            self.recorded[name] = number
            lines = ["target\tnumber", *(f"{key}\t{value}" for key, value in self.recorded.items())]
            # renamed when complete: a number that is lost would rename products
            write_text_if_changed(self.table, "\n".join(lines) + "\n")
        return self.recorded[name]
