"""The whole simulation: raw files, the truth beside them, and the reference files for them."""

from pathlib import Path
from zlib import crc32

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from snakewebb.errors import ConfigError
from snakewebb.io import fits as checked_fits
from snakewebb.simulate import miri_readout
from snakewebb.simulate.bands import bandpass
from snakewebb.simulate.designs import design
from snakewebb.simulate.detector_truth import EFFECTS as DETECTOR_EFFECTS
from snakewebb.simulate.effects import check_effects as named_effects
from snakewebb.simulate.effects import write_table
from snakewebb.simulate.geometry import DetectorGeometry
from snakewebb.simulate.imager_kinds import alignment_parameters, imaging_kinds
from snakewebb.simulate.imager_truth import exposed_truth, glow, make_imager_detector
from snakewebb.simulate.imagers import IMAGER_OF, IMAGERS
from snakewebb.simulate.instrument_truth import MIRI_EFFECTS
from snakewebb.simulate.optics import encircled_energy, full_width
from snakewebb.simulate.programme import field_of_view, make_programme
from snakewebb.simulate.ramps import EVENT_EFFECTS, RAMP_EFFECTS, expose
from snakewebb.simulate.raw_modes import RAW_PRESETS
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, raw_parameters, simulate_raw
from snakewebb.simulate.scene import make_scene
from snakewebb.simulate.sky import make_sky
from snakewebb.simulate.uncal import file_name, reference_keywords, uncal_units

MODES = (*IMAGERS, *(mode for mode in RAW_PRESETS if mode not in IMAGERS), "guider")
"""What can be simulated; all modes but imaging and ``miri_mrs`` with the reference files of stage 1 only."""
SCENE_EFFECTS = frozenset({"sources", "sky_background", "pointing_error", "velocity_aberration"})
EFFECTS = DETECTOR_EFFECTS | RAMP_EFFECTS | SCENE_EFFECTS
"""Everything of near-infrared images that can be switched on alone, and is on unless something else is asked for."""
MIRI_IMAGE_EFFECTS = EFFECTS | MIRI_EFFECTS | {"time_loss"}
"""The same of MIRI's images."""

SIMULATED_CONFIG = """\
# Of the simulation: reference files and truth. Add what you want to change.
crds_path: crds
crds_context: jwst_9999.pmap
truth: truth
"""
"""``config.yaml`` of a simulated programme."""


def simulate(
    mode, out, *, preset="small", seed=1, effects=None, errors=None, references=True, progress=None, **changes
):
    """Simulate an observing programme.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    out : path-like
        Folder; gets ``uncal/*.fits``, ``truth/*.ecsv``, ``truth/*_truth.fits`` and ``crds/``, a CRDS cache.
    preset : str or designs.Preset
        ``tiny``, ``small``, ``full``, or a design of one's own.
    seed : int
        The same seed gives the same files.
    effects : collection of str or None
        Those of `EFFECTS` or `MIRI_IMAGE_EFFECTS`, of `ramps.EVENT_EFFECTS`, and ``glow`` (`raw_simulation.RAW_EFFECTS` for modes that
        are simulated up to the raw data) that are switched on; ``None``: all but the events and the glow.
    errors : reference_format.ReferenceErrors or None
        By how much the reference files differ from the true detectors.
    references : bool
        Whether to make the CRDS cache.
    progress : callable or None
        Called with one line of text for each thing done.
    **changes
        Attributes of `designs.Preset`, `mrs_programme.MrsPreset`, or `raw_modes.RawPreset`, to change.

    Returns
    -------
    list of Path
        The raw files.

    Raises
    ------
    ConfigError
        For an unknown mode, preset, effect or setting.
    """
    if mode not in MODES:
        raise ConfigError(f"mode {mode!r} cannot be simulated; valid: {', '.join(MODES)}")
    options = {"preset": preset, "seed": seed, "effects": effects, "errors": errors, "references": references}
    options |= {"progress": progress, **changes}
    if mode == "miri_mrs":
        from snakewebb.simulate.mrs_simulation import simulate_mrs

        return simulate_mrs(out, **options)
    if mode in RAW_PRESETS and mode not in IMAGERS:
        return simulate_raw(mode, out, **options)
    if mode == "guider":
        from snakewebb.simulate.guider import simulate_guider

        return simulate_guider(out, **options)
    effects = check_effects(effects, mode)
    preset = design(preset, mode=mode, **changes)
    report = progress or (lambda text: None)
    out = Path(out)
    programme = make_programme(
        preset,
        seed=seed,
        pointing_errors="pointing_error" in effects,
        velocity_aberration="velocity_aberration" in effects,
    )
    catalogue = programme_sky(programme, effects)
    write_table(catalogue, out / "truth" / "sources.ecsv")

    rows, paths, traps = {}, {}, {}
    # one detector in memory at a time
    for exposure in sorted(programme.exposures, key=lambda entry: (entry.detector, entry.filter, entry.pupil)):
        raw, scene, truth = simulate_exposure(exposure, catalogue, effects, traps.get(exposure.detector))
        traps[exposure.detector] = raw.traps
        path = out / "uncal" / file_name(exposure)
        checked_fits.write(path, uncal_units(exposure, raw))
        paths[exposure.root] = path
        rows[exposure.root] = exposure_row(exposure, truth, raw)
        folder = out / "truth"
        write_table(scene.sources, folder / file_name(exposure, "sources").replace(".fits", ".ecsv"))
        write_table(raw.cosmic_rays, folder / file_name(exposure, "cosmicrays").replace(".fits", ".ecsv"))
        for name in effects & {"snowballs", "showers"}:
            write_table(getattr(raw, name), folder / file_name(exposure, name).replace(".fits", ".ecsv"))
        checked_fits.write(folder / file_name(exposure, "truth"), truth_units(scene, truth))
        report(f"exposed {path.name}")
    order = [exposure.root for exposure in programme.exposures]
    write_table(Table([rows[root] for root in order]), out / "truth" / "exposures.ecsv")
    if references:
        write_references(out / "crds", programme, effects, errors)
        report(f"wrote the reference files in {out / 'crds'}")
    return [paths[root] for root in order]


def default_effects(mode):
    """Effects that are on unless others are asked for."""
    if mode == "miri_mrs":
        from snakewebb.simulate.mrs_simulation import MRS_DEFAULT_EFFECTS

        return MRS_DEFAULT_EFFECTS
    if mode in IMAGERS:
        return MIRI_IMAGE_EFFECTS if mode == "miri_imaging" else EFFECTS
    return DEFAULT_EFFECTS


def check_effects(effects, mode="nircam_imaging"):
    """The set of effects of images, or the default ones for ``None``; see `effects.check_effects`."""
    default = default_effects(mode)
    return named_effects(effects, default, default | EVENT_EFFECTS | {"glow"})


def programme_sky(programme, effects=EFFECTS):
    """Catalogue of all fields of a programme.

    Parameters
    ----------
    programme : programme.Programme
    effects : set of str
        Without ``sources`` the catalogue is empty.
    """
    preset = programme.preset
    filters = sorted({exposure.band for exposure in programme.exposures})
    fields = [(target, 1.0) for target in preset.targets]
    if preset.background_dithers:
        fields.append((preset.background_target, preset.blank))
    tables = []
    for number, (target, density) in enumerate(fields):
        radius = field_of_view(programme, target) + 2.0
        area = np.pi * (radius / 60) ** 2
        area *= density * ("sources" in effects)
        tables.append(
            make_sky(
                target.ra,
                target.dec,
                radius,
                filters,
                stars=round(preset.star_density * area),
                galaxies=round(preset.galaxy_density * area),
                flux_range=preset.flux_range,
                seed=[programme.seed, crc32(b"sky"), number],
                min_separation=preset.min_separation,
            )
        )
    catalogue = vstack(tables)
    catalogue["id"] = np.arange(1, len(catalogue) + 1)
    return catalogue


_DETECTORS = {}


def exposure_detector(exposure, effects=EFFECTS):
    """True detector of an exposure, full frame; the last one is kept."""
    key = (exposure.detector, exposure.filter, exposure.pupil, exposure.programme.seed, frozenset(effects))
    if key not in _DETECTORS:
        _DETECTORS.clear()
        _DETECTORS[key] = make_imager_detector(
            exposure.detector,
            exposure.filter,
            exposure.pupil,
            seed=exposure.programme.seed,
            effects=effects,
        )
    return _DETECTORS[key]


def simulate_exposure(exposure, catalogue, effects=EFFECTS, traps=None):
    """Make one exposure in memory.

    Parameters
    ----------
    exposure : programme.Exposure
    catalogue : Table
    effects : set of str
    traps : ndarray, optional
        Electrons held in traps by the exposure before.

    Returns
    -------
    raw : ramps.RawRamp
    scene : scene.Scene
    truth : DetectorTruth
        Cut to the subarray.
    """
    whole = exposed_truth(exposure_detector(exposure, effects), exposure, effects)
    geometry = DetectorGeometry(exposure.detector, exposure.subarray, whole.filter_offset)
    truth = whole.cut(*geometry.start, *geometry.shape[::-1])
    background = exposure.background if "sky_background" in effects else 0.0
    if exposure.moving:
        catalogue = with_moving_target(catalogue, exposure)
    if "glow" in effects:
        background = background + glow(exposure)
    scene = make_scene(catalogue, geometry, exposure.true_attitude, truth, background=background)
    raw = expose(
        scene.rate,
        truth,
        exposure.readout,
        fast_axis=geometry.fast_axis,
        slow_axis=geometry.slow_axis,
        first_column=exposure.first_column,
        seed=exposure.seed(),
        effects=effects,
        wiring=miri_readout.wiring if exposure.instrument == "MIRI" else None,
        traps=traps,
        zeroframe=exposure.zeroframe,
    )
    return raw, scene, truth


def with_moving_target(catalogue, exposure):
    """A catalogue with the moving target where it is in an exposure, a star whose number is 0."""
    row = {name: catalogue[name][0] if len(catalogue) else 0.0 for name in catalogue.colnames}
    row |= {"id": 0, "kind": "star", "ra": exposure.place.ra, "dec": exposure.place.dec}
    row |= {name: exposure.programme.preset.target_flux for name in catalogue.colnames if name.startswith("flux_")}
    with_target = Table(catalogue, copy=True)
    with_target.add_row(row)
    return with_target


def exposure_row(exposure, truth, raw):
    """Row of the table of exposures: what the headers do not say."""
    geometry = DetectorGeometry(exposure.detector, exposure.subarray, truth.filter_offset)
    ny, nx = geometry.shape
    centre = np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2])
    ra, dec = geometry.pixel_to_sky(exposure.header_attitude, *centre)
    x, y = geometry.sky_to_pixel(exposure.true_attitude, ra, dec)
    v2, v3 = float(geometry.aperture.V2Ref), float(geometry.aperture.V3Ref)
    true_ra, true_dec = (float(value) for value in exposure.true_attitude.telescope_to_sky(v2, v3))
    east, north, roll = exposure.pointing_error
    phases = miri_readout.EMI_FREQUENCIES if exposure.instrument == "MIRI" else ()
    return {
        "exposure": exposure.root,
        "detector": exposure.detector,
        "filter": exposure.filter,
        "pupil": exposure.pupil,
        "target": exposure.target.name,
        "ra_ref": true_ra,  # true direction of V2_REF, V3_REF
        "dec_ref": true_dec,
        "roll_ref": exposure.true_attitude.roll(v2, v3),
        "error_east": east,
        "error_north": north,
        "error_roll": roll,
        # what is on the header's pixel (x, y) of the centre is truly at (x + dx, y + dy)
        "dx": float(x[0] - centre[0][0]),
        "dy": float(y[0] - centre[1][0]),
        "column_offset": float(truth.filter_offset[0]),
        "row_offset": float(truth.filter_offset[1]),
        "photmjsr": float(truth.photmjsr),
        "background": float(exposure.background),
        "psf_fwhm": full_width(exposure.band),
        **{f"phase_{name}": raw.phases.get(name, np.nan) for name in phases},
    }


def truth_units(scene, truth):
    """True images of an exposure: RATE (DN/s of the light alone), BRIGHTNESS (MJy/sr), DARK (DN/s), DQ."""
    units = [fits.PrimaryHDU()]
    for name, array, unit in (
        ("RATE", scene.rate / truth.gain, "DN/s"),
        ("BRIGHTNESS", scene.brightness.astype(np.float32), "MJy/sr"),
        ("DARK", truth.dark / truth.gain, "DN/s"),
        ("DQ", truth.bad, None),
    ):
        hdu = fits.ImageHDU(array, name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        units.append(hdu)
    return units


def write_references(root, programme, effects=EFFECTS, errors=None):
    """Make the CRDS cache of a programme; see `crds_cache.build_cache`."""
    from snakewebb.simulate.crds_cache import build_cache

    instrument = programme.preset.instrument
    scales = {exposure.band: float(exposure.geometry.full.XSciScale) for exposure in programme.exposures}

    def energy(filter_name, pupil, radii):
        band = bandpass(filter_name, pupil)
        return encircled_energy(band, np.asarray(radii) * scales[band], pixel=scales[band])

    # weights and thresholds need a read noise, whether or not the data have it
    known = frozenset(effects) | {"read_noise"}

    def true_detector(detector, filter_name, pupil):
        return make_imager_detector(detector, filter_name, pupil, seed=programme.seed, effects=known)

    options = {}
    if instrument != "NIRCAM":
        absent = ("ipc",) if "ipc" not in effects else ()
        if IMAGER_OF[instrument].offset and "filter_offset" not in effects:
            absent += ("filteroffset",)
        options = {
            "absent": absent,
            "parameters": [
                *raw_parameters(programme.exposures, effects),
                *alignment_parameters(programme.exposures),
            ],
            "more_kinds": imaging_kinds(instrument, declines="time_loss" in effects),
        }
    return build_cache(
        root,
        truths=true_detector,
        exposures=[reference_keywords(exposure) for exposure in programme.exposures],
        errors=errors,
        seed=programme.seed,
        extent="archive" if programme.preset.whole_references else "subarray",
        encircled_energy=energy,
        **options,
    )
