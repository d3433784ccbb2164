import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.detector.picture_frame import picture_frame
from snakewebb.io.models import Image, Ramp
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NO_REFERENCE, NOT_APPLICABLE

SIZE = 2048


@pytest.fixture(scope="module")
def frame():
    edge = np.abs(np.linspace(-1, 1, SIZE)) ** 8
    return (0.01 + 0.004 * np.maximum(edge[:, None], edge)).astype(np.float32)


@pytest.fixture(scope="module")
def reference(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("frame") / "pictureframe.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(frame, name="SCI")]).writeto(path)
    return References({"pictureframe": path}, (1, 1, SIZE, SIZE))


def rate_image(data, exp_type="NRS_LAMP"):
    header = fits.Header({"INSTRUME": "NIRSPEC", "SUBARRAY": "FULL", "EXP_TYPE": exp_type, "DETECTOR": "NRS1"})
    return Image(header, fits.Header(), data, np.ones_like(data), np.zeros(data.shape, np.uint32))


def test_scaled_frame_is_removed(frame, reference):
    rng = np.random.default_rng(1)
    data = (3 * frame - 0.2 + rng.normal(0, 0.01, frame.shape)).astype(np.float32)
    data[1200:1230] += 2
    results = []
    for threads in (1, 2):
        set_threads(threads)
        image = rate_image(np.stack((data, 2 * data)))
        assert picture_frame(image, reference).state == COMPLETE
        results.append(image.data)
    np.testing.assert_array_equal(*results)
    dark = np.ones(SIZE, bool)
    dark[1200:1230] = False
    for factor, plane in zip((1, 2), results[0], strict=True):
        assert np.abs(plane[dark].mean(axis=1)).max() < 0.002 * factor
        assert abs(plane[~dark].mean() - 2 * factor) < 0.01


def test_first_group_stays(frame, reference):
    data = np.stack((0 * frame, 10 * frame + 1))[None] + np.float32(5)
    header = rate_image(frame).header
    header.update({"NFRAMES": 1, "GROUPGAP": 0, "TGROUP": 1.0, "TFRAME": 1.0})
    ramp = Ramp(header, fits.Header(), data, np.zeros(data.shape, np.uint8), np.zeros((SIZE, SIZE), np.uint32))
    status = picture_frame(ramp, reference)
    assert (status.state, status.reason) == (NO_REFERENCE, "no gain, readnoise reference for this exposure")
    paths = dict.fromkeys(("gain", "readnoise"), reference.path("pictureframe"))
    assert picture_frame(ramp, References(reference.paths | paths, reference.subarray), n_sigma=0.0).state == COMPLETE
    assert np.all(data[:, 0] == 5)
    assert np.abs(data[:, 1] - 5).max() < 1e-5
    ramp.data = data[:, :1]
    assert "a ramp of one group" in picture_frame(ramp, reference).reason


def test_nothing_to_scale(frame, reference):
    data = frame.copy()
    data[:76], data[1984:], data[:, :76], data[:, 1984:] = 0, 0, 0, 0
    status = picture_frame(rate_image(data), reference)
    assert (status.state, status.reason) == (NOT_APPLICABLE, "there is no background pixel at the edges")
    data = frame.copy()
    data[76:1984, 76:1984] = np.nan
    assert "no background pixel in the middle" in picture_frame(rate_image(data), reference).reason


def test_slits_that_cannot_be_masked_are_told(frame, reference):
    image = rate_image(frame + np.float32(1), "NRS_MSASPEC")
    status = picture_frame(image, reference, n_sigma=0.0, save_mask=True)
    assert status.state == COMPLETE
    assert "for want of a WCS" in status.reason
    assert not image.extra["pctfrm_mask"][1].data[922:1116].any()
    image = rate_image(frame + np.float32(1), "NRS_MSASPEC")
    assert picture_frame(image, reference, mask_science_regions=False, n_sigma=0.0, save_mask=True).reason == ""
    assert image.extra["pctfrm_mask"][1].data[922:1116].any()
