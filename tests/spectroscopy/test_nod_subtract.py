"""Exposures of a nod, subtracted from each other."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.spectroscopy.nod_subtract import MEMBERS, nod_subtract
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SHAPE = (60, 70)
OFFSETS = ((0.0, 0.0), (1.0, -0.9), (1.1, 0.0), (0.1, -0.9))  # arcsec


def exposure(number, *, sky=50.0, source=0.0, noise=2.0, **keywords):
    """An exposure of a nod: sky, a source where it is in this one, noise."""
    random = np.random.default_rng(number)
    east, north = OFFSETS[number]
    header = fits.Header({"INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": "12", "BAND": "SHORT"})
    header.update({"SUBARRAY": "FULL", "READPATT": "FASTR1", "FILENAME": f"nod{number}_cal.fits", **keywords})
    dec = -30.0
    sci = fits.Header({"RA_REF": 359.9999 + east / 3600 / np.cos(np.radians(dec)), "DEC_REF": dec + north / 3600})
    sci["RA_REF"] %= 360.0
    data = random.normal(sky, noise, SHAPE)
    data[20:24, 10 + 12 * number : 14 + 12 * number] += source
    poisson, rnoise = np.full(SHAPE, 0.75 * noise**2), np.full(SHAPE, 0.25 * noise**2)
    arrays = [array.astype(np.float32) for array in (data, np.sqrt(poisson + rnoise), poisson, rnoise)]
    return Image(header, sci, arrays[0], arrays[1], np.zeros(SHAPE, np.uint32), arrays[2], arrays[3])


def test_the_farthest_exposure_is_subtracted():
    image = exposure(0, source=500.0)
    image.members[MEMBERS] = [exposure(number, source=500.0) for number in (2, 1, 3)]
    expected = image.data - image.members[MEMBERS][1].data
    status = nod_subtract(image, None)
    assert status.state == COMPLETE
    assert status.reason == "nod1_cal.fits subtracted, 1.35 arcsec away"
    np.testing.assert_array_equal(image.data, expected)
    assert image.data[20:24, 10:14].mean() == pytest.approx(500, abs=3)
    assert image.data[20:24, 22:26].mean() == pytest.approx(-500, abs=3)
    assert image.data[40:].mean() == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize(("pairing", "variance"), [("farthest", 2.0), ("all", 1 + 1 / 3)])
def test_noise_is_propagated(pairing, variance):
    image = exposure(0)
    image.members[MEMBERS] = [exposure(number) for number in (1, 2, 3)]
    nod_subtract(image, None, pairing=pairing, sigma=50.0)
    np.testing.assert_allclose(image.err**2, 4.0 * variance, rtol=1e-5)
    np.testing.assert_allclose(image.var_poisson, 3.0 * variance, rtol=1e-5)
    np.testing.assert_allclose(image.var_rnoise, 1.0 * variance, rtol=1e-5)
    assert np.std(image.data / image.err) == pytest.approx(1.0, abs=0.03)


def test_flags_are_joined():
    image, other = exposure(0), exposure(1)
    image.dq[1, 1], other.dq[2, 2], other.dq[3, 3] = DO_NOT_USE, 4, DO_NOT_USE
    other.data[4, 4] = np.nan
    image.members[MEMBERS] = [other]
    nod_subtract(image, None)
    assert [int(image.dq[k, k]) for k in (1, 2, 3, 4)] == [1, 4, 1, 1]
    assert [bool(np.isnan(image.data[k, k])) for k in (1, 2, 3, 4)] == [True, False, True, True]
    assert np.isnan(image.err[3, 3])


def test_exposures_that_do_not_count():
    image = exposure(0)
    before = image.data.copy()
    assert nod_subtract(image, None).state == NOT_APPLICABLE
    image.members[MEMBERS] = [exposure(3)]
    status = nod_subtract(image, None, least_distance=1.0)
    assert status.state == NOT_APPLICABLE
    assert status.reason == "none of 1 other exposures points 1 arcsec away or more"
    image.header["S_MSBSUB"] = "COMPLETE"
    assert "S_MSBSUB is COMPLETE" in nod_subtract(image, None).reason
    np.testing.assert_array_equal(image.data, before)
    assert nod_subtract(image, None, force_subtract=True).state == COMPLETE


def test_what_is_refused():
    image = exposure(0)
    image.members[MEMBERS] = [exposure(1, BAND="LONG")]
    with pytest.raises(BadDataError, match=r"nod1_cal\.fits, primary header: BAND is 'LONG', expected 'SHORT'"):
        nod_subtract(image, None)
    image.members[MEMBERS] = [exposure(1)]
    del image.members[MEMBERS][0].sci_header["RA_REF"]
    with pytest.raises(BadDataError, match=r"nod1_cal\.fits\[SCI\]: RA_REF or DEC_REF is missing"):
        nod_subtract(image, None)
