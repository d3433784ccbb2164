"""Golden cases of refpix for which frames of the whole detector are needed; the files hold samples and means of blocks."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from golden_input import chosen, make_ramp, uniform

from snakewebb.dq import BAD_REF_PIXEL, DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.references import References
from snakewebb.steps import find_step

_SAMPLES = 2048 * 712  # of an output in a group of IRS2
_BLOCK = 128


def _summary(variant, data):
    """Every 64th pixel, from another row and column in each group, and the means of blocks that cover all pixels."""
    planes = data.reshape(-1, *data.shape[2:])
    sample = np.array([plane[11 * n + 5 :: 64, 23 * n + 3 :: 64] for n, plane in enumerate(planes)])
    ny, nx = planes.shape[1:]
    blocks = planes.reshape(-1, ny // _BLOCK, _BLOCK, nx // _BLOCK, _BLOCK).mean(axis=(2, 4), dtype=np.float64)
    return {f"{variant}_sample": sample, f"{variant}_blocks": blocks}


def _transfer_functions():
    """Columns of a REFPIX reference: falling with frequency, with phases."""
    frequency = np.minimum(np.arange(_SAMPLES), _SAMPLES - np.arange(_SAMPLES))
    columns = []
    for number, (name, height) in enumerate((("alpha", 0.3), ("beta", 0.7))):
        for output in range(4):
            phase = uniform((_SAMPLES,), 910 + 4 * number + output) - 0.5
            values = np.empty((_SAMPLES, 2), np.float32)
            falling = height / (1 + frequency / 30000)
            values[:, 0], values[:, 1] = falling * (1 - phase * phase), falling * phase
            columns.append(fits.Column(f"{name}_{output}", "E", array=values.ravel()))
    return fits.BinTableHDU.from_columns(columns, name="IRS2")


def irs2(folder):
    path = Path(folder) / "refpix.fits"
    rows = [(1, 1, 1 << 3 | 1 << 4), (2, 2, 1), (3, 1, 1 << 9), (4, 2, 3 << 20)]
    output, pair, mask = zip(*rows, strict=True)
    listed = [
        fits.Column("OUTPUT", "J", array=output),
        fits.Column("ODD_EVEN", "J", array=pair),
        fits.Column("MASK", "J", array=mask),
    ]
    units = [fits.PrimaryHDU(), _transfer_functions(), fits.BinTableHDU.from_columns(listed, name="DQ")]
    fits.HDUList(units).writeto(path)
    shape = (1, 2, 3200, 2048)
    data = 28 * uniform(shape, 920) - 14
    data[:, :, 640:] += 60 * np.arange(1, 3)[:, None, None] * (1 + uniform((2560, 2048), 921))
    # drifts of all outputs in time, of each output, and a constant
    data += 4 * np.cumsum(uniform((1, 2, 1, 2048), 922) - 0.5, axis=3)
    data += np.repeat(2 * np.cumsum(uniform((1, 2, 5, 2048), 923) - 0.5, axis=3), 640, axis=2)
    data[:, :, 648:650] += 100  # a bad pair
    data[:, :, 700:702, 100:300] = 0  # missing samples
    results = {}
    for variant, detector, parameters in (
        ("nrs1", "NRS1", {}),
        ("nrs2_means", "NRS2", {"irs2_mean_subtraction": True}),
    ):
        pixeldq = np.where(chosen(shape[2:], 924, 0.02), DO_NOT_USE, 0)
        # one of the reference output, two between the pixels of the sky, one that sees it
        pixeldq[[30, 1350, 1849, 1300], 5] |= BAD_REF_PIXEL
        keywords = {"INSTRUME": "NIRSPEC", "EXP_TYPE": "NRS_FIXEDSLIT", "READPATT": "NRSIRS2RAPID", "SUBARRAY": "FULL"}
        keywords |= {"NOUTPUTS": 5, "SUBSIZE2": 2048, "NRS_NORM": 16, "NRS_REF": 4, "DETECTOR": detector}
        keywords |= {"FASTAXIS": 2, "SLOWAXIS": 1} if detector == "NRS1" else {"FASTAXIS": -2, "SLOWAXIS": -1}
        ramp = make_ramp(data, pixeldq=pixeldq, corner=(1, 1), **keywords)
        status = find_step("refpix")(ramp, References({"refpix": path}, ramp.subarray), **parameters)
        assert status.state == "COMPLETE", status
        assert ramp.data.shape == (1, 2, 2048, 2048)
        flagged = np.packbits(((ramp.pixeldq & BAD_REF_PIXEL) != 0).any(axis=1))
        results |= _summary(variant, ramp.data) | {f"{variant}_flagged": flagged}
    return results


def sirs(folder):
    import asdf

    size = 2048
    path = Path(folder) / "sirskernel.asdf"
    lag = np.minimum(np.arange(size), size - np.arange(size))
    content = {}
    for number, name in enumerate(("gamma", "zeta")):
        kernels = (0.02 + 0.02 * uniform((4, 1), 930 + number)) / (1 + lag * lag / 90)
        content[name] = np.fft.rfft(kernels).astype(np.complex64)
    asdf.AsdfFile({"nrcalong": content}).write_to(path)
    y, x = np.indices((size, size), np.int16)
    border = (x < 4) | (x >= size - 4) | (y < 4) | (y >= size - 4)
    data = 28 * uniform((1, 1, size, size), 932) - 14 + 30 * np.cumsum(uniform((size, 1), 933) - 0.5, axis=0)
    data += np.where(border, 0, 80 * (1 + uniform((size, size), 934)))
    data[:, :, border & chosen((size, size), 935, 0.02)] += 4000
    data[:, :, 700:760][..., border[700:760]] += 3000  # rows without a usable pixel at the sides
    pixeldq = np.where(border, REFERENCE_PIXEL, 0) | np.where(chosen((size, size), 936, 0.02), DO_NOT_USE, 0)
    results = {}
    for variant, parameters in (("default", {}), ("smooth", {"gaussmooth": 2.0, "halfwidth": 45, "sigreject": 2.5})):
        ramp = make_ramp(data, pixeldq=pixeldq, corner=(1, 1), NOUTPUTS=4, SUBARRAY="FULL")
        references = References({"sirskernel": path}, ramp.subarray)
        status = find_step("refpix")(ramp, references, refpix_algorithm="sirs", **parameters)
        assert (status.state, status.reason) == ("COMPLETE", "sirs"), status
        results |= _summary(variant, ramp.data)
    return results


CASES = {"refpix.irs2": irs2, "refpix.sirs": sirs}
