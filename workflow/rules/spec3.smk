# Stage 3 of the spectrometer: a cube of each band, its spectrum, light of one band in another. Each is a rule, so that a change of one never
# reruns an earlier one.


from snakewebb.plan.cubes import spectra_of_leak, spectrum_of, stitched_cubes
from snakewebb.plan.product_members import (
    member_records,
    offsets_before,
    product_jobs,
    read_by,
)


include: "spec3_exposures.smk"


def cubes_of(wildcards):
    """Cubes of a product."""
    return [
        cube.name for cube in PLAN.cubes.values() if cube.product == wildcards.product
    ]


def cube_inputs(wildcards):
    """What a cube is made of: the folder of its product's exposures, or single files of exposures."""
    cube = PLAN.cubes[wildcards.product]
    files, _ = read_by(PLAN, "cube_build", cube.product, cube.members)
    return [ancient(path) for path in files]


def cube_input_records(wildcards):
    """Records of what a cube is made of."""
    cube = PLAN.cubes[wildcards.product]
    return read_by(PLAN, "cube_build", cube.product, cube.members)[1]


def stitched_files(product, extension):
    """Path of the spectrum of all bands of a product, or of its record, in a list; empty if there is none."""
    if not stitched_cubes(PLAN, product):
        return []
    return [f"stage3/{product}_stitched.{extension}"]


def records_before_cubes(wildcards):
    """Records of what exposures of a product, and all of them together, went through before its cubes."""
    before = [
        record
        for root in members(wildcards)
        for record in member_records(PLAN, root)
        if not record.startswith("stage2/")
    ]
    return before + [record for _, record, _ in product_jobs(PLAN, wildcards.product)]


# only some spectra have light of another band: these are extracted beside, and corrected under the final name
ruleorder: spectral_leak > extract_1d
ruleorder: report_spectra > report


rule cube_build:
    input:
        cals=cube_inputs,
        cal_records=cube_input_records,
        offsets=lambda wildcards: offsets_before(
            PLAN, "cube_build", PLAN.cubes[wildcards.product].product
        ),
        references=product_token_of("cube_build"),
        mark=mark_for("stage3/{product}_s3d.json"),
    output:
        s3d="stage3/{product}_s3d.fits",
        record="stage3/{product}_s3d.json",
    log:
        "logs/cube_build/{product}.log",
    benchmark:
        "benchmarks/cube_build/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("cube_build")
    resources:
        mem_mb=mem_mb_of("cube_build"),
        runtime=runtime_of("cube_build"),
        disk_mb=disk_mb_of("cube_build"),
    params:
        work=product_work_of("cube_build"),
        circumstances=circumstances_of("cube_build"),
    message:
        "cube: {wildcards.product}"
    script:
        "../scripts/cube_build.py"


rule extract_1d:
    input:
        s3d=ancient("stage3/{product}_s3d.fits"),
        s3d_record=["stage3/{product}_s3d.json"],
        references=product_token_of("extract_1d"),
        mark=mark_for("stage3/{place}{product}_x1d.json"),
    output:
        x1d="stage3/{place}{product}_x1d.fits",
        record="stage3/{place}{product}_x1d.json",
    log:
        "logs/extract_1d/{place}{product}.log",
    wildcard_constraints:
        place="(?:with_leak/)?",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("extract_1d")
    resources:
        mem_mb=mem_mb_of("extract_1d"),
        runtime=runtime_of("extract_1d"),
        disk_mb=disk_mb_of("extract_1d"),
    params:
        work=product_work_of("extract_1d"),
        circumstances=circumstances_of("extract_1d"),
    message:
        "spectrum: {wildcards.product}"
    script:
        "../scripts/extract_1d.py"


rule spectral_leak:
    input:
        spectra=lambda wildcards: [
            ancient(f"stage3/{spectrum_of(PLAN, name)}.fits")
            for name in spectra_of_leak(PLAN, wildcards.product)
        ],
        spectra_records=lambda wildcards: [
            f"stage3/{spectrum_of(PLAN, name)}.json"
            for name in spectra_of_leak(PLAN, wildcards.product)
        ],
        references=product_token_of("spectral_leak"),
        mark=mark_for("stage3/{product}_x1d.json"),
    output:
        x1d="stage3/{product}_x1d.fits",
        record="stage3/{product}_x1d.json",
    log:
        "logs/spectral_leak/{product}.log",
    wildcard_constraints:
        product="|".join(cube for cube in PLAN.cubes if spectra_of_leak(PLAN, cube))
        or "none",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("spectral_leak")
    resources:
        mem_mb=mem_mb_of("spectral_leak"),
        runtime=runtime_of("spectral_leak"),
        disk_mb=disk_mb_of("spectral_leak"),
    params:
        work=product_work_of("spectral_leak"),
        circumstances=circumstances_of("spectral_leak"),
    message:
        "light of another band: {wildcards.product}"
    script:
        "../scripts/spectral_leak.py"


rule stitch_spectra:
    input:
        spectra=lambda wildcards: [
            ancient(f"stage3/{name}_x1d.fits")
            for name in stitched_cubes(PLAN, wildcards.product)
        ],
        spectra_records=lambda wildcards: [
            f"stage3/{name}_x1d.json"
            for name in stitched_cubes(PLAN, wildcards.product)
        ],
        mark=mark_for("stage3/{product}_stitched.json"),
    output:
        stitched="stage3/{product}_stitched.fits",
        record="stage3/{product}_stitched.json",
    log:
        "logs/stitch_spectra/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("stitch_spectra")
    resources:
        mem_mb=mem_mb_of("stitch_spectra"),
        runtime=runtime_of("stitch_spectra"),
        disk_mb=disk_mb_of("stitch_spectra"),
    params:
        work=product_work_of("stitch_spectra"),
        circumstances=circumstances_of("stitch_spectra"),
    message:
        "one spectrum of all bands: {wildcards.product}"
    script:
        "../scripts/stitch_spectra.py"


rule report_spectra:
    input:
        cubes=lambda wildcards: [
            ancient(f"stage3/{cube}_s3d.fits") for cube in cubes_of(wildcards)
        ],
        spectra=lambda wildcards: [
            ancient(f"stage3/{cube}_x1d.fits") for cube in cubes_of(wildcards)
        ],
        records=lambda wildcards: [
            f"stage3/{cube}_{suffix}.json"
            for cube in cubes_of(wildcards)
            for suffix in ("s3d", "x1d")
        ],
        stitched=lambda wildcards: [
            ancient(path) for path in stitched_files(wildcards.product, "fits")
        ],
        stitched_record=lambda wildcards: stitched_files(wildcards.product, "json"),
        offsets=lambda wildcards: offsets_before(PLAN, "cube_build", wildcards.product),
        cal_records=calibrated_member_records,
        member_records=records_before_cubes,
    output:
        pictures=report(
            directory("report/{product}"),
            patterns=["{picture}.png"],
            caption="../report/picture.rst",
            category="Products",
            subcategory="{product}",
            labels={"picture": "{picture}"},
        ),
        page=report(
            "report/{product}.html",
            caption="../report/page.rst",
            category="Summary",
            labels={"product": "{product}"},
        ),
    log:
        "logs/report_spectra/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("report_spectra")
    resources:
        mem_mb=mem_mb_of("report_spectra"),
        runtime=runtime_of("report_spectra"),
        disk_mb=disk_mb_of("report_spectra"),
    params:
        left_out=lambda wildcards, output: PLAN.left_out,
        notes=lambda wildcards, output: PLAN.notes,
        mode=PLAN.mode.name,
        context=lambda wildcards, output: PLAN.context,
    message:
        "report: {wildcards.product}"
    script:
        "../scripts/report_spectra.py"
