"""Sharpness and roundness of sources."""

import numpy as np


def sharpness_and_roundness(data, x, y, fwhm):
    """Stetson's statistics of the pixel nearest to each source, with a Gaussian kernel of zero sum.

    Sharpness is the height of the central pixel above the mean of its neighbours over the height of the
    best Gaussian; roundness compares the two- and four-fold symmetry of the convolved image. Beyond the
    edges the image is 0.
    """
    sigma = fwhm / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    reach = max(2.0, 1.5 * sigma)
    radius = int(reach)
    size = 2 * radius + 1
    offset = np.arange(-radius, radius + 1)
    distance = np.hypot(offset[:, None], offset)
    inside = distance <= reach
    gaussian = np.exp(-0.5 * (distance / sigma) ** 2) * inside if sigma > 0 else (distance == 0) * 1.0
    spread = np.sum(gaussian**2) - gaussian.sum() ** 2 / inside.sum()
    kernel = (gaussian - gaussian.sum() / inside.sum()) / spread * inside

    known = np.isfinite(x) & np.isfinite(y)
    column = np.ceil(np.where(known, x, -1000.0) - 0.5).astype(int)
    row = np.ceil(np.where(known, y, -1000.0) - 0.5).astype(int)
    reach_of_convolution = np.arange(-2 * radius, 2 * radius + 1)
    rows, columns = row[:, None] + reach_of_convolution, column[:, None] + reach_of_convolution
    in_rows, in_columns = (rows >= 0) & (rows < data.shape[0]), (columns >= 0) & (columns < data.shape[1])
    there = in_rows[:, :, None] & in_columns[:, None, :]
    wide = data[
        np.clip(rows, 0, data.shape[0] - 1)[:, :, None], np.clip(columns, 0, data.shape[1] - 1)[:, None, :]
    ].astype(np.float64)
    wide[~there] = 0.0
    windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size), axis=(1, 2))
    used = kernel != 0  # a weight of 0 must not see a NaN
    convolved = windows[..., used] @ kernel[used]  # the kernel is symmetric
    centre = np.s_[:, radius : radius + size, radius : radius + size]
    convolved[~there[centre]] = 0.0
    pixels = wide[centre]
    peak = pixels[:, radius, radius]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.sum(pixels * inside, axis=(1, 2)) - peak) / (inside.sum() - 1)
        sharpness = (peak - mean) / convolved[:, radius, radius]
        convolved[:, radius, radius] = 0.0
        twofold = (
            -convolved[:, : radius + 1, radius + 1 :].sum(axis=(1, 2))
            + convolved[:, :radius, : radius + 1].sum(axis=(1, 2))
            - convolved[:, radius:, :radius].sum(axis=(1, 2))
            + convolved[:, radius + 1 :, radius:].sum(axis=(1, 2))
        )
        roundness = 2.0 * twofold / np.abs(convolved).sum(axis=(1, 2))
    return sharpness, roundness
