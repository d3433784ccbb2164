"""What the golden files hold: the results of every step on small inputs, with default parameters.

A step has variants where its branches differ much; ``CASES`` maps each step to a function of a scratch folder that
gives the resulting arrays by name.
"""

from pathlib import Path

import golden_cases_bands
import golden_cases_cubes
import golden_cases_events
import golden_cases_flicker
import golden_cases_miri
import golden_cases_modes
import golden_cases_mosaics
import golden_cases_moving
import golden_cases_mrs
import golden_cases_pairs
import golden_cases_refpix
import golden_cases_sky
import numpy as np
from golden_input import (
    chosen,
    make_image,
    make_ramp,
    make_references,
    noise,
    rising,
    uniform,
)
from golden_results import arrays_of, keywords_of, run_step

from snakewebb.dq import DO_NOT_USE, JUMP_DET, NO_LIN_CORR, NO_SAT_CHECK, REFERENCE_PIXEL, SATURATED

SIZE = (24, 32)
MEDIUM8 = {"NFRAMES": 8, "FRMDIVSR": 8, "GROUPGAP": 2, "TGROUP": 107.3677}


def _ramp_arrays(variant, ramp):
    return arrays_of(variant, ramp, ("data", "groupdq", "pixeldq", "zeroframe", "average_dark_current"))


def _image_arrays(variant, image):
    return arrays_of(variant, image, ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat", "area"))


def group_scale(folder):
    ramp = make_ramp(rising((1, 3, *SIZE), 10, start=9000.0), NFRAMES=5, FRMDIVSR=8)
    run_step("group_scale", ramp, None)
    return arrays_of("frames5", ramp, ("data",))


def dq_init(folder):
    ramp = make_ramp(np.ones((2, 2, *SIZE)), pixeldq=4 * chosen(SIZE, 21, 0.1))
    mask = np.where(chosen(SIZE, 22, 0.2), 3, 0) | np.where(chosen(SIZE, 23, 0.2), 8, 0)
    meanings = [(0, 1, "DO_NOT_USE"), (1, 2, "HOT"), (3, 8, "REFERENCE_PIXEL")]
    rows = np.array(meanings, dtype=[("BIT", "i4"), ("VALUE", "i4"), ("NAME", "S40")])
    references = make_references(folder, ramp.subarray, mask={"DQ": mask.astype(np.int32), "DQ_DEF": rows})
    run_step("dq_init", ramp, references)
    return arrays_of("mask", ramp, ("groupdq", "pixeldq"))


def saturation(folder):
    results = {}
    for variant, keywords in (("rapid", {}), ("medium8", MEDIUM8)):
        data = rising((2, 6, *SIZE), 30, rate=(1.0, 40000.0), start=9000.0)
        zeroframe = data[:, 0] - 3000 * uniform(data[:, 0].shape, 36) if keywords else None
        data = np.clip(np.rint(data), 0, 65535)
        data[chosen(data.shape, 35, 0.01)] = 0
        ramp = make_ramp(data, zeroframe=zeroframe, **keywords)
        threshold = (40000 + 20000 * uniform(SIZE, 37)).astype(np.float32)
        threshold[0, :4] = np.nan
        reference_dq = np.where(chosen(SIZE, 38, 0.02), NO_SAT_CHECK, 0).astype(np.uint32)
        bias = (9000 + 50 * noise(SIZE, 39)).astype(np.float32)
        references = make_references(
            folder, ramp.subarray, saturation={"SCI": threshold, "DQ": reference_dq}, superbias={"SCI": bias}
        )
        run_step("saturation", ramp, references)
        results |= arrays_of(variant, ramp, ("groupdq", "pixeldq", "zeroframe"))
    return results


def superbias(folder):
    data = rising((1, 2, *SIZE), 50, start=9000.0)
    zeroframe = np.where(chosen((1, *SIZE), 57, 0.1), 0, data[:, 0])
    ramp = make_ramp(data, zeroframe=zeroframe, **MEDIUM8)
    bias = (9000 + 100 * noise(SIZE, 55)).astype(np.float32)
    bias[chosen(SIZE, 56, 0.03)] = np.nan
    reference_dq = np.where(np.isnan(bias), 1 << 22, 0).astype(np.uint32)
    references = make_references(folder, ramp.subarray, superbias={"SCI": bias, "DQ": reference_dq})
    run_step("superbias", ramp, references)
    return _ramp_arrays("bias", ramp)


def refpix(folder):
    results = {}
    # a corner with reference pixels of both kinds, the border of two amplifiers, a subarray with one output
    for variant, shape, corner, keywords in (
        ("corner", (48, 48), (1, 1), {"NOUTPUTS": 4}),
        ("amplifiers", (24, 40), (493, 2025), {"NOUTPUTS": 4}),
        ("subarray", (32, 40), (1, 901), {}),
    ):
        drift = 20 * noise((2, 2, 1, shape[1]), 65) + 8 * noise((2, 2, shape[0], 1), 66)
        data = rising((2, 2, *shape), 60, start=300.0) + drift
        y, x = np.indices(shape)
        border = (x + corner[0] <= 4) | (y + corner[1] <= 4) | (y + corner[1] > 2044)
        data = np.where(border, 300 + drift + 6 * noise(data.shape, 67), data)
        data[:, :, border & chosen(shape, 68, 0.03)] += 200
        pixeldq = np.where(border, REFERENCE_PIXEL, 0) | np.where(chosen(shape, 69, 0.05), DO_NOT_USE, 0)
        ramp = make_ramp(data, pixeldq=pixeldq, corner=corner, **keywords)
        run_step("refpix", ramp, None)
        results |= arrays_of(variant, ramp, ("data",))
    return results


def linearity(folder):
    results = {}
    for variant, keywords in (("groups", {}), ("reads", MEDIUM8)):
        data = rising((1, 4, *SIZE), 70, rate=(1.0, 9000.0))
        groupdq = np.where(data > 25000, SATURATED, 0)
        ramp = make_ramp(data, groupdq=groupdq, zeroframe=0.6 * data[:, 0] if keywords else None, **keywords)
        terms = np.zeros((5, *SIZE), np.float32)
        terms[1] = 1
        terms[2] = 8e-7 * (1 + 0.1 * noise(SIZE, 75))
        terms[3] = 6e-12 * (1 + 0.1 * noise(SIZE, 76))
        terms[2, 3, 4] = np.nan
        inverse = -terms
        inverse[1] = 1
        dq = np.where(chosen(SIZE, 77, 0.02), NO_LIN_CORR, 0).astype(np.uint32)
        content = {"COEFFS": terms, "DQ": dq} | ({"INV_COEFFS": inverse} if keywords else {})
        run_step("linearity", ramp, make_references(folder, ramp.subarray, linearity=content))
        results |= arrays_of(variant, ramp, ("data", "pixeldq", "zeroframe"))
    return results


def dark_current(folder):
    results = {}
    for variant, ngroups, keywords in (("rapid", 3, {}), ("medium8", 3, MEDIUM8)):
        ramp = make_ramp(rising((1, ngroups, *SIZE), 80), **keywords)
        # fewer frames than the second case needs: the last ones are extrapolated
        current = 0.02 * (1 + uniform(SIZE, 85))
        frames = current * np.arange(1, 25)[:, None, None] + 0.01 * noise((24, *SIZE), 86)
        frames[:, 5, 6] = np.nan
        dq = np.where(chosen(SIZE, 87, 0.05), 1 << 11, 0).astype(np.uint32)
        content = {"SCI": frames.astype(np.float32), "DQ": dq}
        header = {"NFRAMES": 1, "GROUPGAP": 0, "AVDRKCUR": 0.0031}
        run_step("dark_current", ramp, make_references(folder, ramp.subarray, dark=content | {"header": header}))
        results |= arrays_of(variant, ramp, ("data", "pixeldq", "average_dark_current"))
    return results


def _gain_and_read_noise(folder, ramp, seed, **keywords):
    gain = (1.8 + 0.1 * noise(SIZE, seed)).astype(np.float32)
    gain[0, :3] = np.nan, 0, -1
    readnoise = (11 + noise(SIZE, seed + 1)).astype(np.float32)
    return make_references(folder, ramp.subarray, gain={"SCI": gain, "header": keywords}, readnoise={"SCI": readnoise})


def jump(folder):
    results = {}
    for variant, shape, parameters in (
        ("groups4", (1, 4, *SIZE), {}),
        ("groups8", (2, 8, *SIZE), {}),
        ("groups14", (1, 14, *SIZE), {}),
        ("clipped", (8, 3, *SIZE), {"minimum_sigclip_groups": 8, "rejection_threshold": 2.0}),
        ("after", (1, 12, *SIZE), {"after_jump_flag_dn1": 300.0, "after_jump_flag_time1": 25.0}),
    ):
        data = rising(shape, 100, hits=0.05)
        groupdq = np.where(np.maximum.accumulate(data > 1500, axis=1), SATURATED, 0)
        groupdq |= np.where(chosen(shape, 106, 0.01), DO_NOT_USE, 0)
        ramp = make_ramp(data, groupdq=groupdq)
        run_step("jump", ramp, _gain_and_read_noise(folder, ramp, 107), **parameters)
        results |= arrays_of(variant, ramp, ("groupdq", "pixeldq"))
        results |= keywords_of(variant, ramp.header, ("PRIMECRS", "EXTNCRS"))
    return results


def ramp_fit(folder):
    results = {}
    for variant, shape, keywords, parameters in (
        ("default", (2, 7, *SIZE), {}, {}),
        ("medium8", (1, 5, *SIZE), MEDIUM8, {"suppress_one_group": False}),
        ("groups2", (1, 2, *SIZE), {}, {}),
        ("groups1", (1, 1, *SIZE), {}, {}),
        ("optional", (1, 6, *SIZE), {}, {"save_opt": True}),
        ("jwst", (2, 4, *SIZE), {}, {"compatibility": "jwst"}),
        ("exact", (2, 6, *SIZE), MEDIUM8, {"variance": "exact"}),
        ("likely", (2, 7, *SIZE), {}, {"algorithm": "LIKELY", "save_opt": True}),
        ("likely_medium8", (1, 6, *SIZE), MEDIUM8, {"algorithm": "LIKELY"}),
        ("likely_jwst", (2, 5, *SIZE), MEDIUM8, {"algorithm": "LIKELY", "compatibility": "jwst"}),
    ):
        data = rising(shape, 120, hits=0.05)
        groupdq = np.where(np.maximum.accumulate(data > 1200, axis=1), SATURATED, 0)
        groupdq |= np.where(chosen(shape, 126, 0.15), JUMP_DET, 0) | np.where(chosen(shape, 127, 0.1), DO_NOT_USE, 0)
        groupdq[:, 0] &= ~JUMP_DET
        zeroframe = data[:, 0] / 4 if keywords else None
        ramp = make_ramp(data, groupdq=groupdq, zeroframe=zeroframe, **keywords)
        ramp.average_dark_current = (0.01 * uniform(SIZE, 128)).astype(np.float32)
        run_step("ramp_fit", ramp, _gain_and_read_noise(folder, ramp, 129), **parameters)
        results |= _image_arrays(f"{variant}_rate", ramp.rate)
        if shape[0] > 1:
            results |= _image_arrays(f"{variant}_rateints", ramp.rateints)
        for product in ("fitopt", "likely_chisq"):
            for unit in ramp.extra.get(product, [])[1:]:
                results[f"{variant}_{unit.name}"] = unit.data
    return results


def gain_scale(folder):
    image = make_image(5 * uniform(SIZE, 140))
    ramp = make_ramp(np.ones((1, 1, *SIZE)))
    run_step("gain_scale", image, _gain_and_read_noise(folder, ramp, 141, GAINFACT=1.25))
    return _image_arrays("scaled", image)


def _subarray(image):
    return tuple(int(image.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"))


def assign_wcs(folder):
    import asdf
    from astropy.modeling.models import Mapping, Polynomial2D, Shift
    from astropy.wcs import WCS

    forward = [
        Polynomial2D(3, c0_0=86.0, c1_0=-0.063, c0_1=1e-4, c2_0=2e-8, c1_1=-3e-8, c0_2=1e-8, c3_0=1e-12, c1_2=2e-12),
        Polynomial2D(3, c0_0=-493.0, c1_0=2e-4, c0_1=0.0631, c2_0=-1e-8, c1_1=2e-8, c0_2=3e-8, c2_1=1e-12, c0_3=2e-12),
    ]
    inverse = [Polynomial2D(1, c1_0=-15.87, c0_1=0.03), Polynomial2D(1, c1_0=0.05, c0_1=15.85)]
    centre = Shift(-1023.5) & Shift(-1023.5)
    distortion = centre | Mapping((0, 1, 0, 1)) | forward[0] & forward[1]
    distortion.inverse = Shift(-86.0) & Shift(493.0) | Mapping((0, 1, 0, 1)) | inverse[0] & inverse[1] | centre.inverse
    image = make_image(np.ones((64, 64)))
    references = make_references(folder, _subarray(image))
    offsets = [{"filter": "F444W", "pupil": "CLEAR", "column_offset": 0.31, "row_offset": -0.17}]
    for reftype, tree in (("distortion", {"model": distortion}), ("filteroffset", {"filters": offsets})):
        references.paths[reftype] = Path(folder) / f"{reftype}.asdf"
        asdf.AsdfFile(tree).write_to(references.paths[reftype])
    run_step("assign_wcs", image, references)
    y, x = np.mgrid[-0.5:64:9, -0.5:64:9]
    approximation = WCS(image.sci_header, relax=True)
    results = {}
    for name, (ra, dec) in (("wcs", image.wcs(x, y)), ("sip", approximation.all_pix2world(x, y, 0))):
        # arcsec from the reference point: degrees would hide what is smaller than a millionth of them
        results |= {f"{name}_ra": (ra - 80.25) * 3600, f"{name}_dec": (dec + 69.5) * 3600}
    corners = np.array(image.sci_header["S_REGION"].split()[2:], float).reshape(-1, 2)
    return results | {"region": (corners - [80.25, -69.5]) * 3600}


def flat_field(folder):
    results = {}
    for variant, shape in (("image", SIZE), ("stack", (2, *SIZE))):
        image = make_image(5 * uniform(shape, 150))
        flat = (1 + 0.05 * noise(SIZE, 151)).astype(np.float32)
        flat[0, :3] = np.nan, 0, -0.5
        content = {
            "SCI": flat,
            "ERR": (0.002 * (1 + uniform(SIZE, 152))).astype(np.float32),
            "DQ": np.where(chosen(SIZE, 153, 0.03), 1 << 18, 0).astype(np.uint32),
        }
        run_step("flat_field", image, make_references(folder, _subarray(image), flat=content))
        results |= _image_arrays(variant, image)
    return results


def photom(folder):
    image = make_image(5 * uniform(SIZE, 160))
    image.var_flat = (1e-4 * uniform(SIZE, 161)).astype(np.float32)
    names = [("filter", "S12"), ("pupil", "S15"), ("photmjsr", "f4"), ("uncertainty", "f4")]
    rows = np.array([("F277W", "CLEAR", 0.4, 0.01), ("F444W", "CLEAR", 0.37, 0.01)], dtype=names)
    loss = np.array([(59800.0, 0.01), (59800.0, 0.02)], dtype=[("t0", "f8"), ("lossperyear", "f4")])
    area = (1 + 0.01 * noise(SIZE, 162)).astype(np.float32)
    header = {"PIXAR_SR": 9.31e-14, "PIXAR_A2": 3.96e-3}
    references = make_references(
        folder,
        _subarray(image),
        photom={"PHOTOM": rows, "TIMECOEFF_LINEAR": loss, "header": header},
        area={"SCI": area, "header": header},
    )
    run_step("photom", image, references)
    keywords = ("PHOTMJSR", "PHOTUJA2", "PIXAR_SR", "PIXAR_A2")
    return _image_arrays("image", image) | keywords_of("image", image.sci_header, keywords)


CASES = {
    function.__name__: function
    for function in (
        group_scale,
        dq_init,
        saturation,
        superbias,
        refpix,
        linearity,
        dark_current,
        jump,
        ramp_fit,
        gain_scale,
        assign_wcs,
        flat_field,
        photom,
    )
}
for more in (
    golden_cases_bands,
    golden_cases_cubes,
    golden_cases_events,
    golden_cases_flicker,
    golden_cases_miri,
    golden_cases_modes,
    golden_cases_mosaics,
    golden_cases_moving,
    golden_cases_mrs,
    golden_cases_pairs,
    golden_cases_refpix,
    golden_cases_sky,
):
    CASES |= more.CASES
