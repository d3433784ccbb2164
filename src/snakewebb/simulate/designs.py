"""Designs of imaging programmes: what is exposed, where, and how it is read."""

from dataclasses import dataclass, replace

from snakewebb.errors import ConfigError
from snakewebb.simulate.imagers import IMAGERS
from snakewebb.simulate.readout import PATTERNS


def _even(number):
    """A pointing of a sequence that fills the square evenly (Roberts 2018)."""
    return tuple(round(2.3 * (number * step % 1.0 - 0.5), 3) for step in (0.7548776662466927, 0.5698402909980532))


DITHERS = (
    (0.0, 0.0),
    (1.0, 0.371),
    (0.413, -1.029),
    (-0.637, 0.709),
    (-1.047, -0.531),
    (0.719, 1.153),
    (-0.287, 1.019),
    (1.129, -0.683),
    (-0.861, 0.143),
    *map(_even, range(9, 30)),
)
"""Pointings relative to the first one, in units of the size of the pattern."""


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
    instrument : str
        INSTRUME.
    configurations : tuple of tuple of (detector, filter, pupil)
        What is exposed at the same time; each configuration is dithered in its own visit group. ``N/A`` where there is no such wheel.
    subarray : str
        SUBARRAY.
    pattern : str
        READPATT.
    ngroups, nints : int
    noutputs : int or None
        Of NIRCam; ``None``: 4 for the full frame, 1 for subarrays.
    dithers : int
        Up to thirty pointings.
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
    background : float or None
        Sky brightness, MJy/sr; ``None``: that of the band.
    background_dithers : int
        Pointings, in each configuration, of an observation of blank sky of its own (BKGDTARG) after all others; 0: none.
    background_target : Target
        Where that is.
    blank : float
        Number of sources there, relative to that of the targets.
    motion : (float, float) or None
        Of a target that moves and is followed, arcsec per hour east and north; it is a star at its position of the catalogue when the
        programme starts.
    target_flux : float
        Jy of that star, in every band.
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

    instrument: str = "NIRCAM"
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
    background: float | None = 0.4
    background_dithers: int = 0
    background_target: Target = Target("SIMULATED-BACKGROUND", 53.16, -27.7)
    blank: float = 0.1
    motion: tuple | None = None
    target_flux: float = 2e-5
    pointing_error: float = 0.03
    roll_error: float = 0.002
    mjd: float = 60949.25
    program: str = "01234"
    whole_references: bool = True


def _nircam(**changes):
    return Preset(**changes)


def _niriss(*filters, **changes):
    return Preset("NIRISS", tuple((("NIS", *elements),) for elements in filters), background=0.3, **changes)


def _miri(*filters, **changes):
    configurations = tuple((("MIRIMAGE", name, "N/A"),) for name in filters)
    return Preset("MIRI", configurations, background=None, **changes)


def _fgs(*detectors, **changes):
    return Preset("FGS", tuple(((name, "N/A", "N/A"),) for name in detectors), background=0.3, **changes)


_CORNER = {
    "dither_step": 0.9,
    "min_separation": 1.05,
    "whole_references": False,
}
"""Of the smallest programmes: sources as far apart as the matching of catalogues asks for by default."""

PRESETS = {
    "nircam_imaging": {
        # seconds to make: for tests of the workflow
        "tiny": _nircam(
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
        "small": _nircam(
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
        "full": _nircam(
            pattern="MEDIUM8",
            ngroups=10,
            dither_step=6.0,
            star_density=1000.0,
            galaxy_density=90.0,
            flux_range=(1e-8, 1e-4),
            min_separation=0.0,
        ),
    },
    "niriss_imaging": {
        "tiny": _niriss(
            ("CLEAR", "F150W"),
            subarray="SUB256",
            pattern="NISRAPID",
            ngroups=8,
            star_density=700.0,
            galaxy_density=80.0,
            flux_range=(3e-6, 4e-4),
            **_CORNER,
        ),
        "small": _niriss(
            ("CLEAR", "F200W"),
            ("F444W", "CLEARP"),
            subarray="SUB256",
            pattern="NIS",
            ngroups=8,
            star_density=700.0,
            galaxy_density=120.0,
            flux_range=(5e-7, 3e-4),
            **_CORNER,
        ),
        "full": _niriss(
            ("CLEAR", "F200W"),
            subarray="FULL",
            pattern="NIS",
            ngroups=10,
            dither_step=6.0,
            star_density=400.0,
            galaxy_density=90.0,
            flux_range=(1e-8, 1e-4),
            min_separation=0.0,
        ),
    },
    "miri_imaging": {
        "tiny": _miri(
            "F770W",
            subarray="SUB256",
            pattern="FASTR1",
            ngroups=12,
            star_density=200.0,
            galaxy_density=40.0,
            flux_range=(1e-4, 1e-2),
            **_CORNER | {"dither_step": 2.0, "min_separation": 2.2},
        ),
        "small": _miri(
            "F770W",
            "F1500W",
            subarray="BRIGHTSKY",
            pattern="FASTR1",
            ngroups=20,
            nints=2,
            dither_step=3.0,
            star_density=150.0,
            galaxy_density=60.0,
            flux_range=(5e-5, 2e-2),
            min_separation=1.5,
            background_dithers=2,
            whole_references=False,
        ),
        "full": _miri(
            "F770W",
            subarray="FULL",
            pattern="FASTR1",
            ngroups=40,
            dither_step=6.0,
            star_density=150.0,
            galaxy_density=90.0,
            flux_range=(5e-6, 2e-3),
            min_separation=0.0,
        ),
        # one long exposure: for measuring the speed of stage 1
        "ramps": _miri(
            "F770W",
            subarray="FULL",
            pattern="FASTR1",
            ngroups=100,
            nints=3,
            dithers=1,
            star_density=150.0,
            galaxy_density=90.0,
            flux_range=(5e-6, 2e-3),
            min_separation=0.0,
        ),
    },
    "fgs_imaging": {
        "tiny": _fgs(
            "GUIDER1",
            subarray="SUB128CNTR",
            pattern="FGSRAPID",
            ngroups=8,
            star_density=1500.0,
            galaxy_density=120.0,
            flux_range=(3e-6, 1e-4),
            **_CORNER,
        ),
        "small": _fgs(
            "GUIDER1",
            subarray="FULL",
            pattern="FGSRAPID",
            ngroups=5,
            dither_step=3.0,
            star_density=300.0,
            galaxy_density=60.0,
            flux_range=(5e-7, 5e-5),
            min_separation=0.0,
        ),
        "full": _fgs(
            "GUIDER1",
            "GUIDER2",
            subarray="FULL",
            pattern="FGS",
            ngroups=10,
            dither_step=6.0,
            star_density=300.0,
            galaxy_density=60.0,
            flux_range=(1e-8, 3e-5),
            min_separation=0.0,
        ),
    },
}
"""Ready designs by mode and name."""


def design(preset="small", *, mode="nircam_imaging", **changes):
    """A preset, with some of its values changed.

    Parameters
    ----------
    preset : str or Preset
    mode : str
        A key of `PRESETS`.
    **changes
        Attributes of `Preset`.

    Raises
    ------
    ConfigError
        For an unknown preset, attribute, filter or readout pattern, and for the preset of another instrument.
    """
    imager = IMAGERS[mode]
    if isinstance(preset, str):
        if preset not in PRESETS[mode]:
            raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS[mode])}")
        preset = PRESETS[mode][preset]
    unknown = set(changes) - set(Preset.__dataclass_fields__)
    if unknown:
        raise ConfigError(
            f"unknown setting {sorted(unknown)[0]!r} of a programme; valid: {', '.join(Preset.__dataclass_fields__)}"
        )
    preset = replace(preset, **changes)
    if preset.instrument != imager.instrument:
        raise ConfigError(f"instrument: {preset.instrument!r}; mode {mode} is of {imager.instrument}")
    patterns = PATTERNS[imager.instrument]
    if preset.pattern not in patterns:
        raise ConfigError(f"unknown readout pattern {preset.pattern!r}; valid: {', '.join(patterns)}")
    for name, low in (("dithers", 1), ("background_dithers", 0)):
        if not low <= getattr(preset, name) <= len(DITHERS):
            raise ConfigError(f"{name}: {getattr(preset, name)}; valid: {low} to {len(DITHERS)}")
    for configuration in preset.configurations:
        for _, filter_name, pupil in configuration:
            imager.band(filter_name, pupil)
    return preset
