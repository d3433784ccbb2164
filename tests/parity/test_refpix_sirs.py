import asdf
import numpy as np
import pytest

from snakewebb.detector.refpix import refpix
from snakewebb.dq import DO_NOT_USE
from snakewebb.io.references import References

pytest.importorskip("jwst")

SIZE = 2048


def make_reference(path, detector, seed=1):
    """Transforms of kernels that fall off within some tens of rows, with a part that does not."""
    rng = np.random.default_rng(seed)
    content = {}
    for name in ("gamma", "zeta"):
        lag = np.minimum(np.arange(SIZE), SIZE - np.arange(SIZE))
        kernels = rng.uniform(0.02, 0.04, (4, 1)) * np.exp(-lag / 12.0) + 1e-4 * rng.normal(size=(4, SIZE))
        content[name] = np.fft.rfft(kernels).astype(np.complex64)
    meta = {"reftype": "sirskernel", "telescope": "JWST", "instrument": {"name": "NIRCAM"}}
    asdf.AsdfFile({"meta": meta, detector.lower(): content}).write_to(path)
    return path


def make_case(make_ramp, detector, seed, groups=1):
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 8, (1, groups, SIZE, SIZE)).astype(np.float32)
    axis = 2 if detector.startswith("NRC") else 3  # along the slow axis
    data += np.cumsum(rng.normal(0, 1, SIZE)).reshape((1, 1, SIZE, 1) if axis == 2 else (1, 1, 1, SIZE))
    data[rng.random(data.shape) < 0.01] += 4000
    rows = data if axis == 2 else data.swapaxes(2, 3)
    rows[:, :, 700:760, :4] += 3000  # rows without usable pixels at the sides
    rows[:, :, 700:760, -4:] += 3000
    pixeldq = np.where(rng.random((SIZE, SIZE)) < 0.02, DO_NOT_USE, 0).astype(np.uint32)
    keywords = {} if detector.startswith("NRC") else {"INSTRUME": "NIRSPEC", "EXP_TYPE": "NRS_IFU", "FILTER": "OPAQUE"}
    ramp = make_ramp(data, pixeldq=pixeldq, detector=detector, **keywords)
    for key in () if detector.startswith("NRC") else ("CHANNEL", "MODULE", "PUPIL"):
        del ramp.header[key]
    return ramp


@pytest.mark.parametrize(
    ("detector", "parameters"),
    [
        ("NRCALONG", {}),
        ("NRS2", {"sigreject": 2.5, "gaussmooth": 2.0, "halfwidth": 45}),
        pytest.param("NRS1", {"odd_even_columns": False}, marks=pytest.mark.oracle_long),
        pytest.param("NRCB1", {"use_side_ref_pixels": False}, marks=pytest.mark.oracle_long),
    ],
)
def test_data_are_the_oracles(make_ramp, run_oracle, ulps, tmp_path, detector, parameters):
    from jwst.refpix import RefPixStep

    ramp = make_case(make_ramp, detector, seed=1)
    references = References({"sirskernel": make_reference(tmp_path / "sirs.asdf", detector)}, ramp.subarray)
    parameters = {"refpix_algorithm": "sirs", **parameters}
    theirs = run_oracle(RefPixStep, ramp, references, **parameters)
    before = ramp.data.copy()
    status = refpix(ramp, references, **parameters)
    assert status.keyword_value == theirs.meta.cal_step.refpix == "COMPLETE"
    assert (
        ulps(
            ramp.data,
            theirs.data,
            np.maximum.reduce([np.abs(before), np.abs(before - theirs.data), np.full_like(before, 128)]),
        )
        <= 2
    )
    if parameters.get("use_side_ref_pixels", True):
        assert status.reason == "sirs"
        assert np.median(np.abs(ramp.data)) < 0.9 * np.median(np.abs(before))


@pytest.mark.parametrize("kind", ["none", "other detector"])
def test_without_kernels_the_running_median_is_used(make_ramp, run_oracle, ulps, tmp_path, kind):
    from jwst.refpix import RefPixStep

    ramp = make_case(make_ramp, "NRCA1", seed=2)
    path = None if kind == "none" else make_reference(tmp_path / "sirs.asdf", "NRCB4")
    references = References({"sirskernel": path}, ramp.subarray)
    theirs = run_oracle(RefPixStep, ramp, references, refpix_algorithm="sirs")
    before = ramp.data.copy()
    status = refpix(ramp, references, refpix_algorithm="sirs")
    assert status.state == theirs.meta.cal_step.refpix == "COMPLETE"
    assert "running median instead of sirs" in status.reason
    assert (
        ulps(
            ramp.data,
            theirs.data,
            np.maximum.reduce([np.abs(before), np.abs(before - theirs.data), np.full_like(before, 128)]),
        )
        <= 2
    )


def test_subarrays_keep_the_running_median(make_ramp, run_oracle, ulps, tmp_path):
    from jwst.refpix import RefPixStep

    rng = np.random.default_rng(3)
    ramp = make_ramp(rng.normal(0, 8, (1, 2, 64, 80)), NOUTPUTS=4)
    references = References({"sirskernel": make_reference(tmp_path / "sirs.asdf", "NRCALONG")}, ramp.subarray)
    theirs = run_oracle(RefPixStep, ramp, references, refpix_algorithm="sirs")
    assert "subarray" in refpix(ramp, references, refpix_algorithm="sirs").reason
    assert ulps(ramp.data, theirs.data, 128) <= 2
