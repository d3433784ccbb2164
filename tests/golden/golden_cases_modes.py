"""Golden cases of ipc, charge_migration, persistence and guider_cds."""

import numpy as np
from golden_input import chosen, make_ramp, make_references, rising, uniform
from golden_results import run_step

from snakewebb.dq import DO_NOT_USE, SATURATED

SIZE = (24, 32)


def ipc(folder):
    results = {}
    kernel = np.array([[0.0, -0.006, 0.0002], [-0.005, 1.02, -0.0055], [0.0001, -0.0052, 0.0]])
    varying = kernel[:, :, None, None] * (1 + 0.1 * uniform((1, 1, *SIZE), 5))
    for variant, array in (("one", kernel), ("each", varying)):
        ramp = make_ramp(rising((2, 2, *SIZE), 11, start=9000.0), corner=(1, 2025))
        run_step("ipc", ramp, make_references(folder, ramp.subarray, ipc={"SCI": array.astype(np.float32)}))
        results[f"{variant}_data"] = ramp.data
    return results


def charge_migration(folder):
    ramp = make_ramp(rising((2, 5, *SIZE), 12, rate=(1.0, 9000.0)))
    ramp.groupdq[:, 2][chosen((2, *SIZE), 13, 0.1)] = DO_NOT_USE
    run_step("charge_migration", ramp, None)
    return {"groupdq": ramp.groupdq}


def persistence(folder):
    results = {}
    for variant, parameters in (("short", {}), ("dnu", {"dn_threshold": 9000.0, "persistence_dnu": True})):
        ramp = make_ramp(rising((3, 5, *SIZE), 14, rate=(1.0, 300.0)), EXPSTART=60000.25, EFFINTTM=60.0)
        ramp.groupdq[0, 3:][:, chosen(SIZE, 15, 0.2)] = SATURATED
        ramp.persistence_ends = np.where(chosen(SIZE, 16, 0.1), (60000.25 - 40587) * 86400 + 30, 0.0)
        run_step("persistence", ramp, None, persistence_time=75, **parameters)
        results |= {f"{variant}_groupdq": ramp.groupdq, f"{variant}_ends": ramp.persistence_ends}
    return results


def guider_cds(folder):
    results = {}
    for kind, shape in (("FGS_ACQ1", (3, 2)), ("FGS_ID-IMAGE", (2, 2)), ("FGS_FINEGUIDE", (2, 9))):
        ramp = make_ramp(
            rising((*shape, *SIZE), 17, start=500.0), INSTRUME="FGS", DETECTOR="GUIDER1", EXP_TYPE=kind, TGROUP=0.3
        )
        planes = {"gain": {"SCI": 1 + uniform(SIZE, 18)}, "readnoise": {"SCI": 5 + uniform(SIZE, 19)}}
        run_step("guider_cds", ramp, make_references(folder, ramp.subarray, **planes))
        results |= {f"{kind}_data": ramp.rate.data, f"{kind}_err": ramp.rate.err}
    return results


CASES = {function.__name__: function for function in (ipc, charge_migration, persistence, guider_cds)}
