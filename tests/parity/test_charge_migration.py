import numpy as np
import pytest

from snakewebb.detector.charge_migration import charge_migration
from snakewebb.io.references import References

pytest.importorskip("jwst")


@pytest.mark.parametrize(("ngroups", "threshold"), [(2, 20000.0), (3, 20000.0), (6, 55000.3), (6, 1e6), (5, -1.0)])
def test_flags_are_the_oracles(make_ramp, run_oracle, ngroups, threshold):
    from jwst.charge_migration import ChargeMigrationStep

    rng = np.random.default_rng(ngroups)
    data = rng.uniform(0, 60000, (2, ngroups, 30, 37)) ** 3 / 60000**2
    data[0, 1, 4, 5] = np.nan
    data[0, 0, 7, 7] = np.float32(threshold)  # not above
    groupdq = rng.choice(np.array([0, 0, 1, 2, 3, 4, 5, 129], np.uint8), data.shape)
    ramp = make_ramp(data, groupdq=groupdq)
    theirs = run_oracle(ChargeMigrationStep, ramp, References({}, ramp.subarray), signal_threshold=threshold)
    status = charge_migration(ramp, None, signal_threshold=threshold)
    assert status.keyword_value == theirs.meta.cal_step.charge_migration
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    assert np.array_equal(ramp.groupdq, groupdq) == (ngroups == 2 or threshold == 1e6)
