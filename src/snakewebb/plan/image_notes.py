"""What is to be said of products of images that are made of other exposures than one would expect."""

from snakewebb.plan.mosaics import native_scale


def image_notes(plan):
    """Notes of exposures of which a detector is not here, and of products that mix pixel scales.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    list of str
    """
    if plan.mode.stage3 != "image3":
        return []
    notes = []
    for product, association in plan.associations.items():
        notes += _missing_detectors(product, association.members)
        notes += _mixed_scales(product, [plan.exposures[root] for root in association.members])
    return notes


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
