"""Small exposures of every instrument with the default chain of stage 1 of their mode, and references for all of its steps."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from astropy.io import fits

from raw_exposures import DETECTORS, INSTRUMENTS, REPOSITORY, SIZE, header_of, references_of, write_reference
from snakewebb.chain import run_chain
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.models import INTERLEAVED, Ramp
from snakewebb.io.products import read_image, slope_model, write_image
from snakewebb.io.references import References
from snakewebb.plan.modes import read_mode
from snakewebb.plan.parameters import resolve_chain

MODES = {
    "NIRCam": ("nircam_imaging", "NRC_IMAGE"),
    "NIRISS": ("niriss_imaging", "NIS_IMAGE"),
    "NIRSpec": ("nirspec_fs", "NRS_FIXEDSLIT"),
    "NIRSpec IRS2": ("nirspec_fs", "NRS_FIXEDSLIT"),
    "MIRI": ("miri_imaging", "MIR_IMAGE"),
    "FGS": ("fgs_imaging", "FGS_IMAGE"),
}
RATE = 50.0
"""DN per second of a good exposure, of groups of 1 s."""
BORDER = 4


def default_chain(instrument):
    """Steps of stage 1 of a mode, as the plan resolves them without any configuration."""
    name, _ = MODES[instrument]
    mode = read_mode(REPOSITORY / "config" / "modes" / f"{name}.yaml", name, REPOSITORY / "config" / "chains.yaml")
    return resolve_chain(mode.chains["detector1"], []).entries


@dataclass
class Exposure:
    """A ramp in memory, its references and its chain; ``light`` is where no reference pixels are."""

    ramp: Ramp
    references: References
    chain: list
    light: np.ndarray
    outcomes: dict = field(default_factory=dict)

    def damage(self, change):
        """Change the samples and flags that see the sky with ``change(ramp)``; those of reference pixels stay."""
        dark = ~self.light if self.light.shape == self.ramp.data.shape[2:] else np.zeros(self.ramp.data.shape[2:], bool)
        data, groupdq = self.ramp.data[..., dark], self.ramp.groupdq[..., dark]
        change(self.ramp)
        self.ramp.data[..., dark], self.ramp.groupdq[..., dark] = data, groupdq

    def calibrate(self, folder, **parameters):
        """Run the chain, check what holds for any input, write the products and return the slopes as read back."""
        chain = [
            {**entry, "parameters": {**entry["parameters"], **parameters[entry["step"]]}}
            if entry["step"] in parameters
            else entry
            for entry in self.chain
        ]
        self.outcomes = {outcome.step: outcome.status for outcome in run_chain(self.ramp, chain, self.references)}
        images = []
        for image, model in ((self.ramp.rate, slope_model(self.ramp.header)), (self.ramp.rateints, "CubeModel")):
            path = folder / f"{model}.fits"
            write_image(path, image, model)
            images.append(read_image(path))
            check_slopes(images[-1])
        assert {path.name for path in folder.iterdir()} == {f"{slope_model(self.ramp.header)}.fits", "CubeModel.fits"}
        return images


def check_slopes(image):
    """What holds for any input: rates are finite, or NaN and flagged; a finite rate has an error; variances are none below 0."""
    finite = np.isfinite(image.data)
    assert not np.isinf(image.data).any()
    assert ((image.dq[~finite] & DO_NOT_USE) > 0).all()
    light = (image.dq & REFERENCE_PIXEL) == 0
    assert (image.err[finite & light] > 0).all()
    for variance in (image.err, image.var_poisson, image.var_rnoise):
        assert not np.isinf(variance).any()
        assert not (variance < 0).any()


def frame_of(instrument):
    """Shape of the frames as they are read out."""
    return INTERLEAVED if instrument == "NIRSpec IRS2" else (SIZE, SIZE)


@pytest.fixture(scope="session")
def reference_paths(tmp_path_factory):
    """Path by type: ``reference_paths(instrument)``."""
    known = {}

    def make(instrument):
        if instrument not in known:
            known[instrument] = _write_references(tmp_path_factory.mktemp("references"), instrument)
        return dict(known[instrument])

    return make


def _write_references(folder, instrument):
    prefix = MODES[instrument][1][:3]
    content = references_of(prefix)
    content.pop("flat", None)
    plane = np.ones((SIZE, SIZE), np.float32)
    mask = np.zeros((SIZE, SIZE), np.uint32)
    if prefix != "MIR":
        mask[:BORDER] = REFERENCE_PIXEL
    content["mask"] = {"DQ": mask}
    frames = 0.01 * np.arange(1, 9, dtype=np.float32)[:, None, None]
    content["dark"] = {"SCI": frames * plane, "DQ": mask * 0}
    if prefix == "MIR":
        content["reset"] = {"SCI": np.full((1, 4, SIZE, SIZE), 0.5, np.float32), "DQ": mask * 0}
    paths = {}
    for reftype, arrays in content.items():
        paths[reftype] = folder / f"{reftype}.fits"
        if instrument == "NIRSpec IRS2" and reftype != "ipc":
            arrays = {name: _enlarged(array, reftype) for name, array in arrays.items()}
        write_reference(paths[reftype], reftype, INSTRUMENTS[prefix], DETECTORS[prefix], arrays)
        if instrument == "NIRSpec IRS2":
            fits.setval(paths[reftype], "SUBSTRT1", value=1)
            fits.setval(paths[reftype], "SUBSTRT2", value=1)
    for key, value in (("NFRAMES", 1), ("GROUPGAP", 0), ("NGROUPS", 8)):
        fits.setval(paths["dark"], key, value=value)
    if prefix == "MIR":
        dtype = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
        rows = np.array([("SUB64", "FASTR1", 0, 1)], dtype)
        paths["rscd"] = folder / "rscd.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows, name="RSCD_GROUP_SKIP")]).writeto(paths["rscd"])
    paths["refpix"] = None
    return paths


def _enlarged(array, reftype):
    """An array of a constant as one of a full frame of IRS2: with interleaved pixels for the first steps."""
    shape = INTERLEAVED if reftype in ("mask", "superbias") else (2048, 2048)
    large = np.empty((*array.shape[:-2], *shape), array.dtype)
    large[...] = array[..., -1:, -1:]
    if reftype == "mask":
        large[:, :BORDER] = REFERENCE_PIXEL
    return large


@pytest.fixture
def exposure(reference_paths):
    """Make a good exposure: ``exposure(instrument, ngroups=5, nints=1, **keywords)``."""

    def make(instrument, ngroups=5, nints=1, **keywords):
        _, exp_type = MODES[instrument]
        if instrument == "NIRSpec IRS2":
            full = {"SUBARRAY": "FULL", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": 2048}
            keywords = {"READPATT": "NRSIRS2RAPID", "NOUTPUTS": 5, "NRS_NORM": 16, "NRS_REF": 4} | full | keywords
        header = fits.Header()
        for key, value in header_of(exp_type, NINTS=nints, NGROUPS=ngroups, **keywords).items():
            header[key] = value
        frame = frame_of(instrument)
        rng = np.random.default_rng(5)
        data = np.empty((nints, ngroups, *frame), np.float32)
        for group in range(ngroups):
            data[:, group] = np.round(1000 + RATE * (group + 1) + 3 * rng.standard_normal((nints, *frame), np.float32))
        light = np.ones((2048, 2048) if frame == INTERLEAVED else frame, bool)
        if instrument == "NIRSpec IRS2":
            light[:, :BORDER] = False
        elif instrument != "MIRI":
            light[:BORDER] = False
            data[..., :BORDER, :] = 1000
        ramp = Ramp(
            header=header,
            sci_header=fits.Header(),
            data=data,
            groupdq=np.zeros(data.shape, np.uint8),
            pixeldq=np.zeros(frame, np.uint32),
        )
        references = References(reference_paths(instrument), ramp.subarray)
        return Exposure(ramp, references, default_chain(instrument), light)

    return make
