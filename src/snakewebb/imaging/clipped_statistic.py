"""Statistics of an image's pixels after clipping, as IRAF's imstatistics has them."""

import math

import numpy as np

from snakewebb.compiled import njit

_LANES = 16
"""Sums are made of every sixteenth value each, which a processor adds side by side."""

_BLOCK = 1024  # values whose bins are found together, in vector instructions

_FLT_EPSILON = np.float32(np.finfo(np.float32).eps)


class ClippedStatistic:
    """Clipped statistic of float32 values, as stsci.imagestats computes it."""

    def __init__(self, name, lower, upper, nclip, lsigma, usigma, binwidth):
        self.name = name
        self.lower, self.upper = lower, upper
        self.nclip = nclip
        self.lsigma, self.usigma = lsigma, usigma
        self.binwidth = binwidth

    def __call__(self, values):
        """The statistic of those values that are not NaN and their number; NaN and 0 if no value is within the limits."""
        if not len(values):
            return math.nan, 0
        low = float(np.fmin.reduce(values)) if self.lower is None else float(np.float32(self.lower))
        high = float(np.fmax.reduce(values)) if self.upper is None else float(np.float32(self.upper))
        clip_low, clip_high = np.float32(low), np.float32(high)
        some = values[:: max(1, len(values) // 1000)]
        some = some[some == some]
        pivot = float(np.median(some)) if some.size else 0.0
        for iteration in range(self.nclip + 1):
            count, total, squares = _sums(values, clip_low, clip_high, pivot)
            if count == 0:
                return math.nan, 0
            mean = float(np.float32(pivot + total / count))
            offset = mean - pivot
            variance = (squares - 2 * offset * total + count * offset**2) / (count - 1) if count > 1 else math.nan
            deviation = float(np.float32(math.sqrt(max(variance, 0.0))))
            limits = (
                np.float32(max(low, mean - self.lsigma * deviation)),
                np.float32(min(high, mean + self.usigma * deviation)),
            )
            if iteration == self.nclip or limits == (clip_low, clip_high) or math.isnan(deviation):
                break
            (clip_low, clip_high), pivot = limits, mean
        if self.name == "mean":
            return mean, count
        if self.name == "median":
            return float(np.median(values[(values >= clip_low) & (values <= clip_high)])), count
        return self._of_histogram(values, deviation, clip_low, clip_high), count

    def _of_histogram(self, values, deviation, low, high):
        first, last = (float(value) for value in _range(values, low, high))
        width = self.binwidth * deviation
        span = last - first
        smallest = 10.0 * float(_FLT_EPSILON)
        if not (width >= smallest and span >= smallest and width <= span):
            return first + 0.5 * width if width == width else first
        bins = int(span / width) + 1
        counts = _histogram(values, bins, np.float32(span / (bins - 1)), np.float32(first))
        if self.name == "midpt":
            return _histogram_median(counts, first, width)
        return _histogram_peak(counts, first, width)


def _histogram_peak(counts, first, width):
    """Position of the first highest bin, refined by a parabola through its neighbours."""
    if len(counts) == 2:
        return first + (0.5 if counts[0] > counts[1] else 1.5 if counts[0] < counts[1] else 1.0) * width
    peak = int(np.argmax(counts))
    if peak in (0, len(counts) - 1):
        return first + (peak + 0.5) * width
    left = int(counts[peak]) - int(counts[peak - 1])
    right = int(counts[peak]) - int(counts[peak + 1])
    shift = 0.5 * (left - right) / (left + right) if left + right else 0.0
    return first + (peak + 0.5 + shift) * width


def _histogram_median(counts, first, width):
    """Value below which half of the histogram lies, interpolated within its bin."""
    share = np.cumsum(counts).astype(np.float32)
    share = share / share[-1]
    half = int(np.flatnonzero(share >= 0.5)[0])
    below = float(share[half - 1]) if half else 0.0
    inside = float(share[half]) - below
    return first + (half + ((0.5 - below) / inside if inside else 0.0)) * width


@njit
def _sums(values, low, high, pivot):
    """Number of the values within limits, and the sums of their offsets from a pivot and of the squares."""
    count, total, squares = np.zeros(_LANES, np.int64), np.zeros(_LANES), np.zeros(_LANES)
    whole = values.size // _LANES
    for k in range(whole + 1):
        for lane in range(_LANES if k < whole else values.size - whole * _LANES):
            value = values[k * _LANES + lane]
            inside = (value >= low) & (value <= high)
            offset = np.float64(value) - pivot if inside else 0.0
            count[lane] += inside
            total[lane] += offset
            squares[lane] += offset * offset
    return count.sum(), total.sum(), squares.sum()


@njit
def _range(values, low, high):
    """Range of the values within limits, and of the first value moved into them."""
    start = 0
    while np.isnan(values[start]):
        start += 1
    first, last = np.full(_LANES, max(low, values[start])), np.full(_LANES, min(high, values[start]))
    whole = values.size // _LANES
    for k in range(whole + 1):
        for lane in range(_LANES if k < whole else values.size - whole * _LANES):
            value = values[k * _LANES + lane]
            inside = (value >= low) & (value <= high)
            first[lane] = value if inside & (value < first[lane]) else first[lane]
            last[lane] = value if inside & (value > last[lane]) else last[lane]
    return first.min(), last.max()


@njit
def _histogram(values, bins, width, first):
    # neighbours often fall into the same bin: four histograms, so that none waits for the other's count
    counts = np.zeros((4, bins + 1), np.uint32)  # the last bin is for what is outside
    scale = np.float32(1.0) / width
    edge = first + width * np.float32(bins)
    closed = int(scale * (edge - first)) == bins
    if closed:
        edge *= np.float32(1.0) - _FLT_EPSILON
    places = np.empty(_BLOCK, np.int32)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        for k in range(len(block)):
            value = block[k]
            inside = (value >= first) & ((value < edge) | (closed & (value == edge)))
            places[k] = np.int32(scale * (value - first)) if inside else np.int32(bins)
        for k in range(len(block)):
            counts[k & 3, places[k]] += np.uint32(1)
    return (counts[0] + counts[1] + counts[2] + counts[3])[:bins]
