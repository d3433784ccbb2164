"""The nouns of the calibration: a ramp, and an image made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.io import fits

PARTS = ("data", "groupdq", "zeroframe")
"""Attributes of a ramp of which each integration has its own part."""

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
    int_times, int_times_stripe : FITS record arrays or None
        Times of the integrations, and of the single stripes that each was put together from.
    tree : dict
        Further content of the ASDF extension.
    extra : dict
        Further products of steps by suffix, as lists of HDUs (``mask``).
    geometry : SliceGeometry or None
        Slices, wavelengths and positions along the slices of the pixels of an image of an integral-field unit.
    members : dict of list of Image
        Images that belong to this one by their role in the association: ``background``, ``imprint``, ``selfcal``; and ``dithers``, which
        are read one at a time.
    trace_model : ndarray of float32 (ny, nx) or None
        Light of compact sources, as adaptive_trace_model found it.
    oversample : float
        Columns of the image for each one of the detector, whose pixels ``wcs`` is for.
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
    int_times_stripe: np.ndarray | None = None
    tree: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)
    geometry: Any = None
    members: dict = field(default_factory=dict)
    trace_model: np.ndarray | None = None
    oversample: float = 1.0


@dataclass(frozen=True)
class Stripe:
    """Which stripe of an exposure of superstripes a ramp holds.

    Attributes
    ----------
    number : int
        From 0.
    first_flags : ndarray of uint32 (ny, nx) or None
        PIXELDQ of the first stripe; ``None`` for that one.
    """

    number: int
    first_flags: np.ndarray | None = None


@dataclass
class Ramp:
    """An exposure in stage 1. Steps change it in place and never make a second copy of ``data``.

    Arrays that steps cannot work on, as their bytes are in another order or lie apart, or as they are read-only, are copied first.

    Attributes
    ----------
    header, sci_header : Header
        Primary header and header of the SCI extension of the uncal file.
    data : ndarray of float32 (nints, ngroups, ny, nx)
        DN.
    groupdq : ndarray of uint8, same shape
    pixeldq : ndarray of uint32 (ny, nx)
        (superstripes, ny, nx) as long as each integration holds another stripe of the detector.
    zeroframe : ndarray of float32 (nints, ny, nx) or None
        0 marks an unusable pixel from the saturation step on.
    int_times, group : FITS record arrays or None
    int_times_stripe : record array or None
        Times of the single stripes, of an exposure that was put together from stripes.
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
    stripe : Stripe or None
        For the integrations of one stripe of an exposure of superstripes.
    extra : dict
        Further products of steps by suffix: lists of HDUs (``fitopt``), or trees of ASDF files (``emi_ref_waves``).
    carried : dict
        What steps keep of one integration for the next ones, by a key of their own: shared by the ramps of single integrations.
    scratch : Scratch or None
        Where arrays of the size of the ramp lie, if it is too large for memory.
    unread : callable or None
        With a ramp on a scratch file, ``unread(number)`` reads an integration into its place in ``data`` and ``zeroframe``, and
        ``unread(number, one)`` into a ramp of one integration; the chain calls it, and steps that read integrations again and again.
        A step that leaves work on each integration to the next time it is read sets it too.
    """

    header: fits.Header
    sci_header: fits.Header
    data: np.ndarray
    groupdq: np.ndarray
    pixeldq: np.ndarray
    zeroframe: np.ndarray | None = None
    int_times: np.ndarray | None = None
    group: np.ndarray | None = None
    int_times_stripe: np.ndarray | None = None
    first_integration: int = 0
    read_times: np.ndarray | None = None
    average_dark_current: np.ndarray | None = None
    persistence_ends: np.ndarray | None = None
    rate: Image | None = None
    rateints: Image | None = None
    stripe: Stripe | None = None
    extra: dict = field(default_factory=dict)
    carried: dict = field(default_factory=dict)
    scratch: Any = None
    unread: Callable | None = None

    def __post_init__(self):
        for name in ("data", "groupdq", "pixeldq", "zeroframe"):
            array = getattr(self, name)
            if array is not None:
                setattr(self, name, np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))

    def empty(self, shape, dtype=np.float32):
        """A new array for a step, of the size of the ramp: in memory, or on the scratch file, to be filled by copying to it there."""
        return np.empty(shape, dtype) if self.scratch is None else self.scratch.empty(shape, dtype, clear=False)

    def zeros(self, shape, dtype=np.float32):
        """As `empty`, of zeros, to be filled in any way."""
        return np.zeros(shape, dtype) if self.scratch is None else self.scratch.empty(shape, dtype)

    def integration(self, number):
        """A ramp of one integration, counted in ``data``: views of its arrays, a copy of ``pixeldq``, the same headers."""
        own = slice(number, number + 1)
        return replace(
            self,
            data=self.data[own],
            groupdq=self.groupdq[own],
            pixeldq=self.pixeldq.copy(),
            zeroframe=None if self.zeroframe is None else self.zeroframe[own],
            first_integration=self.first_integration + number,
            extra={},
            unread=None,
        )

    def in_memory(self):
        """Arrays in memory, by name, for what one integration of a ramp on a scratch file has its own part of."""
        arrays = {name: getattr(self, name) for name in PARTS}
        return {
            name: np.empty((1, *array.shape[1:]), array.dtype) for name, array in arrays.items() if array is not None
        }

    def read(self, number, held):
        """A ramp of one integration that ``unread`` reads into arrays in memory, those of `in_memory`."""
        one = replace(self.integration(number), **held)
        self.unread(number, one)
        return one

    def read_all(self):
        """Read what is not read yet into its place."""
        unread, self.unread = self.unread, None
        if unread is not None:
            for number in range(len(self.data)):
                unread(number)

    @property
    def subarray(self):
        """First column and row (1-based, full detector) and size in x and y, from the header."""
        return tuple(int(self.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"))

    @property
    def superstripes(self):
        """Number of integrations that together cover the subarray, as long as they are apart; 0 if each holds all of it."""
        return int(self.header.get("SSTR_NST") or 0)

    @property
    def interleaved(self):
        """Whether the frames still hold interleaved reference pixels (until refpix takes them out)."""
        return self.data.shape[-2:] == INTERLEAVED
