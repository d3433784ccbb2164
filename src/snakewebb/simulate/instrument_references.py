"""Reference files that only some instruments have, or have in a form of their own."""

from math import comb

import numpy as np

from snakewebb.dq import BITS
from snakewebb.simulate import charge, irs2, miri_readout
from snakewebb.simulate.instruments import CHIPS
from snakewebb.simulate.reference_format import (
    FULL,
    USEAFTER,
    Subarray,
    dq_units,
    header_of,
    image,
    meta_of,
    pixel_noise,
    table_unit,
    write_asdf,
    write_cube,
    write_fits,
)
from snakewebb.simulate.references import linearity_coefficients
from snakewebb.simulate.wiring import Orientation

_DO_NOT_USE = np.uint32(1 << BITS["DO_NOT_USE"])
_HOT = np.uint32(1 << BITS["HOT"])
_REFERENCE_PIXEL = np.uint32(1 << BITS["REFERENCE_PIXEL"])
_IRS2 = Subarray("FULL", 1, 1, irs2.ROWS, irs2.ROWS)

RESET_GROUPS = 30
"""Groups of the RESET reference: the anomaly is over by then."""
PHASES = 500
"""Samples of a period of the interference."""
GROUP_SKIPS = {"FASTR1": (1, 5), "SLOWR1": (1, 4), "FASTGRPAVG": (1, 2)}
"""Groups at the start of the first and of later integrations that the RSCD reference leaves out."""


def write_linearity(path, truth, *, errors, seed, subarray, useafter=USEAFTER):
    """Write MIRI's LINEARITY reference: polynomials of the raw signal, which has its pedestal.

    Parameters
    ----------
    path : path-like
    truth : InstrumentTruth
        Of the full detector.
    errors : ReferenceErrors
    seed : int
        Of the errors.
    subarray : Subarray
    useafter : str
    """
    part = truth.cut(*subarray.corners)
    coefficients = linearity_coefficients(part, errors.linearity_order).astype(np.float64)
    if errors.linearity:
        coefficients[2:] *= 1 + errors.linearity * pixel_noise(seed, truth, "linearity", subarray)
    pedestal = part.superbias.astype(np.float64)
    shifted = np.zeros(coefficients.shape)
    shifted[0] = pedestal
    for power, values in enumerate(coefficients):
        for order in range(power + 1):
            shifted[order] += values * comb(power, order) * (-pedestal) ** (power - order)
    note = f"degree {errors.linearity_order}, relative error of the correction {errors.linearity:g}"
    header = header_of("linearity", "LinearityModel", truth, subarray, useafter, note)
    header.update(FILTER="N/A" if truth.detector != "MIRIMAGE" else "ANY", BAND="N/A")
    write_fits(path, header, image("COEFFS", shifted), *dq_units(np.zeros(part.shape, np.uint32)))


def write_dark(path, truth, *, errors, seed, subarray, ngroups, nframes, groupgap, tframe, readpatt, useafter=USEAFTER):
    """Write MIRI's DARK reference: of two integrations, since the first settles in another way than the later ones.

    Parameters
    ----------
    path, truth, errors, seed, subarray, useafter
        See `write_linearity`.
    ngroups, nframes, groupgap : int
        Frames are averaged and dropped as in an exposure with these keywords.
    tframe : float
        Time of a frame, seconds.
    readpatt : str
    """
    part = truth.cut(*subarray.corners)
    current = part.dark
    if errors.dark and "dark" in truth.effects:
        light = (part.bad & _REFERENCE_PIXEL) == 0
        current = current + errors.dark * pixel_noise(seed, truth, "dark", subarray) * light
    header = header_of(
        "dark", "DarkMIRIModel", truth, subarray, useafter, f"noise {errors.dark:g} electrons per second"
    )
    header.update(READPATT=readpatt, NGROUPS=ngroups, NFRAMES=nframes, GROUPGAP=groupgap, NINTS=2)

    def planes():
        for integration in range(2):
            for group in range(ngroups):
                first = group * (nframes + groupgap)
                seconds = np.float32((first + (nframes + 1) / 2) * tframe)
                level = _mean_settling("dark_settling", first, nframes, integration)
                yield np.minimum(current * seconds, part.full_well) / part.gain + level * part.planes["dark_settling"]

    bad = _DO_NOT_USE | _HOT
    flags = np.where((part.bad & bad) == bad, bad, np.uint32(0))
    flags = np.broadcast_to(flags, (2, 1, *part.shape))
    units = image("AVDRKCUR", np.maximum(current, 0)), *dq_units(flags)
    write_cube(path, header, "SCI", (2, ngroups, *part.shape), planes(), *units)


def write_reset(path, truth, *, subarray, ngroups, nframes, groupgap, readpatt, useafter=USEAFTER, **_):
    """Write the RESET reference: what the signal still lacks after a reset (DN); parameters as `write_dark`."""
    part = truth.cut(*subarray.corners)
    ngroups = min(ngroups, RESET_GROUPS)
    header = header_of("reset", "ResetModel", truth, subarray, useafter, "exact")
    header.update(READPATT=readpatt, NGROUPS=ngroups, NINTS=2)

    def planes():
        for integration in range(2):
            for group in range(ngroups):
                first = group * (nframes + groupgap)
                yield _mean_settling("reset_anomaly", first, nframes, integration) * part.planes["reset_anomaly"]

    units = dq_units(np.zeros(part.shape, np.uint32))
    write_cube(path, header, "SCI", (2, ngroups, *part.shape), planes(), *units)


def _mean_settling(name, first, nframes, integration):
    frames = first + np.arange(nframes)
    return np.float32(np.mean(miri_readout.settling(name, frames, integration)))


def write_rscd(path, detector, *, subarrays, useafter=USEAFTER):
    """Write the RSCD reference: groups to leave out at the start of an integration.

    Parameters
    ----------
    path : path-like
    detector : str
    subarrays : iterable of str
    useafter : str
    """
    header = header_of("rscd", "RSCDModel", detector, None, useafter, "groups to leave out")
    rows = [(name, pattern, *skips) for name in sorted(subarrays) for pattern, skips in GROUP_SKIPS.items()]
    columns = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
    write_fits(path, header, table_unit("RSCD_GROUP_SKIP", rows, columns))


def write_emicorr(path, cases, *, useafter=USEAFTER):
    """Write the EMICORR reference: waveforms, and clocks and frequencies of each subarray.

    Parameters
    ----------
    path : path-like
    cases : dict of str to (int, int)
        Clocks of a row and of a frame, by name of the subarray in the table.
    useafter : str
    """
    phases = (np.arange(PHASES) + 0.5) / PHASES
    frequencies = {
        name: {
            "frequency": frequency,
            "phase_amplitudes": (amplitude * np.sin(2 * np.pi * phases)).astype(np.float32),
        }
        for name, (frequency, amplitude) in miri_readout.EMI_FREQUENCIES.items()
    }
    subarrays = {}
    for name, (rows, frames) in cases.items():
        known = list(miri_readout.EMI_CASES[name])
        slow = dict.fromkeys(("MIRIFULONG", "MIRIFUSHORT", "MIRIMAGE"), known)
        freqs = (
            {"SLOW": {key: list(value) for key, value in slow.items()}} if name.endswith("SLOW") else {"FAST": known}
        )
        subarrays[name] = {"rowclocks": rows, "frameclocks": frames, "freqs": freqs}
    meta = meta_of("emicorr", "EmiModel", useafter, "exact") | {"instrument": {"name": "MIRI"}}
    write_asdf(path, {"meta": meta, "frequencies": frequencies, "subarray_cases": subarrays})


def write_ipc(path, detector, *, size=5, useafter=USEAFTER):
    """Write the IPC reference: the kernel that undoes the coupling of neighbours.

    Parameters
    ----------
    path : path-like
    detector : str
    size : int
        Rows and columns of the kernel.
    useafter : str
    """
    grid = 64
    whole = np.zeros((grid, grid))
    whole[:3, :3] = charge.coupling_kernel()
    inverse = np.fft.ifft2(1 / np.fft.fft2(np.roll(whole, (-1, -1), (0, 1)))).real
    half = size // 2
    kernel = np.roll(inverse, (half, half), (0, 1))[:size, :size]
    header = header_of("ipc", "IPCModel", detector, None, useafter, "exact, but for its size")
    ny, nx = CHIPS[detector].shape
    header.update(SUBARRAY="GENERIC", SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=nx, SUBSIZE2=ny)
    write_fits(path, header, image("SCI", kernel / kernel.sum()))


def write_irs2_mask(path, truth, *, useafter=USEAFTER):
    """Write the MASK reference of NIRSpec's read-out with interleaved reference pixels: of all its samples."""
    orientation = Orientation(*CHIPS[truth.detector].axes)
    flags = np.full((irs2.ROWS, irs2.WIDTH), _REFERENCE_PIXEL, np.uint32)
    flags[:, irs2.pixel_columns()] = orientation.to_detector(truth.bad)
    header = header_of("mask", "MaskModel", truth, _IRS2, useafter, "true bad pixels, all of them")
    header["READPATT"] = "NRSIRS2"
    write_fits(path, header, *dq_units(np.ascontiguousarray(orientation.to_science(flags))))


def write_irs2_superbias(path, truth, *, errors, seed, useafter=USEAFTER):
    """Write the SUPERBIAS reference of NIRSpec's read-out with interleaved reference pixels: of all its samples."""
    orientation = Orientation(*CHIPS[truth.detector].axes)
    noise = np.zeros((irs2.ROWS, irs2.WIDTH), np.float32)
    noise[:, irs2.pixel_columns()] = orientation.to_detector(pixel_noise(seed, truth, "superbias", FULL))
    bias = truth.frame["bias"] + np.float32(errors.superbias) * orientation.to_science(noise)
    header = header_of("superbias", "SuperBiasModel", truth, _IRS2, useafter, f"noise {errors.superbias:g} DN")
    header.update(READPATT="NRSIRS2", NOUTPUTS=4)
    error = np.full(bias.shape, errors.superbias, np.float32)
    write_fits(path, header, image("SCI", bias), image("ERR", error), *dq_units(np.zeros(bias.shape, np.uint32)))


def write_irs2_refpix(path, truth, *, useafter=USEAFTER):
    """Write the REFPIX reference: weights that tell an output's noise from its reference pixels and the reference output.

    Real and imaginary parts take turns in the rows of the table.
    """
    chip = CHIPS[truth.detector]
    from astropy.io import fits

    names = [f"{kind}_{output}" for kind in ("alpha", "beta") for output in range(4)]
    rows = np.empty(2 * irs2.ROWS * irs2.ROW_CLOCKS, [(name, ">f4") for name in names])
    for output in range(4):
        found = irs2.weights(1 + output, chip.read_noise / chip.gain)
        for kind in ("alpha", "beta"):
            values = getattr(found, kind)
            rows[f"{kind}_{output}"][0::2], rows[f"{kind}_{output}"][1::2] = values.real, values.imag
    header = header_of("refpix", "IRS2Model", truth, None, useafter, "from the power spectra of the true noise")
    header["READPATT"] = "NRSIRS2"
    bad = irs2.bad_reference_masks()
    if "bad_pixels" not in truth.effects:
        bad = [(output, pair, 0) for output, pair, _ in bad]
    columns = [("OUTPUT", "u2"), ("ODD_EVEN", "u2"), ("MASK", "u4")]
    write_fits(path, header, fits.BinTableHDU(rows, name="IRS2"), table_unit("DQ", bad, columns))
