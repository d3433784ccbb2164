"""An extracted spectrum."""

from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits

# column and unit, in the archive's order; the last three are of the MRS only
COLUMNS = (
    ("WAVELENGTH", "um"), ("FLUX", "Jy"), ("FLUX_ERROR", "Jy"), ("FLUX_VAR_POISSON", "Jy^2"), ("FLUX_VAR_RNOISE", "Jy^2"),
    ("FLUX_VAR_FLAT", "Jy^2"), ("SURF_BRIGHT", "MJy/sr"), ("SB_ERROR", "MJy/sr"), ("SB_VAR_POISSON", "(MJy/sr)^2"),
    ("SB_VAR_RNOISE", "(MJy/sr)^2"), ("SB_VAR_FLAT", "(MJy/sr)^2"), ("DQ", None), ("BACKGROUND", "MJy/sr"), ("BKGD_ERROR", "MJy/sr"),
    ("BKGD_VAR_POISSON", "(MJy/sr)^2"), ("BKGD_VAR_RNOISE", "(MJy/sr)^2"), ("BKGD_VAR_FLAT", "(MJy/sr)^2"), ("NPIXELS", None),
    ("RF_FLUX", "Jy"), ("RF_SURF_BRIGHT", "MJy/sr"), ("RF_BACKGROUND", "MJy/sr"),
)  # fmt: skip


@dataclass
class Spectrum:
    """A spectrum and where it is from.

    Attributes
    ----------
    table : structured ndarray
        Columns ``COLUMNS``.
    header : Header
        Primary header of what it was extracted from.
    keywords : dict
        Keywords of the table.
    ra, dec : float
        Degrees.
    factors : structured ndarray or None
        What its bands were multiplied by, of a spectrum that `stitch_spectra` joined.
    """

    table: np.ndarray
    header: fits.Header
    keywords: dict = field(default_factory=dict)
    ra: float = float("nan")
    dec: float = float("nan")
    factors: np.ndarray | None = None


def empty_table(count, *, miri):
    """A table of zeros with the columns of an instrument."""
    columns = COLUMNS if miri else COLUMNS[:-3]
    return np.zeros(count, [(name, np.uint32 if name == "DQ" else np.float64) for name, _ in columns])
