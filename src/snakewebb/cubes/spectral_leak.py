"""Light of the second order of the grating, from 6.1 micron, in the spectrum at 12.2 micron."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snakewebb.cubes.spectrum import Spectrum
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE, Status, step

# a wavelength that only the band has, of those that may hold it, micron
_SOURCE, _TARGET = 6.0, 12.0


@dataclass
class SpectrumSet:
    """The spectra of one source in the bands of the MRS.

    Attributes
    ----------
    spectra : list of Spectrum
    stitched : Spectrum or None
        All bands in one, set by `stitch_spectra`.
    """

    spectra: list
    stitched: Spectrum | None = None


@step(version=1, keyword="S_SPLEAK", references=("mrsptcorr",))
def spectral_leak(
    spectra,
    references,
    *,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Subtract the light that leaks from band 1B of the MRS into band 3A.

    The leak is a fraction, by wavelength, of the spectrum of band 1B at half the wavelength. It is subtracted from the flux and, for the
    same aperture, from the surface brightness, with and without the correction of residual fringes; its error, of the spectrum and of
    the fraction, is added to theirs. It is known of point sources
    only, in apertures of the same size in units of the point spread function.

    Parameters
    ----------
    spectra : SpectrumSet
        That of band 3A is changed in place.
    references : References
    compatibility : {"native", "jwst"}
        "jwst" corrects the flux only, and not its error, as jwst does.

    Returns
    -------
    Status
        NOT_APPLICABLE if a band is missing or the source is extended.

    Raises
    ------
    MissingReferenceError
        If the reference has no table of the leak.

    References
    ----------
    Gasman et al. 2023, A&A 673, A102; step ``spectral_leak`` of jwst.
    """
    extended = [entry for entry in spectra.spectra if str(entry.keywords.get("SRCTYPE", "")).upper() == "EXTENDED"]
    if extended:
        return Status(NOT_APPLICABLE, "the source is extended, and the leak is known of point sources only")
    source = _with_band(spectra.spectra, "1", "MEDIUM", _SOURCE)
    target = _with_band(spectra.spectra, "3", "SHORT", _TARGET)
    if source is None or target is None:
        missing = ", ".join(name for name, found in (("1B", source), ("3A", target)) if found is None)
        return Status(NOT_APPLICABLE, f"there is no spectrum of band {missing}")
    ours, theirs = target.table, source.table
    wave, twice = ours["WAVELENGTH"], 2.0 * theirs["WAVELENGTH"]
    fraction, uncertainty = _fraction(references, wave)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_flux = np.where(ours["FLUX"] != 0, ours["SURF_BRIGHT"] / ours["FLUX"], 0.0)  # of the aperture of 3A
    for flux, brightness in (("FLUX", "SURF_BRIGHT"), ("RF_FLUX", "RF_SURF_BRIGHT")):
        if flux not in ours.dtype.names or flux not in theirs.dtype.names:
            continue
        leaked = np.interp(wave, twice, theirs[flux])
        ours[flux] -= leaked * fraction
        if compatibility == "native":
            ours[brightness] -= leaked * fraction * per_flux
    if compatibility == "native":
        noise = np.interp(wave, twice, theirs["FLUX_ERROR"]) * fraction
        error = np.hypot(noise, np.interp(wave, twice, theirs["FLUX"]) * uncertainty)
        ours["FLUX_ERROR"] = np.hypot(ours["FLUX_ERROR"], error)
        ours["SB_ERROR"] = np.hypot(ours["SB_ERROR"], error * per_flux)
    return Status()


def _with_band(spectra, channel, band, wave):
    """The last spectrum of a band; one of several bands counts if it holds the wavelength."""
    found = None
    for spectrum in spectra:
        channels, name = str(spectrum.header.get("CHANNEL", "")), str(spectrum.header.get("BAND", ""))
        limits = spectrum.table["WAVELENGTH"].min(), spectrum.table["WAVELENGTH"].max()
        if channel in channels and (band in name or ("MULTIPLE" in name and limits[0] < wave < limits[1])):
            found = spectrum
    return found


def _fraction(references, wave):
    """Leaked fraction by wavelength of band 3A, and its error (0 if the reference has none)."""
    path = references.path("mrsptcorr")
    if not references.has_extension("mrsptcorr", "LEAKCOR"):
        raise MissingReferenceError(f"{path}: extension LEAKCOR is missing; use another mrsptcorr reference")
    table = references.table("mrsptcorr", "LEAKCOR")
    names = {name.lower(): name for name in table.names}
    grid, values = (np.asarray(table[names[name]], np.float64) for name in ("wavelength", "frac_leak"))
    errors = (
        np.nan_to_num(np.asarray(table[names["err_leak"]], np.float64)) if "err_leak" in names else np.zeros(len(grid))
    )
    return np.interp(wave, grid, values), np.interp(wave, grid, errors)
