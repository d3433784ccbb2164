"""The WCS of every detector and optical element of the imagers, with the offset of each filter, against the oracle's."""

import asdf
import numpy as np
import pytest

pytest.importorskip("jwst")
pytest.importorskip("pysiaf")
from jwst.assign_wcs import AssignWcsStep

from image_parity import DATA
from optical_elements import LONG_PAIRS, SETTINGS, with_oracle
from snakewebb.simulate.geometry_references import write_distortion
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.steps import COMPLETE
from snakewebb.wcs.assign_wcs import assign_wcs


def wheel(setting):
    """What shares a file of offsets."""
    return setting.instrument, setting.keywords.get("CHANNEL"), setting.keywords.get("MODULE")


def elements_of(setting):
    """Filter and pupil."""
    return setting.keywords.get("FILTER", "N/A"), setting.keywords.get("PUPIL", "N/A")


@pytest.fixture(scope="module")
def geometry(tmp_path_factory):
    """``geometry(setting)``: paths of the references, and the offset of the filter; each pair of elements has its own."""
    folder, made = tmp_path_factory.mktemp("geometry"), {}

    def offsets_of(key):
        if key not in made:
            elements = sorted({elements_of(setting) for setting in SETTINGS if wheel(setting) == key})
            offsets = np.random.default_rng([len(made), 3]).uniform(-3, 3, (len(elements), 2)).tolist()
            names = ("filter", "pupil", "column_offset", "row_offset")
            rows = [
                dict(zip(names, (*element, *offset), strict=True))
                for element, offset in zip(elements, offsets, strict=True)
            ]
            meta = {"reftype": "filteroffset", "instrument": {"name": key[0]}}
            path = folder / f"filteroffset_{len(made)}.asdf"
            asdf.AsdfFile({"meta": meta, "filters": rows}).write_to(path)
            made[key] = path, dict(zip(elements, offsets, strict=True))
        return made[key]

    def make(setting):
        distortion = folder / f"distortion_{setting.detector}.asdf"
        if not distortion.exists():
            write_distortion(distortion, setting.detector, errors=ReferenceErrors(), seed=1)
        if setting.instrument == "FGS":
            return {"distortion": distortion, "filteroffset": None}, (0.0, 0.0)
        path, offsets = offsets_of(wheel(setting))
        return {"distortion": distortion, "filteroffset": path}, offsets[elements_of(setting)]

    return make


@pytest.fixture
def both(image_of, oracle_model, references_of, run_oracle):
    """Our image and the oracle's model: ``both(setting, paths)``."""

    def run(setting, paths):
        image = image_of(setting)
        refs = references_of(image, **paths)
        theirs = run_oracle(AssignWcsStep, oracle_model(image), refs, sip_approx=False)
        assert assign_wcs(image, refs, sip_approx=False).state == theirs.meta.cal_step.assign_wcs == COMPLETE
        return image, theirs

    return run


X, Y = np.meshgrid(np.linspace(-0.5, 15.5, 4), np.linspace(-0.5, 15.5, 3))


def assert_equal(image, theirs):
    telescope = [wcs.get_transform("detector", "v2v3") for wcs in (image.wcs, theirs.meta.wcs)]
    np.testing.assert_allclose(telescope[0](X, Y), telescope[1](X, Y), rtol=0, atol=1e-10)
    sky = theirs.meta.wcs(X, Y)
    assert np.isfinite(sky).all()
    np.testing.assert_allclose(image.wcs(X, Y), sky, rtol=0, atol=1e-11)
    assert image.sci_header["S_REGION"] == theirs.meta.wcsinfo.s_region


def assert_shifted(image, references_of, paths, offset):
    """The WCS is that without offsets, of pixels shifted by the offset."""
    shifted = np.array(image.wcs.get_transform("detector", "v2v3")(X, Y))
    assign_wcs(image, references_of(image, **{**paths, "filteroffset": None}), sip_approx=False)
    plain = image.wcs.get_transform("detector", "v2v3")
    np.testing.assert_allclose(shifted, plain(X + offset[0], Y + offset[1]), rtol=0, atol=1e-10)


ELEMENTS = [setting for setting in SETTINGS if setting.instrument != "MIRI" or setting.row[1] == "FULL"]


@pytest.mark.parametrize("setting", with_oracle(ELEMENTS))
def test_every_detector_and_element(both, geometry, references_of, setting):
    paths, offset = geometry(setting)
    image, theirs = both(setting, paths)
    assert_equal(image, theirs)
    assert_shifted(image, references_of, paths, offset)


REAL = {"NRCALONG": ("0090", "0002"), "NRCBLONG": ("0096", "0001")}
ALWAYS = [("F444W", "CLEAR"), ("F444W", "F470N")]


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(setting, id=str(setting), marks=() if setting.row in ALWAYS else pytest.mark.oracle_long)
        for setting in SETTINGS
        if setting.row in LONG_PAIRS
    ],
)
def test_real_offsets_of_every_long_filter(both, references_of, setting):
    folder = DATA / "crds/references/jwst/nircam"
    distortion, offsets = REAL[setting.detector]
    paths = {
        "distortion": folder / f"jwst_nircam_distortion_{distortion}.asdf",
        "filteroffset": folder / f"jwst_nircam_filteroffset_{offsets}.asdf",
    }
    if not all(path.exists() for path in paths.values()):
        pytest.skip(f"{folder} is not there; set SNAKEWEBB_DATA")
    with asdf.open(paths["filteroffset"]) as tree:
        names = ("filter", "pupil")
        (row,) = (row for row in tree["filters"] if tuple(row[name] for name in names) == setting.row)
    image, theirs = both(setting, paths)
    assert_equal(image, theirs)
    assert_shifted(image, references_of, paths, (row["column_offset"], row["row_offset"]))
