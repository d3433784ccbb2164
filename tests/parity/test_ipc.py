import numpy as np
import pytest

from snakewebb.detector.ipc import ipc

pytest.importorskip("jwst")

KERNEL = np.array([[1e-5, -0.006, 0.0002], [-0.005, 1.0207, -0.0055], [0.0001, -0.0052, 3e-6]], np.float32)
PLACES = [
    ("NIRCAM", "NRCALONG", (1, 1), "FULL"),
    ("NIRCAM", "NRCALONG", (2017, 2025), "SUB160"),
    ("NIRISS", "NIS", (900, 800), "SUB160"),
    ("MIRI", "MIRIMAGE", (1, 1), "SUB64"),
    ("MIRI", "MIRIMAGE", (1001, 1), "SUB64"),
]


def make_case(make_ramp, instrument, detector, corner, subarray, shape=(2, 2, 24, 32)):
    data = np.random.default_rng(3).uniform(-50, 60000, shape)
    data[0, 0, 12, 13] = np.nan
    ramp = make_ramp(data, corner=corner, SUBARRAY=subarray)
    ramp.header["INSTRUME"], ramp.header["DETECTOR"] = instrument, detector
    for key in ("CHANNEL", "MODULE", "FILTER", "PUPIL"):
        del ramp.header[key]
    return ramp


@pytest.mark.parametrize("kernel_shape", [(3, 3), (5, 3), (4, 2), (1, 1)])
@pytest.mark.parametrize(("instrument", "detector", "corner", "subarray"), PLACES)
def test_data_are_the_oracles(
    make_ramp, make_references, run_oracle, instrument, detector, corner, subarray, kernel_shape
):
    from jwst.ipc import IPCStep

    ramp = make_case(make_ramp, instrument, detector, corner, subarray)
    kernel = np.random.default_rng(4).normal(0, 0.01, kernel_shape).astype(np.float32)
    kernel[kernel_shape[0] // 2, kernel_shape[1] // 2] += 1
    references = make_references(ramp, ipc={"SCI": kernel})
    before = ramp.data.copy()
    theirs = run_oracle(IPCStep, ramp, references)
    assert ipc(ramp, references).keyword_value == theirs.meta.cal_step.ipc
    np.testing.assert_array_equal(ramp.data, theirs.data)
    assert kernel_shape == (1, 1) or not np.array_equal(ramp.data, before, equal_nan=True)


@pytest.mark.parametrize(("instrument", "detector", "corner", "subarray"), PLACES)
def test_a_kernel_for_each_pixel(make_ramp, make_references, run_oracle, instrument, detector, corner, subarray):
    from jwst.ipc import IPCStep

    ramp = make_case(make_ramp, instrument, detector, corner, subarray)
    full = (1024, 1032) if instrument == "MIRI" else (2048, 2048)
    varying = np.zeros((3, 3, *full), np.float32)
    x, y, size_x, size_y = ramp.subarray
    own = 1 + np.random.default_rng(5).uniform(-0.2, 0.2, (3, 3, size_y, size_x))
    varying[:, :, y - 1 : y - 1 + size_y, x - 1 : x - 1 + size_x] = KERNEL[:, :, None, None] * own
    header = {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBARRAY": "FULL"}
    references = make_references(ramp, ipc={"SCI": varying, "header": header})
    theirs = run_oracle(IPCStep, ramp, references)
    ipc(ramp, references)
    np.testing.assert_array_equal(ramp.data, theirs.data)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_irs2_frames(make_ramp, make_references, ramp_model, detector):
    from jwst.ipc import IPCStep

    ramp = make_case(make_ramp, "NIRSPEC", detector, (1, 1), "FULL", shape=(1, 1, 3200, 2048))
    ramp.header.update({"SUBSIZE2": 2048, "READPATT": "NRSIRS2RAPID", "NRS_NORM": 16, "NRS_REF": 4})
    before = ramp.data.copy()
    references = make_references(ramp, ipc={"SCI": KERNEL})
    step = IPCStep()
    step.override_ipc = str(references.path("ipc"))
    model = ramp_model(ramp)
    model.meta.exposure.nrs_normal, model.meta.exposure.nrs_reference = 16, 4
    theirs = step.process(model)
    ipc(ramp, references)
    np.testing.assert_array_equal(ramp.data, theirs.data)
    same = (ramp.data == before) | np.isnan(before)
    assert (~same.all(axis=(0, 1, 3))).sum() == 2040
