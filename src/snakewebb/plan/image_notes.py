"""What is to be said of products of images that are made of other exposures than one would expect."""

import math

from snakewebb.imaging.pointing import group_of
from snakewebb.plan.common_grid import outline
from snakewebb.plan.mosaics import combined_members, native_scale, offset


def image_notes(plan):
    """Notes of imprints, of exposures of which a detector is not here or that overlap no others, and of products that mix pixel scales.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    list of str
    """
    if plan.mode.stage3 != "image3":
        return []
    notes = _imprints(plan.members)
    for product, association in plan.associations.items():
        notes += _missing_detectors(product, association.members)
        notes += _mixed_scales(product, [plan.exposures[root] for root in association.members])
        notes += _islands(product, combined_members(plan, product))
    return notes


def _imprints(members):
    """Imprints that an association names: images have no step for them, as their light does not pass shutters that leak."""
    return [
        f"{root}: its imprint {', '.join(found['imprint'])} is not subtracted: there is no such step for images; as its background it "
        "can be (backgrounds in config.yaml)"
        for root, found in sorted(members.items())
        if found.get("imprint")
    ]


def _missing_detectors(product, roots):
    """Exposures of an observation that other ones of it have more detectors of."""
    detectors, seen = {}, {}
    for root in roots:
        exposure, _, detector = root.rpartition("_")
        detectors.setdefault(root[:10], set()).add(detector)
        seen.setdefault(exposure, set()).add(detector)
    missing = [(exposure, sorted(detectors[exposure[:10]] - found)) for exposure, found in sorted(seen.items())]
    missing = [(exposure, names) for exposure, names in missing if names]
    if not missing:
        return []
    exposure, names = missing[0]
    more = f"; detectors are missing of {len(missing) - 1} more" if len(missing) > 1 else ""
    return [
        f"{product}: {', '.join(names)} of {exposure} not here, unlike in other exposures of that observation{more}: fetch what is "
        "missing, the mosaic is less deep there without"
    ]


def _mixed_scales(product, members):
    """Products whose exposures have different pixel scales."""
    scales = {}
    for member in members:
        scales.setdefault(native_scale(member.header), []).append(member.root)
    if len(scales) == 1:
        return []
    listed = ", ".join(f"{scale:.3f} ({roots[0]})" for scale, roots in sorted(scales.items()))
    return [
        f"{product}: pixels of about {listed} arcsec are combined: the mosaic has the scale of {members[0].root} unless "
        "steps.resample.pixel_scale says otherwise, and images of several filters have no catalogue"
    ]


def _islands(product, members):
    """Products whose exposures are of fields that do not overlap; exposures of the same time count as one."""
    groups = {}
    for member in members:
        if None not in (member.header.get("RA_REF"), member.header.get("DEC_REF")):
            groups.setdefault(group_of(member.header) or member.root, []).append(member)
    fields = _fields(list(groups.values()))
    if len(fields) < 2:
        return []
    largest = max(fields, key=len)
    islands = [group for field in fields if field is not largest for group in field]
    first = islands[0][0]
    distance = min(math.hypot(*offset(first.header, member.header)) for group in largest for member in group)
    where = f"{first.root}{' ...' if len(islands) > 1 else ''}, {distance / 60:.1f} arcmin from the nearest"
    return [
        f"{product}: {len(islands)} of {len(groups)} pointings ({where}) do not overlap the others, as their keywords say: their stars and "
        "sky levels cannot be matched with those of the others; give steps.tweakreg.abs_refcat a catalogue, or leave them out with "
        "exclude if their pointing is wrong"
    ]


def _fields(groups):
    """Groups of exposures, those that overlap, directly or through others, together."""
    waiting = [[_Outline(member) for member in group] for group in groups]
    left, fields = list(range(len(groups))), []
    while left:
        border, field = [left.pop(0)], []
        while border:
            here = border.pop()
            field.append(groups[here])
            found = [k for k in left if any(a.overlaps(b) for a in waiting[here] for b in waiting[k])]
            border += found
            left = [k for k in left if k not in set(found)] if found else left
        fields.append(field)
    return fields


class _Outline:
    """Where an exposure is, by its keywords: corners as unit vectors."""

    def __init__(self, member):
        self.corners = list(outline(member))
        self.centre = [sum(axis) / 4 for axis in zip(*self.corners, strict=True)]
        self.radius = max(math.dist(self.centre, corner) for corner in self.corners)
        # great circles through the edges, which corners inside are on one side of
        following = self.corners[1:] + self.corners[:1]
        self.edges = [_normal(a, b, self.centre) for a, b in zip(self.corners, following, strict=True)]

    def overlaps(self, other):
        """Whether two exposures share a part of the sky: no edge of one has all of the other beyond it."""
        if math.dist(self.centre, other.centre) > self.radius + other.radius:
            return False
        return not any(
            all(sum(map(float.__mul__, edge, corner)) <= 0 for corner in two.corners)
            for one, two in ((self, other), (other, self))
            for edge in one.edges
        )


def _normal(a, b, inside):
    """Normal of the plane of a great circle through two directions, towards a third one."""
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    sign = math.copysign(1.0, sum(map(float.__mul__, normal, inside)))
    return tuple(sign * value for value in normal)
