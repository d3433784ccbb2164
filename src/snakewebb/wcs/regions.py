"""Transforms that differ from region to region: the slices of an integral-field unit, and its channels.

They mean the same as the models of gwcs and stdatamodels that carry the same tags.
"""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.io.asdf_tree import Tagged
from snakewebb.wcs.transforms import GWCS, Divide, Mapping, Transform, UnsupportedTransformError, register, transform_of

_LABELS = f"{GWCS}label_mapper-1.3.0"


class Multiply(Divide):
    """Product of the outputs of two transforms of the same coordinates."""

    operation = "multiply"

    def _evaluate(self, *coordinates):
        pairs = zip(self.left._evaluate(*coordinates), self.right._evaluate(*coordinates), strict=True)
        return tuple(first * second for first, second in pairs)


class SliceOfBeta(Transform):
    """Label of the slice (100 times the channel plus its number) that lies at an angle beta across the slices.

    Parameters
    ----------
    beta_zero : float
        Beta of the first slice, arcseconds.
    beta_del : float
        Width of a slice, arcseconds.
    channel : int
    """

    def __init__(self, beta_zero, beta_del, channel):
        self.beta_zero, self.beta_del, self.channel = float(beta_zero), float(beta_del), int(float(channel))

    def _evaluate(self, beta):
        return (np.floor(100 * self.channel + (beta - self.beta_zero) / self.beta_del + 1.5),)

    def _content(self):
        return "tag:stsci.edu:jwst_pipeline/miri_ab2slice-1.2.0", {
            "beta_zero": self.beta_zero,
            "beta_del": self.beta_del,
            "channel": float(self.channel),
        }


class LabelMap(Transform):
    """Label of the region that a pixel belongs to; 0 outside all regions and outside the map.

    Parameters
    ----------
    labels : ndarray of int (ny, nx)
    """

    n_inputs = 2

    def __init__(self, labels):
        self.labels = np.asarray(labels)

    def _evaluate(self, x, y):
        ny, nx = self.labels.shape
        columns, rows = np.floor(x + 0.5), np.floor(y + 0.5)
        inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
        found = np.zeros(np.shape(inside))
        found[inside] = self.labels[rows[inside].astype(np.intp), columns[inside].astype(np.intp)]
        return (found,)

    def _content(self):
        return _LABELS, {"no_label": 0, "inputs": ["x", "y"], "mapper": self.labels}


class LabelOfCoordinate(Transform):
    """Label that a transform gives for some of the coordinates."""

    def __init__(self, mapper, inputs_mapping):
        self.mapper, self.inputs_mapping = mapper, inputs_mapping
        self.n_inputs = inputs_mapping.n_inputs

    def _evaluate(self, *coordinates):
        return self.mapper._evaluate(*self.inputs_mapping._evaluate(*coordinates))

    def _content(self):
        return _LABELS, {
            "no_label": float("nan"),
            "inputs_mapping": self.inputs_mapping.tree(),
            "mapper": self.mapper.tree(),
            "inputs": _names(self.n_inputs),
        }


class LabelOfRange(Transform):
    """Label that the transform of a range of one coordinate gives; 0 on the limits of the ranges and outside of them.

    Parameters
    ----------
    ranges : dict of (float, float) to Transform
    inputs_mapping : Mapping
        Takes the coordinate out of all.
    n_inputs : int
    """

    def __init__(self, ranges, inputs_mapping, n_inputs):
        self.ranges, self.inputs_mapping, self.n_inputs = dict(ranges), inputs_mapping, int(n_inputs)

    def _evaluate(self, *coordinates):
        coordinates = np.broadcast_arrays(*coordinates)
        (key,) = self.inputs_mapping._evaluate(*coordinates)
        labels = np.zeros(np.shape(key))
        for (low, high), transform in self.ranges.items():
            inside = (key > low) & (key < high)
            labels[inside] = transform(*(values[inside] for values in coordinates))
        return (labels,)

    def _content(self):
        return _LABELS, {
            "no_label": 0,
            "inputs_mapping": self.inputs_mapping.tree(),
            "mapper": {
                "labels": [list(limits) for limits in self.ranges],
                "models": [transform.tree() for transform in self.ranges.values()],
            },
            "inputs": _names(self.n_inputs),
        }


class RegionsSelector(Transform):
    """The transform of the region that the coordinates lie in; NaN outside all regions.

    Parameters
    ----------
    label_mapper : Transform
        Coordinates to label.
    selector : dict of int to Transform
        Transform by label.
    """

    def __init__(self, label_mapper, selector):
        self.label_mapper = label_mapper
        self.selector = {int(label): transform for label, transform in selector.items()}
        self.n_inputs = label_mapper.n_inputs
        outputs = {transform.n_outputs for transform in self.selector.values()}
        inputs = {transform.n_inputs for transform in self.selector.values()}
        if len(outputs) != 1 or inputs != {self.n_inputs}:
            raise BadDataError(
                f"transforms of regions have {sorted(inputs)} inputs and {sorted(outputs)} outputs, {self.n_inputs} inputs and "
                "one number of outputs expected"
            )
        self.n_outputs = outputs.pop()

    def _evaluate(self, *coordinates):
        shape = np.broadcast_shapes(*(np.shape(values) for values in coordinates))
        flat = [np.broadcast_to(values, shape).ravel() for values in coordinates]
        outputs = np.full((self.n_outputs, flat[0].size), np.nan)
        for members, transform in self.by_region(*flat):
            members = members if members.size < flat[0].size else slice(None)
            for output, values in zip(outputs, transform._evaluate(*(values[members] for values in flat)), strict=True):
                output[members] = values
        return tuple(values.reshape(shape) for values in outputs)

    def by_region(self, *coordinates):
        """Yield the indices of the members of each region, given flat coordinates, and the region's transform."""
        labels = _sortable(self.label_mapper(*coordinates))
        order = np.argsort(labels, kind="stable")
        labels = labels[order]
        for label, transform in self.selector.items():
            first, last = np.searchsorted(labels, [label, label + 1])
            members = order[first:last]
            if members.size:
                yield members, transform

    def _inverse(self):
        inverses = {label: transform.inverse for label, transform in self.selector.items()}
        return RegionsSelector(self.label_mapper.inverse, inverses)

    def parts(self):
        """The transform and everything it is made of, depth first."""
        yield self
        for transform in self.selector.values():
            yield from transform.parts()

    def _content(self):
        return f"{GWCS}regions_selector-1.3.0", {
            "inputs": _names(self.n_inputs),
            "outputs": _names(self.n_outputs),
            "selector": {
                "labels": list(self.selector),
                "transforms": [transform.tree() for transform in self.selector.values()],
            },
            "label_mapper": self.label_mapper.tree(),
            "undefined_transform_value": float("nan"),
        }


def _sortable(labels):
    """Labels as small integers, which are sorted ten times as fast, where they all are; -1 for what is no number."""
    labels = np.where(np.isfinite(labels), labels, -1.0)
    if np.abs(labels).max(initial=0.0) > np.iinfo(np.int16).max:
        return labels
    small = labels.astype(np.int16)
    return small if np.array_equal(small, labels) else labels


def _names(count):
    return [f"x{number}" for number in range(count)]


def _labels_of(value):
    """A label mapper of one of its three forms."""
    mapper = value["mapper"]
    if isinstance(mapper, np.ndarray):
        return LabelMap(mapper)
    inputs_mapping = transform_of(value["inputs_mapping"])
    if not isinstance(inputs_mapping, Mapping):
        raise UnsupportedTransformError("the coordinates of a label are not chosen by a mapping")
    count = len(value["inputs"])
    if isinstance(mapper, Tagged):
        return LabelOfCoordinate(transform_of(mapper), Mapping(inputs_mapping.mapping, count))
    ranges = {
        tuple(limits): transform_of(model) for limits, model in zip(mapper["labels"], mapper["models"], strict=True)
    }
    return LabelOfRange(ranges, inputs_mapping, count)


def _selector_of(value):
    selector = value["selector"]
    transforms = {
        label: transform_of(node) for label, node in zip(selector["labels"], selector["transforms"], strict=True)
    }
    return RegionsSelector(transform_of(value["label_mapper"]), transforms)


register("transform/multiply", lambda value: Multiply(*(transform_of(part) for part in value["forward"])))
register(
    "jwst_pipeline/miri_ab2slice",
    lambda value: SliceOfBeta(value["beta_zero"], value["beta_del"], value["channel"]),
)
register("gwcs/label_mapper", _labels_of)
register("gwcs/regions_selector", _selector_of)
