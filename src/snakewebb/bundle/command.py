"""The command ``snakewebb bundle``."""

from pathlib import Path

import snakewebb
from snakewebb.errors import ConfigError

_WORKFLOW = ("Snakefile", "VERSION", "config/chains.yaml")


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="PRODUCT",
        help="products or exposures to bundle, patterns too (default: all); with --verify, the folder to compare "
        "(default: the working directory)",
    )
    parser.add_argument("--out", default="bundle.zip", help="folder or .zip file to write (default: bundle.zip)")
    parser.add_argument("--verify", metavar="BUNDLE", help="compare the result in a folder with a bundle")
    parser.add_argument("--with-products", action="store_true", help="copy the products too, not only their checksums")
    parser.add_argument("--mode", help="observing mode (default: that of the records)")
    parser.add_argument("--section", help="key of config.yaml that is given to the module, in a paper's own workflow")
    parser.add_argument("--repository", help="root of the workflow (default: that of the installed package)")
    parser.add_argument("--name", default="", help="title of the bundle")
    parser.add_argument("--license", default="", help="licence of the bundle, an address or a sentence")
    parser.add_argument("--date", default="", help="date of publication (default: that of the newest product)")


def run(options):
    """Run the command; returns the exit code."""
    if options.verify:
        return _verify(options)
    from snakewebb.bundle.crate import Description, crate_of
    from snakewebb.bundle.products import products_of
    from snakewebb.bundle.results import read_results
    from snakewebb.bundle.writing import check_free, write_crate

    check_free(options.out)  # before minutes of checksums
    repository = _repository(options.repository)
    plan = plan_of(repository, mode=options.mode, section=options.section)
    results = read_results(products_of(plan, options.names))
    description = Description(options.name, options.license, options.date)
    crate = crate_of(plan, results, repository, description=description, with_products=options.with_products)
    write_crate(crate, options.out)
    print(f"wrote {options.out}: {len(results)} products")
    return 0


def _verify(options):
    from snakewebb.bundle.verify import verify_bundle

    if len(options.names) > 1:
        raise ConfigError(f"--verify: found {len(options.names)} folders, expected one")
    folder = options.names[0] if options.names else "."
    comparison = verify_bundle(options.verify, folder, section=options.section)
    for line in comparison.lines():
        print(line)
    if comparison.differences:
        print(f"{folder} is not what {options.verify} describes")
        return 1
    print(f"{folder} is what {options.verify} describes: {comparison.same} files are the same")
    return 0


def plan_of(repository, *, mode=None, section=None):
    """The plan of the programme in the working directory, as the workflow would have it.

    Parameters
    ----------
    repository : path-like
        Root of the workflow.
    mode : str, optional
        By default that of the configuration, else that of the records.
    section : str, optional
        Key of config.yaml that is given to the module.
    """
    from snakewebb.bundle.verify import configuration_in
    from snakewebb.plan.modes import MODES, check_mode
    from snakewebb.plan.plan import Plan, check_version

    repository = Path(repository)
    check_version(repository / "VERSION")
    path = Path("config.yaml")
    given = configuration_in(path, section)
    mode = mode or (given or {}).get("mode") or _recorded_mode()
    check_mode(mode, MODES)
    return Plan(
        repository / "config" / "modes" / f"{mode}.yaml",
        repository / "config" / "chains.yaml",
        repository / "config" / "builds.yaml",
        config_file=path if given is None else None,
        command_line={**(given or {}), "mode": mode},
    )


def _recorded_mode():
    """Mode of the records in the working directory."""
    from snakewebb.cache import read_json

    records = (read_json(path, {}) for stage in ("stage1", "stage2") for path in Path(stage).glob("*.json"))
    modes = sorted({record["mode"] for record in records if isinstance(record, dict) and record.get("mode")})
    if len(modes) != 1:
        found = f"products of {', '.join(modes)}" if modes else "no products in stage1/ and stage2/"
        raise ConfigError(f"--mode: found {found} in {Path.cwd()}; name the mode whose products are bundled")
    return modes[0]


def _repository(given):
    """Root of the workflow: as given, else that of the installed package or the working directory."""
    candidates = [Path(given)] if given else [Path(snakewebb.__file__).parents[2], Path.cwd()]
    for folder in candidates:
        if all((folder / name).is_file() for name in _WORKFLOW):
            return folder.resolve()
    raise ConfigError(
        f"--repository: no workflow in {' or '.join(map(str, candidates))}; give the folder with the Snakefile of snakewebb"
    )
