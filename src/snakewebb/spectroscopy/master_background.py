"""Subtract a spectrum of the background from the pixels of an exposure, by their wavelengths."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.io.fits import check_structure
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.io.tables import table_unit
from snakewebb.spectroscopy.combine_spectra import combine_spectra
from snakewebb.spectroscopy.running_median import running_median
from snakewebb.spectroscopy.slice_geometry import geometry_of
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)

MEMBERS = "background_spectra"
"""Role of the spectra (`snakewebb.cubes.spectrum.Spectrum`) of background exposures in ``Image.members``."""


@step(version=1, keyword="S_MSBSUB")
def master_background(
    image: Image,
    refs: References,
    *,
    median_kernel: Annotated[int, Between(1, None)] = 1,
    user_background: str | None = None,
    save_background: bool = False,
    force_subtract: bool = False,
    output_use_model: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Subtract the mean spectrum of background exposures, or one of the user's, from an exposure of the MRS, with its noise.

    The spectra of the background exposures are averaged, weighted by exposure time, and interpolated at the wavelength of each pixel.
    Where the spectrum does not reach, nothing is subtracted. Noise of the spectrum is common to all pixels of a wavelength.

    Parameters
    ----------
    image : Image
        With its geometry, and the spectra as ``members["background_spectra"]``.
    refs : References
        Not used.
    median_kernel : int
        Length of the running median of the background spectrum; an even number is lowered by 1, and 1 changes nothing.
    user_background : str or None
        A file with a spectrum of the background (x1d or c1d) to subtract in place of the mean: columns WAVELENGTH, SURF_BRIGHT and, for
        its noise, SB_ERROR.
    save_background : bool
        Save the spectrum (suffix ``masterbg1d``) and the image that is subtracted (``masterbg2d``).
    force_subtract : bool
        Subtract also from an exposure whose background was subtracted before.
    output_use_model : bool
        Accepted for compatibility; names come from the plan.
    compatibility : str
        ``jwst`` leaves the errors as they are, gives zeros beyond the ends of the spectrum a part in the running median, and counts values
        whose surface brightness is not a number as zero in the mean.

    Returns
    -------
    Status
        NOT_APPLICABLE without a background, or if it was subtracted before.

    Raises
    ------
    BadDataError
        If the user's file has no such columns, or no spectrum has valid values.

    References
    ----------
    ``jwst.master_background``; it does not propagate the noise.
    """
    before = [key for key in ("S_BKDSUB", "S_MSBSUB") if str(image.header.get(key, "")).strip() == "COMPLETE"]
    if before and not force_subtract:
        return Status(
            NOT_APPLICABLE,
            f"{before[0]} is COMPLETE: the background was subtracted before; steps.master_background.force_subtract: true does it again",
        )
    native = compatibility == "native"
    if user_background:
        table = read_background(user_background)
        source = Path(user_background).name
    else:
        spectra = image.members.get(MEMBERS, [])
        if not spectra:
            return Status(NOT_APPLICABLE, "there are no spectra of background exposures, and no user_background")
        table = mean_background(spectra, compatibility=compatibility)
        source = f"mean of {len(spectra)} spectra"
        kernel = median_kernel - (median_kernel % 2 == 0)
        if kernel > 1:
            for name in ("SURF_BRIGHT", "FLUX"):
                table[name] = running_median(table[name][None, :], 1, kernel, padded=not native)[0]
    wavelength = geometry_of(image, "master_background").wavelength
    level, noise, reached = expanded(table, wavelength)
    image.data -= level.astype(np.float32)
    if native and noise is not None:
        add_noise(image, {"var_poisson": noise**2})
        match_invalid(image, ...)
    if user_background:
        image.header["MASTERBG"] = source
    if save_background:
        _save(image, table, level, noise)
    beyond = int(np.count_nonzero(np.isfinite(wavelength) & ~reached))
    return Status(COMPLETE, source + (f"; it does not reach {beyond} pixels" if beyond else ""))


def mean_background(spectra, *, compatibility="native"):
    """Mean spectrum of the background in extracted spectra, weighted by exposure time.

    Parameters
    ----------
    spectra : list of Spectrum
        Of fields without a source, whose BACKGROUND is that of the whole field.
    compatibility : {"native", "jwst"}

    Returns
    -------
    structured ndarray
        Columns of a c1d file, by wavelength.
    """
    tables, times = [], []
    for spectrum in spectra:
        table = spectrum.table.copy()
        table["SURF_BRIGHT"], table["SB_ERROR"] = table["BACKGROUND"], table["BKGD_ERROR"]
        tables.append(table)
        time = spectrum.header.get("EFFEXPTM")
        if time is None:
            raise BadDataError(
                f"{spectrum.header.get('FILENAME', 'a background spectrum')}, primary header: EFFEXPTM is missing, which weights the "
                "background; extract the spectrum again"
            )
        times.append(float(time))
    return combine_spectra(tables, times, compatibility=compatibility).table()


def read_background(path):
    """A spectrum of the background in a file.

    Returns
    -------
    structured ndarray
        WAVELENGTH, SURF_BRIGHT and SB_ERROR (0 if the file has none), by wavelength.

    Raises
    ------
    BadDataError
        If the file is damaged, or no table has WAVELENGTH and SURF_BRIGHT.
    """
    check_structure(Path(path))
    with fits.open(path, memmap=False) as units:
        found = []
        for unit in units:
            names = {name.upper(): name for name in getattr(getattr(unit, "columns", None), "names", None) or ()}
            if {"WAVELENGTH", "SURF_BRIGHT"} <= set(names):
                found.append((unit.data, names))
        if not found:
            kinds = ", ".join(unit.name for unit in units)
            raise BadDataError(
                f"steps.master_background.user_background: {path} has the extensions {kinds}, expected a table with columns WAVELENGTH "
                "(micron) and SURF_BRIGHT (MJy/sr), as in x1d and c1d files"
            )
        if len(found) > 1:
            log.warning("%s: %d spectra, the first one is taken for the background", path, len(found))
        data, names = found[0]
        table = np.zeros(len(data), [(name, np.float64) for name in ("WAVELENGTH", "SURF_BRIGHT", "SB_ERROR")])
        for name in table.dtype.names:
            if name in names:
                table[name] = data[names[name]]
    return table


def expanded(table, wavelength):
    """A spectrum at the wavelengths of pixels.

    Parameters
    ----------
    table : structured ndarray
        WAVELENGTH (micron), SURF_BRIGHT (MJy/sr) and SB_ERROR.
    wavelength : ndarray of float64 (ny, nx)
        NaN where there is none.

    Returns
    -------
    level, noise : ndarray of float64 (ny, nx)
        0 where there is no wavelength, or the spectrum does not reach.
    reached : ndarray of bool (ny, nx)
    """
    table = table[np.argsort(table["WAVELENGTH"], kind="stable")]
    grid = table["WAVELENGTH"]
    known = np.where(np.isnan(wavelength), -1.0, wavelength)
    level = np.interp(known, grid, table["SURF_BRIGHT"], left=0.0, right=0.0)
    noise = np.interp(known, grid, np.nan_to_num(table["SB_ERROR"]), left=0.0, right=0.0)
    return level, noise, (known >= grid[0]) & (known <= grid[-1])


def _save(image, table, level, noise):
    unit = table_unit(table, "COMBINE1D")
    for number, name in enumerate(table.dtype.names, 1):
        known = {"WAVELENGTH": "um", "FLUX": "Jy", "ERROR": "Jy", "SURF_BRIGHT": "MJy/sr", "SB_ERROR": "MJy/sr"}
        if name in known:
            unit.header.set(f"TUNIT{number}", known[name], after=f"TFORM{number}")
    primary = fits.PrimaryHDU()
    for key in ("TELESCOP", "INSTRUME", "DETECTOR", "CHANNEL", "BAND", "EXP_TYPE"):
        if key in image.header:
            primary.header[key] = image.header[key]
    image.extra["masterbg1d"] = [primary, unit]
    arrays = {"SCI": level.astype(np.float32), "ERR": noise.astype(np.float32)}
    image.extra["masterbg2d"] = [
        primary.copy(),
        *(fits.ImageHDU(array, name=name) for name, array in arrays.items()),
    ]
