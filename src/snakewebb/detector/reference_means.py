"""Clipped means of reference pixels, and the subtraction of signals that depend on the row and on the column."""

import numpy as np

from snakewebb.compiled import by_rows, njit


class ReferenceMeans:
    """The reference pixels of each mean: indices into a plane in detector orientation, by class.

    Attributes
    ----------
    complete : ndarray of bool (amplifier,)
        Amplifiers of which every parity has a usable pixel.
    """

    def __init__(self, rows, columns, bounds, shape, of_column, counts):
        self._rows, self._columns, self._bounds = rows, columns, bounds
        self._shape = shape  # amplifiers, parities, edges
        self._of_column = of_column  # amplifier and parity of each column of the array
        self.complete = (counts.reshape(shape).sum(axis=2) > 0).all(axis=1)

    @classmethod
    def of(cls, good, edge, amplifier, parity, shape):
        """Sort the reference pixels of a plane by class.

        Parameters
        ----------
        good : ndarray of bool (row, column)
            Pixels that may be used, in detector orientation.
        edge : ndarray of int (row,)
            Number of the edge at which the row lies, from 0, or -1.
        amplifier, parity : ndarray of int (column,)
            Classes of the columns, from 0.
        shape : (int, int, int)
            Number of amplifiers, parities and edges.
        """
        rows, columns = np.nonzero(good & (edge >= 0)[:, None])
        number = np.ravel_multi_index((amplifier[columns], parity[columns], edge[rows]), shape)
        order = np.argsort(number, kind="stable")
        counts = np.bincount(number, minlength=np.prod(shape))
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return cls(rows[order], columns[order], bounds, shape, (amplifier, parity), counts)

    def signal(self, view, siglimit):
        """What is to be subtracted from each column of each plane: (plane, column), float64."""
        values = np.ascontiguousarray(view[:, self._rows, self._columns])
        means = np.empty((len(values), self._bounds.size - 1))
        by_rows(clipped_means, len(values), values, self._bounds, float(siglimit), means, block=1)
        means = means.reshape(-1, *self._shape)
        missing = np.isnan(means)
        number = (~missing).sum(axis=3)
        signal = np.where(missing, 0, means).sum(axis=3) / np.maximum(number, 1)
        # an amplifier is left alone unless both parities are known
        signal[~(number > 0).all(axis=2)] = 0
        return signal[:, self._of_column[0], self._of_column[1]]


@njit
def clipped_means(first_plane, last_plane, values, bounds, limit, means):
    """Mean of each class of each plane after clipping until nothing is left out; NaN if nothing is left.

    Parameters
    ----------
    first_plane, last_plane : int
    values : ndarray of float32 (plane, sample)
        Sorted by class; NaN is left out.
    bounds : ndarray of int (class + 1,)
    limit : float
        In standard deviations.
    means : ndarray of float64 (plane, class)
        Set.
    """
    classes = bounds.size - 1
    for task in range(first_plane * classes, last_plane * classes):
        plane, number = task // classes, task % classes
        kept = np.empty(bounds[number + 1] - bounds[number], np.float64)
        count = 0
        for index in range(bounds[number], bounds[number + 1]):
            if values[plane, index] == values[plane, index]:
                kept[count] = values[plane, index]
                count += 1
        before = count + 1
        mean = np.nan
        while 0 < count < before:
            before = count
            total = 0.0
            for index in range(count):
                total += kept[index]
            mean = total / count
            total = 0.0
            for index in range(count):
                total += (kept[index] - mean) ** 2
            reach = limit * np.sqrt(total / count)
            count = 0
            for index in range(before):
                if mean - reach <= kept[index] <= mean + reach:
                    kept[count] = kept[index]
                    count += 1
        means[plane, number] = mean if count > 0 else np.nan


@njit
def subtract_signals(begin, end, data, by_x, by_y):
    """Subtract signals that depend on the column and on the row, in float64, from rows of all planes together."""
    _, ny, nx = data.shape
    for task in range(begin, end):
        plane, y = task // ny, task % ny
        for x in range(nx):
            data[plane, y, x] = np.float32(np.float64(data[plane, y, x]) - by_x[plane, x] - by_y[plane, y])
