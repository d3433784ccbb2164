"""Cosmic rays and snowballs of known size: how many are found, and how much else is flagged.

``python -m benchmarks.jump_completeness`` prints two Markdown tables, this package beside the observatory's pipeline. The ramps are
made here with numpy alone.
"""

import argparse
import logging
import tempfile

import benchmarks.offline  # noqa: F401
import numpy as np
from astropy.io import fits
from benchmarks.ramp_exposures import PATTERNS, write_references

PATTERN = PATTERNS["RAPID"]
"""Of the near infrared."""
RATE = 5.0
"""Electrons per second of the sky."""
FULL_WELL = 60000.0
"""Electrons that arrive in one group, above which a pixel is saturated from then on."""
NOISE = float(np.sqrt(RATE * PATTERN.frame_time + 2 * PATTERN.read_noise**2))
"""Of a difference of two groups, electrons."""
SIZES = (2, 3, 4, 5, 6, 8, 12, 20, 100)
"""Of cosmic rays, in units of the noise of a difference."""
GROUPS = (4, 5, 10, 20)
CORES = (0.0, 1.0, 2.0, 4.0, 7.0, 10.0)
"""Radius in pixels within which a snowball saturates."""
SOFTWARE = ("native", "compatibility: jwst", "jwst 3.0.0")


def field(shape, seed):
    """Electrons that arrive before each group and read noise, for a constant rate: (ngroups, ny, nx) each."""
    random = np.random.default_rng(seed)
    electrons = random.poisson(RATE * PATTERN.frame_time, shape).astype(float)
    return electrons, random.normal(0, PATTERN.read_noise, shape)


def sampled(arriving, noise, gain=PATTERN.detector.gain):
    """Ramps in DN."""
    return np.rint((np.cumsum(arriving, axis=0) + noise) / gain)[None].astype(np.float32)


def cosmic_rays(ngroups, side, seed=1):
    """Ramps with single hits.

    Returns
    -------
    data : ndarray of float32 (1, ngroups, ny, nx)
        DN.
    size : ndarray (ngroups, ny, nx)
        Of the hit before each group in units of the noise, 0 where there is none.
    """
    random = np.random.default_rng(seed)
    arriving, noise = field((ngroups, side, side), seed + 100)
    size = np.zeros((ngroups, side, side))
    # no two hits are neighbours
    rows, columns = np.mgrid[2 : side - 2 : 4, 2 : side - 2 : 4]
    size[random.integers(1, ngroups, rows.shape), rows, columns] = random.choice(SIZES, rows.shape)
    return sampled(arriving + size * NOISE, noise), size


def snowballs(core, side, *, ngroups=10, elongation=1.0, seed=1):
    """Ramps with snowballs on a grid, and the flags that the saturation step would have given.

    Returns
    -------
    data : ndarray of float32 (1, ngroups, ny, nx)
    groupdq : ndarray of uint8, same shape
    charge : ndarray (ngroups, ny, nx)
        Of the snowballs, electrons that arrive before each group.
    number : int
    """
    random = np.random.default_rng(seed)
    arriving, noise = field((ngroups, side, side), seed + 100)
    charge = np.zeros(arriving.shape)
    rows, columns = np.indices((side, side))
    spacing = 100
    places = [(y, x) for y in range(60, side - 50, spacing) for x in range(60, side - 50, spacing)]
    for y, x in places:
        angle, group = random.uniform(0, np.pi), random.integers(1, ngroups)
        y, x = y + random.uniform(-3, 3), x + random.uniform(-3, 3)
        u = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / elongation
        v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        # 60,000 electrons at the edge of the core, and a halo
        profile = FULL_WELL * np.exp(-(np.hypot(u, v) - core) / (1.0 + 0.15 * core))
        charge[group] += np.where(profile > 1, np.minimum(profile, 5 * FULL_WELL), 0)
    data = sampled(arriving + charge, noise)
    saturated = np.logical_or.accumulate(charge > FULL_WELL, axis=0)
    return data, np.where(saturated, np.uint8(2), np.uint8(0))[None], charge, len(places)


def own_flags(data, groupdq, references, *, pattern=PATTERN, **parameters):
    """GROUPDQ and number of extended events by this package."""
    from snakewebb.detector.jump import jump
    from snakewebb.io.models import Ramp
    from snakewebb.io.references import References

    ny, nx = data.shape[2:]
    header = fits.Header({"NFRAMES": 1, "TGROUP": pattern.group_time, "SUBSTRT1": 1, "SUBSTRT2": 1})
    header.update({"SUBSIZE1": nx, "SUBSIZE2": ny})
    ramp = Ramp(header, fits.Header(), data.copy(), groupdq.copy(), np.zeros((ny, nx), np.uint32))
    jump(ramp, References(references, ramp.subarray), **parameters)
    return ramp.groupdq, _events(ramp.header["EXTNCRS"], data.shape, pattern)


def oracle_flags(data, groupdq, references, *, pattern=PATTERN, **parameters):
    """GROUPDQ and number of extended events by jwst."""
    from jwst.jump import JumpStep
    from stdatamodels.jwst.datamodels import RampModel

    ny, nx = data.shape[2:]
    model = RampModel(data=data.copy(), groupdq=groupdq.copy(), pixeldq=np.zeros((ny, nx), np.uint32))
    for key, value in {
        "instrument.name": pattern.detector.instrument,
        "exposure.nframes": 1,
        "exposure.group_time": pattern.group_time,
        "subarray.xstart": 1,
        "subarray.ystart": 1,
        "subarray.xsize": nx,
        "subarray.ysize": ny,
    }.items():
        model[f"meta.{key}"] = value
    step = JumpStep(**parameters)
    step.override_gain, step.override_readnoise = (str(references[key]) for key in ("gain", "readnoise"))
    with np.errstate(all="ignore"):
        model = step.process(model)
    return model.groupdq, _events(model.meta.exposure.extended_emission_events, data.shape, pattern)


def _events(rate, shape, pattern):
    return round(rate * pattern.group_time * (shape[1] - 1) * shape[2] * shape[3] / 1e6)


def flags_of_all(data, groupdq, references, **parameters):
    """What each of `SOFTWARE` gives: list of (GROUPDQ, number of events)."""
    return [
        own_flags(data, groupdq, references, **parameters),
        own_flags(data, groupdq, references, **parameters, compatibility="jwst"),
        oracle_flags(data, groupdq, references, **parameters),
    ]


def near(hits):
    """Hits and the pixels that share an edge with one."""
    grown = hits.copy()
    grown[:, 1:] |= hits[:, :-1]
    grown[:, :-1] |= hits[:, 1:]
    grown[:, :, 1:] |= hits[:, :, :-1]
    grown[:, :, :-1] |= hits[:, :, 1:]
    return grown


def ray_statistics(groupdq, size):
    """Fractions found of each size (per cent), and false alarms per million groups away from hits."""
    flagged = groupdq[0] & 4 != 0
    found = [100 * flagged[size == value].mean() for value in SIZES]
    away = ~near(size > 0)
    away[0] = False
    return found, 1e6 * flagged[away].mean()


def snowball_statistics(groupdq, charge):
    """Fractions flagged (per cent) of what is brighter than 5 and 0.5 times the noise, and of all without charge."""
    flagged = groupdq[0] & 6 != 0
    now = charge > 0
    bright, faint = charge > 5 * NOISE, (charge > 0.5 * NOISE) & (charge <= 5 * NOISE)
    elsewhere = ~np.logical_or.accumulate(now, axis=0)
    return [100 * float(flagged[part].mean()) if part.any() else float("nan") for part in (bright, faint, elsewhere)]


def main(side):
    """Print the tables."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        references = write_references(folder, (side, side))
        print(f"Cosmic rays, per cent found by size in units of the noise of a difference ({NOISE:.1f} electrons)\n")
        print("| groups | by | " + " | ".join(f"{size}" for size in SIZES) + " | false alarms per million |")
        print("|---" * (len(SIZES) + 3) + "|")
        for ngroups in GROUPS:
            data, size = cosmic_rays(ngroups, side)
            results = flags_of_all(data, np.zeros(data.shape, np.uint8), references)
            for name, (groupdq, _) in zip(SOFTWARE, results, strict=True):
                found, alarms = ray_statistics(groupdq, size)
                numbers = " | ".join(f"{value:.1f}" for value in found)
                print(f"| {ngroups} | {name} | {numbers} | {alarms:.0f} |")
        print("\nSnowballs in 10 groups, per cent of the pixels flagged in their group\n")
        print(
            "| radius of core | elongation | by | events found | brighter than 5 noise | 0.5 to 5 noise | elsewhere |"
        )
        print("|---|---|---|---|---|---|---|")
        for elongation in (1.0, 2.0):
            for core in CORES:
                data, groupdq, charge, number = snowballs(core, side, elongation=elongation)
                results = flags_of_all(data, groupdq, references, expand_large_events=True)
                for name, (flags, events) in zip(SOFTWARE, results, strict=True):
                    bright, faint, elsewhere = snowball_statistics(flags, charge)
                    print(
                        f"| {core:g} | {elongation:g} | {name} | {events} of {number} | {bright:.1f} | {faint:.1f} | "
                        f"{elsewhere:.3f} |"
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=512, help="pixels along a side of the field")
    main(parser.parse_args().side)
