"""What comes out of a simulated programme, by the workflow and by the observatory's pipeline: ``python -m benchmarks.truth_figures``.

One programme of four dithered full frames is calibrated by both, with the same reference files. Tables in Markdown: figures
against the truth, ours beside the oracle's and the limit, and the differences between the products: those of the defaults, some
of which differ on purpose, and of ``compatibility: jwst`` in every step that has it. The programme and all products are kept in
benchmarks/work/truth, and made only if they are not there.
"""

import argparse
import json
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import vstack
from benchmarks.jobs import compatible as compatible_steps
from benchmarks.process import run

from snakewebb.dq import BITS
from snakewebb.simulate import recovery
from snakewebb.simulate.crds_cache import environment

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
DESIGN = {
    "preset": "full",
    "seed": 11,
    "pattern": "SHALLOW4",
    "ngroups": 5,
    "star_density": 160.0,
    "galaxy_density": 5.0,
    "flux_range": (1e-6, 1e-4),
    "min_separation": 2.2,
    "whole_references": False,
}
"""Stars that do not disturb each other, a third of them with a signal of more than 50 times the noise."""

_CONFIG = "crds_path: crds\ncrds_context: jwst_9999.pmap\ntruth: truth\n"

_EXPOSURE = """
import sys
from jwst.pipeline import Detector1Pipeline, Image2Pipeline
uncal, folder, root = sys.argv[1:]
Detector1Pipeline.call(uncal, output_dir=folder, save_results=True)
Image2Pipeline.call(f"{folder}/{root}_rate.fits", output_dir=folder, save_results=True)
"""

_PRODUCT = """
import sys
from jwst.datamodels import ModelLibrary
from jwst.pipeline import Image3Pipeline
from jwst.resample import ResampleStep
folder = sys.argv[1]
Image3Pipeline.call(f"{folder}/oracle_asn.json", output_dir=folder, save_results=True)
# our alignment, sky levels and outliers
mosaic = ResampleStep.call(ModelLibrary(f"{folder}/aligned_asn.json", on_disk=False))
mosaic.save(f"{folder}/aligned_i2d.fits")
"""


def main():
    """Make what is not there, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=HERE / "work" / "truth")
    folder = parser.parse_args().folder.resolve()
    make(folder)
    print_figures(folder)


# -- making -----------------------------------------------------------------------------------------------------------


def make(folder):
    """Simulate and calibrate what is not there yet."""
    if not (folder / "config.yaml").exists():
        from snakewebb.simulate.truth import simulate

        shutil.rmtree(folder, ignore_errors=True)
        simulate("nircam_imaging", folder, **DESIGN)
        (folder / "config.yaml").write_text(_CONFIG)
    compatible = folder / "compatible"
    if not compatible.exists():
        compatible.mkdir()
        for name in ("uncal", "crds"):
            (compatible / name).symlink_to(folder / name)
        steps = json.dumps(compatible_steps({}))  # which is YAML too
        (compatible / "config.yaml").write_text(f"crds_path: crds\ncrds_context: jwst_9999.pmap\nsteps: {steps}\n")
    profile = REPOSITORY / "config/profiles/nircam_imaging"
    for programme in (folder, compatible):
        os.chdir(programme)
        run([sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "2"], log="snakemake.log")
    os.chdir(folder)
    calibrate_with_oracle(folder, sorted(folder.glob("stage3/*_crf/*_crf.fits")))


def calibrate_with_oracle(folder, aligned):
    """Run the oracle's three pipelines, through the simulated CRDS cache, and its resampling of our aligned exposures."""
    out = folder / "oracle"
    out.mkdir(exist_ok=True)
    crds = environment(folder / "crds")
    for uncal in sorted(folder.glob("uncal/*_uncal.fits")):
        root = uncal.name.removesuffix("_uncal.fits")
        if not (out / f"{root}_cal.fits").exists():
            run([sys.executable, "-c", _EXPOSURE, uncal, out, root], log=out / f"{root}.log", **crds)
    if not (out / "aligned_i2d.fits").exists():
        write_association(out / "oracle_asn.json", sorted(out.glob("*_cal.fits")))
        write_association(out / "aligned_asn.json", aligned)
        run([sys.executable, "-c", _PRODUCT, out], log=out / "image3.log", **crds)


def write_association(path, files):
    """An association of the files, whose product is named as the file is."""
    members = [{"expname": str(file), "exptype": "science"} for file in files]
    association = {
        "asn_type": "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "01234",
        "target": "t001",
        "products": [{"name": path.name.removesuffix("_asn.json"), "members": members}],
    }
    path.write_text(json.dumps(association, indent=2))


# -- figures ----------------------------------------------------------------------------------------------------------


def products_of(folder):
    """Files of both: cal, crf, i2d, catalogue."""
    ours = {
        "cal": sorted(folder.glob("stage2/*_cal.fits")),
        "crf": sorted(folder.glob("stage3/*_crf/*_crf.fits")),
        "i2d": next(folder.glob("stage3/*_i2d.fits")),
        "cat": next(folder.glob("stage3/*_cat.ecsv")),
    }
    out = folder / "oracle"
    theirs = {
        "cal": sorted(out.glob("*_cal.fits")),
        "crf": sorted(out.glob("*_crf.fits")),
        "i2d": out / "oracle_i2d.fits",
        "cat": out / "oracle_cat.ecsv",
    }
    return ours, theirs


def figures(products, truth):
    """Rows (figure, value, limit) of one side."""
    rows = []
    stars = vstack([recovery.exposure_stars(path, truth) for path in products["cal"]])
    catalogue, motion = recovery.catalogue_stars(products["cat"], products["i2d"], truth)
    mosaic = recovery.mosaic_stars(products["i2d"], truth, motion)
    for name, table in (("cal", stars), ("i2d", mosaic)):
        for region in (*recovery.REGIONS, "corners"):
            mean, error, number = recovery.mean_ratio(table, region)
            rows.append((f"flux ratio, {name}, {region}", f"{mean:.4f} ± {error:.4f} ({number})", "1 ± 0.005"))
    mean, error, number = recovery.mean_ratio(catalogue)
    rows.append(("flux ratio, catalogue (aper_total_flux)", f"{mean:.4f} ± {error:.4f} ({number})", ""))

    residuals = [np.hypot(*recovery.wcs_residuals(path, truth)[:2]) for path in products["cal"]]
    rows.append(("WCS, largest residual (pixel)", f"{max(part.max() for part in residuals):.4f}", "0.005"))
    for name, kind in (("before", "cal"), ("after", "crf")):
        table = recovery.alignment_residuals(products[kind], truth)
        rms = math.sqrt(np.mean(np.asarray(table["rms"]) ** 2))
        rows.append((f"pointing, rms {name} alignment (pixel)", f"{rms:.4f}", "0.02" if name == "after" else ""))

    for words, centroid in (("", "sky_centroid_win"), ("isophotal ", "sky_centroid")):
        stars, _ = recovery.catalogue_stars(products["cat"], products["i2d"], truth, centroid=centroid)
        for low, high in ((20, 50), (50, 100), (100, 200), (200, math.inf), (20, math.inf)):
            some = stars[(stars["snr"] > low) & (stars["snr"] <= high)]
            offsets = np.concatenate([some["dx"], some["dy"]])
            expected = np.concatenate([some["expected"], some["expected"]])
            text = (
                f"{np.sqrt(np.mean(offsets**2)):.4f}, {np.sqrt(np.mean((offsets / expected) ** 2)):.2f} ({len(some)})"
            )
            interval = f"S/N {low} to {high}" if high < math.inf else f"S/N > {low}"
            rows.append(
                (f"{words}position in catalogue, {interval}: rms in pixels, and over the expected", text, "1.2")
            )

    for path in products["cal"]:
        level, true = recovery.sky_levels(path, truth)
        rows.append((f"sky, exposure {path.name.split('_')[2]} (MJy/sr)", f"{level:.4f}", f"{true:.4f}"))
    pulls = [recovery.exposure_pulls(path, truth) for path in products["cal"]]
    for number, low in enumerate(pulls[0]["above"]):
        width, middle = (np.mean([table[name][number] for table in pulls]) for name in ("width", "median"))
        rows.append((f"pulls of cal above {low:g} MJy/sr: median, width", f"{middle:+.3f}, {width:.3f}", "width 1"))
    return rows


def print_figures(folder):
    """Print both tables."""
    ours, theirs = products_of(folder)
    truth = folder / "truth"
    print("| figure | snakewebb | jwst 3.0.0 | limit |\n|---|---|---|---|")
    for (name, mine, limit), (_, other, _) in zip(figures(ours, truth), figures(theirs, truth), strict=True):
        print(f"| {name} | {mine} | {other} | {limit} |")
    for words, programme in (("Defaults", folder), ("compatibility: jwst", folder / "compatible")):
        print(f"\n{words}\n\n| product | compared | beyond the limit | largest / limit | largest / ERR | DQ differs |")
        print("|---|---|---|---|---|---|")
        for stage, suffix in ((1, "rate"), (2, "cal"), (2, "i2d")):
            for mine in sorted(programme.glob(f"stage{stage}/*_{suffix}.fits")):
                print_difference(f"{mine.name.split('_')[2]} {suffix}", mine, folder / "oracle" / mine.name)
        if programme == folder:
            print_difference("mosaic i2d", ours["i2d"], folder / "oracle" / "aligned_i2d.fits")
        print("\nOutliers in crf (ours, theirs, both):")
        for mine, other in zip(sorted(programme.glob("stage3/*_crf/*_crf.fits")), theirs["crf"], strict=True):
            a, b = ((fits.getdata(path, "DQ") >> BITS["OUTLIER"]) & 1 for path in (mine, other))
            print(f"  {mine.name.split('_')[2]}: {a.sum()}, {b.sum()}, {(a & b).sum()}")


def print_difference(name, mine, other):
    """Print a row of the table of differences."""
    row = difference(mine, other)
    print(
        f"| {name} | {row['compared']:.4f} | {row['beyond']} | {row['in_limit']:.3f} | {row['in_err']:.1e} | {row['dq']} |"
    )


def difference(ours, theirs):
    """How far two products are apart where both are good, in units of max(1e-5 of the value, 1e-3 ERR), and DQ bits that differ."""
    with fits.open(ours) as a, fits.open(theirs) as b:
        x, y, error = (np.asarray(array, float) for array in (a["SCI"].data, b["SCI"].data, b["ERR"].data))
        good = np.isfinite(x) & np.isfinite(y) & (error > 0)
        text = "no DQ"
        if "DQ" in a and "DQ" in b:
            mine, other = a["DQ"].data, b["DQ"].data
            good &= (mine & 1 == 0) & (other & 1 == 0)
            counts = {name: int(((mine ^ other) >> bit & 1).sum()) for name, bit in BITS.items()}
            text = ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nowhere"
        apart = np.abs(x - y)[good]
        limit = np.maximum(1e-5 * np.abs(y[good]), 1e-3 * error[good])
        return {
            "compared": float(good.mean()),
            "beyond": int((apart > limit).sum()),
            "in_limit": float((apart / limit).max()),
            "in_err": float((apart / error[good]).max()),
            "dq": text,
        }


if __name__ == "__main__":
    main()
