"""When MIRI's pixels are read, and with which frequencies the electronics interfere with them."""

from dataclasses import dataclass

import numpy as np

from snakewebb.compiled import njit
from snakewebb.errors import BadDataError, MissingReferenceError

TICK = 1e-5
"""Length of a pixel clock in seconds, the unit of all times here."""

_DETECTOR_ROWS = 1024
_CLOCKS_OF_SKIPPED_ROW = 7

# subarray: pixel clocks of a row and of a frame
_CLOCKS = {
    "SLITLESSPRISM": (28, 15904),
    "MASKLYOT": (90, 32400),
    "SUB64": (28, 8512),
    "SUB128": (44, 11904),
    "MASK1140": (82, 23968),
    "MASK1550": (82, 23968),
    "MASK1065": (82, 23968),
    "FULL_FAST": (271, 277504),
    "FULL_SLOW": (2333, 2388992),
    "BRIGHTSKY": (162, 86528),
    "SUB256": (96, 29952),
}


@dataclass(frozen=True)
class Wave:
    """A frequency to be removed.

    Attributes
    ----------
    name : str
    frequency : float
        Hz.
    shape : ndarray of float64 or None
        One period of the waveform, DN, where it is known.
    """

    name: str
    frequency: float
    shape: np.ndarray | None = None

    @property
    def period(self):
        """Period in pixel clocks."""
        return (1.0 / self.frequency) / TICK


@dataclass(frozen=True)
class Clock:
    """When the pixels of an exposure are read, in pixel clocks since its first pixel.

    Four neighbours of a row (a quad) are read at the same time through the four outputs.

    Attributes
    ----------
    case : str
        Name of the read-out, as EMICORR files have it.
    row, frame : int
        Clocks of a row, and of a whole frame as EMICORR files have it.
    sample : int
        Clocks of a quad of pixels (1 in FAST, 9 in SLOW patterns).
    between_frames : float
        Clocks from the first pixel of a frame to that of the next one.
    between_integrations : float
        Clocks of the reset frame after each integration, 0 if there is none.
    """

    case: str
    row: float
    frame: float
    sample: int
    between_frames: float
    between_integrations: float


def clock_of(ramp, case, row, frame):
    """The `Clock` of an exposure.

    Raises
    ------
    BadDataError
        If the header lacks NSAMPLES, or the array is not made of quads.
    """
    ny, nx = ramp.data.shape[2:]
    samples = ramp.header.get("NSAMPLES")
    if isinstance(samples, bool) or not isinstance(samples, (int, float)) or samples < 1:
        raise BadDataError(
            f"{ramp.header.get('FILENAME', 'uncal')}: keyword NSAMPLES is {samples!r}, expected the samples per pixel (1 "
            "in FAST, 9 in SLOW patterns); add it, or skip the step emicorr"
        )
    if nx % 4:
        raise BadDataError(
            f"{ramp.header.get('FILENAME', 'uncal')}[SCI]: {nx} columns found, expected a multiple of the four outputs; "
            "skip the step emicorr"
        )
    with_reset = str(ramp.header["READPATT"]).upper().endswith("R1")
    between_frames = ny * row + float((_DETECTOR_ROWS - ny) * _CLOCKS_OF_SKIPPED_ROW)
    return Clock(case, row, frame, int(samples), between_frames, float(frame) if with_reset else 0.0)


def speed_of(ramp):
    """FAST or SLOW."""
    return "SLOW" if "SLOW" in str(ramp.header["READPATT"]).upper() else "FAST"


def case_of(ramp):
    """Name of the read-out: the subarray, for full frames with the speed."""
    subarray = str(ramp.header["SUBARRAY"]).strip()
    return f"{subarray}_{speed_of(ramp)}" if "FULL" in subarray else subarray


def built_in(ramp, frequencies):
    """Clock and waves for frequencies of the user's own, or ``None`` and an empty list for an unknown read-out."""
    case = case_of(ramp)
    if case not in _CLOCKS:
        return None, []
    return clock_of(ramp, case, *_CLOCKS[case]), [Wave(repr(value), value) for value in frequencies]


def of_reference(ramp, references):
    """Clock and waves that an EMICORR file has for an exposure, or ``None`` and an empty list.

    Raises
    ------
    MissingReferenceError
        If the file names a frequency that it does not describe.
    """
    tree = references.tree("emicorr")
    name, speed = case_of(ramp), speed_of(ramp)
    try:
        case = tree["subarray_cases"][name]
        names = case["freqs"][speed]
        if speed == "SLOW":
            names = names[str(ramp.header["DETECTOR"]).strip()]
        clocks = case["rowclocks"], case["frameclocks"]
    except (KeyError, TypeError):
        return None, []
    waves = []
    for label in names:
        try:
            entry = tree["frequencies"][label]
            shape = np.array(entry["phase_amplitudes"], np.float64)
            waves.append(Wave(str(label), float(entry["frequency"]), shape))
        except (KeyError, TypeError, ValueError) as error:
            raise MissingReferenceError(
                f"{references.path('emicorr')}: subarray_cases.{name} names frequency {label!r}, but frequencies.{label} "
                f"lacks a frequency and its phase_amplitudes ({error!r}); use another EMICORR file"
            ) from error
        if shape.ndim != 1 or shape.size < 4 or not np.isfinite(shape).all() or not waves[-1].frequency > 0:
            raise MissingReferenceError(
                f"{references.path('emicorr')}: frequencies.{label}: frequency {entry['frequency']!r} Hz with "
                f"phase_amplitudes of shape {shape.shape} found, expected a positive number and at least four finite ones"
            )
    return clock_of(ramp, name, *clocks), waves


@njit
def fraction(value):
    """Fractional part, in [0, 1) also for negative numbers."""
    return value - np.floor(value)
