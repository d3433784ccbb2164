"""The imagers of the observatory: what distinguishes their exposures and their reference files from each other's."""

from dataclasses import dataclass, field

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.bands import bandpass
from snakewebb.simulate.detector_truth import PHOTMJSR, SCA_NUMBERS, channel, generator
from snakewebb.simulate.instruments import CHIPS

_NAMES = ("filter", "S12"), ("pupil", "S12")
_PLACES = ("filter", "S12"), ("subarray", "S17")


@dataclass(frozen=True)
class Decline:
    """How the response of a band declines with time: a product of three laws, each 1 or nearly so at `START`.

    Attributes
    ----------
    exponential : (float, float, float)
        Amplitude, time constant in days, what remains.
    linear : float
        Loss in a year of 365 days.
    power : (float, float, float)
        Value after a year, softening in days, exponent.
    """

    exponential: tuple
    linear: float
    power: tuple

    def at(self, mjd):
        """Response at a date, relative to what PHOTMJSR says."""
        days = mjd - START
        amplitude, tau, rest = self.exponential
        year, soft, exponent = self.power
        total = amplitude * np.exp(-days / tau) + rest
        total *= 1 - self.linear * days / 365
        return float(total * year * ((days + soft) / (365 + soft)) ** exponent)


START = 59720.0
"""MJD from which MIRI's response declines."""


@dataclass(frozen=True)
class Imager:
    """An instrument that takes images.

    Attributes
    ----------
    instrument : str
        INSTRUME.
    prefix : str
        Of the names of its data models.
    exp_type, template : str
        EXP_TYPE, TEMPLATE.
    also : str
        P_EXP_TY of its photometric references: further types that they are for.
    photmjsr : dict of str to float
        MJy/sr per DN/s of each band.
    photom_columns, apcorr_columns : tuple of (str, str)
        Columns of the tables that say what a row is for.
    offset : float
        Largest offset of a filter, pixels, each axis; 0: it has no such reference.
    backgrounds : dict of str to float
        Sky brightness of bands, MJy/sr, where a design gives none.
    declines : dict of str to Decline
        Of the bands whose response declines.
    dither_patterns : (str, str)
        PATTTYPE of the full frame and of subarrays.
    """

    instrument: str
    prefix: str
    exp_type: str
    template: str
    also: str
    photmjsr: dict
    photom_columns: tuple = _NAMES
    apcorr_columns: tuple = (("filter", "S12"), ("pupil", "S15"))
    offset: float = 0.5
    backgrounds: dict = field(default_factory=dict)
    declines: dict = field(default_factory=dict)
    dither_patterns: tuple = ("NONE", "NONE")

    @property
    def title(self):
        """Its name as people write it."""
        return self.template.split()[0]

    def band(self, filter, pupil):
        """Name of a band.

        Raises
        ------
        ConfigError
            If it has no such filter.
        """
        name = bandpass(filter, pupil)
        if name not in self.photmjsr:
            known = ", ".join(self.photmjsr)
            raise ConfigError(f"unknown {self.title} filter {filter!r} with pupil {pupil!r}; valid: {known}")
        return name

    def keywords(self, detector, filter, pupil):
        """Keywords of the instrument's configuration, as (name, value, comment)."""
        wheel = ("FILTER", filter, "Name of the filter element used")
        second = ("PUPIL", pupil, "Name of the pupil element used")
        return {
            "NIRCAM": lambda: [
                ("MODULE", detector[3], "NIRCam module: A, B, or MULTIPLE"),
                ("CHANNEL", channel(detector), "Instrument channel"),
                wheel,
                second,
                ("PILIN", False, "Pupil imaging lens in the optical path?"),
                ("CORONMSK", "NONE", "coronagraph mask used"),
            ],
            "NIRISS": lambda: [wheel, second, ("FOCUSPOS", 0, "[mm] Pickoff mirror focus position")],
            "MIRI": lambda: [wheel, ("CCCSTATE", "OPEN", "Contamination control cover state")],
            "FGS": list,
        }[self.instrument]()

    def sca_number(self, detector):
        """SCA_NUM."""
        return SCA_NUMBERS[detector] if detector in SCA_NUMBERS else CHIPS[detector].sca_number

    def response(self, filter, pupil, mjd):
        """Response at a date relative to that of the reference."""
        decline = self.declines.get(bandpass(filter, pupil))
        return decline.at(mjd) if decline else 1.0

    def subarray_factor(self, subarray, seed):
        """PHOTMJSR of a subarray relative to that of the full frame: MIRI's references tell them apart."""
        if self.photom_columns != _PLACES or subarray == "FULL":
            return 1.0
        return float(1 + 0.03 * generator(seed, self.instrument, f"response {subarray}").uniform(-1, 1))


def _decline(loss):
    """A decline by a part ``loss`` in the long run."""
    return Decline((loss, 250.0, 1 - loss), 0.05 * loss, (1 - 0.02 * loss, 60.0, -0.02 * loss))


IMAGERS = {
    "nircam_imaging": Imager(
        "NIRCAM",
        "Nrc",
        "NRC_IMAGE",
        "NIRCam Imaging",
        "NRC_IMAGE|NRC_CORON|NRC_TSIMAGE|NRC_FOCUS|NRC_TACQ|NRC_TACONFIRM|",
        PHOTMJSR,
        dither_patterns=("INTRAMODULE", "SUBARRAY-DITHER"),
    ),
    "niriss_imaging": Imager(
        "NIRISS",
        "Nis",
        "NIS_IMAGE",
        "NIRISS Imaging",
        "NIS_IMAGE|NIS_AMI|NIS_TACQ|NIS_TACONFIRM|NIS_FOCUS|",
        {"F090W": 0.55, "F115W": 0.46, "F140M": 0.72, "F150W": 0.38, "F158M": 0.68, "F200W": 0.31, "F277W": 0.27,
         "F356W": 0.23, "F380M": 1.05, "F430M": 1.2, "F444W": 0.28, "F480M": 0.9},
        dither_patterns=("INTRASCA", "SUBARRAY-DITHER"),
    ),
    "miri_imaging": Imager(
        "MIRI",
        "Mir",
        "MIR_IMAGE",
        "MIRI Imaging",
        "MIR_IMAGE|MIR_4QPM|MIR_LYOT|MIR_TACQ|MIR_TACONFIRM|MIR_CORONCAL|",
        {"F560W": 0.48, "F770W": 0.27, "F1000W": 0.42, "F1130W": 1.5, "F1280W": 0.66, "F1500W": 0.52, "F1800W": 0.80,
         "F2100W": 0.83, "F2550W": 2.2},
        photom_columns=_PLACES,
        apcorr_columns=_PLACES,
        offset=1.0,
        backgrounds={"F560W": 1.3, "F770W": 6.5, "F1000W": 16.0, "F1130W": 26.0, "F1280W": 32.0, "F1500W": 50.0,
                     "F1800W": 100.0, "F2100W": 190.0, "F2550W": 700.0},
        declines={"F560W": _decline(0.005), "F770W": _decline(0.008), "F1000W": _decline(0.01),
                  "F1130W": _decline(0.015), "F1280W": _decline(0.015), "F1500W": _decline(0.02),
                  "F1800W": _decline(0.04), "F2100W": _decline(0.07), "F2550W": _decline(0.16)},
        dither_patterns=("CYCLING", "CYCLING"),
    ),
    "fgs_imaging": Imager(
        "FGS",
        "Fgs",
        "FGS_IMAGE",
        "FGS External Calibration",
        "FGS_IMAGE|FGS_FOCUS|",
        {"FGS": 0.06},
        photom_columns=(),
        apcorr_columns=(),
        offset=0.0,
    ),
}  # fmt: skip
"""Imagers by the name of their mode."""

IMAGER_OF = {imager.instrument: imager for imager in IMAGERS.values()}
"""Imagers by INSTRUME."""


def instrument_of(detector):
    """INSTRUME of a detector."""
    return CHIPS[detector].instrument if detector in CHIPS else "NIRCAM"


def wheel_of(detector):
    """Name of what shares the filters' offsets: a module and channel of NIRCam, an instrument else."""
    instrument = instrument_of(detector)
    return f"{detector[3]} {channel(detector)}" if instrument == "NIRCAM" else instrument
