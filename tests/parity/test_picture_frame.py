"""The thermal picture frame against the oracle, on full frames: the step is for no others."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.picture_frame import picture_frame
from snakewebb.io.models import Image, Ramp
from snakewebb.io.references import References

pytest.importorskip("jwst")

SIZE = 2048


def frame():
    y, x = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE), indexing="ij")
    reference = (0.02 + 0.05 * (x * x + y * y)).astype(np.float32)
    reference[50, 60], reference[900, 1000] = np.nan, np.nan
    return reference


def image_of(shape, reference, *, seed=0):
    """Rate images with a scaled frame, noise, and a bright spectrum."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.5, 2, (*shape[:-2], 1, 1))
    data = (level * np.nan_to_num(reference) + 0.3 + rng.normal(0, 0.01, shape)).astype(np.float32)
    data[..., 600:640, :] += 1
    data[..., 700, 300:500] = np.nan
    header = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_LAMP", "SUBARRAY": "FULL"}
    header |= {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": SIZE, "SUBSIZE2": SIZE}
    return Image(fits.Header(header), fits.Header(), data, np.ones_like(data), np.zeros(shape, np.uint32))


def write_references(folder, ramp=False, **arrays):
    paths = {}
    for name, array in arrays.items():
        paths[name] = folder / f"{name}.fits"
        primary = fits.PrimaryHDU()
        primary.header.update({"SUBARRAY": "FULL", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": SIZE, "SUBSIZE2": SIZE})
        primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1"})
        fits.HDUList([primary, fits.ImageHDU(array, name="SCI")]).writeto(paths[name])
    return References(paths, (1, 1, SIZE, SIZE))


def oracle(exposure, references, monkeypatch, **parameters):
    from jwst.picture_frame import PictureFrameStep
    from jwst.ramp_fitting import RampFitStep
    from jwst.stpipe import Step
    from stdatamodels.jwst.datamodels import CubeModel, ImageModel, RampModel

    monkeypatch.setattr(Step, "get_reference_file", lambda step, model, reftype: str(references.paths[reftype]))
    monkeypatch.setattr(RampFitStep, "run", lambda step, model: step.process(model))
    if isinstance(exposure, Ramp):
        model = RampModel(data=exposure.data.copy(), groupdq=exposure.groupdq, pixeldq=exposure.pixeldq)
        for name, keyword in (
            ("nframes", "NFRAMES"),
            ("groupgap", "GROUPGAP"),
            ("group_time", "TGROUP"),
            ("frame_time", "TFRAME"),
        ):
            setattr(model.meta.exposure, name, exposure.header[keyword])
        model.meta.exposure.nints, model.meta.exposure.ngroups = exposure.data.shape[:2]
    else:
        model = (ImageModel if exposure.data.ndim == 2 else CubeModel)(data=exposure.data.copy(), dq=exposure.dq)
    model.meta.instrument.name = exposure.header["INSTRUME"]
    model.meta.instrument.detector = "NRS1"
    model.meta.subarray.name = exposure.header["SUBARRAY"]
    for name, value in (("xstart", 1), ("ystart", 1), ("xsize", SIZE), ("ysize", SIZE)):
        setattr(model.meta.subarray, name, value)
    model.meta.exposure.type = exposure.header["EXP_TYPE"]
    model.meta.filename = "frame_rate.fits"
    with np.errstate(all="ignore"):
        return PictureFrameStep(**parameters).process(model)


def test_rate_image_is_the_oracles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = frame()
    references = write_references(tmp_path, pictureframe=reference)
    image = image_of((SIZE, SIZE), reference)
    parameters = {"mask_science_regions": False, "save_mask": True, "save_correction": True}
    theirs = oracle(image, references, monkeypatch, **parameters)
    status = picture_frame(image, references, **parameters)
    assert status.keyword_value == theirs.meta.cal_step.picture_frame == "COMPLETE"
    np.testing.assert_array_equal(image.data, theirs.data)
    for suffix in ("pctfrm_mask", "pctfrm_correction"):
        (path,) = tmp_path.glob(f"*{suffix}.fits")
        np.testing.assert_array_equal(image.extra[suffix][1].data, fits.getdata(path), err_msg=suffix)


@pytest.mark.oracle_long
@pytest.mark.parametrize("n_sigma", [0.0, 2.0])
def test_stack_is_the_oracles(tmp_path, monkeypatch, n_sigma):
    reference = frame()
    references = write_references(tmp_path, pictureframe=reference)
    image = image_of((2, SIZE, SIZE), reference, seed=1)
    parameters = {"mask_science_regions": False, "n_sigma": n_sigma}
    theirs = oracle(image, references, monkeypatch, **parameters)
    picture_frame(image, references, **parameters)
    np.testing.assert_array_equal(image.data, theirs.data)


@pytest.mark.oracle_long
def test_ramp_is_the_oracles(tmp_path, monkeypatch):
    reference = frame()
    planes = {name: np.full((SIZE, SIZE), value, np.float32) for name, value in (("gain", 1.0), ("readnoise", 8.0))}
    references = write_references(tmp_path, pictureframe=reference, **planes)
    image = image_of((1, 3, SIZE, SIZE), reference, seed=2)
    data = np.cumsum(100 * image.data, axis=1, dtype=np.float32)
    header = image.header.copy()
    header.update({"NFRAMES": 1, "GROUPGAP": 0, "TGROUP": 10.7, "TFRAME": 10.7})
    ramp = Ramp(header, fits.Header(), data, np.zeros(data.shape, np.uint8), np.zeros((SIZE, SIZE), np.uint32))
    theirs = oracle(ramp, references, monkeypatch, mask_science_regions=False)
    picture_frame(ramp, references, mask_science_regions=False)
    np.testing.assert_array_equal(ramp.data, theirs.data)


@pytest.mark.parametrize(("keyword", "value"), [("SUBARRAY", "ALLSLITS"), ("INSTRUME", "NIRCAM")])
def test_other_exposures(tmp_path, monkeypatch, keyword, value):
    references = write_references(tmp_path, pictureframe=np.ones((8, 8), np.float32))
    data = np.ones((8, 8), np.float32)
    image = image_of((SIZE, SIZE), np.zeros((1, 1), np.float32))
    image.data, image.err, image.dq = data, data.copy(), np.zeros((8, 8), np.uint32)
    image.header[keyword] = value
    theirs = oracle(image, references, monkeypatch)
    status = picture_frame(image, references)
    assert status.keyword_value == theirs.meta.cal_step.picture_frame == "SKIPPED"
    assert "full frames of NIRSpec" in status.reason
