import numpy as np
import pytest

from snakewebb.detector.guider_cds import guider_cds
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE


def make_case(make_ramp, make_references, kind, data):
    ramp = make_ramp(data, TGROUP=0.5)
    ramp.header["EXP_TYPE"] = kind
    shape = ramp.data.shape[2:]
    planes = {"gain": np.full(shape, 2, np.float32), "readnoise": np.full(shape, 6, np.float32)}
    return ramp, make_references(ramp, **{name: {"SCI": plane} for name, plane in planes.items()})


def reads(nints, ngroups, slope):
    """Reads that rise by ``slope`` DN."""
    return 1000 + slope * np.arange(ngroups)[None, :, None, None] + np.zeros((nints, 1, 4, 5))


@pytest.mark.parametrize("kind", ["FGS_ACQ1", "FGS_ACQ2", "FGS_TRACK"])
def test_acquisition(make_ramp, make_references, kind):
    ramp, references = make_case(make_ramp, make_references, kind, reads(3, 2, 40))
    ramp.data[2, 1] -= 100  # falls: no Poisson noise
    guider_cds(ramp, references)
    assert ramp.rate.data.shape == (3, 4, 5)
    np.testing.assert_allclose(ramp.rate.data[:, 0, 0], [80, 80, -120])
    noise = 2 * (6 / 0.5) ** 2
    np.testing.assert_allclose(ramp.rate.err[:, 0, 0], np.sqrt([noise + 40, noise + 40, noise]), rtol=1e-6)


def test_fine_guide_takes_the_means_of_four_reads(make_ramp, make_references):
    ramp, references = make_case(make_ramp, make_references, "FGS_FINEGUIDE", reads(2, 10, 3))
    guider_cds(ramp, references)
    np.testing.assert_allclose(ramp.rate.data, 3 * 6 / 0.5)


@pytest.mark.parametrize("kind", ["FGS_ID-IMAGE", "FGS_ID-STACK"])
def test_identification_takes_the_smaller_difference(make_ramp, make_references, kind):
    ramp, references = make_case(make_ramp, make_references, kind, reads(2, 2, 10))
    ramp.data[1, 1, 2, 2] += 5000  # a cosmic ray
    guider_cds(ramp, references)
    assert ramp.rate.data.shape == (1, 4, 5)
    np.testing.assert_allclose(ramp.rate.data, 20)


def test_too_few_reads_and_other_exposures(make_ramp, make_references):
    ramp, references = make_case(make_ramp, make_references, "FGS_ID-IMAGE", reads(1, 2, 10))
    with pytest.raises(
        BadDataError, match="1 integrations of 2 groups found, but FGS_ID-IMAGE needs 2 integrations of 2"
    ):
        guider_cds(ramp, references)
    ramp, references = make_case(make_ramp, make_references, "FGS_TRACK", reads(1, 1, 10))
    with pytest.raises(BadDataError, match="1 integrations of 1 groups found, but FGS_TRACK needs 2 groups"):
        guider_cds(ramp, references)
    ramp, references = make_case(make_ramp, make_references, "FGS_IMAGE", reads(1, 2, 10))
    assert guider_cds(ramp, references).state == NOT_APPLICABLE
    assert ramp.rate is None


def test_a_gain_that_does_not_cover_the_image(make_ramp, make_references):
    ramp, _ = make_case(make_ramp, make_references, "FGS_TRACK", reads(1, 2, 10))
    small = {"SCI": np.ones((2, 2), np.float32)}
    with pytest.raises(MissingReferenceError, match="does not cover the science subarray"):
        guider_cds(ramp, make_references(ramp, gain=small, readnoise=small))
