"""Read-outs, clocks and orientation of MIRI, NIRISS, NIRSpec and FGS."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.errors import ConfigError
from snakewebb.simulate import irs2, miri_readout
from snakewebb.simulate.imagers import IMAGERS
from snakewebb.simulate.instrument_truth import make_instrument_detector
from snakewebb.simulate.instruments import CHIPS, SUBARRAYS, corners, make_readout
from snakewebb.simulate.raw_modes import RAW_PRESETS, raw_design, raw_programme
from snakewebb.simulate.raw_simulation import DEFAULT_EFFECTS, expose_raw
from snakewebb.simulate.stripes import STRIPES
from snakewebb.simulate.truth import simulate
from snakewebb.simulate.wiring import Orientation


@pytest.mark.parametrize(
    ("detector", "subarray", "pattern", "seconds"),
    [
        # frame times of the observatory's documentation
        ("MIRIMAGE", "FULL", "FASTR1", 2.77504),
        ("MIRIMAGE", "FULL", "SLOWR1", 23.88992),
        ("MIRIMAGE", "BRIGHTSKY", "FASTR1", 0.86528),
        ("MIRIMAGE", "SUB256", "FASTR1", 0.29952),
        ("MIRIMAGE", "SUB128", "FASTR1", 0.11904),
        ("MIRIMAGE", "SUB64", "FASTR1", 0.08512),
        ("MIRIMAGE", "SLITLESSPRISM", "FASTR1", 0.15904),
        ("MIRIMAGE", "MASKLYOT", "FASTR1", 0.324),
        ("MIRIMAGE", "MASK1140", "FASTR1", 0.23968),
        ("NIS", "FULL", "NISRAPID", 10.73676),
        ("NIS", "SUBSTRIP256", "NISRAPID", 5.494),
        ("NIS", "SUBSTRIP96", "NISRAPID", 2.214),
        ("NIS", "SUB64", "NISRAPID", 0.05016),
        ("NRS1", "FULL", "NRSRAPID", 10.73676),
        ("NRS1", "FULL", "NRSIRS2RAPID", 14.58888),
        ("NRS2", "ALLSLITS", "NRSRAPID", 5.49132),
        ("NRS1", "SUBS200A1", "NRSRAPID", 1.55724),
        ("NRS1", "SUB512", "NRSRAPID", 0.22572),
        ("GUIDER2", "128X128", "ACQ1", 0.182),
    ],
)
def test_frame_times(detector, subarray, pattern, seconds):
    assert make_readout(detector, subarray, pattern, 2, 1).frame_time == pytest.approx(seconds, abs=2e-5)


@pytest.mark.parametrize(
    ("pattern", "subarray", "frames", "message"),
    [
        ("NISRAPID", "FULL", 3, "READPATT 'NISRAPID' is not one of MIRI's: FASTR1, SLOWR1, FASTGRPAVG"),
        ("FASTR1", "SUB320", 3, "MIRIMAGE has no subarray 'SUB320'; valid: FULL, BRIGHTSKY"),
    ],
)
def test_what_an_instrument_does_not_have_is_refused(pattern, subarray, frames, message):
    with pytest.raises(ConfigError, match=message):
        make_readout("MIRIMAGE", subarray, pattern, frames, 1)


def test_subarrays_lie_on_their_detectors():
    for detector, subarrays in SUBARRAYS.items():
        ny, nx = CHIPS[detector].shape
        for name in subarrays:
            column, row, width, height = STRIPES[name].whole if name in STRIPES else corners(detector, name)
            assert column + width - 1 <= nx, (detector, name)
            assert row + height - 1 <= ny, (detector, name)


@pytest.mark.parametrize("axes", [(2, 1), (-2, -1), (2, -1), (-2, 1)])
def test_turning_forth_and_back(axes):
    image = np.arange(15).reshape(3, 5)
    orientation = Orientation(*axes)
    turned = orientation.to_detector(image)
    np.testing.assert_array_equal(orientation.to_science(turned), image)
    # the pixel that is read first, and the one that follows it
    row, column = (0 if axes[0] > 0 else 2), (0 if axes[1] > 0 else 4)
    assert turned[0, 0] == image[row, column]
    assert turned[0, 1] == image[row + (1 if axes[0] > 0 else -1), column]


@pytest.fixture
def exposed():
    """Take an exposure of a tiny preset: ``exposed(mode, effects, **changes)``."""

    def take(mode, effects, **changes):
        programme = raw_programme(raw_design(mode, "tiny", **changes), seed=4)
        exposure = programme.exposures[0]
        return exposure, *expose_raw(exposure, frozenset(effects))

    return take


def test_niriss_rows_run_along_columns_of_the_files(exposed):
    _, raw, _, _ = exposed("niriss_soss", {"amplifier_offsets"}, subarray="SUB64", ngroups=3)
    # one output: the offset depends on the parity of the place along the direction of reading only
    for group in raw.data[0]:
        assert len(np.unique(group[0::2])) == 1
        assert len(np.unique(group[1::2])) == 1
    _, raw, _, _ = exposed("niriss_imaging", {"one_over_f"}, ngroups=30)
    lines = raw.data[0].astype(float)
    assert lines.mean(axis=1).std() > 2 * (lines - lines.mean(axis=1)[:, None]).mean(axis=2).std()


def test_light_arrives_at_its_pixel(exposed):
    for mode in ("niriss_imaging", "nirspec_fs", "fgs_imaging", "miri_imaging"):
        exposure, raw, rate, truth = exposed(mode, {"scene"})
        readout = exposure.readout
        signal = (raw.data[0, -1].astype(float) - raw.data[0, 0]) * truth.gain
        expected = rate * readout.frame_time * (readout.frames - 1)
        np.testing.assert_allclose(signal, expected, rtol=0, atol=4.0)


def test_cosmic_rays_are_where_the_table_says(exposed, monkeypatch):
    monkeypatch.setattr("snakewebb.simulate.particles._COSMIC_RAYS_PER_SECOND", 2e-2)
    _, raw, _, truth = exposed("niriss_imaging", {"cosmic_rays"}, subarray="SUB128", ngroups=8)
    jumps = np.diff(raw.data[0].astype(float), axis=0).sum(axis=0) * truth.gain
    rays = raw.cosmic_rays
    rays = rays[(rays["electrons"] > 800) & (rays["length"] < 1) & (rays["group"] > 0)]
    x, y = np.rint(rays["x"]).astype(int), np.rint(rays["y"]).astype(int)
    inside = (x > 6) & (x < 120) & (y > 6) & (y < 120)
    near = [jumps[b - 2 : b + 3, a - 2 : a + 3].sum() for a, b in zip(x[inside], y[inside], strict=True)]
    assert inside.sum() >= 3
    assert min(near) > 400


def test_interference_has_its_frequency(exposed):
    exposure, raw, _, _ = exposed("miri_imaging", {"emi"}, ngroups=40)
    readout = exposure.readout
    pixel, clocks = 4 * 9, []
    for frame in range(40):
        clocks.append(frame * readout.frame_clocks + np.arange(64)[:, None] * readout.row_clocks + 9)
    seconds = np.concatenate(clocks).ravel() * 1e-5
    signal = raw.data[0, :, :, pixel].astype(float).ravel() - raw.data[0, :, :, pixel].mean()
    for name, (frequency, amplitude) in miri_readout.EMI_FREQUENCIES.items():
        wave = 2 * np.mean(signal * np.exp(-2j * np.pi * frequency * seconds))
        assert abs(wave) == pytest.approx(amplitude, rel=0.1)
        # amplitude sin(2 pi f t + phase)
        turned = np.angle(wave) + np.pi / 2 - raw.phases[name]
        assert abs((turned + np.pi) % (2 * np.pi) - np.pi) < 0.15


def test_mid_infrared_outputs_are_interleaved(exposed):
    _, raw, _, _ = exposed("miri_imaging", {"amplifier_offsets"}, ngroups=2)
    columns = raw.data[0, 0].astype(int)
    assert all(len(np.unique(columns[:, output::4])) == 1 for output in range(4))
    assert len(np.unique(columns)) > 1
    assert raw.refout.shape == (2, 2, 64, 18)


def test_interleaved_layout_is_that_of_the_oracle():
    reference = pytest.importorskip("jwst.refpix.irs2_subtract_reference")
    pixels = reference.make_irs2_mask(3200, 2048, 16, 4)
    np.testing.assert_array_equal(np.flatnonzero(pixels), irs2.pixel_columns())
    others = np.setdiff1d(np.arange(640, 3200), irs2.pixel_columns())
    np.testing.assert_array_equal(others, irs2.reference_columns())


def test_clocks_of_interleaved_samples():
    clocks, sources = irs2.column_clocks()
    assert np.all(np.bincount(sources) == 640)
    # outputs are read at the same time, neighbours in opposite directions, and eight clocks of a row are left
    for source in range(5):
        one = clocks[sources == source]
        assert (one[0], one[-1]) == ((703, 0) if source % 2 == 0 else (0, 703))
        assert len(np.unique(one)) == 640
    # eight pixels, a clock, four reference pixels, a clock, eight pixels
    np.testing.assert_array_equal(np.diff(clocks[640:664]), [1] * 7 + [2, 1, 1, 1, 2] + [1] * 11)


def test_weights_find_the_noise_of_the_reference_output():
    found = irs2.weights(1, read_noise=1e-3)
    frequency = np.fft.fftfreq(irs2.ROWS * irs2.ROW_CLOCKS)
    seen = (abs(frequency) > 1e-3) & (abs(frequency) < 1e-2)
    # without noise of their own the reference pixels tell everything; 8 of 22 clocks have one
    assert np.median(abs(found.beta[seen])) == pytest.approx(22 / 8, rel=1e-3)
    blind = irs2.weights(1, read_noise=1e6)
    gain = irs2.transfer(1, frequency[seen])
    assert np.median(abs(blind.alpha[seen] / gain)) == pytest.approx(1, abs=0.2)
    assert abs(blind.beta[seen]).max() < 1e-3
    # of real noise
    index = np.flatnonzero(seen)[:50]
    np.testing.assert_allclose(found.alpha[-index], found.alpha[index].conj(), rtol=1e-5)


def test_detectors_are_reproducible():
    first = make_instrument_detector("NRS1", seed=3, pattern="NRSIRS2")
    second = make_instrument_detector("NRS1", seed=3, pattern="NRSIRS2")
    np.testing.assert_array_equal(first.frame["bias"], second.frame["bias"])
    assert first.frame["bias"].shape == (3200, 2048)
    other = make_instrument_detector("NRS1", seed=4)
    assert not np.array_equal(first.gain, other.gain)
    assert other.frame == {}


def test_the_same_numbers_with_any_number_of_threads(exposed):
    effects = DEFAULT_EFFECTS | {"snowballs", "showers", "persistence", "charge_migration", "ipc"}
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(exposed("miri_imaging", effects)[1])
    np.testing.assert_array_equal(results[0].data, results[1].data)
    np.testing.assert_array_equal(results[0].refout, results[1].refout)


@pytest.mark.parametrize("mode", [mode for mode in RAW_PRESETS if mode not in ("nirspec_irs2", "miri_mrs")])
def test_raw_files_are_valid(mode, tmp_path):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    one = {"dithers": 1} if mode in IMAGERS else {}
    (path,) = simulate(mode, tmp_path, preset="tiny", seed=2, references=False, **one)
    with datamodels.open(path) as model:
        assert type(model).__name__ == "Level1bModel"
        model.validate()
        assert model.meta.exposure.type == RAW_PRESETS[mode]["tiny"].exp_type
        assert model.meta.visit.tsovisit == (mode == "niriss_soss")
        assert len(model.int_times) == model.meta.exposure.nints
        assert model.meta.wcsinfo.roll_ref is not None
        extra = model.extra_fits.instance if model.hasattr("extra_fits") else {}
    keywords = [card[0] for unit in extra.values() for card in unit.get("header", [])]
    assert set(keywords) - {"CHECKSUM", "DATASUM", ""} <= {"NEXTEND"}
    root = path.name.removesuffix("_uncal.fits")
    with fits.open(tmp_path / "truth" / f"{root}_truth.fits") as truth, fits.open(path) as raw:
        assert truth["RATE"].data.shape == raw["SCI"].data.shape[-2:]
        assert raw[0].header["SUBSIZE2"] == raw["SCI"].data.shape[-2]


def test_a_transit_dims_the_star(exposed):
    _, raw, _, _ = exposed("niriss_soss", {"scene", "superbias"}, nints=8, ngroups=2, transit_depth=0.5)
    light = (raw.data[:, 1].astype(float) - raw.data[:, 0])[:, 20:80].sum(axis=(1, 2))
    assert light[3] / light[0] == pytest.approx(0.5, abs=0.02)
    assert light[-1] / light[0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("preset", "names"), [("tiny", ["gs-acq1", "gs-acq2", "gs-fg"])])
def test_guiding(tmp_path, preset, names):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    paths = simulate("guider", tmp_path, preset=preset, references=False)
    assert [path.name.split("_")[1] for path in paths] == names
    with datamodels.GuiderRawModel(paths[0]) as model:
        model.validate()
        assert model.data.shape == (6, 2, 128, 128)
        assert model.meta.exposure.type == "FGS_ACQ1"
        assert model.planned_star_table["count_rate"][0] == 2e4


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown preset 'huge'; valid: tiny, small, full"):
        simulate("miri_imaging", tmp_path, preset="huge")
    with pytest.raises(ConfigError, match="unknown setting 'dithers' of a programme; valid: detectors"):
        simulate("niriss_soss", tmp_path, preset="tiny", dithers=3)
    with pytest.raises(ConfigError, match="unknown effect 'emmi'; did you mean 'emi'"):
        simulate("miri_imaging", tmp_path, preset="tiny", effects={"emmi"})
