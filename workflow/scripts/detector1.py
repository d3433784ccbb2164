"""Ramps to slopes for one exposure: uncal -> rate, rateints."""

from functools import partial
from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import at_once, set_threads
from snakewebb.detector.stripes import lines_of
from snakewebb.detector.superstripes import collated_subarray
from snakewebb.errors import MissingReferenceError
from snakewebb.io.persistence_windows import read_all_windows
from snakewebb.io.products import slope_model, stamp, write_extra, write_image, write_ramp
from snakewebb.io.references import References, located
from snakewebb.io.scratch import Scratch
from snakewebb.io.sidecar import write_sidecar
from snakewebb.io.uncal import read_ramp
from snakewebb.job import job


def calibrate_ramps(uncal, rate, rateints, record, *, work, circumstances, threads, windows=(), inputs=()):
    """Run the chain of stage 1 on an exposure and write its slopes, the record last."""
    set_threads(threads)
    folder = Path(rate).parent
    with Scratch(folder) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        ramp.persistence_ends = read_all_windows(windows, str(ramp.header["DETECTOR"]), collated_subarray(ramp.header))
        paths = located(work.get("references", {}), circumstances["crds_path"])
        references = References(paths, ramp.subarray, lines_of(ramp.header))
        root = Path(rate).name.removesuffix("_rate.fits")

        def save(step, ramp):
            if ramp.rate is None:
                write_ramp(folder / f"{root}_{step.split(':')[-1]}.fits", ramp)

        outcomes = run_chain(ramp, work["chain"], references, save=save, origins=circumstances.get("origins"))
        if ramp.rate is None:
            reasons = [f"{outcome.step}: {outcome.status.reason}" for outcome in outcomes if outcome.step == "ramp_fit"]
            raise MissingReferenceError(
                f"{uncal}: no slopes were made ({'; '.join(reasons) or 'ramp_fit is not in the chain'})"
            )
        write_extra(folder / root, ramp.extra)
        ramp.data = ramp.groupdq = ramp.zeroframe = None  # the products get their room, in memory or on disk
        products = ((rate, ramp.rate, slope_model(ramp.header)), (rateints, ramp.rateints, "CubeModel"))
        for _, image, _ in products:
            stamp(image.header, outcomes, work.get("references"), circumstances["context"])
        writes = [partial(write_image, *product) for product in products]
        # each with all threads if they are of different size
        sums = at_once(*writes) if len(ramp.rateints.data) == 1 else [write() for write in writes]
        files = dict(zip((Path(rate).name, Path(rateints).name), sums, strict=True))
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="detector1",
        work=snakemake.params.work,
    ):
        calibrate_ramps(
            snakemake.input.uncal,
            snakemake.output.rate,
            snakemake.output.rateints,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            windows=snakemake.input.windows,
            inputs=snakemake.input.window_records,
        )
