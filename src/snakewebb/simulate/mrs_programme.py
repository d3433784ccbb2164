"""Observations with MIRI's spectrometer: designs, dithers, backgrounds, and where the slices look."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import SimpleNamespace
from zlib import crc32

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.designs import Target
from snakewebb.simulate.geometry import LIGHT_SPEED, Attitude, observatory_velocity, unit_vector
from snakewebb.simulate.mrs_bands import BANDS, DETECTORS
from snakewebb.simulate.mrs_geometry import DetectorSlices
from snakewebb.simulate.mrs_scene import Source
from snakewebb.simulate.pointing import AperturePointing
from snakewebb.simulate.programme import Programme
from snakewebb.simulate.raw_modes import RawExposure, RawPreset

# arcsec along and across the slices: 0.97 is 5.5, 3.5, 2.5 and 1.5 slices of the four channels
_DITHERS = ((0.59, 0.485), (-0.59, -0.485), (0.49, -0.485), (-0.49, 0.485))
_SLEW = 60.0  # seconds between exposures
_GRATINGS = 300.0  # seconds to turn the gratings

_TARGET = Target("SIMULATED-NUCLEUS", 53.16, -27.8)
_BLANK = Target("SIMULATED-BACKGROUND", 53.16, -27.76)
_SOURCES = (
    Source("nucleus", flux=0.02, slope=0.6, lines=1.0, redshift=0.002),
    Source("host", east=0.1, north=-0.15, size=0.9, flux=0.03, slope=1.0, lines=0.6, redshift=0.0018),
)


@dataclass(frozen=True)
class MrsPreset(RawPreset):
    """The design of an observation with the spectrometer; see `RawPreset`.

    Attributes
    ----------
    bands : tuple of str
        BAND of the exposures; each is dithered in its own visit group.
    dithers : int
        1 to 4.
    sources : tuple of Source
    optimized : str
        DITHOPFR: ``POINT-SOURCE`` or ``EXTENDED-SOURCE``.
    background_dithers : int
        Exposures of blank sky in each band, in an observation of their own; 0: none.
    imprint : bool
        One exposure without light in each band.
    pointing_error : float
        Standard deviation in arcsec, each axis and pointing.
    """

    bands: tuple = ("SHORT",)
    dithers: int = 4
    sources: tuple = _SOURCES
    optimized: str = "POINT-SOURCE"
    background_dithers: int = 0
    imprint: bool = False
    pointing_error: float = 0.0


def _preset(detectors, pattern="FASTR1", **changes):
    return MrsPreset(
        detectors,
        "FULL",
        pattern,
        exp_type="MIR_MRS",
        template="MIRI Medium Resolution Spectroscopy",
        target=_TARGET,
        **changes,
    )


_BOTH = ("MIRIFUSHORT", "MIRIFULONG")
MRS_PRESETS = {
    # seconds to make: for tests of the workflow
    "tiny": _preset(("MIRIFUSHORT",), ngroups=6, dithers=1),
    # with both bands that the second-order correction needs: for the demonstration
    "small": _preset(_BOTH, ngroups=10, bands=("SHORT", "MEDIUM")),
    # everything: for measuring speed
    "full": _preset(_BOTH, ngroups=30, bands=BANDS, background_dithers=2),
}
"""Ready designs by name."""


class MrsPointing(AperturePointing):
    """Where the slices of a detector look.

    Parameters
    ----------
    detector, setting : str
        DETECTOR, BAND.
    """

    def __init__(self, detector, setting):
        super().__init__(detector, "FULL")
        self.setting = setting
        # both detectors point with the reference point of the shortest channel
        self.aperture = SimpleNamespace(**vars(self.aperture) | {"AperName": "MIRIFU_CHANNEL1A"})

    def keywords(self, attitude):
        """See `DetectorGeometry.keywords`: the region is that of the slices, and VELOSYS says how fast the source recedes."""
        found = super().keywords(attitude)
        corners = attitude.telescope_to_sky(*DetectorSlices(self.detector, self.setting).footprint())
        region = " ".join(f"{a:.9f} {b:.9f}" for a, b in zip(*corners, strict=True))
        speed = recession(attitude, found["RA_REF"], found["DEC_REF"])
        return found | {"S_REGION": f"POLYGON ICRS  {region}", "VELOSYS": speed}


def recession(attitude, ra, dec):
    """Speed at which a source at rest recedes from the observatory, m/s."""
    return float(-unit_vector(ra, dec) @ np.asarray(attitude.beta) * LIGHT_SPEED * 1e3)


@dataclass
class MrsExposure(RawExposure):
    """One detector's exposure; see `RawExposure`.

    Attributes
    ----------
    setting : str
        BAND.
    aim : Target
        What is pointed at.
    background_target : bool
        BKGDTARG.
    imprint : bool
        IS_IMPRT.
    running : int
        EXPCOUNT.
    visit_exposures : int
        NEXPOSUR.
    true_attitude : Attitude
        Where the telescope pointed; the headers have `header_attitude`.
    pointing_error : (float, float)
        Arcsec east and north.
    """

    setting: str = "SHORT"
    aim: Target = _TARGET
    background_target: bool = False
    imprint: bool = False
    running: int = 1
    visit_exposures: int = 1
    true_attitude: Attitude | None = None
    pointing_error: tuple = (0.0, 0.0)

    @property
    def target(self):
        """What is observed."""
        return self.aim

    @property
    def count(self):
        """EXPCOUNT."""
        return self.running

    @property
    def exposures_in_visit(self):
        """NEXPOSUR."""
        return self.visit_exposures

    @cached_property
    def geometry(self):
        """Where it points."""
        return MrsPointing(self.detector, self.setting)

    @property
    def instrument_keywords(self):
        """Keywords of the instrument's configuration, as (name, value, comment)."""
        return [
            ("BAND", self.setting, "MRS wavelength band"),
            ("CHANNEL", "12" if self.detector == "MIRIFUSHORT" else "34", "Instrument channel"),
        ]

    @property
    def readout_keywords(self):
        """Keywords of the exposure that only this instrument has."""
        return [*super().readout_keywords, ("IS_IMPRT", self.imprint, "imprint exposure")]

    @property
    def dither_keywords(self):
        """Keywords of the dithers that only this instrument has."""
        return [
            ("DITHDIRC", "NEGATIVE", "Direction of dither pattern offsets"),
            ("DITHOPFR", self.preset.optimized, "Dither pattern optimization"),
            ("DITHPNTS", "NONE", "Sparse cycling dither points"),
            ("MRSPRCHN", "ALL", "Optimized MRS channel"),
        ]


def mrs_design(preset="small", **changes):
    """A preset, with some of its values changed.

    Raises
    ------
    ConfigError
        For an unknown preset, attribute, band, detector, or number of dithers.
    """
    if isinstance(preset, str):
        if preset not in MRS_PRESETS:
            raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(MRS_PRESETS)}")
        preset = MRS_PRESETS[preset]
    valid = [entry.name for entry in fields(MrsPreset)]
    unknown = sorted(set(changes) - set(valid))
    if unknown:
        raise ConfigError(f"unknown setting {unknown[0]!r} of a programme; valid: {', '.join(valid)}")
    preset = replace(preset, **changes)
    for name, values, known in (("bands", preset.bands, BANDS), ("detectors", preset.detectors, tuple(DETECTORS))):
        bad = [value for value in values if value not in known]
        if bad or isinstance(values, str):
            raise ConfigError(f"{name}: {values!r}; valid: a tuple of {', '.join(known)}")
    for name, low in (("dithers", 1), ("background_dithers", 0)):
        if not low <= getattr(preset, name) <= len(_DITHERS):
            raise ConfigError(f"{name}: {getattr(preset, name)}; valid: {low} to {len(_DITHERS)}")
    return preset


def mrs_programme(preset, *, seed, velocity_aberration=True):
    """Plan the exposures.

    Parameters
    ----------
    preset : MrsPreset
    seed : int
    velocity_aberration : bool
        Otherwise the observatory is at rest.

    Returns
    -------
    Programme
    """
    programme = Programme(preset.program, f"Simulated {preset.template}", seed, preset)
    random = np.random.default_rng([seed, crc32(b"mrs pointing")])
    mjd = preset.mjd
    observations = [("001", preset.target, preset.dithers, False)]
    if preset.background_dithers:
        observations.append(("002", _BLANK, preset.background_dithers, True))
    for observation, target, dithers, background in observations:
        visit_start, visit = mjd, []
        for group, setting in enumerate(preset.bands):
            mjd += _GRATINGS / 86400
            plan = [(f"{2 + 2 * group:02d}", dither, dithers, False) for dither in range(dithers)]
            if preset.imprint and not background:
                plan.append((f"{3 + 2 * group:02d}", 0, 1, True))
            for visit_group, dither, points, imprint in plan:
                offset = _DITHERS[dither] if points > 1 else (0.0, 0.0)
                error = tuple(float(value) for value in random.normal(0, 1, 2) * preset.pointing_error)
                header, true = _attitudes(preset, target, offset, error, mjd if velocity_aberration else None)
                for detector in preset.detectors:
                    visit.append(
                        MrsExposure(
                            programme,
                            detector,
                            dither + 1,
                            visit_start,
                            mjd,
                            header,
                            observation=observation,
                            visit_group=visit_group,
                            dither=dither,
                            dithers=points,
                            offset=offset,
                            pattern_type={1: "NONE", 2: "2-POINT", 3: "3-POINT", 4: "4-POINT"}[points],
                            setting=setting,
                            aim=target,
                            background_target=background,
                            imprint=imprint,
                            running=len(visit) // len(preset.detectors) + 1,
                            true_attitude=true,
                            pointing_error=error,
                        )
                    )
                mjd += (visit[-1].readout.duration + _SLEW) / 86400
        for exposure in visit:
            exposure.visit_exposures = len(visit) // len(preset.detectors)
        programme.exposures += visit
        mjd += 0.02
    return programme


def _attitudes(preset, target, offset, error, mjd):
    """Attitude in the headers, and the true one."""
    beta = np.zeros(3) if mjd is None else observatory_velocity(mjd)[0] / LIGHT_SPEED
    pointing = MrsPointing(preset.detectors[0], preset.bands[0])
    v2, v3 = pointing.aperture.V2Ref, pointing.aperture.V3Ref
    aimed = Attitude.at(target.ra, target.dec, preset.roll, v2, v3, beta)
    ra, dec = (float(value) for value in aimed.telescope_to_sky(*pointing.ideal_offset(*offset)))
    header = Attitude.at(ra, dec, preset.roll, v2, v3, beta)
    true_ra = ra + error[0] / 3600 / np.cos(np.radians(dec))
    return header, Attitude.at(true_ra, dec + error[1] / 3600, preset.roll, v2, v3, beta)
