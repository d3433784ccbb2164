# Stage 1: raw ramps to slopes.


rule persistence_windows:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("persistence_windows"),
        mark=mark_for("stage1/persistence/{exposure}_windows.json"),
    output:
        windows="stage1/persistence/{exposure}_windows.asdf",
        record="stage1/persistence/{exposure}_windows.json",
    log:
        "logs/persistence_windows/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("persistence_windows")
    resources:
        mem_mb=mem_mb_of("persistence_windows"),
        runtime=runtime_of("persistence_windows"),
        disk_mb=disk_mb_of("persistence_windows"),
    params:
        work=work_of("persistence_windows"),
        circumstances=circumstances_of("detector1"),
    message:
        "saturation windows: {wildcards.exposure}"
    script:
        "../scripts/persistence_windows.py"


rule detector1:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("detector1"),
        windows=lambda wildcards: [
            ancient(f"stage1/persistence/{root}_windows.asdf")
            for root in PLAN.persistence_sources(wildcards.exposure)
        ],
        window_records=lambda wildcards: [
            f"stage1/persistence/{root}_windows.json"
            for root in PLAN.persistence_sources(wildcards.exposure)
        ],
        mark=mark_for("stage1/{exposure}_rate.json"),
    output:
        rate="stage1/{exposure}_rate.fits",
        rateints="stage1/{exposure}_rateints.fits",
        record="stage1/{exposure}_rate.json",
    log:
        "logs/detector1/{exposure}.log",
    benchmark:
        "benchmarks/detector1/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("detector1")
    resources:
        mem_mb=mem_mb_of("detector1"),
        runtime=runtime_of("detector1"),
        disk_mb=disk_mb_of("detector1"),
    params:
        work=work_of("detector1"),
        circumstances=circumstances_of("detector1"),
    message:
        "ramps to slopes: {wildcards.exposure}"
    script:
        "../scripts/detector1.py"
