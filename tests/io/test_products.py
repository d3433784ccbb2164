import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.chain import Outcome
from snakewebb.errors import BadDataError
from snakewebb.io.keyword_order import REFERENCE_KEYWORDS, SECTIONS, set_keyword
from snakewebb.io.models import Image
from snakewebb.io.products import read_image, read_wcs, stamp, write_extra, write_image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NO_REFERENCE, Status
from snakewebb.wcs.tangent import wcs_of

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[2] / "../shared/data"))
SIZE = {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 40, "SUBSIZE2": 30}


def make_image(shape=(30, 40)):
    rng = np.random.default_rng(4)
    header, sci = fits.Header(), fits.Header()
    header.update({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "EXP_TYPE": "NRC_IMAGE", **SIZE})
    sci["BUNIT"] = "DN/s"
    arrays = [rng.normal(size=shape).astype(np.float32) for _ in range(4)]
    dq = rng.integers(0, 2**32, shape, np.uint32)
    arrays[0].flat[::7] = np.nan
    return Image(header, sci, arrays[0], arrays[1], dq, *arrays[2:])


@pytest.fixture
def product(tmp_path):
    path = tmp_path / "jw01234001001_02101_00001_nrca1_rate.fits"
    write_image(path, make_image(), "ImageModel")
    return path


@pytest.mark.parametrize("shape", [(30, 40), (3, 30, 40)])
def test_arrays_survive_bit_for_bit(tmp_path, shape):
    image = make_image(shape)
    path = tmp_path / "x_rate.fits"
    sums = write_image(path, image, "ImageModel")
    again = read_image(path)
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        found = getattr(again, name)
        assert found.dtype == getattr(image, name).dtype
        assert found.flags.writeable
        np.testing.assert_array_equal(found, getattr(image, name))
    assert list(sums) == ["PRIMARY", "SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "ASDF"]
    with fits.open(path, checksum=True) as units:
        np.testing.assert_array_equal(units["DQ"].data, image.dq)
        assert units["ERR"].header["BUNIT"] == "DN/s"
        assert units[0].header["FILENAME"] == "x_rate.fits"
        assert units[0].header["DATAMODL"] == "ImageModel"
        units.verify("exception")


def test_only_the_planes_that_are_asked_for_are_read(product):
    image = read_image(product, planes=("SCI", "DQ"))
    np.testing.assert_array_equal(image.data, make_image().data)
    np.testing.assert_array_equal(image.dq, make_image().dq)
    assert (image.err, image.var_poisson, image.var_rnoise) == (None, None, None)


def test_other_number_formats_are_converted(tmp_path):
    path = tmp_path / "x_rate.fits"
    primary = fits.PrimaryHDU()
    primary.header.update({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "EXP_TYPE": "NRC_IMAGE", **SIZE})
    data = np.arange(1200.0).reshape(30, 40)
    units = [fits.ImageHDU(data, name="SCI"), fits.ImageHDU(data.astype(">i2"), name="ERR")]
    units.append(fits.ImageHDU(data.astype(np.int64), name="DQ"))
    fits.HDUList([primary, *units]).writeto(path)
    image = read_image(path)
    for array, dtype in ((image.data, np.float32), (image.err, np.float32), (image.dq, np.uint32)):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, data)


def test_everything_missing_is_named_at_once(tmp_path):
    path = tmp_path / "x_rate.fits"
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "NIRCAM"
    fits.HDUList([primary, fits.ImageHDU(np.zeros((3, 3), np.float32), name="ERR")]).writeto(path)
    with pytest.raises(BadDataError) as error:
        read_image(path)
    assert "extensions SCI, DQ are missing (found: ERR)" in str(error.value)
    assert "DETECTOR, EXP_TYPE, SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda units: units[0].header.update(SUBSIZE1=41), "say 41 x 30 pixels, but SCI has 40 x 30"),
        (lambda units: units.pop("DQ"), "extensions DQ are missing"),
        (lambda units: setattr(units["ERR"], "data", np.zeros((4, 5), np.float32)), "disagree with that of SCI"),
        (lambda units: setattr(units["SCI"], "data", np.zeros((1, 2, 30, 40), np.float32)), "a ramp"),
    ],
)
def test_what_does_not_fit_is_refused(product, change, message):
    with fits.open(product) as units:
        change(units)
        units.writeto(product.with_name("changed.fits"))
    with pytest.raises(BadDataError, match=message) as error:
        read_image(product.with_name("changed.fits"))
    assert "changed.fits" in str(error.value)


def test_changed_data_are_found_by_their_checksum(product):
    with fits.open(product) as units:
        start = units["VAR_RNOISE"].fileinfo()["datLoc"]
    content = bytearray(product.read_bytes())
    content[start + 100] ^= 1
    product.write_bytes(content)
    with pytest.raises(BadDataError, match=r"\[VAR_RNOISE\]: DATASUM is"):
        read_image(product)


def test_truncated_empty_and_foreign_files(product, tmp_path):
    content = product.read_bytes()
    for name, part, message in [
        ("truncated.fits", content[:20000], "truncated"),
        ("empty.fits", b"", "empty"),
        ("page.fits", b"<html>Not found</html>" * 10, "web page"),
    ]:
        (tmp_path / name).write_bytes(part)
        with pytest.raises(BadDataError, match=message):
            read_image(tmp_path / name)


def test_a_product_without_wcs_says_what_to_do(product):
    with pytest.raises(BadDataError, match=r"no WCS in the ASDF extension; run assign_wcs"):
        read_wcs(product)
    assert read_image(product, wcs=True).wcs is None


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("niriss_ami/jw01093012001_03102_00001_nis_cal.fits", ["detector", "v2v3", "v2v3vacorr", "world"]),
        ("nircam_coron/jw01184001001_03106_00001_nrcalong_calints.fits", None),
    ],
)
def test_products_of_the_archive(name, frames):
    path = DATA / "real" / name
    if not path.exists():
        pytest.skip(f"{path} is not there; set SNAKEWEBB_DATA")
    image = read_image(path, wcs=frames is not None)
    with fits.open(path) as units:
        np.testing.assert_array_equal(image.data, units["SCI"].data)
        np.testing.assert_array_equal(image.dq, units["DQ"].data)
    if frames is not None:
        assert image.wcs.available_frames == frames
        assert wcs_of(path).fit_error < 1e-7
        light = wcs_of(path).pixel_to_sky([3.0, 70.0], [5.0, 60.0])
        np.testing.assert_allclose(light, image.wcs.as_gwcs()([3.0, 70.0], [5.0, 60.0]), rtol=0, atol=1e-11)


def test_stamp_writes_what_was_done():
    header = make_image().header
    outcomes = [
        Outcome("photom", 1, "S_PHOTOM", Status(NO_REFERENCE, "none"), 0.1),
        Outcome("assign_wcs", 1, "S_WCS", Status(COMPLETE), 0.1),
    ]
    references = {"photom": {"name": "jwst_photom.fits"}, "area": None, "flat": {"path": "/home/me/my_flat.fits"}}
    stamp(header, outcomes, references, "jwst_1584.pmap")
    assert header["S_WCS"] == "COMPLETE"
    assert header["S_PHOTOM"] == "SKIPPED"
    assert header["R_PHOTOM"] == "crds://jwst_photom.fits"
    assert header["R_FLAT"] == "my_flat.fits"
    assert header["R_AREA"] == "N/A"
    assert header["CRDS_CTX"] == "jwst_1584.pmap"
    assert header["CAL_VER"].startswith("snakewebb ")
    keys = [key for key in header if key.startswith(("R_", "S_", "CRDS"))]
    assert keys == ["CRDS_VER", "CRDS_CTX", "R_AREA", "R_FLAT", "R_PHOTOM", "S_WCS", "S_PHOTOM"]
    before = repr(header)
    stamp(header, outcomes, references, "jwst_1584.pmap")
    assert repr(header) == before


OURS = {"S_BKGDTH", "S_BKG2D", "S_WISP"}
"""Statuses of steps that the archive does not have."""


def test_keywords_and_their_order_are_those_of_the_archive():
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    from stdatamodels.schema import walk_schema

    found, types = {}, {}

    def collect(schema, path, *_):
        # guide stars have some keywords of the WCS in the primary header
        if "fits_keyword" in schema and path[1] != "guidestar":
            title = schema.get("title", "").strip()
            found[schema["fits_keyword"]] = title
            if path[1] == "ref_file" and path[2] != "crds":
                types[path[2]] = schema["fits_keyword"]

    walk_schema(datamodels.ImageModel().schema, collect)
    order = list(found)
    for _, rows in SECTIONS:
        rows = [row for row in rows if row[0] not in OURS]
        positions = [order.index(keyword) for keyword, _ in rows]
        assert positions == sorted(positions)
        assert [comment for _, comment in rows] == [found[keyword] for keyword, _ in rows]
    assert {reftype: keyword for reftype, (keyword, _) in REFERENCE_KEYWORDS.items()} == types


def test_a_keyword_of_no_section_goes_to_the_end():
    header = fits.Header()
    set_keyword(header, "S_WCS", "COMPLETE")
    set_keyword(header, "S_MYSTEP", "COMPLETE")
    set_keyword(header, "R_FLAT", "N/A")
    assert [key for key in header if key] == ["R_FLAT", "S_WCS", "S_MYSTEP"]


def test_further_products_of_steps_are_written(tmp_path):
    tree = {"frequencies": {"Hz390": {"frequency": 390.625, "phase_amplitudes": np.arange(5.0)}}}
    units = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 3), np.float32), name="SLOPE")]
    paths = write_extra(tmp_path / "jw1_mirimage", {"emi_ref_waves": tree, "fitopt": units})
    assert [path.name for path in paths] == ["jw1_mirimage_emi_ref_waves.asdf", "jw1_mirimage_fitopt.fits"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    found = References({"emicorr": paths[0]}, (1, 1, 1, 1)).tree("emicorr")
    np.testing.assert_array_equal(found["frequencies"]["Hz390"]["phase_amplitudes"], np.arange(5.0))
    np.testing.assert_array_equal(fits.getdata(paths[1], "SLOPE"), np.ones((2, 3)))
