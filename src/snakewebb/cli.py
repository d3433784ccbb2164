"""The command ``snakewebb``."""

import argparse
import sys
from pathlib import Path

from snakewebb.errors import SnakewebbError, TransientError
from snakewebb.warm_up import PROGRAMMES, compile_kernels


def main(arguments=None):
    """Run the command line; returns the exit code, which is 0 unless a command says otherwise."""
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
    profiles.add_argument(
        "--prefix",
        default="",
        help="write profiles of sites for a workflow that imports this one as a module and puts this before the names of rules (webb_)",
    )
    profiles.set_defaults(run=_profiles)

    simulate = commands.add_parser("simulate", help="make raw data, reference files and the truth of a small programme")
    simulate.add_argument(
        "mode",
        help="observing mode: nircam_imaging, niriss_imaging, miri_imaging, fgs_imaging, miri_mrs; or, with the reference files of "
        "stage 1 only, niriss_soss, nirspec_fs, nirspec_irs2, guider",
    )
    simulate.add_argument("--out", required=True, help="folder to make")
    simulate.add_argument(
        "--preset",
        default="small",
        help="tiny, small or full; niriss_soss: also stripes, miri_imaging: also ramps (default: small)",
    )
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument(
        "--events",
        nargs="+",
        default=[],
        metavar="EFFECT",
        help="switch on what is off otherwise: snowballs, showers, persistence, charge_migration, ipc; of images also glow, light that "
        "the detector sees wherever the telescope points",
    )
    simulate.add_argument(
        "--background-dithers",
        type=int,
        metavar="N",
        help="images and miri_mrs: exposures of a background target besides (default: as the preset has it)",
    )
    simulate.set_defaults(run=_simulate)

    compile_ = commands.add_parser("compile", help="compile all kernels into the cache, so that no job has to")
    compile_.add_argument("--repository", default=".", help="root of the workflow (default: the working directory)")
    compile_.add_argument(
        "--mode",
        choices=tuple(PROGRAMMES),
        action="append",
        help="only what images, or the MRS besides, need (default: both)",
    )
    compile_.set_defaults(run=_compile)

    difference = commands.add_parser(
        "context-diff", help="list the exposures, steps and rules that a change of the CRDS context touches"
    )
    difference.add_argument("old", help="context or build: jwst_1535.pmap, or 12.3")
    difference.add_argument("new", help="context or build to compare it with")
    difference.add_argument("--mode", help="observing mode (default: mode of config.yaml)")
    difference.add_argument("--repository", help="root of the workflow (default: where snakewebb is installed from)")
    difference.add_argument("--fetch", action="store_true", help="fetch mappings and parameter files that are missing")
    difference.add_argument("--json", action="store_true", help="print JSON")
    difference.set_defaults(run=_context_diff)
    _add_fetch(commands)

    pod = commands.add_parser("pod", help="run a job's script on Kubernetes: what --profile kubernetes calls")
    actions = pod.add_subparsers(required=True, metavar="ACTION")
    submit = actions.add_parser("submit", help="submit a script and print the job's name")
    for name in ("threads", "memory", "minutes"):
        submit.add_argument(f"--{name}", type=int, required=True)
    submit.add_argument("script")
    status = actions.add_parser("status", help="print running, success or failed")
    status.add_argument("name")
    cancel = actions.add_parser("cancel", help="delete jobs")
    cancel.add_argument("names", nargs="+")
    pod.set_defaults(run=_pod)

    parameters = commands.add_parser("parameters", help="print the documentation of all steps' parameters (Markdown)")
    parameters.set_defaults(run=_parameters)

    why = commands.add_parser("why", help="explain a product: what it was made of and how, and whether it is stale")
    why.add_argument("product", help="a file of the product, or its record (.json)")
    why.set_defaults(run=_why)

    diff = commands.add_parser(
        "diff", help="what differs between two products in inputs, chain, parameters, references, versions and data"
    )
    diff.add_argument("first", help="a file of the product, or its record (.json)")
    diff.add_argument("second")
    diff.set_defaults(run=_diff)

    bundle = commands.add_parser("bundle", help="write how every product was made, for a paper; or compare with that")
    _add_bundle(bundle)
    return parser


def _add_fetch(commands):
    from snakewebb.plan.fetch_selection import KEYS

    fetch = commands.add_parser(
        "fetch",
        help="get a programme from the archive, and the reference files it needs; the only command that uses the network",
        description="Writes fetch_manifest.json, then gets what is not there. Options go before the keys of `fetch` in "
        "config.yaml; without either, the selection of the manifest that is there is fetched again.",
    )
    for key, (is_list, _, _, expected) in KEYS.items():
        option = f"--{key.replace('_', '-')}"
        if key == "references":
            continue
        if key == "guide_stars":
            fetch.add_argument(option, action="store_const", const=True, help="exposures of guide stars too")
        else:
            fetch.add_argument(option, nargs="+" if is_list else None, metavar=key.upper(), help=expected)
    fetch.add_argument("--dry-run", action="store_true", help="write and show the manifest, and stop")
    only = fetch.add_mutually_exclusive_group()
    only.add_argument(
        "--references",
        action="store_true",
        help="only what the exposures that are there need of CRDS, and star catalogues, no files of the archive",
    )
    only.add_argument("--no-references", action="store_true", help="only files of the archive")
    fetch.add_argument(
        "--any-size", action="store_true", help="take files whose size is not the one that the archive lists"
    )
    fetch.add_argument(
        "--mode", help="observing mode whose reference files are fetched (default: all that exposures are of)"
    )
    fetch.add_argument("--repository", help="root of the workflow (default: where this package lies)")
    fetch.set_defaults(run=_fetch)


def _fetch(options):
    from snakewebb.fetch.phase import fetch
    from snakewebb.plan.configuration import read_configuration
    from snakewebb.plan.fetch_selection import KEYS
    from snakewebb.plan.modes import MODES, check_mode

    if options.mode:
        check_mode(options.mode, MODES)
    command_line = {"mode": options.mode} if options.mode else {}
    parts = ("references",) if options.references else ("files",) if options.no_references else None
    try:
        fetch(
            read_configuration("config.yaml", command_line),
            {key: value for key in KEYS if key != "references" and (value := getattr(options, key)) is not None},
            command_line=command_line,
            repository=options.repository,
            dry_run=options.dry_run,
            parts=parts,
            any_size=options.any_size,
        )
    except KeyboardInterrupt:
        raise TransientError("interrupted; what came is kept: run the same command again for the rest") from None


def _add_bundle(parser):
    from snakewebb.bundle.command import add_arguments, run

    add_arguments(parser)
    parser.set_defaults(run=run)


def _profiles(options):
    from snakewebb.profiles import write_profiles

    for path, written in write_profiles(Path(options.repository).resolve(), prefix=options.prefix):
        print(f"{path}: {'written' if written else 'left alone, it was not written by snakewebb'}")


def _simulate(options):
    from snakewebb.simulate.truth import SIMULATED_CONFIG, default_effects, simulate

    out = Path(options.out)
    effects = default_effects(options.mode) | set(options.events)
    changes = {} if options.background_dithers is None else {"background_dithers": options.background_dithers}
    simulate(options.mode, out, preset=options.preset, seed=options.seed, effects=effects, progress=print, **changes)
    config = out / "config.yaml"
    if not config.exists():
        config.write_text(SIMULATED_CONFIG)
        print(f"wrote {config}")


def _compile(options):
    compile_kernels(options.repository, options.mode or PROGRAMMES)


def _context_diff(options):
    from snakewebb.plan.context_diff import compare_contexts

    compare_contexts(options)


def _pod(options):
    from snakewebb import pods

    if "script" in options:
        print(pods.submit(options.script, threads=options.threads, memory=options.memory, minutes=options.minutes))
    elif "name" in options:
        print(pods.status(options.name))
    else:
        pods.cancel(options.names)


def _parameters(options):
    from snakewebb.plan.parameter_docs import parameter_page

    print(parameter_page(), end="")


def _why(options):
    from snakewebb.explain.why import explain

    print("\n".join(explain(options.product)))


def _diff(options):
    """Exit code 0 if nothing differs, 1 if something does, like that of ``diff``."""
    from snakewebb.explain.compare import compare

    lines = compare(options.first, options.second)
    print("\n".join(lines) or "no differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
