"""Builders of ramps and reference files, shared by the tests of the steps."""

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.models import Ramp
from snakewebb.io.references import References

sys.path.insert(0, str(Path(__file__).parent))  # for modules of the tests themselves

# orientation of the detectors' read-out in the frame of the products
AXES = {
    **dict.fromkeys(("NRCA1", "NRCA3", "NRCALONG", "NRCB2", "NRCB4"), (-1, 2)),
    **dict.fromkeys(("NRCA2", "NRCA4", "NRCB1", "NRCB3", "NRCBLONG"), (1, -2)),
    "NRS1": (2, 1),
    "NRS2": (-2, -1),
}


@pytest.fixture
def no_context_in_environment(monkeypatch):
    """Without the CRDS context that tests of the oracle set for their process: a plan notes that it has no effect."""
    monkeypatch.delenv("CRDS_CONTEXT", raising=False)


@pytest.fixture
def make_ramp():
    """Make a NIRCam ramp: ``make_ramp(data, zeroframe=None, pixeldq=None, groupdq=None, corner=(1, 1), **keywords)``.

    ``corner`` is the first column and row on the full detector; hyphens of keywords are written as underscores.
    """

    def make(data, *, zeroframe=None, pixeldq=None, groupdq=None, corner=(1, 1), detector="NRCALONG", **keywords):
        data = np.ascontiguousarray(data, dtype=np.float32)
        nints, ngroups, ny, nx = data.shape
        full = (ny, nx) == (2048, 2048)
        header = fits.Header()
        header.update(
            {
                "TELESCOP": "JWST",
                "INSTRUME": "NIRCAM",
                "DETECTOR": detector,
                "CHANNEL": "LONG" if detector.endswith("LONG") else "SHORT",
                "MODULE": detector[3],
                "EXP_TYPE": "NRC_IMAGE",
                "FILTER": "F444W",
                "PUPIL": "CLEAR",
                "DATE-OBS": "2024-06-01",
                "TIME-OBS": "12:00:00.000",
                "READPATT": "RAPID",
                "NINTS": nints,
                "NGROUPS": ngroups,
                "NFRAMES": 1,
                "FRMDIVSR": 1,
                "GROUPGAP": 0,
                "TFRAME": 10.73677,
                "TGROUP": 10.73677,
                "NOUTPUTS": 4 if full else 1,
                "ZEROFRAM": zeroframe is not None,
                "SUBARRAY": "FULL" if full else "SUB160",
                "SUBSTRT1": corner[0],
                "SUBSTRT2": corner[1],
                "SUBSIZE1": nx,
                "SUBSIZE2": ny,
                "FASTAXIS": AXES[detector][0],
                "SLOWAXIS": AXES[detector][1],
            }
        )
        header.update({key.replace("_", "-"): value for key, value in keywords.items()})
        return Ramp(
            header=header,
            sci_header=fits.Header(),
            data=data,
            groupdq=np.zeros(data.shape, np.uint8) if groupdq is None else groupdq.copy(),
            pixeldq=np.zeros((ny, nx), np.uint32) if pixeldq is None else pixeldq.astype(np.uint32),
            zeroframe=None if zeroframe is None else np.ascontiguousarray(zeroframe, dtype=np.float32),
        )

    return make


@pytest.fixture
def make_miri_ramp(make_ramp):
    """Make a MIRI ramp, of the imager in FASTR1, like ``make_ramp``."""

    def make(data, *, corner=(1, 1), detector="MIRIMAGE", **keywords):
        ny, nx = np.shape(data)[2:]
        full = (ny, nx) == (1024, 1032)
        values = {
            "INSTRUME": "MIRI",
            "DETECTOR": detector,
            "EXP_TYPE": "MIR_IMAGE",
            "FILTER": "F770W",
            "READPATT": "FASTR1",
            "NSAMPLES": 1,
            "TFRAME": 2.77504,
            "TGROUP": 2.77504,
            "NOUTPUTS": 4,
            "SUBARRAY": "FULL" if full else "BRIGHTSKY",
            "FASTAXIS": 1,
            "SLOWAXIS": 2,
        }
        arrays = {key: keywords.pop(key) for key in ("groupdq", "pixeldq") if key in keywords}
        ramp = make_ramp(
            data, corner=corner, **arrays, **(values | {key.replace("_", "-"): keywords[key] for key in keywords})
        )
        for key in ("CHANNEL", "MODULE", "PUPIL"):
            del ramp.header[key]
        ramp.first_integration = int(ramp.header.get("INTSTART", 1)) - 1
        return ramp

    return make


@pytest.fixture
def make_references(tmp_path):
    """Write reference files and return References: ``make_references(ramp, mask={"DQ": array}, ...)``.

    Each keyword argument is a type with its arrays by extension; the key ``header`` holds keywords of the primary
    header (the corner defaults to that of the ramp), the key ``flags`` the rows (value, name) of DQ_DEF.
    """

    def make(ramp, **types):
        paths = {}
        for reftype, content in types.items():
            if content is None:
                paths[reftype] = None
                continue
            content = dict(content)
            primary = fits.PrimaryHDU()
            first = next(array for name, array in content.items() if name not in ("header", "flags"))
            defaults = {key: ramp.header[key] for key in ("TELESCOP", "INSTRUME", "DETECTOR", "SUBARRAY")}
            defaults |= {"SUBSTRT1": ramp.header["SUBSTRT1"], "SUBSTRT2": ramp.header["SUBSTRT2"]}
            defaults |= {"SUBSIZE1": first.shape[-1], "SUBSIZE2": first.shape[-2], "REFTYPE": reftype.upper()}
            primary.header.update(defaults | content.pop("header", {}))
            flags = content.pop("flags", None)
            units = [primary]
            for name, array in content.items():
                units.append(fits.ImageHDU(array, name=name))
            if flags is not None:
                columns = [
                    fits.Column("BIT", "J", array=[value.bit_length() - 1 for value, _ in flags]),
                    fits.Column("VALUE", "J", bzero=1 << 31, array=[np.uint32(value) for value, _ in flags]),
                    fits.Column("NAME", "40A", array=[name for _, name in flags]),
                    fits.Column("DESCRIPTION", "80A", array=["" for _ in flags]),
                ]
                units.append(fits.BinTableHDU.from_columns(columns, name="DQ_DEF"))
            paths[reftype] = tmp_path / f"{reftype}_{len(list(tmp_path.iterdir()))}.fits"
            fits.HDUList(units).writeto(paths[reftype])
        return References(paths, ramp.subarray)

    return make
