"""Ramps of NIRSpec, and the reference file of its IRS2 read-out."""

import numpy as np
import pytest
from astropy.io import fits

SAMPLES = 2048 * 712  # of an output in a group


@pytest.fixture
def make_nirspec(make_ramp):
    """Make a ramp of NIRSpec: ``make_nirspec(data, detector, **as of make_ramp)``; 3200 rows make it an IRS2 one."""

    def make(data, detector="NRS1", **keywords):
        interleaved = data.shape[2] == 3200
        defaults = {
            "INSTRUME": "NIRSPEC",
            "EXP_TYPE": "NRS_FIXEDSLIT",
            "FILTER": "F290LP",
            "READPATT": "NRSIRS2RAPID" if interleaved else "NRSRAPID",
        }
        if interleaved:
            defaults |= {"NOUTPUTS": 5, "SUBARRAY": "FULL", "SUBSIZE2": 2048}
        ramp = make_ramp(data, detector=detector, **defaults | keywords)
        for key in ("CHANNEL", "MODULE", "PUPIL"):
            del ramp.header[key]
        if interleaved:
            ramp.header.update({"NRS_NORM": 16, "NRS_REF": 4})
        return ramp

    return make


def transfer_functions(seed):
    """Columns alpha_0 to beta_3 of a REFPIX reference: falling with frequency, with phases, not symmetric."""
    rng = np.random.default_rng(seed)
    frequency = np.minimum(np.arange(SAMPLES), SAMPLES - np.arange(SAMPLES))
    columns = {}
    for name, height in (("alpha", 0.3), ("beta", 0.7)):
        for output in range(4):
            values = height / (1 + frequency / 30000) * np.exp(1j * rng.normal(0, 0.3, SAMPLES))
            parts = np.empty(2 * SAMPLES, np.float32)
            parts[::2], parts[1::2] = values.real, values.imag
            columns[f"{name}_{output}"] = parts
    return columns


def bad_column_table(rows):
    """Table DQ of a REFPIX reference: rows (output, odd_even, mask)."""
    output, pair, mask = (np.array(values) for values in zip(*rows, strict=True))
    return fits.BinTableHDU.from_columns(
        [
            fits.Column("OUTPUT", "I", bzero=1 << 15, array=output.astype(np.uint16)),
            fits.Column("ODD_EVEN", "I", bzero=1 << 15, array=pair.astype(np.uint16)),
            fits.Column("MASK", "J", bzero=1 << 31, array=mask.astype(np.uint32)),
        ],
        name="DQ",
    )


LISTED = [
    (1, 1, 1 << 3 | 1 << 4),  # neighbours in column
    (1, 2, 1 << 3),  # all four of a period
    (2, 1, 3 << 30),  # at the end of the output
    (2, 2, 0),
    (3, 1, 1),
    (3, 2, 0xFF),
    (4, 1, 1 << 9),
    (4, 2, 1 << 9 | 1 << 8 | 1 << 10),
]


@pytest.fixture(scope="session")
def refpix_reference(tmp_path_factory):
    """Path of a REFPIX reference file with a table of bad columns."""
    path = tmp_path_factory.mktemp("refpix") / "refpix.fits"
    columns = [fits.Column(name, "E", array=array) for name, array in transfer_functions(1).items()]
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "REFTYPE": "REFPIX"})
    table = fits.BinTableHDU.from_columns(columns, name="IRS2")
    fits.HDUList([primary, table, bad_column_table(LISTED)]).writeto(path)
    return path


@pytest.fixture
def make_irs2_data():
    """Samples after superbias: ``make_irs2_data(nints, ngroups, seed)``.

    The sky, noise, drifts of all outputs in time and of each output, bad columns of reference pixels, and missing samples.
    """

    def make(nints, ngroups, seed):
        rng = np.random.default_rng(seed)
        shape = nints, ngroups, 3200, 2048
        data = 8 * rng.standard_normal(shape, np.float32)
        rate = rng.gamma(1, 40, (2560, 2048)).astype(np.float32)
        data[:, :, 640:] += rate * np.arange(1, ngroups + 1, dtype=np.float32)[:, None, None]
        data += rng.normal(0, 30, (nints, ngroups, 1, 1)).astype(np.float32)
        data += np.cumsum(rng.normal(0, 0.5, (nints, ngroups, 1, 2048)), axis=3).astype(np.float32)
        data += np.repeat(np.cumsum(rng.normal(0, 0.2, (nints, ngroups, 5, 2048)), axis=3), 640, axis=2).astype(
            np.float32
        )
        data[:, :, 648:650] += 100  # a bad pair
        data[:, :, 1310] += 60 * rng.standard_normal((nints, ngroups, 2048), np.float32)  # of which one read is noisy
        data[-1, :, 3010:3012] += 200  # bad in one integration only
        data[rng.random(shape, np.float32) < 1e-4] += 3000
        data[:, :, 700:702, 100:300] = 0
        return data

    return make
