"""The oracle, given a noiseless ramp of the true detector and the cache, recovers the true rate."""

import os
import subprocess
import sys

import numpy as np
import pytest

from snakewebb.simulate.crds_cache import build_cache, environment
from snakewebb.simulate.parameter_files import ParameterFile
from snakewebb.simulate.reference_format import ReferenceErrors

pytest.importorskip("jwst")
pytestmark = pytest.mark.long

RATE = 1100.0  # electrons per second before the flat: 80 % of the full well at the end of the ramp

PARAMETERS = [
    ParameterFile(
        "pars-jumpstep",
        "jwst.jump.jump_step.JumpStep",
        {"rejection_threshold": 4.25},
        match={"EXP_TYPE": "NRC_IMAGE"},
    ),
    ParameterFile(
        "pars-image2pipeline",
        "jwst.pipeline.calwebb_image2.Image2Pipeline",
        {},
        steps={"resample": ("jwst.resample.resample_step.ResampleStep", {"skip": True})},
        match={"EXP_TYPE": "NRC_IMAGE", "TSOVISIT": "F"},
    ),
]

RUN = """
import sys
from jwst.pipeline import Detector1Pipeline, Image2Pipeline
rate = Detector1Pipeline.call(sys.argv[1], steps={"refpix": {"skip": True}})
rate.save(sys.argv[2])
cal = Image2Pipeline.call(rate)[0]
cal.save(sys.argv[3])
"""


def ramp(truth, header):
    """Signal in DN of each group of one integration, charge accumulated frame by frame."""
    part = truth.cut(*(header[key] for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")))
    groups = []
    frame = 0
    for _ in range(header["NGROUPS"]):
        reads = []
        for _ in range(header["NFRAMES"]):
            frame += 1
            charge = (RATE * part.flat * part.gain / part.gain.mean() + part.dark) * frame * header["TFRAME"]
            reads.append(part.superbias + part.measured(charge) / part.gain)
        frame += header["GROUPGAP"]
        groups.append(np.mean(reads, axis=0))
    return part, np.array(groups, np.float32)


@pytest.mark.parametrize("errors", ["exact", "stated"])
def test_pipelines_recover_the_truth(tmp_path, long_wave, header, errors):
    from stdatamodels.jwst import datamodels

    # single frames, since an average of reads is linearised only nearly
    header |= {"TFRAME": 10.0, "NGROUPS": 6, "NFRAMES": 1, "READPATT": "RAPID"}
    part, data = ramp(long_wave, header)
    with datamodels.RampModel(data[None]) as uncal:
        fill(uncal, header)
        uncal.save(tmp_path / "jw01234001001_02101_00001_nrcalong_uncal.fits")
    choice = ReferenceErrors.zero() if errors == "exact" else ReferenceErrors()
    root = build_cache(
        tmp_path / "crds",
        truths={"NRCALONG": long_wave},
        exposures=[header],
        extent="subarray",
        errors=choice,
        parameters=PARAMETERS,
    )
    files = [str(tmp_path / f"jw01234001001_02101_00001_nrcalong_{level}.fits") for level in ("uncal", "rate", "cal")]
    run = subprocess.run(
        [sys.executable, "-c", RUN, *files],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | environment(root),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rejection_threshold: 4.25" in run.stdout + run.stderr
    assert not list(tmp_path.glob("*_i2d.fits"))

    true = RATE * part.flat / part.gain.mean()
    with datamodels.open(files[1]) as rate:
        good = (rate.dq == 0) & (part.flat > 0)
        assert good.mean() > 0.8
        found = np.abs(rate.data[good] / true[good] - 1).max()
        assert found < (1e-5 if errors == "exact" else 2e-3)
        assert {rate.meta.cal_step.dark_sub, rate.meta.cal_step.linearity} == {"COMPLETE"}
    with datamodels.open(files[2]) as cal:
        assert cal.meta.cal_step.resample in (None, "SKIPPED")
        expected = RATE / part.gain.mean() * part.photmjsr
        good = (cal.dq == 0) & (part.flat > 0)
        found = np.abs(cal.data[good] / expected - 1).max()
        assert found < (1e-5 if errors == "exact" else 6e-3)
        v2, v3 = cal.meta.wcs.get_transform("detector", "v2v3")(10.0, 20.0)
        x, y = header["SUBSTRT1"] - 1 + 10.0, header["SUBSTRT2"] - 1 + 20.0
        aperture = siaf_aperture()
        offset = long_wave.filter_offset
        expected = aperture.sci_to_tel(x + 1 + offset[0], y + 1 + offset[1])
        assert np.hypot(v2 - expected[0], v3 - expected[1]) < (1e-6 if errors == "exact" else 1e-3)
        assert cal.meta.photometry.conversion_megajanskys == np.float32(part.photmjsr)


def siaf_aperture():
    import pysiaf

    return pysiaf.Siaf("NIRCam")["NRCA5_FULL"]


def fill(model, header):
    """Metadata of a level-1b file."""
    meta = model.meta
    meta.telescope = "JWST"
    meta.instrument.name = "NIRCAM"
    for name in ("detector", "channel", "module", "filter", "pupil"):
        setattr(meta.instrument, name, header[name.upper()])
    meta.exposure.type = header["EXP_TYPE"]
    meta.exposure.readpatt = header["READPATT"]
    meta.exposure.noutputs = header["NOUTPUTS"]
    meta.exposure.ngroups = header["NGROUPS"]
    meta.exposure.nframes = header["NFRAMES"]
    meta.exposure.frame_divisor = header["NFRAMES"]
    meta.exposure.groupgap = header["GROUPGAP"]
    meta.exposure.nints = 1
    meta.exposure.frame_time = header["TFRAME"]
    meta.exposure.group_time = header["TFRAME"] * (header["NFRAMES"] + header["GROUPGAP"])
    meta.exposure.start_time = 61072.0
    meta.exposure.mid_time = 61072.001
    meta.exposure.end_time = 61072.002
    meta.subarray.name = header["SUBARRAY"]
    meta.subarray.xstart, meta.subarray.ystart = header["SUBSTRT1"], header["SUBSTRT2"]
    meta.subarray.xsize, meta.subarray.ysize = header["SUBSIZE1"], header["SUBSIZE2"]
    meta.subarray.fastaxis, meta.subarray.slowaxis = -1, 2
    meta.observation.date, meta.observation.time = header["DATE-OBS"], header["TIME-OBS"]
    meta.visit.tsovisit = False
    meta.wcsinfo.v2_ref, meta.wcsinfo.v3_ref = 88.0, -490.0
    meta.wcsinfo.ra_ref, meta.wcsinfo.dec_ref, meta.wcsinfo.roll_ref = 53.0, -27.0, 40.0
    meta.wcsinfo.v3yangle, meta.wcsinfo.vparity = 0.0, -1
    meta.wcsinfo.crpix1, meta.wcsinfo.crpix2 = 32.0, 32.0
    meta.velocity_aberration.scale_factor = 1.0
