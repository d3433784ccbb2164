"""The transforms that imaging WCSs are made of: evaluated with numpy, read from and written to ASDF trees.

They mean the same as the models of astropy and gwcs that carry the same tags; those take seconds to import.
"""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.io.asdf_tree import CORE, Tagged

GWCS = "tag:stsci.edu:gwcs/"


class UnsupportedTransformError(BadDataError):
    """A tree holds a transform that is not one of those of this module."""


class Transform:
    """A function of several coordinates.

    Attributes
    ----------
    n_inputs, n_outputs : int
    name : str or None
    stated_inverse : Transform or None
        The inverse that the tree gives, where it does not follow from the transform itself.
    bounding_box : tuple of (float, float) or None
        Limits of each input.
    """

    n_inputs = n_outputs = 1
    name = None
    stated_inverse = None
    bounding_box = None

    def __call__(self, *coordinates):
        """Transform arrays; one input gives an array, several give a tuple."""
        result = self._evaluate(*(np.asarray(values, np.float64) for values in coordinates))
        return result if self.n_outputs > 1 else result[0]

    def __or__(self, other):
        """One transform after the other."""
        return Compose(self, other)

    def __and__(self, other):
        """Two transforms side by side."""
        return Concatenate(self, other)

    @property
    def inverse(self):
        """The inverse: the stated one, else the exact one.

        Raises
        ------
        BadDataError
            If there is none.
        """
        return self.stated_inverse if self.stated_inverse is not None else self._inverse()

    def _inverse(self):
        raise BadDataError(f"the transform {type(self).__name__} has no inverse")

    def named(self, name):
        """Give it a name; returns the transform itself."""
        self.name = name
        return self

    def parts(self):
        """The transform and everything it is made of, depth first."""
        yield self
        for part in (getattr(self, "left", None), getattr(self, "right", None)):
            if part is not None:
                yield from part.parts()

    def part(self, name):
        """The part of that name.

        Raises
        ------
        KeyError
            If there is none.
        """
        for part in self.parts():
            if part.name == name:
                return part
        raise KeyError(name)

    def tree(self):
        """The transform as a tagged tree."""
        tag, content = self._content()
        if self.name is not None:
            content["name"] = self.name
        if self.bounding_box is not None:
            inputs = [f"x{number}" for number in range(self.n_inputs)]
            content["inputs"] = inputs
            content["bounding_box"] = Tagged(
                f"{CORE}transform/property/bounding_box-1.2.0",
                {
                    "intervals": {name: list(box) for name, box in zip(inputs, self.bounding_box, strict=True)},
                    "ignore": [],
                    "order": "F",
                },
            )
        if self.stated_inverse is not None:
            content["inverse"] = self.stated_inverse.tree()
        return Tagged(tag, content)


class Shift(Transform):
    """x + offset."""

    def __init__(self, offset):
        self.offset = float(offset)

    def _evaluate(self, x):
        return (x + self.offset,)

    def _inverse(self):
        return Shift(-self.offset)

    def _content(self):
        return f"{CORE}transform/shift-1.4.0", {"offset": self.offset}


class Scale(Transform):
    """x * factor."""

    def __init__(self, factor):
        self.factor = float(factor)

    def _evaluate(self, x):
        return (x * self.factor,)

    def _inverse(self):
        return Scale(1.0 / self.factor)

    def _content(self):
        return f"{CORE}transform/scale-1.4.0", {"factor": self.factor}


class Identity(Transform):
    """The coordinates themselves."""

    def __init__(self, count):
        self.n_inputs = self.n_outputs = int(count)

    def _evaluate(self, *coordinates):
        return coordinates

    def _inverse(self):
        return Identity(self.n_inputs)

    def _content(self):
        return f"{CORE}transform/identity-1.4.0", {"n_dims": self.n_inputs}


class Constant(Transform):
    """A number, whatever the coordinate."""

    def __init__(self, value):
        self.value = float(value)

    def _evaluate(self, x):
        return (np.full_like(x, self.value),)

    def _content(self):
        return f"{CORE}transform/constant-1.6.0", {"value": self.value, "dimensions": 1}


class Mapping(Transform):
    """The coordinates of these numbers."""

    def __init__(self, mapping, n_inputs=None):
        self.mapping = tuple(int(number) for number in mapping)
        self.n_inputs = max(self.mapping) + 1 if n_inputs is None else int(n_inputs)
        self.n_outputs = len(self.mapping)

    def _evaluate(self, *coordinates):
        return tuple(coordinates[number] for number in self.mapping)

    def _inverse(self):
        if set(self.mapping) != set(range(self.n_inputs)):
            return super()._inverse()
        return Mapping([self.mapping.index(number) for number in range(self.n_inputs)], self.n_outputs)

    def _content(self):
        content = {"mapping": list(self.mapping)}
        if self.n_inputs != max(self.mapping) + 1:
            content["n_inputs"] = self.n_inputs
        return f"{CORE}transform/remap_axes-1.5.0", content


class Polynomial(Transform):
    """A polynomial in one or two coordinates: sum c[i, j] x^i y^j, of the coordinates mapped from domain to window."""

    def __init__(self, coefficients, domain=None, window=None):
        self.coefficients = np.array(coefficients, np.float64)
        self.n_inputs = self.coefficients.ndim
        self.domain = _limits(domain, self.n_inputs)
        self.window = _limits(window, self.n_inputs)
        degree = self.coefficients.shape[0] - 1
        if self.n_inputs == 2:
            i, j = np.indices(self.coefficients.shape)
            self.coefficients[i + j > degree] = 0.0

    def _evaluate(self, *coordinates):
        coordinates = [
            values if low == start and high == stop else start + (values - low) * (stop - start) / (high - low)
            for values, (low, high), (start, stop) in zip(coordinates, self.domain, self.window, strict=True)
        ]
        if self.n_inputs == 1:
            return (_horner(self.coefficients, coordinates[0]),)
        x, y = coordinates
        degree = len(self.coefficients) - 1
        total = np.zeros(np.broadcast(x, y).shape)
        for power in range(degree, -1, -1):
            total *= x
            total += _horner(self.coefficients[power, : degree + 1 - power], y)
        return (total,)

    def _content(self):
        content = {"coefficients": self.coefficients}
        limits = {"domain": self.domain, "window": self.window}
        for key, value in limits.items():
            content[key] = [list(pair) for pair in value] if self.n_inputs == 2 else list(value[0])
        return f"{CORE}transform/polynomial-1.3.0", content


def _limits(value, count):
    if value is None:
        return ((-1.0, 1.0),) * count
    pairs = [value] if count == 1 else value
    return tuple((-1.0, 1.0) if pair is None else tuple(float(limit) for limit in pair) for pair in pairs)


def _horner(coefficients, x):
    total = np.full(np.shape(x), coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


class Affine(Transform):
    """matrix @ (x, y) + translation."""

    n_inputs = n_outputs = 2

    def __init__(self, matrix, translation):
        self.matrix = np.array(matrix, np.float64).reshape(2, 2)
        self.translation = np.array(translation, np.float64).reshape(2)

    def _evaluate(self, x, y):
        (a, b), (c, d) = self.matrix
        return a * x + b * y + self.translation[0], c * x + d * y + self.translation[1]

    def _inverse(self):
        inverse = np.linalg.inv(self.matrix)
        return Affine(inverse, -inverse @ self.translation)

    def _content(self):
        return f"{CORE}transform/affine-1.5.0", {"matrix": self.matrix, "translation": self.translation}


class RotationSequence(Transform):
    """Rotations of the axes, one after the other, degrees."""

    n_inputs = n_outputs = 3

    def __init__(self, angles, axes_order):
        self.angles = tuple(float(angle) for angle in angles)
        self.axes_order = str(axes_order)
        self._matrix = np.eye(3)
        for angle, axis in zip(self.angles, self.axes_order, strict=True):
            self._matrix = rotation_matrix(axis, np.radians(angle)) @ self._matrix

    def _evaluate(self, x, y, z):
        return tuple(row[0] * x + row[1] * y + row[2] * z for row in self._matrix)

    def _inverse(self):
        return RotationSequence([-angle for angle in self.angles[::-1]], self.axes_order[::-1])

    def _content(self):
        return f"{CORE}transform/rotate_sequence_3d-1.2.0", {
            "angles": list(self.angles),
            "axes_order": self.axes_order,
            "rotation_type": "cartesian",
        }


def rotation_matrix(axis, angle):
    """Matrix of a rotation of the coordinate axes about one of them, by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return {
        "x": np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]]),
        "y": np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]]),
        "z": np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]),
    }[axis]


class SphericalToCartesian(Transform):
    """Longitude and latitude (degrees) to a unit vector."""

    n_inputs, n_outputs = 2, 3

    def __init__(self, wrap_lon_at):
        self.wrap_lon_at = int(wrap_lon_at)

    def _evaluate(self, longitude, latitude):
        longitude, latitude = np.radians(longitude), np.radians(latitude)
        c = np.cos(latitude)
        return c * np.cos(longitude), c * np.sin(longitude), np.sin(latitude)

    def _inverse(self):
        return CartesianToSpherical(self.wrap_lon_at)

    def _content(self):
        return f"{GWCS}spherical_cartesian-1.3.0", {
            "transform_type": "spherical_to_cartesian",
            "wrap_lon_at": self.wrap_lon_at,
        }


class CartesianToSpherical(Transform):
    """A vector to longitude and latitude (degrees); the longitude lies below ``wrap_lon_at`` (180 or 360)."""

    n_inputs, n_outputs = 3, 2

    def __init__(self, wrap_lon_at):
        self.wrap_lon_at = int(wrap_lon_at)

    def _evaluate(self, x, y, z):
        longitude = np.degrees(np.arctan2(y, x))
        if self.wrap_lon_at != 180:
            longitude = np.mod(longitude, 360.0)
        return longitude, np.degrees(np.arctan2(z, np.hypot(x, y)))

    def _inverse(self):
        return SphericalToCartesian(self.wrap_lon_at)

    def _content(self):
        return f"{GWCS}spherical_cartesian-1.3.0", {
            "transform_type": "cartesian_to_spherical",
            "wrap_lon_at": self.wrap_lon_at,
        }


class Compose(Transform):
    """One transform after the other."""

    def __init__(self, left, right):
        if left.n_outputs != right.n_inputs:
            raise BadDataError(
                f"a transform with {left.n_outputs} outputs cannot be followed by one with {right.n_inputs} inputs"
            )
        self.left, self.right = left, right
        self.n_inputs, self.n_outputs = left.n_inputs, right.n_outputs

    def _evaluate(self, *coordinates):
        return self.right._evaluate(*self.left._evaluate(*coordinates))

    def _inverse(self):
        return Compose(self.right.inverse, self.left.inverse)

    def _content(self):
        return f"{CORE}transform/compose-1.4.0", {"forward": [self.left.tree(), self.right.tree()]}


class Concatenate(Transform):
    """Two transforms side by side, each of its own coordinates."""

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.n_inputs = left.n_inputs + right.n_inputs
        self.n_outputs = left.n_outputs + right.n_outputs

    def _evaluate(self, *coordinates):
        count = self.left.n_inputs
        return self.left._evaluate(*coordinates[:count]) + self.right._evaluate(*coordinates[count:])

    def _inverse(self):
        return Concatenate(self.left.inverse, self.right.inverse)

    def _content(self):
        return f"{CORE}transform/concatenate-1.4.0", {"forward": [self.left.tree(), self.right.tree()]}


class Divide(Transform):
    """Quotient of the outputs of two transforms of the same coordinates."""

    operation = "divide"

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.n_inputs, self.n_outputs = left.n_inputs, left.n_outputs

    def _evaluate(self, *coordinates):
        pairs = zip(self.left._evaluate(*coordinates), self.right._evaluate(*coordinates), strict=True)
        return tuple(above / below for above, below in pairs)

    def _content(self):
        return f"{CORE}transform/{self.operation}-1.4.0", {"forward": [self.left.tree(), self.right.tree()]}


def _spherical(value):
    kinds = {"spherical_to_cartesian": SphericalToCartesian, "cartesian_to_spherical": CartesianToSpherical}
    return kinds[value["transform_type"]](value["wrap_lon_at"])


def _pair(kind):
    def read(value):
        left, right = (transform_of(part) for part in value["forward"])
        return kind(left, right)

    return read


_READERS = {
    "transform/shift": lambda value: Shift(value["offset"]),
    "transform/scale": lambda value: Scale(value["factor"]),
    "transform/identity": lambda value: Identity(value.get("n_dims", 1)),
    "transform/constant": lambda value: Constant(value["value"]),
    "transform/remap_axes": lambda value: Mapping(value["mapping"], value.get("n_inputs")),
    "transform/polynomial": lambda value: Polynomial(value["coefficients"], value.get("domain"), value.get("window")),
    "transform/affine": lambda value: Affine(value["matrix"], value["translation"]),
    "transform/rotate_sequence_3d": lambda value: RotationSequence(value["angles"], value["axes_order"]),
    "gwcs/spherical_cartesian": _spherical,
    "transform/compose": _pair(Compose),
    "transform/concatenate": _pair(Concatenate),
    "transform/divide": _pair(Divide),
}


def register(kind, reader):
    """Make a kind of transform known that another module defines.

    Parameters
    ----------
    kind : str
        Its tag without authority and version.
    reader : callable
        Content of the node to `Transform`.
    """
    _READERS[kind] = reader


def transform_of(node):
    """The transform of a tagged tree.

    Parameters
    ----------
    node : Tagged

    Raises
    ------
    UnsupportedTransformError
        If the tree holds another kind of transform, or a known one with units or of another form.
    """
    kind = node.kind if isinstance(node, Tagged) else type(node).__name__
    reader = _READERS.get(kind)
    if reader is None:
        raise UnsupportedTransformError(f"the transform {kind!r} is not one that an imaging WCS is made of")
    value = node.value
    try:
        transform = reader(value)
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedTransformError(f"the transform {kind!r} has another form than expected ({error})") from error
    transform.name = value.get("name")
    if value.get("inverse") is not None:
        transform.stated_inverse = transform_of(value["inverse"])
    if value.get("bounding_box") is not None:
        transform.bounding_box = _box_of(value["bounding_box"], transform.n_inputs, value.get("inputs"))
    return transform


def _box_of(node, count, inputs):
    """Limits of each input, x first."""
    if isinstance(node, Tagged):
        intervals = node.value["intervals"]
        names = inputs if inputs and set(inputs) == set(intervals) else sorted(intervals)
        return tuple(tuple(float(limit) for limit in intervals[name]) for name in names)
    pairs = [node] if count == 1 else node
    # the old form lists the last input first
    return tuple(tuple(float(limit) for limit in pair) for pair in reversed(pairs))
