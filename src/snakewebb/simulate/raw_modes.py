"""Exposures of modes that are simulated up to the raw data only: their designs, headers, and order in time."""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from zlib import crc32

from snakewebb.errors import ConfigError
from snakewebb.simulate.designs import Target
from snakewebb.simulate.geometry import LIGHT_SPEED, Attitude, observatory_velocity
from snakewebb.simulate.instruments import chip, make_readout
from snakewebb.simulate.pointing import AperturePointing
from snakewebb.simulate.programme import Programme
from snakewebb.simulate.stripes import STRIPES

_FIELD = Target("SIMULATED-FIELD", 53.16, -27.8)
_SLEW = 60.0  # seconds between exposures


@dataclass(frozen=True)
class RawPreset:
    """The design of exposures that are made up to the raw data.

    Attributes
    ----------
    detectors : tuple of str
        Exposed at the same time.
    subarray, pattern : str
        SUBARRAY, READPATT.
    ngroups, nints : int
    exposures : int
    exp_type, template : str
        EXP_TYPE, TEMPLATE.
    keywords : tuple of (str, value, comment)
        Of the instrument's configuration: FILTER, PUPIL, GRATING, BAND ...
    tso : bool
        TSOVISIT.
    scene : str
        ``stars``, ``dispersed_orders``, ``slits`` or ``slices``: a function of `raw_scenes`.
    scene_options : tuple of (str, value)
        Its arguments.
    transit_depth : float
        Part of the light that a planet takes away; 0: no planet.
    target : Target
    roll : float
        Position angle of V3, degrees.
    mjd : float
    program : str
    whole_references : bool
        Reference files are of the full detector, as the archive's.
    """

    detectors: tuple
    subarray: str
    pattern: str
    ngroups: int
    nints: int = 1
    exposures: int = 1
    exp_type: str = ""
    template: str = ""
    keywords: tuple = ()
    tso: bool = False
    scene: str = "stars"
    scene_options: tuple = ()
    transit_depth: float = 0.0
    target: Target = _FIELD
    roll: float = 120.0
    mjd: float = 60949.25
    program: str = "01235"
    whole_references: bool = True


def _miri(**changes):
    return RawPreset(
        ("MIRIMAGE",),
        exp_type="MIR_IMAGE",
        template="MIRI Imaging",
        keywords=(("FILTER", "F770W", "Name of the filter element used"),),
        scene_options=(("background", 60.0), ("bright", 2e4)),
        **changes,
    )


def _mrs(**changes):
    return RawPreset(
        subarray="FULL",
        exp_type="MIR_MRS",
        template="MIRI Medium Resolution Spectroscopy",
        keywords=(("BAND", "SHORT", "MRS wavelength band"),),
        scene="slices",
        **changes,
    )


def _soss(**changes):
    return RawPreset(
        ("NIS",),
        exp_type="NIS_SOSS",
        template="NIRISS Single-Object Slitless Spectroscopy",
        keywords=(
            ("FILTER", "CLEAR", "Name of the filter element used"),
            ("PUPIL", "GR700XD", "Name of the pupil element used"),
        ),
        tso=True,
        scene="dispersed_orders",
        transit_depth=0.015,
        **changes,
    )


def _niriss(**changes):
    return RawPreset(
        ("NIS",),
        exp_type="NIS_IMAGE",
        template="NIRISS Imaging",
        keywords=(
            ("FILTER", "CLEAR", "Name of the filter element used"),
            ("PUPIL", "F150W", "Name of the pupil element used"),
        ),
        scene_options=(("background", 2.0),),
        **changes,
    )


def _nirspec(exp_type, template, filter, grating, options=(), **changes):
    return RawPreset(
        exp_type=exp_type,
        template=template,
        keywords=(
            ("FILTER", filter, "Name of the filter element used"),
            ("GRATING", grating, "Name of grating used"),
        ),
        scene="slits",
        scene_options=options,
        **changes,
    )


def _irs2(**changes):
    changes = {"detectors": ("NRS1",), "subarray": "FULL"} | changes
    return _nirspec("NRS_MSASPEC", "NIRSpec MultiObject Spectroscopy", "F170LP", "G235M", **changes)


def _fixed_slits(**changes):
    return _nirspec("NRS_FIXEDSLIT", "NIRSpec Fixed Slit Spectroscopy", "F170LP", "G235M", **changes)


def _fgs(**changes):
    return RawPreset(
        exp_type="FGS_IMAGE",
        template="FGS External Calibration",
        scene_options=(("background", 1.0),),
        **changes,
    )


_SMALL = {"whole_references": False}
RAW_PRESETS = {
    "miri_imaging": {
        "tiny": _miri(subarray="SUB64", pattern="FASTR1", ngroups=12, nints=2, **_SMALL),
        "small": _miri(subarray="SUB256", pattern="FASTR1", ngroups=25, nints=2, **_SMALL),
        "full": _miri(subarray="FULL", pattern="FASTR1", ngroups=100, nints=3),
    },
    "niriss_soss": {
        "tiny": _soss(subarray="SUBSTRIP96", pattern="NISRAPID", ngroups=4, nints=3, **_SMALL),
        "small": _soss(subarray="SUBSTRIP256", pattern="NISRAPID", ngroups=5, nints=10, **_SMALL),
        "stripes": _soss(subarray="SUB680STRIPE_SOSS", pattern="NISRAPID", ngroups=5, nints=12, **_SMALL),
        "full": _soss(subarray="SUBSTRIP256", pattern="NISRAPID", ngroups=10, nints=100),
    },
    "niriss_imaging": {
        "tiny": _niriss(subarray="SUB64", pattern="NISRAPID", ngroups=8, **_SMALL),
        "small": _niriss(subarray="SUB256", pattern="NIS", ngroups=8, **_SMALL),
        "full": _niriss(subarray="FULL", pattern="NIS", ngroups=10),
    },
    "nirspec_irs2": {
        "tiny": _irs2(pattern="NRSIRS2RAPID", ngroups=4),
        "small": _irs2(pattern="NRSIRS2", ngroups=5, detectors=("NRS1", "NRS2")),
        "full": _irs2(pattern="NRSIRS2", ngroups=20),
    },
    "nirspec_fs": {
        "tiny": _fixed_slits(detectors=("NRS1",), subarray="SUB512", pattern="NRSRAPID", ngroups=8, **_SMALL),
        "small": _fixed_slits(detectors=("NRS1", "NRS2"), subarray="ALLSLITS", pattern="NRSRAPID", ngroups=8, **_SMALL),
        "full": _fixed_slits(detectors=("NRS1", "NRS2"), subarray="FULL", pattern="NRS", ngroups=10),
    },
    "miri_mrs": {
        "tiny": _mrs(detectors=("MIRIFUSHORT",), pattern="FASTR1", ngroups=6),
        "small": _mrs(detectors=("MIRIFUSHORT", "MIRIFULONG"), pattern="FASTR1", ngroups=10, nints=2),
        "full": _mrs(detectors=("MIRIFUSHORT", "MIRIFULONG"), pattern="SLOWR1", ngroups=40),
    },
    "fgs_imaging": {
        "tiny": _fgs(detectors=("GUIDER1",), subarray="128X128", pattern="FGSRAPID", ngroups=8, **_SMALL),
        "small": _fgs(detectors=("GUIDER1",), subarray="FULL", pattern="FGSRAPID", ngroups=5),
        "full": _fgs(detectors=("GUIDER1", "GUIDER2"), subarray="FULL", pattern="FGS", ngroups=10),
    },
}
"""Ready designs by mode and name."""


@dataclass
class RawExposure:
    """One detector's exposure; the words are those of the archive's keywords, as in `programme.Exposure`."""

    programme: Programme
    detector: str
    number: int
    mjd_visit: float
    mjd_start: float
    header_attitude: Attitude
    observation: str = "001"
    visit: str = "001"
    visit_group: str = "02"
    activity: str = "01"
    dither: int = 0
    dithers: int = 1
    offset: tuple = (0.0, 0.0)
    pattern_type: str = "NONE"
    zeroframe = False
    extra: dict = field(default_factory=dict)

    @property
    def preset(self):
        """The design."""
        return self.programme.preset

    @property
    def target(self):
        """What is observed."""
        return self.preset.target

    @property
    def subarray(self):
        """SUBARRAY."""
        return self.preset.subarray

    @property
    def exp_type(self):
        """EXP_TYPE."""
        return self.preset.exp_type

    @property
    def template(self):
        """TEMPLATE."""
        return self.preset.template

    @property
    def tso(self):
        """TSOVISIT."""
        return self.preset.tso

    @property
    def count(self):
        """EXPCOUNT."""
        return self.number

    @property
    def exposures_in_visit(self):
        """NEXPOSUR."""
        return self.preset.exposures

    @property
    def instrument(self):
        """INSTRUME."""
        return chip(self.detector).instrument

    @cached_property
    def readout(self):
        """How it is read."""
        preset = self.preset
        return make_readout(self.detector, preset.subarray, preset.pattern, preset.ngroups, preset.nints)

    @cached_property
    def geometry(self):
        """Where it points."""
        return AperturePointing(self.detector, self.subarray)

    @property
    def sca_number(self):
        """SCA_NUM."""
        return chip(self.detector).sca_number

    @property
    def instrument_keywords(self):
        """Keywords of the instrument's configuration, as (name, value, comment)."""
        keywords = list(self.preset.keywords)
        if self.preset.exp_type == "MIR_MRS":
            keywords.append(("CHANNEL", "12" if self.detector == "MIRIFUSHORT" else "34", "Instrument channel"))
        return keywords

    @property
    def subarray_keywords(self):
        """Keywords of the read-out in stripes, as (name, value, comment)."""
        return STRIPES[self.subarray].keywords if self.subarray in STRIPES else []

    @property
    def readout_keywords(self):
        """Keywords of the exposure that only this instrument has."""
        return self.readout.keywords

    @property
    def root(self):
        """Name of its files up to the suffix."""
        return (
            f"jw{self.programme.program}{self.observation}{self.visit}_{self.visit_group}1{self.activity}"
            f"_{self.number:05d}_{self.detector.lower()}"
        )

    @property
    def visit_id(self):
        """VISIT_ID."""
        return f"{self.programme.program}{self.observation}{self.visit}"

    @property
    def observation_id(self):
        """OBS_ID."""
        return f"V{self.visit_id}P00000000{self.visit_group}1{self.activity}"

    @property
    def first_column(self):
        """First column (1-based) in the direction of reading."""
        return self.geometry.start[1 if abs(self.geometry.fast_axis) == 2 else 0]

    def seed(self):
        """Seed of the exposure: it depends on the programme's and on the exposure's name only."""
        return [self.programme.seed, crc32(self.root.encode())]


def raw_design(mode, preset="small", **changes):
    """A preset of a mode, with some of its values changed.

    Raises
    ------
    ConfigError
        For an unknown preset or attribute.
    """
    if isinstance(preset, str):
        known = RAW_PRESETS[mode]
        if preset not in known:
            raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(known)}")
        preset = known[preset]
    valid = [entry.name for entry in fields(RawPreset)]
    unknown = sorted(set(changes) - set(valid))
    if unknown:
        raise ConfigError(f"unknown setting {unknown[0]!r} of a programme; valid: {', '.join(valid)}")
    return replace(preset, **changes)


def raw_programme(preset, *, seed):
    """Plan the exposures.

    Returns
    -------
    Programme
    """
    programme = Programme(preset.program, f"Simulated {preset.template}", seed, preset)
    mjd = preset.mjd + 300 / 86400
    for number in range(1, preset.exposures + 1):
        velocity, _ = observatory_velocity(mjd)
        aperture = AperturePointing(preset.detectors[0], preset.subarray).aperture
        attitude = Attitude.at(
            preset.target.ra, preset.target.dec, preset.roll, aperture.V2Ref, aperture.V3Ref, velocity / LIGHT_SPEED
        )
        together = [
            RawExposure(programme, detector, number, preset.mjd, mjd, attitude) for detector in preset.detectors
        ]
        programme.exposures += together
        mjd += (max(exposure.readout.duration for exposure in together) + _SLEW) / 86400
    return programme
