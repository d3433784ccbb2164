"""Fit of ramps: from groups of DN to DN per second."""

import functools
import logging
from typing import Literal, NamedTuple

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.likelihood import MINIMUM_GROUPS, fit_likelihood
from snakewebb.detector.median import middle_of_sorted, sort_columns, sorting_network
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.steps import Status, step

log = logging.getLogger(__name__)

_BAD = DO_NOT_USE | SATURATED
# weights of the samples of a segment: power of the distance from its middle, by signal-to-noise ratio
_POWERS = (0.0, 0.4, 1.0, 3.0, 6.0, 10.0)
_LARGE_VARIANCE = 1e6
_FITOPT_PLANES = ("SLOPE", "SIGSLOPE", "VAR_POISSON", "VAR_RNOISE", "YINT", "SIGYINT", "WEIGHTS")


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
        ``extra["likely_chisq"]`` are set; LIKELY adds JUMP_DET to ``groupdq``.
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
    exposure = _exposure(ramp, suppress_one_group, firstgroup, lastgroup, variance, compatibility)
    nints, _, ny, nx = ramp.data.shape
    ngroups = exposure.ngroups
    rate, rateints = _empty_products(ramp, references)
    likely, reason = _choose_algorithm(ramp, algorithm, exposure)
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
        return Status(reason=reason)
    zeroframe = np.empty((0, ny, nx), np.float32) if ramp.zeroframe is None else ramp.zeroframe
    dark = ramp.average_dark_current
    # a kernel that is given None has no code for the optional results, and compiles faster
    segments, pedestal, crmag = _empty_fitopt(ramp, exposure) if save_opt else (None, None, None)
    medians = np.empty((ny, nx))
    plain = ramp.empty((nints, ny, nx), np.bool_)
    network = sorting_network(ngroups - 1)
    by_rows(_find_median_rates, ny, ramp.data, ramp.groupdq, zeroframe, exposure, network, medians, plain)
    by_rows(
        _fit_rows,
        ny,
        ramp.data,
        ramp.groupdq,
        ramp.pixeldq,
        zeroframe,
        np.zeros((ny, nx), np.float32) if dark is None else dark,
        references.array("gain"),
        references.array("readnoise"),
        exposure,
        _slope_coefficients(ngroups) / exposure.group_time,
        _slope_variances(ngroups, exposure.group_time, exposure.frame_time, exposure.nframes),
        medians,
        plain,
        (rate.data, rate.err, rate.var_poisson, rate.var_rnoise),
        rate.dq,
        (rateints.data, rateints.err, rateints.var_poisson, rateints.var_rnoise),
        rateints.dq,
        segments,
        pedestal,
        crmag,
    )
    ramp.rate, ramp.rateints = rate, rateints
    if save_opt:
        ramp.extra["fitopt"] = _fitopt_units(ramp, segments, pedestal, crmag)
    return Status(reason=reason)


def _choose_algorithm(ramp, algorithm, exposure):
    """Whether to fit by likelihood, and the reason of the status where that is not what was asked for."""
    ngroups = ramp.data.shape[1]
    uneven = ramp.read_times is not None
    if not uneven and algorithm == "OLS_C":
        return False, ""
    asked = "LIKELY" if algorithm == "LIKELY" else "LIKELY for groups that are not evenly spaced"
    # the search for jumps needs the groups; the fit itself is content with two
    if ngroups < (2 if uneven and exposure.native else MINIMUM_GROUPS):
        reason = f"OLS_C: {asked} needs {MINIMUM_GROUPS} groups, the ramps have {ngroups}"
        log.warning("ramp_fit: %s", reason)
        return False, reason
    if algorithm == "LIKELY":
        return True, "LIKELY"
    log.warning("ramp_fit: %s, although OLS_C was asked for", asked)
    return True, asked


class _Exposure(NamedTuple):
    """What the kernels must know of the exposure and the parameters; times in seconds.

    Of the groups of the arrays, ``ngroups`` take part, after ``skipped`` ones; they are counted from the first of them.
    """

    skipped: int
    ngroups: int

    group_time: float
    frame_time: float
    first_group_time: float
    pedestal_time: float
    nframes: float
    first: int
    last: int
    suppress: bool
    zeroframe: bool
    exact: bool
    native: bool


def _exposure(ramp, suppress_one_group, firstgroup, lastgroup, variance, compatibility):
    header = ramp.header
    values = {keyword: header.get(keyword) for keyword in ("NFRAMES", "TGROUP", "TFRAME", "GROUPGAP")}
    wrong = [
        f"{keyword} is {value!r}"
        for keyword, value in values.items()
        if not isinstance(value, (int, float)) or value < 0 or (value == 0 and keyword != "GROUPGAP")
    ]
    if wrong:
        raise BadDataError(
            f"{header.get('FILENAME', 'ramp')}: {', '.join(wrong)}, expected positive numbers; "
            "fetch the file again or exclude the exposure"
        )
    ngroups = ramp.data.shape[1]
    first = 0 if firstgroup is None else max(firstgroup, 0)
    last = ngroups - 1 if lastgroup is None else lastgroup
    if (firstgroup is not None or lastgroup is not None) and first >= last:
        log.warning("ramp_fit: firstgroup %d is not smaller than lastgroup %d, both are ignored", first, last)
        first, last = 0, ngroups - 1
    skipped, ngroups = _used_groups(ramp, first, last) if header.get("INSTRUME") == "MIRI" else (0, ngroups)
    nframes, group_time = float(values["NFRAMES"]), float(values["TGROUP"])
    native = compatibility == "native"
    pedestal = ((nframes + 1) / 2 + int(header.get("DRPFRMS1") or 0)) / (nframes + values["GROUPGAP"])
    return _Exposure(
        skipped=skipped,
        ngroups=ngroups,
        group_time=group_time,
        frame_time=float(values["TFRAME"]),
        first_group_time=(nframes + 1) * float(values["TFRAME"]) / 2,
        pedestal_time=pedestal * group_time if native else pedestal,
        nframes=nframes,
        first=first - skipped,
        last=last - skipped,
        # a ramp of one group is no remainder of a longer one
        suppress=bool(suppress_one_group and ngroups > 1),
        zeroframe=ramp.zeroframe is not None,
        exact=variance == "exact",
        native=native,
    )


def _used_groups(ramp, first, last):
    """Number of groups left out at the beginning, and of those used then.

    Left out are the groups at the beginning, and the last one, in which no pixel is to be used; not if less than two would
    be left.
    """
    ngroups = ramp.data.shape[1]

    def unused(group):
        return not first <= group <= last or all(np.all(flags[group] & DO_NOT_USE) for flags in ramp.groupdq)

    skipped = next((group for group in range(ngroups) if not unused(group)), ngroups)
    number = ngroups - skipped
    if number > 0 and unused(ngroups - 1):
        number -= 1
    return (skipped, number) if number > 1 else (0, ngroups)


@functools.cache
def _slope_coefficients(ngroups):
    """Coefficients of the weighted straight line, in the differences of samples that lie opposite of the middle.

    Returns
    -------
    ndarray of float64 (ngroups + 1, npowers, ngroups // 2)
        For a segment of n groups, the slope per group is the sum over k of ``coefficient[n, power, k]`` times sample
        n-1-k minus sample k.
    """
    coefficients = np.zeros((ngroups + 1, len(_POWERS), ngroups // 2))
    for length in range(2, ngroups + 1):
        middle = (length - 1) / 2
        distance = middle - np.arange(length // 2)
        for index, power in enumerate(_POWERS):
            moment = (distance / middle) ** power * distance
            coefficients[length, index, : distance.size] = moment / (2 * np.sum(moment * distance))
    return coefficients


@functools.cache
def _slope_variances(ngroups, group_time, frame_time, nframes):
    """Variances of the slopes that `_slope_coefficients` give.

    Groups have independent read noise. Photons that arrive while the frames of a group are read are in some of them
    only, which makes the differences of neighbouring groups correlate.

    Returns
    -------
    ndarray of float64 (2, ngroups + 1, npowers)
        For a segment of n groups, its Poisson variance for a rate over gain of 1 DN^2/s, and its read-noise variance
        for a variance of 1 DN^2 of each group.

    References
    ----------
    Brandt 2024, PASP 136, 045004, equations 28 and 29.
    """
    shared = (nframes * nframes - 1.0) / (6.0 * nframes) * frame_time
    variances = np.zeros((2, ngroups + 1, len(_POWERS)))
    for length in range(2, ngroups + 1):
        half = _slope_coefficients(ngroups)[length, :, : length // 2] / group_time
        samples = np.zeros((len(_POWERS), length))
        samples[:, : length // 2] = -half
        samples[:, length - length // 2 :] = half[:, ::-1]
        # the slope as a sum of differences of neighbouring groups
        steps = -np.cumsum(samples, axis=1)[:, :-1]
        poisson = (group_time - 2 * shared) * np.sum(steps**2, axis=1)
        variances[0, length] = poisson + 2 * shared * np.sum(steps[:, 1:] * steps[:, :-1], axis=1)
        variances[1, length] = np.sum(samples**2, axis=1)
    return variances


def _empty_products(ramp, references):
    nints, _, ny, nx = ramp.data.shape
    header = ramp.header.copy()
    gain_factor = references.header("gain").get("GAINFACT")
    if gain_factor is not None:
        header["GAINFACT"] = (gain_factor, "Gain scale factor")
    products = []
    for shape in ((ny, nx), (nints, ny, nx)):
        sci_header = ramp.sci_header.copy()
        sci_header["BUNIT"] = "DN/s"
        data, err, var_poisson, var_rnoise = (ramp.empty(shape) for _ in range(4))
        products.append(
            Image(
                header=header.copy(),
                sci_header=sci_header,
                data=data,
                err=err,
                dq=ramp.empty(shape, np.uint32),
                var_poisson=var_poisson,
                var_rnoise=var_rnoise,
            )
        )
    products[1].int_times = ramp.int_times
    return products


def _empty_fitopt(ramp, exposure):
    """Arrays of the optional results, as large as the ramps of this exposure need."""
    nints, _, ny, nx = ramp.data.shape
    counts = np.zeros((ny, 2), np.int64)
    zeroframe = np.empty((0, ny, nx), np.float32) if ramp.zeroframe is None else ramp.zeroframe
    by_rows(_count_rows, ny, ramp.data, ramp.groupdq, zeroframe, exposure, counts)
    nsegments, njumps = np.maximum(counts.max(axis=0), 1)
    return (
        ramp.zeros((len(_FITOPT_PLANES), nints, nsegments, ny, nx)),
        ramp.zeros((nints, ny, nx)),
        ramp.zeros((nints, njumps, ny, nx)),
    )


def _fitopt_units(ramp, segments, pedestal, crmag):
    arrays = dict(zip(_FITOPT_PLANES, segments, strict=True))
    weights = arrays.pop("WEIGHTS")
    arrays |= {"PEDESTAL": pedestal, "WEIGHTS": weights, "CRMAG": crmag}
    return [
        fits.PrimaryHDU(header=ramp.header.copy()),
        *(fits.ImageHDU(array, name=name) for name, array in arrays.items()),
    ]


@njit
def _column(data, groupdq, zeroframe, i, y, x, exposure, samples, flags):
    """Collect one ramp of a pixel.

    Fills ``samples`` (NaN where saturated) and ``flags``, with the groups that are not to be used DO_NOT_USE.

    Returns
    -------
    time : float
        Exposure time of a segment of one group, seconds.
    special : bool
        Whether only the first group or the zero frame is used.
    nsaturated, nunusable : int
        Number of groups that are SATURATED, and DO_NOT_USE or SATURATED.
    found : int
        All flags of all groups.
    """
    ngroups = samples.size
    skipped = exposure.skipped
    ngood = 0
    nleft = 0
    nsaturated = 0
    nunusable = 0
    found = 0
    for g in range(ngroups):
        flag = np.int64(groupdq[i, skipped + g, y, x])
        sample = np.float64(data[i, skipped + g, y, x])
        if g < exposure.first or g > exposure.last or (exposure.native and not np.isfinite(sample)):
            flag |= DO_NOT_USE
        nleft += flag & ~PERSISTENCE == 0
        if g == 0 and skipped > 0:
            flag &= ~JUMP_DET  # the ramp begins with this group
        if flag & SATURATED:
            sample = np.nan
            nsaturated += 1
        ngood += flag == 0
        nunusable += flag & _BAD != 0
        found |= flag
        samples[g] = sample
        flags[g] = flag
    if exposure.suppress:
        if nleft == 1:
            nunusable = ngroups
            for g in range(ngroups):
                flags[g] |= DO_NOT_USE
        return exposure.group_time, False, nsaturated, nunusable, found
    if ngood == 1 and flags[0] == 0:
        return exposure.first_group_time, True, nsaturated, nunusable, found
    if ngood == 0 and exposure.zeroframe:
        sample = np.float64(zeroframe[i, y, x])
        if sample != 0.0 and (np.isfinite(sample) or not exposure.native):
            samples[0] = sample
            flags[0] = 0
            nunusable -= 1
            nsaturated -= nsaturated == ngroups
            return exposure.frame_time, True, nsaturated, nunusable, found
    return exposure.group_time, False, nsaturated, nunusable, found


@njit
def _segments(flags, start, stop):
    """Find the segments of a ramp and return their number.

    A segment is a run of good groups, with the jump before it as its first group. Segments of one group count only if
    there is none longer, and then only the first.
    """
    number = 0
    begin = -1
    for g in range(flags.size + 1):
        good = g < flags.size and flags[g] & ~PERSISTENCE == 0
        if good and begin < 0:
            begin = g - 1 if g > 0 and flags[g - 1] & ~PERSISTENCE == JUMP_DET else g
        elif not good and begin >= 0:
            single = g - begin == 1
            if number == 1 and stop[0] - start[0] == 1 and not single:
                number = 0
            if number == 0 or not single:
                start[number] = begin
                stop[number] = g
                number += 1
            begin = -1
    return number


@njit
def _span(length, time, exposure):
    """Single-sample variance divided by the variance that it gives the slope of a segment, seconds squared."""
    if length == 1:
        return time * time / 2.0
    return exposure.group_time * exposure.group_time * (length * (length * length - 1.0)) / 12.0


@njit
def _duration(length, time, exposure):
    """Time in which the signal of a segment is collected, seconds."""
    return time if length == 1 else exposure.group_time * (length - 1)


@njit
def _power_index(samples, start, stop, read_variance, gain):
    """Number of the power that gives the weights of a segment; ``read_variance`` is that of a sample in DN^2."""
    signal = (samples[stop - 1] - samples[start]) * gain
    if np.isnan(signal):
        return 5
    if signal <= 0.0 or stop - start == 2:
        return 0
    squared = signal * signal
    variance = read_variance * gain * gain + signal
    # comparisons of the signal-to-noise ratio with 5, 10, 20, 50 and 100, without branches
    index = np.int64(squared >= 25.0 * variance) + np.int64(squared >= 100.0 * variance)
    index += np.int64(squared >= 400.0 * variance) + np.int64(squared >= 2500.0 * variance)
    return index + np.int64(squared >= 10000.0 * variance)


@njit
def _slope(samples, start, stop, time, index, coefficients):
    """Slope of a segment, DN/s, with the weights of power number ``index``."""
    length = stop - start
    if length == 1:
        return samples[start] / time
    slope = 0.0
    for k in range(length // 2):
        early = samples[start + k]
        late = samples[stop - 1 - k]
        if length > 2:
            early = 0.0 if np.isnan(early) else early
            late = 0.0 if np.isnan(late) else late
        slope += coefficients[length, index, k] * (late - early)
    return slope


@njit
def _variance_factors(length, time, index, variances, exposure):
    """Poisson variance of a segment's slope, per rate over gain, and read-noise variance, per variance of a group."""
    if not exposure.exact:
        return 1.0 / _duration(length, time, exposure), 1.0 / _span(length, time, exposure)
    if length > 1:
        return variances[0, length, index], variances[1, length, index]
    nframes = exposure.nframes
    if time == exposure.frame_time:
        # a single frame
        return 1.0 / time, nframes / (time * time)
    if time == exposure.first_group_time:
        # photons are in the fewer frames of the group the later they come
        return (2.0 * nframes + 1.0) / (3.0 * nframes * time), 1.0 / (time * time)
    return 1.0 / time, 1.0 / (time * time)


@njit
def _find_median_rates(first, last, data, groupdq, zeroframe, exposure, network, medians, plain):
    """Median rate of each pixel, DN/s, 0 if there is none; and whether a ramp has no flags and only finite samples."""
    nints, _, _, nx = data.shape
    ngroups = exposure.ngroups
    width = max(16, min(256, 16384 // ngroups // 8 * 8))
    # a median near 0 can be the mean of two large differences, so float32 would not do
    differences = np.empty((ngroups - 1, width))
    count = np.empty(width, np.int64)
    found = np.empty(width, np.uint8)
    total = np.empty(width)
    number = np.empty(width, np.int64)
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    for y in range(first, last):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            for x in range(width):
                total[x] = 0.0
                number[x] = 0
            for i in range(nints):
                _load_differences(data, groupdq, i, y, left, columns, exposure, differences, count, found)
                sort_columns(differences, network)
                for x in range(columns):
                    median = middle_of_sorted(differences, count[x], x) / exposure.group_time
                    unflagged = found[x] == 0 and count[x] == ngroups - 1 and ngroups > 1
                    plain[i, y, left + x] = unflagged
                    # with two differences between groups that are good otherwise, the median is never special
                    if not unflagged and (count[x] < 2 or found[x] & ~(_BAD | JUMP_DET) or ngroups == 1):
                        median = _special_median(
                            data, groupdq, zeroframe, i, y, left + x, exposure, median, samples, flags
                        )
                    if np.isfinite(median):
                        total[x] += median
                        number[x] += 1
                    elif ngroups == 1 and not exposure.native:
                        total[x] = np.nan
            for x in range(columns):
                averaged = number[x] if exposure.native else nints
                median = total[x] / averaged if averaged > 0 else 0.0
                medians[y, left + x] = median if median > 0.0 else 0.0


@njit
def _load_differences(data, groupdq, i, y, left, columns, exposure, differences, count, found):
    """Differences of a block of a row without jumps, ``+inf`` where there is none, and the flags of each pixel."""
    for x in range(count.size):
        count[x] = 0
        found[x] = 0
    skipped = exposure.skipped
    for g in range(skipped, skipped + exposure.ngroups):
        for x in range(columns):
            found[x] |= groupdq[i, g, y, left + x]
    for g in range(exposure.ngroups - 1):
        inside = g >= exposure.first and g < exposure.last
        for x in range(columns):
            early = np.float64(data[i, skipped + g, y, left + x])
            value = np.float64(data[i, skipped + g + 1, y, left + x]) - early
            later = groupdq[i, skipped + g + 1, y, left + x]
            usable = inside and (groupdq[i, skipped + g, y, left + x] | later) & _BAD == 0 and later & JUMP_DET == 0
            usable = usable and abs(value) < np.inf
            differences[g, x] = value if usable else np.inf
            count[x] += usable
        for x in range(columns, count.size):
            differences[g, x] = np.inf


@njit
def _special_median(data, groupdq, zeroframe, i, y, x, exposure, median, samples, flags):
    """Median rate, DN/s, of a ramp that is flagged or has one group only; NaN if there is none."""
    time, special, _, nunusable, _ = _column(data, groupdq, zeroframe, i, y, x, exposure, samples, flags)
    if samples.size == 1:
        if exposure.native:
            return samples[0] / time if nunusable == 0 else np.nan
        return samples[0] / exposure.first_group_time
    if special:
        return samples[0] / time
    if nunusable == samples.size:
        return np.nan
    if np.isnan(median) and flags[0] & _BAD == 0:
        return samples[0] / exposure.group_time
    return median


@njit
def _fit_rows(
    first, last, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, coefficients, variances,
    medians, plain, rate, rate_dq, rateints, rateints_dq, segments, pedestal, crmag,
):  # fmt: skip
    """Fit all ramps; the optional arrays are None if they are not wanted."""
    nints, _, _, nx = data.shape
    ngroups, skipped = exposure.ngroups, exposure.skipped
    native = exposure.native
    threshold = np.inf if native else _LARGE_VARIANCE
    # the oracle takes the spans for the weights, and the variances that the weighted mean would have with others
    literal = not native and not exposure.exact
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    start = np.empty(ngroups, np.int64)
    stop = np.empty(ngroups, np.int64)
    for y in range(first, last):
        for x in range(nx):
            g = np.float64(gain[y, x])
            read_variance = np.float64(readnoise[y, x]) ** 2 / (2.0 * exposure.nframes)
            current = np.float64(dark[y, x])
            if native:
                current = current / g if current > 0.0 else 0.0
            # Poisson variance of a slope times its duration, DN^2/s
            poisson_rate = (medians[y, x] + current) / g
            usable = g > 0.0 and g < np.inf and readnoise[y, x] > 0.0 and read_variance < np.inf

            base_dq = np.int64(pixeldq[y, x])
            if not g > 0.0:
                base_dq |= DO_NOT_USE | NO_GAIN_VALUE
            total_dq = base_dq
            n_unusable = 0
            n_saturated = 0
            partly_saturated = False
            charge_lost = False
            # Poisson variances in these sums are for a rate over gain of 1 DN^2/s
            total_weight, total_slope, total_poisson, total_read = 0.0, 0.0, 0.0, 0.0
            total_span = 0.0
            total_duration = 0.0
            restored_span = 0.0
            for i in range(nints):
                time, nsaturated, found, number = exposure.group_time, 0, 0, 1
                dq = base_dq
                if plain[i, y, x]:
                    for k in range(ngroups):
                        samples[k] = data[i, skipped + k, y, x]
                    start[0], stop[0] = 0, ngroups
                else:
                    time, _, nsaturated, nunusable, found = _column(
                        data, groupdq, zeroframe, i, y, x, exposure, samples, flags
                    )
                    dq |= found & (JUMP_DET | PERSISTENCE)
                    total_dq |= found & (JUMP_DET | PERSISTENCE)
                    if flags[0] & SATURATED:
                        number = 0
                        dq |= _BAD
                    else:
                        number = _segments(flags, start, stop)
                    if nunusable == ngroups:
                        number = 0
                        dq |= DO_NOT_USE
                        if nsaturated == ngroups:
                            dq |= SATURATED
                if native and (number == 0 or not usable):
                    dq |= DO_NOT_USE

                sum_weight, sum_slope, sum_poisson, sum_read = 0.0, 0.0, 0.0, 0.0
                sum_span = 0.0
                sum_duration = 0.0
                inverse_variance = 0.0
                for s in range(number):
                    length = stop[s] - start[s]
                    index = _power_index(samples, start[s], stop[s], read_variance, g) if length > 1 else 0
                    slope = _slope(samples, start[s], stop[s], time, index, coefficients)
                    span = _span(length, time, exposure)
                    duration = _duration(length, time, exposure)
                    per_rate, per_variance = _variance_factors(length, time, index, variances, exposure)
                    weight = span
                    if native:
                        weight = 1.0 / (poisson_rate / duration + read_variance / span)
                    sum_weight += weight
                    sum_slope += slope * weight
                    sum_poisson += weight * weight * per_rate
                    sum_read += weight * weight * read_variance * per_variance
                    sum_span += span
                    sum_duration += duration
                    if number > 1:
                        inverse_variance += 1.0 / (poisson_rate / duration + read_variance / span)
                    if segments is not None:
                        _save_segment(
                            segments, i, s, y, x, samples, start[s], stop[s], slope,
                            per_rate if exposure.exact else poisson_rate * per_rate, read_variance * per_variance,
                            weight if native else 1.0 / (read_variance * per_variance), read_variance, g, exposure,
                        )  # fmt: skip

                slope, err, poisson, read, unit = 0.0, 0.0, 0.0, 0.0, 0.0
                if number > 0 and literal:
                    slope, poisson, read = _combined(
                        sum_slope, sum_span, sum_duration, poisson_rate, read_variance, threshold
                    )
                    variance = poisson_rate / sum_duration + read_variance / sum_span
                    if number > 1:
                        variance = 1.0 / inverse_variance
                    err = 0.0 if variance > threshold else np.sqrt(variance)
                elif number > 0:
                    slope, unit, read = _mean_of_segments(sum_weight, sum_slope, sum_poisson, sum_read)
                    poisson = poisson_rate * unit
                    err = np.sqrt(poisson + read)
                if number > 0 and native and not _representable(slope, poisson, read):
                    dq |= DO_NOT_USE
                if dq & _BAD:
                    slope, err, poisson, read = np.nan, 0.0, 0.0, 0.0
                    dq |= DO_NOT_USE if native else 0
                elif exposure.exact and number > 0:
                    # completed when the rate of the exposure is known
                    err, poisson = read, unit
                if number > 0 and (not native or dq & DO_NOT_USE == 0):
                    total_weight += sum_weight
                    total_slope += sum_slope
                    total_poisson += sum_poisson
                    total_read += sum_read
                    total_span += sum_span
                    total_duration += sum_duration

                if segments is not None:
                    _save_ramp(pedestal, crmag, i, y, x, data, groupdq, samples, slope, dq, exposure)
                if found & CHARGELOSS and usable:
                    charge_lost = True
                    span = _restored_span(groupdq, i, y, x, time, exposure, flags, start, stop)
                    restored_span += span
                    read = read_variance / span if span > 0.0 else 0.0
                    read = 0.0 if read >= threshold else read
                elif read > 0.0:
                    restored_span += sum_span
                n_unusable += dq & DO_NOT_USE != 0
                n_saturated += dq & SATURATED != 0
                if nsaturated > 0:
                    partly_saturated = True
                    dq |= SATURATED
                rateints[0][i, y, x] = slope
                rateints[1][i, y, x] = err
                rateints[2][i, y, x] = poisson
                rateints[3][i, y, x] = read
                rateints_dq[i, y, x] = dq

            if n_unusable == nints:
                total_dq |= DO_NOT_USE
            if n_saturated == nints:
                total_dq |= SATURATED
            slope, err, poisson, read = 0.0, 0.0, 0.0, 0.0
            if total_span > 0.0:
                if literal:
                    slope, poisson, read = _combined(
                        total_slope, total_span, total_duration, poisson_rate, read_variance, threshold
                    )
                else:
                    slope, unit, read = _mean_of_segments(total_weight, total_slope, total_poisson, total_read)
                    if exposure.exact:
                        poisson_rate = ((slope if slope > 0.0 else 0.0) + current) / g
                    poisson = poisson_rate * unit
                err = np.sqrt(poisson + read)
            if exposure.exact:
                _complete_variances(rateints, segments, y, x, poisson_rate)
            if native and not _representable(slope, poisson, read):
                total_dq |= DO_NOT_USE
            if total_dq & _BAD:
                slope, err, poisson, read = np.nan, 0.0, 0.0, 0.0
            if partly_saturated:
                total_dq |= SATURATED
            if charge_lost and restored_span > 0.0:
                read = read_variance / restored_span
                read = 0.0 if read >= threshold else read
            rate[0][y, x] = slope
            rate[1][y, x] = err
            rate[2][y, x] = poisson
            rate[3][y, x] = read
            rate_dq[y, x] = total_dq


@njit
def _combined(sum_slope, sum_span, sum_duration, poisson_rate, read_variance, threshold):
    """Mean slope of segments, weighted by their spans, and its variances by Poisson and read noise."""
    poisson = poisson_rate / sum_duration if poisson_rate > 0.0 else 0.0
    poisson = 0.0 if poisson >= threshold else poisson
    read = read_variance / sum_span
    if read >= threshold:
        return 0.0, poisson, 0.0
    return sum_slope / sum_span if read > 0.0 else np.nan, poisson, read


@njit
def _mean_of_segments(sum_weight, sum_slope, sum_poisson, sum_read):
    """Weighted mean slope of segments, and its variances, from the sums over them."""
    squared = sum_weight * sum_weight
    return sum_slope / sum_weight, sum_poisson / squared, sum_read / squared


@njit
def _complete_variances(rateints, segments, y, x, poisson_rate):
    """Poisson variances and ERR of the integrations and segments of a pixel for a rate over gain, DN^2/s.

    Before, ERR holds the read-noise variance, and the Poisson variances are those of a rate over gain of 1 DN^2/s.
    """
    for i in range(rateints[1].shape[0]):
        poisson = np.float64(rateints[2][i, y, x]) * poisson_rate
        rateints[1][i, y, x] = np.sqrt(poisson + np.float64(rateints[1][i, y, x]))
        rateints[2][i, y, x] = poisson
        if segments is not None:
            for s in range(segments.shape[2]):
                segments[2, i, s, y, x] *= poisson_rate


@njit
def _representable(slope, poisson, read):
    """Whether rate and variances are finite as float32."""
    largest = 3.4e38
    return abs(slope) < largest and poisson < largest and read < largest


@njit
def _restored_span(groupdq, i, y, x, time, exposure, flags, start, stop):
    """Span that the segments of a ramp would have if no group of it had been left out for CHARGELOSS."""
    for g in range(flags.size):
        flag = np.int64(groupdq[i, exposure.skipped + g, y, x])
        if flag & CHARGELOSS:
            flag &= ~(CHARGELOSS | DO_NOT_USE)
        elif g < exposure.first or g > exposure.last:
            flag |= DO_NOT_USE
        flags[g] = flag
    total = 0.0
    for s in range(_segments(flags, start, stop)):
        total += _span(stop[s] - start[s], time, exposure)
    return total


@njit
def _save_segment(
    segments, i, s, y, x, samples, start, stop, slope, poisson, read, share, read_variance, gain, exposure
):
    """Store the results of a segment; intercepts in DN at group 0, with the noise in electrons as weights give it."""
    length = stop - start
    sigma = 0.0
    intercept = 0.0
    sigma_intercept = 0.0
    if length > 1:
        power = _POWERS[_power_index(samples, start, stop, read_variance, gain)]
        noise = np.sqrt(read_variance) * gain
        middle = (length - 1) / 2.0
        sum_weight = 0.0
        sum_moment = 0.0
        sum_sample = 0.0
        for k in range(length):
            weight = abs((k - middle) / middle) ** power
            sample = samples[start + k]
            if length > 2 and np.isnan(sample):
                sample = 0.0
            sum_weight += weight
            sum_moment += weight * (k - middle) ** 2
            sum_sample += weight * sample
        centre = start + middle
        intercept = sum_sample / sum_weight - slope * exposure.group_time * centre
        sigma = noise / np.sqrt(sum_moment)
        # a segment of two groups has the same uncertainty in both
        sigma_intercept = sigma
        if length > 2:
            sigma_intercept = noise * np.sqrt(1.0 / sum_weight + centre * centre / sum_moment)
    segments[0, i, s, y, x] = slope
    segments[1, i, s, y, x] = sigma
    segments[2, i, s, y, x] = poisson
    segments[3, i, s, y, x] = read
    segments[4, i, s, y, x] = intercept
    segments[5, i, s, y, x] = sigma_intercept
    segments[6, i, s, y, x] = share


@njit
def _save_ramp(pedestal, crmag, i, y, x, data, groupdq, samples, slope, dq, exposure):
    """Store pedestal and sizes of the jumps of a ramp, DN."""
    value = samples[0] - slope * exposure.pedestal_time
    pedestal[i, y, x] = 0.0 if dq & SATURATED or np.isnan(value) else value
    number = 0
    for g in range(exposure.skipped + 1, exposure.skipped + exposure.ngroups):
        if groupdq[i, g, y, x] & JUMP_DET:
            saturated = (groupdq[i, g, y, x] | groupdq[i, g - 1, y, x]) & SATURATED
            size = np.float64(data[i, g, y, x]) - np.float64(data[i, g - 1, y, x])
            crmag[i, number, y, x] = np.nan if saturated else size
            number += 1


@njit
def _count_rows(first, last, data, groupdq, zeroframe, exposure, counts):
    """Largest number of segments and of jumps of a ramp, per row."""
    nints, _, _, nx = data.shape
    ngroups, skipped = exposure.ngroups, exposure.skipped
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    start = np.empty(ngroups, np.int64)
    stop = np.empty(ngroups, np.int64)
    for y in range(first, last):
        for i in range(nints):
            for x in range(nx):
                _column(data, groupdq, zeroframe, i, y, x, exposure, samples, flags)
                counts[y, 0] = max(counts[y, 0], _segments(flags, start, stop))
                njumps = 0
                for g in range(skipped + 1, skipped + ngroups):
                    njumps += groupdq[i, g, y, x] & JUMP_DET != 0
                counts[y, 1] = max(counts[y, 1], njumps)
