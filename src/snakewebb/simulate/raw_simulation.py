"""The simulation of modes that are made up to the raw data: raw files, true rates beside them, and reference files."""

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
from astropy.io import fits
from astropy.table import Table

from snakewebb.io import fits as checked_fits
from snakewebb.simulate import irs2, miri_readout, raw_scenes
from snakewebb.simulate.detector_truth import EFFECTS as DETECTOR_EFFECTS
from snakewebb.simulate.effects import check_effects, write_table
from snakewebb.simulate.instrument_truth import IRS2_EFFECTS, MIRI_EFFECTS, make_instrument_detector
from snakewebb.simulate.instruments import is_irs2
from snakewebb.simulate.ramps import EVENT_EFFECTS, RAMP_EFFECTS, expose
from snakewebb.simulate.raw_modes import RAW_PRESETS, raw_design, raw_programme
from snakewebb.simulate.stripes import STRIPES, expose_stripes
from snakewebb.simulate.uncal import file_name, reference_keywords, uncal_units

DEFAULT_EFFECTS = (
    (DETECTOR_EFFECTS - {"filter_offset", "flat"}) | RAMP_EFFECTS | {"scene"} | MIRI_EFFECTS | IRS2_EFFECTS
)
"""What is on unless something else is asked for; those that an instrument does not have do nothing there."""
RAW_EFFECTS = DEFAULT_EFFECTS | EVENT_EFFECTS
"""Everything that can be switched on alone."""


def simulate_raw(mode, out, *, preset, seed, effects, errors, references, progress, **changes):
    """Simulate exposures of a mode; see `truth.simulate`."""
    effects = check_effects(effects, DEFAULT_EFFECTS, RAW_EFFECTS)
    preset = raw_design(mode, preset, **changes)
    report = progress or (lambda text: None)
    out = Path(out)
    programme = raw_programme(preset, seed=seed)
    paths, rows, traps = [], [], {}
    for exposure in programme.exposures:
        raw, rate, truth = expose_raw(exposure, effects, traps.get(exposure.detector))
        traps[exposure.detector] = raw.traps
        path = out / "uncal" / file_name(exposure)
        checked_fits.write(path, uncal_units(exposure, raw))
        paths.append(path)
        rows.append(_row(exposure, raw))
        write_truth(out / "truth", exposure, raw, rate, truth)
        report(f"exposed {path.name}")
    write_table(Table(rows), out / "truth" / "exposures.ecsv")
    if references:
        raw_references(out / "crds", programme, effects, errors)
        report(f"wrote the reference files in {out / 'crds'}")
    return paths


_DETECTORS = {}


def true_detector(detector, pattern, seed, effects):
    """A true detector, full frame; the last one is kept."""
    key = (detector, is_irs2(pattern), seed, frozenset(effects))
    if key not in _DETECTORS:
        _DETECTORS.clear()
        _DETECTORS[key] = make_instrument_detector(detector, pattern=pattern, seed=seed, effects=effects)
    return _DETECTORS[key]


def expose_raw(exposure, effects=DEFAULT_EFFECTS, traps=None):
    """Make one exposure in memory.

    Parameters
    ----------
    exposure : raw_modes.RawExposure
    effects : set of str
    traps : ndarray, optional
        Electrons held in traps by the exposure before.

    Returns
    -------
    raw : ramps.RawRamp
    rate : ndarray of float32 (ny, nx)
        Electrons per second, of light alone; of the mean integration.
    truth : InstrumentTruth
        Cut to the subarray.
    """
    preset, geometry = exposure.preset, exposure.geometry
    whole = true_detector(exposure.detector, preset.pattern, exposure.programme.seed, effects)
    stripes = STRIPES.get(preset.subarray)
    truth = whole.cut(*(stripes.whole if stripes else (*geometry.start, *geometry.shape[::-1])))
    rate = np.zeros(truth.shape, np.float32)
    if "scene" in effects:
        random = np.random.default_rng([exposure.programme.seed, crc32(f"scene {exposure.detector}".encode())])
        rate = getattr(raw_scenes, preset.scene)(random, truth.shape, **dict(preset.scene_options)) * truth.flat
    brightness = raw_scenes.transit(preset.nints, preset.transit_depth) if preset.transit_depth else None
    wiring = None
    if exposure.instrument == "MIRI":
        wiring = miri_readout.wiring
    elif is_irs2(preset.pattern):
        wiring = irs2.wiring
    raw = (expose if stripes is None else partial(expose_stripes, stripes=stripes))(
        rate,
        truth,
        exposure.readout,
        fast_axis=geometry.fast_axis,
        slow_axis=geometry.slow_axis,
        first_column=exposure.first_column,
        seed=exposure.seed(),
        effects=effects,
        wiring=wiring,
        traps=traps,
        zeroframe=False,
        brightness=brightness,
    )
    if brightness is not None:
        rate = rate * np.float32(brightness.mean())
    return raw, rate, truth


def _row(exposure, raw):
    return {
        "exposure": exposure.root,
        "detector": exposure.detector,
        "subarray": exposure.subarray,
        "pattern": exposure.readout.pattern,
        **{f"phase_{name}": raw.phases.get(name, np.nan) for name in miri_readout.EMI_FREQUENCIES},
    }


def write_truth(folder, exposure, raw, rate, truth, more=()):
    """Write what happened beside an exposure: true rates, and the table of each kind of event.

    The file ``truth`` holds RATE and DARK (DN/s), DQ, and, where the light varies, BRIGHTNESS of each integration
    relative to RATE; and the extensions of ``more``.
    """
    units = [fits.PrimaryHDU()]
    for name, array, unit in (
        ("RATE", rate / truth.gain, "DN/s"),
        ("DARK", truth.dark / truth.gain, "DN/s"),
        ("DQ", truth.bad, None),
    ):
        hdu = fits.ImageHDU(array, name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        units.append(hdu)
    if exposure.preset.transit_depth:
        light = raw_scenes.transit(exposure.preset.nints, exposure.preset.transit_depth)
        units.append(fits.ImageHDU(light / light.mean(), name="BRIGHTNESS"))
    units += more
    checked_fits.write(folder / file_name(exposure, "truth"), units)
    for name in ("cosmic_rays", "snowballs", "showers"):
        path = folder / file_name(exposure, name.replace("_", "")).replace(".fits", ".ecsv")
        write_table(getattr(raw, name), path)


def raw_parameters(exposures, effects):
    """The ``pars-*`` files of the exposures' context: what operations switch on or off, and what the effects need."""
    from snakewebb.simulate.parameter_files import ParameterFile

    instrument = exposures[0].instrument
    found = []

    def add(name, class_name, parameters):
        found.append(ParameterFile(f"pars-{name.replace('_', '')}step", class_name, parameters, instrument=instrument))

    if instrument == "MIRI":
        add("emicorr", "jwst.emicorr.emicorr_step.EmiCorrStep", {"skip": "emi" not in effects})
        add("refpix", "jwst.refpix.refpix_step.RefPixStep", {"skip": True})
    if "charge_migration" in effects:
        level = charge_migration_level(exposures[0])
        add(
            "charge_migration",
            "jwst.charge_migration.charge_migration_step.ChargeMigrationStep",
            {"skip": False, "signal_threshold": level},
        )
    if "ipc" in effects:
        add("ipc", "jwst.ipc.ipc_step.IPCStep", {"skip": False})
    if "persistence" in effects:
        add(
            "persistence",
            "jwst.persistence.persistence_step.PersistenceStep",
            {"skip": False, "persistence_time": 900},
        )
    if "snowballs" in effects:
        add("jump", "jwst.jump.jump_step.JumpStep", {"expand_large_events": True})
    elif "showers" in effects:
        add("jump", "jwst.jump.jump_step.JumpStep", {"find_showers": True})
    return found


def charge_migration_level(exposure):
    """DN above the bias below which no charge migrates."""
    from snakewebb.simulate.charge import MIGRATION_LEVEL
    from snakewebb.simulate.instruments import chip

    one = chip(exposure.detector)
    return round(0.9 * MIGRATION_LEVEL * one.full_well / one.gain)


def raw_references(root, programme, effects=DEFAULT_EFFECTS, errors=None, **options):
    """Make the CRDS cache of a programme; see `crds_cache.build_cache`."""
    from snakewebb.simulate.crds_cache import build_cache

    preset = programme.preset
    # weights and thresholds need a read noise, whether or not the data have it
    known = frozenset(effects) | {"read_noise"}

    def truths(detector, filter_name, pupil):
        truth = true_detector(detector, preset.pattern, programme.seed, known)
        truth.filter, truth.pupil = filter_name, pupil
        return truth

    options = {"absent": () if "ipc" in effects else ("ipc",)} | options
    return build_cache(
        root,
        truths=truths,
        exposures=[_reference_keywords(exposure) for exposure in programme.exposures],
        errors=errors,
        seed=programme.seed,
        extent="archive" if preset.whole_references else "subarray",
        parameters=raw_parameters(programme.exposures, effects),
        **options,
    )


def _reference_keywords(exposure):
    """Those of the exposure; the references of stripes are of the part of the detector that all of them are of."""
    keywords = reference_keywords(exposure)
    if exposure.subarray in STRIPES:
        names = "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"
        keywords |= dict(zip(names, STRIPES[exposure.subarray].whole, strict=True))
    return keywords


RAW_MODES = tuple(RAW_PRESETS)
"""Modes that are simulated up to the raw data."""
