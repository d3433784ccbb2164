"""Slopes of MIRI's spectrometer without their ramps: what stage 1 would give, with noise of known size.

For what is asked of stages 2 and 3 alone: the truth of cubes and spectra, which needs exposures of all bands.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from snakewebb.io import fits as checked_fits
from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.effects import check_effects, write_table
from snakewebb.simulate.mrs_programme import mrs_design, mrs_programme
from snakewebb.simulate.mrs_simulation import MRS_EFFECTS, REFERENCE_OF, exposure_light, mrs_references, write_sky
from snakewebb.simulate.raw_simulation import true_detector
from snakewebb.simulate.uncal import asdf_unit, file_name, primary_keywords, science_keywords

STAGE_1 = ("mask", "saturation", "linearity", "dark", "reset", "rscd", "emicorr", "readnoise", "gain", "ipc")
"""Reference types that slopes need no more."""


def simulate_slopes(out, *, preset="full", seed=1, effects=None, errors=None, progress=None, **changes):
    """Simulate slope images of an observation with the spectrometer.

    Parameters
    ----------
    out : path-like
        Folder; gets ``rate/*_rate.fits``, ``truth`` (tables of the sky, and BRIGHTNESS of each exposure) and ``crds``, a CRDS cache of
        stages 2 and 3.
    preset : str or mrs_programme.MrsPreset
    seed : int
    effects : collection of str or None
        Of `mrs_simulation.MRS_EFFECTS`; ``None``: all.
    errors : reference_format.ReferenceErrors or None
        By how much the reference files differ from the truth.
    progress : callable or None
        Called with one line of text for each exposure.
    **changes
        Attributes of `mrs_programme.MrsPreset` to change.

    Returns
    -------
    list of Path
        The slope images. Their noise is Gaussian: of the electrons collected, and of reading with least squares through the groups.

    Raises
    ------
    ConfigError
        For an unknown preset, effect or setting.
    """
    effects = frozenset(check_effects(effects, MRS_EFFECTS, MRS_EFFECTS)) | {"scene"}
    design = mrs_design(preset, **changes)
    report = progress or (lambda text: None)
    out = Path(out)
    programme = mrs_programme(design, seed=seed, velocity_aberration="velocity_aberration" in effects)
    write_sky(out / "truth", design)
    paths, rows = [], []
    for exposure in programme.exposures:
        truth = true_detector(exposure.detector, design.pattern, seed, {"read_noise"})
        light = exposure_light(exposure, truth, effects)
        path = out / "rate" / file_name(exposure, "rate")
        write_slopes(path, exposure, light.rate / truth.gain, *slope_variances(exposure, light.rate, truth), seed=seed)
        brightness = fits.ImageHDU(light.brightness, name="BRIGHTNESS")
        checked_fits.write(out / "truth" / file_name(exposure, "truth"), [fits.PrimaryHDU(), brightness])
        rows.append({"exposure": exposure.root, "detector": exposure.detector, "band": exposure.setting})
        paths.append(path)
        report(f"exposed {path.name}")
    write_table(Table(rows), out / "truth" / "exposures.ecsv")
    absent = (*STAGE_1, *(reftype for effect, reftype in REFERENCE_OF.items() if effect not in effects))
    mrs_references(out / "crds", programme, effects, errors, absent=absent)
    return paths


def slope_variances(exposure, rate, truth):
    """Variances of slopes, (DN/s)^2: of the electrons, and of reading.

    Parameters
    ----------
    exposure : mrs_programme.MrsExposure
    rate : ndarray (ny, nx)
        Electrons per second.
    truth : InstrumentTruth

    Returns
    -------
    poisson, reading : ndarray (ny, nx)
    """
    readout = exposure.readout
    groups, seconds = readout.ngroups, readout.group_time
    poisson = np.maximum(rate, 0) / (truth.gain**2 * (groups - 1) * seconds * readout.nints)
    reading = 12 * (truth.read_noise / truth.gain) ** 2 / (groups * (groups**2 - 1) * seconds**2 * readout.nints)
    return poisson, reading


def write_slopes(path, exposure, rate, poisson, reading, *, seed):
    """Write a slope image as stage 1 does.

    Parameters
    ----------
    path : path-like
    exposure : mrs_programme.MrsExposure
    rate : ndarray (ny, nx)
        True slopes, DN/s.
    poisson, reading : ndarray (ny, nx)
        Variances, (DN/s)^2.
    seed : int or None
        Of the noise that is added; ``None``: none is.
    """
    primary, science = fits.PrimaryHDU(), fits.ImageHDU(name="SCI")
    for header, groups in ((primary.header, primary_keywords(exposure)), (science.header, science_keywords(exposure))):
        for cards in groups.values():
            for name, value, _ in cards:
                header[name] = value
    primary.header["DATAMODL"], science.header["BUNIT"] = "IFUImageModel", "DN/s"
    error = np.sqrt(poisson + reading)
    if seed is not None:
        rate = rate + error * generator(seed, exposure.root, "noise of slopes").standard_normal(rate.shape)
    science.data = rate.astype(np.float32)
    others = [
        fits.ImageHDU(error.astype(np.float32), name="ERR"),
        fits.ImageHDU(np.zeros(rate.shape, np.uint32), name="DQ"),
        fits.ImageHDU(poisson.astype(np.float32), name="VAR_POISSON"),
        fits.ImageHDU(reading.astype(np.float32), name="VAR_RNOISE"),
    ]
    checked_fits.write(path, [primary, science, *others, asdf_unit()])
