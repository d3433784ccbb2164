"""Reference files for cubes and spectra of MIRI's spectrometer: CUBEPAR, EXTRACT1D and APCORR."""

import numpy as np

from snakewebb.simulate import mrs_optics as optics
from snakewebb.simulate.mrs_bands import BANDS, band
from snakewebb.simulate.reference_format import USEAFTER, header_of, meta_of, table_unit, write_asdf, write_fits

SPAXELS = {1: 0.13, 2: 0.17, 3: 0.20, 4: 0.35}
"""Size of a spaxel of each channel, arcsec."""
STEPS = {1: 0.0008, 2: 0.0013, 3: 0.0025, 4: 0.006}
"""Spectral step of each channel, micron."""
APERTURE_WIDTHS = 2.0
"""Radius of the aperture in full widths of the image."""
_ANNULUS = (2.5, 3.5)  # the same, of the ring where the background is measured
_RADII = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5)
_EDGE = 0.02  # part of a band that cubes leave out at each end
_SHEPARD = {1: (0.30, 2.0), 2: (0.38, 2.0), 3: (0.50, 2.0), 4: (0.75, 2.0)}  # arcsec, and spectral steps


def _width(wavelength):
    """Full width at half maximum of the image, arcsec."""
    return 0.033 * np.asarray(wavelength) + 0.106


def _limits(one):
    low, high = one.wavelengths
    margin = _EDGE * (high - low)
    return round(low + margin, 3), round(high - margin, 3)


def write_cubepar(path, *, useafter=USEAFTER):
    """Write the CUBEPAR reference: spaxels, wavelengths and the weighting of cubes.

    Parameters
    ----------
    path : path-like
    useafter : str
    """
    header = header_of("cubepar", "MiriIFUCubeParsModel", None, None, useafter, "chosen, not measured")
    header.update(INSTRUME="MIRI", EXP_TYPE="MIR_MRS", FILENAME="miri_cubepar_all.fits")
    bands = [band(channel, setting) for channel in (1, 2, 3, 4) for setting in BANDS]
    names = [("channel", "S3"), ("band", "S12")]

    def columns(*more):
        return [*names, *((name, "f4") for name in more)]

    def identity(one):
        return str(one.channel), one.band

    basic, msm, emsm, every = [], [], [], []
    for one in bands:
        roi, spectral = _SHEPARD[one.channel][0], _SHEPARD[one.channel][1] * STEPS[one.channel]
        basic.append((*identity(one), SPAXELS[one.channel], STEPS[one.channel], *_limits(one)))
        msm.append((*identity(one), roi, spectral, 2.0, 0.01))
        emsm.append((*identity(one), roi, spectral, 0.5 * SPAXELS[one.channel]))
        for wavelength in np.arange(*_limits(one), STEPS[one.channel]):
            if not every or wavelength > every[-1][0]:
                every.append((wavelength, roi, spectral, 0.5 * SPAXELS[one.channel]))

    def wavelengths(*more):
        return [(name, "f4") for name in ("wavelength", *more)]

    write_fits(
        path,
        header,
        table_unit("CUBEPAR", basic, columns("spaxelsize", "spectralstep", "wavemin", "wavemax")),
        table_unit("CUBEPAR_MSM", msm, columns("roispatial", "roispectral", "power", "softrad")),
        table_unit(
            "MULTICHANNEL_MSM",
            [(w, roi, spectral, 2.0, 0.01) for w, roi, spectral, _ in every],
            wavelengths("roispatial", "roispectral", "power", "softrad"),
        ),
        table_unit("CUBEPAR_EMSM", emsm, columns("roispatial", "roispectral", "scalerad")),
        table_unit("MULTICHANNEL_EMSM", every, wavelengths("roispatial", "roispectral", "scalerad")),
        table_unit("MULTICHANNEL_DRIZ", [(row[0],) for row in every], wavelengths()),
    )


def write_extract1d(path, *, useafter=USEAFTER):
    """Write the EXTRACT1D reference: apertures of two full widths of the image."""
    wavelength = np.arange(4.5, 29.0, 0.25)
    width = _width(wavelength)
    meta = meta_of("extract1d", "Extract1dIFUModel", useafter, "chosen, not measured")
    meta |= {
        "exposure": {"type": "MIR_MRS"},
        "instrument": {"name": "MIRI"},
        "region_type": "target",
        "subtract_background": True,
        "method": "subpixel",
        "subpixels": 10,
    }
    data = {
        "wavelength": wavelength.astype(np.float32),
        "wavelength_units": "micron",
        "radius": (APERTURE_WIDTHS * width).astype(np.float32),
        "radius_units": "arcsec",
        "inner_bkg": (_ANNULUS[0] * width).astype(np.float32),
        "inner_bkg_units": "arcsec",
        "outer_bkg": (_ANNULUS[1] * width).astype(np.float32),
        "outer_bkg_units": "arcsec",
        "axis_ratio": np.ones(wavelength.size, np.float32),
        "axis_pa": np.zeros(wavelength.size, np.float32),
        "axis_pa_units": "degrees",
    }
    write_asdf(path, {"meta": meta, "data": data}, inline=True)


def aperture_correction(wavelength, widths):
    """What the flux in an aperture of a cube is multiplied with, its ring of background included.

    Parameters
    ----------
    wavelength : float
        Micron.
    widths : float
        Radius in full widths of the image.

    Returns
    -------
    float
        From the analytic image, as wide as slices and pixels make it: the light is collected in their boxes, and spread
        again over boxes of the same size when the cube is built, and over its spaxels.
    """
    one = _band_of(wavelength)
    width = float(_width(wavelength))
    spaxel = SPAXELS[one.channel] ** 2 / 12
    options = {"along": 2 * one.scale**2 / 12 + spaxel, "across": 2 * one.width**2 / 12 + spaxel}
    radii = np.array([widths, *_ANNULUS]) * width
    inside, inner, outer = optics.encircled_energy(wavelength, radii, **options)
    ring = (outer - inner) / (radii[2] ** 2 - radii[1] ** 2)
    return float(1 / (inside - ring * radii[0] ** 2))


def _band_of(wavelength):
    """The band whose middle is nearest."""
    bands = [band(channel, setting) for channel in (1, 2, 3, 4) for setting in BANDS]
    return min(bands, key=lambda one: abs(np.log(one.centre / wavelength)))


def write_apcorr(path, *, useafter=USEAFTER):
    """Write the APCORR reference: corrections by radius and wavelength; see `aperture_correction`."""
    wavelength = np.arange(4.6, 28.9, 0.2)
    radius = np.array([[widths * _width(w) for w in wavelength] for widths in _RADII])
    correction = np.array([[aperture_correction(float(w), widths) for w in wavelength] for widths in _RADII])
    meta = meta_of("apcorr", "MirMrsApcorrModel", useafter, "from the analytic image")
    meta |= {"exposure": {"type": "MIR_MRS"}, "instrument": {"name": "MIRI", "channel": "N/A"}}
    table = {
        "channel": "ANY",
        "band": "ANY",
        "wavelength": wavelength.astype(np.float32),
        "wavelength_units": "micron",
        "radius": radius.astype(np.float32),
        "radius_units": "arcsec",
        "apcorr": correction.astype(np.float32),
        "apcorr_err": (0.01 * correction).astype(np.float32),
    }
    write_asdf(path, {"meta": meta, "apcorr_table": table}, inline=True)
