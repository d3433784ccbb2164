import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.assign_wcs import AssignWcsStep

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.steps import COMPLETE, NOT_APPLICABLE
from snakewebb.wcs.assign_wcs import assign_wcs
from snakewebb.wcs.tangent import TangentWCS

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[3] / "../shared/data"))

PIXEL = 1.75e-5  # degrees


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


def assert_equal_wcs(image, theirs):
    ny, nx = image.data.shape[-2:]
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 13), np.linspace(-0.5, ny - 0.5, 11))
    exact = theirs.meta.wcs
    assert image.wcs.available_frames == exact.available_frames
    assert image.wcs.bounding_box == exact.bounding_box.bounding_box(order="F")
    for frame in ("v2v3", "v2v3vacorr"):
        np.testing.assert_allclose(
            image.wcs.get_transform("detector", frame)(x, y),
            exact.get_transform("detector", frame)(x, y, with_bounding_box=False),
            rtol=0,
            atol=1e-10,
        )
    sky = exact(x, y)
    np.testing.assert_allclose(image.wcs(x, y), sky, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        image.wcs.invert(*sky, with_bounding_box=False),
        exact.invert(*sky, with_bounding_box=False),
        rtol=0,
        atol=1e-7,
    )
    light = TangentWCS.from_gwcs(image.wcs, {**image.sci_header, "NAXIS1": nx, "NAXIS2": ny})
    np.testing.assert_allclose(light.pixel_to_sky(x, y), sky, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.array(image.wcs.as_gwcs()(x, y)), sky, rtol=0, atol=1e-11)


def assert_equal_keywords(image, theirs):
    """Footprint equal in every digit; the approximation to what rounding leaves of its fit."""
    info = theirs.meta.wcsinfo.instance
    header = image.sci_header
    assert header["S_REGION"] == info["s_region"]
    sip = {key for key in header if key.split("_")[0] in ("A", "B", "AP", "BP")}
    assert sip == {key.upper() for key in info if key.split("_")[0] in ("a", "b")} | {
        key.upper() for key in info if key.split("_")[0] in ("ap", "bp") and key[-3:] not in ("0_1", "1_0")
    }
    for key in ("CTYPE1", "CTYPE2", "CUNIT1", "CRPIX1", "CRPIX2", "WCSAXES"):
        assert header[key] == info[key.lower()], key
    for key in ("CRVAL1", "CRVAL2"):
        assert header[key] == pytest.approx(info[key.lower()], abs=2e-11), key
    assert not [key for key in header if key.startswith(("PC", "CDELT"))]
    tree = image.tree["meta"]["wcsinfo"]
    reach = max(
        max(abs(header[f"CRPIX{axis}"] - edge) for edge in (0.5, length + 0.5))
        for axis, length in zip((1, 2), image.data.shape[:-3:-1], strict=True)
    )
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        assert abs(header[key] - info[key.lower()]) / PIXEL * reach < 1e-6, key
    for key in sip:
        if key.endswith("ORDER"):
            assert header[key] == info[key.lower()], key
        else:
            degree = sum(int(digit) for digit in key.split("_")[1:])
            # effect of the difference anywhere in the image, pixels
            assert abs(header[key] - info[key.lower()]) * reach**degree < 1e-6, key
    for key in tree:
        if key in ("sipmxerr", "sipiverr"):
            # what rounding leaves of the residuals differs with the processor's linear algebra; pixels
            assert tree[key] == pytest.approx(info[key], rel=1e-5, abs=1e-8), key
        elif isinstance(tree[key], float):
            assert tree[key] == pytest.approx(info[key], rel=1e-5, abs=1e-9), key
        else:
            assert tree[key] == info[key], key
    assert set(tree) >= {"sipmxerr", "wcsname", "lonpole", "latpole"}


def test_a_subarray(both, distortion, filteroffset):
    image, theirs = both({"distortion": distortion("NRCALONG"), "filteroffset": filteroffset})
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.parametrize("detector", ["NRCB4", "NRCALONG"])
def test_a_full_frame_of_other_detectors(both, make_rate, distortion, detector):
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
