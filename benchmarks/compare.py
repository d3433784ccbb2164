"""How far two products are apart."""

import numpy as np
from astropy.io import fits


def compare_runs(compatible, default):
    """Differences of two runs of ours from the oracle, as they stand in a row of results.

    Parameters
    ----------
    compatible, default : list of dict
        `compare_products` of each product of the run with ``compatibility: jwst``, and of the default run, which differs from the
        oracle on purpose.

    Returns
    -------
    dict
        Those of the product that differs most: of the compatible run under the names of `compare_products`, of the default run
        ``default_largest_difference_in_err`` and ``default_dq_differing_fraction``.
    """
    worst, worst_default = (max(found, key=_size) for found in (compatible, default))
    names = ("largest_difference_in_err", "dq_differing_fraction")
    return worst | {f"default_{name}": worst_default[name] for name in names}


def _size(found):
    """Largest difference; products that cannot be compared, with NaN, differ most."""
    size = found["largest_difference_in_err"]
    return size if size == size else float("inf")


def compare_products(ours, theirs):
    """Compare SCI of two images or cubes, or FLUX of two spectra, where both are good, in units of the error, and their DQ.

    Returns
    -------
    dict
        ``compared_fraction`` of all pixels, ``largest_difference_in_err``, ``difference_in_err_99_9`` that 99.9 % of
        the pixels do not exceed, ``dq_differing_fraction``.
    """
    with fits.open(ours) as a, fits.open(theirs) as b:
        (left, _, left_dq), (right, error, right_dq) = _content(a), _content(b)
        if left.shape != right.shape:
            return {
                "compared_fraction": 0.0,
                "largest_difference_in_err": float("nan"),
                "difference_in_err_99_9": float("nan"),
                "dq_differing_fraction": 1.0,
            }
        good = np.isfinite(left) & np.isfinite(right) & (error > 0)
        difference = np.abs(left[good].astype(float) - right[good]) / error[good]
        dq = None if left_dq is None or right_dq is None else float(np.mean(left_dq != right_dq))
    return {
        "compared_fraction": float(good.mean()),
        "largest_difference_in_err": float(difference.max(initial=0.0)),
        "difference_in_err_99_9": float(np.quantile(difference, 0.999)) if difference.size else 0.0,
        "dq_differing_fraction": dq,
    }


def _content(units):
    """Values, errors and flags, or ``None``, of an open product."""
    if "EXTRACT1D" in units:
        table = units["EXTRACT1D"].data
        return tuple(np.ravel(table[name]) for name in ("FLUX", "FLUX_ERROR", "DQ"))
    return units["SCI"].data, units["ERR"].data, units["DQ"].data if "DQ" in units else None
