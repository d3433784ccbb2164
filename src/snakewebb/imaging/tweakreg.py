"""Aligning exposures with each other and with a catalogue, through the stars in them."""

import inspect
import math
from dataclasses import replace
from typing import Annotated, Literal

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.absolute_catalogue import absolute_catalogue
from snakewebb.imaging.alignment_members import (
    SUCCESS,
    USER,
    alignment_table,
    apply_user_rows,
    exclude_stray,
    make_member,
)
from snakewebb.imaging.alignment_residuals import residual_table
from snakewebb.imaging.group_alignment import MatchSettings, align_absolutely, align_groups, refine_absolutely
from snakewebb.imaging.reference_catalog import catalogue_of_table
from snakewebb.steps import FAILED, SKIPPED, Between, Status, step

# parameters of the finding of sources; its module is not imported for their names, as it loads compiled code
_FINDING = (
    "use_custom_catalogs",
    "catfile",
    "starfinder",
    "snr_threshold",
    "kernel_fwhm",
    "bkg_boxsize",
    "minsep_fwhm",
    "sigma_radius",
    "sharplo",
    "sharphi",
    "roundlo",
    "roundhi",
    "brightest",
    "peakmax",
    "npixels",
    "connectivity",
    "nlevels",
    "contrast",
    "multithresh_mode",
    "localbkg_width",
    "apermask_method",
    "kron_params",
    "deblend",
)

Geometry = Literal["shift", "rshift", "rscale", "general"]
Grouping = Literal["exposure", "visit", "detector"]
Positive = Annotated[float, Between(0, None)]


@step(version=1, keyword="S_TWKREG")
def tweakreg(
    pointings,
    images,
    user_table=None,
    reference_catalogue=None,
    *,
    save_catalogs: bool = False,
    use_custom_catalogs: bool = False,
    catalog_format: Literal["ecsv", "fits"] = "ecsv",
    catfile: str = "",
    starfinder: Literal["dao", "iraf", "segmentation"] = "iraf",
    snr_threshold: float = 10.0,
    kernel_fwhm: Positive = 2.5,
    bkg_boxsize: Annotated[int, Between(1, None)] = 400,
    minsep_fwhm: Positive = 0.0,
    sigma_radius: Positive = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: Annotated[int | None, Between(1, None)] = 200,
    peakmax: float | None = None,
    npixels: Annotated[int, Between(1, None)] = 10,
    connectivity: Literal[4, 8] = 8,
    nlevels: Annotated[int, Between(1, None)] = 32,
    contrast: Annotated[float, Between(0, 1)] = 0.001,
    multithresh_mode: Literal["exponential", "linear", "sinh"] = "exponential",
    localbkg_width: Annotated[int, Between(0, None)] = 0,
    apermask_method: Literal["correct", "mask", "none"] = "correct",
    kron_params: list[float] | None = None,
    deblend: bool = True,
    group_by: Grouping = "exposure",
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    minobj: Annotated[int, Between(1, None)] = 15,
    fitgeometry: Geometry = "rshift",
    nclip: Annotated[int, Between(0, None)] = 3,
    sigma: Positive = 3.0,
    searchrad: Positive = 2.0,
    use2dhist: bool = True,
    separation: Positive = 1.0,
    tolerance: Positive = 0.7,
    xoffset: float = 0.0,
    yoffset: float = 0.0,
    abs_refcat: str = "",
    save_abs_catalog: bool = False,
    abs_minobj: Annotated[int, Between(1, None)] = 15,
    abs_fitgeometry: Geometry = "rshift",
    abs_nclip: Annotated[int, Between(0, None)] = 3,
    abs_sigma: Positive = 3.0,
    abs_searchrad: Positive = 6.0,
    abs_use2dhist: bool = True,
    abs_separation: Positive = 1.0,
    abs_tolerance: Positive = 0.7,
    sip_approx: bool = True,
    sip_max_pix_error: Positive = 0.01,
    sip_degree: Annotated[int | None, Between(1, 6)] = None,
    sip_max_inv_pix_error: Positive = 0.01,
    sip_inv_degree: Annotated[int | None, Between(1, 6)] = None,
    sip_npoints: Annotated[int, Between(2, None)] = 12,
    in_memory: bool = True,
    pointing_limit: Annotated[float, Between(0, 40)] = 2.0,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Correct the world coordinates of exposures so that their stars agree, and agree with a catalogue.

    Sources are found in each exposure (`find_sources`); then groups of exposures taken at the same time are
    matched and fitted, each as a rigid whole (`align`). The two halves can run as separate jobs:
    `split_parameters` tells which parameter belongs to which.

    Parameters
    ----------
    pointings : list of Pointing
        In the order of the association.
    images : list of Image
    user_table : ColumnTable, optional
        Corrections that are given, see `align`.
    reference_catalogue : Table or ReferenceCatalogue, optional
        See `align`.
    save_catalogs : bool
        Accepted for the archive's parameter files; the lists of sources are always kept.
    use_custom_catalogs : bool
        Take an exposure's sources from a catalogue of the user: listed in `catfile`, else named in the
        header's TCATFILE. Exposures without one are searched.
    catalog_format : str
        Accepted for the archive's parameter files; lists of sources are ECSV.
    catfile : str
        File with the name of an exposure's file and that of its catalogue (columns x and y, 0-based pixels;
        of all names, relative to its folder) in each line.
    starfinder : str
        ``iraf``: moments; ``dao``: marginal Gaussian fits; ``segmentation``: connected pixels.
    snr_threshold : float
        Height of a source above the background, in standard deviations of the background.
    kernel_fwhm : float
        Full width at half maximum of the Gaussian that sources are expected to be like, pixels.
    bkg_boxsize : int
        Side of the boxes in which the background is measured, pixels.
    minsep_fwhm : float
        Smallest separation of sources, in units of `kernel_fwhm`; at least 2 pixels.
    sigma_radius : float
        Radius of the Gaussian kernel, in standard deviations.
    sharplo : float
        Lowest sharpness of a source (iraf: width relative to the kernel; dao: peak above its surroundings
        relative to the convolved peak).
    sharphi : float
        Highest sharpness.
    roundlo : float
        Lowest roundness of a source (iraf: ellipticity; dao: two measures of asymmetry).
    roundhi : float
        Highest roundness.
    brightest : int or None
        Largest number of sources kept, the brightest first; null: all, in the order of rows.
    peakmax : float or None
        Sources with a higher peak are dropped, unit of the data.
    npixels : int
        Smallest number of connected pixels (segmentation).
    connectivity : int
        4: pixels are connected by edges, 8: by edges or corners (segmentation).
    nlevels : int
        Levels of deblending (segmentation).
    contrast : float
        Fraction of the flux that a deblended source must have (segmentation).
    multithresh_mode : str
        Spacing of the levels (segmentation).
    localbkg_width : int
        Width of the ring in which a source's local background is measured, pixels; 0: none (segmentation).
    apermask_method : str
        What happens to neighbours within an aperture (segmentation).
    kron_params : list of float or None
        Scale, smallest radius and smallest aperture of Kron photometry (segmentation).
    deblend : bool
        Separate overlapping sources (segmentation).
    group_by : str
        What is moved as a rigid whole: all detectors of an ``exposure`` (GROUP_ID in the header is honoured); all exposures of a
        ``visit``, for fields with too few stars in one of them; each ``detector`` of an exposure by itself.
    enforce_user_order : bool
        Align in the order given, also with `expand_refcat`.
    expand_refcat : bool
        Add the sources of each aligned group to the reference. Always so with an absolute catalogue.
    minobj : int
        Smallest number of matches.
    fitgeometry : str
        ``shift``, ``rshift`` (and rotation), ``rscale`` (and scale), ``general`` (any linear).
    nclip : int
        Number of clipping iterations of the fit.
    sigma : float
        Clipping limit, in units of the fit's rmse.
    searchrad : float
        Largest offset between groups, arcsec.
    use2dhist : bool
        Find the offset by a histogram; else `xoffset`, `yoffset` are taken.
    separation : float
        Smallest separation of sources used in matching, arcsec; more than 1.41 `tolerance`.
    tolerance : float
        Largest distance of matched sources, arcsec.
    xoffset : float
        Offset of an exposure's sources from the reference, arcsec east, if not `use2dhist`.
    yoffset : float
        The same, arcsec north.
    abs_refcat : str
        Absolute reference: a catalogue (ECSV, CSV, FITS; see `read_reference_catalogue`), an image (FITS, with world coordinates;
        its stars are found), or GAIADR3, GAIADR2, GAIADR1 or GAIAREFCAT, whose stars around a product the plan gets from the
        observatory's service as a file; empty: relative alignment only.
    save_abs_catalog : bool
        Accepted for the archive's parameter files; it has no effect.
    abs_minobj : int
        Smallest number of matches with the catalogue.
    abs_fitgeometry : str
        As `fitgeometry`, for the absolute alignment.
    abs_nclip : int
        Number of clipping iterations of the absolute fit.
    abs_sigma : float
        Clipping limit of the absolute fit, in units of its rmse.
    abs_searchrad : float
        Largest offset from the catalogue, arcsec.
    abs_use2dhist : bool
        Find the offset from the catalogue by a histogram; else it is taken to be 0.
    abs_separation : float
        Smallest separation of sources used in matching with the catalogue, arcsec; more than 1.41
        `abs_tolerance`.
    abs_tolerance : float
        Largest distance of a source from its match in the catalogue, arcsec.
    sip_approx : bool
        Update the approximation of the corrected coordinates by FITS keywords (SIP).
    sip_max_pix_error : float
        Largest error of that approximation, pixels.
    sip_degree : int or None
        Its degree; null: the lowest that is good enough.
    sip_max_inv_pix_error : float
        Largest error of its inverse, pixels.
    sip_inv_degree : int or None
        Degree of its inverse.
    sip_npoints : int
        Points a side that it is fitted to.
    in_memory : bool
        Accepted for the archive's parameter files; it has no effect.
    pointing_limit : float
        An exposure farther than this from the others is left out, degrees.
    compatibility : str
        ``native``: a group whose correction is too large fails alone; if the absolute alignment fails, the
        relative one is kept; proper motions are applied to the epoch of each exposure; clipping judges all
        pairs. ``jwst``: in the first two cases nothing is corrected; catalogue files are taken as they are;
        pairs clipped in one iteration come back in the next.

    Returns
    -------
    ColumnTable
        See `align`.

    References
    ----------
    Step tweakreg of the jwst package; matching and fit as in tweakwcs.
    """
    finding, matching = split_parameters(locals())
    from snakewebb.imaging.sources import find_sources

    tables = [find_sources(image, pointing.wcs, **finding) for pointing, image in zip(pointings, images, strict=True)]
    return align(pointings, tables, user_table, reference_catalogue, **matching)


def split_parameters(parameters):
    """Which of the parameters of `tweakreg` concern the finding of sources, and which their matching.

    Parameters
    ----------
    parameters : dict
        Values by name; other names are ignored.

    Returns
    -------
    finding, matching : dict
        Keywords of `find_sources` and of `align`. Parameters without an effect on either (``save_catalogs``,
        ``sip_degree``, ...) are in neither.
    """
    matching = [
        name
        for name, entry in inspect.signature(align).parameters.items()
        if entry.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    return tuple({name: parameters[name] for name in names if name in parameters} for names in (_FINDING, matching))


def overall_status(table):
    """Status of the step for the S_TWKREG keyword, from the rows of an alignment table."""
    if any(status in (SUCCESS, USER) for status in table["status"]):
        return Status()
    reasons = dict.fromkeys(str(reason) for reason in table["reason"] if reason)
    return Status(FAILED if FAILED in table["status"] else SKIPPED, "; ".join(reasons))


def align(
    pointings,
    source_tables,
    user_table=None,
    reference_catalogue=None,
    refine=False,
    save_residuals=None,
    *,
    group_by: Grouping = "exposure",
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    minobj: Annotated[int, Between(1, None)] = 15,
    fitgeometry: Geometry = "rshift",
    nclip: Annotated[int, Between(0, None)] = 3,
    sigma: Positive = 3.0,
    searchrad: Positive = 2.0,
    use2dhist: bool = True,
    separation: Positive = 1.0,
    tolerance: Positive = 0.7,
    xoffset: float = 0.0,
    yoffset: float = 0.0,
    abs_refcat: str = "",
    abs_minobj: Annotated[int, Between(1, None)] = 15,
    abs_fitgeometry: Geometry = "rshift",
    abs_nclip: Annotated[int, Between(0, None)] = 3,
    abs_sigma: Positive = 3.0,
    abs_searchrad: Positive = 6.0,
    abs_use2dhist: bool = True,
    abs_separation: Positive = 1.0,
    abs_tolerance: Positive = 0.7,
    pointing_limit: Annotated[float, Between(0, 40)] = 2.0,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Find the corrections that make the sources of exposures agree.

    The first group of exposures with sources (or the first that the user corrected) is the reference; the
    others are matched with it in order. With ``expand_refcat`` the pair of groups with the largest overlap
    comes first, then always the one that overlaps most with the growing reference. An absolute alignment
    then moves all exposures as one.

    A correction is a matrix and a shift in the tangent plane of an exposure at its RA_REF, DEC_REF (axes
    east and north), applied after a correction that its world coordinates have already. One fit, made in
    the plane of the first exposure of a group, is carried over to the planes of the others by the linear
    part of the map between them. The keywords are parameters of `tweakreg`, explained there.

    Parameters
    ----------
    pointings : list of Pointing
        In the order of the association.
    source_tables : list of ColumnTable or Table
        Columns x, y (0-based pixels) and optionally weight, for each exposure.
    user_table : ColumnTable, optional
        Columns exposure, m11, m12, m21, m22, shift_x, shift_y (arcsec): corrections that are taken as they
        are, status USER. A group of which all exposures are given is a reference for the others.
    reference_catalogue : Table or ReferenceCatalogue, optional
        Used instead of reading ``abs_refcat``, if that is not empty.
    refine : bool
        Fit to the catalogue once more with every source of every exposure (`refine_absolutely`).
    save_residuals : callable, optional
        Is given the table of how well stars agree, as `snakewebb.imaging.alignment_residuals.residual_table` makes it.

    Returns
    -------
    ColumnTable
        One row per exposure: exposure, group, status (SUCCESS, REFERENCE, USER, FAILED: its coordinates are
        left as they are, SKIPPED), reason, m11, m12, m21, m22, shift_x, shift_y (arcsec), n_sources,
        n_matches and rmse (arcsec) of the last fit, dx, dy (arcsec east and north, shift of the image's
        centre), absolute (whether the absolute alignment is in it), use (False: the exposure does not
        belong in a mosaic with the others).

    Raises
    ------
    ConfigError
        If the separation is too small for the tolerance, or the catalogue is not there.
    """
    like_jwst = compatibility == "jwst"
    relative = MatchSettings(
        minobj,
        fitgeometry,
        nclip,
        sigma,
        searchrad,
        use2dhist,
        separation,
        tolerance,
        (xoffset, yoffset),
        like_jwst,
    )
    absolute = MatchSettings(
        abs_minobj,
        abs_fitgeometry,
        abs_nclip,
        abs_sigma,
        abs_searchrad,
        abs_use2dhist,
        abs_separation,
        abs_tolerance,
        (0.0, 0.0),
        like_jwst,
    )
    abs_refcat = abs_refcat.strip()
    for settings, prefix in ((relative, ""), (absolute, "abs_")) if abs_refcat else ((relative, ""),):
        if settings.separation <= math.sqrt(2.0) * settings.tolerance:
            raise ConfigError(
                f"steps.tweakreg.{prefix}separation: found {settings.separation}, expected more than 1.415 "
                f"times {prefix}tolerance = {settings.tolerance}; smaller ones confuse neighbouring sources"
            )
    members = [
        make_member(replace(pointing, group=_group(pointing, group_by)), table)
        for pointing, table in zip(pointings, source_tables, strict=True)
    ]
    if user_table is not None:
        apply_user_rows(members, user_table)
    exclude_stray(members, pointing_limit)
    usable = [member for member in members if not member.stray]
    groups = {}
    for member in usable:
        # what the user corrected does not move with the rest of its group
        groups.setdefault((member.pointing.group, member.fixed), []).append(member)

    catalogue = None
    if abs_refcat and usable:
        catalogue = reference_catalogue
        if catalogue is None:
            catalogue = absolute_catalogue([member.pointing for member in usable], abs_refcat, margin=abs_searchrad)
        elif not hasattr(catalogue, "vectors"):
            catalogue = catalogue_of_table(catalogue, abs_refcat)
    align_groups(
        list(groups.values()),
        relative,
        grow=expand_refcat or catalogue is not None,
        by_overlap=not enforce_user_order,
    )
    if catalogue is not None:
        align_absolutely(usable, catalogue, absolute)
        if refine:
            refine_absolutely(usable, catalogue, absolute)
    if save_residuals is not None:
        save_residuals(
            residual_table(
                usable, catalogue, tolerance=tolerance, abs_tolerance=abs_tolerance, moving=compatibility == "native"
            )
        )
    table = alignment_table(members)
    table.meta["abs_refcat"] = abs_refcat
    return table


def _group(pointing, group_by):
    """Name of what is moved as a whole."""
    if group_by == "visit" and not pointing.visit:
        raise BadDataError(
            f"{pointing.exposure}: the header does not tell its visit (PROGRAM, OBSERVTN, VISIT), which "
            "steps.tweakreg.group_by: visit needs"
        )
    return {"exposure": pointing.group, "visit": pointing.visit, "detector": pointing.exposure}[group_by]
