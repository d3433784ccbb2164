import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.assign_wcs import AssignWcsStep

from image_parity import DATA, assert_equal_keywords, assert_equal_wcs
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.steps import COMPLETE, NOT_APPLICABLE
from snakewebb.wcs.assign_wcs import assign_wcs


@pytest.fixture
def both(make_rate, oracle_model, references_of, run_oracle):
    """The image with our WCS, and the oracle's model: ``both(paths, **parameters_of_the_step, image=None)``."""

    def run(paths, image=None, **parameters):
        image = make_rate() if image is None else image
        model = oracle_model(image)
        refs = references_of(image, **paths)
        theirs = run_oracle(AssignWcsStep, model, refs, **parameters)
        status = assign_wcs(image, refs, **parameters)
        assert status.state == COMPLETE
        assert theirs.meta.cal_step.assign_wcs == "COMPLETE"
        return image, theirs

    return run


def assert_footprint(image, size):
    """S_REGION has the area of so many pixels a side, on the sky."""
    corners = np.radians(np.array(image.sci_header["S_REGION"].split()[2:], float).reshape(4, 2))
    x, y = (corners - corners[0]).T * np.array([[np.cos(corners[0, 1])], [1.0]])
    area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    assert np.degrees(np.sqrt(area)) * 3600 / size == pytest.approx(0.031, rel=0.03)


def test_a_subarray(both, distortion, filteroffset):
    image, theirs = both({"distortion": distortion("NRCALONG"), "filteroffset": filteroffset})
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.parametrize(("compatibility", "size"), [("native", 160), ("jwst", 2048)])
def test_a_subarray_at_the_first_pixel_of_the_detector(
    make_rate, oracle_model, references_of, run_oracle, distortion, compatibility, size
):
    # NRCB1_SUB160, as it is in flight: the oracle takes it for a full frame
    image = make_rate(shape=(160, 160), corner=(1, 1), DETECTOR="NRCB1", SUBARRAY="SUB160")
    refs = references_of(image, distortion=distortion("NRCB1"), filteroffset=None)
    theirs = run_oracle(AssignWcsStep, oracle_model(image), refs)
    assert assign_wcs(image, refs, compatibility=compatibility).state == COMPLETE
    assert theirs.meta.wcs.bounding_box.bounding_box(order="F") == ((-0.5, 2047.5), (-0.5, 2047.5))
    assert image.wcs.bounding_box == ((-0.5, size - 0.5), (-0.5, size - 0.5))
    x, y = np.meshgrid(np.linspace(-0.5, 159.5, 7), np.linspace(-0.5, 159.5, 7))
    np.testing.assert_allclose(image.wcs(x, y), theirs.meta.wcs(x, y), rtol=0, atol=1e-11)
    assert_footprint(image, size)


@pytest.mark.parametrize("detector", [f"NRC{module}{part}" for module in "AB" for part in ("1", "2", "3", "4", "LONG")])
def test_a_full_frame_of_every_detector(both, make_rate, distortion, detector):
    image = make_rate(shape=(2048, 2048), corner=(1, 1), DETECTOR=detector, SUBARRAY="FULL")
    image, theirs = both({"distortion": distortion(detector), "filteroffset": None}, image)
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.parametrize(("number", "module"), [("0090", "A"), ("0096", "B")])
def test_real_references_and_every_integration(both, make_rate, number, module):
    folder = DATA / "crds/references/jwst/nircam"
    paths = {
        "distortion": folder / f"jwst_nircam_distortion_{number}.asdf",
        "filteroffset": folder / f"jwst_nircam_filteroffset_000{'21'[module == 'B']}.asdf",
    }
    if not all(path.exists() for path in paths.values()):
        pytest.skip(f"{folder} is not there; set SNAKEWEBB_DATA")
    image = make_rate(shape=(3, 64, 64), corner=(1, 801), EXP_TYPE="NRC_TSIMAGE", PUPIL="F470N", MODULE=module)
    image, theirs = both(paths, image)
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.filterwarnings("ignore:Failed to achieve requested SIP", "ignore:Double sampling check FAILED")
@pytest.mark.parametrize(
    "parameters",
    [
        {"sip_max_pix_error": 1e-5, "sip_max_inv_pix_error": 1e-4},
        {"sip_degree": 3, "sip_inv_degree": 2},
        {"sip_max_inv_pix_error": 0.0},
        {"sip_npoints": 20, "sip_max_pix_error": 1.0},
    ],
)
def test_parameters_of_the_approximation(both, make_rate, distortion, parameters):
    image = make_rate(shape=(2048, 2048), corner=(1, 1), SUBARRAY="FULL")
    image, theirs = both({"distortion": distortion("NRCALONG"), "filteroffset": None}, image, **parameters)
    assert_equal_keywords(image, theirs)


def test_without_approximation_the_header_keeps_its_wcs(both, distortion):
    image, theirs = both({"distortion": distortion("NRCALONG"), "filteroffset": None}, sip_approx=False)
    assert image.sci_header["S_REGION"] == theirs.meta.wcsinfo.s_region
    for key in ("CDELT1", "PC1_2", "CRVAL1", "CTYPE1"):
        assert image.sci_header[key] == theirs.meta.wcsinfo.instance[key.lower()]


def test_no_velocity_aberration_and_no_reference_pixel(both, make_rate, distortion):
    image = make_rate()
    for key in ("VA_SCALE", "CRPIX1", "CRPIX2"):
        del image.sci_header[key]
    image, theirs = both({"distortion": distortion("NRCALONG"), "filteroffset": None}, image)
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


def test_an_optical_element_without_row_gets_no_offset(both, make_rate, distortion, filteroffset):
    paths = {"distortion": distortion("NRCALONG"), "filteroffset": filteroffset}
    image, theirs = both(paths, make_rate(PUPIL="F405N"))
    assert_equal_wcs(image, theirs)


def test_too_few_points_leave_the_approximation_out(make_rate, references_of, distortion, caplog):
    image = make_rate()
    status = assign_wcs(image, references_of(image, distortion=distortion("NRCALONG")), sip_npoints=5)
    assert status.state == COMPLETE
    assert "no FITS approximation of the WCS is written: sip_npoints is 5" in caplog.text
    assert image.sci_header["CDELT1"] == 1.75e-5


def test_missing_keywords_are_named_together(make_rate, references_of, distortion):
    image = make_rate()
    del image.sci_header["RA_REF"], image.sci_header["V3_REF"]
    with pytest.raises(BadDataError, match="RA_REF, V3_REF"):
        assign_wcs(image, references_of(image, distortion=distortion("NRCALONG")))


def test_other_exposures_are_not_applicable(make_rate, references_of):
    image = make_rate(EXP_TYPE="NRC_DARK")
    status = assign_wcs(image, references_of(image))
    assert status.state == NOT_APPLICABLE
    assert "NRC_DARK" in status.reason


def test_a_reference_that_is_not_one_is_named(make_rate, references_of, tmp_path):
    path = tmp_path / "distortion.asdf"
    path.write_bytes(b"#ASDF 1.0.0\n--- !core/asdf-1.1.0\nmeta: {}\n...\n")
    image = make_rate()
    with pytest.raises(MissingReferenceError, match=r"distortion\.asdf: the distortion reference holds no model"):
        assign_wcs(image, references_of(image, distortion=path))
