"""The geometry of MIRI's spectrometer as reference files: DISTORTION, SPECWCS, REGIONS and WAVELENGTHRANGE."""

from dataclasses import replace

import numpy as np

from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.mrs_bands import BANDS, band
from snakewebb.simulate.mrs_geometry import MIDDLE_ROW, SHAPE, DetectorSlices
from snakewebb.simulate.reference_format import USEAFTER, meta_of, write_asdf

INVERSE_DEGREE = 6
"""Of the polynomials from local coordinates to pixels, which are fits: those from pixels are exact."""
_RANGE_MARGIN = 0.03  # of a band's wavelengths, at each end


def write_distortion(path, detector, setting, *, errors, seed, useafter=USEAFTER):
    """Write the DISTORTION reference.

    Parameters
    ----------
    path : path-like
    detector, setting : str
        DETECTOR, BAND.
    errors : ReferenceErrors
        ``distortion``: pixels by which each slice is off along the rows, standard deviation.
    seed : int
        Of the errors.
    useafter : str
    """
    channels = [(channel, _displaced(channel, errors, seed)) for channel in DetectorSlices(detector, setting).channels]
    channels.sort(key=lambda entry: entry[0].band.channel)
    slices = [one for _, found in channels for one in found]
    inverse = [_inverse_models(one, channel.band.length / 2) for channel, found in channels for one in found]
    names = [channel.band.name for channel, _ in channels]
    tree = {
        "meta": _meta("distortion", "DistortionMRSModel", detector, setting, useafter, _note(errors), "arcsec"),
        "slices": [one.number for one in slices],
        "alpha_model": [_forward(one, one.alpha_coefficients()) for one in slices],
        "beta_model": [_constant(one.beta) for one in slices],
        "x_model": [x for x, _ in inverse],
        "y_model": [y for _, y in inverse],
        "bzero": {"channel_band": names, "beta_zero": [channel.band.first_beta for channel, _ in channels]},
        "bdel": {"channel_band": names, "delta_beta": [channel.band.width for channel, _ in channels]},
        "abv2v3_model": {"channel_band": names, "model": [_to_telescope(channel) for channel, _ in channels]},
    }
    write_asdf(path, tree)


def write_specwcs(path, detector, setting, *, errors, seed, useafter=USEAFTER):
    """Write the SPECWCS reference, with errors of ``distortion`` pixels along the columns; see `write_distortion`."""
    channels = sorted(DetectorSlices(detector, setting).channels, key=lambda entry: entry.band.channel)
    slices = [one for channel in channels for one in _displaced(channel, errors, seed)]
    meta = _meta("specwcs", "SpecwcsModel", detector, setting, useafter, _note(errors), "um")
    meta["subarray"] = {"name": "N/A"}
    tree = {
        "meta": meta,
        "slices": [one.number for one in slices],
        "model": [_forward(one, one.wavelength_coefficients()) for one in slices],
    }
    write_asdf(path, tree)


def write_regions(path, detector, setting, *, useafter=USEAFTER):
    """Write the REGIONS reference: which slice each pixel sees, for nine throughputs."""
    meta = _meta("regions", "RegionsModel", detector, setting, useafter, "exact")
    ny, nx = SHAPE
    meta["subarray"] = {
        "name": "FULL",
        "xstart": 1,
        "ystart": 1,
        "xsize": nx,
        "ysize": ny,
        "fastaxis": 1,
        "slowaxis": 2,
    }
    write_asdf(path, {"meta": meta, "regions": DetectorSlices(detector, setting).regions()})


def write_wavelengthrange(path, *, useafter=USEAFTER):
    """Write the WAVELENGTHRANGE reference, crossed settings of the two gratings included."""
    names, ranges = [], []
    settings = [(one, one) for one in BANDS] + [(one, two) for one in BANDS for two in BANDS if one != two]
    for crossed in (False, True):
        for channel in (1, 2, 3, 4):
            for first, second in settings:
                if (first != second) != crossed:
                    continue
                low, high = band(channel, first if channel in (1, 4) else second).wavelengths
                margin = _RANGE_MARGIN * (high - low)
                names.append(f"{channel}{first}-{second}" if crossed else f"{channel}{first}")
                ranges.append([round(low - margin, 4), round(high + margin, 4)])
    meta = meta_of("wavelengthrange", "WavelengthrangeModel", useafter, "exact")
    meta |= {
        "exposure": {"type": "MIR_MRS"},
        "instrument": {"name": "MIRI", "detector": "N/A", "channel": "N/A", "band": "N/A"},
        "wavelength_units": _unit("um"),
    }
    write_asdf(path, {"meta": meta, "waverange_selector": names, "wavelengthrange": ranges})


def _note(errors):
    return f"each slice off by {errors.distortion:g} pixel"


def _meta(reftype, model, detector, setting, useafter, error, output=None):
    meta = meta_of(reftype, model, useafter, error)
    channel = "12" if detector == "MIRIFUSHORT" else "34"
    meta |= {
        "exposure": {"type": "MIR_MRS"},
        "instrument": {"name": "MIRI", "detector": detector, "channel": channel, "band": setting},
    }
    if output:
        meta |= {"input_units": _unit("pix"), "output_units": _unit(output)}
    return meta


def _unit(name):
    from astropy import units

    return units.Unit(name)


def _displaced(channel, errors, seed):
    """The slices as the reference files have them."""
    columns, rows = generator(seed, channel.band.name, "slice positions error").normal(
        0, 1, (2, channel.band.slices)
    ) * float(errors.distortion)
    return [
        replace(one, column=one.column + float(dx), centre=one.centre - float(dy) * one.step)
        for one, dx, dy in zip(channel.slices, columns, rows, strict=True)
    ]


def _polynomial(coefficients, degree):
    from astropy.modeling.models import Polynomial2D

    terms = {f"c{i}_{j}": float(value) for (i, j), value in np.ndenumerate(coefficients) if i + j <= degree}
    return Polynomial2D(degree, **terms)


def _constant(value):
    from astropy.modeling.models import Const1D

    return Const1D(value, name="det2local")


def _forward(one, coefficients):
    """A polynomial of (row, column)."""
    from astropy.modeling.models import Shift

    degree = max(i + j for (i, j), value in np.ndenumerate(coefficients) if value)
    return Shift(-MIDDLE_ROW) & Shift(-one.column) | _polynomial(coefficients, degree)


def _inverse_models(one, reach):
    """Fitted polynomials of (wavelength, alpha): the column and the row."""
    from astropy.modeling.models import Identity, Shift

    x, y = np.meshgrid(one.column + np.linspace(-1, 1, 13) * (reach / one.scale + 2), np.linspace(-4, SHAPE[0] + 3, 41))
    x, y = x.ravel(), y.ravel()
    alpha, offset = one.alpha(x, y), one.wavelength(x, y) - one.centre
    scales = np.abs(offset).max(), np.abs(alpha).max()
    powers = [(i, j) for i in range(INVERSE_DEGREE + 1) for j in range(INVERSE_DEGREE + 1 - i)]
    design = np.stack([(offset / scales[0]) ** i * (alpha / scales[1]) ** j for i, j in powers], axis=1)
    fitted, *_ = np.linalg.lstsq(design, np.stack([x, y], axis=1), rcond=None)
    models = []
    for values in fitted.T:
        coefficients = np.zeros((INVERSE_DEGREE + 1,) * 2)
        for (i, j), value in zip(powers, values, strict=True):
            coefficients[i, j] = value / scales[0] ** i / scales[1] ** j
        models.append(Shift(-one.centre) & Identity(1) | _polynomial(coefficients, INVERSE_DEGREE))
    return models


def _to_telescope(channel):
    """From (alpha, beta) to (V2, V3), with its inverse."""
    inverse = np.linalg.inv(channel.matrix)
    model = _linear(channel.matrix, channel.origin)
    model.inverse = _linear(inverse, -inverse @ channel.origin)
    return model


def _linear(matrix, origin):
    from astropy.modeling.models import Mapping

    first, second = (
        _polynomial(np.array([[zero, b], [a, 0.0]]), 1) for zero, (a, b) in zip(origin, matrix, strict=True)
    )
    return Mapping((0, 1, 0, 1)) | first & second
