"""Steps that flag groups of MIRI's integrations, or subtract from them: flags are equal, data to 1 ulp."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.firstframe import firstframe
from snakewebb.detector.lastframe import lastframe
from snakewebb.detector.reset import reset
from snakewebb.detector.rscd import rscd
from snakewebb.dq import DO_NOT_USE, JUMP_DET, SATURATED

pytest.importorskip("jwst")

SHAPE = (3, 9, 24, 32)
RSCD_ROWS = [
    ("FULL", "FASTR1", 5, 4),
    ("BRIGHTSKY", "FASTR1", 3, 4),
    ("BRIGHTSKY", "SLOWR1", -1, 2),
    ("SLITLESSPRISM", "FASTR1", 8, 3),
]
RSCD_KEYWORDS = {
    "INT1SKIP": "ngroups_skip_int1",
    "INT2SKIP": "ngroups_skip_int2p",
    "INT1UGP1": "keep_bright_firstgroup_int1",
    "INT2UGP1": "keep_bright_firstgroup_int2p",
    "INT1BORS": "keep_groups_saturation_int1",
    "INT2BORS": "keep_groups_saturation_int2p",
}


def saturating(make_miri_ramp, shape=SHAPE, *, dark=False, seed=1, **keywords):
    """Ramps that saturate in any group or none, with some other flags."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2 * shape[1], (shape[0], 1, *shape[2:]))
    late = np.arange(shape[1])[:, None, None] >= first
    groupdq = np.where(late & (not dark), SATURATED, 0) | rng.choice([0, 0, 0, JUMP_DET, DO_NOT_USE], shape)
    pixeldq = rng.choice(np.array([0, 0, 1, 1 << 28], np.uint32), shape[2:])
    return make_miri_ramp(rng.normal(9000, 50, shape), groupdq=groupdq.astype(np.uint8), pixeldq=pixeldq, **keywords)


def compare(step, name, ramp, references, run_oracle, keyword, **parameters):
    from jwst import step as steps

    theirs = run_oracle(getattr(steps, name), ramp, references, **parameters)
    status = step(ramp, references, **parameters)
    assert status.keyword_value == getattr(theirs.meta.cal_step, keyword), status
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    return theirs


@pytest.mark.filterwarnings("ignore:.*firstframe:DeprecationWarning", "ignore:.*[Ff]irst.?[Ff]rame:DeprecationWarning")
@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("ngroups", [3, 4, 9])
def test_firstframe(make_miri_ramp, make_references, run_oracle, ngroups, bright):
    ramp = saturating(make_miri_ramp, (2, ngroups, 24, 32))
    compare(
        firstframe, "FirstFrameStep", ramp, make_references(ramp), run_oracle, "firstframe", bright_use_group1=bright
    )


@pytest.mark.parametrize("ngroups", [1, 2, 3, 9])
def test_lastframe(make_miri_ramp, make_references, run_oracle, ngroups):
    ramp = saturating(make_miri_ramp, (2, ngroups, 24, 32))
    compare(lastframe, "LastFrameStep", ramp, make_references(ramp), run_oracle, "lastframe")


@pytest.mark.parametrize("segment", [{}, {"INTSTART": 2, "INTEND": 4}, {"INTSTART": 7, "INTEND": 9}])
@pytest.mark.parametrize("known", [(1, 5), (2, 9), (3, 12)])
def test_reset(make_miri_ramp, make_references, run_oracle, ulps, segment, known):
    rng = np.random.default_rng(3)
    ramp = saturating(make_miri_ramp, **segment)
    decay = rng.normal(0, 20, (*known, *SHAPE[2:])).astype(np.float32)
    decay[:, :, 3, 4] = np.nan
    dq = rng.choice(np.array([0, 0, 1, 8], np.uint32), SHAPE[2:])
    header = {"NINTS": known[0], "NGROUPS": known[1]}
    references = make_references(ramp, reset={"SCI": decay, "DQ": dq, "header": header})
    before = ramp.data.copy()
    theirs = compare(reset, "ResetStep", ramp, references, run_oracle, "reset")
    np.testing.assert_array_equal(ramp.data, theirs.data)
    assert not np.array_equal(ramp.data, before)


def rscd_references(ramp, make_references, tmp_path):
    references = make_references(ramp)
    dtype = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
    table = fits.BinTableHDU(np.array(RSCD_ROWS, dtype), name="RSCD_GROUP_SKIP")
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "MIRI", "REFTYPE": "RSCD"})
    references.paths["rscd"] = tmp_path / "rscd.fits"
    fits.HDUList([primary, table]).writeto(references.paths["rscd"], overwrite=True)
    return references


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ngroups", [2, 3, 4, 5, 6, 7, 12])
@pytest.mark.parametrize(
    ("nints", "keywords"),
    [
        (1, {}),
        (3, {}),
        (1, {"NINTS": 7, "INTSTART": 1, "INTEND": 1}),
        (2, {"NINTS": 7, "INTSTART": 3, "INTEND": 4}),
        (2, {"SUBARRAY": "SUBPRISM"}),
        (2, {"READPATT": "SLOWR1"}),
        (2, {"READPATT": "FAST"}),  # not listed
    ],
)
def test_rscd(make_miri_ramp, make_references, run_oracle, tmp_path, ngroups, nints, keywords, dark):
    ramp = saturating(make_miri_ramp, (nints, ngroups, 24, 32), dark=dark, seed=ngroups, **keywords)
    references = rscd_references(ramp, make_references, tmp_path)
    theirs = compare(rscd, "RscdStep", ramp, references, run_oracle, "rscd")
    for keyword, attribute in RSCD_KEYWORDS.items():
        assert ramp.header.get(keyword) == getattr(theirs.meta.rscd, attribute), keyword


@pytest.mark.parametrize(
    ("step", "name", "keyword"),
    [(lastframe, "LastFrameStep", "lastframe"), (reset, "ResetStep", "reset"), (rscd, "RscdStep", "rscd")],
)
def test_other_instruments(make_ramp, make_references, run_oracle, step, name, keyword):
    ramp = make_ramp(np.ones((1, 5, 8, 8)))
    compare(step, name, ramp, make_references(ramp), run_oracle, keyword)
