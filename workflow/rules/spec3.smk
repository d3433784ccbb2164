# Stage 3 of the spectrometer: a cube of each band, its spectrum, light of one band in another. Each is a rule, so that a change of one never
# reruns an earlier one.


from snakewebb.plan.cubes import spectra_of_leak, spectrum_of


def cubes_of(wildcards):
    """Cubes of a product."""
    return [
        cube.name for cube in PLAN.cubes.values() if cube.product == wildcards.product
    ]


def cube_inputs(wildcards):
    """What a cube is made of: the folder of its product's exposures, or single files of exposures."""
    cube = PLAN.cubes[wildcards.product]
    if PLAN.is_on("outlier_detection"):
        return [ancient(f"stage3/{cube.product}_crf")]
    return [ancient(combined(root)) for root in cube.members]


def cube_input_records(wildcards):
    """Records of what a cube is made of."""
    cube = PLAN.cubes[wildcards.product]
    if PLAN.is_on("outlier_detection"):
        return [f"stage3/{cube.product}_crf.json"]
    return [record for root in cube.members for record in combined_record(root)]


# only some spectra have light of another band: these are extracted beside, and corrected under the final name
ruleorder: spectral_leak > extract_1d
ruleorder: report_spectra > report


rule outlier_detection:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        mark=mark_for("stage3/{product}_crf.json"),
    output:
        crf=directory("stage3/{product}_crf"),
        record="stage3/{product}_crf.json",
    log:
        "logs/outlier_detection/{product}.log",
    benchmark:
        "benchmarks/outlier_detection/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("outlier_detection")
    resources:
        mem_mb=mem_mb_of("outlier_detection"),
        runtime=runtime_of("outlier_detection"),
        disk_mb=disk_mb_of("outlier_detection"),
    params:
        work=product_work_of("outlier_detection"),
        circumstances=circumstances_of("outlier_detection"),
    message:
        "outliers: {wildcards.product}"
    script:
        "../scripts/ifu_outliers.py"


rule cube_build:
    input:
        cals=cube_inputs,
        cal_records=cube_input_records,
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
        cal_records=calibrated_member_records,
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
