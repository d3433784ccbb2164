"""How detectors are read: patterns, clocks, and the times that follow from them."""

from dataclasses import dataclass

PATTERNS = {
    "NIRCAM": {
        "RAPID": (1, 0),
        "BRIGHT1": (1, 1),
        "BRIGHT2": (2, 0),
        "SHALLOW2": (2, 3),
        "SHALLOW4": (4, 1),
        "MEDIUM2": (2, 8),
        "MEDIUM8": (8, 2),
        "DEEP2": (2, 18),
        "DEEP8": (8, 12),
    },
    "MIRI": {"FASTR1": (1, 0), "SLOWR1": (1, 0), "FASTGRPAVG": (4, 0)},
    "NIRISS": {"NISRAPID": (1, 0), "NIS": (4, 0)},
    "NIRSPEC": {"NRSRAPID": (1, 0), "NRS": (4, 0), "NRSIRS2RAPID": (1, 0), "NRSIRS2": (5, 0)},
    "FGS": {
        "FGSRAPID": (1, 0),
        "FGS": (4, 0),
        "ID": (1, 0),
        "ACQ1": (1, 1),
        "ACQ2": (1, 1),
        "TRACK": (1, 0),
        "FINEGUIDE": (1, 0),
    },
}
"""Patterns of each instrument: frames averaged into a group (NFRAMES) and dropped before the next (GROUPGAP)."""

READOUT_PATTERNS = PATTERNS["NIRCAM"]
"""NIRCam's patterns."""

LINE_OVERHEAD = 12
"""Pixel clocks that are lost at the end of each row of a near-infrared detector."""
PIXEL_CLOCK = 1e-5
"""Seconds per pixel of an output."""


@dataclass(frozen=True)
class Readout:
    """How a detector is read.

    Attributes
    ----------
    pattern : str
        READPATT.
    ngroups, nints : int
    shape : (int, int)
        Rows (along the slow axis) and columns (along the fast one) of the subarray.
    noutputs : int
        Amplifiers in use: 4, or 1 for a subarray.
    """

    pattern: str
    ngroups: int
    nints: int
    shape: tuple
    noutputs: int = 4

    instrument = "NIRCAM"
    _owner = "NIRCam's"
    samples = 1
    """NSAMPLES: reads of a pixel before the next one is addressed."""

    def __post_init__(self):
        known = PATTERNS[self.instrument]
        if self.pattern not in known:
            raise ValueError(f"READPATT {self.pattern!r} is not one of {self._owner}: {', '.join(known)}")
        if self.ngroups < 1 or self.nints < 1:
            raise ValueError(f"{self.ngroups} groups and {self.nints} integrations: both must be at least 1")

    @property
    def nframes(self):
        """Frames averaged into a group."""
        return PATTERNS[self.instrument][self.pattern][0]

    @property
    def groupgap(self):
        """Frames dropped between groups."""
        return PATTERNS[self.instrument][self.pattern][1]

    @property
    def extra_rows(self):
        """Row times that a frame takes beyond its rows."""
        return 1 if self.noutputs == 4 else 2

    @property
    def row_clocks(self):
        """Pixel clocks from the start of a row to the start of the next."""
        return self.shape[1] // self.noutputs + LINE_OVERHEAD

    @property
    def frame_clocks(self):
        """Pixel clocks from the start of a frame to the start of the next."""
        return self.row_clocks * (self.shape[0] + self.extra_rows)

    @property
    def frame_time(self):
        """TFRAME in seconds."""
        return self.frame_clocks * PIXEL_CLOCK

    @property
    def group_time(self):
        """TGROUP in seconds."""
        return self.frame_time * (self.nframes + self.groupgap)

    @property
    def frames(self):
        """Frames in an integration, dropped ones included."""
        return (self.ngroups - 1) * (self.nframes + self.groupgap) + self.nframes

    @property
    def integration_time(self):
        """EFFINTTM in seconds: the frames of one integration."""
        return self.frames * self.frame_time

    @property
    def duration(self):
        """From the first reset to the last read, seconds: a reset takes as long as a frame."""
        return self.nints * (self.frames + 1) * self.frame_time

    @property
    def keywords(self):
        """Keywords of the exposure that only this way of reading has, as (name, value, comment)."""
        return []

    def outputs(self, columns):
        """Output, from 0, and clock within the row at which each column is read, counted along the fast axis."""
        width = self.shape[1] // self.noutputs
        return columns // width, columns % width


class NirissReadout(Readout):
    """NIRISS: one output for subarrays."""

    instrument = "NIRISS"
    _owner = "NIRISS's"


class FgsReadout(Readout):
    """The guiders, in science or guiding."""

    instrument = "FGS"
    _owner = "FGS's"


class NirspecReadout(Readout):
    """NIRSpec without interleaved reference pixels."""

    instrument = "NIRSPEC"
    _owner = "NIRSpec's"

    @property
    def extra_rows(self):
        """One, with any number of outputs."""
        return 1


class Irs2Readout(NirspecReadout):
    """NIRSpec with interleaved reference pixels: 22 clocks for 16 pixels, 32 times a row.

    Within them: 8 pixels, a clock to get to the references, 4 reference pixels, a clock to get back, 8 pixels.
    """

    @property
    def row_clocks(self):
        """712, the 8 clocks at the end of a row included."""
        return 32 * 22 + 8

    @property
    def keywords(self):
        """See `Readout.keywords`."""
        return [
            ("NRS_NORM", 16, "Number of normal pixels in IRS2 readout"),
            ("NRS_REF", 4, "Number of reference pixels in IRS2 readout"),
        ]


_MIRI_ROW_CLOCKS = {
    "FULL": 271,
    "BRIGHTSKY": 162,
    "SUB256": 96,
    "SUB128": 44,
    "SUB64": 28,
    "SLITLESSPRISM": 28,
    "MASK1065": 82,
    "MASK1140": 82,
    "MASK1550": 82,
    "MASKLYOT": 90,
}


@dataclass(frozen=True)
class MiriReadout(Readout):
    """MIRI: four outputs read interleaved columns; rows outside a subarray are skipped at seven clocks each.

    Attributes
    ----------
    subarray : str
        SUBARRAY.
    """

    subarray: str = "FULL"

    instrument = "MIRI"
    _owner = "MIRI's"

    @property
    def samples(self):
        """Nine where a pixel is read slowly."""
        return 9 if self.pattern.startswith("SLOW") else 1

    @property
    def row_clocks(self):
        """Pixel clocks of a row."""
        return 2333 if self.samples == 9 else _MIRI_ROW_CLOCKS[self.subarray]

    @property
    def frame_clocks(self):
        """Pixel clocks of a frame."""
        return self.shape[0] * self.row_clocks + (1024 - self.shape[0]) * 7

    @property
    def keywords(self):
        """See `Readout.keywords`."""
        return [
            ("MIRNGRPS", self.ngroups * self.nframes, "MIRI flight system number of groups"),
            ("MIRNFRMS", 1, "MIRI flight system number of frames"),
        ]

    def outputs(self, columns):
        """Columns belong to the four outputs in turn."""
        return columns % 4, columns // 4 * self.samples
