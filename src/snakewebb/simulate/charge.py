"""Where charge goes: into traps and out again, over to neighbours while it is collected, and what neighbours sense of it."""

import numpy as np

TRAP_CAPACITY = 0.02
"""Charge that the traps of a saturated pixel hold when full, in full wells."""
TRAP_FILLING = 20.0
"""Seconds in which empty traps of a saturated pixel fill, but for a part 1/e."""
TRAP_RELEASE = 300.0
"""Seconds in which full traps empty, but for a part 1/e."""

MIGRATION_LEVEL = 0.3
"""Charge from which new charge spills over, in full wells."""
MIGRATION_STRENGTH = 0.15
"""Part of the new charge that spills over where a pixel is full; it grows linearly from zero at the level."""

COUPLING = (0.0065, 0.0052)
"""Part of a pixel's signal that each neighbour in the same row, and in the same column, senses."""


def release(traps, saturated, truth, seconds):
    """Electrons that traps give back in a time; the traps are changed in place.

    Parameters
    ----------
    traps : ndarray of float32 (ny, nx)
        Electrons held.
    saturated : ndarray of bool
        Pixels whose traps fill.
    truth : DetectorTruth
    seconds : float

    Returns
    -------
    ndarray of float32
    """
    part = np.float32(-np.expm1(-seconds / TRAP_RELEASE))
    released = traps * part
    traps -= released
    filled = np.float32(-np.expm1(-seconds / TRAP_FILLING))
    traps[saturated] += (np.float32(TRAP_CAPACITY) * truth.full_well[saturated] - traps[saturated]) * filled
    return released


def spilled(charge, arrived, truth, sensitive):
    """Where new charge is collected: a part of what arrives in a full pixel goes to its four neighbours.

    Parameters
    ----------
    charge, arrived : ndarray of float32 (ny, nx)
        Electrons there already, and new ones.
    truth : DetectorTruth
    sensitive : ndarray of bool
        Pixels that collect charge; what would go elsewhere, or over the edge, stays.

    Returns
    -------
    ndarray of float32
    """
    level = np.float32(MIGRATION_LEVEL) * truth.full_well
    with np.errstate(invalid="ignore"):  # of bottomless wells
        excess = np.clip((charge - level) / (truth.full_well - level), 0, 1)
    excess[np.isnan(excess)] = 0
    moved = np.float32(MIGRATION_STRENGTH / 4) * excess * arrived
    kept = arrived.copy()
    for source, target in _pairs():
        flow = moved[source] * (sensitive[source] & sensitive[target])
        kept[source] -= flow
        kept[target] += flow
    return kept


def coupled(signal, sensitive):
    """The signal that pixels sense: a little of their neighbours', who sense as much of theirs.

    Parameters
    ----------
    signal : ndarray of float32 (ny, nx)
    sensitive : ndarray of bool
        Pixels that are connected; those of the border are not.
    """
    sensed = signal.copy()
    for number, (source, target) in enumerate(_pairs()):
        flow = np.float32(COUPLING[0 if number < 2 else 1]) * (signal[source] - signal[target])
        sensed[target] += flow * (sensitive[source] & sensitive[target])
    return sensed


def coupling_kernel():
    """Three by three: what a lone unit signal makes its surroundings sense."""
    across, along = COUPLING
    return np.array([[0, along, 0], [across, 1 - 2 * (across + along), across], [0, along, 0]])


def _pairs():
    """Slices of every pixel and its neighbour: to the right, left, up and down."""
    low, high, everything = slice(None, -1), slice(1, None), slice(None)
    return (
        ((everything, low), (everything, high)),
        ((everything, high), (everything, low)),
        ((low, everything), (high, everything)),
        ((high, everything), (low, everything)),
    )
