"""Rates of simulated ramps, by this package and by the observatory's pipeline."""

import tempfile

import benchmarks.offline  # noqa: F401
import numpy as np
from astropy.io import fits
from benchmarks.ramp_exposures import observable, simulate, write_references

KNOWN_RATE = "exact, known rate"
"""A fit whose ERR is corrected to hold the Poisson noise of the true rate, as no real ERR can."""
OUTLIER = 4.0
"""Pulls beyond this are counted, and left out otherwise, where there are cosmic rays."""
OWN = {
    "native": {},
    "jwst": {"compatibility": "jwst"},
    "exact": {"variance": "exact"},
    "likely": {"algorithm": "LIKELY"},
    KNOWN_RATE: {"variance": "exact", "known_rate": True},
}
"""Parameters of our step ``ramp_fit``, and of `own_rates`."""
ORACLE = {"oracle": {}, "oracle likely": {"algorithm": "LIKELY"}}
"""Parameters of the oracle's."""


def own_rates(simulation, references, *, jumps=False, known_rate=False, **parameters):
    """Rate and ERR (DN/s) of the ramps, NaN where there is none; ERR for the true rate if ``known_rate``."""
    from snakewebb.detector.jump import jump
    from snakewebb.detector.ramp_fit import ramp_fit
    from snakewebb.io.models import Ramp
    from snakewebb.io.references import References

    pattern = simulation.pattern
    shape = simulation.truth.shape
    header = fits.Header({"NFRAMES": pattern.nframes, "GROUPGAP": pattern.gap, "INSTRUME": pattern.detector.instrument})
    header.update({"TGROUP": pattern.group_time, "TFRAME": pattern.frame_time})
    header.update({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": shape[1], "SUBSIZE2": shape[0]})
    ramp = Ramp(
        header=header,
        sci_header=fits.Header(),
        data=simulation.data.copy(),
        groupdq=simulation.groupdq.copy(),
        pixeldq=np.zeros(shape, np.uint32),
        # a little more of it keeps the Poisson variance from being 0 where the rate is
        average_dark_current=simulation.dark + np.float32(1e-6) if known_rate else simulation.dark,
    )
    references = References(references, ramp.subarray)
    if jumps:
        jump(ramp, references)
    ramp_fit(ramp, references, **parameters)
    rate, err = ramp.rate.data, ramp.rate.err
    if known_rate:
        dark = ramp.average_dark_current / pattern.detector.gain
        err = np.sqrt(
            ramp.rate.var_rnoise + ramp.rate.var_poisson * (simulation.truth + dark) / (np.maximum(rate, 0) + dark)
        )
    return _usable(rate, err, ramp.rate.dq)


def oracle_rates(simulation, references, *, jumps=False, **parameters):
    """Rate and ERR (DN/s) of the ramps by jwst, NaN where there is none."""
    from jwst.jump import JumpStep
    from jwst.ramp_fitting import RampFitStep
    from stdatamodels.jwst.datamodels import RampModel

    pattern = simulation.pattern
    ny, nx = simulation.truth.shape
    model = RampModel(
        data=simulation.data.copy(),
        groupdq=simulation.groupdq.copy(),
        pixeldq=np.zeros((ny, nx), np.uint32),
    )
    model.average_dark_current = simulation.dark.copy()
    for key, value in {
        "instrument.name": pattern.detector.instrument,
        "instrument.detector": pattern.detector.name,
        "exposure.type": pattern.detector.exp_type,
        "exposure.nints": 1,
        "exposure.ngroups": simulation.data.shape[1],
        "exposure.nframes": pattern.nframes,
        "exposure.groupgap": pattern.gap,
        "exposure.frame_time": pattern.frame_time,
        "exposure.group_time": pattern.group_time,
        "subarray.xstart": 1,
        "subarray.ystart": 1,
        "subarray.xsize": nx,
        "subarray.ysize": ny,
        "observation.date": "2024-06-01",
        "observation.time": "12:00:00",
    }.items():
        model[f"meta.{key}"] = value
    fit = RampFitStep(**parameters)
    for step in [JumpStep(), fit] if jumps else [fit]:
        step.override_gain, step.override_readnoise = (str(references[key]) for key in ("gain", "readnoise"))
        with np.errstate(all="ignore"):
            model = step.process(model)
    rate = model[0]
    return _usable(rate.data, rate.err, rate.dq)


def _usable(data, err, dq):
    good = (dq & 1 == 0) & (err > 0)
    return np.where(good, data, np.nan), np.where(good, err, np.nan)


def pull_statistics(rate, err, truth, *, limit=np.inf):
    """Width of the pulls, bias of the rate, and outliers.

    Parameters
    ----------
    rate, err, truth : ndarray (ny, nx)
    limit : float
        Pulls beyond this are outliers, left out of width and bias.

    Returns
    -------
    width, bias, outliers, per_cent, scatter : ndarray (ny,)
        Of each row. The bias is that of the rate, over the median ERR: the mean of the pulls themselves would also
        hold how the error depends on the rate. Outliers are in per cent; ``per_cent`` is the bias in per cent of the
        true rate; ``scatter`` is the standard deviation of the rates over the root mean square of ERR, which differs
        from the width where ERR follows the noise of the rate.
    """
    pulls = (rate - truth) / err
    kept = np.abs(pulls) <= limit
    outliers = 100 * (1 - kept.sum(axis=1) / np.isfinite(pulls).sum(axis=1))
    pulls, differences = np.where(kept, pulls, np.nan), np.where(kept, rate - truth, np.nan)
    mean = np.nanmean(differences, axis=1)
    scatter = np.nanstd(differences, axis=1) / np.sqrt(np.nanmean(np.square(err, dtype=float), axis=1))
    per_cent = 100 * mean / truth.mean(axis=1)
    return np.nanstd(pulls, axis=1), mean / np.nanmedian(err, axis=1), outliers, per_cent, scatter


def measure(name, ngroups, *, pixels, fluxes, fits_by, dark=0.0, rays=0.0, seed=1):
    """Pull widths and biases of one pattern and number of groups, for each flux.

    Parameters
    ----------
    name : str
        Of the pattern.
    ngroups : int
    pixels : int
        Ramps of each flux.
    fluxes, dark : array_like
        Electrons per second.
    fits_by : sequence of str
        Keys of `OWN` and `ORACLE`.
    rays : float
        Cosmic rays per pixel and second; where there are any, jumps are searched.
    seed : int

    Returns
    -------
    dict
        What `pull_statistics` gives, for each fit; NaN where the ramp would saturate.
    """
    fluxes = np.asarray(fluxes, float)
    keep = observable(name, ngroups, fluxes)
    flux = np.repeat(fluxes[keep, None], pixels, axis=1)
    dark = np.broadcast_to(dark, (fluxes.size, 1))[keep]
    simulation = simulate(name, ngroups, flux, dark=dark, rays=rays, seed=seed)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        references = write_references(folder, flux.shape, simulation.pattern)
        for fit in fits_by:
            rates = own_rates if fit in OWN else oracle_rates
            parameters = OWN[fit] if fit in OWN else ORACLE[fit]
            rate, err = rates(simulation, references, jumps=rays > 0, **parameters)
            statistics = pull_statistics(rate, err, simulation.truth, limit=OUTLIER if rays > 0 else np.inf)
            found[fit] = np.full((len(statistics), fluxes.size), np.nan)
            found[fit][:, keep] = statistics
    return found
