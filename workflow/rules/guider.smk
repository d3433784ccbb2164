# Guide-star exposures: raw images to count rates.


rule guider_rates:
    input:
        uncal=lambda wildcards: ancient(exposure(wildcards).path),
        references=token_of("guider"),
        mark=mark_for("stage1/{exposure}_cal.json"),
    output:
        cal="stage1/{exposure}_cal.fits",
        record="stage1/{exposure}_cal.json",
    log:
        "logs/guider/{exposure}.log",
    conda:
        "../../envs/conda.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards: 450 + pixels(wildcards.exposure) * 12 // 1000000,
        runtime=5,
    params:
        work=work_of("guider"),
        circumstances=circumstances_of("guider"),
    message:
        "count rates of the guider: {wildcards.exposure}"
    script:
        "../scripts/guider.py"
