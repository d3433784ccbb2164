"""A simulated programme, calibrated in this process by the jobs that the workflow would run."""

import os
import runpy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from astropy.table import Table

REPOSITORY = Path(__file__).parents[2]
CONFIG = "crds_path: crds\ncrds_context: jwst_9999.pmap\ntruth: truth\n"
THREADS = 2


@dataclass
class Programme:
    """A simulated programme; its products are made when they are first asked for."""

    folder: Path
    config: str = ""

    @cached_property
    def plan(self):
        from snakewebb.plan.plan import Plan

        (self.folder / "config.yaml").write_text(CONFIG + self.config)
        with _inside(self.folder):
            return Plan(
                REPOSITORY / "config/modes/nircam_imaging.yaml",
                REPOSITORY / "config/chains.yaml",
                REPOSITORY / "config/builds.yaml",
                config_file="config.yaml",
                command_line={"mode": "nircam_imaging"},
            )

    @property
    def roots(self):
        return list(self.plan.exposures)

    @property
    def product(self):
        (product,) = self.plan.associations
        return product

    @cached_property
    def rates(self):
        """Files rate by exposure."""
        script = _script("detector1")
        for root in self.roots:
            paths = [f"stage1/{root}_{kind}" for kind in ("rate.fits", "rateints.fits", "rate.json")]
            with _inside(self.folder):
                Path("stage1").mkdir(exist_ok=True)
                script["calibrate_ramps"](self.plan.exposures[root].path, *paths, **self._work("detector1", root))
        return {root: self.folder / f"stage1/{root}_rate.fits" for root in self.roots}

    @cached_property
    def cals(self):
        """Files cal by exposure."""
        script = _script("image2")
        for root, rate in self.rates.items():
            with _inside(self.folder):
                Path("stage2").mkdir(exist_ok=True)
                paths = [f"stage2/{root}_cal.fits", f"stage2/{root}_cal.json"]
                script["calibrate_image"](rate, *paths, **self._work("image2", root))
        return {root: self.folder / f"stage2/{root}_cal.fits" for root in self.roots}

    @cached_property
    def alignment(self):
        """Table of the alignment."""
        cals = list(self.cals.values())
        find, align = _script("find_sources"), _script("tweakreg")
        with _inside(self.folder):
            Path("stage3/sources").mkdir(parents=True, exist_ok=True)
            sources = [f"stage3/sources/{root}_sources.ecsv" for root in self.roots]
            for root, cal, path in zip(self.roots, cals, sources, strict=True):
                find["list_sources"](cal, path, work=self.plan.source_finding_work(root), threads=THREADS)
            work = self.plan.alignment_work(self.product)
            align["align_exposures"](cals, sources, "stage3/alignment.ecsv", "stage3/residuals.ecsv", work=work)
        return Table.read(self.folder / "stage3/alignment.ecsv", format="ascii.ecsv")

    @cached_property
    def sky(self):
        """Table of the sky levels."""
        assert len(self.alignment)
        with _inside(self.folder):
            work = self.plan.product_work("skymatch", self.product)
            _script("skymatch")["match_skies"](
                list(self.cals.values()), "stage3/alignment.ecsv", "stage3/sky.ecsv", work=work, threads=THREADS
            )
        return Table.read(self.folder / "stage3/sky.ecsv", format="ascii.ecsv")

    @cached_property
    def crfs(self):
        """Files crf by exposure."""
        assert len(self.sky)
        with _inside(self.folder):
            _script("outlier_detection")["flag_outliers"](
                list(self.cals.values()),
                "stage3/alignment.ecsv",
                "stage3/sky.ecsv",
                "stage3/crf",
                "stage3/crf.json",
                product=self.product,
                **self._product_work("outlier_detection"),
            )
        paths = sorted((self.folder / "stage3/crf").glob("*_crf.fits"))
        return dict(zip(self.roots, paths, strict=True))

    @cached_property
    def mosaic(self):
        """File i2d."""
        paths = list(self.crfs.values())
        with _inside(self.folder):
            work = self._product_work("resample")
            _script("resample")["combine"](paths, "stage3/i2d.fits", "stage3/i2d.json", **work)
        return self.folder / "stage3/i2d.fits"

    @cached_property
    def catalogue(self):
        """Table of the sources in the mosaic."""
        mosaic = self.mosaic
        with _inside(self.folder):
            outputs = [f"stage3/{name}" for name in ("cat.ecsv", "segm.fits", "cat.json")]
            _script("source_catalog")["list_sources"](mosaic, *outputs, **self._product_work("source_catalog"))
        return Table.read(self.folder / "stage3/cat.ecsv", format="ascii.ecsv")

    def truth(self, name):
        """A table of the truth."""
        return Table.read(self.folder / "truth" / f"{name}.ecsv", format="ascii.ecsv")

    def _work(self, transition, root):
        circumstances = self.plan.circumstances(transition, root)
        return {
            "work": self.plan.exposure_work(transition, root),
            "circumstances": circumstances,
            "threads": THREADS,
        }

    def _product_work(self, step):
        circumstances = self.plan.circumstances(step)
        return {
            "work": self.plan.product_work(step, self.product),
            "circumstances": circumstances,
            "threads": THREADS,
        }


@pytest.fixture(scope="session")
def programme(tmp_path_factory):
    """Four dithers of a corner with reference pixels, without the slow drifts that one amplifier leaves."""
    from snakewebb.simulate.truth import EFFECTS, simulate

    folder = tmp_path_factory.mktemp("truth")
    simulate(
        "nircam_imaging",
        folder,
        preset="tiny",
        seed=5,
        effects=EFFECTS - {"one_over_f", "amplifier_offsets"},
        configurations=((("NRCB1", "F200W", "CLEAR"),),),
        subarray="SUB400P",
        pattern="SHALLOW4",
        dither_step=1.0,
        star_density=1800.0,
        galaxy_density=0.0,
        flux_range=(3e-6, 1.2e-4),
        min_separation=1.0,
        whole_references=False,
    )
    return Programme(folder)


def _script(name):
    return runpy.run_path(str(REPOSITORY / "workflow" / "scripts" / f"{name}.py"))


class _inside:  # noqa: N801
    """Work in a folder, as the jobs of a programme do."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.before = os.getcwd()
        os.chdir(self.folder)

    def __exit__(self, *_):
        os.chdir(self.before)
