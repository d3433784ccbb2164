"""One spectral cube, of a single exposure or of a product: cal -> s3d."""

import tempfile
from pathlib import Path

from snakewebb.chain import run_chain, run_work
from snakewebb.compiled import set_threads
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.exposure_files import exposure_of_file, files_of, read_with_geometry
from snakewebb.io.cube_file import write_cube
from snakewebb.io.products import slope_model, stamp, write_image
from snakewebb.io.references import References
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def with_replaced(paths, replaced, folder):
    """Files of exposures; of those whose bad pixels are to be replaced, files in a folder in which they are, made once."""
    found = []
    for path in map(Path, paths):
        chain = next((chain for root, chain in replaced.items() if path.name.startswith(f"{root}_")), None)
        if chain:
            image = read_with_geometry(path)
            if image.wcs is not None:
                run_chain(image, chain, References({}, (1, 1, 1, 1)))
                path = Path(folder) / path.name
                write_image(path, image, slope_model(image.header))
        found.append(path)
    return found


def build_cube(paths, s3d, record, *, work, circumstances, threads, offsets=None, inputs=()):
    """Combine exposures, their pointings corrected by a table of offsets, to the one cube that the work asks for; the record last."""
    set_threads(threads)
    for path in paths:
        check_product(path)
    (entry,) = work["chain"]
    if offsets is not None:
        entry = {**entry, "parameters": {**entry["parameters"], "offset_file": offsets}}
    with tempfile.TemporaryDirectory(prefix=f".{Path(s3d).name}.", dir=Path(s3d).parent) as folder:
        paths = with_replaced(paths, work.get("replaced", {}), folder)
        cubes = CubeSet([exposure_of_file(path) for path in paths])
        outcomes = run_work(cubes, {**work, "chain": [entry]}, circumstances)
    (cube,) = cubes.cubes
    stamp(cube.header, outcomes, work.get("references"), circumstances["context"])
    files = {Path(s3d).name: write_cube(s3d, cube)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.get("exposure"),
        transition="cube_build_exposure",
        work=snakemake.params.work,
    ):
        offsets = list(snakemake.input.get("offsets", ()))
        build_cube(
            files_of(snakemake.input.cals, snakemake.params.work.get("members", ())),
            snakemake.output.s3d,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            offsets=offsets[0] if offsets else None,
            inputs=[*snakemake.input.cal_records, *offsets],
        )
