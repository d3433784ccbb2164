"""Slope images of the medium-resolution spectrometer, and their references, for our steps and for the oracle's."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.slice_geometry import SliceGeometry

PRIMARY = {
    "TELESCOP": "JWST",
    "DATE-OBS": "2024-06-01",
    "TIME-OBS": "12:00:00.000",
    "INSTRUME": "MIRI",
    "DETECTOR": "MIRIFUSHORT",
    "CHANNEL": "12",
    "BAND": "SHORT",
    "EXP_TYPE": "MIR_MRS",
    "EXPMID": 60462.53,
    "READPATT": "FASTR1",
    "NINTS": 1,
    "NGROUPS": 5,
    "SUBARRAY": "FULL",
    "SUBSTRT1": 1,
    "SUBSTRT2": 1,
    "SUBSIZE1": SHAPE[1],
    "SUBSIZE2": SHAPE[0],
    "FASTAXIS": 1,
    "SLOWAXIS": 2,
    "FILENAME": "jw00001001001_02101_00001_mirifushort_rate.fits",
}
COMMON = {
    "description": "test",
    "author": "test",
    "pedigree": "DUMMY",
    "useafter": "2014-01-01T00:00:00",
    "instrument.name": "MIRI",
}


@pytest.fixture
def make_mrs():
    """``make_mrs(data=None, seed=1, var_flat=True, **keywords)`` gives an `Image` with bad pixels."""

    def make(data=None, seed=1, var_flat=True, **keywords):
        rng = np.random.default_rng(seed)
        header, sci = fits.Header(), fits.Header()
        header.update(PRIMARY | keywords)
        sci["BUNIT"] = "DN/s"
        if data is None:
            data = rng.normal(30.0, 20.0, SHAPE)
        data = data.astype(np.float32)
        poisson, rnoise, flat = (rng.uniform(1e-4, 5e-3, data.shape).astype(np.float32) for _ in range(3))
        dq = np.where(rng.random(data.shape) < 0.02, 1 << rng.integers(1, 13, data.shape), 0).astype(np.uint32)
        bad = rng.random(data.shape) < 0.01
        dq[bad] |= 1
        data[bad] = np.nan
        image = Image(header, sci, data, np.sqrt(poisson + rnoise + flat), dq, poisson, rnoise)
        if var_flat:
            image.var_flat = flat
        return image

    return make


@pytest.fixture
def ifu_model():
    """The oracle's data model with copies of the content of an `Image`: ``ifu_model(image)``."""
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")

    def make(image):
        arrays = {"SCI": image.data, "ERR": image.err, "DQ": image.dq}
        arrays |= {"VAR_POISSON": image.var_poisson, "VAR_RNOISE": image.var_rnoise, "VAR_FLAT": image.var_flat}
        units = [fits.PrimaryHDU(header=image.header.copy())]
        for name, array in arrays.items():
            if array is not None:
                header = image.sci_header.copy() if name == "SCI" else None
                units.append(fits.ImageHDU(array.copy(), header, name=name))
        return datamodels.IFUImageModel(fits.HDUList(units))

    return make


@pytest.fixture
def saved(tmp_path):
    """Write a reference model of the oracle: ``saved(model, reftype, **meta)`` gives its path."""

    def write(model, reftype, **meta):
        for key, value in {**COMMON, "reftype": reftype, **{k.replace("__", "."): v for k, v in meta.items()}}.items():
            model[f"meta.{key}"] = value
        path = tmp_path / f"{reftype}.{'asdf' if reftype == 'regions' else 'fits'}"
        model.save(path)
        return path

    return write


@pytest.fixture
def slices():
    """``slices(channels=(1, 2), limits=((4.9, 5.74), (7.5, 8.8)))`` gives a `SliceGeometry` with curved slices and dark gaps."""

    def make(channels=(1, 2), limits=((4.9, 5.74), (7.5, 8.8))):
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
        labels = np.zeros(SHAPE, np.int32)
        wavelength, alpha = np.full(SHAPE, np.nan), np.full(SHAPE, np.nan)
        bent = x + 6 * ((y - 512) / 512) ** 2
        for channel, (low, high), begin in zip(channels, limits, (12, 530), strict=True):
            for number in range(12):
                left = begin + 40 * number
                inside = (bent >= left) & (bent < left + 32)
                labels[inside] = 100 * channel + number + 1
                wavelength[inside] = (low + (high - low) * (y / 1023 + 2e-5 * (bent - left)))[inside]
                alpha[inside] = 0.18 * (bent - left - 15.5)[inside]
        return SliceGeometry(labels, wavelength, alpha)

    return make


@pytest.fixture
def with_wcs():
    """Give the oracle's model the coordinates of a `SliceGeometry`: ``with_wcs(model, geometry)``."""

    def attach(model, geometry):
        import gwcs
        from astropy import units
        from astropy.modeling.models import Mapping, Shift, Tabular2D
        from gwcs import coordinate_frames

        across = np.where(geometry.slices > 0, geometry.slices % 100 * 0.18, np.nan)
        tables = [
            Tabular2D(lookup_table=array.T, method="nearest", bounds_error=False, fill_value=np.nan)
            for array in (geometry.alpha, across, geometry.wavelength)
        ]
        # a model without parameters would be given quantities
        transform = Shift(0.0) & Shift(0.0) | Mapping((0, 1, 0, 1, 0, 1)) | tables[0] & tables[1] & tables[2]
        detector = coordinate_frames.Frame2D(name="detector", unit=(units.pix, units.pix))
        sky = coordinate_frames.CoordinateFrame(
            3, ("SPATIAL",) * 3, (0, 1, 2), name="world", unit=(units.deg, units.deg, units.um)
        )
        model.meta.wcs = gwcs.WCS([(detector, transform), (sky, None)])
        model.meta.wcs.bounding_box = ((-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5))
        return model

    return attach


@pytest.fixture
def mrs_references():
    """``mrs_references(image, type=path)`` gives the `References` of an image."""

    def make(image, **paths):
        return References(paths, [image.header[key] for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")])

    return make


def agree(ours, theirs, ulps=2.0):
    """Arrays of float32 are equal to units in the last place; NaNs and infinities agree."""
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite])
    spacing = np.spacing(np.abs(theirs[finite]))
    difference = np.abs(ours[finite].astype(np.float64) - theirs[finite].astype(np.float64)) / spacing
    assert np.max(difference, initial=0.0) <= ulps


def close(ours, theirs, err):
    """Arrays are within 1e-5 of the value or 1e-3 of its error, whichever is larger; NaNs agree."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    allowed = np.maximum(1e-5 * np.abs(theirs), 1e-3 * np.nan_to_num(err))
    beyond = difference > allowed
    assert not beyond.any(), (int(beyond.sum()), float(np.nanmax(difference / np.maximum(allowed, 1e-30))))


ARRAYS = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


@pytest.fixture
def assert_same():
    """Every array of an image is that of the oracle's model: ``assert_same(image, model, ulps=2)``; flags are equal."""

    def check(image, model, ulps=2.0):
        np.testing.assert_array_equal(image.dq, model.dq)
        for name in ARRAYS:
            if getattr(image, name) is not None:
                agree(getattr(image, name), getattr(model, name), ulps)

    return check


@pytest.fixture
def assert_agree():
    return agree


@pytest.fixture
def assert_close():
    return close
