"""Catalogues of the user from which the sources of exposures are taken; imports nothing heavy, since plans need it."""

from pathlib import Path

from snakewebb.errors import ConfigError


def read_catfile(catfile):
    """Read the list of the user's catalogues: file name of the exposure and of its catalogue on each line.

    Parameters
    ----------
    catfile : str or Path
        Catalogue names are relative to its folder. A line without a second name means: find the sources.

    Returns
    -------
    dict
        Path of the catalogue, or None, by file name of the exposure.
    """
    catfile = Path(catfile.strip() if isinstance(catfile, str) else catfile)
    try:
        lines = catfile.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"steps.tweakreg.catfile: {catfile} cannot be read: {error.strerror}") from error
    listed = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise ConfigError(
                f"{catfile}, line {number}: found {len(words)} words, expected an exposure and a catalogue"
            )
        listed[words[0]] = catfile.parent / words[1] if len(words) == 2 else None
    return listed
