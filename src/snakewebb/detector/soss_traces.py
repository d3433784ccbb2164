"""Where the spectra of NIRISS SOSS lie on the detector, for a position of the pupil wheel."""

import numpy as np

from snakewebb.errors import BadDataError, MissingReferenceError

_LAST_ROW = 255  # of the region for which the reference is made
_OFFSET_96 = 10  # first row of SUBSTRIP96 in SUBSTRIP256


def soss_traces(tree, pupil_position, subarray, *, compatibility="native"):
    """Centres of the spectral orders on the wavelength grid of the reference.

    Parameters
    ----------
    tree : dict
        PASTASOSS reference.
    pupil_position : float
        PWCPOS, degrees.
    subarray : str
        SUBARRAY.
    compatibility : {"native", "jwst"}
        ``"jwst"`` gives the positions in SUBSTRIP256 for full frames too, as `jwst` 3.0.0 does.

    Returns
    -------
    list of (ndarray of float64, ndarray of float64)
        Column and row (0-based, of the subarray) of each order, by column.

    Raises
    ------
    BadDataError
        If the pupil wheel is outside the range of the reference.
    MissingReferenceError
        If the reference lacks an entry.

    References
    ----------
    ``jwst.extract_1d.soss_extract.pastasoss``; Baines et al. 2023, JWST-STScI-008571.
    """
    try:
        meta = tree["meta"]
        low, high = meta["pwcpos_bounds"]
        grid = np.linspace(meta["wavemap_wlmin"], meta["wavemap_wlmax"], int(meta["wavemap_nwl"]))
        angle = None if pupil_position is None else pupil_position - meta["pwcpos_cmd"]
        if angle is None or not low <= pupil_position <= high:
            raise BadDataError(
                f"PWCPOS is {pupil_position!r}, expected {low} to {high} degrees, the range of the PASTASOSS reference; "
                "the traces of this exposure cannot be masked, switch mask_science_regions off"
            )
        traces = []
        for trace in tree["traces"]:
            wavelength_model = next(
                model for model in tree["wavecal_models"] if model["spectral_order"] == trace["spectral_order"]
            )
            column, row = _rotated(trace, angle, _OFFSET_96 if subarray == "SUBSTRIP96" else 0)
            wavelength = _wavelength(wavelength_model, column, angle)
            on_grid = [_extrapolated(grid, wavelength, values) for values in (column, row)]
            if subarray == "FULL" and compatibility == "native":
                on_grid[1] = on_grid[1] + int(meta["subarray_ymin"])
            order = np.argsort(on_grid[0])
            traces.append((on_grid[0][order], on_grid[1][order]))
        return traces
    except (KeyError, StopIteration, TypeError) as error:
        raise MissingReferenceError(f"PASTASOSS reference: entry {error} is missing or of the wrong type") from error


def mask_soss_traces(mask, traces, halfwidth=16):
    """Set the pixels of a mask within ``halfwidth`` rows of a trace to False, in place.

    Parameters
    ----------
    mask : ndarray of bool (..., ny, nx)
    traces : list
        From `soss_traces`.
    halfwidth : float
        Rows; the last one reached is masked too.
    """
    ny, nx = mask.shape[-2:]
    rows = np.arange(ny)[:, None]
    for column, row in traces:
        centre = np.interp(np.arange(nx), column, row)
        mask[..., (rows >= np.floor(centre - halfwidth)) & (rows <= np.ceil(centre + halfwidth))] = False


def _rotated(trace, angle, offset):
    """Columns and rows of a trace turned by an angle about its pivot, at the original columns."""
    x, y = np.array(trace["trace"], np.float64).T
    y = y - offset
    pivot = np.array([[trace["pivot_x"]], [trace["pivot_y"]]])
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned_x, turned_y = np.array([[cosine, -sine], [sine, cosine]]) @ (np.vstack((x, y)) - pivot) + pivot
    order = np.argsort(turned_x, kind="stable")
    turned_x, turned_y = turned_x[order], turned_y[order]
    # straight lines through the neighbours, and through the two outermost points outside
    left = np.clip(np.searchsorted(turned_x, x) - 1, 0, x.size - 2)
    slope = (turned_y[left + 1] - turned_y[left]) / (turned_x[left + 1] - turned_x[left])
    rows = turned_y[left] + slope * (x - turned_x[left])
    inside = rows <= _LAST_ROW
    return x[inside], rows[inside]


def _wavelength(model, column, angle):
    """Wavelengths of columns: a polynomial of column and angle, both scaled to their range."""
    (x_low, angle_low), (x_high, angle_high) = np.array(model["scale_extents"], np.float64)[:2, :2]
    x = (column - x_low) / (x_high - x_low)
    turn = (angle - angle_low) / (angle_high - angle_low)
    coefficients = np.array(model["coefficients"], np.float64)
    degree = int(np.sqrt(2 * coefficients.size)) - 1
    total = np.zeros_like(x)
    index = 0
    for power in range(degree + 1):
        for second in range(power + 1):
            total += coefficients[index] * x ** (power - second) * turn**second
            index += 1
    return total


def _extrapolated(grid, wavelength, values):
    """Values on a grid of wavelengths, continued beyond the ends by straight lines."""
    order = np.argsort(wavelength)
    w, v = wavelength[order], values[order]
    result = np.interp(grid, w, v)
    above, below = grid > w[-1], grid < w[0]
    result[above] = v[-1] + (grid[above] - w[-1]) * (v[-1] - v[-2]) / (w[-1] - w[-2])
    result[below] = v[0] + (grid[below] - w[0]) * (v[1] - v[0]) / (w[1] - w[0])
    return result
