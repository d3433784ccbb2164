"""Golden results of the events that cover many pixels."""

import numpy as np
from golden_input import chosen, make_ramp, make_references, noise, uniform

from snakewebb.dq import DO_NOT_USE, JUMP_DET, REFERENCE_PIXEL, SATURATED
from snakewebb.steps import find_step

SIZE = (90, 110)


def _disc(x, y, radius, stretch=1.0):
    rows, columns = np.indices(SIZE)
    return ((columns - x + rows - y) / (stretch * stretch)) ** 2 + (columns - x - rows + y) ** 2 <= 2 * radius * radius


def _flags(folder, ramp, readnoise, **parameters):
    images = {"gain": np.full(SIZE, 2, np.float32), "readnoise": np.full(SIZE, readnoise, np.float32)}
    references = make_references(folder, ramp.subarray, **{name: {"SCI": image} for name, image in images.items()})
    status = find_step("jump")(ramp, references, **parameters)
    assert status.state == "COMPLETE", status
    return {"groupdq": ramp.groupdq} | {name: np.float64(ramp.header[name]) for name in ("PRIMECRS", "EXTNCRS")}


def snowballs(folder):
    """Round and long events with cores, in two integrations."""
    shape = (2, 5, *SIZE)
    ramp = make_ramp(np.broadcast_to(50.0 * np.arange(5)[:, None, None], shape).astype(np.float32))
    ramp.groupdq |= np.where(chosen(shape, 170, 0.01), DO_NOT_USE, 0).astype(np.uint8)
    places = 4 + 80 * uniform((12, 2), 171)
    for number, (x, y) in enumerate(places):
        i, g, radius, stretch = number % 2, 1 + number % 4, 3 + number % 5, 1 + 0.25 * (number % 4)
        ramp.groupdq[i, g, _disc(x, y, radius, stretch)] |= JUMP_DET
        if number % 3:
            ramp.groupdq[i, g:, _disc(x + 1, y - 1, 0.6 * radius, stretch)] |= SATURATED
    return _flags(folder, ramp, 10, expand_large_events=True, edge_size=5)


def showers(folder):
    """Faint events of a few groups."""
    shape = (1, 14, *SIZE)
    steps = 20 + 7 * noise(shape, 175)
    for group, x, y in ((4, 30, 40), (9, 80, 50)):
        steps[0, group] += np.where(_disc(x, y, 13), 14, 0)
    ramp = make_ramp(np.cumsum(steps, axis=1).astype(np.float32), TGROUP=2.8)
    ramp.pixeldq[:, :4] = REFERENCE_PIXEL
    return _flags(folder, ramp, 6, find_showers=True, time_masked_after_shower=6.0)


CASES = {"jump.snowballs": snowballs, "jump.showers": showers}
"""By step and part: parts have golden files of their own, so that a part can be added to a version that has one."""
