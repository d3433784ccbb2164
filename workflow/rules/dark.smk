# Darks: raw ramps to corrected ramps.


rule dark:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("dark"),
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
        # float32 data, flags and one input plane of each reference, besides the interpreter
        mem_mb=lambda wildcards: 350 + pixels(wildcards.exposure) * 9 // 1000000 + 240,
        runtime=10,
    params:
        work=work_of("dark"),
        circumstances=circumstances_of("dark"),
    message:
        "corrected dark ramps: {wildcards.exposure}"
    script:
        "../scripts/dark.py"
