"""What hits a detector: cosmic rays, snowballs, and showers, as charge in pixels at a time."""

import numpy as np
from astropy.table import Table

_COSMIC_RAYS_PER_SECOND = 68.0 / 2048**2  # per pixel: 5 per cm^2 and second
_COSMIC_RAY_CHARGE = 1100.0  # electrons, median for a path through the full depth
_DEPTH = 8.0 / 18.0  # of the sensitive layer, in pixels
_DIFFUSION = 0.35  # pixel
_PACKETS = 24  # parcels of charge per track

_SNOWBALLS_PER_SECOND = 0.02 / 2048**2  # per pixel
_SNOWBALL_RADIUS = (2.0, 8.0)  # pixels, of the core that saturates
_SNOWBALL_CORE = 4e5  # electrons in each pixel of the core
_SNOWBALL_HALO = 2e4  # electrons in a pixel at the edge of the core
_SNOWBALL_FALL = 0.35  # scale of the halo's exponential, in radii of the core

_SHOWERS_PER_SECOND = 0.01 / 2**20  # per pixel
_SHOWER_SIGMA = (12.0, 40.0)  # pixels, along the longer axis
_SHOWER_PEAK = (30.0, 150.0)  # electrons per pixel, all told
_SHOWER_PROMPT = 0.6  # part of the charge that comes at once
_SHOWER_DECAY = 15.0  # seconds, of the rest


def _ray_table(integration, frame, group, x, y, electrons, length, angle):
    table = Table(
        {
            "integration": integration,
            "frame": frame,
            "group": group,
            "x": x,
            "y": y,
            "electrons": electrons,
            "length": length,
            "angle": angle,
        }
    )
    for name, unit in (("electrons", "electron"), ("length", "pixel"), ("angle", "deg")):
        table[name].unit = unit
    return table


def cosmic_rays(random, readout, on):
    """Tracks of particles from all directions through a thin layer: a table as in `ramps.RawRamp`."""
    ny, nx = readout.shape
    margin = 5.0
    area = (ny + 2 * margin) * (nx + 2 * margin)
    expected = _COSMIC_RAYS_PER_SECOND * area * readout.nints * readout.integration_time
    number = random.poisson(expected) if on else 0
    integration = random.integers(0, readout.nints, number)
    frame = random.integers(0, readout.frames, number)
    x = random.uniform(-0.5 - margin, nx - 0.5 + margin, number)
    y = random.uniform(-0.5 - margin, ny - 0.5 + margin, number)
    cosine = np.sqrt(random.uniform(1e-4, 1, number))  # as many through a plane as it looks large
    path = np.minimum(_DEPTH / cosine, 40.0)
    length = np.sqrt(np.maximum(path**2 - _DEPTH**2, 0))
    angle = random.uniform(0, 360, number)
    electrons = np.rint(_COSMIC_RAY_CHARGE * (path / _DEPTH) * random.lognormal(0, 0.8, number))
    stride = readout.nframes + readout.groupgap
    group = np.where(frame % stride < readout.nframes, frame // stride, frame // stride + 1)
    order = np.lexsort((x, y, frame, integration))
    columns = (integration, frame, group, x, y, electrons, length, angle)
    return _ray_table(*(column[order] for column in columns))


def deposits(random, rays, readout, sensitive):
    """Rows, columns and electrons that each frame of each integration receives from cosmic rays.

    Returns
    -------
    dict of (int, int) to (rows, columns, electrons)
        By integration and frame.
    """
    if len(rays) == 0:
        return {}
    ny, nx = readout.shape
    along = (np.arange(_PACKETS) + 0.5) / _PACKETS * np.asarray(rays["length"])[:, None]
    angle = np.radians(np.asarray(rays["angle"]))[:, None]
    x = np.asarray(rays["x"])[:, None] + along * np.cos(angle)
    y = np.asarray(rays["y"])[:, None] + along * np.sin(angle)
    x += random.normal(0, _DIFFUSION, x.shape)
    y += random.normal(0, _DIFFUSION, y.shape)
    columns, rows = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    electrons = np.asarray(rays["electrons"])[:, None]
    # whole electrons that add up to the track's
    shares = np.diff(np.rint(electrons * np.arange(_PACKETS + 1) / _PACKETS), axis=1).astype(np.float32)
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    inside[inside] = sensitive[rows[inside], columns[inside]]
    number = np.asarray(rays["integration"]) * readout.frames + np.asarray(rays["frame"])
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    hits = {}
    for start, stop in zip(starts, [*starts[1:], len(number)], strict=True):
        good = inside[start:stop]
        key = divmod(int(number[start]), readout.frames)
        hits[key] = rows[start:stop][good], columns[start:stop][good], shares[start:stop][good]
    return hits


def snowballs(random, readout, on):
    """Large events: a round core that saturates, in a halo.

    Returns
    -------
    Table
        ``integration``, ``frame``, ``x``, ``y`` (0-based pixel in read-out order), ``radius`` (pixel, of the core).
    """
    ny, nx = readout.shape
    number = random.poisson(_SNOWBALLS_PER_SECOND * ny * nx * readout.nints * readout.integration_time) if on else 0
    table = Table(
        {
            "integration": random.integers(0, readout.nints, number),
            "frame": random.integers(0, readout.frames, number),
            "x": random.uniform(0, nx - 1, number),
            "y": random.uniform(0, ny - 1, number),
            "radius": np.exp(random.uniform(*np.log(_SNOWBALL_RADIUS), number)),
        }
    )
    table["radius"].unit = "pixel"
    return table


def add_snowballs(charge, table, integration, frame, sensitive):
    """Add the snowballs of a frame to the charge (electrons), in place."""
    for event in table[(table["integration"] == integration) & (table["frame"] == frame)]:
        radius = float(event["radius"])
        window, distance = _window(charge.shape, event["x"], event["y"], radius, radius, 0.0, 5.0)
        core = distance <= 1
        halo = _SNOWBALL_HALO * np.exp(-(distance - 1) / _SNOWBALL_FALL)
        charge[window] += np.rint(np.where(core, _SNOWBALL_CORE, halo)).astype(np.float32) * sensitive[window]


def showers(random, readout, on):
    """Diffuse faint events, whose charge partly comes later.

    Returns
    -------
    Table
        ``integration``, ``frame``, ``x``, ``y``, ``sigma`` (pixel, along the longer axis), ``ratio`` of the axes, ``angle``
        (degrees from x to y), ``peak`` (electrons per pixel at the centre, all told).
    """
    ny, nx = readout.shape
    number = random.poisson(_SHOWERS_PER_SECOND * ny * nx * readout.nints * readout.integration_time) if on else 0
    table = Table(
        {
            "integration": random.integers(0, readout.nints, number),
            "frame": random.integers(0, readout.frames, number),
            "x": random.uniform(0, nx - 1, number),
            "y": random.uniform(0, ny - 1, number),
            "sigma": random.uniform(*_SHOWER_SIGMA, number),
            "ratio": random.uniform(0.4, 1.0, number),
            "angle": random.uniform(0, 180, number),
            "peak": np.exp(random.uniform(*np.log(_SHOWER_PEAK), number)),
        }
    )
    table["sigma"].unit, table["angle"].unit, table["peak"].unit = "pixel", "deg", "electron"
    return table


def shower_light(shape, table, integration, frame, readout):
    """Electrons that showers add to each pixel in a frame; None for none.

    A part of the charge comes in the frame of the event, the rest decays over the frames that follow.
    """
    total = None
    for event in table[(table["integration"] == integration) & (table["frame"] <= frame)]:
        after = (frame - int(event["frame"])) * readout.frame_time / _SHOWER_DECAY
        share = (1 - _SHOWER_PROMPT) * np.exp(-after) * (1 - np.exp(-readout.frame_time / _SHOWER_DECAY))
        if int(event["frame"]) == frame:
            share += _SHOWER_PROMPT
        if share * event["peak"] < 1e-3:
            continue
        sigma = float(event["sigma"])
        window, distance = _window(shape, event["x"], event["y"], sigma, sigma * event["ratio"], event["angle"], 4.0)
        if total is None:
            total = np.zeros(shape, np.float32)
        total[window] += event["peak"] * share * np.exp(-0.5 * distance**2)
    return total


def _window(shape, x, y, major, minor, angle, reach):
    """Slices around a position, and the distance there in units of an ellipse's axes."""
    ny, nx = shape
    size = int(np.ceil(reach * max(major, minor)))
    i, j = round(float(x)), round(float(y))
    window = np.s_[max(j - size, 0) : min(j + size + 1, ny), max(i - size, 0) : min(i + size + 1, nx)]
    rows, columns = np.ogrid[window]
    turn = np.radians(float(angle))
    along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
    return window, np.hypot(along / major, across / minor)
