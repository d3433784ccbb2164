"""The user's masks of exposures: pixels that stage 3 does not use, whatever their flags say."""

import fnmatch


def masks_of(plan, roots):
    """The masks of exposures, by the configuration's ``masks``.

    Parameters
    ----------
    plan : Plan
    roots : iterable of str

    Returns
    -------
    dict of str to dict
        ``path`` and ``sha1`` of the file, by exposure; the first pattern that fits an exposure counts.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    given = plan.configuration["masks"]
    found = {}
    for root in roots if given else ():
        pattern = next((pattern for pattern in given if fnmatch.fnmatchcase(root, pattern)), None)
        if pattern is not None and given[pattern]:
            path = str(given[pattern])
            found[root] = {"path": path, "sha1": plan.hash_of(path, f"masks.{pattern}")}
    return found


def mask_notes(plan):
    """What is to be said of masks that no exposure has."""
    if plan.mode.stage3 != "image3":
        return []
    return [
        f"masks: {pattern!r} fits no exposure"
        for pattern in plan.configuration["masks"]
        if not any(fnmatch.fnmatchcase(root, pattern) for root in plan.exposures)
    ]
