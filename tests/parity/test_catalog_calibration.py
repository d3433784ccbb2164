"""Apertures and zero points of every detector and optical element against those that the oracle's source_catalog takes."""

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

pytest.importorskip("jwst")
from jwst.source_catalog.reference_data import ReferenceData
from stdatamodels.jwst import datamodels

from image_parity import DATA
from optical_elements import MIRI_FILTERS, MIRI_SUBARRAYS, SETTINGS, with_oracle
from snakewebb.imaging.catalog_calibration import calibration_of
from snakewebb.imaging.mosaic_image import MosaicImage
from snakewebb.io.references import References

MODELS = {
    "NIRCAM": datamodels.NrcImgApcorrModel,
    "NIRISS": datamodels.NisImgApcorrModel,
    "MIRI": datamodels.MirImgApcorrModel,
    "FGS": datamodels.FgsImgApcorrModel,
}
OFFSET_KEYS = {"NIRCAM": ("FILTER", "PUPIL"), "NIRISS": ("FILTER", "PUPIL"), "MIRI": ("FILTER",), "FGS": ("DETECTOR",)}
ENERGIES = range(20, 90, 10)
RATIO = 0.7


def offset_key(setting):
    header = setting.keywords | {"DETECTOR": setting.detector}
    return tuple(header[key] for key in OFFSET_KEYS[setting.instrument])


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """``references(instrument, detector=None, without=None)``: paths of apcorr and abvegaoffset, with other numbers in each row."""
    folder, made = tmp_path_factory.mktemp("calibration"), {}

    def make(instrument, detector=None, without=None):
        key = instrument, detector, without
        if key in made:
            return made[key]
        rng = np.random.default_rng([len(made), 9])
        settings = [setting for setting in SETTINGS if setting.instrument == instrument]
        model = MODELS[instrument]()
        rows = []
        for row in sorted({setting.row for setting in settings} - {without}):
            radii = np.cumsum(rng.uniform(0.3, 1.5, len(ENERGIES)))
            for energy, radius in zip(ENERGIES, radii, strict=True):
                correction = 100 / energy * rng.uniform(0.9, 1.1)
                rows.append((*row, energy / 100, radius, correction, radii[-1] + 1, radii[-1] + 4))
        model.apcorr_table = np.array(
            [rows[place] for place in rng.permutation(len(rows))], model.get_dtype("apcorr_table")
        )
        meta = model.meta
        meta.description = meta.author = "test"
        meta.reftype, meta.pedigree, meta.useafter = "apcorr", "DUMMY", "2014-01-01T00:00:00"
        meta.instrument.name, meta.exposure.type = instrument, settings[0].keywords["EXP_TYPE"]
        if detector:
            meta.instrument.detector = detector
        paths = {
            "apcorr": folder / f"apcorr_{len(made)}.fits",
            "abvegaoffset": folder / f"abvegaoffset_{len(made)}.asdf",
        }
        model.save(paths["apcorr"])
        keys = sorted({offset_key(setting) for setting in settings})
        names = [name.lower() for name in OFFSET_KEYS[instrument]]
        table = Table(rows=keys, names=names)
        table["abvega_offset"] = rng.uniform(-0.5, 7, len(keys)).astype(np.float32)
        own = {"reftype": "abvegaoffset", "model_type": "ABVegaOffsetModel", "instrument": {"name": instrument}}
        asdf.AsdfFile({"meta": own, "abvega_offset": table}).write_to(paths["abvegaoffset"])
        made[key] = paths
        return paths

    return make


def mosaic_of(setting):
    header = {"INSTRUME": setting.instrument, "DETECTOR": setting.detector, **setting.keywords, "PXSCLRT": RATIO}
    return MosaicImage(fits.Header(header), fits.Header({"BUNIT": "MJy/sr"}), *[np.zeros((2, 2), np.float32)] * 3, None)


def oracle_of(setting, paths, energies):
    model = datamodels.ImageModel((2, 2))
    model.meta.instrument.name, model.meta.instrument.detector = setting.instrument, setting.detector
    for key in ("filter", "pupil"):
        setattr(model.meta.instrument, key, setting.keywords.get(key.upper()))
    model.meta.subarray.name = setting.keywords.get("SUBARRAY")
    model.meta.resample.pixel_scale_ratio = RATIO
    return ReferenceData(model, [str(paths["apcorr"]), str(paths["abvegaoffset"])], energies)


@pytest.mark.parametrize("setting", with_oracle())
def test_every_detector_and_element(references, setting):
    paths = references(setting.instrument, setting.detector if setting.instrument == "FGS" else None)
    energies = (20, 60, 80) if setting.row[1:] == ("CLEAR",) else (30, 50, 70)
    ours = calibration_of(mosaic_of(setting), References(paths, (1, 1, 2, 2)), energies)
    theirs = oracle_of(setting, paths, energies)
    parameters = theirs.aperture_params
    assert ours.energies == tuple(parameters["aperture_ee"])
    np.testing.assert_allclose(ours.radii, parameters["aperture_radii"], rtol=1e-7)
    np.testing.assert_array_equal(ours.corrections, parameters["aperture_corrections"])
    ring = [parameters[f"bkg_aperture_{side}_radius"] for side in ("inner", "outer")]
    np.testing.assert_allclose(ours.ring, ring, rtol=1e-7)
    assert ours.vega_offset == theirs.abvega_offset


MISSING = [
    ("NIRCAM", ("F150W2", "F164N"), "FILTER F150W2, PUPIL F164N; for PUPIL with FILTER F150W2", {"CLEAR", "F162M"}),
    (
        "NIRISS",
        ("F480M", "CLEARP"),
        "FILTER F480M, PUPIL CLEARP; for FILTER",
        {"CLEAR", "F277W", "F356W", "F380M", "F430M", "F444W"},
    ),
    (
        "MIRI",
        ("F560W", "SUB64"),
        "FILTER F560W, SUBARRAY SUB64; for SUBARRAY with FILTER F560W",
        {*MIRI_SUBARRAYS} - {"SUB64"},
    ),
]


@pytest.mark.parametrize(
    ("instrument", "row", "words", "others"), MISSING, ids=[instrument for instrument, *_ in MISSING]
)
def test_a_missing_row(references, instrument, row, words, others):
    """The oracle stops with an error; here the step is without a reference, and the catalogue empty."""
    setting = next(setting for setting in SETTINGS if (setting.instrument, setting.row) == (instrument, row))
    paths = references(instrument, without=row)
    with pytest.raises(RuntimeError, match="APCORR reference file data is missing"):
        _ = oracle_of(setting, paths, (30, 50, 70)).aperture_params
    with pytest.raises(LookupError) as caught:
        calibration_of(mosaic_of(setting), References(paths, (1, 1, 2, 2)))
    message, instead = str(caught.value).split(" it has ")
    assert message == f"{paths['apcorr'].name} has no row for {words}"
    assert set(instead.split(", ")) == others


def test_real_zero_points_of_miri(references):
    """As the file of the observatory has them."""
    path = DATA / "crds/references/jwst/miri/jwst_miri_abvegaoffset_0001.asdf"
    if not path.exists():
        pytest.skip(f"{path} is not there; set SNAKEWEBB_DATA")
    paths = references("MIRI") | {"abvegaoffset": path}
    settings = [setting for setting in SETTINGS if setting.row[1:] == ("FULL",)]
    for setting in settings[:-1]:
        ours = calibration_of(mosaic_of(setting), References(paths, (1, 1, 2, 2)))
        assert ours.vega_offset == oracle_of(setting, paths, (30, 50, 70)).abvega_offset
    words = rf"jwst_miri_abvegaoffset_0001\.asdf has no row for FILTER F2550WR; for FILTER it has {', '.join(MIRI_FILTERS[:-1])}"
    with pytest.raises(LookupError, match=words):
        calibration_of(mosaic_of(settings[-1]), References(paths, (1, 1, 2, 2)))
