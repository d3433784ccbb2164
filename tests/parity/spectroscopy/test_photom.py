import dataclasses

import numpy as np
import pytest
from astropy.io import fits

pytest.importorskip("jwst")
from jwst.photom import PhotomStep
from stdatamodels.jwst import datamodels

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.imaging.photom import photom
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.steps import COMPLETE

BANDS = {
    "MIRIFUSHORT": ((1, 2), ((4.9, 5.74), (7.5, 8.8))),
    "MIRIFULONG": ((4, 3), ((17.7, 21.0), (11.5, 13.5))),
}


@pytest.fixture
def photometry(saved):
    """``photometry(times=True, **meta)`` writes a reference of the spectrometer."""

    def make(times=True, detector="MIRIFUSHORT"):
        rng = np.random.default_rng(4)
        model = datamodels.MirMrsPhotomModel()
        model.data = rng.uniform(2.0, 9.0, SHAPE).astype(np.float32)
        model.data[:, :8] = np.nan
        model.err = np.zeros(SHAPE, np.float32)
        model.dq = np.where(rng.random(SHAPE) < 0.01, 2, 0).astype(np.uint32)
        model.dq_def = np.array([(0, 1, "DO_NOT_USE", ""), (1, 2, "UNRELIABLE_SLOPE", "")], model.get_dtype("dq_def"))
        model.pixsiz = np.full(SHAPE, 0.13**2, np.float32)
        if times:
            # the last node lies inside the band: the curve goes on beyond it
            for channel, (low, high) in {1: (4.8, 7.6), 2: (7.6, 8.5), 3: (11.6, 18.0), 4: (18.0, 27.0)}.items():
                nodes = np.linspace(low, high, 5)
                rows = [(wave, -0.02 * k, 0.97 - 0.1 * k, 1.0 + k, 59700.0) for k, wave in enumerate(nodes)]
                name = f"timecoeff_powerlaw_ch{channel}"
                setattr(model, name, np.array(rows, model.get_dtype(name)))
        return saved(
            model,
            "photom",
            instrument__detector=detector,
            photometry__conversion_megajanskys=6.5,
            photometry__pixelarea_steradians=4.0e-13,
            photometry__pixelarea_arcsecsq=0.017,
        )

    return make


@pytest.fixture
def prepared(make_mrs, slices, mrs_references, photometry, ifu_model, with_wcs):
    """``prepared(detector, times=True)`` gives image, the oracle's model and references."""

    def make(detector="MIRIFUSHORT", times=True):
        image = make_mrs(DETECTOR=detector, CHANNEL="12" if detector == "MIRIFUSHORT" else "34")
        image.geometry = slices(*BANDS[detector])
        model = with_wcs(ifu_model(image), image.geometry)
        return image, model, mrs_references(image, photom=photometry(times, detector), area=None)

    return make


def assert_keywords(image, theirs):
    assert image.sci_header["PHOTMJSR"] == theirs.meta.photometry.conversion_megajanskys == 6.5
    assert image.sci_header["PHOTUJA2"] == pytest.approx(theirs.meta.photometry.conversion_microjanskys, rel=2e-7)
    assert image.sci_header["PIXAR_SR"] == theirs.meta.photometry.pixelarea_steradians == 4.0e-13
    assert image.sci_header["PIXAR_A2"] == theirs.meta.photometry.pixelarea_arcsecsq
    assert image.sci_header["BUNIT"] == theirs.meta.bunit_data


@pytest.mark.parametrize("detector", BANDS)
@pytest.mark.parametrize("inverse", [False, True])
def test_conversion_and_throughput(prepared, run_oracle, assert_same, detector, inverse):
    image, model, refs = prepared(detector)
    theirs = run_oracle(PhotomStep, model, refs, inverse=inverse)
    assert photom(image, refs, inverse=inverse, compatibility="jwst").state == theirs.meta.cal_step.photom == COMPLETE
    assert_same(image, theirs)
    assert_keywords(image, theirs)


@pytest.mark.parametrize("times", [True, False])
def test_without_throughput(prepared, run_oracle, assert_same, times):
    image, model, refs = prepared(times=times)
    theirs = run_oracle(PhotomStep, model, refs, apply_time_correction=not times)
    photom(image, refs, apply_time_correction=not times)
    assert_same(image, theirs)


def test_the_inverse_undoes_everything_where_the_oracle_applies_the_throughput_twice(prepared):
    image, _, refs = prepared()
    before = image.data.copy()
    photom(image, refs)
    corrected = image.data.copy()
    photom(image, refs, inverse=True)
    valid = np.isfinite(image.data)
    np.testing.assert_allclose(image.data[valid], before[valid], rtol=1e-6)
    image.data[...] = corrected
    photom(image, refs, inverse=True, compatibility="jwst")
    assert np.nanmedian(np.abs(image.data / before - 1)) > 0.03


def test_throughput_at_the_nodes_is_the_power_law(prepared):
    image, _, refs = prepared()
    image.data[...] = 1.0
    image.dq[...] = 0
    # the third node of channel 1
    image.geometry = dataclasses.replace(image.geometry, wavelength=np.full(SHAPE, np.float64(np.float32(6.2))))
    photom(image, refs)
    with fits.open(refs.path("photom")) as units:
        sensitivity = units["SCI"].data
    days = 60462.53 - 59700.0
    expected = 0.77 * ((days + 3.0) / 368.0) ** -0.04
    np.testing.assert_allclose(image.data[:, 20:500], sensitivity[:, 20:500] / expected, rtol=2e-6)


def test_messages(prepared, make_mrs, mrs_references):
    image, _, refs = prepared()
    image.geometry = None
    with pytest.raises(BadDataError, match="run assign_wcs before it"):
        photom(image, refs)
    del image.header["EXPMID"]
    with pytest.raises(BadDataError, match="EXPMID is missing"):
        photom(image, refs)
    short = make_mrs(np.ones((40, 50)), SUBSIZE1=50, SUBSIZE2=40)
    with pytest.raises(BadDataError, match="50 x 40 pixels"):
        photom(short, refs)
    image, _, refs = prepared(times=True)
    with fits.open(refs.path("photom")) as units:
        del units["TIMECOEFF_POWERLAW_CH2"]
        units.writeto(refs.path("photom").with_name("cut.fits"))
    with pytest.raises(MissingReferenceError, match=r"cut\.fits: extension TIMECOEFF_POWERLAW_CH2 is missing"):
        photom(image, mrs_references(image, photom=refs.path("photom").with_name("cut.fits"), area=None))
