"""Images of NIRISS, MIRI and the guiders: where sources fall, how bright they are, and the reference files that say so."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.errors import ConfigError
from snakewebb.plan.crds_selection import select_names, select_parameters
from snakewebb.simulate.crds_cache import CONTEXT
from snakewebb.simulate.designs import PRESETS, design
from snakewebb.simulate.geometry import DetectorGeometry, full_aperture, siaf_of
from snakewebb.simulate.geometry_references import distortion_model, write_distortion, write_filteroffset
from snakewebb.simulate.imager_truth import exposed_truth, make_imager_detector
from snakewebb.simulate.imagers import IMAGERS, START
from snakewebb.simulate.instruments import SUBARRAYS
from snakewebb.simulate.optics import encircled_energy
from snakewebb.simulate.photometry_references import write_apcorr, write_photom
from snakewebb.simulate.programme import make_programme
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.simulate.scene import make_scene
from snakewebb.simulate.truth import default_effects, programme_sky, simulate, write_references
from snakewebb.simulate.uncal import primary_keywords, reference_keywords, science_keywords

OTHERS = ("niriss_imaging", "miri_imaging", "fgs_imaging")
CASES = [
    ("niriss_imaging", "NIS", "CLEAR", "F150W", "SUB256"),
    ("niriss_imaging", "NIS", "F444W", "CLEARP", "FULL"),
    ("miri_imaging", "MIRIMAGE", "F770W", "N/A", "FULL"),
    ("miri_imaging", "MIRIMAGE", "F2550W", "N/A", "BRIGHTSKY"),
    ("miri_imaging", "MIRIMAGE", "F1130W", "N/A", "SUB128"),
    ("fgs_imaging", "GUIDER1", "N/A", "N/A", "SUB128DIAG"),
    ("fgs_imaging", "GUIDER2", "N/A", "N/A", "FULL"),
]
STAGE_1 = {
    "NIRISS": {"mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise"},
    "FGS": {"mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise"},
    "MIRI": {"mask", "saturation", "linearity", "dark", "gain", "readnoise", "reset", "rscd", "emicorr"},
}
LATER = {"distortion", "flat", "photom", "area", "apcorr", "abvegaoffset"}
MODELS = {
    "distortion": "DistortionModel",
    "filteroffset": "FilteroffsetModel",
    "flat": "FlatModel",
    "area": "PixelAreaModel",
    "photom": "{}ImgPhotomModel",
    "apcorr": "{}ImgApcorrModel",
    "abvegaoffset": "ABVegaOffsetModel",
}


def an_exposure(mode, detector, filter, pupil, subarray, seed=4, **changes):
    """The first exposure of a small programme."""
    preset = design("tiny", mode=mode, configurations=(((detector, filter, pupil),),), subarray=subarray, **changes)
    return make_programme(preset, seed=seed).exposures[0]


@pytest.mark.parametrize("detector", ["NIS", "MIRIMAGE", "GUIDER1", "GUIDER2"])
def test_distortions_are_those_of_the_apertures(detector):
    model, aperture = distortion_model(detector), full_aperture(detector)
    x, y = np.meshgrid(np.linspace(0, aperture.XSciSize - 1, 12), np.linspace(0, aperture.YSciSize - 1, 12))
    v2, v3 = model(x, y)
    expected = aperture.sci_to_tel(x + 1, y + 1)
    assert np.abs(v2 - expected[0]).max() < 1e-9
    assert np.abs(v3 - expected[1]).max() < 1e-9
    again = model.inverse(v2, v3)
    assert np.hypot(again[0] - x, again[1] - y).max() < 1e-3


@pytest.mark.parametrize("detector", ["NIS", "MIRIMAGE"])
def test_forms_of_distortions_are_those_of_real_files(detector, real_cache):
    asdf = pytest.importorskip("asdf")
    names = {"NIS": "niriss/jwst_niriss_distortion_0010.asdf", "MIRIMAGE": "miri/jwst_miri_distortion_0028.asdf"}
    with asdf.open(real_cache / "references/jwst" / names[detector]) as file:
        real, ours = file.tree["model"], distortion_model(detector)
        for one, other in ((real, ours), (real.inverse, ours.inverse)):
            kinds = [[type(part).__name__ for part in model] for model in (one, other)]
            if one is real or detector == "NIS":
                assert kinds[0] == kinds[1]
            else:  # the file has the second change of places in front
                assert sorted(kinds[0]) == sorted(kinds[1])
        with pytest.raises(NotImplementedError):
            _ = ours.bounding_box


def test_subarrays_are_where_the_siaf_has_them():
    for detector in ("NIS", "GUIDER1", "GUIDER2", "MIRIMAGE"):
        for subarray, (column, row, nx, ny) in SUBARRAYS[detector].items():
            # names of guiding, and fields of other modes, whose reference points are rounded or elsewhere
            if subarray[0].isdigit() or any(word in subarray for word in ("STRIP", "SUB80", "SLITLESS", "MASK")):
                continue
            geometry = DetectorGeometry(detector, subarray)
            assert (geometry.shape, geometry.start) == ((ny, nx), (column, row))
            aperture = geometry.aperture
            beside = geometry.reference_pixel[0] - aperture.XSciRef, geometry.reference_pixel[1] - aperture.YSciRef
            # the SIAF has SUB128 two rows off the flight's
            expected = (0, 2) if subarray == "SUB128" and detector == "MIRIMAGE" else (0, 0)
            assert beside == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=[f"{case[1]} {case[-1]}" for case in CASES])
def test_the_oracle_finds_the_pixels_of_the_sky(case, tmp_path):
    """A position on the sky through the keywords and references, against the SIAF and against the simulation."""
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    load_wcs = pytest.importorskip("jwst.assign_wcs.assign_wcs").load_wcs
    from pysiaf.utils.rotations import attitude_matrix, getv2v3

    mode, detector, filter_name, pupil, subarray = case
    exposure = an_exposure(*case)
    truth = make_imager_detector(detector, filter_name, pupil, seed=4, effects={"filter_offset"})
    references = {"distortion": tmp_path / "distortion.asdf", "filteroffset": None}
    options = {"errors": ReferenceErrors.zero(), "seed": 1}
    write_distortion(references["distortion"], detector, **options)
    if mode != "fgs_imaging":
        references["filteroffset"] = tmp_path / "filteroffset.asdf"
        write_filteroffset(references["filteroffset"], detector, {(filter_name, pupil): truth.filter_offset}, **options)
        assert truth.filter_offset != (0, 0)
    units = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(exposure.geometry.shape, np.float32), name="SCI")])
    for unit, groups in zip(units, (primary_keywords(exposure), science_keywords(exposure)), strict=True):
        unit.header.update({name: value for cards in groups.values() for name, value, _ in cards})
    units[0].header["DATAMODL"] = "ImageModel"
    units.writeto(tmp_path / "image.fits")
    geometry = DetectorGeometry(detector, subarray, truth.filter_offset)
    ny, nx = geometry.shape
    x, y = (
        values.ravel() for values in np.meshgrid(np.linspace(5, nx - 6, 7), np.linspace(5, ny - 6, 7), indexing="ij")
    )
    attitude = exposure.header_attitude
    ra, dec = geometry.pixel_to_sky(attitude, x, y)
    with datamodels.ImageModel(tmp_path / "image.fits") as model:
        wcs = load_wcs(model, {name: path and str(path) for name, path in references.items()}).meta.wcs
        found = wcs.invert(ra, dec, with_bounding_box=False)
        assert np.hypot(found[0] - x, found[1] - y).max() < 0.005

        # from the keywords alone, without aberration
        info = model.meta.wcsinfo
        matrix = attitude_matrix(info.v2_ref, info.v3_ref, info.ra_ref, info.dec_ref, info.roll_ref)
        model.meta.velocity_aberration.scale_factor = 1.0
        wcs = load_wcs(model, {name: path and str(path) for name, path in references.items()}).meta.wcs
        found = wcs.invert(ra, dec, with_bounding_box=False)
    v2, v3 = getv2v3(matrix, ra, dec)
    # the SIAF's inverse polynomials are good to 0.1 pixel only: the forward ones are evaluated at what was found
    again = full_aperture(detector).sci_to_tel(
        *(values + 1 + offset + (start - 1) for values, offset, start in
          zip(found, truth.filter_offset, geometry.start, strict=True))
    )  # fmt: skip
    scale = full_aperture(detector).XSciScale
    assert np.hypot(again[0] - v2, again[1] - v3).max() / scale < 0.005


@pytest.mark.parametrize("case", CASES, ids=[f"{case[1]} {case[-1]}" for case in CASES])
def test_a_star_has_the_flux_that_the_photometric_reference_gives_it(case, tmp_path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    table_of = pytest.importorskip("jwst.photom.time_dependence").get_correction_table
    mode, detector, filter_name, pupil, subarray = case
    imager = IMAGERS[mode]
    exposure = an_exposure(*case, star_density=0.0, galaxy_density=0.0)
    effects = {"time_loss", "filter_offset"}
    whole = make_imager_detector(detector, filter_name, pupil, seed=4, effects=effects)
    truth = exposed_truth(whole, exposure, effects)
    geometry = DetectorGeometry(detector, subarray, truth.filter_offset)
    ny, nx = geometry.shape
    where = (0.7 * nx, 0.45 * ny)
    ra, dec = geometry.pixel_to_sky(exposure.true_attitude, *(np.array([value]) for value in where))
    catalogue = Table({"id": [1], "kind": ["star"], "ra": ra, "dec": dec, f"flux_{exposure.band}": [1e-4]})
    scene = make_scene(catalogue, geometry, exposure.true_attitude, truth.cut(*geometry.start, nx, ny), background=0.0)
    assert scene.sources["inside"][0]

    rows = {"MIRI": (filter_name, subarray), "FGS": ()}.get(imager.instrument, (filter_name, pupil))
    factor = imager.subarray_factor(subarray, 4)
    conversions = {rows: whole.photmjsr * factor}
    if imager.instrument == "MIRI" and subarray != "FULL":
        conversions[filter_name, "FULL"] = whole.photmjsr
        assert abs(factor - 1) > 1e-4
    write_photom(tmp_path / "photom.fits", detector, conversions, errors=ReferenceErrors.zero(), seed=1)
    with datamodels.open(tmp_path / "photom.fits", strict_validation=True) as model:
        model.validate()
        assert type(model).__name__ == f"{imager.prefix}ImgPhotomModel"
        table = model.phot_table
        names = table.dtype.names[:-2]
        (row,) = (number for number in range(len(table)) if tuple(table[number][name] for name in names) == rows)
        value = float(table["photmjsr"][row])
        corrections = table_of(model, reference_keywords(exposure)["EXPMID"])
        assert (corrections[row] != 1) == (imager.instrument == "MIRI")
        assert 0.8 < corrections[row] <= 1
        value /= float(corrections[row])
    flat = truth.cut(*geometry.start, nx, ny).flat
    rates = scene.rate / truth.cut(*geometry.start, nx, ny).gain
    measured = np.sum((rates * geometry.solid_angle_map())[flat > 0], dtype=np.float64) * value * 1e6
    # what falls beside a small subarray, and the wings that end at 5.5 standard deviations
    lost = 1e-6 + 2 * (1 - encircled_energy(exposure.band, 0.3 * min(nx, ny) * geometry.full.XSciScale))
    assert 1 - lost < measured / 1e-4 < 1 + 1e-5


def test_a_decline_is_none_at_its_start_and_the_product_of_three_laws():
    decline = IMAGERS["miri_imaging"].declines["F2550W"]
    assert decline.at(START) == pytest.approx(1, abs=0.01)
    amplitude, tau, rest = decline.exponential
    year, soft, exponent = decline.power
    expected = (amplitude * np.exp(-730 / tau) + rest) * (1 - 2 * decline.linear)
    assert decline.at(START + 730) == pytest.approx(
        expected * (730 + soft) ** exponent / (365 + soft) ** exponent * year
    )
    assert IMAGERS["niriss_imaging"].response("CLEAR", "F150W", START + 730) == 1


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Programmes and their reference files, made as they are asked for."""
    made = {}

    def get(mode):
        if mode not in made:
            filters = {"niriss_imaging": (("NIS", "CLEAR", "F200W"), ("NIS", "F380M", "CLEARP"))}
            filters |= {"miri_imaging": (("MIRIMAGE", "F560W", "N/A"), ("MIRIMAGE", "F2100W", "N/A"))}
            changes = {"configurations": tuple((entry,) for entry in filters[mode])} if mode in filters else {}
            preset = design("tiny", mode=mode, dithers=1, ngroups=2, **changes)
            programme = make_programme(preset, seed=2)
            root = write_references(tmp_path_factory.mktemp(mode), programme, default_effects(mode))
            made[mode] = programme, root
        return made[mode]

    return get


@pytest.mark.parametrize("mode", OTHERS)
def test_every_type_of_all_stages_is_selected_and_opens(mode, caches, tmp_path, monkeypatch):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path))
    programme, root = caches(mode)
    instrument, prefix = IMAGERS[mode].instrument, IMAGERS[mode].prefix
    wanted = STAGE_1[instrument] | LATER | ({"filteroffset"} if instrument != "FGS" else set())
    headers = {exposure.root: reference_keywords(exposure) for exposure in programme.exposures}
    found = select_names(headers, wanted, CONTEXT, root)
    folder = root / "references/jwst" / instrument.lower()
    for exposure in programme.exposures:
        names = found[exposure.root]
        assert {reftype for reftype, name in names.items() if name} == wanted
        with datamodels.open(folder / names["flat"]) as flat:
            assert (flat.meta.instrument.filter or "N/A") == exposure.filter
        for reftype, model in MODELS.items():
            if reftype not in wanted:
                continue
            if names[reftype].endswith(".asdf"):
                opened = getattr(datamodels, model)(folder / names[reftype], strict_validation=True)
            else:
                opened = datamodels.open(folder / names[reftype], strict_validation=True)
            with opened:
                opened.validate()
                assert type(opened).__name__ == model.format(prefix)
    assert select_names(headers, {"ipc"}, CONTEXT, root)[programme.exposures[0].root]["ipc"] is None


@pytest.mark.parametrize("mode", OTHERS)
def test_the_oracles_catalogue_finds_its_apertures(mode, caches):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    reference_data = pytest.importorskip("jwst.source_catalog.reference_data").ReferenceData
    programme, root = caches(mode)
    instrument = IMAGERS[mode].instrument
    folder = root / "references/jwst" / instrument.lower()
    paths = [str(next(folder.glob(f"*_{reftype}_9001.*"))) for reftype in ("apcorr", "abvegaoffset")]
    for exposure in programme.exposures:
        with datamodels.ImageModel((10, 10)) as image:
            image.meta.instrument.name, image.meta.instrument.detector = instrument, exposure.detector
            if instrument != "FGS":
                image.meta.instrument.filter = exposure.filter
            if instrument == "NIRISS":
                image.meta.instrument.pupil = exposure.pupil
            image.meta.subarray.name = exposure.subarray
            image.meta.resample.pixel_scale_ratio = 1.0
            found = reference_data(image, paths, (30, 50, 70))
            radii = found.aperture_params["aperture_radii"]
            scale = exposure.geometry.full.XSciScale
            energy = encircled_energy(exposure.band, radii * scale, pixel=scale)
            np.testing.assert_allclose(energy, (0.3, 0.5, 0.7), atol=2e-4)
            assert 0.2 < found.abvega_offset < 7


def test_stars_of_undersampled_bands_are_looked_for_as_they_are(caches, tmp_path, monkeypatch):
    """F200W of NIRISS, whose stars are narrower than a pixel, has parameters of its own; F380M has not."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path))
    programme, root = caches("niriss_imaging")
    headers = {exposure.root: reference_keywords(exposure) for exposure in programme.exposures}
    layers = select_parameters(headers, ["tweakreg"], CONTEXT, root)
    for exposure in programme.exposures:
        found = [parameters for _, parameters in layers[exposure.root]]
        expected = {"kernel_fwhm": 1.5, "sharplo": 0.0, "sharphi": 5.0, "roundhi": 1.0}
        assert found == ([{"tweakreg": expected}] if exposure.band == "F200W" else [])


def test_apertures_of_a_subarray_are_those_of_the_full_frame(tmp_path):
    write_apcorr(tmp_path / "apcorr.fits", [("F770W", "FULL"), ("F770W", "SUB256")], instrument="MIRI")
    table = Table.read(tmp_path / "apcorr.fits", hdu="APCORR")
    full, part = (table[table["subarray"] == name] for name in ("FULL", "SUB256"))
    np.testing.assert_array_equal(full["radius"], part["radius"])


def test_miris_imaging_field_ends_at_the_coronagraphs():
    truth = make_imager_detector("MIRIMAGE", "F770W", seed=1)
    illuminated = siaf_of("MIRIMAGE")["MIRIM_ILLUM"]
    columns, _ = illuminated.corners("det")
    first = int(np.ceil(columns.min())) - 1
    unlit = (truth.bad & np.uint32(1 << 9)) != 0
    assert not unlit[:, first:].any()
    assert unlit[:, 350:first].any()
    assert np.all(truth.flat[unlit] == 0)
    column, row, nx, ny = SUBARRAYS["MIRIMAGE"]["SUB64"]
    assert not unlit[row - 1 : row - 1 + ny, column + 3 : column - 1 + nx].any()


def test_the_sky_and_the_background_of_miri(tmp_path):
    effects = default_effects("miri_imaging") - {"one_over_f"}
    paths = simulate(
        "miri_imaging",
        tmp_path,
        preset="tiny",
        seed=3,
        effects=effects,
        references=False,
        dithers=2,
        ngroups=4,
        background_dithers=1,
    )
    assert [path.name[:13] for path in paths] == ["jw01234001001"] * 2 + ["jw01234002001"]
    headers = [fits.getheader(path) for path in paths]
    assert [header["BKGDTARG"] for header in headers] == [False, False, True]
    assert [header["TARGNAME"] for header in headers] == ["SIMULATED-FIELD"] * 2 + ["SIMULATED-BACKGROUND"]
    for header in headers:
        found = [header[key] for key in ("INSTRUME", "EXP_TYPE", "FILTER", "SUBARRAY", "CCCSTATE", "SUBSTRT1")]
        assert found == ["MIRI", "MIR_IMAGE", "F770W", "SUB256", "OPEN", 413]
        assert "PUPIL" not in header
    exposures = Table.read(tmp_path / "truth/exposures.ecsv", format="ascii.ecsv")
    assert list(exposures["background"]) == [6.5] * 3
    sky = Table.read(tmp_path / "truth/sources.ecsv", format="ascii.ecsv")
    seen = [Table.read(tmp_path / "truth" / path.name.replace("uncal.fits", "sources.ecsv"), format="ascii.ecsv")
            for path in paths]  # fmt: skip
    assert np.sum(seen[2]["inside"]) < 0.4 * np.sum(seen[0]["inside"])
    with fits.open(tmp_path / "truth" / paths[0].name.replace("uncal", "truth")) as truth, fits.open(paths[0]) as raw:
        assert raw["REFOUT"].data.shape == (1, 4, 256, 64)
        brightness = truth["BRIGHTNESS"].data
        assert np.median(brightness) == pytest.approx(6.5, rel=0.05)
        # stars lie where the table says, and are as bright
        inside = seen[0][np.asarray(seen[0]["inside"])]
        flux = sky["flux_F770W"][np.searchsorted(sky["id"], inside["id"])]
        np.testing.assert_array_equal(flux, inside["flux"])
        star = inside[np.argmax(np.where(np.isin(inside["id"], sky["id"][sky["kind"] == "star"]), inside["flux"], 0))]
        x, y = round(star["x"]), round(star["y"])
        window = brightness[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        assert brightness[y, x] == window.max()


def test_the_sky_of_another_field_is_drawn_for_it():
    preset = design("tiny", mode="miri_imaging", background_dithers=2)
    programme = make_programme(preset, seed=1)
    catalogue = programme_sky(programme, {"sources"})
    away = np.abs(catalogue["dec"] - preset.background_target.dec) < 0.02
    assert 0 < away.sum() < 0.15 * len(catalogue)


@pytest.mark.parametrize(
    ("mode", "changes", "message"),
    [
        ("niriss_imaging", {"preset": PRESETS["miri_imaging"]["tiny"]}, "instrument: 'MIRI'; mode niriss_imaging is of NIRISS"),
        ("niriss_imaging", {"pattern": "RAPID"}, "unknown readout pattern 'RAPID'; valid: NISRAPID, NIS"),
        ("niriss_imaging", {"configurations": ((("NIS", "CLEAR", "F212N"),),)}, "unknown NIRISS filter 'CLEAR' with"),
        ("miri_imaging", {"configurations": ((("MIRIMAGE", "F200W", "N/A"),),)}, "unknown MIRI filter 'F200W'"),
        ("miri_imaging", {"background_dithers": 31}, "background_dithers: 31; valid: 0 to 30"),
    ],
)  # fmt: skip
def test_bad_designs_are_refused(mode, changes, message):
    with pytest.raises(ConfigError, match=message):
        design(**{"preset": "tiny"} | changes, mode=mode)
