"""What all simulated reference files have in common: errors, coverage, headers, extensions."""

from dataclasses import dataclass, fields

import numpy as np

from snakewebb.dq import BITS
from snakewebb.simulate.detector_truth import READ_DIRECTION, SIZE, generator
from snakewebb.simulate.instruments import CHIPS

DATE = "2026-01-01T00:00:00"
"""DATE of every file, so that equal contents are equal files."""
USEAFTER = "2015-10-01T00:00:00"


@dataclass(frozen=True)
class ReferenceErrors:
    """By how much the reference files differ from the true detector; standard deviations where random.

    Attributes
    ----------
    flat : float
        Relative, each pixel.
    dark : float
        Electrons per second, each pixel.
    gain : float
        Relative, smooth over the detector.
    read_noise : float
        Relative, each pixel.
    superbias : float
        DN, each pixel.
    linearity : float
        Relative to the correction, each pixel.
    linearity_order : int
        Degree of the polynomial that stands for the inverse of the true response.
    saturation : float
        Fraction by which the threshold lies below the true saturation, the same for all pixels.
    saturation_scatter : float
        Relative scatter of the threshold, each pixel.
    distortion : float
        Pixels, smooth over the detector.
    filter_offset : float
        Pixels.
    area : float
        Relative, smooth over the detector.
    photom : float
        Relative, one value for a detector and filter.
    fringe : float
        Relative to the amplitude of the fringes of MIRI's spectrometer, the same for all pixels.
    """

    flat: float = 1e-3
    dark: float = 5e-4
    gain: float = 5e-3
    read_noise: float = 0.02
    superbias: float = 0.5
    linearity: float = 5e-3
    linearity_order: int = 4
    saturation: float = 0.015
    saturation_scatter: float = 2e-3
    distortion: float = 2e-3
    filter_offset: float = 1e-3
    area: float = 1e-4
    photom: float = 0.0
    fringe: float = 0.02

    @classmethod
    def zero(cls):
        """References that are as exact as their formats allow."""
        exact = {entry.name: 0.0 for entry in fields(cls)}
        # a threshold at the true saturation would never be passed
        return cls(**exact | {"linearity_order": 6, "saturation": 1e-3})


@dataclass(frozen=True)
class Subarray:
    """What part of the full detector a file covers; the numbers as the keywords of the same names."""

    name: str = "GENERIC"
    substrt1: int = 1
    substrt2: int = 1
    subsize1: int = SIZE
    subsize2: int = SIZE

    @classmethod
    def of(cls, header):
        """The subarray of an exposure."""
        return cls(
            str(header["SUBARRAY"]),
            *(int(header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")),
        )

    @property
    def corners(self):
        """First column and row, size in x and y."""
        return self.substrt1, self.substrt2, self.subsize1, self.subsize2

    def cut(self, array):
        """Cut this part out of an array of the full detector."""
        y, x = self.substrt2 - 1, self.substrt1 - 1
        return array[..., y : y + self.subsize2, x : x + self.subsize1]


FULL = Subarray()
"""The full near-infrared detector, for exposures of any subarray."""


def full_shape(detector):
    """Rows and columns of a detector."""
    return CHIPS[detector].shape if detector in CHIPS else (SIZE, SIZE)


def full_frame(detector):
    """The full detector, for exposures of any subarray."""
    ny, nx = full_shape(detector)
    return Subarray(subsize1=nx, subsize2=ny)


def pixel_noise(seed, truth, name, subarray):
    """Gaussian noise of unit width, the same for a pixel whatever part of the detector is covered."""
    values = generator(seed, truth.detector, f"{name} error").standard_normal(full_shape(truth.detector), np.float32)
    return subarray.cut(values)


def smooth_field(seed, truth, name):
    """A smooth random field of unit standard deviation over the full detector."""
    orders = np.arange(4)
    rows, columns = (
        np.cos(np.pi * orders * ((np.arange(size) + 0.5) / size)[:, None]) for size in full_shape(truth.detector)
    )
    surface = rows @ generator(seed, truth.detector, f"{name} error").normal(size=(4, 4)) @ columns.T
    return (surface / np.sqrt(np.mean(surface**2))).astype(np.float32)


def header_of(reftype, model, truth, subarray, useafter, error, *, instrument="NIRCAM"):
    """Keywords that every FITS reference has; ``truth`` may be the name of a detector, or None where ``instrument`` says whose it is."""
    detector = truth if truth is None or isinstance(truth, str) else truth.detector
    if detector in CHIPS:
        instrument = CHIPS[detector].instrument
    header = {
        "DATE": DATE,
        "FILENAME": f"{instrument.lower()}_{reftype}_{(detector or 'all').lower()}.fits",
        "DATAMODL": model,
        "TELESCOP": "JWST",
        "REFTYPE": reftype.upper(),
        "PEDIGREE": "SIMULATION",
        "DESCRIP": f"Simulated {reftype}: {error}",
        "AUTHOR": "snakewebb",
        "USEAFTER": useafter,
        "INSTRUME": instrument,
    }
    if detector:
        fast, slow = CHIPS[detector].axes if detector in CHIPS else READ_DIRECTION[detector]
        header.update(DETECTOR=detector)
        if subarray is not None:
            header.update(
                SUBARRAY=subarray.name,
                SUBSTRT1=subarray.substrt1,
                SUBSTRT2=subarray.substrt2,
                SUBSIZE1=subarray.subsize1,
                SUBSIZE2=subarray.subsize2,
                FASTAXIS=fast,
                SLOWAXIS=slow,
            )
    return header


def meta_of(reftype, model, useafter, error):
    """Metadata that every ASDF reference has."""
    return {
        "author": "snakewebb",
        "date": DATE,
        "description": f"Simulated {reftype}: {error}",
        "model_type": model,
        "pedigree": "SIMULATION",
        "reftype": reftype,
        "telescope": "JWST",
        "useafter": useafter,
    }


def image(name, array):
    """An image extension of float32."""
    from astropy.io import fits

    return fits.ImageHDU(np.asarray(array, np.float32), name=name)


def table_unit(name, rows, columns):
    """A table extension; columns are (name, format) pairs."""
    from astropy.io import fits

    return fits.BinTableHDU(np.array(rows, dtype=columns), name=name)


def dq_units(dq):
    """DQ and DQ_DEF extensions; as in the real files, DQ_DEF says what the bits mean."""
    from astropy.io import fits

    used = [name for name, bit in BITS.items() if np.any(dq & np.uint32(1 << bit))]
    names = sorted(used, key=lambda name: (name != "DO_NOT_USE", name)) or ["DO_NOT_USE"]
    own = np.zeros(dq.shape, np.uint8 if len(names) <= 8 else np.uint32)
    rows = []
    for bit, name in enumerate(names):
        own[(dq & np.uint32(1 << BITS[name])) != 0] |= own.dtype.type(1 << bit)
        rows.append((bit, 1 << bit, name, name.replace("_", " ").lower()))
    columns = [("BIT", "i4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]
    return fits.ImageHDU(own, name="DQ"), table_unit("DQ_DEF", rows, columns)


def write_fits(path, header, *units):
    """Write a FITS reference of a primary header, given as a dict, and extensions."""
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    for key, value in header.items():
        primary.header[key] = value
    fits.HDUList([primary, *units]).writeto(path, overwrite=True)


def write_cube(path, header, name, shape, planes, *units):
    """Write a FITS reference whose first extension is written plane by plane, since it need not fit the memory.

    Parameters
    ----------
    path : path-like
    header : dict
        Of the primary header.
    name : str
        EXTNAME of the extension, of float32.
    shape : tuple of int
    planes : iterable of ndarray (ny, nx)
    *units
        Further extensions.
    """
    from astropy.io import fits

    write_fits(path, header)
    axes = {f"NAXIS{number}": size for number, size in enumerate(reversed(shape), 1)}
    cards = {"XTENSION": "IMAGE", "BITPIX": -32, "NAXIS": len(shape), **axes, "PCOUNT": 0, "GCOUNT": 1, "EXTNAME": name}
    with open(path, "ab") as stream:
        stream.write(fits.Header(cards.items()).tostring(padding=True).encode())
        for plane in planes:
            stream.write(np.asarray(plane, ">f4").tobytes())
        stream.write(b"\0" * (-4 * int(np.prod(shape)) % 2880))
    with fits.open(path, mode="append") as file:
        for unit in units:
            file.append(unit)


def write_asdf(path, tree, *, inline=False):
    """Write an ASDF reference; ``inline`` puts arrays into its text, where readers find them after it is closed."""
    import asdf

    asdf.AsdfFile(tree).write_to(path, all_array_storage="inline" if inline else None)
