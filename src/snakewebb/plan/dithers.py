"""The other dithers of an exposure that its background can be made from."""

from snakewebb.plan.ifu_exposures import is_background, text
from snakewebb.plan.pointings import distance

_SETTING = ("PROGRAM", "TARGPROP", "INSTRUME", "DETECTOR", "FILTER", "PUPIL", "SUBARRAY", "READPATT")


def other_dithers(plan, roots):
    """Other exposures that the background of each exposure is made from.

    They are those of the same programme, target, detector, optical elements, subarray and read-out that point at least ``min_shift``
    elsewhere, ``max_dithers`` at most: those of each pointing in turn, the nearest in time first, so that no place of the sky is in most
    of them.

    Parameters
    ----------
    plan : Plan
    roots : iterable of str
        Exposures that have no dedicated backgrounds.

    Returns
    -------
    dict of str to tuple of str
        By exposure, for those that have enough of them.
    list of str
        What is to be said of those that do not.
    """
    alike = {}
    for exposure in plan.exposures.values():
        key = (is_background(exposure.header), *(text(exposure.header, name) for name in _SETTING))
        alike.setdefault(key, []).append(exposure)
    of = {exposure.root: (key, group) for key, group in alike.items() for exposure in group}
    found, few = {}, {}
    for root in roots:
        exposure, (key, group) = plan.exposures[root], of[root]
        if exposure.level == "cal" or not plan.is_on("dither_background", root):
            continue
        (entry,) = plan.chain("dither_background", root).entries
        given = entry["parameters"]
        apart = [
            other
            for other in group
            if other.level != "cal" and distance(exposure.header, other.header) >= given["min_shift"]
        ]
        apart.sort(key=lambda other: (_seconds_between(exposure.header, other.header), other.root))
        pointings = _pointings(apart, given["min_shift"])
        if len(pointings) >= given["min_dithers"]:
            chosen = _chosen(pointings, given["min_dithers"])[: given["max_dithers"]]
            found[root] = tuple(sorted(other.root for other in chosen))
        else:
            few.setdefault((key, len(pointings), given["min_dithers"], given["min_shift"]), []).append(root)
    notes = [
        f"dither_background: {', '.join(names)}: {pointings} other pointings of {text(plan.exposures[names[0]].header, 'FILTER')} at "
        f"least {shift:g} arcsec apart, {needed} are needed: no background is subtracted; lower steps.dither_background.min_dithers or "
        "min_shift, or choose `backgrounds`"
        for (_, pointings, needed, shift), names in few.items()
    ]
    return found, notes


def _pointings(exposures, shift):
    """Exposures of each of the pointings that are so far from each other."""
    places = []
    for exposure in exposures:
        near = (place for place in places if distance(exposure.header, place[0].header) < shift)
        place = next(near, None)
        if place is None:
            places.append([exposure])
        else:
            place.append(exposure)
    return places


def _chosen(places, needed):
    """Exposures of all pointings in turn, as long as there are so many pointings: no place of the sky is in most of them."""
    chosen = []
    for number in range(max(map(len, places))):
        taken = [place[number] for place in places if number < len(place)]
        if len(taken) < needed:
            break
        chosen += taken
    return chosen


def _seconds_between(one, other):
    """Time between the starts of two exposures, 0 if one does not tell."""
    times = [header.get("EXPSTART") for header in (one, other)]
    return abs(times[0] - times[1]) if all(isinstance(time, (int, float)) for time in times) else 0.0
