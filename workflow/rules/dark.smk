# Darks: raw ramps to corrected ramps.


from snakewebb.plan.memory import stage1_megabytes


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
    threads: 2
    resources:
        mem_mb=lambda wildcards: stage1_megabytes(
            exposure(wildcards).shape, exposure(wildcards).header
        ),
        runtime=10,
    params:
        work=work_of("dark"),
        circumstances=circumstances_of("dark"),
    message:
        "corrected dark ramps: {wildcards.exposure}"
    script:
        "../scripts/dark.py"
