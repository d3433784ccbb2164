import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.detector.dark_current import dark_current
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import COMPLETE, NOT_APPLICABLE


@pytest.fixture
def case(make_ramp, make_references):
    """Ramp of zeros and a dark whose frame n (from 1) holds n * level: ``case(ngroups, frames, ...)``."""

    def make(ngroups, frames, *, pattern=(1, 0), dark_pattern=(1, 0), shape=(8, 9), level=2.0, **content):
        ramp = make_ramp(np.zeros((2, ngroups, *shape)), NFRAMES=pattern[0], GROUPGAP=pattern[1])
        dark = np.arange(1, frames + 1, dtype=np.float32)[:, None, None] * np.full(shape, level, np.float32)
        header = {"NFRAMES": dark_pattern[0], "GROUPGAP": dark_pattern[1]} | content.pop("header", {})
        dq = np.full(shape, 1 << 12, np.uint32)
        return ramp, make_references(ramp, dark={"SCI": dark, "DQ": dq, "header": header} | content)

    return make


def test_mean_of_the_frames_of_each_group(case):
    ramp, references = case(3, 20, pattern=(4, 2))
    assert dark_current(ramp, references).state == COMPLETE
    # frames 1-4, 7-10, 13-16
    assert (-ramp.data[1, :, 4, 4]).tolist() == [5, 17, 29]
    assert np.all(ramp.data == ramp.data[:1, :, :1, :1])
    assert np.all(ramp.pixeldq == 1 << 12)


def test_short_dark_is_extrapolated(case):
    ramp, references = case(3, 8, pattern=(4, 2))
    assert dark_current(ramp, references).reason == "8 frames beyond the end of the dark were extrapolated"
    assert (-ramp.data[0, :, 4, 4]).tolist() == [5, 17, 29]


def test_nan_counts_as_nothing(case, tmp_path):
    ramp, references = case(2, 4, pattern=(2, 0))
    with fits.open(references.path("dark"), mode="update") as units:
        units["SCI"].data[0, 3, 3] = np.nan
    dark_current(ramp, references)
    assert (-ramp.data[0, :, 3, 3]).tolist() == [2, 7]


def test_dark_of_longer_groups(case):
    ramp, references = case(3, 8, dark_pattern=(4, 0))
    status = dark_current(ramp, references)
    assert status.state == NOT_APPLICABLE
    assert "NFRAMES 4 and GROUPGAP 0, which cannot make groups of NFRAMES 1 and GROUPGAP 0" in status.reason
    assert not ramp.data.any()


def test_mean_current(case):
    image = np.full((8, 9), 0.004, np.float32)
    ramp, references = case(2, 4, AVDRKCUR=image, header={"AVDRKCUR": 0.02})
    dark_current(ramp, references)
    np.testing.assert_array_equal(ramp.average_dark_current, image)
    dark_current(ramp, references, average_dark_current=0.0)
    assert not ramp.average_dark_current.any()
    ramp, references = case(2, 4, AVDRKCUR=image * 0, header={"AVDRKCUR": 0.02})
    dark_current(ramp, references)
    np.testing.assert_allclose(ramp.average_dark_current, 0.02, rtol=1e-7)


def test_dark_that_is_not_a_cube(make_ramp, make_references):
    ramp = make_ramp(np.zeros((1, 2, 8, 9)))
    header = {"NFRAMES": 1, "GROUPGAP": 0}
    dark = np.zeros((8, 9), np.float32)
    references = make_references(ramp, dark={"SCI": dark, "DQ": np.zeros((8, 9), np.uint32), "header": header})
    with pytest.raises(MissingReferenceError, match=r"shape \(8, 9\) found, expected a cube"):
        dark_current(ramp, references)


def test_any_number_of_threads_gives_the_same(case):
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp, references = case(3, 9, pattern=(4, 1), shape=(150, 40), level=0.1)
        dark_current(ramp, references)
        results.append(ramp.data)
    np.testing.assert_array_equal(*results)
