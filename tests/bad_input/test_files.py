"""Input files that are damaged, incomplete or contradict themselves, from the plan to the job of stage 1.

The numbers of the cases are those of the catalogue of faults, 1 to 20. A file is left out by the plan, or refused by its job with the
code of bad data, or calibrated; in all cases it stays as it is and nothing half-written is left.
"""

import json
import re
import runpy

import numpy as np
import pytest
from astropy.io import fits

from raw_exposures import REPOSITORY, SIZE, raw_name, write_raw
from snakewebb.errors import BadDataError
from snakewebb.job import job
from snakewebb.plan.keywords import RAMP_KEYWORDS
from snakewebb.plan.summary import summary_lines

MODE, KIND = "niriss_ami", "NIS_AMI"
ROOT = raw_name(KIND).removesuffix("_uncal.fits")


def cut(count):
    return lambda path: path.write_bytes(path.read_bytes()[:count])


def cut_at_sci(path):
    """In the middle of the header of SCI."""
    start = path.read_bytes().index(b"XTENSION")
    cut(start + 400)(path)


def content(data):
    return lambda path: path.write_bytes(data)


def card(keyword, value, unit=b"XTENSION"):
    """Replace the value of a card as it stands in the file, in the first unit that begins with ``unit``."""

    def damage(path):
        data = path.read_bytes()
        place = data.index(keyword.encode().ljust(8) + b"= ", data.index(unit))
        path.write_bytes(data[:place] + f"{keyword:8}= {value:>20}".ljust(80).encode() + data[place + 80 :])

    return damage


def cards(*pairs):
    def damage(path):
        for pair in pairs:
            card(*pair)(path)

    return damage


def primary(**keywords):
    """Set keywords of the primary header; ``None`` removes one."""

    def damage(path):
        with fits.open(path, mode="update") as units:
            for key, value in keywords.items():
                key = key.replace("_OBS", "-OBS")
                if value is None:
                    del units[0].header[key]
                else:
                    units[0].header[key] = value

    return damage


def sci(change, **keywords):
    """Write SCI anew, with ``change(data)``, and set keywords."""

    def damage(path):
        with fits.open(path, memmap=False) as units:
            header, data = units[0].header.copy(), units["SCI"].data.copy()
        header.update(keywords)
        fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(change(data), name="SCI")]).writeto(
            path, overwrite=True
        )

    return damage


def flip(path):
    data = bytearray(path.read_bytes())
    data[-4000] ^= 4
    path.write_bytes(data)


def flip_with_checksum(path):
    with fits.open(path, memmap=False) as units:
        units.writeto(path, overwrite=True, checksum=True)
    flip(path)


def without_sci(path):
    with fits.open(path, memmap=False) as units:
        fits.HDUList([units[0], fits.ImageHDU(np.ones((2, 2)), name="GROUP")]).writeto(path, overwrite=True)


def rate(path):
    """Slopes under the name of a raw file."""
    with fits.open(path, memmap=False) as units:
        header = units[0].header.copy()
    header["DATAMODL"] = "ImageModel"
    plane = np.ones((SIZE, SIZE), np.float32)
    units = [fits.PrimaryHDU(header=header), *(fits.ImageHDU(plane, name=name) for name in ("SCI", "ERR", "DQ"))]
    fits.HDUList(units).writeto(path, overwrite=True)


def trailing(path):
    path.write_bytes(path.read_bytes() + b"\x07" * 3333)


def as_type(dtype):
    return sci(lambda data: data.astype(dtype))


DAMAGED = r"\[SCI\]: truncated, \d+ bytes expected but the file has \d+; download it again"
NO_END = r"the header of unit {} has no END card, so the file of \d+ bytes is truncated or corrupt; download it again"
SHAPE = r"\[SCI\]: an array of shape {} found, expected \(integrations, groups, rows, columns\), none of them 0; give the raw file"
SAMPLES = (
    r"\[SCI\]: BITPIX {} and BZERO 0 found, but an uncal file holds unsigned 16-bit samples \(BITPIX 16, BZERO 32768\)"
)
WHOLE = r"impossible values in the primary header: {} \(expected a whole number, at least {}\); correct them"

# files that the plan leaves out: damage, reason
LEFT_OUT = {
    "1 last block cut off": (lambda path: cut(-2880)(path), DAMAGED),
    "2 cut in the primary header": (cut(1000), NO_END.format(0)),
    "2 cut in the header of SCI": (cut_at_sci, NO_END.format(1)),
    "3 empty": (content(b""), r"the file is empty \(0 bytes\); download it again"),
    "3 web page": (content(b"<!DOCTYPE html><html>404</html>"), "not a FITS file, it is a web page; download"),
    "3 XML": (content(b"<?xml version='1.0'?><Error/>"), "not a FITS file, it is a web page; download"),
    "3 gzip": (content(b"\x1f\x8b\x08" + bytes(99)), r"is compressed with gzip \(decompress it first\)"),
    "3 foreign": (content(b"PK\x03\x04" + bytes(99)), r"not a FITS file, it begins with b'PK"),
    "6 NAXIS1 huge": (card("NAXIS1", 1 << 40), DAMAGED),
    "6 beyond 64 bits": (cards(*((f"NAXIS{axis}", 1 << 31) for axis in (1, 2, 3, 4))), DAMAGED),
    "6 NAXIS1 negative": (card("NAXIS1", -32), r"impossible sizes \(BITPIX 16, axes \[-32, 32, 5, 1\]\)"),
    "6 NAXIS1 not a number": (card("NAXIS1", "NaN"), "the header lacks a size keyword .*NAXIS1"),
    "6 NAXIS too large": (card("NAXIS", 9), "the header lacks a size keyword .*NAXIS5"),
    "6 BITPIX impossible": (card("BITPIX", 12), "impossible sizes .BITPIX 12"),
    "6 five axes": (sci(lambda data: data[None]), SHAPE.format(r"\(1, 1, 5, 32, 32\)")),
    "7 no SCI": (without_sci, "extension SCI is missing; download the file again"),
    "7 SCI without data": (sci(lambda data: None), SHAPE.format(r"\(\)")),
    "11 three axes": (sci(lambda data: data[0]), SHAPE.format(r"\(5, 32, 32\)")),
    "11 two axes": (sci(lambda data: data[0, 0]), SHAPE.format(r"\(32, 32\)")),
    "13 what planning needs": (
        primary(EXP_TYPE=None, DETECTOR=None, INSTRUME=None),
        "the primary header lacks INSTRUME, DETECTOR, EXP_TYPE; download the file again",
    ),
    "14 EXP_TYPE in lower case": (primary(EXP_TYPE="nis_image"), f"EXP_TYPE nis_image is not one of mode {MODE}"),
    "15 future EXP_TYPE": (primary(EXP_TYPE="NIS_FUTURE"), f"EXP_TYPE NIS_FUTURE is not one of mode {MODE}"),
    "16 target acquisition": (primary(EXP_TYPE="NIS_TACQ"), f"EXP_TYPE NIS_TACQ is not one of mode {MODE}"),
    "16 dark": (primary(EXP_TYPE="NIS_DARK"), f"EXP_TYPE NIS_DARK is not one of mode {MODE}"),
    "17 slopes under the name of a raw file": (rate, SHAPE.format(r"\(32, 32\)")),
}

# files that their job refuses
REFUSED = {
    "4 flipped bit, with checksum": (
        flip_with_checksum,
        r"\[SCI\]: DATASUM is \d+ but the data give \d+: the file is corrupt",
    ),
    "8 ZEROFRAME missing": (
        primary(ZEROFRAM=True),
        "ZEROFRAM is true but extension ZEROFRAME is missing; .*set ZEROFRAM to F",
    ),
    "9 signed 16 bits": (as_type(np.int16), SAMPLES.format(16)),
    "9 32 bits": (as_type(np.int32), SAMPLES.format(32)),
    "9 float32": (as_type(np.float32), SAMPLES.format(-32)),
    "9 float64": (as_type(np.float64), SAMPLES.format(-64)),
    "12 NGROUPS and NINTS": (
        primary(NGROUPS=6, NINTS=2),
        r"shape \(1, 5, 32, 32\) disagree: NINTS = 2 but the array has 1; NGROUPS = 6 but the array has 5; download",
    ),
    "12 segment of other integrations": (
        primary(NINTS=9, INTSTART=3, INTEND=7),
        r"INTEND - INTSTART \+ 1 = 5 but the array has 1",
    ),
    "12 segment that ends before it begins": (
        primary(NINTS=9, INTSTART=5, INTEND=3),
        r"INTEND - INTSTART \+ 1 = -1 but the array has 1",
    ),
    "12 INTSTART is no number": (primary(INTSTART="N/A", INTEND=1), WHOLE.format("INTSTART = 'N/A'", 1)),
    "12 INTSTART is 0": (
        primary(INTSTART=0, INTEND=0),
        r"INTSTART = 0 \(expected a whole number, at least 1\); INTEND = 0 ",
    ),
    "13 what stage 1 needs": (
        primary(READPATT=None, SUBARRAY=None, TGROUP=None, TFRAME=None),
        "the primary header lacks READPATT, SUBARRAY, TFRAME, TGROUP; download the file again, or add these keywords",
    ),
    "14 NGROUPS is text": (primary(NGROUPS="5"), WHOLE.format("NGROUPS = '5'", 1)),
    "14 NGROUPS is a fraction": (primary(NGROUPS=4.5), WHOLE.format("NGROUPS = 4.5", 1)),
    "14 NGROUPS is NaN": (card("NGROUPS", "NaN", b"SIMPLE"), WHOLE.format("NGROUPS = 'NaN'", 1)),
    "14 NGROUPS is infinite": (card("NGROUPS", "1E400", b"SIMPLE"), WHOLE.format("NGROUPS = inf", 1)),
    "14 TGROUP is infinite": (card("TGROUP", "1E400", b"SIMPLE"), r"TGROUP = inf \(expected seconds, more than 0\)"),
    "14 TGROUP is N/A": (primary(TGROUP="N/A"), r"TGROUP = 'N/A' \(expected seconds, more than 0\)"),
    "20 no rows": (primary(SUBSIZE2=0), WHOLE.format("SUBSIZE2 = 0", 1)),
    "20 SUBSIZE1 of another array": (primary(SUBSIZE1=64), "SUBSIZE1 = 64 but the array has 32"),
    "20 outside the detector": (
        primary(SUBSTRT1=2040, SUBSTRT2=2017),
        "the subarray reaches beyond the detector: SUBSTRT1 = 2040 and SUBSIZE1 = 32, but the detector has 2048 columns; correct",
    ),
}

# files that are calibrated nevertheless
CALIBRATED = {
    "1 filling of the last block cut off": lambda path: cut(-100)(path),
    "4 flipped bit, without checksum": flip,
    "5 foreign bytes after the last unit": trailing,
    "8 no GROUP, INT_TIMES, REFOUT, ASDF": lambda path: None,
    "14 FILTER in lower case": primary(FILTER="f277w"),
    "14 whole numbers as floats": primary(NGROUPS=5.0, NFRAMES=1.0, SUBSTRT1=101.0),
    "14 NaN in a keyword that nothing needs": lambda path: (
        primary(PA_V3=1.5)(path),
        card("PA_V3", "NaN", b"SIMPLE")(path),
    ),
    "20 one row": sci(lambda data: data[:, :, :1], SUBSIZE2=1),
    "20 one column": sci(lambda data: data[..., :1], SUBSIZE1=1),
}


@pytest.fixture
def raw(programme):
    """A good raw file, alone in its programme."""
    return write_raw(programme.folder / "uncal" / raw_name(KIND), KIND)


@pytest.fixture
def run_job(programme, plan_of, capsys):
    """Run the job of stage 1 of the only exposure, as the workflow does; returns its exit code and its messages."""
    script = runpy.run_path(str(REPOSITORY / "workflow" / "scripts" / "detector1.py"))

    def run():
        plan = plan_of(MODE)
        assert list(plan.exposures) == [ROOT], plan.left_out
        work = plan.exposure_work("detector1", ROOT)
        products = [f"stage1/{ROOT}_{name}" for name in ("rate.fits", "rateints.fits", "rate.json")]
        try:
            with job(f"logs/{ROOT}.log", exposure=ROOT, transition="detector1", work=work):
                script["calibrate_ramps"](
                    plan.exposures[ROOT].path,
                    *products,
                    work=work,
                    circumstances=plan.circumstances("detector1", ROOT),
                    threads=1,
                )
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out_by_the_plan(programme, plan_of, raw, name):
    damage, reason = LEFT_OUT[name]
    write_raw(raw.with_name(raw_name(KIND, 2)), KIND)
    damage(raw)
    before = raw.read_bytes()
    plan = plan_of(MODE)
    assert list(plan.exposures) == [ROOT.replace("00001", "00002")]
    (line,) = [line for line in summary_lines(plan) if raw.name in line]
    assert re.search(reason, line), line
    assert re.match(r"  \S*_uncal\.fits(\[\w+\])?: \S", line), line
    assert raw.read_bytes() == before


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_the_job(programme, raw, run_job, name):
    damage, reason = REFUSED[name]
    damage(raw)
    before = raw.read_bytes()
    code, message = run_job()
    assert code == BadDataError.exit_code
    assert re.search(reason, message), message
    assert raw.name in message
    assert "Traceback" not in message
    assert not [path for path in programme.folder.glob("stage1/**/*") if path.is_file()]
    assert re.search(reason, json.loads((programme.folder / f"excluded/{ROOT}.json").read_text())["reason"])
    assert raw.read_bytes() == before


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_nevertheless(programme, raw, run_job, name):
    CALIBRATED[name](raw)
    before = raw.read_bytes()
    code, message = run_job()
    assert (code, message) == (0, "")
    with fits.open(programme.folder / f"stage1/{ROOT}_rate.fits") as units:
        assert np.nanmedian(units["SCI"].data) == pytest.approx(50, rel=0.1)
    assert raw.read_bytes() == before
    said = (programme.folder / f"logs/{ROOT}.log").read_text()
    foreign = f"WARNING uncal/{raw.name}: 3333 bytes after the last unit (SCI) are not read"
    assert (foreign in said) == ("after the last unit" in said) == name.startswith("5 ")


def test_13_every_keyword_that_stage_1_needs_is_missed(programme, plan_of, raw, run_job):
    """Those that planning needs are the plan's, the others are all named by the job."""
    needed = [key for key in RAMP_KEYWORDS if key not in ("INSTRUME", "DETECTOR", "EXP_TYPE", "DATE-OBS", "TIME-OBS")]
    primary(**dict.fromkeys(needed))(raw)
    code, message = run_job()
    assert code == BadDataError.exit_code
    assert f"lacks {', '.join(needed)};" in message


def test_18_the_same_file_twice(programme, plan_of, raw):
    more = programme.folder / "more"
    more.mkdir()
    (more / raw.name).symlink_to(raw)
    plan = plan_of(MODE, inputs=["uncal", "more"])
    assert list(plan.exposures) == [ROOT]
    assert [reason for path, reason in plan.left_out] in (
        [f"the same file as {path}"] for path in ("more/" + raw.name, "uncal/" + raw.name)
    )


def test_19_a_segment_that_is_not_there_is_noted(programme, plan_of):
    for segment in (1, 4):
        keywords = {"NINTS": 4, "INTSTART": segment, "INTEND": segment, "EXSEGNUM": segment, "EXSEGTOT": 4}
        write_raw(programme.folder / "uncal" / raw_name("NIS_SOSS", 1, segment), "NIS_SOSS", TSOVISIT=True, **keywords)
    plan = plan_of("niriss_soss")
    assert len(plan.exposures) == 2
    note = "EXSEGTOT is 4, but segments 2, 3 are not in the input folders: the time series has a gap; download them"
    assert f"  {ROOT}: {note}" in summary_lines(plan)
