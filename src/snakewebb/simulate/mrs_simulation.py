"""The simulation of MIRI's spectrometer: raw files, the truth beside them, and the reference files."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from snakewebb.io import fits as checked_fits
from snakewebb.simulate import miri_readout
from snakewebb.simulate.effects import check_effects, write_table
from snakewebb.simulate.geometry import LIGHT_SPEED
from snakewebb.simulate.mrs_bands import band
from snakewebb.simulate.mrs_kinds import mrs_kinds
from snakewebb.simulate.mrs_optics import pixel_flat
from snakewebb.simulate.mrs_programme import mrs_design, mrs_programme, recession
from snakewebb.simulate.mrs_scene import background_table, lines_table, make_light, spectra_table
from snakewebb.simulate.ramps import EVENT_EFFECTS, expose
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS as RAW_DEFAULT
from snakewebb.simulate.raw_simulation import raw_parameters, true_detector, write_truth
from snakewebb.simulate.uncal import file_name, reference_keywords, uncal_units

MRS_EFFECTS = frozenset(
    {
        "sources",
        "sky_background",
        "flat",
        "fringes",
        "cross_artifact",
        "spectral_leak",
        "time_loss",
        "velocity_aberration",
    }
)
"""Effects of the sky and the optics; those of the detectors and their electronics are as for MIRI's imager."""
MRS_DEFAULT_EFFECTS = RAW_DEFAULT | MRS_EFFECTS
"""What is on unless something else is asked for."""

REFERENCE_OF = {"flat": "flat", "fringes": "fringe", "cross_artifact": "mrsxartcorr", "spectral_leak": "mrsptcorr"}
"""Reference type that undoes each effect, absent where the effect is switched off."""
_SPECTRUM_STEP = 5e-4  # micron, of the tables of true spectra


def simulate_mrs(out, *, preset, seed, effects, errors, references, progress, **changes):
    """Simulate observations with the spectrometer; see `truth.simulate`."""
    effects = check_effects(effects, MRS_DEFAULT_EFFECTS, MRS_DEFAULT_EFFECTS | EVENT_EFFECTS)
    preset = mrs_design(preset, **changes)
    report = progress or (lambda text: None)
    out = Path(out)
    programme = mrs_programme(preset, seed=seed, velocity_aberration="velocity_aberration" in effects)
    write_sky(out / "truth", preset)
    paths, rows, traps = {}, {}, {}
    # one detector in memory at a time
    for exposure in sorted(programme.exposures, key=lambda entry: entry.detector):
        raw, light, truth = expose_mrs(exposure, effects, traps.get(exposure.detector))
        traps[exposure.detector] = raw.traps
        path = out / "uncal" / file_name(exposure)
        checked_fits.write(path, uncal_units(exposure, raw))
        paths[exposure.root] = path
        rows[exposure.root] = _row(exposure, raw, light)
        more = [fits.ImageHDU(light.brightness, name="BRIGHTNESS"), fits.ImageHDU(light.scattered, name="SCATTERED")]
        more[0].header["BUNIT"], more[1].header["BUNIT"] = "MJy/sr", "electron/s"
        write_truth(out / "truth", exposure, raw, light.rate, truth, more)
        report(f"exposed {path.name}")
    order = [exposure.root for exposure in programme.exposures]
    write_table(Table([rows[root] for root in order]), out / "truth" / "exposures.ecsv")
    if references:
        mrs_references(out / "crds", programme, effects, errors)
        report(f"wrote the reference files in {out / 'crds'}")
    return [paths[root] for root in order]


def expose_mrs(exposure, effects=MRS_DEFAULT_EFFECTS, traps=None):
    """Make one exposure in memory.

    Parameters
    ----------
    exposure : mrs_programme.MrsExposure
    effects : set of str
    traps : ndarray, optional
        Electrons held in traps by the exposure before.

    Returns
    -------
    raw : ramps.RawRamp
    light : mrs_scene.Light
    truth : InstrumentTruth
    """
    preset, geometry = exposure.preset, exposure.geometry
    truth = true_detector(exposure.detector, preset.pattern, exposure.programme.seed, effects)
    light = exposure_light(exposure, truth, effects)
    raw = expose(
        light.rate,
        truth,
        exposure.readout,
        fast_axis=geometry.fast_axis,
        slow_axis=geometry.slow_axis,
        first_column=exposure.first_column,
        seed=exposure.seed(),
        effects=effects,
        wiring=miri_readout.wiring,
        traps=traps,
        zeroframe=False,
    )
    return raw, light, truth


def exposure_light(exposure, truth, effects=MRS_DEFAULT_EFFECTS):
    """Light on the detector of an exposure; see `mrs_scene.make_light`."""
    if exposure.imprint or "scene" not in effects:
        effects = frozenset(effects) - {"sources", "sky_background"}
    flat = truth.flat
    if "flat" in effects:
        flat = flat * pixel_flat(exposure.detector, exposure.setting, exposure.programme.seed)
    target, attitude = exposure.preset.target, exposure.true_attitude
    # the sources are where the target is, whatever is pointed at
    sources = exposure.preset.sources
    ra = target.ra + np.array([source.east for source in sources]) / 3600 / np.cos(np.radians(target.dec))
    dec = target.dec + np.array([source.north for source in sources]) / 3600
    positions = np.stack(attitude.sky_to_telescope(ra, dec), axis=-1) if sources else np.zeros((0, 2))
    return make_light(
        exposure.detector,
        exposure.setting,
        list(sources),
        positions,
        gain=truth.gain,
        flat=flat,
        mjd=exposure.mjd_start + exposure.readout.duration / 2 / 86400,
        effects=effects,
        doppler=1 + recession(attitude, target.ra, target.dec) / (LIGHT_SPEED * 1e3),
    )


def mrs_references(root, programme, effects=MRS_DEFAULT_EFFECTS, errors=None, **options):
    """Make the CRDS cache of a programme; see `crds_cache.build_cache`. What is switched off has no reference file."""
    from snakewebb.simulate.crds_cache import build_cache

    preset = programme.preset
    # weights and thresholds need a read noise, whether or not the data have it
    known = frozenset(effects) | {"read_noise"}

    def truths(detector, filter_name, pupil):
        truth = true_detector(detector, preset.pattern, programme.seed, known)
        truth.filter, truth.pupil = filter_name, pupil
        return truth

    absent = [reftype for effect, reftype in REFERENCE_OF.items() if effect not in effects]
    if "ipc" not in effects:
        absent.append("ipc")
    options = {"absent": tuple(absent)} | options
    return build_cache(
        root,
        truths=truths,
        exposures=[reference_keywords(exposure) for exposure in programme.exposures],
        errors=errors,
        seed=programme.seed,
        parameters=mrs_parameters(programme.exposures, effects),
        more_kinds=mrs_kinds(declines="time_loss" in effects),
        **options,
    )


def mrs_parameters(exposures, effects):
    """The ``pars-*`` files: those of stage 1, and what the archive uses for cubes and spectra of the spectrometer."""
    from snakewebb.simulate.parameter_files import ParameterFile

    cube = {"cube_build": ("jwst.cube_build.cube_build_step.CubeBuildStep", {"output_type": "multi"})}
    return [
        *raw_parameters(exposures, effects),
        ParameterFile(
            "pars-spec2pipeline", "jwst.pipeline.calwebb_spec2.Spec2Pipeline", {}, steps=cube, instrument="MIRI"
        ),
        ParameterFile(
            "pars-extract1dstep",
            "jwst.extract_1d.extract_1d_step.Extract1dStep",
            {"ifu_autocen": True, "ifu_rfcorr": True},
            instrument="MIRI",
        ),
    ]


def write_sky(folder, preset):
    """Write the tables of sources, their spectra and lines, and the background."""
    target = preset.target
    rows = [
        {
            "name": source.name,
            "ra": target.ra + source.east / 3600 / np.cos(np.radians(target.dec)),
            "dec": target.dec + source.north / 3600,
            "size": source.size,
            "flux_10um": source.flux,
            "slope": source.slope,
            "lines": source.lines,
            "redshift": source.redshift,
        }
        for source in preset.sources
    ]
    if rows:
        table = Table(rows)
        for name, unit in (("ra", "deg"), ("dec", "deg"), ("size", "arcsec"), ("flux_10um", "Jy")):
            table[name].unit = unit
        write_table(table, folder / "sources.ecsv")
    bands = [band(channel, setting) for channel in (1, 2, 3, 4) for setting in preset.bands]
    wavelengths = np.unique(
        np.round(np.concatenate([np.arange(*one.wavelengths, _SPECTRUM_STEP * one.channel) for one in bands]), 6)
    )
    write_table(spectra_table(preset.sources, wavelengths), folder / "spectra.ecsv")
    write_table(lines_table(preset.sources), folder / "lines.ecsv")
    write_table(background_table(wavelengths), folder / "background.ecsv")


def _row(exposure, raw, light):
    """Row of the table of exposures: what the headers do not say."""
    aperture = exposure.geometry.aperture
    ra, dec = (float(value) for value in exposure.true_attitude.telescope_to_sky(aperture.V2Ref, aperture.V3Ref))
    east, north = exposure.pointing_error
    row = {
        "exposure": exposure.root,
        "detector": exposure.detector,
        "band": exposure.setting,
        "background": exposure.background_target,
        "imprint": exposure.imprint,
        "ra_ref": ra,  # true direction of V2_REF, V3_REF
        "dec_ref": dec,
        "roll_ref": exposure.true_attitude.roll(aperture.V2Ref, aperture.V3Ref),
        "error_east": east,
        "error_north": north,
        "velosys": recession(exposure.true_attitude, ra, dec),
        "scattered": float(light.scattered.sum() / max(light.rate.sum(), 1e-30)),
    }
    for side, caught in zip(("left", "right"), light.sources, strict=True):
        for source, part in zip(exposure.preset.sources, caught, strict=True):
            row[f"caught_{side}_{source.name}"] = float(part)
    for name in miri_readout.EMI_FREQUENCIES:
        row[f"phase_{name}"] = raw.phases.get(name, np.nan)
    return row
