"""From electrons per second to raw numbers: charge gathered frame by frame, digitised, averaged on board."""

import math
from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table

from snakewebb.compiled import by_rows, njit
from snakewebb.simulate import charge as movement
from snakewebb.simulate import particles
from snakewebb.simulate.random_numbers import normal as _normal
from snakewebb.simulate.random_numbers import poisson as _poisson
from snakewebb.simulate.readout import READOUT_PATTERNS, Readout  # noqa: F401
from snakewebb.simulate.wiring import Orientation, Wiring

RAMP_EFFECTS = frozenset({"poisson", "cosmic_rays", "amplifier_offsets", "one_over_f", "reset_noise", "read_noise"})
"""Effects of exposing and reading out; those of the detector itself are in `detector_truth.EFFECTS`."""
EVENT_EFFECTS = frozenset({"snowballs", "showers", "persistence", "charge_migration", "ipc"})
"""Effects that are off unless they are asked for."""

_RESET_NOISE = 25.0  # electrons


@dataclass
class RawRamp:
    """What is sent to the ground, and what happened.

    Attributes
    ----------
    data : ndarray of uint16 (nints, ngroups, ny, nx)
    zeroframe : ndarray of uint16 (nints, ny, nx) or None
        First frame of each integration, where groups are averages of several.
    cosmic_rays : Table
        ``integration``, ``frame`` (in the integration), ``group`` (first one that contains the charge), all
        0-based; ``x``, ``y`` of the entry point (0-based pixel), ``electrons``, ``length`` (pixel), ``angle``
        (degrees from x to y).
    refout : ndarray of uint16 (nints, ngroups, ny, nx / 4) or None
        MIRI's reference output.
    snowballs, showers : Table
        See `particles.snowballs` and `particles.showers`.
    traps : ndarray of float32 (ny, nx) or None
        Electrons that persistence still holds at the end.
    phases : dict of str to float
        Of MIRI's interference at the first pixel of the exposure, by frequency, radians.
    """

    data: np.ndarray
    zeroframe: np.ndarray | None
    cosmic_rays: Table
    refout: np.ndarray | None = None
    snowballs: Table | None = None
    showers: Table | None = None
    traps: np.ndarray | None = None
    phases: dict = field(default_factory=dict)


def expose(
    rate,
    truth,
    readout,
    *,
    fast_axis,
    slow_axis,
    first_column,
    seed,
    effects=RAMP_EFFECTS,
    wiring=None,
    traps=None,
    zeroframe=True,
    brightness=None,
):
    """Take one exposure.

    Parameters
    ----------
    rate : ndarray of float32 (ny, nx)
        Electrons per second, without the dark current.
    truth : DetectorTruth
        Cut to the subarray.
    readout : Readout
    fast_axis, slow_axis : int
        FASTAXIS and SLOWAXIS.
    first_column : int
        SUBSTRT1; SUBSTRT2 where FASTAXIS is 2 or -2.
    seed : int or sequence of int
        Of `numpy.random.SeedSequence`. The result depends neither on the number of threads nor on what was
        simulated before.
    effects : collection of str
        Those of `RAMP_EFFECTS`, `EVENT_EFFECTS`, and of the wiring that are switched on.
    wiring : callable, optional
        ``wiring(random, readout, truth, orientation, effects)`` makes what an instrument's electronics add: an object
        with the attributes of `Wiring`.
    traps : ndarray of float32 (ny, nx), optional
        Electrons held in traps by an earlier exposure.
    zeroframe : bool
        The first frames of averaged groups are sent to the ground.
    brightness : ndarray (nints,), optional
        What the light of each integration is multiplied with.

    Returns
    -------
    RawRamp
    """
    orientation = Orientation(fast_axis, slow_axis)
    ny, nx = readout.shape
    rate, truth = orientation.to_detector(rate), orientation.truth_to_detector(truth)
    if rate.shape != (ny, nx) or truth.shape != (ny, nx):
        raise ValueError(f"rate {rate.shape} and detector {truth.shape} do not have the readout's shape {(ny, nx)}")
    if orientation.turned:
        # both axes now run in the order of reading
        if fast_axis < 0:
            first_column = 2050 - first_column - nx
        fast_axis, slow_axis = 1, 2
    streams = np.random.SeedSequence(seed).spawn(7)
    row_states = streams[0].generate_state(4 * ny, np.uint64).reshape(ny, 4)
    random, track_random, noise_random, event_random, wiring_random, output_random = (
        np.random.default_rng(stream) for stream in streams[1:]
    )

    sensitive = (truth.bad & np.uint32(1 << 31)) == 0

    def light(factor=1):
        return ((rate * np.float32(factor) + truth.dark) * np.float32(readout.frame_time)).astype(
            np.float32
        ) * sensitive

    expected = light()
    rays = particles.cosmic_rays(track_random, readout, "cosmic_rays" in effects)
    hits = particles.deposits(track_random, rays, readout, sensitive)
    snowballs = particles.snowballs(event_random, readout, "snowballs" in effects)
    showers = particles.showers(event_random, readout, "showers" in effects)
    if wiring is None:
        columns = np.arange(nx) if fast_axis > 0 else np.arange(nx)[::-1]
        wires = Wiring.plain(random, noise_random, readout, fast_axis, first_column, columns, effects)
    else:
        wires = wiring(wiring_random, readout, truth, orientation, effects)
    shape = (ny, wires.width or nx)

    inverse_gain = (1 / truth.gain).astype(np.float32)
    read_noise = truth.read_noise / truth.gain
    bias = truth.superbias
    if wires.layout is not None:
        bias, read_noise = wires.bias, wires.read_noise
    if "read_noise" not in effects:
        read_noise = np.zeros_like(read_noise)
    out_shape = orientation.to_science(np.empty(shape, np.bool_)).shape
    data = np.empty((readout.nints, readout.ngroups, *out_shape), np.uint16)
    first_frames = np.empty((readout.nints, *out_shape), np.uint16) if readout.nframes > 1 and zeroframe else None
    refout = np.empty((readout.nints, readout.ngroups, ny, nx // 4), np.uint16) if wires.reference_output else None
    first_frame = np.empty(shape, np.uint16)
    charge = np.empty((ny, nx), np.float32)
    total = np.empty(shape, np.uint32)
    row_clocks = readout.row_clocks
    frame_clocks = readout.frame_clocks
    stride = readout.nframes + readout.groupgap
    traps = None if traps is None else orientation.to_detector(traps).astype(np.float32)
    if traps is None and "persistence" in effects:
        traps = np.zeros((ny, nx), np.float32)
    apart = bool({"ipc", "charge_migration"} & set(effects)) or wires.layout is not None
    row_states_2 = streams[6].generate_state(4 * ny, np.uint64).reshape(ny, 4) if apart else None
    for integration in range(readout.nints):
        wires.begin(integration, charge if integration else None)
        charge[:] = 0
        if brightness is not None:
            expected = light(brightness[integration])
        pedestal = bias.astype(np.float32)
        if "reset_noise" in effects:
            kick = _RESET_NOISE * inverse_gain * random.standard_normal((ny, nx), np.float32)
            pedestal = pedestal + (kick if wires.layout is None else wires.spread(kick))
        for frame in range(readout.frames):
            group, within = divmod(frame, stride)
            kept = within < readout.nframes
            count = integration * readout.frames + frame
            _add_hits(charge, hits.get((integration, frame)))
            if len(snowballs):
                particles.add_snowballs(charge, snowballs, integration, frame, sensitive)
            arriving = expected
            if len(showers):
                diffuse = particles.shower_light((ny, nx), showers, integration, frame, readout)
                arriving = expected if diffuse is None else expected + diffuse * sensitive
            if traps is not None:
                arriving = arriving + movement.release(traps, charge >= truth.full_well, truth, readout.frame_time)
            level = pedestal
            if kept and (plane := wires.plane(integration, frame)) is not None:
                level = pedestal + plane
            # the reset takes as long as a frame
            clock = (integration * (readout.frames + 1) + frame) * frame_clocks
            drift = wires.drift_of(count, clock)
            noise = (
                wires.offsets[count],
                wires.amplifier,
                wires.parity,
                drift.samples,
                drift.step,
                clock - drift.start,
                row_clocks,
                wires.clocks,
                wires.outputs,
                slow_axis,
            )
            if apart:
                arrived = np.empty_like(charge)
                by_rows(_collect, ny, arriving, row_states, "poisson" in effects, arrived)
                if "charge_migration" in effects:
                    arrived = movement.spilled(charge, arrived, truth, sensitive)
                charge += arrived
                if kept:
                    signal = truth.measured(charge)
                    if "ipc" in effects:
                        signal = movement.coupled(signal, sensitive)
                    signal = wires.spread(signal * inverse_gain)
                    read = (signal, row_states_2, within == 0, level, read_noise, *noise, total, first_frame)
                    by_rows(_read, ny, *read)
            else:
                by_rows(
                    _frame,
                    ny,
                    charge,
                    arriving,
                    row_states,
                    "poisson" in effects,
                    kept,
                    within == 0,
                    truth.full_well,
                    truth.nonlinearity,
                    inverse_gain,
                    level,
                    read_noise,
                    *noise,
                    total,
                    first_frame,
                )
            if frame == 0 and first_frames is not None:
                first_frames[integration] = orientation.to_science(first_frame)
            if within == readout.nframes - 1:
                data[integration, group] = orientation.to_science((total + readout.nframes // 2) // readout.nframes)
                if refout is not None:
                    refout[integration, group] = wires.reference(output_random, integration, frame, effects)
    for table in (rays, snowballs, showers):
        orientation.positions_to_science(table, (ny, nx))
    traps = None if traps is None else orientation.to_science(traps)
    return RawRamp(data, first_frames, rays, refout, snowballs, showers, traps, getattr(wires, "phases", {}))


def _add_hits(charge, hits):
    if hits is not None:
        np.add.at(charge, (hits[0], hits[1]), hits[2])


@njit
def _slow(drift, output, time):
    """The slow noise of an output, common and its own, at a time in samples."""
    index = int(time)
    part = time - index
    earlier = (1.0 - part) * (drift[0, index] + drift[output, index])
    return earlier + part * (drift[0, index + 1] + drift[output, index + 1])


@njit
def _frame(
    first,
    last,
    charge,
    expected,
    states,
    poisson,
    kept,
    first_of_group,
    full_well,
    nonlinearity,
    inverse_gain,
    pedestal,
    read_noise,
    offsets,
    amplifier,
    parity,
    drift,
    drift_step,
    clock,
    row_clocks,
    clocks,
    outputs,
    slow_axis,
    total,
    single,
):
    """Accumulate a frame; if it is kept, add its reading to the group. Each row has its own generator."""
    ny, nx = charge.shape
    for j in range(first, last):
        state = states[j]
        spare, has_spare = 0.0, False
        row_start = clock + (j if slow_axis > 0 else ny - 1 - j) * row_clocks
        for i in range(nx):
            mean = expected[j, i]
            q = charge[j, i] + (_poisson(state, mean) if poisson else mean)
            charge[j, i] = q
            if not kept:
                continue
            held = min(q, full_well[j, i])
            signal = held * (1.0 - held * (nonlinearity[0, j, i] + held * nonlinearity[1, j, i])) * inverse_gain[j, i]
            signal += pedestal[j, i] + offsets[amplifier[i], parity[i]]
            signal += _slow(drift, outputs[i], (row_start + clocks[i]) / drift_step)
            noise = read_noise[j, i]
            if noise > 0.0:
                value, spare, has_spare = _normal(state, spare, has_spare)
                signal += noise * value
            number = np.uint32(min(max(math.floor(signal + 0.5), 0.0), 65535.0))
            if first_of_group:
                total[j, i] = number
                single[j, i] = number
            else:
                total[j, i] += number


@njit
def _collect(first, last, expected, states, poisson, arrived):
    """Electrons that arrive in a frame."""
    nx = expected.shape[1]
    for j in range(first, last):
        state = states[j]
        for i in range(nx):
            arrived[j, i] = _poisson(state, expected[j, i]) if poisson else expected[j, i]


@njit
def _read(
    first,
    last,
    signals,
    states,
    first_of_group,
    pedestal,
    read_noise,
    offsets,
    amplifier,
    parity,
    drift,
    drift_step,
    clock,
    row_clocks,
    clocks,
    outputs,
    slow_axis,
    total,
    single,
):
    """Read a signal given in DN, as `_frame` does, and add it to the group."""
    ny, nx = signals.shape
    for j in range(first, last):
        state = states[j]
        spare, has_spare = 0.0, False
        row_start = clock + (j if slow_axis > 0 else ny - 1 - j) * row_clocks
        for i in range(nx):
            signal = signals[j, i] + pedestal[j, i] + offsets[amplifier[i], parity[i]]
            signal += _slow(drift, outputs[i], (row_start + clocks[i]) / drift_step)
            noise = read_noise[j, i]
            if noise > 0.0:
                value, spare, has_spare = _normal(state, spare, has_spare)
                signal += noise * value
            number = np.uint32(min(max(math.floor(signal + 0.5), 0.0), 65535.0))
            if first_of_group:
                total[j, i] = number
                single[j, i] = number
            else:
                total[j, i] += number
