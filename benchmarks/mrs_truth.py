"""What comes out of the spectrometer's bands, against the truth and beside the oracle: ``python -m benchmarks.mrs_truth``.

Slopes of all twelve bands are simulated, of a point source (four dithers) and of a field of uniform brightness, and calibrated by the
workflow. The oracle makes its cubes and spectra of the same calibrated exposures. Everything is kept in benchmarks/work/mrs_truth, and made
only if it is not there.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.process import run

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
CONFIG = "crds_path: crds\ncrds_context: jwst_9999.pmap\n"
SCENES = ("point", "field")


def make(folder, scene, **changes):
    """Simulate and calibrate a scene, as far as it is not there yet."""
    from snakewebb.simulate.mrs_scene import Source
    from snakewebb.simulate.mrs_slopes import simulate_slopes

    sources = {
        "point": (Source("star", flux=0.2, slope=0.0, lines=30.0, redshift=0.002),),
        # 1000 MJy/sr in the middle, 0.01 % less at the edges of the field of view
        "field": (Source("field", size=200.0, flux=5907.0, slope=0.0, lines=0.0),),
    }
    design = {"point": {}, "field": {"dithers": 1}}[scene] | {"background_dithers": 0, "sources": sources[scene]}
    if not (folder / "config.yaml").exists():
        simulate_slopes(folder, seed=21, progress=print, **(design | changes))
        kind = {"point": "POINT", "field": "EXTENDED"}[scene]
        (folder / "config.yaml").write_text(f"{CONFIG}steps: {{srctype: {{source_type: {kind}}}}}\n")
    profile = REPOSITORY / "config/profiles/miri_mrs"
    command = [sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "2", "--directory", folder]
    run(command, log=folder / "snakemake.log")


def main():
    """Make what is not there, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE / "work" / "mrs_truth")
    folder = parser.parse_args().folder.resolve()
    for scene in SCENES:
        make(folder / scene, scene)


if __name__ == "__main__":
    main()
