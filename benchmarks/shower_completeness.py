"""Showers of known amplitude in mid-infrared ramps: how many are found, how much of them, and how much else is flagged.

``python -m benchmarks.shower_completeness`` prints a Markdown table, this package beside the observatory's pipeline. The ramps
are made here with numpy alone.
"""

import argparse
import logging
import tempfile

import numpy as np
from benchmarks.jump_completeness import SOFTWARE, flags_of_all, sampled
from benchmarks.ramp_exposures import PATTERNS, write_references

PATTERN = PATTERNS["FASTR1"]
RATE = 20.0
"""Electrons per second of the sky."""
NOISE = float(np.sqrt(RATE * PATTERN.frame_time + 2 * PATTERN.read_noise**2))
"""Of a difference of two groups, electrons."""
AMPLITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Charge that arrives at once in the middle of a shower, in units of the noise of a difference."""
NGROUPS = 20
SPACING = 120
DECAY = 15.0
"""Seconds in which what follows falls by a factor e."""
LATE = 0.4
"""Part of the charge that comes later."""


def showers(amplitude, side, seed=1):
    """Ramps with a shower in each cell of a grid.

    Returns
    -------
    data : ndarray of float32 (1, ngroups, side, side)
        DN.
    prompt : ndarray (ngroups, side, side)
        Charge that arrives at once before each group, in units of the amplitude.
    """
    random = np.random.default_rng(seed)
    shape = (NGROUPS, side, side)
    arriving = random.poisson(RATE * PATTERN.frame_time, shape).astype(float)
    prompt, late = np.zeros(shape), np.zeros(shape)
    rows, columns = np.indices((side, side))
    for row in range(SPACING // 2, side - SPACING // 2 + 1, SPACING):
        for column in range(SPACING // 2, side - SPACING // 2 + 1, SPACING):
            group, angle = random.integers(1, NGROUPS), random.uniform(0, np.pi)
            along = random.uniform(10, 20)
            across = along * random.uniform(0.5, 1)
            x, y = columns - column - random.uniform(-5, 5), rows - row - random.uniform(-5, 5)
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            profile = np.exp(-((u / along) ** 2 + (v / across) ** 2) / 2)
            prompt[group] = np.maximum(prompt[group], profile)
            times = np.arange(NGROUPS - group + 1) * PATTERN.group_time
            late[group:] += -np.diff(np.exp(-times / DECAY))[:, None, None] * profile
    arriving += amplitude * NOISE * (prompt + LATE / (1 - LATE) * late)
    data = sampled(arriving, random.normal(0, PATTERN.read_noise, shape), PATTERN.detector.gain)
    return data, prompt


def statistics(groupdq, prompt):
    """Per cent of the showers of which most is flagged, of their pixels above half and a tenth, and of all before one."""
    flagged = groupdq[0] & 4 != 0
    cells = [
        (slice(row, row + SPACING), slice(column, column + SPACING))
        for row in range(0, prompt.shape[1] - SPACING + 1, SPACING)
        for column in range(0, prompt.shape[2] - SPACING + 1, SPACING)
    ]
    found = []
    for cell in cells:
        inside = prompt[:, *cell] > 0.5
        found.append(flagged[:, *cell][inside].mean() > 0.5)
    before = ~np.logical_or.accumulate(prompt > 0.01, axis=0)
    before[0] = False
    parts = (prompt > 0.5, (prompt > 0.1) & (prompt <= 0.5), before)
    return [100 * float(np.mean(found)), *(100 * float(flagged[part].mean()) for part in parts)]


def main(side):
    """Print the table."""
    logging.disable(logging.WARNING)
    print(f"{(side // SPACING) ** 2} showers of each amplitude in {NGROUPS} groups of FASTR1, per cent of the pixels")
    print(f"flagged in the group of the shower; a difference has a noise of {NOISE:.1f} electrons\n")
    print("| amplitude / noise | by | regions | showers found | above half | a tenth to half | before and beside |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        references = write_references(folder, (side, side), PATTERN)
        for amplitude in AMPLITUDES:
            data, prompt = showers(amplitude, side)
            groupdq = np.zeros(data.shape, np.uint8)
            results = flags_of_all(data, groupdq, references, pattern=PATTERN, find_showers=True)
            for name, (flags, regions) in zip(SOFTWARE, results, strict=True):
                found, bright, faint, elsewhere = statistics(flags, prompt)
                print(
                    f"| {amplitude:g} | {name} | {regions} | {found:.0f} | {bright:.1f} | {faint:.1f} | {elsewhere:.3f} |"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=600, help="pixels along a side of the field")
    main(parser.parse_args().side)
