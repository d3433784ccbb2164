"""The command ``snakewebb``."""

import argparse
import sys
from pathlib import Path

from snakewebb.errors import SnakewebbError

_SIMULATED_CONFIG = """\
# Of the simulation: reference files and truth. Add what you want to change.
crds_path: crds
crds_context: jwst_9999.pmap
truth: truth
"""


def main(arguments=None):
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except SnakewebbError as error:
        print(f"snakewebb: {error}", file=sys.stderr)
        return error.exit_code


def _parser():
    parser = argparse.ArgumentParser(
        prog="snakewebb", description="Calibration of JWST data: what goes around the workflow."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    profiles = commands.add_parser(
        "profiles", help="write the Snakemake profiles, so that --profile NAME works anywhere"
    )
    profiles.add_argument("--repository", default=".", help="root of the workflow (default: the working directory)")
    profiles.set_defaults(run=_profiles)

    simulate = commands.add_parser("simulate", help="make raw data, reference files and the truth of a small programme")
    simulate.add_argument(
        "mode",
        help="observing mode: nircam_imaging; or, up to the raw data and reference files of stage 1, miri_imaging, "
        "miri_mrs, niriss_imaging, niriss_soss, nirspec_fs, nirspec_irs2, fgs_imaging, guider",
    )
    simulate.add_argument("--out", required=True, help="folder to make")
    simulate.add_argument(
        "--preset", default="small", help="tiny, small or full, for niriss_soss also stripes (default: small)"
    )
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument(
        "--events",
        nargs="+",
        default=[],
        metavar="EFFECT",
        help="switch on what is off otherwise: snowballs, showers, persistence, charge_migration, ipc",
    )
    simulate.set_defaults(run=_simulate)

    compile_ = commands.add_parser("compile", help="compile all kernels into the cache, so that no job has to")
    compile_.add_argument("--repository", default=".", help="root of the workflow (default: the working directory)")
    compile_.set_defaults(run=_compile)

    parameters = commands.add_parser("parameters", help="print the documentation of all steps' parameters (Markdown)")
    parameters.set_defaults(run=_parameters)

    bundle = commands.add_parser("bundle", help="write how every product was made, for a paper; or compare with that")
    _add_bundle(bundle)
    return parser


def _add_bundle(parser):
    from snakewebb.bundle.command import add_arguments, run

    add_arguments(parser)
    parser.set_defaults(run=run)


def _profiles(options):
    from snakewebb.profiles import write_profiles

    for path, written in write_profiles(Path(options.repository).resolve()):
        print(f"{path}: {'written' if written else 'left alone, it was not written by snakewebb'}")


def _simulate(options):
    from snakewebb.simulate.truth import default_effects, simulate

    out = Path(options.out)
    effects = default_effects(options.mode) | set(options.events)
    simulate(options.mode, out, preset=options.preset, seed=options.seed, effects=effects, progress=print)
    config = out / "config.yaml"
    if not config.exists():
        config.write_text(_SIMULATED_CONFIG)
        print(f"wrote {config}")


def _compile(options):
    from snakewebb.warm_up import compile_kernels

    compile_kernels(options.repository)


def _parameters(options):
    from snakewebb.plan.parameter_docs import parameter_page

    print(parameter_page(), end="")


if __name__ == "__main__":
    sys.exit(main())
