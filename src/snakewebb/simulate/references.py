"""The reference files of a simulated detector, in the formats of the archive."""

import numpy as np

from snakewebb.dq import BITS
from snakewebb.simulate.detector_truth import DETECTORS, channel
from snakewebb.simulate.reference_format import (
    FULL,
    USEAFTER,
    dq_units,
    header_of,
    image,
    pixel_noise,
    smooth_field,
    write_fits,
)

ADC_LIMIT = 65535.0

_DO_NOT_USE = np.uint32(1 << BITS["DO_NOT_USE"])
_NO_FLAT_FIELD = np.uint32(1 << BITS["NO_FLAT_FIELD"])
_NO_SAT_CHECK = np.uint32(1 << BITS["NO_SAT_CHECK"])
_REFERENCE_PIXEL = np.uint32(1 << BITS["REFERENCE_PIXEL"])


def write_mask(path, truth, *, subarray=FULL, useafter=USEAFTER):
    """Write the MASK reference: the true bad pixels.

    Parameters
    ----------
    path : path-like
    truth : DetectorTruth
        Of the full detector.
    subarray : Subarray
        What the file covers.
    useafter : str
        ISO date and time.
    """
    header = header_of("mask", "MaskModel", truth, subarray, useafter, "true bad pixels, all of them")
    write_fits(path, header, *dq_units(subarray.cut(truth.bad)))


def write_saturation(path, truth, *, errors, seed, subarray=FULL, useafter=USEAFTER):
    """Write the SATURATION reference: the raw signal in DN, bias included, at which a pixel saturates.

    Parameters
    ----------
    path, truth, subarray, useafter
        See `write_mask`.
    errors : ReferenceErrors
    seed : int
        Of the errors.
    """
    part = truth.cut(*subarray.corners)
    well = np.minimum(part.full_well, np.float32(1e6))
    signal = part.measured(well) / part.gain
    scatter = errors.saturation_scatter * pixel_noise(seed, truth, "saturation", subarray)
    threshold = np.minimum(part.superbias + signal * (1 - errors.saturation + scatter), ADC_LIMIT)
    unchecked = (part.bad & _REFERENCE_PIXEL) != 0
    threshold[np.isinf(part.full_well) | unchecked] = ADC_LIMIT
    note = f"threshold {errors.saturation:g} below the true saturation, scatter {errors.saturation_scatter:g}"
    header = header_of("saturation", "SaturationModel", truth, subarray, useafter, note)
    write_fits(path, header, image("SCI", threshold), *dq_units(np.where(unchecked, _NO_SAT_CHECK, np.uint32(0))))


def write_superbias(path, truth, *, errors, seed, subarray=FULL, useafter=USEAFTER):
    """Write the SUPERBIAS reference (DN); parameters as `write_saturation`."""
    part = truth.cut(*subarray.corners)
    bias = part.superbias + errors.superbias * pixel_noise(seed, truth, "superbias", subarray)
    header = header_of("superbias", "SuperBiasModel", truth, subarray, useafter, f"noise {errors.superbias:g} DN")
    header.update(READPATT="ANY", NOUTPUTS=4)
    write_fits(
        path,
        header,
        image("SCI", bias),
        image("ERR", np.full(part.shape, errors.superbias, np.float32)),
        *dq_units(np.zeros(part.shape, np.uint32)),
    )


def write_gain(path, truth, *, errors, seed, subarray=FULL, useafter=USEAFTER):
    """Write the GAIN reference (electrons per DN); parameters as `write_saturation`."""
    part = truth.cut(*subarray.corners)
    gain = part.gain * (1 + errors.gain * subarray.cut(smooth_field(seed, truth, "gain")))
    header = header_of("gain", "GainModel", truth, subarray, useafter, f"relative error {errors.gain:g}, smooth")
    write_fits(path, header, image("SCI", gain))


def write_readnoise(path, truth, *, errors, seed, subarray=FULL, readpatt="ANY", useafter=USEAFTER):
    """Write the READNOISE reference: the noise in DN of a difference of two single reads.

    Parameters
    ----------
    path, truth, errors, seed, subarray, useafter
        See `write_saturation`.
    readpatt : str
        READPATT of the exposures that the file is for.
    """
    part = truth.cut(*subarray.corners)
    # estimators divide by the read noise, so a detector without any is given a little
    electrons = np.where(part.read_noise > 0, part.read_noise, np.float32(1))
    scatter = 1 + errors.read_noise * pixel_noise(seed, truth, "read noise", subarray)
    header = header_of(
        "readnoise", "ReadnoiseModel", truth, subarray, useafter, f"relative error {errors.read_noise:g}"
    )
    header["READPATT"] = readpatt
    write_fits(path, header, image("SCI", np.sqrt(2) * electrons / part.gain * np.maximum(scatter, 0.1)))


def write_linearity(path, truth, *, errors, seed, subarray=FULL, inverse=False, useafter=USEAFTER):
    """Write the LINEARITY reference: polynomials in DN that undo the true response.

    Parameters
    ----------
    path, truth, errors, seed, subarray, useafter
        See `write_saturation`.
    inverse : bool
        Write INV_COEFFS too: the polynomials of the true response.
    """
    part = truth.cut(*subarray.corners)
    coefficients = linearity_coefficients(part, errors.linearity_order)
    if errors.linearity:
        coefficients[2:] *= 1 + errors.linearity * pixel_noise(seed, truth, "linearity", subarray)
    note = f"degree {errors.linearity_order}, relative error of the correction {errors.linearity:g}"
    header = header_of("linearity", "LinearityModel", truth, subarray, useafter, note)
    units = [image("COEFFS", coefficients)]
    if inverse:
        a, b = part.nonlinearity
        zero = np.zeros_like(a)
        units.append(image("INV_COEFFS", np.stack([zero, zero + 1, -a * part.gain, -b * part.gain**2])))
    write_fits(path, header, *units, *dq_units(np.zeros(part.shape, np.uint32)))


def linearity_coefficients(truth, order, *, deepest=1.1e5):
    """Coefficients of the polynomial in DN that turns a measured signal into a linear one.

    The charge of a set of signals up to saturation is found by root finding, and the polynomial fitted to the
    relative correction, with the constant term 0 and the linear term 1.

    Parameters
    ----------
    truth : DetectorTruth
    order : int
        Degree of the polynomial.
    deepest : float
        Electrons up to which the polynomial holds where the full well is deeper.

    Returns
    -------
    ndarray of float32 (order + 1, ny, nx)
    """
    coefficients = np.zeros((order + 1, *truth.shape), np.float32)
    coefficients[1] = 1
    if not truth.nonlinearity.any():
        return coefficients
    nodes = 0.5 - 0.5 * np.cos(np.pi * (np.arange(3 * order) + 0.5) / (3 * order))
    weights = np.linalg.pinv(nodes[:, None] ** np.arange(1, order))
    rows = 64  # a block fits the processor's cache
    for first in range(0, truth.shape[0], rows):
        block = np.s_[first : first + rows]
        a, b = truth.nonlinearity[:, block].astype(np.float64)
        well = np.minimum(truth.full_well[block].astype(np.float64), deepest)
        brightest = well * (1 - well * (a + b * well))
        fitted = np.zeros((order - 1, *well.shape))
        charge = np.zeros_like(well)
        for node, weight in zip(nodes, weights.T, strict=True):
            signal = node * brightest
            for _ in range(5):  # Newton; the solution of the last node is a good start
                excess = charge * (1 - charge * (a + b * charge)) - signal
                charge = charge - excess / (1 - charge * (2 * a + 3 * b * charge))
            fitted += weight[:, None, None] * (charge / signal - 1)
        scale = truth.gain[block] / brightest
        for power in range(1, order):
            coefficients[power + 1, block] = fitted[power - 1] * scale**power
    return coefficients


def write_dark(
    path,
    truth,
    *,
    errors,
    seed,
    ngroups,
    tframe,
    nframes=1,
    groupgap=0,
    subarray=FULL,
    exp_type="NRC_IMAGE",
    noutputs=4,
    readpatt="RAPID",
    useafter=USEAFTER,
):
    """Write the DARK reference: the dark signal in DN accumulated by each group, and the dark current.

    Parameters
    ----------
    path, truth, errors, seed, subarray, useafter
        See `write_saturation`.
    ngroups, nframes, groupgap : int
        Frames are averaged and dropped as in an exposure with these keywords.
    tframe : float
        Time of a frame in seconds; the first one has accumulated for this time.
    exp_type, noutputs, readpatt
        Keywords of the exposures that the file is for.
    """
    part = truth.cut(*subarray.corners)
    current = part.dark
    if errors.dark and "dark" in truth.effects:
        light = (part.bad & _REFERENCE_PIXEL) == 0
        current = current + errors.dark * pixel_noise(seed, truth, "dark", subarray) * light
    signal = np.empty((ngroups, *part.shape), np.float32)
    for group in range(ngroups):
        frames = group * (nframes + groupgap) + (nframes + 1) / 2
        np.minimum(current * np.float32(frames * tframe), part.full_well, out=signal[group])
        signal[group] /= part.gain
    header = header_of("dark", "DarkModel", truth, subarray, useafter, f"noise {errors.dark:g} electrons per second")
    header.update(
        EXP_TYPE=exp_type,
        NOUTPUTS=noutputs,
        READPATT=readpatt,
        NGROUPS=ngroups,
        NFRAMES=nframes,
        GROUPGAP=groupgap,
    )
    flags = np.uint32(_DO_NOT_USE | np.uint32(1 << BITS["HOT"]))
    hot = (part.bad & flags) == flags
    write_fits(
        path,
        header,
        image("SCI", signal),
        image("AVDRKCUR", np.maximum(current, 0)),
        *dq_units(np.where(hot, flags, np.uint32(0))),
    )


def write_flat(path, truth, *, errors, seed, subarray=FULL, useafter=USEAFTER):
    """Write the FLAT reference; parameters as `write_saturation`."""
    part = truth.cut(*subarray.corners)
    flat = part.flat * (1 + errors.flat * pixel_noise(seed, truth, f"flat {truth.filter} {truth.pupil}", subarray))
    dark = part.flat == 0
    flat[dark] = np.nan
    header = header_of("flat", "FlatModel", truth, subarray, useafter, f"relative noise {errors.flat:g}")
    header.update(FILTER=truth.filter, PUPIL=truth.pupil)
    if truth.detector in DETECTORS:
        header.update(CHANNEL=channel(truth.detector))
    write_fits(
        path,
        header,
        image("SCI", flat),
        image("ERR", np.where(dark, 0, errors.flat * part.flat)),
        *dq_units(np.where(dark, _NO_FLAT_FIELD | _DO_NOT_USE, np.uint32(0))),
    )
