"""Rate images, and their references, for our steps and for the oracle's."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.models import Image
from snakewebb.io.references import References

# orientation of NIRCam's read-out
AXES = {
    **dict.fromkeys(("NRCA1", "NRCA3", "NRCALONG", "NRCB2", "NRCB4"), (-1, 2)),
    **dict.fromkeys(("NRCA2", "NRCA4", "NRCB1", "NRCB3", "NRCBLONG"), (1, -2)),
}
NRCALONG = (86.103458, -493.227512)  # V2, V3 of the reference point, arcsec

PRIMARY = {
    "TELESCOP": "JWST",
    "DATE-OBS": "2024-06-01",
    "TIME-OBS": "12:00:00.000",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "MODULE": "A",
    "CHANNEL": "LONG",
    "FILTER": "F444W",
    "PUPIL": "CLEAR",
    "EXP_TYPE": "NRC_IMAGE",
    "EXPMID": 60462.5,
    "READPATT": "RAPID",
    "NINTS": 1,
    "NGROUPS": 5,
    "SUBARRAY": "SUB160",
    "FASTAXIS": -1,
    "SLOWAXIS": 2,
}


@pytest.fixture
def make_rate():
    """``make_rate(shape=(ny, nx) or (nints, ny, nx), corner=(x, y), seed=1, **keywords)`` gives an `Image`."""

    def make(shape=(96, 128), corner=(901, 801), seed=1, **keywords):
        rng = np.random.default_rng(seed)
        header, sci = fits.Header(), fits.Header()
        header.update(PRIMARY | keywords)
        header["SUBSTRT1"], header["SUBSTRT2"] = corner
        header["SUBSIZE1"], header["SUBSIZE2"] = shape[-1], shape[-2]
        sci["BUNIT"] = "DN/s"
        sci["RA_REF"], sci["DEC_REF"], sci["ROLL_REF"] = 80.4871, -69.4985, 123.456
        sci["V2_REF"], sci["V3_REF"] = NRCALONG
        sci["VPARITY"], sci["V3I_YANG"], sci["VA_SCALE"] = -1, -0.061, 1.00004987
        sci["WCSAXES"] = 2
        sci["CRPIX1"], sci["CRPIX2"] = 1024.5 - corner[0] + 1, 1024.5 - corner[1] + 1
        sci["CRVAL1"], sci["CRVAL2"] = sci["RA_REF"], sci["DEC_REF"]
        sci["CTYPE1"], sci["CTYPE2"], sci["CUNIT1"], sci["CUNIT2"] = "RA---TAN", "DEC--TAN", "deg", "deg"
        sci["CDELT1"] = sci["CDELT2"] = 1.75e-5
        sci["PC1_1"], sci["PC1_2"], sci["PC2_1"], sci["PC2_2"] = -0.5, 0.8, 0.8, 0.5
        poisson, rnoise = (rng.uniform(1e-4, 5e-3, shape).astype(np.float32) for _ in range(2))
        data = rng.normal(3.0, 2.0, shape).astype(np.float32)
        dq = np.where(rng.random(shape) < 0.03, 1 << rng.integers(1, 20, shape), 0).astype(np.uint32)
        bad = rng.random(shape) < 0.01
        dq[bad] |= 1
        data[bad & (rng.random(shape) < 0.5)] = np.nan
        data[rng.random(shape) < 0.003] = np.nan
        return Image(header, sci, data, np.sqrt(poisson + rnoise), dq, poisson, rnoise)

    return make


@pytest.fixture
def image_of(make_rate):
    """``image_of(setting, **keywords)``: a small image near a corner of a detector, behind the elements of a `Setting`."""

    def make(setting, **keywords):
        axes = dict(zip(("FASTAXIS", "SLOWAXIS"), AXES.get(setting.detector, (1, 2)), strict=True))
        place = {"INSTRUME": setting.instrument, "DETECTOR": setting.detector}
        image = make_rate((16, 16), (31, 21), **place, **axes, **keywords)
        for key in ("MODULE", "CHANNEL", "FILTER", "PUPIL"):
            del image.header[key]
        image.header.update(setting.keywords)
        return image

    return make


@pytest.fixture
def oracle_model():
    """The oracle's data model with copies of the content of an `Image`: ``oracle_model(image)``."""
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")

    def make(image):
        units = [
            fits.PrimaryHDU(header=image.header.copy()),
            fits.ImageHDU(image.data.copy(), image.sci_header.copy(), name="SCI"),
            fits.ImageHDU(image.err.copy(), name="ERR"),
            fits.ImageHDU(image.dq.copy(), name="DQ"),
            fits.ImageHDU(image.var_poisson.copy(), name="VAR_POISSON"),
            fits.ImageHDU(image.var_rnoise.copy(), name="VAR_RNOISE"),
        ]
        kind = datamodels.ImageModel if image.data.ndim == 2 else datamodels.CubeModel
        return kind(fits.HDUList(units))

    return make


@pytest.fixture
def references_of():
    """``references_of(image, type=path)`` gives the `References` of an image."""

    def make(image, **paths):
        keys = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
        return References(paths, [image.header[key] for key in keys])

    return make


@pytest.fixture
def distortion(tmp_path):
    """File of a distortion reference: ``distortion(detector)``."""
    pytest.importorskip("pysiaf")
    from snakewebb.simulate.geometry_references import write_distortion
    from snakewebb.simulate.reference_format import ReferenceErrors

    def make(detector):
        path = tmp_path / f"distortion_{detector}.asdf"
        write_distortion(path, detector, errors=ReferenceErrors(), seed=1)
        return path

    return make


@pytest.fixture
def filteroffset(tmp_path):
    """File of a filter-offset reference."""
    from snakewebb.simulate.geometry_references import write_filteroffset
    from snakewebb.simulate.reference_format import ReferenceErrors

    path = tmp_path / "filteroffset.asdf"
    offsets = {("F444W", "CLEAR"): (0.31, -0.27), ("F444W", "F470N"): (2.25, 0.47)}
    write_filteroffset(path, "NRCALONG", offsets, errors=ReferenceErrors(), seed=1)
    return path


def agree(ours, theirs, ulps=2.0, scale=None):
    """Largest difference is within units in the last place of the values (or of ``scale``); NaNs agree."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    spacing = np.spacing(np.abs(theirs if scale is None else scale).astype(np.float32))
    assert ours.dtype == theirs.dtype == np.float32
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)) / spacing
    assert np.nanmax(difference, initial=0.0) <= ulps


@pytest.fixture
def assert_agree():
    return agree
