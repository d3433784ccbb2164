"""Reading of uncal files, and what is said of bad ones."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.errors import BadDataError
from snakewebb.io.fits import write
from snakewebb.io.uncal import read_ramp
from snakewebb.plan.keywords import RAMP_KEYWORDS


@pytest.fixture
def units(make_ramp):
    """Units of a good uncal file of 2 integrations, 3 groups, 33 x 35 pixels (an odd number of samples)."""
    rng = np.random.default_rng(1)
    samples = rng.integers(0, 65536, (1, 3, 33, 35)).astype(np.uint16)
    samples[0, 0, 0, :4] = 0, 65535, 32767, 32768
    header = make_ramp(samples, zeroframe=samples[:, 0], SUBARRAY="SUB64P").header
    times = fits.BinTableHDU.from_columns(
        [
            fits.Column("integration_number", "J", array=[1]),
            fits.Column("int_mid_MJD_UTC", "D", array=[60000.5]),
        ],
        name="INT_TIMES",
    )
    primary = fits.PrimaryHDU(header=header)
    primary.header["DATAMODL"] = "Level1bModel"
    return [
        primary,
        fits.ImageHDU(samples, name="SCI"),
        fits.ImageHDU(samples[:, 0], name="ZEROFRAME"),
        times,
    ]


@pytest.mark.parametrize("writer", ["astropy", "own"])
def test_samples_and_tables_are_read(units, tmp_path, writer):
    path = tmp_path / "a_uncal.fits"
    samples = units[1].data.copy()
    if writer == "own":
        write(path, units)
    else:
        fits.HDUList(units).writeto(path)
    ramp = read_ramp(path)
    assert ramp.data.dtype == np.float32
    np.testing.assert_array_equal(ramp.data, samples.astype(np.float32))
    np.testing.assert_array_equal(ramp.zeroframe, samples[:, 0].astype(np.float32))
    assert ramp.groupdq.shape == samples.shape
    assert ramp.groupdq.dtype == np.uint8
    assert ramp.pixeldq.shape == samples.shape[2:]
    assert ramp.int_times["int_mid_MJD_UTC"][0] == 60000.5
    assert ramp.group is None
    assert ramp.subarray == (1, 1, 35, 33)


def test_zeroframe_only_if_the_header_says_so(units, tmp_path):
    units[0].header["ZEROFRAM"] = False
    fits.HDUList(units).writeto(tmp_path / "a_uncal.fits")
    assert read_ramp(tmp_path / "a_uncal.fits").zeroframe is None


def test_the_reference_output_is_verified(units, tmp_path):
    """MIRI's; no step needs it."""
    path = tmp_path / "a_uncal.fits"
    refout = np.random.default_rng(4).integers(0, 65536, (1, 3, 301, 180)).astype(np.uint16)
    write(path, [*units, fits.ImageHDU(refout, name="REFOUT")])
    np.testing.assert_array_equal(read_ramp(path).data, units[1].data)
    with fits.open(path, mode="readonly") as opened:
        place = opened["REFOUT"]._data_offset + 100_000
    with open(path, "r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 4]))
    with pytest.raises(BadDataError, match=r"REFOUT\]: DATASUM is .* the file is corrupt"):
        read_ramp(path)


def test_any_number_of_threads_gives_the_same(units, tmp_path):
    big = np.random.default_rng(2).integers(0, 65536, (1, 3, 300, 400)).astype(np.uint16)
    units[0].header.update({"SUBSIZE1": 400, "SUBSIZE2": 300, "ZEROFRAM": False})
    write(tmp_path / "a_uncal.fits", [units[0], fits.ImageHDU(big, name="SCI")])
    for threads in (1, 2):
        set_threads(threads)
        np.testing.assert_array_equal(read_ramp(tmp_path / "a_uncal.fits").data, big)


def test_a_segment_has_fewer_integrations_than_nints(units, tmp_path):
    units[0].header.update({"NINTS": 7, "INTSTART": 3, "INTEND": 3})
    fits.HDUList(units).writeto(tmp_path / "a_uncal.fits")
    assert read_ramp(tmp_path / "a_uncal.fits").data.shape[0] == 1


def test_missing_keywords_are_all_named(units, tmp_path):
    for key in ("NGROUPS", "FASTAXIS", "DATE-OBS"):
        del units[0].header[key]
    units[0].header["TGROUP"] = None
    fits.HDUList(units).writeto(tmp_path / "a_uncal.fits")
    with pytest.raises(BadDataError, match="lacks DATE-OBS, FASTAXIS, NGROUPS, TGROUP;"):
        read_ramp(tmp_path / "a_uncal.fits")
    assert {"NGROUPS", "FASTAXIS", "DATE-OBS", "TGROUP"} <= set(RAMP_KEYWORDS)


def test_impossible_values_are_all_named(units, tmp_path):
    units[0].header.update({"NFRAMES": 0, "TGROUP": "ten", "SLOWAXIS": 3})
    fits.HDUList(units).writeto(tmp_path / "a_uncal.fits")
    with pytest.raises(BadDataError, match=r"NFRAMES = 0 .*TGROUP = 'ten' .*SLOWAXIS = 3 "):
        read_ramp(tmp_path / "a_uncal.fits")
    units[0].header.update({"NFRAMES": 1, "TGROUP": 10.7, "SLOWAXIS": 1})
    fits.HDUList(units).writeto(tmp_path / "b_uncal.fits")
    with pytest.raises(BadDataError, match="expected different axes"):
        read_ramp(tmp_path / "b_uncal.fits")


def test_shapes_that_disagree_are_all_named(units, tmp_path):
    units[0].header.update({"NGROUPS": 4, "SUBSIZE1": 2048, "NINTS": 2})
    fits.HDUList(units).writeto(tmp_path / "a_uncal.fits")
    with pytest.raises(
        BadDataError, match="NINTS = 2 but the array has 1; NGROUPS = 4 but the array has 3; SUBSIZE1 = 2048"
    ):
        read_ramp(tmp_path / "a_uncal.fits")


def test_zeroframe_that_is_missing_or_of_another_shape(units, tmp_path):
    fits.HDUList(units[:2]).writeto(tmp_path / "a_uncal.fits")
    with pytest.raises(BadDataError, match="ZEROFRAM is true but extension ZEROFRAME is missing"):
        read_ramp(tmp_path / "a_uncal.fits")
    units[2] = fits.ImageHDU(np.zeros((1, 33, 34), np.uint16), name="ZEROFRAME")
    fits.HDUList(units).writeto(tmp_path / "b_uncal.fits")
    with pytest.raises(BadDataError, match=r"ZEROFRAME\]: shape \(1, 33, 34\)"):
        read_ramp(tmp_path / "b_uncal.fits")


def test_missing_sci(units, tmp_path):
    fits.HDUList([units[0], units[3]]).writeto(tmp_path / "a_uncal.fits")
    with pytest.raises(BadDataError, match=r"SCI is missing \(extensions found: INT_TIMES\)"):
        read_ramp(tmp_path / "a_uncal.fits")


def test_wrong_level_and_wrong_type(units, tmp_path):
    units[0].header["DATAMODL"] = "ImageModel"
    rate = [units[0], fits.ImageHDU(np.zeros((33, 35), np.float32), name="SCI")]
    fits.HDUList(rate).writeto(tmp_path / "a_rate.fits")
    with pytest.raises(BadDataError, match=r"not an uncal file but a later product \(DATAMODL ImageModel"):
        read_ramp(tmp_path / "a_rate.fits")
    floats = [units[0], fits.ImageHDU(np.zeros((1, 3, 33, 35), np.float32), name="SCI")]
    fits.HDUList(floats).writeto(tmp_path / "b_uncal.fits")
    with pytest.raises(BadDataError, match="BITPIX -32 and BZERO 0 found"):
        read_ramp(tmp_path / "b_uncal.fits")


@pytest.mark.parametrize("unit", ["SCI", "ZEROFRAME", "INT_TIMES"])
def test_corrupt_data_are_found_by_their_checksum(units, tmp_path, unit):
    path = tmp_path / "a_uncal.fits"
    write(path, units)
    with fits.open(path) as opened:
        start = opened[unit].fileinfo()["datLoc"]
    with open(path, "r+b") as stream:
        stream.seek(start)
        byte = stream.read(1)
        stream.seek(start)
        stream.write(bytes([byte[0] ^ 0x40]))
    with pytest.raises(BadDataError, match=rf"{unit}\]: DATASUM is \d+ but the data give \d+: the file is corrupt"):
        read_ramp(path)


def test_files_that_are_not_fits(units, tmp_path):
    path = tmp_path / "a_uncal.fits"
    path.write_bytes(b"")
    with pytest.raises(BadDataError, match=r"empty \(0 bytes\)"):
        read_ramp(path)
    path.write_text("<html>Not found</html>")
    with pytest.raises(BadDataError, match="not a FITS file, it is a web page"):
        read_ramp(path)
    with pytest.raises(BadDataError, match="cannot be read"):
        read_ramp(tmp_path / "absent_uncal.fits")
    whole = tmp_path / "whole_uncal.fits"
    write(whole, units)
    path.write_bytes(whole.read_bytes()[:9000])
    with pytest.raises(BadDataError, match="truncated"):
        read_ramp(path)
