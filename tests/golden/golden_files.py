"""Golden files: the results of a version of a step, written once, and compared with what the step gives today."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
RELATIVE = 1e-6
"""Largest difference of numbers, relative to the number itself or, if larger, to the typical one of its array."""


def path_of(step, version, folder=FOLDER):
    """Path of the file of a step (or a part of it, ``step.part``) and a results version."""
    return Path(folder) / f"{step}-v{version}.npz"


def versions(folder=FOLDER):
    """Step and version of each file, sorted."""
    names = [path.stem.rpartition("-v") for path in Path(folder).glob("*.npz")]
    return sorted((step, int(version)) for step, _, version in names)


def load(step, version, folder=FOLDER):
    """Arrays of a golden file by name.

    Raises
    ------
    FileNotFoundError
        With the command that makes it.
    """
    path = path_of(step, version, folder)
    if not path.exists():
        raise FileNotFoundError(
            f"{path.name}: there is no golden file for version {version} of step {step!r}; make it with "
            f"`python tests/golden/make.py {step}`, look at what changed, and commit it"
        )
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


def save(step, version, results, folder=FOLDER):
    """Write a golden file and return its path.

    Raises
    ------
    FileExistsError
        If it is there already: a golden file is never changed.
    """
    path = path_of(step, version, folder)
    if path.exists():
        raise FileExistsError(
            f"{path.name}: the golden file of version {version} of step {step!r} exists and is never changed; "
            f"where the numbers of the step change, bump its version to {version + 1}"
        )
    np.savez_compressed(path, **results)
    return path


def differences(found, expected):
    """What differs between the results of a step and its golden file, a line for each array; empty if nothing does."""
    lines = [f"{name}: in the golden file, but not a result" for name in expected if name not in found]
    lines += [f"{name}: a result, but not in the golden file" for name in found if name not in expected]
    for name in sorted(set(found) & set(expected)):
        ours, golden = np.asarray(found[name]), expected[name]
        if ours.shape != golden.shape or ours.dtype.kind != golden.dtype.kind:
            lines.append(f"{name}: {ours.dtype} {ours.shape}, expected {golden.dtype} {golden.shape}")
            continue
        wrong = _differing(ours, golden)
        if wrong.any():
            where = np.unravel_index(np.argmax(wrong), wrong.shape)
            lines.append(
                f"{name}: {wrong.sum()} of {wrong.size} differ, first at {tuple(map(int, where))}: "
                f"{ours[where]!r}, expected {golden[where]!r}"
            )
    return lines


def _differing(ours, golden):
    if golden.dtype.kind != "f":
        return np.asarray(ours != golden)
    ours, golden = ours.astype(np.float64), golden.astype(np.float64)
    size = np.abs(golden[np.isfinite(golden) & (golden != 0)])
    typical = np.median(size) if size.size else 0.0
    with np.errstate(invalid="ignore"):
        near = np.abs(ours - golden) <= RELATIVE * np.maximum(np.abs(golden), typical)
    return ~(near | (ours == golden) | (np.isnan(ours) & np.isnan(golden)))
