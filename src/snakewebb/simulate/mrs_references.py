"""Reference files that calibrate the light in MIRI's spectrometer: flat, fringes, scattered light, flux, second order."""

from functools import cache

import numpy as np

from snakewebb.dq import BITS
from snakewebb.simulate import mrs_optics as optics
from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.geometry import ARCSEC
from snakewebb.simulate.mrs_bands import BANDS, LETTERS, band
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.reference_format import USEAFTER, dq_units, full_frame, header_of, image, table_unit, write_fits

_DO_NOT_USE = np.uint32(1 << BITS["DO_NOT_USE"])
_NON_SCIENCE = np.uint32(1 << BITS["NON_SCIENCE"])
_SOFT_DAYS = 30.0
_NODE_SPACING = 0.25  # micron, of the table of the decline
_ARTIFACT_REACH = 300  # pixels over which the kernel is fitted
_ARTIFACT_PLACES = 9
_ARTIFACT_NAMES = ("lor_fwhm", "lor_scale", "gau_fwhm", "gau_xoff", "gau_scale1", "gau_scale2")


def write_flat(path, detector, setting, *, readpatt, truth_seed, errors, seed, useafter=USEAFTER):
    """Write the FLAT reference: response of the pixels relative to each other.

    Parameters
    ----------
    path : path-like
    detector, setting : str
        DETECTOR, BAND.
    readpatt : str
        READPATT.
    truth_seed : int
        Of the true response.
    errors : ReferenceErrors
        ``flat``: relative, each pixel.
    seed : int
        Of the errors.
    useafter : str
    """
    noise = generator(seed, detector, f"flat {setting} error").standard_normal(SHAPE, np.float32)
    flat = optics.pixel_flat(detector, setting, truth_seed) * (1 + errors.flat * noise)
    header = _header("flat", "FlatModel", detector, setting, useafter, f"relative noise {errors.flat:g}")
    header.update(FILTER="N/A", READPATT=readpatt)
    units = image("SCI", flat), image("ERR", errors.flat * flat), *dq_units(np.zeros(SHAPE, np.uint32))
    write_fits(path, header, *units)


def write_fringe(path, detector, setting, *, errors, useafter=USEAFTER):
    """Write the FRINGE reference: fringes of light that fills the slices, their amplitude off by ``errors.fringe``."""
    wavelength, throughput = DetectorSlices(detector, setting).maps()
    seen = throughput > 0.01
    fringe = np.ones(SHAPE)
    fringe[seen] = 1 + (1 - errors.fringe) * (optics.fringes(wavelength[seen]) - 1)
    header = _header("fringe", "FringeModel", detector, setting, useafter, f"amplitude low by {errors.fringe:g}")
    units = image("SCI", fringe), image("ERR", np.full(SHAPE, 0.005)), *dq_units(np.zeros(SHAPE, np.uint32))
    write_fits(path, header, *units)


def write_photom(path, detector, setting, *, mjd, errors, seed, useafter=USEAFTER):
    """Write the PHOTOM reference.

    Parameters
    ----------
    path, detector, setting, seed, useafter
        See `write_flat`.
    mjd : float or None
        Day at which the power law of the decline passes through the true one, as it does a year after its start;
        ``None``: the response does not decline.
    errors : ReferenceErrors
        ``photom``: relative, one value for a band.
    """
    conversion, pixels = np.full(SHAPE, np.nan), np.zeros(SHAPE)
    for channel, one, columns, x, y in DetectorSlices(detector, setting).windows():
        alpha, wavelength = one.alpha(x, y), one.wavelength(x, y)
        part = channel.throughput(one, alpha)
        seen = part > 0.05
        off = 1 + errors.photom * generator(seed, channel.band.name, "photom error").standard_normal()
        conversion[:, columns][seen] = (optics.photmjsr(channel.band, wavelength) * off / np.maximum(part, 0.05))[seen]
        area = (one.alpha(x + 0.5, y) - one.alpha(x - 0.5, y)) * channel.band.width
        pixels[:, columns][seen] = area[seen]
    bad = np.isnan(conversion)
    middle = float(np.median(pixels[~bad]))
    header = _header("photom", "MirMrsPhotomModel", detector, setting, useafter, f"relative error {errors.photom:g}")
    header.update(
        PHOTMJSR=float(np.median(conversion[~bad])), PIXAR_A2=middle, PIXAR_SR=middle * ARCSEC**2, EXP_TYPE="MIR_MRS"
    )
    columns = [(name, "f4") for name in ("binwave", "alpha", "year1value", "tsoft", "t0")]
    tables = [
        table_unit(f"TIMECOEFF_POWERLAW_CH{channel}", _decline(channel, mjd), columns) for channel in (1, 2, 3, 4)
    ]
    units = (
        image("SCI", conversion),
        image("ERR", np.where(bad, np.nan, 0.01 * conversion)),
        *dq_units(np.where(bad, _DO_NOT_USE | _NON_SCIENCE, np.uint32(0))),
        image("PIXSIZ", pixels),
    )
    write_fits(path, header, *units, *tables)


def _decline(channel, mjd):
    """Rows of the table of the decline: power laws through the true response after a year and on a day."""
    low, high = band(channel, "SHORT").wavelengths[0], band(channel, "LONG").wavelengths[1]
    nodes = np.arange(low - 0.1, high + _NODE_SPACING, _NODE_SPACING)
    fixed = np.full(nodes.size, _SOFT_DAYS), np.full(nodes.size, optics.FIRST_DAY)
    if mjd is None:
        return [tuple(row) for row in np.stack([nodes, 0 * nodes, 0 * nodes + 1, *fixed], axis=1)]
    year = optics.time_loss(nodes, optics.FIRST_DAY + 365.0)
    now = optics.time_loss(nodes, mjd)
    passed = (mjd - optics.FIRST_DAY + _SOFT_DAYS) / (365.0 + _SOFT_DAYS)
    power = np.log(now / year) / np.log(passed) if abs(passed - 1) > 1e-3 else np.zeros(nodes.size)
    return [tuple(row) for row in np.stack([nodes, power, year, *fixed], axis=1)]


def write_mrsxartcorr(path, *, useafter=USEAFTER):
    """Write the MRSXARTCORR reference: a Lorentzian and four Gaussians fitted to the true kernel of each channel."""
    header = header_of("mrsxartcorr", "MirMrsXArtCorrModel", None, None, useafter, "fitted to the true kernel")
    header.update(INSTRUME="MIRI", EXP_TYPE="MIR_MRS", FILENAME="miri_mrsxartcorr_all.fits")
    columns = [("yrow", "i2"), *((name, "f4") for name in _ARTIFACT_NAMES)]
    rows = np.arange(SHAPE[0])
    tables = []
    for channel in (1, 2, 3, 4):
        fitted = fitted_artifacts(channel)
        at = np.linspace(0, SHAPE[0] - 1, _ARTIFACT_PLACES)
        values = [np.interp(rows, at, column) for column in fitted.T]
        entries = [tuple(entry) for entry in zip(rows, *values, strict=True)]
        tables += [table_unit(f"CH{channel}{letter}", entries, columns) for letter in LETTERS.values()]
    write_fits(path, header, *tables)


def artifact_model(parameters, distance):
    """Kernel of the correction: a Lorentzian and two pairs of Gaussians; parameters in the order of the table."""
    width, scale, gaussian, offset, first, second = parameters
    gamma, sigma = width / 2, gaussian / 2.3548
    total = scale * gamma**2 / (gamma**2 + distance**2)
    for side in (-1, 1):
        total = total + first * np.exp(-((distance - side * offset) ** 2) / (2 * sigma**2))
        total = total + second * np.exp(-((distance - 2 * side * offset) ** 2) / (8 * sigma**2))
    return total


@cache
def fitted_artifacts(channel):
    """Parameters of the correction on rows from the lowest to the highest one: ndarray (9, 6)."""
    from scipy.optimize import least_squares

    distance = np.arange(0.0, _ARTIFACT_REACH)
    found = []
    for place in np.linspace(0, 1, _ARTIFACT_PLACES):
        kernel = optics.artifact_kernel(channel, place, distance)
        peak = kernel.max()
        start = np.array([12.0, 1.0, 10.0, 23.0, 0.15, 0.06])
        scale = np.array([1, peak, 1, 1, peak, peak])
        low, high = [2.0, 0.0, 4.0, 15.0, 0.0, 0.0], [40.0, 3.0, 20.0, 35.0, 1.0, 1.0]
        fit = least_squares(
            lambda values, kernel=kernel, scale=scale, peak=peak: (
                (artifact_model(values * scale, distance) - kernel) / peak
            ),
            start,
            bounds=(low, high),
        )
        found.append(fit.x * scale)
    return np.array(found)


def write_mrsptcorr(path, *, useafter=USEAFTER):
    """Write the MRSPTCORR reference: the second order, sampled; no other correction of point sources."""
    header = header_of("mrsptcorr", "MirMrsPtCorrModel", None, None, useafter, "leak exact at its nodes")
    header.update(INSTRUME="MIRI", EXP_TYPE="MIR_MRS", FILENAME="miri_mrsptcorr_all.fits")
    wavelength = np.arange(11.4, 13.65, 0.01)
    leak = optics.leak(wavelength)
    rows = list(zip(wavelength, leak, 0.03 * leak, strict=True))
    unity = [(channel, *_whole_range(channel), 1.0, 1.0, 1.0, 1.0) for channel in (1, 2, 3, 4)]
    optical = [(f"{one.channel}{LETTERS[one.band]}", one.width, *one.wavelengths, 0.0, 0.0) for one in _all_bands()]
    write_fits(
        path,
        header,
        table_unit("LEAKCOR", rows, _floats("wavelength", "frac_leak", "err_leak")),
        table_unit(
            "TRACOR",
            unity,
            [
                ("channel", "i4"),
                *_floats("wave_min", "wave_max", "t_wmin_centre", "t_wmin_edge", "t_wmax_centre", "t_wmax_edge"),
            ],
        ),
        table_unit(
            "WAVCORR_OPTICAL",
            optical,
            [("sub_band", "S16"), *_floats("beta_slice", "wave_min", "wave_max", "srp_min", "srp_max")],
        ),
        table_unit("WAVCORR_XSLICE", [(0.0, 0.0)], _floats("xslice_min", "xslice_max")),
        table_unit("WAVCORR_SHIFT", [(0.0, 0.0, 0.0)], _floats("beta_off", "ds_min", "ds_max")),
    )


def write_fringefreq(path, detector, *, useafter=USEAFTER):
    """Write the FRINGEFREQ reference: spacing of the fringes (1/cm) by slice, and their largest amplitude."""
    spacings = optics.fringe_spacings()
    columns = [
        ("slice", "f8"), ("ffreq", "f8"), ("dffreq", "f8"), ("min_nfringes", "i8"), ("max_nfringes", "i8"),
        ("min_snr", "f8"), ("pgram_res", "f8"),
    ]  # fmt: skip
    tables = []
    for setting in BANDS:
        rows = []
        for channel in sorted(DetectorSlices(detector, setting).channels, key=lambda entry: entry.band.channel):
            for one in channel.slices:
                rows.append((one.number, spacings["substrate"], 1.5, 5, 15, 10.0, 0.001))
                if channel.band.channel > 2:
                    rows.append((one.number, spacings["dichroic"], 0.15, 5, 15, 10.0, 0.001))
        tables.append(table_unit(f"RFC_FREQ_{setting}", rows, columns))
    wavelength = np.linspace(4.5, 29.0, 60)
    amplitude = [np.ptp(optics.fringes(np.linspace(middle, 1.01 * middle, 4000))) / 2 for middle in wavelength]
    largest = table_unit(
        "MAX_AMP", list(zip(wavelength, amplitude, strict=True)), [("Wavelength", "f8"), ("Amplitude", "f8")]
    )
    header = header_of("fringefreq", "FringeFreqModel", detector, None, useafter, "exact")
    header["EXP_TYPE"] = "MIR_MRS"
    write_fits(path, header, *tables, largest)


def _header(reftype, model, detector, setting, useafter, note):
    header = header_of(reftype, model, detector, full_frame(detector), useafter, note)
    header.update(BAND=setting, CHANNEL="12" if detector == "MIRIFUSHORT" else "34", SUBARRAY="FULL")
    return header


def _floats(*names):
    return [(name, "f4") for name in names]


def _all_bands():
    return [band(channel, setting) for channel in (1, 2, 3, 4) for setting in BANDS]


def _whole_range(channel):
    return band(channel, "SHORT").wavelengths[0], band(channel, "LONG").wavelengths[1]
