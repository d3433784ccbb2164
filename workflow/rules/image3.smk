# Stage 3: alignment, sky, outliers, mosaic, catalogue. Each is a rule, so that a change of one never reruns an earlier one.


localrules:
    association,


rule association:
    output:
        asn="stage3/{product}_asn.json",
    log:
        "logs/association/{product}.log",
    conda:
        "../../envs/conda.yaml"
    params:
        association=lambda wildcards: PLAN.associations[wildcards.product].as_json(),
    message:
        "association: {wildcards.product}"
    script:
        "../scripts/association.py"


rule find_sources:
    input:
        cal=lambda wildcards: ancient(calibrated(wildcards.exposure)),
        cal_record=lambda wildcards: calibrated_record(wildcards.exposure),
    output:
        sources="stage3/sources/{exposure}_sources.ecsv",
        record="stage3/sources/{exposure}_sources.json",
    log:
        "logs/find_sources/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=800,
        runtime=5,
    params:
        work=lambda wildcards: PLAN.source_finding_work(wildcards.exposure),
        circumstances=circumstances_of("tweakreg"),
    message:
        "sources for alignment: {wildcards.exposure}"
    script:
        "../scripts/find_sources.py"


rule tweakreg:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        sources=lambda wildcards: [
            f"stage3/sources/{root}_sources.ecsv" for root in members(wildcards)
        ],
    output:
        alignment="stage3/{product}_alignment.ecsv",
        record="stage3/{product}_alignment.json",
    log:
        "logs/tweakreg/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=600,
        runtime=10,
    params:
        work=lambda wildcards: PLAN.alignment_work(wildcards.product),
        circumstances=circumstances_of("tweakreg"),
    message:
        "alignment: {wildcards.product}"
    script:
        "../scripts/tweakreg.py"


rule skymatch:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        alignment=alignment_of,
    output:
        sky="stage3/{product}_sky.ecsv",
        record="stage3/{product}_sky.json",
    log:
        "logs/skymatch/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=800,
        runtime=10,
    params:
        work=product_work_of("skymatch"),
        circumstances=circumstances_of("skymatch"),
    message:
        "sky levels: {wildcards.product}"
    script:
        "../scripts/skymatch.py"


rule outlier_detection:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        alignment=alignment_of,
        sky=sky_of,
    output:
        crf=directory("stage3/{product}_crf"),
        record="stage3/{product}_crf.json",
    log:
        "logs/outlier_detection/{product}.log",
    benchmark:
        "benchmarks/outlier_detection/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        work=product_work_of("outlier_detection"),
        circumstances=circumstances_of("outlier_detection"),
    message:
        "outliers: {wildcards.product}"
    script:
        "../scripts/outlier_detection.py"


rule resample:
    input:
        crf=ancient("stage3/{product}_crf"),
        crf_record="stage3/{product}_crf.json",
    output:
        i2d="stage3/{product}_i2d.fits",
        record="stage3/{product}_i2d.json",
    log:
        "logs/resample/{product}.log",
    benchmark:
        "benchmarks/resample/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        work=product_work_of("resample"),
        circumstances=circumstances_of("resample"),
    message:
        "mosaic: {wildcards.product}"
    script:
        "../scripts/resample.py"


rule source_catalog:
    input:
        i2d=ancient("stage3/{product}_i2d.fits"),
        i2d_record="stage3/{product}_i2d.json",
        references=product_token_of("source_catalog"),
    output:
        catalog="stage3/{product}_cat.ecsv",
        segmentation="stage3/{product}_segm.fits",
        record="stage3/{product}_cat.json",
    log:
        "logs/source_catalog/{product}.log",
    benchmark:
        "benchmarks/source_catalog/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        work=product_work_of("source_catalog"),
        circumstances=circumstances_of("source_catalog"),
    message:
        "catalogue: {wildcards.product}"
    script:
        "../scripts/source_catalog.py"
