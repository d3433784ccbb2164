"""The detectors of MIRI, NIRISS, NIRSpec and FGS, and their subarrays: what is fixed by their construction."""

from dataclasses import dataclass

from snakewebb.errors import ConfigError
from snakewebb.simulate.readout import FgsReadout, Irs2Readout, MiriReadout, NirissReadout, NirspecReadout
from snakewebb.simulate.stripes import STRIPES


@dataclass(frozen=True)
class Chip:
    """A detector.

    Attributes
    ----------
    instrument : str
        INSTRUME.
    shape : (int, int)
        Rows and columns in the orientation of the archive's files.
    axes : (int, int)
        FASTAXIS, SLOWAXIS.
    border : (int, int)
        Rows, and columns, of reference pixels at each edge.
    gain : float
        Electrons per DN.
    read_noise : float
        Electrons, of a single read.
    dark : float
        Electrons per second.
    full_well : float
        Electrons.
    pedestal : float
        DN.
    losses : (float, float)
        Parts of the signal that the two terms of the non-linearity lose at the full well.
    sca_number : int
        SCA_NUM.
    """

    instrument: str
    shape: tuple
    axes: tuple
    border: tuple
    gain: float
    read_noise: float
    dark: float
    full_well: float
    pedestal: float
    losses: tuple
    sca_number: int


def _near_infrared(instrument, axes, gain, read_noise, dark, full_well, sca_number, pedestal=10000.0):
    return Chip(
        instrument,
        (2048, 2048),
        axes,
        (4, 4),
        gain,
        read_noise,
        dark,
        full_well,
        pedestal,
        (0.04, 0.015),
        sca_number,
    )


def _mid_infrared(read_noise, dark, sca_number):
    return Chip(
        "MIRI",
        (1024, 1032),
        (1, 2),
        (0, 4),
        3.9,
        read_noise,
        dark,
        200000.0,
        8000.0,
        (0.08, 0.01),
        sca_number,
    )


CHIPS = {
    "MIRIMAGE": _mid_infrared(22.0, 0.2, 493),
    "MIRIFUSHORT": _mid_infrared(20.0, 0.15, 495),
    "MIRIFULONG": _mid_infrared(20.0, 0.15, 494),
    "NIS": _near_infrared("NIRISS", (-2, -1), 1.62, 10.5, 0.02, 72000.0, 496),
    "NRS1": _near_infrared("NIRSPEC", (2, 1), 1.0, 10.0, 0.008, 54000.0, 491, 8000.0),
    "NRS2": _near_infrared("NIRSPEC", (-2, -1), 1.14, 10.0, 0.006, 56000.0, 492, 8000.0),
    "GUIDER1": _near_infrared("FGS", (-2, -1), 1.75, 15.0, 0.05, 75000.0, 497),
    "GUIDER2": _near_infrared("FGS", (2, -1), 1.75, 15.0, 0.05, 75000.0, 498),
}
"""Detectors by name; the numbers are of the order of those in flight."""

SUBARRAYS = {
    "MIRIMAGE": {
        "FULL": (1, 1, 1032, 1024),
        "BRIGHTSKY": (457, 51, 512, 512),
        "SUB256": (413, 51, 256, 256),
        "SUB128": (1, 889, 136, 128),
        "SUB64": (1, 779, 72, 64),
        "SLITLESSPRISM": (1, 529, 72, 416),
        "MASK1065": (1, 19, 288, 224),
        "MASK1140": (1, 245, 288, 224),
        "MASK1550": (1, 467, 288, 224),
        "MASKLYOT": (1, 717, 320, 304),
    },
    "NIS": {
        "FULL": (1, 1, 2048, 2048),
        "SUBSTRIP256": (1, 1793, 2048, 256),
        "SUBSTRIP96": (1, 1803, 2048, 96),
        "SUB64": (1985, 1985, 64, 64),
        "SUB80": (1045, 1, 80, 80),
        "SUB128": (1921, 1921, 128, 128),
        "SUB256": (1793, 1793, 256, 256),
    },
    "NRS1": {
        "FULL": (1, 1, 2048, 2048),
        "ALLSLITS": (1, 897, 2048, 256),
        "SUBS200A1": (1, 1041, 2048, 64),
        "SUBS400A1": (1, 955, 2048, 64),
        "SUB2048": (1, 946, 2048, 32),
        "SUB1024A": (1025, 946, 1024, 32),
        "SUB512": (1, 946, 512, 32),
    },
    "GUIDER1": {
        "FULL": (1, 1, 2048, 2048),
        "128X128": (887, 1022, 128, 128),
        "32X32": (935, 1070, 32, 32),
        "8X8": (947, 1082, 8, 8),
        "SUB128CNTR": (961, 961, 128, 128),
        "SUB128DIAG": (1441, 1441, 128, 128),
        "SUB128LL": (1921, 1921, 128, 128),
        "SUB32CNTR": (1009, 1009, 32, 32),
        "SUB32DIAG": (1489, 1489, 32, 32),
        "SUB32LL": (1969, 1969, 32, 32),
    },
}
"""SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2 of each detector's subarrays."""
SUBARRAYS["NIS"] |= {name: stripes.corner for name, stripes in STRIPES.items()}
SUBARRAYS["NRS2"] = SUBARRAYS["NRS1"]
# the rows of the second guider run the other way
SUBARRAYS["GUIDER2"] = SUBARRAYS["GUIDER1"] | {
    "SUB128DIAG": (1441, 481, 128, 128),
    "SUB128LL": (1921, 1, 128, 128),
    "SUB32DIAG": (1489, 529, 32, 32),
    "SUB32LL": (1969, 49, 32, 32),
}
SUBARRAYS["MIRIFUSHORT"] = SUBARRAYS["MIRIFULONG"] = {"FULL": SUBARRAYS["MIRIMAGE"]["FULL"]}

_READOUTS = {"MIRI": MiriReadout, "NIRISS": NirissReadout, "NIRSPEC": NirspecReadout, "FGS": FgsReadout}


def chip(detector):
    """Description of a detector.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if detector not in CHIPS:
        raise ConfigError(f"unknown detector {detector!r}; valid: {', '.join(CHIPS)}")
    return CHIPS[detector]


def corners(detector, subarray):
    """SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2.

    Raises
    ------
    ConfigError
        If the detector has no such subarray.
    """
    known = SUBARRAYS[detector]
    if subarray not in known:
        raise ConfigError(f"{detector} has no subarray {subarray!r}; valid: {', '.join(known)}")
    return known[subarray]


def is_irs2(pattern):
    """Whether NIRSpec interleaves reference pixels in this pattern."""
    return "IRS2" in pattern


def make_readout(detector, subarray, pattern, ngroups, nints):
    """How a subarray of a detector is read, in the order of its axes.

    Raises
    ------
    ConfigError
        For an unknown subarray, or a pattern that the instrument does not have.
    """
    one = chip(detector)
    _, _, nx, ny = corners(detector, subarray)
    shape = (nx, ny) if abs(one.axes[0]) == 2 else (ny, nx)
    options = {"subarray": subarray} if one.instrument == "MIRI" else {}
    kind = Irs2Readout if is_irs2(pattern) else _READOUTS[one.instrument]
    outputs = 4 if subarray == "FULL" or one.instrument == "MIRI" else 1
    try:
        return kind(pattern, ngroups, nints, shape, outputs, **options)
    except ValueError as error:
        raise ConfigError(str(error)) from error
