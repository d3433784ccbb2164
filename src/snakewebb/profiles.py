"""Snakemake profiles: those of the repository, made from templates, and those in the user's configuration folder.

The latter let ``snakemake --profile nircam_imaging`` work anywhere.
"""

import os
from pathlib import Path

import yaml

from snakewebb.plan.modes import MODES
from snakewebb.site_profiles import MARK, partition_file, site_profiles

_SNAKEFILE = """\
# {title}. The mode is set here, where no --config or --configfile can lose it.
config.setdefault("mode", "{mode}")


include: "../../../Snakefile"


rule {mode}:
    default_target: True
    input:
        rules.all.input,
"""
_CONFIG = """\
# snakemake --profile {mode}: how to run; what is calculated is in config/modes/{mode}.yaml and your ./config.yaml
snakefile: Snakefile
cores: all
keep-going: true
rerun-incomplete: true
# jobs are few at a time: an exact solution starts another process each time, which takes longer than it can gain
scheduler: greedy
# not `code`: comment edits and git checkouts rerun nothing, versions of steps are in the params
rerun-triggers: [mtime, input, params]
show-failed-logs: true
"""


def snakemake_folder():
    """Folder in which Snakemake looks for the user's profiles."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "snakemake"


def mode_profiles(repository):
    """Text of the files of every mode's profile in config/profiles.

    Parameters
    ----------
    repository : path-like
        Root of the workflow.

    Returns
    -------
    dict of Path to str
    """
    texts = {}
    for mode in MODES:
        title = yaml.safe_load(Path(repository, "config", "modes", f"{mode}.yaml").read_text())["title"]
        for name, template in (("Snakefile", _SNAKEFILE), ("config.yaml", _CONFIG)):
            texts[Path(repository, "config", "profiles", mode, name)] = template.format(mode=mode, title=title)
    return texts


def write_profiles(repository, folder=None, *, prefix=""):
    """Write a profile for every one in the repository's config/profiles.

    A profile that is not ours is never overwritten. The repository's own are brought up to date first, where a mode was added.
    With a prefix of rules, only the profiles of sites are written, under names with that prefix.

    Parameters
    ----------
    repository : path-like
        Root of the workflow.
    folder : path-like, optional
        Where to write; default `snakemake_folder`.
    prefix : str
        Of the names of rules in a workflow that imports this one as a module: ``webb_``.

    Returns
    -------
    list of (Path, bool)
        Every profile and whether it was written.
    """
    folder = Path(folder) if folder else snakemake_folder()
    own = Path(repository, "config", "profiles")
    for path, text in (mode_profiles(repository) | site_profiles(own)).items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    texts = {path: path.read_text() for path in sorted(own.glob("*/config.yaml"))}
    results = []
    for source, text in (site_profiles(own, prefix=prefix) if prefix else texts).items():
        target = folder / source.parent.name / "config.yaml"
        if target.exists() and not target.read_text().startswith(MARK):
            results.append((target, False))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{MARK}\n{_for_the_user(text, source, target.parent)}")
        results.append((target, True))
    return results


def _for_the_user(text, source, folder):
    """Text of a profile of the repository with what holds on this machine."""
    content = yaml.safe_load(text)
    if "snakefile" in content:
        content["snakefile"] = str((source.parent / content["snakefile"]).resolve())
        # without a limit Snakemake starts jobs whatever they need
        content["resources"] = [f"mem_mb={int(physical_memory_mb() * 0.9)}"]
        return yaml.safe_dump(content, sort_keys=False)
    partitions = partition_file(folder) if content["executor"] == "slurm" else None
    return f"{text}slurm-partition-config: {partitions}\n" if partitions else text


def physical_memory_mb():
    """Memory of the machine, or of the control group this process is in, in MB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total // 1000000
