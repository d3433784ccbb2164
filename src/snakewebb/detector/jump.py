"""Detection of cosmic-ray jumps in ramps by the two-point difference."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.detector.showers import ShowerRules, flag_showers
from snakewebb.detector.snowballs import SnowballRules, flag_snowballs
from snakewebb.detector.two_point_difference import (
    CLIP_ALL,
    CLIP_INTEGRATIONS,
    ITERATIVE,
    SINGLE_PASS,
    find_jumps,
    planes_flagged,
)
from snakewebb.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, SATURATED
from snakewebb.errors import BadDataError
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

_BAD = DO_NOT_USE | SATURATED
_NOT_SEARCHED = -99  # number of jumps that jwst reports then
_ORACLE_AMPLITUDE = 6.0  # of showers, electrons per second


@step(version=1, keyword="S_JUMP", references=("gain", "readnoise"), whole_exposure=True)
def jump(
    ramp,
    references,
    *,
    rejection_threshold: Annotated[float, Between(0, None)] = 4.0,
    three_group_rejection_threshold: Annotated[float, Between(0, None)] = 6.0,
    four_group_rejection_threshold: Annotated[float, Between(0, None)] = 5.0,
    flag_4_neighbors: bool = True,
    max_jump_to_flag_neighbors: float = 1000.0,
    min_jump_to_flag_neighbors: float = 10.0,
    after_jump_flag_dn1: float = 0.0,
    after_jump_flag_time1: float = 0.0,
    after_jump_flag_dn2: float = 0.0,
    after_jump_flag_time2: float = 0.0,
    expand_large_events: bool = False,
    min_sat_area: Annotated[float, Between(0, None)] = 1.0,
    min_jump_area: Annotated[float, Between(0, None)] = 5.0,
    expand_factor: Annotated[float, Between(0, None)] = 2.0,
    sat_required_snowball: bool = True,
    min_sat_radius_extend: float = 2.5,
    sat_expand: int = 2,
    edge_size: Annotated[int, Between(0, None)] = 25,
    mask_snowball_core_next_int: bool = True,
    snowball_time_masked_next_int: Annotated[int, Between(0, None)] = 4000,
    find_showers: bool = False,
    max_shower_amplitude: Annotated[float, Between(0, None)] = 4.0,
    extend_snr_threshold: float = 1.2,
    extend_min_area: Annotated[int, Between(0, None)] = 90,
    extend_inner_radius: Annotated[float, Between(0, None)] = 1.0,
    extend_outer_radius: Annotated[float, Between(0, None)] = 2.6,
    extend_ellipse_expand_ratio: Annotated[float, Between(0, None)] = 1.1,
    time_masked_after_shower: Annotated[float, Between(0, None)] = 15.0,
    max_extended_radius: Annotated[int, Between(0, None)] = 200,
    min_diffs_single_pass: int = 10,
    minimum_groups: int = 3,
    minimum_sigclip_groups: int = 100,
    only_use_ints: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Flag the groups in which a cosmic ray raised the signal.

    The differences between neighbouring groups of a pixel, in electrons, are compared with their median over the
    whole exposure. A difference that deviates by more than a threshold times the noise expected of it (Poisson noise
    of the median and read noise) marks its later group JUMP_DET. With few differences, one jump is searched at a
    time and median and noise are computed again without it; with many integrations, the samples are clipped
    instead. Groups that are SATURATED or DO_NOT_USE take no part and are never JUMP_DET. Pixels without a valid gain
    get NO_GAIN_VALUE and DO_NOT_USE in PIXELDQ. On request, snowballs (near infrared) and showers (mid infrared), which
    cover many pixels, are searched for and flagged too. The rate of jumps goes to the keywords PRIMECRS (per 1000
    pixels and second) and EXTNCRS (snowballs or showers, per million pixels and second).

    Parameters
    ----------
    ramp : Ramp
        ``groupdq``, ``pixeldq`` and ``header`` are changed in place.
    references : References
        Gain (electrons per DN) and read noise of the difference of two reads (DN).
    rejection_threshold : float
        Threshold, in units of the expected noise, where at least four differences are usable; number of standard
        deviations where samples are clipped.
    three_group_rejection_threshold : float
        Threshold in units of the expected noise where two differences are usable.
    four_group_rejection_threshold : float
        Threshold in units of the expected noise where three differences are usable.
    flag_4_neighbors : bool
        Also flag the four pixels that share an edge with a jump.
    max_jump_to_flag_neighbors : float
        Largest deviation, in units of the expected noise, for which the neighbours are flagged.
    min_jump_to_flag_neighbors : float
        Smallest deviation, in units of the expected noise, for which the neighbours are flagged.
    after_jump_flag_dn1 : float
        Size in DN from which a jump also flags the groups after it, first choice.
    after_jump_flag_time1 : float
        Time in seconds after such a jump in which groups are flagged, first choice.
    after_jump_flag_dn2 : float
        Size in DN from which a jump also flags the groups after it, second choice.
    after_jump_flag_time2 : float
        Time in seconds after such a jump in which groups are flagged, second choice.
    expand_large_events : bool
        Search for snowballs: regions of jumps about pixels that saturate in the same group or the next. The region
        is flagged as an ellipse that is larger than it, and a large core is SATURATED to the end of the integration.
    min_sat_area : float
        Smallest number of pixels of the saturated core of a snowball, holes included.
    min_jump_area : float
        Smallest number of pixels of the jumps of a snowball, holes included.
    expand_factor : float
        Factor by which the minor axis of a snowball is enlarged; the major axis gets as many pixels more.
    sat_required_snowball : bool
        A snowball needs a saturated core. Otherwise every large region of jumps is one, and no core is extended.
    min_sat_radius_extend : float
        Minor axis in pixels above which a core, also of a star that saturates, is extended.
    sat_expand : int
        Number of pixels that are added to the radius of a core.
    edge_size : int
        Distance from the edge of the array in pixels within which a snowball needs no core.
    mask_snowball_core_next_int : bool
        Flag the cores JUMP_DET in the next integration too.
    snowball_time_masked_next_int : int
        Time in seconds from the start of the next integration in which cores are flagged.
    find_showers : bool
        Search for showers: large areas in which the deviations of the differences, averaged in a ring about each
        pixel, are high. They need ten differences of the exposure.
    max_shower_amplitude : float
        Largest change of the mean rate of a pixel in DN/s that flagging a shower may make; where it is larger, the
        pixel is not flagged.
    extend_snr_threshold : float
        Mean deviation in units of the expected noise above which there may be a shower.
    extend_min_area : int
        Smallest number of pixels of a shower, holes included.
    extend_inner_radius : float
        Inner radius of the ring in pixels.
    extend_outer_radius : float
        Width of the ring in pixels.
    extend_ellipse_expand_ratio : float
        Factor by which the minor axis of a shower is enlarged; the major axis gets as many pixels more.
    time_masked_after_shower : float
        Time in seconds after a shower in which groups are flagged.
    max_extended_radius : int
        Largest radius in pixels of what is flagged for a snowball or shower.
    min_diffs_single_pass : int
        Number of usable differences of an integration from which all jumps are searched in one pass.
    minimum_groups : int
        Number of usable groups of an integration below which nothing is searched, unless samples are clipped.
    minimum_sigclip_groups : int
        Number of integrations (with ``only_use_ints``), else of groups of all integrations, from which samples are
        clipped. For showers it always is a number of integrations.
    only_use_ints : bool
        Clip each difference over the integrations; otherwise clip all differences of all integrations together.
    compatibility : {"native", "jwst"}
        ``"jwst"`` repeats what `jwst` 3.0.0 does where ``"native"`` differs on purpose, see Notes.

    Returns
    -------
    Status
        NOT_APPLICABLE with two groups or fewer, or (``"native"``) fewer usable ones than ``minimum_groups``.

    Raises
    ------
    BadDataError
        If NFRAMES or TGROUP is missing or not positive, or the read times do not fit the groups or do not rise.
    ConfigError
        If the ring for showers holds no pixel.

    Notes
    -----
    What ``"native"`` changes:

    * ``minimum_groups`` is obeyed; in ``"jwst"`` it is always 3. An exposure with too few usable groups is
      NOT_APPLICABLE without PRIMECRS; in ``"jwst"`` it is COMPLETE with a negative PRIMECRS.
    * Groups that are not evenly spaced (``ramp.read_times``) are compared by their rates, and the noise and the times
      after an event are those of the true intervals. In ``"jwst"`` all intervals count as equal. With uneven groups,
      differences are clipped over the integrations or not at all.
    * Snowballs: whether a core lies inside of a region is seen from the region's own ellipse, and the edge is that of
      each axis. In ``"jwst"`` the ellipse has rows and columns exchanged, and the number of rows holds for the columns.
    * Snowballs: an extended core keeps its other flags. In ``"jwst"`` they are lost, DO_NOT_USE too.
    * Showers: groups flagged DO_NOT_USE, SATURATED or JUMP_DET do not count, and reference pixels neither, whatever
      other flags they have. In ``"jwst"`` jumps with further flags count, and reference pixels with further flags.
    * Showers: ``max_shower_amplitude`` is obeyed. In ``"jwst"`` it is always 6 electrons/s.
    * A pixel that lies exactly on an ellipse is outside. In ``"jwst"`` rounding errors decide.

    References
    ----------
    The step ``jump`` of `jwst`; Anderson & Gordon 2011, PASP 123, 1237 (two-point difference).
    """
    native = compatibility == "native"
    nframes, tgroup = _timing(ramp.header)
    nints, ngroups, ny, nx = ramp.data.shape
    gain = references.array("gain")
    readnoise = references.array("readnoise")
    if ngroups <= 2:
        return Status(NOT_APPLICABLE, f"{ngroups} groups: at least 3 are needed to detect jumps")
    spacing = _Spacing(ramp, tgroup, native)
    with np.errstate(invalid="ignore"):
        ramp.pixeldq[~(gain > 0)] |= np.uint32(NO_GAIN_VALUE | DO_NOT_USE)

    unusable = planes_flagged(ramp.groupdq, DO_NOT_USE)
    usable_groups = ngroups - int(unusable.sum(axis=1).max())
    total_groups = nints * ngroups - int(unusable.sum())
    mode = SINGLE_PASS if usable_groups - 1 >= min_diffs_single_pass else ITERATIVE
    if only_use_ints and nints >= minimum_sigclip_groups:
        mode = CLIP_INTEGRATIONS
    elif not only_use_ints and total_groups >= minimum_sigclip_groups and spacing.even:
        mode = CLIP_ALL
    needed = minimum_groups if native else 3
    if mode in (SINGLE_PASS, ITERATIVE) and usable_groups < needed:
        if native:
            return Status(NOT_APPLICABLE, f"{usable_groups} usable groups: minimum_groups asks for {minimum_groups}")
        number = _NOT_SEARCHED
        _strip_unusable(ramp.groupdq)
    else:
        times_after = after_jump_flag_time1, after_jump_flag_time2
        groups_after = np.stack([spacing.groups_after(seconds) for seconds in times_after])
        typical_gain = float(np.nanmedian(gain)) if groups_after.any() and not np.isnan(gain).all() else 1.0
        number = find_jumps(
            ramp,
            gain,
            readnoise,
            nframes=nframes,
            intervals=spacing.intervals,
            mode=mode,
            thresholds=(rejection_threshold, four_group_rejection_threshold, three_group_rejection_threshold),
            flag_neighbours=flag_4_neighbors,
            neighbour_limits=(min_jump_to_flag_neighbors, max_jump_to_flag_neighbors),
            sizes_after=(after_jump_flag_dn1 * typical_gain, after_jump_flag_dn2 * typical_gain),
            groups_after=groups_after,
        )

    extended = 0
    if expand_large_events:
        time_next = snowball_time_masked_next_int if mask_snowball_core_next_int else 0
        rules = SnowballRules(
            min_sat_area=min_sat_area,
            min_jump_area=min_jump_area,
            expand_factor=expand_factor,
            sat_required=sat_required_snowball,
            min_sat_radius_extend=min_sat_radius_extend,
            sat_expand=sat_expand,
            edge_size=edge_size,
            max_extended_radius=max_extended_radius,
            groups_next_integration=int(spacing.groups_after(time_next)[0]),
            native=native,
        )
        extended = flag_snowballs(ramp.groupdq, rules)
    if find_showers:
        rules = ShowerRules(
            snr_threshold=extend_snr_threshold,
            min_area=extend_min_area,
            inner_radius=extend_inner_radius,
            outer_radius=extend_outer_radius,
            expand_ratio=extend_ellipse_expand_ratio,
            max_extended_radius=max_extended_radius,
            max_amplitude=max_shower_amplitude if native else _ORACLE_AMPLITUDE * tgroup,
            groups_after=spacing.groups_after(time_masked_after_shower),
            minimum_sigclip_groups=minimum_sigclip_groups,
            already_hidden=0 if number == _NOT_SEARCHED else _BAD,
            native=native,
        )
        extended = flag_showers(
            ramp,
            gain,
            readnoise,
            nframes=nframes,
            intervals=spacing.intervals,
            seconds=spacing.seconds,
            rules=rules,
        )

    differences = nints * ngroups - int(planes_flagged(ramp.groupdq, DO_NOT_USE).sum()) - nints
    if differences >= 1:
        exposed = spacing.seconds * differences * ny * nx
        ramp.header["PRIMECRS"] = (1000.0 * number / exposed, "Cosmic ray rate per thousand pixels per second")
        ramp.header["EXTNCRS"] = (1e6 * extended / exposed, "Snowballs/showers per million pixels per second")
    return Status()


class _Spacing:
    """How the groups follow each other.

    Attributes
    ----------
    intervals : ndarray of float64 (ngroups - 1,)
        Times between the groups over their mean; 1 if they are even.
    seconds : float
        The mean.
    even : bool
    """

    def __init__(self, ramp, tgroup, native):
        ngroups = ramp.data.shape[1]
        self.times = None
        self.intervals = np.ones(ngroups - 1)
        self.seconds = tgroup
        if native and ramp.read_times is not None:
            self._set(np.asarray(ramp.read_times, np.float64), ngroups, ramp.header.get("FILENAME", "ramp"))
        self.even = self.times is None

    def _set(self, times, ngroups, name):
        steps = np.diff(times)
        if times.shape != (ngroups,) or not np.all(steps > 0) or not np.all(np.isfinite(times)):
            raise BadDataError(
                f"{name}: the read times are {np.array2string(times, threshold=6)}, expected {ngroups} rising numbers, "
                "one for each group; fetch the file again or exclude the exposure"
            )
        mean = float(steps.mean())
        if np.all(np.abs(steps - mean) < 1e-6 * mean):
            self.seconds = self.seconds if abs(mean - self.seconds) < 1e-6 * mean else mean
        else:
            self.seconds, self.intervals, self.times = mean, steps / mean, times

    def groups_after(self, seconds):
        """Number of groups that begin within a time after each group."""
        if self.times is None:
            return np.full(self.intervals.size + 1, int(seconds // self.seconds))
        last = np.searchsorted(self.times, self.times + seconds * (1 + 1e-9), side="right")
        return last - 1 - np.arange(self.times.size)


def _timing(header):
    """Frames per group and group time in seconds."""
    values = [header.get(keyword) for keyword in ("NFRAMES", "TGROUP")]
    for keyword, value in zip(("NFRAMES", "TGROUP"), values, strict=True):
        if not isinstance(value, (int, float)) or not value > 0:
            raise BadDataError(
                f"{header.get('FILENAME', 'ramp')}: keyword {keyword} is {value!r}, expected a positive number; "
                "fetch the file again or exclude the exposure"
            )
    return float(values[0]), float(values[1])


def _strip_unusable(groupdq):
    """Take JUMP_DET off groups that are not usable anyway."""
    for integration in groupdq:
        for plane in integration:
            plane[plane & _BAD != 0] &= np.uint8(255 - JUMP_DET)
