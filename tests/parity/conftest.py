"""Running the oracle's steps in this process, on the arrays and references that our steps get."""

import copy
import os

import numpy as np
import pytest

from snakewebb.detector.likelihood import group_reads

# read by crds when it is imported; a URL with "serverless" in it is never contacted
os.environ.setdefault("CRDS_SERVER_URL", "https://jwst-serverless-mode.stsci.edu")
os.environ.setdefault("CRDS_PATH", "/nonexistent")
os.environ.setdefault("CRDS_CONTEXT", "jwst_9999.pmap")
os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")

_META = {
    "INSTRUME": "meta.instrument.name",
    "DETECTOR": "meta.instrument.detector",
    "CHANNEL": "meta.instrument.channel",
    "MODULE": "meta.instrument.module",
    "FILTER": "meta.instrument.filter",
    "PUPIL": "meta.instrument.pupil",
    "EXP_TYPE": "meta.exposure.type",
    "READPATT": "meta.exposure.readpatt",
    "NINTS": "meta.exposure.nints",
    "NGROUPS": "meta.exposure.ngroups",
    "NFRAMES": "meta.exposure.nframes",
    "NSAMPLES": "meta.exposure.nsamples",
    "INTSTART": "meta.exposure.integration_start",
    "INTEND": "meta.exposure.integration_end",
    "FRMDIVSR": "meta.exposure.frame_divisor",
    "GROUPGAP": "meta.exposure.groupgap",
    "TFRAME": "meta.exposure.frame_time",
    "TGROUP": "meta.exposure.group_time",
    "NOUTPUTS": "meta.exposure.noutputs",
    "NRS_NORM": "meta.exposure.nrs_normal",
    "NRS_REF": "meta.exposure.nrs_reference",
    "ZEROFRAM": "meta.exposure.zero_frame",
    "DRPFRMS1": "meta.exposure.drop_frames1",
    "SUBARRAY": "meta.subarray.name",
    "SUBSTRT1": "meta.subarray.xstart",
    "SUBSTRT2": "meta.subarray.ystart",
    "SUBSIZE1": "meta.subarray.xsize",
    "SUBSIZE2": "meta.subarray.ysize",
    "MSTR_RD1": "meta.subarray.multistripe_reads1",
    "MSTR_SK1": "meta.subarray.multistripe_skips1",
    "MSTR_RD2": "meta.subarray.multistripe_reads2",
    "MSTR_SK2": "meta.subarray.multistripe_skips2",
    "MSTR_RPT": "meta.subarray.repeat_stripe",
    "MSTR_ILV": "meta.subarray.interleave_reads1",
    "SSTR_STP": "meta.subarray.superstripe_step",
    "SSTR_NST": "meta.subarray.num_superstripe",
    "FASTAXIS": "meta.subarray.fastaxis",
    "SLOWAXIS": "meta.subarray.slowaxis",
    "DATE-OBS": "meta.observation.date",
    "TIME-OBS": "meta.observation.time",
}


@pytest.fixture
def ramp_model():
    """The oracle's RampModel with copies of the arrays of a ramp: ``ramp_model(ramp)``."""
    from stdatamodels.jwst.datamodels import RampModel, SuperstripeRampModel

    def make(ramp):
        kind = SuperstripeRampModel if ramp.pixeldq.ndim == 3 else RampModel
        model = kind(data=ramp.data.copy(), groupdq=ramp.groupdq.copy(), pixeldq=ramp.pixeldq.copy())
        if ramp.zeroframe is not None:
            model.zeroframe = ramp.zeroframe.copy()
        if ramp.average_dark_current is not None:
            model.average_dark_current = ramp.average_dark_current.copy()
        if ramp.read_times is not None:
            model.meta.exposure.read_times = [times.tolist() for times in group_reads(ramp)]
        if ramp.int_times is not None and "int_mid_bjd_tdb" in [name.lower() for name in ramp.int_times.dtype.names]:
            model.int_times = ramp.int_times.copy()
        for keyword, path in _META.items():
            if keyword in ramp.header:
                model[path] = ramp.header[keyword]
        return model

    return make


@pytest.fixture
def run_oracle(ramp_model):
    """Run a step of the oracle: ``run_oracle(step_class, ramp, references, **parameters)`` gives its result model.

    References that our step would use are given to the oracle as overrides, so no CRDS is asked; a type without a
    file becomes N/A. The ramp is not changed.
    """

    def run(step_class, exposure, references, **parameters):
        model = ramp_model(exposure) if hasattr(exposure, "groupdq") else copy.deepcopy(exposure)
        step = step_class(**parameters)
        for reftype in step.reference_file_types:
            path = references.paths.get(reftype)
            setattr(step, f"override_{reftype}", "N/A" if path is None else str(path))
        with np.errstate(all="ignore"):
            return step.process(model)

    return run


@pytest.fixture
def ulps():
    """Largest difference in float32 units in the last place of ``scale``: ``ulps(ours, theirs, scale)``.

    NaNs must agree.
    """

    def measure(ours, theirs, scale):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        spacing = np.spacing(np.abs(np.broadcast_to(scale, ours.shape)).astype(np.float32)).astype(np.float64)
        difference = np.abs(ours - theirs) / spacing
        return float(np.nanmax(difference)) if difference.size else 0.0

    return measure
