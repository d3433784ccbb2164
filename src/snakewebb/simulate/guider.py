"""Exposures of the guiders while they guide: identification, acquisition, tracking, fine guiding."""

from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from astropy.io import fits
from astropy.table import Table

from snakewebb.errors import ConfigError
from snakewebb.io import fits as checked_fits
from snakewebb.simulate import raw_scenes
from snakewebb.simulate.effects import check_effects, write_table
from snakewebb.simulate.ramps import expose
from snakewebb.simulate.raw_modes import RawExposure, RawPreset, raw_programme
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, RAW_EFFECTS, raw_references, true_detector
from snakewebb.simulate.uncal import asdf_unit, moment, primary_keywords, reference_keywords, science_keywords

_SLEW = 20.0  # seconds between functions


@dataclass(frozen=True)
class Function:
    """What a guider does: EXP_TYPE, READPATT, SUBARRAY, integrations and groups, and its name in file names."""

    exp_type: str
    pattern: str
    subarray: str
    nints: int
    ngroups: int
    name: str


FUNCTIONS = {
    "identification": Function("FGS_ID-IMAGE", "ID", "FULL", 2, 2, "gs-id_1_image"),
    "first acquisition": Function("FGS_ACQ1", "ACQ1", "128X128", 6, 2, "gs-acq1"),
    "second acquisition": Function("FGS_ACQ2", "ACQ2", "32X32", 5, 2, "gs-acq2"),
    "tracking": Function("FGS_TRACK", "TRACK", "32X32", 40, 2, "gs-track"),
    "fine guiding": Function("FGS_FINEGUIDE", "FINEGUIDE", "8X8", 100, 8, "gs-fg"),
}
"""Functions in the order of a visit."""
PRESETS = {
    "tiny": ("first acquisition", "second acquisition", "fine guiding"),
    "small": ("first acquisition", "second acquisition", "tracking", "fine guiding"),
    "full": tuple(FUNCTIONS),
}
"""Functions of each preset."""


@dataclass
class GuiderExposure(RawExposure):
    """An exposure of a guiding function."""

    function: Function | None = None

    @property
    def root(self):
        """Name of its files up to the suffix: jw01235001001_gs-acq1_2025302060500."""
        return f"jw{self.visit_id}_{self.function.name}_{moment(self.mjd_start):%Y%j%H%M%S}"


def simulate_guider(out, *, preset, seed, effects, errors, references, progress, detector="GUIDER1", star=2e4):
    """Simulate the guiding of a visit.

    Parameters
    ----------
    out, seed, effects, errors, references, progress
        See `truth.simulate`.
    preset : str
        A key of `PRESETS`.
    detector : str
        ``GUIDER1`` or ``GUIDER2``.
    star : float
        Electrons per second of the guide star.

    Returns
    -------
    list of Path
        The raw files.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    effects = check_effects(effects, DEFAULT_EFFECTS, RAW_EFFECTS)
    report = progress or (lambda text: None)
    out = Path(out)
    mjd = 60949.25
    paths, programmes, rows = [], [], []
    for name in PRESETS[preset]:
        programme, exposure = guider_exposure(FUNCTIONS[name], detector, seed, mjd)
        raw, rate, truth = expose_guider(exposure, effects, star)
        path = out / "uncal" / f"{exposure.root}_uncal.fits"
        checked_fits.write(path, guider_units(exposure, raw, star))
        units = [fits.PrimaryHDU(), fits.ImageHDU(rate / truth.gain, name="RATE"), fits.ImageHDU(truth.bad, name="DQ")]
        checked_fits.write(out / "truth" / f"{exposure.root}_truth.fits", units)
        report(f"exposed {path.name}")
        paths.append(path)
        programmes.append(programme)
        rows.append({"exposure": exposure.root, "exp_type": exposure.exp_type, "star": star})
        mjd += (exposure.readout.duration + _SLEW) / 86400
    write_table(Table(rows), out / "truth" / "exposures.ecsv")
    if references:
        together = replace(programmes[0], exposures=[entry for each in programmes for entry in each.exposures])
        raw_references(out / "crds", together, effects, errors)
        report(f"wrote the reference files in {out / 'crds'}")
    return paths


def guider_exposure(function, detector, seed, mjd):
    """The programme of one function, and its exposure."""
    design = RawPreset(
        (detector,),
        function.subarray,
        function.pattern,
        function.ngroups,
        function.nints,
        exp_type=function.exp_type,
        template="FGS guiding",
        mjd=mjd,
    )
    programme = raw_programme(design, seed=seed)
    (plain,) = programme.exposures
    exposure = GuiderExposure(
        programme, detector, 1, plain.mjd_visit, plain.mjd_start, plain.header_attitude, function=function
    )
    programme.exposures = [exposure]
    return programme, exposure


def expose_guider(exposure, effects=DEFAULT_EFFECTS, star=2e4):
    """Make one exposure in memory: a star in the middle of a faint sky; see `raw_simulation.expose_raw`."""
    geometry = exposure.geometry
    truth = true_detector(exposure.detector, "", exposure.programme.seed, effects)
    truth = truth.cut(*geometry.start, *geometry.shape[::-1])
    ny, nx = truth.shape
    rate = np.zeros(truth.shape, np.float32)
    if "scene" in effects:
        random = np.random.default_rng([exposure.programme.seed, crc32(exposure.root.encode())])
        rows, columns = np.ogrid[:ny, :nx]
        centre = (np.array([ny, nx]) - 1) / 2 + random.uniform(-0.5, 0.5, 2)
        spot = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * 0.8**2))
        rate += (1.0 + star * spot / (2 * np.pi * 0.8**2)).astype(np.float32)
        if exposure.subarray == "FULL":
            rate += raw_scenes.stars(random, truth.shape, background=0.0, density=1e-4)
        rate *= truth.flat
    raw = expose(
        rate,
        truth,
        exposure.readout,
        fast_axis=geometry.fast_axis,
        slow_axis=geometry.slow_axis,
        first_column=exposure.first_column,
        seed=exposure.seed(),
        effects=effects,
        zeroframe=False,
    )
    return raw, rate, truth


def guider_units(exposure, raw, star):
    """The HDUs of a raw guiding exposure: PRIMARY, SCI, the table of guide stars, ASDF."""
    primary = fits.PrimaryHDU()
    dropped = {"VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE", "EXPCOUNT", "EXPRIPAR", "PATTTYPE", "PATT_NUM", "NUMDTHPT"}
    for cards in primary_keywords(exposure).values():
        for name, value, comment in cards:
            if name not in dropped:
                primary.header[name] = value, comment[:40]
    end = exposure.mjd_start + exposure.readout.duration / 86400
    primary.header["FILENAME"] = f"{exposure.root}_uncal.fits"
    primary.header["PCS_MODE"] = "FINEGUIDE" if exposure.exp_type == "FGS_FINEGUIDE" else "TRACK"
    primary.header["DATASTRT"], primary.header["DATAEND"] = exposure.mjd_start, end
    science = fits.ImageHDU(raw.data, name="SCI")
    for cards in science_keywords(exposure).values():
        for name, value, comment in cards:
            science.header[name] = value, comment[:40]
    keywords = reference_keywords(exposure)
    row = (1, 0, "N00000001", keywords["GS_RA"], keywords["GS_DEC"], 0.0, 0.0, 15.0, 0.01, star, 0.01 * star)
    names = [
        "guide_star_order",
        "reference_order",
        "reference_star_id",
        "ra",
        "dec",
        "id_x",
        "id_y",
        "fgs_mag",
        "fgs_mag_uncert",
    ]
    kinds = ["i4", "i4", "S12"] + ["f8"] * 8
    columns = list(zip([*names, "count_rate", "count_rate_uncert"], kinds, strict=True))
    stars = fits.BinTableHDU(np.array([row], dtype=columns), name="PLANNED REFERENCE STARS")
    primary.header["NEXTEND"] = 3
    return [primary, science, stars, asdf_unit()]
