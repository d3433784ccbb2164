"""Exposures whose pointing cannot be relied on, and those of a product that look elsewhere: a mosaic with them would be mostly empty."""

import dataclasses
import math
from collections import defaultdict

from snakewebb.plan.associations import suspect_pointing
from snakewebb.plan.mosaics import (
    LARGE_GRID,
    combined_members,
    grid_parameters,
    is_absurd,
    mosaic_shape,
    where_combined,
)
from snakewebb.plan.pointings import distance, offset

LINK = 600.0
"""Arcsec: exposures further apart, without others between, are not of one field."""

MINORITY = 1 / 3
"""Part of a product's exposures that may be left out for looking elsewhere."""

SAVED = 4
"""How many times larger the mosaic must be with them."""


def reliable_exposures(plan):
    """Exposures whose pointing can be relied on, or that are to be used whether it can or not (``suspect_pointing``).

    Parameters
    ----------
    plan : Plan
        Its ``left_out`` and ``notes`` are added to.

    Returns
    -------
    list of Exposure
        None where the mode makes no products of several exposures.
    """
    if plan.mode.stage3 is None:
        return []
    usable = []
    for exposure in plan.exposures.values():
        suspicion = suspect_pointing(exposure.header)
        if suspicion and plan.configuration["suspect_pointing"] == "exclude":
            plan.left_out.append((exposure.path, f"{suspicion}: not in any mosaic"))
        else:
            usable.append(exposure)
        if suspicion:
            plan.notes.append(f"{exposure.path}: {suspicion}")
    return usable


def without_strays(plan, associations):
    """Associations without the exposures that look elsewhere, which are listed as left out.

    An exposure looks elsewhere if it is not in the largest field of a product (exposures within `LINK` of each other), if it is one
    of a minority, and if the mosaic is large (`LARGE_GRID`) and would be a quarter of that without them. Where the user gives the
    mosaic's extent (``output_shape``, ``output_wcs``), all exposures are taken.

    Parameters
    ----------
    plan : Plan
        Its ``left_out`` is added to.
    associations : list of Association

    Returns
    -------
    list of Association
    """
    if plan.mode.stage3 != "image3":
        return associations
    return [_without_strays(plan, association) for association in associations]


def _without_strays(plan, association):
    members = where_combined(plan, [plan.exposures[root] for root in association.members])
    parameters = grid_parameters(plan, members[0].root)
    if parameters is None or parameters["shape"]:
        return association
    whole = _pixels(members, parameters)
    if whole <= LARGE_GRID:
        return association
    kept = _largest_field(members)
    strays = [member for member in members if member not in kept]
    if not strays or len(strays) > MINORITY * len(members) or SAVED * _pixels(kept, parameters) > whole:
        return association
    for stray in strays:
        nearest = min(distance(stray.header, member.header) for member in kept)
        plan.left_out.append(
            (
                stray.path,
                f"RA_REF {stray.header['RA_REF']:.5f}, DEC_REF {stray.header['DEC_REF']:.5f}: {nearest / 60:.1f} arcmin from the other "
                f"exposures of {association.product}, whose mosaic would have {whole:.2g} pixels with it: not in that product; check "
                "its pointing, or set steps.resample.output_shape, crval and crpix to the part of the sky that is wanted",
            )
        )
    return dataclasses.replace(association, members=tuple(member.root for member in kept))


def _pixels(members, parameters):
    return math.prod(mosaic_shape([(member.shape, member.header) for member in members], **parameters))


def _largest_field(members):
    """The exposures of the field with most of them: those in cells of the sky that touch each other."""
    cells = defaultdict(list)
    for member in members:
        east, north = offset(members[0].header, member.header)
        cells[int(east // LINK), int(north // LINK)].append(member.root)
    fields, waiting = [], dict(cells)
    while waiting:
        found, border = [], [next(iter(waiting))]
        while border:
            column, row = border.pop()
            found += waiting.pop((column, row), [])
            around = [(column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            border += [cell for cell in around if cell in waiting]
        fields.append(found)
    largest = set(max(fields, key=len))
    # one without a pointing is refused by its own job
    return [member for member in members if member.root in largest or member.header.get("RA_REF") is None]


def check_extent(plan, product):
    """What is to be said of a mosaic that no job would make, ``None`` if it is not too large.

    Parameters
    ----------
    plan : Plan
    product : str

    Returns
    -------
    str or None
    """
    members = combined_members(plan, product)
    parameters = grid_parameters(plan, members[0].root)
    if parameters is None or parameters["shape"] or product in plan.grids:
        return None
    shape = mosaic_shape([(member.shape, member.header) for member in members], **parameters)
    if not is_absurd(math.prod(shape), len(members) * _pixels(members[:1], parameters)):
        return None
    furthest = max(members, key=lambda member: distance(members[len(members) // 2].header, member.header))
    return (
        f"the mosaic of {product} would have {shape[1]} x {shape[0]} pixels for {len(members)} exposures ({furthest.root} lies furthest "
        "out); leave exposures out with exclude, or set steps.resample.output_shape with crval and crpix to the part that is wanted"
    )
