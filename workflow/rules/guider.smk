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
    threads: threads_of("guider_rates")
    resources:
        mem_mb=mem_mb_of("guider_rates"),
        runtime=runtime_of("guider_rates"),
        disk_mb=disk_mb_of("guider_rates"),
    params:
        work=work_of("guider"),
        circumstances=circumstances_of("guider"),
    message:
        "count rates of the guider: {wildcards.exposure}"
    script:
        "../scripts/guider.py"
