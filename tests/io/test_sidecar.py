import json
import shutil

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.chain import Outcome
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.models import Image
from snakewebb.io.products import write_image
from snakewebb.io.sidecar import check_product, matches, read_sidecar, write_sidecar
from snakewebb.steps import COMPLETE, SKIPPED, Status
from snakewebb.wcs.tangent import TangentWCS, wcs_of

OUTCOMES = [
    Outcome("assign_wcs", 1, "S_WCS", Status(COMPLETE), 1.23),
    Outcome("flat_field", 2, "S_FLAT", Status(SKIPPED, "switched off by config.yaml"), 0.0),
]
WORK = {"chain": [{"step": "assign_wcs", "version": 1, "parameters": {"sip_npoints": 12}}], "input": {"size": 3}}
CIRCUMSTANCES = {
    "context": "jwst_1584.pmap",
    "mode": "nircam_imaging",
    "origins": {"assign_wcs.sip_npoints": "default"},
    "crds_path": "/somewhere/of/this/machine",
}


def make_image(seed=1):
    rng = np.random.default_rng(seed)
    header, sci = fits.Header(), fits.Header()
    header.update(INSTRUME="NIRCAM", DETECTOR="NRCA1", EXP_TYPE="NRC_IMAGE")
    header.update(SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=40, SUBSIZE2=30)
    sci["BUNIT"] = "MJy/sr"
    arrays = [rng.normal(size=(30, 40)).astype(np.float32) for _ in range(4)]
    return Image(header, sci, arrays[0], arrays[1], np.zeros((30, 40), np.uint32), *arrays[2:])


def light_wcs():
    scale = 0.03 / 206264.8
    x_coef, y_coef = np.zeros((2, 2)), np.zeros((2, 2))
    x_coef[1, 0], y_coef[0, 1] = -20 * scale, 15 * scale
    return TangentWCS((30, 40), ((-0.5, 39.5), (-0.5, 29.5)), x_coef, y_coef, 80.0, -69.0, 12.0, 120.0, -500.0)


@pytest.fixture
def product(tmp_path):
    """A product with its record."""
    path = tmp_path / "jw01234001001_02101_00001_nrca1_cal.fits"
    files = {path.name: write_image(path, make_image(), "ImageModel")}
    write_sidecar(
        path.with_suffix(".json"),
        files=files,
        work=WORK,
        outcomes=OUTCOMES,
        circumstances=CIRCUMSTANCES,
        wcs=light_wcs().as_record(),
    )
    return path


def test_the_record_says_how_the_product_was_made(product):
    record = read_sidecar(product)
    assert record["work"] == WORK
    assert record["context"] == "jwst_1584.pmap"
    assert record["origins"] == CIRCUMSTANCES["origins"]
    assert record["steps"][1] == {
        "step": "flat_field",
        "version": 2,
        "status": "SKIPPED",
        "reason": "switched off by config.yaml",
    }
    assert record["files"][product.name]["size"] == product.stat().st_size
    assert set(record["files"][product.name]["datasum"]) == {
        *("PRIMARY", "SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "ASDF")
    }
    assert record["software"]["numpy"] == np.__version__
    text = product.with_suffix(".json").read_text()
    assert "/somewhere" not in text
    assert str(product.parent) not in text


def test_the_same_product_has_the_same_record(product, tmp_path):
    again = tmp_path / "again" / product.name
    files = {again.name: write_image(again, make_image(), "ImageModel")}
    write_sidecar(
        again.with_suffix(".json"),
        files=files,
        work=dict(reversed(WORK.items())),
        outcomes=[Outcome(*outcome.__dict__.values()) for outcome in OUTCOMES],
        circumstances=CIRCUMSTANCES,
        wcs=light_wcs().as_record(),
    )
    assert again.with_suffix(".json").read_bytes() == product.with_suffix(".json").read_bytes()
    assert product.read_bytes() != b""


def test_a_whole_product_matches_also_after_a_copy(product, tmp_path):
    assert matches(product) == (True, "")
    check_product(product)
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in (product, product.with_suffix(".json")):
        shutil.copy(path, folder)
    assert matches(folder / product.name) == (True, "")


def edit_keyword(path):
    with fits.open(path, mode="update") as units:
        units["SCI"].header["BUNIT"] = "DN/s"


def edit_data_with_sums(path):
    with fits.open(path, mode="update", checksum=True) as units:
        units["ERR"].data[3, 4] = 7.0


def append_unit(path):
    fits.append(path, np.zeros((3, 3)), fits.Header({"EXTNAME": "MASK"}))


def other_product(path):
    write_image(path, make_image(seed=2), "ImageModel")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (edit_keyword, "its headers are not those of its record"),
        (edit_data_with_sums, "the data of ERR are not those of its record"),
        (append_unit, "its record says"),
        (other_product, "the data of ERR, SCI, VAR_POISSON, VAR_RNOISE are not those"),
    ],
)
def test_a_product_changed_by_hand_is_refused(product, edit, reason):
    edit(product)
    same, why = matches(product)
    assert not same
    assert reason in why
    with pytest.raises(BadDataError, match=r"changed by hand\. Give what you want to change as input"):
        check_product(product)


def test_the_date_of_writing_does_not_matter(product):
    before = product.read_bytes()
    write_image(product, make_image(), "ImageModel")
    assert product.read_bytes() != before
    assert matches(product) == (True, "")


def test_a_file_without_a_record_is_the_users_own(product):
    product.with_suffix(".json").unlink()
    check_product(product)
    assert matches(product) == (False, "there is no record of it in jw01234001001_02101_00001_nrca1_cal.json")


def test_the_wcs_comes_from_the_record_only_if_it_belongs_to_the_file(product):
    assert wcs_of(product).as_record() == light_wcs().as_record()
    edit_data_with_sums(product)
    with pytest.raises(BadDataError, match="no WCS"):
        wcs_of(product)


def test_a_folder_that_is_not_writable_is_a_configuration_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises((ConfigError, NotADirectoryError, FileExistsError)):
        write_sidecar(blocked / "x.json", files={}, work={})
    assert json.loads(json.dumps(read_sidecar(tmp_path / "nothing.fits"))) is None
