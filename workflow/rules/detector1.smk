# Stage 1: raw ramps to slopes.


from snakewebb.plan.memory import stage1_megabytes


rule detector1:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("detector1"),
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
    threads: 2
    resources:
        mem_mb=lambda wildcards: stage1_megabytes(exposure(wildcards).shape),
        runtime=10,
    params:
        work=work_of("detector1"),
        circumstances=circumstances_of("detector1"),
    message:
        "ramps to slopes: {wildcards.exposure}"
    script:
        "../scripts/detector1.py"
