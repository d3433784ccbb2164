import pytest

from snakewebb.plan.pointings import distance, offset


def pointing(ra, dec):
    return {"RA_REF": ra, "DEC_REF": dec}


def test_offsets_are_along_the_sky_and_across_the_zero_of_right_ascension():
    east, north = offset(pointing(359.999, 60.0), pointing(0.001, 59.999))
    assert east == pytest.approx(0.002 * 0.5 * 3600, rel=1e-9)
    assert north == pytest.approx(-3.6, rel=1e-9)
    assert distance(pointing(359.999, 60.0), pointing(0.001, 59.999)) == pytest.approx(3.6 * 2**0.5, rel=1e-9)


@pytest.mark.parametrize("header", [{}, pointing(None, 1.0), pointing("unknown", 1.0)])
def test_what_has_no_pointing_is_nowhere_else(header):
    assert offset(header, pointing(10.0, 5.0)) == (0.0, 0.0)
    assert distance(pointing(10.0, 5.0), header) == 0.0
