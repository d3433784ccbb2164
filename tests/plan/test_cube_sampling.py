"""The size of cubes when they are planned: by the sampling that the cubepar reference states."""

import pytest
from astropy.io import fits
from astropy.table import Table

from raw_exposures import write_raw
from snakewebb.plan import crds_selection
from snakewebb.plan.cubes import shape_of

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

CUBE = "jw01234-o001_t001_miri_ch1-short"
EXPOSURE = "jw01234001001_02101_00001_mirifushort"


def write_cubepar(path, spaxel, step):
    rows = {"CHANNEL": ["1", "2"], "BAND": ["SHORT", "SHORT"], "WAVEMIN": [4.9, 7.5], "WAVEMAX": [5.9, 8.8]}
    rows |= {"SPAXELSIZE": [spaxel, 0.2], "SPECTRALSTEP": [step, 0.002]}
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table(rows), name="CUBEPAR")]).writeto(path, overwrite=True)


@pytest.fixture
def exposed(programme):
    path = programme.folder / "uncal" / f"{EXPOSURE}_uncal.fits"
    write_raw(path, "MIR_MRS", TARGPROP="STAR", RA_REF=80.0, DEC_REF=-30.0)
    return programme.folder


def test_a_file_of_the_user(exposed, plan_of):
    usual = shape_of(plan_of("miri_mrs"), name=CUBE)
    write_cubepar(exposed / "mine.fits", 0.065, 0.01)
    step = {"override_cubepar": "mine.fits"}
    plan = plan_of("miri_mrs", steps={"cube_build": step, "measured_offsets": {"skip": False}})
    planes, rows, columns = shape_of(plan, name=CUBE)
    assert planes == pytest.approx(100, abs=2)  # 1 micron in steps of 0.01, not of 0.0008
    assert rows == pytest.approx(2 * usual[1], abs=3)
    assert columns == pytest.approx(2 * usual[2], abs=3)
    # the parameters of the user go before it, and cubes of exposures have their own reference
    plan = plan_of("miri_mrs", steps={"cube_build": {**step, "scalexy": 0.13, "scalew": 0.1}})
    assert shape_of(plan, name=CUBE)[0] == pytest.approx(10, abs=2)
    assert shape_of(plan, name=CUBE)[1] == pytest.approx(usual[1], abs=1)
    assert shape_of(plan, root=EXPOSURE) == shape_of(plan_of("miri_mrs"), root=EXPOSURE)


def test_a_file_of_the_cache_is_read_once_it_is_there_and_remembered(exposed, plan_of, monkeypatch):
    select = crds_selection.select_names

    def names(headers, reftypes, context, crds_path):
        found = select(headers, reftypes, context, crds_path)
        return {root: types | {"cubepar": "jwst_miri_cubepar_9999.fits"} for root, types in found.items()}

    usual = shape_of(plan_of("miri_mrs"), name=CUBE)
    monkeypatch.setattr(crds_selection, "select_names", names)
    plan = plan_of("miri_mrs", crds_path="my_crds")
    assert shape_of(plan, name=CUBE) == usual
    path = exposed / "my_crds" / "references" / "jwst" / "miri" / "jwst_miri_cubepar_9999.fits"
    write_cubepar(path, 0.065, 0.01)
    stated = shape_of(plan, name=CUBE)
    assert stated[0] == pytest.approx(100, abs=2)
    path.unlink()
    assert shape_of(plan_of("miri_mrs", crds_path="my_crds"), name=CUBE) == stated
