"""Fit of ramps: from groups of DN to DN per second."""

import logging
from typing import Literal

import numpy as np
from astropy.io import fits

from snakewebb.detector.fit_exposure import fit_exposure, leading_groups
from snakewebb.detector.fitopt import empty_fitopt, fitopt_units
from snakewebb.detector.least_squares import fit_rows
from snakewebb.detector.likelihood import MINIMUM_GROUPS, fit_likelihood
from snakewebb.detector.median import sorting_network
from snakewebb.detector.ramp_segments import slope_coefficients
from snakewebb.detector.row_blocks import over_rows
from snakewebb.detector.slope_variance import slope_variances
from snakewebb.dq import BITS, DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.models import Image
from snakewebb.steps import Status, step

log = logging.getLogger(__name__)

_COMMENT = "Ramp fitting algorithm"


@step(version=3, keyword="S_RAMP", references=("readnoise", "gain"), whole_exposure=True)
def ramp_fit(
    ramp,
    references,
    *,
    algorithm: Literal["OLS_C", "LIKELY"] = "OLS_C",
    save_opt: bool = False,
    suppress_one_group: bool = True,
    firstgroup: int | None = None,
    lastgroup: int | None = None,
    variance: Literal["approximate", "exact"] = "approximate",
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Fit a count rate to every ramp: one image per integration, and one of all integrations together.

    The usable groups of a ramp form segments between jumps. A straight line is fitted to each by least squares, with
    weights that grow with the distance from its middle the more, the higher its signal-to-noise ratio. Segments, and
    in the end integrations, are averaged with the inverse of their variances as weights. The Poisson
    variance comes from the median rate of the whole exposure (or the fitted one, see ``variance``) and the dark current
    that was subtracted. In the products, a pixel with no usable ramp is NaN with zero ERR and variances, and DO_NOT_USE.
    Of MIRI's ramps the groups at the beginning and the last one are left out where they are DO_NOT_USE in all pixels.

    Parameters
    ----------
    ramp : Ramp
        Not changed, except that ``rate``, ``rateints`` (DN/s) and, with ``save_opt``, ``extra["fitopt"]`` or
        ``extra["likely_chisq"]`` are set; LIKELY adds JUMP_DET to ``groupdq``. The keyword RFITALG of both products is the
        algorithm that was used, and its comment says so where another one was asked for.
    references : References
        Read noise of the difference of two reads (DN) and gain (electrons per DN).
    algorithm : {"OLS_C", "LIKELY"}
        Ordinary least squares; or maximum likelihood, with the covariance of the differences of groups and a search
        for jumps of its own, which needs 4 groups (with fewer it is OLS_C, as the status says) and is always taken where
        groups are not evenly spaced. LIKELY has no use for ``suppress_one_group`` and ``variance``: two groups
        make a rate, and its variances are exact.
    save_opt : bool
        Also make the results of the single segments, as HDUs in ``ramp.extra["fitopt"]``; with LIKELY chi-square,
        summed over the integrations, in ``ramp.extra["likely_chisq"]``.
    suppress_one_group : bool
        Do not use ramps of which a single group is good; not obeyed if the ramps have one group only. Otherwise such a
        ramp gives a rate if that group is the first one, and the zero frame, if there is one, replaces ramps
        without a good group.
    firstgroup : int, optional
        Number of the first group to use, counted from 0.
    lastgroup : int, optional
        Number of the last group to use, counted from 0. Where ``firstgroup`` is not smaller, both are ignored.
    variance : {"approximate", "exact"}
        Variances (DN/s)^2 of the slopes of OLS_C: those of an unweighted fit of groups of one frame, with the Poisson
        noise of the median rate; or those of the weighted slope itself, with the Poisson noise that the averaged frames
        of a group share and that of the fitted rate. Rates do not depend on it.
    compatibility : {"native", "jwst"}
        ``"jwst"`` repeats what `jwst` 3.0.0 does where ``"native"`` differs on purpose, see Notes.

    Returns
    -------
    Status

    Raises
    ------
    BadDataError
        If NFRAMES, TGROUP or TFRAME is missing or not positive, or GROUPGAP is missing.

    Notes
    -----
    What ``"native"`` changes; the rates of all other ramps are those of ``"jwst"``:

    * Segments and integrations are averaged with the inverse of their total variance at the median rate as weights:
      up to 5 per cent less noise for bright ramps with a jump. In ``"jwst"`` the read-noise variance alone counts.
    * The dark current (electrons/s) is divided by the gain before it is added to the median rate (DN/s); negative or
      NaN values of it count as 0. In ``"jwst"`` it is added as it is.
    * An integration without a usable segment (all groups JUMP_DET, or JUMP_DET after DO_NOT_USE) is NaN and
      DO_NOT_USE. In ``"jwst"`` it is 0 with zero ERR and not flagged.
    * A sample that is not finite is not used. In ``"jwst"`` it is fitted as 0.
    * A ramp with a read noise that is not positive and finite, or with a result that is not finite, is NaN and
      DO_NOT_USE. In ``"jwst"`` it is NaN and not flagged.
    * MIRI: a jump in the first group used does not count with ``suppress_one_group``, as it does not for the segments. In
      ``"jwst"`` a ramp in which no other group is good is not suppressed: its signal since the reset counts as collected in
      one group time.
    * The median rate is averaged over the integrations that have one. In ``"jwst"`` the others count as 0, and with
      one group per ramp a single saturated integration removes the Poisson noise from the variance of all.
    * No variance is too large. In ``"jwst"``, variances of 1e6 (DN/s)^2 or more are replaced by 0, and with the
      read-noise variance the rate too.
    * The pedestal of ``fitopt`` is the first group minus the signal that the rate gives in its mean time. In
      ``"jwst"`` that time is in units of groups while the rate is per second.

    With LIKELY, in ``"native"``:

    * A flagged jump spoils the difference before it, and the one after only where groups average frames; PERSISTENCE
      spoils nothing. In ``"jwst"`` every flag spoils both.
    * The first guess of a rate is the median of the usable differences. In ``"jwst"`` it is that of all.
    * Samples that are not finite, and a zero frame that is 0 (unusable), are not used. In ``"jwst"`` they are.
    * The mean of the integrations has the variances of all at one common rate.
    * The dark current, references that cannot be used, NaN and flags are treated as with OLS_C. In ``"jwst"``
      rates without a usable difference are NaN without DO_NOT_USE.
    * Groups that are not evenly spaced are fitted from 2 groups on.

    With LIKELY both modes search jumps where a division by zero in `jwst` stops it, and with fewer than three usable
    differences search none, where `jwst` decides by rounding.

    Also in ``"jwst"`` mode, an exposure in which everything is saturated gives products (all NaN and DO_NOT_USE);
    `jwst` 3.0.0 makes none.

    References
    ----------
    The step ``ramp_fit`` of `jwst`; Fixsen et al. 2000, PASP 112, 1350 (weights); Brandt 2024, PASP 136, 045004 and
    045005 (likelihood).
    """
    exposure = fit_exposure(
        ramp,
        suppress_one_group=suppress_one_group,
        firstgroup=firstgroup,
        lastgroup=lastgroup,
        variance=variance,
        compatibility=compatibility,
    )
    ny, nx = ramp.data.shape[2:]
    ngroups = exposure.ngroups
    likely, reason, comment = _choose_algorithm(ramp, algorithm, exposure)
    rate, rateints = _empty_products(ramp, references, ("LIKELY" if likely else "OLS_C", comment))
    if likely:
        # takes differences with unused groups for missing ones itself
        skipped = exposure.skipped
        exposure = exposure._replace(
            skipped=0, ngroups=ramp.data.shape[1], first=exposure.first + skipped, last=exposure.last + skipped
        )
        chisq = fit_likelihood(ramp, references.array("gain"), references.array("readnoise"), exposure, rate, rateints)
        ramp.rate, ramp.rateints = rate, rateints
        if save_opt:
            ramp.extra["likely_chisq"] = [fits.PrimaryHDU(header=ramp.header.copy()), fits.ImageHDU(chisq, name="SCI")]
        return Status(reason=_with_lost_exposure(reason, rate.dq))
    zeroframe = np.empty((0, ny, nx), np.float32) if ramp.zeroframe is None else ramp.zeroframe
    dark = ramp.average_dark_current
    # a kernel that is given None has no code for the optional results, and compiles faster
    segments, pedestal, crmag = empty_fitopt(ramp, exposure) if save_opt else (None, None, None)
    planes = rateints.data, rateints.err, rateints.var_poisson, rateints.var_rnoise
    over_rows(
        ramp,
        (
            fit_rows,
            ramp.pixeldq,
            zeroframe,
            np.zeros((ny, nx), np.float32) if dark is None else dark,
            references.array("gain"),
            references.array("readnoise"),
            exposure,
            leading_groups(ramp, exposure),
            sorting_network(ngroups - 1),
            slope_coefficients(ngroups) / exposure.group_time,
            slope_variances(ngroups, exposure.group_time, exposure.frame_time, exposure.nframes),
            (rate.data, rate.err, rate.var_poisson, rate.var_rnoise),
            rate.dq,
            planes,
            rateints.dq,
            segments,
            pedestal,
            crmag,
        ),
        fills=(*planes, rateints.dq),
    )
    ramp.rate, ramp.rateints = rate, rateints
    if save_opt:
        ramp.extra["fitopt"] = fitopt_units(ramp, segments, pedestal, crmag)
    return Status(reason=_with_lost_exposure(reason, rate.dq))


def _with_lost_exposure(reason, flags):
    """The reason of the status; if no pixel has a slope it says so, with the flags that the pixels have, and so does the log."""
    if any(((row & np.uint32(DO_NOT_USE | REFERENCE_PIXEL)) == 0).any() for row in flags):
        return reason
    seeing = flags[(flags & np.uint32(REFERENCE_PIXEL)) == 0]
    shares = {
        name: np.count_nonzero(seeing >> np.uint32(bit) & 1) for name, bit in BITS.items() if name != "DO_NOT_USE"
    }
    flagged = sorted((name for name in shares if shares[name]), key=lambda name: -shares[name])
    words = ", ".join(f"{name} {100 * shares[name] / seeing.size:.3g} %" for name in flagged) or "none but DO_NOT_USE"
    lost = f"no pixel has a slope, flags: {words}"
    log.warning("ramp_fit: %s", lost)
    return f"{reason}; {lost}" if reason else lost


def _choose_algorithm(ramp, algorithm, exposure):
    """Whether to fit by likelihood, the reason of the status, and the comment of RFITALG."""
    ngroups = ramp.data.shape[1]
    uneven = ramp.read_times is not None
    if not uneven and algorithm == "OLS_C":
        return False, "", _COMMENT
    asked = "LIKELY" if algorithm == "LIKELY" else "LIKELY for groups that are not evenly spaced"
    # the search for jumps needs the groups; the fit itself is content with two
    if ngroups < (2 if uneven and exposure.native else MINIMUM_GROUPS):
        reason = f"OLS_C: {asked} needs {MINIMUM_GROUPS} groups, the ramps have {ngroups}"
        log.warning("ramp_fit: %s", reason)
        return False, reason, f"{_COMMENT}; LIKELY needs {MINIMUM_GROUPS} groups"
    if algorithm == "LIKELY":
        return True, "LIKELY", _COMMENT
    log.warning("ramp_fit: %s, although OLS_C was asked for", asked)
    return True, asked, f"{_COMMENT}; not OLS_C: uneven groups"


def _empty_products(ramp, references, algorithm):
    nints, _, ny, nx = ramp.data.shape
    header = ramp.header.copy()
    header["RFITALG"] = algorithm
    gain_factor = references.header("gain").get("GAINFACT")
    if gain_factor is not None:
        header["GAINFACT"] = (gain_factor, "Gain scale factor")
    products = []
    # slopes of integrations are copied to where they lie, block by block; kernels fill those of the exposure in place
    for shape, new in (((ny, nx), ramp.zeros), ((nints, ny, nx), ramp.empty)):
        sci_header = ramp.sci_header.copy()
        sci_header["BUNIT"] = "DN/s"
        data, err, var_poisson, var_rnoise = (new(shape) for _ in range(4))
        products.append(
            Image(
                header=header.copy(),
                sci_header=sci_header,
                data=data,
                err=err,
                dq=new(shape, np.uint32),
                var_poisson=var_poisson,
                var_rnoise=var_rnoise,
            )
        )
    products[1].int_times, products[1].int_times_stripe = ramp.int_times, ramp.int_times_stripe
    return products
