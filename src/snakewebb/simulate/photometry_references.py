"""The photometric reference files: flux calibration, apertures, magnitude systems."""

import re

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.bands import PIVOT_WAVELENGTHS, bandpass
from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.geometry_references import nominal_area, pixel_area_nominal
from snakewebb.simulate.imagers import IMAGER_OF, START, instrument_of
from snakewebb.simulate.reference_format import (
    USEAFTER,
    header_of,
    meta_of,
    table_unit,
    write_asdf,
    write_fits,
)


def write_photom(path, detector, conversions, *, errors, seed, useafter=USEAFTER, declines=True):
    """Write the PHOTOM reference of a detector.

    Parameters
    ----------
    path : path-like
    detector : str
    conversions : dict of tuple of str to float
        True MJy/sr per DN/s of each filter and pupil; of each filter and subarray of MIRI; of () of a guider.
    errors : ReferenceErrors
    seed : int
    useafter : str
    declines : bool
        With the tables of the response's decline, where the imager has one.
    """
    imager = IMAGER_OF[instrument_of(detector)]
    rows = []
    for key in sorted(conversions):
        scatter = generator(seed, detector, " ".join(("photom", *key))).standard_normal()
        value = conversions[key] * (1 + errors.photom * scatter)
        rows.append((*key, value, abs(errors.photom * value)))
    columns = [*imager.photom_columns, ("photmjsr", "f4"), ("uncertainty", "f4")]
    model = f"{imager.prefix}ImgPhotomModel"
    header = header_of("photom", model, detector, None, useafter, f"relative error {errors.photom:g}")
    header.update(
        EXP_TYPE=imager.exp_type,
        P_EXP_TY=imager.also,
        **nominal_area(pixel_area_nominal(detector)),
    )
    units = [table_unit("PHOTOM", rows, columns)]
    if declines and imager.declines:
        units += _decline_units(imager, sorted(conversions))
    write_fits(path, header, *units)


def _decline_units(imager, keys):
    """Tables of the three laws of a decline, a row for each of the table of conversions."""
    laws = {
        "LINEAR": (("t0", "lossperyear"), lambda law: (law.linear,)),
        "EXPONENTIAL": (("t0", "amplitude", "tau", "const"), lambda law: law.exponential),
        "POWERLAW": (("t0", "year1value", "tsoft", "alpha"), lambda law: law.power),
    }
    units = []
    for name, (columns, values) in laws.items():
        rows = [(*key, START, *values(imager.declines[key[0]])) for key in keys]
        formats = [*imager.photom_columns, *((column, "f4") for column in columns)]
        units.append(table_unit(f"TIMECOEFF_{name}", rows, formats))
    return units


def write_apcorr(
    path, sets, *, encircled_energy=None, instrument="NIRCAM", detector=None, exp_type="NRC_IMAGE", useafter=USEAFTER
):
    """Write the APCORR reference: apertures that hold 10 to 90 % of a star's light.

    Parameters
    ----------
    path : path-like
    sets : iterable of tuple of str
        Filter and pupil of each set of apertures; filter and subarray of MIRI; () of a guider.
    encircled_energy : callable, optional
        ``encircled_energy(filter, pupil, radii)``: fractions of the light within radii in pixels; by default
        those of a circular aperture of the telescope's size.
    instrument : str
    detector : str, optional
        Where the file is of one detector.
    exp_type, useafter : str
    """
    imager = IMAGER_OF[instrument]
    encircled = encircled_energy or airy_encircled_energy
    rows = []
    for key in sorted(set(sets)):
        element = key if instrument in ("NIRCAM", "NIRISS") else (*key[:1], "N/A", "N/A")[:2]
        radii = np.arange(0.01, 60, 0.01)
        energy = encircled(*element, radii)
        sky = [float(np.interp(0.92, energy, radii)), 0.0]
        sky[1] = 1.5 * sky[0] + 2
        inside = np.interp(sky, radii, energy)
        for percent in range(10, 100, 10):
            radius = float(np.interp(percent / 100, energy, radii))
            lost = (inside[1] - inside[0]) * radius**2 / (sky[1] ** 2 - sky[0] ** 2)
            rows.append((*key, percent / 100, radius, 1 / (percent / 100 - lost), *sky))
    columns = list(imager.apcorr_columns)
    columns += [(name, "f4") for name in ("eefraction", "radius", "apcorr", "skyin", "skyout")]
    model = f"{imager.prefix}ImgApcorrModel"
    header = header_of(
        "apcorr", model, detector, None, useafter, "from the point-spread function", instrument=instrument
    )
    header.update(EXP_TYPE=exp_type, P_EXP_TY=f"{exp_type}|")
    write_fits(path, header, table_unit("APCORR", rows, columns))


def airy_encircled_energy(filter, pupil, radii):
    """Fractions of a star's light within radii (pixels), for a circular aperture of 6.5 m."""
    from scipy.special import j0, j1

    wavelength = pivot_wavelength(filter, pupil)
    scale = 0.063 if wavelength > 2.4 else 0.031
    x = np.pi * 6.5 / (wavelength * 1e-6) * np.deg2rad(radii * scale / 3600)
    return 1 - j0(x) ** 2 - j1(x) ** 2


def pivot_wavelength(filter, pupil="CLEAR"):
    """Wavelength of a bandpass in micrometres, read from its name where that holds it."""
    name = bandpass(filter, pupil)
    found = re.match(r"F(\d{3,4})", name)
    if not found and name not in PIVOT_WAVELENGTHS:
        raise ConfigError(f"no wavelength can be read from filter {filter!r} with pupil {pupil!r}")
    return int(found[1]) / 100 if found else PIVOT_WAVELENGTHS[name]


_WAVELENGTHS = (0.7, 0.9, 1.15, 1.5, 2.0, 2.77, 3.56, 4.44, 4.8, 5.6, 7.7, 10.0, 15.0, 18.0, 21.0, 25.5)
_AB_MINUS_VEGA = (0.27, 0.51, 0.77, 1.24, 1.69, 2.32, 2.81, 3.24, 3.41, 3.76, 4.38, 4.96, 5.84, 6.23, 6.53, 6.97)


def write_abvegaoffset(path, filters, *, instrument="NIRCAM", useafter=USEAFTER):
    """Write the ABVEGAOFFSET reference: AB minus Vega magnitude.

    Parameters
    ----------
    path : path-like
    filters : iterable of tuple of str
        Filter and pupil of each row; detectors of the guiders, as tuples of one.
    instrument, useafter : str
    """
    from astropy.table import Table

    keys = sorted(set(filters))
    names = {"NIRCAM": ("filter", "pupil"), "NIRISS": ("filter", "pupil"), "MIRI": ("filter",), "FGS": ("detector",)}
    elements = [("N/A", "N/A") if instrument == "FGS" else key for key in keys]
    offsets = [np.interp(pivot_wavelength(*element), _WAVELENGTHS, _AB_MINUS_VEGA) for element in elements]
    table = Table({name: [key[place] for key in keys] for place, name in enumerate(names[instrument])})
    table["abvega_offset"] = np.array(offsets, np.float32)
    meta = meta_of("abvegaoffset", "ABVegaOffsetModel", useafter, "interpolated in wavelength")
    write_asdf(path, {"meta": {**meta, "instrument": {"name": instrument}}, "abvega_offset": table})
