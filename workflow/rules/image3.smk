# Stage 3 of images: alignment, sky, outliers, mosaic, catalogue; and pairs of wavefront sensing. Each is a rule, so that a change of one never reruns an earlier one.


include: "forced_photometry.smk"


rule find_sources:
    input:
        cal=lambda wildcards: ancient(calibrated(wildcards.exposure)),
        cal_record=lambda wildcards: calibrated_record(wildcards.exposure),
        mark=mark_for("stage3/sources/{exposure}_sources.json"),
    output:
        sources="stage3/sources/{exposure}_sources.ecsv",
        record="stage3/sources/{exposure}_sources.json",
    log:
        "logs/find_sources/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("find_sources")
    resources:
        mem_mb=mem_mb_of("find_sources"),
        runtime=runtime_of("find_sources"),
        disk_mb=disk_mb_of("find_sources"),
    params:
        work=lambda wildcards: PLAN.source_finding_work(wildcards.exposure),
        circumstances=circumstances_of("tweakreg"),
    message:
        "sources for alignment: {wildcards.exposure}"
    script:
        "../scripts/find_sources.py"


rule assign_mtwcs:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        mark=mark_for("stage3/{product}_mtwcs.json"),
    output:
        targets="stage3/{product}_mtwcs.ecsv",
        record="stage3/{product}_mtwcs.json",
    log:
        "logs/assign_mtwcs/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("assign_mtwcs")
    resources:
        mem_mb=mem_mb_of("assign_mtwcs"),
        runtime=runtime_of("assign_mtwcs"),
        disk_mb=disk_mb_of("assign_mtwcs"),
    params:
        work=product_work_of("assign_mtwcs"),
        circumstances=circumstances_of("assign_mtwcs"),
    message:
        "positions of the moving target: {wildcards.product}"
    script:
        "../scripts/assign_mtwcs.py"


rule tweakreg:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        sources=lambda wildcards: [
            f"stage3/sources/{root}_sources.ecsv" for root in members(wildcards)
        ],
        reference=reference_of,
        stars=stars_of,
        mark=mark_for("stage3/{product}_alignment.json"),
    output:
        alignment="stage3/{product}_alignment.ecsv",
        residuals="stage3/{product}_residuals.ecsv",
        record="stage3/{product}_alignment.json",
    log:
        "logs/tweakreg/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("tweakreg")
    resources:
        mem_mb=mem_mb_of("tweakreg"),
        runtime=runtime_of("tweakreg"),
        disk_mb=disk_mb_of("tweakreg"),
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
        mark=mark_for("stage3/{product}_sky.json"),
    output:
        sky="stage3/{product}_sky.ecsv",
        record="stage3/{product}_sky.json",
    log:
        "logs/skymatch/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("skymatch")
    resources:
        mem_mb=mem_mb_of("skymatch"),
        runtime=runtime_of("skymatch"),
        disk_mb=disk_mb_of("skymatch"),
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
        "../scripts/outlier_detection.py"


rule mosaic_grid:
    input:
        crf=ancient("stage3/{product}_crf"),
        crf_record="stage3/{product}_crf.json",
    output:
        grid=temp("stage3/{product}_tiles/grid.json"),
    log:
        "logs/mosaic_grid/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("mosaic_grid")
    resources:
        mem_mb=mem_mb_of("mosaic_grid"),
        runtime=runtime_of("mosaic_grid"),
        disk_mb=disk_mb_of("mosaic_grid"),
    params:
        work=product_work_of("resample"),
    message:
        "grid of the mosaic: {wildcards.product}"
    script:
        "../scripts/mosaic_grid.py"


rule mosaic_tile:
    input:
        crf=ancient("stage3/{product}_crf"),
        crf_record="stage3/{product}_crf.json",
        grid="stage3/{product}_tiles/grid.json",
    output:
        tile=temp("stage3/{product}_tiles/{tile}.fits"),
        record=temp("stage3/{product}_tiles/{tile}.json"),
    log:
        "logs/mosaic_tile/{product}_{tile}.log",
    benchmark:
        "benchmarks/mosaic_tile/{product}_{tile}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("mosaic_tile")
    resources:
        mem_mb=mem_mb_of("mosaic_tile"),
        runtime=runtime_of("mosaic_tile"),
        disk_mb=disk_mb_of("mosaic_tile"),
    params:
        work=product_work_of("resample"),
        across=lambda wildcards: tiling_of(PLAN, wildcards.product),
        circumstances=circumstances_of("resample"),
    message:
        "mosaic: {wildcards.product}, tile {wildcards.tile}"
    script:
        "../scripts/mosaic_tile.py"


rule resample:
    input:
        crf=ancient("stage3/{product}_crf"),
        crf_record="stage3/{product}_crf.json",
        tiles=tiles_for,
        mark=mark_for("stage3/{product}_i2d.json"),
    output:
        i2d="stage3/{product}_i2d.fits",
        record="stage3/{product}_i2d.json",
    log:
        "logs/resample/{product}.log",
    benchmark:
        "benchmarks/resample/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("resample")
    resources:
        mem_mb=mem_mb_of("resample"),
        runtime=runtime_of("resample"),
        disk_mb=disk_mb_of("resample"),
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
        mark=mark_for("stage3/{product}_cat.json"),
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
    threads: threads_of("source_catalog")
    resources:
        mem_mb=mem_mb_of("source_catalog"),
        runtime=runtime_of("source_catalog"),
        disk_mb=disk_mb_of("source_catalog"),
    params:
        work=product_work_of("source_catalog"),
        circumstances=circumstances_of("source_catalog"),
    message:
        "catalogue: {wildcards.product}"
    script:
        "../scripts/source_catalog.py"


rule wfs_combine:
    input:
        cals=calibrated_members,
        cal_records=calibrated_member_records,
        mark=mark_for("stage3/{product}.json"),
    output:
        combined="stage3/{product}.fits",
        record="stage3/{product}.json",
    log:
        "logs/wfs_combine/{product}.log",
    wildcard_constraints:
        product=PAIR_PATTERN,
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("wfs_combine")
    resources:
        mem_mb=mem_mb_of("wfs_combine"),
        runtime=runtime_of("wfs_combine"),
        disk_mb=disk_mb_of("wfs_combine"),
    params:
        work=product_work_of("wfs_combine"),
        circumstances=circumstances_of("wfs_combine"),
    message:
        "pair of wavefront sensing: {wildcards.product}"
    script:
        "../scripts/wfs_combine.py"
