"""An observing programme: pointings, dithers, readout, and what the exposures are called."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from zlib import crc32

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.geometry import (
    LIGHT_SPEED,
    Attitude,
    DetectorGeometry,
    observatory_velocity,
)
from snakewebb.simulate.readout import READOUT_PATTERNS, Readout

_DITHERS = (
    (0.0, 0.0),
    (1.0, 0.371),
    (0.413, -1.029),
    (-0.637, 0.709),
    (-1.047, -0.531),
    (0.719, 1.153),
    (-0.287, 1.019),
    (1.129, -0.683),
    (-0.861, 0.143),
)
_SLEW = 60.0  # seconds between exposures
_GROUP_OVERHEAD = 300.0

SCA_NUMBERS = {
    "NRCA1": 481, "NRCA2": 482, "NRCA3": 483, "NRCA4": 484, "NRCALONG": 485,
    "NRCB1": 486, "NRCB2": 487, "NRCB3": 488, "NRCB4": 489, "NRCBLONG": 490,
}  # fmt: skip
"""SCA_NUM of NIRCam's detectors."""


@dataclass(frozen=True)
class Target:
    """A position on the sky: name, and ICRS right ascension and declination in degrees."""

    name: str
    ra: float
    dec: float


@dataclass(frozen=True)
class Preset:
    """The design of a programme.

    Attributes
    ----------
    configurations : tuple of tuple of (detector, filter, pupil)
        What is exposed at the same time; each configuration is dithered in its own visit group.
    subarray : str
        SUBARRAY.
    pattern : str
        READPATT.
    ngroups, nints : int
    noutputs : int or None
        ``None``: 4 for the full frame, 1 for subarrays.
    dithers : int
        Up to nine pointings.
    dither_step : float
        Size of the dither pattern, arcsec.
    rolls : tuple of float
        Position angles of V3, degrees: one observation each.
    targets : tuple of Target
        Each is observed at every roll.
    star_density, galaxy_density : float
        Per square arcmin.
    flux_range : (float, float)
        Jy at 2 micron.
    min_separation : float
        Between sources, arcsec.
    background : float
        Sky brightness, MJy/sr.
    pointing_error : float
        Standard deviation in arcsec, each axis and pointing.
    roll_error : float
        Standard deviation in degrees, each pointing.
    mjd : float
        Start of the first visit.
    program : str
        Five digits.
    whole_references : bool
        Reference files are of the full detector, as the archive's, rather than of the subarray.
    """

    configurations: tuple = ((("NRCALONG", "F444W", "CLEAR"),),)
    subarray: str = "FULL"
    pattern: str = "RAPID"
    ngroups: int = 5
    nints: int = 1
    noutputs: int | None = None
    dithers: int = 4
    dither_step: float = 2.0
    rolls: tuple = (120.0,)
    targets: tuple = (Target("SIMULATED-FIELD", 53.16, -27.8),)
    star_density: float = 600.0
    galaxy_density: float = 120.0
    flux_range: tuple = (1e-7, 2e-4)
    min_separation: float = 0.3
    background: float = 0.4
    pointing_error: float = 0.03
    roll_error: float = 0.002
    mjd: float = 60949.25
    program: str = "01234"
    whole_references: bool = True


PRESETS = {
    # seconds to make: for tests of the workflow
    "tiny": Preset(
        configurations=((("NRCBLONG", "F444W", "CLEAR"),),),
        subarray="SUB160P",
        pattern="MEDIUM8",
        ngroups=5,
        dither_step=0.6,
        star_density=1500.0,
        galaxy_density=120.0,
        flux_range=(3e-6, 4e-4),
        # as far apart as the matching of catalogues asks for by default
        min_separation=1.05,
        whole_references=False,
    ),
    # two detectors and filters: for the demonstration
    "small": Preset(
        configurations=((("NRCALONG", "F444W", "CLEAR"), ("NRCA1", "F200W", "CLEAR")),),
        subarray="SUB640",
        pattern="SHALLOW4",
        ngroups=6,
        dither_step=2.3,
        star_density=900.0,
        galaxy_density=250.0,
        flux_range=(2e-7, 3e-4),
        whole_references=False,
    ),
    # full frames: for measuring speed
    "full": Preset(
        pattern="MEDIUM8",
        ngroups=10,
        dither_step=6.0,
        star_density=1000.0,
        galaxy_density=90.0,
        flux_range=(1e-8, 1e-4),
        min_separation=0.0,
    ),
}
"""Ready designs by name."""


@dataclass
class Exposure:
    """One detector's exposure; the words are those of the archive's keywords.

    Attributes
    ----------
    true_attitude, header_attitude : Attitude
        Where the telescope pointed, and where the headers say it did.
    pointing_error : (float, float, float)
        True minus header: arcsec east, arcsec north, degrees of roll, at the pointing aperture's reference
        point.
    """

    programme: "Programme"
    target: Target
    detector: str
    filter: str
    pupil: str
    subarray: str
    readout: Readout
    observation: str
    visit: str
    visit_group: str
    activity: str
    number: int
    dither: int
    dithers: int
    offset: tuple
    pattern_type: str
    count: int
    exposures_in_visit: int
    mjd_visit: float
    mjd_start: float
    true_attitude: Attitude
    header_attitude: Attitude
    pointing_error: tuple

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

    instrument = "NIRCAM"
    exp_type = "NRC_IMAGE"
    template = "NIRCam Imaging"
    tso = False
    readout_keywords = ()

    @property
    def zeroframe(self):
        """ZEROFRAM: the first frame of averaged groups is sent too."""
        return self.readout.nframes > 1

    @property
    def sca_number(self):
        """SCA_NUM."""
        return SCA_NUMBERS[self.detector]

    @property
    def instrument_keywords(self):
        """Keywords of the instrument's configuration, as (name, value, comment)."""
        return [
            ("MODULE", self.detector[3], "NIRCam module: A, B, or MULTIPLE"),
            ("CHANNEL", "SHORT" if self.detector[-1] in "1234" else "LONG", "Instrument channel"),
            ("FILTER", self.filter, "Name of the filter element used"),
            ("PUPIL", self.pupil, "Name of the pupil element used"),
            ("PILIN", False, "Pupil imaging lens in the optical path?"),
            ("CORONMSK", "NONE", "coronagraph mask used"),
        ]

    @cached_property
    def geometry(self):
        """Geometry of the subarray without a filter: what the headers are made with."""
        return DetectorGeometry(self.detector, self.subarray)

    def seed(self):
        """Seed of the exposure: it depends on the programme's and on the exposure's name only."""
        return [self.programme.seed, crc32(self.root.encode())]


@dataclass
class Programme:
    """A programme and its exposures, in the order of time.

    Attributes
    ----------
    program : str
        PROGRAM.
    title : str
    seed : int
    preset : Preset
    exposures : list of Exposure
    """

    program: str
    title: str
    seed: int
    preset: Preset
    exposures: list = field(default_factory=list)


def design(preset="small", **changes):
    """A preset, with some of its values changed.

    Parameters
    ----------
    preset : str or Preset
    **changes
        Attributes of `Preset`.

    Raises
    ------
    ConfigError
        For an unknown preset, attribute, or readout pattern.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
        preset = PRESETS[preset]
    unknown = set(changes) - set(Preset.__dataclass_fields__)
    if unknown:
        raise ConfigError(
            f"unknown setting {sorted(unknown)[0]!r} of a programme; valid: {', '.join(Preset.__dataclass_fields__)}"
        )
    preset = replace(preset, **changes)
    if preset.pattern not in READOUT_PATTERNS:
        raise ConfigError(f"unknown readout pattern {preset.pattern!r}; valid: {', '.join(READOUT_PATTERNS)}")
    if not 1 <= preset.dithers <= len(_DITHERS):
        raise ConfigError(f"dithers: {preset.dithers}; valid: 1 to {len(_DITHERS)}")
    return preset


def make_programme(preset, *, seed, pointing_errors=True, velocity_aberration=True):
    """Plan the exposures of a programme.

    Parameters
    ----------
    preset : Preset
    seed : int
    pointing_errors : bool
        The telescope points a little beside where the headers say.
    velocity_aberration : bool
        Otherwise the observatory is at rest.

    Returns
    -------
    Programme
    """
    programme = Programme(preset.program, "A simulated field of stars and galaxies", seed, preset)
    random = np.random.default_rng([seed, crc32(b"pointing")])
    mjd = preset.mjd
    observation = 0
    for target in preset.targets:
        for roll in preset.rolls:
            observation += 1
            mjd_visit = mjd
            visit_exposures = []
            for group, configuration in enumerate(preset.configurations):
                mjd += _GROUP_OVERHEAD / 86400
                pointing = _pointing_geometry(configuration, preset.subarray)
                for dither in range(preset.dithers):
                    offset = tuple(preset.dither_step * value for value in _DITHERS[dither])
                    errors = random.normal(0, [preset.pointing_error] * 2 + [preset.roll_error])
                    if not pointing_errors:
                        errors = np.zeros(3)
                    velocity, _ = observatory_velocity(mjd)
                    beta = velocity / LIGHT_SPEED * velocity_aberration
                    header, true = _attitudes(pointing, target, roll, offset, errors, beta)
                    for detector, filter_name, pupil in configuration:
                        shape = DetectorGeometry(detector, preset.subarray).shape
                        outputs = preset.noutputs or (4 if preset.subarray.startswith("FULL") else 1)
                        readout = Readout(preset.pattern, preset.ngroups, preset.nints, shape, outputs)
                        visit_exposures.append(
                            Exposure(
                                programme=programme,
                                target=target,
                                detector=detector,
                                filter=filter_name,
                                pupil=pupil,
                                subarray=preset.subarray,
                                readout=readout,
                                observation=f"{observation:03d}",
                                visit="001",
                                visit_group=f"{2 + 2 * group:02d}",
                                activity="01",
                                number=dither + 1,
                                dither=dither,
                                dithers=preset.dithers,
                                offset=offset,
                                pattern_type=_pattern_type(preset),
                                count=group * preset.dithers + dither + 1,
                                exposures_in_visit=len(preset.configurations) * preset.dithers,
                                mjd_visit=mjd_visit,
                                mjd_start=mjd,
                                true_attitude=true,
                                header_attitude=header,
                                pointing_error=tuple(float(value) for value in errors),
                            )
                        )
                    mjd += (readout.duration + _SLEW) / 86400
            programme.exposures += visit_exposures
            mjd += 0.05
    return programme


def _pattern_type(preset):
    if preset.dithers == 1:
        return "NONE"
    return "INTRAMODULE" if preset.subarray.startswith("FULL") else "SUBARRAY-DITHER"


def _pointing_geometry(configuration, subarray):
    """Geometry of the aperture that is put on the target: a long-wave detector's if there is one."""
    detectors = [entry[0] for entry in configuration]
    return DetectorGeometry(next((name for name in detectors if name.endswith("LONG")), detectors[0]), subarray)


def _attitudes(pointing, target, roll, offset, errors, beta):
    """Attitude in the headers and true attitude of a pointing."""
    v2, v3 = float(pointing.aperture.V2Ref), float(pointing.aperture.V3Ref)
    on_target = Attitude.at(target.ra, target.dec, roll, v2, v3, beta)
    ra, dec = (float(value) for value in on_target.telescope_to_sky(*pointing.ideal_offset(*offset)))
    header = Attitude.at(ra, dec, roll, v2, v3, beta)
    east, north, turn = errors
    true_ra = ra + east / 3600 / np.cos(np.radians(dec))
    true = Attitude.at(true_ra, dec + north / 3600, roll + turn, v2, v3, beta)
    return header, true


def field_of_view(programme, target):
    """Radius in arcsec around a target that holds the footprints of all its exposures."""
    radius = 0.0
    for exposure in programme.exposures:
        if exposure.target != target:
            continue
        ny, nx = exposure.readout.shape
        ra, dec = exposure.geometry.pixel_to_sky(
            exposure.true_attitude, np.array([0, 0, nx, nx]), np.array([0, ny, ny, 0])
        )
        east = ((ra - target.ra + 180) % 360 - 180) * np.cos(np.radians(dec)) * 3600
        radius = max(radius, float(np.max(np.hypot(east, (dec - target.dec) * 3600))))
    return radius
