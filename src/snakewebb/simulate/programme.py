"""An observing programme: pointings, dithers, readout, and what the exposures are called."""

from dataclasses import dataclass, field
from functools import cached_property
from zlib import crc32

import numpy as np

from snakewebb.simulate.bands import bandpass
from snakewebb.simulate.designs import DITHERS, Preset, Target
from snakewebb.simulate.geometry import (
    LIGHT_SPEED,
    Attitude,
    DetectorGeometry,
    observatory_velocity,
)
from snakewebb.simulate.imagers import IMAGER_OF
from snakewebb.simulate.instruments import make_readout
from snakewebb.simulate.readout import Readout

_SLEW = 60.0  # seconds between exposures
_GROUP_OVERHEAD = 300.0


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
    background_target : bool
        BKGDTARG.
    place : Target
        The target where it is in the middle of the exposure; it is the target itself if it does not move.
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
    background_target: bool = False
    place: Target | None = None

    def __post_init__(self):
        self.place = self.place or self.target

    @property
    def moving(self):
        """Whether the exposure follows a target that moves."""
        return self.place is not self.target

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

    tso = False

    @property
    def imager(self):
        """The instrument."""
        return IMAGER_OF[self.programme.preset.instrument]

    @property
    def instrument(self):
        """INSTRUME."""
        return self.imager.instrument

    @property
    def exp_type(self):
        """EXP_TYPE."""
        return self.imager.exp_type

    @property
    def template(self):
        """TEMPLATE."""
        return self.imager.template

    @property
    def band(self):
        """Name of the band."""
        return bandpass(self.filter, self.pupil)

    @property
    def background(self):
        """Sky brightness, MJy/sr."""
        design = self.programme.preset
        return self.imager.backgrounds[self.band] if design.background is None else design.background

    @property
    def readout_keywords(self):
        """Keywords of the exposure that only this instrument has."""
        return self.readout.keywords

    @property
    def zeroframe(self):
        """ZEROFRAM: NIRCam sends the first frame of averaged groups too."""
        return self.instrument == "NIRCAM" and self.readout.nframes > 1

    @property
    def sca_number(self):
        """SCA_NUM."""
        return self.imager.sca_number(self.detector)

    @property
    def instrument_keywords(self):
        """Keywords of the instrument's configuration, as (name, value, comment)."""
        return self.imager.keywords(self.detector, self.filter, self.pupil)

    @property
    def first_column(self):
        """First column (1-based) in the direction of reading."""
        return self.geometry.start[1 if abs(self.geometry.fast_axis) == 2 else 0]

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
    for number, (target, roll, dithers, background) in enumerate(_observations(preset), 1):
        mjd_visit = mjd
        for group, configuration in enumerate(preset.configurations):
            mjd += _GROUP_OVERHEAD / 86400
            pointing = _pointing_geometry(configuration, preset.subarray)
            for dither in range(dithers):
                offset = tuple(preset.dither_step * value for value in DITHERS[dither])
                errors = random.normal(0, [preset.pointing_error] * 2 + [preset.roll_error])
                if not pointing_errors:
                    errors = np.zeros(3)
                velocity, _ = observatory_velocity(mjd)
                beta = velocity / LIGHT_SPEED * velocity_aberration
                first = _readout(preset, configuration[0][0])
                place = target if background else _place(target, preset, mjd + first.duration / 2 / 86400)
                header, true = _attitudes(pointing, place, roll, offset, errors, beta)
                for detector, filter_name, pupil in configuration:
                    readout = _readout(preset, detector)
                    programme.exposures.append(
                        Exposure(
                            programme=programme,
                            target=target,
                            detector=detector,
                            filter=filter_name,
                            pupil=pupil,
                            subarray=preset.subarray,
                            readout=readout,
                            observation=f"{number:03d}",
                            visit="001",
                            visit_group=f"{2 + 2 * group:02d}",
                            activity="01",
                            number=dither + 1,
                            dither=dither,
                            dithers=dithers,
                            offset=offset,
                            pattern_type=_pattern_type(preset, dithers),
                            count=group * dithers + dither + 1,
                            exposures_in_visit=len(preset.configurations) * dithers,
                            mjd_visit=mjd_visit,
                            mjd_start=mjd,
                            true_attitude=true,
                            header_attitude=header,
                            pointing_error=tuple(float(value) for value in errors),
                            background_target=background,
                            place=place,
                        )
                    )
                mjd += (readout.duration + _SLEW) / 86400
        mjd += 0.05
    return programme


def _observations(preset):
    """Target, roll, number of dithers and whether it is a background, of each observation."""
    observations = [(target, roll, preset.dithers, False) for target in preset.targets for roll in preset.rolls]
    if preset.background_dithers:
        observations.append((preset.background_target, preset.rolls[0], preset.background_dithers, True))
    return observations


def _place(target, preset, mjd):
    """A target where it is at a date."""
    if preset.motion is None:
        return target
    east, north = (rate * (mjd - preset.mjd) * 24 / 3600 for rate in preset.motion)
    return Target(target.name, float(target.ra + east / np.cos(np.radians(target.dec))) % 360, target.dec + north)


def _readout(preset, detector):
    if preset.instrument != "NIRCAM":
        return make_readout(detector, preset.subarray, preset.pattern, preset.ngroups, preset.nints)
    shape = DetectorGeometry(detector, preset.subarray).shape
    outputs = preset.noutputs or (4 if preset.subarray.startswith("FULL") else 1)
    return Readout(preset.pattern, preset.ngroups, preset.nints, shape, outputs)


def _pattern_type(preset, dithers):
    if dithers == 1:
        return "NONE"
    full, subarray = IMAGER_OF[preset.instrument].dither_patterns
    return full if preset.subarray.startswith("FULL") else subarray


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
        ny, nx = exposure.geometry.shape
        ra, dec = exposure.geometry.pixel_to_sky(
            exposure.true_attitude, np.array([0, 0, nx, nx]), np.array([0, ny, ny, 0])
        )
        east = ((ra - target.ra + 180) % 360 - 180) * np.cos(np.radians(dec)) * 3600
        radius = max(radius, float(np.max(np.hypot(east, (dec - target.dec) * 3600))))
    return radius
