# Fluxes in all filters at the positions of the sources of the detection filter, and one table of them.


rule forced_photometry:
    input:
        i2d=ancient("stage3/{product}_i2d.fits"),
        i2d_record="stage3/{product}_i2d.json",
        catalog=lambda wildcards: ancient(
            f"stage3/{PLAN.detections[wildcards.product]}_cat.ecsv"
        ),
        segmentation=lambda wildcards: ancient(
            f"stage3/{PLAN.detections[wildcards.product]}_segm.fits"
        ),
        catalog_record=lambda wildcards: f"stage3/{PLAN.detections[wildcards.product]}_cat.json",
        references=product_token_of("forced_photometry"),
        mark=mark_for("stage3/{product}_forced.json"),
    output:
        table="stage3/{product}_forced.ecsv",
        record="stage3/{product}_forced.json",
    log:
        "logs/forced_photometry/{product}.log",
    benchmark:
        "benchmarks/forced_photometry/{product}.tsv"
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("forced_photometry")
    resources:
        mem_mb=mem_mb_of("forced_photometry"),
        runtime=runtime_of("forced_photometry"),
        disk_mb=disk_mb_of("forced_photometry"),
    params:
        work=product_work_of("forced_photometry"),
        circumstances=circumstances_of("forced_photometry"),
    message:
        "forced photometry: {wildcards.product}"
    script:
        "../scripts/forced_photometry.py"


rule multiband_catalog:
    input:
        catalog=ancient("stage3/{product}_cat.ecsv"),
        catalog_record="stage3/{product}_cat.json",
        tables=lambda wildcards: [
            ancient(f"stage3/{product}_forced.ecsv")
            for product in bands_of(PLAN, wildcards.product).values()
        ],
        records=lambda wildcards: [
            f"stage3/{product}_forced.json"
            for product in bands_of(PLAN, wildcards.product).values()
        ],
        mark=mark_for("stage3/{product}_multiband.json"),
    output:
        table="stage3/{product}_multiband.ecsv",
        record="stage3/{product}_multiband.json",
    log:
        "logs/multiband_catalog/{product}.log",
    conda:
        "../../envs/conda.yaml"
    threads: threads_of("multiband_catalog")
    resources:
        mem_mb=mem_mb_of("multiband_catalog"),
        runtime=runtime_of("multiband_catalog"),
        disk_mb=disk_mb_of("multiband_catalog"),
    params:
        work=product_work_of("multiband_catalog"),
        circumstances=circumstances_of("forced_photometry"),
    message:
        "table of all filters: {wildcards.product}"
    script:
        "../scripts/multiband_catalog.py"
