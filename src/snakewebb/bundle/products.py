"""What a programme's jobs leave in the working folder: the files of each, and which of them are wanted."""

import fnmatch
from dataclasses import dataclass
from pathlib import PurePosixPath

from snakewebb.errors import ConfigError
from snakewebb.plan.cubes import reported_products, stitched_cubes
from snakewebb.plan.detection import detection_images
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.product_members import FOLDERS

REPORTS = ("report", "report_pair", "report_spectra", "report_exposures", "report_programme")
"""Rules whose pages tell dates and seconds: they are bundled as they are, and not compared."""
_TABLES = (
    "find_sources",
    "assign_mtwcs",
    "skymatch",
    "measured_offsets",
    "forced_photometry",
    "multiband_catalog",
)
_SHARED = {
    "detector1": ("rate.fits", "rateints.fits"),
    "tweakreg": ("alignment.ecsv", "residuals.ecsv"),
    "source_catalog": ("cat.ecsv", "segm.fits"),
}


@dataclass(frozen=True)
class Product:
    """What one job makes.

    Attributes
    ----------
    rule, name : str
        The rule, and the exposure or product it is of.
    record : str or None
        Path of its record, relative to the working folder; of an association, the association; of a report, none.
    files : tuple of str
        Its other files; those of steps that write a folder of exposures are told by the record.
    inputs : tuple of str
        Records, tables and associations that it is made from.
    raw : tuple of str
        Exposures of the user that it is made from.
    job : Job or None
        As the plan has it; of a report, none.
    """

    rule: str
    name: str
    record: str | None
    files: tuple
    inputs: tuple = ()
    raw: tuple = ()
    job: object = None

    @property
    def title(self):
        """The file by which it is known."""
        return self.record or self.files[0]


def products_of(plan, patterns=()):
    """The products of a plan, each after those that it is made from.

    Parameters
    ----------
    plan : Plan
    patterns : iterable of str
        Names of products or exposures, or patterns of them; each comes with what it is made from. By default all.

    Raises
    ------
    ConfigError
        If a pattern names nothing.
    """
    products = {record: _product(plan, job) for record, job in planned_jobs(plan).items()}
    for page in _pages(plan, products):
        products[page.title] = page
    if not patterns:
        return list(products.values())
    chosen = set()
    for pattern in patterns:
        found = {title for title, product in products.items() if fnmatch.fnmatchcase(product.name, pattern)}
        if not found:
            known = [*plan.associations, *plan.pairs, *plan.exposures][:3]
            raise ConfigError(f"{pattern}: no product or exposure has this name; there are {', '.join(known)} ...")
        chosen |= found
    waiting = list(chosen)
    while waiting:
        for path in products[waiting.pop()].inputs:
            record = record_of(path)
            if record not in chosen:
                chosen.add(record)
                waiting.append(record)
    return [product for title, product in products.items() if title in chosen]


def record_of(path):
    """Path of the record of an input: of a table, the record beside it."""
    return str(PurePosixPath(path).with_suffix(".json"))


def _product(plan, job):
    stem = job.record.removesuffix(".json")
    if job.rule == "persistence_windows":
        files = (f"{stem}.asdf",)
    elif job.rule in _TABLES:
        files = (f"{stem}.ecsv",)
    elif job.rule in _SHARED:
        files = tuple(f"{stem.rpartition('_')[0]}_{ending}" for ending in _SHARED[job.rule])
    elif job.rule in (*FOLDERS, "association"):
        files = ()
    else:
        files = (f"{stem}.fits",)
    raw = ([job.name] if "input" in job.work else []) + list(job.work.get("inputs", ()))
    paths = tuple(plan.exposures[root].path for root in raw)
    return Product(job.rule, job.name, job.record, files, job.inputs, paths, job)


def _pages(plan, products):
    """The pages of the report, as rules/report.smk makes them."""
    if plan.mode.stage3 is None:
        yield Product("report_exposures", plan.mode.name, None, (f"report/{plan.mode.name}.html",), tuple(products))
        return
    if plan.mode.stage3 == "spec3":
        for product in reported_products(plan):
            spectra = tuple(f"stage3/{cube.name}_x1d.json" for cube in plan.cubes.values() if cube.product == product)
            spectra += (f"stage3/{product}_stitched.json",) if stitched_cubes(plan, product) else ()
            yield Product("report_spectra", product, None, (f"report/{product}.html",), spectra)
        return
    for pair in plan.pairs:
        if f"stage3/{pair}.json" in products:
            yield Product("report_pair", pair, None, (f"report/{pair}.html",), (f"stage3/{pair}.json",))
    catalogs = {product: f"stage3/{product}_cat.json" for product in plan.associations}
    catalogs = {product: catalog for product, catalog in catalogs.items() if catalog in products}
    for product, catalog in catalogs.items():
        yield Product("report", product, None, (f"report/{product}.html",), (catalog,))
    if catalogs:
        records = (*catalogs.values(), *(f"stage3/{product}_multiband.json" for product in detection_images(plan)))
        yield Product("report_programme", "programme", None, ("report/programme.html",), records)
