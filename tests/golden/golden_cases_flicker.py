"""Golden cases of the steps that correct noise and thermal background of the read-out."""

import numpy as np
from golden_input import chosen, make_image, make_ramp, make_references, noise, stars, uniform

from snakewebb.dq import DO_NOT_USE, JUMP_DET
from snakewebb.steps import find_step

SIZE = (48, 64)


def _clean(exposure, references, **parameters):
    status = find_step("clean_flicker_noise")(exposure, references, **parameters)
    assert status.state == "COMPLETE", status


def _ramp(seed, slow=2, size=SIZE, **keywords):
    """Ramps of stars on a sloping sky, with noise that the pixels of a line have in common."""
    shape = (2, 4, *size)
    y, x = np.indices(size)
    place = 3 + (size[0] - 6) * uniform((2, 5), seed)
    rate = 15 + 0.1 * x + 0.05 * y + stars(size, place[0], place[1], 400 + 3000 * uniform((5,), seed + 1))
    steps = rate + np.sqrt(rate / 2) * noise(shape, seed + 2)
    lines = (2, 4, size[0], 1) if slow == 2 else (2, 4, 1, size[1])
    data = 200 + np.cumsum(steps, axis=1) + 6 * noise(shape, seed + 3) + 5 * noise(lines, seed + 4)
    data[:, 2:, 3, 4] = np.nan
    groupdq = np.where(chosen(shape, seed + 5, 0.02), JUMP_DET, 0) | np.where(
        chosen(shape, seed + 6, 0.01), DO_NOT_USE, 0
    )
    groupdq[:, 0] = 0
    return make_ramp(data, groupdq=groupdq, SLOWAXIS=slow, **keywords)


def clean_flicker_noise(folder):
    results = {}
    nirspec = {"EXP_TYPE": "NRS_FIXEDSLIT", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "SUBARRAY": "SUBS200A1"}
    for variant, keywords, parameters in (
        ("median", {}, {}),
        ("columns", {"slow": 1}, {"single_mask": False, "fit_histogram": True}),
        ("model", {}, {"background_method": "model", "apply_flat_field": True}),
        ("scaled", {"slow": 1}, {"background_method": "median_image"}),
        ("auto", {}, {"autoparam": True}),
        ("fft", nirspec | {"size": (96, 24), "slow": 1}, {"fit_method": "fft"}),
    ):
        ramp = _ramp(300, **keywords)
        size = ramp.data.shape[2:]
        flat = (1 + 0.05 * noise(size, 310)).astype(np.float32)
        flat[5, 6:9] = np.nan
        references = make_references(
            folder,
            ramp.subarray,
            gain={"SCI": (1.8 + 0.1 * noise(size, 311)).astype(np.float32)},
            readnoise={"SCI": (11 + noise(size, 312)).astype(np.float32)},
            flat={"SCI": flat},
        )
        _clean(ramp, references, **parameters)
        results[f"{variant}_data"] = ramp.data
    image = make_image(5 * uniform(SIZE, 320) + noise((SIZE[0], 1), 321))
    _clean(image, make_references(folder, (1, 1, SIZE[1], SIZE[0])), save_mask=True)
    return results | {"image_data": image.data, "image_mask": image.extra["mask"][1].data}


def picture_frame(folder):
    size = 2048
    # every 64th row and column of the result: the step needs a full frame
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    frame = (0.02 + 0.05 * (x * x + y * y)).astype(np.float32)
    tile = noise((64, 64), 330)
    data = 1.5 * frame + 0.3 + 0.01 * np.tile(tile, (32, 32))
    data[900:1000] += 3 * uniform((100, 1), 331)
    image = make_image(data, INSTRUME="NIRSPEC", DETECTOR="NRS1", EXP_TYPE="NRS_MSASPEC", SUBARRAY="FULL")
    references = make_references(folder, (1, 1, size, size), pictureframe={"SCI": frame})
    status = find_step("picture_frame")(image, references)
    assert status.state == "COMPLETE", status
    return {"image_data": image.data[::64, ::64].copy()}


CASES = {"clean_flicker_noise": clean_flicker_noise, "picture_frame": picture_frame}
