"""Snakemake profiles of sites: how jobs reach a cluster. They are combined with a mode's profile, which says what is calculated.

Snakemake lets a later profile replace whole keys of an earlier one; so none of these has ``snakefile``, ``config`` or ``configfile``.
"""

import subprocess
from pathlib import Path

import yaml

from snakewebb.plan.chains import OF_EXPOSURES, OF_MEMBERS, OF_PRODUCTS

_HEADS = {
    "slurm": """\
# snakemake --profile nircam_imaging --profile slurm: how jobs reach a cluster that Slurm runs. See docs/clusters.md.
executor: slurm
slurm-init-seconds-before-status-checks: 20
# a job whose node failed is started again by Slurm
slurm-requeue: true
""",
    "slurm_arrays": """\
# snakemake --profile nircam_tsimage --profile slurm_arrays: as slurm, with job arrays where a single job lasts minutes (raw exposures of
# many integrations) and fewer calls of sbatch are wanted. See docs/clusters.md.
executor: slurm
slurm-init-seconds-before-status-checks: 20
slurm-requeue: true
# All tasks of an array have what the first one asks for: every job of these rules asks for what the largest of them needs.
# Rules of a group cannot be in an array.
slurm-array-jobs: {arrays}
slurm-array-limit: 500
""",
    "kubernetes": """\
# snakemake --profile nircam_imaging --profile kubernetes: every job is a pod that sees the programme's folder, the reference cache and
# the installed software under the same paths as the machine that submits, on a shared volume. See docs/clusters.md.
# $SNAKEWEBB_IMAGE: a container image with Python; $SNAKEWEBB_VOLUME: name of a persistent volume claim and where it is mounted, as
# webb-data:/data; kubectl must be able to create jobs.
executor: cluster-generic
cluster-generic-submit-cmd: snakewebb pod submit --threads {{threads}} --memory {{resources.mem_mb}} --minutes {{resources.runtime}}
cluster-generic-status-cmd: snakewebb pod status
cluster-generic-cancel-cmd: snakewebb pod cancel
""",
    "generic": """\
# snakemake --profile nircam_imaging --profile generic: any queue with a command that submits a script. See docs/clusters.md.
executor: cluster-generic
# This one is of PBS. What may stand in braces: rule, threads, resources.mem_mb, resources.runtime (minutes), resources.disk_mb
cluster-generic-submit-cmd: >-
  qsub -N snakewebb -j oe -l select=1:ncpus={{threads}}:mem={{resources.mem_mb}}mb -l walltime=00:{{resources.runtime}}:00
cluster-generic-cancel-cmd: qdel
# Without a command that prints `running`, `success` or `failed` for a job's number, Snakemake waits for ever for a job that was killed:
# cluster-generic-status-cmd: my_status
""",
}
_COMMON = """
# jobs in the queue at a time
jobs: 200
# processors of the widest job: {width}
cores: {cores}
# no limit by the memory of the machine that submits, which the mode's profile sets
resources: [mem_mb=10000000]
# small tables, and the page of all products, are written by the machine that submits
local-cores: 1

# Jobs of seconds go together, so that none that is submitted is shorter than minutes: what follows from one raw exposure is a chain, and
# a job has many chains; the rules of a product as far as outliers are another, those of its mosaic a third, with its tiles between them;
# forced photometry in all filters, and its table, a fourth.
groups:
{groups}
group-components:
{components}

# A job that was killed asks for half as much memory again, and twice the time. Bad data and defects are not calculated again.
retries: 2
# products are renamed when they are complete: what a group has made before one of its jobs failed is kept
keep-incomplete: true
# seconds until a file that another machine wrote must be seen
latency-wait: 60

# what the rules do not say; add what your site asks for, such as slurm_account
default-resources:
  mem_mb: 1000
  runtime: 30
  disk_mb: 1000
"""
_WIDTH = "as many jobs of a group run side by side as fit in"
_WIDTH_SLURM = "those of one of our jobs, as the executor runs the jobs of a group one after the other"
_RAW = ("detector1", "dark", "guider_rates")
_EXPOSURES = ("bkg_subtract", "dither_background", "image2", "spec2", *OF_EXPOSURES, "find_sources")
# after the tiles, which are jobs of their own: a group cannot wait for what waits for it
_MOSAICS = ("resample", "source_catalog", "report")
# after the mosaics of all filters
_BANDS = ("forced_photometry", "multiband_catalog")
_PRODUCTS = (
    *(*OF_MEMBERS, *(name for name in OF_PRODUCTS if name not in (*_MOSAICS, *_BANDS))),
    *("mosaic_grid", "report_spectra", "report_pair"),
)

MARK = "# written by `snakewebb profiles`; it may write this file again"
"""First line of a file in the user's folder that is ours."""


def site_profiles(folder, *, prefix=""):
    """Text of the files of the profiles of sites.

    Parameters
    ----------
    folder : path-like
        Of all profiles.
    prefix : str
        Of the names of rules, and of the profiles: that of a workflow that imports this one as a module.

    Returns
    -------
    dict of Path to str
    """
    texts = {}
    for site, head in _HEADS.items():
        arrays = site == "slurm_arrays"
        groups = {} if arrays else {"persistence_windows": "windows"} | dict.fromkeys(_RAW, "exposures")
        groups |= dict.fromkeys(_EXPOSURES, "exposures") | dict.fromkeys(_PRODUCTS, "products")
        groups |= {"mosaic_tile": "tiles"} | dict.fromkeys(_MOSAICS, "mosaics")
        groups |= dict.fromkeys(_BANDS, "bands")
        components = {"windows": 32, "exposures": 16, "products": 1, "tiles": 4, "mosaics": 1, "bands": 1}
        slurm = site.startswith("slurm")
        common = _COMMON.format(
            width=_WIDTH_SLURM if slurm else _WIDTH,
            cores=2 if slurm else 8,
            groups=_lines({prefix + rule: group for rule, group in groups.items()}),
            components=_lines({name: n for name, n in components.items() if name in groups.values()}),
        )
        head = head.format(arrays=",".join(prefix + rule for rule in ("persistence_windows", *_RAW)))
        texts[Path(folder, prefix + site, "config.yaml")] = head + common
    return texts


def _lines(entries):
    return "\n".join(f"  {key}: {value}" for key, value in entries.items())


def slurm_partitions():
    """Limits of the partitions of the Slurm cluster of this machine.

    Returns
    -------
    dict of str to dict
        By name, as the executor reads them; empty without Slurm.
    """
    try:
        result = subprocess.run(
            ["sinfo", "--noheader", "--format=%R|%l|%m|%c|%a"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    partitions = {}
    for line in result.stdout.splitlines():
        name, limit, memory, processors, state = line.split("|")
        if state.strip() != "up":
            continue
        limits = partitions.setdefault(name.strip(), {})
        if limit.strip() not in ("infinite", "n/a"):
            limits["max_runtime"] = _whole_minutes(limit.strip())
        # a partition of unlike nodes has a line for each kind, or the least with a plus
        limits["max_mem_mb"] = max(limits.get("max_mem_mb", 0), int(memory.rstrip("+ ")))
        limits["max_threads"] = max(limits.get("max_threads", 0), int(processors.rstrip("+ ")))
    return partitions


def _whole_minutes(limit):
    """Minutes of a time as Slurm writes it, [[days-]hours:]minutes:seconds: the executor takes 30:00 for 30 hours."""
    days, _, clock = limit.rpartition("-")
    *hours, minutes, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + sum(hours)) * 60 + minutes


def partition_file(folder):
    """Write the partitions of this machine's cluster for a profile in the user's folder, unless a file of the user is there.

    Parameters
    ----------
    folder : Path
        Of the profile.

    Returns
    -------
    Path or None
        The file, ``None`` if there is none.
    """
    path = folder / "partitions.yaml"
    partitions = slurm_partitions()
    if partitions and not (path.exists() and not path.read_text().startswith(MARK)):
        folder.mkdir(parents=True, exist_ok=True)
        note = "# a job goes where it fits best by memory, time and processors; delete the partitions that it must not go to"
        path.write_text(f"{MARK}\n{note}\n{yaml.safe_dump({'partitions': partitions}, sort_keys=False)}")
    return path if path.exists() else None
