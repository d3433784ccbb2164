"""MIRI's interference of known waveforms, and the EMICORR file that describes them."""

import asdf
import numpy as np

CASES = {
    "BRIGHTSKY": {
        "rowclocks": 162,
        "frameclocks": 86528,
        "freqs": {"FAST": ["Hz390", "Hz218"], "SLOW": {"MIRIMAGE": ["Hz218"], "MIRIFULONG": ["Hz390"]}},
    },
    "SUB64": {"rowclocks": 28, "frameclocks": 8512, "freqs": {"FAST": ["Hz390"]}},
    "FULL_FAST": {"rowclocks": 271, "frameclocks": 277504, "freqs": {"FAST": ["Hz10"]}},
    "FULL_SLOW": {
        "rowclocks": 2333,
        "frameclocks": 2388992,
        "freqs": {"SLOW": {"MIRIMAGE": ["Hz10"], "MIRIFULONG": ["Hz390", "Hz10"]}},
    },
}
FREQUENCIES = {"Hz390": (390.625, 255), "Hz218": (218.520470, 250), "Hz10": (10.039216, 500)}


def waveform(number, seed):
    """A period of three harmonics, DN."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(number) + 0.5) / number
    return sum(size * np.sin(order * phase + rng.uniform(0, 6)) for order, size in ((1, 3.0), (2, 1.0), (3, 0.5)))


def interference(ramp, case, names, start):
    """Signal of the frequencies in each sample, the first pixel at phase ``start``."""
    nints, ngroups, ny, nx = ramp.data.shape
    clocks = CASES[case]
    frame = ny * clocks["rowclocks"] + (1024 - ny) * 7
    reset = clocks["frameclocks"] if ramp.header["READPATT"].endswith("R1") else 0
    total = np.zeros(ramp.data.shape)
    for name in names:
        frequency, number = FREQUENCIES[name]
        wave = np.tile(waveform(number, number), 3)
        y, quad = np.mgrid[:ny, :nx] // [[[1]], [[4]]]
        for i in range(nints):
            for g in range(ngroups):
                time = y * clocks["rowclocks"] + quad * ramp.header["NSAMPLES"] + (i * ngroups + g) * frame + i * reset
                phase = (time * 1e-5 * frequency + start) % 1
                total[i, g] += np.interp(phase, (np.arange(3 * number) + 0.5) / number - 1, wave)
    return total


def write_emicorr(path):
    """Write the EMICORR file of these waveforms, and return its path."""
    frequencies = {
        name: {"frequency": frequency, "phase_amplitudes": waveform(number, number)}
        for name, (frequency, number) in FREQUENCIES.items()
    }
    meta = {
        "reftype": "emicorr",
        "author": "test",
        "description": "test",
        "pedigree": "GROUND",
        "telescope": "JWST",
        "useafter": "2022-01-01T00:00:00",
        "instrument": {"name": "MIRI"},
    }
    asdf.AsdfFile({"meta": meta, "frequencies": frequencies, "subarray_cases": CASES}).write_to(path)
    return path
