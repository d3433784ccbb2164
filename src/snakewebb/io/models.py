"""The nouns of the calibration: a ramp, and an image made of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits

INTERLEAVED = (3200, 2048)
"""Rows and columns of frames with interleaved reference pixels (NIRSpec's IRS2 read-out), for which the headers say 2048 and 2048."""


@dataclass
class Image:
    """A slope image or a stack of them (rate, rateints, cal, crf).

    All arrays have the shape (ny, nx), or (nints, ny, nx) for a stack; an array that does not exist is ``None``.

    Attributes
    ----------
    header, sci_header : Header
        Primary header, and header of the SCI extension (BUNIT, WCS keywords).
    data, err : ndarray of float32
        DN/s after stage 1, MJy/sr after photom.
    dq : ndarray of uint32
    var_poisson, var_rnoise, var_flat : ndarray of float32
        Squares of the unit of ``data``.
    area : ndarray of float32 (ny, nx)
        Pixel area relative to the nominal one.
    wcs : gwcs.WCS
        0-based detector pixel of this array to sky.
    int_times : FITS record array
    tree : dict
        Further content of the ASDF extension.
    extra : dict
        Further products of steps by suffix, as lists of HDUs (``mask``).
    """

    header: fits.Header
    sci_header: fits.Header
    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    var_poisson: np.ndarray | None = None
    var_rnoise: np.ndarray | None = None
    var_flat: np.ndarray | None = None
    area: np.ndarray | None = None
    wcs: Any = None
    int_times: np.ndarray | None = None
    tree: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)


@dataclass
class Ramp:
    """An exposure in stage 1. Steps change it in place and never make a second copy of ``data``.

    Attributes
    ----------
    header, sci_header : Header
        Primary header and header of the SCI extension of the uncal file.
    data : ndarray of float32 (nints, ngroups, ny, nx)
        DN.
    groupdq : ndarray of uint8, same shape
    pixeldq : ndarray of uint32 (ny, nx)
    zeroframe : ndarray of float32 (nints, ny, nx) or None
        0 marks an unusable pixel from the saturation step on.
    int_times, group : FITS record arrays or None
    first_integration : int
        Number of the first integration of ``data`` in the exposure, from 0: an exposure may come in segments, and steps may get its
        integrations one after the other.
    read_times : ndarray of float64 (ngroups,) or None
        Mean time of each group since the reset, seconds, where groups are not evenly spaced (striped read-outs).
    average_dark_current : ndarray of float32 (ny, nx), or None
        Electrons per second; set by dark_current, used by ramp_fit.
    persistence_ends : ndarray of float64 (ny, nx), or None
        Ends of the persistence windows that earlier exposures left open, seconds since 1970 (UTC), 0 for none; carried on by persistence.
    rate, rateints : Image or None
        Set by ramp_fit.
    extra : dict
        Further products of steps by suffix, as lists of HDUs (``fitopt``).
    """

    header: fits.Header
    sci_header: fits.Header
    data: np.ndarray
    groupdq: np.ndarray
    pixeldq: np.ndarray
    zeroframe: np.ndarray | None = None
    int_times: np.ndarray | None = None
    group: np.ndarray | None = None
    first_integration: int = 0
    read_times: np.ndarray | None = None
    average_dark_current: np.ndarray | None = None
    persistence_ends: np.ndarray | None = None
    rate: Image | None = None
    rateints: Image | None = None
    extra: dict = field(default_factory=dict)

    @property
    def subarray(self):
        """First column and row (1-based, full detector) and size in x and y, from the header."""
        return tuple(int(self.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"))

    @property
    def interleaved(self):
        """Whether the frames still hold interleaved reference pixels (until refpix takes them out)."""
        return self.data.shape[-2:] == INTERLEAVED
