# Stage 3 of the spectrometer before its cubes: what single exposures, and those of a product together, go through.


from snakewebb.plan.product_members import (
    companion_files,
    member_file,
    member_records,
    offsets_before,
    read_by,
)


def files_before(step):
    """Input function: the file of an exposure that a step reads."""
    return lambda wildcards: ancient(member_file(PLAN, wildcards.exposure, before=step))


def records_before(step):
    """Input function: its record, none for the user's own."""
    return lambda wildcards: list(member_records(PLAN, wildcards.exposure, before=step))


def files_beside(step):
    """Input function: what a step reads of other exposures."""
    return lambda wildcards: [
        ancient(path) for path in companion_files(PLAN, step, wildcards.exposure)[0]
    ]


def records_beside(step):
    """Input function: the records of what a step reads of other exposures."""
    return lambda wildcards: companion_files(PLAN, step, wildcards.exposure)[1]


def exposures_of(step):
    """Input function: what a step reads of the exposures of a product, one folder or a file of each."""
    return lambda wildcards: [
        ancient(path)
        for path in read_by(PLAN, step, wildcards.product, members(wildcards))[0]
    ]


def records_of_exposures(step):
    """Input function: the records of what a step reads of the exposures of a product."""
    return lambda wildcards: read_by(PLAN, step, wildcards.product, members(wildcards))[
        1
    ]


rule master_background:
    input:
        cal=files_before("master_background"),
        cal_record=records_before("master_background"),
        others=files_beside("master_background"),
        other_records=records_beside("master_background"),
        mark=mark_for("stage3/mbsub/{exposure}_mbsub.json"),
    output:
        result="stage3/mbsub/{exposure}_mbsub.fits",
        record="stage3/mbsub/{exposure}_mbsub.json",
    log:
        "logs/master_background/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("master_background")
    resources:
        mem_mb=mem_mb_of("master_background"),
        runtime=runtime_of("master_background"),
        disk_mb=disk_mb_of("master_background"),
    params:
        work=work_of("master_background"),
        circumstances=circumstances_of("master_background"),
    message:
        "spectrum of the background subtracted: {wildcards.exposure}"
    script:
        "../scripts/exposure_background.py"


rule nod_subtract:
    input:
        cal=files_before("nod_subtract"),
        cal_record=records_before("nod_subtract"),
        others=files_beside("nod_subtract"),
        other_records=records_beside("nod_subtract"),
        mark=mark_for("stage3/nodsub/{exposure}_nodsub.json"),
    output:
        result="stage3/nodsub/{exposure}_nodsub.fits",
        record="stage3/nodsub/{exposure}_nodsub.json",
    log:
        "logs/nod_subtract/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("nod_subtract")
    resources:
        mem_mb=mem_mb_of("nod_subtract"),
        runtime=runtime_of("nod_subtract"),
        disk_mb=disk_mb_of("nod_subtract"),
    params:
        work=work_of("nod_subtract"),
        circumstances=circumstances_of("nod_subtract"),
    message:
        "another exposure of the nod subtracted: {wildcards.exposure}"
    script:
        "../scripts/exposure_background.py"


rule outlier_detection:
    input:
        cals=exposures_of("outlier_detection"),
        cal_records=records_of_exposures("outlier_detection"),
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


rule measured_offsets:
    input:
        cals=exposures_of("measured_offsets"),
        cal_records=records_of_exposures("measured_offsets"),
        references=product_token_of("measured_offsets"),
        mark=mark_for("stage3/{product}_offsets.json"),
    output:
        offsets="stage3/{product}_offsets.ecsv",
        record="stage3/{product}_offsets.json",
    log:
        "logs/measured_offsets/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("measured_offsets")
    resources:
        mem_mb=mem_mb_of("measured_offsets"),
        runtime=runtime_of("measured_offsets"),
        disk_mb=disk_mb_of("measured_offsets"),
    params:
        work=product_work_of("measured_offsets"),
        circumstances=circumstances_of("measured_offsets"),
    message:
        "offsets of the pointing: {wildcards.product}"
    script:
        "../scripts/measured_offsets.py"


rule cube_outliers:
    input:
        cals=exposures_of("cube_outliers"),
        cal_records=records_of_exposures("cube_outliers"),
        offsets=lambda wildcards: offsets_before(
            PLAN, "cube_outliers", wildcards.product
        ),
        references=product_token_of("cube_outliers"),
        mark=mark_for("stage3/{product}_cubecrf.json"),
    output:
        crf=directory("stage3/{product}_cubecrf"),
        record="stage3/{product}_cubecrf.json",
    log:
        "logs/cube_outliers/{product}.log",
    benchmark:
        "benchmarks/cube_outliers/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("cube_outliers")
    resources:
        mem_mb=mem_mb_of("cube_outliers"),
        runtime=runtime_of("cube_outliers"),
        disk_mb=disk_mb_of("cube_outliers"),
    params:
        work=product_work_of("cube_outliers"),
        circumstances=circumstances_of("cube_outliers"),
    message:
        "cosmic rays of single exposures: {wildcards.product}"
    script:
        "../scripts/ifu_outliers.py"
