# Darks: raw ramps to corrected ramps.


rule dark:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("dark"),
        mark=mark_for("stage1/{exposure}_dark.json"),
    output:
        dark="stage1/{exposure}_dark.fits",
        record="stage1/{exposure}_dark.json",
    log:
        "logs/dark/{exposure}.log",
    benchmark:
        "benchmarks/dark/{exposure}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("dark")
    resources:
        mem_mb=mem_mb_of("dark"),
        runtime=runtime_of("dark"),
        disk_mb=disk_mb_of("dark"),
    params:
        work=work_of("dark"),
        circumstances=circumstances_of("dark"),
    message:
        "corrected dark ramps: {wildcards.exposure}"
    script:
        "../scripts/dark.py"
