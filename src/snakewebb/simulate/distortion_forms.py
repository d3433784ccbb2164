"""The forms in which the distortion references of the instruments write the same transformation.

All take the polynomials from centred pixels to the ideal frame and back (coefficients by powers of x and y), the matrix from the ideal
frame to V2, V3, the reference point in pixels (1-based) and in V2, V3 (arcsec), and the shape of the detector; all give a model with an
inverse.
"""

import numpy as np

_UNIT = 0.025  # millimetres per pixel, in which MIRI's polynomials are
_BORDER = 4  # columns of reference pixels, which MIRI's do not count


def nircam_form(forward, inverse, turn, centre, reference, shape):
    """Of NIRCam and the guiders: with a bounding box."""
    from astropy.modeling import bind_bounding_box

    model = (
        _shifts(1, 1) | _shifts(-centre[0], -centre[1]) | _polynomials(forward) | _linear(turn) | _shifts(*reference)
    )
    model.inverse = (
        _shifts(-reference[0], -reference[1])
        | _linear(np.linalg.inv(turn))
        | _polynomials(inverse)
        | _shifts(*centre)
        | _shifts(-1, -1)
    )
    ny, nx = shape
    bind_bounding_box(model, ((-0.5, nx - 0.5), (-0.5, ny - 0.5)), order="F")
    return model


def niriss_form(forward, inverse, turn, centre, reference, shape):
    """Of NIRISS: one pair of shifts at each end, and no bounding box."""
    from astropy.modeling.models import Identity

    same = Identity(2)
    shift = 1 - centre[0], 1 - centre[1]
    model = _shifts(*shift) | _polynomials(forward) | same | _linear(turn) | same | _shifts(*reference)
    model.inverse = (
        _shifts(-reference[0], -reference[1])
        | _linear(np.linalg.inv(turn))
        | same
        | _polynomials(inverse)
        | same
        | _shifts(-shift[0], -shift[1])
    )
    return model


def miri_form(forward, inverse, turn, centre, reference, shape):
    """Of MIRI's imager: in millimetres, rows before columns between the first and the last part, and no bounding box."""
    from astropy.modeling.models import Identity, Mapping, Polynomial1D, Shift

    def scaled(table, unit):
        powers = np.arange(len(table))
        return table / unit ** (powers[:, None] + powers)

    x, y = (scaled(table, _UNIT) for table in forward)
    # rows first: both axes of the matrix change places
    turned = turn[::-1, ::-1]
    model = (
        Shift(-float(_BORDER)) & Identity(1)
        | Polynomial1D(1, c0=_UNIT * (_BORDER + 1 - centre[0]), c1=_UNIT)
        & Polynomial1D(1, c0=_UNIT * (1 - centre[1]), c1=_UNIT)
        | _polynomials([y, x])
        | _linear(turned, reference[::-1])
        | Identity(2)
        | Mapping((1, 0))
    )
    back = np.linalg.inv(turned)
    columns, rows = (_UNIT * table.T for table in inverse)
    model.inverse = (
        Mapping((1, 0))
        | _linear(back, -back @ np.array(reference[::-1]))
        | _polynomials([columns, rows])
        | Identity(2)
        | Polynomial1D(1, c0=centre[0] - _BORDER - 1, c1=1 / _UNIT) & Polynomial1D(1, c0=centre[1] - 1, c1=1 / _UNIT)
        | Shift(float(_BORDER)) & Identity(1)
    )
    return model


def _polynomials(pair):
    """Two polynomials of both coordinates."""
    from astropy.modeling.models import Mapping, Polynomial2D

    degree = pair[0].shape[0] - 1
    terms = [
        Polynomial2D(
            degree,
            **{f"c{i}_{j}": float(table[i, j]) for i in range(degree + 1) for j in range(degree + 1 - i)},
        )
        for table in pair
    ]
    return Mapping((0, 1, 0, 1)) | terms[0] & terms[1]


def _linear(matrix, constant=(0, 0)):
    """A matrix and a constant as polynomials."""
    return _polynomials([np.array([[start, row[1]], [row[0], 0]]) for start, row in zip(constant, matrix, strict=True)])


def _shifts(x, y):
    from astropy.modeling.models import Shift

    return Shift(float(x)) & Shift(float(y))
