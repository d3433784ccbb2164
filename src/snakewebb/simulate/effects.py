"""Which effects are switched on."""

import io
from difflib import get_close_matches

from snakewebb.errors import ConfigError
from snakewebb.io.atomic import atomic


def check_effects(effects, default, valid):
    """The set of effects, or the default ones for ``None``.

    Raises
    ------
    ConfigError
        For an unknown one; the message names the nearest valid one.
    """
    if effects is None:
        return default
    effects = frozenset([effects] if isinstance(effects, str) else effects)
    for name in sorted(effects - valid):
        near = get_close_matches(name, valid, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"unknown effect {name!r}{hint} Valid: {', '.join(sorted(valid))}")
    return effects


def write_table(table, path):
    """Write a table of the truth as ECSV."""
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    with atomic(path) as temporary:
        temporary.write_text(text.getvalue())
