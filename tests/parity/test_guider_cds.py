import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.dq_init import dq_init
from snakewebb.detector.guider_cds import guider_cds
from snakewebb.imaging.flat_field import flat_field

pytest.importorskip("jwst")

KINDS = [
    ("FGS_ID-IMAGE", (2, 2)),
    ("FGS_ID-STACK", (2, 2)),
    ("FGS_ACQ1", (6, 2)),
    ("FGS_ACQ2", (5, 2)),
    ("FGS_TRACK", (7, 2)),
    ("FGS_FINEGUIDE", (3, 8)),
    ("FGS_FINEGUIDE", (2, 11)),
]
FULL = {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBARRAY": "GENERIC", "FASTAXIS": 2, "SLOWAXIS": -1}


def make_case(make_ramp, make_references, kind, shape, size=(24, 31)):
    rng = np.random.default_rng(len(kind) + shape[0])
    ramp = make_ramp(rng.uniform(500, 4000, (*shape, *size)).round(), corner=(11, 7), SUBARRAY="SUB160")
    ramp.header.update(
        {"INSTRUME": "FGS", "DETECTOR": "GUIDER2", "EXP_TYPE": kind, "TGROUP": 0.364, "FASTAXIS": 2, "SLOWAXIS": -1}
    )
    for key in ("CHANNEL", "MODULE", "FILTER", "PUPIL"):
        del ramp.header[key]
    full = (64, 80)
    gain = rng.uniform(1, 3, full).astype(np.float32)
    gain[8:10, 12:20] = 0
    flat = rng.uniform(0.9, 1.1, full).astype(np.float32)
    flat[9, 20:25], flat[10, 20:25] = np.nan, 0
    error = np.full(full, 0.01, np.float32)
    error[11, 20] = np.nan
    bits = np.array([0, 0, 0, 1, 1 << 11, 1 << 18], np.uint32)
    references = make_references(
        ramp,
        mask={"DQ": rng.choice(bits, full), "header": FULL},
        gain={"SCI": gain, "header": FULL},
        readnoise={"SCI": rng.uniform(5, 20, full).astype(np.float32), "header": FULL},
        flat={"SCI": flat, "ERR": error, "DQ": rng.choice(bits, full), "header": FULL},
    )
    return ramp, references


def oracle(ramp_or_model, references, run_oracle, step_class, **parameters):
    from stdatamodels.jwst.datamodels import GuiderRawModel

    model = ramp_or_model
    if hasattr(ramp_or_model, "groupdq"):
        ramp = ramp_or_model
        model = GuiderRawModel(data=ramp.data.copy())
        model.meta.instrument.name, model.meta.instrument.detector = "FGS", "GUIDER2"
        model.meta.exposure.type = ramp.header["EXP_TYPE"]
        model.meta.exposure.group_time = ramp.header["TGROUP"]
        sub = model.meta.subarray
        sub.xstart, sub.ystart, sub.xsize, sub.ysize = ramp.subarray
        sub.fastaxis, sub.slowaxis = 2, -1
    return run_oracle(step_class, model, references, **parameters)


@pytest.mark.parametrize(("kind", "shape"), KINDS)
@pytest.mark.parametrize("inverse", [False, True])
def test_rates_errors_and_flags_are_the_oracles(make_ramp, make_references, run_oracle, kind, shape, inverse):
    from jwst.dq_init import DQInitStep
    from jwst.flatfield import FlatFieldStep
    from jwst.guider_cds import GuiderCdsStep

    ramp, references = make_case(make_ramp, make_references, kind, shape)
    theirs = oracle(ramp, references, run_oracle, DQInitStep)
    assert dq_init(ramp, references).keyword_value == theirs.meta.cal_step.dq_init
    np.testing.assert_array_equal(ramp.pixeldq, theirs.dq)
    assert not ramp.groupdq.any()
    theirs = oracle(theirs, references, run_oracle, GuiderCdsStep)
    assert guider_cds(ramp, references).keyword_value == theirs.meta.cal_step.guider_cds
    assert ramp.rate.data.shape == theirs.data.shape == (1 if kind.startswith("FGS_ID") else shape[0], 24, 31)
    for name in ("data", "err", "dq"):
        ours = getattr(ramp.rate, name)
        assert ours.dtype == getattr(theirs, name).dtype
        np.testing.assert_array_equal(ours, getattr(theirs, name))
    assert ramp.rate.sci_header["BUNIT"] == theirs.meta.bunit_data == "DN/s"
    theirs = oracle(theirs, references, run_oracle, FlatFieldStep, inverse=inverse)
    assert flat_field(ramp.rate, references, inverse=inverse).keyword_value == theirs.meta.cal_step.flat_field
    for name in ("data", "err", "dq"):
        np.testing.assert_array_equal(getattr(ramp.rate, name), getattr(theirs, name))
    assert ramp.rate.var_flat is None


def test_the_mean_of_a_reference_that_does_not_cover_a_stacked_image(make_ramp, make_references, run_oracle):
    from jwst.guider_cds import GuiderCdsStep

    ramp, _ = make_case(make_ramp, make_references, "FGS_ID-STACK", (2, 2))
    rng = np.random.default_rng(3)
    small = {**FULL, "SUBSTRT1": 11, "SUBSTRT2": 7}
    references = make_references(
        ramp,
        gain={"SCI": rng.uniform(1, 3, (8, 9)).astype(np.float32), "header": small},
        readnoise={"SCI": rng.uniform(5, 9, (8, 9)).astype(np.float32), "header": small},
    )
    theirs = oracle(ramp, references, run_oracle, GuiderCdsStep)
    guider_cds(ramp, references)
    np.testing.assert_array_equal(ramp.rate.err, theirs.err)


def test_steps_whose_references_are_missing(make_ramp, make_references, run_oracle):
    from jwst.guider_cds import GuiderCdsStep

    ramp, references = make_case(make_ramp, make_references, "FGS_ACQ1", (2, 2))
    references.paths["gain"] = None
    assert oracle(ramp, references, run_oracle, GuiderCdsStep).meta.cal_step.guider_cds == "SKIPPED"
    assert guider_cds.contract.references == ("gain", "readnoise")
    with fits.open(references.path("flat")) as units:
        assert units["SCI"].shape == (64, 80)
