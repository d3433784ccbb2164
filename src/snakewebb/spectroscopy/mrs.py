"""The two channels on each detector of MIRI's medium-resolution spectrometer."""

from snakewebb.errors import BadDataError

CHANNELS = {"MIRIFUSHORT": (1, 2), "MIRIFULONG": (4, 3)}
"""Channel on the left and on the right half of each detector."""

MIDDLE = 512
"""First column of the right half."""

# rows and columns between the channels that no light reaches
_GAPS = {
    "MIRIFUSHORT": (slice(50, 974), slice(503, 516)),
    "MIRIFULONG": (slice(50, 974), slice(474, 507)),
}
SHAPE = (1024, 1032)
"""Rows and columns of the detectors."""

BAND_LETTERS = {"SHORT": "A", "MEDIUM": "B", "LONG": "C"}


def is_mrs(header):
    """Whether an exposure is one of the spectrometer."""
    return str(header.get("EXP_TYPE", "")).upper() == "MIR_MRS"


def detector_of(header):
    """Name of the detector.

    Raises
    ------
    BadDataError
        If DETECTOR is missing or not one of the spectrometer.
    """
    detector = str(header.get("DETECTOR", "")).upper()
    if detector not in CHANNELS:
        raise BadDataError(
            f"primary header: DETECTOR is {header.get('DETECTOR')!r}, expected one of {', '.join(CHANNELS)} for EXP_TYPE MIR_MRS"
        )
    return detector


def gap_between_channels(header):
    """Rows and columns, as slices, that no light reaches: where the pedestal is measured."""
    return _GAPS[detector_of(header)]


def check_full_frame(image, step):
    """Refuse an image that is not a full frame of the spectrometer.

    Raises
    ------
    BadDataError
    """
    if image.data.shape != SHAPE:
        found = " x ".join(str(size) for size in image.data.shape[::-1])
        raise BadDataError(
            f"SCI: {found} pixels, but step {step!r} needs a slope image of {SHAPE[1]} x {SHAPE[0]}; give the rate file of a full frame"
        )
