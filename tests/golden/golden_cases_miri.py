"""Golden cases of the steps that MIRI's ramps go through alone."""

from pathlib import Path

import numpy as np
from golden_input import chosen, make_ramp, make_references, noise, rising, uniform

from snakewebb.dq import SATURATED
from snakewebb.io.references import References
from snakewebb.steps import find_step

SIZE = (24, 32)
MIRI = {
    "INSTRUME": "MIRI",
    "DETECTOR": "MIRIMAGE",
    "EXP_TYPE": "MIR_IMAGE",
    "READPATT": "FASTR1",
    "SUBARRAY": "SUB64",
    "NSAMPLES": 1,
    "NOUTPUTS": 4,
    "FASTAXIS": 1,
}


def _miri_ramp(data, **content):
    return make_ramp(data, corner=(1, 101), **(MIRI | {"NINTS": len(data)}), **content)


def _saturating(shape, seed):
    """Flags of ramps that saturate in any group, or not at all."""
    first = np.floor(2 * shape[1] * uniform((shape[0], 1, *shape[2:]), seed))
    return np.where(np.arange(shape[1])[:, None, None] >= first, SATURATED, 0)


def _run(name, ramp, references, names, variant, **parameters):
    status = find_step(name)(ramp, references, **parameters)
    assert status.state == "COMPLETE", status
    return {f"{variant}_{array}": getattr(ramp, array) for array in names}


def emicorr(folder):
    import asdf

    shape = 250 * [0.0]
    for sample in range(250):  # a wave of parabolas
        phase = (sample + 0.5) / 250
        shape[sample] = 40 * phase * (phase - 0.5) if phase < 0.5 else -40 * (phase - 0.5) * (phase - 1)
    path = Path(folder) / "emicorr.asdf"
    case = {"rowclocks": 28, "frameclocks": 8512, "freqs": {"FAST": ["Hz390"]}}
    wave = {"frequency": 390.625, "phase_amplitudes": np.array(shape)}
    asdf.AsdfFile({"frequencies": {"Hz390": wave}, "subarray_cases": {"SUB64": case}}).write_to(path)
    results = {}
    for variant, parameters in (
        ("joint", {}),
        ("separate", {"fit_ints_separately": True}),
        ("sequential", {"algorithm": "sequential"}),
        ("own", {"onthefly_corr_freq": [390.625], "nbins": 300}),
    ):
        data = rising((2, 12, 32, 40), 810, rate=(10.0, 60.0), start=9000.0, read_noise=2.0)
        y, x = np.indices(data.shape[2:])
        frame = np.arange(24).reshape(2, 12)[:, :, None, None] * (32 * 28 + 992 * 7)
        reset = np.arange(2)[:, None, None, None] * 8512
        phase = (frame + reset + y * 28 + x // 4 + 70) % 256 / 256
        data += np.array(shape)[np.floor(phase * 250).astype(int)]
        ramp = _miri_ramp(data, pixeldq=4 * chosen(data.shape[2:], 815, 0.05))
        references = References({"emicorr": path}, ramp.subarray)
        results |= _run("emicorr", ramp, references, ("data",), variant, **parameters)
    return results


def firstframe(folder):
    groupdq = _saturating((2, 6, *SIZE), 820)
    ramp = _miri_ramp(np.ones(groupdq.shape), groupdq=groupdq)
    return _run("firstframe", ramp, None, ("groupdq", "pixeldq"), "bright")


def lastframe(folder):
    groupdq = _saturating((2, 4, *SIZE), 830)
    ramp = _miri_ramp(np.ones(groupdq.shape), groupdq=groupdq)
    return _run("lastframe", ramp, None, ("groupdq",), "last")


def reset(folder):
    ramp = _miri_ramp(rising((3, 4, *SIZE), 840, start=9000.0))
    decay = 30 * noise((2, 3, *SIZE), 845)
    decay[:, :, chosen(SIZE, 846, 0.05)] = np.nan
    dq = np.where(chosen(SIZE, 847, 0.1), 1, 0).astype(np.uint32)
    references = make_references(folder, ramp.subarray, reset={"SCI": decay.astype(np.float32), "DQ": dq})
    return _run("reset", ramp, references, ("data", "pixeldq"), "decay")


def rscd(folder):
    results = {}
    for variant, ngroups in (("short", 5), ("long", 9)):
        groupdq = _saturating((3, ngroups, *SIZE), 850)
        ramp = _miri_ramp(np.ones(groupdq.shape), groupdq=groupdq)
        dtype = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
        table = np.array([("FULL", "FASTR1", 1, 1), ("SUB64", "FASTR1", 5, 3)], dtype)
        references = make_references(folder, ramp.subarray, rscd={"RSCD_GROUP_SKIP": table})
        results |= _run("rscd", ramp, references, ("groupdq", "pixeldq"), variant)
        for number in (1, 2):
            for name in ("SKIP", "UGP1", "BORS"):
                results[f"{variant}_INT{number}{name}"] = np.float64(ramp.header[f"INT{number}{name}"])
    return results


CASES = {function.__name__: function for function in (emicorr, firstframe, lastframe, reset, rscd)}
