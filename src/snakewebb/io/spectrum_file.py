"""Extracted spectra in the archive's layout (x1d)."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.cubes.spectrum import COLUMNS, Spectrum
from snakewebb.errors import BadDataError
from snakewebb.io.fits import check_structure, write
from snakewebb.io.products import asdf_unit, named_unit, primary_unit
from snakewebb.io.tables import table_unit

_UNITS = dict(COLUMNS)
_COMMENTS = {
    "SLTNAME": "Slit name",
    "SRCTYPE": "Source type used for calibration",
    "EXTR_X": "X center of extraction region",
    "EXTR_Y": "Y center of extraction region",
    "SLIT_RA": "[deg] Right Ascension at middle of slit",
    "SLIT_DEC": "[deg] Declination at middle of slit",
    "DETECTOR": "Name of detector used to acquire the data",
    "PA_APER": "[deg] Position angle of aperture used",
    "STMETHOD": "How bands were joined: FACTOR, OFFSET or NONE",
    "STREFBND": "Band whose level the others were brought to",
}
# keywords of the cube and its making that a spectrum does not have
_OF_THE_CUBE = ("FLUXEXT", "ERREXT", "MASKEXT", "ROIS", "ROIW", "WTYPE", "WPOWER")


def write_spectra(path, spectra):
    """Write spectra as ``x1d`` file: one table EXTRACT1D each, and FACTORS of one that was joined of bands.

    Parameters
    ----------
    path : path-like
    spectra : list of Spectrum
        With the same columns; the primary header is that of the first.

    Returns
    -------
    dict
        DATASUM by extension name.
    """
    header = spectra[0].header.copy()
    for key in _OF_THE_CUBE:
        header.remove(key, ignore_missing=True)
    mrs = "RF_FLUX" in spectra[0].table.dtype.names
    units = [primary_unit(path, header, "MRSMultiSpecModel" if mrs else "MultiSpecModel")]
    for number, spectrum in enumerate(spectra, 1):
        unit = named_unit(_table_unit(spectrum), "EXTRACT1D")
        unit.header["EXTVER"] = number
        units.append(unit)
    for spectrum in spectra:
        if spectrum.factors is not None:
            units.append(named_unit(_factors_unit(spectrum.factors), "FACTORS"))
    return write(path, [*units, asdf_unit(None)])


def _table_unit(spectrum):
    unit = table_unit(spectrum.table, "EXTRACT1D")
    for number, name in enumerate(spectrum.table.dtype.names, 1):
        if _UNITS[name] is not None:
            unit.header.set(f"TUNIT{number}", _UNITS[name], after=f"TFORM{number}")
            unit.columns[number - 1].unit = _UNITS[name]
    for key, value in spectrum.keywords.items():
        comment = f"Factor or offset (Jy) of band {key[6:]}" if key.startswith("STSCL_") else ""
        unit.header[key] = (value, _COMMENTS.get(key, comment))
    return unit


def _factors_unit(factors):
    """The table of factors of a joined spectrum; text as FITS has it."""
    kinds = [
        (name, f"S{kind.itemsize // 4}" if kind.kind == "U" else kind)
        for name, (kind, _) in factors.dtype.fields.items()
    ]
    unit = table_unit(factors.astype(kinds), "FACTORS")
    for number, name in enumerate(factors.dtype.names, 1):
        value = {"WAVEMIN": "um", "WAVEMAX": "um", "OFFSET": "Jy", "OFFSET_ERROR": "Jy"}.get(name)
        if value is not None:
            unit.header.set(f"TUNIT{number}", value, after=f"TFORM{number}")
            unit.columns[number - 1].unit = value
    return unit


def read_spectra(path):
    """Read the spectra of an ``x1d`` file of an integral-field unit, ours or the archive's.

    Raises
    ------
    BadDataError
        If the file is damaged, or has no table EXTRACT1D with columns WAVELENGTH and FLUX.
    """
    path = Path(path)
    check_structure(path)
    spectra = []
    with fits.open(path, memmap=False) as units:
        header = units[0].header.copy()
        for unit in units[1:]:
            if unit.name != "EXTRACT1D":
                continue
            names = {name.upper(): name for name in unit.columns.names}
            if not {"WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT"} <= set(names):
                raise BadDataError(
                    f"{path}[EXTRACT1D]: columns {', '.join(names)} found, expected WAVELENGTH, FLUX, FLUX_ERROR and SURF_BRIGHT among them"
                )
            table = np.zeros(
                len(unit.data), [(n, np.uint32 if n == "DQ" else np.float64) for n, _ in COLUMNS if n in names]
            )
            for name in table.dtype.names:
                table[name] = unit.data[names[name]]
            keywords = {key: unit.header[key] for key in _COMMENTS if key in unit.header}
            position = (float(unit.header.get(key, "nan")) for key in ("SLIT_RA", "SLIT_DEC"))
            spectra.append(Spectrum(table, header, keywords, *position))
    if not spectra:
        raise BadDataError(f"{path}: there is no table EXTRACT1D; an x1d file is expected")
    return spectra
