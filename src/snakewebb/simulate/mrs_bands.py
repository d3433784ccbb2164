"""The twelve bands of MIRI's medium-resolution spectrometer: what is fixed by its construction."""

from dataclasses import dataclass

from snakewebb.errors import ConfigError

BANDS = ("SHORT", "MEDIUM", "LONG")
DETECTORS = {"MIRIFUSHORT": (1, 2), "MIRIFULONG": (4, 3)}
"""Channels of each detector, from the left half to the right one."""
LETTERS = dict(zip(BANDS, "ABC", strict=True))

# slices; width of a slice, length of a slice and scale along it (arcsec, arcsec, arcsec per pixel)
_CHANNELS = {
    1: (21, 0.1772, 3.30, 0.189),
    2: (17, 0.2797, 4.00, 0.192),
    3: (16, 0.3898, 5.20, 0.243),
    4: (12, 0.6560, 6.50, 0.273),
}
# columns of the middles of the first and the last place for a slice
_COLUMNS = {1: (20.0, 486.0), 2: (535.0, 1007.0), 3: (525.0, 1003.0), 4: (28.0, 446.0)}
_RANGES = {
    1: ((4.86, 5.79), (5.60, 6.69), (6.47, 7.72)),
    2: ((7.45, 8.83), (8.60, 10.20), (9.94, 11.77)),
    3: ((11.45, 13.57), (13.24, 15.67), (15.30, 18.09)),
    4: ((17.54, 21.11), (20.44, 24.73), (23.84, 28.40)),
}
# MJy/sr per DN/s in the middle of each band
_SENSITIVITY = {1: (38.0, 30.0, 26.0), 2: (33.0, 29.0, 31.0), 3: (36.0, 33.0, 35.0), 4: (90.0, 170.0, 420.0)}


@dataclass(frozen=True)
class Band:
    """A channel in one of the three settings of the gratings.

    Attributes
    ----------
    channel : int
    band : str
        BAND.
    slices : int
    width, length : float
        Of a slice on the sky, arcsec.
    scale : float
        arcsec per pixel along a slice.
    columns : (float, float)
        Where the middles of the outermost slices are, 0-based.
    wavelengths : (float, float)
        On the lowest and highest row or the reverse, micron, in rising order.
    sensitivity : float
        MJy/sr per DN/s in the middle.
    """

    channel: int
    band: str
    slices: int
    width: float
    length: float
    scale: float
    columns: tuple
    wavelengths: tuple
    sensitivity: float

    @property
    def name(self):
        """As in the mappings and reference files: ``1SHORT``."""
        return f"{self.channel}{self.band}"

    @property
    def short(self):
        """``1A``."""
        return f"{self.channel}{LETTERS[self.band]}"

    @property
    def centre(self):
        """Middle wavelength, micron."""
        return sum(self.wavelengths) / 2

    @property
    def first_beta(self):
        """Of the middle of slice 1, arcsec."""
        return -self.width * (self.slices - 1) / 2


def band(channel, setting):
    """A band by channel and BAND.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if channel not in _CHANNELS or setting not in BANDS:
        raise ConfigError(
            f"the spectrometer has no band {channel}{setting}; valid: channels 1 to 4, BAND {', '.join(BANDS)}"
        )
    index = BANDS.index(setting)
    return Band(
        channel, setting, *_CHANNELS[channel], _COLUMNS[channel], _RANGES[channel][index], _SENSITIVITY[channel][index]
    )


def bands_of(detector, setting):
    """The two bands of a detector, from the left half to the right one."""
    if detector not in DETECTORS:
        raise ConfigError(f"{detector!r} is no detector of the spectrometer; valid: {', '.join(DETECTORS)}")
    return [band(channel, setting) for channel in DETECTORS[detector]]


def resolving_power(wavelength):
    """Wavelength over the full width at half maximum of the line-spread function (micron to 1).

    Of the order of what Jones et al. (2023, MNRAS 523, 2519) measured in flight.
    """
    return 4603.0 - 128.0 * wavelength
