"""The optical elements that the imagers offer, by detector: filters with pupil elements, or with subarrays.

References
----------
The filter and subarray pages of the instruments in the JWST user documentation. NIRCam's narrow filters lie in the pupil
wheel and are used with a wide filter or, where that is the same band, a medium one; the flat-field rules of the
observatory list these pairs.
"""

import itertools
from dataclasses import dataclass

import pytest

SHORT_FILTERS = ["F070W", "F090W", "F115W", "F140M", "F150W", "F150W2", "F182M", "F187N", "F200W", "F210M", "F212N"]
LONG_FILTERS = [
    "F250M",
    "F277W",
    "F300M",
    "F322W2",
    "F335M",
    "F356W",
    "F360M",
    "F410M",
    "F430M",
    "F444W",
    "F460M",
    "F480M",
]
SHORT_PAIRS = [
    *((name, "CLEAR") for name in (*SHORT_FILTERS, "WLP4")),
    ("F150W2", "F162M"),
    ("F150W2", "F164N"),
    *(
        (name, lens)
        for lens in ("WLP8", "WLM8")
        for name in ("F070W", "F140M", "F182M", "F187N", "F210M", "F212N", "WLP4")
    ),
]
LONG_PAIRS = [
    *((name, "CLEAR") for name in LONG_FILTERS),
    *((name, "F323N") for name in ("F322W2", "F335M", "F356W")),
    *((name, "F405N") for name in ("F410M", "F444W")),
    *((name, "F466N") for name in ("F444W", "F460M", "F480M")),
    *((name, "F470N") for name in ("F444W", "F480M")),
]
NIRISS_PAIRS = [
    *(("CLEAR", name) for name in ("F090W", "F115W", "F140M", "F150W", "F158M", "F200W")),
    *((name, "CLEARP") for name in ("F277W", "F356W", "F380M", "F430M", "F444W", "F480M")),
]
MIRI_FILTERS = ["F560W", "F770W", "F1000W", "F1130W", "F1280W", "F1500W", "F1800W", "F2100W", "F2550W", "F2550WR"]
MIRI_SUBARRAYS = [
    "FULL",
    "BRIGHTSKY",
    "SUB256",
    "SUB128",
    "SUB64",
    "SLITLESSPRISM",
    "MASK1065",
    "MASK1140",
    "MASK1550",
    "MASKLYOT",
]


@dataclass(frozen=True)
class Setting:
    """A detector behind its optical elements.

    Attributes
    ----------
    instrument, detector : str
    keywords : dict of str to str
        Keywords of the primary header: of the detector, the wheels, and the subarray where tables depend on it.
    row : tuple of str
        What tables of the instrument's photometry name it by.
    always : bool
        Whether tests of all settings run it always: each detector, and each pair of elements on one of the detectors.
    """

    instrument: str
    detector: str
    keywords: dict
    row: tuple
    always: bool

    def __str__(self):
        return "-".join((self.detector, *self.row))


def _nircam(detectors, pairs):
    for (place, detector), (number, (filter, pupil)) in itertools.product(enumerate(detectors), enumerate(pairs)):
        keywords = {
            "MODULE": detector[3],
            "CHANNEL": "LONG" if detector.endswith("LONG") else "SHORT",
            "FILTER": filter,
            "PUPIL": pupil,
            "EXP_TYPE": "NRC_IMAGE",
        }
        always = number % len(detectors) == place
        yield Setting("NIRCAM", detector, keywords, (filter, pupil), always)


def _niriss():
    for filter, pupil in NIRISS_PAIRS:
        keywords = {"FILTER": filter, "PUPIL": pupil, "EXP_TYPE": "NIS_IMAGE"}
        yield Setting("NIRISS", "NIS", keywords, (filter, pupil), True)


def _miri():
    for (place, filter), (number, subarray) in itertools.product(enumerate(MIRI_FILTERS), enumerate(MIRI_SUBARRAYS)):
        keywords = {"FILTER": filter, "SUBARRAY": subarray, "EXP_TYPE": "MIR_IMAGE", "READPATT": "FASTR1"}
        yield Setting("MIRI", "MIRIMAGE", keywords, (filter, subarray), number in (0, place))


SETTINGS = [
    *_nircam([f"NRC{module}{part}" for module in "AB" for part in "1234"], SHORT_PAIRS),
    *_nircam(["NRCALONG", "NRCBLONG"], LONG_PAIRS),
    *_niriss(),
    *_miri(),
    *(Setting("FGS", detector, {"EXP_TYPE": "FGS_IMAGE"}, (), True) for detector in ("GUIDER1", "GUIDER2")),
]
"""Every `Setting` of an imaging detector."""


def with_oracle(settings=SETTINGS):
    """Settings as parameters of a test that runs the oracle: those that do not run always are marked."""
    marks = {True: (), False: pytest.mark.oracle_long}
    return [pytest.param(setting, id=str(setting), marks=marks[setting.always]) for setting in settings]
