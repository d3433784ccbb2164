"""The WCS of a cube as the tagged tree of a gwcs."""

import numpy as np

from snakewebb.io.asdf_tree import CORE, Tagged
from snakewebb.wcs.transforms import GWCS

_ICRS = Tagged("tag:astropy.org:astropy/coordinates/frames/icrs-1.1.0", {"frame_attributes": {}})


def cube_wcs_tree(grid):
    """Tree of the WCS from 0-based voxel coordinates (x, y, plane) to right ascension, declination (degrees) and micron.

    Parameters
    ----------
    grid : CubeGrid

    Returns
    -------
    Tagged or None
        ``None`` for a grid along the slices of the instrument, which is not on the sky.
    """
    if grid.local:
        return None
    a = np.deg2rad(grid.angle)
    matrix = np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]])
    nplanes, ny, nx = grid.shape
    sky = _composed(
        _beside(_shift(1.0 - grid.crpix[0]), _shift(1.0 - grid.crpix[1])),
        _transform("affine-1.5.0", "xy", "xy", matrix=matrix, translation=np.zeros(2)),
        _beside(*(_transform("scale-1.4.0", "x", "y", factor=float(step) / 3600.0) for step in grid.cdelt)),
        _transform("gnomonic-1.4.0", "xy", ("phi", "theta"), direction="pix2sky"),
        _transform(
            "rotate3d-1.5.0",
            ("phi_N", "theta_N"),
            ("alpha_C", "delta_C"),
            direction="native2celestial",
            phi=float(grid.crval[0]),
            theta=float(grid.crval[1]),
            psi=180.0,
        ),
    )
    if grid.linear:
        wave = _composed(_transform("scale-1.4.0", "x", "y", factor=float(grid.step)), _shift(float(grid.start)))
    else:
        wave = _transform(
            "tabular-1.4.0",
            "x",
            "y",
            points=[list(range(nplanes))],
            lookup_table=np.asarray(grid.wave, np.float64),
            method="linear",
            bounds_error=False,
        )
    whole = _transform("concatenate-1.4.0", ("x0", "x1", "x"), ("alpha_C", "delta_C", "y"), forward=[sky, wave])
    limits = {"x": [0, nplanes - 1], "x0": [0, nx - 1], "x1": [0, ny - 1]}
    whole.value["bounding_box"] = Tagged(
        f"{CORE}transform/property/bounding_box-1.2.0", {"ignore": [], "intervals": limits, "order": "F"}
    )
    steps = [(_voxels(), whole), (_world(), None)]
    return Tagged(
        f"{GWCS}wcs-1.4.0",
        {
            "name": "",
            "pixel_shape": None,
            "steps": [
                Tagged(f"{GWCS}step-1.3.0", {"frame": frame, "transform": transform}) for frame, transform in steps
            ],
        },
    )


def _transform(tag, inputs, outputs, **content):
    return Tagged(f"{CORE}transform/{tag}", {**content, "inputs": list(inputs), "outputs": list(outputs)})


def _shift(offset):
    return _transform("shift-1.4.0", "x", "y", offset=offset)


def _beside(first, second):
    return _transform("concatenate-1.4.0", ("x0", "x1"), ("y0", "y1"), forward=[first, second])


def _composed(*transforms):
    """One transform after the other."""
    whole = transforms[0]
    for transform in transforms[1:]:
        whole = _transform(
            "compose-1.4.0", whole.value["inputs"], transform.value["outputs"], forward=[whole, transform]
        )
    return whole


def _unit(name):
    return Tagged(f"{CORE}unit/unit-1.0.0", name)


def _voxels():
    types = ["SPATIAL", "SPATIAL", "SPECTRAL"]
    content = {
        "axes_names": ["x", "y", "z"],
        "axes_order": [0, 1, 2],
        "axes_type": types,
        "name": "detector",
        "naxes": 3,
    }
    content |= {"axis_physical_types": [f"custom:{name}" for name in types], "unit": [_unit("pixel")] * 3}
    return Tagged(f"{GWCS}frame-1.2.0", content)


def _world():
    sky = {
        "axes_names": ["RA", "DEC"],
        "axes_order": [0, 1],
        "axis_physical_types": ["pos.eq.ra", "pos.eq.dec"],
        "name": "sky",
    }
    sky |= {"reference_frame": _ICRS, "unit": [_unit("deg")] * 2}
    spectral = {"axes_names": ["wavelength"], "axes_order": [2], "axis_physical_types": ["em.wl"], "name": "spectral"}
    spectral |= {"unit": [_unit("um")]}
    frames = [Tagged(f"{GWCS}celestial_frame-1.2.0", sky), Tagged(f"{GWCS}spectral_frame-1.2.0", spectral)]
    return Tagged(f"{GWCS}composite_frame-1.0.0", {"frames": frames, "name": "world"})
