"""What a plan found, in words."""

import sys

from snakewebb.plan.fetched_files import absent_files


def print_summary(plan, more=(), stream=sys.stderr):
    """Print what is processed, what is left out and why, what deserves a look, and further lines."""
    print("\n".join([*summary_lines(plan), *more]), file=stream)


def summary_lines(plan):
    """Lines of the summary of a plan."""
    title = f"snakewebb: mode {plan.mode.name} ({plan.mode.title}), context {plan.context}"
    title += f", {_counted(plan.exposures, 'exposure')}"
    if plan.mode.stage3:
        title += f", {_counted({**plan.associations, **plan.pairs}, 'product')}"
    lines = [title]
    for product, association in (plan.associations | plan.pairs).items():
        lines.append(f"  {product}: {_counted(association.members, 'exposure')} ({association.source})")
        cubes = [cube for cube in plan.cubes.values() if cube.product == product]
        if cubes:
            names = [f"{cube.name.removeprefix(product + '_')} of {len(cube.members)}" for cube in cubes]
            lines.append(f"    {_counted(cubes, 'cube')}: {', '.join(names)}")
    if plan.left_out:
        verb = "is" if len(plan.left_out) == 1 else "are"
        lines.append(f"snakewebb: {_counted(plan.left_out, 'file')} {verb} not processed:")
        lines += [f"  {path}: {reason}" for path, reason in plan.left_out]
    notes = [*plan.notes, *absent_files(plan.configuration)]
    if notes:
        lines.append("snakewebb: to be looked at:")
        lines += [f"  {note}" for note in notes]
    if not plan.exposures:
        lines.append(
            f"snakewebb: nothing to do: no {plan.mode.name} exposures in the input folders "
            f"({', '.join(plan.configuration['inputs'])})"
        )
    return lines


def _counted(things, noun):
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")
